/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The messages of one channel that the caller has not fetched yet, in order. A message is measured,
 * then encoded straight into the buffer that the caller will own.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>

#include <wire/message.h>

/* One queued message. `request` is whatever it was queued for, NULL for a message of its own. */
typedef struct {
    GList link;
    GBytes *bytes;
    void *request;
} UrbdrcOutgoing;

typedef struct {
    GQueue messages; /* of UrbdrcOutgoing */
    size_t bytes;
} UrbdrcOutbox;

void urbdrc_outbox_init(UrbdrcOutbox *outbox);
/* Drops everything; the outbox can be used again. */
void urbdrc_outbox_clear(UrbdrcOutbox *outbox);

/* NULL, and nothing queued, when the message cannot be encoded: a part of it is too long. */
UrbdrcOutgoing *urbdrc_outbox_push(UrbdrcOutbox *outbox, const WireMessage *message, void *request);
void urbdrc_outbox_drop(UrbdrcOutbox *outbox, UrbdrcOutgoing *outgoing);

/* The oldest message, or NULL; the caller owns it. `request` (may be NULL) gets what it was queued
 * for. */
GBytes *urbdrc_outbox_pop(UrbdrcOutbox *outbox, void **request);
