/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "job.h"
#include "oneshot.h"

/* How long a job waits for endpoints to drain: guests give up a control request after 5 s. */
#define DRAIN_TIMEOUT G_TIME_SPAN_SECOND

static const struct {
    uint32_t (*start)(Device *device, Job *job);
    void (*completed)(Device *device, Job *job, const RdpusbDeviceEvent *event);
} types[] = {
    [JOB_CONTROL] = {control_start, control_completed},
    [JOB_CLEAR_HALT] = {reset_pipe_start, clear_halt_completed},
    [JOB_RESET_STREAM] = {reset_pipe_start, reset_stream_completed},
    [JOB_SET_CONFIGURATION] = {set_configuration_start, set_configuration_completed},
    [JOB_MAKE_ROOM] = {make_room_start, make_room_completed},
    [JOB_SELECT_DEFAULT] = {select_default_start, select_default_completed},
    [JOB_SET_ALT_SETTING] = {set_alt_setting_start, set_alt_setting_completed},
    [JOB_READ] = {read_start, read_completed},
    [JOB_CHECK] = {check_start, check_completed},
};

static bool is_of_guest(JobType type)
{
    return type == JOB_CONTROL || type == JOB_CLEAR_HALT || type == JOB_SET_CONFIGURATION ||
           type == JOB_SET_ALT_SETTING;
}

Job *job_new(JobType type, uint64_t id)
{
    Job *job = g_new0(Job, 1);
    job->request.owner = REQUEST_JOB;
    job->type = type;
    job->id = id;
    job->answered = !is_of_guest(type);
    return job;
}

void job_free(Job *job)
{
    if (!job)
        return;
    g_clear_pointer(&job->data, g_bytes_unref);
    g_free(job);
}

static uint32_t held_by(const Job *job)
{
    return job->hold | job->drain;
}

uint32_t jobs_held(const Device *device)
{
    uint32_t held = device->running ? held_by(device->running) : 0;
    for (GList *link = device->jobs.head; link; link = link->next)
        held |= held_by(link->data);
    return held;
}

int64_t jobs_deadline(const Device *device)
{
    const Job *head = device->jobs.head ? device->jobs.head->data : NULL;
    bool waits = !device->running && head && head->drain_until > device->now;
    return waits ? head->drain_until : RDPUSB_NO_DEADLINE;
}

/* Those of the endpoints that have something at the client. */
static uint32_t busy(const Device *device, uint32_t slots)
{
    for (unsigned slot = 0; slot < ENDPOINT_SLOTS; slot++)
        if (device->endpoints[slot].at_client == 0)
            slots &= ~(1u << slot);
    return slots;
}

static void recall(Device *device, uint32_t slots)
{
    for (unsigned slot = 0; slot < ENDPOINT_SLOTS; slot++)
        if (slots & 1u << slot)
            endpoint_recall(device, &device->endpoints[slot]);
}

/* Whether nothing at the client stands in the job's way. What it holds is called back at once, what
 * it drains when that takes too long. */
static bool may_start(Device *device, Job *job)
{
    if (job->drain_until == 0)
        job->drain_until = device->now + DRAIN_TIMEOUT;
    uint32_t hold = busy(device, job->hold), drain = busy(device, job->drain);
    recall(device, hold);
    if (device->now >= job->drain_until)
        recall(device, drain);
    return hold == 0 && drain == 0;
}

void jobs_run(Device *device)
{
    Job *job;
    while (!device->running && device->state != DEVICE_GONE &&
           (job = g_queue_peek_head(&device->jobs)) && may_start(device, job)) {
        g_queue_pop_head(&device->jobs);
        device->running = job;
        job->request.id = types[job->type].start(device, job);
        if (job->request.id != 0)
            return;
        device->running = NULL;
        job_answer(device, job, DEVICE_IOERROR, NULL, 0); /* unless it was answered in start */
        job_free(job);
    }
}

void jobs_push(Device *device, Job *job)
{
    if (!job->answered)
        device->guest_requests++;
    g_queue_push_tail(&device->jobs, job);
    jobs_run(device);
}

void jobs_push_first(Device *device, Job *job)
{
    g_queue_push_head(&device->jobs, job);
    jobs_run(device);
}

