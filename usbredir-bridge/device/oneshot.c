/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "oneshot.h"
#include "job.h"
#include "stream.h"

#include <string.h>

/* What one device has at the client at a time, unless a single transfer is larger. Linux clients
 * share 16 MiB of usbfs memory among all devices, and FreeRDP never completes what exceeds it. */
#define WINDOW_BYTES (4 * 1024 * 1024)

bool endpoint_is_in_job(const Device *device, const Endpoint *endpoint)
{
    return (jobs_held(device) & 1u << (endpoint - device->endpoints)) != 0;
}

static bool is_held(const Device *device, const Endpoint *endpoint)
{
    return endpoint->recalling || endpoint->zombies > 0 || endpoint_is_in_job(device, endpoint);
}

/* Isochronous transfers have a bound of their own, and cannot wait for those of others. */
static bool has_room(const Device *device, const Transfer *transfer, uint32_t size)
{
    bool fits = transfer->n_packets > 0 || device->bytes_at_client == 0 ||
                device->bytes_at_client + size <= WINDOW_BYTES;
    return fits && rdpusb_device_channel_can_submit(device->channel, size);
}

static void count_bytes(Device *device, const Transfer *transfer, int64_t by)
{
    if (transfer->n_packets == 0)
        device->bytes_at_client += by;
}

static uint32_t send_in(Device *device, Transfer *transfer, uint32_t size)
{
    uint32_t handle = transfer->endpoint->pipe_handle;
    unsigned n = transfer->n_packets;
    return n > 0 ? rdpusb_device_channel_isoch_in(device->channel, handle, size / n, n, transfer)
                 : rdpusb_device_channel_transfer_in(device->channel, handle, size, transfer);
}

static uint32_t send_out(Device *device, Transfer *transfer, uint32_t size)
{
    uint32_t handle = transfer->endpoint->pipe_handle;
    unsigned n = transfer->n_packets;
    const uint8_t *data = size > 0 ? g_bytes_get_data(transfer->out, NULL) : NULL;
    if (data)
        data += transfer->done;
    return n > 0
               ? rdpusb_device_channel_isoch_out(device->channel, handle, data, size / n, n,
                                                 transfer)
               : rdpusb_device_channel_transfer_out(device->channel, handle, data, size, transfer);
}

bool transfer_send(Device *device, Transfer *transfer)
{
    uint32_t size = transfer->length - transfer->done;
    if (!has_room(device, transfer, size))
        return false;
    transfer->request.id =
        transfer->in ? send_in(device, transfer, size) : send_out(device, transfer, size);
    if (transfer->request.id == 0)
        return false;
    transfer->sent_at = device->now;
    transfer->asked = size;
    transfer->endpoint->at_client++;
    count_bytes(device, transfer, size);
    device->dirty = device->used_since_reset = true;
    return true;
}

void oneshot_dispatch(Device *device, Endpoint *endpoint)
{
    if (is_held(device, endpoint))
        return;
    for (GList *link = endpoint->transfers.head; link; link = link->next) {
        Transfer *transfer = link->data;
        if (!transfer->complete && transfer->request.id == 0 && !transfer_send(device, transfer))
            return;
    }
}

void oneshot_submit(Device *device, Transfer *transfer)
{
    device->guest_requests++;
    device->guest_bytes += transfer->out ? transfer->length : 0;
    g_queue_push_tail(&transfer->endpoint->transfers, transfer);
    oneshot_dispatch(device, transfer->endpoint);
}

/* ---- Answers ---- */

static void answer(Device *device, Transfer *transfer)
{
    AnswerType type = transfer->kind == TRANSFER_BULK ? ANSWER_BULK : ANSWER_INTERRUPT_OUT;
    Answer *a = device_answer(device, type, transfer->id, transfer->status);
    a->endpoint = transfer->endpoint->address;
    a->stream_id = transfer->stream_id;
    a->length = transfer->status == DEVICE_SUCCESS ? transfer->done : 0;
    if (!transfer->in || a->length == 0)
        return;
    a->data = transfer_take_data(transfer, &a->hold);
}

