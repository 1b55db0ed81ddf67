/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* NTLMv2 with the numbers of [MS-NLMP] 4.2, and with a real client in memory. */
#include "nt-hash.h"
#include "ntlm.h"

#include <string.h>

#include <winpr/ntlm.h>
#include <winpr/ssl.h>
#include <winpr/sspi.h>
#include <winpr/version.h>

static void check_bytes(const guint8 *bytes, const char *expected)
{
    g_autoptr(GString) hex = g_string_new(NULL);
    for (gsize i = 0; i < NT_HASH_SIZE; i++)
        g_string_append_printf(hex, "%02x", bytes[i]);
    g_assert_cmpstr(hex->str, ==, expected);
}

static void test_nt_hash(void)
{
    guint8 hash[NT_HASH_SIZE];
    g_assert_true(nt_hash("Password", hash)); /* [MS-NLMP] 4.2.2.1.2 */
    check_bytes(hash, "a4f49c406510bdcab6824ee7c30fd852");
    g_assert_true(nt_hash_matches(hash, "Password"));
    g_assert_false(nt_hash_matches(hash, "password"));
    g_assert_false(nt_hash_matches(hash, "Password "));
    g_assert_true(nt_hash("", hash));
    check_bytes(hash, "31d6cfe0d16ae931b73c59d7e0c089c0");
    g_assert_false(nt_hash("\xff", hash));
    check_bytes(hash, "00000000000000000000000000000000");
    g_assert_false(nt_hash_matches(hash, "\xff"));
}

/* Not ASCII, and outside of the first 65536 characters */
static void test_nt_hash_as_freerdp(void)
{
    static const char *const passwords[] = {"a", "pässwörd", "пароль", "🔑key"};
    for (gsize i = 0; i < G_N_ELEMENTS(passwords); i++) {
        guint8 hash[NT_HASH_SIZE], expected[NT_HASH_SIZE];
        char *password = (char *) passwords[i];
        g_assert_true(NTOWFv1A(password, strlen(password), expected));
        g_assert_true(nt_hash(password, hash));
        g_assert_cmpmem(hash, sizeof hash, expected, sizeof expected);
    }
}

static void test_v2_hash(void)
{
    guint8 hash[NT_HASH_SIZE], v2_hash[NTLM_KEY_SIZE], same[NTLM_KEY_SIZE], other[NTLM_KEY_SIZE];
    nt_hash("Password", hash);
    ntlm_v2_hash(hash, "User", "Domain", v2_hash); /* [MS-NLMP] 4.2.4.1.1 */
    check_bytes(v2_hash, "0c868a403bfd7a93a3001ef22ef02e3f");
    ntlm_v2_hash(hash, "uSER", "Domain", same);
    g_assert_cmpmem(v2_hash, sizeof v2_hash, same, sizeof same);
    ntlm_v2_hash(hash, "User", "domain", other);
    g_assert_true(memcmp(v2_hash, other, sizeof other) != 0);
}

/* Letters whose capital is newer than FreeRDP's table (Unicode 6), and U+0345, which GLib takes for
 * no letter. */
static bool is_rare(gunichar c)
{
    static const gunichar ranges[][2] = {{0x025c, 0x029e}, {0x0345, 0x0345}, {0x03f3, 0x03f3},
                                         {0x0529, 0x052f}, {0x13f8, 0x13fd}, {0x1c80, 0x1c8a},
                                         {0x1d8e, 0x1d8e}, {0x2c5f, 0x2c5f}, {0xa699, 0xa69b},
                                         {0xa794, 0xa7f6}, {0xab53, 0xabbf}};
    for (gsize i = 0; i < G_N_ELEMENTS(ranges); i++) {
        if (c >= ranges[i][0] && c <= ranges[i][1])
            return true;
    }
    return false;
}

