/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Between a session's end of the link and GDBus, which would take messages of 128 MiB, lines of any
 * length in the hand-shake before them, and descriptors that nobody asked for. Passes on what a
 * session may send; at anything else, the link ends. Lives in the main context.
 */
#pragma once

#include <stdbool.h>

/* The longest are Attach, with the description of a device, and the answer to Configure, with a
 * certificate. */
#define LINK_GATE_MAX_MESSAGE (64 * 1024)

typedef struct LinkGate LinkGate;

/* Takes both sockets: the one towards the session, and the one towards GDBus. */
LinkGate *link_gate_new(int session, int broker);
/* Whether it ended the link because of a message that is too long. */
bool link_gate_has_refused(const LinkGate *gate);
/* Accepts NULL. */
void link_gate_free(LinkGate *gate);