void job_refuse(Device *device, Job *job, DeviceStatus status)
{
    device->guest_requests++; /* which the answer takes back */
    job_answer(device, job, status, NULL, 0);
    job_free(job);
}

void job_completed(Device *device, Job *job, const RdpusbDeviceEvent *event)
{
    device->running = NULL;
    if (event->status != RDPUSB_STATUS_GONE)
        types[job->type].completed(device, job, event);
    job_free(job);
}

void job_answer(Device *device, Job *job, DeviceStatus status, const uint8_t *data, size_t size)
{
    if (job->answered)
        return;
    job->answered = true;
    device->guest_requests--;

    Answer *answer;
    switch (job->type) {
    case JOB_CONTROL:
    case JOB_CLEAR_HALT:
        answer = device_answer(device, ANSWER_CONTROL, job->id, status);
        /* In a CLEAR_HALT, job->endpoint is the one that is halted. */
        answer->endpoint = job->type == JOB_CLEAR_HALT ? 0 : job->endpoint;
        answer->setup = job->setup;
        answer->length = status == DEVICE_SUCCESS ? size : 0;
        answer->data = answer->length ? data : NULL;
        break;
    case JOB_SET_CONFIGURATION:
        answer = device_answer(device, ANSWER_CONFIGURATION_STATUS, job->id, status);
        answer->configuration = device->configuration ? device->configuration->value : 0;
        break;
    case JOB_SET_ALT_SETTING:
        answer = device_answer(device, ANSWER_ALT_SETTING_STATUS, job->id, status);
        answer->interface = job->interface;
        answer->alternate = device->alternates[job->interface % USB_MAX_INTERFACES];
        break;
    case JOB_RESET_STREAM:
    case JOB_MAKE_ROOM:
    case JOB_SELECT_DEFAULT:
    case JOB_READ:
    case JOB_CHECK: break; /* never unanswered */
    }
}

void jobs_cancel(Device *device, bool answer)
{
    for (GList *link = device->jobs.head, *next; link; link = next) {
        Job *job = link->data;
        next = link->next;
        if (!is_of_guest(job->type))
            continue;
        if (answer)
            job_answer(device, job, DEVICE_CANCELLED, NULL, 0);
        else if (!job->answered)
            device->guest_requests--;
        g_queue_delete_link(&device->jobs, link);
        job_free(job);
    }
    if (device->running && !device->running->answered) {
        if (answer) {
            job_answer(device, device->running, DEVICE_CANCELLED, NULL, 0);
        } else {
            device->running->answered = true;
            device->guest_requests--;
        }
    }
}

bool jobs_cancel_id(Device *device, uint64_t id)
{
    if (device->running && !device->running->answered && device->running->id == id) {
        job_answer(device, device->running, DEVICE_CANCELLED, NULL, 0);
        return true;
    }
    for (GList *link = device->jobs.head; link; link = link->next) {
        Job *job = link->data;
        if (job->answered || job->id != id)
            continue;
        job_answer(device, job, DEVICE_CANCELLED, NULL, 0);
        g_queue_delete_link(&device->jobs, link);
        job_free(job);
        return true;
    }
    return false;
}

/* FreeRDP cancels whatever the device has at the client when one pipe is reset, the oldest first.
 * IN can be sent again; of a queue of OUT the device might take the second transfer but not the
 * first (see settle_out). Isochronous data has no order to lose. */
static uint32_t writers(const Device *device)
{
    uint32_t slots = 0;
    for (unsigned slot = 0; slot < ENDPOINT_SLOTS; slot++) {
        const Endpoint *endpoint = &device->endpoints[slot];
        bool in_order = endpoint->type == ENDPOINT_BULK || endpoint->type == ENDPOINT_INTERRUPT;
        if (in_order && !(endpoint->address & 0x80))
            slots |= 1u << slot;
    }
    return slots;
}

void jobs_push_reset_pipe(Device *device, Job *job, const Endpoint *endpoint)
{
    job->endpoint = endpoint->address;
    job->hold = 1u << ENDPOINT_SLOT(endpoint->address);
    job->drain = writers(device) & ~job->hold;
    jobs_push(device, job);
}

void job_reset_stream(Device *device, Endpoint *endpoint)
{
    jobs_push_reset_pipe(device, job_new(JOB_RESET_STREAM, 0), endpoint);
}
