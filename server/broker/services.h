/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What all connections share: made from the configuration at start, of which SIGHUP reloads the
 * files that change while the daemon runs. Lives in the main context.
 */
#pragma once

#include "accounts.h"
#include "audit.h"
#include "captures.h"
#include "certificate.h"
#include "config.h"
#include "lockout.h"
#include "login.h"
#include "policy.h"
#include "session-uids.h"
#include "vms.h"

typedef struct {
    const Config *config;
    char *session_program;
    Certificate *certificate;
    GVariant *keytab; /* keys, or NULL: no Kerberos */
    Accounts *accounts;
    Policy *policy;
    Vms *vms;
    Lockout *lockout;
    char *pam_program;  /* NULL: not used */
    Captures *captures; /* NULL: nothing is recorded */
    Audit *audit;       /* NULL: nothing is written */
    SessionUids *uids;  /* NULL: not root, and sessions have our user */
    LoginContext login; /* of these */
} Services;

/* INPUT_ERROR or another: what cannot be used, and why. `config` outlives it. */
Services *services_new(const Config *config, GError **error);
/* Accepts NULL. No connection may be left. */
void services_free(Services *services);

/* Certificate and key, keytab, users and rules; the file of the audit trail is opened anew. What
 * cannot be read is logged, and stays as it was; the others are taken. False: something was wrong.
 */
bool services_reload(Services *services);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Services, services_free)
