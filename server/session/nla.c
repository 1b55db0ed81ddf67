/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "nla.h"

#include <string.h>

#include <freerdp/freerdp.h>
#include <freerdp/version.h>
#include <winpr/crypto.h>
#include <winpr/error.h>
#include <winpr/sspi.h>

/* In characters; what [MS-NLMP] allows is far more, and no name of ours. */
#define MAX_NAME 512

typedef struct {
    NlaProve prove;
    gpointer data;
} Nla;

/* NULL when it is no valid text. */
static char *to_utf8(const UINT16 *text, UINT32 length)
{
    if (!text || length == 0)
        return g_strdup("");
    if (length > MAX_NAME)
        return NULL;
    return g_utf16_to_utf8(text, length, NULL, NULL, NULL);
}

/* FreeRDP took any number but 0 for success, until 3.24 began to mean what the type says. */
static SECURITY_STATUS answer(bool good)
{
    int major = 0, minor = 0, revision = 0;
    freerdp_get_version(&major, &minor, &revision);
    bool by_type = major > 3 || (major == 3 && minor >= 24);
    return by_type == good ? SEC_E_OK : SEC_E_LOGON_DENIED;
}

/* Whatever is wrong, the client hears the same: FreeRDP sends what is the last error. The hash is
 * nobody's, should FreeRDP use it nevertheless. */
static SECURITY_STATUS refuse(BYTE *hash)
{
    winpr_RAND(hash, NLA_KEY_SIZE);
    SetLastError(ERROR_LOGON_FAILURE);
    return answer(false);
}

static SECURITY_STATUS on_hash_wanted(void *client, const SEC_WINNT_AUTH_IDENTITY *identity,
                                      const SecBuffer *proof_value, const BYTE *session_key,
                                      const BYTE *mic, const SecBuffer *mic_value, BYTE *hash)
{
    const Nla *nla = ((freerdp_peer *) client)->ContextExtra;
    g_autofree char *user = to_utf8(identity->User, identity->UserLength);
    g_autofree char *domain = to_utf8(identity->Domain, identity->DomainLength);
    if (!user || !domain)
        return refuse(hash);
    const NlaProof proof = {
        .user = user,
        .domain = domain,
        .proof_value = proof_value->pvBuffer,
        .proof_value_size = proof_value->cbBuffer,
        .mic_value = mic_value->pvBuffer,
        .mic_value_size = mic_value->cbBuffer,
        .session_key = session_key,
        .mic = mic,
    };
    return nla->prove(&proof, hash, nla->data) ? answer(true) : refuse(hash);
}

void nla_set_up(freerdp_peer *rdp, NlaProve prove, gpointer data)
{
    Nla *nla = g_new(Nla, 1);
    *nla = (Nla){prove, data};
    rdp->ContextExtra = nla;
    rdp->SspiNtlmHashCallback = on_hash_wanted;
}

void nla_clear(freerdp_peer *rdp)
{
    g_clear_pointer(&rdp->ContextExtra, g_free);
}
