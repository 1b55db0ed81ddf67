/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* rdpusbctl policy check: what it prints where, and its exit status. This program is both the test
 * and, with "policy" as its first argument, the command. */
#include "ctl.h"

#include <glib.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/wait.h>

static const char *program;
static char *folder;

#define RULES                                                                                      \
    "# who may what\n"                                                                             \
    "block user mallory\n"                                                                         \
    "allow 1050:0407 user alice group staff vm vm1\n"                                              \
    "block with-interface one-of { 03:01:01 03:01:02 }\n"                                          \
    "reject id 1234:*\n"                                                                           \
    "allow with-interface match-all { 08:*:* 03:*:* }\n"

/* Runs `rdpusbctl policy` with the arguments; %D in what is expected stands for the folder. */
static void check(const char *const *arguments, int status, const char *out, const char *err)
{
    g_autoptr(GPtrArray) argv = g_ptr_array_new();
    g_autoptr(GError) error = NULL;
    g_autofree char *printed = NULL;
    g_autofree char *complaint = NULL;
    int wait_status;
    g_ptr_array_add(argv, (gpointer) program);
    g_ptr_array_add(argv, "policy");
    for (; *arguments; arguments++)
        g_ptr_array_add(argv, (gpointer) *arguments);
    g_ptr_array_add(argv, NULL);
    g_spawn_sync(NULL, (char **) argv->pdata, NULL, G_SPAWN_DEFAULT, NULL, NULL, &printed,
                 &complaint, &wait_status, &error);
    g_assert_no_error(error);
    g_autoptr(GString) expected = g_string_new(out);
    g_autoptr(GString) expected_complaint = g_string_new(err);
    g_string_replace(expected, "%D", folder, 0);
    g_string_replace(expected_complaint, "%D", folder, 0);
    g_assert_cmpstr(complaint, ==, expected_complaint->str);
    g_assert_cmpstr(printed, ==, expected->str);
    g_assert_true(WIFEXITED(wait_status));
    g_assert_cmpint(WEXITSTATUS(wait_status), ==, status);
}

#define CHECK(status, out, err, ...)                                                               \
    check((const char *const[]){"check", "--rules-dir", folder, __VA_ARGS__, NULL}, status, out,   \
          err)

#define DISK "id 0951:1666 serial \"60A4\" name \"DataTraveler\" with-interface 08:06:50"
#define YUBI "id 1050:0407 with-interface { 03:01:01 03:00:00 }"
#define NOTE "  note: no --group is given, so this is about a user in no group\n"
#define WHY_OK                                                                                     \
    "  because of with-interface match-all { 08:*:* 03:*:* }: the device has 08:06:50\n" NOTE

static void test_allowed(void)
{
    CHECK(0, "allowed by %D/a.rules:6 (allow with-interface match-all { 08:*:* 03:*:* })\n" WHY_OK,
          "", "--user", "bob", "--vm", "vm1", DISK);
    CHECK(0,
          "allowed by %D/a.rules:3 (allow 1050:0407 user alice group staff vm vm1)\n"
          "  because of 1050:0407: the device's id is 1050:0407; user alice: the user is "
          "\"alice\"; group staff: the user's groups are \"video\" \"staff\"; vm vm1: the VM is "
          "\"vm1\"\n",
          "", "--user=alice", "--group=video", "--group=staff", "--vm=vm1", YUBI);
}

static void test_refused(void)
{
    CHECK(1,
          "blocked by %D/a.rules:2 (block user mallory)\n"
          "  because of user mallory: the user is \"mallory\"\n" NOTE,
          "", "--user", "mallory", DISK);
    CHECK(1,
          "rejected by %D/a.rules:5 (reject id 1234:*)\n"
          "  because of id 1234:*: the device's id is 1234:5678\n" NOTE
          "  note: the description says no with-interface, so this is about a device without "
          "interfaces\n",
          "", "--user", "alice", "1234:5678");
    CHECK(1, "blocked: no rule matches it\n" NOTE, "", "--user", "j\xc3\xbcrgen",
          "name \"\xc3\xa4\" id 0bda:5846 with-interface 0e:01:00");
}

static void test_unknown_user(void)
{
    CHECK(1,
          "blocked by %D/a.rules:4 (block with-interface one-of { 03:01:01 03:01:02 })\n"
          "  not %D/a.rules:2 (block user mallory): user mallory: the user is not known\n"
          "  because of with-interface one-of { 03:01:01 03:01:02 }: the device has 03:01:01 "
          "03:00:00\n" NOTE,
          "", YUBI);
}

