/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "password.h"

#include "text-file.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

static const int fatal_signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP};
static volatile sig_atomic_t caught;

static void on_signal(int number)
{
    caught = number;
}

/* What is put back when the password has been typed. */
typedef struct {
    struct termios settings;
    sigset_t mask;
    struct sigaction actions[G_N_ELEMENTS(fatal_signals)];
} Terminal;

/* Signals only arrive while we wait, so none can come between a look and a wait. */
static void catch_signals(Terminal *terminal)
{
    const struct sigaction action = {.sa_handler = on_signal};
    sigset_t mask;
    sigemptyset(&mask);
    for (gsize i = 0; i < G_N_ELEMENTS(fatal_signals); i++)
        sigaddset(&mask, fatal_signals[i]);
    sigprocmask(SIG_BLOCK, &mask, &terminal->mask);
    caught = 0;
    for (gsize i = 0; i < G_N_ELEMENTS(fatal_signals); i++) {
        sigaction(fatal_signals[i], NULL, &terminal->actions[i]);
        if (terminal->actions[i].sa_handler != SIG_IGN)
            sigaction(fatal_signals[i], &action, NULL);
    }
}

static void release_signals(const Terminal *terminal)
{
    for (gsize i = 0; i < G_N_ELEMENTS(fatal_signals); i++)
        sigaction(fatal_signals[i], &terminal->actions[i], NULL);
    sigprocmask(SIG_SETMASK, &terminal->mask, NULL);
    if (caught)
        raise(caught); /* ends us, or stops us until we are continued */
}

static bool hide(Terminal *terminal, GError **error)
{
    if (tcgetattr(STDIN_FILENO, &terminal->settings) == 0) {
        struct termios hidden = terminal->settings;
        hidden.c_lflag &= ~(tcflag_t) (ECHO | ECHONL);
        hidden.c_lflag |= ICANON | ISIG;
        if (tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden) == 0)
            return true;
    }
    g_set_error(error, INPUT_ERROR, 0, "cannot hide what is typed: %s", g_strerror(errno));
    return false;
}

/* A line, or what there is of it until `size`; -1 also after a signal. */
static ssize_t wait_and_read(const Terminal *terminal, char *line, size_t size)
{
    struct pollfd poll = {.fd = STDIN_FILENO, .events = POLLIN};
    ssize_t n = ppoll(&poll, 1, NULL, &terminal->mask);
    return n < 0 ? -1 : read(STDIN_FILENO, line, size);
}

/* Sets `again` if a signal stopped us meanwhile. */
static ssize_t ask_once(const char *prompt, char *line, size_t size, bool *again, GError **error)
{
    Terminal terminal;
    catch_signals(&terminal);
    ssize_t n = -1;
    if (hide(&terminal, error)) {
        fputs(prompt, stderr);
        n = wait_and_read(&terminal, line, size);
        int problem = errno;
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &terminal.settings);
        fputc('\n', stderr);
        if (n < 0 && !caught)
            g_set_error(error, INPUT_ERROR, 0, "cannot read the password: %s", g_strerror(problem));
    }
    *again = caught;
    release_signals(&terminal);
    return n;
}

/* One byte at a time: what follows the line is not for us. */
static ssize_t read_line(char *line, size_t size, GError **error)
{
    size_t n = 0;
    while (n < size && (n == 0 || line[n - 1] != '\n')) {
        ssize_t got = read(STDIN_FILENO, line + n, 1);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            g_set_error(error, INPUT_ERROR, 0, "cannot read the password from standard input: %s",
                        g_strerror(errno));
        if (got < 0)
            return -1;
        if (got == 0)
            break;
        n += (size_t) got;
    }
    return (ssize_t) n;
}

static bool check(const char *line, size_t n, GError **error)
{
    const char *problem = NULL;
    if (n == 0)
        problem = "there is no password: it is one line of standard input, or typed";
    else if (n > PASSWORD_MAX_BYTES)
        problem = "the password is longer than 1024 bytes";
    else if (!g_utf8_validate(line, (gssize) n, NULL))
        problem = "the password is no text in UTF-8";
    if (problem)
        g_set_error_literal(error, INPUT_ERROR, 0, problem);
    return !problem;
}

/* NULL prompt: from standard input that is no terminal. */
static char *read_password(const char *prompt, GError **error)
{
    char line[PASSWORD_MAX_BYTES + 2]; /* room for the end of the line, and for one byte too many */
    char *password = NULL;
    bool again = false;
    ssize_t n;
    do
        n = prompt ? ask_once(prompt, line, sizeof line, &again, error)
                   : read_line(line, sizeof line, error);
    while (again);
    if (n > 0 && line[n - 1] == '\n')
        n--;
    if (n >= 0 && check(line, (size_t) n, error))
        password = g_strndup(line, (gsize) n);
    explicit_bzero(line, sizeof line);
    return password;
}

char *password_read_new(const char *user, GError **error)
{
    if (!isatty(STDIN_FILENO))
        return read_password(NULL, error);
    g_autofree char *prompt = g_strdup_printf("New password of %s: ", user);
    char *password = read_password(prompt, error);
    char *repeated = password ? read_password("The same again: ", error) : NULL;
    bool same = repeated && strcmp(password, repeated) == 0;
    if (repeated && !same)
        g_set_error(error, INPUT_ERROR, 0, "the two passwords differ: nothing was changed");
    password_free(repeated);
    if (same)
        return password;
    password_free(password);
    return NULL;
}

void password_free(char *password)
{
    if (password)
        explicit_bzero(password, strlen(password));
    g_free(password);
}
