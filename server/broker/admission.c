/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "admission.h"

#include <string.h>

#define MAX_STARTUPS     4096
#define IPV4_BYTES       4
#define IPV6_BYTES       16
#define NETWORK_BYTES    8
#define IPV4_IN_IPV6     12 /* where it is in ::ffff:192.0.2.1 (RFC 4291, 2.5.5.2) */
#define UNKNOWN_ADDRESS  "unknown"
#define PERCENT_OF_EVERY 100

typedef struct {
    char *name;
    guint size;  /* of its connections; one without is forgotten */
    gint64 turn; /* when the next newcomer may push another one out */
} Source;

typedef struct {
    gpointer connection;
    Source *source;
    gint64 since;
} Entry;

struct Admission {
    AdmissionLimits limits;
    GRand *random;
    gint64 turn;         /* as that of a source, for all of them */
    GHashTable *sources; /* name -> Source */
    GArray *entries;     /* of Entry, the oldest first: as many as `full`, all are looked through */
};

/* ---- Limits ---- */

bool admission_limits_parse(const char *text, AdmissionLimits *limits, GError **error)
{
    guint64 start, rate, full;
    g_auto(GStrv) parts = g_strsplit(text, ":", 4);
    if (g_strv_length(parts) == 3 &&
        g_ascii_string_to_unsigned(parts[0], 10, 1, MAX_STARTUPS, &start, NULL) &&
        g_ascii_string_to_unsigned(parts[1], 10, 1, PERCENT_OF_EVERY, &rate, NULL) &&
        g_ascii_string_to_unsigned(parts[2], 10, start, MAX_STARTUPS, &full, NULL)) {
        limits->start = start;
        limits->rate = rate;
        limits->full = full;
        return true;
    }
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                "'%s' is no START:RATE:FULL: write numbers of connections from 1 to %d, the second "
                "at least as large as the first, and between them a percentage from 1 to 100, as "
                "in 32:30:100",
                text, MAX_STARTUPS);
    return false;
}

/* ---- Sources ---- */

static char *ipv4_source(const guint8 *bytes)
{
    g_autoptr(GInetAddress) address = g_inet_address_new_from_bytes(bytes, G_SOCKET_FAMILY_IPV4);
    return g_inet_address_to_string(address);
}

static char *ipv6_source(const guint8 *bytes)
{
    static const guint8 mapped[IPV4_IN_IPV6] = {[10] = 0xff, [11] = 0xff};
    if (memcmp(bytes, mapped, sizeof mapped) == 0)
        return ipv4_source(bytes + IPV4_IN_IPV6);
    guint8 network[IPV6_BYTES] = {0};
    memcpy(network, bytes, NETWORK_BYTES);
    g_autoptr(GInetAddress) address = g_inet_address_new_from_bytes(network, G_SOCKET_FAMILY_IPV6);
    g_autofree char *text = g_inet_address_to_string(address);
    return g_strconcat(text, "/64", NULL);
}

char *admission_source(GInetAddress *address)
{
    gsize size = address ? g_inet_address_get_native_size(address) : 0;
    if (size == IPV4_BYTES)
        return ipv4_source(g_inet_address_to_bytes(address));
    if (size == IPV6_BYTES)
        return ipv6_source(g_inet_address_to_bytes(address));
    return g_strdup(UNKNOWN_ADDRESS);
}

static void source_free(gpointer data)
{
    Source *source = data;
    g_free(source->name);
    g_free(source);
}

static Source *source_take(Admission *admission, const char *name)
{
    Source *source = g_hash_table_lookup(admission->sources, name);
    if (!source) {
        source = g_new0(Source, 1);
        source->name = g_strdup(name);
        g_hash_table_insert(admission->sources, source->name, source);
    }
    source->size++;
    return source;
}

static guint most_of_one_source(Admission *admission)
{
    guint most = 0;
    GHashTableIter iterator;
    gpointer source;
    g_hash_table_iter_init(&iterator, admission->sources);
    while (g_hash_table_iter_next(&iterator, NULL, &source))
        most = MAX(most, ((Source *) source)->size);
    return most;
}

/* ---- Connections ---- */

