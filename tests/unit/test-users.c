/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "users-file.h"

#include "text-file.h"

#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define HASH  "a4f49c406510bdcab6824ee7c30fd852" /* of "Password" */
#define HASH2 "0123456789ABCDEF0123456789abcdef"
#define EMPTY "31d6cfe0d16ae931b73c59d7e0c089c0"

static char *no_groups[] = {NULL};

static Users *parse(const char *text)
{
    g_autoptr(GError) error = NULL;
    Users *users = users_parse("users", text, &error);
    g_assert_no_error(error);
    return users;
}

static void check_groups(const User *user, const char *expected)
{
    g_autofree char *groups = g_strjoinv("|", user->groups);
    g_assert_cmpstr(groups, ==, expected);
}

static void test_parse(void)
{
    g_autoptr(Users) users = parse("# Who may log in\n\n \t\nalice:" HASH ":staff,scanner users\n"
                                   "Jörg Müller:" HASH2 ":");
    g_assert_cmpuint(users_count(users), ==, 2);
    const User *alice = users_get(users, 0), *joerg = users_get(users, 1);
    g_assert_cmpstr(alice->name, ==, "alice");
    g_assert_true(nt_hash_matches(alice->nt_hash, "Password"));
    check_groups(alice, "staff|scanner users");
    g_assert_cmpstr(joerg->name, ==, "Jörg Müller");
    check_groups(joerg, "");
    g_assert_cmphex(joerg->nt_hash[0], ==, 0x01);
    g_assert_cmphex(joerg->nt_hash[15], ==, 0xef);
}

static void test_find(void)
{
    g_autoptr(Users) users = parse("Alice:" HASH ":\nJÖRG:" HASH ":\n");
    g_assert_true(users_find(users, "aLICE") == users_get(users, 0));
    g_assert_true(users_find(users, "jörg") == users_get(users, 1));
    g_assert_null(users_find(users, "alic"));
    g_assert_null(users_find(users, ""));
    g_autoptr(Users) none = parse("");
    g_assert_null(users_find(none, "alice"));
}

#define TOO_EARLY                                                                                  \
    "the line ends too early: it is NAME:NTHASH:GROUP,GROUP, where groups may be missing but not " \
    "the second colon"
#define NO_HEX "the hash is not 32 hexadecimal digits: set it with rdpusbctl user passwd"

static void test_refused(void)
{
    static const struct {
        const char *text, *problem;
    } cases[] = {
        {"alice", "1:6: " TOO_EARLY},
        {"#\nalice:" HASH, "2:39: " TOO_EARLY},
        {":" HASH ":", "1:1: a name is missing"},
        {" alice:" HASH ":", "1:1: a name cannot begin with a space"},
        {"jörg :" HASH ":", "1:5: a name cannot end with a space"},
        {"vm\\bob:" HASH ":", "1:3: a name cannot have any of : , \\ @ in it"},
        {"bob@vm:" HASH ":", "1:4: a name cannot have any of : , \\ @ in it"},
        {"a,b:" HASH ":", "1:2: a name cannot have any of : , \\ @ in it"},
        {"a\tb:" HASH ":", "1:2: a name cannot have a control or invisible character in it"},
        {"a\xe2\x80\x8b:" HASH ":",
         "1:2: a name cannot have a control or invisible character in it"},
        {"ä:0123:", "1:7: " NO_HEX},
        {"ä:" HASH "0:", "1:35: the hash is longer than 32 hexadecimal digits"},
        {"ä:x" HASH ":", "1:3: " NO_HEX},
        {"a:" EMPTY ":",
         "1:3: the hash is that of no password: set one with rdpusbctl user passwd"},
        {"a:" HASH ":,", "1:36: a name is missing"},
        {"a:" HASH ":ä,b,", "1:40: a name is missing"},
        {"a:" HASH ":ä,#b", "1:38: a name cannot begin with #, which begins a comment"},
        {"a:" HASH ":b:c", "1:37: a name cannot have any of : , \\ @ in it"},
        {"a:" HASH ":\r\n", "1:36: a name cannot have a control or invisible character in it"},
        {"alice:" HASH ":\n#\nAlice:" HASH ":", "3:1: this user is in line 1 already"},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) error = NULL;
        g_autofree char *expected = g_strdup_printf("users:%s", cases[i].problem);
        g_assert_null(users_parse("users", cases[i].text, &error));
        g_assert_error(error, INPUT_ERROR, 0);
        g_assert_cmpstr(error->message, ==, expected);
    }
}

