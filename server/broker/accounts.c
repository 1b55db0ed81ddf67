/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "accounts.h"

#include "text-file.h"

#include <string.h>

#include <openssl/rand.h>

#define MAX_PASSWORD_BYTES 1024

struct Accounts {
    const Config *config;
    Users *users;
    guint8 decoy[NT_HASH_SIZE]; /* nobody's */
};

/* The hash of the first line, without its end. */
static bool hash_first_line(const char *path, char *text, guint8 hash[NT_HASH_SIZE], GError **error)
{
    text[strcspn(text, "\r\n")] = '\0';
    if (*text == '\0')
        return text_file_error(error, path, 1, 0, "is empty: the first line is the password");
    if (strlen(text) > MAX_PASSWORD_BYTES)
        return text_file_error(error, path, 1, 0, "is longer than %d bytes", MAX_PASSWORD_BYTES);
    return nt_hash(text, hash);
}

static bool add_user(Users *users, const Config *config, GError **error)
{
    guint8 hash[NT_HASH_SIZE];
    if (users_find(users, config->user))
        return text_file_error(error, config->users_file, 0, 0,
                               "has the user %s, as the option user does: use one of them",
                               config->user);
    char *text = text_file_read(config->password_file, TEXT_FILE_SECRET, error);
    char *const no_groups[] = {NULL};
    bool added = text && hash_first_line(config->password_file, text, hash, error) &&
                 users_set(users, config->user, hash, no_groups, error);
    text_file_free(text);
    explicit_bzero(hash, sizeof hash);
    return added;
}

bool accounts_reload(Accounts *accounts, GError **error)
{
    const Config *config = accounts->config;
    g_autoptr(Users) users =
        config->users_file ? users_load(config->users_file, error) : users_new();
    if (!users || (config->user && !add_user(users, config, error)))
        return false;
    g_clear_pointer(&accounts->users, users_free);
    accounts->users = g_steal_pointer(&users);
    return true;
}

Accounts *accounts_new(const Config *config, GError **error)
{
    g_autoptr(Accounts) accounts = g_new0(Accounts, 1);
    accounts->config = config;
    if (!accounts_reload(accounts, error))
        return NULL;
    if (RAND_bytes(accounts->decoy, sizeof accounts->decoy) != 1)
        g_error("OpenSSL has no random numbers");
    return g_steal_pointer(&accounts);
}

void accounts_free(Accounts *accounts)
{
    if (!accounts)
        return;
    users_free(accounts->users);
    g_free(accounts);
}

const User *accounts_find(const Accounts *accounts, const char *name)
{
    return users_find(accounts->users, name);
}

const guint8 *accounts_decoy_hash(const Accounts *accounts)
{
    return accounts->decoy;
}
