/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The login of one connection: who it is, and which VM they get. The session asks, and the answer
 * is given here, where the hashes are and where failures are counted. Lives in the main context.
 *
 * A user is written NAME, VM\NAME or NAME@VM. What stands in a VM's place and names none is left
 * alone: clients fill in their own computer's name or a domain.
 */
#pragma once

#include "accounts.h"
#include "audit-event.h"
#include "link.h"
#include "lockout.h"
#include "vms.h"

/* What every login needs; outlives them all. */
typedef struct {
    const Config *config;
    const Accounts *accounts;
    const Vms *vms;
    Lockout *lockout;
    const char *pam_program; /* NULL: PAM is not used */
} LoginContext;

/* Why somebody was not let in. */
typedef enum {
    LOGIN_WRONG_CREDENTIALS,
    LOGIN_LOCKED,
    LOGIN_NOT_ALLOWED, /* to use the VM that was named */
    LOGIN_NO_VM,       /* was named, and none goes without saying */
    LOGIN_BROKEN,      /* it could not be checked */
    LOGIN_UNFINISHED,  /* the connection ended first */
} LoginRefusal;

typedef struct {
    void (*accepted)(void *owner);
    /* `user`: as it was given, quoted. `reason` is for the log. */
    void (*refused)(void *owner, LoginRefusal refusal, const char *user, const char *reason);
} LoginEvents;

typedef struct Login Login;

/* `address`: of the client. `source`: as admission_source() has it. Both are copied. */
Login *login_new(const LoginContext *context, const char *address, const char *source,
                 const LoginEvents *events, void *owner);
/* Accepts NULL. Answers what is owed. */
void login_free(Login *login);

/* The client has gone, or has to go: what is owed, held back or not finished is refused now, so
 * that everybody who tries a password is told of, also one who does not wait for the answer, or for
 * a VM.
 */
void login_give_up(Login *login);

/* The calls of the session. Each answers `reply`; false when the call makes no sense now, after
 * which it is still the caller's to answer. */
bool login_prove_ntlm(Login *login, const LinkNtlmProof *proof, LinkReply *reply);
bool login_authenticate(Login *login, const char *user, const char *domain, const char *password,
                        LinkReply *reply);

/* NULL before accepted(). */
const char *login_user(const Login *login);
const char *const *login_groups(const Login *login); /* NULL-terminated */
Vm *login_vm(const Login *login);

/* The last attempt, also before accepted(): the name as it was given, the VM that it named, or
 * NULL, and how it was checked. */
const char *login_given(const Login *login);
const char *login_wish(const Login *login);
AuditMethod login_method(const Login *login);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Login, login_free)
