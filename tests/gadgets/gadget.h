/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What an emulated USB device is: one struct gadget per configured device, one struct gadget_ops
 * per kind. The bus (gadget-bus.c) owns all gadgets, moves packets between them and the transfers
 * of the program that uses libusb, and calls the kind's functions with the bus lock held; they
 * never block.
 *
 * A gadget outlives unplugging: it keeps its medium, its counters and its fault settings.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#pragma GCC visibility push(default)
#include <libusb.h>
#pragma GCC visibility pop

#define GADGET_MAX_CONFIGURATIONS 2
#define GADGET_MAX_INTERFACES     8
#define GADGET_ENDPOINTS          32
#define GADGET_MAX                32   /* devices on the bus, the root hub included */
#define GADGET_CONTROL_MAX        4096 /* usbfs carries no more in one control transfer */

#define GADGET_US_PER_MS  UINT64_C(1000)
#define GADGET_NO_TIMEOUT UINT64_MAX

struct gadget;
struct gadget_options;
struct transfer;
TAILQ_HEAD(transfer_list, transfer);

enum gadget_reply {
    GADGET_DONE,  /* data moved; zero bytes are a zero-length packet */
    GADGET_NAK,   /* not now: asked again when something changed, or at gadget.wake_at */
    GADGET_STALL, /* endpoint 0: this request; others: halted until the halt is cleared */
};

/* The strings of [USB 2.0] 9.6.7 by index; 0 is the list of languages. */
enum gadget_string { GADGET_MANUFACTURER = 1, GADGET_PRODUCT, GADGET_SERIAL, GADGET_STRINGS };

struct gadget_blob {
    const uint8_t *data;
    size_t length;
};

struct gadget_ops {
    const char *kind;
    uint16_t vendor_id, product_id;
    const char *product;
    enum libusb_speed speed;
    bool kernel_driver; /* the client's operating system has a driver that takes it */
    uint8_t max_packet_size0;
    uint8_t device_class, device_subclass, device_protocol;
    uint16_t bcd_usb, bcd_device; /* bcd_device 0: 1.00 */
    bool one_speed;               /* there is no option to change it */
    struct gadget_blob configurations[GADGET_MAX_CONFIGURATIONS];

    /* Reads its options and makes gadget.state. On failure says why in gadget_options_fail(). */
    bool (*create)(struct gadget *gadget, struct gadget_options *options);
    /* Bus reset, new configuration, or plugged in: back to the state after power-on. */
    void (*reset)(struct gadget *gadget);
    /* The bus was reset: true if another device came of it, in which case the ids and tables are
     * changed already. May be NULL. */
    bool (*replaced)(struct gadget *gadget);
    /* What it answers when asked for its descriptor of type device or configuration; without bytes:
     * what it is. May be NULL. */
    struct gadget_blob (*told)(struct gadget *gadget, unsigned type);
    /* gadget.wake_at has come, before the endpoints are asked again. May be NULL. */
    void (*woken)(struct gadget *gadget);
    /* Class, vendor and interface requests that the bus does not answer itself. Data is wLength
     * bytes (OUT) or room for as many (IN); *length is what was moved. NULL: all are stalled. */
    enum gadget_reply (*control)(struct gadget *gadget, const struct libusb_control_setup *setup,
                                 uint8_t *data, size_t *length);
    /* Packets towards the client: up to `room` bytes. Less than that, or a length that is no
     * multiple of the packet size, ends the transfer with a short packet. */
    enum gadget_reply (*in)(struct gadget *gadget, uint8_t endpoint, uint8_t *data, size_t room,
                            size_t *length);
    /* Packets from the client: takes whole packets, at least one unless it answers NAK or STALL. */
    enum gadget_reply (*out)(struct gadget *gadget, uint8_t endpoint, const uint8_t *data,
                             size_t length, size_t *taken);
    /* The packet of one service interval, counted since the setting was chosen: at most `room`
     * bytes of it are written; its whole length is returned. */
    size_t (*iso_in)(struct gadget *gadget, uint8_t endpoint, uint64_t interval, uint8_t *data,
                     size_t room);
    void (*iso_out)(struct gadget *gadget, uint8_t endpoint, uint64_t interval, const uint8_t *data,
                    size_t length);
    /* An interface got another (or the same) alternate setting. May be NULL. */
    void (*alternate_set)(struct gadget *gadget, uint8_t interface);
    /* A line of the control socket that the bus does not know. NULL answer: done; otherwise the
     * error. */
    const char *(*command)(struct gadget *gadget, const char *verb, const char *argument);
    /* Appends " key=value" pairs to the answer of `stats`. May be NULL. */
    void (*stats)(struct gadget *gadget, char *text, size_t size);
};

