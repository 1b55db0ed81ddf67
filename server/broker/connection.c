/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "connection.h"

#include <unistd.h>

#include "attachments.h"
#include "link.h"
#include "listener.h"
#include "log.h"
#include "session-process.h"

#define MAX_LOGIN_ATTEMPTS 3
#define MAX_INVALID_CALLS  16
#define MAX_COMPUTER_BYTES 512
/* How long a session may take to end after the link is gone or it was told to disconnect. */
#define END_SECONDS 3

struct Connection {
    const Services *services;
    const ConnectionEvents *events;
    void *owner;
    char *peer;
    char *server;   /* address where it was accepted */
    char *id;       /* random, for the audit trail */
    char *computer; /* what the client calls itself; NULL before an attempt to log in */
    gint64 since;
    char *reason; /* why it was ended from here, or NULL */
    SessionProcess *process;
    uid_t uid; /* of the process; 0: ours */
    Link *link;
    bool configured;
    bool dropped;
    bool ending; /* nobody logs in or attaches any more */
    Login *login;
    unsigned attempts;
    bool has_no_vm; /* the last password was right */
    unsigned invalid_calls;
    char *user;               /* and the VM, for the log; NULL before login */
    Attachments *attachments; /* NULL before login */
    guint deadline;           /* source: of the login, later of the end */
    guint watch;              /* source: asks the session whether it runs; 0 before login */
};

/* ---- The audit trail ---- */

/* Adds what all events of a connection have. */
static void audit(const Connection *connection, AuditEvent event)
{
    event.connection = connection->id;
    event.client = connection->peer;
    event.server = connection->server;
    event.client_name = connection->computer;
    if (connection->user) {
        event.user = login_user(connection->login);
        event.vm = login_vm(connection->login)->name;
    }
    audit_write(connection->services->audit, &event);
}

static void audit_end(const Connection *connection, const char *process, bool failed)
{
    const char *reason = failed ? "its session process failed"
                                : "the client left, or the session ended it: its log says why";
    audit(connection, (AuditEvent){.type = AUDIT_END,
                                   .since = connection->since,
                                   .process = process,
                                   .reason = connection->reason ? connection->reason : reason});
}

/* ---- Its end ---- */

static gboolean on_end_deadline(gpointer data)
{
    Connection *connection = data;
    connection->deadline = 0;
    g_warning("connection from %s: session process %s does not end, killing it", connection->peer,
              session_process_id(connection->process));
    connection_kill(connection);
    return G_SOURCE_REMOVE;
}

/* Once: whatever the session does meanwhile, it gets no more time. A password that is still being
 * checked is nobody's any more. */
static void expect_end(Connection *connection)
{
    if (connection->ending)
        return;
    connection->ending = true;
    login_give_up(connection->login);
    g_clear_handle_id(&connection->watch, g_source_remove);
    g_clear_handle_id(&connection->deadline, g_source_remove);
    connection->deadline = g_timeout_add_seconds(END_SECONDS, on_end_deadline, connection);
}

void connection_kill(Connection *connection)
{
    session_process_kill(connection->process);
}

/* The first reason is the true one. */
static void set_reason(Connection *connection, const char *reason)
{
    if (!connection->reason)
        connection->reason = g_strdup(reason);
}

void connection_drop(Connection *connection)
{
    connection->dropped = true;
    set_reason(connection, "dropped: there are more without a login than max-startups or "
                           "max-startups-per-source allows");
    connection_kill(connection);
}

void connection_disconnect(Connection *connection, const char *reason)
{
    set_reason(connection, reason);
    /* Before the login a session may be waiting for the client inside of FreeRDP and hear nothing;
     * one without a link is ending already. Both understand a signal. */
    if (!connection->user || !link_disconnect(connection->link, reason))
        session_process_terminate(connection->process);
    expect_end(connection);
}

/* One that is stopped, or hangs, would keep its ports for ever. */
static gboolean on_watch(gpointer data)
{
    Connection *connection = data;
    if (link_ping(connection->link))
        return G_SOURCE_CONTINUE;
    connection->watch = 0;
    g_warning("connection from %s: session process %s has not answered for %" G_GUINT64_FORMAT
              " s (answer-seconds), killing it",
              connection->peer, session_process_id(connection->process),
              connection->services->config->limits.answer_seconds);
    set_reason(connection, "its session process did not answer");
    connection_kill(connection);
    return G_SOURCE_REMOVE;
}

