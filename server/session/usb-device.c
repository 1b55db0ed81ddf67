/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "usb-device.h"

#include <gio/gio.h>
#include <glib-unix.h>

#include "byte-stream.h"
#include "capture-file.h"
#include "log.h"

/* [MS-RDPEUSB] 3.3.5 knows no time limits; a client that means to open a channel does so at once.
 */
#define OPEN_TIMEOUT (10 * G_TIME_SPAN_SECOND)
/* How long a client has to close the channel of a device that it calls gone. FreeRDP's takes a
 * tenth of a second for each device that leaves. */
#define GONE_TIMEOUT (2 * G_TIME_SPAN_SECOND)
/* How long a guest has to take the last bytes, device_disconnect among them. */
#define FLUSH_TIMEOUT (500 * G_TIME_SPAN_MILLISECOND)

/* [MS-RDPEUSB] 2.2.1.1: 0 to 3 are the protocol's own; the client's ids begin at 4 or 5, and its
 * and ours do not meet, since a mask tells them apart. */
#define FIRST_REQUEST_COMPLETION 0x10

struct UsbDevice {
    uint32_t number;
    RdpusbBridge *bridge;
    Link *link;
    GSourceOnceFunc wake;
    gpointer data;

    Channel *channel;
    bool opened, closed; /* what the bridge was told of the channel */
    int64_t open_deadline;

    TransportByteStream *guest;
    char *port;         /* of the guest's stream */
    char *waiting;      /* why there is none, "" when not known */
    size_t guest_limit; /* bytes that wait for the guest; beyond, its stream is closed */
    int64_t flush_deadline;
    CaptureFile *capture; /* NULL: not asked for, or over */

    bool offered;                 /* to the broker, which has to hear when it is over */
    RdpusbBridgeState last_state; /* at the end of the last turn before it left */
    bool silent;                  /* it is gone because the client said nothing */
    char *epitaph;                /* why the user does not have it */
    bool over;
    int64_t close_time; /* of the channel, unless the client closes it before */

    bool settled;
    uint32_t twin_of; /* number, or 0 */
};

/* ---- The capture ---- */

static void write_capture(UsbDevice *device, int64_t now)
{
    if (device->capture && !capture_file_write(device->capture, device->bridge, now))
        g_clear_pointer(&device->capture, capture_file_free);
}

static void end_capture(UsbDevice *device, int64_t now)
{
    if (device->capture)
        capture_file_end(device->capture, device->bridge, now);
    g_clear_pointer(&device->capture, capture_file_free);
}

bool usb_device_capture(UsbDevice *device, const char *port, int fd, uint64_t max_bytes,
                        int64_t now, GError **error)
{
    if (device->capture || rdpusb_bridge_state(device->bridge) < RDPUSB_BRIDGE_READY) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_BUSY, "device %u cannot be captured%s",
                    device->number, device->capture ? " twice" : " yet");
        return false;
    }
    RdpusbCapture capture = {.vm = port,
                             .address = 1 + (device->number - 1) % 127,
                             .wall_clock = g_get_real_time(),
                             .max_bytes = max_bytes};
    rdpusb_bridge_start_capture(device->bridge, &capture, now);
    device->capture = capture_file_new(fd, device->number);
    device->wake(device->data);
    return true;
}

/* ---- Life ---- */

UsbDevice *usb_device_new(uint32_t number, Channel *channel, Link *link, const RdpusbLimits *limits,
                          int64_t now, GSourceOnceFunc wake, gpointer data)
{
    UsbDevice *device = g_new0(UsbDevice, 1);
    device->number = number;
    device->bridge = rdpusb_bridge_new(FIRST_REQUEST_COMPLETION + number, limits);
    device->link = link;
    device->wake = wake;
    device->data = data;
    device->channel = channel;
    device->open_deadline = now + OPEN_TIMEOUT;
    device->flush_deadline = RDPUSB_NO_DEADLINE;
    device->guest_limit = limits->max_guest_bytes;
    device->waiting = g_strdup("");
    return device;
}

