/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* include/rdpusb/bridge.h: joins a device channel, a device and a guest link. */
#include "guest-link.h"

#include <rdpusb/bridge.h>

#define LEAVE_TIME (2 * G_TIME_SPAN_SECOND)

struct RdpusbBridge {
    RdpusbLimits limits;
    RdpusbDeviceChannel *channel;
    Device *device;
    GuestLink *guest; /* NULL: not connected */
    Capture *capture; /* NULL: never started */
    bool started;     /* ADD_DEVICE came */
    bool client_closed;
    bool client_said_gone;
    bool guest_leaves; /* device_disconnect went out, its acknowledgement is awaited */
    bool leaving;
    bool gone;
    bool failed;
    int64_t leave_deadline;
    uint64_t dropped_packets; /* by earlier guest links */
    char *reason;
};

const char *rdpusb_bridge_state_to_string(RdpusbBridgeState state)
{
    switch (state) {
    case RDPUSB_BRIDGE_HANDSHAKE: return "hand-shake";
    case RDPUSB_BRIDGE_READING: return "reading";
    case RDPUSB_BRIDGE_READY: return "ready";
    case RDPUSB_BRIDGE_ATTACHED: return "attached";
    case RDPUSB_BRIDGE_LEAVING: return "leaving";
    case RDPUSB_BRIDGE_GONE: return "gone";
    }
    return "unknown";
}

const char *rdpusb_speed_to_string(RdpusbSpeed speed)
{
    switch (speed) {
    case RDPUSB_SPEED_FULL: return "full";
    case RDPUSB_SPEED_HIGH: return "high";
    case RDPUSB_SPEED_SUPER: return "super";
    }
    return "unknown";
}

RdpusbBridge *rdpusb_bridge_new(uint32_t request_completion, const RdpusbLimits *limits)
{
    RdpusbBridge *bridge = g_new0(RdpusbBridge, 1);
    bridge->limits = *limits;
    bridge->channel = rdpusb_device_channel_new(request_completion, limits);
    bridge->device = device_new(bridge->channel, limits);
    bridge->reason = g_strdup("");
    return bridge;
}

/* ---- Turns ---- */

/* Right after each call of the device: answers may point into the message under way. */
static void send_answers(RdpusbBridge *bridge)
{
    Answer answer;
    while (device_next_answer(bridge->device, &answer)) {
        if (bridge->guest) {
            guest_link_send(bridge->guest, &answer);
            if (answer.type == ANSWER_DEVICE_DISCONNECT)
                bridge->guest_leaves = guest_link_can_acknowledge(bridge->guest);
        }
        answer_clear(&answer);
    }
}

static void set_reason(RdpusbBridge *bridge, const char *reason)
{
    if (*bridge->reason)
        return;
    g_free(bridge->reason);
    bridge->reason = g_strdup(reason);
}

static void leave(RdpusbBridge *bridge, const char *reason, int64_t now)
{
    set_reason(bridge, reason);
    if (bridge->leaving)
        return;
    bridge->leaving = true;
    bridge->leave_deadline = now + LEAVE_TIME;
    device_leave(bridge->device, now);
    send_answers(bridge);
}

static void check_end(RdpusbBridge *bridge, int64_t now)
{
    if (bridge->device->state == DEVICE_GONE && !bridge->leaving) {
        const GError *refusal = bridge->device->refusal;
        bridge->failed = bridge->failed || refusal;
        leave(bridge, refusal ? refusal->message : "withdrawn by the client", now);
    }
    if (!bridge->leaving || bridge->gone)
        return;
    bool guest_done = !bridge->guest || !bridge->guest_leaves || bridge->guest->acknowledged;
    bool client_done = bridge->client_closed || device_is_idle(bridge->device);
    bridge->gone = (guest_done && client_done) || now >= bridge->leave_deadline;
}

static void close_client(RdpusbBridge *bridge, int64_t now);

/* A client that says of one request that the device is gone will close the channel in a moment:
 * nothing is asked any more. FreeRDP's would use what it is just freeing. */
static void take_turn(RdpusbBridge *bridge, int64_t now)
{
    RdpusbDeviceEvent event;
    send_answers(bridge);
    while (rdpusb_device_channel_next_event(bridge->channel, &event)) {
        if (event.type == RDPUSB_DEVICE_EVENT_ANNOUNCED) {
            bridge->started = true;
            device_start(bridge->device, now);
        } else {
            bridge->client_said_gone |=
                !bridge->client_closed && event.status == RDPUSB_STATUS_GONE;
            device_client_event(bridge->device, &event, now);
        }
        send_answers(bridge);
    }
    if (bridge->client_said_gone)
        close_client(bridge, now);
    check_end(bridge, now);
}

