/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Isochronous transfers, paced like a bus: an endpoint moves one packet in each service interval,
 * counted on the monotonic clock from the moment its setting was chosen, whether a transfer is
 * queued or not. What has no transfer is lost. Packets are moved when their transfer ends, all at
 * once, so a stream costs one wake-up per transfer and does not drift.
 */
#include "gadget-bus.h"

#include "libusb-objects.h"

#define MICROFRAME UINT64_C(125)

/* [USB 2.0] 9.6.6: the period is 2^(bInterval - 1) frames or, at high speed, microframes. */
void iso_open(struct gadget *gadget, struct gadget_endpoint *endpoint, const uint8_t *descriptor)
{
    uint64_t unit = gadget->speed >= LIBUSB_SPEED_HIGH ? MICROFRAME : GADGET_US_PER_MS;
    unsigned transactions = 1 + (descriptor[5] >> 3 & 3);
    endpoint->interval_bytes = (uint16_t) (endpoint->packet_size * transactions);
    endpoint->interval = unit << (descriptor[6] - 1);
    endpoint->opened_at = gadget_now();
    endpoint->next_interval = 0;
    endpoint->streaming = false;
    endpoint->packets = endpoint->missed = 0;
}

/* How many intervals are over. */
static uint64_t elapsed(const struct gadget_endpoint *endpoint)
{
    return (gadget_now() - endpoint->opened_at) / endpoint->interval;
}

/* The transfer takes the intervals after the one before it, or the next whole ones if those have
 * passed. */
void iso_queue(struct gadget_endpoint *endpoint, struct transfer *transfer)
{
    uint64_t earliest = elapsed(endpoint) + 1;
    if (endpoint->next_interval < earliest) {
        if (endpoint->streaming)
            endpoint->missed += earliest - endpoint->next_interval;
        endpoint->next_interval = earliest;
    }
    endpoint->streaming = true;
    transfer->first_interval = endpoint->next_interval;
    transfer->packets_moved = 0;
    endpoint->next_interval += (uint64_t) transfer->public.num_iso_packets;
    for (int i = 0; i < transfer->public.num_iso_packets; i++) {
        /* As Linux leaves a packet that was never on the bus. */
        transfer->public.iso_packet_desc[i].actual_length = 0;
        transfer->public.iso_packet_desc[i].status = LIBUSB_TRANSFER_ERROR;
    }
}

/* --- Packets -------------------------------------------------------------------------------------
 */

/* The next packet of the transfer, which lies at this place of its buffer. */
static void move_packet(struct gadget *gadget, struct gadget_endpoint *endpoint,
                        struct transfer *transfer, uint8_t *data)
{
    uint64_t interval = transfer->first_interval + (uint64_t) transfer->packets_moved;
    struct libusb_iso_packet_descriptor *packet =
        &transfer->public.iso_packet_desc[transfer->packets_moved];
    if (endpoint->packet_fail_count > 0) {
        endpoint->packet_fail_count--;
        packet->status = endpoint->packet_fail_status;
        return;
    }
    packet->status = LIBUSB_TRANSFER_COMPLETED;
    packet->actual_length = packet->length;
    if (!(endpoint->address & LIBUSB_ENDPOINT_IN)) {
        gadget->ops->iso_out(gadget, endpoint->address, interval, data, packet->length);
        return;
    }
    size_t length = gadget->ops->iso_in(gadget, endpoint->address, interval, data, packet->length);
    if (endpoint->short_count > 0) {
        endpoint->short_count--;
        if (endpoint->short_length < length)
            length = endpoint->short_length;
    }
    if (length > packet->length)
        packet->status = LIBUSB_TRANSFER_OVERFLOW;
    else
        packet->actual_length = (unsigned) length;
}

static void move_packets(struct gadget *gadget, struct gadget_endpoint *endpoint,
                         struct transfer *transfer, uint64_t until)
{
    struct libusb_transfer *public = &transfer->public;
    uint8_t *data = public->buffer;
    for (int i = 0; i < public->num_iso_packets; i++) {
        if (transfer->first_interval + (uint64_t) i >= until)
            return;
        if (i == transfer->packets_moved) {
            move_packet(gadget, endpoint, transfer, data);
            transfer->packets_moved++;
            transfer->moved += public->iso_packet_desc[i].actual_length;
            endpoint->packets++;
        }
        data += public->iso_packet_desc[i].length;
    }
}

void iso_settle(struct gadget *gadget, struct gadget_endpoint *endpoint, struct transfer *transfer)
{
    if (!transfer->silent && !endpoint->held)
        move_packets(gadget, endpoint, transfer, elapsed(endpoint));
    /* A client that gives its last transfer up ends the stream: nothing is missed from here on. */
    if (transfer->packets_moved < transfer->public.num_iso_packets && !TAILQ_NEXT(transfer, link)) {
        bool alone = TAILQ_FIRST(&endpoint->pending) == transfer;
        endpoint->streaming = false;
        endpoint->next_interval = alone ? 0 : transfer->first_interval;
    }
}

bool iso_serve(struct gadget *gadget, struct gadget_endpoint *endpoint, struct transfer *transfer)
{
    uint64_t end = transfer->first_interval + (uint64_t) transfer->public.num_iso_packets;
    uint64_t due = endpoint->opened_at + end * endpoint->interval + endpoint->delay;
    if (endpoint->held)
        return false;
    if (gadget_now() < due) {
        bus_wake_at(due);
        return false;
    }
    enum libusb_transfer_status status = LIBUSB_TRANSFER_COMPLETED;
    if (endpoint->fail_count > 0) {
        endpoint->fail_count--;
        transfer->packets_moved = transfer->public.num_iso_packets; /* without any data */
        status = endpoint->fail_status;
    }
    bus_complete(transfer, status);
    return true;
}
