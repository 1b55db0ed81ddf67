/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the vendor gadget's sources send and its sinks expect: 32-bit little-endian words that count
 * up from 0. A position is that of a byte in this stream. */
#pragma once

#include <glib.h>
#include <stdint.h>

void sequence_fill(uint8_t *data, gsize length, guint64 position);

/* How many bytes are right, from the first one on: @length if all are. */
gsize sequence_check(const uint8_t *data, gsize length, guint64 position);
