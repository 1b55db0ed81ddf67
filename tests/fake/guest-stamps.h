/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How long events take from the device to the guest. */
#pragma once

#include "guest-socket.h"

/* Receives @count packets of an interrupt IN endpoint, each of which begins with the time of its
 * event (64 bits little-endian, nanoseconds of CLOCK_MONOTONIC), and appends their ages at arrival
 * in microseconds, separated by spaces, to @result. */
bool guest_stamps(GuestSocket *socket, uint8_t endpoint, guint count, GString *result,
                  GError **error);
