/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandbox-check.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/bpf.h>
#include <linux/io_uring.h>
#include <linux/keyctl.h>
#include <linux/perf_event.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <glib.h>

#include "landlock.h"
#include "prepare.h"
#include "sandbox.h"

/* For root, when nobody said who else to be. */
#define SOME_USER "2000000000"

#define CANNOT_ENTER 255

typedef enum {
    OUTSIDE, /* for comparison */
    BEGUN,   /* after sandbox_begin() */
    SEALED,  /* after sandbox_seal() */
} Step;

/* What the process had open before, as a hostile one would have the client's socket. */
static struct {
    pid_t parent;
    int tcp, local, datagrams;       /* sockets, not connected */
    struct sockaddr_in tcp_listener; /* of the parent */
    struct sockaddr_un local_listener;
    socklen_t local_length;
    int secret;       /* in the parent's memory */
    int bystander[2]; /* wakes the thread that is there before the sandbox */
    int bystanders_result;
} world;

/* ---- Attempts: 0 when it was done, else errno. None does harm where it succeeds. ---- */

static int result_of(long result)
{
    return result < 0 ? errno : 0;
}

static int read_passwords(void)
{
    return result_of(open("/etc/passwd", O_RDONLY));
}

static int list_root(void)
{
    return result_of(open("/", O_RDONLY | O_DIRECTORY));
}

static int write_temporary(void)
{
    return result_of(open("/tmp", O_TMPFILE | O_RDWR, 0600));
}

static int read_parents_environment(void)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/environ", world.parent);
    return result_of(open(path, O_RDONLY));
}

static int read_in_other_thread(void)
{
    if (write(world.bystander[1], "", 1) != 1)
        return 0; /* a failure: nothing was tried */
    while (g_atomic_int_get(&world.bystanders_result) < 0)
        g_usleep(1000);
    return world.bystanders_result;
}

static int make_folder(void)
{
    g_autofree char *path = g_strdup_printf("/tmp/rdpusb-check-%d", getpid());
    int result = result_of(mkdir(path, 0700));
    rmdir(path);
    return result;
}

static int change_mode(void)
{
    return result_of(fchmod(world.bystander[0], 0600));
}

static int make_memory_file(void)
{
    return result_of(memfd_create("rdpusb", 0));
}

static int make_tcp_socket(void)
{
    return result_of(socket(AF_INET, SOCK_STREAM, 0));
}

static int make_local_socket(void)
{
    return result_of(socket(AF_UNIX, SOCK_STREAM, 0));
}

static int make_netlink_socket(void)
{
    return result_of(socket(AF_NETLINK, SOCK_RAW, 0));
}

static int connect_tcp(void)
{
    return result_of(connect(world.tcp, (const struct sockaddr *) &world.tcp_listener,
                             sizeof world.tcp_listener));
}

static int bind_tcp(void)
{
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    return result_of(bind(world.tcp, (const struct sockaddr *) &any, sizeof any));
}

static int listen_tcp(void)
{
    return result_of(listen(world.tcp, 1));
}

static int connect_local(void)
{
    return result_of(
        connect(world.local, (const struct sockaddr *) &world.local_listener, world.local_length));
}

static int send_to_address(void)
{
    ssize_t sent = sendto(world.datagrams, "", 1, 0, (const struct sockaddr *) &world.tcp_listener,
                          sizeof world.tcp_listener);
    return result_of(sent);
}

/* connect(2) by another name, tcp(7) */
static int send_to_connect(void)
{
    struct iovec data = {(char *) "", 1};
    struct msghdr message = {.msg_name = &world.tcp_listener,
                             .msg_namelen = sizeof world.tcp_listener,
                             .msg_iov = &data,
                             .msg_iovlen = 1};
    return result_of(sendmsg(world.tcp, &message, MSG_FASTOPEN));
}

static int execute(void)
{
    return result_of(execl("/bin/true", "true", NULL));
}

static int become_two(void)
{
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    return result_of(child);
}

/* As above, in the call whose flags no filter sees. */
static int become_two_anew(void)
{
    struct {
        uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls;
    } arguments = {.exit_signal = SIGCHLD};
    long child = syscall(SYS_clone3, &arguments, sizeof arguments);
    if (child == 0)
        _exit(0);
    return result_of(child);
}

