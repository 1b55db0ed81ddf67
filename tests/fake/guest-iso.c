/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "guest-iso.h"

#include "guest-requests.h"

#define COUNTER_LENGTH 4

/* QEMU's usb-redir: the time that its queue covers, the URBs that it asks for in a second. */
#define TARGET_MS       60
#define URBS_PER_SECOND 100
#define MAX_PACKETS     32
#define MAX_URBS        16

/* What has come and the guest has not polled yet, as usb-redir keeps it: nothing is given out until
 * the target is there, and what exceeds twice the target is dropped down to it. */
typedef struct {
    guint target;
    guint64 in, dropped, underruns;
    bool giving;
    gint64 giving_since;
    guint64 given_before; /* until then */
} Queue;

typedef struct {
    uint8_t endpoint;
    guint pkts_per_urb, no_urbs;
    gint64 period; /* of a packet, microseconds */
    uint16_t size;
    guint restarts;
    uint32_t next; /* counter */
    bool started;
    guint64 sent;
    gint64 sent_since;
    guint64 received, lost, repeated, out_of_order, damaged, failed, empty;
    Queue queue;
} IsoStream;

static bool is_in(const IsoStream *stream)
{
    return stream->endpoint & 0x80;
}

/* The interval is taken as it is, not as an exponent. */
static bool iso_init(IsoStream *stream, GuestSocket *socket, uint8_t endpoint, GError **error)
{
    FakeGuest *guest = guest_socket_guest(socket);
    const struct usb_redir_ep_info_header *info = fake_guest_ep_info(guest);
    guint slot = fake_guest_slot(endpoint);

    if (info->type[slot] != usb_redir_type_iso || info->interval[slot] == 0) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED, "no isochronous endpoint 0x%02x",
                    endpoint);
        return false;
    }
    guint frame = fake_guest_speed(guest) == usb_redir_speed_high ? 125 : 1000;
    guint per_second = G_TIME_SPAN_SECOND / frame / info->interval[slot];
    guint target = per_second * TARGET_MS / 1000;
    *stream = (IsoStream){.endpoint = endpoint,
                          .pkts_per_urb = CLAMP(per_second / URBS_PER_SECOND, 1, MAX_PACKETS),
                          .period = (gint64) frame * info->interval[slot],
                          .size = info->max_packet_size[slot],
                          .queue.target = target};
    guint urbs = (target + stream->pkts_per_urb - 1) / stream->pkts_per_urb;
    stream->no_urbs = MIN(is_in(stream) ? urbs : 2 * urbs, MAX_URBS);
    return true;
}

static void start(IsoStream *stream, GuestSocket *socket)
{
    fake_guest_start_iso_stream(guest_socket_guest(socket), stream->endpoint, stream->pkts_per_urb,
                                stream->no_urbs);
}

/* OUT -------------------------------------------------------------------------------------- */

static gint64 next_due(const IsoStream *stream)
{
    return stream->sent_since + (gint64) stream->sent * stream->period;
}

/* What the guest's controller does when its timer fires: all packets whose time has come. */
static void send_due(IsoStream *stream, GuestSocket *socket, gint64 now)
{
    g_autofree uint8_t *packet = g_malloc(stream->size);

    while (next_due(stream) <= now) {
        for (guint i = 0; i < stream->size; i++)
            packet[i] = (uint8_t) (i < COUNTER_LENGTH ? stream->next >> 8 * i : stream->next + i);
        fake_guest_iso_out(guest_socket_guest(socket), stream->endpoint, packet, stream->size);
        stream->next++;
        stream->sent++;
    }
}

/* IN --------------------------------------------------------------------------------------- */

static void queue_put(Queue *queue, gint64 period, gint64 now)
{
    guint64 given = queue->given_before;

    if (queue->giving)
        given += (guint64) ((now - queue->giving_since) / period);
    if (queue->giving && given >= queue->in) {
        queue->giving = false;
        queue->given_before = queue->in;
        queue->underruns++;
        given = queue->in;
    }
    queue->in++;
    if (!queue->giving && queue->in - given >= queue->target) {
        queue->giving = true;
        queue->giving_since = now;
    } else if (queue->in - given > 2 * queue->target) {
        queue->dropped += queue->in - given - queue->target;
        queue->given_before += queue->in - given - queue->target;
    }
}

static bool is_whole(const uint8_t *data, gsize length)
{
    for (gsize i = COUNTER_LENGTH; i < length; i++) {
        if (data[i] != (uint8_t) (data[0] + i))
            return false;
    }
    return length >= COUNTER_LENGTH;
}

static void take_counter(IsoStream *stream, uint32_t counter)
{
    int32_t ahead = (int32_t) (counter - stream->next);

    if (stream->started && ahead < 0) {
        if (ahead == -1)
            stream->repeated++;
        else
            stream->out_of_order++;
        return;
    }
    if (stream->started)
        stream->lost += (uint32_t) ahead;
    stream->started = true;
    stream->next = counter + 1;
    stream->received++;
}

