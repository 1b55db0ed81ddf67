/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The service's keys of Kerberos, from a keytab in MIT's format (krb5's "Keytab file format",
 * version 2). Sessions get those of the service TERMSRV, which is RDP, and no other: a machine's
 * keytab opens more than this server.
 */
#pragma once

#include <glib.h>

#define KEYTAB_SERVICE  "TERMSRV"
#define KEYTAB_MAX_KEYS 256
/* Of those keys, as sessions get them, beside the certificate. */
#define KEYTAB_MAX_BYTES (20 * 1024)

/* Of each key: principal, version, encryption type (RFC 3961), key. */
#define KEYTAB_TYPE "a(suiay)"

/* Those keys, as KEYTAB_TYPE, not floating. NULL and INPUT_ERROR when there are none, the file is
 * not as text_file_read() has it of secrets, or is no keytab. */
GVariant *keytab_load(const char *path, GError **error);
