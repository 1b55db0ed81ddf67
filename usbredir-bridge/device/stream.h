/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Streams: the guest starts them once, and the bridge keeps some transfers at the client all the
 * time and sends on what comes, in the order of submission. So far interrupt receiving; QEMU
 * buffers the packets and answers the guest's polls from there (docs/architecture.md).
 */
#pragma once

#include "transfer.h"

/* Answers with the status; false when that endpoint cannot be started. */
bool stream_start(Device *device, Endpoint *endpoint);
/* The guest wants no more: what is at the client is cancelled, what it still brings is dropped. */
void stream_stop(Device *device, Endpoint *endpoint);
void stream_completed(Device *device, Transfer *transfer, const RdpusbDeviceEvent *event);
/* Keeps the stream filled. */
void stream_fill(Device *device, Endpoint *endpoint);
/* The pipe was reset after a stall. */
void stream_pipe_was_reset(Device *device, Endpoint *endpoint, bool success);
