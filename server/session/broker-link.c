/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "broker-link.h"

#include <string.h>

#include <gio/gunixfdlist.h>
#include <glib/gstdio.h>

#include "rdpusb-link.h"

#define OBJECT_PATH "/org/rdpusb"

/* The broker answers from memory, but a password may take PAM half a minute, and a refusal is held
 * back. */
#define ANSWER_TIMEOUT_MS 60000

struct Link {
    GDBusConnection *connection;
    LinkBroker1 *broker;
    LinkSession1 *exported;
    const LinkCallbacks *callbacks;
    gpointer data;
};

void link_settings_clear(LinkSettings *settings)
{
    g_clear_pointer(&settings->client, g_free);
    g_clear_pointer(&settings->certificate, g_free);
    if (settings->private_key)
        explicit_bzero(settings->private_key, strlen(settings->private_key));
    g_clear_pointer(&settings->private_key, g_free);
    g_clear_pointer(&settings->kerberos_keys, g_variant_unref);
    g_clear_pointer(&settings->log_level, g_free);
}

/* ---- Session1: what the broker asks ---- */

/* The descriptor that came with a call, or -1 after the call was refused. */
static int take_descriptor(GDBusMethodInvocation *invocation, GUnixFDList *fds, GVariant *handle)
{
    g_autoptr(GError) error = NULL;
    int fd = fds ? g_unix_fd_list_get(fds, g_variant_get_handle(handle), &error) : -1;
    if (fd < 0)
        g_dbus_method_invocation_return_error(invocation, G_DBUS_ERROR, G_DBUS_ERROR_INVALID_ARGS,
                                              "%s came without its descriptor%s%s",
                                              g_dbus_method_invocation_get_method_name(invocation),
                                              error ? ": " : "", error ? error->message : "");
    return fd;
}

static gboolean on_connect(LinkSession1 *object, GDBusMethodInvocation *invocation,
                           GUnixFDList *fds, guint device, const char *port, GVariant *stream,
                           gpointer data)
{
    Link *link = data;
    g_autoptr(GError) error = NULL;
    int fd = take_descriptor(invocation, fds, stream);
    if (fd < 0)
        return G_DBUS_METHOD_INVOCATION_HANDLED;
    if (link->callbacks->connect(device, port, fd, link->data, &error)) {
        link_session1_complete_connect(object, invocation, NULL);
    } else {
        g_close(fd, NULL);
        g_dbus_method_invocation_return_gerror(invocation, error);
    }
    return G_DBUS_METHOD_INVOCATION_HANDLED;
}

static gboolean on_capture(LinkSession1 *object, GDBusMethodInvocation *invocation,
                           GUnixFDList *fds, guint device, const char *port, GVariant *file,
                           guint64 max_bytes, gpointer data)
{
    Link *link = data;
    g_autoptr(GError) error = NULL;
    int fd = take_descriptor(invocation, fds, file);
    if (fd < 0)
        return G_DBUS_METHOD_INVOCATION_HANDLED;
    if (link->callbacks->capture(device, port, fd, max_bytes, link->data, &error)) {
        link_session1_complete_capture(object, invocation, NULL);
    } else {
        g_close(fd, NULL);
        g_dbus_method_invocation_return_gerror(invocation, error);
    }
    return G_DBUS_METHOD_INVOCATION_HANDLED;
}

static gboolean on_waiting(LinkSession1 *object, GDBusMethodInvocation *invocation, guint device,
                           const char *reason, gpointer data)
{
    Link *link = data;
    link->callbacks->waiting(device, reason, link->data);
    link_session1_complete_waiting(object, invocation);
    return G_DBUS_METHOD_INVOCATION_HANDLED;
}

static gboolean on_detach(LinkSession1 *object, GDBusMethodInvocation *invocation, guint device,
                          const char *reason, gpointer data)
{
    Link *link = data;
    link->callbacks->detach(device, reason, link->data);
    link_session1_complete_detach(object, invocation);
    return G_DBUS_METHOD_INVOCATION_HANDLED;
}

static gboolean on_ping(LinkSession1 *object, GDBusMethodInvocation *invocation, gpointer data)
{
    link_session1_complete_ping(object, invocation);
    return G_DBUS_METHOD_INVOCATION_HANDLED;
}

static gboolean on_disconnect(LinkSession1 *object, GDBusMethodInvocation *invocation,
                              const char *reason, gpointer data)
{
    Link *link = data;
    link_session1_complete_disconnect(object, invocation);
    link->callbacks->end(reason, link->data);
    return G_DBUS_METHOD_INVOCATION_HANDLED;
}

static void on_closed(GDBusConnection *connection, gboolean vanished, GError *error, gpointer data)
{
    Link *link = data;
    link->callbacks->end("the server is gone", link->data);
}

