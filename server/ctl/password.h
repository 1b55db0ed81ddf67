/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A new password: from a terminal, where it is asked for twice and not shown, or else one line of
 * standard input.
 */
#pragma once

#include <glib.h>

#define PASSWORD_MAX_BYTES 1024

/* Valid UTF-8, not empty. NULL and INPUT_ERROR: there was none, or two different ones. A signal
 * that comes while it is asked for takes its usual effect once the terminal is as it was. */
char *password_read_new(const char *user, GError **error);
/* Overwrites it. Accepts NULL. */
void password_free(char *password);
