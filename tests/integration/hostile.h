/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * An RDP client with devices that behaves well (the fake client does) until it is told to deviate:
 * login, dynamic channels and MS-RDPEUSB put together, for hostile-client.
 */
#pragma once

#include "client-channels.h"
#include "client-rdp.h"
#include "client.h"

/* What becomes of the completions that the client sends on a channel. */
typedef enum {
    TAMPER_NONE,
    TAMPER_TWICE,     /* sent twice */
    TAMPER_STRANGER,  /* after one for a request that nobody made */
    TAMPER_SWALLOW,   /* not sent */
    TAMPER_TRUNCATE,  /* without the last byte */
    TAMPER_RUBBISH,   /* followed by bytes that belong to nothing */
    TAMPER_OVERFULL,  /* with more data than was asked for */
    TAMPER_OVERCLAIM, /* with a length of data that is not there */
    TAMPER_N,
} Tamper;
extern const char *const tamper_names[TAMPER_N];

/* Channels that can be told to misbehave. */
#define HOSTILE_MAX_CHANNELS 256

typedef struct {
    ClientRdp *rdp; /* NULL before the login */
    ClientChannels *channels;
    FakeClient *fake;
    bool has_drdynvc;
    bool is_muted[HOSTILE_MAX_CHANNELS]; /* deaf for what the server says there */
    Tamper tamper[HOSTILE_MAX_CHANNELS];
    GHashTable *descriptors; /* type << 8 | index -> GBytes: what all devices say instead */
    unsigned n_swallowed;    /* completions */
    unsigned n_bad_pdus;     /* of the server */
} Hostile;

void hostile_init(Hostile *hostile);
void hostile_clear(Hostile *hostile);

/* Before devices are plugged in. */
void hostile_set_profile(Hostile *hostile, const FakeClientProfile *profile);

bool hostile_connect(Hostile *hostile, const char *server, const char *user, const char *password,
                     GError **error);

/* Serves the connection once: client_rdp_serve(). True if fd is readable. */
bool hostile_serve(Hostile *hostile, int fd, int64_t deadline);

/* Sends what the fake client has to say. */
void hostile_pump(Hostile *hostile);
