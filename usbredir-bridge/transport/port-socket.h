/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Opens the byte stream to one usb-redir device of a QEMU, by connecting to it or by listening for
 * it. Everything happens in the GMainContext that was the thread's default when it was created; no
 * call blocks.
 *
 * Connecting begins with the first request and is tried again, ever more slowly, until it succeeds
 * or the request is withdrawn. Listening begins at once: a QEMU that connects is held until it is
 * requested, and forgotten if it hangs up before; others wait in the backlog meanwhile. */
#pragma once

#include <glib.h>
#include <stdbool.h>

#include "address.h"

typedef struct TransportPortSocket TransportPortSocket;

typedef enum {
    TRANSPORT_PORT_IDLE,       /* nothing is requested (connecting only) */
    TRANSPORT_PORT_CONNECTING, /* the first try is under way */
    TRANSPORT_PORT_RETRYING,   /* it failed for the reason told, and will be tried again */
    TRANSPORT_PORT_LISTENING,  /* nobody is there */
    TRANSPORT_PORT_HOLDING,    /* somebody is, and was not requested yet */
} TransportPortState;

const char *transport_port_state_to_string(TransportPortState state);

typedef struct {
    /* A state or the reason for it is new; @text is a whole phrase for a log, borrowed. Not called
     * again for what was told last, nor for what a call or opened() implies. */
    void (*state)(void *data, TransportPortState state, const char *text);
    /* What was requested. @fd is the callee's: connected, non-blocking, close-on-exec. */
    void (*opened)(void *data, int fd);
} TransportPortEvents;

/* Fails only when it is to listen and cannot; the text says where and why. @events must live as
 * long as the socket; its callbacks come from the main loop, and may free the socket. */
TransportPortSocket *transport_port_socket_new(const TransportAddress *address,
                                               const TransportPortEvents *events, void *data,
                                               GError **error);

/* Ends what is under way and closes what was not taken; no callback comes any more. A unix socket
 * that was made for listening is removed. */
void transport_port_socket_free(TransportPortSocket *socket);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(TransportPortSocket, transport_port_socket_free)

/* Asks for one connection: opened() is called once, from the main loop. No effect while the last
 * request is not fulfilled. */
void transport_port_socket_request(TransportPortSocket *socket);
void transport_port_socket_withdraw(TransportPortSocket *socket);

/* Where it listens, with the port that the kernel chose for 0; where it connects to. */
const TransportAddress *transport_port_socket_get_address(const TransportPortSocket *socket);
