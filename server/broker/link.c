/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "link.h"

#include <errno.h>
#include <gio/gunixfdlist.h>
#include <sys/socket.h>
#include <unistd.h>

#include "link-gate.h"
#include "rdpusb-link.h"

#define OBJECT_PATH "/org/rdpusb"

/* Calls that are received and not yet answered, with the answer taken by the session. A session has
 * a handful; GDBus would queue any number, in both directions. */
#define MAX_HELD 256

/* Calls to the session that it has not answered, of all kinds. A sound one answers at once. */
#define MAX_UNANSWERED 1024
/* Of those that bring a stream, each of which is a descriptor until it is taken: one for each
 * device that it may have, and some for devices that it has let go meanwhile. */
#define MORE_STREAMS 16

/* The three messages of NTLM together; FreeRDP takes tokens of 12000 bytes each at most. */
#define MAX_NTLM_BYTES 65536

G_DEFINE_QUARK(rdpusbd - link - error - quark, link_error)

/* What is under way. Shared with GDBus' thread, which outlives the link by a moment. */
typedef struct {
    gint held;
    gint flooded;
    Link *link; /* main context only, as what follows; NULL when the link is freed */
    guint unanswered;
    guint streams; /* of them */
    guint pings;   /* of them */
} Meter;

struct Link {
    const LinkCalls *calls;
    void *owner;
    LinkGate *gate;
    GCancellable *cancellable;
    GDBusConnection *connection; /* NULL until it is up, and when it is over */
    LinkBroker1 *broker;
    LinkSession1 *session;
    Meter *meter;
    guint max_streams;
    GPtrArray *replies; /* of LinkReply, owed */
};

struct LinkReply {
    Link *link; /* NULL when the link is freed */
    GDBusMethodInvocation *invocation;
};

/* ---- The meter ---- */

static void meter_unref(gpointer meter)
{
    g_atomic_rc_box_release(meter);
}

static void link_down(Link *link)
{
    g_clear_object(&link->session);
    if (!link->connection)
        return;
    g_signal_handlers_disconnect_by_data(link->connection, link);
    g_dbus_interface_skeleton_unexport(G_DBUS_INTERFACE_SKELETON(link->broker));
    g_dbus_connection_close(link->connection, NULL, NULL, NULL);
    g_clear_object(&link->connection);
}

static void link_over(Link *link, const char *reason)
{
    link_down(link);
    link->calls->closed(link->owner, reason);
}

static gboolean on_flood(gpointer data)
{
    Meter *meter = data;
    if (meter->link)
        link_over(meter->link, "the session sent more calls than it took answers");
    return G_SOURCE_REMOVE;
}

/* GDBus itself refuses calls that nobody knows. Those are not forgiven: no sound session has any.
 */
static bool is_ours(GDBusMessage *answer)
{
    const char *error = g_dbus_message_get_error_name(answer);
    return !error || g_str_has_prefix(error, "org.rdpusb.");
}

/* In GDBus' thread, for each message: an outgoing one when its turn to be written has come, which
 * is after all before it were taken. (To flush instead would block a thread of GLib's pool for each
 * session that does not read, and ten of those all others.) */
static GDBusMessage *count(GDBusConnection *connection, GDBusMessage *message, gboolean incoming,
                           gpointer data)
{
    Meter *meter = data;
    GDBusMessageType type = g_dbus_message_get_message_type(message);
    bool is_answer = type == G_DBUS_MESSAGE_TYPE_METHOD_RETURN || type == G_DBUS_MESSAGE_TYPE_ERROR;
    if (!incoming && is_answer && is_ours(message))
        g_atomic_int_add(&meter->held, -1);
    if (!incoming || is_answer)
        return message;
    if (g_atomic_int_add(&meter->held, 1) < MAX_HELD)
        return message;
    if (g_atomic_int_compare_and_exchange(&meter->flooded, 0, 1))
        g_idle_add_full(G_PRIORITY_HIGH, on_flood, g_atomic_rc_box_acquire(meter), meter_unref);
    g_object_unref(message);
    return NULL;
}

/* A call that nobody wants an answer to is over as soon as it is taken. */
static void taken(Link *link, GDBusMethodInvocation *invocation)
{
    GDBusMessageFlags flags =
        g_dbus_message_get_flags(g_dbus_method_invocation_get_message(invocation));
    if (flags & G_DBUS_MESSAGE_FLAGS_NO_REPLY_EXPECTED)
        g_atomic_int_add(&link->meter->held, -1);
}

/* ---- Calls of the session ---- */

