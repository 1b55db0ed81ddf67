/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a URB_COMPLETION means for the request that it answers: which of its three statuses counts,
 * and how much of its data is real.
 */
#pragma once

#include "request-table.h"
#include <wire/completion.h>

/* Fills the status, data and pipes of *event; data is a view of what *m views. `pipes` has room for
 * RDPUSB_MAX_PIPES, and is where event->pipes will point. *m is put right where a client garbled
 * it; *is_garbled says so. False when the result is malformed. */
bool urbdrc_outcome(const UrbdrcRequest *request, WireUrbCompletion *m, RdpusbPipe *pipes,
                    RdpusbDeviceEvent *event, bool *is_garbled);
