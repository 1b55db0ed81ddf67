/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "stream.h"
#include "isoch.h"
#include "job.h"
#include "oneshot.h"

#include <string.h>

/* At least two, or the device cannot speak while its last word travels. */
#define INTERRUPT_TRANSFERS 4
#define MAX_ERRORS          3
#define RETRY_PAUSE         (100 * G_TIME_SPAN_MILLISECOND)
/* Errors so far apart do not add up: mstsc fails an idle read now and then. */
#define ERRORS_FORGOTTEN (10 * G_TIME_SPAN_SECOND)

/* What a guest may ask for: QEMU asks for no more, and usbredirhost takes no more. */
#define MAX_TRANSFERS      16
#define MAX_ISOCH_PACKETS  32
#define MAX_TRANSFER_BYTES (64 * 1024)

/* QEMU buffers what it is sent itself: 1000 reports, 5000 packets of a serial adapter. What piles
 * up on our side beyond these is of a guest that does not read, a paused VM for one: it gets newer
 * packets later, never an answer too few. */
#define INTERRUPT_BACKLOG (64 * 1024)
#define BULK_BACKLOG      (1024 * 1024)

/* How much longer than all that is asked of an isochronous endpoint takes, until what does not come
 * is given up. FreeRDP is silent when a transfer fails as a whole with a stall. */
#define SILENCE G_TIME_SPAN_SECOND

/* ---- Life ---- */

static bool can_start(const Endpoint *endpoint)
{
    return !endpoint->stream.running && endpoint->transfers.length == 0;
}

/* What was learnt of the network's jitter is kept. */
static Stream *begin(Endpoint *endpoint, StreamKind kind)
{
    Pace pace = endpoint->stream.isoch.pace;
    endpoint->stream = (Stream){.kind = kind, .running = true, .isoch.pace.jitter = pace.jitter};
    return &endpoint->stream;
}

bool stream_start_interrupt(Device *device, Endpoint *endpoint)
{
    if (!can_start(endpoint) || !endpoint_is_in(endpoint))
        return false;
    Stream *stream = begin(endpoint, STREAM_INTERRUPT);
    stream->wanted = INTERRUPT_TRANSFERS;
    stream->size = endpoint->max_packet_size; /* QEMU tells reports apart by packets */
    stream->backlog = INTERRUPT_BACKLOG;
    stream_fill(device, endpoint);
    return true;
}

bool stream_start_bulk(Device *device, Endpoint *endpoint, uint32_t stream_id,
                       uint32_t bytes_per_transfer, unsigned no_transfers)
{
    if (!can_start(endpoint) || !endpoint_is_in(endpoint) || no_transfers == 0 ||
        no_transfers > MAX_TRANSFERS || bytes_per_transfer == 0 ||
        bytes_per_transfer > MAX_TRANSFER_BYTES ||
        bytes_per_transfer % endpoint->max_packet_size != 0)
        return false;
    Stream *stream = begin(endpoint, STREAM_BULK);
    stream->wanted = no_transfers;
    stream->size = bytes_per_transfer;
    stream->stream_id = stream_id;
    stream->backlog = BULK_BACKLOG;
    stream_fill(device, endpoint);
    return true;
}

bool stream_start_isoch(Device *device, Endpoint *endpoint, unsigned pkts_per_urb, unsigned no_urbs)
{
    if (!can_start(endpoint) || pkts_per_urb == 0 || pkts_per_urb > MAX_ISOCH_PACKETS ||
        no_urbs == 0 || no_urbs > MAX_TRANSFERS)
        return false;
    begin(endpoint, endpoint_is_in(endpoint) ? STREAM_ISOCH_IN : STREAM_ISOCH_OUT);
    isoch_init(device, endpoint, pkts_per_urb, no_urbs);
    stream_fill(device, endpoint);
    return true;
}

void stream_forget(Endpoint *endpoint)
{
    endpoint->stream.running = false;
    isoch_clear(&endpoint->stream);
}

/* What was sent before the guest stopped is played. The transfers are nobody's from here on: a
 * change of the setting waits until they are back. */
static void play_out(Device *device, Endpoint *endpoint)
{
    isoch_flow(device, endpoint, true);
    Transfer *transfer;
    while ((transfer = g_queue_pop_head(&endpoint->transfers))) {
        if (transfer->request.id == 0) { /* back already, behind one that is not */
            transfer_free(transfer);
            continue;
        }
        transfer->zombie = true;
        endpoint->zombies++;
    }
}

