/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "accounts.h"
#include "log.h"
#include "text-file.h"

#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

/* Accounts of alice, with a password file of these bytes; NULL when it is refused. */
static Accounts *accounts_of(const char *bytes, gssize size, int mode)
{
    g_autofree char *path = NULL;
    g_autoptr(GError) error = NULL;
    int fd = g_file_open_tmp("rdpusbd-XXXXXX", &path, NULL);
    g_assert_cmpint(fd, >=, 0);
    close(fd);
    g_assert_true(g_file_set_contents(path, bytes, size, NULL));
    g_assert_cmpint(g_chmod(path, mode), ==, 0);
    const Config config = {.user = (char *) "alice", .password_file = path};
    Accounts *accounts = accounts_new(&config, &error);
    g_assert_true((accounts == NULL) == g_error_matches(error, INPUT_ERROR, 0));
    g_assert_true(!error || strstr(error->message, path));
    g_unlink(path);
    return accounts;
}

static bool matches(const Accounts *accounts, const char *name, const char *password)
{
    const User *user = accounts_find(accounts, name);
    return user && nt_hash_matches(user->nt_hash, password);
}

static void test_match(void)
{
    static const char *const files[] = {"secret", "secret\n", "secret\r\n", "secret\nother\n"};
    for (gsize i = 0; i < G_N_ELEMENTS(files); i++) {
        g_autoptr(Accounts) accounts = accounts_of(files[i], -1, 0600);
        g_assert_nonnull(accounts);
        g_assert_true(matches(accounts, "alice", "secret"));
        g_assert_true(matches(accounts, "Alice", "secret")); /* as on Windows */
        g_assert_false(matches(accounts, "alice", "secre"));
        g_assert_false(matches(accounts, "alice", "secret\n"));
        g_assert_false(matches(accounts, "alice", "Secret"));
        g_assert_false(matches(accounts, "alice", ""));
        g_assert_false(matches(accounts, "", "secret"));
        g_assert_false(matches(accounts, "bob", "secret"));
        g_assert_cmpint(memcmp(accounts_decoy_hash(accounts),
                               accounts_find(accounts, "alice")->nt_hash, NT_HASH_SIZE),
                        !=, 0);
    }
}

static void test_files(void)
{
    g_autofree char *longest = g_strnfill(1024, 'x');
    g_autofree char *too_long = g_strnfill(1025, 'x');
    g_autoptr(Accounts) accounts = accounts_of(longest, -1, 0640);
    g_assert_nonnull(accounts);
    g_assert_true(matches(accounts, "alice", longest));
    g_assert_null(accounts_of(too_long, -1, 0600));
    g_assert_null(accounts_of("", 0, 0600));
    g_assert_null(accounts_of("\nsecret", -1, 0600));
    g_assert_null(accounts_of("\r\n", -1, 0600));
    g_assert_null(accounts_of("sec\0ret\n", 8, 0600));
    g_assert_null(accounts_of("secret", -1, 0604));
    g_assert_null(accounts_of("secret", -1, 0602));
}

/* What is wrong with the files now changes nothing of what was read before. */
static void test_reload(void)
{
    g_autofree char *folder = g_dir_make_tmp("rdpusbd-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(folder, "users", NULL);
    g_autoptr(GError) error = NULL;
    const Config config = {.users_file = path};
    g_assert_null(accounts_new(&config, &error));
    g_assert_error(error, INPUT_ERROR, 0);
    g_clear_error(&error);
    guint8 hash[NT_HASH_SIZE];
    char *const groups[] = {(char *) "staff", NULL};
    g_autoptr(Users) users = users_new();
    g_assert_true(nt_hash("secret", hash));
    g_assert_true(users_set(users, "bob", hash, groups, NULL));
    g_assert_true(users_save(users, path, NULL));
    g_autoptr(Accounts) accounts = accounts_new(&config, &error);
    g_assert_no_error(error);
    g_assert_true(matches(accounts, "bob", "secret"));
    g_assert_cmpstr(accounts_find(accounts, "bob")->groups[0], ==, "staff");
    g_assert_cmpint(g_chmod(path, 0644), ==, 0);
    g_assert_false(accounts_reload(accounts, &error));
    g_assert_error(error, INPUT_ERROR, 0);
    g_assert_true(matches(accounts, "bob", "secret"));
    g_assert_cmpint(g_chmod(path, 0600), ==, 0);
    g_assert_true(users_remove(users, "bob"));
    g_assert_true(users_save(users, path, NULL));
    g_clear_error(&error);
    g_assert_true(accounts_reload(accounts, &error));
    g_assert_null(accounts_find(accounts, "bob"));
    g_unlink(path);
    g_rmdir(folder);
}

static void test_quote(void)
{
    g_autofree char *flood = g_strnfill(1000, 'x');
    g_autofree char *cut = log_quote(flood);
    g_assert_cmpuint(strlen(cut), <, 140);
    static const char *const pairs[][2] = {
        {"", "\"\""},
        {"stick", "\"stick\""},
        {"Stöckchen", "\"Stöckchen\""},
        {"a\nb\x1b[0m\x7f", "\"a\\u{a}b\\u{1b}[0m\\u{7f}\""},
        {"a\"b\\c", "\"a\\\"b\\\\c\""},
        {"\u202egnp", "\"\\u{202e}gnp\""}, /* would be shown from right to left */
        {"\xff", "\"\uFFFD\""},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(pairs); i++) {
        g_autofree char *quoted = log_quote(pairs[i][0]);
        g_assert_cmpstr(quoted, ==, pairs[i][1]);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/accounts/match", test_match);
    g_test_add_func("/accounts/files", test_files);
    g_test_add_func("/accounts/reload", test_reload);
    g_test_add_func("/log/quote", test_quote);
    return g_test_run();
}