/* In names of many letters, for there are many letters. */
static void test_upper_case(void)
{
    enum { LETTERS = 64 };
    guint8 hash[NT_HASH_SIZE] = {0};
    for (gunichar c = 1; c < 0x20000; c += LETTERS) {
        guint8 v2_hash[NTLM_KEY_SIZE], expected[NTLM_KEY_SIZE];
        g_autoptr(GString) name = g_string_new("x");
        for (gunichar letter = c; letter < c + LETTERS; letter++) {
            if ((letter < 0xd800 || letter >= 0xe000) && !is_rare(letter))
                g_string_append_unichar(name, letter);
        }
        g_assert_true(
            NTOWFv2FromHashA(hash, name->str, (UINT32) name->len, (char *) "D", 1, expected));
        ntlm_v2_hash(hash, name->str, "D", v2_hash);
        if (memcmp(v2_hash, expected, sizeof expected) != 0)
            g_error("a capital is another one for FreeRDP, from U+%04x on", c);
    }
}

/* --- the specification's example, with a MIC over the messages that it has --- */

/* [MS-NLMP] 4.2.4.1.3: server challenge, then temp */
static const guint8 proof_value[] = {
    0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef,                                 /**/
    1,    1,    0,    0,    0,    0,    0,    0,    0,   0, 0,   0, 0,   0, 0,   0, /**/
    0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0,   0, 0,   0,                 /**/
    2,    0,    12,   0,    'D',  0,    'o',  0,    'm', 0, 'a', 0, 'i', 0, 'n', 0, /**/
    1,    0,    12,   0,    'S',  0,    'e',  0,    'r', 0, 'v', 0, 'e', 0, 'r', 0, /**/
    0,    0,    0,    0,    0,    0,    0,    0,
};

/* The key exchange key of 4.2.4.2.2 and 4.2.4.2.3: RC4 of 16 times 0x55 under it */
static const guint8 encrypted_key[] = {0xc5, 0xda, 0xd2, 0x54, 0x4f, 0xc9, 0x79, 0x90,
                                       0x94, 0xce, 0x1c, 0xe9, 0x0b, 0xc9, 0xd0, 0x3e};
static const guint8 no_key[NTLM_KEY_SIZE];
static const char messages[] = "negotiate, challenge, authenticate";

/* With a library that is not the one under test */
static void mic_under(const guint8 *key, guint8 *mic)
{
    gsize size = NTLM_KEY_SIZE;
    GHmac *hmac = g_hmac_new(G_CHECKSUM_MD5, key, NTLM_KEY_SIZE);
    g_hmac_update(hmac, (const guchar *) messages, sizeof messages);
    g_hmac_get_digest(hmac, mic, &size);
    g_hmac_unref(hmac);
}

static bool prove(const char *password, gsize proof_size, const guint8 *key, const guint8 *mic)
{
    guint8 hash[NT_HASH_SIZE], v2_hash[NTLM_KEY_SIZE];
    nt_hash(password, hash);
    ntlm_v2_hash(hash, "User", "Domain", v2_hash);
    return ntlm_prove(v2_hash, proof_value, proof_size, key, mic, (const guint8 *) messages,
                      sizeof messages);
}

static void test_prove(void)
{
    guint8 key[NTLM_KEY_SIZE], mic[NTLM_KEY_SIZE];
    memset(key, 0x55, sizeof key);
    mic_under(key, mic);
    g_assert_true(prove("Password", sizeof proof_value, encrypted_key, mic));
    g_assert_false(prove("password", sizeof proof_value, encrypted_key, mic));
    g_assert_false(prove("Password", sizeof proof_value - 1, encrypted_key, mic));
    g_assert_false(prove("Password", 0, encrypted_key, mic));
    g_assert_false(prove("Password", sizeof proof_value, no_key, mic));
    for (gsize i = 0; i < sizeof mic; i++) {
        mic[i] ^= 0x80;
        g_assert_false(prove("Password", sizeof proof_value, encrypted_key, mic));
        mic[i] ^= 0x80;
    }
    memset(mic, 0, sizeof mic); /* what is handed out of a client that sends none */
    g_assert_false(prove("Password", sizeof proof_value, encrypted_key, mic));
    g_assert_false(prove("Password", sizeof proof_value, no_key, mic));
}