/* What is held now is leaked: the line is there for tests, too. */
static void log_counters(const UsbDevice *device)
{
    RdpusbCounters counters;
    rdpusb_bridge_get_counters(device->bridge, &counters);
    g_debug("device %u: over: %" G_GUINT64_FORMAT " requests, %" G_GUINT64_FORMAT
            " ended, %" G_GUINT64_FORMAT " given up; %" G_GUINT64_FORMAT
            " bytes in, %" G_GUINT64_FORMAT " out; %" G_GUINT64_FORMAT
            " packets dropped, %" G_GUINT64_FORMAT " lost; %" G_GUINT64_FORMAT
            " requests and %" G_GUINT64_FORMAT " bytes held",
            device->number, counters.asked, counters.ended, counters.given_up, counters.bytes_in,
            counters.bytes_out, counters.dropped_packets, counters.lost_packets,
            counters.held_requests_now, counters.held_bytes_now);
}

void usb_device_free(UsbDevice *device)
{
    if (!device)
        return;
    rdpusb_bridge_client_closed(device->bridge, g_get_monotonic_time());
    if (rdpusb_bridge_announcement(device->bridge))
        log_counters(device);
    g_clear_pointer(&device->guest, transport_byte_stream_free);
    g_clear_pointer(&device->channel, channel_close);
    end_capture(device, g_get_monotonic_time());
    g_clear_pointer(&device->bridge, rdpusb_bridge_free);
    g_free(device->port);
    g_free(device->waiting);
    g_free(device->epitaph);
    g_free(device);
}

uint32_t usb_device_number(const UsbDevice *device)
{
    return device->number;
}

/* ---- Names ---- */

static void append_if(GString *text, const char *before, const char *value, const char *after)
{
    if (*value)
        g_string_append_printf(text, "%s%s%s", before, value, after);
}

/* "0951:1666 Kingston DataTraveler (serial 60A44C)", or what stands in for it before its
 * descriptors are read. */
static char *name_of(const UsbDevice *device)
{
    const RdpusbDeviceInfo *info = rdpusb_bridge_device_info(device->bridge);
    if (!info)
        return g_strdup_printf("Device %u", device->number);
    GString *name = g_string_new(NULL);
    g_string_append_printf(name, "%04x:%04x", info->vendor, info->product);
    append_if(name, " ", info->manufacturer_name, "");
    append_if(name, " ", info->product_name, "");
    append_if(name, " (serial ", info->serial_number, ")");
    return g_string_free(name, FALSE);
}

static char *state_of(const UsbDevice *device)
{
    switch (rdpusb_bridge_state(device->bridge)) {
    case RDPUSB_BRIDGE_HANDSHAKE:
    case RDPUSB_BRIDGE_READING: return g_strdup("reading its descriptors");
    case RDPUSB_BRIDGE_READY:
    case RDPUSB_BRIDGE_ATTACHED: break;
    case RDPUSB_BRIDGE_LEAVING: return g_strdup("leaving");
    case RDPUSB_BRIDGE_GONE: return g_strdup("gone");
    }
    if (!device->port)
        return g_strdup_printf("waiting: %s", *device->waiting ? device->waiting : "for a port");
    if (!rdpusb_bridge_guest_said_hello(device->bridge))
        return g_strdup_printf("waiting: the VM at %s does not answer yet (paused, or its port is "
                               "in use)",
                               device->port);
    if (rdpusb_bridge_state(device->bridge) == RDPUSB_BRIDGE_READY)
        return g_strdup_printf("attaching to %s", device->port);
    return g_strdup_printf("attached to %s", device->port);
}

bool usb_device_is_known(const UsbDevice *device)
{
    return rdpusb_bridge_state(device->bridge) > RDPUSB_BRIDGE_HANDSHAKE && device->twin_of == 0;
}

