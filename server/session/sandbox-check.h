/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * rdpusb-session --check-sandbox: enters the sandbox as a session does, and tries what it forbids.
 */
#pragma once

/* Prints TAP to standard output. Returns the exit status: 0 when everything was refused. */
int sandbox_check(void);
