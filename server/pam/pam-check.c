/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pam-check.h"

#include "log.h"
#include "protocol.h"

#include <gio/gio.h>
#include <string.h>

#define MAX_ERRORS 1024 /* bytes */

typedef struct {
    PamCheck *check;
    char *bytes; /* ends with NUL once it is read */
    gsize size;
} Answer;

/* Its callbacks hold a reference each, for they also come after pam_check_free(). */
struct PamCheck {
    GSubprocess *subprocess;
    GCancellable *cancellable;
    PamCheckDone done; /* NULL when it was called, or must not be any more */
    void *owner;
    guint timeout;
    unsigned limit;   /* ms */
    unsigned pending; /* what the answer still needs: both outputs, and the end */
    Answer output, errors;
};

static void clear(void *data)
{
    PamCheck *check = data;
    g_object_unref(check->subprocess);
    g_object_unref(check->cancellable);
    g_free(check->output.bytes);
    g_free(check->errors.bytes);
}

static void unref(PamCheck *check)
{
    g_rc_box_release_full(check, clear);
}

/* Nothing more is wanted of the process. */
static void stop(PamCheck *check)
{
    check->done = NULL;
    g_clear_handle_id(&check->timeout, g_source_remove);
    g_subprocess_force_exit(check->subprocess);
    g_cancellable_cancel(check->cancellable);
}

/* The owner may free the check: nothing of it may be used after. */
static void tell(PamCheck *check, const char *user, const char *const *groups, const char *reason)
{
    PamCheckDone done = check->done;
    stop(check);
    if (done)
        done(check->owner, user != NULL, user, groups, reason);
}

static void tell_problem(PamCheck *check, const char *reason)
{
    tell(check, NULL, NULL, reason);
}

static gboolean on_timeout(gpointer data)
{
    PamCheck *check = data;
    g_autofree char *reason = g_strdup_printf("PAM took longer than %u ms", check->limit);
    check->timeout = 0;
    tell_problem(check, reason);
    return G_SOURCE_REMOVE;
}

/* --- the answer --- */

static bool is_printable(const char *text)
{
    while (*text && g_unichar_isprint(g_utf8_get_char(text)))
        text = g_utf8_next_char(text);
    return !*text;
}

static bool is_name(const char *text, gsize max)
{
    return *text && strlen(text) <= max && is_printable(text);
}

static char *describe_end(const PamCheck *check)
{
    GSubprocess *subprocess = check->subprocess;
    if (!g_subprocess_get_if_exited(subprocess)) {
        int number = g_subprocess_get_term_sig(subprocess);
        return g_strdup_printf("rdpusb-pam was killed by signal %d (%s)", number,
                               g_strsignal(number));
    }
    int status = g_subprocess_get_exit_status(subprocess);
    g_autofree char *text = g_strchomp(g_utf8_make_valid(check->errors.bytes, -1));
    const char *kind = status == CHECK_DENIED ? "PAM refuses" : "PAM cannot tell";
    if (*text)
        return g_strdup_printf("%s: %s", kind, text);
    return g_strdup_printf("%s: rdpusb-pam exited with status %d", kind, status);
}

/* What is wrong with the name of the user and those of the groups; NULL if nothing is. */
static const char *names_problem(char *const *names)
{
    gsize n = 0;
    if (!names[0] || !is_name(names[0], CHECK_MAX_USER))
        return "PAM has no usable name for the user";
    for (char *const *group = names + 1; *group; group++) {
        if (!is_name(*group, CHECK_MAX_GROUP))
            return "a group of the user has no usable name";
        if (++n > CHECK_MAX_GROUPS)
            return "the user is in too many groups";
    }
    return NULL;
}

static void take_answer(PamCheck *check, const Answer *output)
{
    if (output->size > CHECK_MAX_ANSWER || !g_utf8_validate(output->bytes, output->size, NULL)) {
        tell_problem(check, "the names of the user and the groups are too long, or no text");
        return;
    }
    g_auto(GStrv) names = g_strsplit(output->bytes, "\n", -1);
    const char *problem = names_problem(names);
    if (problem)
        tell_problem(check, problem);
    else
        tell(check, names[0], (const char *const *) names + 1, NULL);
}

static void finish(PamCheck *check)
{
    if (g_subprocess_get_successful(check->subprocess)) {
        take_answer(check, &check->output);
    } else {
        g_autofree char *reason = describe_end(check);
        tell_problem(check, reason);
    }
}

static void one_less(PamCheck *check)
{
    if (--check->pending == 0 && check->done)
        finish(check);
    unref(check);
}

static void on_ended(GObject *source, GAsyncResult *result, gpointer data)
{
    PamCheck *check = data;
    g_autoptr(GError) error = NULL;
    if (!g_subprocess_wait_finish(G_SUBPROCESS(source), result, &error) && check->done)
        tell_problem(check, error->message);
    one_less(check);
}

static void on_read(GObject *source, GAsyncResult *result, gpointer data)
{
    Answer *answer = data;
    PamCheck *check = answer->check;
    g_autoptr(GError) error = NULL;
    bool read =
        g_input_stream_read_all_finish(G_INPUT_STREAM(source), result, &answer->size, &error);
    answer->bytes[answer->size] = '\0';
    if (!read && check->done)
        tell_problem(check, error->message);
    one_less(check);
}

