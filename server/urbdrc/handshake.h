/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How every channel begins, control and device alike ([MS-RDPEUSB] 3.3.5.1, 3.3.5.2):
 *
 *     RIM_EXCHANGE_CAPABILITY_REQUEST  ->
 *                                      <-  RIM_EXCHANGE_CAPABILITY_RESPONSE
 *     release of interface 0, CHANNEL_CREATED  ->
 *                                      <-  CHANNEL_CREATED
 *     release of interface 2           ->      which makes the client announce what it has
 *
 * mstsc closes a channel on which any of it is missing. The device sink, interface 1, is never
 * released: mstsc would take that for the end, too.
 */
#pragma once

#include <stdint.h>

#include "incoming.h"
#include "outbox.h"

/* How long a client may take for each answer. */
#define URBDRC_HANDSHAKE_TIMEOUT (10 * G_TIME_SPAN_SECOND)

typedef enum {
    URBDRC_HANDSHAKE_NEW,          /* the client has not accepted the channel */
    URBDRC_HANDSHAKE_CAPABILITIES, /* waits for RIM_EXCHANGE_CAPABILITY_RESPONSE */
    URBDRC_HANDSHAKE_CREATED,      /* waits for CHANNEL_CREATED */
    URBDRC_HANDSHAKE_DONE,
} UrbdrcHandshakeState;

typedef struct {
    UrbdrcHandshakeState state;
    int64_t deadline;
} UrbdrcHandshake;

void urbdrc_handshake_init(UrbdrcHandshake *handshake);
void urbdrc_handshake_start(UrbdrcHandshake *handshake, UrbdrcOutbox *outbox, int64_t now);

/* Takes what belongs to the hand-shake, and the interface manipulation that is legal at any time;
 * *taken says whether it did. False: the client refused, and error is set. */
bool urbdrc_handshake_take(UrbdrcHandshake *handshake, const WireMessage *m, UrbdrcOutbox *outbox,
                           int64_t now, bool *taken, GError **error);

/* False, and RDPUSB_URBDRC_ERROR_SILENT, when an answer is overdue. */
bool urbdrc_handshake_tick(const UrbdrcHandshake *handshake, int64_t now, GError **error);