static void test_limits(void)
{
    g_autofree char *longest = g_strnfill(USERS_MAX_NAME, 'x');
    g_autofree char *too_long = g_strconcat(longest, "x", NULL);
    g_assert_true(users_check_name(longest, NULL));
    g_assert_false(users_check_name(too_long, NULL));
    g_assert_false(users_check_name("\xff", NULL));
    g_assert_false(users_check_name("", NULL));

    g_autoptr(GString) most = g_string_new("a:" HASH ":g0");
    for (unsigned i = 1; i < USERS_MAX_GROUPS; i++)
        g_string_append_printf(most, ",g%u", i);
    g_autoptr(Users) users = parse(most->str);
    g_assert_cmpuint(g_strv_length(users_get(users, 0)->groups), ==, USERS_MAX_GROUPS);
    g_string_append(most, ",one-more");
    g_autoptr(GError) error = NULL;
    g_assert_null(users_parse("users", most->str, &error));
    g_assert_cmpstr(error->message, ==, "users:1:154: a user has at most 32 groups");
}

static void test_change(void)
{
    static char *staff[] = {"staff", NULL}, *bad[] = {"ok", "a:b", NULL};
    guint8 hash[NT_HASH_SIZE];
    g_autoptr(GError) error = NULL;
    g_autoptr(Users) users = users_new();
    nt_hash("one", hash);
    g_assert_true(users_set(users, "Alice", hash, staff, &error));
    g_assert_true(users_set(users, "bob", hash, no_groups, &error));
    nt_hash("two", hash);
    g_assert_true(users_set(users, "ALICE", hash, users_find(users, "alice")->groups, &error));
    g_assert_cmpuint(users_count(users), ==, 2);
    const User *alice = users_find(users, "alice");
    g_assert_cmpstr(alice->name, ==, "Alice");
    g_assert_true(nt_hash_matches(alice->nt_hash, "two"));
    check_groups(alice, "staff");

    g_assert_false(users_set(users, "a@b", hash, no_groups, &error));
    g_assert_cmpstr(error->message, ==, "a name cannot have any of : , \\ @ in it");
    g_clear_error(&error);
    g_assert_false(users_set(users, "alice", hash, bad, &error));
    g_assert_cmpstr(error->message, ==, "group 2: a name cannot have any of : , \\ @ in it");
    check_groups(users_find(users, "alice"), "staff");

    g_assert_true(users_remove(users, "aliCE"));
    g_assert_false(users_remove(users, "alice"));
    g_assert_null(users_find(users, "alice"));
    g_assert_cmpstr(users_get(users, 0)->name, ==, "bob");
}

/* --- files --- */

typedef struct {
    char *folder, *path, *lock;
} Place;

static void place_init(Place *place)
{
    place->folder = g_dir_make_tmp("rdpusb-XXXXXX", NULL);
    g_assert_nonnull(place->folder);
    place->path = g_build_filename(place->folder, "users", NULL);
    place->lock = g_build_filename(place->folder, ".users.lock", NULL);
}

/* Nothing else may be left in the folder. */
static void place_clear(Place *place)
{
    g_unlink(place->path);
    g_unlink(place->lock);
    g_assert_cmpint(g_rmdir(place->folder), ==, 0);
    g_free(place->folder);
    g_free(place->path);
    g_free(place->lock);
}

static void check_contents(const Place *place, const char *expected)
{
    g_autofree char *text = NULL;
    g_assert_true(g_file_get_contents(place->path, &text, NULL, NULL));
    g_assert_cmpstr(text, ==, expected);
}

static void save(const Users *users, const Place *place)
{
    g_autoptr(GError) error = NULL;
    bool saved = users_save(users, place->path, &error);
    g_assert_no_error(error);
    g_assert_true(saved);
}

