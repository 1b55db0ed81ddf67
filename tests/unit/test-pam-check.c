/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The broker's side of a check by PAM, with scripts in the place of rdpusb-pam. */
#include "pam-check.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct {
    char *folder, *program;
    GMainLoop *loop;
    PamCheck *check;
    unsigned calls;
    bool allowed;
    char *user, *reason;
    char **groups;
} Bench;

static void bench_init(Bench *bench, const char *script)
{
    g_autofree char *text = g_strdup_printf("#!/bin/sh\ncd \"${0%%/*}\"\n%s\n", script);
    *bench = (Bench){.folder = g_dir_make_tmp("rdpusb-XXXXXX", NULL)};
    g_assert_nonnull(bench->folder);
    bench->program = g_build_filename(bench->folder, "program", NULL);
    bench->loop = g_main_loop_new(NULL, FALSE);
    g_assert_true(g_file_set_contents(bench->program, text, -1, NULL));
    g_assert_cmpint(g_chmod(bench->program, 0700), ==, 0);
}

static char *read_file(Bench *bench, const char *name, gsize *size)
{
    char *text = NULL;
    g_autofree char *path = g_build_filename(bench->folder, name, NULL);
    g_assert_true(g_file_get_contents(path, &text, size, NULL));
    g_unlink(path);
    return text;
}

static void bench_clear(Bench *bench)
{
    pam_check_free(bench->check);
    while (g_main_context_iteration(NULL, FALSE)) /* what a check that was freed left */
        ;
    g_unlink(bench->program);
    g_assert_cmpint(g_rmdir(bench->folder), ==, 0);
    g_main_loop_unref(bench->loop);
    g_free(bench->folder);
    g_free(bench->program);
    g_free(bench->user);
    g_free(bench->reason);
    g_strfreev(bench->groups);
}

static void on_done(void *owner, bool allowed, const char *user, const char *const *groups,
                    const char *reason)
{
    Bench *bench = owner;
    g_assert_cmpuint(bench->calls++, ==, 0);
    bench->allowed = allowed;
    bench->user = g_strdup(user);
    bench->reason = g_strdup(reason);
    bench->groups = g_strdupv((char **) groups);
    g_clear_pointer(&bench->check, pam_check_free);
    g_main_loop_quit(bench->loop);
}

static void start(Bench *bench, const char *confdir)
{
    g_autoptr(GError) error = NULL;
    bench->check =
        pam_check_new(bench->program, confdir, "alice", "192.0.2.1", "p w", on_done, bench, &error);
    g_assert_no_error(error);
    g_assert_nonnull(bench->check);
    g_assert_cmpuint(bench->calls, ==, 0);
}

/* `groups`: separated by commas, NULL when refused. */
static void check_groups(const char *script, const char *user, const char *groups,
                         const char *reason)
{
    Bench bench;
    bench_init(&bench, script);
    start(&bench, NULL);
    g_main_loop_run(bench.loop);
    g_assert_cmpuint(bench.calls, ==, 1);
    g_assert_cmpstr(bench.user, ==, user);
    g_assert_cmpstr(bench.reason, ==, reason);
    g_assert_true(bench.allowed == (user != NULL));
    g_autofree char *told = bench.groups ? g_strjoinv(",", bench.groups) : NULL;
    g_assert_cmpstr(told, ==, groups);
    bench_clear(&bench);
}

static void check_answer(const char *script, const char *user, const char *reason)
{
    check_groups(script, user, user ? "" : NULL, reason);
}

static void test_allowed(void)
{
    static const char request[] = "alice\0"
                                  "192.0.2.1\0"
                                  "p w";
    gsize size;
    Bench bench;
    bench_init(&bench, "cat > request; echo \"$*\" > arguments; printf Alice");
    start(&bench, "/some/where");
    g_main_loop_run(bench.loop);
    g_assert_true(bench.allowed);
    g_assert_cmpstr(bench.user, ==, "Alice");
    g_assert_null(bench.reason);
    g_autofree char *sent = read_file(&bench, "request", &size);
    g_assert_cmpmem(sent, size, request, sizeof request);
    g_autofree char *arguments = read_file(&bench, "arguments", NULL);
    g_assert_cmpstr(arguments, ==, "--confdir /some/where\n");
    bench_clear(&bench);
}

static void test_refused(void)
{
    check_answer("cat > /dev/null; echo authenticate: no >&2; exit 1", NULL,
                 "PAM refuses: authenticate: no");
    check_answer("exit 1", NULL, "PAM refuses: rdpusb-pam exited with status 1");
    check_answer("printf alice; exit 1", NULL, "PAM refuses: rdpusb-pam exited with status 1");
    check_answer("echo no file >&2; exit 2", NULL, "PAM cannot tell: no file");
    check_answer("printf alice; exit 77", NULL,
                 "PAM cannot tell: rdpusb-pam exited with status 77");
    check_answer("printf alice; kill -SEGV $$", NULL,
                 "rdpusb-pam was killed by signal 11 (Segmentation fault)");
}

