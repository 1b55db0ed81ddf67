/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "listener.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>

#define DEFAULT_IPV4 "0.0.0.0:3389"
#define DEFAULT_IPV6 "[::]:3389"

/* A queue that is full loses users together with a flood: the door has its own bounds. */
#define BACKLOG       SOMAXCONN
#define PAUSE_SECONDS 1 /* after accept() failed, for want of descriptors or memory */

/* A client that vanished without a word is noticed after about a minute: its devices go then. */
#define KEEPALIVE_IDLE     30
#define KEEPALIVE_INTERVAL 10
#define KEEPALIVE_COUNT    3

struct Listener {
    ListenerAccepted accepted;
    void *owner;
    GPtrArray *sockets; /* of GSocket */
    GPtrArray *sources; /* of GSource, while accepting */
    GSource *pause;     /* instead of `sources` */
};

/* ---- Addresses ---- */

GSocketAddress *listener_address_parse(const char *text, GError **error)
{
    const char *colon = strrchr(text, ':');
    guint64 port;
    if (colon && g_ascii_string_to_unsigned(colon + 1, 10, 0, 65535, &port, NULL)) {
        bool bracket = text[0] == '[' && colon > text + 1 && colon[-1] == ']';
        g_autofree char *host =
            bracket ? g_strndup(text + 1, colon - text - 2) : g_strndup(text, colon - text);
        GSocketAddress *address = bracket == (strchr(host, ':') != NULL)
                                      ? g_inet_socket_address_new_from_string(host, port)
                                      : NULL;
        if (address)
            return address;
    }
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                "'%s' is no ADDR:PORT: write an IP address and a port, as in 192.0.2.1:3389, "
                "[2001:db8::1]:3389, or 0.0.0.0:3389 for every IPv4 address",
                text);
    return NULL;
}

char *listener_address_to_string(GSocketAddress *address)
{
    GInetSocketAddress *inet = G_INET_SOCKET_ADDRESS(address);
    bool ipv6 = g_socket_address_get_family(address) == G_SOCKET_FAMILY_IPV6;
    g_autofree char *text = g_inet_address_to_string(g_inet_socket_address_get_address(inet));
    return g_strdup_printf(ipv6 ? "[%s]:%u" : "%s:%u", text, g_inet_socket_address_get_port(inet));
}

char *listener_local_address(int fd)
{
    struct sockaddr_storage storage;
    socklen_t size = sizeof storage;
    if (getsockname(fd, (struct sockaddr *) &storage, &size) != 0)
        return NULL;
    g_autoptr(GSocketAddress) address = g_socket_address_new_from_native(&storage, size);
    return G_IS_INET_SOCKET_ADDRESS(address) ? listener_address_to_string(address) : NULL;
}

/* ---- Accepting ---- */

static void listener_start(Listener *listener);

static gboolean pause_over(gpointer data)
{
    Listener *listener = data;
    g_clear_pointer(&listener->pause, g_source_unref);
    listener_start(listener);
    return G_SOURCE_REMOVE;
}

static void listener_stop(Listener *listener)
{
    for (guint i = 0; i < listener->sources->len; i++)
        g_source_destroy(listener->sources->pdata[i]);
    g_ptr_array_set_size(listener->sources, 0);
}

static void listener_pause(Listener *listener)
{
    listener_stop(listener);
    listener->pause = g_timeout_source_new_seconds(PAUSE_SECONDS);
    g_source_set_callback(listener->pause, pause_over, listener, NULL);
    g_source_attach(listener->pause, NULL);
}

static void keep_alive(GSocket *client)
{
    g_socket_set_keepalive(client, TRUE);
    g_socket_set_option(client, IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE, NULL);
    g_socket_set_option(client, IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_INTERVAL, NULL);
    g_socket_set_option(client, IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_COUNT, NULL);
}

