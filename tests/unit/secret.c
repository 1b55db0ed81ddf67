/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "secret.h"

#include <fcntl.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void secret_make(char secret[SECRET_SIZE])
{
    for (unsigned i = 0; i < SECRET_SIZE; i++)
        secret[i] = 'A' + (i * 7 + i * i) % 26;
}

static unsigned count_secrets(const char *bytes, gsize size)
{
    unsigned n = 0;
    char secret[SECRET_SIZE];
    secret_make(secret);
    for (const char *found = bytes;
         (found = memmem(found, bytes + size - found, secret, SECRET_SIZE));)
        n++, found += SECRET_SIZE;
    explicit_bzero(secret, sizeof secret);
    return n;
}

/* Huge mappings are a sanitizer's. */
unsigned secret_count(void)
{
    unsigned n = 0;
    static char memory[65536];
    g_autofree char *maps = NULL;
    g_assert_true(g_file_get_contents("/proc/self/maps", &maps, NULL, NULL));
    g_auto(GStrv) lines = g_strsplit(maps, "\n", -1);
    int fd = g_open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
    g_assert_cmpint(fd, >=, 0);
    for (char **line = lines; *line; line++) {
        guint64 begin, end;
        char mode[5];
        if (sscanf(*line, "%" G_GINT64_MODIFIER "x-%" G_GINT64_MODIFIER "x %4s", &begin, &end,
                   mode) != 3 ||
            !g_str_has_prefix(mode, "rw") || end - begin > 256 << 20)
            continue;
        for (guint64 at = begin; at < end; at += sizeof memory) {
            ssize_t size = pread(fd, memory, MIN(sizeof memory, end - at), (off_t) at);
            n += size > 0 ? count_secrets(memory, size) : 0;
            explicit_bzero(memory, sizeof memory);
        }
    }
    close(fd);
    return n;
}
