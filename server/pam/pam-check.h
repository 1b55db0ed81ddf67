/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One login that PAM decides about, in a process of its own: rdpusb-pam. It has PAM_CHECK_SECONDS
 * for it. The password is not kept: it is gone from here before pam_check_new() returns.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>

#define PAM_CHECK_SECONDS 30

typedef struct PamCheck PamCheck;

/* Called once, from the main loop, and never after pam_check_free(), which it may call. `reason`:
 * why not, for the log alone; NULL if allowed. `canonical_user`: who the user is to PAM, in UTF-8;
 * NULL if not allowed. `groups`: the system's of this user, ends with NULL; NULL if not allowed.
 * All of it ends with the call. */
typedef void (*PamCheckDone)(void *owner, bool allowed, const char *canonical_user,
                             const char *const *groups, const char *reason);

/* `program`: the path of rdpusb-pam. `confdir`: where the service's file is, NULL for the system's
 * folders. `user`: in UTF-8. NULL: the program does not start, a text is too long (protocol.h), or
 * `user` has characters that cannot be printed. */
PamCheck *pam_check_new(const char *program, const char *confdir, const char *user,
                        const char *address, const char *password, PamCheckDone done, void *owner,
                        GError **error);
/* Ends the process if it still runs. Accepts NULL. */
void pam_check_free(PamCheck *check);

/* Less time than PAM_CHECK_SECONDS, from now on. */
void pam_check_set_time_limit(PamCheck *check, unsigned milliseconds);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(PamCheck, pam_check_free)
