/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "certificate.h"

#include <errno.h>
#include <gio/gio.h>
#include <string.h>
#include <sys/stat.h>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#include "text-file.h"

#define CERTIFICATE_FILE "certificate.pem"
#define KEY_FILE         "private-key.pem"

/* RSA, because every RDP client of the last twenty years can verify it. */
#define KEY_BITS      3072
#define VALID_SECONDS (10L * 365 * 24 * 3600)
#define SERIAL_BITS   159 /* at most 20 bytes and positive, RFC 5280 4.1.2.2 */

G_DEFINE_AUTOPTR_CLEANUP_FUNC(BIO, BIO_free_all)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(BIGNUM, BN_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(EVP_PKEY, EVP_PKEY_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(X509, X509_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(X509_EXTENSION, X509_EXTENSION_free)

static bool fail(GError **error, const char *path, const char *format, ...) G_GNUC_PRINTF(3, 4);

/* The reason why OpenSSL does not like the file comes behind, if it says any. */
static bool fail(GError **error, const char *path, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *text = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());
    ERR_clear_error();
    return reason ? text_file_error(error, path, 0, 0, "%s (%s)", text, reason)
                  : text_file_error(error, path, 0, 0, "%s", text);
}

/* ---- Reading ---- */

/* OpenSSL's own would ask at the terminal. */
static int no_passphrase(char *buffer, int size, int writing, void *encrypted)
{
    *(bool *) encrypted = true;
    return -1;
}

static BIO *open_file(const char *path, TextFileKind kind, GError **error)
{
    gsize size;
    char *bytes = text_file_read_bytes(path, kind, &size, error);
    if (!bytes)
        return NULL;
    BIO *bio = BIO_new(BIO_s_secmem());
    BIO_set_mem_eof_return(bio, 0);
    BIO_write(bio, bytes, (int) size); /* at most TEXT_FILE_MAX_BYTES */
    OPENSSL_cleanse(bytes, size);
    g_free(bytes);
    return bio;
}

static char *to_text(BIO *bio)
{
    char *text;
    long size = BIO_get_mem_data(bio, &text);
    return g_strndup(text, size);
}

/* Files have more than PEM in them: names that keys had elsewhere, in any encoding. The blocks
 * alone go to the sessions. */
static X509 *certificates_parse(BIO *bio, const char *path, char **text, GError **error)
{
    g_autoptr(BIO) pem = BIO_new(BIO_s_mem());
    g_autoptr(X509) first = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    if (!first) {
        fail(error, path, "holds no certificate in PEM");
        return NULL;
    }
    PEM_write_bio_X509(pem, first);
    X509 *next;
    while ((next = PEM_read_bio_X509(bio, NULL, NULL, NULL))) {
        PEM_write_bio_X509(pem, next);
        X509_free(next);
    }
    if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE) {
        fail(error, path, "holds a chain that is damaged");
        return NULL;
    }
    ERR_clear_error();
    *text = to_text(pem);
    return g_steal_pointer(&first);
}

static EVP_PKEY *private_key_parse(BIO *bio, const char *path, char **text, GError **error)
{
    bool encrypted = false;
    g_autoptr(BIO) pem = BIO_new(BIO_s_secmem());
    g_autoptr(EVP_PKEY) key = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, &encrypted);
    if (!key && encrypted)
        fail(error, path, "the private key is encrypted: openssl pkey removes the passphrase");
    else if (!key || PEM_write_bio_PrivateKey(pem, key, NULL, NULL, 0, NULL, NULL) != 1)
        fail(error, path, "holds no private key in PEM");
    else
        *text = to_text(pem);
    return *text ? g_steal_pointer(&key) : NULL;
}

static void warn_of_dates(const X509 *x509, const char *path)
{
    if (X509_cmp_current_time(X509_get0_notAfter(x509)) < 0)
        g_warning("the certificate in %s has expired: clients will warn or refuse", path);
    else if (X509_cmp_current_time(X509_get0_notBefore(x509)) > 0)
        g_warning("the certificate in %s is not valid yet: clients will warn or refuse", path);
}

static bool check_pair(const X509 *x509, const EVP_PKEY *key, const Certificate *loaded,
                       const char *certificate_path, const char *key_path, GError **error)
{
    if (X509_check_private_key(x509, key) != 1)
        return fail(error, key_path, "the private key is not that of the certificate in %s",
                    certificate_path);
    if (strlen(loaded->certificate) + strlen(loaded->private_key) > CERTIFICATE_MAX_BYTES)
        return fail(error, certificate_path,
                    "with its private key it is larger than %d KiB: leave certificates out of the "
                    "chain that clients have or do not need",
                    CERTIFICATE_MAX_BYTES / 1024);
    warn_of_dates(x509, certificate_path);
    return true;
}

Certificate *certificate_load(const char *certificate, const char *private_key, GError **error)
{
    g_autoptr(Certificate) loaded = g_new0(Certificate, 1);
    ERR_clear_error();
    g_autoptr(BIO) certificate_file = open_file(certificate, TEXT_FILE_PUBLIC, error);
    g_autoptr(X509) x509 = certificate_file ? certificates_parse(certificate_file, certificate,
                                                                 &loaded->certificate, error)
                                            : NULL;
    g_autoptr(BIO) key_file = x509 ? open_file(private_key, TEXT_FILE_SECRET, error) : NULL;
    g_autoptr(EVP_PKEY) key =
        key_file ? private_key_parse(key_file, private_key, &loaded->private_key, error) : NULL;
    if (!key || !check_pair(x509, key, loaded, certificate, private_key, error))
        return NULL;
    return g_steal_pointer(&loaded);
}

