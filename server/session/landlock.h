/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Landlock (landlock(7)): what files, TCP ports and processes outside this thread can reach. Each
 * call restricts further what the one before left. Uses what the running kernel has, and is no
 * error on one that has nothing.
 */
#pragma once

#include <stdbool.h>

/* The version of the kernel's interface, 0 without one. */
int landlock_abi(void);

/* Files can be read below the few folders that libraries need; no TCP, no signals to others, no
 * abstract sockets of others. For this thread and all that it starts. False: errno. */
bool landlock_libraries_only(void);

/* No files at all, for this thread and those that it starts from here on. False: errno. */
bool landlock_nothing(void);
