/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Files that an administrator writes: configuration, users, rules. They decide who gets in, so one
 * that somebody else may change is refused, as sshd does with its own.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>

/* Somebody has to correct an option, a file or a line of it; the text names it. */
#define INPUT_ERROR (input_error_quark())
GQuark input_error_quark(void);

typedef enum {
    TEXT_FILE_PUBLIC, /* everybody may read it */
    TEXT_FILE_SECRET, /* nobody but its owner and group may */
} TextFileKind;

#define TEXT_FILE_MAX_BYTES (1024 * 1024)

/* The whole file, as valid UTF-8 without NUL, of at most TEXT_FILE_MAX_BYTES. NULL and INPUT_ERROR
 * "PATH: what, and what to do" when it is missing or unreadable, is no regular file, belongs to
 * neither root nor this process' user, may be written by its group or by others, or, if it is
 * secret, read by others. Caller frees, with text_file_free() if it is secret. */
char *text_file_read(const char *path, TextFileKind kind, GError **error);
/* The same of a file that is no text, of `*size` bytes; the caller overwrites and frees. */
char *text_file_read_bytes(const char *path, TextFileKind kind, gsize *size, GError **error);
/* The same about a folder of such files. */
bool text_folder_check(const char *path, GError **error);
/* Overwrites the text first. Accepts NULL. */
void text_file_free(char *text);

/* Sets INPUT_ERROR "PATH:LINE:COLUMN: text"; lines and columns (in characters) begin with 1, and 0
 * leaves them out. Returns false. */
bool text_file_error(GError **error, const char *path, unsigned line, unsigned column,
                     const char *format, ...) G_GNUC_PRINTF(5, 6);
