/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Everything that libraries load when it is needed first, needed once: after sandbox_seal() there
 * is no file any more. What a session comes to use in addition is added here.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>

/* Between sandbox_begin() and sandbox_seal(). False: the server's libraries are not what they were
 * built as, and clients could not be served. */
bool prepare_libraries(GError **error);
