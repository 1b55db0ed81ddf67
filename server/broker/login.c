/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "login.h"

#include <string.h>

#include "listener.h"
#include "ntlm.h"
#include "pam-check.h"

/* No name of ours is longer, nor is what a person types. */
#define MAX_NAME_BYTES     512
#define MAX_PASSWORD_BYTES 1024

#define WRONG_CREDENTIALS "wrong user or password"

typedef enum {
    LOGIN_IDLE,
    LOGIN_CHECKING, /* an answer is owed */
    LOGIN_PROVED,   /* by NTLM; the client's last words of NLA are awaited */
    LOGIN_DONE,
} LoginState;

struct Login {
    const LoginContext *context;
    const LoginEvents *events;
    void *owner;
    char *address;
    char *source;
    LoginState state;

    LinkReply *reply; /* owed while checking */
    gint64 asked;     /* when, monotonic */
    char *given;      /* the name as it was given, with its domain */
    char *quoted;     /* the same for the log */
    char *name;       /* without the VM; after success as the server spells it */
    char *wish;       /* the VM's name, or NULL */
    char **groups;
    AuditMethod method;
    Vm *vm;

    PamCheck *pam;
    guint held_back; /* source: the refusal */
    LoginRefusal refusal;
    const char *reason;
};

/* ---- Names ---- */

static void take_names(Login *login, const char *user, const char *domain)
{
    const Vms *vms = login->context->vms;
    g_autofree char *whole = *domain ? g_strdup_printf("%s\\%s", domain, user) : g_strdup(user);
    g_free(login->given);
    g_free(login->quoted);
    login->given = g_strdup(whole);
    login->quoted = log_quote(whole);
    const char *backslash = strrchr(whole, '\\');
    g_autofree char *front = backslash ? g_strndup(whole, backslash - whole) : g_strdup("");
    const char *name = backslash ? backslash + 1 : whole;
    const char *at = strrchr(name, '@');
    const char *vm = at && vms_find(vms, at + 1) ? at + 1 : vms_find(vms, front) ? front : NULL;
    g_free(login->wish);
    login->wish = g_strdup(vm);
    g_free(login->name);
    login->name = vm && vm != front ? g_strndup(name, at - name) : g_strdup(name);
}

static bool too_long(const char *user, const char *domain)
{
    return strlen(user) > MAX_NAME_BYTES || strlen(domain) > MAX_NAME_BYTES;
}

/* ---- The two ends ---- */

/* They have logged in, and may hear more. */
static bool is_known(LoginRefusal refusal)
{
    return refusal == LOGIN_NOT_ALLOWED || refusal == LOGIN_NO_VM;
}

/* A session whose client has not logged in hears no more of it than the client may know: neither
 * who is locked, nor whose password was to be checked by whom. */
static void refuse(Login *login, LoginRefusal refusal, const char *reason)
{
    login->state = LOGIN_IDLE;
    if (login->reply)
        link_reply_refuse(g_steal_pointer(&login->reply),
                          is_known(refusal) ? LINK_ERROR_NO_VM : LINK_ERROR_DENIED,
                          is_known(refusal) ? reason : WRONG_CREDENTIALS);
    login->events->refused(login->owner, refusal, login->quoted, reason);
}

static gboolean on_held_back(gpointer data)
{
    Login *login = data;
    login->held_back = 0;
    refuse(login, login->refusal, login->reason);
    return G_SOURCE_REMOVE;
}

/* Returns the delay of the refusal. */
static gint64 count_failure(Login *login, gint64 now)
{
    LockoutLocks locks = 0;
    gint64 delay = lockout_failed(login->context->lockout, login->source, login->name, now, &locks);
    if (locks != 0)
        g_warning("too many failed logins of user %s or from %s: locked for a while", login->quoted,
                  login->source);
    return delay;
}

/* Refusals come a multiple of the delay after the question: the time of one tells neither what was
 * wrong nor, but for whole steps, how long the check took. */
static gint64 time_left(const Login *login, gint64 delay, gint64 now)
{
    return delay - (now - login->asked) % delay;
}

/* `reason` is a constant. */
static void fail(Login *login, LoginRefusal refusal, const char *reason)
{
    gint64 now = g_get_monotonic_time();
    gint64 delay = count_failure(login, now);
    login->refusal = refusal;
    login->reason = reason;
    login->held_back =
        g_timeout_add(time_left(login, delay, now) / G_TIME_SPAN_MILLISECOND, on_held_back, login);
}

