/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Addresses, the socket of a port, and the byte stream, over socket pairs and loopback. */
#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <gio/gunixsocketaddress.h>
#include <glib/gstdio.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "address.h"
#include "backoff.h"
#include "byte-stream.h"
#include "port-socket.h"

/* Waiting ---------------------------------------------------------------------------------- */

static gboolean on_limit(gpointer data)
{
    g_error("waited in vain for: %s", (const char *) data);
    return G_SOURCE_REMOVE;
}

/* Makes the loop turn, so that AWAIT looks at the clock. */
static gboolean on_tick(gpointer data)
{
    return G_SOURCE_CONTINUE;
}

/* Runs the main loop until @condition holds. */
#define AWAIT(condition)                                                                           \
    G_STMT_START                                                                                   \
    {                                                                                              \
        guint limit = g_timeout_add_seconds(20, on_limit, (gpointer) #condition);                  \
        while (!(condition))                                                                       \
            g_main_context_iteration(NULL, TRUE);                                                  \
        g_source_remove(limit);                                                                    \
    }                                                                                              \
    G_STMT_END

/* GLib keeps a few descriptors of its own, none of them a socket. */
static guint count_sockets(void)
{
    guint count = 0;

    for (int fd = 0; fd < 1024; fd++) {
        struct stat status;
        if (fstat(fd, &status) == 0 && S_ISSOCK(status.st_mode))
            count++;
    }
    return count;
}

typedef struct {
    char *directory;
    char *path;    /* for a unix socket; does not exist yet */
    guint sockets; /* open before the test */
} Fixture;

static void set_up(Fixture *fixture, gconstpointer data)
{
    fixture->sockets = count_sockets();
    fixture->directory = g_dir_make_tmp("transport-XXXXXX", NULL);
    fixture->path = g_build_filename(fixture->directory, "port,1.sock", NULL);
}

static void tear_down(Fixture *fixture, gconstpointer data)
{
    guint tick = g_timeout_add(10, on_tick, NULL);

    g_unlink(fixture->path);
    g_assert_cmpint(g_rmdir(fixture->directory), ==, 0);
    AWAIT(count_sockets() == fixture->sockets);
    g_source_remove(tick);
    g_free(fixture->directory);
    g_free(fixture->path);
}

/* Addresses -------------------------------------------------------------------------------- */

static const struct {
    const char *spec, *canonical;
} good_addresses[] = {
    {"unix:/run/vm.sock", "unix:/run/vm.sock"},
    {"unix:/run/vm.sock,server=on", "unix:/run/vm.sock,server=on"},
    {"unix:/run/vm.sock,server", "unix:/run/vm.sock,server=on"},
    {"unix:/run/vm.sock,server=off", "unix:/run/vm.sock"},
    {"unix:relative", "unix:relative"},
    {"unix:/run/a,,b,,,server=on", "unix:/run/a,,b,,,server=on"},
    {"unix:/run/a:b", "unix:/run/a:b"},
    {"tcp:127.0.0.1:4000", "tcp:127.0.0.1:4000"},
    {"tcp:vm.example:4000,server=off", "tcp:vm.example:4000"},
    {"tcp:[::1]:65535", "tcp:[::1]:65535"},
    {"tcp:[::1]:1,server=on", "tcp:[::1]:1,server=on"},
    {"tcp:localhost:0,server=on", "tcp:127.0.0.1:0,server=on"},
    {"tcp:localhost:7", "tcp:localhost:7"},
};

static void test_good_addresses(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(good_addresses); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(TransportAddress) address =
            transport_address_parse(good_addresses[i].spec, &error);
        g_assert_no_error(error);
        g_autofree char *text = transport_address_to_string(address);
        g_assert_cmpstr(text, ==, good_addresses[i].canonical);

        g_autoptr(TransportAddress) again = transport_address_parse(text, &error);
        g_assert_no_error(error);
        g_assert_cmpstr(again->path, ==, address->path);
        g_assert_cmpstr(again->host, ==, address->host);
        g_assert_cmpuint(again->port, ==, address->port);
        g_assert_true(again->server == address->server);
    }
}