static int be_traced(void)
{
    return result_of(ptrace(PTRACE_TRACEME, 0, NULL, NULL));
}

static int read_parents_memory(void)
{
    int copy;
    struct iovec here = {&copy, sizeof copy}, there = {&world.secret, sizeof world.secret};
    return result_of(process_vm_readv(world.parent, &here, 1, &there, 1, 0));
}

static int signal_parent(void)
{
    return result_of(kill(world.parent, 0));
}

static int open_parent(void)
{
    return result_of(syscall(SYS_pidfd_open, world.parent, 0));
}

static int become_root(void)
{
    return result_of(setuid(0));
}

static int join_groups(void)
{
    return result_of(setgroups(0, NULL));
}

static int change_personality(void)
{
    return result_of(personality(READ_IMPLIES_EXEC));
}

static int map_code(void)
{
    void *page =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return page == MAP_FAILED ? errno : 0;
}

static int make_executable(void)
{
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return page == MAP_FAILED ? 0 : result_of(mprotect(page, 4096, PROT_READ | PROT_EXEC));
}

static int mount_something(void)
{
    return result_of(mount("none", "/", "no-such-type", 0, NULL));
}

static int change_root(void)
{
    return result_of(chroot("/"));
}

static int leave_namespaces(void)
{
    return result_of(unshare(CLONE_NEWNS));
}

static int keep_key(void)
{
    return result_of(syscall(SYS_add_key, "user", "rdpusb", "key", 3, KEY_SPEC_PROCESS_KEYRING));
}

static int use_bpf(void)
{
    union bpf_attr map = {
        .map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 4, .max_entries = 1};
    return result_of(syscall(SYS_bpf, BPF_MAP_CREATE, &map, sizeof map));
}

static int count_events(void)
{
    struct perf_event_attr event = {
        .type = PERF_TYPE_SOFTWARE, .size = sizeof event, .config = PERF_COUNT_SW_TASK_CLOCK};
    return result_of(syscall(SYS_perf_event_open, &event, 0, -1, -1, 0));
}

static int use_io_uring(void)
{
    struct io_uring_params parameters = {0};
    return result_of(syscall(SYS_io_uring_setup, 1, &parameters));
}

static int handle_faults(void)
{
    return result_of(syscall(SYS_userfaultfd, O_CLOEXEC));
}

static int type_into_terminal(void)
{
    return result_of(ioctl(STDERR_FILENO, TIOCSTI, "x"));
}

static int be_dumpable(void)
{
    return result_of(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0));
}

static int raise_limits(void)
{
    struct rlimit limit = {4096, 4096};
    return result_of(setrlimit(RLIMIT_CORE, &limit));
}

static int leave_core(void)
{
    struct rlimit limit;
    return getrlimit(RLIMIT_CORE, &limit) == 0 && limit.rlim_max == 0 ? EPERM : 0;
}

static int gain_rights(void)
{
    return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ? EPERM : 0;
}

#if defined(__x86_64__)
#define HAS_OTHER_CALLS true

/* getpid(2) as a program of 32 bits calls it. */
static int call_as_i386(void)
{
    long result = 20;
    __asm__ volatile("int $0x80" : "+a"(result) : : "memory", "r8", "r9", "r10", "r11");
    return result < 0 ? (int) -result : 0;
}

static int call_as_x32(void)
{
    return result_of(syscall(0x40000000 | SYS_getpid));
}
#endif

/* ---- What is tried, and when ---- */

#define NEVER    -1 /* not before it is sealed */
#define ALWAYS   0
#define LANDLOCK 1
#define NETWORK  4
#define SCOPES   6

typedef struct {
    const char *name;
    int (*attempt)(void);
    int abi;          /* of Landlock's, from which on sandbox_begin() forbids it already */
    bool of_file;     /* it may fail as if there were no such file */
    bool begun_only;  /* tells of itself in a call that is gone when it is sealed */
    bool unsanitized; /* forbidden in builds with sanitizers too */
} Attempt;

