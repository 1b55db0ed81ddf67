/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "kerberos.h"

#include <gio/gio.h>

#include <krb5.h>

#define IN_MEMORY "MEMORY:rdpusb"

struct Kerberos {
    krb5_context context;
    krb5_keytab keytab; /* while it is open, it is found by its name */
};

static krb5_error_code add_key(Kerberos *kerberos, const char *principal, guint32 version,
                               gint32 type, GVariant *key)
{
    gsize size;
    const void *bytes = g_variant_get_fixed_array(key, &size, 1);
    krb5_keytab_entry entry = {
        .vno = version,
        .key = {.enctype = type, .length = size, .contents = (krb5_octet *) bytes},
    };
    krb5_error_code code = krb5_parse_name(kerberos->context, principal, &entry.principal);
    if (code == 0)
        code = krb5_kt_add_entry(kerberos->context, kerberos->keytab, &entry); /* a copy */
    krb5_free_principal(kerberos->context, entry.principal);
    return code;
}

static krb5_error_code add_keys(Kerberos *kerberos, GVariant *keys)
{
    GVariantIter iterator;
    const char *principal;
    guint32 version;
    gint32 type;
    GVariant *key;
    krb5_error_code code = 0;
    g_variant_iter_init(&iterator, keys);
    while (code == 0 &&
           g_variant_iter_next(&iterator, "(&sui@ay)", &principal, &version, &type, &key)) {
        code = add_key(kerberos, principal, version, type, key);
        g_variant_unref(key);
    }
    return code;
}

static krb5_error_code begin(Kerberos *kerberos, GVariant *keys)
{
    krb5_error_code code = krb5_init_context(&kerberos->context);
    if (code == 0)
        code = krb5_kt_resolve(kerberos->context, IN_MEMORY, &kerberos->keytab);
    return code == 0 ? add_keys(kerberos, keys) : code;
}

Kerberos *kerberos_new(GVariant *keys, GError **error)
{
    g_autoptr(Kerberos) kerberos = g_new0(Kerberos, 1);
    krb5_error_code code = begin(kerberos, keys);
    if (code == 0)
        return g_steal_pointer(&kerberos);
    const char *text = krb5_get_error_message(kerberos->context, code);
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED, "Kerberos: the keytab cannot be used: %s",
                text);
    krb5_free_error_message(kerberos->context, text);
    return NULL;
}

void kerberos_free(Kerberos *kerberos)
{
    if (!kerberos)
        return;
    if (kerberos->keytab)
        krb5_kt_close(kerberos->context, kerberos->keytab);
    if (kerberos->context)
        krb5_free_context(kerberos->context);
    g_free(kerberos);
}

const char *kerberos_keytab(const Kerberos *kerberos)
{
    return IN_MEMORY;
}