static void test_parsed_fields(void)
{
    g_autoptr(TransportAddress) path = transport_address_parse("unix:/a,,b,server=on", NULL);
    g_assert_cmpstr(path->path, ==, "/a,b");
    g_assert_null(path->host);
    g_assert_true(path->server);

    g_autoptr(TransportAddress) host = transport_address_parse("tcp:[fe80::1]:4001", NULL);
    g_assert_cmpstr(host->host, ==, "fe80::1");
    g_assert_cmpuint(host->port, ==, 4001);
    g_assert_null(host->path);
    g_assert_false(host->server);
}

static const struct {
    const char *spec, *part;
} bad_addresses[] = {
    {"", "neither unix: nor tcp:"},
    {"/run/vm.sock", "'/run/vm.sock' begins with neither"},
    {"unix:", "has 0 bytes"},
    {"unix:,server=on", "has 0 bytes"},
    {"unix:/x,wait=off", "unknown option 'wait=off'"},
    {"unix:/x,server=yes", "unknown option 'server=yes'"},
    {"unix:/x,", "unknown option ''"},
    {"tcp:127.0.0.1", "no port"},
    {"tcp:127.0.0.1:", "bad port ''"},
    {"tcp:127.0.0.1:0", "bad port '0'"},
    {"tcp:127.0.0.1:65536", "bad port '65536'"},
    {"tcp:127.0.0.1:-1", "bad port '-1'"},
    {"tcp:127.0.0.1:http", "bad port 'http'"},
    {"tcp::4000", "no host"},
    {"tcp:::1:4000", "stands in brackets"},
    {"tcp:[::1:4000", "stands in brackets"},
    {"tcp:[127.0.0.1]:4000", "not an IPv6 address"},
    {"tcp:[]:4000", "no host"},
    {"tcp:vm.example:4000,server=on", "cannot listen on the name 'vm.example'"},
};

static void test_bad_addresses(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(bad_addresses); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(TransportAddress) address =
            transport_address_parse(bad_addresses[i].spec, &error);
        g_assert_null(address);
        g_assert_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT);
        if (!strstr(error->message, bad_addresses[i].part))
            g_error("'%s' gave: %s", bad_addresses[i].spec, error->message);
    }
}

static void test_long_path(void)
{
    g_autofree char *path = g_strnfill(108, 'x');
    g_autofree char *spec = g_strconcat("unix:", path, NULL);
    g_autoptr(GError) error = NULL;

    g_assert_null(transport_address_parse(spec, &error));
    g_assert_nonnull(strstr(error->message, "has 108 bytes"));
    spec[strlen(spec) - 1] = '\0';
    g_autoptr(TransportAddress) address = transport_address_parse(spec, NULL);
    g_assert_nonnull(address);
}

static void test_backoff(void)
{
    static const guint expected[] = {100, 200, 400, 800, 1600, 3200, 5000, 5000};
    guint tries = 0;

    for (gsize i = 0; i < G_N_ELEMENTS(expected); i++) {
        guint delay = transport_backoff_next(&tries);
        g_assert_cmpuint(delay, >=, expected[i]);
        g_assert_cmpuint(delay, <=, expected[i] + expected[i] / 10);
    }
    tries = G_MAXUINT;
    g_assert_cmpuint(transport_backoff_next(&tries), >=, 5000);
    g_assert_cmpuint(tries, ==, G_MAXUINT);
}

/* The byte stream -------------------------------------------------------------------------- */

typedef struct {
    TransportByteStream *stream;
    int peer;
    GByteArray *received;
    guint drained, closed;
    bool failed; /* closed with an error */
    bool busy;   /* in a call of the stream's */
    bool free_on_received, free_on_drained, free_on_closed;
} Ends;

static void on_received(void *data, const uint8_t *bytes, size_t length)
{
    Ends *ends = data;
    g_assert_false(ends->busy);
    g_byte_array_append(ends->received, bytes, (guint) length);
    if (ends->free_on_received)
        g_clear_pointer(&ends->stream, transport_byte_stream_free);
}

static void on_drained(void *data)
{
    Ends *ends = data;
    g_assert_false(ends->busy);
    ends->drained++;
    if (ends->free_on_drained)
        g_clear_pointer(&ends->stream, transport_byte_stream_free);
}

static void on_closed(void *data, const GError *error)
{
    Ends *ends = data;
    g_assert_false(ends->busy);
    ends->closed++;
    ends->failed = error != NULL;
    if (ends->free_on_closed)
        g_clear_pointer(&ends->stream, transport_byte_stream_free);
}

