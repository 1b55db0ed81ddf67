/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * All connections: accepts them up to the limit, and ends them together. Lives in the main context.
 */
#pragma once

#include "connection.h"

typedef struct Broker Broker;

/* `services` stays the caller's, and outlives the broker. */
Broker *broker_new(const Services *services);
/* Accepts NULL. */
void broker_free(Broker *broker);

/* Listens, and says so on standard output. */
bool broker_open(Broker *broker, GError **error);

/* The rules are new: they hold for the devices of everybody. */
void broker_apply_rules(Broker *broker);

/* Accepts nobody from here on and ends every connection: `closed` comes, once, when the last one is
 * gone, at the latest after the time that a session has to tell its guests. */
void broker_close(Broker *broker, void (*closed)(void *owner), void *owner);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Broker, broker_free)
