/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The RDP client of this connection: FreeRDP's peer on the main context. TLS, the login, the
 * desktop and the virtual channels live in here; what is said on the channels does not.
 *
 * A callback must not free the peer.
 */
#pragma once

#include <stdbool.h>

#include <glib.h>

#include "channels.h"
#include "nla.h"

typedef struct Peer Peer;

typedef struct {
    /* NLA, which comes before the login. */
    bool (*prove)(const NlaProof *proof, uint8_t hash[NLA_KEY_SIZE], gpointer data);
    /* Who wants in? Called once, before any channel is opened. What the client says of itself:
     * after NLA, who it is was settled there. `computer` is its name. */
    bool (*login)(const char *user, const char *domain, const char *password, const char *computer,
                  gpointer data);
    /* The desktop is there, and channels may be opened. Called again if the client comes back
     * from a change of its desktop. */
    void (*activated)(gpointer data);
    /* Something may have come on the channels, or may be written again. */
    void (*progress)(gpointer data);
    /* The connection is over, by the client or by an error. Called at most once, and not after
     * peer_disconnect(). */
    void (*closed)(const char *reason, gpointer data);
    /* As closed(): it is FreeRDP who ended it, because of what the client sent. */
    void (*refused)(gpointer data);
} PeerCallbacks;

/* What the client is told at the end: [MS-RDPBCGR] 2.2.5.1.1 */
typedef enum {
    PEER_END_DENIED,    /* the login */
    PEER_END_BY_SERVER, /* an administrator, or the end of the server */
} PeerEnd;

typedef struct {
    const char *certificate, *private_key; /* PEM */
    bool nla, tls;                         /* how the client may log in */
    const char *keytab;                    /* its name, for NLA with Kerberos, or NULL */
} PeerSecurity;

/* Takes `fd`, the connected socket. `callbacks` must outlive the peer. */
Peer *peer_new(int fd, const PeerSecurity *security, const PeerCallbacks *callbacks, gpointer data,
               GError **error);
/* Accepts NULL. Closes the socket. */
void peer_free(Peer *peer);

/* Owned by the peer. */
Channels *peer_channels(Peer *peer);

/* Puts lines of text (NULL-terminated) on the client's desktop. */
void peer_show(Peer *peer, const char *const *lines);

/* True while the client is not taking what was already written. */
bool peer_write_blocked(Peer *peer);
/* Hands what was written on channels to the socket. */
void peer_flush(Peer *peer);

/* Tells the client why and ends the connection. Waits, a fraction of a second at most, until the
 * client has it: nothing else may need this thread any more. */
void peer_disconnect(Peer *peer, PeerEnd end);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Peer, peer_free)
