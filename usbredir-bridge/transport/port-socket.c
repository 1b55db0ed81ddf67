/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "port-socket.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gunixsocketaddress.h>
#include <glib-unix.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "backoff.h"

/* A SYN that nobody answers would otherwise hold the port for minutes. */
#define CONNECT_LIMIT_S 10

/* A peer that went away without a word is noticed after about a minute. */
#define KEEPALIVE_IDLE_S     30
#define KEEPALIVE_INTERVAL_S 10
#define KEEPALIVE_PROBES     3

#define BACKLOG 16

struct TransportPortSocket {
    TransportAddress *address;
    char *name; /* the address, for texts */
    const TransportPortEvents *events;
    void *data;
    GMainContext *context;

    TransportPortState state;
    char *text; /* what was told last */
    bool requested;
    guint tries;
    GSource *timer;            /* the next try to connect or to accept */
    GCancellable *cancellable; /* of the try to connect that is under way */

    GSocket *listener;
    dev_t device; /* of the unix socket that we made */
    ino_t inode;
    GSource *incoming;
    GSocket *held;
    GSource *hangup; /* of the held one; its delivery, once it is requested */
};

const char *transport_port_state_to_string(TransportPortState state)
{
    switch (state) {
    case TRANSPORT_PORT_IDLE: return "idle";
    case TRANSPORT_PORT_CONNECTING: return "connecting";
    case TRANSPORT_PORT_RETRYING: return "retrying";
    case TRANSPORT_PORT_LISTENING: return "listening";
    case TRANSPORT_PORT_HOLDING: return "holding";
    }
    return "unknown";
}

static void stop_source(GSource **source)
{
    if (*source)
        g_source_destroy(*source);
    g_clear_pointer(source, g_source_unref);
}

/* Must be the last thing done: the callee may free the socket. */
static void G_GNUC_PRINTF(3, 4)
    tell(TransportPortSocket *port, TransportPortState state, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *text = g_strdup_vprintf(format, arguments);
    va_end(arguments);

    if (port->state == state && g_strcmp0(port->text, text) == 0)
        return;
    port->state = state;
    g_free(port->text);
    port->text = g_strdup(text);
    port->events->state(port->data, state, text);
}

/* The descriptor alone, without the GSocket that would close it. */
static int take_descriptor(GSocket *socket, GError **error)
{
    int fd = fcntl(g_socket_get_fd(socket), F_DUPFD_CLOEXEC, 3);

    if (fd < 0) {
        int errsv = errno;
        g_set_error(error, G_IO_ERROR, (gint) g_io_error_from_errno(errsv),
                    "cannot duplicate a descriptor: %s", g_strerror(errsv));
    }
    return fd;
}

static void set_options(GSocket *socket)
{
    if (g_socket_get_family(socket) == G_SOCKET_FAMILY_UNIX)
        return;
    /* Failing to set one costs latency or the notice of a dead peer, not the connection. */
    g_socket_set_option(socket, IPPROTO_TCP, TCP_NODELAY, 1, NULL);
    g_socket_set_keepalive(socket, TRUE);
    g_socket_set_option(socket, IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE_S, NULL);
    g_socket_set_option(socket, IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S, NULL);
    g_socket_set_option(socket, IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_PROBES, NULL);
}

/* Must be the last thing done, as tell(). */
static void deliver(TransportPortSocket *port, int fd)
{
    port->requested = false;
    port->tries = 0;
    g_clear_pointer(&port->text, g_free); /* whatever comes next is news */
    port->events->opened(port->data, fd);
}

static void start_timer(TransportPortSocket *port, GSourceFunc func)
{
    port->timer = g_timeout_source_new(transport_backoff_next(&port->tries));
    g_source_set_callback(port->timer, func, port, NULL);
    g_source_attach(port->timer, port->context);
}

/* Connecting ------------------------------------------------------------------------------- */

static gboolean try_to_connect(gpointer data);

static void on_connected(GObject *object, GAsyncResult *result, gpointer data)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GSocketConnection) connection =
        g_socket_client_connect_finish(G_SOCKET_CLIENT(object), result, &error);
    TransportPortSocket *port = data;

    /* Withdrawn, and perhaps freed. */
    if (g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
        return;
    g_clear_object(&port->cancellable);
    int fd = -1;
    if (connection) {
        set_options(g_socket_connection_get_socket(connection));
        fd = take_descriptor(g_socket_connection_get_socket(connection), &error);
    }
    if (fd >= 0) {
        port->state = TRANSPORT_PORT_IDLE;
        deliver(port, fd);
        return;
    }
    start_timer(port, try_to_connect);
    tell(port, TRANSPORT_PORT_RETRYING, "cannot connect to %s: %s", port->name, error->message);
}

