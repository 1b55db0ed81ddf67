/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "text-file.h"

#include "secret.h"

#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

/* Reads a file of these bytes, owner and mode; the error's text instead if it is refused. */
static char *read_file(const char *bytes, gssize size, uid_t owner, int mode, TextFileKind kind,
                       char **problem)
{
    g_autofree char *path = NULL;
    g_autoptr(GError) error = NULL;
    int fd = g_file_open_tmp("rdpusb-XXXXXX", &path, NULL);
    g_assert_cmpint(fd, >=, 0);
    close(fd);
    g_assert_true(g_file_set_contents(path, bytes, size, NULL));
    g_assert_cmpint(g_chmod(path, mode), ==, 0);
    if (owner != geteuid())
        g_assert_cmpint(chown(path, owner, -1), ==, 0);
    char *text = text_file_read(path, kind, &error);
    g_assert_true((text == NULL) == g_error_matches(error, INPUT_ERROR, 0));
    g_assert_true(!error || g_str_has_prefix(error->message, path));
    *problem = error ? g_strdup(error->message + strlen(path)) : NULL;
    g_unlink(path);
    return text;
}

static void check_read(const char *bytes, gssize size, int mode, TextFileKind kind)
{
    g_autofree char *problem = NULL;
    g_autofree char *text = read_file(bytes, size, geteuid(), mode, kind, &problem);
    g_assert_cmpstr(problem, ==, NULL);
    g_assert_cmpstr(text, ==, bytes);
}

static void check_refused(const char *bytes, gssize size, uid_t owner, int mode, TextFileKind kind,
                          const char *expected)
{
    g_autofree char *problem = NULL;
    g_assert_null(read_file(bytes, size, owner, mode, kind, &problem));
    g_assert_cmpstr(problem, ==, expected);
}

static void test_read(void)
{
    g_autofree char *longest = g_strnfill(TEXT_FILE_MAX_BYTES, 'x');
    check_read("", 0, 0644, TEXT_FILE_PUBLIC);
    check_read("a\nb\xc3\xa4\n", -1, 0644, TEXT_FILE_PUBLIC);
    check_read("secret", -1, 0600, TEXT_FILE_SECRET);
    check_read("secret", -1, 0640, TEXT_FILE_SECRET);
    check_read(longest, -1, 0600, TEXT_FILE_SECRET);
}

static void test_refused(void)
{
    g_autofree char *too_long = g_strnfill(TEXT_FILE_MAX_BYTES + 1, 'x');
    check_refused("x", 1, geteuid(), 0646, TEXT_FILE_PUBLIC,
                  ": everybody may write it: chmod 0644 or less");
    check_refused("x", 1, geteuid(), 0664, TEXT_FILE_PUBLIC,
                  ": its group may write it: chmod 0644 or less");
    check_refused("x", 1, geteuid(), 0644, TEXT_FILE_SECRET,
                  ": everybody may read its secrets: chmod 0600 or 0640");
    check_refused("a\nb\n\xff", 5, geteuid(), 0600, TEXT_FILE_SECRET, ":3: is no text in UTF-8");
    check_refused("a\0b", 3, geteuid(), 0600, TEXT_FILE_PUBLIC, ":1: is no text in UTF-8");
    check_refused(too_long, -1, geteuid(), 0600, TEXT_FILE_PUBLIC, ": is larger than 1 MiB");
}

static void test_owner(void)
{
    if (geteuid() != 0) { /* nobody else can give a file away */
        check_read("x", 1, 0600, TEXT_FILE_PUBLIC);
        return;
    }
    check_refused("x", 1, 65534, 0600, TEXT_FILE_PUBLIC,
                  ": belongs to user 65534, who could change it: chown it to root");
}

static void test_missing(void)
{
    g_autoptr(GError) error = NULL;
    g_assert_null(text_file_read("/nonexistent/rules", TEXT_FILE_PUBLIC, &error));
    g_assert_error(error, INPUT_ERROR, 0);
    g_assert_cmpstr(error->message, ==, "/nonexistent/rules: No such file or directory");
    g_clear_error(&error);
    g_assert_null(text_file_read("/", TEXT_FILE_PUBLIC, &error));
    g_assert_cmpstr(error->message, ==, "/: is no regular file");
}

static void test_folder(void)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *folder = g_dir_make_tmp("rdpusb-XXXXXX", NULL);
    g_assert_true(text_folder_check(folder, &error));
    g_assert_cmpint(g_chmod(folder, 0777), ==, 0);
    g_assert_false(text_folder_check(folder, &error));
    g_assert_nonnull(strstr(error->message, ": everybody may write it: chmod 0755"));
    g_clear_error(&error);
    g_rmdir(folder);
    g_assert_false(text_folder_check(folder, &error));
    g_assert_error(error, INPUT_ERROR, 0);
}

static void test_place(void)
{
    static const struct {
        unsigned line, column;
        const char *text;
    } places[] = {{0, 0, "f: no"}, {7, 0, "f:7: no"}, {7, 3, "f:7:3: no"}, {0, 3, "f: no"}};
    for (gsize i = 0; i < G_N_ELEMENTS(places); i++) {
        g_autoptr(GError) error = NULL;
        g_assert_false(text_file_error(&error, "f", places[i].line, places[i].column, "%s", "no"));
        g_assert_cmpstr(error->message, ==, places[i].text);
    }
}

/* ---- What stays in memory ---- */

static void write_secrets(int fd)
{
    char secret[SECRET_SIZE];
    secret_make(secret);
    for (unsigned i = 0; i < 40000 / SECRET_SIZE; i++)
        g_assert_cmpint(write(fd, secret, SECRET_SIZE), ==, SECRET_SIZE);
    explicit_bzero(secret, sizeof secret);
}

/* Room between blocks that stay, as a process has that runs for long: a buffer that grows there has
 * to move. */
static void make_holes(gpointer stays[8])
{
    gpointer holes[8];
    for (unsigned i = 0; i < 8; i++) {
        holes[i] = g_malloc(3000 << (i % 4));
        stays[i] = g_malloc(1100);
    }
    for (unsigned i = 0; i < 8; i++)
        g_free(holes[i]);
}

static void test_secrets(void)
{
    gpointer stays[8];
    g_autofree char *path = NULL;
    g_autoptr(GError) error = NULL;
    int fd = g_file_open_tmp("rdpusb-XXXXXX", &path, NULL);
    g_assert_cmpint(fd, >=, 0);
    write_secrets(fd);
    close(fd);
    g_assert_cmpuint(secret_count(), ==, 0);
    make_holes(stays);
    char *text = text_file_read(path, TEXT_FILE_SECRET, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(secret_count(), >, 500);
    text_file_free(text);
    g_assert_cmpuint(secret_count(), ==, 0);
    for (unsigned i = 0; i < 8; i++)
        g_free(stays[i]);
    g_unlink(path);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/text-file/read", test_read);
    g_test_add_func("/text-file/refused", test_refused);
    g_test_add_func("/text-file/owner", test_owner);
    g_test_add_func("/text-file/missing", test_missing);
    g_test_add_func("/text-file/folder", test_folder);
    g_test_add_func("/text-file/place", test_place);
    g_test_add_func("/text-file/secrets", test_secrets);
    return g_test_run();
}
