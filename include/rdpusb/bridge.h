/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One bridged device: a device channel of MS-RDPEUSB on one side, a usbredir stream on the other.
 *
 * Like urbdrc.h, no I/O, no clock, no threads, no logging: DVC messages and usbredir bytes in and
 * out, time as an argument (`now`, monotonic microseconds). After every call: drain both outputs,
 * look at the state, and ask for the deadline.
 *
 *   life:  HANDSHAKE -> READING -> READY <-> ATTACHED -> LEAVING -> GONE
 *
 * The device wants a port of a VM from READY on: connect one, and tell guest_connected. When that
 * stream ends, tell guest_disconnected, and give it another when there is one.
 */
#pragma once

#include <rdpusb/urbdrc.h>

G_BEGIN_DECLS

typedef struct RdpusbBridge RdpusbBridge;

#define RDPUSB_BRIDGE_ERROR (rdpusb_bridge_error_quark())
RDPUSB_EXPORT GQuark rdpusb_bridge_error_quark(void);

typedef enum {
    RDPUSB_BRIDGE_ERROR_MALFORMED, /* the guest sent bytes that are no usbredir */
    RDPUSB_BRIDGE_ERROR_LIMIT,     /* the guest asked for more than the limits allow */
    RDPUSB_BRIDGE_ERROR_REFUSED,   /* the device cannot be bridged; the text says why */
} RdpusbBridgeError;

typedef enum {
    RDPUSB_BRIDGE_HANDSHAKE, /* the channel is being set up */
    RDPUSB_BRIDGE_READING,   /* reading descriptors, selecting the configuration */
    RDPUSB_BRIDGE_READY,     /* usable; no guest has it */
    RDPUSB_BRIDGE_ATTACHED,  /* announced to the guest on the connected port */
    RDPUSB_BRIDGE_LEAVING,   /* detach() was called: guest and client are being told */
    RDPUSB_BRIDGE_GONE,      /* over; only free() is left. See rdpusb_bridge_reason() */
} RdpusbBridgeState;
RDPUSB_EXPORT const char *rdpusb_bridge_state_to_string(RdpusbBridgeState state);

typedef enum {
    RDPUSB_SPEED_FULL,
    RDPUSB_SPEED_HIGH,
    RDPUSB_SPEED_SUPER,
} RdpusbSpeed;
RDPUSB_EXPORT const char *rdpusb_speed_to_string(RdpusbSpeed speed);

typedef struct {
    uint8_t class_, subclass, protocol;
} RdpusbInterfaceClass;

/* More different ones than any device has. One with more is refused, not cut: a class that is left
 * out would be one that no rule sees. */
#define RDPUSB_MAX_INTERFACE_CLASSES 256

/* What the device's own descriptors say. The strings are valid UTF-8 with control characters
 * removed, "" when the device has none. */
typedef struct {
    uint16_t vendor;
    uint16_t product;
    uint16_t version_bcd;
    uint8_t device_class, device_subclass, device_protocol;
    RdpusbSpeed speed;
    char *manufacturer_name;
    char *product_name;
    char *serial_number;
    /* Of all its interfaces: in every configuration and alternate setting, those that the guest is
     * not shown included, each once, in the order in which they appear */
    RdpusbInterfaceClass *interface_classes;
    unsigned n_interface_classes;
} RdpusbDeviceInfo;

/* `request_completion` as for rdpusb_device_channel_new(). */
RDPUSB_EXPORT RdpusbBridge *rdpusb_bridge_new(uint32_t request_completion,
                                              const RdpusbLimits *limits);
/* Accepts NULL. Tells nobody anything: see detach. */
RDPUSB_EXPORT void rdpusb_bridge_free(RdpusbBridge *bridge);

/* The client accepted the dynamic channel. Call once. */
RDPUSB_EXPORT void rdpusb_bridge_client_opened(RdpusbBridge *bridge, int64_t now);
/* One whole message of the client. What is wrong with it ends the device: state GONE. */
RDPUSB_EXPORT void rdpusb_bridge_feed_client(RdpusbBridge *bridge, const uint8_t *data, size_t size,
                                             int64_t now);
/* The next message for the client, or NULL; the caller owns it. A caller whose client cannot take
 * more stops fetching, and no new transfers are started meanwhile. */
RDPUSB_EXPORT GBytes *rdpusb_bridge_next_client_message(RdpusbBridge *bridge, int64_t now);
/* The client closed the channel (unplugged), or the connection ended. The guest is told. */
RDPUSB_EXPORT void rdpusb_bridge_client_closed(RdpusbBridge *bridge, int64_t now);

/* A stream to a usb-redir device of QEMU is open: hello goes out. Not while one is connected. */
RDPUSB_EXPORT void rdpusb_bridge_guest_connected(RdpusbBridge *bridge, int64_t now);
/* Bytes from the guest, in any portions. On false RDPUSB_BRIDGE_ERROR is set and the caller closes
 * that stream and calls guest_disconnected. The device stays. */
