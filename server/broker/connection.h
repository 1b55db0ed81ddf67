/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One RDP connection, as the broker sees it: a session process, the link to it, the user who logged
 * in there, and that user's devices with their ports. Decides what the session may do. Lives in the
 * main context.
 */
#pragma once

#include "door.h"
#include "services.h"

typedef struct Connection Connection;

typedef struct {
    void (*logged_in)(void *owner, Connection *connection);
    /* The process has ended, and everything it had is given back: free the connection. */
    void (*ended)(void *owner, Connection *connection);
} ConnectionEvents;

/* Takes `client`, a connected socket, on failure too. `arrival` is copied, `services` outlives it.
 */
Connection *connection_new(const Services *services, int client, const Arrival *arrival,
                           const ConnectionEvents *events, void *owner, GError **error);
/* Kills the process if it still runs. Accepts NULL. */
void connection_free(Connection *connection);

/* True when nobody has logged in. */
bool connection_is_unauthenticated(const Connection *connection);

/* The rules are new: devices that they do not allow any more are taken away. */
void connection_apply_rules(Connection *connection);

/* Asks the session to tell everybody and to end; one that cannot be asked is killed. */
void connection_disconnect(Connection *connection, const char *reason);
void connection_kill(Connection *connection);
/* Kills it before its login, for others; there are many such, so its end is not logged. */
void connection_drop(Connection *connection);
