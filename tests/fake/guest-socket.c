/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "guest-socket.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* CHR_READ_BUF_LEN of QEMU. */
#define READ_SIZE 4096

/* reconnect-ms of QEMU; nothing tells when a peer begins to listen. */
#define RECONNECT_MS 100

struct GuestSocket {
    TransportAddress *address;
    char *name; /* the address as text */
    uint32_t caps;
    gint64 deadline;
    GSocketListener *listener;
    GSocketConnection *connection;
    FakeGuest *guest;
    GByteArray *output; /* what the kernel has not taken */
    GPtrArray *violations;
    GuestObserver observer;
    void *observer_data;
};

static void keep_violations(GuestSocket *socket)
{
    const GPtrArray *violations = fake_guest_violations(socket->guest);

    for (guint i = 0; i < violations->len; i++)
        g_ptr_array_add(socket->violations, g_strdup(g_ptr_array_index(violations, i)));
}

static void disconnect(GuestSocket *socket)
{
    if (!socket->connection)
        return;
    keep_violations(socket);
    g_clear_pointer(&socket->guest, fake_guest_free);
    g_clear_object(&socket->connection);
    g_byte_array_set_size(socket->output, 0);
    if (socket->observer)
        socket->observer(socket->observer_data, NULL);
}

static bool start_listening(GuestSocket *socket, GError **error)
{
    g_autoptr(GSocketConnectable) where = transport_address_get_connectable(socket->address);
    g_autoptr(GSocketAddressEnumerator) all = g_socket_connectable_enumerate(where);
    g_autoptr(GSocketAddress) wanted = g_socket_address_enumerator_next(all, NULL, error);
    g_autoptr(GSocketAddress) bound = NULL;

    socket->listener = g_socket_listener_new();
    if (!wanted || !g_socket_listener_add_address(socket->listener, wanted, G_SOCKET_TYPE_STREAM, 0,
                                                  NULL, &bound, error))
        return false;
    if (!socket->address->path)
        socket->address->port = g_inet_socket_address_get_port(G_INET_SOCKET_ADDRESS(bound));
    return true;
}

GuestSocket *guest_socket_new(const TransportAddress *address, uint32_t caps, GError **error)
{
    g_autoptr(GuestSocket) socket = g_new0(GuestSocket, 1);

    socket->address = transport_address_copy(address);
    socket->caps = caps;
    socket->output = g_byte_array_new();
    socket->violations = g_ptr_array_new_with_free_func(g_free);
    if (address->server && !start_listening(socket, error))
        return NULL;
    socket->name = transport_address_to_string(socket->address);
    return g_steal_pointer(&socket);
}

void guest_socket_free(GuestSocket *socket)
{
    if (!socket)
        return;
    disconnect(socket);
    if (socket->listener && socket->address->path)
        unlink(socket->address->path);
    g_clear_object(&socket->listener);
    transport_address_free(socket->address);
    g_free(socket->name);
    g_byte_array_unref(socket->output);
    g_ptr_array_unref(socket->violations);
    g_free(socket);
}

const char *guest_socket_address(const GuestSocket *socket)
{
    return socket->name;
}

void guest_socket_set_deadline(GuestSocket *socket, gint64 deadline)
{
    socket->deadline = deadline;
}

void guest_socket_extend_deadline(GuestSocket *socket, gint64 time)
{
    socket->deadline += time;
}

FakeGuest *guest_socket_guest(const GuestSocket *socket)
{
    return socket->guest;
}

void guest_socket_set_observer(GuestSocket *socket, GuestObserver observer, void *data)
{
    socket->observer = observer;
    socket->observer_data = data;
}

void guest_socket_drop(GuestSocket *socket)
{
    disconnect(socket);
}

int guest_socket_time_left_ms(const GuestSocket *socket)
{
    gint64 left = socket->deadline - g_get_monotonic_time();
    return (int) CLAMP((left + 999) / 1000, 0, G_MAXINT);
}

static void set_timed_out(const GuestSocket *socket, const char *what, GError **error)
{
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT, "%s in time (%s)", what, socket->name);
}