RDPUSB_EXPORT bool rdpusb_bridge_feed_guest(RdpusbBridge *bridge, const uint8_t *data, size_t size,
                                            int64_t now, GError **error);
/* The next bytes for the guest, or NULL; the caller owns them. */
RDPUSB_EXPORT GBytes *rdpusb_bridge_next_guest_output(RdpusbBridge *bridge);
/* How many bytes the caller holds unsent for the guest: beyond a bound, stream packets are
 * dropped, answers never. */
RDPUSB_EXPORT void rdpusb_bridge_set_guest_backlog(RdpusbBridge *bridge, size_t bytes);
/* The stream is closed, by whichever side. Everything at the client is cancelled. */
RDPUSB_EXPORT void rdpusb_bridge_guest_disconnected(RdpusbBridge *bridge, int64_t now);
/* True after the guest's hello. Until then, a connected stream is a busy port or a paused VM. */
RDPUSB_EXPORT bool rdpusb_bridge_guest_said_hello(const RdpusbBridge *bridge);
/* True when the guest refused the device (usbredir filter_reject): do not offer it again there. */
RDPUSB_EXPORT bool rdpusb_bridge_guest_rejected(const RdpusbBridge *bridge);

/* Ends the redirection in order: the guest gets device_disconnect, requests at the client are
 * cancelled; state LEAVING, then GONE within two seconds by `now`. Then the caller closes both. */
RDPUSB_EXPORT void rdpusb_bridge_detach(RdpusbBridge *bridge, const char *reason, int64_t now);

RDPUSB_EXPORT int64_t rdpusb_bridge_deadline(const RdpusbBridge *bridge);
RDPUSB_EXPORT void rdpusb_bridge_tick(RdpusbBridge *bridge, int64_t now);

RDPUSB_EXPORT RdpusbBridgeState rdpusb_bridge_state(const RdpusbBridge *bridge);
/* Why the bridge is LEAVING or GONE, in words for people; "" otherwise. */
RDPUSB_EXPORT const char *rdpusb_bridge_reason(const RdpusbBridge *bridge);
/* True when the client answered a request with that the device is gone. The bridge asks nothing
 * more then, and the client closes the channel: it should be given a moment for that. */
RDPUSB_EXPORT bool rdpusb_bridge_client_said_gone(const RdpusbBridge *bridge);
/* True when the bridge ended because of what the client sent: worth a warning, not a message. */
RDPUSB_EXPORT bool rdpusb_bridge_failed(const RdpusbBridge *bridge);
RDPUSB_EXPORT void rdpusb_bridge_get_counters(const RdpusbBridge *bridge, RdpusbCounters *counters);
/* NULL before READY. Valid until free. */
RDPUSB_EXPORT const RdpusbDeviceInfo *rdpusb_bridge_device_info(const RdpusbBridge *bridge);
/* NULL before ADD_DEVICE. */
RDPUSB_EXPORT const RdpusbAnnouncement *rdpusb_bridge_announcement(const RdpusbBridge *bridge);
/* As rdpusb_device_channel_query_location(). */
RDPUSB_EXPORT void rdpusb_bridge_query_location(RdpusbBridge *bridge);

/*
 * Capture: what passes between guest and device, as the bytes of a pcapng file that Wireshark
 * reads. It holds everything that is typed on and read from the device.
 */
typedef struct {
    const char *vm;     /* where the device goes, for the reader; valid UTF-8 */
    uint8_t address;    /* of the device on the capture's bus, 1 to 127 */
    int64_t wall_clock; /* microseconds since 1970 at `now` */
    uint64_t max_bytes; /* of the whole file, at least RDPUSB_CAPTURE_MIN_BYTES */
} RdpusbCapture;
#define RDPUSB_CAPTURE_MIN_BYTES ((uint64_t) 64 * 1024)

/* To be called once, from READY on, and before a guest is connected if its first requests (the
 * descriptors, without which Wireshark knows no class) are to be in the file. */
RDPUSB_EXPORT void rdpusb_bridge_start_capture(RdpusbBridge *bridge, const RdpusbCapture *capture,
                                               int64_t now);
/* The next bytes of the file, or NULL; the caller owns them. To be called whenever the outputs are
 * drained, and once more after the end. */
RDPUSB_EXPORT GBytes *rdpusb_bridge_next_capture(RdpusbBridge *bridge);
/* Ends the file; `reason` is the comment of its last frame. */
RDPUSB_EXPORT void rdpusb_bridge_stop_capture(RdpusbBridge *bridge, const char *reason,
                                              int64_t now);
/* False before the start, after the end, and once the limit was reached. */
RDPUSB_EXPORT bool rdpusb_bridge_is_capturing(const RdpusbBridge *bridge);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(RdpusbBridge, rdpusb_bridge_free)

G_END_DECLS
