/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One RDP connection from its first byte to its last: puts peer, link, control channel and devices
 * together, on one thread and the default main context.
 */
#pragma once

#include <stdbool.h>

#include <glib.h>

/* Serves the client at `client_fd` for the broker at `link_fd` (both taken) until either leaves.
 * False when it could not begin. */
bool session_run(int client_fd, int link_fd, GError **error);
