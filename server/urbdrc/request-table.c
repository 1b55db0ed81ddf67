/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "request-table.h"

enum { ISOCH_TIMER = 4, GRACE_TIMER };

static const int64_t timer_durations[URBDRC_N_TIMERS] = {
    URBDRC_CONTROL_TIMEOUT,  URBDRC_SELECT_TIMEOUT, URBDRC_PIPE_TIMEOUT,
    URBDRC_TRANSFER_TIMEOUT, URBDRC_ISOCH_TIMEOUT,  URBDRC_GRACE,
};

static unsigned timer_of(const UrbdrcRequest *request)
{
    switch (request->kind) {
    case URBDRC_REQUEST_CONTROL: return 0;
    case URBDRC_REQUEST_SELECT_CONFIGURATION:
    case URBDRC_REQUEST_UNCONFIGURE:
    case URBDRC_REQUEST_SELECT_INTERFACE:
    case URBDRC_REQUEST_BARRIER: return 1; /* waits behind the slowest of them */
    case URBDRC_REQUEST_RESET_PIPE: return 2;
    case URBDRC_REQUEST_TRANSFER: return request->n_packets > 0 ? ISOCH_TIMER : 3;
    }
    g_assert_not_reached();
}

void urbdrc_request_table_init(UrbdrcRequestTable *table, const RdpusbLimits *limits)
{
    *table = (UrbdrcRequestTable){
        .by_id = g_hash_table_new(NULL, NULL),
        .max_transfers = limits->max_requests,
        .max_bytes = limits->max_bytes_in_flight,
    };
}

void urbdrc_request_table_clear(UrbdrcRequestTable *table)
{
    while (table->open.head)
        urbdrc_request_table_remove(table, table->open.head->data);
    while (table->zombies.head)
        urbdrc_request_table_remove(table, table->zombies.head->data);
    g_clear_pointer(&table->by_id, g_hash_table_unref);
}

bool urbdrc_request_table_has_room(const UrbdrcRequestTable *table, size_t bytes)
{
    return table->n_transfers < table->max_transfers && table->bytes <= table->max_bytes &&
           bytes <= table->max_bytes - table->bytes;
}

static bool has_room(const UrbdrcRequestTable *table, UrbdrcRequestKind kind, uint32_t size)
{
    switch (kind) {
    case URBDRC_REQUEST_TRANSFER: return urbdrc_request_table_has_room(table, size);
    case URBDRC_REQUEST_BARRIER: return table->n_barriers < URBDRC_MAX_SYNCHRONOUS;
    case URBDRC_REQUEST_CONTROL:
    case URBDRC_REQUEST_SELECT_CONFIGURATION:
    case URBDRC_REQUEST_UNCONFIGURE:
    case URBDRC_REQUEST_SELECT_INTERFACE:
    case URBDRC_REQUEST_RESET_PIPE: return table->n_synchronous < URBDRC_MAX_SYNCHRONOUS;
    }
    g_assert_not_reached();
}

static void count(UrbdrcRequestTable *table, const UrbdrcRequest *request, int by)
{
    if (request->kind == URBDRC_REQUEST_BARRIER) {
        table->n_barriers += by;
    } else if (request->kind != URBDRC_REQUEST_TRANSFER) {
        table->n_synchronous += by;
    } else {
        table->n_transfers += by;
        table->bytes = by > 0 ? table->bytes + request->size : table->bytes - request->size;
    }
}

/* Ends because far fewer ids are taken than there are. */
static uint32_t next_id(UrbdrcRequestTable *table)
{
    do
        table->last_id =
            table->last_id == WIRE_REQUEST_ID_MAX ? WIRE_REQUEST_ID_MIN : table->last_id + 1;
    while (g_hash_table_contains(table->by_id, GUINT_TO_POINTER(table->last_id)));
    return table->last_id;
}

UrbdrcRequest *urbdrc_request_table_add(UrbdrcRequestTable *table, UrbdrcRequestKind kind,
                                        uint32_t size)
{
    if (!has_room(table, kind, size))
        return NULL;
    UrbdrcRequest *request = g_new(UrbdrcRequest, 1);
    *request = (UrbdrcRequest){
        .id = next_id(table),
        .kind = kind,
        .size = size,
        .timer_link = {.data = request},
        .order_link = {.data = request},
    };
    g_hash_table_insert(table->by_id, GUINT_TO_POINTER(request->id), request);
    g_queue_push_tail_link(&table->open, &request->order_link);
    count(table, request, +1);
    return request;
}

UrbdrcRequest *urbdrc_request_table_find(const UrbdrcRequestTable *table, uint32_t id)
{
    return g_hash_table_lookup(table->by_id, GUINT_TO_POINTER(id));
}

static void stop_timer(UrbdrcRequest *request)
{
    if (request->timer)
        g_queue_unlink(request->timer, &request->timer_link);
    request->timer = NULL;
}

static void set_timer(UrbdrcRequestTable *table, UrbdrcRequest *request, unsigned timer,
                      int64_t now)
{
    stop_timer(request);
    request->timer = &table->timers[timer];
    request->deadline = now + timer_durations[timer];
    g_queue_push_tail_link(request->timer, &request->timer_link);
}

void urbdrc_request_table_start(UrbdrcRequestTable *table, UrbdrcRequest *request, int64_t now)
{
    request->phase = URBDRC_REQUEST_SENT;
    request->outgoing = NULL;
    set_timer(table, request, timer_of(request), now);
}

void urbdrc_request_table_cancel(UrbdrcRequestTable *table, UrbdrcRequest *request, int64_t now)
{
    request->phase = URBDRC_REQUEST_CANCELLING;
    set_timer(table, request, GRACE_TIMER, now);
}

void urbdrc_request_table_bury(UrbdrcRequestTable *table, UrbdrcRequest *request)
{
    stop_timer(request);
    count(table, request, -1);
    g_queue_unlink(&table->open, &request->order_link);
    g_queue_push_tail_link(&table->zombies, &request->order_link);
    request->phase = URBDRC_REQUEST_ZOMBIE;
    if (table->zombies.length > URBDRC_MAX_ZOMBIES)
        urbdrc_request_table_remove(table, table->zombies.head->data);
}

void urbdrc_request_table_remove(UrbdrcRequestTable *table, UrbdrcRequest *request)
{
    stop_timer(request);
    if (request->phase == URBDRC_REQUEST_ZOMBIE) {
        g_queue_unlink(&table->zombies, &request->order_link);
    } else {
        g_queue_unlink(&table->open, &request->order_link);
        count(table, request, -1);
    }
    g_hash_table_remove(table->by_id, GUINT_TO_POINTER(request->id));
    g_free(request);
}

UrbdrcRequest *urbdrc_request_table_expired(const UrbdrcRequestTable *table, int64_t now)
{
    for (unsigned i = 0; i < URBDRC_N_TIMERS; i++) {
        UrbdrcRequest *first = table->timers[i].head ? table->timers[i].head->data : NULL;
        if (first && first->deadline <= now)
            return first;
    }
    return NULL;
}

int64_t urbdrc_request_table_deadline(const UrbdrcRequestTable *table)
{
    int64_t deadline = RDPUSB_NO_DEADLINE;
    for (unsigned i = 0; i < URBDRC_N_TIMERS; i++) {
        const UrbdrcRequest *first = table->timers[i].head ? table->timers[i].head->data : NULL;
        if (first)
            deadline = MIN(deadline, first->deadline);
    }
    return deadline;
}
