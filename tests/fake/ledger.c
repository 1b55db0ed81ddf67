/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ledger.h"

#include <inttypes.h>
#include <usbredirproto.h>

struct Ledger {
    GPtrArray *entries; /* in the order of submission */
    uint64_t clock;     /* counts submissions and cancels */
    LedgerFault fault;
    void *data;
};

static void G_GNUC_PRINTF(2, 3) fault(const Ledger *ledger, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *text = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    ledger->fault(ledger->data, text);
}

static const char *kind_to_string(LedgerKind kind)
{
    switch (kind) {
    case LEDGER_CONTROL: return "control";
    case LEDGER_BULK: return "bulk";
    case LEDGER_INTERRUPT: return "interrupt";
    case LEDGER_SET_CONFIGURATION: return "set_configuration";
    case LEDGER_GET_CONFIGURATION: return "get_configuration";
    case LEDGER_SET_ALT_SETTING: return "set_alt_setting";
    case LEDGER_GET_ALT_SETTING: return "get_alt_setting";
    }
    return "unknown";
}

/* configuration_status answers both set_ and get_configuration, alt_setting_status likewise. */
static LedgerKind answer_kind(LedgerKind kind)
{
    if (kind == LEDGER_GET_CONFIGURATION)
        return LEDGER_SET_CONFIGURATION;
    return kind == LEDGER_GET_ALT_SETTING ? LEDGER_SET_ALT_SETTING : kind;
}

static LedgerEntry *entry_at(const Ledger *ledger, guint i)
{
    return g_ptr_array_index(ledger->entries, i);
}

static bool fits(const LedgerEntry *entry, LedgerKind kind, uint8_t endpoint)
{
    return answer_kind(entry->kind) == answer_kind(kind) && entry->endpoint == endpoint;
}

Ledger *ledger_new(LedgerFault fault_func, void *data)
{
    Ledger *ledger = g_new0(Ledger, 1);
    ledger->entries = g_ptr_array_new_with_free_func(g_free);
    ledger->fault = fault_func;
    ledger->data = data;
    return ledger;
}

void ledger_free(Ledger *ledger)
{
    if (!ledger)
        return;
    g_ptr_array_unref(ledger->entries);
    g_free(ledger);
}

void ledger_submit(Ledger *ledger, const LedgerEntry *entry)
{
    LedgerEntry *copy = g_memdup2(entry, sizeof(*entry));
    copy->serial = ++ledger->clock;
    copy->cancel_serial = 0;
    copy->overdue = copy->overtaken = copy->drained = false;
    g_ptr_array_add(ledger->entries, copy);
}

const LedgerEntry *ledger_cancel(Ledger *ledger, uint64_t id)
{
    for (guint i = 0; i < ledger->entries->len; i++) {
        LedgerEntry *entry = entry_at(ledger, i);
        if (entry->id == id && !entry->cancel_serial) {
            entry->cancel_serial = ++ledger->clock;
            return entry;
        }
    }
    return NULL;
}

void ledger_drain(Ledger *ledger)
{
    for (guint i = 0; i < ledger->entries->len; i++)
        entry_at(ledger, i)->drained = true;
}

/* QEMU drops the first packet whose id is on its list of cancelled ones, whatever it is. */
static LedgerEntry *find(const Ledger *ledger, LedgerKind kind, uint8_t endpoint, uint64_t id)
{
    LedgerEntry *wrong = NULL;

    for (guint i = 0; i < ledger->entries->len; i++) {
        LedgerEntry *entry = entry_at(ledger, i);
        if (entry->id == id && entry->cancel_serial)
            return entry;
    }
    for (guint i = 0; i < ledger->entries->len; i++) {
        LedgerEntry *entry = entry_at(ledger, i);
        if (entry->id == id && fits(entry, kind, endpoint))
            return entry;
        if (entry->id == id)
            wrong = entry;
    }
    if (wrong)
        fault(ledger, "id %#" PRIx64 " is %s of endpoint 0x%02x, answered as %s of 0x%02x", id,
              kind_to_string(wrong->kind), wrong->endpoint, kind_to_string(kind), endpoint);
    else
        fault(ledger, "answer to unknown id %#" PRIx64 " (%s, endpoint 0x%02x): answered twice?",
              id, kind_to_string(kind), endpoint);
    return NULL;
}