static gboolean on_client(GSocket *socket, GIOCondition condition, gpointer data)
{
    Listener *listener = data;
    g_autoptr(GError) error = NULL;
    g_autoptr(GSocket) client = g_socket_accept(socket, NULL, &error);
    if (!client) {
        if (g_error_matches(error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK) ||
            g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CONNECTION_CLOSED))
            return G_SOURCE_CONTINUE;
        g_warning("cannot accept a connection, trying again in %d s: %s", PAUSE_SECONDS,
                  error->message);
        listener_pause(listener);
        return G_SOURCE_REMOVE;
    }
    g_autoptr(GSocketAddress) address = g_socket_get_remote_address(client, NULL);
    if (!address) /* gone already */
        return G_SOURCE_CONTINUE;
    keep_alive(client);
    g_autofree char *peer = listener_address_to_string(address);
    int fd = fcntl(g_socket_get_fd(client), F_DUPFD_CLOEXEC, 3);
    if (fd >= 0)
        listener->accepted(listener->owner, fd, peer);
    else
        g_warning("connection from %s dropped: %s", peer, g_strerror(errno));
    return G_SOURCE_CONTINUE;
}

static void listener_start(Listener *listener)
{
    for (guint i = 0; i < listener->sockets->len; i++) {
        GSource *source = g_socket_create_source(listener->sockets->pdata[i], G_IO_IN, NULL);
        g_source_set_callback(source, G_SOURCE_FUNC(on_client), listener, NULL);
        g_source_attach(source, NULL);
        g_ptr_array_add(listener->sources, source);
    }
}

/* ---- Opening ---- */

Listener *listener_new(ListenerAccepted accepted, void *owner)
{
    Listener *listener = g_new0(Listener, 1);
    listener->accepted = accepted;
    listener->owner = owner;
    listener->sockets = g_ptr_array_new_with_free_func(g_object_unref);
    listener->sources = g_ptr_array_new_with_free_func((GDestroyNotify) g_source_unref);
    return listener;
}

void listener_free(Listener *listener)
{
    if (!listener)
        return;
    listener_stop(listener);
    if (listener->pause) {
        g_source_destroy(listener->pause);
        g_source_unref(listener->pause);
    }
    g_ptr_array_unref(listener->sources);
    g_ptr_array_unref(listener->sockets);
    g_free(listener);
}

static GSocket *socket_listen(GSocketAddress *address, GError **error)
{
    GSocketFamily family = g_socket_address_get_family(address);
    g_autoptr(GSocket) socket =
        g_socket_new(family, G_SOCKET_TYPE_STREAM, G_SOCKET_PROTOCOL_TCP, error);
    if (!socket)
        return NULL;
    /* [::] is IPv6 alone, whatever the system's default: 0.0.0.0 can stand beside it. */
    if (family == G_SOCKET_FAMILY_IPV6)
        g_socket_set_option(socket, IPPROTO_IPV6, IPV6_V6ONLY, 1, NULL);
    g_socket_set_blocking(socket, FALSE);
    g_socket_set_listen_backlog(socket, BACKLOG);
    if (!g_socket_bind(socket, address, TRUE, error) || !g_socket_listen(socket, error))
        return NULL;
    return g_steal_pointer(&socket);
}

static bool listener_add(Listener *listener, const char *text, GError **error)
{
    g_autoptr(GSocketAddress) address = listener_address_parse(text, error);
    g_autoptr(GSocket) socket = address ? socket_listen(address, error) : NULL;
    if (!socket) {
        g_prefix_error(error, "cannot listen on %s: ", text);
        return false;
    }
    g_ptr_array_add(listener->sockets, g_steal_pointer(&socket));
    return true;
}

/* A machine without IPv6 has no [::]: only what was asked for in words must be possible. */
static bool listener_add_default(Listener *listener, GError **error)
{
    if (!listener_add(listener, DEFAULT_IPV4, error))
        return false;
    g_autoptr(GError) problem = NULL;
    if (!listener_add(listener, DEFAULT_IPV6, &problem))
        g_message("no IPv6: %s", problem->message);
    return true;
}

bool listener_open(Listener *listener, GPtrArray *addresses, GError **error)
{
    for (guint i = 0; i < addresses->len; i++) {
        if (!listener_add(listener, addresses->pdata[i], error))
            return false;
    }
    if (addresses->len == 0 && !listener_add_default(listener, error))
        return false;
    listener_start(listener);
    return true;
}

void listener_print(const Listener *listener)
{
    for (guint i = 0; i < listener->sockets->len; i++) {
        g_autoptr(GSocketAddress) address =
            g_socket_get_local_address(listener->sockets->pdata[i], NULL);
        if (address) {
            g_autofree char *text = listener_address_to_string(address);
            printf("rdpusbd: listening on %s\n", text);
        }
    }
    fflush(stdout);
}
