/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How long to wait before the next try: from 100 ms, doubling to 5 s, each lengthened by up to a
 * tenth at random, so that a hundred ports do not knock at the same moment. */
#pragma once

#include <glib.h>

#define TRANSPORT_BACKOFF_FIRST_MS 100u
#define TRANSPORT_BACKOFF_LAST_MS  5000u

/* @tries: how many have failed before; counted on. Returns milliseconds. */
guint transport_backoff_next(guint *tries);
