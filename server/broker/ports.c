/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ports.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "backoff.h"
#include "port-socket.h"

/* A stream that ended sooner was of no use: the next one is asked for ever more slowly, or a guest
 * that hangs up at once would have us connect in a tight loop. */
#define USEFUL_SECONDS 10

typedef struct {
    Ports *ports;
    char *name; /* QEMU's spelling, without server=on */
    TransportPortSocket *socket;
    PortClaim *claim; /* NULL: free */
    bool listens;
    bool holding;        /* a guest has connected and is not taken yet */
    int stream;          /* our copy of the one that the session has, or -1 */
    gint64 connected_at; /* of `stream`, monotonic microseconds */
    guint tries;         /* streams without use in a row */
    guint retry;         /* source: asks for the next */
} Port;

struct Ports {
    GPtrArray *ports; /* of Port, in the order of the configuration */
    GQueue waiting;   /* of PortClaim */
    guint assign;     /* source */
};

struct PortClaim {
    Ports *ports;
    const PortClaimEvents *events;
    void *owner;
    Port *port; /* NULL while in `waiting` */
    bool told;  /* that it waits for a port */
};

/* ---- A port with a device ---- */

static void tell_waiting(Port *port, const char *text)
{
    g_autofree char *reason = g_strdup_printf("port %s: %s", port->name, text);
    port->claim->events->waiting(port->claim->owner, reason);
}

static void on_state(void *data, TransportPortState state, const char *text)
{
    Port *port = data;
    g_debug("port %s: %s", port->name, text);
    port->holding = state == TRANSPORT_PORT_HOLDING;
    bool waits = state == TRANSPORT_PORT_RETRYING || state == TRANSPORT_PORT_LISTENING;
    if (port->claim && port->stream < 0 && waits)
        tell_waiting(port, text);
}

/* The copy lets us end the stream when the device leaves, whatever the session does with its own:
 * QEMU serves one connection at a time, and the next device needs it. */
static void on_opened(void *data, int fd)
{
    Port *port = data;
    port->holding = false;
    port->stream = fd;
    port->connected_at = g_get_monotonic_time();
    port->claim->events->connected(port->claim->owner, port->name, fd);
}

static void port_end_stream(Port *port)
{
    if (port->stream < 0)
        return;
    shutdown(port->stream, SHUT_RDWR);
    close(port->stream);
    port->stream = -1;
}

static gboolean on_retry(gpointer data)
{
    Port *port = data;
    port->retry = 0;
    transport_port_socket_request(port->socket);
    if (port->listens && !port->holding)
        tell_waiting(port, "its guest has not connected");
    return G_SOURCE_REMOVE;
}

static void port_take(Port *port, PortClaim *claim)
{
    port->claim = claim;
    claim->port = port;
    port->tries = 0;
    on_retry(port);
}

static void port_release(Port *port)
{
    transport_port_socket_withdraw(port->socket);
    g_clear_handle_id(&port->retry, g_source_remove);
    port_end_stream(port);
    port->claim = NULL;
}

/* ---- Who gets which port ---- */

static Port *free_port(Ports *ports)
{
    for (guint i = 0; i < ports->ports->len; i++) {
        Port *port = ports->ports->pdata[i];
        if (!port->claim)
            return port;
    }
    return NULL;
}

static void tell_no_port(Ports *ports, PortClaim *claim)
{
    g_autofree char *reason =
        ports->ports->len == 0
            ? g_strdup("no port of a VM is configured")
            : g_strdup_printf("no free port: each of the %u has a device", ports->ports->len);
    claim->told = true;
    claim->events->waiting(claim->owner, reason);
}

static gboolean on_assign(gpointer data)
{
    Ports *ports = data;
    Port *port;
    ports->assign = 0;
    while (!g_queue_is_empty(&ports->waiting) && (port = free_port(ports)))
        port_take(port, g_queue_pop_head(&ports->waiting));
    for (GList *link = ports->waiting.head; link; link = link->next) {
        PortClaim *claim = link->data;
        if (!claim->told)
            tell_no_port(ports, claim);
    }
    return G_SOURCE_REMOVE;
}

static void assign_soon(Ports *ports)
{
    if (ports->assign == 0)
        ports->assign = g_idle_add_full(G_PRIORITY_DEFAULT, on_assign, ports, NULL);
}

PortClaim *port_claim_new(Ports *ports, const PortClaimEvents *events, void *owner)
{
    PortClaim *claim = g_new0(PortClaim, 1);
    claim->ports = ports;
    claim->events = events;
    claim->owner = owner;
    g_queue_push_tail(&ports->waiting, claim);
    assign_soon(ports);
    return claim;
}

void port_claim_free(PortClaim *claim)
{
    if (!claim)
        return;
    if (claim->port)
        port_release(claim->port);
    else
        g_queue_remove(&claim->ports->waiting, claim);
    assign_soon(claim->ports);
    g_free(claim);
}

bool port_claim_lost(PortClaim *claim)
{
    Port *port = claim->port;
    if (!port || port->stream < 0)
        return false;
    port_end_stream(port);
    if (g_get_monotonic_time() - port->connected_at >= USEFUL_SECONDS * G_TIME_SPAN_SECOND)
        port->tries = 0;
    port->retry = g_timeout_add(transport_backoff_next(&port->tries), on_retry, port);
    return true;
}

const char *port_claim_port(const PortClaim *claim)
{
    return claim->port ? claim->port->name : NULL;
}

/* ---- All ports ---- */

static const TransportPortEvents port_events = {.state = on_state, .opened = on_opened};

static void port_free(gpointer data)
{
    Port *port = data;
    transport_port_socket_free(port->socket);
    g_free(port->name);
    g_free(port);
}

Ports *ports_new(void)
{
    Ports *ports = g_new0(Ports, 1);
    ports->ports = g_ptr_array_new_with_free_func(port_free);
    g_queue_init(&ports->waiting);
    return ports;
}

void ports_free(Ports *ports)
{
    if (!ports)
        return;
    g_assert(g_queue_is_empty(&ports->waiting));
    g_clear_handle_id(&ports->assign, g_source_remove);
    g_ptr_array_unref(ports->ports);
    g_free(ports);
}

bool ports_add(Ports *ports, const char *chardev, GError **error)
{
    g_autoptr(TransportAddress) address = transport_address_parse(chardev, error);
    if (!address)
        return false;
    Port *port = g_new0(Port, 1);
    port->ports = ports;
    port->name = g_strdup(chardev);
    port->stream = -1;
    port->listens = address->server;
    port->socket = transport_port_socket_new(address, &port_events, port, error);
    if (!port->socket) {
        g_prefix_error(error, "cannot open port %s: ", chardev);
        port_free(port);
        return false;
    }
    g_autoptr(TransportAddress) shown =
        transport_address_copy(transport_port_socket_get_address(port->socket));
    shown->server = false;
    g_free(port->name);
    port->name = transport_address_to_string(shown);
    g_ptr_array_add(ports->ports, port);
    return true;
}