Link *link_new(int fd, const LinkCallbacks *callbacks, gpointer data, GError **error)
{
    g_autoptr(GSocket) socket = g_socket_new_from_fd(fd, error);
    if (!socket) {
        g_close(fd, NULL);
        return NULL;
    }
    g_autoptr(Link) link = g_new0(Link, 1);
    link->callbacks = callbacks;
    link->data = data;
    g_autoptr(GSocketConnection) stream = g_socket_connection_factory_create_connection(socket);
    /* The broker may call as soon as it has the connection: export first, then let it in. */
    link->connection =
        g_dbus_connection_new_sync(G_IO_STREAM(stream), NULL,
                                   G_DBUS_CONNECTION_FLAGS_AUTHENTICATION_CLIENT |
                                       G_DBUS_CONNECTION_FLAGS_DELAY_MESSAGE_PROCESSING,
                                   NULL, NULL, error);
    if (!link->connection)
        return NULL;
    link->exported = link_session1_skeleton_new();
    g_signal_connect(link->exported, "handle-connect", G_CALLBACK(on_connect), link);
    g_signal_connect(link->exported, "handle-capture", G_CALLBACK(on_capture), link);
    g_signal_connect(link->exported, "handle-waiting", G_CALLBACK(on_waiting), link);
    g_signal_connect(link->exported, "handle-detach", G_CALLBACK(on_detach), link);
    g_signal_connect(link->exported, "handle-ping", G_CALLBACK(on_ping), link);
    g_signal_connect(link->exported, "handle-disconnect", G_CALLBACK(on_disconnect), link);
    g_signal_connect(link->connection, "closed", G_CALLBACK(on_closed), link);
    if (!g_dbus_interface_skeleton_export(G_DBUS_INTERFACE_SKELETON(link->exported),
                                          link->connection, OBJECT_PATH, error))
        return NULL;
    link->broker = link_broker1_proxy_new_sync(link->connection,
                                               G_DBUS_PROXY_FLAGS_DO_NOT_LOAD_PROPERTIES |
                                                   G_DBUS_PROXY_FLAGS_DO_NOT_CONNECT_SIGNALS,
                                               NULL, OBJECT_PATH, NULL, error);
    if (!link->broker)
        return NULL;
    g_dbus_proxy_set_default_timeout(G_DBUS_PROXY(link->broker), ANSWER_TIMEOUT_MS);
    g_dbus_connection_start_message_processing(link->connection);
    return g_steal_pointer(&link);
}

void link_free(Link *link)
{
    if (!link)
        return;
    if (link->exported) {
        g_signal_handlers_disconnect_by_data(link->exported, link);
        g_dbus_interface_skeleton_unexport(G_DBUS_INTERFACE_SKELETON(link->exported));
    }
    if (link->connection)
        g_signal_handlers_disconnect_by_data(link->connection, link);
    g_clear_object(&link->exported);
    g_clear_object(&link->broker);
    g_clear_object(&link->connection);
    g_free(link);
}

/* ---- Broker1: what we ask ---- */

static char *lookup_string(GVariant *dict, const char *key)
{
    char *value = NULL;
    g_variant_lookup(dict, key, "s", &value);
    return value;
}

static void lookup_size(GVariant *dict, const char *key, size_t *value)
{
    guint64 number;
    if (g_variant_lookup(dict, key, "t", &number))
        *value = number;
}

static bool lists(GVariant *dict, const char *key, const char *word)
{
    g_autofree const char **words = NULL;
    return g_variant_lookup(dict, key, "^a&s", &words) && g_strv_contains(words, word);
}

bool link_configure(Link *link, LinkSettings *settings, GError **error)
{
    g_autoptr(GVariant) dict = NULL;
    if (!link_broker1_call_configure_sync(link->broker, &dict, NULL, error))
        return false;
    settings->client = lookup_string(dict, "peer");
    settings->certificate = lookup_string(dict, "certificate");
    settings->private_key = lookup_string(dict, "private-key");
    settings->kerberos_keys =
        g_variant_lookup_value(dict, "kerberos-keys", G_VARIANT_TYPE("a(suiay)"));
    settings->log_level = lookup_string(dict, "log-level");
    settings->nla = lists(dict, "security", "nla");
    settings->tls = lists(dict, "security", "tls");
    settings->max_device_channels = 32;
    settings->limits = RDPUSB_LIMITS_DEFAULT;
    g_variant_lookup(dict, "max-device-channels", "u", &settings->max_device_channels);
    g_variant_lookup(dict, "max-requests", "u", &settings->limits.max_requests);
    lookup_size(dict, "max-bytes-in-flight", &settings->limits.max_bytes_in_flight);
    lookup_size(dict, "max-descriptor-bytes", &settings->limits.max_descriptor_bytes);
    if (!settings->certificate || !settings->private_key) {
        g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                            "the broker gave no certificate or no private key");
        return false;
    }
    if (!settings->client)
        settings->client = g_strdup("unknown");
    if (!settings->log_level)
        settings->log_level = g_strdup("info");
    return true;
}

static GVariant *bytes_of(const void *bytes, gsize size)
{
    return g_variant_new_fixed_array(G_VARIANT_TYPE_BYTE, bytes, size, 1);
}

