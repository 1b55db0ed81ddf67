/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "nt-hash.h"

#include <nettle/md4.h>
#include <nettle/memops.h>
#include <string.h>

bool nt_hash(const char *password, guint8 hash[NT_HASH_SIZE])
{
    glong n = 0;
    gunichar2 *units = g_utf8_to_utf16(password, -1, NULL, &n, NULL);
    explicit_bzero(hash, NT_HASH_SIZE);
    if (!units)
        return false;
    for (glong i = 0; i < n; i++)
        units[i] = GUINT16_TO_LE(units[i]);
    struct md4_ctx md4;
    md4_init(&md4);
    md4_update(&md4, (gsize) n * sizeof *units, (const guint8 *) units);
    md4_digest(&md4, NT_HASH_SIZE, hash);
    explicit_bzero(&md4, sizeof md4);
    explicit_bzero(units, (gsize) n * sizeof *units);
    g_free(units);
    return true;
}

bool nt_hash_matches(const guint8 hash[NT_HASH_SIZE], const char *password)
{
    guint8 guess[NT_HASH_SIZE];
    bool valid = nt_hash(password, guess);
    bool same = memeql_sec(hash, guess, NT_HASH_SIZE);
    explicit_bzero(guess, sizeof guess);
    return valid && same;
}
