/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Stands in for rdpusb-session: the client's socket, which is RDP otherwise, carries lines. A test
 * writes commands there and reads what the session was told; see `commands` below. Each command is
 * answered by one line, and events come between.
 */
#include <gio/gio.h>
#include <gio/gunixfdlist.h>
#include <glib-unix.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "rdpusb-link.h"

#define CLIENT_FD   3
#define LINK_FD     4
#define OBJECT_PATH "/org/rdpusb"

typedef struct {
    GMainLoop *loop;
    GIOStream *client;
    GDataInputStream *lines;
    GDBusConnection *connection;
    LinkSession1 *session;
    LinkBroker1 *broker;
    GHashTable *streams; /* number -> GIOStream */
    bool stubborn;       /* does not end on Disconnect */
    bool deaf;           /* does not read the link */
} Fake;

static void say(Fake *fake, const char *format, ...) G_GNUC_PRINTF(2, 3);

static void say(Fake *fake, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *text = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    g_autofree char *line = g_strconcat(g_strdelimit(text, "\n", ' '), "\n", NULL);
    g_output_stream_write_all(g_io_stream_get_output_stream(fake->client), line, strlen(line), NULL,
                              NULL, NULL);
}

static void say_result(Fake *fake, const char *done, const GError *error)
{
    if (error) {
        g_autofree char *name = g_dbus_error_get_remote_error(error);
        g_autoptr(GError) stripped = g_error_copy(error);
        g_dbus_error_strip_remote_error(stripped);
        say(fake, "error %s %s", name ? name : "-", stripped->message);
    } else {
        say(fake, "%s", done);
    }
}

/* ---- The broker's calls ---- */

typedef struct {
    Fake *fake;
    guint device;
    GIOStream *stream;
    char buffer[256];
} Reader;

static void on_stream_bytes(GObject *source, GAsyncResult *result, gpointer data)
{
    Reader *reader = data;
    GInputStream *input = G_INPUT_STREAM(source);
    gssize n = g_input_stream_read_finish(input, result, NULL);
    if (n > 0) {
        say(reader->fake, "received %u %.*s", reader->device, (int) n, reader->buffer);
        g_input_stream_read_async(input, reader->buffer, sizeof reader->buffer, 0, NULL,
                                  on_stream_bytes, reader);
        return;
    }
    say(reader->fake, "eof %u", reader->device);
    g_object_unref(reader->stream);
    g_free(reader);
}

static gboolean on_connect(LinkSession1 *session, GDBusMethodInvocation *invocation,
                           GUnixFDList *fds, guint device, const char *port, GVariant *handle,
                           Fake *fake)
{
    int fd = g_unix_fd_list_get(fds, g_variant_get_handle(handle), NULL);
    g_autoptr(GSocket) socket = g_socket_new_from_fd(fd, NULL);
    GIOStream *stream = G_IO_STREAM(g_socket_connection_factory_create_connection(socket));
    g_hash_table_insert(fake->streams, GUINT_TO_POINTER(device), stream);
    Reader *reader = g_new0(Reader, 1);
    *reader = (Reader){.fake = fake, .device = device, .stream = g_object_ref(stream)};
    g_input_stream_read_async(g_io_stream_get_input_stream(stream), reader->buffer,
                              sizeof reader->buffer, 0, NULL, on_stream_bytes, reader);
    say(fake, "connect %u %s", device, port);
    link_session1_complete_connect(session, invocation, NULL);
    return TRUE;
}

/* Writes the device's number there. */
static gboolean on_capture(LinkSession1 *session, GDBusMethodInvocation *invocation,
                           GUnixFDList *fds, guint device, const char *port, GVariant *handle,
                           guint64 limit, Fake *fake)
{
    int fd = g_unix_fd_list_get(fds, g_variant_get_handle(handle), NULL);
    bool written = dprintf(fd, "device %u", device) > 0;
    close(fd);
    say(fake, "capture %u %s %s %" G_GUINT64_FORMAT, device, port, written ? "written" : "failed",
        limit);
    link_session1_complete_capture(session, invocation, NULL);
    return TRUE;
}

