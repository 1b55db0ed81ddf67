/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Whose passwords are known here: the users file, and the one user whose password is the first line
 * of a file. The only place in the broker that has hashes of passwords.
 */
#pragma once

#include "config.h"
#include "users-file.h"

typedef struct Accounts Accounts;

/* INPUT_ERROR: what of the files cannot be used, and why. `config` outlives it. */
Accounts *accounts_new(const Config *config, GError **error);
/* Reads the files again. On false everything stays as it was. */
bool accounts_reload(Accounts *accounts, GError **error);
/* Accepts NULL. */
void accounts_free(Accounts *accounts);

/* NULL when there is none. Valid until the next reload. */
const User *accounts_find(const Accounts *accounts, const char *name);

/* What is compared with when there is no user, so that it takes as long. */
const guint8 *accounts_decoy_hash(const Accounts *accounts);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Accounts, accounts_free)