static void begin_watch(Connection *connection)
{
    guint64 seconds = connection->services->config->limits.answer_seconds;
    connection->watch =
        g_timeout_add((guint) (seconds * 1000 / LINK_MAX_PINGS), on_watch, connection);
}

static void on_process_ended(void *owner, const char *reason, bool failed)
{
    Connection *connection = owner;
    login_give_up(connection->login);
    g_clear_pointer(&connection->attachments, attachments_free);
    audit_end(connection, reason, failed);
    GLogLevelFlags level = failed ? G_LOG_LEVEL_WARNING : G_LOG_LEVEL_MESSAGE;
    g_log(G_LOG_DOMAIN, connection->dropped ? G_LOG_LEVEL_DEBUG : level,
          "connection from %s ended: session process %s", connection->peer, reason);
    connection->events->ended(connection->owner, connection);
}

static void on_link_closed(void *owner, const char *reason)
{
    Connection *connection = owner;
    g_debug("connection from %s: link closed: %s", connection->peer, reason);
    expect_end(connection);
}

static gboolean on_login_deadline(gpointer data)
{
    Connection *connection = data;
    connection->deadline = 0;
    if (connection->has_no_vm) { /* which the window says, and log and audit have it */
        connection_disconnect(connection, "the user has no VM here");
        return G_SOURCE_REMOVE;
    }
    g_warning("connection from %s: nobody logged in within %" G_GUINT64_FORMAT " s",
              connection->peer, connection->services->config->limits.login_seconds);
    audit(connection, (AuditEvent){.type = AUDIT_LOGIN_REFUSED,
                                   .user = login_given(connection->login),
                                   .vm = login_wish(connection->login),
                                   .method = login_method(connection->login),
                                   .code = AUDIT_TIMEOUT,
                                   .reason = "nobody logged in in time"});
    connection_disconnect(connection, "nobody logged in in time");
    return G_SOURCE_REMOVE;
}

/* ---- Calls of the session: settings and login ---- */

/* A call that a sound session does not make. One that goes on making them is ended, before it fills
 * the log. */
static void count_invalid(Connection *connection, const char *reason)
{
    g_warning("connection from %s: refused a call of the session: %s", connection->peer, reason);
    if (++connection->invalid_calls == MAX_INVALID_CALLS) {
        set_reason(connection, "its session made calls that make no sense");
        connection_kill(connection);
    }
}

static bool invalid(Connection *connection, GError **error, const char *reason)
{
    count_invalid(connection, reason);
    g_set_error_literal(error, LINK_ERROR, LINK_ERROR_INVALID, reason);
    return false;
}

static GVariant *security_names(const Config *config)
{
    GVariantBuilder names;
    unsigned security = config_security(config);
    g_variant_builder_init(&names, G_VARIANT_TYPE("as"));
    if (security & CONFIG_SECURITY_NLA)
        g_variant_builder_add(&names, "s", "nla");
    if (security & CONFIG_SECURITY_TLS)
        g_variant_builder_add(&names, "s", "tls");
    return g_variant_builder_end(&names);
}

static GVariant *on_configure(void *owner, GError **error)
{
    Connection *connection = owner;
    const Config *config = connection->services->config;
    const Certificate *certificate = connection->services->certificate;
    if (connection->configured) {
        invalid(connection, error, "Configure for the second time");
        return NULL;
    }
    connection->configured = true;
    g_auto(GVariantDict) settings = G_VARIANT_DICT_INIT(NULL);
    g_variant_dict_insert(&settings, "peer", "s", connection->peer);
    g_variant_dict_insert(&settings, "certificate", "s", certificate->certificate);
    g_variant_dict_insert(&settings, "private-key", "s", certificate->private_key);
    g_variant_dict_insert_value(&settings, "security", security_names(config));
    if (connection->services->keytab)
        g_variant_dict_insert_value(&settings, "kerberos-keys", connection->services->keytab);
    g_variant_dict_insert(&settings, "max-device-channels", "u",
                          (guint32) config->limits.max_device_channels);
    g_variant_dict_insert(&settings, "max-requests", "u", (guint32) config->limits.max_requests);
    g_variant_dict_insert(&settings, "max-bytes-in-flight", "t",
                          config->limits.max_bytes_in_flight);
    g_variant_dict_insert(&settings, "max-descriptor-bytes", "t",
                          config->limits.max_descriptor_bytes);
    g_variant_dict_insert(&settings, "log-level", "s",
                          log_level_to_string(config_log_level(config)));
    return g_variant_dict_end(&settings);
}