static gboolean on_waiting(LinkSession1 *session, GDBusMethodInvocation *invocation, guint device,
                           const char *reason, Fake *fake)
{
    say(fake, "waiting %u %s", device, reason);
    link_session1_complete_waiting(session, invocation);
    return TRUE;
}

/* Only says so: the test decides whether the device leaves. */
static gboolean on_detach(LinkSession1 *session, GDBusMethodInvocation *invocation, guint device,
                          const char *reason, Fake *fake)
{
    say(fake, "detach %u %s", device, reason);
    link_session1_complete_detach(session, invocation);
    return TRUE;
}

static gboolean on_ping(LinkSession1 *session, GDBusMethodInvocation *invocation, Fake *fake)
{
    link_session1_complete_ping(session, invocation);
    return TRUE;
}

static gboolean on_disconnect(LinkSession1 *session, GDBusMethodInvocation *invocation,
                              const char *reason, Fake *fake)
{
    say(fake, "disconnect %s", reason);
    link_session1_complete_disconnect(session, invocation);
    if (!fake->stubborn)
        g_main_loop_quit(fake->loop);
    return TRUE;
}

static gboolean on_terminate(gpointer data)
{
    Fake *fake = data;
    say(fake, "terminate");
    if (!fake->stubborn)
        g_main_loop_quit(fake->loop);
    return G_SOURCE_CONTINUE;
}

/* ---- Commands of the test ---- */

static bool open_link(Fake *fake, GError **error)
{
    g_autoptr(GSocket) socket = g_socket_new_from_fd(LINK_FD, error);
    g_autoptr(GIOStream) stream =
        G_IO_STREAM(g_socket_connection_factory_create_connection(socket));
    fake->connection =
        g_dbus_connection_new_sync(stream, NULL,
                                   G_DBUS_CONNECTION_FLAGS_AUTHENTICATION_CLIENT |
                                       G_DBUS_CONNECTION_FLAGS_DELAY_MESSAGE_PROCESSING,
                                   NULL, NULL, error);
    if (!fake->connection)
        return false;
    fake->session = link_session1_skeleton_new();
    g_signal_connect(fake->session, "handle-connect", G_CALLBACK(on_connect), fake);
    g_signal_connect(fake->session, "handle-capture", G_CALLBACK(on_capture), fake);
    g_signal_connect(fake->session, "handle-waiting", G_CALLBACK(on_waiting), fake);
    g_signal_connect(fake->session, "handle-detach", G_CALLBACK(on_detach), fake);
    g_signal_connect(fake->session, "handle-ping", G_CALLBACK(on_ping), fake);
    g_signal_connect(fake->session, "handle-disconnect", G_CALLBACK(on_disconnect), fake);
    fake->broker = link_broker1_proxy_new_sync(fake->connection,
                                               G_DBUS_PROXY_FLAGS_DO_NOT_LOAD_PROPERTIES |
                                                   G_DBUS_PROXY_FLAGS_DO_NOT_CONNECT_SIGNALS,
                                               NULL, OBJECT_PATH, NULL, error);
    if (!fake->broker || !g_dbus_interface_skeleton_export(G_DBUS_INTERFACE_SKELETON(fake->session),
                                                           fake->connection, OBJECT_PATH, error))
        return false;
    g_dbus_connection_start_message_processing(fake->connection);
    return true;
}

/* link: opens it. Without this, garbage can be sent there. */
static void do_link(Fake *fake, char **words)
{
    g_autoptr(GError) error = NULL;
    open_link(fake, &error);
    say_result(fake, "linked", error);
}

static void do_configure(Fake *fake, char **words)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GVariant) settings = NULL;
    link_broker1_call_configure_sync(fake->broker, &settings, NULL, &error);
    g_autofree char *text = settings ? g_variant_print(settings, FALSE) : NULL;
    say_result(fake, text, error);
}

static void authenticate(Fake *fake, const char *user, const char *domain, const char *password)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *name = NULL;
    g_autofree char *vm = NULL;
    link_broker1_call_authenticate_sync(fake->broker, user, domain, password, "computer", &name,
                                        &vm, NULL, &error);
    g_autofree char *text = g_strdup_printf("authenticated %s %s", name, vm);
    say_result(fake, text, error);
}

