/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a session process can send to the broker before anybody looks at it: bytes on the link, and
 * the description of a device. The first byte chooses.
 *
 * Bytes come in chunks: a byte for their number (FILLER: another byte, and so many times 256), and
 * WITH_FD for a descriptor that comes with them. ANSWER lets the broker's side send something. What
 * passes has to be what was sent, up to the first message that is too long, and no descriptor.
 */
#include "description.h"
#include "link-gate.h"

#include "require.h"

#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { WITH_FD = 0x80, FILLER = 127, ANSWER = 126 };
enum { MAX_HANDSHAKE = 4096, MAX_ANSWERS = 100 };

/* ---- The link ---- */

typedef struct {
    LinkGate *gate;
    int session, broker; /* the far ends */
    GByteArray *sent, *received;
    GByteArray *answered, *heard;
    unsigned sent_fds, heard_fds; /* with answers */
    bool over;                    /* for the broker */
} World;

typedef enum { TOO_LONG, HANDSHAKE, MESSAGES } Progress;

static guint32 number(const guint8 *message, unsigned at)
{
    guint32 value;
    memcpy(&value, message + at, sizeof value);
    return message[0] == 'B' ? GUINT32_FROM_BE(value) : GUINT32_FROM_LE(value);
}

/* What a session may send, said once more. */
static Progress judge(const GByteArray *bytes)
{
    static const char begin[] = "\r\nBEGIN\r\n";
    const gsize begin_size = sizeof begin - 1;
    const guint8 *found =
        bytes->len > 0 ? memmem(bytes->data, bytes->len, begin, begin_size) : NULL;
    guint64 at = found ? (guint64) (found - bytes->data) + begin_size : bytes->len;
    if (at > MAX_HANDSHAKE)
        return TOO_LONG;
    if (!found)
        return HANDSHAKE;
    while (at + 16 <= bytes->len) {
        const guint8 *message = bytes->data + at;
        guint64 fields = ((guint64) number(message, 12) + 7) & ~(guint64) 7;
        guint64 length = 16 + fields + number(message, 4);
        if (length > LINK_GATE_MAX_MESSAGE)
            return TOO_LONG;
        at += length;
    }
    return MESSAGES;
}

static void send_bytes(int fd, const uint8_t *data, size_t size, bool with_fd)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct iovec part = {(void *) data, size};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (with_fd) {
        message.msg_control = control.bytes;
        message.msg_controllen = sizeof control.bytes;
        struct cmsghdr *c = CMSG_FIRSTHDR(&message);
        *c = (struct cmsghdr){CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
        memcpy(CMSG_DATA(c), &fd, sizeof fd);
    }
    ssize_t n = sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    REQUIRE(n == (ssize_t) size); /* it was emptied before */
}

static unsigned close_received(struct msghdr *message)
{
    unsigned n = 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
        REQUIRE(c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS);
        for (size_t i = 0; CMSG_LEN((i + 1) * sizeof(int)) <= c->cmsg_len; i++, n++) {
            int fd;
            memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
            close(fd);
        }
    }
    return n;
}

/* Returns the number of descriptors. */
static unsigned receive(int fd, GByteArray *bytes, bool *over)
{
    unsigned n_fds = 0;
    for (;;) {
        char data[4096], control[CMSG_SPACE(8 * sizeof(int))];
        struct iovec part = {data, sizeof data};
        struct msghdr message = {.msg_iov = &part,
                                 .msg_iovlen = 1,
                                 .msg_control = control,
                                 .msg_controllen = sizeof control};
        ssize_t n = recvmsg(fd, &message, MSG_DONTWAIT);
        *over = n == 0;
        if (n <= 0)
            return n_fds;
        n_fds += close_received(&message);
        g_byte_array_append(bytes, (const guint8 *) data, (guint) n);
    }
}

static void turn(World *world)
{
    bool over;
    do {
        REQUIRE(receive(world->broker, world->received, &world->over) == 0);
        world->heard_fds += receive(world->session, world->heard, &over);
        REQUIRE(!over);
    } while (g_main_context_iteration(NULL, FALSE));
}

