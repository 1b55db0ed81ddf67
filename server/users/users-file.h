/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The users file: who may log in with a password of our own. A line is NAME:NTHASH:GROUP,GROUP;
 * empty lines and those that begin with # are kept as they are. The broker only reads it; who
 * changes it holds users_lock() from reading to saving.
 */
#pragma once

#include "nt-hash.h"

#include <glib.h>
#include <stdbool.h>

#define USERS_MAX_NAME   64 /* characters of a user's or a group's name */
#define USERS_MAX_GROUPS 32 /* of one user */

typedef struct {
    char *name;
    guint8 nt_hash[NT_HASH_SIZE];
    char **groups; /* ends with NULL; may be empty */
} User;

typedef struct Users Users;

/* NULL and INPUT_ERROR as text_file_read() has it for a secret file, or "PATH:LINE:COLUMN: what".
 */
Users *users_load(const char *path, GError **error);
/* The same of a text that came from `path`, in valid UTF-8. */
Users *users_parse(const char *path, const char *text, GError **error);
Users *users_new(void);
/* Wipes the hashes. Accepts NULL. */
void users_free(Users *users);

/* Names are the same whatever their case, as on Windows. NULL: there is none. Lives as long as
 * `users` and until the next change. */
const User *users_find(const Users *users, const char *name);
/* In the order of the file. */
guint users_count(const Users *users);
const User *users_get(const Users *users, guint index);

/* What names are compared by: two of them are the same user if these texts are equal. Caller frees.
 */
char *users_fold(const char *name);

/* 1 to USERS_MAX_NAME characters, which neither name a VM too (VM\USER, USER@VM) nor end a field.
 * What is wrong otherwise, as "a name ...": INPUT_ERROR. Groups' names are of the same kind. */
bool users_check_name(const char *name, GError **error);

/* Adds the user at the end, or changes it in its place. False: the name or a group's name is bad.
 */
bool users_set(Users *users, const char *name, const guint8 nt_hash[NT_HASH_SIZE],
               char *const *groups, GError **error);
/* False: there is no such user. */
bool users_remove(Users *users, const char *name);

/* Waits until nobody else changes the file. A descriptor for the caller to close when done, or -1
 * and INPUT_ERROR. The lock is .NAME.lock beside the file, which only its owner can open. */
int users_lock(const char *path, GError **error);
/* Replaces the file in one step, or leaves it whole. It keeps its owner, group and mode; a new one
 * has mode 0600. False and INPUT_ERROR also when it is a symbolic link: it would be replaced by a
 * file. */
bool users_save(const Users *users, const char *path, GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Users, users_free)