static void begin(GuestSocket *socket, GSocketConnection *connection)
{
    socket->connection = connection;
    g_socket_set_blocking(g_socket_connection_get_socket(connection), FALSE);
    socket->guest = fake_guest_new(socket->caps);
}

/* The two asynchronous operations of GIO used here, made to wait in a context of their own. */
static void keep_result(GObject *object, GAsyncResult *result, gpointer data)
{
    *(GAsyncResult **) data = g_object_ref(result);
}

static gboolean cancel(gpointer data)
{
    g_cancellable_cancel(data);
    return G_SOURCE_REMOVE;
}

static GSocketConnection *open_once(GuestSocket *socket, int limit_ms, GError **error)
{
    g_autoptr(GMainContext) context = g_main_context_new();
    g_autoptr(GCancellable) cancellable = g_cancellable_new();
    g_autoptr(GSocketClient) client = g_socket_client_new();
    g_autoptr(GSocketConnectable) where = transport_address_get_connectable(socket->address);
    g_autoptr(GSource) limit = g_timeout_source_new((guint) limit_ms);
    g_autoptr(GAsyncResult) result = NULL;
    GSocketConnection *connection;

    g_main_context_push_thread_default(context);
    g_source_set_callback(limit, cancel, cancellable, NULL);
    g_source_attach(limit, context);
    if (socket->listener)
        g_socket_listener_accept_async(socket->listener, cancellable, keep_result, &result);
    else
        g_socket_client_connect_async(client, where, cancellable, keep_result, &result);
    while (!result)
        g_main_context_iteration(context, TRUE);
    connection = socket->listener
                     ? g_socket_listener_accept_finish(socket->listener, result, NULL, error)
                     : g_socket_client_connect_finish(client, result, error);
    g_source_destroy(limit);
    while (g_main_context_iteration(context, FALSE))
        continue;
    g_main_context_pop_thread_default(context);
    return connection;
}

bool guest_socket_open(GuestSocket *socket, GError **error)
{
    g_autoptr(GError) reason = NULL;

    while (!socket->connection) {
        int left = guest_socket_time_left_ms(socket);
        if (left == 0) {
            set_timed_out(socket, reason ? reason->message : "nobody connected", error);
            return false;
        }
        g_clear_error(&reason);
        GSocketConnection *connection = open_once(socket, left, &reason);
        if (connection)
            begin(socket, connection);
        else
            poll(NULL, 0, MIN(RECONNECT_MS, guest_socket_time_left_ms(socket)));
    }
    return true;
}

static void take_output(GuestSocket *socket)
{
    g_autoptr(GBytes) output = fake_guest_take_output(socket->guest);
    gsize length = 0;
    const void *bytes = output ? g_bytes_get_data(output, &length) : NULL;

    if (length > 0)
        g_byte_array_append(socket->output, bytes, (guint) length);
}

/* False if the peer is gone. */
static bool send_output(GuestSocket *socket, int fd)
{
    take_output(socket);
    while (socket->output->len > 0) {
        ssize_t n = send(fd, socket->output->data, socket->output->len, MSG_NOSIGNAL);
        if (n < 0)
            return errno == EAGAIN || errno == EINTR;
        g_byte_array_remove_range(socket->output, 0, (guint) n);
    }
    return true;
}

typedef enum { TURN_DONE, TURN_CLOSED, TURN_ABORTED } Turn;

static Turn read_once(GuestSocket *socket, int fd)
{
    uint8_t bytes[READ_SIZE];
    ssize_t n = recv(fd, bytes, sizeof(bytes), 0);

    if (n > 0)
        return fake_guest_feed(socket->guest, bytes, (size_t) n) ? TURN_DONE : TURN_ABORTED;
    return n < 0 && (errno == EAGAIN || errno == EINTR) ? TURN_DONE : TURN_CLOSED;
}

