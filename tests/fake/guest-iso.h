/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Isochronous streams as a guest with QEMU runs them: packets go out at the guest's clock, and
 * those that come are taken through the queue of 60 ms that QEMU has for them. The data is the
 * isochronous gadget's: a counter in the first four bytes, little-endian, and the counter plus the
 * offset behind it. */
#pragma once

#include "guest-socket.h"

/* Runs the streams of the @n endpoints at the same time for @seconds, and appends to @result what
 * came of each: of an IN endpoint
 *   received: whole packets in their order, lost: counters that did not come, repeated,
 *   out-of-order, damaged; failed: packets with an error, empty: without data;
 *   dropped: by QEMU's queue, because too much came at once, underruns: of that queue;
 * of an OUT endpoint how many were sent, and of both how often the peer ended the stream. */
bool guest_iso_run(GuestSocket *socket, const uint8_t *endpoints, guint n, guint seconds,
                   GString *result, GError **error);
