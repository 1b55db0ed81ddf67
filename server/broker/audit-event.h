/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the audit trail tells, and its form: one JSON object, docs/audit.schema.json. Texts may come
 * from peers as they are: they are made valid UTF-8, bounded, and escaped wherever a terminal or a
 * reader of lines could take them for something else.
 */
#pragma once

#include <json-glib/json-glib.h>

#include "policy.h"

/* The longest line, with its newline. One write() of this size is whole or not there. */
#define AUDIT_MAX_LINE_BYTES 8192

typedef enum {
    AUDIT_CONNECTION,     /* a client arrived */
    AUDIT_LOGIN,          /* a user logged in to a VM */
    AUDIT_LOGIN_REFUSED,  /* ... or not; `code` and `reason` */
    AUDIT_DEVICE_REFUSED, /* `code`, `reason`, and `rule` if it was one */
    AUDIT_ATTACH,         /* the guest has a device */
    AUDIT_DETACH,         /* and has it no longer */
    AUDIT_END,            /* of a connection */
    AUDIT_DROPPED,        /* clients were turned away, or had not logged in and were too many */
    AUDIT_RELOAD,         /* `what`; `code` says whether it was, `reason` why not */
} AuditEventType;

typedef enum {
    AUDIT_METHOD_NONE,
    AUDIT_METHOD_NTLM,
    AUDIT_METHOD_USERS_FILE, /* a password: over TLS, or with a Kerberos ticket */
    AUDIT_METHOD_PAM,
} AuditMethod;

typedef enum {
    AUDIT_CODE_NONE,
    /* login-refused */
    AUDIT_WRONG_CREDENTIALS, /* an unknown user too */
    AUDIT_LOCKED_OUT,
    AUDIT_NOT_ALLOWED_ON_VM,
    AUDIT_NO_VM, /* was named, and none goes without saying */
    AUDIT_TIMEOUT,
    AUDIT_CHECK_FAILED, /* nobody could be asked, as PAM */
    AUDIT_UNFINISHED,   /* the connection ended first */
    /* device-refused */
    AUDIT_RULE,
    AUDIT_NO_RULE, /* matched, which blocks */
    AUDIT_FILTER,
    AUDIT_GUEST,
    AUDIT_LIMIT,
    /* dropped */
    AUDIT_MAX_CONNECTIONS,
    AUDIT_MAX_UNAUTHENTICATED,
    AUDIT_NO_SESSION, /* process could be started */
    /* reload */
    AUDIT_DONE,
    AUDIT_REFUSED,
} AuditCode;

typedef struct {
    guint64 in, out; /* from the device, to the device */
} AuditBytes;

/* NULL and 0: absent. Nothing is kept after the call. */
typedef struct {
    AuditEventType type;
    const char *connection;  /* its random id, the same in all its events */
    const char *client;      /* address:port */
    const char *server;      /* address:port where it was accepted */
    const char *client_name; /* what the client calls itself: information only */
    const char *user;
    AuditMethod method;
    const char *vm, *port;
    const PolicyDevice *device;
    const PolicyDecision *rule; /* absent too if it is not of a rule */
    const AuditBytes *bytes;
    gint64 since;  /* g_get_monotonic_time() of the beginning: gives the duration */
    guint64 count; /* of the clients that this event stands for */
    AuditCode code;
    const char *what;    /* was to be reloaded */
    const char *process; /* how the session process ended */
    const char *reason;  /* for people */
} AuditEvent;

const char *audit_event_type_to_string(AuditEventType type);
const char *audit_method_to_string(AuditMethod method);
const char *audit_code_to_string(AuditCode code);

/* `lost` events before this one could not be written. Caller unrefs. */
JsonObject *audit_event_to_json(const AuditEvent *event, guint64 lost);
/* With a newline at the end, the only one, and at most AUDIT_MAX_LINE_BYTES. Caller frees. */
char *audit_json_to_line(JsonObject *json);
