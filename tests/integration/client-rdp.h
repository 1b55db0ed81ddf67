/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The connection of an RDP client without a screen: FreeRDP's core does the login, and of the
 * virtual channels there is drdynvc alone, whose PDUs are left to the caller. One thread.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct ClientRdp ClientRdp;

/* One whole PDU came on drdynvc. May send, must not free. */
typedef void (*ClientRdpReceived)(const uint8_t *pdu, size_t size, void *data);

typedef struct {
    const char *server; /* ADDRESS:PORT */
    const char *user, *password;
    bool has_drdynvc;
    ClientRdpReceived received;
    void *data;
} ClientRdpOptions;

/* Logs in; waits for that. */
ClientRdp *client_rdp_new(const ClientRdpOptions *options, GError **error);
/* Says goodbye first, if there still is a connection. Accepts NULL. */
void client_rdp_free(ClientRdp *rdp);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ClientRdp, client_rdp_free)

/* Serves the connection until fd (or -1) is readable, at most until `deadline` of the monotonic
 * clock, and at most once: the caller looks what has come. True if fd is readable. */
bool client_rdp_serve(ClientRdp *rdp, int fd, int64_t deadline);

/* Why the connection is over; NULL while it is not. */
const char *client_rdp_end(const ClientRdp *rdp);

/* Sends one PDU on drdynvc. False if there is no connection, or no such channel. */
bool client_rdp_send(ClientRdp *rdp, const uint8_t *pdu, size_t size);
/* Sends one chunk of a PDU of `total` bytes, with CHANNEL_FLAG_FIRST 1 and LAST 2 as given:
 * [MS-RDPBCGR] 2.2.6.1.1. */
bool client_rdp_send_chunk(ClientRdp *rdp, uint32_t total, uint32_t flags, const uint8_t *data,
                           size_t size);
