/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ISOCH_TRANSFER ([MS-RDPEUSB] 2.2.9) and its result (2.2.10). */
#pragma once

#include <rdpusb/urbdrc.h>
#include <wire/completion.h>

/* A URB of `n_packets` packets of `packet_size` bytes; `packets` has room for them, and is viewed
 * by it. */
void urbdrc_isoch(WireUrb *urb, WireIsoPacket *packets, uint32_t pipe_handle, uint32_t packet_size,
                  unsigned n_packets, bool in);

/* Fills `packets`, room for `n_packets`, the number and the size asked for. False when the result
 * is malformed: another number, or more bytes than fit or came. No packets at all are a transfer
 * that failed as a whole: *failed. */
bool urbdrc_isoch_result(const WireUrbCompletion *m, uint32_t packet_size, unsigned n_packets,
                         bool in, RdpusbIsochPacket *packets, bool *failed);
