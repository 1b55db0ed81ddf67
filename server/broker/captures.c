/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "captures.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <string.h>
#include <unistd.h>

/* Of one run: a device that comes and goes all night must not fill the disk. */
#define MAX_FILES 1000

/* Devices of one second with the same name. */
#define MAX_TWINS 100

#define MAX_VM_NAME 40

struct Captures {
    char *path;
    int folder;
    unsigned files;
};

static void set_error(GError **error, const char *what, const char *path, const char *advice)
{
    int problem = errno;
    g_set_error(error, G_IO_ERROR, g_io_error_from_errno(problem), "%s %s: %s%s", what, path,
                g_strerror(problem), advice);
}

Captures *captures_new(const char *path, GError **error)
{
    int folder = open(path, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
    if (folder < 0 || faccessat(folder, ".", W_OK | X_OK, 0) != 0) {
        set_error(error, "cannot capture to", path,
                  "; --capture needs a folder that is there and that rdpusbd may write to");
        if (folder >= 0)
            close(folder);
        return NULL;
    }
    Captures *captures = g_new0(Captures, 1);
    captures->path = g_strdup(path);
    captures->folder = folder;
    g_warning("capturing to %s: the files there will contain everything that is read from and "
              "typed on devices, passwords too",
              path);
    return captures;
}

void captures_free(Captures *captures)
{
    if (!captures)
        return;
    close(captures->folder);
    g_free(captures->path);
    g_free(captures);
}

/* What a reader knows a VM by, as far as the name of a file may have it: the last part of a
 * socket's path, or an address. */
static char *name_of_vm(const char *port)
{
    const char *slash = strrchr(port, '/');
    const char *colon = strchr(port, ':');
    const char *name = slash ? slash + 1 : colon ? colon + 1 : port;
    char *safe = g_strndup(name, MAX_VM_NAME);
    return g_strcanon(safe, G_CSET_A_2_Z G_CSET_a_2_z G_CSET_DIGITS "._-", '-');
}

int captures_open(Captures *captures, const char *port, guint16 vendor, guint16 product,
                  char **path, GError **error)
{
    if (captures->files >= MAX_FILES) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_NO_SPACE,
                    "there are %u captures of this run already; restart rdpusbd for more",
                    captures->files);
        return -1;
    }
    g_autoptr(GDateTime) now = g_date_time_new_now_local();
    g_autofree char *time = g_date_time_format(now, "%Y%m%d-%H%M%S");
    g_autofree char *vm = name_of_vm(port);
    for (unsigned i = 1; i <= MAX_TWINS; i++) {
        g_autofree char *name =
            g_strdup_printf("%s-%s-%04x-%04x-%u.pcapng", time, vm, vendor, product, i);
        int file = openat(captures->folder, name,
                          O_WRONLY | O_APPEND | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (file < 0 && errno == EEXIST)
            continue;
        if (file < 0) {
            set_error(error, "cannot make a file in", captures->path, "");
            return -1;
        }
        captures->files++;
        *path = g_build_filename(captures->path, name, NULL);
        return file;
    }
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_EXISTS, "%s has %u files of this second already",
                captures->path, MAX_TWINS);
    return -1;
}
