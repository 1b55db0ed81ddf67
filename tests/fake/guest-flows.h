/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Data that flows beside the steps of a script: endpoints that a guest keeps busy, whatever else it
 * does, with the vendor gadget's sequence in both directions. Every byte and every status is
 * checked as it comes; the first thing wrong ends a flow and is told at the next question.
 *
 * Positions in the sequence are kept for each endpoint, so flows continue one another. */
#pragma once

#include "guest-socket.h"

typedef struct GuestFlows GuestFlows;

/* Sees the events of @socket from now on; to be freed before it. */
GuestFlows *guest_flows_new(GuestSocket *socket);
void guest_flows_free(GuestFlows *flows);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GuestFlows, guest_flows_free)

/* Keeps @depth requests of @request bytes in flight (0: what suits the endpoint). Bulk and
 * interrupt endpoints; of an interrupt IN endpoint, its stream. */
bool guest_flows_begin(GuestFlows *flows, uint8_t endpoint, uint32_t request, guint depth,
                       GError **error);

/* Waits until the flow has moved @bytes more. */
bool guest_flows_wait(GuestFlows *flows, uint8_t endpoint, guint64 bytes, GError **error);

/* Asks for nothing more and waits for the rest; appends what was moved to @result. What an
 * interrupt IN endpoint still sends is lost: its position is unknown until it is rewound. */
bool guest_flows_end(GuestFlows *flows, uint8_t endpoint, GString *result, GError **error);

/* Cancels what is in flight; the position is unknown after it, as above. */
bool guest_flows_cut(GuestFlows *flows, uint8_t endpoint, GString *result, GError **error);

/* @count requests at once; waits for all and appends their statuses, as "3 success, 5 stall". */
bool guest_flows_queue(GuestFlows *flows, uint8_t endpoint, uint32_t request, guint count,
                       GString *result, GError **error);

/* The guest resets the device or changes an interface (-1: all): what is in flight there may end as
 * it likes, and the sequence begins anew. */
void guest_flows_rewind(GuestFlows *flows, int interface);

/* The script is over: nothing more is asked for. False if some flow had trouble. */
bool guest_flows_finish(GuestFlows *flows, GError **error);
