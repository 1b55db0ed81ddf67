/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The control socket: tests tell gadgets what to do while the program runs. One line per command,
 * answered with one line "ok …" or "error …" when it has taken effect. README.md lists the
 * commands.
 */
#include "gadget-bus.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define CLIENTS_MAX 16
#define LINE_SIZE   4096
#define ANSWER_MAX  4096

/* --- Commands ------------------------------------------------------------------------------------
 */

struct command {
    struct gadget *gadget;
    struct gadget_endpoint *endpoint; /* NULL when the command has none */
    const char *argument;             /* the rest of the line */
    char *answer;                     /* ANSWER_MAX bytes */
};

/* NULL: done; otherwise what is wrong. */
typedef const char *(*command_function)(struct command *command);

static const char *do_plug(struct command *command)
{
    if (command->gadget->plugged)
        return "already plugged";
    bus_plug(command->gadget);
    return NULL;
}

static const char *do_unplug(struct command *command)
{
    if (!command->gadget->plugged)
        return "not plugged";
    bus_unplug(command->gadget);
    return NULL;
}

static const char *do_stall(struct command *command)
{
    if (command->endpoint->type == LIBUSB_TRANSFER_TYPE_ISOCHRONOUS)
        return "isochronous endpoints know no halt";
    command->endpoint->halted = true;
    return NULL;
}

static const char *do_hold(struct command *command)
{
    command->endpoint->held = true;
    return NULL;
}

static const char *do_release(struct command *command)
{
    command->endpoint->held = false;
    return NULL;
}

/* Reads "NUMBER [COUNT]"; the count is 1 when it is missing. */
static bool read_numbers(const char *text, unsigned long *number, unsigned *count)
{
    int used = 0;
    *count = 1;
    if (sscanf(text, "%lu%n", number, &used) != 1)
        return false;
    if (text[used] == 0)
        return true;
    text += used;
    return sscanf(text, " %u%n", count, &used) == 1 && text[used] == 0;
}

static const char *do_delay(struct command *command)
{
    unsigned long ms;
    unsigned count;
    if (!read_numbers(command->argument, &ms, &count) || ms > 3600000)
        return "expected: delay N EP MS";
    command->endpoint->delay = ms * GADGET_US_PER_MS;
    return NULL;
}

static const char *do_short(struct command *command)
{
    unsigned long bytes;
    if (!(command->endpoint->address & LIBUSB_ENDPOINT_IN))
        return "only IN endpoints send short packets";
    if (!read_numbers(command->argument, &bytes, &command->endpoint->short_count))
        return "expected: short N EP BYTES [COUNT]";
    command->endpoint->short_length = bytes;
    return NULL;
}

static const char *do_zlp(struct command *command)
{
    if (!(command->endpoint->address & LIBUSB_ENDPOINT_IN))
        return "only IN endpoints send zero-length packets";
    unsigned long count = 1;
    unsigned unused;
    if (*command->argument && !read_numbers(command->argument, &count, &unused))
        return "expected: zlp N EP [COUNT]";
    command->endpoint->short_count = (unsigned) count;
    command->endpoint->short_length = 0;
    return NULL;
}

static const char *do_refuse(struct command *command)
{
    unsigned long count = 1;
    unsigned unused;
    if (*command->argument && !read_numbers(command->argument, &count, &unused))
        return "expected: refuse N EP [COUNT]";
    command->endpoint->refuse_count = (unsigned) count;
    return NULL;
}

static const char *do_silent(struct command *command)
{
    unsigned long count = 1;
    unsigned unused;
    if (*command->argument && !read_numbers(command->argument, &count, &unused))
        return "expected: silent N EP [COUNT]";
    command->endpoint->silent_count = (unsigned) count;
    return NULL;
}

/* Reads "STATUS [COUNT]". */
static bool read_status(const char *text, enum libusb_transfer_status *status, unsigned *count)
{
    static const struct {
        const char *name;
        enum libusb_transfer_status status;
    } kinds[] = {{"error", LIBUSB_TRANSFER_ERROR},
                 {"overflow", LIBUSB_TRANSFER_OVERFLOW},
                 {"timeout", LIBUSB_TRANSFER_TIMED_OUT},
                 {"cancelled", LIBUSB_TRANSFER_CANCELLED}};
    char name[16];
    *count = 1;
    if (sscanf(text, "%15s %u", name, count) < 1)
        return false;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (strcmp(kinds[i].name, name) == 0) {
            *status = kinds[i].status;
            return true;
        }
    return false;
}

