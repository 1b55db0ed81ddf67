/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "prepare.h"

#include <gio/gio.h>

#include <winpr/crypto.h>
#include <winpr/ssl.h>

#include "text.h"

#define RC4_KEY_BYTES 16

/* What FreeRDP computes with, of TLS and of NTLM ([MS-NLMP] 3.3.2): OpenSSL takes MD4 and RC4 from
 * its legacy provider, a file. */
static bool prepare_digests(void)
{
    static const WINPR_MD_TYPE digests[] = {WINPR_MD_MD4, WINPR_MD_MD5, WINPR_MD_SHA1,
                                            WINPR_MD_SHA256};
    static const char text[] = "rdpusb";
    uint8_t digest[WINPR_SHA256_DIGEST_LENGTH];
    bool available = winpr_InitializeSSL(WINPR_SSL_INIT_DEFAULT);
    for (unsigned i = 0; i < G_N_ELEMENTS(digests); i++)
        available = winpr_Digest(digests[i], text, sizeof text, digest, sizeof digest) && available;
    available = winpr_HMAC(WINPR_MD_MD5, text, sizeof text, text, sizeof text, digest,
                           WINPR_MD5_DIGEST_LENGTH) &&
                available;
    return available;
}

static bool prepare_ciphers(void)
{
    uint8_t key[RC4_KEY_BYTES], text[RC4_KEY_BYTES];
    if (winpr_RAND(key, sizeof key) < 0)
        return false;
    WINPR_RC4_CTX *rc4 = winpr_RC4_New(key, sizeof key);
    bool available = rc4 && winpr_RC4_Update(rc4, sizeof key, key, text);
    winpr_RC4_Free(rc4);
    return available;
}

/* For the log. glibc looks whether /etc/localtime is still the same, unless it is named. */
static void prepare_time(void)
{
    g_setenv("TZ", ":/etc/localtime", false);
    g_autoptr(GDateTime) now = g_date_time_new_now_local();
    g_autofree char *text = g_date_time_format(now, "%c %Z");
    g_debug("sandbox: local time %s", text);
}

bool prepare_libraries(GError **error)
{
    prepare_time();
    if (!prepare_digests() || !prepare_ciphers()) {
        g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
                            "OpenSSL lacks a digest or a cipher that RDP needs (MD4, MD5, RC4, "
                            "SHA-1, SHA-256): install its legacy provider");
        return false;
    }
    if (!text_prepare())
        g_message("no font could be loaded: clients get an empty screen");
    return true;
}
