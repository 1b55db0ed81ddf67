/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where a port of a VM is reached, in QEMU's own spelling:
 *
 *     unix:PATH[,server=on|off]      tcp:HOST:PORT[,server=on|off]
 *
 * server=on (or "server") means that this end listens. A comma in PATH is doubled; an IPv6 address
 * stands in brackets. Listening takes an IP address or "localhost", and port 0 for any free one. */
#pragma once

#include <gio/gio.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct {
    char *path; /* unix, NULL for tcp */
    char *host; /* tcp, without brackets */
    uint16_t port;
    bool server; /* this end listens */
} TransportAddress;

/* The error's text quotes the bad part and says what is expected. The caller owns the address. */
TransportAddress *transport_address_parse(const char *spec, GError **error);
TransportAddress *transport_address_copy(const TransportAddress *address);
void transport_address_free(TransportAddress *address);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(TransportAddress, transport_address_free)

/* Can be parsed again; the caller owns it. */
char *transport_address_to_string(const TransportAddress *address);

/* What GLib connects to; a name is resolved then. The caller owns it. */
GSocketConnectable *transport_address_get_connectable(const TransportAddress *address);