static void account_answered(Device *device, const Transfer *transfer)
{
    device->guest_requests--;
    device->guest_bytes -= transfer->out ? transfer->length : 0;
}

static void flush(Device *device, Endpoint *endpoint)
{
    Transfer *transfer;
    while ((transfer = g_queue_peek_head(&endpoint->transfers)) && transfer->complete) {
        g_queue_pop_head(&endpoint->transfers);
        answer(device, transfer);
        account_answered(device, transfer);
        transfer_free(transfer);
    }
}

/* ---- Completions ---- */

static bool is_final(RdpusbStatus status)
{
    return status != RDPUSB_STATUS_TIMEOUT && status != RDPUSB_STATUS_CANCELLED;
}

static void keep(GByteArray **array, const uint8_t *data, size_t size)
{
    if (!*array)
        *array = g_byte_array_sized_new(size);
    g_byte_array_append(*array, data, size);
}

static void complete(Transfer *transfer, DeviceStatus status)
{
    transfer->complete = true;
    transfer->status = status;
}

/* What a final status means for the guest. USB knows no OUT that succeeds in part: a client that
 * says so leaves open what the device got. */
static DeviceStatus outcome(const Transfer *transfer, RdpusbStatus status, size_t size)
{
    if (!transfer->in && status == RDPUSB_STATUS_SUCCESS && size < transfer->asked)
        status = RDPUSB_STATUS_ERROR;
    return device_status_from_client(status, transfer->in);
}

/* The usual case: a result, and nothing that came back before it. The bytes are passed on as they
 * lie in the client's message if it is this transfer's turn. */
static void finish(Transfer *transfer, const RdpusbDeviceEvent *event)
{
    bool success = event->status == RDPUSB_STATUS_SUCCESS;
    size_t size = success ? MIN(event->size, transfer->asked) : 0;
    bool turn = g_queue_peek_head(&transfer->endpoint->transfers) == transfer;
    if (transfer->in && size > 0 && turn && !transfer->kept)
        transfer->view = event->data;
    else if (transfer->in && size > 0)
        keep(&transfer->kept, event->data, size);
    transfer->done += size;
    complete(transfer, outcome(transfer, event->status, size));
}

static void keep_round(Transfer *transfer, const RdpusbDeviceEvent *event)
{
    size_t size = MIN(event->size, transfer->asked);
    transfer->returned = true;
    transfer->round_status = event->status;
    transfer->round_size = size;
    if (transfer->in && size > 0)
        keep(&transfer->round, event->data, size);
}

static GList *next_incomplete(GList *link)
{
    while (link && ((Transfer *) link->data)->complete)
        link = link->next;
    return link;
}

/* Bytes of one round go to the transfer whose turn it is, and on to the next when that is full; a
 * short packet or an error ends the one that it falls into. */
static GList *pour(Transfer *source, GList *target)
{
    const uint8_t *data = source->round ? source->round->data : NULL;
    size_t left = source->in ? source->round_size : 0;
    RdpusbStatus status = source->round_status;
    bool success = status == RDPUSB_STATUS_SUCCESS;
    bool failed = is_final(status) && !success;
    bool ends =
        success ? left < source->asked : left % MAX(source->endpoint->max_packet_size, 1) != 0;

    while (target && left > 0) {
        Transfer *transfer = target->data;
        uint32_t n = MIN(left, transfer->length - transfer->done);
        keep(&transfer->kept, data, n);
        transfer->done += n;
        data += n;
        left -= n;
        if (transfer->done == transfer->length) {
            complete(transfer, DEVICE_SUCCESS);
            target = next_incomplete(target);
            ends = ends && left > 0;
        }
    }
    if (target && (ends || failed)) {
        Transfer *transfer = target->data;
        complete(transfer, failed ? device_status_from_client(status, true) : DEVICE_SUCCESS);
        target = next_incomplete(target);
    }
    g_clear_pointer(&source->round, g_byte_array_unref);
    return target;
}

static void settle_in(Endpoint *endpoint)
{
    GList *target = next_incomplete(endpoint->transfers.head);
    for (GList *link = endpoint->transfers.head; link; link = link->next) {
        Transfer *source = link->data;
        if (!source->returned)
            continue;
        source->returned = false;
        target = pour(source, target);
    }
}