static void refuse_call(Connection *connection, LinkReply *reply, const char *reason)
{
    count_invalid(connection, reason);
    link_reply_refuse(reply, LINK_ERROR_INVALID, reason);
}

static bool may_log_in(const Connection *connection)
{
    return connection->configured && !connection->user && !connection->ending &&
           connection->attempts < MAX_LOGIN_ATTEMPTS;
}

static void on_prove_ntlm(void *owner, const LinkNtlmProof *proof, LinkReply *reply)
{
    Connection *connection = owner;
    if (!may_log_in(connection) || !login_prove_ntlm(connection->login, proof, reply))
        refuse_call(connection, reply, "ProveNtlm at the wrong time");
}

static void on_authenticate(void *owner, const char *user, const char *domain, const char *password,
                            const char *computer, LinkReply *reply)
{
    Connection *connection = owner;
    g_free(connection->computer);
    connection->computer = g_strndup(computer, MAX_COMPUTER_BYTES);
    if (!may_log_in(connection) ||
        !login_authenticate(connection->login, user, domain, password, reply))
        refuse_call(connection, reply, "Authenticate at the wrong time");
}

static void on_audit(void *owner, const AuditEvent *event)
{
    audit(owner, *event);
}

/* It offers devices without end: a client does not, and each is a line of the log. */
static void on_too_often(void *owner, const char *reason)
{
    Connection *connection = owner;
    g_warning("connection from %s: %s: ended", connection->peer, reason);
    connection_disconnect(connection, reason);
}

static const AttachmentEvents attachment_events = {on_audit, on_too_often};

static void on_login_accepted(void *owner)
{
    Connection *connection = owner;
    const Login *login = connection->login;
    g_autofree char *quoted = log_quote(login_user(login));
    g_message("login of user %s from %s accepted (%s): VM %s", quoted, connection->peer,
              audit_method_to_string(login_method(login)), login_vm(login)->name);
    connection->user = g_strdup_printf("%s at VM %s", quoted, login_vm(login)->name);
    connection->attachments = attachments_new(connection->services, login, connection->user,
                                              connection->link, &attachment_events, connection);
    g_clear_handle_id(&connection->deadline, g_source_remove);
    begin_watch(connection);
    audit(connection, (AuditEvent){.type = AUDIT_LOGIN, .method = login_method(login)});
    connection->events->logged_in(connection->owner, connection);
}

static void on_login_refused(void *owner, LoginRefusal refusal, const char *user,
                             const char *reason)
{
    Connection *connection = owner;
    static const AuditCode codes[] = {
        [LOGIN_WRONG_CREDENTIALS] = AUDIT_WRONG_CREDENTIALS,
        [LOGIN_LOCKED] = AUDIT_LOCKED_OUT,
        [LOGIN_NOT_ALLOWED] = AUDIT_NOT_ALLOWED_ON_VM,
        [LOGIN_NO_VM] = AUDIT_NO_VM,
        [LOGIN_BROKEN] = AUDIT_CHECK_FAILED,
        [LOGIN_UNFINISHED] = AUDIT_UNFINISHED,
    };
    g_warning("login of user %s from %s refused: %s", user, connection->peer, reason);
    audit(connection, (AuditEvent){.type = AUDIT_LOGIN_REFUSED,
                                   .user = login_given(connection->login),
                                   .vm = login_wish(connection->login),
                                   .method = login_method(connection->login),
                                   .code = codes[refusal],
                                   .reason = reason});
    connection->has_no_vm = refusal == LOGIN_NOT_ALLOWED || refusal == LOGIN_NO_VM;
    if (++connection->attempts == MAX_LOGIN_ATTEMPTS)
        connection_disconnect(connection, "too many wrong passwords");
}

static const LoginEvents login_events = {on_login_accepted, on_login_refused};

bool connection_is_unauthenticated(const Connection *connection)
{
    return !connection->user;
}

/* ---- Calls of the session: devices ---- */

/* What a call came to, and whether it made sense. */
static bool judge(Connection *connection, bool done, GError *problem, GError **error)
{
    if (g_error_matches(problem, LINK_ERROR, LINK_ERROR_INVALID))
        count_invalid(connection, problem->message);
    if (problem)
        g_propagate_error(error, problem);
    return done;
}

