/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One bridged device: the bridge of librdpusb between its channel at the client, its stream to the
 * guest, and what the broker has to know about it.
 *
 * Nothing happens to the client or the broker except in usb_device_turn(): whatever else comes in
 * asks for a turn by the `wake` callback.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <rdpusb/bridge.h>

#include "broker-link.h"
#include "channels.h"

typedef struct UsbDevice UsbDevice;

/* `number` names the device on the link and makes its interface id unique. Takes `channel`, which
 * is just being opened. `link` outlives the device. `wake`: please call usb_device_turn(). */
UsbDevice *usb_device_new(uint32_t number, Channel *channel, Link *link, const RdpusbLimits *limits,
                          int64_t now, GSourceOnceFunc wake, gpointer data);
/* Accepts NULL. Closes the channel and the stream. */
void usb_device_free(UsbDevice *device);

uint32_t usb_device_number(const UsbDevice *device);

/* Moves everything that can be moved, except messages to the client. */
void usb_device_turn(UsbDevice *device, int64_t now);
/* When usb_device_turn() is due at the latest. */
int64_t usb_device_deadline(const UsbDevice *device);
/* Writes one message to the client; false when there is none. */
bool usb_device_write(UsbDevice *device, int64_t now);

/* From the broker; see LinkCallbacks. */
bool usb_device_connect(UsbDevice *device, const char *port, int fd, int64_t now, GError **error);
bool usb_device_capture(UsbDevice *device, const char *port, int fd, uint64_t max_bytes,
                        int64_t now, GError **error);
void usb_device_set_waiting(UsbDevice *device, const char *reason);
void usb_device_attach_answered(UsbDevice *device, const GError *error, int64_t now);

/* The broker does not allow it any more. */
void usb_device_take_away(UsbDevice *device, const char *reason, int64_t now);

/* Ends the redirection in order. */
void usb_device_detach(UsbDevice *device, const char *reason, int64_t now);
/* The whole connection to the client is gone. */
void usb_device_client_gone(UsbDevice *device, int64_t now);

/* True when guest and broker know that the device has gone: only usb_device_free() is left. */
bool usb_device_is_over(const UsbDevice *device);
/* True when the client has to give the device back as soon as its channel is closed. */
bool usb_device_is_held_by_client(const UsbDevice *device);
/* Before this a client that said that the device is gone should close the channel by itself. */
int64_t usb_device_close_time(const UsbDevice *device);

/* What the client said of it, NULL before; and where it is, asked for only by this. */
const RdpusbAnnouncement *usb_device_announcement(const UsbDevice *device);
void usb_device_query_location(UsbDevice *device);

/* For twins.h. Until it is settled, it may yet prove to be a twin. */
bool usb_device_is_settled(const UsbDevice *device);
void usb_device_settle(UsbDevice *device);
/* It is `other` once more: ends it, but not its channel. That is to stay as long as `other`:
 * FreeRDP would reset the device, and give back the wrong one. */
void usb_device_leave_alone(UsbDevice *device, const UsbDevice *other, int64_t now);
/* The number of the device that it is a twin of, or 0. */
uint32_t usb_device_twin_of(const UsbDevice *device);

/* False for a channel on which the client has not announced its device yet, and may never do. */
bool usb_device_is_known(const UsbDevice *device);
/* What it is and how it is, for the screen. Caller frees. */
char *usb_device_describe(const UsbDevice *device);
/* True when it ended in a way that its user should see: usb_device_describe() says which. */
bool usb_device_has_epitaph(const UsbDevice *device);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(UsbDevice, usb_device_free)
