/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The TLS certificate of the server and its private key, as PEM text for the sessions: its blocks
 * alone, without what stands between them in the files.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>

/* Of both together: a session gets them in one message, beside the keytab. */
#define CERTIFICATE_MAX_BYTES (40 * 1024)

typedef struct {
    char *certificate; /* PEM, with the chain if the file has one */
    char *private_key; /* PEM, not encrypted */
} Certificate;

/* Reads both files, the key as a secret (text-file.h), and checks that they belong together. NULL
 * and INPUT_ERROR: which cannot be used, and why. */
Certificate *certificate_load(const char *certificate, const char *private_key, GError **error);

/* The self-signed certificate in `state_dir`, which is made, as is the folder, if need be. The key
 * has mode 0600; certificate.pem is written last, so where it stands the key stands too. */
Certificate *certificate_load_or_make(const char *state_dir, GError **error);

/* Accepts NULL. */
void certificate_free(Certificate *certificate);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Certificate, certificate_free)