/* authenticate USER PASSWORD */
static void do_authenticate(Fake *fake, char **words)
{
    authenticate(fake, words[1], "", words[2]);
}

/* authenticate-in DOMAIN USER PASSWORD */
static void do_authenticate_in(Fake *fake, char **words)
{
    authenticate(fake, words[2], words[1], words[3]);
}

/* ask USER PASSWORD: authenticates, and does not wait for the answer. */
static void do_ask(Fake *fake, char **words)
{
    link_broker1_call_authenticate(fake->broker, words[1], "", words[2], "computer", NULL, NULL,
                                   NULL);
    say(fake, "asked");
}

/* close: the link. */
static void do_close(Fake *fake, char **words)
{
    g_autoptr(GError) error = NULL;
    g_dbus_connection_close_sync(fake->connection, NULL, &error);
    say_result(fake, "closed", error);
}

/* Bytes as hexadecimal digits. */
static GVariant *bytes_of(const char *digits)
{
    GVariantBuilder bytes;
    g_variant_builder_init(&bytes, G_VARIANT_TYPE("ay"));
    for (; digits[0] && digits[1]; digits += 2)
        g_variant_builder_add(
            &bytes, "y", g_ascii_xdigit_value(digits[0]) << 4 | g_ascii_xdigit_value(digits[1]));
    return g_variant_builder_end(&bytes);
}

/* prove DOMAIN USER PROOF-VALUE SESSION-KEY MIC MIC-VALUE: what follows USER are bytes. */
static void do_prove(Fake *fake, char **words)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GVariant) hash = NULL;
    g_autoptr(GString) text = g_string_new("proved ");
    link_broker1_call_prove_ntlm_sync(fake->broker, words[2], words[1], bytes_of(words[3]),
                                      bytes_of(words[4]), bytes_of(words[5]), bytes_of(words[6]),
                                      &hash, NULL, &error);
    gsize size = 0;
    const guint8 *bytes = hash ? g_variant_get_fixed_array(hash, &size, 1) : NULL;
    for (gsize i = 0; i < size; i++)
        g_string_append_printf(text, "%02x", bytes[i]);
    say_result(fake, text->str, error);
}

/* attach NUMBER NAME SERIAL: a device 1d6b:0104. `none` as a name: a description without keys. */
static void do_attach(Fake *fake, char **words)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *name = g_strcompress(words[2]);
    g_auto(GVariantDict) description = G_VARIANT_DICT_INIT(NULL);
    if (strcmp(name, "none") != 0) {
        g_variant_dict_insert(&description, "vendor", "q", 0x1d6b);
        g_variant_dict_insert(&description, "product", "q", 0x0104);
        g_variant_dict_insert(&description, "name", "s", name);
        g_variant_dict_insert(&description, "serial", "s", words[3]);
    }
    link_broker1_call_attach_sync(fake->broker, atoi(words[1]), g_variant_dict_end(&description),
                                  NULL, &error);
    say_result(fake, "attached", error);
}

/* describe NUMBER VENDOR:PRODUCT [CLASS:SUBCLASS:PROTOCOL ...]: a device like that, all in
 * hexadecimal. */
static void do_describe(Fake *fake, char **words)
{
    g_autoptr(GError) error = NULL;
    g_auto(GVariantDict) description = G_VARIANT_DICT_INIT(NULL);
    GVariantBuilder interfaces;
    unsigned vendor = 0, product = 0, class_, subclass, protocol;
    sscanf(words[2], "%x:%x", &vendor, &product);
    g_variant_builder_init(&interfaces, G_VARIANT_TYPE("a(yyy)"));
    for (char **word = words + 3; *word; word++) {
        if (sscanf(*word, "%x:%x:%x", &class_, &subclass, &protocol) == 3)
            g_variant_builder_add(&interfaces, "(yyy)", class_, subclass, protocol);
    }
    g_variant_dict_insert(&description, "vendor", "q", vendor);
    g_variant_dict_insert(&description, "product", "q", product);
    g_variant_dict_insert_value(&description, "interfaces", g_variant_builder_end(&interfaces));
    link_broker1_call_attach_sync(fake->broker, atoi(words[1]), g_variant_dict_end(&description),
                                  NULL, &error);
    say_result(fake, "attached", error);
}

