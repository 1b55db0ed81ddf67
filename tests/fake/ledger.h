/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The fake guest's book of requests: what was asked, what was cancelled, what is not answered yet.
 *
 * It looks an answer up as QEMU's usb-redir does and tells what QEMU would trip over: answers to
 * nothing, second answers, bulk answers out of order, cancelled ids that are not answered at once.
 * Owned by a FakeGuest; knows nothing of packets. */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef enum {
    LEDGER_CONTROL,
    LEDGER_BULK,
    LEDGER_INTERRUPT,
    LEDGER_SET_CONFIGURATION,
    LEDGER_GET_CONFIGURATION,
    LEDGER_SET_ALT_SETTING,
    LEDGER_GET_ALT_SETTING,
} LedgerKind;

typedef struct {
    LedgerKind kind;
    uint64_t id;
    uint8_t endpoint;
    uint32_t length; /* bytes wanted (IN) or sent (OUT) */

    /* control: the set-up packet; set/get: configuration or interface and alternate setting */
    uint8_t request, requesttype;
    uint16_t value, index;

    /* kept by the ledger */
    uint64_t serial;        /* when it was submitted */
    uint64_t cancel_serial; /* when it was cancelled, 0 = was not */
    bool overdue;           /* cancelled, and already reported as not answered */
    bool overtaken;         /* an answer with data went to an older, cancelled request of this id */
    bool drained;           /* a reset or new configuration may end it with "cancelled" */
} LedgerEntry;

/* Told about each fault; @text is borrowed. */
typedef void (*LedgerFault)(void *data, const char *text);

typedef struct Ledger Ledger;

Ledger *ledger_new(LedgerFault fault, void *data);
void ledger_free(Ledger *ledger);

/* Copies @entry; the fields kept by the ledger are set by it. */
void ledger_submit(Ledger *ledger, const LedgerEntry *entry);

/* The request, valid until it is answered; NULL if none of that id waits. */
const LedgerEntry *ledger_cancel(Ledger *ledger, uint64_t id);

/* Whatever waits now may be ended by the peer with status "cancelled". */
void ledger_drain(Ledger *ledger);

/* Takes out the request that this answer ends; NULL (and a fault) if there is none. A get and a set
 * of the same thing share their answer: @kind is either. The caller frees it. */
LedgerEntry *ledger_answer(Ledger *ledger, LedgerKind kind, uint8_t endpoint, uint64_t id,
                           uint8_t status);

/* Requests without an answer, cancelled ones included. */
guint ledger_open(const Ledger *ledger);

/* The first one (from @position on) that is not cancelled; NULL at the end. */
const LedgerEntry *ledger_next(const Ledger *ledger, guint *position);

/* Whether a request to change the tables waits, cancelled or not (usbredir-host may have answered
 * it before it saw the cancel). */
bool ledger_changes_tables(const Ledger *ledger);

/* A fault for each request without an answer. */
void ledger_finish(Ledger *ledger);

/* The device has gone: nothing is expected any more. */
void ledger_clear(Ledger *ledger);
