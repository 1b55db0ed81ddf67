/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "system-calls.h"

#include <asm/ioctls.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <seccomp.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <glib.h>

#define KILL    SCMP_ACT_KILL_PROCESS
#define ABSENT  SCMP_ACT_ERRNO(ENOENT)
#define FORBID  SCMP_ACT_ERRNO(EPERM)
#define UNKNOWN SCMP_ACT_ERRNO(ENOSYS)
#define NOTHING SCMP_ACT_ERRNO(0) /* succeeds, and does nothing */

/* Where the flags of clone(2) are. */
#if defined(__s390__) || defined(__s390x__)
#define CLONE_FLAGS 1
#else
#define CLONE_FLAGS 0
#endif
#define THREAD (CLONE_VM | CLONE_SIGHAND | CLONE_THREAD)

typedef struct {
    uint32_t action;
    const int *calls;
    unsigned n;
} Group;

static const int allowed[] = {
    /* waiting */
    SCMP_SYS(poll),
    SCMP_SYS(ppoll),
    SCMP_SYS(select),
    SCMP_SYS(pselect6),
    SCMP_SYS(_newselect),
    SCMP_SYS(epoll_create1),
    SCMP_SYS(epoll_ctl),
    SCMP_SYS(epoll_wait),
    SCMP_SYS(epoll_pwait),
    SCMP_SYS(futex),
    SCMP_SYS(eventfd2),
    SCMP_SYS(pipe2),
    SCMP_SYS(nanosleep),
    SCMP_SYS(clock_nanosleep),
    SCMP_SYS(sched_yield),
    SCMP_SYS(restart_syscall),
    /* descriptors that it has */
    SCMP_SYS(read),
    SCMP_SYS(readv),
    SCMP_SYS(write),
    SCMP_SYS(writev),
    SCMP_SYS(close),
    SCMP_SYS(fstat),
    SCMP_SYS(lseek),
    SCMP_SYS(dup),
    SCMP_SYS(dup2),
    SCMP_SYS(dup3),
    SCMP_SYS(recv),
    SCMP_SYS(recvfrom),
    SCMP_SYS(recvmsg),
    SCMP_SYS(send),
    SCMP_SYS(shutdown),
    SCMP_SYS(getsockname),
    SCMP_SYS(getpeername),
    SCMP_SYS(getsockopt),
    /* memory; with protection below */
    SCMP_SYS(brk),
    SCMP_SYS(munmap),
    SCMP_SYS(mremap),
    SCMP_SYS(madvise),
    /* time */
    SCMP_SYS(clock_gettime),
    SCMP_SYS(clock_getres),
    SCMP_SYS(gettimeofday),
    SCMP_SYS(time),
    SCMP_SYS(alarm),
    SCMP_SYS(setitimer),
    SCMP_SYS(getitimer),
    SCMP_SYS(timerfd_create),
    SCMP_SYS(timerfd_settime),
    SCMP_SYS(timerfd_gettime),
    /* signals and threads of its own */
    SCMP_SYS(rt_sigaction),
    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigreturn),
    SCMP_SYS(sigreturn),
    SCMP_SYS(sigaltstack),
    SCMP_SYS(set_robust_list),
    SCMP_SYS(set_tid_address),
    SCMP_SYS(rseq),
    SCMP_SYS(exit),
    SCMP_SYS(exit_group),
    SCMP_SYS(sched_getaffinity),
    SCMP_SYS(membarrier),
    /* who it is */
    SCMP_SYS(getpid),
    SCMP_SYS(gettid),
    SCMP_SYS(getppid),
    SCMP_SYS(getuid),
    SCMP_SYS(geteuid),
    SCMP_SYS(getgid),
    SCMP_SYS(getegid),
    SCMP_SYS(getrusage),
    SCMP_SYS(times),
    SCMP_SYS(sysinfo),
    SCMP_SYS(uname),
    SCMP_SYS(getcpu),
    SCMP_SYS(getrandom),
};

/* A library that looks for a file does without. */
static const int of_files[] = {
    SCMP_SYS(open),      SCMP_SYS(openat),     SCMP_SYS(openat2),  SCMP_SYS(creat),
    SCMP_SYS(stat),      SCMP_SYS(lstat),      SCMP_SYS(statx),    SCMP_SYS(access),
    SCMP_SYS(faccessat), SCMP_SYS(faccessat2), SCMP_SYS(readlink), SCMP_SYS(readlinkat),
    SCMP_SYS(statfs),    SCMP_SYS(getcwd),     SCMP_SYS(chdir),
};

