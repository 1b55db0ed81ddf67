/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "text-file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

G_DEFINE_QUARK(rdpusb - input - error - quark, input_error)

bool text_file_error(GError **error, const char *path, unsigned line, unsigned column,
                     const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *text = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    GString *place = g_string_new(path);
    if (line > 0)
        g_string_append_printf(place, ":%u", line);
    if (line > 0 && column > 0)
        g_string_append_printf(place, ":%u", column);
    g_set_error(error, INPUT_ERROR, 0, "%s: %s", place->str, text);
    g_string_free(place, TRUE);
    return false;
}

static bool check_owner(const struct stat *status, const char *path, GError **error)
{
    if (status->st_uid != 0 && status->st_uid != geteuid())
        return text_file_error(error, path, 0, 0,
                               "belongs to user %u, who could change it: chown it to root",
                               status->st_uid);
    if (status->st_mode & (S_IWGRP | S_IWOTH))
        return text_file_error(error, path, 0, 0, "%s may write it: chmod %s",
                               status->st_mode & S_IWOTH ? "everybody" : "its group",
                               S_ISDIR(status->st_mode) ? "0755" : "0644 or less");
    return true;
}

static bool check_file(int fd, const char *path, TextFileKind kind, GError **error)
{
    struct stat status;
    if (fstat(fd, &status) != 0)
        return text_file_error(error, path, 0, 0, "%s", g_strerror(errno));
    if (!S_ISREG(status.st_mode))
        return text_file_error(error, path, 0, 0, "is no regular file");
    if (!check_owner(&status, path, error))
        return false;
    if (kind == TEXT_FILE_SECRET && (status.st_mode & S_IROTH))
        return text_file_error(error, path, 0, 0,
                               "everybody may read its secrets: chmod 0600 or 0640");
    if (status.st_size > TEXT_FILE_MAX_BYTES)
        return text_file_error(error, path, 0, 0, "is larger than 1 MiB");
    return true;
}

static bool check_text(const char *text, gsize size, const char *path, GError **error)
{
    const char *end = text;
    if (g_utf8_validate(text, size, &end))
        return true;
    unsigned line = 1;
    for (const char *c = text; c < end; c++)
        line += *c == '\n';
    return text_file_error(error, path, line, 0, "is no text in UTF-8");
}

/* A file may grow while it is read: what is above the limit is never taken. A buffer that grew
 * would leave pieces of secrets in the memory that it gave back. */
static char *read_all(int fd, const char *path, gsize *size, GError **error)
{
    char *bytes = g_malloc(TEXT_FILE_MAX_BYTES + 1);
    ssize_t n;
    *size = 0;
    while ((n = read(fd, bytes + *size, TEXT_FILE_MAX_BYTES + 1 - *size)) > 0)
        *size += (gsize) n;
    if (n == 0 && *size <= TEXT_FILE_MAX_BYTES) {
        bytes[*size] = '\0';
        return bytes;
    }
    if (n < 0)
        text_file_error(error, path, 0, 0, "%s", g_strerror(errno));
    else
        text_file_error(error, path, 0, 0, "is larger than 1 MiB");
    explicit_bzero(bytes, *size);
    g_free(bytes);
    return NULL;
}

char *text_file_read_bytes(const char *path, TextFileKind kind, gsize *size, GError **error)
{
    /* Not to wait for the other end, if it is a pipe */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0) {
        text_file_error(error, path, 0, 0, "%s", g_strerror(errno));
        return NULL;
    }
    char *bytes = check_file(fd, path, kind, error) ? read_all(fd, path, size, error) : NULL;
    close(fd);
    return bytes;
}

char *text_file_read(const char *path, TextFileKind kind, GError **error)
{
    gsize size;
    char *text = text_file_read_bytes(path, kind, &size, error);
    if (!text || check_text(text, size, path, error))
        return text;
    explicit_bzero(text, size);
    g_free(text);
    return NULL;
}

bool text_folder_check(const char *path, GError **error)
{
    struct stat status;
    if (stat(path, &status) != 0)
        return text_file_error(error, path, 0, 0, "%s", g_strerror(errno));
    if (!S_ISDIR(status.st_mode))
        return text_file_error(error, path, 0, 0, "is no folder");
    return check_owner(&status, path, error);
}

void text_file_free(char *text)
{
    if (text)
        explicit_bzero(text, strlen(text));
    g_free(text);
}
