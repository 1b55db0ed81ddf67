/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "link-gate.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <glib-unix.h>

/* D-Bus Specification, "Message Format": the fixed part ends with the length of the fields. */
#define FIXED_SIZE 16

#define MAX_HANDSHAKE 4096 /* all its lines together */
#define CHUNK         4096
#define MAX_FDS       4 /* of one message to the session, which is never given more than one */

/* Where in the protocol one direction is. */
typedef struct {
    bool is_messages;          /* the hand-shake is over */
    guint8 header[FIXED_SIZE]; /* or the last bytes of the hand-shake */
    gsize n_header;
    gsize left;      /* bytes of the message under way, after its fixed part */
    gsize handshake; /* bytes of it so far */
} Framing;

/* One direction: a chunk at a time, so that who does not read makes the other wait. */
typedef struct {
    Framing framing;
    guint8 data[CHUNK];
    gsize size, sent;
    int fds[MAX_FDS]; /* to be sent with the first byte */
    unsigned n_fds;
    bool ended; /* nothing more comes */
} Flow;

struct LinkGate {
    int session, broker;
    Flow up, down; /* from the session, and to it */
    guint watches[2];
    bool refused;
};

/* ---- What a session may send ---- */

static guint32 number(const guint8 *header, unsigned at)
{
    guint32 value;
    memcpy(&value, header + at, sizeof value);
    return header[0] == 'B' ? GUINT32_FROM_BE(value) : GUINT32_FROM_LE(value);
}

/* False if the message that begins so is too long. */
static bool begin_message(Framing *framing)
{
    guint64 body = number(framing->header, 4), fields = number(framing->header, 12);
    guint64 left = (fields + 7) / 8 * 8 + body;
    framing->n_header = 0;
    framing->left = left;
    return left <= LINK_GATE_MAX_MESSAGE - FIXED_SIZE;
}

static bool check_handshake(Framing *framing, guint8 byte)
{
    static const char end[] = "\r\nBEGIN\r\n";
    const gsize size = sizeof end - 1;
    if (framing->n_header == size)
        memmove(framing->header, framing->header + 1, --framing->n_header);
    framing->header[framing->n_header++] = byte;
    framing->is_messages = framing->n_header == size && memcmp(framing->header, end, size) == 0;
    if (framing->is_messages)
        framing->n_header = 0;
    return ++framing->handshake <= MAX_HANDSHAKE;
}

/* The bytes pass at once, also those of a header that is not whole: GDBus does nothing with one. */
static bool check(Framing *framing, const guint8 *data, gsize size)
{
    for (gsize i = 0; i < size;) {
        if (framing->left > 0) {
            gsize n = MIN(framing->left, size - i);
            framing->left -= n;
            i += n;
            continue;
        }
        if (!framing->is_messages) {
            if (!check_handshake(framing, data[i++]))
                return false;
            continue;
        }
        framing->header[framing->n_header++] = data[i++];
        if (framing->n_header == FIXED_SIZE && !begin_message(framing))
            return false;
    }
    return true;
}

/* Up to the end of a message or of its fixed part: a descriptor comes with the first byte of its
 * message, and is to be passed on with that. */
static gsize next_size(const Framing *framing)
{
    if (!framing->is_messages)
        return CHUNK;
    return framing->left > 0 ? MIN(framing->left, CHUNK) : FIXED_SIZE - framing->n_header;
}

/* ---- Both directions ---- */

static void close_fds(Flow *flow)
{
    while (flow->n_fds > 0)
        close(flow->fds[--flow->n_fds]);
}

static void keep_fds(Flow *flow, struct msghdr *message)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        flow->n_fds = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        memcpy(flow->fds, CMSG_DATA(c), flow->n_fds * sizeof(int));
    }
}

/* Without room for them, the kernel drops the descriptors of a message. False at the end. */
static bool take(Flow *flow, int from, bool with_fds)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(MAX_FDS * sizeof(int)) + CMSG_SPACE(sizeof(struct ucred))];
    } control; /* the latter because of SO_PASSCRED */
    struct iovec part = {flow->data, next_size(&flow->framing)};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (with_fds) {
        message.msg_control = control.bytes;
        message.msg_controllen = sizeof control.bytes;
    }
    ssize_t n = recvmsg(from, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR;
    flow->size = (gsize) n;
    flow->sent = 0;
    if (with_fds)
        keep_fds(flow, &message);
    return n > 0;
}

