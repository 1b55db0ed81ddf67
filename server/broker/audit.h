/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The audit trail: who came, who was let in, who had which device, one line each, to a file or to
 * the journal. Written whole and at once; what cannot be written is counted, never waited for.
 * Lives in the main context.
 */
#pragma once

#include "audit-event.h"

#include <stdbool.h>

typedef struct Audit Audit;

/* `target` is "journal", or the absolute path of a file, which is made if it is missing. NULL and
 * INPUT_ERROR: it cannot be written, or others than root and this process' user can. */
Audit *audit_open(const char *target, GError **error);
/* Accepts NULL. */
void audit_free(Audit *audit);

/* Opens the file anew: the old one may have been renamed. False: the old one stays in use; the text
 * says why. Accepts NULL. */
bool audit_reopen(Audit *audit, GError **error);

/* The first failure is logged, and the first success after it, which tells how many were lost.
 * Nothing happens when `audit` is NULL. */
void audit_write(Audit *audit, const AuditEvent *event);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Audit, audit_free)