static void close_client(RdpusbBridge *bridge, int64_t now)
{
    if (bridge->client_closed)
        return;
    bridge->client_closed = true;
    device_client_closed(bridge->device, now);
    rdpusb_device_channel_closed(bridge->channel);
    take_turn(bridge, now);
}

static void fail(RdpusbBridge *bridge, const GError *error, int64_t now)
{
    bridge->failed = true;
    set_reason(bridge, error->message);
    close_client(bridge, now);
}

void rdpusb_bridge_free(RdpusbBridge *bridge)
{
    if (!bridge)
        return;
    close_client(bridge, 0);
    guest_link_free(bridge->guest);
    capture_free(bridge->capture);
    device_free(bridge->device);
    rdpusb_device_channel_free(bridge->channel);
    g_free(bridge->reason);
    g_free(bridge);
}

/* ---- The client ---- */

void rdpusb_bridge_client_opened(RdpusbBridge *bridge, int64_t now)
{
    rdpusb_device_channel_opened(bridge->channel, now);
}

void rdpusb_bridge_feed_client(RdpusbBridge *bridge, const uint8_t *data, size_t size, int64_t now)
{
    g_autoptr(GError) error = NULL;
    if (bridge->client_closed)
        return;
    if (!rdpusb_device_channel_feed(bridge->channel, data, size, now, &error))
        fail(bridge, error, now);
    else
        take_turn(bridge, now);
}

/* Fetching makes room in the channel's queue, which transfers may be waiting for. */
GBytes *rdpusb_bridge_next_client_message(RdpusbBridge *bridge, int64_t now)
{
    if (bridge->client_closed)
        return NULL;
    GBytes *message = rdpusb_device_channel_next_message(bridge->channel, now);
    if (message && rdpusb_device_channel_queued_bytes(bridge->channel) == 0) {
        device_tick(bridge->device, now);
        take_turn(bridge, now);
    }
    return message;
}

void rdpusb_bridge_client_closed(RdpusbBridge *bridge, int64_t now)
{
    close_client(bridge, now);
}

/* ---- The guest ---- */

void rdpusb_bridge_guest_connected(RdpusbBridge *bridge, int64_t now)
{
    if (bridge->guest || bridge->leaving)
        return;
    bridge->guest_leaves = false;
    bridge->guest = guest_link_new(bridge->device, bridge->limits.max_guest_packet);
    if (bridge->capture)
        guest_link_tap(bridge->guest, bridge->capture);
}

bool rdpusb_bridge_feed_guest(RdpusbBridge *bridge, const uint8_t *data, size_t size, int64_t now,
                              GError **error)
{
    if (!bridge->guest)
        return true;
    bool fine = guest_link_feed(bridge->guest, data, size, now, error);
    take_turn(bridge, now);
    if (fine && device_guest_exceeds_limits(bridge->device)) {
        g_set_error(error, RDPUSB_BRIDGE_ERROR, RDPUSB_BRIDGE_ERROR_LIMIT,
                    "the guest has %u requests with %zu bytes waiting; the limits are %u and %zu",
                    bridge->device->guest_requests, bridge->device->guest_bytes,
                    bridge->limits.max_guest_requests, bridge->limits.max_guest_bytes);
        return false;
    }
    return fine;
}

GBytes *rdpusb_bridge_next_guest_output(RdpusbBridge *bridge)
{
    return bridge->guest ? guest_link_next_output(bridge->guest) : NULL;
}

void rdpusb_bridge_set_guest_backlog(RdpusbBridge *bridge, size_t bytes)
{
    if (bridge->guest)
        bridge->guest->backlog = bytes;
}

void rdpusb_bridge_guest_disconnected(RdpusbBridge *bridge, int64_t now)
{
    if (!bridge->guest)
        return;
    bridge->dropped_packets += bridge->guest->dropped;
    g_clear_pointer(&bridge->guest, guest_link_free);
    if (bridge->capture)
        capture_gone(bridge->capture, now, "guest: gone");
    bridge->guest_leaves = false;
    device_guest_detached(bridge->device, now);
    take_turn(bridge, now);
}

bool rdpusb_bridge_guest_said_hello(const RdpusbBridge *bridge)
{
    return bridge->guest && bridge->guest->said_hello;
}