static void test_no_name(void)
{
    const char *problem = "PAM has no usable name for the user";
    check_answer("exit 0", NULL, problem);
    check_answer("printf 'a\\tb'", NULL, problem);
    check_answer("printf '\\nstaff'", NULL, problem);
    check_answer("head -c 257 /dev/zero | tr '\\0' x", NULL, problem);
    check_answer("head -c 5000 /dev/zero | tr '\\0' x", NULL, problem);
}

static void test_groups(void)
{
    check_groups("printf 'Alice\\nstaff'", "Alice", "staff", NULL);
    check_groups("printf 'alice\\nstaff\\nDomain Users@corp\\nlehrkräfte'", "alice",
                 "staff,Domain Users@corp,lehrkräfte", NULL);
    g_autofree char *most = g_strnfill(2 * 1024 - 1, 'g');
    for (gsize i = 1; most[i]; i += 2)
        most[i] = ',';
    check_groups("printf alice; for i in $(seq 1024); do printf '\\ng'; done", "alice", most, NULL);
    check_answer("printf 'alice\\nstaff'; exit 1", NULL,
                 "PAM refuses: rdpusb-pam exited with status 1");
}

static void test_no_groups(void)
{
    const char *problem = "a group of the user has no usable name";
    const char *no_text = "the names of the user and the groups are too long, or no text";
    check_answer("echo alice", NULL, problem);
    check_answer("printf 'alice\\n\\nstaff'", NULL, problem);
    check_answer("printf 'alice\\nstaff\\n'", NULL, problem);
    check_answer("printf 'alice\\nst\\taff'", NULL, problem);
    check_answer("echo alice; head -c 257 /dev/zero | tr '\\0' x", NULL, problem);
    check_answer("printf 'a\\377'", NULL, no_text);
    check_answer("printf 'a\\000b'", NULL, no_text);
    check_answer("printf 'alice\\ns\\000'", NULL, no_text);
    check_answer("printf alice; head -c 65532 /dev/zero | tr '\\0' x", NULL, no_text);
    check_answer("printf alice; for i in $(seq 1025); do printf '\\ng'; done", NULL,
                 "the user is in too many groups");
}

static void test_time_limit(void)
{
    static const char *const scripts[] = {"exec sleep 60", "printf alice; exec sleep 60",
                                          "exec yes", "exec yes >&2"};
    for (gsize i = 0; i < G_N_ELEMENTS(scripts); i++) {
        Bench bench;
        bench_init(&bench, scripts[i]);
        start(&bench, NULL);
        pam_check_set_time_limit(bench.check, 100);
        g_main_loop_run(bench.loop);
        g_assert_false(bench.allowed);
        g_assert_cmpstr(bench.reason, ==, "PAM took longer than 100 ms");
        bench_clear(&bench);
    }
}

/* Who frees a check hears no more of it, and the process is gone: nobody holds the pipe any more.
 */
static void test_free(void)
{
    Bench bench;
    char bytes[8];
    bench_init(&bench, "exec 3> pipe; echo >&3; exec sleep 60");
    g_autofree char *path = g_build_filename(bench.folder, "pipe", NULL);
    g_assert_cmpint(mkfifo(path, 0600), ==, 0);
    start(&bench, NULL);
    int pipe = open(path, O_RDONLY);
    g_assert_cmpint(read(pipe, bytes, sizeof bytes), ==, 1);
    g_clear_pointer(&bench.check, pam_check_free);
    g_assert_cmpint(read(pipe, bytes, sizeof bytes), ==, 0);
    close(pipe);
    g_unlink(path);
    bench_clear(&bench);
    g_assert_cmpuint(bench.calls, ==, 0);
}

static void check_impossible(const char *program, const char *user, const char *password,
                             const char *expected)
{
    g_autoptr(GError) error = NULL;
    g_assert_null(pam_check_new(program, NULL, user, "192.0.2.1", password, on_done, NULL, &error));
    g_assert_nonnull(error);
    g_assert_nonnull(strstr(error->message, expected));
}

static void test_impossible(void)
{
    g_autofree char *text = g_strnfill(2000, 'x');
    check_impossible("/nonexistent/rdpusb-pam", "alice", "x", "No such file");
    check_impossible("/bin/true", "alice", text, "the password is longer than 1024 bytes");
    check_impossible("/bin/true", text, "x", "the user's name is longer than 256 bytes");
    const char *unprintable = "the user's name has characters that cannot be printed";
    check_impossible("/bin/true", "alice\nadmins", "x", unprintable);
    check_impossible("/bin/true", "alice\x7f", "x", unprintable);
    check_impossible("/bin/true", "alice\xc2\x85", "x", unprintable); /* U+0085, the next line */
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    signal(SIGPIPE, SIG_IGN); /* as in the broker */
    g_test_add_func("/pam-check/allowed", test_allowed);
    g_test_add_func("/pam-check/refused", test_refused);
    g_test_add_func("/pam-check/no-name", test_no_name);
    g_test_add_func("/pam-check/groups", test_groups);
    g_test_add_func("/pam-check/no-groups", test_no_groups);
    g_test_add_func("/pam-check/time-limit", test_time_limit);
    g_test_add_func("/pam-check/free", test_free);
    g_test_add_func("/pam-check/impossible", test_impossible);
    return g_test_run();
}