static void refuse(GDBusMethodInvocation *invocation, LinkError code, const char *reason)
{
    static const char *const names[] = {
        [LINK_ERROR_DENIED] = "org.rdpusb.Error.Denied",
        [LINK_ERROR_NO_VM] = "org.rdpusb.Error.NoVm",
        [LINK_ERROR_INVALID] = "org.rdpusb.Error.Invalid",
    };
    g_dbus_method_invocation_return_dbus_error(invocation, names[code], reason);
}

static void refuse_error(GDBusMethodInvocation *invocation, const GError *error)
{
    refuse(invocation, error->code, error->message);
}

static gboolean handle_configure(LinkBroker1 *broker, GDBusMethodInvocation *invocation, Link *link)
{
    taken(link, invocation);
    g_autoptr(GError) error = NULL;
    GVariant *settings = link->calls->configure(link->owner, &error);
    if (settings)
        link_broker1_complete_configure(broker, invocation, settings);
    else
        refuse_error(invocation, error);
    return TRUE;
}

/* ---- Calls that are answered later ---- */

static LinkReply *reply_new(Link *link, GDBusMethodInvocation *invocation)
{
    LinkReply *reply = g_new(LinkReply, 1);
    taken(link, invocation);
    *reply = (LinkReply){link, invocation};
    g_ptr_array_add(link->replies, reply);
    return reply;
}

/* The invocation is the answer's to consume. */
static void reply_free(LinkReply *reply)
{
    if (reply->link)
        g_ptr_array_remove_fast(reply->link->replies, reply);
    g_free(reply);
}

void link_reply_hash(LinkReply *reply, const guint8 hash[16])
{
    g_dbus_method_invocation_return_value(
        reply->invocation,
        g_variant_new("(@ay)", g_variant_new_fixed_array(G_VARIANT_TYPE_BYTE, hash, 16, 1)));
    reply_free(reply);
}

void link_reply_welcome(LinkReply *reply, const char *name, const char *vm)
{
    g_dbus_method_invocation_return_value(reply->invocation, g_variant_new("(ss)", name, vm));
    reply_free(reply);
}

void link_reply_refuse(LinkReply *reply, LinkError code, const char *reason)
{
    refuse(reply->invocation, code, reason);
    reply_free(reply);
}

/* A view of the bytes. */
static GBytes *bytes_of(GVariant *bytes)
{
    return g_variant_get_data_as_bytes(bytes);
}

static gboolean handle_prove_ntlm(LinkBroker1 *broker, GDBusMethodInvocation *invocation,
                                  const char *user, const char *domain, GVariant *proof_value,
                                  GVariant *session_key, GVariant *mic, GVariant *mic_value,
                                  Link *link)
{
    LinkReply *reply = reply_new(link, invocation);
    gsize key_size, mic_size;
    const guint8 *key = g_variant_get_fixed_array(session_key, &key_size, 1);
    const guint8 *mic_bytes = g_variant_get_fixed_array(mic, &mic_size, 1);
    g_autoptr(GBytes) proof_bytes = bytes_of(proof_value);
    g_autoptr(GBytes) mic_value_bytes = bytes_of(mic_value);
    if (key_size != 16 || mic_size != 16 || g_bytes_get_size(proof_bytes) > MAX_NTLM_BYTES ||
        g_bytes_get_size(mic_value_bytes) > MAX_NTLM_BYTES) {
        link_reply_refuse(reply, LINK_ERROR_INVALID, "sizes of no NTLM message");
        return TRUE;
    }
    const LinkNtlmProof proof = {user, domain, proof_bytes, mic_value_bytes, key, mic_bytes};
    link->calls->prove_ntlm(link->owner, &proof, reply);
    return TRUE;
}

static gboolean handle_authenticate(LinkBroker1 *broker, GDBusMethodInvocation *invocation,
                                    const char *user, const char *domain, const char *password,
                                    const char *computer, Link *link)
{
    link->calls->authenticate(link->owner, user, domain, password, computer,
                              reply_new(link, invocation));
    return TRUE;
}

/* ---- Calls about devices ---- */

static gboolean handle_attach(LinkBroker1 *broker, GDBusMethodInvocation *invocation, guint device,
                              GVariant *description, Link *link)
{
    taken(link, invocation);
    g_autoptr(GError) error = NULL;
    if (link->calls->attach(link->owner, device, description, &error))
        link_broker1_complete_attach(broker, invocation);
    else
        refuse_error(invocation, error);
    return TRUE;
}

