/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The system calls of a session that serves (seccomp(2)), for all threads of the process.
 *
 * A call is allowed; or it fails as if there were no file of that name, or as forbidden, which
 * libraries take as it is; or, when only an attacker would make it, it kills the process, and
 * rdpusbd logs "was killed by signal 31 (Bad system call)". Any other one, also one that a newer C
 * library may try, fails as on a kernel that does not have it.
 */
#pragma once

/* 0, or a negative errno. */
int system_calls_restrict(void);
