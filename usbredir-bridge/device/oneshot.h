/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Bulk and interrupt-OUT transfers: one request of the guest, one answer, in the guest's order per
 * endpoint (QEMU aborts otherwise).
 *
 * A transfer may need several rounds at the client. FreeRDP's client ends every request after ten
 * seconds, and cancels all requests of the device when one pipe is reset; neither is the guest's
 * business. When that happens to one request, those behind it on the same endpoint would now come
 * before it. So the endpoint is *recalled*: nothing is sent, what is at the client is cancelled,
 * and when all of it is back, the bytes that did arrive are poured into the waiting transfers in
 * their order. Then the rest is sent again.
 */
#pragma once

#include "transfer.h"

/* Takes over the transfer; it is answered in its turn. */
void oneshot_submit(Device *device, Transfer *transfer);
/* The client's word on a transfer. */
void oneshot_completed(Device *device, Transfer *transfer, const RdpusbDeviceEvent *event);
/* Sends what may be sent. */
void oneshot_dispatch(Device *device, Endpoint *endpoint);

/* Answers it `cancelled` at once, and asks the client to cancel it. Frees it, or leaves a zombie.
 */
void transfer_cancel(Device *device, Transfer *transfer, bool answer);
/* The same for all of an endpoint. */
void endpoint_cancel(Device *device, Endpoint *endpoint, bool answer);
/* The same for several, by their slots, streams included: these end without a word. */
void endpoints_abandon(Device *device, uint32_t slots, bool answer);
/* Calls everything back from the client without the guest's noticing. */
void endpoint_recall(Device *device, Endpoint *endpoint);

/* For stream.c: one round to the client. False when it has to wait. */
bool transfer_send(Device *device, Transfer *transfer);
/* For stream.c: the request is no longer at the client. False when it was a zombie, now freed. */
bool transfer_returned(Device *device, Transfer *transfer);
/* For stream.c: a job holds this endpoint. */
bool endpoint_is_in_job(const Device *device, const Endpoint *endpoint);