static gboolean try_to_connect(gpointer data)
{
    TransportPortSocket *port = data;
    g_autoptr(GSocketClient) client = g_socket_client_new();
    g_autoptr(GSocketConnectable) connectable = transport_address_get_connectable(port->address);

    stop_source(&port->timer);
    g_socket_client_set_enable_proxy(client, FALSE);
    g_socket_client_set_timeout(client, CONNECT_LIMIT_S);
    port->cancellable = g_cancellable_new();
    g_socket_client_connect_async(client, connectable, port->cancellable, on_connected, port);
    if (port->tries == 0)
        tell(port, TRANSPORT_PORT_CONNECTING, "connecting to %s", port->name);
    return G_SOURCE_REMOVE;
}

/* Listening -------------------------------------------------------------------------------- */

static void accept_next(TransportPortSocket *port);

/* Whether the peer has hung up; what it sent before is not read here. */
static bool is_gone(GSocket *socket)
{
    struct pollfd poll_fd = {.fd = g_socket_get_fd(socket), .events = POLLRDHUP};
    return poll(&poll_fd, 1, 0) > 0;
}

static void drop_held(TransportPortSocket *port)
{
    stop_source(&port->timer);
    stop_source(&port->hangup);
    g_clear_object(&port->held);
}

static gboolean on_hangup(gint fd, GIOCondition condition, gpointer data)
{
    TransportPortSocket *port = data;

    drop_held(port);
    accept_next(port);
    tell(port, TRANSPORT_PORT_LISTENING, "the guest connected to %s has gone", port->name);
    return G_SOURCE_REMOVE;
}

static gboolean hand_over(gpointer data)
{
    TransportPortSocket *port = data;
    g_autoptr(GSocket) socket = g_object_ref(port->held);
    g_autoptr(GError) error = NULL;
    int fd = take_descriptor(socket, &error);

    stop_source(&port->timer);
    if (fd < 0) {
        start_timer(port, hand_over);
        tell(port, TRANSPORT_PORT_RETRYING, "%s: %s", port->name, error->message);
        return G_SOURCE_REMOVE;
    }
    drop_held(port);
    accept_next(port);
    port->state = TRANSPORT_PORT_LISTENING;
    deliver(port, fd);
    return G_SOURCE_REMOVE;
}

static void hold(TransportPortSocket *port, GSocket *socket)
{
    set_options(socket);
    port->held = g_object_ref(socket);
    stop_source(&port->incoming);
    port->hangup = g_unix_fd_source_new(g_socket_get_fd(socket), (GIOCondition) POLLRDHUP);
    g_source_set_callback(port->hangup, G_SOURCE_FUNC(on_hangup), port, NULL);
    g_source_attach(port->hangup, port->context);
    if (port->requested)
        hand_over(port);
    else
        tell(port, TRANSPORT_PORT_HOLDING, "a guest is connected to %s", port->name);
}

static gboolean on_accept_again(gpointer data)
{
    TransportPortSocket *port = data;

    stop_source(&port->timer);
    accept_next(port);
    return G_SOURCE_REMOVE;
}

static gboolean on_incoming(gint fd, GIOCondition condition, gpointer data)
{
    TransportPortSocket *port = data;
    g_autoptr(GError) error = NULL;
    g_autoptr(GSocket) socket = g_socket_accept(port->listener, NULL, &error);

    if (socket && !is_gone(socket)) {
        port->tries = 0;
        hold(port, socket);
    } else if (error && !g_error_matches(error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK)) {
        /* Out of descriptors, most likely: the connection stays in the backlog. */
        stop_source(&port->incoming);
        start_timer(port, on_accept_again);
        tell(port, TRANSPORT_PORT_RETRYING, "cannot accept on %s: %s", port->name, error->message);
    }
    return G_SOURCE_CONTINUE;
}

static void accept_next(TransportPortSocket *port)
{
    port->incoming = g_unix_fd_source_new(g_socket_get_fd(port->listener), G_IO_IN);
    g_source_set_callback(port->incoming, G_SOURCE_FUNC(on_incoming), port, NULL);
    g_source_attach(port->incoming, port->context);
}

/* Makes way for a new socket at @path if the one there is a leftover. */
static bool remove_stale(const char *path, GError **error)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct stat status;

    if (lstat(path, &status) == 0 && !S_ISSOCK(status.st_mode)) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_EXISTS,
                    "%s exists and is not a socket; remove it or name another path", path);
        return false;
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    g_strlcpy(address.sun_path, path, sizeof(address.sun_path));
    bool refused = fd >= 0 && connect(fd, (struct sockaddr *) &address, sizeof(address)) < 0 &&
                   (errno == ECONNREFUSED || errno == ENOENT);
    if (fd >= 0)
        close(fd);
    if (refused && (unlink(path) == 0 || errno == ENOENT))
        return true;
    if (refused)
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_ADDRESS_IN_USE,
                    "%s is left over and cannot be removed: %s", path, g_strerror(errno));
    else
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_ADDRESS_IN_USE,
                    "somebody listens on %s already; stop it or name another path", path);
    return false;
}