bool link_prove_ntlm(Link *link, const NlaProof *proof, uint8_t hash[NLA_KEY_SIZE], GError **error)
{
    g_autoptr(GVariant) result = NULL;
    gsize size;
    if (!link_broker1_call_prove_ntlm_sync(
            link->broker, proof->user, proof->domain,
            bytes_of(proof->proof_value, proof->proof_value_size),
            bytes_of(proof->session_key, NLA_KEY_SIZE), bytes_of(proof->mic, NLA_KEY_SIZE),
            bytes_of(proof->mic_value, proof->mic_value_size), &result, NULL, error)) {
        if (error)
            g_dbus_error_strip_remote_error(*error);
        return false;
    }
    const void *bytes = g_variant_get_fixed_array(result, &size, 1);
    if (size != NLA_KEY_SIZE) {
        g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                            "the broker gave a hash that is none");
        return false;
    }
    memcpy(hash, bytes, NLA_KEY_SIZE);
    return true;
}

LinkLogin link_authenticate(Link *link, const char *user, const char *domain, const char *password,
                            const char *computer, char **name, char **vm, GError **error)
{
    if (!g_utf8_validate(user, -1, NULL) || !g_utf8_validate(domain, -1, NULL) ||
        !g_utf8_validate(password, -1, NULL)) {
        g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                            "the client's user name or password is not valid text");
        return LINK_LOGIN_DENIED;
    }
    g_autofree char *valid_computer = g_utf8_make_valid(computer, -1);
    g_autoptr(GError) problem = NULL;
    if (link_broker1_call_authenticate_sync(link->broker, user, domain, password, valid_computer,
                                            name, vm, NULL, &problem))
        return LINK_LOGIN_WELCOME;
    g_autofree char *remote = g_dbus_error_get_remote_error(problem);
    g_dbus_error_strip_remote_error(problem);
    g_propagate_error(error, g_steal_pointer(&problem));
    return g_strcmp0(remote, "org.rdpusb.Error.NoVm") == 0 ? LINK_LOGIN_NO_VM : LINK_LOGIN_DENIED;
}

static GVariant *interfaces_of(const RdpusbDeviceInfo *info)
{
    GVariantBuilder builder;
    g_variant_builder_init(&builder, G_VARIANT_TYPE("a(yyy)"));
    for (unsigned i = 0; i < info->n_interface_classes; i++)
        g_variant_builder_add(&builder, "(yyy)", info->interface_classes[i].class_,
                              info->interface_classes[i].subclass,
                              info->interface_classes[i].protocol);
    return g_variant_builder_end(&builder);
}

static GVariant *describe(const RdpusbDeviceInfo *info)
{
    GVariantDict dict;
    g_variant_dict_init(&dict, NULL);
    g_variant_dict_insert(&dict, "vendor", "q", info->vendor);
    g_variant_dict_insert(&dict, "product", "q", info->product);
    g_variant_dict_insert(&dict, "version", "q", info->version_bcd);
    g_variant_dict_insert(&dict, "class", "y", info->device_class);
    g_variant_dict_insert(&dict, "subclass", "y", info->device_subclass);
    g_variant_dict_insert(&dict, "protocol", "y", info->device_protocol);
    g_variant_dict_insert(&dict, "speed", "s", rdpusb_speed_to_string(info->speed));
    g_variant_dict_insert(&dict, "manufacturer", "s", info->manufacturer_name);
    g_variant_dict_insert(&dict, "name", "s", info->product_name);
    g_variant_dict_insert(&dict, "serial", "s", info->serial_number);
    g_variant_dict_insert_value(&dict, "interfaces", interfaces_of(info));
    return g_variant_dict_end(&dict);
}

typedef struct {
    Link *link;
    uint32_t device;
} AttachCall;

static void on_attach_answered(GObject *source, GAsyncResult *result, gpointer data)
{
    g_autofree AttachCall *call = data;
    g_autoptr(GError) error = NULL;
    if (!link_broker1_call_attach_finish(LINK_BROKER1(source), result, &error))
        g_dbus_error_strip_remote_error(error);
    call->link->callbacks->attach_answered(call->device, error, call->link->data);
}

void link_attach(Link *link, uint32_t device, const RdpusbDeviceInfo *info)
{
    AttachCall *call = g_new(AttachCall, 1);
    *call = (AttachCall){link, device};
    link_broker1_call_attach(link->broker, device, describe(info), NULL, on_attach_answered, call);
}

void link_lost(Link *link, uint32_t device, const char *reason)
{
    /* No answer is wanted; a broken link tells itself by closing. */
    link_broker1_call_lost(link->broker, device, reason, NULL, NULL, NULL);
}

void link_detached(Link *link, uint32_t device, const char *reason, bool refused, uint64_t bytes_in,
                   uint64_t bytes_out)
{
    link_broker1_call_detached(link->broker, device, reason, refused, bytes_in, bytes_out, NULL,
                               NULL, NULL);
}

void link_flush(Link *link)
{
    g_autoptr(GError) error = NULL;
    if (!g_dbus_connection_is_closed(link->connection) &&
        !g_dbus_connection_flush_sync(link->connection, NULL, &error))
        g_debug("link: %s", error->message);
}
