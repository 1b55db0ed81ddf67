/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "guard.h"

#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <glib.h>

/* A main loop that has not come round for so long never will. */
#define STUCK_SECONDS 60
#define PROBE_SECONDS 15

static const char *volatile overdue = "";
static guint probe;

static void exit_at_once(int signal)
{
    _exit(0);
}

static void exit_overdue(int signal)
{
    const char *text = overdue;
    if (write(STDERR_FILENO, text, strlen(text)) < 0)
        _exit(2);
    _exit(1);
}

static void handle(int signal, void (*handler)(int))
{
    struct sigaction action = {.sa_handler = handler};
    sigaction(signal, &action, NULL);
}

void guard_login(unsigned seconds)
{
    overdue = "rdpusb-session: warning: the client did not log in in time: connection ended\n";
    handle(SIGALRM, exit_overdue);
    handle(SIGTERM, exit_at_once);
    handle(SIGINT, exit_at_once);
    alarm(seconds);
}

static gboolean on_probe(gpointer data)
{
    alarm(STUCK_SECONDS);
    return G_SOURCE_CONTINUE;
}

void guard_release(void)
{
    overdue = "rdpusb-session: error: the main loop was stuck: connection ended\n";
    probe = g_timeout_add_seconds(PROBE_SECONDS, on_probe, NULL);
    alarm(STUCK_SECONDS);
}

void guard_end(unsigned seconds)
{
    overdue = "rdpusb-session: error: the session did not end in time: exiting\n";
    g_clear_handle_id(&probe, g_source_remove);
    alarm(seconds);
}
