/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "isoch.h"
#include "oneshot.h"

#include <string.h>

/* What the requests of an IN stream cover at least: they cost no delay, and outlast a process that
 * is kept from running for a while. QEMU asks for 60 ms, but counts the packets of a SuperSpeed
 * device in full frames, and then asks for an eighth. */
#define LEAST_TIME (100 * G_TIME_SPAN_MILLISECOND)
/* What has to be there before an OUT stream begins, when nothing is known of the network yet, and
 * the most that it waits for. */
#define FIRST_CUSHION (30 * G_TIME_SPAN_MILLISECOND)
#define MOST_CUSHION  (100 * G_TIME_SPAN_MILLISECOND)

#define MAX_REQUESTS      16
#define MAX_REQUEST_BYTES (256 * 1024)
/* Below, a request is made longer before there are more of them. */
#define USUAL_REQUEST_TIME (4 * G_TIME_SPAN_MILLISECOND)

/* ep_info's interval is in frames at full speed, in microframes above. */
static int64_t packet_time(const Device *device, const Endpoint *endpoint)
{
    return endpoint->interval * (device->info.speed == RDPUSB_SPEED_FULL ? 1000 : 125);
}

static int64_t request_time(const Stream *stream)
{
    return stream->isoch.packets * stream->isoch.pace.packet_time;
}

static int64_t ring_time(const Stream *stream)
{
    return stream->wanted * request_time(stream);
}

/* More of the device's time at the client: more requests, then longer ones. */
static bool grow(Stream *stream)
{
    Isoch *isoch = &stream->isoch;
    bool longer = stream->wanted >= MAX_REQUESTS || request_time(stream) < USUAL_REQUEST_TIME;
    unsigned packets = longer ? isoch->packets * 2 : isoch->packets;
    unsigned wanted = longer ? stream->wanted : stream->wanted + 1;
    if (packets > RDPUSB_MAX_ISOCH_PACKETS || packets * stream->size > MAX_REQUEST_BYTES ||
        wanted * packets * isoch->pace.packet_time > ISOCH_MOST)
        return false;
    isoch->packets = packets;
    stream->wanted = wanted;
    return true;
}

void isoch_init(const Device *device, Endpoint *endpoint, unsigned pkts_per_urb, unsigned no_urbs)
{
    Stream *stream = &endpoint->stream;
    stream->size = endpoint->max_packet_size;
    stream->wanted = no_urbs;
    Isoch *isoch = &stream->isoch;
    isoch->packets = pkts_per_urb;
    isoch->asked = pkts_per_urb * no_urbs;
    isoch->acknowledged = INT64_MAX;
    pace_start(&isoch->pace, packet_time(device, endpoint));
    while (endpoint_is_in(endpoint) && ring_time(stream) < LEAST_TIME && grow(stream)) {
    }
    stream->backlog = (size_t) 2 * stream->wanted * isoch->packets * stream->size;
}

void isoch_clear(Stream *stream)
{
    g_queue_clear_full(&stream->isoch.waiting, (GDestroyNotify) g_bytes_unref);
    stream->isoch.at_client = 0;
    stream->isoch.flowing = false;
}

/* ---- IN ---- */

static void answer_packet(Device *device, Endpoint *endpoint, DeviceStatus status,
                          const uint8_t *data, uint32_t length, GBytes *hold)
{
    Stream *stream = &endpoint->stream;
    Answer *answer = device_answer(device, ANSWER_ISO_IN, stream->packet_id++, status);
    answer->endpoint = endpoint->address;
    answer->backlog = stream->backlog;
    answer->length = length;
    if (length > 0) {
        answer->data = data;
        answer->hold = hold ? g_bytes_ref(hold) : NULL;
    }
}

/* The device's time has passed, whatever came of it: as many packets as were asked for. */
static void deliver_lost(Device *device, Endpoint *endpoint, unsigned n_packets)
{
    device->lost_packets += n_packets;
    for (unsigned i = 0; i < n_packets; i++)
        answer_packet(device, endpoint, DEVICE_IOERROR, NULL, 0, NULL);
}

static void deliver_packets(Device *device, Endpoint *endpoint, Transfer *transfer)
{
    g_autoptr(GBytes) hold = NULL;
    const uint8_t *data = transfer_take_data(transfer, &hold);
    for (unsigned i = 0; i < transfer->n_packets; i++) {
        const RdpusbIsochPacket *packet = &transfer->packets[i];
        answer_packet(device, endpoint, device_status_from_client(packet->status, true),
                      data ? data + packet->offset : NULL, packet->length, hold);
    }
}

