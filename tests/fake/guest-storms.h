/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Requests that are cancelled at random: right after submission, and a little later, when answers
 * are on their way. Their ids are free at once, and the next requests use them again. What was not
 * cancelled has to arrive whole, once and in order. Repeatable as far as timing allows. */
#pragma once

#include "guest-socket.h"

/* Bulk IN requests of @length bytes for words that count up; cancelled ones may have taken words
 * with them. An endpoint that sends nothing will do. */
bool guest_storm_in(GuestSocket *socket, uint8_t endpoint, guint rounds, uint32_t length,
                    GString *result, GError **error);

/* Bulk OUT packets to a loopback, which is read meanwhile; a cancelled one may arrive or not. */
bool guest_storm_out(GuestSocket *socket, uint8_t out, uint8_t in, guint rounds, GString *result,
                     GError **error);