Admission *admission_new(const AdmissionLimits *limits, guint32 seed)
{
    Admission *admission = g_new0(Admission, 1);
    admission->limits = *limits;
    admission->random = g_rand_new_with_seed(seed);
    admission->sources = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, source_free);
    admission->entries = g_array_new(FALSE, FALSE, sizeof(Entry));
    return admission;
}

void admission_free(Admission *admission)
{
    if (!admission)
        return;
    g_array_unref(admission->entries);
    g_hash_table_unref(admission->sources);
    g_rand_free(admission->random);
    g_free(admission);
}

void admission_set_limits(Admission *admission, const AdmissionLimits *limits)
{
    admission->limits = *limits;
}

guint admission_size(const Admission *admission)
{
    return admission->entries->len;
}

static Entry *entry_at(const Admission *admission, guint index)
{
    return &g_array_index(admission->entries, Entry, index);
}

static gpointer remove_at(Admission *admission, guint index)
{
    Entry entry = *entry_at(admission, index);
    g_array_remove_index(admission->entries, index);
    if (--entry.source->size == 0)
        g_hash_table_remove(admission->sources, entry.source->name);
    return entry.connection;
}

void admission_leave(Admission *admission, gpointer connection)
{
    for (guint i = 0; i < admission->entries->len; i++) {
        if (entry_at(admission, i)->connection == connection) {
            remove_at(admission, i);
            return;
        }
    }
}

/* Linear from `rate` at `start` to all at `full`, as sshd has it; `size` is before the newcomer. */
static bool drops_early(Admission *admission, guint size)
{
    const AdmissionLimits *limits = &admission->limits;
    if (size < limits->start)
        return false;
    if (size >= limits->full)
        return true;
    guint rise = (PERCENT_OF_EVERY - limits->rate) * (size - limits->start);
    guint percent = limits->rate + rise / (limits->full - limits->start);
    return (guint) g_rand_int_range(admission->random, 0, PERCENT_OF_EVERY) < percent;
}

/* The oldest connection of the sources that have `size` of them, or of `only` one: it has had its
 * time, while those that stand still, or die in a flood, are the oldest soon. NULL is nobody but
 * the newcomer. */
static const Entry *find_oldest(const Admission *admission, guint size, const Source *only)
{
    for (guint i = 0; i + 1 < admission->entries->len; i++) {
        const Entry *entry = entry_at(admission, i);
        if (entry->source->size == size && (!only || entry->source == only))
            return entry;
    }
    return NULL;
}

/* Among equals, a newcomer pushes nobody out who may be in the middle of a login, or none of them
 * would ever get through when they come faster than that. Then they take turns: places become free
 * one by one, at times that nobody can be in step with. */
static bool has_turn(Admission *admission, const Entry *oldest, guint equals, gint64 *turn,
                     gint64 now)
{
    if (now - oldest->since < ADMISSION_PROTECTED_MICROSECONDS || now < *turn)
        return false;
    double share = (double) ADMISSION_PROTECTED_MICROSECONDS / equals;
    *turn = now + (gint64) (2 * share * g_rand_double(admission->random));
    return true;
}

/* Returns an index, that of the newcomer if it is the last. */
static guint find_victim(Admission *admission, guint size, Source *only, gint64 now)
{
    guint newcomer = admission->entries->len - 1;
    const Entry *oldest = find_oldest(admission, size, only);
    bool among_equals = entry_at(admission, newcomer)->source->size == size;
    if (!oldest || (among_equals && !has_turn(admission, oldest, only ? size : newcomer,
                                              only ? &only->turn : &admission->turn, now)))
        return newcomer;
    return oldest - entry_at(admission, 0);
}

gpointer admission_enter(Admission *admission, const char *source, gpointer connection, gint64 now)
{
    guint before = admission->entries->len;
    Entry entry = {connection, source_take(admission, source), now};
    g_array_append_val(admission->entries, entry);
    guint victim;
    bool above_own =
        admission->limits.per_source > 0 && entry.source->size > admission->limits.per_source;
    if (above_own)
        victim = find_victim(admission, entry.source->size, entry.source, now);
    else if (drops_early(admission, before))
        victim = find_victim(admission, most_of_one_source(admission), NULL, now);
    else
        return NULL;
    /* As long as there is room, who comes at the same time as many others need not go for it. */
    if (victim == before && !above_own && before < admission->limits.full)
        return NULL;
    return remove_at(admission, victim);
}
