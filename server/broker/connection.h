/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One RDP connection, as the broker sees it: a session process, the link to it, the user who logged
 * in there, and that user's devices with their ports. Decides what the session may do. Lives in the
 * main context.
 */
#pragma once

#include "authenticate.h"
#include "captures.h"
#include "certificate.h"
#include "config.h"
#include "ports.h"

/* What every connection needs; outlives them all. */
typedef struct {
    const Config *config;
    const Certificate *certificate;
    const Credentials *credentials;
    const char *session_program;
    Ports *ports;
    Captures *captures; /* NULL: nothing is recorded */
} ConnectionContext;

typedef struct Connection Connection;

/* The process has ended, and everything it had is given back: free the connection. */
typedef void (*ConnectionEnded)(void *owner, Connection *connection);

/* Takes `client`, a connected socket, on failure too. `peer` is its address, for the log. */
Connection *connection_new(const ConnectionContext *context, int client, const char *peer,
                           ConnectionEnded ended, void *owner, GError **error);
/* Kills the process if it still runs. Accepts NULL. */
void connection_free(Connection *connection);

/* Asks the session to tell everybody and to end; one that cannot be asked is killed. */
void connection_disconnect(Connection *connection, const char *reason);
void connection_kill(Connection *connection);