static void begin_read(PamCheck *check, GInputStream *stream, Answer *answer, gsize max)
{
    answer->check = g_rc_box_acquire(check);
    answer->bytes = g_malloc0(max + 1);
    check->pending++;
    g_input_stream_read_all_async(stream, answer->bytes, max, G_PRIORITY_DEFAULT,
                                  check->cancellable, on_read, answer);
}

static void begin(PamCheck *check)
{
    begin_read(check, g_subprocess_get_stdout_pipe(check->subprocess), &check->output,
               CHECK_MAX_ANSWER + 1); /* to see that it is longer */
    begin_read(check, g_subprocess_get_stderr_pipe(check->subprocess), &check->errors, MAX_ERRORS);
    check->pending++;
    g_subprocess_wait_async(check->subprocess, check->cancellable, on_ended,
                            g_rc_box_acquire(check));
    pam_check_set_time_limit(check, PAM_CHECK_SECONDS * 1000);
}

/* --- the request --- */

static bool check_length(const char *text, gsize max, const char *what, GError **error)
{
    if (strlen(text) <= max)
        return true;
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                "the %s is longer than %" G_GSIZE_FORMAT " bytes", what, max);
    return false;
}

/* A newline would make a group of what stands behind it, if a module lets it pass. */
static bool check_printable(const char *text, const char *what, GError **error)
{
    if (is_printable(text))
        return true;
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                "the %s has characters that cannot be printed", what);
    return false;
}

/* What PAM's modules see of the broker's environment. */
static GSubprocess *spawn(const char *program, const char *confdir, GError **error)
{
    static const char *const kept[] = {"LANG",         "LC_ALL",        "TZ",
                                       "ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS"};
    g_autoptr(GSubprocessLauncher) launcher =
        g_subprocess_launcher_new(G_SUBPROCESS_FLAGS_STDIN_PIPE | G_SUBPROCESS_FLAGS_STDOUT_PIPE |
                                  G_SUBPROCESS_FLAGS_STDERR_PIPE);
    g_auto(GStrv) environment =
        g_environ_setenv(NULL, "PATH", "/usr/sbin:/usr/bin:/sbin:/bin", TRUE);
    for (gsize i = 0; i < G_N_ELEMENTS(kept); i++) {
        const char *value = g_getenv(kept[i]);
        if (value)
            environment = g_environ_setenv(environment, kept[i], value, TRUE);
    }
    g_subprocess_launcher_set_environ(launcher, environment);
    return g_subprocess_launcher_spawn(launcher, error, program, confdir ? "--confdir" : NULL,
                                       confdir, NULL);
}

static gsize append(char *request, gsize at, const char *text)
{
    gsize size = strlen(text) + 1;
    memcpy(request + at, text, size);
    return at + size;
}

/* A pipe that nobody has written to takes it at once, so nothing of it is left in a queue. */
G_STATIC_ASSERT(CHECK_MAX_REQUEST <= 4096);

static bool send_request(GSubprocess *subprocess, const char *user, const char *address,
                         const char *password, GError **error)
{
    char request[CHECK_MAX_REQUEST];
    GOutputStream *pipe = g_subprocess_get_stdin_pipe(subprocess);
    gsize size = append(request, 0, user);
    size = append(request, size, address);
    size = append(request, size, password);
    g_autoptr(GError) problem = NULL;
    g_output_stream_write_all(pipe, request, size, NULL, NULL, &problem);
    g_output_stream_close(pipe, NULL, problem ? NULL : &problem);
    explicit_bzero(request, sizeof request);
    if (!problem || g_error_matches(problem, G_IO_ERROR, G_IO_ERROR_BROKEN_PIPE))
        return true; /* how it ended will say more */
    g_propagate_error(error, g_steal_pointer(&problem));
    return false;
}

PamCheck *pam_check_new(const char *program, const char *confdir, const char *user,
                        const char *address, const char *password, PamCheckDone done, void *owner,
                        GError **error)
{
    if (!check_length(user, CHECK_MAX_USER, "user's name", error) ||
        !check_printable(user, "user's name", error) ||
        !check_length(address, CHECK_MAX_ADDRESS, "client's address", error) ||
        !check_length(password, CHECK_MAX_PASSWORD, "password", error))
        return NULL;
    g_autoptr(GSubprocess) subprocess = spawn(program, confdir, error);
    if (!subprocess)
        return NULL;
    if (!send_request(subprocess, user, address, password, error)) {
        g_subprocess_force_exit(subprocess);
        return NULL;
    }
    PamCheck *check = g_rc_box_new0(PamCheck);
    check->subprocess = g_steal_pointer(&subprocess);
    check->cancellable = g_cancellable_new();
    check->done = done;
    check->owner = owner;
    begin(check);
    return check;
}

void pam_check_set_time_limit(PamCheck *check, unsigned milliseconds)
{
    if (!check->done)
        return;
    g_clear_handle_id(&check->timeout, g_source_remove);
    check->limit = milliseconds;
    check->timeout = g_timeout_add(milliseconds, on_timeout, check);
}

void pam_check_free(PamCheck *check)
{
    if (!check)
        return;
    stop(check);
    unref(check);
}