static void take_packet(IsoStream *stream, const FakeGuestEvent *event)
{
    gsize length = 0;
    const uint8_t *data = event->data ? g_bytes_get_data(event->data, &length) : NULL;

    queue_put(&stream->queue, stream->period, g_get_monotonic_time());
    if (event->status != usb_redir_success)
        stream->failed++;
    else if (length == 0)
        stream->empty++;
    else if (!is_whole(data, length))
        stream->damaged++;
    else
        take_counter(stream, data[0] | (uint32_t) data[1] << 8 | (uint32_t) data[2] << 16 |
                                 (uint32_t) data[3] << 24);
}

/* All together ----------------------------------------------------------------------------- */

static void take_event(IsoStream *streams, guint n, GuestSocket *socket,
                       const FakeGuestEvent *event)
{
    for (guint i = 0; i < n; i++) {
        if (streams[i].endpoint != event->endpoint)
            continue;
        if (event->type == FAKE_GUEST_ISO_IN) {
            take_packet(&streams[i], event);
        } else if (event->type == FAKE_GUEST_ISO_STREAM_STATUS &&
                   event->status != usb_redir_success) {
            streams[i].restarts++;
            if (event->status == usb_redir_stall)
                start(&streams[i], socket);
        }
    }
}

/* Returns when the next one is due, at most @until. */
static gint64 send_all_due(IsoStream *streams, guint n, GuestSocket *socket, gint64 now,
                           gint64 until)
{
    gint64 due = until;

    for (guint i = 0; i < n; i++) {
        if (is_in(&streams[i]))
            continue;
        send_due(&streams[i], socket, now);
        due = MIN(due, next_due(&streams[i]));
    }
    return due;
}

static bool run(IsoStream *streams, guint n, GuestSocket *socket, gint64 until, GError **error)
{
    gint64 now;

    while ((now = g_get_monotonic_time()) < until) {
        g_autoptr(GError) reason = NULL;
        gint64 wait = send_all_due(streams, n, socket, now, until) - now;
        int wait_ms = (int) (CLAMP(wait, 0, G_TIME_SPAN_SECOND) + 999) / 1000;
        g_autoptr(FakeGuestEvent) event = guest_socket_poll(socket, wait_ms, &reason);
        if (reason) {
            g_propagate_error(error, g_steal_pointer(&reason));
            return false;
        }
        if (event && event->type == FAKE_GUEST_DEVICE_DISCONNECT) {
            g_set_error(error, G_IO_ERROR, G_IO_ERROR_CONNECTION_CLOSED, "the device has gone");
            return false;
        }
        if (event)
            take_event(streams, n, socket, event);
    }
    send_all_due(streams, n, socket, until - 1, until);
    return true;
}

static void append(const IsoStream *stream, GString *result)
{
    g_string_append_printf(result, "%s0x%02x: ", result->len ? "; " : "", stream->endpoint);
    if (is_in(stream))
        g_string_append_printf(
            result,
            "received=%" G_GUINT64_FORMAT " lost=%" G_GUINT64_FORMAT " repeated=%" G_GUINT64_FORMAT
            " out-of-order=%" G_GUINT64_FORMAT " damaged=%" G_GUINT64_FORMAT
            " failed=%" G_GUINT64_FORMAT " empty=%" G_GUINT64_FORMAT " dropped=%" G_GUINT64_FORMAT
            " underruns=%" G_GUINT64_FORMAT,
            stream->received, stream->lost, stream->repeated, stream->out_of_order, stream->damaged,
            stream->failed, stream->empty, stream->queue.dropped, stream->queue.underruns);
    else
        g_string_append_printf(result, "sent=%" G_GUINT64_FORMAT, stream->sent);
    g_string_append_printf(result, " restarts=%u", stream->restarts);
}

static void stop(const IsoStream *streams, guint n, GuestSocket *socket)
{
    for (guint i = 0; i < n && guest_socket_guest(socket); i++)
        fake_guest_stop_iso_stream(guest_socket_guest(socket), streams[i].endpoint);
}

bool guest_iso_run(GuestSocket *socket, const uint8_t *endpoints, guint n, guint seconds,
                   GString *result, GError **error)
{
    g_autofree IsoStream *streams = g_new0(IsoStream, n);
    gint64 now = g_get_monotonic_time();
    gint64 until = now + seconds * G_TIME_SPAN_SECOND;

    for (guint i = 0; i < n; i++) {
        if (!iso_init(&streams[i], socket, endpoints[i], error))
            return false;
        start(&streams[i], socket);
        streams[i].sent_since = now;
    }
    bool good = run(streams, n, socket, until, error);
    stop(streams, n, socket);
    for (guint i = 0; i < n; i++)
        append(&streams[i], result);
    return good && guest_socket_settle(socket, error);
}