static const TransportByteStreamEvents stream_events = {on_received, on_drained, on_closed};

static void ends_init(Ends *ends, size_t limit)
{
    int pair[2];
    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), ==,
                    0);
    *ends = (Ends){.peer = pair[1], .received = g_byte_array_new()};
    ends->stream = transport_byte_stream_new(pair[0], limit, &stream_events, ends);
}

static void ends_clear(Ends *ends)
{
    transport_byte_stream_free(ends->stream);
    if (ends->peer >= 0)
        close(ends->peer);
    g_byte_array_unref(ends->received);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Ends, ends_clear)

static bool write_stream(Ends *ends, const void *bytes, size_t length)
{
    g_autoptr(GBytes) copy = g_bytes_new(bytes, length);
    ends->busy = true;
    bool taken = transport_byte_stream_write(ends->stream, copy);
    ends->busy = false;
    return taken;
}

static void hang_up(Ends *ends)
{
    close(ends->peer);
    ends->peer = -1;
}

/* What the peer can read now. */
static void read_peer(Ends *ends, GByteArray *into)
{
    uint8_t bytes[4096];
    ssize_t n;

    while ((n = read(ends->peer, bytes, sizeof(bytes))) > 0)
        g_byte_array_append(into, bytes, (guint) n);
    g_assert_true(n < 0 && errno == EAGAIN);
}

static void test_stream_both_ways(Fixture *fixture, gconstpointer data)
{
    g_auto(Ends) ends;
    g_autoptr(GByteArray) at_peer = g_byte_array_new();

    ends_init(&ends, 100);
    g_assert_cmpint(write(ends.peer, "hello", 5), ==, 5);
    AWAIT(ends.received->len == 5);
    g_assert_cmpmem(ends.received->data, 5, "hello", 5);

    g_assert_true(write_stream(&ends, "one", 3));
    g_assert_true(write_stream(&ends, "", 0));
    g_assert_true(write_stream(&ends, "two", 3));
    read_peer(&ends, at_peer);
    g_assert_cmpmem(at_peer->data, at_peer->len, "onetwo", 6);
    g_assert_cmpuint(transport_byte_stream_get_queued(ends.stream), ==, 0);
    g_assert_cmpuint(ends.drained, ==, 0);
}

/* More than the kernel takes, in pieces of odd sizes, while the peer keeps sending. */
static void test_stream_queue(Fixture *fixture, gconstpointer data)
{
    g_auto(Ends) ends;
    g_autoptr(GByteArray) sent = g_byte_array_new();
    g_autoptr(GByteArray) at_peer = g_byte_array_new();
    g_autoptr(GRand) random = g_rand_new_with_seed(1);

    ends_init(&ends, 8 << 20);
    while (sent->len < 4 << 20) {
        uint32_t piece[5000];
        guint length = (guint) g_rand_int_range(random, 1, sizeof(piece));
        for (guint i = 0; i < G_N_ELEMENTS(piece); i++)
            piece[i] = g_rand_int(random);
        g_byte_array_append(sent, (guint8 *) piece, length);
        g_assert_true(write_stream(&ends, piece, length));
    }
    g_assert_cmpuint(transport_byte_stream_get_queued(ends.stream), >, 0);
    g_assert_cmpint(write(ends.peer, "still here", 10), ==, 10);
    AWAIT(ends.received->len == 10);

    while (at_peer->len < sent->len) {
        read_peer(&ends, at_peer);
        g_main_context_iteration(NULL, FALSE);
    }
    g_assert_cmpmem(at_peer->data, at_peer->len, sent->data, sent->len);
    AWAIT(ends.drained == 1);
    g_assert_cmpuint(transport_byte_stream_get_queued(ends.stream), ==, 0);
}

static void test_stream_limit(Fixture *fixture, gconstpointer data)
{
    g_auto(Ends) ends;
    g_autoptr(GByteArray) at_peer = g_byte_array_new();
    g_autofree uint8_t *much = g_malloc0((1 << 20) + 1);
    size_t sent = 0;

    ends_init(&ends, 1 << 20);
    g_assert_false(write_stream(&ends, much, (1 << 20) + 1));
    while (write_stream(&ends, much, 1 << 18))
        sent += 1 << 18;
    g_assert_cmpuint(transport_byte_stream_get_queued(ends.stream), <=, 1 << 20);
    while (at_peer->len < sent) {
        read_peer(&ends, at_peer);
        g_main_context_iteration(NULL, FALSE);
    }
    AWAIT(ends.drained == 1);
    g_assert_true(write_stream(&ends, "more", 4));
    read_peer(&ends, at_peer);
    g_assert_cmpuint(at_peer->len, ==, sent + 4);
}