static void fail_password(Login *login, bool locked)
{
    if (locked)
        fail(login, LOGIN_LOCKED, "locked after too many failures");
    else
        fail(login, LOGIN_WRONG_CREDENTIALS, WRONG_CREDENTIALS);
}

static void succeed(Login *login)
{
    lockout_succeeded(login->context->lockout, login->source, login->name, g_get_monotonic_time());
}

/* The name is right: now the VM. */
static void enter(Login *login)
{
    g_autofree char *problem = NULL;
    login->vm = vms_choose(login->context->vms, login->wish, login->name,
                           (const char *const *) login->groups, &problem);
    if (!login->vm) {
        refuse(login, login->wish ? LOGIN_NOT_ALLOWED : LOGIN_NO_VM, problem);
        return;
    }
    login->state = LOGIN_DONE;
    link_reply_welcome(g_steal_pointer(&login->reply), login->name, login->vm->name);
    login->events->accepted(login->owner);
}

static bool is_locked(const Login *login)
{
    return lockout_is_locked(login->context->lockout, login->source, login->name,
                             g_get_monotonic_time());
}

static void begin(Login *login, const char *user, const char *domain, AuditMethod method,
                  LinkReply *reply)
{
    login->method = method;
    login->state = LOGIN_CHECKING;
    login->reply = reply;
    login->asked = g_get_monotonic_time();
    take_names(login, user, domain);
}

static void take_user(Login *login, const User *user)
{
    g_free(login->name);
    login->name = g_strdup(user->name);
    g_strfreev(login->groups);
    login->groups = g_strdupv(user->groups);
}

/* ---- NLA ---- */

bool login_prove_ntlm(Login *login, const LinkNtlmProof *proof, LinkReply *reply)
{
    const Accounts *accounts = login->context->accounts;
    guint8 hash[NTLM_KEY_SIZE];
    if (login->state != LOGIN_IDLE || too_long(proof->user, proof->domain) ||
        !(config_security(login->context->config) & CONFIG_SECURITY_NLA))
        return false;
    begin(login, proof->user, proof->domain, AUDIT_METHOD_NTLM, reply);
    const User *user = accounts_find(accounts, login->name);
    ntlm_v2_hash(user ? user->nt_hash : accounts_decoy_hash(accounts), proof->user, proof->domain,
                 hash);
    gsize proof_size, mic_value_size;
    const guint8 *proof_value = g_bytes_get_data(proof->proof_value, &proof_size);
    const guint8 *mic_value = g_bytes_get_data(proof->mic_value, &mic_value_size);
    bool proved = ntlm_prove(hash, proof_value, proof_size, proof->session_key, proof->mic,
                             mic_value, mic_value_size);
    bool locked = is_locked(login);
    if (proved && user && !locked) {
        take_user(login, user);
        succeed(login);
        login->state = LOGIN_PROVED;
        link_reply_hash(g_steal_pointer(&login->reply), hash);
    } else {
        fail_password(login, locked);
    }
    explicit_bzero(hash, sizeof hash);
    return true;
}

/* ---- Passwords ---- */

/* Modules may have mapped the name that was typed to another. That must not be somebody whose
 * password is known here, and was not asked for. */
static bool is_of_another(const Login *login, const char *canonical_user)
{
    g_autofree char *typed = users_fold(login->name);
    g_autofree char *canonical = users_fold(canonical_user);
    return strcmp(typed, canonical) != 0 && accounts_find(login->context->accounts, canonical_user);
}

static void take_pam_user(Login *login, const char *canonical_user, const char *const *groups)
{
    g_free(login->name);
    login->name = g_strdup(canonical_user);
    g_strfreev(login->groups);
    login->groups = g_strdupv((char **) groups);
}

static void on_pam(void *owner, bool allowed, const char *canonical_user, const char *const *groups,
                   const char *reason)
{
    Login *login = owner;
    if (!allowed) {
        g_message("login of user %s from %s: PAM: %s", login->quoted, login->address, reason);
        fail_password(login, false);
    } else if (is_of_another(login, canonical_user)) {
        fail(login, LOGIN_BROKEN, "PAM gave the name of another user, of the users file");
    } else {
        succeed(login);
        take_pam_user(login, canonical_user, groups);
        enter(login);
    }
}