bool rdpusb_bridge_guest_rejected(const RdpusbBridge *bridge)
{
    return bridge->device->rejected;
}

/* ---- The capture ---- */

void rdpusb_bridge_start_capture(RdpusbBridge *bridge, const RdpusbCapture *capture, int64_t now)
{
    if (bridge->capture || !rdpusb_bridge_device_info(bridge))
        return;
    bridge->capture = capture_new(capture, &bridge->device->info, now);
    if (bridge->guest)
        guest_link_tap(bridge->guest, bridge->capture);
}

GBytes *rdpusb_bridge_next_capture(RdpusbBridge *bridge)
{
    return bridge->capture ? capture_take(bridge->capture) : NULL;
}

void rdpusb_bridge_stop_capture(RdpusbBridge *bridge, const char *reason, int64_t now)
{
    if (bridge->capture)
        capture_end(bridge->capture, now, reason);
}

bool rdpusb_bridge_is_capturing(const RdpusbBridge *bridge)
{
    return bridge->capture && capture_is_active(bridge->capture);
}

/* ---- Life ---- */

void rdpusb_bridge_detach(RdpusbBridge *bridge, const char *reason, int64_t now)
{
    if (bridge->device->rejected)
        rdpusb_device_channel_retract(bridge->channel);
    leave(bridge, reason, now);
    take_turn(bridge, now);
}

int64_t rdpusb_bridge_deadline(const RdpusbBridge *bridge)
{
    if (bridge->gone)
        return RDPUSB_NO_DEADLINE;
    int64_t deadline =
        MIN(rdpusb_device_channel_deadline(bridge->channel), device_deadline(bridge->device));
    return bridge->leaving ? MIN(deadline, bridge->leave_deadline) : deadline;
}

void rdpusb_bridge_tick(RdpusbBridge *bridge, int64_t now)
{
    g_autoptr(GError) error = NULL;
    if (!bridge->client_closed && !rdpusb_device_channel_tick(bridge->channel, now, &error)) {
        fail(bridge, error, now);
        return;
    }
    device_tick(bridge->device, now);
    take_turn(bridge, now);
}

RdpusbBridgeState rdpusb_bridge_state(const RdpusbBridge *bridge)
{
    if (bridge->gone)
        return RDPUSB_BRIDGE_GONE;
    if (bridge->leaving)
        return RDPUSB_BRIDGE_LEAVING;
    if (!bridge->started)
        return RDPUSB_BRIDGE_HANDSHAKE;
    switch (bridge->device->state) {
    case DEVICE_READING: return RDPUSB_BRIDGE_READING;
    case DEVICE_READY: return RDPUSB_BRIDGE_READY;
    case DEVICE_ANNOUNCED: return RDPUSB_BRIDGE_ATTACHED;
    case DEVICE_GONE: return RDPUSB_BRIDGE_LEAVING;
    }
    return RDPUSB_BRIDGE_GONE;
}

const char *rdpusb_bridge_reason(const RdpusbBridge *bridge)
{
    return bridge->reason;
}

bool rdpusb_bridge_client_said_gone(const RdpusbBridge *bridge)
{
    return bridge->client_said_gone;
}

bool rdpusb_bridge_failed(const RdpusbBridge *bridge)
{
    return bridge->failed;
}

void rdpusb_bridge_get_counters(const RdpusbBridge *bridge, RdpusbCounters *counters)
{
    rdpusb_device_channel_get_counters(bridge->channel, counters);
    counters->held_requests_now += bridge->device->guest_requests;
    counters->held_bytes_now += bridge->device->guest_bytes + bridge->device->bytes_at_client;
    counters->dropped_packets = bridge->dropped_packets + bridge->device->dropped_packets +
                                (bridge->guest ? bridge->guest->dropped : 0);
    counters->lost_packets = bridge->device->lost_packets;
}

const RdpusbDeviceInfo *rdpusb_bridge_device_info(const RdpusbBridge *bridge)
{
    return bridge->device->configurations->len > 0 && bridge->device->state != DEVICE_READING
               ? &bridge->device->info
               : NULL;
}

const RdpusbAnnouncement *rdpusb_bridge_announcement(const RdpusbBridge *bridge)
{
    return rdpusb_device_channel_announcement(bridge->channel);
}

void rdpusb_bridge_query_location(RdpusbBridge *bridge)
{
    rdpusb_device_channel_query_location(bridge->channel);
}
