/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Streams: the guest starts them once; towards it, the bridge keeps some transfers at the client
 * all the time and sends on what comes, in the order of submission. QEMU buffers the packets and
 * answers the guest's polls from there (docs/architecture.md). Isochronous streams share the life
 * of the others, isoch.h has the rest.
 */
#pragma once

#include "transfer.h"

/* Each is false when that endpoint cannot be started so. */
bool stream_start_interrupt(Device *device, Endpoint *endpoint);
bool stream_start_bulk(Device *device, Endpoint *endpoint, uint32_t stream_id,
                       uint32_t bytes_per_transfer, unsigned no_transfers);
bool stream_start_isoch(Device *device, Endpoint *endpoint, unsigned pkts_per_urb,
                        unsigned no_urbs);

/* The guest wants no more: what is at the client is cancelled, what it still brings is dropped.
 * Isochronous OUT is played to its end. */
void stream_stop(Device *device, Endpoint *endpoint);
/* Ends it without a word, what it has at the client too is the caller's. */
void stream_forget(Endpoint *endpoint);
void stream_completed(Device *device, Transfer *transfer, const RdpusbDeviceEvent *event);
/* Sends what may be sent. */
void stream_fill(Device *device, Endpoint *endpoint);
/* The pipe was reset after a stall. */
void stream_pipe_was_reset(Device *device, Endpoint *endpoint, bool success);

/* When stream_tick() has something to do; RDPUSB_NO_DEADLINE for never. */
int64_t stream_deadline(const Device *device, const Endpoint *endpoint);
/* Gives up what the client does not answer. */
void stream_tick(Device *device, Endpoint *endpoint);

/* Tells the guest, in the words that this kind of endpoint has. */
void stream_tell(Device *device, const Endpoint *endpoint, DeviceStatus status);

/* For isoch.c: a transfer of the stream failed as a whole. */
void stream_failed(Device *device, Endpoint *endpoint, RdpusbStatus status);
