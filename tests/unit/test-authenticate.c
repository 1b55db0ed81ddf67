/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "authenticate.h"
#include "log.h"

#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

/* Credentials of alice, with a file of these bytes; NULL when it is refused. */
static Credentials *credentials_of(const char *bytes, gssize size, int mode)
{
    g_autofree char *path = NULL;
    g_autoptr(GError) error = NULL;
    int fd = g_file_open_tmp("rdpusbd-XXXXXX", &path, NULL);
    g_assert_cmpint(fd, >=, 0);
    close(fd);
    g_assert_true(g_file_set_contents(path, bytes, size, NULL));
    g_assert_cmpint(g_chmod(path, mode), ==, 0);
    Credentials *credentials = credentials_new("alice", path, &error);
    g_assert_true((credentials == NULL) == (error != NULL));
    g_assert_true(!error || strstr(error->message, path));
    g_unlink(path);
    return credentials;
}

static void test_match(void)
{
    static const char *const files[] = {"secret", "secret\n", "secret\r\n", "secret\nother\n"};
    for (gsize i = 0; i < G_N_ELEMENTS(files); i++) {
        g_autoptr(Credentials) credentials = credentials_of(files[i], -1, 0600);
        g_assert_nonnull(credentials);
        g_assert_true(credentials_match(credentials, "alice", "secret"));
        g_assert_false(credentials_match(credentials, "alice", "secre"));
        g_assert_false(credentials_match(credentials, "alice", "secret\n"));
        g_assert_false(credentials_match(credentials, "alice", "Secret"));
        g_assert_false(credentials_match(credentials, "alice", "other"));
        g_assert_false(credentials_match(credentials, "alice", ""));
        g_assert_false(credentials_match(credentials, "Alice", "secret"));
        g_assert_false(credentials_match(credentials, "", "secret"));
        g_assert_false(credentials_match(credentials, "secret", "alice"));
    }
}

static void test_files(void)
{
    g_autofree char *longest = g_strnfill(1024, 'x');
    g_autofree char *too_long = g_strnfill(1025, 'x');
    g_autoptr(Credentials) credentials = credentials_of(longest, -1, 0640);
    g_assert_nonnull(credentials);
    g_assert_true(credentials_match(credentials, "alice", longest));
    g_assert_null(credentials_of(too_long, -1, 0600));
    g_assert_null(credentials_of("", 0, 0600));
    g_assert_null(credentials_of("\nsecret", -1, 0600));
    g_assert_null(credentials_of("\r\n", -1, 0600));
    g_assert_null(credentials_of("sec\0ret\n", 8, 0600));
    g_assert_null(credentials_of("secret", -1, 0604));
    g_assert_null(credentials_of("secret", -1, 0602));
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
    g_test_add_func("/authenticate/match", test_match);
    g_test_add_func("/authenticate/files", test_files);
    g_test_add_func("/log/quote", test_quote);
    return g_test_run();
}
