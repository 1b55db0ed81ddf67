/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The server end of MS-RDPEUSB: one control channel per connection and one device channel per
 * device, all of them dynamic virtual channels named "URBDRC".
 *
 * Nothing here does I/O, reads a clock, starts a thread or logs. The caller moves whole DVC
 * messages in (`feed`) and out (`next_message`), and passes the time (`now`, microseconds of any
 * monotonic clock, g_get_monotonic_time() for one). An object belongs to one thread at a time.
 * After every call, drain the messages and the events, and ask for the next deadline.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include <rdpusb/limits.h>

G_BEGIN_DECLS

#define RDPUSB_EXPORT __attribute__((visibility("default")))

#define RDPUSB_URBDRC_NAME "URBDRC"
#define RDPUSB_NO_DEADLINE INT64_MAX

#define RDPUSB_URBDRC_ERROR (rdpusb_urbdrc_error_quark())
RDPUSB_EXPORT GQuark rdpusb_urbdrc_error_quark(void);

typedef enum {
    RDPUSB_URBDRC_ERROR_MALFORMED, /* bytes that are no message, or one not legal in this state */
    RDPUSB_URBDRC_ERROR_SILENT,    /* the client did not answer in time */
} RdpusbUrbdrcError;

/* ---- The control channel [MS-RDPEUSB] 3.3.5.1 ---- */

typedef struct RdpusbControlChannel RdpusbControlChannel;

RDPUSB_EXPORT RdpusbControlChannel *rdpusb_control_channel_new(void);
/* Accepts NULL. */
RDPUSB_EXPORT void rdpusb_control_channel_free(RdpusbControlChannel *channel);

/* The client has accepted the dynamic channel: starts the hand-shake. Call once. */
RDPUSB_EXPORT void rdpusb_control_channel_opened(RdpusbControlChannel *channel, int64_t now);

/* Takes one whole message of the client. On false, RDPUSB_URBDRC_ERROR is set, names the state and
 * the reason, and the session should end: nothing more is read from this channel. */
RDPUSB_EXPORT bool rdpusb_control_channel_feed(RdpusbControlChannel *channel, const uint8_t *data,
                                               size_t size, int64_t now, GError **error);

/* The next message to write, or NULL. The caller owns it. */
RDPUSB_EXPORT GBytes *rdpusb_control_channel_next_message(RdpusbControlChannel *channel);

/* How many devices ADD_VIRTUAL_CHANNEL told of since the last call: open that many device channels.
 */
RDPUSB_EXPORT unsigned rdpusb_control_channel_take_additions(RdpusbControlChannel *channel);

/* What became of such a channel: ADD_DEVICE came there with this UsbDevice, or it ended without
 * any. Clients repeat ADD_VIRTUAL_CHANNEL; this tells repetitions from further devices. Take the
 * additions afterwards. */
RDPUSB_EXPORT void rdpusb_control_channel_found(RdpusbControlChannel *channel, uint32_t usb_device);
RDPUSB_EXPORT void rdpusb_control_channel_found_none(RdpusbControlChannel *channel);

/* When to call tick at the latest; RDPUSB_NO_DEADLINE for never. */
RDPUSB_EXPORT int64_t rdpusb_control_channel_deadline(const RdpusbControlChannel *channel);
/* False: the client stayed silent in the hand-shake; error as for feed. */
RDPUSB_EXPORT bool rdpusb_control_channel_tick(RdpusbControlChannel *channel, int64_t now,
                                               GError **error);

/* ---- A device channel ---- */

typedef struct RdpusbDeviceChannel RdpusbDeviceChannel;

/* What a request came to. The client's USBD_STATUS, HRESULT and libusb numbers are mapped here. */
typedef enum {
    RDPUSB_STATUS_SUCCESS,
    RDPUSB_STATUS_CANCELLED, /* also without having been asked to: see freerdp clients and pipes */
    RDPUSB_STATUS_TIMEOUT,   /* the client's own time-out: nothing is wrong with the device */
    RDPUSB_STATUS_STALL,
    RDPUSB_STATUS_BABBLE,
    RDPUSB_STATUS_ERROR,  /* everything else that the device or the client's stack reported */
    RDPUSB_STATUS_SILENT, /* a barrier passed it: the client will never answer */
    RDPUSB_STATUS_LOST,   /* the watchdog gave up; it may or may not have been executed */
    RDPUSB_STATUS_GONE,   /* the device or its channel is gone */
} RdpusbStatus;
RDPUSB_EXPORT const char *rdpusb_status_to_string(RdpusbStatus status);

/* ADD_DEVICE, [MS-RDPEUSB] 2.2.4.2. Everything in it is the client's word: not escaped, not unique,
 * not trusted; the descriptors decide. Strings are UTF-8, never NULL. */
typedef struct {
    uint32_t usb_device; /* interface id; 0 is mstsc */
    char *device_instance_id;
    char **hardware_ids;      /* NULL-terminated */
    char **compatibility_ids; /* NULL-terminated */
    char *container_id;
    char *location; /* NULL unless asked for, and answered; "" when the client knows none */
    uint32_t supported_usb_version;
    uint32_t device_is_high_speed;
    uint32_t no_ack_isoch_write_jitter_buffer_size_in_ms;
} RdpusbAnnouncement;

