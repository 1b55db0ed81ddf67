/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lockout.h"

#include <string.h>

/* Longer names are cut: no user has one, and strangers must not choose what a record costs. */
#define MAX_NAME_BYTES 256

/* Failures of a source, a user or a pair of them. */
typedef struct {
    char *key;
    GQueue *queue; /* that `link` is in */
    GList link;
    guint failures;
    gint64 since; /* of the first of them */
    gint64 locked_until;
} Record;

/* When it is full, a record that is not locked is forgotten first, the one that failed longest ago:
 * to make it forget a lock, one must have as many others locked. */
typedef struct {
    GHashTable *records; /* key -> Record */
    GQueue open, locked;
} Table;

struct Lockout {
    LockoutLimits limits;
    Table sources, users;
    Table pairs;    /* who has failed from where, to be forgiven */
    Table familiar; /* who has logged in from where; strangers cannot add to it */
};

/* ---- Tables ---- */

static void record_free(gpointer data)
{
    Record *record = data;
    g_free(record->key);
    g_free(record);
}

static void table_init(Table *table)
{
    table->records = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, record_free);
    g_queue_init(&table->open);
    g_queue_init(&table->locked);
}

static void table_clear(Table *table)
{
    g_hash_table_unref(table->records); /* the links of both queues are in the records */
}

static Record *table_find(const Table *table, const char *key)
{
    return g_hash_table_lookup(table->records, key);
}

static void table_remove(Table *table, Record *record)
{
    g_queue_unlink(record->queue, &record->link);
    g_hash_table_remove(table->records, record->key);
}

static void table_move(Record *record, GQueue *queue)
{
    g_queue_unlink(record->queue, &record->link);
    record->queue = queue;
    g_queue_push_tail_link(queue, &record->link);
}

static void table_forget_one(Table *table, gint64 now)
{
    Record *failed = g_queue_peek_head(&table->open);
    Record *locked = g_queue_peek_head(&table->locked);
    bool is_over = locked && now >= locked->locked_until;
    table_remove(table, is_over || !failed ? locked : failed);
}

static Record *table_take(Table *table, const char *key, gint64 now)
{
    Record *known = table_find(table, key);
    if (known)
        return known;
    if (g_hash_table_size(table->records) >= LOCKOUT_MAX_RECORDS)
        table_forget_one(table, now);
    Record *record = g_new0(Record, 1);
    record->key = g_strdup(key);
    record->link.data = record;
    record->queue = &table->open;
    g_queue_push_tail_link(record->queue, &record->link);
    g_hash_table_insert(table->records, record->key, record);
    return record;
}

/* ---- Records ---- */

static gint64 window_of(const LockoutLimits *limits)
{
    return (gint64) limits->seconds * G_USEC_PER_SEC;
}

static bool record_is_locked(const Record *record, gint64 now)
{
    return record && now < record->locked_until;
}

/* A lock that is over is forgotten with all that led to it, and so are failures of long ago. */
static void record_refresh(Table *table, Record *record, const LockoutLimits *limits, gint64 now)
{
    bool over = record->locked_until > 0 ? now >= record->locked_until
                                         : now - record->since >= window_of(limits);
    if (!over)
        return;
    record->failures = 0;
    record->since = now;
    record->locked_until = 0;
    table_move(record, &table->open);
}

/* True: it is locked by this failure. */
static bool record_fail(Table *table, Record *record, const LockoutLimits *limits, gint64 now)
{
    record_refresh(table, record, limits, now);
    if (record->locked_until > 0)
        return false;
    if (record->failures++ == 0)
        record->since = now;
    bool locks = limits->failures > 0 && record->failures >= limits->failures;
    if (locks)
        record->locked_until = now + window_of(limits);
    table_move(record, locks ? &table->locked : &table->open);
    return locks;
}

static void record_forgive(Record *record, guint failures)
{
    if (record && record->locked_until == 0)
        record->failures -= MIN(record->failures, failures);
}

/* ---- Names ---- */

static char *user_key(const char *user)
{
    g_autofree char *valid = g_utf8_make_valid(user, strnlen(user, MAX_NAME_BYTES));
    return g_utf8_casefold(valid, -1);
}

/* A source has no space in it. */
static char *pair_key(const char *source, const char *user)
{
    g_autofree char *folded = user_key(user);
    return g_strconcat(source, " ", folded, NULL);
}

