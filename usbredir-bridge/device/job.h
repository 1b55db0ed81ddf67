/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Everything that goes to the client one at a time: control requests, selections, pipe resets, the
 * reading of descriptors. FreeRDP's client runs these in the thread that also draws the picture,
 * so a second one in flight would gain nothing.
 *
 * A job names the endpoints that it changes (`hold`): it starts when nothing of them is at the
 * client, and until it is done nothing is sent there. It also names those that the client will
 * disturb on the way (`drain`): they get some time to finish what they have at the client.
 */
#pragma once

#include "device.h"
#include "request.h"

typedef enum {
    JOB_CONTROL,           /* a control request of the guest */
    JOB_CLEAR_HALT,        /* of the guest, by CLEAR_FEATURE(ENDPOINT_HALT) */
    JOB_RESET_STREAM,      /* ours, after a stall */
    JOB_SET_CONFIGURATION, /* of the guest */
    JOB_MAKE_ROOM,         /* ours, before each selection of a configuration */
    JOB_SELECT_DEFAULT,    /* ours, before the device is announced */
    JOB_SET_ALT_SETTING,   /* of the guest */
    JOB_READ,              /* ours, at arrival: see reader.h */
    JOB_CHECK,             /* ours, after a selection: see watch.h */
} JobType;

struct Job {
    Request request; /* first: the owner of the request at the client */
    JobType type;
    bool answered; /* the guest does not wait for it, or no more */
    uint64_t id;   /* the guest's */
    uint32_t hold; /* bits of endpoint slots */
    uint32_t drain;
    int64_t drain_until; /* then they are called back; 0: its turn has not come */
    RdpusbSetup setup;
    GBytes *data; /* OUT data stage */
    uint8_t endpoint;
    uint8_t configuration;
    uint8_t interface, alternate;
};

/* Free with jobs_push(). */
Job *job_new(JobType type, uint64_t id);
void job_free(Job *job);

/* Takes over the job, and starts it as soon as its turn comes. */
void jobs_push(Device *device, Job *job);
/* The same for one that comes before all others. */
void jobs_push_first(Device *device, Job *job);
/* The same for one that resets the endpoint's pipe. */
void jobs_push_reset_pipe(Device *device, Job *job, const Endpoint *endpoint);
/* Instead of jobs_push(): answers a job of the guest that is not even begun, and frees it. */
void job_refuse(Device *device, Job *job, DeviceStatus status);
/* Starts what can be started: call when something came back from the client. */
void jobs_run(Device *device);
/* The endpoints that waiting and running jobs hold or drain. */
uint32_t jobs_held(const Device *device);
/* When the job at the head stops waiting for endpoints to drain. */
int64_t jobs_deadline(const Device *device);
void job_completed(Device *device, Job *job, const RdpusbDeviceEvent *event);

/* The guest no longer waits for any job. With `answer`, it is told so. */
void jobs_cancel(Device *device, bool answer);
/* Answers one job `cancelled`; false when no job has that id. */
bool jobs_cancel_id(Device *device, uint64_t id);

/* Clears a halt for a stream. */
void job_reset_stream(Device *device, Endpoint *endpoint);

/* ---- What each type does, in control.c, configure.c, reader.c and watch.c ---- */

/* Returns the id of the request at the client, or 0 when the job is done and answered already. */
uint32_t control_start(Device *device, Job *job);
void control_completed(Device *device, Job *job, const RdpusbDeviceEvent *event);
uint32_t reset_pipe_start(Device *device, Job *job);
void clear_halt_completed(Device *device, Job *job, const RdpusbDeviceEvent *event);
void reset_stream_completed(Device *device, Job *job, const RdpusbDeviceEvent *event);
uint32_t make_room_start(Device *device, Job *job);
void make_room_completed(Device *device, Job *job, const RdpusbDeviceEvent *event);
uint32_t set_configuration_start(Device *device, Job *job);
void set_configuration_completed(Device *device, Job *job, const RdpusbDeviceEvent *event);
uint32_t select_default_start(Device *device, Job *job);
void select_default_completed(Device *device, Job *job, const RdpusbDeviceEvent *event);
uint32_t set_alt_setting_start(Device *device, Job *job);
void set_alt_setting_completed(Device *device, Job *job, const RdpusbDeviceEvent *event);
uint32_t read_start(Device *device, Job *job);
void read_completed(Device *device, Job *job, const RdpusbDeviceEvent *event);
uint32_t check_start(Device *device, Job *job);
void check_completed(Device *device, Job *job, const RdpusbDeviceEvent *event);

/* The answer that `type` of job owes the guest. */
void job_answer(Device *device, Job *job, DeviceStatus status, const uint8_t *data, size_t size);