void stream_stop(Device *device, Endpoint *endpoint)
{
    if (!endpoint->stream.running)
        return;
    if (endpoint->stream.kind == STREAM_ISOCH_OUT)
        play_out(device, endpoint);
    stream_forget(endpoint);
    endpoint_cancel(device, endpoint, false);
}

void stream_tell(Device *device, const Endpoint *endpoint, DeviceStatus status)
{
    AnswerType type = ANSWER_INTERRUPT_RECEIVING_STATUS;
    if (endpoint->stream.kind == STREAM_BULK)
        type = ANSWER_BULK_RECEIVING_STATUS;
    else if (endpoint->stream.kind != STREAM_INTERRUPT)
        type = ANSWER_ISO_STREAM_STATUS;
    Answer *answer = device_answer(device, type, 0, status);
    answer->endpoint = endpoint->address;
    answer->stream_id = endpoint->stream.stream_id;
}

/* ---- Out ---- */

static bool may_fill(const Device *device, const Endpoint *endpoint)
{
    const Stream *stream = &endpoint->stream;
    if (!stream->running || stream->resetting || stream->retry_at > device->now ||
        endpoint->recalling || endpoint_is_in_job(device, endpoint))
        return false;
    /* An old request could eat what is meant for a new one; isochronous data does not wait to be
     * eaten. */
    return stream->kind == STREAM_ISOCH_IN || endpoint->zombies == 0;
}

static Transfer *next_transfer(Endpoint *endpoint)
{
    const Stream *stream = &endpoint->stream;
    if (stream->kind != STREAM_ISOCH_IN)
        return transfer_new(endpoint, TRANSFER_STREAM, 0, stream->size);
    unsigned n = stream->isoch.packets;
    Transfer *transfer = transfer_new(endpoint, TRANSFER_STREAM, 0, n * stream->size);
    transfer->n_packets = n;
    return transfer;
}

void stream_fill(Device *device, Endpoint *endpoint)
{
    const Stream *stream = &endpoint->stream;
    if (stream->running && stream->kind == STREAM_ISOCH_OUT) {
        isoch_flow(device, endpoint, false);
        return;
    }
    if (!may_fill(device, endpoint))
        return;
    while (g_queue_get_length(&endpoint->transfers) < stream->wanted) {
        Transfer *transfer = next_transfer(endpoint);
        if (!transfer_send(device, transfer)) {
            transfer_free(transfer);
            return;
        }
        g_queue_push_tail(&endpoint->transfers, transfer);
    }
}

/* ---- Back ---- */

static void give_up(Device *device, Endpoint *endpoint)
{
    stream_forget(endpoint);
    endpoint_cancel(device, endpoint, false);
    /* QEMU starts the stream again when the guest next asks for data, or has some. */
    stream_tell(device, endpoint, DEVICE_STALL);
}

/* One pause for all that came back with the same error: each transfer of a broken stream fails. */
void stream_failed(Device *device, Endpoint *endpoint, RdpusbStatus status)
{
    Stream *stream = &endpoint->stream;
    if (stream->resetting || stream->retry_at > device->now)
        return;
    if (device->now - stream->retry_at >= ERRORS_FORGOTTEN)
        stream->errors = 0;
    if (++stream->errors >= MAX_ERRORS) {
        give_up(device, endpoint);
        return;
    }
    stream->retry_at = device->now + stream->errors * RETRY_PAUSE;
    pace_start(&stream->isoch.pace, stream->isoch.pace.packet_time);
    if (status == RDPUSB_STATUS_STALL) {
        stream->resetting = true;
        stream->packet_id = 0;
        job_reset_stream(device, endpoint);
    }
}

static void deliver(Device *device, Endpoint *endpoint, Transfer *transfer)
{
    Stream *stream = &endpoint->stream;
    AnswerType type = stream->kind == STREAM_BULK ? ANSWER_BUFFERED_BULK : ANSWER_INTERRUPT_IN;
    Answer *answer = device_answer(device, type, stream->packet_id++, DEVICE_SUCCESS);
    answer->endpoint = endpoint->address;
    answer->stream_id = stream->stream_id;
    answer->backlog = stream->backlog;
    answer->length = transfer->done;
    answer->data = transfer_take_data(transfer, &answer->hold);
}

/* FreeRDP's own time-out, or its cancelling of everything when one pipe is reset. */
static bool is_pause(RdpusbStatus status)
{
    return status == RDPUSB_STATUS_TIMEOUT || status == RDPUSB_STATUS_CANCELLED;
}