static void close_stream(Fake *fake, guint device)
{
    GIOStream *stream = g_hash_table_lookup(fake->streams, GUINT_TO_POINTER(device));
    if (stream)
        g_socket_shutdown(g_socket_connection_get_socket(G_SOCKET_CONNECTION(stream)), TRUE, TRUE,
                          NULL);
    g_hash_table_remove(fake->streams, GUINT_TO_POINTER(device));
}

/* lost NUMBER REASON */
static void do_lost(Fake *fake, char **words)
{
    g_autoptr(GError) error = NULL;
    close_stream(fake, atoi(words[1]));
    link_broker1_call_lost_sync(fake->broker, atoi(words[1]), words[2], NULL, &error);
    say_result(fake, "told", error);
}

/* detached NUMBER REASON: keeps the stream open, as only a hostile session would. */
static void do_detached(Fake *fake, char **words)
{
    g_autoptr(GError) error = NULL;
    link_broker1_call_detached_sync(fake->broker, atoi(words[1]), words[2], FALSE, 0, 0, NULL,
                                    &error);
    say_result(fake, "told", error);
}

static GVariant *some_device(void)
{
    g_auto(GVariantDict) description = G_VARIANT_DICT_INIT(NULL);
    g_variant_dict_insert(&description, "vendor", "q", 0x1d6b);
    g_variant_dict_insert(&description, "product", "q", 0x0104);
    return g_variant_dict_end(&description);
}

/* cycle COUNT left|refused: so many devices come and leave again, if they may come, or are refused
 * by the guest. Says how many came, and why the last one did not. */
static void do_cycle(Fake *fake, char **words)
{
    g_autoptr(GError) error = NULL;
    bool refused = strcmp(words[2], "refused") == 0;
    int attached = 0;
    for (int i = 0; i < atoi(words[1]); i++) {
        g_clear_error(&error);
        if (!link_broker1_call_attach_sync(fake->broker, 1, some_device(), NULL, &error))
            continue;
        attached++;
        link_broker1_call_detached_sync(fake->broker, 1, words[2], refused, 0, 0, NULL, NULL);
    }
    say(fake, "cycled %d %s", attached, error ? error->message : "");
}

/* send NUMBER TEXT: to the guest; \n is a newline. */
static void do_send(Fake *fake, char **words)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *text = g_strcompress(words[2]);
    GIOStream *stream = g_hash_table_lookup(fake->streams, GUINT_TO_POINTER(atoi(words[1])));
    if (stream)
        g_output_stream_write_all(g_io_stream_get_output_stream(stream), text, strlen(text), NULL,
                                  NULL, &error);
    say_result(fake, stream ? "sent" : "error - no stream", error);
}

/* inspect: what this process was given. */
static void do_inspect(Fake *fake, char **words)
{
    g_autoptr(GString) text = g_string_new("fds");
    g_auto(GStrv) environment = g_listenv();
    g_autoptr(GDir) folder = g_dir_open("/proc/self/fd", 0, NULL);
    struct rlimit data = {0}, core = {0};
    for (const char *name; (name = g_dir_read_name(folder));) {
        g_autofree char *path = g_build_filename("/proc/self/fd", name, NULL);
        g_autofree char *target = g_file_read_link(path, NULL);
        if (target && !g_str_has_prefix(target, "/proc/") && !strstr(target, "[eventfd]"))
            g_string_append_printf(text, " %s", name);
    }
    g_string_append(text, "; environment");
    for (char **name = environment; *name; name++)
        g_string_append_printf(text, " %s", *name);
    getrlimit(RLIMIT_DATA, &data);
    getrlimit(RLIMIT_CORE, &core);
    g_string_append_printf(text, "; data %lld; core %lld; pid %d; group %d",
                           (long long) data.rlim_max, (long long) core.rlim_max, getpid(),
                           getpgrp());
    say(fake, "%s", text->str);
}