/* Then the session base key, 4.2.4.2.1, is the key itself. */
static void test_prove_without_key_exchange(void)
{
    static const guint8 base_key[] = {0x8d, 0xe4, 0x0c, 0xca, 0xdb, 0xc1, 0x4a, 0x82,
                                      0xf1, 0x5c, 0xb0, 0xad, 0x0d, 0xe9, 0x5c, 0xa3};
    guint8 mic[NTLM_KEY_SIZE];
    mic_under(base_key, mic);
    g_assert_true(prove("Password", sizeof proof_value, no_key, mic));
    g_assert_false(prove("Password", sizeof proof_value, encrypted_key, mic));
    g_assert_false(prove("other", sizeof proof_value, no_key, mic));
}

/* --- FreeRDP's client and server in memory --- */

typedef struct {
    const char *name; /* that the broker knows */
    guint8 nt_hash[NT_HASH_SIZE];
    bool asked, proved;
} Account;

static char *text_of(const UINT16 *units, UINT32 n)
{
    return n ? g_utf16_to_utf8(units, n, NULL, NULL, NULL) : g_strdup("");
}

/* FreeRDP took any number but 0 for success, until 3.24 began to mean what the type says. */
static SECURITY_STATUS answer(bool good)
{
    int major = 0, minor = 0, revision = 0;
    winpr_get_version(&major, &minor, &revision);
    bool by_type = major > 3 || (major == 3 && minor >= 24);
    return by_type == good ? SEC_E_OK : SEC_E_LOGON_DENIED;
}

/* psSspiNtlmHashCallback */
static SECURITY_STATUS on_hash(void *data, const SEC_WINNT_AUTH_IDENTITY *identity,
                               const SecBuffer *proof, const BYTE *key, const BYTE *mic,
                               const SecBuffer *mic_of, BYTE *v2_hash)
{
    Account *account = data;
    g_autofree char *user = text_of(identity->User, identity->UserLength);
    g_autofree char *domain = text_of(identity->Domain, identity->DomainLength);
    account->asked = true;
    g_assert_cmpint(g_ascii_strcasecmp(user, account->name), ==, 0);
    ntlm_v2_hash(account->nt_hash, user, domain, v2_hash);
    account->proved = ntlm_prove(v2_hash, proof->pvBuffer, proof->cbBuffer, key, mic,
                                 mic_of->pvBuffer, mic_of->cbBuffer);
    return answer(account->proved);
}

typedef struct {
    SecurityFunctionTableW *sspi;
    CredHandle credentials;
    CtxtHandle context;
    bool begun;
    guint8 token[8192];
    SecBuffer buffer;
} Party;

static void party_init(Party *party, ULONG use, void *identity)
{
    static SEC_WCHAR package[] = {'N', 'T', 'L', 'M', 0};
    TimeStamp expiry;
    *party = (Party){.sspi = InitSecurityInterfaceExW(0)};
    g_assert_cmpint(party->sspi->AcquireCredentialsHandleW(NULL, package, use, NULL, identity, NULL,
                                                           NULL, &party->credentials, &expiry),
                    ==, SEC_E_OK);
}

static void party_clear(Party *party)
{
    if (party->begun)
        party->sspi->DeleteSecurityContext(&party->context);
    party->sspi->FreeCredentialsHandle(&party->credentials);
}