/* A library may try these: to ask the resolver or the log, to change a file, its priority, ... */
static const int forbidden[] = {
    SCMP_SYS(socket),
    SCMP_SYS(socketpair),
    SCMP_SYS(connect),
    SCMP_SYS(bind),
    SCMP_SYS(listen),
    SCMP_SYS(accept),
    SCMP_SYS(accept4),
    SCMP_SYS(mkdir),
    SCMP_SYS(mkdirat),
    SCMP_SYS(unlink),
    SCMP_SYS(unlinkat),
    SCMP_SYS(rename),
    SCMP_SYS(renameat),
    SCMP_SYS(renameat2),
    SCMP_SYS(rmdir),
    SCMP_SYS(link),
    SCMP_SYS(linkat),
    SCMP_SYS(symlink),
    SCMP_SYS(symlinkat),
    SCMP_SYS(chmod),
    SCMP_SYS(fchmod),
    SCMP_SYS(fchmodat),
    SCMP_SYS(chown),
    SCMP_SYS(fchown),
    SCMP_SYS(lchown),
    SCMP_SYS(fchownat),
    SCMP_SYS(truncate),
    SCMP_SYS(ftruncate),
    SCMP_SYS(fallocate),
    SCMP_SYS(memfd_create),
    SCMP_SYS(setrlimit),
    SCMP_SYS(setpriority),
    SCMP_SYS(mlock),
    SCMP_SYS(mlock2),
    SCMP_SYS(mlockall),
    SCMP_SYS(sched_setscheduler),
    SCMP_SYS(sched_setaffinity),
    SCMP_SYS(sched_setparam),
};

/* Nothing in the process ever asks for these. */
static const int hostile[] = {
    /* other programs and processes */
    SCMP_SYS(execve),
    SCMP_SYS(execveat),
    SCMP_SYS(fork),
    SCMP_SYS(vfork),
    SCMP_SYS(ptrace),
    SCMP_SYS(process_vm_readv),
    SCMP_SYS(process_vm_writev),
    SCMP_SYS(process_madvise),
    SCMP_SYS(kcmp),
    SCMP_SYS(pidfd_open),
    SCMP_SYS(pidfd_getfd),
    SCMP_SYS(pidfd_send_signal),
    SCMP_SYS(rt_sigqueueinfo),
    SCMP_SYS(rt_tgsigqueueinfo),
    SCMP_SYS(tkill),
    /* another user, more rights, other limits */
    SCMP_SYS(setuid),
    SCMP_SYS(setgid),
    SCMP_SYS(setreuid),
    SCMP_SYS(setregid),
    SCMP_SYS(setresuid),
    SCMP_SYS(setresgid),
    SCMP_SYS(setfsuid),
    SCMP_SYS(setfsgid),
    SCMP_SYS(setgroups),
    SCMP_SYS(capset),
    SCMP_SYS(personality),
    SCMP_SYS(seccomp),
    /* file systems and namespaces */
    SCMP_SYS(mount),
    SCMP_SYS(umount2),
    SCMP_SYS(umount),
    SCMP_SYS(pivot_root),
    SCMP_SYS(chroot),
    SCMP_SYS(unshare),
    SCMP_SYS(setns),
    SCMP_SYS(open_tree),
    SCMP_SYS(move_mount),
    SCMP_SYS(fsopen),
    SCMP_SYS(fsconfig),
    SCMP_SYS(fsmount),
    SCMP_SYS(fspick),
    SCMP_SYS(mount_setattr),
    SCMP_SYS(open_by_handle_at),
    SCMP_SYS(name_to_handle_at),
    SCMP_SYS(mknod),
    SCMP_SYS(mknodat),
    SCMP_SYS(swapon),
    SCMP_SYS(swapoff),
    SCMP_SYS(quotactl),
    /* large parts of the kernel in one call */
    SCMP_SYS(bpf),
    SCMP_SYS(perf_event_open),
    SCMP_SYS(io_uring_setup),
    SCMP_SYS(io_uring_enter),
    SCMP_SYS(io_uring_register),
    SCMP_SYS(io_setup),
    SCMP_SYS(io_submit),
    SCMP_SYS(userfaultfd),
    SCMP_SYS(add_key),
    SCMP_SYS(request_key),
    SCMP_SYS(keyctl),
    SCMP_SYS(memfd_secret),
    SCMP_SYS(vmsplice),
    SCMP_SYS(splice),
    SCMP_SYS(tee),
    SCMP_SYS(fanotify_init),
    SCMP_SYS(lookup_dcookie),
    SCMP_SYS(remap_file_pages),
    SCMP_SYS(move_pages),
    SCMP_SYS(migrate_pages),
    SCMP_SYS(mbind),
    SCMP_SYS(modify_ldt),
    SCMP_SYS(msgget),
    SCMP_SYS(semget),
    SCMP_SYS(shmget),
    SCMP_SYS(mq_open),
    SCMP_SYS(uselib),
    /* the machine */
    SCMP_SYS(init_module),
    SCMP_SYS(finit_module),
    SCMP_SYS(delete_module),
    SCMP_SYS(kexec_load),
    SCMP_SYS(kexec_file_load),
    SCMP_SYS(reboot),
    SCMP_SYS(syslog),
    SCMP_SYS(acct),
    SCMP_SYS(sethostname),
    SCMP_SYS(setdomainname),
    SCMP_SYS(settimeofday),
    SCMP_SYS(stime),
    SCMP_SYS(clock_settime),
    SCMP_SYS(clock_adjtime),
    SCMP_SYS(adjtimex),
    SCMP_SYS(iopl),
    SCMP_SYS(ioperm),
    SCMP_SYS(vhangup),
};

