/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What fuzz targets hold to be true. Not g_assert(), which a build may leave out. */
#pragma once

#include <glib.h>

#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition))                                                                          \
            g_error("%s:%d: not so: %s", __FILE__, __LINE__, #condition);                          \
    } while (0)
