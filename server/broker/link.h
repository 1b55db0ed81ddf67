/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The broker's end of the private link to one session process (org.rdpusb.Link1.xml): D-Bus, peer
 * to peer. Lives in the main context. The session may be hostile: calls reach the owner with the
 * types of the interface and nothing more checked, and never more than a bounded number at a time.
 */
#pragma once

#include <gio/gio.h>
#include <stdbool.h>

/* How a call is refused: the owner sets one of these. */
#define LINK_ERROR (link_error_quark())
GQuark link_error_quark(void);
typedef enum {
    LINK_ERROR_DENIED,  /* org.rdpusb.Error.Denied: not allowed */
    LINK_ERROR_NO_VM,   /* org.rdpusb.Error.NoVm: a known user, who may read why */
    LINK_ERROR_INVALID, /* org.rdpusb.Error.Invalid: no sense in this state */
} LinkError;

/* A call that is answered later. */
typedef struct LinkReply LinkReply;

/* What ProveNtlm says, for the time of the call. */
typedef struct {
    const char *user, *domain;
    GBytes *proof_value, *mic_value;
    const guint8 *session_key, *mic; /* 16 bytes each */
} LinkNtlmProof;

/* The calls of org.rdpusb.Broker1. None of them may free the link. Those with a reply answer it
 * once, now or later. */
typedef struct {
    GVariant *(*configure)(void *owner, GError **error); /* a{sv}, floating */
    void (*prove_ntlm)(void *owner, const LinkNtlmProof *proof, LinkReply *reply);
    void (*authenticate)(void *owner, const char *user, const char *domain, const char *password,
                         const char *computer, LinkReply *reply);
    bool (*attach)(void *owner, guint32 device, GVariant *description, GError **error);
    bool (*lost)(void *owner, guint32 device, const char *reason, GError **error);
    bool (*detached)(void *owner, guint32 device, const char *reason, bool refused,
                     guint64 bytes_in, guint64 bytes_out, GError **error);
    /* The link is over, by the session's doing: nothing more comes or goes. */
    void (*closed)(void *owner, const char *reason);
} LinkCalls;

typedef struct Link Link;

/* Makes the link; `*session_fd` is the other end, for the session process. `max_devices`: that it
 * may have attached. */
Link *link_new(const LinkCalls *calls, void *owner, guint max_devices, int *session_fd,
               GError **error);
/* Accepts NULL. */
void link_free(Link *link);

/* Each frees the reply; nothing happens if the link is freed or over meanwhile. */
void link_reply_hash(LinkReply *reply, const guint8 hash[16]);                /* of prove_ntlm */
void link_reply_welcome(LinkReply *reply, const char *name, const char *vm);  /* of authenticate */
void link_reply_refuse(LinkReply *reply, LinkError code, const char *reason); /* of any */

/* The calls of org.rdpusb.Session1. On a link that is not up, or over, they do nothing and are
 * false; the session's answer is not waited for, but one that owes too many is ended, by closed()
 * from within the call. `stream` and `file` stay the caller's. */
bool link_capture(Link *link, guint32 device, const char *port, int file, guint64 max_bytes);
bool link_connect(Link *link, guint32 device, const char *port, int stream);
bool link_waiting(Link *link, guint32 device, const char *reason);
bool link_detach(Link *link, guint32 device, const char *reason);
#define LINK_MAX_PINGS 4
/* False also for a session that has not answered the last LINK_MAX_PINGS. */
bool link_ping(Link *link);
bool link_disconnect(Link *link, const char *reason);
