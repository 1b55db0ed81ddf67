/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Network Level Authentication (CredSSP, [MS-CSSP]): FreeRDP speaks it, but what it needs of the
 * user's password is known to the broker alone.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <freerdp/peer.h>
#include <glib.h>

#define NLA_KEY_SIZE 16

/* What the client's NTLM messages prove ([MS-NLMP] 3.3.2); names in UTF-8, as the client spelled
 * them. */
typedef struct {
    const char *user, *domain;
    const uint8_t *proof_value, *mic_value;
    size_t proof_value_size, mic_value_size;
    const uint8_t *session_key, *mic; /* NLA_KEY_SIZE bytes each */
} NlaProof;

/* True, and NTOWFv2, when it proves that the client knows the password. May wait for the broker. */
typedef bool (*NlaProve)(const NlaProof *proof, uint8_t hash[NLA_KEY_SIZE], gpointer data);

/* Before the peer is initialized. Takes the peer's ContextExtra for itself. */
void nla_set_up(freerdp_peer *rdp, NlaProve prove, gpointer data);
void nla_clear(freerdp_peer *rdp);