/* usb_packet_complete_one() asserts that the first packet of the queue completes first. */
static void check_order(const Ledger *ledger, const LedgerEntry *answered)
{
    if (answered->kind != LEDGER_BULK && answered->kind != LEDGER_INTERRUPT)
        return;
    for (guint i = 0; entry_at(ledger, i) != answered; i++) {
        const LedgerEntry *older = entry_at(ledger, i);
        if (older->cancel_serial || !fits(older, answered->kind, answered->endpoint))
            continue;
        fault(ledger, "endpoint 0x%02x answered out of order: id %#" PRIx64 " before %#" PRIx64,
              answered->endpoint, answered->id, older->id);
        return;
    }
}

/* The peer reads in order, so a request that came after the cancel proves that it saw the cancel:
 * the cancelled answer, due at once, must have come before. */
static void check_overdue(const Ledger *ledger, const LedgerEntry *answered)
{
    for (guint i = 0; i < ledger->entries->len; i++) {
        LedgerEntry *entry = entry_at(ledger, i);
        if (!entry->cancel_serial || entry->overdue || entry->cancel_serial > answered->serial)
            continue;
        entry->overdue = true;
        fault(ledger,
              "cancelled id %#" PRIx64 " not answered before a later request (%#" PRIx64 ")",
              entry->id, answered->id);
    }
}

static void check_cancelled(const Ledger *ledger, const LedgerEntry *answered, LedgerKind kind,
                            uint8_t endpoint, uint8_t status)
{
    if (!fits(answered, kind, endpoint))
        fault(ledger,
              "cancelled id %#" PRIx64 " is %s of endpoint 0x%02x, answered as %s of 0x%02x",
              answered->id, kind_to_string(answered->kind), answered->endpoint,
              kind_to_string(kind), endpoint);
    if (status == usb_redir_cancelled)
        return;
    for (guint i = 0; i < ledger->entries->len; i++) {
        LedgerEntry *entry = entry_at(ledger, i);
        if (entry->id == answered->id && entry->serial > answered->cancel_serial)
            entry->overtaken = true;
    }
}

LedgerEntry *ledger_answer(Ledger *ledger, LedgerKind kind, uint8_t endpoint, uint64_t id,
                           uint8_t status)
{
    LedgerEntry *entry = find(ledger, kind, endpoint, id);
    if (!entry)
        return NULL;
    if (entry->cancel_serial)
        check_cancelled(ledger, entry, kind, endpoint, status);
    else
        check_order(ledger, entry);
    if (entry->overtaken && !entry->cancel_serial && !entry->drained &&
        status == usb_redir_cancelled)
        fault(ledger,
              "id %#" PRIx64 ": the answer of the new request came before the cancelled one's", id);

    guint position = 0;
    g_ptr_array_find(ledger->entries, entry, &position);
    g_ptr_array_steal_index(ledger->entries, position);
    check_overdue(ledger, entry);
    return entry;
}

guint ledger_open(const Ledger *ledger)
{
    return ledger->entries->len;
}

const LedgerEntry *ledger_next(const Ledger *ledger, guint *position)
{
    while (*position < ledger->entries->len) {
        const LedgerEntry *entry = entry_at(ledger, (*position)++);
        if (!entry->cancel_serial)
            return entry;
    }
    return NULL;
}

bool ledger_changes_tables(const Ledger *ledger)
{
    for (guint i = 0; i < ledger->entries->len; i++) {
        LedgerKind kind = entry_at(ledger, i)->kind;
        if (kind == LEDGER_SET_CONFIGURATION || kind == LEDGER_SET_ALT_SETTING)
            return true;
    }
    return false;
}

void ledger_finish(Ledger *ledger)
{
    for (guint i = 0; i < ledger->entries->len; i++) {
        const LedgerEntry *entry = entry_at(ledger, i);
        fault(ledger, "id %#" PRIx64 " (%s, endpoint 0x%02x%s) was never answered", entry->id,
              kind_to_string(entry->kind), entry->endpoint,
              entry->cancel_serial ? ", cancelled" : "");
    }
    ledger_clear(ledger);
}

void ledger_clear(Ledger *ledger)
{
    g_ptr_array_set_size(ledger->entries, 0);
}
