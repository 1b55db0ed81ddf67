/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Isochronous streams. Each packet is a slot of the device's time, one after the other: what is
 * lost is passed on as lost, at its place, and never waited for.
 *
 * IN: the requests at the client are the buffer against the network: as long as one is there, the
 * device misses nothing. They cover what the guest asked for, or 100 ms, and more where time was
 * lost, up to ISOCH_MOST. What a network that stood still brings at once is never more than they
 * hold, and QEMU smooths that in its own queue of 60 to 120 ms; so there is no queue here.
 *
 * OUT: packets wait until there are enough to outlast the jitter, then go out as they come, packets
 * of equal size together. The guest's clock sets the pace, the acknowledgements tell how much the
 * client has: when it has nothing, the stream begins anew, and when it has more than the guest
 * asked for, the oldest packets that wait are dropped.
 */
#pragma once

#include "stream.h"

/* The most that the requests of one stream cover, microseconds. */
#define ISOCH_MOST (250 * G_TIME_SPAN_MILLISECOND)

/* Fills the rest of an endpoint->stream that was just begun, for so many packets in so many
 * requests. */
void isoch_init(const Device *device, Endpoint *endpoint, unsigned pkts_per_urb, unsigned no_urbs);
/* Forgets what waits. */
void isoch_clear(Stream *stream);

/* IN: the answers for one transfer, good or not. */
void isoch_deliver(Device *device, Endpoint *endpoint, Transfer *transfer);

/* OUT: takes over a packet of the guest. */
void isoch_put(Device *device, Endpoint *endpoint, GBytes *packet);
/* OUT: sends what may be sent; all of it when no more comes. */
void isoch_flow(Device *device, Endpoint *endpoint, bool all);
/* OUT: a transfer is done. */
void isoch_acknowledged(Device *device, Endpoint *endpoint, Transfer *transfer);
