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

#include "prepare.h"
#include "sandbox-check.h"
#include "sandbox.h"
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

static void set_up(void)
{
    setlocale(LC_CTYPE, "C.UTF-8");
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a limit of sizes of files ends a capture, not the session */
    session_log_open();
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        puts("rdpusb-session " RDPUSB_VERSION);
        return 0;
    }
    if (argc == 2 && strcmp(argv[1], "--check-sandbox") == 0) {
        set_up();
        return sandbox_check();
    }
    if (argc != 1 || !is_socket(CLIENT_FD) || !is_socket(LINK_FD)) {
        fputs("rdpusb-session: this program is started by rdpusbd, one for each connection, and "
              "takes no options but --version and --check-sandbox; please start rdpusbd\n",
              stderr);
        return 2;
    }
    set_up();
    g_autoptr(GError) error = NULL;
    if (!sandbox_begin(&error) || !prepare_libraries(&error) ||
        !session_run(CLIENT_FD, LINK_FD, &error)) {
        g_critical("%s", error->message);
        return 1;
    }
    return 0;
}