/* One endpoint of a select result: TS_USBD_PIPE_INFORMATION_RESULT 2.2.10.1.2 */
typedef struct {
    uint8_t interface_number;
    uint8_t endpoint_address;
    uint32_t pipe_handle;
    uint16_t maximum_packet_size;
} RdpusbPipe;

#define RDPUSB_MAX_PIPES 60

/* One packet of a completed isochronous transfer: TS_USBD_ISO_PACKET_DESCRIPTOR */
typedef struct {
    RdpusbStatus status;
    uint32_t offset; /* IN: of its bytes in the data of the event */
    uint32_t length; /* bytes received or sent; 0 unless the status is SUCCESS */
} RdpusbIsochPacket;

/* Of one transfer: more, and libusb cuts it into several requests to the kernel. */
#define RDPUSB_MAX_ISOCH_PACKETS 128

typedef enum {
    RDPUSB_DEVICE_EVENT_ANNOUNCED,  /* ADD_DEVICE came; requests may be submitted */
    RDPUSB_DEVICE_EVENT_COMPLETION, /* exactly one for each accepted request, on every path */
} RdpusbDeviceEventType;

typedef struct {
    RdpusbDeviceEventType type;
    /* Of a completion: */
    void *owner; /* as given at submission */
    uint32_t request_id;
    RdpusbStatus status;
    const uint8_t *data; /* IN: what the device sent, never more than asked; a view
                                      of the message given to feed: drain the events before that
                                      is freed, and before the next feed, tick or close */
    size_t size;         /* IN: bytes at data. OUT: bytes that the device took */
    /* Of a successful select_configuration or select_interface: the pipes, valid as data is */
    uint32_t configuration_handle;
    const RdpusbPipe *pipes;
    size_t n_pipes;
    /* Of a successful isochronous transfer: as many packets as were asked for, valid as data is */
    const RdpusbIsochPacket *packets;
    size_t n_packets;
} RdpusbDeviceEvent;

/* USB 2.0 table 9-2 */
typedef struct {
    uint8_t request_type;
    uint8_t request;
    uint16_t value;
    uint16_t index;
    uint16_t length;
} RdpusbSetup;

/* `request_completion` is the interface id for completions, unique in the connection, >= 0x10. */
RDPUSB_EXPORT RdpusbDeviceChannel *rdpusb_device_channel_new(uint32_t request_completion,
                                                             const RdpusbLimits *limits);
RDPUSB_EXPORT void rdpusb_device_channel_free(RdpusbDeviceChannel *channel);

RDPUSB_EXPORT void rdpusb_device_channel_opened(RdpusbDeviceChannel *channel, int64_t now);

/* Takes one whole message. On false the message is malformed or not legal in this state, and this
 * channel (no other) should be closed. A completion that only deviates as real clients do is no
 * error. */
RDPUSB_EXPORT bool rdpusb_device_channel_feed(RdpusbDeviceChannel *channel, const uint8_t *data,
                                              size_t size, int64_t now, GError **error);

/* The next message to write, or NULL; the caller owns it. The watchdog of a request starts here. */
RDPUSB_EXPORT GBytes *rdpusb_device_channel_next_message(RdpusbDeviceChannel *channel, int64_t now);
/* Bytes of messages not yet fetched: the caller that cannot write more stops fetching. */
RDPUSB_EXPORT size_t rdpusb_device_channel_queued_bytes(const RdpusbDeviceChannel *channel);

/* Fetches the next event into `event`; false when there is none. */
RDPUSB_EXPORT bool rdpusb_device_channel_next_event(RdpusbDeviceChannel *channel,
                                                    RdpusbDeviceEvent *event);

RDPUSB_EXPORT int64_t rdpusb_device_channel_deadline(const RdpusbDeviceChannel *channel);
/* False: the client stayed silent in the hand-shake; close this channel. */
RDPUSB_EXPORT bool rdpusb_device_channel_tick(RdpusbDeviceChannel *channel, int64_t now,
                                              GError **error);

/* The channel is closed, by whichever side: every request completes with GONE. */
RDPUSB_EXPORT void rdpusb_device_channel_closed(RdpusbDeviceChannel *channel);

/* NULL before ANNOUNCED. Valid as long as the channel. */
RDPUSB_EXPORT const RdpusbAnnouncement *
rdpusb_device_channel_announcement(const RdpusbDeviceChannel *channel);

/* Asks the client where the device is plugged in, for the announcement's `location`. Two devices
 * that are alike in everything else differ in it. Not before ANNOUNCED; asking once is enough. */
RDPUSB_EXPORT void rdpusb_device_channel_query_location(RdpusbDeviceChannel *channel);

