/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ntlm.h"

#include <nettle/arcfour.h>
#include <nettle/hmac.h>
#include <nettle/memops.h>
#include <string.h>

static void hmac(const guint8 key[NTLM_KEY_SIZE], const void *data, gsize size,
                 guint8 digest[NTLM_KEY_SIZE])
{
    struct hmac_md5_ctx context;
    hmac_md5_set_key(&context, NTLM_KEY_SIZE, key);
    hmac_md5_update(&context, size, data);
    hmac_md5_digest(&context, NTLM_KEY_SIZE, digest);
    explicit_bzero(&context, sizeof context);
}

/* Half of a surrogate pair has no other case. */
static gunichar2 to_upper(gunichar2 unit)
{
    if (unit >= 0x10d0 && unit <= 0x10ff) /* Georgian got capitals after Windows got its table */
        return unit;
    if (unit >= 0x2170 && unit <= 0x217f) /* Roman numerals, which are no letters to GLib */
        return unit - 0x10;
    if (unit >= 0x24d0 && unit <= 0x24e9) /* and circled letters */
        return unit - 0x1a;
    return (gunichar2) g_unichar_toupper(unit);
}

/* Bytes of UTF-16LE. */
static GByteArray *append_utf16(GByteArray *bytes, const char *text, bool upper)
{
    glong n = 0;
    g_autofree gunichar2 *units = g_utf8_to_utf16(text, -1, NULL, &n, NULL);
    for (glong i = 0; units && i < n; i++) {
        gunichar2 unit = upper ? to_upper(units[i]) : units[i];
        guint8 pair[] = {unit & 0xff, unit >> 8};
        g_byte_array_append(bytes, pair, sizeof pair);
    }
    return bytes;
}

void ntlm_v2_hash(const guint8 nt_hash[NTLM_KEY_SIZE], const char *user, const char *domain,
                  guint8 v2_hash[NTLM_KEY_SIZE])
{
    g_autoptr(GByteArray) name = g_byte_array_new();
    append_utf16(append_utf16(name, user, true), domain, false);
    hmac(nt_hash, name->data, name->len, v2_hash);
}

/* HMAC-MD5 of NTProofStr, which is one itself ([MS-NLMP] 3.3.2). */
static void session_base_key(const guint8 v2_hash[NTLM_KEY_SIZE], const guint8 *proof_value,
                             gsize proof_size, guint8 key[NTLM_KEY_SIZE])
{
    guint8 nt_proof_str[NTLM_KEY_SIZE];
    hmac(v2_hash, proof_value, proof_size, nt_proof_str);
    hmac(v2_hash, nt_proof_str, sizeof nt_proof_str, key);
}

/* With NTLMv2 the key exchange key is the session base key (3.4.5.1). */
static void exchange_key(const guint8 encrypted[NTLM_KEY_SIZE], guint8 key[NTLM_KEY_SIZE])
{
    static const guint8 none[NTLM_KEY_SIZE];
    if (memcmp(encrypted, none, NTLM_KEY_SIZE) == 0)
        return;
    struct arcfour_ctx rc4;
    arcfour_set_key(&rc4, NTLM_KEY_SIZE, key);
    arcfour_crypt(&rc4, NTLM_KEY_SIZE, key, encrypted);
    explicit_bzero(&rc4, sizeof rc4);
}

bool ntlm_prove(const guint8 v2_hash[NTLM_KEY_SIZE], const guint8 *proof_value, gsize proof_size,
                const guint8 encrypted_session_key[NTLM_KEY_SIZE], const guint8 mic[NTLM_KEY_SIZE],
                const guint8 *mic_value, gsize mic_size)
{
    guint8 key[NTLM_KEY_SIZE], expected[NTLM_KEY_SIZE];
    session_base_key(v2_hash, proof_value, proof_size, key);
    exchange_key(encrypted_session_key, key);
    hmac(key, mic_value, mic_size, expected);
    bool same = memeql_sec(expected, mic, NTLM_KEY_SIZE);
    explicit_bzero(key, sizeof key);
    explicit_bzero(expected, sizeof expected);
    return same;
}
