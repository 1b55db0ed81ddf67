/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The sandbox of this process: what is left to a client that took it over.
 *
 * Two steps, both before the first byte of the client is read. sandbox_begin() makes it a user
 * without rights, who may read the files that libraries need and nothing else. Then everything is
 * loaded that will ever be needed (prepare.h). sandbox_seal() takes the files too, and all system
 * calls but those that a session needs to talk to whom it is connected with.
 *
 * A step that fails ends the process: there is no session in half a sandbox. Landlock alone may be
 * missing from a kernel; what it forbids is forbidden by the sealed process' system calls too.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>

/* A build with sanitizers keeps its user and its system calls: they open files, look into /proc and
 * trace their own process. What is left there is PR_SET_NO_NEW_PRIVS, and the limits. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANDBOX_FOR_SANITIZER 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(SANDBOX_FOR_SANITIZER)
#define SANDBOX_IS_COMPLETE false
#else
#define SANDBOX_IS_COMPLETE true
#endif

/* Set by the broker when it is root: the user and group id, a number, that this process takes. */
#define SANDBOX_USER_VARIABLE "RDPUSB_SESSION_USER"

/* Before any thread exists. Root has to have been given another user, to whom it changes. */
bool sandbox_begin(GError **error);

/* For all threads. Nothing is opened, connected, executed or started after it. */
bool sandbox_seal(GError **error);
