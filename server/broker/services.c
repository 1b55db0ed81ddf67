/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "services.h"

#include <unistd.h>

#include "keytab.h"
#include "link-gate.h"
#include "program.h"

/* The answer to Configure has both, and little else. */
G_STATIC_ASSERT(CERTIFICATE_MAX_BYTES + KEYTAB_MAX_BYTES + 4096 <= LINK_GATE_MAX_MESSAGE);

static Certificate *load_certificate(const Config *config, GError **error)
{
    return config->certificate ? certificate_load(config->certificate, config->private_key, error)
                               : certificate_load_or_make(config->state_dir, error);
}

static bool find_programs(Services *services, GError **error)
{
    services->session_program = program_find("rdpusb-session", "RDPUSB_SESSION", error);
    if (services->session_program && config_has_passwords(services->config, "pam"))
        services->pam_program = program_find("rdpusb-pam", "RDPUSB_PAM", error);
    return services->session_program &&
           (services->pam_program || !config_has_passwords(services->config, "pam"));
}

/* Only root can give them. */
static bool find_users(Services *services, GError **error)
{
    /* Those without a login have one as well, and keep it until their process has ended. */
    guint64 n =
        services->config->limits.max_connections + 2 * config_admission(services->config).full;
    if (geteuid() == 0)
        services->uids = session_uids_new(services->config->session_uids, n, error);
    return services->uids || geteuid() != 0;
}

static bool load(Services *services, GError **error)
{
    const Config *config = services->config;
    if (!find_programs(services, error) || !find_users(services, error) ||
        !(services->certificate = load_certificate(config, error)) ||
        (config->kerberos_keytab &&
         !(services->keytab = keytab_load(config->kerberos_keytab, error))) ||
        !(services->accounts = accounts_new(config, error)) ||
        !(services->policy = policy_load(config->rules_dir, error)) ||
        (config->capture && !(services->captures = captures_new(config->capture, error))) ||
        (config->audit && !(services->audit = audit_open(config->audit, error))))
        return false;
    services->vms = vms_new(config, error); /* last: guests may notice that their ports open */
    return services->vms;
}

Services *services_new(const Config *config, GError **error)
{
    g_autoptr(Services) services = g_new0(Services, 1);
    services->config = config;
    if (!load(services, error))
        return NULL;
    const LockoutLimits limits = {config->limits.lockout_failures, config->limits.lockout_seconds};
    services->lockout = lockout_new(&limits);
    services->login = (LoginContext){config, services->accounts, services->vms, services->lockout,
                                     services->pam_program};
    return g_steal_pointer(&services);
}

void services_free(Services *services)
{
    if (!services)
        return;
    g_free(services->session_program);
    certificate_free(services->certificate);
    g_clear_pointer(&services->keytab, g_variant_unref);
    accounts_free(services->accounts);
    policy_free(services->policy);
    vms_free(services->vms);
    lockout_free(services->lockout);
    g_free(services->pam_program);
    captures_free(services->captures);
    audit_free(services->audit);
    session_uids_free(services->uids);
    g_free(services);
}

/* ---- Reloading ---- */

static bool told(Services *services, const char *what, const GError *error)
{
    if (error)
        g_warning("%s not reloaded, the old ones stay: %s", what, error->message);
    audit_write(services->audit, &(AuditEvent){.type = AUDIT_RELOAD,
                                               .what = what,
                                               .code = error ? AUDIT_REFUSED : AUDIT_DONE,
                                               .reason = error ? error->message : NULL});
    return !error;
}

static bool reopen_audit(Services *services)
{
    g_autoptr(GError) error = NULL;
    audit_reopen(services->audit, &error);
    return told(services, "audit trail", error);
}

static bool reload_certificate(Services *services)
{
    g_autoptr(GError) error = NULL;
    Certificate *certificate = load_certificate(services->config, &error);
    if (certificate) {
        certificate_free(services->certificate);
        services->certificate = certificate;
    }
    return told(services, "certificate and private key", error);
}

static bool reload_keytab(Services *services)
{
    g_autoptr(GError) error = NULL;
    if (!services->keytab)
        return true;
    GVariant *keytab = keytab_load(services->config->kerberos_keytab, &error);
    if (keytab) {
        g_variant_unref(services->keytab);
        services->keytab = keytab;
    }
    return told(services, "keytab", error);
}

static bool reload_accounts(Services *services)
{
    g_autoptr(GError) error = NULL;
    accounts_reload(services->accounts, &error);
    return told(services, "users", error);
}

static bool reload_policy(Services *services)
{
    g_autoptr(GError) error = NULL;
    Policy *policy = policy_load(services->config->rules_dir, &error);
    if (policy) {
        policy_free(services->policy);
        services->policy = policy;
    }
    return told(services, "device rules", error);
}

bool services_reload(Services *services)
{
    bool audit = reopen_audit(services); /* first: it tells of the others */
    bool certificate = reload_certificate(services);
    bool keytab = reload_keytab(services);
    bool accounts = reload_accounts(services);
    bool policy = reload_policy(services);
    return audit && certificate && keytab && accounts && policy;
}
