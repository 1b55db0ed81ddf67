/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A fake guest at a real socket, as QEMU's chardev carries it: one connection at a time, a new
 * guest for each, opened again when it closes, read 4096 bytes at a time and always. Waits with
 * poll(), never beyond the deadline; its errors are of G_IO_ERROR:
 *
 *   TIMED_OUT          the deadline has passed
 *   CONNECTION_CLOSED  the device left, was rejected, or the peer closed
 *   FAILED             anything else, a packet on which QEMU would have aborted included */
#pragma once

#include <gio/gio.h>

#include "address.h"
#include "guest.h"

typedef struct GuestSocket GuestSocket;

/* Listens, if @address says so. @caps as of fake_guest_new(). */
GuestSocket *guest_socket_new(const TransportAddress *address, uint32_t caps, GError **error);
/* Where it listens, with the port that the kernel chose for 0. */
const char *guest_socket_address(const GuestSocket *socket);

void guest_socket_free(GuestSocket *socket);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GuestSocket, guest_socket_free)

/* Everything below gives up at this moment of g_get_monotonic_time(). */
void guest_socket_set_deadline(GuestSocket *socket, gint64 deadline);
/* So much later, for what takes its time by design. */
void guest_socket_extend_deadline(GuestSocket *socket, gint64 time);

/* The guest of the current connection, NULL without one. */
FakeGuest *guest_socket_guest(const GuestSocket *socket);

/* Waits for a connection unless there is one. */
bool guest_socket_open(GuestSocket *socket, GError **error);

/* Sees each event first, NULL at the end of the connection. True: the event is nobody else's. */
typedef bool (*GuestObserver)(void *data, const FakeGuestEvent *event);
void guest_socket_set_observer(GuestSocket *socket, GuestObserver observer, void *data);

/* Until the deadline. */
int guest_socket_time_left_ms(const GuestSocket *socket);

/* Closes the connection without a word. */
void guest_socket_drop(GuestSocket *socket);

/* Waits for an event; the caller owns it. A disconnect or rejection is an event. */
FakeGuestEvent *guest_socket_next(GuestSocket *socket, GError **error);

/* The same, but waits no longer than @limit_ms: NULL without an error if nothing came,
 * or for the observer only. */
FakeGuestEvent *guest_socket_poll(GuestSocket *socket, int limit_ms, GError **error);

/* Drops what has come; only the observer sees it. */
void guest_socket_forget(GuestSocket *socket);

/* Serves the connection until @fd is readable; only the observer sees events. Has no deadline. */
void guest_socket_idle(GuestSocket *socket, int fd);

/* Waits until everything is answered, and what follows the last answer has come, too. */
bool guest_socket_settle(GuestSocket *socket, GError **error);

/* The violations of all connections, and of what is not answered on the current one; the caller
 * owns the array. */
GPtrArray *guest_socket_finish(GuestSocket *socket);
