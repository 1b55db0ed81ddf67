/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <glib.h>

/* The kernel's, all versions: a build with older headers restricts as much. Bits and structures as
 * in linux/landlock.h; asm-generic gives the numbers of the calls to every architecture. */
#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_add_rule       445
#define SYS_landlock_restrict_self  446
#endif
#define CREATE_VERSION    (UINT32_C(1) << 0)
#define RULE_PATH_BENEATH 1
#define FILES_READ        (UINT64_C(1) << 2) /* READ_FILE */
#define FILES_LIST        (UINT64_C(1) << 3) /* READ_DIR */

typedef struct {
    uint64_t files; /* handled: forbidden where no rule allows */
    uint64_t net;   /* since 4 */
    uint64_t scope; /* since 6 */
} Ruleset;

typedef struct __attribute__((packed)) {
    uint64_t allowed;
    int32_t parent;
} PathRule;

/* What each version added, from EXECUTE, WRITE_FILE, ... of the first on. */
static const struct {
    int abi;
    Ruleset added;
} additions[] = {
    {1, {.files = (UINT64_C(1) << 13) - 1}},
    {2, {.files = UINT64_C(1) << 13}}, /* REFER */
    {3, {.files = UINT64_C(1) << 14}}, /* TRUNCATE */
    {4, {.net = 3}},                   /* BIND_TCP, CONNECT_TCP */
    {5, {.files = UINT64_C(1) << 15}}, /* IOCTL_DEV */
    {6, {.scope = 3}},                 /* ABSTRACT_UNIX_SOCKET, SIGNAL */
};

/* Configuration, data and plug-ins of libraries, and what glibc asks of the machine. */
static const char *const readable[] = {
    "/usr",
    "/lib",
    "/lib64",
    "/etc/fonts",
    "/etc/ssl",
    "/etc/gss",
    "/etc/krb5.conf",
    "/etc/krb5.conf.d",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/etc/nsswitch.conf",
    "/var/cache/fontconfig",
    "/proc/self",
    "/proc/meminfo",
    "/proc/cpuinfo",
    "/proc/sys/crypto",
    "/sys/devices/system/cpu",
    "/dev/urandom",
    "/dev/null",
};

int landlock_abi(void)
{
    long version = syscall(SYS_landlock_create_ruleset, NULL, 0, CREATE_VERSION);
    return version > 0 ? (int) version : 0;
}

static size_t ruleset_size(int abi)
{
    return abi >= 6 ? sizeof(Ruleset) : abi >= 4 ? 2 * sizeof(uint64_t) : sizeof(uint64_t);
}

static int ruleset_new(int abi, bool files_only)
{
    Ruleset handled = {0};
    for (size_t i = 0; i < G_N_ELEMENTS(additions) && additions[i].abi <= abi; i++) {
        handled.files |= additions[i].added.files;
        handled.net |= files_only ? 0 : additions[i].added.net;
        handled.scope |= files_only ? 0 : additions[i].added.scope;
    }
    return (int) syscall(SYS_landlock_create_ruleset, &handled, ruleset_size(abi), 0);
}

/* What is not there needs no rule. */
static void allow_reading(int ruleset, const char *path)
{
    int file = open(path, O_PATH | O_CLOEXEC);
    struct stat status;
    if (file < 0 || fstat(file, &status) != 0)
        return;
    PathRule rule = {FILES_READ | (S_ISDIR(status.st_mode) ? FILES_LIST : 0), file};
    if (syscall(SYS_landlock_add_rule, ruleset, RULE_PATH_BENEATH, &rule, 0) != 0)
        g_warning("sandbox: Landlock takes no rule for %s: %s", path, g_strerror(errno));
    close(file);
}

/* Plug-ins lie below their library: FreeRDP's or OpenSSL's may be below /opt. */
static int allow_beside(struct dl_phdr_info *library, size_t size, void *data)
{
    const char *slash = strrchr(library->dlpi_name, '/');
    if (slash && slash != library->dlpi_name) {
        g_autofree char *folder = g_strndup(library->dlpi_name, slash - library->dlpi_name);
        allow_reading(*(int *) data, folder);
    }
    return 0;
}

static bool restrict_self(int ruleset)
{
    if (ruleset < 0)
        return false;
    bool restricted = syscall(SYS_landlock_restrict_self, ruleset, 0) == 0;
    int problem = errno;
    close(ruleset);
    errno = problem;
    return restricted;
}

bool landlock_libraries_only(void)
{
    int abi = landlock_abi();
    if (abi == 0)
        return true;
    int ruleset = ruleset_new(abi, false);
    if (ruleset < 0)
        return false;
    for (size_t i = 0; i < G_N_ELEMENTS(readable); i++)
        allow_reading(ruleset, readable[i]);
    dl_iterate_phdr(allow_beside, &ruleset);
    return restrict_self(ruleset);
}

bool landlock_nothing(void)
{
    int abi = landlock_abi();
    return abi == 0 || restrict_self(ruleset_new(abi, true));
}
