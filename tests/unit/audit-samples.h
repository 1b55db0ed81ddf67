/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * An event of each type with everything that it can have, one with each method and code, and events
 * with the worst texts of peers.
 */
#pragma once

#include "audit.h"

#define AUDIT_SAMPLE_CONNECTION "6f1c7a52-0f5e-4a3c-9a55-0f6a3c1f4f0e"

/* In the order of AuditEventType, then the others, and the hostile ones, of the
 * type detach; valid until the program ends. */
const AuditEvent *audit_samples(gsize *n);
/* Texts, NULL at the end. */
const char *const *audit_hostile_texts(void);
/* Each text of `event` is `text`. */
void audit_fill(AuditEvent *event, PolicyDevice *device, PolicyDecision *rule, const char *text);
