/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "device.h"
#include "configure.h"
#include "isoch.h"
#include "job.h"
#include "oneshot.h"
#include "port.h"
#include "reader.h"
#include "stream.h"

Device *device_new(RdpusbDeviceChannel *channel, const RdpusbLimits *limits)
{
    Device *device = g_new0(Device, 1);
    device->channel = channel;
    device->limits = *limits;
    device->configurations = g_ptr_array_new_with_free_func((GDestroyNotify) configuration_free);
    device->info.manufacturer_name = g_strdup("");
    device->info.product_name = g_strdup("");
    device->info.serial_number = g_strdup("");
    g_queue_init(&device->jobs);
    g_queue_init(&device->answers);
    for (unsigned slot = 0; slot < ENDPOINT_SLOTS; slot++) {
        Endpoint *endpoint = &device->endpoints[slot];
        endpoint->address = (slot & 0x0f) | (slot & 0x10) << 3;
        endpoint->type = ENDPOINT_NONE;
        g_queue_init(&endpoint->transfers);
    }
    return device;
}

static void clear_answers(Device *device)
{
    Answer *answer;
    while ((answer = g_queue_pop_head(&device->answers))) {
        answer_clear(answer);
        g_free(answer);
    }
}

void device_free(Device *device)
{
    if (!device)
        return;
    for (unsigned slot = 0; slot < ENDPOINT_SLOTS; slot++)
        g_queue_clear_full(&device->endpoints[slot].transfers, (GDestroyNotify) transfer_free);
    g_queue_clear_full(&device->jobs, (GDestroyNotify) job_free);
    g_clear_pointer(&device->running, job_free);
    clear_answers(device);
    g_clear_pointer(&device->configurations, g_ptr_array_unref);
    g_clear_error(&device->refusal);
    g_free(device->info.manufacturer_name);
    g_free(device->info.product_name);
    g_free(device->info.serial_number);
    g_free(device->info.interface_classes);
    for (unsigned i = 0; i < N_WATCHED_STRINGS; i++)
        g_clear_pointer(&device->strings[i], g_bytes_unref);
    g_free(device);
}

/* ---- Answers ---- */

Answer *device_answer(Device *device, AnswerType type, uint64_t id, DeviceStatus status)
{
    Answer *answer = g_new0(Answer, 1);
    answer->type = type;
    answer->id = id;
    answer->status = status;
    g_queue_push_tail(&device->answers, answer);
    return answer;
}

bool device_next_answer(Device *device, Answer *answer)
{
    g_autofree Answer *oldest = g_queue_pop_head(&device->answers);
    if (!oldest)
        return false;
    *answer = *oldest;
    return true;
}

/* ---- Life ---- */

void device_start(Device *device, int64_t now)
{
    device->now = now;
    reader_start(device);
}

static void abandon(Device *device, bool answer)
{
    endpoints_abandon(device, ALL_ENDPOINTS, answer);
    jobs_cancel(device, answer);
}

static void leave_guest(Device *device)
{
    if (device->state != DEVICE_ANNOUNCED)
        return;
    abandon(device, false);
    device_answer(device, ANSWER_DEVICE_DISCONNECT, 0, DEVICE_SUCCESS);
}

void device_refuse(Device *device, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_clear_error(&device->refusal);
    device->refusal =
        g_error_new_valist(RDPUSB_BRIDGE_ERROR, RDPUSB_BRIDGE_ERROR_REFUSED, format, arguments);
    va_end(arguments);
    leave_guest(device);
    device->state = DEVICE_GONE;
}

void device_client_closed(Device *device, int64_t now)
{
    device->now = now;
    leave_guest(device);
    device->state = DEVICE_GONE;
}

void device_leave(Device *device, int64_t now)
{
    device->now = now;
    leave_guest(device);
    device->guest_there = false;
    if (device->state == DEVICE_ANNOUNCED)
        device->state = DEVICE_READY;
}

bool device_is_idle(const Device *device)
{
    if (device->running)
        return false;
    for (unsigned slot = 0; slot < ENDPOINT_SLOTS; slot++)
        if (device->endpoints[slot].at_client > 0)
            return false;
    return true;
}

/* ---- The guest ---- */

void device_announce(Device *device)
{
    if (!device->guest_there || device->rejected || device->state != DEVICE_READY)
        return;
    if (device->dirty || device->configuration != g_ptr_array_index(device->configurations, 0)) {
        select_default(device);
        return;
    }
    device->state = DEVICE_ANNOUNCED;
    port_forget(device);
    device_answer(device, ANSWER_INTERFACE_INFO, 0, DEVICE_SUCCESS);
    device_answer(device, ANSWER_EP_INFO, 0, DEVICE_SUCCESS);
    device_answer(device, ANSWER_DEVICE_CONNECT, 0, DEVICE_SUCCESS);
}

void device_guest_attached(Device *device, int64_t now)
{
    device->now = now;
    device->guest_there = true;
    device->rejected = false;
    device_announce(device);
}