static void test_save(void)
{
    static char *groups[] = {"staff", "scan", NULL};
    guint8 hash[NT_HASH_SIZE];
    Place place;
    g_autoptr(GError) error = NULL;
    g_autoptr(Users) users = parse("# mine\n\nalice:" HASH2 ":\n");
    place_init(&place);
    nt_hash("Password", hash);
    users_set(users, "bob", hash, groups, NULL);
    mode_t before = umask(0);
    save(users, &place);
    umask(before);
    GStatBuf status;
    g_assert_cmpint(g_stat(place.path, &status), ==, 0);
    g_assert_cmpint(status.st_mode & 0777, ==, 0600);
    check_contents(&place, "# mine\n\nalice:0123456789abcdef0123456789abcdef:\n"
                           "bob:" HASH ":staff,scan\n");
    g_autoptr(Users) again = users_load(place.path, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(users_count(again), ==, 2);
    check_groups(users_find(again, "bob"), "staff|scan");
    place_clear(&place);
}

/* What an administrator set stays so. */
static void test_save_keeps_owner(void)
{
    Place place;
    GStatBuf status;
    gid_t group = geteuid() == 0 ? 1 : getegid();
    g_autoptr(Users) users = parse("alice:" HASH ":\n");
    place_init(&place);
    g_assert_true(g_file_set_contents(place.path, "", 0, NULL));
    g_assert_cmpint(chown(place.path, geteuid(), group), ==, 0);
    g_assert_cmpint(g_chmod(place.path, 0640), ==, 0);
    save(users, &place);
    g_assert_cmpint(g_stat(place.path, &status), ==, 0);
    g_assert_cmpint(status.st_mode & 07777, ==, 0640);
    g_assert_cmpint(status.st_gid, ==, group);
    place_clear(&place);
}

/* What a writer that died left is no obstacle. */
static void test_save_after_death(void)
{
    Place place;
    g_autoptr(Users) users = parse("alice:" HASH ":\n");
    place_init(&place);
    g_autofree char *left = g_build_filename(place.folder, ".users.new", NULL);
    g_assert_true(g_file_set_contents(left, "half", 4, NULL));
    save(users, &place);
    check_contents(&place, "alice:" HASH ":\n");
    place_clear(&place);
}

static void test_save_refused(void)
{
    Place place;
    g_autoptr(GError) error = NULL;
    g_autoptr(Users) users = parse("alice:" HASH ":\n");
    place_init(&place);
    g_assert_cmpint(symlink("/nonexistent/users", place.path), ==, 0);
    g_assert_false(users_save(users, place.path, &error));
    g_assert_error(error, INPUT_ERROR, 0);
    g_assert_nonnull(strstr(error->message, "users: is a symbolic link, which would be replaced: "
                                            "name the file itself"));
    g_clear_error(&error);
    g_assert_true(g_file_test(place.path, G_FILE_TEST_IS_SYMLINK));
    place_clear(&place);
    g_assert_false(users_save(users, "/nonexistent/users", &error));
    g_assert_error(error, INPUT_ERROR, 0);
    g_clear_error(&error);
    g_assert_cmpint(users_lock("/nonexistent/users", &error), ==, -1);
    g_assert_error(error, INPUT_ERROR, 0);
}

static void test_load_refused(void)
{
    Place place;
    g_autoptr(GError) error = NULL;
    place_init(&place);
    g_assert_null(users_load(place.path, &error));
    g_assert_error(error, INPUT_ERROR, 0);
    g_clear_error(&error);
    g_assert_true(g_file_set_contents(place.path, "alice:" HASH ":\n", -1, NULL));
    g_assert_cmpint(g_chmod(place.path, 0644), ==, 0);
    g_assert_null(users_load(place.path, &error));
    g_assert_nonnull(strstr(error->message, "users: everybody may read its secrets"));
    place_clear(&place);
}

static void add_users(const Place *place, unsigned writer, unsigned n)
{
    guint8 hash[NT_HASH_SIZE];
    nt_hash("x", hash);
    for (unsigned i = 0; i < n; i++) {
        g_autofree char *name = g_strdup_printf("user-%u-%u", writer, i);
        int lock = users_lock(place->path, NULL);
        g_autoptr(Users) users = users_load(place->path, NULL);
        if (lock < 0 || !users || !users_set(users, name, hash, no_groups, NULL) ||
            !users_save(users, place->path, NULL))
            _exit(1);
        close(lock);
    }
    _exit(0);
}

/* Writers that are there at once lose nothing of each other. */
static void test_lock(void)
{
    enum { WRITERS = 4, USERS = 10 };
    Place place;
    pid_t writers[WRITERS];
    place_init(&place);
    g_assert_true(
        g_file_set_contents_full(place.path, "", 0, G_FILE_SET_CONTENTS_NONE, 0600, NULL));
    for (unsigned i = 0; i < WRITERS; i++) {
        writers[i] = fork();
        if (writers[i] == 0)
            add_users(&place, i, USERS);
    }
    for (unsigned i = 0; i < WRITERS; i++) {
        int status = -1;
        g_assert_cmpint(waitpid(writers[i], &status, 0), ==, writers[i]);
        g_assert_cmpint(status, ==, 0);
    }
    g_autoptr(Users) users = users_load(place.path, NULL);
    g_assert_nonnull(users);
    g_assert_cmpuint(users_count(users), ==, WRITERS * USERS);
    place_clear(&place);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/users/parse", test_parse);
    g_test_add_func("/users/find", test_find);
    g_test_add_func("/users/refused", test_refused);
    g_test_add_func("/users/limits", test_limits);
    g_test_add_func("/users/change", test_change);
    g_test_add_func("/users/save", test_save);
    g_test_add_func("/users/save/keeps-owner", test_save_keeps_owner);
    g_test_add_func("/users/save/after-death", test_save_after_death);
    g_test_add_func("/users/save/refused", test_save_refused);
    g_test_add_func("/users/load/refused", test_load_refused);
    g_test_add_func("/users/lock", test_lock);
    return g_test_run();
}
