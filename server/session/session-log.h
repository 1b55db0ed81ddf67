/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * FreeRDP's own log joins ours (common/log.h) at level debug: what matters of it is said by us, in
 * words for an administrator.
 */
#pragma once

#include <stdbool.h>

/* Once, before threads exist and before FreeRDP is called. */
void session_log_open(void);

/* `level`: error, warning, info or debug, as in the broker's configuration; false for others.
 * `client`: the address that lines carry. */
bool session_log_configure(const char *level, const char *client);