static void test_stream_hangup(Fixture *fixture, gconstpointer data)
{
    g_auto(Ends) ends;
    ends_init(&ends, 100);
    g_assert_cmpint(write(ends.peer, "last", 4), ==, 4);
    hang_up(&ends);
    AWAIT(ends.closed);
    g_assert_false(ends.failed);
    g_assert_cmpuint(ends.received->len, ==, 4);
    g_assert_true(write_stream(&ends, "x", 1));
    while (g_main_context_iteration(NULL, FALSE))
        continue;
    g_assert_cmpuint(ends.closed, ==, 1);
}

static void test_stream_broken_pipe(Fixture *fixture, gconstpointer data)
{
    g_auto(Ends) ends;
    ends_init(&ends, 100);
    shutdown(ends.peer, SHUT_RD); /* no end of file for us, only for what we write */
    g_assert_true(write_stream(&ends, "x", 1));
    g_assert_cmpuint(ends.closed, ==, 0);
    g_assert_true(write_stream(&ends, "y", 1));
    AWAIT(ends.closed);
    g_assert_true(ends.failed);
}

static void test_stream_freed_in_callbacks(Fixture *fixture, gconstpointer data)
{
    g_autofree uint8_t *much = g_malloc0(1 << 20);
    g_autoptr(GByteArray) at_peer = g_byte_array_new();

    g_auto(Ends) received;
    ends_init(&received, 1 << 20);
    received.free_on_received = true;
    g_assert_cmpint(write(received.peer, "x", 1), ==, 1);
    AWAIT(!received.stream);

    g_auto(Ends) closed;
    ends_init(&closed, 1 << 20);
    closed.free_on_closed = true;
    hang_up(&closed);
    AWAIT(!closed.stream);

    g_auto(Ends) drained;
    ends_init(&drained, 1 << 20);
    drained.free_on_drained = true;
    g_assert_true(write_stream(&drained, much, 1 << 20));
    while (drained.stream) {
        read_peer(&drained, at_peer);
        g_main_context_iteration(NULL, FALSE);
        if (!drained.stream)
            break;
    }
    g_assert_cmpuint(drained.drained, ==, 1);
}

/* The socket of a port --------------------------------------------------------------------- */

typedef struct {
    TransportPortSocket *socket;
    GPtrArray *told; /* "state: text" */
    GArray *opened;  /* of int */
    bool free_on_state, free_on_opened;
} Port;

static void on_state(void *data, TransportPortState state, const char *text)
{
    Port *port = data;
    g_ptr_array_add(port->told,
                    g_strdup_printf("%s: %s", transport_port_state_to_string(state), text));
    if (port->free_on_state)
        g_clear_pointer(&port->socket, transport_port_socket_free);
}

static void on_opened(void *data, int fd)
{
    Port *port = data;
    g_array_append_val(port->opened, fd);
    if (port->free_on_opened)
        g_clear_pointer(&port->socket, transport_port_socket_free);
}

static const TransportPortEvents port_events = {on_state, on_opened};

static void port_init(Port *port, const TransportAddress *address, GError **error)
{
    *port = (Port){.told = g_ptr_array_new_with_free_func(g_free),
                   .opened = g_array_new(false, false, sizeof(int))};
    port->socket = transport_port_socket_new(address, &port_events, port, error);
}

static void port_clear(Port *port)
{
    transport_port_socket_free(port->socket);
    for (guint i = 0; i < port->opened->len; i++)
        close(g_array_index(port->opened, int, i));
    g_array_unref(port->opened);
    g_ptr_array_unref(port->told);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Port, port_clear)

static int opened(const Port *port, guint i)
{
    g_assert_cmpuint(port->opened->len, >, i);
    return g_array_index(port->opened, int, i);
}

