/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vector-file.h"

static void append_line(GByteArray *bytes, const char *line, const char *path)
{
    while (*line) {
        if (g_ascii_isspace(*line)) {
            line++;
            continue;
        }
        int high = g_ascii_xdigit_value(line[0]);
        int low = high < 0 ? -1 : g_ascii_xdigit_value(line[1]);
        if (low < 0)
            g_error("%s: not a pair of hexadecimal digits: \"%s\"", path, line);
        guint8 byte = (guint8) (high << 4 | low);
        g_byte_array_append(bytes, &byte, 1);
        line += 2;
    }
}

GBytes *vector_load(const char *name)
{
    g_autofree char *file = g_strconcat(name, ".hex", NULL);
    g_autofree char *path = g_test_build_filename(G_TEST_DIST, "..", "vectors", file, NULL);
    g_autofree char *text = NULL;
    g_autoptr(GError) error = NULL;
    if (!g_file_get_contents(path, &text, NULL, &error))
        g_error("%s", error->message);

    GByteArray *bytes = g_byte_array_new();
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    for (char **line = lines; *line; line++)
        if (**line != '#')
            append_line(bytes, *line, path);
    return g_byte_array_free_to_bytes(bytes);
}
