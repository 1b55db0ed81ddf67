/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The isochronous test device's numbers and its data, for the other end: plain C, usable by test
 * programs in a guest.
 *
 * Interface 0, at high speed (at full speed, `speed=full`, the intervals are all 1 ms):
 *   setting 0: nothing
 *   setting 1: source and sink of 192 bytes each 1 ms, as 48 kHz, stereo, 16 bit
 *   setting 2: source of 3 x 1024 bytes each 125 us, 24.6 MB/s (full speed: 1023 bytes)
 *   setting 3: sink of any size up to 192 bytes each 1 ms, as 44.1 kHz with its 176 and 180 bytes
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define ISOCHRONOUS_SOURCE 0x81
#define ISOCHRONOUS_SINK   0x01

enum isochronous_setting {
    ISOCHRONOUS_IDLE,
    ISOCHRONOUS_BOTH,
    ISOCHRONOUS_FAST,
    ISOCHRONOUS_UNEVEN,
    ISOCHRONOUS_SETTINGS
};

#define ISOCHRONOUS_PACKET           192
#define ISOCHRONOUS_FAST_PACKET      3072
#define ISOCHRONOUS_FAST_PACKET_FULL 1023
#define ISOCHRONOUS_COUNTER_LENGTH   4 /* the least that a sink can check */

/* The byte at an offset of a packet: a counter in the first four, little-endian, and the counter
 * plus the offset behind it. A source counts the service intervals since its setting was chosen,
 * also those without a transfer; a sink wants a counter that goes up by one from any start. */
static inline uint8_t isochronous_byte(uint32_t counter, size_t offset)
{
    return (uint8_t) (offset < ISOCHRONOUS_COUNTER_LENGTH ? counter >> (8 * offset)
                                                          : counter + offset);
}

static inline uint32_t isochronous_counter(const uint8_t *packet)
{
    return packet[0] | (uint32_t) packet[1] << 8 | (uint32_t) packet[2] << 16 |
           (uint32_t) packet[3] << 24;
}

static inline void isochronous_fill(uint8_t *packet, size_t length, uint32_t counter)
{
    for (size_t i = 0; i < length; i++)
        packet[i] = isochronous_byte(counter, i);
}

/* Whether all that follows the counter belongs to it; shorter packets are never whole. */
static inline int isochronous_whole(const uint8_t *packet, size_t length)
{
    if (length < ISOCHRONOUS_COUNTER_LENGTH)
        return 0;
    uint32_t counter = isochronous_counter(packet);
    for (size_t i = ISOCHRONOUS_COUNTER_LENGTH; i < length; i++)
        if (packet[i] != (uint8_t) (counter + i))
            return 0;
    return 1;
}
