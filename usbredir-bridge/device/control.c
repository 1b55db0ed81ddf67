/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Control requests of the guest. Those that change state which the client keeps too (halts; the
 * configuration and alternate settings come as requests of their own) go the client's way, those
 * that mean nothing behind a bridge are answered here, and the rest is the device's.
 */
#include "job.h"
#include "oneshot.h"
#include "stream.h"
#include "watch.h"

#define REQUEST_TYPE_MASK         0x60
#define REQUEST_CLEAR_FEATURE     1
#define REQUEST_SET_FEATURE       3
#define REQUEST_SET_ADDRESS       5
#define REQUEST_SET_CONFIGURATION 9
#define REQUEST_SET_INTERFACE     11
#define REQUEST_SET_SEL           48
#define REQUEST_SET_ISOCH_DELAY   49
#define FEATURE_ENDPOINT_HALT     0
#define FEATURE_U1_ENABLE         48
#define FEATURE_LTM_ENABLE        50

/* Linux refuses more in a client's usbfs, and QEMU in the guest's controller. */
#define MAX_CONTROL_LENGTH 4096

static bool is_standard(const RdpusbSetup *setup, uint8_t request_type, uint8_t request)
{
    return setup->request_type == request_type && setup->request == request;
}

static bool is_clear_halt(const RdpusbSetup *setup)
{
    return is_standard(setup, 0x02, REQUEST_CLEAR_FEATURE) &&
           setup->value == FEATURE_ENDPOINT_HALT && setup->length == 0;
}

/* Link power and latency belong to the client's bus, the address to the guest's. */
static bool is_for_the_bus(const RdpusbSetup *setup)
{
    if (setup->request_type != 0x00)
        return false;
    if (setup->request == REQUEST_SET_FEATURE || setup->request == REQUEST_CLEAR_FEATURE)
        return setup->value >= FEATURE_U1_ENABLE && setup->value <= FEATURE_LTM_ENABLE;
    return setup->request == REQUEST_SET_ADDRESS || setup->request == REQUEST_SET_SEL ||
           setup->request == REQUEST_SET_ISOCH_DELAY;
}

/* QEMU turns these into requests of their own. Sent raw, to whatever recipient, they would change
 * the device behind the client's back. */
static bool is_out_of_place(const RdpusbSetup *setup)
{
    return (setup->request_type & (REQUEST_TYPE_MASK | 0x80)) == 0 &&
           (setup->request == REQUEST_SET_CONFIGURATION || setup->request == REQUEST_SET_INTERFACE);
}

uint32_t control_start(Device *device, Job *job)
{
    const RdpusbSetup *setup = &job->setup;
    if (watch_concerns(device, setup))
        return watch_start(device, job);
    if (is_for_the_bus(setup)) {
        job_answer(device, job, DEVICE_SUCCESS, NULL, setup->length);
        return 0;
    }
    if (is_out_of_place(setup) || setup->length > MAX_CONTROL_LENGTH) {
        job_answer(device, job, DEVICE_STALL, NULL, 0);
        return 0;
    }
    bool reads = setup->request_type == 0x80 || setup->request_type == 0x81;
    if (!reads)
        device->dirty = device->used_since_reset = true;
    return rdpusb_device_channel_control(device->channel, setup,
                                         job->data ? g_bytes_get_data(job->data, NULL) : NULL, job);
}

void control_completed(Device *device, Job *job, const RdpusbDeviceEvent *event)
{
    if (watch_concerns(device, &job->setup)) {
        watch_completed(device, job, event);
        return;
    }
    bool in = job->setup.request_type & 0x80;
    size_t size = MIN(event->size, job->setup.length);
    job_answer(device, job, device_status_from_client(event->status, in), in ? event->data : NULL,
               size);
}

/* ---- Halts ---- */

uint32_t reset_pipe_start(Device *device, Job *job)
{
    const Endpoint *endpoint = &device->endpoints[ENDPOINT_SLOT(job->endpoint)];
    return rdpusb_device_channel_reset_pipe(device->channel, endpoint->pipe_handle, job);
}

/* FreeRDP 3.12 to 3.22 clears the halt and says nothing. */
static bool pipe_was_reset(const RdpusbDeviceEvent *event)
{
    return event->status == RDPUSB_STATUS_SUCCESS || event->status == RDPUSB_STATUS_SILENT;
}

void clear_halt_completed(Device *device, Job *job, const RdpusbDeviceEvent *event)
{
    job_answer(device, job, pipe_was_reset(event) ? DEVICE_SUCCESS : DEVICE_STALL, NULL, 0);
}

void reset_stream_completed(Device *device, Job *job, const RdpusbDeviceEvent *event)
{
    Endpoint *endpoint = &device->endpoints[ENDPOINT_SLOT(job->endpoint)];
    stream_pipe_was_reset(device, endpoint, pipe_was_reset(event));
}

static void clear_halt(Device *device, Job *job)
{
    uint8_t address = job->setup.index & 0x8f;
    Endpoint *endpoint = &device->endpoints[ENDPOINT_SLOT(address)];
    bool known = endpoint->type != ENDPOINT_NONE && (address & 0x0f) != 0;
    if (!known) {
        /* Endpoint 0 recovers by itself; any other is not there. */
        job_refuse(device, job, (address & 0x0f) == 0 ? DEVICE_SUCCESS : DEVICE_STALL);
        return;
    }
    job->type = JOB_CLEAR_HALT;
    jobs_push_reset_pipe(device, job, endpoint);
}

void device_control(Device *device, uint64_t id, uint8_t endpoint, const RdpusbSetup *setup,
                    const uint8_t *data, size_t size, int64_t now)
{
    device->now = now;
    Job *job = job_new(JOB_CONTROL, id);
    job->endpoint = endpoint;
    job->setup = *setup;
    bool out = !(setup->request_type & 0x80);
    if (out && setup->length > 0 && size == setup->length)
        job->data = g_bytes_new(data, size);

    if ((endpoint & 0x7f) != 0 || (out && size != setup->length)) {
        job_refuse(device, job, DEVICE_INVAL);
    } else if (is_clear_halt(setup)) {
        clear_halt(device, job);
    } else {
        jobs_push(device, job);
    }
}