static void assert_told(const Port *port, guint i, const char *start, const char *part)
{
    g_assert_cmpuint(port->told->len, >, i);
    const char *text = g_ptr_array_index(port->told, i);
    if (!g_str_has_prefix(text, start) || !strstr(text, part))
        g_error("told '%s', expected '%s…%s'", text, start, part);
}

static void connect_unix(Port *port, const Fixture *fixture)
{
    TransportAddress address = {.path = fixture->path};
    port_init(port, &address, NULL);
}

static void listen_unix(Port *port, const Fixture *fixture)
{
    TransportAddress address = {.path = fixture->path, .server = true};
    g_autoptr(GError) error = NULL;

    port_init(port, &address, &error);
    g_assert_no_error(error);
}

static void listen_tcp(Port *port, const char *host)
{
    TransportAddress address = {.host = (char *) host, .server = true};
    g_autoptr(GError) error = NULL;

    port_init(port, &address, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(transport_port_socket_get_address(port->socket)->port, >, 0);
}

/* A QEMU with server=on. */
static GSocket *qemu_listens(const Fixture *fixture)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GSocketAddress) address = g_unix_socket_address_new(fixture->path);
    GSocket *socket = g_socket_new(G_SOCKET_FAMILY_UNIX, G_SOCKET_TYPE_STREAM, 0, &error);

    g_assert_no_error(error);
    g_socket_bind(socket, address, FALSE, &error);
    g_assert_no_error(error);
    g_socket_listen(socket, &error);
    g_assert_no_error(error);
    return socket;
}

/* A QEMU with server=off. */
static GSocket *qemu_connects(const Port *port)
{
    const TransportAddress *address = transport_port_socket_get_address(port->socket);
    g_autoptr(GError) error = NULL;
    g_autoptr(GSocketAddress) to =
        address->path ? g_unix_socket_address_new(address->path)
                      : g_inet_socket_address_new_from_string(address->host, address->port);
    GSocket *socket =
        g_socket_new(g_socket_address_get_family(to), G_SOCKET_TYPE_STREAM, 0, &error);

    g_assert_no_error(error);
    g_socket_connect(socket, to, NULL, &error);
    g_assert_no_error(error);
    return socket;
}

static void qemu_says(GSocket *qemu, const char *text)
{
    g_assert_cmpint(g_socket_send(qemu, text, strlen(text), NULL, NULL), ==, strlen(text));
}

static void assert_reads(int fd, const char *text)
{
    char bytes[64];
    g_assert_cmpint(recv(fd, bytes, sizeof(bytes), 0), ==, strlen(text));
    g_assert_cmpmem(bytes, strlen(text), text, strlen(text));
}

static void assert_flags(int fd)
{
    g_assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
    g_assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
}

static int get_option(int fd, int level, int name)
{
    int value = -1;
    socklen_t length = sizeof(value);

    g_assert_cmpint(getsockopt(fd, level, name, &value, &length), ==, 0);
    return value;
}

static void assert_tcp_options(int fd)
{
    g_assert_cmpint(get_option(fd, IPPROTO_TCP, TCP_NODELAY), ==, 1);
    g_assert_cmpint(get_option(fd, SOL_SOCKET, SO_KEEPALIVE), ==, 1);
    g_assert_cmpint(get_option(fd, IPPROTO_TCP, TCP_KEEPIDLE), ==, 30);
}

static void test_connect(Fixture *fixture, gconstpointer data)
{
    g_autoptr(GSocket) qemu = qemu_listens(fixture);
    g_auto(Port) port;

    connect_unix(&port, fixture);
    transport_port_socket_request(port.socket);
    transport_port_socket_request(port.socket);
    AWAIT(port.opened->len == 1);
    assert_told(&port, 0, "connecting", fixture->directory);
    assert_flags(opened(&port, 0));

    g_autoptr(GSocket) stream = g_socket_accept(qemu, NULL, NULL);
    qemu_says(stream, "hello");
    assert_reads(opened(&port, 0), "hello");

    /* once more, as after a restart of QEMU */
    transport_port_socket_request(port.socket);
    AWAIT(port.opened->len == 2);
}