/* Mode 0660 from the first moment on, and whatever the umask is. */
static bool bind_unix(TransportPortSocket *port, GError **error)
{
    const char *path = port->address->path;
    g_autoptr(GSocketAddress) address = g_unix_socket_address_new(path);
    g_autoptr(GError) bind_error = NULL;
    struct stat status;

    /* The file takes its mode from the socket, less the umask. */
    fchmod(g_socket_get_fd(port->listener), 0660);
    if (!g_socket_bind(port->listener, address, FALSE, &bind_error)) {
        if (!g_error_matches(bind_error, G_IO_ERROR, G_IO_ERROR_ADDRESS_IN_USE)) {
            g_propagate_error(error, g_steal_pointer(&bind_error));
            return false;
        }
        if (!remove_stale(path, error) || !g_socket_bind(port->listener, address, FALSE, error))
            return false;
    }
    if (chmod(path, 0660) < 0 || lstat(path, &status) < 0) {
        int errsv = errno;
        g_set_error(error, G_IO_ERROR, (gint) g_io_error_from_errno(errsv),
                    "cannot set the mode of %s: %s", path, g_strerror(errsv));
        return false;
    }
    port->device = status.st_dev;
    port->inode = status.st_ino;
    return true;
}

static bool bind_tcp(TransportPortSocket *port, GError **error)
{
    g_autoptr(GSocketAddress) address =
        g_inet_socket_address_new_from_string(port->address->host, port->address->port);

    if (!g_socket_bind(port->listener, address, TRUE, error))
        return false;
    g_autoptr(GSocketAddress) bound = g_socket_get_local_address(port->listener, error);
    if (!bound)
        return false;
    port->address->port = g_inet_socket_address_get_port(G_INET_SOCKET_ADDRESS(bound));
    return true;
}

static GSocketFamily listening_family(const TransportAddress *address)
{
    if (address->path)
        return G_SOCKET_FAMILY_UNIX;
    return strchr(address->host, ':') ? G_SOCKET_FAMILY_IPV6 : G_SOCKET_FAMILY_IPV4;
}

static bool start_listening(TransportPortSocket *port, GError **error)
{
    port->listener = g_socket_new(listening_family(port->address), G_SOCKET_TYPE_STREAM,
                                  G_SOCKET_PROTOCOL_DEFAULT, error);
    if (!port->listener)
        return false;
    g_socket_set_blocking(port->listener, FALSE);
    g_socket_set_listen_backlog(port->listener, BACKLOG);
    if (!(port->address->path ? bind_unix(port, error) : bind_tcp(port, error)) ||
        !g_socket_listen(port->listener, error)) {
        g_prefix_error(error, "cannot listen on %s: ", port->name);
        return false;
    }
    g_free(port->name);
    port->name = transport_address_to_string(port->address);
    port->state = TRANSPORT_PORT_LISTENING;
    accept_next(port);
    return true;
}

static void stop_listening(TransportPortSocket *port)
{
    struct stat status;

    stop_source(&port->incoming);
    drop_held(port);
    if (port->inode && lstat(port->address->path, &status) == 0 && status.st_dev == port->device &&
        status.st_ino == port->inode)
        unlink(port->address->path);
    g_clear_object(&port->listener);
}

/* The whole -------------------------------------------------------------------------------- */

void transport_port_socket_request(TransportPortSocket *port)
{
    if (port->requested)
        return;
    port->requested = true;
    if (port->listener && !port->held)
        return;
    port->tries = 0;
    stop_source(&port->timer);
    port->timer = g_idle_source_new();
    g_source_set_priority(port->timer, G_PRIORITY_DEFAULT);
    g_source_set_callback(port->timer, port->listener ? hand_over : try_to_connect, port, NULL);
    g_source_attach(port->timer, port->context);
}

void transport_port_socket_withdraw(TransportPortSocket *port)
{
    port->requested = false;
    if (port->listener && !port->held)
        return;
    stop_source(&port->timer);
    if (port->cancellable)
        g_cancellable_cancel(port->cancellable);
    g_clear_object(&port->cancellable);
    if (!port->listener)
        port->state = TRANSPORT_PORT_IDLE;
}

const TransportAddress *transport_port_socket_get_address(const TransportPortSocket *port)
{
    return port->address;
}

TransportPortSocket *transport_port_socket_new(const TransportAddress *address,
                                               const TransportPortEvents *events, void *data,
                                               GError **error)
{
    g_autoptr(TransportPortSocket) port = g_new0(TransportPortSocket, 1);

    port->address = transport_address_copy(address);
    port->name = transport_address_to_string(address);
    port->events = events;
    port->data = data;
    port->context = g_main_context_ref_thread_default();
    if (address->server && !start_listening(port, error))
        return NULL;
    return g_steal_pointer(&port);
}

void transport_port_socket_free(TransportPortSocket *port)
{
    if (!port)
        return;
    transport_port_socket_withdraw(port);
    stop_source(&port->timer);
    if (port->listener)
        stop_listening(port);
    transport_address_free(port->address);
    g_main_context_unref(port->context);
    g_free(port->name);
    g_free(port->text);
    g_free(port);
}
