/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "session-log.h"

#include <winpr/wlog.h>

#include "log.h"

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
    log_use_lines(); /* the sandbox has no sockets for it */
    log_open("rdpusb-session");

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

bool session_log_configure(const char *level_name, const char *client)
{
    LogLevel level;
    log_set_label(client);
    if (!log_level_parse(level_name, &level))
        return false;
    log_set_level(level);
    WLog_SetLogLevel(WLog_GetRoot(), level == LOG_DEBUG ? WLOG_INFO : WLOG_OFF);
    return true;
}