/* Since the beginning, except where it says "now". */
typedef struct {
    uint64_t asked;               /* requests */
    uint64_t ended;               /* those whose completion came */
    uint64_t given_up;            /* those among them that the client never answered */
    uint64_t bytes_in, bytes_out; /* that the device sent and took */
    uint64_t held_requests_now;   /* that wait for an end, the guest's included */
    uint64_t held_bytes_now;      /* that count against some limit for that reason */
    uint64_t dropped_packets;     /* of streams: too many for who should have taken them */
    uint64_t lost_packets;        /* isochronous, of requests that failed or never came back */
} RdpusbCounters;
RDPUSB_EXPORT void rdpusb_device_channel_get_counters(const RdpusbDeviceChannel *channel,
                                                      RdpusbCounters *counters);

/* A short word for messages: "hand-shake", "waiting for the device", "active", "closed". */
RDPUSB_EXPORT const char *rdpusb_device_channel_state(const RdpusbDeviceChannel *channel);

/* True when a request with `bytes` of payload may be submitted now; otherwise it has to wait for a
 * completion, or for the queue of messages to be fetched. */
RDPUSB_EXPORT bool rdpusb_device_channel_can_submit(const RdpusbDeviceChannel *channel,
                                                    size_t bytes);

/*
 * Requests. Each returns its id, and its completion event carries `owner`; 0, and no event, when
 * the channel is not active (after ANNOUNCED, before closed) or the request table is full. Data is
 * copied.
 */

/* Any control request on endpoint 0, except those that the other calls are for
 * (SET_CONFIGURATION, SET_INTERFACE, CLEAR_FEATURE(ENDPOINT_HALT)): sent as the TS_URB that the
 * client understands best. `data` has setup->length bytes when OUT, else is NULL. */
RDPUSB_EXPORT uint32_t rdpusb_device_channel_control(RdpusbDeviceChannel *channel,
                                                     const RdpusbSetup *setup, const uint8_t *data,
                                                     void *owner);

/* Bulk and interrupt. `size` bytes are wanted, or sent from `data`; 0 is a zero-length packet. */
RDPUSB_EXPORT uint32_t rdpusb_device_channel_transfer_in(RdpusbDeviceChannel *channel,
                                                         uint32_t pipe_handle, uint32_t size,
                                                         void *owner);
RDPUSB_EXPORT uint32_t rdpusb_device_channel_transfer_out(RdpusbDeviceChannel *channel,
                                                          uint32_t pipe_handle, const uint8_t *data,
                                                          uint32_t size, void *owner);

/* Isochronous, as soon as possible: `n_packets` (1 to RDPUSB_MAX_ISOCH_PACKETS) of `packet_size`
 * bytes each, at most (IN) or exactly (OUT). They are all alike because clients of the FreeRDP
 * family divide the buffer by the number of packets, whatever the list of packets says. OUT is
 * acknowledged, which is the only sign of the device's pace. */
RDPUSB_EXPORT uint32_t rdpusb_device_channel_isoch_in(RdpusbDeviceChannel *channel,
                                                      uint32_t pipe_handle, uint32_t packet_size,
                                                      unsigned n_packets, void *owner);
RDPUSB_EXPORT uint32_t rdpusb_device_channel_isoch_out(RdpusbDeviceChannel *channel,
                                                       uint32_t pipe_handle, const uint8_t *data,
                                                       uint32_t packet_size, unsigned n_packets,
                                                       void *owner);

/* `descriptor` is a whole configuration descriptor, already checked; alternate settings become 0.
 * NULL, 0 unconfigures. */
RDPUSB_EXPORT uint32_t rdpusb_device_channel_select_configuration(RdpusbDeviceChannel *channel,
                                                                  const uint8_t *descriptor,
                                                                  size_t size, void *owner);
/* To be called, with the configuration in force, before one is selected that has more interfaces:
 * clients of the FreeRDP family crash otherwise. What it comes to is of no use. 0 also where the
 * client needs none of this. See docs/protocol-notes.md. */
RDPUSB_EXPORT uint32_t rdpusb_device_channel_make_room(RdpusbDeviceChannel *channel,
                                                       const uint8_t *descriptor, size_t size,
                                                       unsigned n_interfaces, void *owner);
RDPUSB_EXPORT uint32_t rdpusb_device_channel_select_interface(
    RdpusbDeviceChannel *channel, uint32_t configuration_handle, const uint8_t *descriptor,
    size_t size, uint8_t interface_number, uint8_t alternate_setting, void *owner);

/* Clears a halt and the data toggle, on both sides. Clients of the FreeRDP family cancel every
 * other transfer of the device on the way. SILENT counts as done: see docs/protocol-notes.md. */
RDPUSB_EXPORT uint32_t rdpusb_device_channel_reset_pipe(RdpusbDeviceChannel *channel,
                                                        uint32_t pipe_handle, void *owner);

/* Asks the client to cancel. The completion comes as for any request, with whatever status. */
RDPUSB_EXPORT void rdpusb_device_channel_cancel(RdpusbDeviceChannel *channel, uint32_t request_id,
                                                int64_t now);

/* RETRACT_DEVICE, a courtesy before the caller closes the channel. */
RDPUSB_EXPORT void rdpusb_device_channel_retract(RdpusbDeviceChannel *channel);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(RdpusbControlChannel, rdpusb_control_channel_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(RdpusbDeviceChannel, rdpusb_device_channel_free)

G_END_DECLS
