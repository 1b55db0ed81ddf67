/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which keys of a keytab are the service's. */
#include "keytab.h"

#include "text-file.h"

#include <glib/gstdio.h>
#include <string.h>

static GByteArray *file_new(void)
{
    GByteArray *file = g_byte_array_new();
    g_byte_array_append(file, (const guint8 *) "\5\2", 2);
    return file;
}

static void add_number(GByteArray *bytes, gsize size, guint32 number)
{
    for (gsize i = size; i-- > 0;) {
        guint8 byte = number >> (8 * i);
        g_byte_array_append(bytes, &byte, 1);
    }
}

static void add_string(GByteArray *bytes, const char *text)
{
    add_number(bytes, 2, strlen(text));
    g_byte_array_append(bytes, (const guint8 *) text, strlen(text));
}

/* `name`: components with blanks between them. */
static void add_entry(GByteArray *file, const char *name, guint32 version, bool long_version,
                      const char *key)
{
    g_autoptr(GByteArray) entry = g_byte_array_new();
    g_auto(GStrv) components = g_strsplit(name, " ", -1);
    add_number(entry, 2, g_strv_length(components));
    add_string(entry, "A.TEST");
    for (char **component = components; *component; component++)
        add_string(entry, *component);
    add_number(entry, 4, 1);
    add_number(entry, 4, 1700000000);
    add_number(entry, 1, version & 0xff);
    add_number(entry, 2, 18);
    add_string(entry, key);
    if (long_version)
        add_number(entry, 4, version);
    add_number(file, 4, entry->len);
    g_byte_array_append(file, entry->data, entry->len);
}

static GVariant *load(const GByteArray *file, char **problem)
{
    g_autofree char *path = NULL;
    g_autoptr(GError) error = NULL;
    g_close(g_file_open_tmp("rdpusb-XXXXXX", &path, NULL), NULL);
    g_assert_true(g_file_set_contents(path, (const char *) file->data, file->len, NULL));
    g_assert_cmpint(g_chmod(path, 0600), ==, 0);
    GVariant *keys = keytab_load(path, &error);
    g_assert_true((keys == NULL) == g_error_matches(error, INPUT_ERROR, 0));
    g_assert_true(!error || g_str_has_prefix(error->message, path));
    *problem = error ? g_strdup(error->message + strlen(path)) : NULL;
    g_unlink(path);
    return keys;
}

/* Takes `file`. */
static void check_keys(GByteArray *file, const char *expected)
{
    g_autofree char *problem = NULL;
    g_autoptr(GVariant) keys = load(file, &problem);
    g_assert_cmpstr(problem, ==, NULL);
    g_autofree char *text = g_variant_print(keys, FALSE);
    g_assert_cmpstr(text, ==, expected);
    g_byte_array_unref(file);
}

/* Takes `file`. */
static void check_refused(GByteArray *file, const char *expected)
{
    g_autofree char *problem = NULL;
    g_assert_null(load(file, &problem));
    g_assert_cmpstr(problem, ==, expected);
    g_byte_array_unref(file);
}

static void test_keys(void)
{
    GByteArray *file = file_new();
    add_entry(file, "host a.test", 3, true, "\1");
    add_entry(file, "TERMSRV a.test", 3, false, "\2");
    add_number(file, 4, -5); /* a hole */
    g_byte_array_append(file, (const guint8 *) "\7\7\7\7\7", 5);
    add_entry(file, "termsrv b.test", 300, true, "\3\4");
    add_entry(file, "TERMSRV", 1, true, "\1");
    add_entry(file, "TERMSRV a.test admin", 1, true, "\1");
    add_entry(file, "TERMSRV a@test", 1, true, "\1");
    add_entry(file, "TERMSRVS a.test", 1, true, "\1");
    add_number(file, 4, 0); /* the end */
    add_number(file, 2, 0);
    check_keys(file, "[('TERMSRV/a.test@A.TEST', 3, 18, [0x02]), "
                     "('termsrv/b.test@A.TEST', 300, 18, [0x03, 0x04])]");
}

static void test_none(void)
{
    const char *problem =
        ": has no key of a principal TERMSRV/HOST: add one, as with kadmin's ktadd";
    check_refused(file_new(), problem);
    GByteArray *file = file_new();
    add_entry(file, "host a.test", 3, true, "\1");
    check_refused(file, problem);
}

static void test_too_many(void)
{
    GByteArray *file = file_new();
    for (int i = 0; i <= KEYTAB_MAX_KEYS; i++)
        add_entry(file, "TERMSRV a.test", i, true, "\1");
    check_refused(file, ": has more than 256 keys of TERMSRV: remove old ones, as with ktutil");
}

/* All have to be in one message to a session. */
static void test_too_large(void)
{
    GByteArray *file = file_new();
    g_autofree char *host = g_strnfill(KEYTAB_MAX_BYTES / 100, 'a');
    g_autofree char *name = g_strdup_printf("TERMSRV %s", host);
    for (int i = 0; i < 100; i++)
        add_entry(file, name, i, true, "\1");
    check_refused(file, ": has more than 20 KiB of keys of TERMSRV: remove old ones, as with "
                        "ktutil");
}

/* Cut anywhere, it is damaged, or has the keys before. */
static void test_damaged(void)
{
    const char *problem = ": is no keytab, or is damaged: see klist -k";
    GByteArray *whole = file_new();
    gsize empty = whole->len;
    add_entry(whole, "TERMSRV a.test", 3, false, "\2\3");
    for (gsize size = 0; size < whole->len; size++) {
        GByteArray *part = g_byte_array_new();
        g_byte_array_append(part, whole->data, size);
        if (size == empty)
            g_byte_array_unref(part);
        else
            check_refused(part, problem);
    }
    whole->data[1] = 1; /* another format */
    check_refused(whole, problem);
    for (guint32 size = 0; size < 12; size++) { /* an entry too short for what it has to have */
        GByteArray *file = file_new();
        add_number(file, 4, size + 1);
        add_number(file, 4, 0xffffffff);
        add_number(file, 4, 0xffffffff);
        add_number(file, 4, 0xffffffff);
        check_refused(file, problem);
    }
    GByteArray *file = file_new();
    add_number(file, 4, 0x80000000);
    check_refused(file, problem);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/keytab/keys", test_keys);
    g_test_add_func("/keytab/none", test_none);
    g_test_add_func("/keytab/too-many", test_too_many);
    g_test_add_func("/keytab/too-large", test_too_large);
    g_test_add_func("/keytab/damaged", test_damaged);
    return g_test_run();
}