/* Not there yet, then a leftover of an earlier QEMU, then there: each reason is told once. */
static void test_connect_retries(Fixture *fixture, gconstpointer data)
{
    g_auto(Port) port;
    gint64 start = g_get_monotonic_time();

    connect_unix(&port, fixture);
    transport_port_socket_request(port.socket);
    AWAIT(port.told->len == 2);
    assert_told(&port, 1, "retrying: cannot connect to unix:", "No such file");

    g_autoptr(GSocket) leftover = qemu_listens(fixture);
    g_socket_close(leftover, NULL);
    AWAIT(port.told->len == 3);
    assert_told(&port, 2, "retrying: cannot connect to unix:", "refused");

    /* 100 + 200 + 400 ms: time for two more tries that fail for the same reason */
    guint tick = g_timeout_add(50, on_tick, NULL);
    AWAIT(g_get_monotonic_time() - start > 800 * G_TIME_SPAN_MILLISECOND);
    g_source_remove(tick);
    g_assert_cmpuint(port.told->len, ==, 3);

    g_unlink(fixture->path);
    G_GNUC_UNUSED g_autoptr(GSocket) qemu = qemu_listens(fixture);
    AWAIT(port.opened->len == 1);
    g_assert_cmpuint(port.told->len, ==, 3);
}

static void test_connect_tcp(Fixture *fixture, gconstpointer data)
{
    g_autoptr(GSocketListener) qemu = g_socket_listener_new();
    TransportAddress address = {.host = (char *) "localhost"};
    g_auto(Port) port;

    address.port = g_socket_listener_add_any_inet_port(qemu, NULL, NULL);
    port_init(&port, &address, NULL);
    transport_port_socket_request(port.socket);
    AWAIT(port.opened->len == 1);
    assert_flags(opened(&port, 0));
    assert_tcp_options(opened(&port, 0));
    g_socket_listener_close(qemu);
}

static void test_withdraw(Fixture *fixture, gconstpointer data)
{
    G_GNUC_UNUSED g_autoptr(GSocket) qemu = qemu_listens(fixture);
    g_auto(Port) port;

    connect_unix(&port, fixture);
    transport_port_socket_request(port.socket);
    transport_port_socket_withdraw(port.socket);
    while (g_main_context_iteration(NULL, FALSE))
        continue;
    g_assert_cmpuint(port.told->len, ==, 0);

    /* while the try is under way */
    transport_port_socket_request(port.socket);
    AWAIT(port.told->len == 1);
    transport_port_socket_withdraw(port.socket);
    while (g_main_context_iteration(NULL, FALSE))
        continue;
    g_assert_cmpuint(port.opened->len, ==, 0);

    transport_port_socket_request(port.socket);
    AWAIT(port.opened->len == 1);
}

static void test_freed_while_connecting(Fixture *fixture, gconstpointer data)
{
    G_GNUC_UNUSED g_autoptr(GSocket) qemu = qemu_listens(fixture);
    g_auto(Port) state;
    g_auto(Port) open;

    connect_unix(&state, fixture);
    state.free_on_state = true;
    transport_port_socket_request(state.socket);
    AWAIT(!state.socket);

    connect_unix(&open, fixture);
    open.free_on_opened = true;
    transport_port_socket_request(open.socket);
    AWAIT(!open.socket);
    g_assert_cmpuint(state.opened->len, ==, 0);
    g_assert_cmpuint(open.opened->len, ==, 1);
}

static void test_listen(Fixture *fixture, gconstpointer data)
{
    g_auto(Port) port;
    listen_unix(&port, fixture);

    /* held until it is requested; what it said is not lost */
    g_autoptr(GSocket) first = qemu_connects(&port);
    qemu_says(first, "hello");
    AWAIT(port.told->len == 1);
    assert_told(&port, 0, "holding", fixture->directory);
    g_assert_cmpuint(port.opened->len, ==, 0);
    transport_port_socket_request(port.socket);
    AWAIT(port.opened->len == 1);
    assert_flags(opened(&port, 0));
    assert_reads(opened(&port, 0), "hello");

    /* requested before it comes */
    transport_port_socket_request(port.socket);
    g_autoptr(GSocket) second = qemu_connects(&port);
    AWAIT(port.opened->len == 2);
    qemu_says(second, "again");
    assert_reads(opened(&port, 1), "again");
    g_assert_cmpuint(port.told->len, ==, 1);
}