void device_guest_detached(Device *device, int64_t now)
{
    device->now = now;
    device->guest_there = false;
    abandon(device, false);
    clear_answers(device);
    if (device->state == DEVICE_ANNOUNCED)
        device->state = DEVICE_READY;
}

void device_guest_rejected(Device *device, int64_t now)
{
    device->now = now;
    device->rejected = true;
    abandon(device, false);
    if (device->state == DEVICE_ANNOUNCED)
        device->state = DEVICE_READY;
}

bool device_guest_exceeds_limits(const Device *device)
{
    return device->guest_requests > device->limits.max_guest_requests ||
           device->guest_bytes > device->limits.max_guest_bytes;
}

/* Starts what came free, beginning with another endpoint each time: one that always has more to
 * send would else keep the others out of the window. */
static void go_on(Device *device)
{
    if (device->state == DEVICE_GONE)
        return;
    jobs_run(device);
    device->turn++;
    for (unsigned i = 0; i < ENDPOINT_SLOTS; i++) {
        Endpoint *endpoint = &device->endpoints[(device->turn + i) % ENDPOINT_SLOTS];
        if (endpoint->stream.running)
            stream_fill(device, endpoint);
        else if (endpoint->type != ENDPOINT_NONE)
            oneshot_dispatch(device, endpoint);
    }
}

/* A transfer of a device that is gone: the guest was told about the device, and needs no answer. */
static void transfer_gone(Device *device, Transfer *transfer)
{
    Endpoint *endpoint = transfer->endpoint;
    if (!transfer_returned(device, transfer))
        return;
    g_queue_remove(&endpoint->transfers, transfer);
    transfer_free(transfer);
}

static void transfer_completed(Device *device, Transfer *transfer, const RdpusbDeviceEvent *event)
{
    if (event->status == RDPUSB_STATUS_GONE && device->state == DEVICE_GONE)
        transfer_gone(device, transfer);
    else if (transfer->kind == TRANSFER_STREAM)
        stream_completed(device, transfer, event);
    else
        oneshot_completed(device, transfer, event);
}

void device_client_event(Device *device, const RdpusbDeviceEvent *event, int64_t now)
{
    device->now = now;
    if (event->type != RDPUSB_DEVICE_EVENT_COMPLETION)
        return;
    Request *request = event->owner;
    if (request->owner == REQUEST_JOB)
        job_completed(device, event->owner, event);
    else
        transfer_completed(device, event->owner, event);
    go_on(device);
}

int64_t device_deadline(const Device *device)
{
    int64_t deadline = jobs_deadline(device);
    for (unsigned slot = 0; slot < ENDPOINT_SLOTS; slot++) {
        int64_t of_stream = stream_deadline(device, &device->endpoints[slot]);
        deadline = MIN(deadline, of_stream);
    }
    return deadline;
}

void device_tick(Device *device, int64_t now)
{
    device->now = now;
    for (unsigned slot = 0; slot < ENDPOINT_SLOTS && device->state != DEVICE_GONE; slot++)
        if (device->endpoints[slot].stream.running)
            stream_tick(device, &device->endpoints[slot]);
    go_on(device);
}

/* ---- Requests of the guest ---- */

static Endpoint *usable_endpoint(Device *device, uint8_t address, EndpointType type)
{
    if ((address & 0x70) != 0)
        return NULL;
    Endpoint *endpoint = &device->endpoints[ENDPOINT_SLOT(address)];
    return endpoint->type == (uint8_t) type ? endpoint : NULL;
}

void device_bulk(Device *device, uint64_t id, uint8_t address, uint32_t stream_id, GBytes *data,
                 uint32_t length, int64_t now)
{
    device->now = now;
    Endpoint *endpoint = usable_endpoint(device, address, ENDPOINT_BULK);
    if (!endpoint || endpoint->stream.running || length > device->limits.max_bytes_in_flight ||
        (!(address & 0x80) && length != (data ? g_bytes_get_size(data) : 0))) {
        Answer *answer = device_answer(device, ANSWER_BULK, id, DEVICE_INVAL);
        answer->endpoint = address;
        answer->stream_id = stream_id;
        g_clear_pointer(&data, g_bytes_unref);
        return;
    }
    Transfer *transfer = transfer_new(endpoint, TRANSFER_BULK, id, length);
    transfer->stream_id = stream_id;
    transfer->out = data;
    oneshot_submit(device, transfer);
}

void device_interrupt_out(Device *device, uint64_t id, uint8_t address, GBytes *data, int64_t now)
{
    device->now = now;
    Endpoint *endpoint = usable_endpoint(device, address & 0x7f, ENDPOINT_INTERRUPT);
    if (!endpoint || address & 0x80) {
        Answer *answer = device_answer(device, ANSWER_INTERRUPT_OUT, id, DEVICE_INVAL);
        answer->endpoint = address;
        g_clear_pointer(&data, g_bytes_unref);
        return;
    }
    uint32_t length = data ? g_bytes_get_size(data) : 0;
    Transfer *transfer = transfer_new(endpoint, TRANSFER_INTERRUPT_OUT, id, length);
    transfer->out = data;
    oneshot_submit(device, transfer);
}