/* A line as long as nobody speaks D-Bus, then a message with a descriptor. */
static void answer(World *world)
{
    static const uint8_t line[] = "OK 1\r\n";
    static const uint8_t message[24] = {'l', 1, 0, 1, 8, [8] = 1};
    bool is_message = judge(world->sent) == MESSAGES;
    if (world->answered->len > MAX_ANSWERS * sizeof message)
        return;
    const uint8_t *bytes = is_message ? message : line;
    guint size = is_message ? sizeof message : sizeof line - 1;
    send_bytes(world->broker, bytes, size, is_message);
    g_byte_array_append(world->answered, bytes, size);
    world->sent_fds += is_message;
}

static void send_chunk(World *world, const uint8_t *data, size_t size, bool with_fd)
{
    if (size == 0)
        return;
    send_bytes(world->session, data, size, with_fd);
    g_byte_array_append(world->sent, data, (guint) size);
}

static void check(const World *world)
{
    bool refused = link_gate_has_refused(world->gate);
    const GByteArray *sent = world->sent, *received = world->received;
    REQUIRE((judge(sent) == TOO_LONG) == refused);
    REQUIRE(judge(received) != TOO_LONG);
    REQUIRE(refused ? received->len < sent->len : received->len == sent->len);
    REQUIRE(received->len == 0 || memcmp(sent->data, received->data, received->len) == 0);
    REQUIRE(world->over == refused);
    REQUIRE(world->heard->len == world->answered->len && world->heard_fds == world->sent_fds);
    REQUIRE(world->heard->len == 0 ||
            memcmp(world->heard->data, world->answered->data, world->heard->len) == 0);
}

static void feed(World *world, const uint8_t *data, size_t size)
{
    /* As a message, this is too long: what else would be thousands of empty ones. */
    static uint8_t filler[255 * 256];
    memset(filler, 0xff, sizeof filler);
    while (size > 0 && !link_gate_has_refused(world->gate)) {
        uint8_t operation = *data & ~WITH_FD;
        bool with_fd = *data & WITH_FD;
        data++;
        size--;
        if (operation == ANSWER) {
            answer(world);
        } else if (operation == FILLER && size > 0) {
            send_chunk(world, filler, *data * 256u, with_fd);
            data++;
            size--;
        } else {
            size_t n = MIN(operation, size);
            send_chunk(world, data, n, with_fd);
            data += n;
            size -= n;
        }
        turn(world);
        check(world);
    }
}

static unsigned count_fds(void)
{
    unsigned n = 0;
    g_main_context_default(); /* has one of its own */
    for (int fd = 0; fd < 64; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

static void try_link(const uint8_t *data, size_t size)
{
    int session[2], broker[2];
    unsigned before = count_fds();
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, session) == 0);
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, broker) == 0);
    World world = {
        .gate = link_gate_new(session[0], broker[0]),
        .session = session[1],
        .broker = broker[1],
        .sent = g_byte_array_new(),
        .received = g_byte_array_new(),
        .answered = g_byte_array_new(),
        .heard = g_byte_array_new(),
    };
    feed(&world, data, size);
    link_gate_free(world.gate);
    close(world.session);
    close(world.broker);
    g_byte_array_unref(world.sent);
    g_byte_array_unref(world.received);
    g_byte_array_unref(world.answered);
    g_byte_array_unref(world.heard);
    REQUIRE(count_fds() == before);
}

/* ---- The description ---- */

static void check_text(const char *text)
{
    REQUIRE(text && g_utf8_validate(text, -1, NULL));
}

static void check_description(const Description *description)
{
    const PolicyDevice *device = &description->device;
    unsigned sum = 0; /* of all that is there to be read */
    check_text(device->manufacturer);
    check_text(device->name);
    check_text(device->serial);
    check_text(description->label);
    for (const char *c = description->label; *c; c++)
        REQUIRE((guint8) *c >= ' ' && *c != 127);
    for (gsize i = 0; i < device->n_interfaces; i++)
        sum += device->interfaces[i].class_;
    REQUIRE(sum <= 255 * device->n_interfaces);
}

static void try_description(const uint8_t *data, size_t size)
{
    /* In memory of exactly its size, and of no alignment */
    g_autofree uint8_t *copy = g_memdup2(data, size);
    g_autoptr(GVariant) variant = g_variant_ref_sink(
        g_variant_new_from_data(G_VARIANT_TYPE_VARDICT, copy, size, FALSE, NULL, NULL));
    g_autoptr(Description) description = description_new(variant);
    if (description)
        check_description(description);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    if (data[0] & 1)
        try_link(data + 1, size - 1);
    else
        try_description(data + 1, size - 1);
    return 0;
}
