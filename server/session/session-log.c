/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "session-log.h"

#include <stdio.h>
#include <string.h>

#include <winpr/wlog.h>

static const struct {
    const char *name;
    GLogLevelFlags flags;
    DWORD freerdp_level;
} levels[] = {
    {"error", G_LOG_LEVEL_ERROR | G_LOG_LEVEL_CRITICAL, WLOG_OFF},
    {"warning", G_LOG_LEVEL_WARNING, WLOG_OFF},
    {"info", G_LOG_LEVEL_MESSAGE | G_LOG_LEVEL_INFO, WLOG_OFF},
    {"debug", G_LOG_LEVEL_DEBUG, WLOG_INFO},
};

/* Written before the link exists, and with it GDBus' thread, which may log as well. */
static gint threshold = 2;
static char client_address[80] = "-";

static gint level_of(GLogLevelFlags flags)
{
    for (gint i = 0; i < (gint) G_N_ELEMENTS(levels); i++) {
        if (flags & levels[i].flags)
            return i;
    }
    return G_N_ELEMENTS(levels) - 1;
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
    gint level = level_of(flags);
    if (level > g_atomic_int_get(&threshold))
        return G_LOG_WRITER_HANDLED;
    if (g_log_writer_is_journald(fileno(stderr)) &&
        g_log_writer_journald(flags, fields, n_fields, NULL) == G_LOG_WRITER_HANDLED)
        return G_LOG_WRITER_HANDLED;
    g_autoptr(GDateTime) now = g_date_time_new_now_local();
    g_autofree char *time = g_date_time_format(now, "%H:%M:%S");
    g_autofree char *text = to_one_line(message_of(fields, n_fields));
    bool named = level != level_of(G_LOG_LEVEL_INFO);
    fprintf(stderr, "%s.%03d rdpusb-session[%s]: %s%s%s\n", time,
            g_date_time_get_microsecond(now) / 1000, client_address,
            named ? levels[level].name : "", named ? ": " : "", text);
    fflush(stderr);
    return G_LOG_WRITER_HANDLED;
}

static BOOL write_freerdp_message(const wLogMessage *message)
{
    g_log("freerdp", G_LOG_LEVEL_DEBUG, "%s%s", message->PrefixString, message->TextString);
    return TRUE;
}

static BOOL drop_freerdp_message(const wLogMessage *message)
{
    return TRUE;
}

void session_log_open(void)
{
    g_log_set_writer_func(write_line, NULL, NULL);

    wLogCallbacks callbacks = {
        .message = write_freerdp_message,
        .data = drop_freerdp_message,
        .image = drop_freerdp_message,
        .package = drop_freerdp_message,
    };
    wLog *root = WLog_GetRoot();
    WLog_SetLogAppenderType(root, WLOG_APPENDER_CALLBACK);
    WLog_ConfigureAppender(WLog_GetLogAppender(root), "callbacks", &callbacks);
    WLog_Layout_SetPrefixFormat(root, WLog_GetLogLayout(root), "%mn: ");
    WLog_SetLogLevel(root, WLOG_OFF);
}

bool session_log_configure(const char *level, const char *client)
{
    g_strlcpy(client_address, client, sizeof client_address);
    for (gint i = 0; i < (gint) G_N_ELEMENTS(levels); i++) {
        if (strcmp(level, levels[i].name) == 0) {
            g_atomic_int_set(&threshold, i);
            WLog_SetLogLevel(WLog_GetRoot(), levels[i].freerdp_level);
            return true;
        }
    }
    return false;
}
