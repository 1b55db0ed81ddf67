/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "session-process.h"

#include <gio/gio.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* The program takes this user before it has read a byte: it is started as root, since it may be in
 * a folder that others cannot enter. */
#define USER_VARIABLE "RDPUSB_SESSION_USER"

#define MAX_OPEN_FILES 1024
/* Beside its data, a process maps its libraries and reserves address space for threads. */
#define MAPPINGS_BYTES (G_GUINT64_CONSTANT(1) << 30)

/* A sanitizer reserves terabytes of shadow memory, and writes reports to files. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define UNDER_SANITIZER 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(UNDER_SANITIZER)
#define LIMITED false
#else
#define LIMITED true
#endif

struct SessionProcess {
    GSubprocess *subprocess;
    GCancellable *cancellable;
    SessionProcessEnded ended;
    void *owner;
};

static void set_limit(__rlimit_resource_t resource, rlim_t value)
{
    struct rlimit limit;
    if (getrlimit(resource, &limit) == 0 &&
        (limit.rlim_max == RLIM_INFINITY || limit.rlim_max > value))
        limit.rlim_max = value;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(resource, &limit) != 0)
        _exit(127);
}

/* A log that is a file is written by sessions too, and grows beyond any limit of theirs. */
static bool log_is_file(void)
{
    struct stat status;
    return fstat(STDERR_FILENO, &status) == 0 && S_ISREG(status.st_mode);
}

/* In the child, between fork and exec: system calls only. Limits that hang on no setting are set by
 * the program itself, see server/session/sandbox.c. */
static void restrict_child(gpointer data)
{
    const SessionProcessLimits *limits = data;
    setsid();                         /* a Ctrl-C at the daemon is the daemon's to pass on */
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* without its broker, nobody could end it */
    set_limit(RLIMIT_CORE, 0);        /* it holds a private key, and what users type */
    set_limit(RLIMIT_NOFILE, MAX_OPEN_FILES);
    if (LIMITED && !log_is_file())
        set_limit(RLIMIT_FSIZE, limits->file_size);
    if (LIMITED && limits->memory > 0) {
        set_limit(RLIMIT_DATA, limits->memory);
        set_limit(RLIMIT_AS, limits->memory + MAPPINGS_BYTES);
    }
}

static char **child_environment(uid_t user)
{
    static const char *const kept[] = {
        "LANG",         "LC_ALL",     "TZ",          "ASAN_OPTIONS",    "UBSAN_OPTIONS",
        "LSAN_OPTIONS", "WLOG_LEVEL", "WLOG_FILTER", "LD_LIBRARY_PATH", "G_DEBUG"};
    /* FreeRDP does not start without a home, though a server keeps nothing there. */
    char **environment = g_environ_setenv(NULL, "HOME", "/nonexistent", TRUE);
    /* A session's keys of Kerberos are in its memory, and there is no KDC for it. There can be no
     * file against replays either, nor has it to be: CredSSP binds each exchange to its TLS
     * connection ([MS-CSSP] 3.1.5, step 3), by the key that a replay does not know. */
    environment = g_environ_setenv(environment, "KRB5_CONFIG", "/dev/null", TRUE);
    environment = g_environ_setenv(environment, "KRB5RCACHENAME", "none:", TRUE);
    for (gsize i = 0; i < G_N_ELEMENTS(kept); i++) {
        const char *value = g_getenv(kept[i]);
        if (value)
            environment = g_environ_setenv(environment, kept[i], value, TRUE);
    }
    if (user != 0) {
        g_autofree char *number = g_strdup_printf("%u", user);
        environment = g_environ_setenv(environment, USER_VARIABLE, number, TRUE);
    }
    return environment;
}

static char *describe_end(GSubprocess *subprocess)
{
    if (g_subprocess_get_if_exited(subprocess))
        return g_strdup_printf("exited with status %d", g_subprocess_get_exit_status(subprocess));
    int number = g_subprocess_get_term_sig(subprocess);
    return g_strdup_printf("was killed by signal %d (%s)", number, strsignal(number));
}

static void on_ended(GObject *source, GAsyncResult *result, gpointer data)
{
    SessionProcess *process = data;
    g_autoptr(GError) error = NULL;
    g_subprocess_wait_finish(G_SUBPROCESS(source), result, &error);
    if (g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
        return; /* process is freed */
    g_autofree char *reason = describe_end(process->subprocess);
    process->ended(process->owner, reason, !g_subprocess_get_successful(process->subprocess));
}

SessionProcess *session_process_new(const char *program, int client_fd, int link_fd,
                                    const SessionProcessLimits *limits, SessionProcessEnded ended,
                                    void *owner, GError **error)
{
    g_autoptr(GSubprocessLauncher) launcher = g_subprocess_launcher_new(G_SUBPROCESS_FLAGS_NONE);
    g_auto(GStrv) environment = child_environment(limits->user);
    g_subprocess_launcher_set_environ(launcher, environment);
    g_subprocess_launcher_take_fd(launcher, client_fd, SESSION_CLIENT_FD);
    g_subprocess_launcher_take_fd(launcher, link_fd, SESSION_LINK_FD);
    /* Our standard output is for `listening on` alone. */
    g_subprocess_launcher_take_stdout_fd(launcher, dup(STDERR_FILENO));
    g_subprocess_launcher_set_child_setup(launcher, restrict_child, (gpointer) limits, NULL);
    g_autoptr(GSubprocess) subprocess = g_subprocess_launcher_spawn(launcher, error, program, NULL);
    if (!subprocess)
        return NULL;
    SessionProcess *process = g_new0(SessionProcess, 1);
    process->subprocess = g_steal_pointer(&subprocess);
    process->cancellable = g_cancellable_new();
    process->ended = ended;
    process->owner = owner;
    g_subprocess_wait_async(process->subprocess, process->cancellable, on_ended, process);
    return process;
}

void session_process_free(SessionProcess *process)
{
    if (!process)
        return;
    g_cancellable_cancel(process->cancellable);
    g_subprocess_force_exit(process->subprocess); /* nothing happens to one that has ended */
    g_object_unref(process->cancellable);
    g_object_unref(process->subprocess);
    g_free(process);
}

const char *session_process_id(const SessionProcess *process)
{
    const char *id = g_subprocess_get_identifier(process->subprocess);
    return id ? id : "ended";
}

void session_process_terminate(SessionProcess *process)
{
    g_subprocess_send_signal(process->subprocess, SIGTERM);
}

void session_process_kill(SessionProcess *process)
{
    g_subprocess_force_exit(process->subprocess);
}