static void test_verbose(void)
{
    CHECK(0,
          "allowed by %D/a.rules:6 (allow with-interface match-all { 08:*:* 03:*:* })\n"
          "  not %D/a.rules:2 (block user mallory): user mallory: the user is \"bob\"\n"
          "  not %D/a.rules:3 (allow 1050:0407 user alice group staff vm vm1): 1050:0407: the "
          "device's id is 0951:1666\n"
          "  not %D/a.rules:4 (block with-interface one-of { 03:01:01 03:01:02 }): with-interface "
          "one-of { 03:01:01 03:01:02 }: the device has 08:06:50\n"
          "  not %D/a.rules:5 (reject id 1234:*): id 1234:*: the device's id is 0951:1666\n" WHY_OK,
          "", "--verbose", "--user", "bob", DISK);
}

static void test_filter(void)
{
    CHECK(0, "allowed by %D/a.rules:6 (allow with-interface match-all { 08:*:* 03:*:* })\n" WHY_OK,
          "", "--user", "bob", "--filter", "0x08,-1,-1,-1,1", DISK);
    CHECK(1,
          "blocked by the filter 0x03,-1,-1,-1,1\n"
          "  although allowed by %D/a.rules:6 (allow with-interface match-all { 08:*:* 03:*:* "
          "})\n" WHY_OK,
          "", "--user", "bob", "--filter", "0x03,-1,-1,-1,1", DISK);
    CHECK(2, "",
          "rdpusbctl: rule 1 of the filter, \"8\", is not CLASS,VENDOR,PRODUCT,VERSION,ALLOW: "
          "write numbers, -1 for any, and 1 or 0 at its end, as 0x08,-1,-1,-1,1\n",
          "--filter", "8", DISK);
}

#define USE "use rdpusbctl policy check VVVV:PPPP, or see rdpusbctl policy --help\n"

static void test_bad_input(void)
{
    CHECK(2, "",
          "rdpusbctl: device description:1:4: \"951:1666\" is no device id: write vendor and "
          "product as four hexadecimal digits each, as 1050:0011, 1050:* or *:*\n",
          "id 951:1666");
    CHECK(2, "",
          "rdpusbctl: the device description has to be one argument: put it into single quotes\n",
          "id", "0951:1666");
    CHECK(2, "", "rdpusbctl: Unknown option --port: see rdpusbctl policy --help\n", "--port", "1",
          DISK);
    check((const char *const[]){"check", NULL}, 2, "",
          "rdpusbctl: the device description is missing: " USE);
    check((const char *const[]){NULL}, 2, "", "rdpusbctl: the command is missing: " USE);
    check((const char *const[]){"test", DISK, NULL}, 2, "", "rdpusbctl: test is no command: " USE);
    check((const char *const[]){"check", "--rules-dir", "/nowhere", DISK, NULL}, 2, "",
          "rdpusbctl: /nowhere: the folder with the device rules is missing: make it, and write a "
          "*.rules file there, see rdpusb-rules(5)\n");
}

static void test_wrong_rules(void)
{
    g_autofree char *path = g_build_filename(folder, "b.rules", NULL);
    g_assert_true(g_file_set_contents_full(path, "\nallow via-port \"1-2\"\n", -1,
                                           G_FILE_SET_CONTENTS_NONE, 0644, NULL));
    CHECK(2, "",
          "rdpusbctl: %D/b.rules:2:7: USBGuard's \"via-port\" means nothing here (the ports of a "
          "client's machine are not known): use user or vm\n",
          DISK);
    g_assert_cmpint(g_remove(path), ==, 0);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "policy") == 0)
        return ctl_policy(argc - 1, argv + 1);
    g_test_init(&argc, &argv, NULL);
    program = argv[0];
    folder = g_dir_make_tmp("rdpusb-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(folder, "a.rules", NULL);
    g_assert_true(g_file_set_contents_full(path, RULES, -1, G_FILE_SET_CONTENTS_NONE, 0644, NULL));
    g_test_add_func("/policy-check/allowed", test_allowed);
    g_test_add_func("/policy-check/refused", test_refused);
    g_test_add_func("/policy-check/unknown-user", test_unknown_user);
    g_test_add_func("/policy-check/verbose", test_verbose);
    g_test_add_func("/policy-check/filter", test_filter);
    g_test_add_func("/policy-check/bad-input", test_bad_input);
    g_test_add_func("/policy-check/wrong-rules", test_wrong_rules);
    int status = g_test_run();
    g_remove(path);
    g_rmdir(folder);
    g_free(folder);
    return status;
}
