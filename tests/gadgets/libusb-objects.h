/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The objects behind libusb's opaque types. Each context sees every plugged gadget as a device of
 * its own; a device object is one period of being plugged in. Everything is guarded by the bus
 * lock.
 */
#pragma once

#include "gadget-bus.h"

struct libusb_device {
    TAILQ_ENTRY(libusb_device) link; /* in context.devices while attached */
    struct libusb_context *context;  /* NULL after libusb_exit */
    struct gadget *gadget;
    unsigned references;
    bool attached;
    uint8_t address, port;
    /* As it was when plugged in: may be asked for after the device has left. */
    uint8_t device_descriptor[LIBUSB_DT_DEVICE_SIZE];
};

struct libusb_device_handle {
    TAILQ_ENTRY(libusb_device_handle) link; /* in context.handles */
    struct libusb_device *device;           /* one reference */
    bool auto_detach;
};

struct hotplug_callback {
    TAILQ_ENTRY(hotplug_callback) link;
    libusb_hotplug_callback_handle id;
    int events, vendor_id, product_id, device_class;
    libusb_hotplug_callback_fn function;
    void *user_data;
    unsigned running; /* threads that are inside function() */
    bool removed;     /* freed at the end of the next event handling */
};

struct hotplug_message {
    TAILQ_ENTRY(hotplug_message) link;
    struct libusb_device *device; /* one reference */
    libusb_hotplug_event event;
};

TAILQ_HEAD(device_list, libusb_device);
TAILQ_HEAD(handle_list, libusb_device_handle);
TAILQ_HEAD(callback_list, hotplug_callback);
TAILQ_HEAD(message_list, hotplug_message);

struct libusb_context {
    TAILQ_ENTRY(libusb_context) link;
    unsigned references; /* of the default context */
    struct device_list devices;
    struct handle_list handles;

    struct transfer_list completed;
    unsigned completed_count;
    struct callback_list callbacks;
    struct message_list messages;
    int next_callback_id;
    bool interrupted;
    int event_fd; /* readable while any of the above waits to be handled */
    bool signalled;

    bool handling; /* somebody holds the event lock */
    pthread_t handler;
    bool in_callbacks;
    pthread_cond_t handler_left;
    pthread_mutex_t waiters_lock; /* taken before the bus lock */
    pthread_cond_t waiters;
};
TAILQ_HEAD(context_list, libusb_context);

enum transfer_state { TRANSFER_IDLE, TRANSFER_PENDING, TRANSFER_COMPLETED };

struct transfer {
    TAILQ_ENTRY(transfer) link; /* in gadget_endpoint.pending or context.completed */
    enum transfer_state state;
    struct libusb_device_handle *handle; /* while not idle */
    struct gadget_endpoint *endpoint;
    bool cancelled;
    uint64_t deadline;   /* GADGET_NO_TIMEOUT: none */
    uint64_t head_since; /* 0: not yet at the head of its endpoint */
    size_t moved;        /* bytes; without the setup packet */
    bool zero_packet_due;
    uint32_t stream_id;
    bool silent;             /* by the command of that name: waits to be cancelled */
    uint64_t first_interval; /* isochronous: of the first packet */
    int packets_moved;
    struct libusb_transfer public; /* last: ends in the array of packets */
};

static inline struct transfer *transfer_of(struct libusb_transfer *transfer)
{
    return (struct transfer *) ((char *) transfer - offsetof(struct transfer, public));
}

/* libusb-context.c */
extern struct context_list contexts;
struct libusb_context *context_or_default(struct libusb_context *context);
/* Makes event_fd agree with whether there is something to handle. */
void context_signal(struct libusb_context *context);

/* libusb-device.c */
void device_attach(struct libusb_context *context, struct gadget *gadget);
void device_unref_locked(struct libusb_device *device);
void devices_arrived(struct gadget *gadget);
void devices_left(struct gadget *gadget);
bool handle_claims(struct libusb_device_handle *handle, uint8_t interface);

/* libusb-hotplug.c */
void hotplug_notify(struct libusb_device *device, libusb_hotplug_event event);
void hotplug_deliver(struct libusb_context *context);
void hotplug_sweep(struct libusb_context *context);

/* libusb-transfer.c */
/* Takes the transfer out of whichever queue it is in, without a callback. */
void transfer_drop(struct transfer *transfer);
void transfers_drop_handle(struct libusb_device_handle *handle);
void transfers_deliver(struct libusb_context *context);
