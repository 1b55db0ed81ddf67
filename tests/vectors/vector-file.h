/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Test vectors: one message per file, as hexadecimal text. Lines that begin with '#' are comments:
 * section and message, "from: client" or "from: server", what the message says.
 */
#pragma once

#include <glib.h>

/* The bytes of tests/vectors/NAME.hex. Aborts the test if there is no such file, or it holds
 * something else than pairs of hexadecimal digits. Needs G_TEST_SRCDIR of a folder beside. */
GBytes *vector_load(const char *name);