static gboolean handle_lost(LinkBroker1 *broker, GDBusMethodInvocation *invocation, guint device,
                            const char *reason, Link *link)
{
    taken(link, invocation);
    g_autoptr(GError) error = NULL;
    if (link->calls->lost(link->owner, device, reason, &error))
        link_broker1_complete_lost(broker, invocation);
    else
        refuse_error(invocation, error);
    return TRUE;
}

static gboolean handle_detached(LinkBroker1 *broker, GDBusMethodInvocation *invocation,
                                guint device, const char *reason, gboolean refused,
                                guint64 bytes_in, guint64 bytes_out, Link *link)
{
    taken(link, invocation);
    g_autoptr(GError) error = NULL;
    if (link->calls->detached(link->owner, device, reason, refused, bytes_in, bytes_out, &error))
        link_broker1_complete_detached(broker, invocation);
    else
        refuse_error(invocation, error);
    return TRUE;
}

/* ---- Up and down ---- */

static void on_closed(GDBusConnection *connection, gboolean vanished, GError *error, Link *link)
{
    link_over(link, link_gate_has_refused(link->gate)
                        ? "the session sent a message that is too long"
                    : error ? error->message
                            : "the session closed it");
}

static bool link_up(Link *link, GError **error)
{
    g_dbus_connection_add_filter(link->connection, count, g_atomic_rc_box_acquire(link->meter),
                                 meter_unref);
    g_signal_connect(link->connection, "closed", G_CALLBACK(on_closed), link);
    link->session = link_session1_proxy_new_sync(link->connection,
                                                 G_DBUS_PROXY_FLAGS_DO_NOT_LOAD_PROPERTIES |
                                                     G_DBUS_PROXY_FLAGS_DO_NOT_CONNECT_SIGNALS,
                                                 NULL, OBJECT_PATH, NULL, error);
    if (!link->session)
        return false;
    /* What is not answered counts as long as it takes. */
    g_dbus_proxy_set_default_timeout(G_DBUS_PROXY(link->session), G_MAXINT);
    return g_dbus_interface_skeleton_export(G_DBUS_INTERFACE_SKELETON(link->broker),
                                            link->connection, OBJECT_PATH, error);
}

static void on_connected(GObject *source, GAsyncResult *result, gpointer data)
{
    Link *link = data;
    g_autoptr(GError) error = NULL;
    GDBusConnection *connection = g_dbus_connection_new_finish(result, &error);
    if (g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
        return; /* link is freed */
    link->connection = connection;
    if (connection && link_up(link, &error))
        g_dbus_connection_start_message_processing(connection);
    else
        link_over(link, error->message);
}

static bool socket_pair(int pair[2], GError **error)
{
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0)
        return true;
    g_set_error(error, G_IO_ERROR, g_io_error_from_errno(errno), "%s", g_strerror(errno));
    return false;
}

static void close_pair(int pair[2])
{
    close(pair[0]);
    close(pair[1]);
}

/* The session has the far end, GDBus the near one, and the gate is between them. */
static GIOStream *stream_new(int *session_fd, LinkGate **gate, GError **error)
{
    int near[2], far[2];
    if (!socket_pair(near, error))
        return NULL;
    if (!socket_pair(far, error)) {
        close_pair(near);
        return NULL;
    }
    g_autoptr(GSocket) socket = g_socket_new_from_fd(near[0], error);
    if (!socket) {
        close_pair(near);
        close_pair(far);
        return NULL;
    }
    *gate = link_gate_new(far[0], near[1]);
    *session_fd = far[1];
    return G_IO_STREAM(g_socket_connection_factory_create_connection(socket));
}

static LinkBroker1 *broker_new(Link *link)
{
    LinkBroker1 *broker = link_broker1_skeleton_new();
    g_signal_connect(broker, "handle-configure", G_CALLBACK(handle_configure), link);
    g_signal_connect(broker, "handle-prove-ntlm", G_CALLBACK(handle_prove_ntlm), link);
    g_signal_connect(broker, "handle-authenticate", G_CALLBACK(handle_authenticate), link);
    g_signal_connect(broker, "handle-attach", G_CALLBACK(handle_attach), link);
    g_signal_connect(broker, "handle-lost", G_CALLBACK(handle_lost), link);
    g_signal_connect(broker, "handle-detached", G_CALLBACK(handle_detached), link);
    return broker;
}

