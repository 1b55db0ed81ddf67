/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where our own helper programs are.
 */
#pragma once

#include <glib.h>

/* `variable` in the environment (a build that is not installed), else beside this program, else in
 * libexec. NULL: none of these is a program. Caller frees. */
char *program_find(const char *name, const char *variable, GError **error);