static void test_listen_hangup(Fixture *fixture, gconstpointer data)
{
    g_auto(Port) port;
    listen_unix(&port, fixture);

    g_autoptr(GSocket) first = qemu_connects(&port);
    qemu_says(first, "hello"); /* unread bytes do not hide the end */
    AWAIT(port.told->len == 1);
    g_autoptr(GSocket) second = qemu_connects(&port); /* waits in the backlog */
    qemu_says(second, "second");
    g_socket_close(first, NULL);
    AWAIT(port.told->len == 3);
    assert_told(&port, 1, "listening", "has gone");
    assert_told(&port, 2, "holding", "");
    transport_port_socket_request(port.socket);
    AWAIT(port.opened->len == 1);
    assert_reads(opened(&port, 0), "second");
}

/* It comes and goes before anybody looks: nothing to hand out. */
static void test_listen_passer_by(Fixture *fixture, gconstpointer data)
{
    g_auto(Port) port;
    listen_unix(&port, fixture);
    transport_port_socket_request(port.socket);

    g_autoptr(GSocket) passer_by = qemu_connects(&port);
    g_socket_close(passer_by, NULL);
    g_autoptr(GSocket) qemu = qemu_connects(&port);
    qemu_says(qemu, "hello");
    AWAIT(port.opened->len == 1);
    assert_reads(opened(&port, 0), "hello");
}

static void test_listen_withdraw(Fixture *fixture, gconstpointer data)
{
    g_auto(Port) port;
    listen_unix(&port, fixture);

    G_GNUC_UNUSED g_autoptr(GSocket) qemu = qemu_connects(&port);
    AWAIT(port.told->len == 1);
    transport_port_socket_request(port.socket);
    transport_port_socket_withdraw(port.socket);
    while (g_main_context_iteration(NULL, FALSE))
        continue;
    g_assert_cmpuint(port.opened->len, ==, 0);
    transport_port_socket_request(port.socket);
    AWAIT(port.opened->len == 1);
}

static void test_listen_tcp(Fixture *fixture, gconstpointer data)
{
    static const char *const hosts[] = {"127.0.0.1", "::1"};

    for (gsize i = 0; i < G_N_ELEMENTS(hosts); i++) {
        g_auto(Port) port;
        listen_tcp(&port, hosts[i]);
        g_autoptr(GSocket) first = qemu_connects(&port);
        AWAIT(port.told->len == 1);
        g_socket_close(first, NULL);
        AWAIT(port.told->len == 2);
        G_GNUC_UNUSED g_autoptr(GSocket) second = qemu_connects(&port);
        transport_port_socket_request(port.socket);
        AWAIT(port.opened->len == 1);
        assert_flags(opened(&port, 0));
        assert_tcp_options(opened(&port, 0));
    }
}

static void test_listen_taken_port(Fixture *fixture, gconstpointer data)
{
    g_auto(Port) port;
    g_autoptr(GError) error = NULL;

    listen_tcp(&port, "127.0.0.1");
    g_auto(Port) second;
    port_init(&second, transport_port_socket_get_address(port.socket), &error);
    g_assert_error(error, G_IO_ERROR, G_IO_ERROR_ADDRESS_IN_USE);
    g_assert_nonnull(strstr(error->message, "cannot listen on tcp:127.0.0.1:"));
}

static void test_socket_mode(Fixture *fixture, gconstpointer data)
{
    static const mode_t masks[] = {0, 022, 077};

    for (gsize i = 0; i < G_N_ELEMENTS(masks); i++) {
        mode_t before = umask(masks[i]);
        struct stat status;
        g_auto(Port) port;
        listen_unix(&port, fixture);
        umask(before);
        g_assert_cmpint(stat(fixture->path, &status), ==, 0);
        g_assert_cmpuint(status.st_mode & 07777, ==, 0660);
    }
    g_assert_false(g_file_test(fixture->path, G_FILE_TEST_EXISTS));
}

static void test_stale_socket(Fixture *fixture, gconstpointer data)
{
    g_autoptr(GSocket) leftover = qemu_listens(fixture);
    g_socket_close(leftover, NULL);
    g_assert_true(g_file_test(fixture->path, G_FILE_TEST_EXISTS));

    g_auto(Port) port;
    listen_unix(&port, fixture);
    G_GNUC_UNUSED g_autoptr(GSocket) qemu = qemu_connects(&port);
    AWAIT(port.told->len == 1);
}