/* Without the port: modules compare it with what an administrator wrote, and look it up. */
static char *client_host(const Login *login)
{
    g_autoptr(GSocketAddress) address = listener_address_parse(login->address, NULL);
    return address ? g_inet_address_to_string(
                         g_inet_socket_address_get_address(G_INET_SOCKET_ADDRESS(address)))
                   : g_strdup(login->address);
}

static void ask_pam(Login *login, const char *password)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *host = client_host(login);
    login->method = AUDIT_METHOD_PAM;
    g_clear_pointer(&login->pam, pam_check_free);
    login->pam = pam_check_new(login->context->pam_program, login->context->config->pam_confdir,
                               login->name, host, password, on_pam, login, &error);
    if (login->pam)
        return;
    g_warning("login of user %s from %s: PAM cannot be asked: %s", login->quoted, login->address,
              error->message);
    fail(login, LOGIN_BROKEN, "the password cannot be checked");
}

static void check_password(Login *login, const char *password)
{
    const Config *config = login->context->config;
    const Accounts *accounts = login->context->accounts;
    const User *user = accounts_find(accounts, login->name);
    bool matches = nt_hash_matches(user ? user->nt_hash : accounts_decoy_hash(accounts), password);
    bool locked = is_locked(login);
    if (user && matches && !locked && config_has_passwords(config, "users")) {
        take_user(login, user);
        succeed(login);
        enter(login);
    } else if (!locked && config_has_passwords(config, "pam") &&
               !(user && config_has_passwords(config, "users"))) {
        ask_pam(login, password);
    } else {
        fail_password(login, locked);
    }
}

bool login_authenticate(Login *login, const char *user, const char *domain, const char *password,
                        LinkReply *reply)
{
    if (login->state == LOGIN_PROVED) {
        login->state = LOGIN_CHECKING;
        login->reply = reply;
        enter(login);
        return true;
    }
    if (login->state != LOGIN_IDLE || too_long(user, domain) ||
        strlen(password) > MAX_PASSWORD_BYTES || !config_takes_passwords(login->context->config))
        return false;
    begin(login, user, domain, AUDIT_METHOD_USERS_FILE, reply);
    check_password(login, password);
    return true;
}

/* ---- Life ---- */

Login *login_new(const LoginContext *context, const char *address, const char *source,
                 const LoginEvents *events, void *owner)
{
    Login *login = g_new0(Login, 1);
    login->context = context;
    login->address = g_strdup(address);
    login->source = g_strdup(source);
    login->events = events;
    login->owner = owner;
    return login;
}

void login_give_up(Login *login)
{
    if (login->held_back) {
        g_source_remove(login->held_back);
        on_held_back(login);
    } else if (login->state == LOGIN_CHECKING) {
        /* A session that was taken over could go when a right password would have been answered. */
        g_clear_pointer(&login->pam, pam_check_free);
        count_failure(login, g_get_monotonic_time());
        refuse(login, LOGIN_UNFINISHED, "the connection ended before the password was checked");
    } else if (login->state == LOGIN_PROVED) {
        refuse(login, LOGIN_UNFINISHED,
               "the password was proved, and the connection ended before the login");
    }
}

void login_free(Login *login)
{
    if (!login)
        return;
    g_clear_handle_id(&login->held_back, g_source_remove);
    pam_check_free(login->pam);
    if (login->reply)
        link_reply_refuse(login->reply, LINK_ERROR_DENIED, "the connection is over");
    g_free(login->given);
    g_free(login->quoted);
    g_free(login->name);
    g_free(login->wish);
    g_strfreev(login->groups);
    g_free(login->address);
    g_free(login->source);
    g_free(login);
}

const char *login_user(const Login *login)
{
    return login->state == LOGIN_DONE ? login->name : NULL;
}

const char *const *login_groups(const Login *login)
{
    return (const char *const *) login->groups;
}

Vm *login_vm(const Login *login)
{
    return login->vm;
}

const char *login_given(const Login *login)
{
    return login->given;
}

const char *login_wish(const Login *login)
{
    return login->wish;
}

AuditMethod login_method(const Login *login)
{
    return login->method;
}
