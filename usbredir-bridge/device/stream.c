/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "stream.h"
#include "job.h"
#include "oneshot.h"

#include <string.h>

/* At least two, or the device cannot speak while its last word travels. */
#define INTERRUPT_TRANSFERS 4
#define MAX_ERRORS          3
#define RETRY_PAUSE         (100 * G_TIME_SPAN_MILLISECOND)

bool stream_start(Device *device, Endpoint *endpoint)
{
    Stream *stream = &endpoint->stream;
    if (stream->running || endpoint->type != ENDPOINT_INTERRUPT || !(endpoint->address & 0x80))
        return false;
    *stream = (Stream){.running = true, .wanted = INTERRUPT_TRANSFERS};
    stream_fill(device, endpoint);
    return true;
}

void stream_stop(Device *device, Endpoint *endpoint)
{
    if (!endpoint->stream.running)
        return;
    endpoint->stream.running = false;
    endpoint_cancel(device, endpoint, false);
}

void stream_fill(Device *device, Endpoint *endpoint)
{
    const Stream *stream = &endpoint->stream;
    if (!stream->running || stream->resetting || stream->retry_at > device->now ||
        endpoint_is_held(device, endpoint))
        return;
    while (g_queue_get_length(&endpoint->transfers) < stream->wanted) {
        /* Exactly one packet: QEMU tells reports apart by packets. */
        Transfer *transfer = transfer_new(endpoint, TRANSFER_STREAM, 0, endpoint->max_packet_size);
        if (!transfer_send(device, transfer)) {
            transfer_free(transfer);
            return;
        }
        g_queue_push_tail(&endpoint->transfers, transfer);
    }
}

static void give_up(Device *device, Endpoint *endpoint)
{
    stream_stop(device, endpoint);
    /* QEMU starts the stream again at the guest's next poll. */
    Answer *answer = device_answer(device, ANSWER_INTERRUPT_RECEIVING_STATUS, 0, DEVICE_STALL);
    answer->endpoint = endpoint->address;
}

static void deliver(Device *device, Endpoint *endpoint, Transfer *transfer)
{
    Answer *answer =
        device_answer(device, ANSWER_INTERRUPT_IN, endpoint->stream.packet_id++, DEVICE_SUCCESS);
    answer->endpoint = endpoint->address;
    answer->length = transfer->done;
    if (transfer->kept) {
        answer->hold = g_byte_array_free_to_bytes(g_steal_pointer(&transfer->kept));
        answer->data = g_bytes_get_data(answer->hold, NULL);
    } else {
        answer->data = transfer->view;
    }
}

/* One pause for all that came back with the same error: each transfer of a broken stream fails. */
static void failed(Device *device, Endpoint *endpoint, RdpusbStatus status)
{
    Stream *stream = &endpoint->stream;
    if (stream->resetting || stream->retry_at > device->now)
        return;
    if (++stream->errors >= MAX_ERRORS) {
        give_up(device, endpoint);
        return;
    }
    stream->retry_at = device->now + stream->errors * RETRY_PAUSE;
    if (status == RDPUSB_STATUS_STALL) {
        stream->resetting = true;
        stream->packet_id = 0;
        job_reset_stream(device, endpoint);
    }
}

static void process(Device *device, Endpoint *endpoint, Transfer *transfer)
{
    bool pause = transfer->round_status == RDPUSB_STATUS_TIMEOUT ||
                 transfer->round_status == RDPUSB_STATUS_CANCELLED;
    if (transfer->round_status == RDPUSB_STATUS_SUCCESS || (pause && transfer->done > 0)) {
        endpoint->stream.errors = 0;
        deliver(device, endpoint, transfer);
    } else if (!pause) {
        failed(device, endpoint, transfer->round_status);
    }
}

void stream_completed(Device *device, Transfer *transfer, const RdpusbDeviceEvent *event)
{
    Endpoint *endpoint = transfer->endpoint;
    if (transfer_returned(device, transfer)) {
        transfer->complete = true;
        transfer->round_status = event->status;
        transfer->done = MIN(event->size, transfer->asked);
        if (g_queue_peek_head(&endpoint->transfers) == transfer)
            transfer->view = event->data;
        else if (transfer->done > 0)
            transfer->kept = g_byte_array_append(g_byte_array_new(), event->data, transfer->done);
    }
    if (endpoint->at_client == 0)
        endpoint->recalling = false;
    Transfer *head;
    while ((head = g_queue_peek_head(&endpoint->transfers)) && head->complete) {
        g_queue_pop_head(&endpoint->transfers);
        process(device, endpoint, head);
        transfer_free(head);
    }
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