Link *link_new(const LinkCalls *calls, void *owner, guint max_devices, int *session_fd,
               GError **error)
{
    LinkGate *gate = NULL;
    g_autoptr(GIOStream) stream = stream_new(session_fd, &gate, error);
    if (!stream)
        return NULL;
    Link *link = g_new0(Link, 1);
    link->calls = calls;
    link->owner = owner;
    link->gate = gate;
    link->cancellable = g_cancellable_new();
    link->replies = g_ptr_array_new();
    link->broker = broker_new(link);
    link->max_streams = max_devices + MORE_STREAMS;
    link->meter = g_atomic_rc_box_new0(Meter);
    link->meter->link = link;
    /* Whoever holds the other end is our session: nobody else ever had it. So its user id, which
     * may be another than ours, proves nothing more. */
    g_autofree char *guid = g_dbus_generate_guid();
    g_dbus_connection_new(stream, guid,
                          G_DBUS_CONNECTION_FLAGS_AUTHENTICATION_SERVER |
                              G_DBUS_CONNECTION_FLAGS_AUTHENTICATION_ALLOW_ANONYMOUS |
                              G_DBUS_CONNECTION_FLAGS_DELAY_MESSAGE_PROCESSING,
                          NULL, link->cancellable, on_connected, link);
    return link;
}

void link_free(Link *link)
{
    if (!link)
        return;
    g_cancellable_cancel(link->cancellable);
    for (guint i = 0; i < link->replies->len; i++)
        ((LinkReply *) link->replies->pdata[i])->link = NULL;
    g_ptr_array_unref(link->replies);
    link->meter->link = NULL;
    link_down(link);
    g_signal_handlers_disconnect_by_data(link->broker, link);
    g_object_unref(link->broker);
    meter_unref(link->meter);
    g_object_unref(link->cancellable);
    link_gate_free(link->gate);
    g_free(link);
}

/* ---- Calls to the session ---- */

/* False if there is no session, or, from here on, none any more: what it does not take would pile
 * up with us. */
static bool may_call(Link *link, bool is_stream)
{
    const Meter *meter = link->meter;
    if (link->session &&
        (meter->unanswered >= MAX_UNANSWERED || (is_stream && meter->streams >= link->max_streams)))
        link_over(link, "the session does not answer");
    return link->session != NULL;
}

static Meter *count_call(Link *link, bool is_stream)
{
    link->meter->unanswered++;
    link->meter->streams += is_stream;
    return g_atomic_rc_box_acquire(link->meter);
}

/* Whatever the answer is. */
static void on_answered(GObject *session, GAsyncResult *result, gpointer data)
{
    Meter *meter = data;
    meter->unanswered--;
    meter_unref(meter);
}

static void on_stream_answered(GObject *session, GAsyncResult *result, gpointer data)
{
    Meter *meter = data;
    meter->streams--;
    on_answered(session, result, meter);
}

bool link_connect(Link *link, guint32 device, const char *port, int stream)
{
    g_autoptr(GUnixFDList) streams = g_unix_fd_list_new();
    if (!may_call(link, true) || g_unix_fd_list_append(streams, stream, NULL) != 0)
        return false;
    link_session1_call_connect(link->session, device, port, g_variant_new_handle(0), streams, NULL,
                               on_stream_answered, count_call(link, true));
    return true;
}

/* Comes once for a device, before its streams, and so is counted with them. */
bool link_capture(Link *link, guint32 device, const char *port, int file, guint64 max_bytes)
{
    g_autoptr(GUnixFDList) files = g_unix_fd_list_new();
    if (!may_call(link, false) || g_unix_fd_list_append(files, file, NULL) != 0)
        return false;
    link_session1_call_capture(link->session, device, port, g_variant_new_handle(0), max_bytes,
                               files, NULL, on_answered, count_call(link, false));
    return true;
}

bool link_waiting(Link *link, guint32 device, const char *reason)
{
    if (!may_call(link, false))
        return false;
    link_session1_call_waiting(link->session, device, reason, NULL, on_answered,
                               count_call(link, false));
    return true;
}

bool link_detach(Link *link, guint32 device, const char *reason)
{
    if (!may_call(link, false))
        return false;
    link_session1_call_detach(link->session, device, reason, NULL, on_answered,
                              count_call(link, false));
    return true;
}

static void on_ping_answered(GObject *session, GAsyncResult *result, gpointer data)
{
    Meter *meter = data;
    meter->pings--;
    on_answered(session, result, meter);
}

bool link_ping(Link *link)
{
    if (link->meter->pings >= LINK_MAX_PINGS || !may_call(link, false))
        return false;
    link->meter->pings++;
    link_session1_call_ping(link->session, NULL, on_ping_answered, count_call(link, false));
    return true;
}

/* The last call: nobody counts its answer. */
bool link_disconnect(Link *link, const char *reason)
{
    if (link->session)
        link_session1_call_disconnect(link->session, reason, NULL, NULL, NULL);
    return link->session != NULL;
}