struct gadget_endpoint {
    bool present; /* in the active alternate settings; endpoint 0 always */
    uint8_t address, type, interface;
    uint16_t packet_size;
    bool halted;

    /* Isochronous (gadget-iso.c) */
    uint16_t interval_bytes;  /* at most in one service interval: packet_size, up to three times */
    uint64_t interval;        /* microseconds */
    uint64_t opened_at;       /* when interval 0 began; 0: the setting is not active */
    uint64_t next_interval;   /* where the next transfer starts, unless it comes too late */
    bool streaming;           /* something was queued since, so intervals can be missed */
    uint64_t packets, missed; /* intervals with a transfer, and without one between two of them */

    /* Faults, set by the control socket or a vendor request. */
    bool held;
    uint64_t delay; /* microseconds before each transfer is served */
    unsigned fail_count;
    enum libusb_transfer_status fail_status;
    unsigned short_count;
    size_t short_length;
    unsigned refuse_count, silent_count;
    unsigned packet_fail_count;
    enum libusb_transfer_status packet_fail_status;

    struct transfer_list pending; /* in the order of submission */
    uint64_t transfers, bytes, stalls, cancelled, timed_out;
};

struct gadget {
    const struct gadget_ops *ops;
    unsigned
        port; /* on the root hub; the number that the control socket uses; 0 is the hub itself */
    bool plugged;
    uint8_t address;
    /* As the kind's table has them, unless its create() chose others. */
    enum libusb_speed speed;
    uint8_t max_packet_size0;
    uint16_t bcd_usb;
    struct gadget_blob configurations[GADGET_MAX_CONFIGURATIONS];
    struct gadget_blob bos;
    unsigned stalled_descriptors; /* bit n: requests for descriptors of type n are stalled */
    bool remote_wakeup;

    uint8_t device_descriptor[LIBUSB_DT_DEVICE_SIZE];
    char *strings[GADGET_STRINGS];

    uint8_t configuration; /* bConfigurationValue, 0 = not configured */
    uint8_t alternate[GADGET_MAX_INTERFACES];
    bool kernel_driver[GADGET_MAX_INTERFACES];
    struct libusb_device_handle *claimed_by[GADGET_MAX_INTERFACES];
    struct gadget_endpoint endpoints[GADGET_ENDPOINTS];

    uint64_t asked_at; /* when the control request being served came to the head of the queue */
    uint64_t wake_at;  /* when the kind wants its endpoints to be asked again */
    void *state;
};

/* Packet size of bulk endpoints. */
uint16_t gadget_bulk_packet(enum libusb_speed speed);

extern const struct gadget_ops hub_gadget, storage_gadget, keyboard_gadget, vendor_gadget,
    isochronous_gadget, serial_gadget, bootloader_gadget, audio_gadget, camera_gadget,
    composite_gadget, liar_gadget;

/* Options of one gadget ("key=value,…"). A key that nobody asks for is an error. */
const char *gadget_options_string(struct gadget_options *options, const char *key,
                                  const char *fallback);
bool gadget_options_number(struct gadget_options *options, const char *key, unsigned long max,
                           unsigned long *value);
/* "vvvv:pppp", hexadecimal. */
bool gadget_options_id(struct gadget_options *options, const char *key, uint16_t *vendor_id,
                       uint16_t *product_id);
void gadget_options_fail(struct gadget_options *options, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Reads RDPUSB_GADGETS and adds its gadgets to the bus; false after a message to standard error. */
bool gadget_options_load(const char *text);

/* Starts the thread that serves the lines of RDPUSB_GADGETS_CONTROL. */
bool gadget_control_start(const char *path);

uint64_t gadget_now(void); /* microseconds, monotonic */