void certificate_free(Certificate *certificate)
{
    if (!certificate)
        return;
    g_free(certificate->certificate);
    if (certificate->private_key)
        OPENSSL_cleanse(certificate->private_key, strlen(certificate->private_key));
    g_free(certificate->private_key);
    g_free(certificate);
}

/* ---- Making ---- */

static bool add_extension(X509 *x509, int nid, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, x509, x509, NULL, NULL, 0);
    g_autoptr(X509_EXTENSION) extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    return extension && X509_add_ext(x509, extension, -1) == 1;
}

static bool set_serial(X509 *x509)
{
    g_autoptr(BIGNUM) serial = BN_new();
    return serial && BN_rand(serial, SERIAL_BITS, BN_RAND_TOP_ANY, BN_RAND_BOTTOM_ANY) == 1 &&
           BN_to_ASN1_INTEGER(serial, X509_get_serialNumber(x509)) != NULL;
}

/* A host name that no certificate can bear (empty, over-long, with commas) is replaced. */
static const char *subject_name(void)
{
    const char *name = g_get_host_name();
    size_t length =
        strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-");
    return length > 0 && length <= 64 && name[length] == '\0' ? name : "rdpusb";
}

static X509 *self_sign(EVP_PKEY *key)
{
    const char *host = subject_name();
    g_autofree char *alternative = g_strdup_printf("DNS:%s", host);
    g_autoptr(X509) x509 = X509_new();
    X509_NAME *name = x509 ? X509_get_subject_name(x509) : NULL;
    if (!x509 || X509_set_version(x509, X509_VERSION_3) != 1 || !set_serial(x509) ||
        !X509_gmtime_adj(X509_getm_notBefore(x509), 0) ||
        !X509_gmtime_adj(X509_getm_notAfter(x509), VALID_SECONDS) ||
        X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *) host, -1, -1,
                                   0) != 1 ||
        X509_set_issuer_name(x509, name) != 1 || X509_set_pubkey(x509, key) != 1 ||
        !add_extension(x509, NID_basic_constraints, "critical,CA:FALSE") ||
        !add_extension(x509, NID_key_usage, "critical,digitalSignature,keyEncipherment") ||
        !add_extension(x509, NID_ext_key_usage, "serverAuth") ||
        !add_extension(x509, NID_subject_alt_name, alternative) ||
        X509_sign(x509, key, EVP_sha256()) == 0)
        return NULL;
    return g_steal_pointer(&x509);
}

static bool write_pem(BIO *bio, const char *path, int mode, GError **error)
{
    char *text;
    long size = BIO_get_mem_data(bio, &text);
    return g_file_set_contents_full(path, text, size,
                                    G_FILE_SET_CONTENTS_CONSISTENT | G_FILE_SET_CONTENTS_DURABLE,
                                    mode, error);
}

static bool certificate_make(const char *certificate_path, const char *key_path, GError **error)
{
    ERR_clear_error();
    g_autoptr(EVP_PKEY) key = EVP_RSA_gen(KEY_BITS);
    g_autoptr(X509) x509 = key ? self_sign(key) : NULL;
    g_autoptr(BIO) key_pem = BIO_new(BIO_s_secmem());
    g_autoptr(BIO) certificate_pem = BIO_new(BIO_s_mem());
    if (!x509 || !key_pem || !certificate_pem ||
        PEM_write_bio_PrivateKey(key_pem, key, NULL, NULL, 0, NULL, NULL) != 1 ||
        PEM_write_bio_X509(certificate_pem, x509) != 1) {
        const char *reason = ERR_reason_error_string(ERR_peek_last_error());
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED,
                    "cannot make a self-signed certificate (%s)", reason ? reason : "no reason");
        return false;
    }
    return write_pem(key_pem, key_path, 0600, error) &&
           write_pem(certificate_pem, certificate_path, 0644, error);
}

Certificate *certificate_load_or_make(const char *state_dir, GError **error)
{
    g_autofree char *certificate = g_build_filename(state_dir, CERTIFICATE_FILE, NULL);
    g_autofree char *key = g_build_filename(state_dir, KEY_FILE, NULL);
    if (!g_file_test(certificate, G_FILE_TEST_EXISTS)) {
        if (g_mkdir_with_parents(state_dir, 0700) != 0) {
            g_set_error(error, G_IO_ERROR, g_io_error_from_errno(errno),
                        "cannot make the state directory %s: %s", state_dir, g_strerror(errno));
            return NULL;
        }
        if (!certificate_make(certificate, key, error)) {
            g_prefix_error(error, "in the state directory: ");
            return NULL;
        }
        g_message("made a self-signed certificate: %s", certificate);
    }
    Certificate *loaded = certificate_load(certificate, key, error);
    if (!loaded)
        g_prefix_error(error, "%s was made by an earlier start; remove it to have another made: ",
                       certificate);
    return loaded;
}
