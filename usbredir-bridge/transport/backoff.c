/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "backoff.h"

guint transport_backoff_next(guint *tries)
{
    guint delay = TRANSPORT_BACKOFF_FIRST_MS;

    for (guint i = 0; i < *tries && delay < TRANSPORT_BACKOFF_LAST_MS; i++)
        delay *= 2;
    delay = MIN(delay, TRANSPORT_BACKOFF_LAST_MS);
    if (*tries < G_MAXUINT)
        (*tries)++;
    return delay + (guint) g_random_int_range(0, (gint32) (delay / 10) + 1);
}
