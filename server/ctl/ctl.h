/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A group of commands: argv[0] is its name. Returns the exit status. */
int ctl_user(int argc, char **argv);
int ctl_policy(int argc, char **argv);
