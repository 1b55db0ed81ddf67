/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandbox.h"

#include <errno.h>
#include <gio/gio.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "landlock.h"
#include "system-calls.h"

/* GLib's, GDBus', and those that FreeRDP starts for a moment; counted for a user of its own. */
#define MAX_THREADS 32

static bool fail(GError **error, const char *what)
{
    g_set_error(error, G_IO_ERROR, g_io_error_from_errno(errno), "sandbox: %s: %s", what,
                g_strerror(errno));
    return false;
}

/* ---- The user ---- */

/* 0: it keeps the one it has. */
static bool read_user(uid_t *user, GError **error)
{
    const char *text = g_getenv(SANDBOX_USER_VARIABLE);
    guint64 number = 0;
    *user = 0;
    if (text && !g_ascii_string_to_unsigned(text, 10, 1, G_MAXUINT32 - 1, &number, error)) {
        g_prefix_error(error, "sandbox: " SANDBOX_USER_VARIABLE ": ");
        return false;
    }
    *user = (uid_t) number;
    if (number == 0 && geteuid() == 0 && SANDBOX_IS_COMPLETE) {
        g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED,
                            "sandbox: a session does not run as root; rdpusbd gives it a user");
        return false;
    }
    return true;
}

static bool has_user(uid_t user)
{
    uid_t real, effective, saved;
    gid_t group, effective_group, saved_group;
    return getresuid(&real, &effective, &saved) == 0 &&
           getresgid(&group, &effective_group, &saved_group) == 0 && real == user &&
           effective == user && saved == user && group == user && effective_group == user &&
           saved_group == user && getgroups(0, NULL) == 0 && setuid(0) != 0 && setgid(0) != 0;
}

/* The kernel forgets the wish to die with the parent when a process changes its user. */
static bool become(uid_t user, GError **error)
{
    pid_t broker = getppid();
    if (setgroups(0, NULL) != 0 || setresgid(user, user, user) != 0 ||
        setresuid(user, user, user) != 0)
        return fail(error, "cannot change to the user that rdpusbd gave");
    errno = EPERM;
    if (!has_user(user))
        return fail(error, "the user that rdpusbd gave is not all that it is");
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != broker)
        return fail(error, "rdpusbd is gone");
    return true;
}

/* ---- Rights ---- */

/* Without CAP_SETPCAP nothing can be dropped here; with no_new_privs nothing can be gained. */
static void drop_bounding_set(void)
{
    for (int capability = 0; prctl(PR_CAPBSET_READ, capability) >= 0; capability++)
        prctl(PR_CAPBSET_DROP, capability);
}

/* Also for a process that never was root: its service may have ambient capabilities, for a port
 * below 1024. */
static bool drop_capabilities(GError **error)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {{0}};
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0,
          0); /* follow from the next line as well */
    return syscall(SYS_capset, &header, none) == 0 || fail(error, "cannot drop capabilities");
}

static bool set_limit(__rlimit_resource_t resource, rlim_t value)
{
    struct rlimit limit = {value, value};
    return setrlimit(resource, &limit) == 0;
}

/* Those that hang on no setting; rdpusbd sets the others. */
static bool set_limits(bool own_user, GError **error)
{
    if (set_limit(RLIMIT_CORE, 0) && set_limit(RLIMIT_MEMLOCK, 0) &&
        set_limit(RLIMIT_MSGQUEUE, 0) && (!own_user || set_limit(RLIMIT_NPROC, MAX_THREADS)))
        return true;
    return fail(error, "cannot set limits");
}

bool sandbox_begin(GError **error)
{
    uid_t user;
    if (!read_user(&user, error))
        return false;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return fail(error, "no_new_privs");
    if (!set_limits(user != 0, error))
        return false;
    if (!SANDBOX_IS_COMPLETE)
        return true;
    drop_bounding_set();
    if (user != 0 && !become(user, error))
        return false;
    if (!drop_capabilities(error))
        return false;
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
        return fail(error, "cannot refuse to be traced");
    return landlock_libraries_only() || fail(error, "Landlock");
}

bool sandbox_seal(GError **error)
{
    if (!SANDBOX_IS_COMPLETE)
        return true;
    g_debug("sandbox: user %u, Landlock ABI %d, seccomp", getuid(), landlock_abi());
    if (!landlock_nothing())
        return fail(error, "Landlock");
    int result = system_calls_restrict();
    errno = -result;
    if (result < 0)
        return fail(error, "this kernel does not take a seccomp filter, without which no session "
                           "is served");
    return true;
}
