/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * rdpusb-session: serves one RDP connection. rdpusbd starts it with the client's accepted socket
 * as descriptor 3 and the link to itself as descriptor 4.
 */
#include <fcntl.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <glib.h>

#include "session-log.h"
#include "session.h"

#define CLIENT_FD 3
#define LINK_FD   4

static bool is_socket(int fd)
{
    struct stat status;
    return fstat(fd, &status) == 0 && S_ISSOCK(status.st_mode) &&
           fcntl(fd, F_SETFD, FD_CLOEXEC) == 0;
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        puts("rdpusb-session " RDPUSB_VERSION);
        return 0;
    }
    if (argc != 1 || !is_socket(CLIENT_FD) || !is_socket(LINK_FD)) {
        fputs("rdpusb-session: this program is started by rdpusbd, one for each connection, and "
              "takes no options but --version; please start rdpusbd\n",
              stderr);
        return 2;
    }
    setlocale(LC_CTYPE, "C.UTF-8");
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a limit of sizes of files ends a capture, not the session */
    session_log_open();
    g_autoptr(GError) error = NULL;
    if (!session_run(CLIENT_FD, LINK_FD, &error)) {
        g_critical("%s", error->message);
        return 1;
    }
    return 0;
}
