/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Device rules: who may bring which USB device to which VM. Ordered lines in USBGuard's rule
 * language (rdpusb-rules(5)); the first one that matches decides, and what none matches is blocked.
 * No state, no I/O but the reading of rule files. Errors are INPUT_ERROR, as text-file.h has them.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>

#define POLICY_MAX_FILES      256
#define POLICY_MAX_RULES      4096 /* of all files together */
#define POLICY_MAX_LINE_BYTES 8192
#define POLICY_MAX_VALUES     256 /* of one set */
#define POLICY_MAX_TEXT_BYTES 512 /* of a name, a serial number, ... */

typedef struct {
    guint8 class_, subclass, protocol;
} PolicyInterface;

/* What a device's descriptors say. Texts are UTF-8; NULL is the same as "". */
typedef struct {
    guint16 vendor, product, version;
    guint8 class_, subclass, protocol; /* of the device descriptor */
    const char *manufacturer, *name, *serial;
    /* Each triple once, of all configurations and alternate settings, in their order */
    const PolicyInterface *interfaces;
    gsize n_interfaces;
} PolicyDevice;

/* Who brings it, and where to. As at the login, names of users and VMs are the same whatever their
 * case, and names of groups are not. NULL: not known, so no rule that asks for one matches. */
typedef struct {
    const char *user;
    const char *const *groups; /* NULL-terminated; NULL: in none */
    const char *vm;
} PolicySubject;

/* Block and reject are the same to us: the device goes back to the client. */
typedef enum { POLICY_ALLOW, POLICY_BLOCK, POLICY_REJECT } PolicyTarget;
const char *policy_target_to_string(PolicyTarget target);

/* The texts belong to the Policy. */
typedef struct {
    PolicyTarget target;
    const char *file; /* NULL when no rule matches, which blocks */
    unsigned line;
    const char *text; /* the rule without comment */
} PolicyDecision;

typedef struct Policy Policy;

/* Every file of `folder` that is named *.rules and is not hidden, in byte order of their names.
 * NULL and INPUT_ERROR "FILE:LINE:COLUMN: what, and what to do" if anything is wrong with any. */
Policy *policy_load(const char *folder, GError **error);
/* The rules of one text, which errors and decisions call `file_name`. */
Policy *policy_parse(const char *file_name, const char *text, GError **error);
/* Accepts NULL. */
void policy_free(Policy *policy);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Policy, policy_free)

unsigned policy_n_rules(const Policy *policy);
/* Whether the user's groups can make a difference. */
bool policy_asks_for_groups(const Policy *policy);

void policy_decide(const Policy *policy, const PolicyDevice *device, const PolicySubject *subject,
                   PolicyDecision *decision);
/* "blocked by FILE:LINE (RULE)", or "blocked: no rule matches it"; one line. Caller frees. */
char *policy_decision_describe(const PolicyDecision *decision);

typedef enum {
    POLICY_MATCHES,
    POLICY_MATCHES_NOT,
    POLICY_MATCH_UNKNOWN, /* it asks for a user or a VM that is not known: does not match */
} PolicyMatch;

/* Each rule in turn, up to the one that decides: whether it matches, and why. `why` is one line
 * about the attribute that does not match, or about all that do. */
typedef void (*PolicyStep)(const PolicyDecision *rule, PolicyMatch match, const char *why,
                           gpointer data);
void policy_explain(const Policy *policy, const PolicyDevice *device, const PolicySubject *subject,
                    PolicyStep step, gpointer data);