static const Attempt attempts[] = {
    {"read /etc/passwd", read_passwords, .abi = LANDLOCK, .of_file = true},
    {"read /etc/passwd in a thread that was there before", read_in_other_thread, .abi = LANDLOCK,
     .of_file = true},
    {"list the root folder", list_root, .abi = LANDLOCK, .of_file = true},
    {"write below /tmp", write_temporary, .abi = LANDLOCK, .of_file = true},
    {"read the environment of the parent", read_parents_environment, .abi = LANDLOCK,
     .of_file = true},
    {"make a folder", make_folder, .abi = LANDLOCK},
    {"change the mode of an open file", change_mode, .abi = NEVER},
    {"make a file in memory", make_memory_file, .abi = NEVER},
    {"make a TCP socket", make_tcp_socket, .abi = NEVER},
    {"make a unix socket", make_local_socket, .abi = NEVER},
    {"make a netlink socket", make_netlink_socket, .abi = NEVER},
    {"connect a TCP socket", connect_tcp, .abi = NETWORK},
    {"bind a TCP socket", bind_tcp, .abi = NETWORK},
    {"listen", listen_tcp, .abi = NEVER},
    {"connect a unix socket", connect_local, .abi = SCOPES},
    {"send a datagram to an address", send_to_address, .abi = NEVER},
    {"connect a TCP socket by what is sent", send_to_connect, .abi = NEVER},
    {"execute a program", execute, .abi = LANDLOCK},
    {"fork", become_two, .abi = NEVER},
    {"fork with clone3", become_two_anew, .abi = NEVER},
    {"be traced", be_traced, .abi = NEVER},
    {"read the memory of the parent", read_parents_memory, .abi = LANDLOCK},
    {"send a signal to the parent", signal_parent, .abi = SCOPES},
    {"open a descriptor of the parent", open_parent, .abi = NEVER},
    {"become root", become_root, .abi = ALWAYS},
    {"change groups", join_groups, .abi = ALWAYS},
    {"change the personality", change_personality, .abi = NEVER},
    {"map memory to write and execute", map_code, .abi = NEVER},
    {"make memory executable", make_executable, .abi = NEVER},
    {"mount", mount_something, .abi = ALWAYS},
    {"change the root folder", change_root, .abi = ALWAYS},
    {"make a namespace", leave_namespaces, .abi = NEVER},
    {"keep a key in the kernel", keep_key, .abi = NEVER},
    {"use bpf", use_bpf, .abi = NEVER},
    {"count events of the processor", count_events, .abi = NEVER},
    {"use io_uring", use_io_uring, .abi = NEVER},
    {"handle page faults", handle_faults, .abi = NEVER},
    {"type into the terminal", type_into_terminal, .abi = NEVER},
    {"be dumpable again", be_dumpable, .abi = NEVER},
    {"raise a limit", raise_limits, .abi = ALWAYS},
    {"leave a core file", leave_core, .abi = ALWAYS, .unsanitized = true},
    {"gain rights by executing", gain_rights, .abi = ALWAYS, .begun_only = true,
     .unsanitized = true},
#ifdef HAS_OTHER_CALLS
    {"call the kernel as a program of 32 bits", call_as_i386, .abi = NEVER},
    {"call the kernel as a program of x32", call_as_x32, .abi = NEVER},
#endif
};

/* ---- Trying ---- */

static gpointer stand_by(gpointer data)
{
    char scrap;
    if (read(world.bystander[0], &scrap, 1) == 1)
        g_atomic_int_set(&world.bystanders_result, read_passwords());
    return NULL;
}

static void listen_somewhere(int fd, struct sockaddr *address, socklen_t *length, socklen_t size)
{
    *length = size;
    if (fd < 0 || bind(fd, address, address->sa_family == AF_UNIX ? sizeof(sa_family_t) : size) ||
        listen(fd, SOMAXCONN) != 0 || getsockname(fd, address, length) != 0)
        g_error("no socket to try the sandbox with: %s", g_strerror(errno));
}

