/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "log.h"

#include <stdio.h>
#include <string.h>

#define MAX_QUOTED 128 /* characters of a peer's text that one line of the log may take */

static const char *const level_names[] = {"error", "warning", "info", "debug"};
static const int priorities[] = {3, 4, 6, 7}; /* of syslog(3) */
static gint lowest = LOG_INFO;                /* read by GDBus' thread too */
static bool lines_only;
static char name[128]; /* of the program, with its label; written before that thread exists */

const char *log_level_to_string(LogLevel level)
{
    return level_names[level];
}

bool log_level_parse(const char *text, LogLevel *level)
{
    for (guint i = 0; i < G_N_ELEMENTS(level_names); i++) {
        if (strcmp(text, level_names[i]) == 0) {
            *level = i;
            return true;
        }
    }
    return false;
}

static LogLevel level_of(GLogLevelFlags flags)
{
    if (flags & (G_LOG_LEVEL_ERROR | G_LOG_LEVEL_CRITICAL))
        return LOG_ERROR;
    if (flags & G_LOG_LEVEL_WARNING)
        return LOG_WARNING;
    return flags & G_LOG_LEVEL_DEBUG ? LOG_DEBUG : LOG_INFO;
}

static const char *message_of(const GLogField *fields, gsize n_fields)
{
    for (gsize i = 0; i < n_fields; i++) {
        if (strcmp(fields[i].key, "MESSAGE") == 0 && fields[i].length < 0)
            return fields[i].value;
    }
    return "";
}

/* A message may quote a peer: one message stays one line. */
static char *to_one_line(const char *message)
{
    char *line = g_utf8_make_valid(message, -1);
    for (char *c = line; *c; c++) {
        if (g_ascii_iscntrl(*c))
            *c = ' ';
    }
    return line;
}

static GLogWriterOutput write_line(GLogLevelFlags flags, const GLogField *fields, gsize n_fields,
                                   gpointer data)
{
    LogLevel level = level_of(flags);
    if ((gint) level > g_atomic_int_get(&lowest))
        return G_LOG_WRITER_HANDLED;
    bool journal = g_log_writer_is_journald(fileno(stderr));
    if (journal && !lines_only &&
        g_log_writer_journald(flags, fields, n_fields, NULL) == G_LOG_WRITER_HANDLED)
        return G_LOG_WRITER_HANDLED;
    if (journal && lines_only) {
        g_autofree char *line = to_one_line(message_of(fields, n_fields));
        fprintf(stderr, "<%d>%s: %s\n", priorities[level], name, line);
        fflush(stderr);
        return G_LOG_WRITER_HANDLED;
    }
    g_autoptr(GDateTime) now = g_date_time_new_now_local();
    g_autofree char *time = g_date_time_format(now, "%H:%M:%S");
    g_autofree char *text = to_one_line(message_of(fields, n_fields));
    fprintf(stderr, "%s.%03d %s: %s%s%s\n", time, g_date_time_get_microsecond(now) / 1000, name,
            level == LOG_INFO ? "" : level_names[level], level == LOG_INFO ? "" : ": ", text);
    fflush(stderr);
    return G_LOG_WRITER_HANDLED;
}

void log_use_lines(void)
{
    lines_only = true;
}

void log_open(const char *program)
{
    g_strlcpy(name, program, sizeof name);
    g_log_set_writer_func(write_line, NULL, NULL);
}

void log_set_label(const char *label)
{
    g_snprintf(name + strlen(name), sizeof name - strlen(name), "[%s]", label);
}

void log_set_level(LogLevel level)
{
    g_atomic_int_set(&lowest, level);
}

char *log_quote(const char *text)
{
    g_autofree char *valid = g_utf8_make_valid(text, -1);
    GString *quoted = g_string_new("\"");
    unsigned n = 0;
    for (const char *c = valid; *c; c = g_utf8_next_char(c)) {
        gunichar character = g_utf8_get_char(c);
        if (++n > MAX_QUOTED) {
            g_string_append(quoted, "…");
            break;
        }
        if (character == '"' || character == '\\')
            g_string_append_printf(quoted, "\\%c", (char) character);
        else if (g_unichar_isprint(character))
            g_string_append_unichar(quoted, character);
        else
            g_string_append_printf(quoted, "\\u{%x}", character);
    }
    return g_string_free(g_string_append_c(quoted, '"'), FALSE);
}
