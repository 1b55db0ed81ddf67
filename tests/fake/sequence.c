/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sequence.h"

static uint8_t byte_at(guint64 position)
{
    return (uint8_t) ((uint32_t) (position / 4) >> position % 4 * 8);
}

void sequence_fill(uint8_t *data, gsize length, guint64 position)
{
    for (gsize i = 0; i < length; i++)
        data[i] = byte_at(position + i);
}

gsize sequence_check(const uint8_t *data, gsize length, guint64 position)
{
    for (gsize i = 0; i < length; i++) {
        if (data[i] != byte_at(position + i))
            return i;
    }
    return length;
}
