/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "rights.h"

#include <errno.h>
#include <gio/gio.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define BIT(capability) (1u << (capability))

/* To start, change and end processes of other users: those of rdpusbd-root.conf. */
#define FOR_SESSIONS (BIT(CAP_SETUID) | BIT(CAP_SETGID) | BIT(CAP_SETPCAP) | BIT(CAP_KILL))
/* Sockets of QEMU may belong to its user, as may the folders of ours, and of captures and audit;
 * and a port may be below 1024. Without these, root has to have been let in like any user. */
#define FOR_FILES (BIT(CAP_DAC_OVERRIDE) | BIT(CAP_FOWNER) | BIT(CAP_NET_BIND_SERVICE))
#define KEPT      (FOR_SESSIONS | FOR_FILES)

static bool fail(GError **error, const char *what)
{
    g_set_error(error, G_IO_ERROR, g_io_error_from_errno(errno), "cannot %s: %s", what,
                g_strerror(errno));
    return false;
}

/* Without CAP_SETPCAP it stays, and no_new_privs alone keeps programs from it. */
static void drop_bounding_set(void)
{
    for (int capability = 0; prctl(PR_CAPBSET_READ, capability) >= 0; capability++) {
        if (capability >= 32 || !(KEPT & BIT(capability)))
            prctl(PR_CAPBSET_DROP, capability);
    }
}

static bool drop_capabilities(GError **error)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct has[_LINUX_CAPABILITY_U32S_3];
    if (syscall(SYS_capget, &header, has) != 0)
        return fail(error, "tell which capabilities there are");
    const guint32 kept = has[0].permitted & KEPT;
    const struct __user_cap_data_struct left[_LINUX_CAPABILITY_U32S_3] = {
        {.effective = kept, .permitted = kept}};
    return syscall(SYS_capset, &header, left) == 0 || fail(error, "drop capabilities");
}

bool rights_restrict(bool for_pam, GError **error)
{
    const struct rlimit none = {0, 0};
    if (setrlimit(RLIMIT_CORE, &none) != 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
        return fail(error, "refuse to be dumped");
    bool root = geteuid() == 0;
    if (root && !for_pam)
        drop_bounding_set();
    if (root && !drop_capabilities(error))
        return false;
    /* Modules start programs that have the rights of their owner, as pam_unix does. */
    return for_pam || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 || fail(error, "no_new_privs");
}
