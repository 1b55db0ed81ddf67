/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The NT hash of a password: what NTLM needs in place of the password itself, and so worth as much.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>

#define NT_HASH_SIZE 16

/* [MS-NLMP] 3.3.1: MD4 of the password in UTF-16LE. False: it is no UTF-8; `hash` is zero then. */
bool nt_hash(const char *password, guint8 hash[NT_HASH_SIZE]);
/* What is compared is always as long; the time tells nothing about `hash`. */
bool nt_hash_matches(const guint8 hash[NT_HASH_SIZE], const char *password);
