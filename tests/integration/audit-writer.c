/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * audit-writer TARGET: writes every sample of an audit event, to be read by other programs.
 */
#include "audit-samples.h"
#include "log.h"

#include <stdio.h>

int main(int argc, char **argv)
{
    g_autoptr(GError) error = NULL;
    log_open("audit-writer");
    if (argc != 2) {
        fprintf(stderr, "usage: audit-writer journal|PATH\n");
        return 2;
    }
    g_autoptr(Audit) audit = audit_open(argv[1], &error);
    if (!audit) {
        fprintf(stderr, "audit-writer: %s\n", error->message);
        return 1;
    }
    gsize n;
    const AuditEvent *events = audit_samples(&n);
    for (gsize i = 0; i < n; i++)
        audit_write(audit, &events[i]);
    return 0;
}
