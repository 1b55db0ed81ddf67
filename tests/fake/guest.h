/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A guest in memory: QEMU's end of usbredir, as QEMU 10's usb-redir behind a qemu-xhci behaves.
 *
 * Bytes in by feed(), bytes out by take_output(); no I/O, clock or thread. What the peer says is
 * kept as a queue of events. What would make QEMU abort, hang, reject the device or lose data is
 * recorded as a violation, in words: a test asserts that there are none, after finish(). */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <usbredirproto.h>

/* What QEMU 10 announces; with usb-redir,streams=off it is 0xfe. */
#define FAKE_GUEST_QEMU_CAPS 0xffu

typedef enum {
    FAKE_GUEST_HELLO,
    FAKE_GUEST_INTERFACE_INFO,
    FAKE_GUEST_EP_INFO,
    FAKE_GUEST_DEVICE_CONNECT,
    FAKE_GUEST_DEVICE_DISCONNECT,
    FAKE_GUEST_REJECTED, /* by us: filter, or a violation on which QEMU rejects the device */
    /* answers */
    FAKE_GUEST_CONTROL,
    FAKE_GUEST_BULK,
    FAKE_GUEST_INTERRUPT_OUT,
    FAKE_GUEST_CONFIGURATION_STATUS,
    FAKE_GUEST_ALT_SETTING_STATUS,
    /* streams */
    FAKE_GUEST_INTERRUPT_IN,
    FAKE_GUEST_INTERRUPT_RECEIVING_STATUS,
    FAKE_GUEST_ISO_IN,
    FAKE_GUEST_ISO_STREAM_STATUS,
    FAKE_GUEST_BUFFERED_BULK,
    FAKE_GUEST_BULK_RECEIVING_STATUS,
    FAKE_GUEST_BULK_STREAMS_STATUS,
} FakeGuestEventType;

typedef struct {
    FakeGuestEventType type;
    uint64_t id;
    uint8_t status; /* usb_redir_success, … */
    uint8_t endpoint;
    bool cancelled;  /* answers a request that was cancelled: QEMU drops it */
    uint32_t length; /* of the packet's own header */
    GBytes *data;    /* NULL without payload */
    uint8_t configuration, interface, alt;
    uint32_t capabilities;                         /* hello: the peer's */
    char version[65];                              /* hello */
    struct usb_redir_device_connect_header device; /* device_connect */
} FakeGuestEvent;

void fake_guest_event_free(FakeGuestEvent *event);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(FakeGuestEvent, fake_guest_event_free)
const char *fake_guest_event_type_to_string(FakeGuestEventType type);

typedef struct FakeGuest FakeGuest;

/* @caps: bits of usb_redir_cap_*. The hello waits in the output; until it is taken out the guest is
 * as deaf as a paused VM, and the peer may send its own hello only. */
FakeGuest *fake_guest_new(uint32_t caps);
void fake_guest_free(FakeGuest *guest);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(FakeGuest, fake_guest_free)

/* Any split of the stream will do. False once a packet came on which QEMU would have aborted;
 * nothing is read from then on. */
bool fake_guest_feed(FakeGuest *guest, const void *bytes, size_t length);

/* What is to be sent to the peer, NULL if nothing; the caller owns it. */
GBytes *fake_guest_take_output(FakeGuest *guest);

/* The next event, NULL if there is none; the caller owns it. */
FakeGuestEvent *fake_guest_next_event(FakeGuest *guest);

/* Everything was given time to be answered: what was not is a violation. */
void fake_guest_finish(FakeGuest *guest);

/* One line each, owned by the guest; an empty array if all is well. */
const GPtrArray *fake_guest_violations(const FakeGuest *guest);

bool fake_guest_attached(const FakeGuest *guest);

/* As the last successful set_configuration for this device said; -1 if there was none. */
int fake_guest_configuration(const FakeGuest *guest);

/* Requests without an answer, cancelled ones included, and starts and stops without a status. */
guint fake_guest_unanswered(const FakeGuest *guest);

/* The current tables; what they hold before the peer has sent them is all zero. */
const struct usb_redir_interface_info_header *fake_guest_interface_info(const FakeGuest *guest);
const struct usb_redir_ep_info_header *fake_guest_ep_info(const FakeGuest *guest);

/* usb_redir_speed_*, of the device that is or was attached last. */
uint8_t fake_guest_speed(const FakeGuest *guest);

/* Slot of an endpoint address in ep_info. */
static inline unsigned fake_guest_slot(uint8_t endpoint)
{
    return ((endpoint & 0x80) >> 3) | (endpoint & 0x0f);
}

/* As usb-redir,filter=: sent after the hello and applied to each device. "class,vendor,product,
 * version,allow" joined with "|". To be called before the peer's hello is fed. */
void fake_guest_set_filter(FakeGuest *guest, const char *rules);

/* Requests. Each returns its id, which stays the request's until it is answered or cancelled; then
 * the next request gets it, as guests reuse their descriptors. 0 without an attached device:
 * nothing is sent then. OUT data is borrowed. */
uint64_t fake_guest_control_in(FakeGuest *guest, uint8_t requesttype, uint8_t request,
                               uint16_t value, uint16_t index, uint16_t length);
uint64_t fake_guest_control_out(FakeGuest *guest, uint8_t requesttype, uint8_t request,
                                uint16_t value, uint16_t index, const void *data, uint16_t length);
uint64_t fake_guest_bulk_in(FakeGuest *guest, uint8_t endpoint, uint32_t length);
uint64_t fake_guest_bulk_out(FakeGuest *guest, uint8_t endpoint, const void *data, uint32_t length);
uint64_t fake_guest_interrupt_out(FakeGuest *guest, uint8_t endpoint, const void *data,
                                  uint16_t length);
/* These two stop the streams concerned first, as QEMU does. */
uint64_t fake_guest_set_configuration(FakeGuest *guest, uint8_t configuration);
uint64_t fake_guest_set_alt_setting(FakeGuest *guest, uint8_t interface, uint8_t alt);
uint64_t fake_guest_get_configuration(FakeGuest *guest);
uint64_t fake_guest_get_alt_setting(FakeGuest *guest, uint8_t interface);

/* The next request gets this id instead of one chosen by the guest. */
void fake_guest_choose_id(FakeGuest *guest, uint64_t id);

/* False if no request of that id waits. */
bool fake_guest_cancel(FakeGuest *guest, uint64_t id);
void fake_guest_reset(FakeGuest *guest);

/* Streams; each start and stop gets one status. */
void fake_guest_start_interrupt_receiving(FakeGuest *guest, uint8_t endpoint);
void fake_guest_stop_interrupt_receiving(FakeGuest *guest, uint8_t endpoint);
void fake_guest_start_iso_stream(FakeGuest *guest, uint8_t endpoint, uint8_t pkts_per_urb,
                                 uint8_t no_urbs);
void fake_guest_stop_iso_stream(FakeGuest *guest, uint8_t endpoint);
void fake_guest_iso_out(FakeGuest *guest, uint8_t endpoint, const void *data, uint16_t length);
/* No effect unless both sides have the capability bulk_receiving. */
void fake_guest_start_bulk_receiving(FakeGuest *guest, uint8_t endpoint,
                                     uint32_t bytes_per_transfer, uint8_t no_transfers);
void fake_guest_stop_bulk_receiving(FakeGuest *guest, uint8_t endpoint);
