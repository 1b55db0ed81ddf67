/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The requests of one device that are not answered: ids, order, deadlines, and how many and how
 * many bytes of them the limits allow.
 *
 * A request is QUEUED while its message waits to be fetched, then SENT with a watchdog, perhaps
 * CANCELLING with a period of grace. Whoever is given up becomes a ZOMBIE: its owner has been told,
 * but its id stays taken, because the answer may still come.
 */
#pragma once

#include "outbox.h"
#include <rdpusb/urbdrc.h>

typedef enum {
    URBDRC_REQUEST_CONTROL,
    URBDRC_REQUEST_SELECT_CONFIGURATION,
    URBDRC_REQUEST_UNCONFIGURE,
    URBDRC_REQUEST_SELECT_INTERFACE,
    URBDRC_REQUEST_RESET_PIPE,
    URBDRC_REQUEST_TRANSFER, /* bulk, interrupt, isochronous: the only one that FreeRDP does not
                                execute in the order of arrival, and the only one that it can
                                cancel */
    URBDRC_REQUEST_BARRIER,  /* ours: nobody is told of it */
} UrbdrcRequestKind;

typedef enum {
    URBDRC_REQUEST_QUEUED,
    URBDRC_REQUEST_SENT,
    URBDRC_REQUEST_CANCELLING,
    URBDRC_REQUEST_ZOMBIE,
} UrbdrcRequestPhase;

typedef struct {
    uint32_t id;
    UrbdrcRequestKind kind;
    UrbdrcRequestPhase phase;
    void *owner;
    bool is_in;
    uint32_t size;                 /* bytes wanted, or sent */
    uint32_t configuration_handle; /* of SELECT_INTERFACE */
    unsigned n_packets;            /* isochronous; else 0 */
    bool is_cancelled;             /* the owner asked for it */
    bool is_expired;               /* the watchdog asked for it */
    UrbdrcOutgoing *outgoing;      /* while QUEUED */
    /* of the table */
    int64_t deadline;
    GQueue *timer;
    GList timer_link;
    GList order_link;
} UrbdrcRequest;

/* Control, select and pipe requests of one device at a time, beside the limit for transfers. */
#define URBDRC_MAX_SYNCHRONOUS 16
/* Ids of requests that were given up; beyond, the oldest is forgotten. It could then be mistaken
 * after all, once the ids have wrapped: a thousand million requests later. */
#define URBDRC_MAX_ZOMBIES 4096

#define URBDRC_CONTROL_TIMEOUT  (3 * G_TIME_SPAN_SECOND)
#define URBDRC_SELECT_TIMEOUT   (15 * G_TIME_SPAN_SECOND)
#define URBDRC_PIPE_TIMEOUT     (6 * G_TIME_SPAN_SECOND)
#define URBDRC_TRANSFER_TIMEOUT (13 * G_TIME_SPAN_SECOND)
/* FreeRDP ends an isochronous transfer after two seconds, but says nothing when it failed as a
 * whole. Guests wait five seconds for a change of the setting, which waits for this. */
#define URBDRC_ISOCH_TIMEOUT (2500 * G_TIME_SPAN_MILLISECOND)
#define URBDRC_GRACE         (2 * G_TIME_SPAN_SECOND)

enum { URBDRC_N_TIMERS = 6 };

typedef struct {
    GHashTable *by_id;
    GQueue open; /* in the order of submission, barriers included */
    GQueue zombies;
    /* One for each duration, so that they stay sorted by themselves */
    GQueue timers[URBDRC_N_TIMERS];
    uint32_t last_id;
    unsigned max_transfers, n_transfers;
    unsigned n_synchronous, n_barriers;
    size_t max_bytes, bytes;
} UrbdrcRequestTable;

void urbdrc_request_table_init(UrbdrcRequestTable *table, const RdpusbLimits *limits);
void urbdrc_request_table_clear(UrbdrcRequestTable *table);

/* Whether a transfer of that many bytes has room. */
bool urbdrc_request_table_has_room(const UrbdrcRequestTable *table, size_t bytes);

/* A new request with an id, QUEUED; NULL if there is no room for one of its kind. */
UrbdrcRequest *urbdrc_request_table_add(UrbdrcRequestTable *table, UrbdrcRequestKind kind,
                                        uint32_t size);
/* NULL if there is none. */
UrbdrcRequest *urbdrc_request_table_find(const UrbdrcRequestTable *table, uint32_t id);

/* The message was fetched: SENT. */
void urbdrc_request_table_start(UrbdrcRequestTable *table, UrbdrcRequest *request, int64_t now);
/* The client was asked to cancel: CANCELLING. */
void urbdrc_request_table_cancel(UrbdrcRequestTable *table, UrbdrcRequest *request, int64_t now);
/* ZOMBIE. */
void urbdrc_request_table_bury(UrbdrcRequestTable *table, UrbdrcRequest *request);
/* Answered, or never sent. Frees it. */
void urbdrc_request_table_remove(UrbdrcRequestTable *table, UrbdrcRequest *request);

/* One whose deadline has passed, or NULL. */
UrbdrcRequest *urbdrc_request_table_expired(const UrbdrcRequestTable *table, int64_t now);
int64_t urbdrc_request_table_deadline(const UrbdrcRequestTable *table);