/* ---- Streams ---- */

static void stream_status(Device *device, AnswerType type, uint8_t address, uint32_t stream_id,
                          bool success)
{
    Answer *answer = device_answer(device, type, 0, success ? DEVICE_SUCCESS : DEVICE_INVAL);
    answer->endpoint = address;
    answer->stream_id = stream_id;
}

/* What does not run is stopped with success, as usbredirhost says. */
static void stop_stream(Device *device, uint8_t address, EndpointType type)
{
    Endpoint *endpoint = usable_endpoint(device, address, type);
    if (endpoint)
        stream_stop(device, endpoint);
}

void device_start_interrupt_receiving(Device *device, uint8_t address, int64_t now)
{
    device->now = now;
    Endpoint *endpoint = usable_endpoint(device, address, ENDPOINT_INTERRUPT);
    bool started = endpoint && stream_start_interrupt(device, endpoint);
    stream_status(device, ANSWER_INTERRUPT_RECEIVING_STATUS, address, 0, started);
}

void device_stop_interrupt_receiving(Device *device, uint8_t address, int64_t now)
{
    device->now = now;
    stop_stream(device, address, ENDPOINT_INTERRUPT);
    stream_status(device, ANSWER_INTERRUPT_RECEIVING_STATUS, address, 0, true);
}

void device_start_bulk_receiving(Device *device, uint8_t address, uint32_t stream_id,
                                 uint32_t bytes_per_transfer, uint8_t no_transfers, int64_t now)
{
    device->now = now;
    Endpoint *endpoint = usable_endpoint(device, address, ENDPOINT_BULK);
    bool started = endpoint &&
                   stream_start_bulk(device, endpoint, stream_id, bytes_per_transfer, no_transfers);
    stream_status(device, ANSWER_BULK_RECEIVING_STATUS, address, stream_id, started);
}

void device_stop_bulk_receiving(Device *device, uint8_t address, uint32_t stream_id, int64_t now)
{
    device->now = now;
    stop_stream(device, address, ENDPOINT_BULK);
    stream_status(device, ANSWER_BULK_RECEIVING_STATUS, address, stream_id, true);
}

void device_start_iso_stream(Device *device, uint8_t address, uint8_t pkts_per_urb, uint8_t no_urbs,
                             int64_t now)
{
    device->now = now;
    Endpoint *endpoint = usable_endpoint(device, address, ENDPOINT_ISOCHRONOUS);
    bool started = endpoint && stream_start_isoch(device, endpoint, pkts_per_urb, no_urbs);
    stream_status(device, ANSWER_ISO_STREAM_STATUS, address, 0, started);
}

void device_stop_iso_stream(Device *device, uint8_t address, int64_t now)
{
    device->now = now;
    stop_stream(device, address, ENDPOINT_ISOCHRONOUS);
    stream_status(device, ANSWER_ISO_STREAM_STATUS, address, 0, true);
}

/* What comes after a stop crossed it, and is dropped. */
void device_iso_packet(Device *device, uint8_t address, GBytes *data, int64_t now)
{
    device->now = now;
    GBytes *packet = data ? data : g_bytes_new(NULL, 0);
    Endpoint *endpoint = usable_endpoint(device, address, ENDPOINT_ISOCHRONOUS);
    bool fits =
        endpoint && !(address & 0x80) && g_bytes_get_size(packet) <= endpoint->max_packet_size;
    if (!fits)
        stream_status(device, ANSWER_ISO_STREAM_STATUS, address, 0, false);
    if (fits && endpoint->stream.running)
        isoch_put(device, endpoint, packet);
    else
        g_bytes_unref(packet);
}

/* ---- Cancelling ---- */

/* Answered at once: QEMU may give the id to another request the next moment. An id that is not
 * there was answered already, and the two crossed. */
void device_cancel(Device *device, uint64_t id, int64_t now)
{
    device->now = now;
    if (jobs_cancel_id(device, id)) {
        go_on(device); /* with what it kept waiting */
        return;
    }
    for (unsigned slot = 0; slot < ENDPOINT_SLOTS; slot++) {
        for (GList *link = device->endpoints[slot].transfers.head; link; link = link->next) {
            Transfer *transfer = link->data;
            if (transfer->kind == TRANSFER_STREAM || transfer->id != id)
                continue;
            transfer_cancel(device, transfer, true);
            go_on(device);
            return;
        }
    }
}

/* A reset of the guest's port stays on this side: the client's stack has none that works (see
 * docs/protocol-notes.md). What it has to achieve, a device in its first state, follows when the
 * guest sets the configuration, because the device is dirty. */
void device_reset(Device *device, int64_t now)
{
    device->now = now;
    if (!device->used_since_reset && device->guest_requests == 0)
        return;
    device->used_since_reset = false;
    for (unsigned slot = 0; slot < ENDPOINT_SLOTS; slot++)
        if (device->endpoints[slot].stream.running)
            stream_tell(device, &device->endpoints[slot], DEVICE_STALL);
    abandon(device, true);
}
