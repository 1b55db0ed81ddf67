/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Preloaded into xfreerdp3, has it offer Kerberos as mstsc does: with a ticket for the service. By
 * itself it tries "user to user" first, which /auth-pkg-list:!u2u ends from 3.17 on, and FreeRDP's
 * server side (up to 3.30) does not get from one to the other. The client leaves a kind of
 * Kerberos out if it thinks that the server's name is an address: here, the first time it asks.
 */
#include <arpa/inet.h>
#include <dlfcn.h>
#include <stdbool.h>
#include <string.h>

static bool is_winpr(void *caller)
{
    Dl_info info;
    return dladdr(caller, &info) && strstr(info.dli_fname, "libwinpr");
}

__attribute__((visibility("default"))) int inet_pton(int family, const char *text, void *address)
{
    static bool asked;
    int (*next)(int, const char *, void *);
    *(void **) &next = dlsym(RTLD_NEXT, "inet_pton");
    if (!asked && family == AF_INET && strcmp(text, "localhost") == 0 &&
        is_winpr(__builtin_return_address(0))) {
        asked = true;
        return 1;
    }
    return next(family, text, address);
}
