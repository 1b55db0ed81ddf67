/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The devices of one connection, from Attach to Detached: whether they may come to the VM, which
 * port they have, and what is written down of them. Lives in the main context. What a session says
 * is as little to be trusted as what its devices say.
 */
#pragma once

#include "link.h"
#include "services.h"

typedef struct Attachments Attachments;

typedef struct {
    /* To be completed with what the connection knows, and written. */
    void (*audit)(void *owner, const AuditEvent *event);
    /* More devices came, or were refused, than a client has: no Attach any more. */
    void (*too_often)(void *owner, const char *reason);
} AttachmentEvents;

/* Of who has logged in; `user` names them and the VM, for the log. All but `user` outlive it. */
Attachments *attachments_new(const Services *services, const Login *login, const char *user,
                             Link *link, const AttachmentEvents *events, void *owner);
/* The session has ended: whatever it had is detached. Accepts NULL. */
void attachments_free(Attachments *attachments);

/* The calls of the session. False and LINK_ERROR if refused. */
bool attachments_attach(Attachments *attachments, guint32 number, GVariant *description,
                        GError **error);
bool attachments_lost(Attachments *attachments, guint32 number, const char *reason, GError **error);
bool attachments_detached(Attachments *attachments, guint32 number, const char *reason,
                          bool refused, const AuditBytes *bytes, GError **error);

/* The rules are new: devices that they do not allow any more are taken away. */
void attachments_apply_rules(Attachments *attachments);