static void assert_refuses(const Fixture *fixture, const char *part)
{
    TransportAddress address = {.path = fixture->path, .server = true};
    g_autoptr(GError) error = NULL;
    g_auto(Port) port;

    port_init(&port, &address, &error);
    g_assert_null(port.socket);
    g_assert_nonnull(error);
    if (!strstr(error->message, part) ||
        !g_str_has_prefix(error->message, "cannot listen on unix:"))
        g_error("refused with: %s", error->message);
}

static void test_path_taken(Fixture *fixture, gconstpointer data)
{
    g_autoptr(GSocket) other = qemu_listens(fixture);
    assert_refuses(fixture, "somebody listens on");
    g_assert_true(g_file_test(fixture->path, G_FILE_TEST_EXISTS));
    g_socket_close(other, NULL);
    g_unlink(fixture->path);

    g_assert_true(g_file_set_contents(fixture->path, "precious", -1, NULL));
    assert_refuses(fixture, "is not a socket");
    g_assert_true(g_file_test(fixture->path, G_FILE_TEST_IS_REGULAR));

    g_autofree char *nowhere = g_build_filename(fixture->directory, "none", "port", NULL);
    Fixture elsewhere = {.path = nowhere};
    assert_refuses(&elsewhere, "No such file");
}

/* Somebody else's socket took the place of ours. */
static void test_foreign_socket_stays(Fixture *fixture, gconstpointer data)
{
    g_autofree char *aside = g_strconcat(fixture->path, ".old", NULL);
    g_auto(Port) port;

    listen_unix(&port, fixture);
    g_assert_cmpint(g_rename(fixture->path, aside), ==, 0);
    G_GNUC_UNUSED g_autoptr(GSocket) other = qemu_listens(fixture);
    g_clear_pointer(&port.socket, transport_port_socket_free);
    g_assert_true(g_file_test(fixture->path, G_FILE_TEST_EXISTS));
    g_unlink(aside);
}

static void test_freed_while_listening(Fixture *fixture, gconstpointer data)
{
    g_auto(Port) state;
    listen_unix(&state, fixture);
    state.free_on_state = true;
    G_GNUC_UNUSED g_autoptr(GSocket) first = qemu_connects(&state);
    AWAIT(!state.socket);

    g_auto(Port) open;
    listen_unix(&open, fixture);
    open.free_on_opened = true;
    transport_port_socket_request(open.socket);
    G_GNUC_UNUSED g_autoptr(GSocket) second = qemu_connects(&open);
    AWAIT(!open.socket);
    g_assert_cmpuint(open.opened->len, ==, 1);
}

#define ADD(path, test) g_test_add("/transport/" path, Fixture, NULL, set_up, test, tear_down)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/transport/address/good", test_good_addresses);
    g_test_add_func("/transport/address/fields", test_parsed_fields);
    g_test_add_func("/transport/address/bad", test_bad_addresses);
    g_test_add_func("/transport/address/long-path", test_long_path);
    g_test_add_func("/transport/backoff", test_backoff);
    ADD("stream/both-ways", test_stream_both_ways);
    ADD("stream/queue", test_stream_queue);
    ADD("stream/limit", test_stream_limit);
    ADD("stream/hangup", test_stream_hangup);
    ADD("stream/broken-pipe", test_stream_broken_pipe);
    ADD("stream/freed-in-callbacks", test_stream_freed_in_callbacks);
    ADD("connect/unix", test_connect);
    ADD("connect/tcp", test_connect_tcp);
    ADD("connect/retries", test_connect_retries);
    ADD("connect/withdraw", test_withdraw);
    ADD("connect/freed", test_freed_while_connecting);
    ADD("listen/unix", test_listen);
    ADD("listen/tcp", test_listen_tcp);
    ADD("listen/hangup", test_listen_hangup);
    ADD("listen/passer-by", test_listen_passer_by);
    ADD("listen/withdraw", test_listen_withdraw);
    ADD("listen/taken-port", test_listen_taken_port);
    ADD("listen/mode", test_socket_mode);
    ADD("listen/stale", test_stale_socket);
    ADD("listen/path-taken", test_path_taken);
    ADD("listen/foreign-socket-stays", test_foreign_socket_stays);
    ADD("listen/freed", test_freed_while_listening);
    return g_test_run();
}