/* flood: more calls than a session may have. */
static void do_flood(Fake *fake, char **words)
{
    for (int i = 0; i < 1000; i++) {
        g_autoptr(GDBusMessage) message =
            g_dbus_message_new_method_call(NULL, OBJECT_PATH, "org.rdpusb.Broker1", "NoSuchMethod");
        g_dbus_connection_send_message(fake->connection, message, G_DBUS_SEND_MESSAGE_FLAGS_NONE,
                                       NULL, NULL);
    }
    say(fake, "flooded");
}

/* In GDBus' thread, which is the one that reads. */
static GDBusMessage *hold(GDBusConnection *connection, GDBusMessage *message, gboolean incoming,
                          gpointer data)
{
    while (incoming)
        pause();
    return message;
}

/* deaf: reads no more than the next message. */
static void do_deaf(Fake *fake, char **words)
{
    fake->deaf = true;
    g_dbus_connection_add_filter(fake->connection, hold, NULL, NULL);
    say(fake, "deaf");
}

/* shout attach|detached: device 1, when deaf. What GDBus would send is of no use then. */
static void do_shout(Fake *fake, char **words)
{
    static guint32 serial = 1 << 30;
    bool attach = strcmp(words[1], "attach") == 0;
    g_autoptr(GDBusMessage) message = g_dbus_message_new_method_call(
        NULL, OBJECT_PATH, "org.rdpusb.Broker1", attach ? "Attach" : "Detached");
    gsize size;
    g_dbus_message_set_serial(message, serial++);
    g_dbus_message_set_flags(message, G_DBUS_MESSAGE_FLAGS_NO_REPLY_EXPECTED);
    g_dbus_message_set_body(
        message, attach ? g_variant_new("(u@a{sv})", 1, some_device())
                        : g_variant_new("(usbtt)", 1, "", FALSE, (guint64) 0, (guint64) 0));
    g_autofree guchar *blob =
        g_dbus_message_to_blob(message, &size, G_DBUS_CAPABILITY_FLAGS_NONE, NULL);
    say(fake, "shouted %zd", send(LINK_FD, blob, size, MSG_NOSIGNAL));
}

/* Sends a call that nobody knows, with so many bytes and descriptors, in `count` messages. */
static void send_large(Fake *fake, gsize bytes, int descriptors, int count)
{
    for (int i = 0; i < count; i++) {
        g_autoptr(GDBusMessage) message =
            g_dbus_message_new_method_call(NULL, OBJECT_PATH, "org.rdpusb.Broker1", "NoSuchMethod");
        g_autoptr(GUnixFDList) list = g_unix_fd_list_new();
        g_autofree guint8 *data = g_malloc0(bytes);
        GVariant *body = g_variant_new_fixed_array(G_VARIANT_TYPE_BYTE, data, bytes, 1);
        for (int fd = 0; fd < descriptors; fd++)
            g_unix_fd_list_append(list, STDOUT_FILENO, NULL);
        g_dbus_message_set_body(message, g_variant_new_tuple(&body, 1));
        if (descriptors > 0)
            g_dbus_message_set_unix_fd_list(message, list);
        g_dbus_connection_send_message(fake->connection, message, G_DBUS_SEND_MESSAGE_FLAGS_NONE,
                                       NULL, NULL);
        g_dbus_connection_flush_sync(fake->connection, NULL, NULL);
    }
    say(fake, "sent");
}

/* large MIB: one message of that size. */
static void do_large(Fake *fake, char **words)
{
    send_large(fake, (gsize) atoi(words[1]) << 20, 0, 1);
}

/* descriptors NUMBER COUNT: so many messages with so many descriptors each. */
static void do_descriptors(Fake *fake, char **words)
{
    send_large(fake, 1, atoi(words[1]), atoi(words[2]));
}

/* garbage: what is no D-Bus, on a link not opened. */
static void do_garbage(Fake *fake, char **words)
{
    static const char bytes[] = "\0garbage\r\n\xff\xff\xff\xff garbage \r\n\r\n";
    say(fake, "wrote %zd", write(LINK_FD, bytes, sizeof bytes));
}

