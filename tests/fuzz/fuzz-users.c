/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The users file. What is refused names file and line; what is accepted holds names that can be
 * found again, by any case, and a user that is changed and removed leaves the others alone.
 */
#include "users-file.h"

#include "require.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_users(const Users *users)
{
    for (guint i = 0; i < users_count(users); i++) {
        const User *user = users_get(users, i);
        g_autofree char *folded = users_fold(user->name);
        REQUIRE(users_check_name(user->name, NULL));
        REQUIRE(users_find(users, user->name) == user);
        REQUIRE(g_utf8_validate(folded, -1, NULL));
        REQUIRE(g_strv_length(user->groups) <= USERS_MAX_GROUPS);
        for (char **group = user->groups; *group; group++)
            REQUIRE(users_check_name(*group, NULL));
    }
}

static void check_change(Users *users)
{
    guint n = users_count(users);
    if (n == 0)
        return;
    g_autofree char *name = g_strdup(users_get(users, n / 2)->name);
    const User *user = users_find(users, name);
    REQUIRE(users_set(users, name, user->nt_hash, user->groups, NULL));
    REQUIRE(users_count(users) == n);
    REQUIRE(users_remove(users, name) && !users_find(users, name));
    REQUIRE(users_count(users) == n - 1);
    check_users(users);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    /* As text_file_read() hands it over */
    if (memchr(data, 0, size) || !g_utf8_validate((const char *) data, size, NULL))
        return 0;
    g_autofree char *text = g_strndup((const char *) data, size);
    g_autoptr(GError) error = NULL;
    g_autoptr(Users) users = users_parse("users", text, &error);
    REQUIRE((users == NULL) == (error != NULL));
    if (!users) {
        REQUIRE(g_str_has_prefix(error->message, "users:"));
        return 0;
    }
    check_users(users);
    check_change(users);
    return 0;
}