static const char *do_fail(struct command *command)
{
    struct gadget_endpoint *endpoint = command->endpoint;
    if (!read_status(command->argument, &endpoint->fail_status, &endpoint->fail_count))
        return "expected: fail N EP error|overflow|timeout|cancelled [COUNT]";
    return NULL;
}

static const char *do_fail_packet(struct command *command)
{
    struct gadget_endpoint *endpoint = command->endpoint;
    if (endpoint->type != LIBUSB_TRANSFER_TYPE_ISOCHRONOUS)
        return "only isochronous transfers have packets that fail alone";
    if (!read_status(command->argument, &endpoint->packet_fail_status,
                     &endpoint->packet_fail_count))
        return "expected: fail-packet N EP error|overflow|timeout|cancelled [COUNT]";
    return NULL;
}

static const char *do_stats(struct command *command)
{
    struct gadget *gadget = command->gadget;
    size_t at = (size_t) snprintf(
        command->answer, ANSWER_MAX, " kind=%s plugged=%d address=%u configuration=%u",
        gadget->ops->kind, gadget->plugged, gadget->address, gadget->configuration);
    for (unsigned i = 0; i < GADGET_ENDPOINTS && at < ANSWER_MAX; i++) {
        const struct gadget_endpoint *e = &gadget->endpoints[i];
        unsigned a = e->address;
        if (!e->present && e->transfers == 0)
            continue;
        at += (size_t) snprintf(
            command->answer + at, ANSWER_MAX - at,
            " ep%02x.transfers=%llu ep%02x.bytes=%llu ep%02x.stalls=%llu ep%02x.cancelled=%llu "
            "ep%02x.timeouts=%llu ep%02x.pending=%u ep%02x.halted=%d",
            a, (unsigned long long) e->transfers, a, (unsigned long long) e->bytes, a,
            (unsigned long long) e->stalls, a, (unsigned long long) e->cancelled, a,
            (unsigned long long) e->timed_out, a, bus_pending(e), a, e->halted);
        if (e->type == LIBUSB_TRANSFER_TYPE_ISOCHRONOUS && at < ANSWER_MAX)
            at += (size_t) snprintf(
                command->answer + at, ANSWER_MAX - at, " ep%02x.packets=%llu ep%02x.missed=%llu", a,
                (unsigned long long) e->packets, a, (unsigned long long) e->missed);
    }
    if (gadget->ops->stats && at < ANSWER_MAX)
        gadget->ops->stats(gadget, command->answer + at, ANSWER_MAX - at);
    return NULL;
}

static const struct {
    const char *verb;
    bool has_endpoint;
    command_function function;
} commands[] = {
    {"plug", false, do_plug},    {"unplug", false, do_unplug},
    {"stats", false, do_stats},  {"stall", true, do_stall},
    {"hold", true, do_hold},     {"release", true, do_release},
    {"delay", true, do_delay},   {"short", true, do_short},
    {"zlp", true, do_zlp},       {"refuse", true, do_refuse},
    {"fail", true, do_fail},     {"fail-packet", true, do_fail_packet},
    {"silent", true, do_silent},
};

/* Cuts "EP" off the argument; hexadecimal, with or without 0x. */
static const char *take_endpoint(struct command *command)
{
    char *end;
    unsigned long address = strtoul(command->argument, &end, 16);
    if (end == command->argument || address > 0xff || (*end && *end != ' '))
        return "expected an endpoint address such as 81";
    command->endpoint = bus_endpoint(command->gadget, (uint8_t) address);
    if (!command->endpoint->present)
        return "no such endpoint in the active setting";
    command->argument = end + (*end == ' ');
    return NULL;
}

static const char *run(const char *verb, struct command *command)
{
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        if (strcmp(commands[i].verb, verb) != 0)
            continue;
        const char *error = commands[i].has_endpoint ? take_endpoint(command) : NULL;
        return error ? error : commands[i].function(command);
    }
    if (!command->gadget->ops->command)
        return "unknown command";
    return command->gadget->ops->command(command->gadget, verb, command->argument);
}