/* False if nobody takes it any more. */
static bool give(Flow *flow, int to)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(MAX_FDS * sizeof(int))];
    } control = {0};
    while (flow->sent < flow->size) {
        struct iovec part = {flow->data + flow->sent, flow->size - flow->sent};
        struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
        if (flow->n_fds > 0) {
            message.msg_control = control.bytes;
            message.msg_controllen = CMSG_SPACE(flow->n_fds * sizeof(int));
            struct cmsghdr *c = CMSG_FIRSTHDR(&message);
            c->cmsg_level = SOL_SOCKET;
            c->cmsg_type = SCM_RIGHTS;
            c->cmsg_len = CMSG_LEN(flow->n_fds * sizeof(int));
            memcpy(CMSG_DATA(c), flow->fds, flow->n_fds * sizeof(int));
        }
        ssize_t n = sendmsg(to, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0)
            return errno == EAGAIN || errno == EINTR;
        close_fds(flow);
        flow->sent += (gsize) n;
    }
    explicit_bzero(flow->data, flow->size); /* passwords pass here */
    return true;
}

static bool is_empty(const Flow *flow)
{
    return flow->sent == flow->size;
}

static void end_flow(Flow *flow, int to)
{
    flow->ended = true;
    explicit_bzero(flow->data, sizeof flow->data);
    flow->size = flow->sent = 0;
    close_fds(flow);
    shutdown(to, SHUT_WR);
}

static void turn_flow(LinkGate *gate, Flow *flow, int from, int to)
{
    bool good = true;
    if (!flow->ended && is_empty(flow)) {
        flow->size = flow->sent = 0;
        good = take(flow, from, flow == &gate->down);
        if (good && !check(&flow->framing, flow->data, flow->size)) {
            gate->refused = true;
            good = false;
        }
    }
    if (!flow->ended && !(good && give(flow, to)))
        end_flow(flow, to);
}

static void watch(LinkGate *gate);

static gboolean on_ready(gint fd, GIOCondition condition, gpointer data)
{
    LinkGate *gate = data;
    turn_flow(gate, &gate->up, gate->session, gate->broker);
    /* There is no BEGIN from GDBus: its messages come after that of the session. */
    if (gate->up.framing.is_messages && !gate->down.framing.is_messages)
        gate->down.framing = (Framing){.is_messages = true};
    turn_flow(gate, &gate->down, gate->broker, gate->session);
    watch(gate);
    return G_SOURCE_REMOVE;
}

/* What a socket is waited for: to read into one flow, to write from the other. */
static GIOCondition wanted(const Flow *in, const Flow *out)
{
    return (!in->ended && is_empty(in) ? G_IO_IN : 0) |
           (!out->ended && !is_empty(out) ? G_IO_OUT : 0);
}

static void watch_one(LinkGate *gate, unsigned index, int fd, GIOCondition condition)
{
    g_clear_handle_id(&gate->watches[index], g_source_remove);
    if (condition)
        gate->watches[index] = g_unix_fd_add(fd, condition, on_ready, gate);
}

static void watch(LinkGate *gate)
{
    watch_one(gate, 0, gate->session, wanted(&gate->up, &gate->down));
    watch_one(gate, 1, gate->broker, wanted(&gate->down, &gate->up));
}

/* ---- Life ---- */

LinkGate *link_gate_new(int session, int broker)
{
    LinkGate *gate = g_new0(LinkGate, 1);
    gate->session = session;
    gate->broker = broker;
    /* GDBus asks for them with the first byte, which may be on its way by then. */
    setsockopt(broker, SOL_SOCKET, SO_PASSCRED, &(int){1}, sizeof(int));
    watch(gate);
    return gate;
}

bool link_gate_has_refused(const LinkGate *gate)
{
    return gate->refused;
}

void link_gate_free(LinkGate *gate)
{
    if (!gate)
        return;
    for (unsigned i = 0; i < G_N_ELEMENTS(gate->watches); i++)
        g_clear_handle_id(&gate->watches[i], g_source_remove);
    close_fds(&gate->up);
    close_fds(&gate->down);
    close(gate->session);
    close(gate->broker);
    explicit_bzero(gate, sizeof *gate);
    g_free(gate);
}
