/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A record of what passes between a guest and its device, as the bytes of a pcapng file: one URB
 * for each request and its answer, one for each packet of a stream, and notes for what is no
 * transfer. Kept until somebody takes the bytes, up to a limit for the whole file.
 *
 * No I/O and no clock, as everywhere in the library; it knows nothing of usbredir either.
 */
#pragma once

#include "answer.h"
#include "descriptors.h"

typedef struct Capture Capture;

/* `info` is not kept. */
Capture *capture_new(const RdpusbCapture *options, const RdpusbDeviceInfo *info, int64_t now);
/* Accepts NULL. */
void capture_free(Capture *capture);

typedef struct {
    EndpointType type;
    uint8_t endpoint; /* address; of a control request the direction is taken from `setup` */
    uint8_t interval;
    RdpusbSetup setup;   /* control */
    uint32_t length;     /* bytes wanted or given */
    const uint8_t *data; /* OUT payload of `length` bytes, or NULL */
} CaptureRequest;

/* The guest asks. `id` is the guest's own and may come again after its answer. */
void capture_request(Capture *capture, uint64_t id, const CaptureRequest *request, int64_t now);
/* The guest cancels: for it the request is over and its id free, whatever the answer will be. */
void capture_cancel(Capture *capture, uint64_t id, int64_t now);
/* The guest is answered; nothing happens when `id` was not asked. `data` as in Answer. */
void capture_answer(Capture *capture, uint64_t id, DeviceStatus status, uint32_t length,
                    const uint8_t *data, int64_t now);
/* The same for a configuration or alternate setting. usbredir has one answer for asking and
 * setting: it is the data of a request that asked. */
void capture_answer_value(Capture *capture, uint64_t id, DeviceStatus status, uint8_t value,
                          int64_t now);
/* A packet of a stream, which no request asked for: a whole URB at once. `packet` is what the
 * request would have been, with the size of its buffer as `length`. For OUT, `length` and `data`
 * are those of the packet. */
void capture_packet(Capture *capture, uint64_t id, const CaptureRequest *packet,
                    DeviceStatus status, uint32_t length, const uint8_t *data, int64_t now);
/* What is no transfer: a frame of type 'E' with this comment. */
void capture_note(Capture *capture, int64_t now, const char *format, ...) G_GNUC_PRINTF(3, 4);
/* The device is gone for the guest: so is everything it waits for. */
void capture_gone(Capture *capture, int64_t now, const char *note);

/* Records nothing more; `note` is the last frame. */
void capture_end(Capture *capture, int64_t now, const char *note);
/* False after capture_end(), and when the limit was reached. */
bool capture_is_active(const Capture *capture);

/* All bytes since the last call, or NULL; the caller owns them. */
GBytes *capture_take(Capture *capture);

/* What Linux would have said in a URB. */
int capture_status(DeviceStatus status);
