/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where clients wait who have not logged in, and who of them has to go when there are too many (see
 * admission.h). A client that has not said anything costs a descriptor, not a session process:
 * every RDP client speaks first. Lives in the main context.
 */
#pragma once

#include "admission.h"

typedef struct Door Door;
typedef struct Visitor Visitor;

typedef struct {
    const char *peer;   /* address and port, for the log */
    const char *source; /* see admission_source() */
    gint64 accepted;    /* monotonic time */
} Arrival;

typedef struct {
    /* The client has said something, which is still to be read. The owner takes `client`, and says
     * with door_leave() when it has logged in or ended. Returns what stands for it in dropped(), or
     * NULL: it could not be taken, and the visitor is gone. */
    gpointer (*talks)(void *owner, Visitor *visitor, int client, const Arrival *arrival);
    /* It has to go; the visitor is gone already. */
    void (*dropped)(void *owner, gpointer taken);
    /* So many had to go since the last time; `peer` is that of a single one, else NULL. The first
     * at once, then at most once each second. */
    void (*told)(void *owner, const char *peer, guint dropped);
} DoorEvents;

Door *door_new(const AdmissionLimits *limits, guint login_seconds, const DoorEvents *events,
               void *owner);
/* Whoever is still there is gone without a further event. Accepts NULL. */
void door_free(Door *door);

/* Hold for those who come from here on. */
void door_set_limits(Door *door, const AdmissionLimits *limits, guint login_seconds);

/* Takes `client`, a connected socket. `peer` is its address as listener_address_to_string() has it.
 */
void door_enter(Door *door, int client, const char *peer);
/* Accepts NULL. */
void door_leave(Door *door, Visitor *visitor);

/* Nobody waits any more who has not said anything. */
void door_close(Door *door);

/* The descriptors that a door needs at most for clients that wait. */
guint door_max_files(const AdmissionLimits *limits);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Door, door_free)