/* OUT bytes cannot be moved to another transfer. If the device took some of a later transfer while
 * an earlier one is unfinished, the order is lost: the earlier one fails, with a stall, so that
 * the guest's driver recovers the device. */
static void settle_out(Endpoint *endpoint)
{
    Transfer *unfinished = NULL;
    for (GList *link = endpoint->transfers.head; link; link = link->next) {
        Transfer *transfer = link->data;
        bool taken = transfer->returned ? transfer->round_size > 0
                                        : transfer->complete && transfer->done > 0;
        if (unfinished && taken) {
            complete(unfinished, DEVICE_STALL);
            unfinished = NULL;
        }
        if (!transfer->returned)
            continue;
        transfer->returned = false;
        transfer->done += transfer->round_size;
        if (is_final(transfer->round_status))
            complete(transfer, outcome(transfer, transfer->round_status, transfer->round_size));
        else if (transfer->length > 0 && transfer->done == transfer->length)
            complete(transfer, DEVICE_SUCCESS);
        else if (!unfinished)
            unfinished = transfer;
    }
}

static void settle(Endpoint *endpoint)
{
    if (!endpoint->recalling || endpoint->at_client > 0)
        return;
    endpoint->recalling = false;
    if (endpoint->address & 0x80)
        settle_in(endpoint);
    else
        settle_out(endpoint);
}

bool transfer_returned(Device *device, Transfer *transfer)
{
    transfer->request.id = 0;
    transfer->endpoint->at_client--;
    count_bytes(device, transfer, -(int64_t) transfer->asked);
    if (!transfer->zombie)
        return true;
    transfer->endpoint->zombies--;
    transfer_free(transfer);
    return false;
}

void oneshot_completed(Device *device, Transfer *transfer, const RdpusbDeviceEvent *event)
{
    Endpoint *endpoint = transfer->endpoint;
    if (transfer_returned(device, transfer)) {
        if (!endpoint->recalling && is_final(event->status)) {
            finish(transfer, event);
        } else {
            keep_round(transfer, event);
            endpoint_recall(device, endpoint);
            endpoint->recalling = true;
        }
    }
    settle(endpoint);
    flush(device, endpoint);
}

/* ---- Cancelling ---- */

void transfer_cancel(Device *device, Transfer *transfer, bool with_answer)
{
    g_queue_remove(&transfer->endpoint->transfers, transfer);
    if (transfer->kind != TRANSFER_STREAM) {
        complete(transfer, DEVICE_CANCELLED);
        if (with_answer)
            answer(device, transfer);
        account_answered(device, transfer);
    }
    if (transfer->request.id == 0) {
        transfer_free(transfer);
        return;
    }
    transfer->zombie = true;
    transfer->endpoint->zombies++;
    rdpusb_device_channel_cancel(device->channel, transfer->request.id, device->now);
}

void endpoint_cancel(Device *device, Endpoint *endpoint, bool with_answer)
{
    Transfer *transfer;
    while ((transfer = g_queue_peek_head(&endpoint->transfers)))
        transfer_cancel(device, transfer, with_answer);
    settle(endpoint);
}

void endpoints_abandon(Device *device, uint32_t slots, bool with_answer)
{
    for (unsigned slot = 0; slot < ENDPOINT_SLOTS; slot++) {
        if ((slots & 1u << slot) == 0)
            continue;
        stream_forget(&device->endpoints[slot]);
        endpoint_cancel(device, &device->endpoints[slot], with_answer);
    }
}

void endpoint_recall(Device *device, Endpoint *endpoint)
{
    if (endpoint->at_client == endpoint->zombies)
        return;
    endpoint->recalling = true;
    /* The last one first: what the device still takes meanwhile is then the next in order. */
    for (GList *link = endpoint->transfers.tail; link; link = link->prev) {
        Transfer *transfer = link->data;
        if (transfer->request.id)
            rdpusb_device_channel_cancel(device->channel, transfer->request.id, device->now);
    }
}