void isoch_deliver(Device *device, Endpoint *endpoint, Transfer *transfer)
{
    Stream *stream = &endpoint->stream;
    if (transfer->packets)
        deliver_packets(device, endpoint, transfer);
    else
        deliver_lost(device, endpoint, transfer->n_packets);
    int64_t lost = pace_advance(&stream->isoch.pace, transfer->n_packets, device->now);
    int64_t enough = ring_time(stream) + lost;
    while (lost > request_time(stream) / 2 && ring_time(stream) < enough && grow(stream)) {
    }
}

/* ---- OUT ---- */

/* What may be at the client and wait, in packets: what the guest asked for, and what is on its way
 * there and back. */
static unsigned most_packets(const Stream *stream)
{
    const Isoch *isoch = &stream->isoch;
    int64_t way = isoch->acknowledged == INT64_MAX ? ISOCH_MOST : isoch->acknowledged;
    return isoch->asked + MIN(way, ISOCH_MOST) / isoch->pace.packet_time;
}

static unsigned cushion(const Stream *stream)
{
    const Pace *pace = &stream->isoch.pace;
    int64_t time = pace->jitter > 0 ? pace->jitter + 2 * request_time(stream) : FIRST_CUSHION;
    unsigned packets = CLAMP(time, FIRST_CUSHION, MOST_CUSHION) / pace->packet_time;
    return CLAMP(packets, 1, MAX(stream->isoch.asked / 2, 1));
}

/* How many of the packets that wait make up the next request: all of one size. 0 when more of that
 * size may come. */
static unsigned next_run(const Stream *stream, bool all)
{
    const GList *link = stream->isoch.waiting.head;
    if (!link)
        return 0;
    gsize size = g_bytes_get_size(link->data);
    unsigned n = 0;
    while (link && n < stream->isoch.packets && g_bytes_get_size(link->data) == size) {
        link = link->next;
        n++;
    }
    return n == stream->isoch.packets || link || all ? n : 0;
}

static GBytes *take_run(Stream *stream, unsigned n)
{
    GByteArray *bytes = g_byte_array_new();
    while (n-- > 0) {
        g_autoptr(GBytes) packet = g_queue_pop_head(&stream->isoch.waiting);
        gsize size;
        const uint8_t *data = g_bytes_get_data(packet, &size);
        g_byte_array_append(bytes, data, size);
    }
    return g_byte_array_free_to_bytes(bytes);
}

static bool send_run(Device *device, Endpoint *endpoint, unsigned n)
{
    Stream *stream = &endpoint->stream;
    gsize size = n * g_bytes_get_size(g_queue_peek_head(&stream->isoch.waiting));
    if (!rdpusb_device_channel_can_submit(device->channel, size))
        return false;
    Transfer *transfer = transfer_new(endpoint, TRANSFER_STREAM, 0, size);
    transfer->n_packets = n;
    transfer->out = take_run(stream, n);
    if (!transfer_send(device, transfer)) {
        transfer_free(transfer);
        return false;
    }
    stream->isoch.at_client += n;
    g_queue_push_tail(&endpoint->transfers, transfer);
    return true;
}

static bool may_begin(Stream *stream, bool all)
{
    Isoch *isoch = &stream->isoch;
    if (isoch->flowing || all)
        return true;
    if (isoch->waiting.length < cushion(stream))
        return false;
    isoch->flowing = true;
    pace_start(&isoch->pace, isoch->pace.packet_time);
    return true;
}

void isoch_flow(Device *device, Endpoint *endpoint, bool all)
{
    Stream *stream = &endpoint->stream;
    Isoch *isoch = &stream->isoch;
    unsigned n;
    bool free = !endpoint->recalling && !endpoint_is_in_job(device, endpoint) &&
                !stream->resetting && stream->retry_at <= device->now;
    if (free && may_begin(stream, all))
        while ((n = next_run(stream, all)) > 0 && send_run(device, endpoint, n)) {
        }
    /* The oldest first: what is heard late is of no use. */
    while (isoch->waiting.length > 0 &&
           isoch->waiting.length + isoch->at_client > most_packets(stream)) {
        g_bytes_unref(g_queue_pop_head(&isoch->waiting));
        device->dropped_packets++;
    }
}

void isoch_put(Device *device, Endpoint *endpoint, GBytes *packet)
{
    g_queue_push_tail(&endpoint->stream.isoch.waiting, packet);
    isoch_flow(device, endpoint, false);
}

void isoch_acknowledged(Device *device, Endpoint *endpoint, Transfer *transfer)
{
    Isoch *isoch = &endpoint->stream.isoch;
    isoch->at_client -= transfer->n_packets;
    if (!transfer->packets)
        device->lost_packets += transfer->n_packets;
    else
        isoch->acknowledged = MIN(isoch->acknowledged, device->now - transfer->sent_at);
    pace_advance(&isoch->pace, transfer->n_packets, device->now);
    /* The device has nothing left: gather anew, or each packet would come a little late. */
    if (isoch->at_client == 0)
        isoch->flowing = false;
}
