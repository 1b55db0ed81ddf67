/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "keytab.h"

#include "text-file.h"

#include <stdbool.h>
#include <string.h>

static const guint8 format[] = {5, 2};

typedef struct {
    const guint8 *at, *end;
} Part;

typedef struct {
    char *principal; /* NULL: of another service */
    guint32 version, type;
    Part key;
} Key;

/* ---- Reading ---- */

static gsize left(const Part *part)
{
    return part->end - part->at;
}

static bool take(Part *part, gsize size, Part *taken)
{
    if (size > left(part))
        return false;
    *taken = (Part){part->at, part->at + size};
    part->at += size;
    return true;
}

/* Of at most 4 bytes, the highest first. */
static bool take_number(Part *part, gsize size, guint32 *number)
{
    Part bytes;
    if (!take(part, size, &bytes))
        return false;
    *number = 0;
    while (bytes.at < bytes.end)
        *number = *number << 8 | *bytes.at++;
    return true;
}

static bool take_string(Part *part, Part *string)
{
    guint32 size;
    return take_number(part, 2, &size) && take(part, size, string);
}

/* A part of a principal's name that needs no escapes in it. */
static bool take_name(Part *part, char **name)
{
    Part string;
    if (!take_string(part, &string) || left(&string) == 0 ||
        !g_utf8_validate((const char *) string.at, left(&string), NULL))
        return false;
    *name = g_strndup((const char *) string.at, left(&string));
    return strpbrk(*name, "/@\\") == NULL;
}

/* Leaves the principal out if it is not SERVICE/HOST. */
static bool take_principal(Part *entry, char **principal)
{
    guint32 n, type;
    g_autofree char *realm = NULL;
    g_autofree char *service = NULL;
    g_autofree char *host = NULL;
    Part rest = *entry;
    Part skipped;
    if (!take_number(entry, 2, &n) || n > 255)
        return false;
    for (guint32 i = 0; i <= n; i++) { /* the realm first */
        if (!take_string(entry, &skipped))
            return false;
    }
    take_number(&rest, 2, &n);
    if (n == 2 && take_name(&rest, &realm) && take_name(&rest, &service) &&
        take_name(&rest, &host) && g_ascii_strcasecmp(service, KEYTAB_SERVICE) == 0)
        *principal = g_strdup_printf("%s/%s@%s", service, host, realm);
    return take_number(entry, 4, &type);
}

/* The version has 8 bits, and, since that is not enough, 32 more at the end. */
static bool take_key(Part *entry, Key *key)
{
    guint32 time, version;
    if (!take_principal(entry, &key->principal) || !take_number(entry, 4, &time) ||
        !take_number(entry, 1, &key->version) || !take_number(entry, 2, &key->type) ||
        !take_string(entry, &key->key))
        return false;
    if (take_number(entry, 4, &version) && version != 0)
        key->version = version;
    return true;
}

static bool add_key(Part entry, GVariantBuilder *keys, unsigned *n)
{
    Key key = {0};
    bool good = take_key(&entry, &key);
    if (good && key.principal && ++*n <= KEYTAB_MAX_KEYS)
        g_variant_builder_add(
            keys, "(sui@ay)", key.principal, key.version, (gint32) key.type,
            g_variant_new_fixed_array(G_VARIANT_TYPE_BYTE, key.key.at, left(&key.key), 1));
    g_free(key.principal);
    return good;
}

/* An entry is preceded by its size, which is negative where one was deleted, and 0 at the end. */
static bool add_keys(Part file, GVariantBuilder *keys, unsigned *n)
{
    Part begin, entry;
    guint32 number;
    if (!take(&file, sizeof format, &begin) || memcmp(begin.at, format, sizeof format) != 0)
        return false;
    while (left(&file) > 0) {
        if (!take_number(&file, 4, &number))
            return false;
        gint64 size = (gint32) number;
        if (size == 0)
            return true;
        if (!take(&file, ABS(size), &entry) || (size > 0 && !add_key(entry, keys, n)))
            return false;
    }
    return true;
}

/* ---- Keys ---- */

static bool check(bool good, unsigned n, GVariant *keys, const char *path, GError **error)
{
    if (!good)
        return text_file_error(error, path, 0, 0, "is no keytab, or is damaged: see klist -k");
    if (n == 0)
        return text_file_error(error, path, 0, 0,
                               "has no key of a principal " KEYTAB_SERVICE
                               "/HOST: add one, as with kadmin's ktadd");
    if (n > KEYTAB_MAX_KEYS)
        return text_file_error(error, path, 0, 0,
                               "has more than %d keys of " KEYTAB_SERVICE
                               ": remove old ones, as with ktutil",
                               KEYTAB_MAX_KEYS);
    if (g_variant_get_size(keys) > KEYTAB_MAX_BYTES)
        return text_file_error(error, path, 0, 0,
                               "has more than %d KiB of keys of " KEYTAB_SERVICE
                               ": remove old ones, as with ktutil",
                               KEYTAB_MAX_BYTES / 1024);
    return true;
}

GVariant *keytab_load(const char *path, GError **error)
{
    gsize size;
    unsigned n = 0;
    char *bytes = text_file_read_bytes(path, TEXT_FILE_SECRET, &size, error);
    if (!bytes)
        return NULL;
    GVariantBuilder builder;
    g_variant_builder_init(&builder, G_VARIANT_TYPE(KEYTAB_TYPE));
    const Part file = {(guint8 *) bytes, (guint8 *) bytes + size};
    bool good = add_keys(file, &builder, &n);
    explicit_bzero(bytes, size);
    g_free(bytes);
    g_autoptr(GVariant) keys = g_variant_ref_sink(g_variant_builder_end(&builder));
    return check(good, n, keys, path, error) ? g_steal_pointer(&keys) : NULL;
}