/* line MIB: a line of the hand-shake of that length, on a link not opened. */
static void do_line(Fake *fake, char **words)
{
    gsize size = (gsize) atoi(words[1]) << 20, sent = 0;
    g_autofree char *line = g_strnfill(size, 'A');
    line[0] = '\0';
    for (gssize n = 0; n >= 0 && sent < size; sent += (gsize) MAX(n, 0))
        n = send(LINK_FD, line + sent, size - sent, MSG_NOSIGNAL);
    say(fake, sent < size ? "refused" : "sent");
}

static void do_stubborn(Fake *fake, char **words)
{
    fake->stubborn = true;
    say(fake, "stubborn");
}

static void do_crash(Fake *fake, char **words)
{
    raise(SIGKILL);
}

static void do_exit(Fake *fake, char **words)
{
    exit(atoi(words[1]));
}

static const struct {
    const char *name;
    unsigned n_words; /* with the name, at least */
    void (*run)(Fake *fake, char **words);
} commands[] = {
    {"link", 1, do_link},
    {"configure", 1, do_configure},
    {"authenticate", 3, do_authenticate},
    {"authenticate-in", 4, do_authenticate_in},
    {"ask", 3, do_ask},
    {"close", 1, do_close},
    {"prove", 7, do_prove},
    {"attach", 4, do_attach},
    {"describe", 3, do_describe},
    {"lost", 3, do_lost},
    {"detached", 3, do_detached},
    {"cycle", 3, do_cycle},
    {"send", 3, do_send},
    {"inspect", 1, do_inspect},
    {"flood", 1, do_flood},
    {"deaf", 1, do_deaf},
    {"shout", 2, do_shout},
    {"large", 2, do_large},
    {"descriptors", 3, do_descriptors},
    {"garbage", 1, do_garbage},
    {"line", 2, do_line},
    {"stubborn", 1, do_stubborn},
    {"crash", 1, do_crash},
    {"exit", 2, do_exit},
};

static void run_command(Fake *fake, const char *line)
{
    g_auto(GStrv) words = g_strsplit(line, " ", -1);
    for (gsize i = 0; i < G_N_ELEMENTS(commands); i++) {
        if (words[0] && strcmp(words[0], commands[i].name) == 0 &&
            g_strv_length(words) >= commands[i].n_words) {
            commands[i].run(fake, words);
            return;
        }
    }
    say(fake, "error - no such command: %s", line);
}

static void on_line(GObject *source, GAsyncResult *result, gpointer data)
{
    Fake *fake = data;
    g_autofree char *line = g_data_input_stream_read_line_finish(fake->lines, result, NULL, NULL);
    if (!line) {
        g_main_loop_quit(fake->loop);
        return;
    }
    run_command(fake, line);
    g_data_input_stream_read_line_async(fake->lines, 0, NULL, on_line, fake);
}

int main(void)
{
    puts("this must not reach the daemon's standard output");
    fflush(stdout);
    g_autoptr(GMainLoop) loop = g_main_loop_new(NULL, FALSE);
    g_autoptr(GSocket) socket = g_socket_new_from_fd(CLIENT_FD, NULL);
    if (!socket)
        g_error("descriptor %d is no socket", CLIENT_FD);
    g_autoptr(GIOStream) client =
        G_IO_STREAM(g_socket_connection_factory_create_connection(socket));
    Fake fake = {
        .loop = loop,
        .client = client,
        .lines = g_data_input_stream_new(g_io_stream_get_input_stream(client)),
        .streams = g_hash_table_new_full(NULL, NULL, NULL, g_object_unref),
    };
    g_data_input_stream_read_line_async(fake.lines, 0, NULL, on_line, &fake);
    g_unix_signal_add(SIGTERM, on_terminate, &fake);
    g_main_loop_run(loop);
    if (fake.connection && !fake.deaf)
        g_dbus_connection_flush_sync(fake.connection, NULL, NULL);
    return 0;
}