static const char *run_line(const char *line, char *answer)
{
    char verb[16];
    unsigned port;
    int used = 0;
    if (sscanf(line, "%15s %u%n", verb, &port, &used) != 2)
        return "expected: COMMAND N …";
    struct gadget *gadget = port > 0 ? bus_gadget(port) : NULL;
    if (!gadget)
        return "no such gadget; they are numbered from 1 as RDPUSB_GADGETS lists them";
    struct command command = {
        .gadget = gadget, .argument = line + used + (line[used] == ' '), .answer = answer};
    const char *error = run(verb, &command);
    if (!error)
        bus_run(gadget);
    return error;
}

/* --- The socket ----------------------------------------------------------------------------------
 */

struct client {
    size_t filled;
    char line[LINE_SIZE];
};

static struct pollfd sockets[1 + CLIENTS_MAX]; /* [0] listens */
static struct client clients[1 + CLIENTS_MAX];
static char *socket_path;

static void close_client(unsigned i)
{
    close(sockets[i].fd);
    sockets[i].fd = -1;
    clients[i].filled = 0;
}

static void accept_client(void)
{
    int fd = accept4(sockets[0].fd, NULL, NULL, SOCK_CLOEXEC);
    for (unsigned i = 1; fd >= 0 && i <= CLIENTS_MAX; i++)
        if (sockets[i].fd < 0) {
            sockets[i].fd = fd;
            return;
        }
    if (fd >= 0)
        close(fd);
}

static bool answer_line(int fd, const char *line)
{
    char answer[ANSWER_MAX] = "", text[ANSWER_MAX + 16];
    bus_lock();
    const char *error = run_line(line, answer);
    bus_unlock();
    int length = error ? snprintf(text, sizeof text, "error %s\n", error)
                       : snprintf(text, sizeof text, "ok%s\n", answer);
    return send(fd, text, (size_t) length, MSG_NOSIGNAL) == length;
}

static void serve_client(unsigned i)
{
    struct client *client = &clients[i];
    ssize_t got =
        recv(sockets[i].fd, client->line + client->filled, sizeof client->line - client->filled, 0);
    if (got <= 0) {
        close_client(i);
        return;
    }
    client->filled += (size_t) got;
    char *end;
    while ((end = memchr(client->line, '\n', client->filled))) {
        *end = 0;
        if (!answer_line(sockets[i].fd, client->line)) {
            close_client(i);
            return;
        }
        client->filled -= (size_t) (end + 1 - client->line);
        memmove(client->line, end + 1, client->filled);
    }
    if (client->filled == sizeof client->line)
        close_client(i);
}

static void *control_thread(void *unused)
{
    while (true) {
        if (poll(sockets, 1 + CLIENTS_MAX, -1) < 0)
            continue;
        for (unsigned i = 1; i <= CLIENTS_MAX; i++)
            if (sockets[i].fd >= 0 && sockets[i].revents)
                serve_client(i);
        if (sockets[0].revents)
            accept_client();
    }
    return NULL;
}

static struct stat own_socket;

/* Another process may have taken the path over since. */
__attribute__((destructor)) static void remove_socket(void)
{
    struct stat status;
    if (socket_path && stat(socket_path, &status) == 0 && status.st_ino == own_socket.st_ino &&
        status.st_dev == own_socket.st_dev)
        unlink(socket_path);
}

static int listen_at(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    strcpy(address.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    unlink(path);
    if (fd >= 0 && bind(fd, (struct sockaddr *) &address, sizeof address) == 0 &&
        listen(fd, CLIENTS_MAX) == 0 && stat(path, &own_socket) == 0)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

bool gadget_control_start(const char *path)
{
    for (unsigned i = 0; i <= CLIENTS_MAX; i++)
        sockets[i] = (struct pollfd){.fd = -1, .events = POLLIN};
    sockets[0].fd = listen_at(path);
    socket_path = strdup(path);
    if (sockets[0].fd < 0 || !socket_path) {
        fprintf(stderr, "gadgets: cannot serve RDPUSB_GADGETS_CONTROL=%s: %s\n", path,
                strerror(errno));
        return false;
    }
    return bus_start_thread(control_thread);
}