static const Group groups[] = {
    {SCMP_ACT_ALLOW, allowed, G_N_ELEMENTS(allowed)},
    {ABSENT, of_files, G_N_ELEMENTS(of_files)},
    {FORBID, forbidden, G_N_ELEMENTS(forbidden)},
    {KILL, hostile, G_N_ELEMENTS(hostile)},
};

/* ---- Conditions on the argument `i`; all 64 bits count ---- */

typedef struct scmp_arg_cmp Condition;

static Condition is(unsigned i, scmp_datum_t value)
{
    return (Condition){i, SCMP_CMP_EQ, value, 0};
}

static Condition is_not(unsigned i, scmp_datum_t value)
{
    return (Condition){i, SCMP_CMP_NE, value, 0};
}

/* Of the bits in `mask` those of `value`, and no other. */
static Condition has(unsigned i, scmp_datum_t mask, scmp_datum_t value)
{
    return (Condition){i, SCMP_CMP_MASKED_EQ, mask, value};
}

/* ---- Rules ---- */

/* A call of which this architecture has another form, or which it does not have, needs no rule. */
static int add(scmp_filter_ctx filter, uint32_t action, int call, unsigned n,
               const Condition *conditions)
{
    int result = seccomp_rule_add_array(filter, action, call, n, conditions);
    return result == -EDOM ? 0 : result;
}

#define ADD(filter, action, call, ...)                                                             \
    add(filter, action, SCMP_SYS(call), sizeof((Condition[]){__VA_ARGS__}) / sizeof(Condition),    \
        (Condition[]){__VA_ARGS__})

static int add_groups(scmp_filter_ctx filter)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(groups); i++) {
        for (unsigned k = 0; k < groups[i].n; k++) {
            int result = add(filter, groups[i].action, groups[i].calls[k], 0, NULL);
            if (result < 0)
                return result;
        }
    }
    return 0;
}

/* Memory is written or executed, and the code is there already. */
static int add_memory(scmp_filter_ctx filter)
{
    static const int calls[] = {SCMP_SYS(mmap), SCMP_SYS(mmap2), SCMP_SYS(mprotect),
                                SCMP_SYS(pkey_mprotect)};
    int result = 0;
    for (unsigned i = 0; i < G_N_ELEMENTS(calls) && result == 0; i++) {
        Condition data = has(2, PROT_EXEC, 0);
        Condition code = has(2, PROT_EXEC, PROT_EXEC);
        result = add(filter, SCMP_ACT_ALLOW, calls[i], 1, &data);
        if (result == 0)
            result = add(filter, FORBID, calls[i], 1, &code);
    }
    return result;
}

/* Signals to itself, as abort(3) sends one. Others are out of reach. */
static int add_signals(scmp_filter_ctx filter)
{
    scmp_datum_t self = (scmp_datum_t) getpid();
    int result = ADD(filter, SCMP_ACT_ALLOW, kill, is(0, self));
    if (result == 0)
        result = ADD(filter, KILL, kill, is_not(0, self));
    if (result == 0)
        result = ADD(filter, SCMP_ACT_ALLOW, tgkill, is(0, self));
    if (result == 0)
        result = ADD(filter, KILL, tgkill, is_not(0, self));
    return result;
}

/* Threads, not processes. The flags of clone3(2) are in memory, where no filter sees them: unknown
 * to the kernel, as it seems, it is replaced by clone(2). */
static int add_threads(scmp_filter_ctx filter)
{
    Condition thread = has(CLONE_FLAGS, THREAD, THREAD);
    Condition process = has(CLONE_FLAGS, CLONE_THREAD, 0);
    int result = add(filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1, &thread);
    if (result == 0)
        result = add(filter, KILL, SCMP_SYS(clone), 1, &process);
    return result;
}

