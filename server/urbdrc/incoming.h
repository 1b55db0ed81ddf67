/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The first look at a message of the client, the same on every channel.
 */
#pragma once

#include <glib.h>

#include <rdpusb/urbdrc.h>
#include <wire/message.h>

/*
 * Decodes data into *m. A message that the server has no use for gets kind WIRE_MESSAGE_UNKNOWN: it
 * is to be ignored ([MS-RDPEUSB] 3.1.5). False, and RDPUSB_URBDRC_ERROR_MALFORMED, when the bytes
 * are no message, or not the one that they begin as; `state` is the channel's, for the text.
 * `request_completion` as for wire_kind_from_client().
 */
bool urbdrc_incoming_read(WireMessage *m, const uint8_t *data, size_t size,
                          uint32_t request_completion, const char *state, GError **error);