static void process(Device *device, Endpoint *endpoint, Transfer *transfer)
{
    RdpusbStatus status = transfer->round_status;
    bool isoch = transfer->n_packets > 0;
    if (status == RDPUSB_STATUS_SUCCESS)
        endpoint->stream.errors = 0;
    if (isoch && endpoint_is_in(endpoint))
        isoch_deliver(device, endpoint, transfer);
    else if (isoch)
        isoch_acknowledged(device, endpoint, transfer);
    else if (status == RDPUSB_STATUS_SUCCESS || (is_pause(status) && transfer->done > 0))
        deliver(device, endpoint, transfer);

    if (status != RDPUSB_STATUS_SUCCESS && !is_pause(status))
        stream_failed(device, endpoint, status);
}

/* A view of the client's message, if the transfer is at its turn; otherwise a copy. */
static void take(Transfer *transfer, const RdpusbDeviceEvent *event)
{
    bool turn = g_queue_peek_head(&transfer->endpoint->transfers) == transfer;
    transfer->complete = true;
    transfer->round_status = event->status;
    transfer->done = MIN(event->size, transfer->asked);
    if (turn)
        transfer->view = event->data;
    else if (transfer->done > 0 && transfer->in)
        transfer->kept = g_byte_array_append(g_byte_array_new(), event->data, transfer->done);
    if (event->n_packets > 0 && event->n_packets == transfer->n_packets)
        transfer->packets = g_memdup2(event->packets, event->n_packets * sizeof *event->packets);
}

static void process_completed(Device *device, Endpoint *endpoint)
{
    Transfer *head;
    while ((head = g_queue_peek_head(&endpoint->transfers)) && head->complete) {
        g_queue_pop_head(&endpoint->transfers);
        process(device, endpoint, head);
        transfer_free(head);
    }
}

/* The head of an isochronous stream, not waited for any longer. */
static void lose_head(Device *device, Endpoint *endpoint)
{
    Transfer *head = g_queue_peek_head(&endpoint->transfers);
    if (endpoint_is_in(endpoint))
        isoch_deliver(device, endpoint, head);
    else
        isoch_acknowledged(device, endpoint, head);
    transfer_cancel(device, head, false);
}

/* Clients complete isochronous transfers in order: one that two later ones have overtaken will not
 * come. */
static void lose_overtaken(Device *device, Endpoint *endpoint, const Transfer *completed)
{
    for (GList *link = endpoint->transfers.head; link && link->data != completed; link = link->next)
        ((Transfer *) link->data)->overtaken++;
    Transfer *head;
    while ((head = g_queue_peek_head(&endpoint->transfers)) &&
           (head->complete || head->overtaken >= 2)) {
        if (head->complete)
            process_completed(device, endpoint);
        else
            lose_head(device, endpoint);
    }
}

void stream_completed(Device *device, Transfer *transfer, const RdpusbDeviceEvent *event)
{
    Endpoint *endpoint = transfer->endpoint;
    bool isoch = transfer->n_packets > 0;
    bool ours = transfer_returned(device, transfer);
    if (ours)
        take(transfer, event);
    if (endpoint->at_client == 0)
        endpoint->recalling = false;
    if (ours && isoch)
        lose_overtaken(device, endpoint, transfer);
    else if (ours)
        process_completed(device, endpoint);
}

void stream_pipe_was_reset(Device *device, Endpoint *endpoint, bool success)
{
    Stream *stream = &endpoint->stream;
    stream->resetting = false;
    if (!stream->running)
        return;
    if (success)
        stream_fill(device, endpoint);
    else
        give_up(device, endpoint);
}

/* ---- Time ---- */

static int64_t silent_at(const Endpoint *endpoint)
{
    const Transfer *head = g_queue_peek_head((GQueue *) &endpoint->transfers);
    if (!head || head->n_packets == 0 || head->request.id == 0)
        return RDPUSB_NO_DEADLINE;
    const Isoch *isoch = &endpoint->stream.isoch;
    int64_t packets = MAX(isoch->asked, endpoint->stream.wanted * isoch->packets);
    return head->sent_at + packets * isoch->pace.packet_time + SILENCE;
}

int64_t stream_deadline(const Device *device, const Endpoint *endpoint)
{
    const Stream *stream = &endpoint->stream;
    if (!stream->running)
        return RDPUSB_NO_DEADLINE;
    int64_t retry = stream->retry_at > device->now ? stream->retry_at : RDPUSB_NO_DEADLINE;
    return MIN(retry, silent_at(endpoint));
}

void stream_tick(Device *device, Endpoint *endpoint)
{
    bool lost = false;
    while (endpoint->stream.running && silent_at(endpoint) <= device->now) {
        lose_head(device, endpoint);
        lost = true;
    }
    if (lost)
        stream_failed(device, endpoint, RDPUSB_STATUS_LOST);
    process_completed(device, endpoint);
}
