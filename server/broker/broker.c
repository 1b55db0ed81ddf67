/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "broker.h"

#include <unistd.h>

#include "door.h"
#include "listener.h"

/* The daemon ends within two seconds; sessions get most of them. */
#define CLOSE_MILLISECONDS 1500

struct Broker {
    const Services *services;
    Listener *listener;
    Door *door;
    GHashTable *connections; /* Connection -> Visitor, or NULL: it is not at the door any more */
    unsigned logged_in;
    unsigned turned_away; /* since the limit was reached */
    unsigned untold;      /* of them, to the audit trail */
    void (*closed)(void *owner);
    void *closed_owner;
    guint close_deadline; /* source */
};

static gboolean on_closed(gpointer data)
{
    Broker *broker = data;
    broker->close_deadline = 0;
    broker->closed(broker->closed_owner);
    return G_SOURCE_REMOVE;
}

static void audit_dropped(Broker *broker, const char *peer, unsigned count, AuditCode code,
                          const char *reason)
{
    audit_write(
        broker->services->audit,
        &(AuditEvent){
            .type = AUDIT_DROPPED, .client = peer, .count = count, .code = code, .reason = reason});
}

/* The first of those turned away is told at once, the others when it is over. */
static void audit_full(Broker *broker, const char *peer, unsigned count)
{
    audit_dropped(broker, peer, count, AUDIT_MAX_CONNECTIONS,
                  "there are as many as max-connections allows");
}

/* Those who have not logged in do not count for max-connections: they could fill it. */
static bool is_full(const Broker *broker)
{
    return broker->logged_in >= broker->services->config->limits.max_connections;
}

static void on_logged_in(void *owner, Connection *connection)
{
    Broker *broker = owner;
    door_leave(broker->door, g_hash_table_lookup(broker->connections, connection));
    g_hash_table_insert(broker->connections, connection, NULL);
    if (is_full(broker)) { /* since it came */
        broker->turned_away++;
        connection_disconnect(connection, "there are as many connections as the server allows");
    }
    broker->logged_in++;
}

static void on_connection_ended(void *owner, Connection *connection)
{
    Broker *broker = owner;
    door_leave(broker->door, g_hash_table_lookup(broker->connections, connection));
    if (!connection_is_unauthenticated(connection))
        broker->logged_in--;
    g_hash_table_remove(broker->connections, connection);
    connection_free(connection);
    if (broker->turned_away > 0)
        g_warning("turned %u connections away while there were as many as max-connections allows",
                  broker->turned_away);
    if (broker->untold > 0)
        audit_full(broker, NULL, broker->untold);
    broker->turned_away = broker->untold = 0;
    if (broker->closed && g_hash_table_size(broker->connections) == 0) {
        g_clear_handle_id(&broker->close_deadline, g_source_remove);
        broker->close_deadline = g_idle_add(on_closed, broker);
    }
}

/* Logged for the first: a flood of connections must not become a flood of lines. */
static void turn_away(Broker *broker, int client, const char *peer)
{
    close(client);
    if (broker->turned_away++ > 0) {
        broker->untold++;
        return;
    }
    g_warning("connection from %s turned away: there are as many as max-connections allows", peer);
    audit_full(broker, peer, 1);
}

static void on_accepted(void *owner, int client, const char *peer)
{
    Broker *broker = owner;
    if (is_full(broker))
        turn_away(broker, client, peer);
    else
        door_enter(broker->door, client, peer);
}

static const ConnectionEvents connection_events = {on_logged_in, on_connection_ended};

static void tell_no_session(Broker *broker, const char *peer, const GError *error)
{
    g_warning("connection from %s dropped: no session process: %s", peer, error->message);
    audit_dropped(broker, peer, 1, AUDIT_NO_SESSION, error->message);
}

static gpointer on_talks(void *owner, Visitor *visitor, int client, const Arrival *arrival)
{
    Broker *broker = owner;
    g_autoptr(GError) error = NULL;
    Connection *connection =
        connection_new(broker->services, client, arrival, &connection_events, broker, &error);
    if (connection)
        g_hash_table_insert(broker->connections, connection, visitor);
    else
        tell_no_session(broker, arrival->peer, error);
    return connection;
}

static void on_dropped(void *owner, gpointer connection)
{
    Broker *broker = owner;
    g_hash_table_insert(broker->connections, connection, NULL);
    connection_drop(connection);
}

static void on_told(void *owner, const char *peer, guint dropped)
{
    audit_dropped(owner, peer, dropped, AUDIT_MAX_UNAUTHENTICATED,
                  "there are more without a login than max-startups or max-startups-per-source "
                  "allows");
}

static const DoorEvents door_events = {on_talks, on_dropped, on_told};

Broker *broker_new(const Services *services)
{
    const AdmissionLimits limits = config_admission(services->config);
    Broker *broker = g_new0(Broker, 1);
    broker->services = services;
    broker->connections = g_hash_table_new(NULL, NULL);
    broker->door = door_new(&limits, services->config->limits.login_seconds, &door_events, broker);
    return broker;
}

static gboolean free_connection(gpointer connection, gpointer visitor, gpointer data)
{
    connection_free(connection);
    return TRUE;
}

void broker_free(Broker *broker)
{
    if (!broker)
        return;
    g_clear_handle_id(&broker->close_deadline, g_source_remove);
    listener_free(broker->listener);
    g_hash_table_foreach_remove(broker->connections, free_connection, NULL);
    g_hash_table_unref(broker->connections);
    door_free(broker->door);
    g_free(broker);
}

bool broker_open(Broker *broker, GError **error)
{
    broker->listener = listener_new(on_accepted, broker);
    if (!listener_open(broker->listener, broker->services->config->listen, error))
        return false;
    listener_print(broker->listener);
    return true;
}

static gboolean on_close_deadline(gpointer data)
{
    Broker *broker = data;
    GHashTableIter iterator;
    gpointer connection;
    broker->close_deadline = 0;
    g_warning("killing %u sessions that did not end in time",
              g_hash_table_size(broker->connections));
    g_hash_table_iter_init(&iterator, broker->connections);
    while (g_hash_table_iter_next(&iterator, &connection, NULL))
        connection_kill(connection);
    return G_SOURCE_REMOVE;
}

void broker_apply_rules(Broker *broker)
{
    GHashTableIter iterator;
    gpointer connection;
    g_hash_table_iter_init(&iterator, broker->connections);
    while (g_hash_table_iter_next(&iterator, &connection, NULL)) {
        if (!connection_is_unauthenticated(connection))
            connection_apply_rules(connection);
    }
}

void broker_close(Broker *broker, void (*closed)(void *owner), void *owner)
{
    GHashTableIter iterator;
    gpointer connection;
    g_clear_pointer(&broker->listener, listener_free);
    door_close(broker->door);
    broker->closed = closed;
    broker->closed_owner = owner;
    g_hash_table_iter_init(&iterator, broker->connections);
    while (g_hash_table_iter_next(&iterator, &connection, NULL))
        connection_disconnect(connection, "the server is stopping");
    if (g_hash_table_size(broker->connections) == 0)
        broker->close_deadline = g_idle_add(on_closed, broker);
    else
        broker->close_deadline = g_timeout_add(CLOSE_MILLISECONDS, on_close_deadline, broker);
}
