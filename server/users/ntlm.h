/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The server's part of NTLMv2 that needs the password's hash ([MS-NLMP] 3.3.2). It is done where
 * the hash is known; the process that talks to the client only sees what one user's proof earns it.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>

#define NTLM_KEY_SIZE 16

/* NTOWFv2: HMAC-MD5 under the NT hash, of the user's name in upper case and the domain, both in
 * UTF-16LE. `user` and `domain` are valid UTF-8 and must be what the client sent, letter for
 * letter: the domain's case counts.
 *
 * Upper case is one code unit for one, by Unicode's simple mapping, as in FreeRDP. For some rare
 * letters no two tables agree: FreeRDP's ends with Unicode 6, and that of Windows leaves out some
 * more (U+00B5, U+0131, U+017F). A client whose user has one may compute another hash. */
void ntlm_v2_hash(const guint8 nt_hash[NTLM_KEY_SIZE], const char *user, const char *domain,
                  guint8 v2_hash[NTLM_KEY_SIZE]);

/* What FreeRDP's SspiNtlmHashCallback hands out: true if the client knew the password, because its
 * message integrity code is right under the session key that only the hash leads to.
 *   proof_value            the server's challenge, and the client's `temp` ([MS-NLMP] 3.3.2)
 *   encrypted_session_key  all zeros: the client asked for no key exchange
 *   mic_value              the three messages, with zeros where the MIC was
 * A client that sends no MIC is refused: since the challenge holds a timestamp, it has to
 * ([MS-NLMP] 3.1.5.1.2). Takes the same time whatever is wrong. */
bool ntlm_prove(const guint8 v2_hash[NTLM_KEY_SIZE], const guint8 *proof_value, gsize proof_size,
                const guint8 encrypted_session_key[NTLM_KEY_SIZE], const guint8 mic[NTLM_KEY_SIZE],
                const guint8 *mic_value, gsize mic_size);