static bool on_attach(void *owner, guint32 number, GVariant *description, GError **error)
{
    Connection *connection = owner;
    GError *problem = NULL;
    if (!connection->user)
        return invalid(connection, error, "Attach before the login");
    if (connection->ending) { /* no fault of the session's, if it has not heard of that */
        g_set_error_literal(error, LINK_ERROR, LINK_ERROR_DENIED, "the connection is ending");
        return false;
    }
    bool done = attachments_attach(connection->attachments, number, description, &problem);
    return judge(connection, done, problem, error);
}

static bool on_lost(void *owner, guint32 number, const char *reason, GError **error)
{
    Connection *connection = owner;
    GError *problem = NULL;
    if (!connection->user)
        return invalid(connection, error, "Lost before the login");
    bool done = attachments_lost(connection->attachments, number, reason, &problem);
    return judge(connection, done, problem, error);
}

static bool on_detached(void *owner, guint32 number, const char *reason, bool refused,
                        guint64 bytes_in, guint64 bytes_out, GError **error)
{
    Connection *connection = owner;
    GError *problem = NULL;
    const AuditBytes bytes = {bytes_in, bytes_out};
    if (!connection->user)
        return invalid(connection, error, "Detached before the login");
    bool done =
        attachments_detached(connection->attachments, number, reason, refused, &bytes, &problem);
    return judge(connection, done, problem, error);
}

void connection_apply_rules(Connection *connection)
{
    if (connection->attachments)
        attachments_apply_rules(connection->attachments);
}

/* ---- Its beginning ---- */

static const LinkCalls link_calls = {
    .configure = on_configure,
    .prove_ntlm = on_prove_ntlm,
    .authenticate = on_authenticate,
    .attach = on_attach,
    .lost = on_lost,
    .detached = on_detached,
    .closed = on_link_closed,
};

/* Milliseconds until the login has to be done, of a client that came then. */
static guint login_time_left(const Connection *connection, gint64 accepted)
{
    gint64 seconds = connection->services->config->limits.login_seconds;
    gint64 left = accepted + seconds * G_USEC_PER_SEC - g_get_monotonic_time();
    return MAX(left, 0) / 1000;
}

static SessionProcess *start_process(Connection *connection, int client, int link_fd,
                                     GError **error)
{
    const Services *services = connection->services;
    connection->uid = session_uids_take(services->uids);
    const SessionProcessLimits limits = {
        .user = connection->uid,
        .memory = services->config->limits.max_session_memory,
        .file_size = services->captures ? services->config->capture_limit : 0,
    };
    return session_process_new(services->session_program, client, link_fd, &limits,
                               on_process_ended, connection, error);
}

Connection *connection_new(const Services *services, int client, const Arrival *arrival,
                           const ConnectionEvents *events, void *owner, GError **error)
{
    int link_fd = -1;
    Connection *connection = g_new0(Connection, 1);
    connection->services = services;
    connection->events = events;
    connection->owner = owner;
    connection->peer = g_strdup(arrival->peer);
    connection->server = listener_local_address(client);
    connection->id = g_uuid_string_random();
    connection->since = g_get_monotonic_time();
    connection->login =
        login_new(&services->login, arrival->peer, arrival->source, &login_events, connection);
    connection->link = link_new(&link_calls, connection,
                                services->config->limits.max_device_channels, &link_fd, error);
    if (connection->link)
        connection->process = start_process(connection, client, link_fd, error);
    else
        close(client);
    if (!connection->process) {
        connection_free(connection);
        return NULL;
    }
    connection->deadline = g_timeout_add(login_time_left(connection, arrival->accepted),
                                         on_login_deadline, connection);
    g_message("connection from %s accepted: session process %s", arrival->peer,
              session_process_id(connection->process));
    audit(connection, (AuditEvent){.type = AUDIT_CONNECTION});
    return connection;
}

void connection_free(Connection *connection)
{
    if (!connection)
        return;
    g_clear_handle_id(&connection->watch, g_source_remove);
    g_clear_handle_id(&connection->deadline, g_source_remove);
    session_process_free(connection->process);
    session_uids_give_back(connection->services->uids, connection->uid);
    attachments_free(connection->attachments);
    link_free(connection->link);
    login_free(connection->login);
    g_free(connection->user);
    g_free(connection->reason);
    g_free(connection->computer);
    g_free(connection->id);
    g_free(connection->server);
    g_free(connection->peer);
    g_free(connection);
}
