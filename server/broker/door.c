/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "door.h"

#include <glib-unix.h>
#include <sys/socket.h>
#include <unistd.h>

#include "listener.h"

/* Every client begins with the connection request of X.224, without waiting for anything. */
#define SILENT_SECONDS 10
/* Who is turned away at once comes back at once: it is told only now, if it is one of so many. */
#define HELD_MILLISECONDS (ADMISSION_PROTECTED_MICROSECONDS / 1000)
#define MAX_HELD          256
#define LOG_MILLISECONDS  1000

struct Visitor {
    Door *door;
    char *peer, *source;
    gint64 accepted;
    int client;     /* -1: it is the owner's */
    gpointer taken; /* the owner's, then */
    guint readable; /* source, while it is silent */
    guint deadline; /* source: of its silence, or until it is told that it was turned away */
};

struct Door {
    const DoorEvents *events;
    void *owner;
    Admission *admission;
    guint login_seconds;
    GHashTable *visitors; /* set of Visitor */
    GHashTable *held;     /* set of Visitor that were turned away */
    guint dropped;        /* that were not logged yet */
    guint log_pause;      /* source */
};

static void visitor_free(gpointer data)
{
    Visitor *visitor = data;
    g_clear_handle_id(&visitor->readable, g_source_remove);
    g_clear_handle_id(&visitor->deadline, g_source_remove);
    if (visitor->client >= 0)
        close(visitor->client);
    g_free(visitor->peer);
    g_free(visitor->source);
    g_free(visitor);
}

/* ---- Who has to go ---- */

static gboolean on_log_pause(gpointer data)
{
    Door *door = data;
    if (door->dropped > 0) {
        g_warning("dropped %u more connections without a login: there are more than max-startups "
                  "or max-startups-per-source allows",
                  door->dropped);
        door->events->told(door->owner, NULL, door->dropped);
        door->dropped = 0;
        return G_SOURCE_CONTINUE;
    }
    door->log_pause = 0;
    return G_SOURCE_REMOVE;
}

/* The first at once, then a line each second: a flood of connections must not become one of lines.
 */
static void log_dropped(Door *door, const char *peer)
{
    if (door->log_pause) {
        door->dropped++;
        return;
    }
    g_warning("connection from %s dropped: there are more without a login than max-startups or "
              "max-startups-per-source allows",
              peer);
    door->events->told(door->owner, peer, 1);
    door->log_pause = g_timeout_add(LOG_MILLISECONDS, on_log_pause, door);
}

static gboolean on_held_deadline(gpointer data)
{
    Visitor *visitor = data;
    visitor->deadline = 0;
    g_hash_table_remove(visitor->door->held, visitor);
    return G_SOURCE_REMOVE;
}

static void drop(Door *door, Visitor *visitor, bool at_once)
{
    gpointer taken = visitor->taken;
    log_dropped(door, visitor->peer);
    if (at_once || g_hash_table_size(door->held) >= MAX_HELD) {
        g_hash_table_remove(door->visitors, visitor);
    } else {
        g_hash_table_steal(door->visitors, visitor);
        g_hash_table_add(door->held, visitor);
        visitor->deadline = g_timeout_add(HELD_MILLISECONDS, on_held_deadline, visitor);
    }
    if (taken)
        door->events->dropped(door->owner, taken);
}

/* ---- Who waits ---- */

void door_leave(Door *door, Visitor *visitor)
{
    if (!visitor)
        return;
    admission_leave(door->admission, visitor);
    g_hash_table_remove(door->visitors, visitor);
}

static gboolean on_silent_deadline(gpointer data)
{
    Visitor *visitor = data;
    visitor->deadline = 0;
    g_message("connection from %s ended: the client said nothing", visitor->peer);
    door_leave(visitor->door, visitor);
    return G_SOURCE_REMOVE;
}

static gboolean on_readable(gint fd, GIOCondition condition, gpointer data)
{
    Visitor *visitor = data;
    Door *door = visitor->door;
    char byte;
    visitor->readable = 0;
    g_clear_handle_id(&visitor->deadline, g_source_remove);
    if (recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) <= 0) {
        g_debug("connection from %s: the client went without a word", visitor->peer);
        door_leave(door, visitor);
        return G_SOURCE_REMOVE;
    }
    int client = visitor->client;
    visitor->client = -1;
    const Arrival arrival = {visitor->peer, visitor->source, visitor->accepted};
    visitor->taken = door->events->talks(door->owner, visitor, client, &arrival);
    if (!visitor->taken)
        door_leave(door, visitor);
    return G_SOURCE_REMOVE;
}

static char *source_of(const char *peer)
{
    g_autoptr(GSocketAddress) address = listener_address_parse(peer, NULL);
    return admission_source(
        address ? g_inet_socket_address_get_address(G_INET_SOCKET_ADDRESS(address)) : NULL);
}

static Visitor *visitor_new(Door *door, int client, const char *peer)
{
    Visitor *visitor = g_new0(Visitor, 1);
    visitor->door = door;
    visitor->client = client;
    visitor->peer = g_strdup(peer);
    visitor->source = source_of(peer);
    visitor->accepted = g_get_monotonic_time();
    g_hash_table_add(door->visitors, visitor);
    return visitor;
}

void door_enter(Door *door, int client, const char *peer)
{
    Visitor *visitor = visitor_new(door, client, peer);
    Visitor *victim = admission_enter(door->admission, visitor->source, visitor, visitor->accepted);
    if (victim)
        drop(door, victim, victim != visitor);
    if (victim == visitor)
        return;
    visitor->readable = g_unix_fd_add(client, G_IO_IN, on_readable, visitor);
    visitor->deadline = g_timeout_add_seconds(MIN(SILENT_SECONDS, door->login_seconds),
                                              on_silent_deadline, visitor);
}

/* ---- The door itself ---- */

Door *door_new(const AdmissionLimits *limits, guint login_seconds, const DoorEvents *events,
               void *owner)
{
    Door *door = g_new0(Door, 1);
    door->events = events;
    door->owner = owner;
    door->admission = admission_new(limits, g_random_int());
    door->login_seconds = login_seconds;
    door->visitors = g_hash_table_new_full(NULL, NULL, visitor_free, NULL);
    door->held = g_hash_table_new_full(NULL, NULL, visitor_free, NULL);
    return door;
}

void door_free(Door *door)
{
    if (!door)
        return;
    g_clear_handle_id(&door->log_pause, g_source_remove);
    g_hash_table_unref(door->visitors);
    g_hash_table_unref(door->held);
    admission_free(door->admission);
    g_free(door);
}

void door_set_limits(Door *door, const AdmissionLimits *limits, guint login_seconds)
{
    admission_set_limits(door->admission, limits);
    door->login_seconds = login_seconds;
}

static gboolean is_silent(gpointer visitor, gpointer value, gpointer data)
{
    return ((Visitor *) visitor)->client >= 0;
}

void door_close(Door *door)
{
    g_hash_table_foreach_remove(door->visitors, is_silent, NULL);
    g_hash_table_remove_all(door->held);
}

guint door_max_files(const AdmissionLimits *limits)
{
    return limits->full + MAX_HELD;
}
