/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * This process' end of the link to the broker (org.rdpusb.Link1.xml): asks Broker1, answers for
 * Session1. Everything is called and calls back on the main context; nothing calls back from
 * inside link_new().
 */
#pragma once

#include <gio/gio.h>
#include <stdbool.h>
#include <stdint.h>

#include <rdpusb/bridge.h>

#include "nla.h"

/* What Configure said. */
typedef struct {
    char *client; /* address */
    char *certificate;
    char *private_key;
    GVariant *kerberos_keys; /* a(suiay), or NULL: no Kerberos */
    bool nla, tls;           /* ways to log in */
    char *log_level;
    unsigned max_device_channels;
    RdpusbLimits limits;
} LinkSettings;

void link_settings_clear(LinkSettings *settings);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(LinkSettings, link_settings_clear)

typedef struct {
    /* A stream for a device. Takes `fd` when it returns true. */
    bool (*connect)(uint32_t device, const char *port, int fd, gpointer data, GError **error);
    /* A file to record a device in. Takes `fd` when it returns true. */
    bool (*capture)(uint32_t device, const char *port, int fd, uint64_t max_bytes, gpointer data,
                    GError **error);
    void (*waiting)(uint32_t device, const char *reason, gpointer data);
    void (*detach)(uint32_t device, const char *reason, gpointer data);
    /* The broker decided about an Attach; `error` is NULL when accepted. */
    void (*attach_answered)(uint32_t device, const GError *error, gpointer data);
    /* The broker ends the session, or is gone. */
    void (*end)(const char *reason, gpointer data);
} LinkCallbacks;

typedef struct Link Link;

/* Takes `fd`. Waits for the broker, with a limit of time. `callbacks` must outlive the link. */
Link *link_new(int fd, const LinkCallbacks *callbacks, gpointer data, GError **error);
/* Accepts NULL. */
void link_free(Link *link);

/* Fills `settings`. Waits for the broker, with a limit of time. */
bool link_configure(Link *link, LinkSettings *settings, GError **error);

/* True, and NTOWFv2, when the proof is right. Waits for the broker, with a limit of time. */
bool link_prove_ntlm(Link *link, const NlaProof *proof, uint8_t hash[NLA_KEY_SIZE], GError **error);

typedef enum {
    LINK_LOGIN_WELCOME,
    LINK_LOGIN_DENIED,
    LINK_LOGIN_NO_VM, /* the user is known, and may be told what the error says */
} LinkLogin;

/* Fills `name` and `vm` if they are welcome; the caller frees them. Waits for the broker, with a
 * limit of time. */
LinkLogin link_authenticate(Link *link, const char *user, const char *domain, const char *password,
                            const char *computer, char **name, char **vm, GError **error);

/* These return at once. */
void link_attach(Link *link, uint32_t device, const RdpusbDeviceInfo *info);
void link_lost(Link *link, uint32_t device, const char *reason);
void link_detached(Link *link, uint32_t device, const char *reason, bool refused, uint64_t bytes_in,
                   uint64_t bytes_out);

/* Sends what was asked so far; waits for it, with a limit of time. Last call before exit. */
void link_flush(Link *link);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Link, link_free)