static SECURITY_STATUS take(Party *party, Party *from, bool server)
{
    ULONG flags = 0;
    TimeStamp expiry;
    party->buffer = (SecBuffer){sizeof party->token, SECBUFFER_TOKEN, party->token};
    SecBufferDesc output = {SECBUFFER_VERSION, 1, &party->buffer};
    SecBufferDesc input = {SECBUFFER_VERSION, 1, from ? &from->buffer : NULL};
    CtxtHandle *context = party->begun ? &party->context : NULL;
    party->begun = true;
    if (server)
        return party->sspi->AcceptSecurityContext(&party->credentials, context, &input,
                                                  ASC_REQ_CONFIDENTIALITY, SECURITY_NATIVE_DREP,
                                                  &party->context, &output, &flags, &expiry);
    return party->sspi->InitializeSecurityContextW(
        &party->credentials, context, NULL, ISC_REQ_CONFIDENTIALITY | ISC_REQ_MUTUAL_AUTH, 0,
        SECURITY_NATIVE_DREP, from ? &input : NULL, 0, &party->context, &output, &flags, &expiry);
}

/* The status of the server at the end. */
static SECURITY_STATUS log_in(Account *account, const char *user, const char *domain,
                              const char *password)
{
    SEC_WINNT_AUTH_IDENTITY_W identity = {0};
    SEC_WINPR_NTLM_SETTINGS settings = {NULL, on_hash, account};
    SEC_WINNT_AUTH_IDENTITY_WINPR of_server = {.ntlmSettings = &settings};
    of_server.identity.Version = SEC_WINNT_AUTH_IDENTITY_VERSION;
    of_server.identity.Length = sizeof of_server.identity;
    of_server.identity.Flags = SEC_WINNT_AUTH_IDENTITY_UNICODE | SEC_WINNT_AUTH_IDENTITY_EXTENDED;
    Party client, server;
    g_assert_cmpint(sspi_SetAuthIdentityA(&identity, user, domain, password), >, 0);
    party_init(&client, SECPKG_CRED_OUTBOUND, &identity);
    party_init(&server, SECPKG_CRED_INBOUND, &of_server);
    g_assert_cmphex(take(&client, NULL, false), ==, SEC_I_CONTINUE_NEEDED);
    g_assert_cmphex(take(&server, &client, true), ==, SEC_I_CONTINUE_NEEDED);
    take(&client, &server, false);
    SECURITY_STATUS status = take(&server, &client, true);
    party_clear(&client);
    party_clear(&server);
    sspi_FreeAuthIdentity(&identity);
    return status;
}

static void check_login(const char *user, const char *domain, const char *password, bool right)
{
    Account account = {.name = "alice"};
    nt_hash("pässwörd", account.nt_hash);
    SECURITY_STATUS status = log_in(&account, user, domain, password);
    g_assert_true(account.asked);
    g_assert_true(account.proved == right);
    g_assert_true((status == SEC_E_OK) == right);
}

static void test_freerdp(void)
{
    check_login("alice", "", "pässwörd", true);
    check_login("ALICE", "", "pässwörd", true);
    check_login("alice", "Büro-VM", "pässwörd", true);
    check_login("alice", "Büro-VM", "passwort", false);
    check_login("alice", "", "x", false);
}

/* For LeakSanitizer, and leaks-of-others.supp for valgrind: FreeRDP 3.10 frees the fields of an
 * authenticate message only if it was right.
 */
__attribute__((visibility("default"), used)) const char *__lsan_default_suppressions(void);

const char *__lsan_default_suppressions(void)
{
    return "leak:libwinpr3\n";
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    winpr_InitializeSSL(WINPR_SSL_INIT_DEFAULT); /* with OpenSSL's legacy provider */
    g_test_add_func("/ntlm/nt-hash", test_nt_hash);
    g_test_add_func("/ntlm/nt-hash/as-freerdp", test_nt_hash_as_freerdp);
    g_test_add_func("/ntlm/v2-hash", test_v2_hash);
    g_test_add_func("/ntlm/v2-hash/upper-case", test_upper_case);
    g_test_add_func("/ntlm/prove", test_prove);
    g_test_add_func("/ntlm/prove/without-key-exchange", test_prove_without_key_exchange);
    g_test_add_func("/ntlm/prove/freerdp", test_freerdp);
    return g_test_run();
}