char *usb_device_describe(const UsbDevice *device)
{
    g_autofree char *name = name_of(device);
    g_autofree char *state = device->epitaph ? g_strdup(device->epitaph) : state_of(device);
    return g_strdup_printf("%s — %s", name, state);
}

bool usb_device_has_epitaph(const UsbDevice *device)
{
    return device->epitaph;
}

/* Takes `text`. The first reason is the true one. */
static void take_epitaph(UsbDevice *device, char *text)
{
    if (device->epitaph)
        g_free(text);
    else
        device->epitaph = text;
}

/* ---- The guest ---- */

/* The stream is of no more use: the broker will give another. */
static void lose_guest(UsbDevice *device, const char *reason)
{
    g_autofree char *port = g_steal_pointer(&device->port);
    g_clear_pointer(&device->guest, transport_byte_stream_free);
    rdpusb_bridge_guest_disconnected(device->bridge, g_get_monotonic_time());
    if (rdpusb_bridge_state(device->bridge) < RDPUSB_BRIDGE_LEAVING) {
        g_message("device %u: lost the VM at %s: %s", device->number, port, reason);
        g_free(device->waiting);
        device->waiting = g_strdup_printf("the VM at %s is away", port);
        link_lost(device->link, device->number, reason);
    }
    device->wake(device->data);
}

static void write_guest(UsbDevice *device)
{
    GBytes *bytes;
    bool overflow = false;
    while ((bytes = rdpusb_bridge_next_guest_output(device->bridge))) {
        if (device->guest && !overflow)
            overflow = !transport_byte_stream_write(device->guest, bytes);
        g_bytes_unref(bytes);
    }
    if (overflow)
        lose_guest(device, "it asks, but does not read the answers");
    rdpusb_bridge_set_guest_backlog(
        device->bridge, device->guest ? transport_byte_stream_get_queued(device->guest) : 0);
}

static void on_guest_received(void *data, const uint8_t *bytes, size_t length)
{
    UsbDevice *device = data;
    g_autoptr(GError) error = NULL;
    if (rdpusb_bridge_feed_guest(device->bridge, bytes, length, g_get_monotonic_time(), &error)) {
        device->wake(device->data);
        return;
    }
    g_warning("device %u: the VM at %s: %s: closing this connection", device->number, device->port,
              error->message);
    lose_guest(device, error->message);
}

static void on_guest_drained(void *data)
{
    UsbDevice *device = data;
    device->wake(device->data);
}

static void on_guest_closed(void *data, const GError *error)
{
    lose_guest(data, error ? error->message : "it closed the connection");
}

static const TransportByteStreamEvents guest_events = {
    .received = on_guest_received,
    .drained = on_guest_drained,
    .closed = on_guest_closed,
};

bool usb_device_connect(UsbDevice *device, const char *port, int fd, int64_t now, GError **error)
{
    RdpusbBridgeState state = rdpusb_bridge_state(device->bridge);
    if (device->guest || state < RDPUSB_BRIDGE_READY || state > RDPUSB_BRIDGE_ATTACHED) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_BUSY,
                    "device %u takes no stream now: its state is %s", device->number,
                    rdpusb_bridge_state_to_string(state));
        return false;
    }
    if (!g_unix_set_fd_nonblocking(fd, TRUE, error))
        return false;
    device->guest = transport_byte_stream_new(fd, device->guest_limit, &guest_events, device);
    device->port = g_strdup(port);
    g_debug("device %u: connected to %s", device->number, port);
    rdpusb_bridge_guest_connected(device->bridge, now);
    device->wake(device->data);
    return true;
}

/* ---- The broker ---- */

void usb_device_set_waiting(UsbDevice *device, const char *reason)
{
    g_free(device->waiting);
    device->waiting = g_strdup(reason);
    device->wake(device->data);
}

void usb_device_attach_answered(UsbDevice *device, const GError *error, int64_t now)
{
    if (!error)
        return;
    device->offered = false; /* the broker never took it */
    g_message("device %u: refused: %s", device->number, error->message);
    take_epitaph(device, g_strdup_printf("refused: %s", error->message));
    usb_device_detach(device, error->message, now);
}

