/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Who may log in: one user, whose password is the first line of a file. The only place where a
 * password is compared.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>

typedef struct Credentials Credentials;

/* Reads the password now, and keeps only a digest of it. False: the file cannot be used, and why;
 * one that everybody may read or write cannot. */
Credentials *credentials_new(const char *user, const char *password_file, GError **error);
/* Accepts NULL. */
void credentials_free(Credentials *credentials);

/* Takes the same time whatever is wrong. */
bool credentials_match(const Credentials *credentials, const char *user, const char *password);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Credentials, credentials_free)
