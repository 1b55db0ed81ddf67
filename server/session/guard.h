/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Ends the process when the main loop cannot: FreeRDP waits inside the TLS hand-shake for as long
 * as the client likes, and whatever else may ever block must not keep a client or a guest waiting.
 */
#pragma once

/* Until guard_release(): SIGTERM and SIGINT end the process at once, which is right while nobody
 * is logged in and no guest has to be told. After `seconds` it ends by itself. */
void guard_login(unsigned seconds);

/* From now on signals are the caller's, and the main loop has to be alive. */
void guard_release(void);

/* The process ends in `seconds` at the latest, whatever happens. */
void guard_end(unsigned seconds);