/* Sends, waits for something to happen here or at @other (-1: none), reads. */
static Turn turn(GuestSocket *socket, int other, int limit_ms)
{
    int fd = g_socket_get_fd(g_socket_connection_get_socket(socket->connection));
    Turn result = TURN_CLOSED;

    if (send_output(socket, fd)) {
        struct pollfd fds[] = {
            {.fd = fd, .events = (short) (POLLIN | (socket->output->len > 0 ? POLLOUT : 0))},
            {.fd = other, .events = POLLIN}};
        poll(fds, 2, limit_ms);
        result = fds[0].revents & ~POLLOUT ? read_once(socket, fd) : TURN_DONE;
    }
    if (result != TURN_DONE)
        disconnect(socket);
    return result;
}

/* Whether the connection is still there after one turn. */
static bool turn_well(GuestSocket *socket, int limit_ms, GError **error)
{
    switch (turn(socket, -1, limit_ms)) {
    case TURN_DONE: return true;
    case TURN_CLOSED:
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_CONNECTION_CLOSED, "the connection was closed");
        return false;
    case TURN_ABORTED: break;
    }
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED,
                "a packet came on which QEMU would have aborted");
    return false;
}

/* The next event that the observer leaves; @taken: it took some. */
static FakeGuestEvent *next_event(GuestSocket *socket, bool *taken)
{
    FakeGuestEvent *event;

    *taken = false;
    while ((event = fake_guest_next_event(socket->guest)) && socket->observer &&
           socket->observer(socket->observer_data, event)) {
        fake_guest_event_free(event);
        *taken = true;
    }
    return event;
}

FakeGuestEvent *guest_socket_poll(GuestSocket *socket, int limit_ms, GError **error)
{
    if (!socket->connection) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_CONNECTION_CLOSED, "not connected");
        return NULL;
    }
    bool taken;
    FakeGuestEvent *event = next_event(socket, &taken);
    /* What the observer took may be what the caller waits for. */
    if (event || taken || !turn_well(socket, limit_ms, error))
        return event;
    return next_event(socket, &taken);
}

FakeGuestEvent *guest_socket_next(GuestSocket *socket, GError **error)
{
    for (;;) {
        int left = guest_socket_time_left_ms(socket);
        g_autoptr(GError) reason = NULL;
        FakeGuestEvent *event = guest_socket_poll(socket, left, &reason);
        if (event)
            return event;
        if (!reason && left == 0)
            set_timed_out(socket, "nothing came", &reason);
        if (reason) {
            g_propagate_error(error, g_steal_pointer(&reason));
            return NULL;
        }
    }
}

void guest_socket_forget(GuestSocket *socket)
{
    FakeGuestEvent *event;
    bool taken;

    while ((event = next_event(socket, &taken)))
        fake_guest_event_free(event);
}

void guest_socket_idle(GuestSocket *socket, int fd)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};

    while (socket->connection && poll(&poll_fd, 1, 0) == 0) {
        if (turn(socket, fd, -1) != TURN_DONE)
            break;
        guest_socket_forget(socket);
    }
    poll(&poll_fd, 1, -1);
}

bool guest_socket_settle(GuestSocket *socket, GError **error)
{
    bool asked = false;

    while (socket->guest && fake_guest_attached(socket->guest)) {
        if (fake_guest_unanswered(socket->guest) == 0 && asked)
            return true;
        /* Whatever was answered twice comes before the answer to this. */
        if (fake_guest_unanswered(socket->guest) == 0)
            asked = fake_guest_get_configuration(socket->guest) != 0;
        g_autoptr(GError) reason = NULL;
        g_autoptr(FakeGuestEvent) event = guest_socket_next(socket, &reason);
        if (!event && !g_error_matches(reason, G_IO_ERROR, G_IO_ERROR_CONNECTION_CLOSED)) {
            g_propagate_error(error, g_steal_pointer(&reason));
            return false;
        }
    }
    return true;
}

GPtrArray *guest_socket_finish(GuestSocket *socket)
{
    if (socket->guest)
        fake_guest_finish(socket->guest);
    disconnect(socket);
    return g_ptr_array_ref(socket->violations);
}
