/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One running rdpusb-session. Lives in the main context.
 *
 * The process gets the client's socket as descriptor 3, the link to the broker as 4, standard error
 * for its log, an environment of a few harmless variables, and limits; nothing else is open in it.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <sys/types.h>

#define SESSION_CLIENT_FD 3
#define SESSION_LINK_FD   4

typedef struct SessionProcess SessionProcess;

/* `reason`: "exited with status 1", "was killed by signal 9 (Killed)"; status 0 is no failure. */
typedef void (*SessionProcessEnded)(void *owner, const char *reason, bool failed);

typedef struct {
    uid_t user;        /* which it takes, with the group of the same number; 0: it keeps ours */
    guint64 memory;    /* bytes, 0 is no limit */
    guint64 file_size; /* bytes of a file that it can write; 0: it writes none */
} SessionProcessLimits;

/* Takes both descriptors, on failure too. */
SessionProcess *session_process_new(const char *program, int client_fd, int link_fd,
                                    const SessionProcessLimits *limits, SessionProcessEnded ended,
                                    void *owner, GError **error);
/* Kills it if it still runs. Accepts NULL. */
void session_process_free(SessionProcess *process);

/* For the log. */
const char *session_process_id(const SessionProcess *process);
/* SIGTERM: it ends in order. `ended` follows, or not, if it hangs. */
void session_process_terminate(SessionProcess *process);
/* SIGKILL; `ended` follows. */
void session_process_kill(SessionProcess *process);
