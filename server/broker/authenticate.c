/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "authenticate.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#define MAX_PASSWORD_BYTES 1024
#define DIGEST_BYTES       32

/* What is compared is HMAC-SHA-256 under a key of this process: always 32 bytes, so neither the
 * length nor the first wrong byte of a guess shows in the time. */
struct Credentials {
    unsigned char key[DIGEST_BYTES];
    unsigned char user[DIGEST_BYTES];
    unsigned char password[DIGEST_BYTES];
};

static void digest(const unsigned char *key, const char *text, unsigned char *result)
{
    unsigned size = 0;
    if (!HMAC(EVP_sha256(), key, DIGEST_BYTES, (const unsigned char *) text, strlen(text), result,
              &size))
        g_error("OpenSSL has no HMAC-SHA-256");
}

static bool fail(GError **error, const char *path, const char *reason)
{
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED, "password file %s: %s", path, reason);
    return false;
}

/* The first line, without its end. `line` has room for MAX_PASSWORD_BYTES + 2. */
static bool read_first_line(int fd, const char *path, char *line, GError **error)
{
    struct stat status;
    size_t size = 0;
    ssize_t n;
    if (fd < 0 || fstat(fd, &status) != 0)
        return fail(error, path, g_strerror(errno));
    if (status.st_mode & (S_IROTH | S_IWOTH))
        return fail(error, path, "everybody may read or write it: chmod 0640 or 0600");
    while ((n = read(fd, line + size, MAX_PASSWORD_BYTES + 1 - size)) > 0)
        size += n;
    if (n < 0)
        return fail(error, path, g_strerror(errno));
    const char *end = memchr(line, '\n', size);
    size_t length = end ? (size_t) (end - line) : size;
    if (length > 0 && line[length - 1] == '\r')
        length--;
    line[length] = '\0';
    if (length == 0 || strlen(line) != length)
        return fail(error, path, "its first line is no password: it is empty or not text");
    if (length > MAX_PASSWORD_BYTES)
        return fail(error, path, "its first line is longer than 1024 bytes");
    return true;
}

Credentials *credentials_new(const char *user, const char *password_file, GError **error)
{
    char line[MAX_PASSWORD_BYTES + 2];
    int fd = open(password_file, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    bool read = read_first_line(fd, password_file, line, error);
    if (fd >= 0)
        close(fd);
    g_autoptr(Credentials) credentials = g_new0(Credentials, 1);
    if (read) {
        if (RAND_bytes(credentials->key, sizeof credentials->key) != 1)
            g_error("OpenSSL has no random numbers");
        digest(credentials->key, user, credentials->user);
        digest(credentials->key, line, credentials->password);
    }
    OPENSSL_cleanse(line, sizeof line);
    return read ? g_steal_pointer(&credentials) : NULL;
}

void credentials_free(Credentials *credentials)
{
    if (!credentials)
        return;
    OPENSSL_cleanse(credentials, sizeof *credentials);
    g_free(credentials);
}

bool credentials_match(const Credentials *credentials, const char *user, const char *password)
{
    unsigned char user_digest[DIGEST_BYTES], password_digest[DIGEST_BYTES];
    digest(credentials->key, user, user_digest);
    digest(credentials->key, password, password_digest);
    int different = CRYPTO_memcmp(user_digest, credentials->user, DIGEST_BYTES) |
                    CRYPTO_memcmp(password_digest, credentials->password, DIGEST_BYTES);
    return different == 0;
}