/* The abstract address that the kernel chooses leaves no file behind. */
static void build_world(void)
{
    socklen_t length;
    world.parent = getpid();
    world.tcp_listener.sin_family = AF_INET;
    world.tcp_listener.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    world.local_listener.sun_family = AF_UNIX;
    world.bystanders_result = -1;
    listen_somewhere(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0),
                     (struct sockaddr *) &world.tcp_listener, &length, sizeof world.tcp_listener);
    listen_somewhere(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0),
                     (struct sockaddr *) &world.local_listener, &world.local_length,
                     sizeof world.local_listener);
    if (pipe(world.bystander) != 0)
        g_error("no pipe to try the sandbox with: %s", g_strerror(errno));
}

/* New for each attempt: another may have connected them. */
static void make_sockets(void)
{
    world.tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    world.local = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    world.datagrams = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (world.tcp < 0 || world.local < 0 || world.datagrams < 0)
        g_error("no socket to try the sandbox with: %s", g_strerror(errno));
}

/* In a child, which ends with it. */
static void enter(Step step)
{
    g_autoptr(GError) error = NULL;
    if (step != OUTSIDE && (!sandbox_begin(&error) || !prepare_libraries(&error))) {
        fprintf(stderr, "rdpusb-session: %s\n", error->message);
        _exit(CANNOT_ENTER);
    }
    g_thread_unref(g_thread_new("bystander", stand_by, NULL));
    if (step == SEALED && !sandbox_seal(&error)) {
        fprintf(stderr, "rdpusb-session: %s\n", error->message);
        _exit(CANNOT_ENTER);
    }
}

/* How the child ended that tried. */
static int try(const Attempt *attempt, Step step)
{
    int status;
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        make_sockets();
        enter(step);
        _exit(attempt->attempt());
    }
    if (child < 0 || waitpid(child, &status, 0) != child)
        g_error("no process to try the sandbox with: %s", g_strerror(errno));
    return status;
}

static bool was_refused(const Attempt *attempt, int status)
{
    if (WIFSIGNALED(status))
        return WTERMSIG(status) == SIGSYS;
    int problem = WEXITSTATUS(status);
    return problem == EPERM || problem == EACCES || problem == ENOSYS ||
           (problem == ENOENT && attempt->of_file);
}

static const char *describe(int status)
{
    if (WIFSIGNALED(status))
        return WTERMSIG(status) == SIGSYS ? "killed" : strsignal(WTERMSIG(status));
    if (WEXITSTATUS(status) == CANNOT_ENTER)
        return "the sandbox could not be entered";
    return WEXITSTATUS(status) == 0 ? "done" : g_strerror(WEXITSTATUS(status));
}

static bool is_expected(const Attempt *attempt, Step step, int abi)
{
    if (!SANDBOX_IS_COMPLETE && !attempt->unsanitized)
        return false;
    return step == SEALED ? !attempt->begun_only : attempt->abi != NEVER && attempt->abi <= abi;
}

/* Returns whether it was refused. */
static bool check(const Attempt *attempt, Step step, unsigned number)
{
    int outside = try(attempt, OUTSIDE);
    int inside = try(attempt, step);
    bool refused = was_refused(attempt, inside);
    printf("%s %u - %s: %s\n", refused ? "ok" : "not ok", number,
           step == SEALED ? "sealed" : "begun", attempt->name);
    printf("# %s; outside of the sandbox: %s\n", describe(inside), describe(outside));
    return refused;
}

int sandbox_check(void)
{
    int abi = landlock_abi();
    unsigned number = 0, failed = 0;
    if (geteuid() == 0)
        g_setenv(SANDBOX_USER_VARIABLE, SOME_USER, false);
    build_world();
    printf("# Landlock: %s %d\n", abi ? "ABI" : "not in this kernel:", abi);
    if (!SANDBOX_IS_COMPLETE)
        puts("# built with sanitizers: without seccomp, Landlock and a user of its own");
    for (Step step = BEGUN; step <= SEALED; step++) {
        for (unsigned i = 0; i < G_N_ELEMENTS(attempts); i++) {
            if (is_expected(&attempts[i], step, abi) && !check(&attempts[i], step, ++number))
                failed++;
        }
    }
    printf("1..%u\n", number);
    return failed == 0 ? 0 : 1;
}
