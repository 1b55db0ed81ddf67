/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pace.h"

#include <glib.h>

#define WINDOW G_TIME_SPAN_SECOND

void pace_start(Pace *pace, int64_t packet_time)
{
    *pace = (Pace){.packet_time = packet_time, .jitter = pace->jitter};
}

static int64_t end_window(Pace *pace, int64_t now)
{
    int64_t jitter = pace->latest - pace->earliest;
    int64_t lost = pace->earliest - pace->last_earliest;
    pace->jitter = MAX(jitter, pace->jitter * 7 / 8);
    pace->last_earliest = pace->earliest;
    pace->earliest = INT64_MAX;
    pace->latest = INT64_MIN;
    pace->window_end = now + WINDOW;
    return MAX(lost, 0);
}

int64_t pace_advance(Pace *pace, unsigned n, int64_t now)
{
    if (pace->window_end == 0) {
        pace->start = now - n * pace->packet_time;
        pace->earliest = pace->last_earliest = INT64_MAX;
        pace->latest = INT64_MIN;
        pace->window_end = now + WINDOW;
    }
    pace->packets += n;
    int64_t late = now - pace->start - (int64_t) pace->packets * pace->packet_time;
    pace->earliest = MIN(pace->earliest, late);
    pace->latest = MAX(pace->latest, late);
    if (now < pace->window_end)
        return 0;
    if (pace->last_earliest == INT64_MAX)
        pace->last_earliest = pace->earliest;
    return end_window(pace, now);
}