void usb_device_take_away(UsbDevice *device, const char *reason, int64_t now)
{
    g_message("device %u: taken away: %s", device->number, reason);
    take_epitaph(device, g_strdup_printf("taken away: %s", reason));
    usb_device_detach(device, reason, now);
}

static void offer(UsbDevice *device)
{
    g_autofree char *name = name_of(device);
    g_autofree char *quoted = log_quote(name);
    g_message("device %u: %s is ready", device->number, quoted);
    device->offered = true;
    link_attach(device->link, device->number, rdpusb_bridge_device_info(device->bridge));
}

/* ---- The client ---- */

static void give_up_opening(UsbDevice *device, const char *reason)
{
    g_message("device %u: the client %s its channel", device->number, reason);
    device->over = true;
}

static void feed_from_client(UsbDevice *device, int64_t now)
{
    if (!device->opened) {
        device->opened = true;
        rdpusb_bridge_client_opened(device->bridge, now);
    }
    const uint8_t *message;
    size_t size;
    while ((message = channel_read(device->channel, &size)))
        rdpusb_bridge_feed_client(device->bridge, message, size, now);
}

static void follow_channel(UsbDevice *device, int64_t now)
{
    if (channel_state(device->channel) == CHANNEL_OPEN)
        feed_from_client(device, now);
    switch (channel_state(device->channel)) {
    case CHANNEL_OPENING:
        if (now >= device->open_deadline)
            give_up_opening(device, "does not answer for");
        break;
    case CHANNEL_OPEN: break;
    case CHANNEL_REFUSED: give_up_opening(device, "refused"); break;
    case CHANNEL_CLOSED: usb_device_client_gone(device, now); break;
    }
}

void usb_device_client_gone(UsbDevice *device, int64_t now)
{
    if (!device->opened) {
        device->over = true;
    } else if (!device->closed) {
        device->closed = true;
        rdpusb_bridge_client_closed(device->bridge, now);
        device->wake(device->data);
    }
}

bool usb_device_write(UsbDevice *device, int64_t now)
{
    if (!device->opened || device->closed)
        return false;
    g_autoptr(GBytes) message = rdpusb_bridge_next_client_message(device->bridge, now);
    if (!message)
        return false;
    if (!channel_write(device->channel, message)) {
        g_warning("device %u: no memory for a message to the client", device->number);
        usb_device_detach(device, "the server is short of memory", now);
    }
    return true;
}

/* ---- Twins ---- */

const RdpusbAnnouncement *usb_device_announcement(const UsbDevice *device)
{
    return rdpusb_bridge_announcement(device->bridge);
}

void usb_device_query_location(UsbDevice *device)
{
    rdpusb_bridge_query_location(device->bridge);
}

bool usb_device_is_settled(const UsbDevice *device)
{
    return device->settled;
}

void usb_device_settle(UsbDevice *device)
{
    device->settled = true;
}

void usb_device_leave_alone(UsbDevice *device, const UsbDevice *other, int64_t now)
{
    g_message("device %u: the client announces device %u for the second time: left alone",
              device->number, other->number);
    device->settled = true;
    device->twin_of = other->number;
    usb_device_detach(device, "announced twice", now);
}

uint32_t usb_device_twin_of(const UsbDevice *device)
{
    return device->twin_of;
}

/* Nothing is asked on this channel any more, and what comes is dropped. */
static void drain(UsbDevice *device)
{
    size_t size;
    while (channel_read(device->channel, &size))
        continue;
    device->closed |= channel_state(device->channel) == CHANNEL_CLOSED;
}

/* ---- Turns ---- */

void usb_device_detach(UsbDevice *device, const char *reason, int64_t now)
{
    if (!device->opened)
        device->over = true;
    else
        rdpusb_bridge_detach(device->bridge, reason, now);
    device->wake(device->data);
}

