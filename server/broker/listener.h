/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The addresses where RDP clients arrive. Lives in the main context.
 */
#pragma once

#include <gio/gio.h>
#include <stdbool.h>

typedef struct Listener Listener;

/* "127.0.0.1:3389", "[::1]:3389"; port 0 is any free one. NULL: the text says what is expected. */
GSocketAddress *listener_address_parse(const char *text, GError **error);
/* The reverse. Caller frees. */
char *listener_address_to_string(GSocketAddress *address);

/* Where this connected socket was accepted, or NULL. Caller frees. */
char *listener_local_address(int fd);

/* A client arrived: the owner takes `fd`, a non-blocking socket. `peer` is for the log. */
typedef void (*ListenerAccepted)(void *owner, int fd, const char *peer);

Listener *listener_new(ListenerAccepted accepted, void *owner);
/* Accepts NULL. */
void listener_free(Listener *listener);

/* Listens at each of `addresses` (char *); when there are none, at port 3389 of every address that
 * this machine has. False: one of them is not possible, and which. */
bool listener_open(Listener *listener, GPtrArray *addresses, GError **error);

/* Prints one line `rdpusbd: listening on ADDR:PORT` per address to standard output. */
void listener_print(const Listener *listener);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Listener, listener_free)
