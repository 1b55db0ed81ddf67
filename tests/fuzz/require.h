/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What fuzz targets hold to be true. Not g_assert(), which a build may leave out, and not
 * g_error(), whose SIGTRAP ends libFuzzer without keeping the input. */
#pragma once

#include <stdio.h>
#include <stdlib.h>

#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);                \
            abort();                                                                               \
        }                                                                                          \
    } while (0)
