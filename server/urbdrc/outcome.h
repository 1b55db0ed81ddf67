/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a URB_COMPLETION means for the request that it answers: which of its three statuses counts,
 * and how much of its data is real.
 */
#pragma once

#include "request-table.h"
#include <wire/completion.h>

/* Where the lists of an event point. */
typedef struct {
    RdpusbPipe pipes[RDPUSB_MAX_PIPES];
    RdpusbIsochPacket packets[RDPUSB_MAX_ISOCH_PACKETS];
} UrbdrcLists;

/* Fills the status, data, pipes and packets of *event; data is a view of what *m views, the lists
 * are in *lists. *m is put right where a client garbled it; *is_garbled says so. False when the
 * result is malformed. */
bool urbdrc_outcome(const UrbdrcRequest *request, WireUrbCompletion *m, UrbdrcLists *lists,
                    RdpusbDeviceEvent *event, bool *is_garbled);
