/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * rdpusbctl: what an administrator does from a shell. A file for each group of commands.
 */
#pragma once

#define CTL_DONE      0
#define CTL_FAILED    1 /* it could not be done; nothing was changed */
#define CTL_BAD_USAGE 2 /* the command line was wrong */

/* A group of commands: argv[0] is its name. Returns the exit status. */
int ctl_user(int argc, char **argv);
int ctl_policy(int argc, char **argv);