static void tell_gone(UsbDevice *device)
{
    const char *reason = rdpusb_bridge_reason(device->bridge);
    if (device->silent) {
        /* FreeRDP announces a device twice that comes while another is being set up. */
        g_debug("device %u: the client opened a channel and announced nothing: %s", device->number,
                reason);
    } else if (rdpusb_bridge_failed(device->bridge)) {
        g_warning("device %u: ended in state %s: %s", device->number,
                  rdpusb_bridge_state_to_string(device->last_state), reason);
        take_epitaph(device, g_strdup_printf("failed: %s", reason));
    } else if (device->last_state >= RDPUSB_BRIDGE_READY) {
        g_message("device %u: gone: %s", device->number, reason);
    } else {
        g_debug("device %u: gone: %s", device->number, reason);
    }
}

static void tell_detached(const UsbDevice *device)
{
    RdpusbCounters counters;
    rdpusb_bridge_get_counters(device->bridge, &counters);
    link_detached(device->link, device->number, rdpusb_bridge_reason(device->bridge),
                  rdpusb_bridge_guest_rejected(device->bridge), counters.bytes_in,
                  counters.bytes_out);
}

/* The guest first, so that its port is free when the broker hears of it. */
static void follow_end(UsbDevice *device, int64_t now)
{
    if (device->flush_deadline == RDPUSB_NO_DEADLINE) {
        tell_gone(device);
        device->flush_deadline = now + FLUSH_TIMEOUT;
    }
    if (device->guest && transport_byte_stream_get_queued(device->guest) > 0 &&
        now < device->flush_deadline)
        return;
    g_clear_pointer(&device->guest, transport_byte_stream_free);
    end_capture(device, now);
    if (device->offered)
        tell_detached(device);
    device->over = true;
    if (rdpusb_bridge_client_said_gone(device->bridge))
        device->close_time = now + GONE_TIMEOUT;
}

void usb_device_turn(UsbDevice *device, int64_t now)
{
    if (device->over) {
        drain(device);
        return;
    }
    if (!device->closed && rdpusb_bridge_state(device->bridge) != RDPUSB_BRIDGE_GONE)
        follow_channel(device, now);
    if (device->over)
        return;
    bool failed = rdpusb_bridge_failed(device->bridge);
    if (rdpusb_bridge_deadline(device->bridge) <= now)
        rdpusb_bridge_tick(device->bridge, now);
    RdpusbBridgeState state = rdpusb_bridge_state(device->bridge);
    device->silent |= !failed && device->last_state == RDPUSB_BRIDGE_HANDSHAKE &&
                      rdpusb_bridge_failed(device->bridge);
    if (!device->offered && !device->epitaph && (state == RDPUSB_BRIDGE_READY))
        offer(device);
    if (rdpusb_bridge_guest_rejected(device->bridge) && state < RDPUSB_BRIDGE_LEAVING) {
        g_warning("device %u: the VM at %s refused it", device->number, device->port);
        take_epitaph(device, g_strdup("refused by the VM"));
        rdpusb_bridge_detach(device->bridge, "refused by the VM", now);
    }
    write_guest(device);
    write_capture(device, now);
    state = rdpusb_bridge_state(device->bridge);
    if (state == RDPUSB_BRIDGE_GONE)
        follow_end(device, now);
    else if (state < RDPUSB_BRIDGE_LEAVING)
        device->last_state = state;
}

int64_t usb_device_deadline(const UsbDevice *device)
{
    if (device->over)
        return RDPUSB_NO_DEADLINE;
    if (!device->opened)
        return device->open_deadline;
    return MIN(rdpusb_bridge_deadline(device->bridge), device->flush_deadline);
}

bool usb_device_is_over(const UsbDevice *device)
{
    return device->over;
}

int64_t usb_device_close_time(const UsbDevice *device)
{
    return device->close_time;
}

bool usb_device_is_held_by_client(const UsbDevice *device)
{
    return !device->closed && rdpusb_bridge_announcement(device->bridge);
}
