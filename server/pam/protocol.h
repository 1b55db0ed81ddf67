/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the broker and rdpusb-pam say to each other. The broker writes the user's name, the client's
 * address and the password to standard input, each ended by NUL. The answer is the exit status.
 * With CHECK_ALLOWED, standard output has the name that PAM knows the user by, and the names of the
 * groups that the system knows of this user, separated by newlines, which no name has in it;
 * otherwise standard error has a line that says why, for the log.
 */
#pragma once

#define CHECK_SERVICE "rdpusb"

#define CHECK_MAX_USER     256 /* bytes, without the NUL */
#define CHECK_MAX_ADDRESS  128
#define CHECK_MAX_PASSWORD 1024
#define CHECK_MAX_REQUEST  (CHECK_MAX_USER + CHECK_MAX_ADDRESS + CHECK_MAX_PASSWORD + 3)

#define CHECK_MAX_GROUPS 1024
#define CHECK_MAX_GROUP  256         /* bytes of a name */
#define CHECK_MAX_ANSWER (64 * 1024) /* bytes */

#define CHECK_ALLOWED 0
#define CHECK_DENIED  1
#define CHECK_BROKEN  2 /* PAM could not tell */
