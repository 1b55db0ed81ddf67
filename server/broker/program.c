/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "program.h"

#include <gio/gio.h>
#include <stdbool.h>
#include <unistd.h>

static bool is_program(const char *path)
{
    return g_file_test(path, G_FILE_TEST_IS_REGULAR) && access(path, X_OK) == 0;
}

char *program_find(const char *name, const char *variable, GError **error)
{
    const char *chosen = g_getenv(variable);
    g_autofree char *self = g_file_read_link("/proc/self/exe", NULL);
    g_autofree char *folder = g_path_get_dirname(self ? self : "");
    g_autofree char *beside = g_build_filename(folder, name, NULL);
    g_autofree char *installed = g_build_filename(LIBEXECDIR, name, NULL);
    const char *candidates[] = {beside, installed, NULL};
    const char *only[] = {chosen, NULL};
    for (const char **path = chosen ? only : candidates; *path; path++) {
        if (is_program(*path))
            return g_strdup(*path);
    }
    if (chosen)
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND,
                    "the program %s is not %s, which %s names", name, chosen, variable);
    else
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND,
                    "the program %s is neither %s nor %s: install it, or set %s to its path", name,
                    beside, installed, variable);
    return NULL;
}
