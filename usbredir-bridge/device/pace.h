/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The pace of packets that a device moves at a constant rate, as seen through a network: how
 * unevenly they come (jitter, which passes), and when some time was lost for good (the device had
 * nothing to do, because what it should have done was still on its way).
 *
 * A packet is late by the time between its arrival and its place in an even row. Jitter makes some
 * of the packets in a second late; lost time makes all of them late from then on, the earliest one
 * too.
 */
#pragma once

#include <stdint.h>

typedef struct {
    int64_t packet_time; /* microseconds, as all times here */
    int64_t start;       /* of the even row */
    uint64_t packets;
    int64_t window_end;
    int64_t earliest, latest; /* lateness in this window */
    int64_t last_earliest;    /* in the one before */
    int64_t jitter;           /* between the earliest and the latest, of late */
} Pace;

/* Begins a row; the jitter that was measured before is kept. */
void pace_start(Pace *pace, int64_t packet_time);
/* `n` packets more have come. Returns the time that was found lost, 0 mostly. */
int64_t pace_advance(Pace *pace, unsigned n, int64_t now);