/* ---- Interface ---- */

Lockout *lockout_new(const LockoutLimits *limits)
{
    Lockout *lockout = g_new0(Lockout, 1);
    lockout->limits = *limits;
    table_init(&lockout->sources);
    table_init(&lockout->users);
    table_init(&lockout->pairs);
    table_init(&lockout->familiar);
    return lockout;
}

void lockout_free(Lockout *lockout)
{
    if (!lockout)
        return;
    table_clear(&lockout->sources);
    table_clear(&lockout->users);
    table_clear(&lockout->pairs);
    table_clear(&lockout->familiar);
    g_free(lockout);
}

void lockout_set_limits(Lockout *lockout, const LockoutLimits *limits)
{
    lockout->limits = *limits;
}

guint lockout_size(const Lockout *lockout)
{
    return g_hash_table_size(lockout->sources.records) + g_hash_table_size(lockout->users.records) +
           g_hash_table_size(lockout->pairs.records) + g_hash_table_size(lockout->familiar.records);
}

bool lockout_is_locked(Lockout *lockout, const char *source, const char *user, gint64 now)
{
    g_autofree char *pair = pair_key(source, user);
    g_autofree char *name = user_key(user);
    if (lockout->limits.failures == 0)
        return false;
    const Record *familiar = table_find(&lockout->familiar, pair);
    if (familiar)
        return record_is_locked(familiar, now);
    return record_is_locked(table_find(&lockout->sources, source), now) ||
           record_is_locked(table_find(&lockout->users, name), now);
}

/* True: `record` is locked by this failure. Raises `*most` to the number of them; for who is locked
 * there is no more. */
static bool count(Lockout *lockout, Table *table, const char *key, gint64 now, guint *most)
{
    Record *record = table_take(table, key, now);
    bool locks = record_fail(table, record, &lockout->limits, now);
    *most = MAX(*most, record->locked_until > 0 && !locks ? G_MAXUINT : record->failures);
    return locks;
}

static gint64 delay_after(guint failures)
{
    gint64 delay = LOCKOUT_MIN_DELAY;
    for (guint i = 1; i < failures && delay < LOCKOUT_MAX_DELAY; i++)
        delay *= 2;
    return MIN(delay, LOCKOUT_MAX_DELAY);
}

/* Whoever has logged in from somewhere must not be known by the time of an answer, so the delay is
 * that of the source and the name, for all. */
gint64 lockout_failed(Lockout *lockout, const char *source, const char *user, gint64 now,
                      LockoutLocks *locks)
{
    guint most = 0, pairs_most = 0;
    LockoutLocks locked = 0;
    g_autofree char *pair = pair_key(source, user);
    g_autofree char *name = user_key(user);
    /* Nothing is added for who is locked: a locked source could fill the tables with names. */
    if (lockout_is_locked(lockout, source, user, now)) {
        most = G_MAXUINT;
    } else {
        if (table_find(&lockout->familiar, pair) &&
            count(lockout, &lockout->familiar, pair, now, &pairs_most))
            locked |= LOCKOUT_PAIR;
        count(lockout, &lockout->pairs, pair, now, &pairs_most);
        if (count(lockout, &lockout->sources, source, now, &most))
            locked |= LOCKOUT_SOURCE;
        if (count(lockout, &lockout->users, name, now, &most))
            locked |= LOCKOUT_USER;
    }
    if (locks)
        *locks = locked;
    return delay_after(most);
}

static void forgive(Lockout *lockout, const char *source, const char *user, const char *pair,
                    gint64 now)
{
    Record *own = table_find(&lockout->pairs, pair);
    if (!own)
        return;
    record_refresh(&lockout->pairs, own, &lockout->limits, now);
    record_forgive(table_find(&lockout->sources, source), own->failures);
    record_forgive(table_find(&lockout->users, user), own->failures);
    table_remove(&lockout->pairs, own);
}

void lockout_succeeded(Lockout *lockout, const char *source, const char *user, gint64 now)
{
    g_autofree char *pair = pair_key(source, user);
    g_autofree char *name = user_key(user);
    Record *familiar = table_take(&lockout->familiar, pair, now);
    familiar->failures = 0;
    familiar->since = now;
    familiar->locked_until = 0;
    table_move(familiar, &lockout->familiar.open);
    forgive(lockout, source, name, pair, now);
}