/* fcntl(2), ioctl(2), prctl(2) and setsockopt(2) are many calls in one. */
static int add_commands(scmp_filter_ctx filter)
{
    static const int commands[] = {F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_DUPFD, F_DUPFD_CLOEXEC};
    static const unsigned long requests[] = {FIONREAD, FIONBIO, SIOCOUTQ, TCGETS};
    static const int socket_options[] = {SO_KEEPALIVE, SO_LINGER,   SO_SNDBUF,  SO_RCVBUF,
                                         SO_SNDLOWAT,  SO_RCVLOWAT, SO_PASSCRED};
    static const int tcp_options[] = {TCP_NODELAY,   TCP_CORK,    TCP_USER_TIMEOUT, TCP_KEEPIDLE,
                                      TCP_KEEPINTVL, TCP_KEEPCNT, TCP_QUICKACK};
    int result = ADD(filter, SCMP_ACT_ALLOW, prctl, is(0, PR_SET_NAME));
    for (unsigned i = 0; i < G_N_ELEMENTS(commands) && result == 0; i++) {
        Condition same = is(1, commands[i]);
        result = add(filter, SCMP_ACT_ALLOW, SCMP_SYS(fcntl), 1, &same);
        if (result == 0)
            result = add(filter, SCMP_ACT_ALLOW, SCMP_SYS(fcntl64), 1, &same);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(requests) && result == 0; i++)
        result = ADD(filter, SCMP_ACT_ALLOW, ioctl, is(1, requests[i]));
    for (unsigned i = 0; i < G_N_ELEMENTS(socket_options) && result == 0; i++)
        result =
            ADD(filter, SCMP_ACT_ALLOW, setsockopt, is(1, SOL_SOCKET), is(2, socket_options[i]));
    for (unsigned i = 0; i < G_N_ELEMENTS(tcp_options) && result == 0; i++)
        result = ADD(filter, SCMP_ACT_ALLOW, setsockopt, is(1, IPPROTO_TCP), is(2, tcp_options[i]));
    return result;
}

/* To whom the socket is connected. A TCP socket whose peer has gone is one that MSG_FASTOPEN
 * connects to an address, which sendmsg(2) has in memory; Landlock does not see that. */
static int add_sending(scmp_filter_ctx filter)
{
    int result = ADD(filter, SCMP_ACT_ALLOW, sendto, is(4, 0), has(3, MSG_FASTOPEN, 0));
    if (result == 0)
        result = ADD(filter, SCMP_ACT_ALLOW, sendmsg, has(2, MSG_FASTOPEN, 0));
    if (result == 0)
        result = ADD(filter, FORBID, sendmsg, has(2, MSG_FASTOPEN, MSG_FASTOPEN));
    return result;
}

/* Calls that a library needs in one of their forms. */
static int add_special(scmp_filter_ctx filter)
{
    /* fstat(3) of glibc 2.33 to 2.38: with an empty path, which no filter sees. So a session could
     * learn of a path whether it is there; nothing of what is in it. */
    int result = ADD(filter, SCMP_ACT_ALLOW, newfstatat, is(3, AT_EMPTY_PATH));
    if (result == 0)
        result = ADD(filter, ABSENT, newfstatat, is_not(3, AT_EMPTY_PATH));
    if (result == 0)
        result = add_sending(filter);
    if (result == 0) /* GLib gives a new thread of a pool the settings that it has already */
        result = add(filter, NOTHING, SCMP_SYS(sched_setattr), 0, NULL);
    if (result == 0) /* getrlimit(2) */
        result = ADD(filter, SCMP_ACT_ALLOW, prlimit64, is(0, 0), is(2, 0));
    return result;
}

static int fill(scmp_filter_ctx filter)
{
    static int (*const parts[])(scmp_filter_ctx) = {add_groups,  add_memory,   add_signals,
                                                    add_threads, add_commands, add_special};
    int result = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
    if (result == 0)
        result = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, KILL);
    if (result == 0) /* a binary tree: some calls with conditions are made for each transfer */
        result = seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    for (unsigned i = 0; i < G_N_ELEMENTS(parts) && result == 0; i++)
        result = parts[i](filter);
    return result;
}

int system_calls_restrict(void)
{
    scmp_filter_ctx filter = seccomp_init(UNKNOWN);
    if (!filter)
        return -ENOMEM;
    int result = fill(filter);
    if (result == 0)
        result = seccomp_load(filter);
    seccomp_release(filter);
    return result;
}
