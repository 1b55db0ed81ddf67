/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "byte-stream.h"

#include <errno.h>
#include <gio/gio.h>
#include <glib-unix.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_SIZE 65536

/* Pieces handed to the kernel at once; answers of usbredir are often a few dozen bytes. */
#define PIECES 16

struct TransportByteStream {
    int fd;
    size_t limit;
    const TransportByteStreamEvents *events;
    void *data;
    GMainContext *context;
    GSource *reading, *writing; /* writing: only while something is queued */
    GSource *failing;           /* will tell of the error that a caller's write met */
    int failure;                /* its errno */
    GQueue queue;               /* of GBytes */
    size_t queued;
    size_t head_sent; /* bytes of the queue's first piece that are gone */
};

static void stop_source(GSource **source)
{
    if (*source)
        g_source_destroy(*source);
    g_clear_pointer(source, g_source_unref);
}

/* Nothing moves any more; safe to repeat. */
static void shut(TransportByteStream *stream)
{
    stop_source(&stream->reading);
    stop_source(&stream->writing);
    stop_source(&stream->failing);
    g_queue_clear_full(&stream->queue, (GDestroyNotify) g_bytes_unref);
    stream->queued = stream->head_sent = 0;
    if (stream->fd >= 0)
        close(stream->fd);
    stream->fd = -1;
}

/* The stream may be gone afterwards. */
static void end(TransportByteStream *stream, int errsv)
{
    g_autoptr(GError) error = NULL;

    if (errsv)
        error =
            g_error_new_literal(G_IO_ERROR, (gint) g_io_error_from_errno(errsv), g_strerror(errsv));
    shut(stream);
    stream->events->closed(stream->data, error);
}

static bool would_block(int errsv)
{
    return errsv == EAGAIN || errsv == EWOULDBLOCK || errsv == EINTR;
}

static GSource *watch(TransportByteStream *stream, GIOCondition condition, GUnixFDSourceFunc func)
{
    GSource *source = g_unix_fd_source_new(stream->fd, condition);
    g_source_set_callback(source, G_SOURCE_FUNC(func), stream, NULL);
    /* It never does. But GLib takes the descriptor of a source that cannot out of poll() for the
     * time of each call, for which it wakes the main loop twice. */
    g_source_set_can_recurse(source, TRUE);
    g_source_attach(source, stream->context);
    return source;
}

/* One read per turn, so that no peer keeps the loop to itself. */
static gboolean on_readable(gint fd, GIOCondition condition, gpointer data)
{
    TransportByteStream *stream = data;
    uint8_t bytes[READ_SIZE];
    ssize_t n = recv(fd, bytes, sizeof(bytes), 0);

    if (n > 0)
        stream->events->received(stream->data, bytes, (size_t) n);
    else if (n == 0)
        end(stream, 0);
    else if (!would_block(errno))
        end(stream, errno);
    return G_SOURCE_CONTINUE;
}

static void forget_sent(TransportByteStream *stream, size_t sent)
{
    stream->queued -= sent;
    stream->head_sent += sent;
    while (!g_queue_is_empty(&stream->queue)) {
        GBytes *head = g_queue_peek_head(&stream->queue);
        if (stream->head_sent < g_bytes_get_size(head))
            break;
        stream->head_sent -= g_bytes_get_size(head);
        g_bytes_unref(g_queue_pop_head(&stream->queue));
    }
}

/* 0, or an errno for which the stream is lost. */
static int send_queued(TransportByteStream *stream)
{
    while (stream->queued > 0) {
        struct iovec pieces[PIECES];
        struct msghdr message = {.msg_iov = pieces};
        size_t skip = stream->head_sent;

        for (GList *link = stream->queue.head; link && message.msg_iovlen < PIECES;
             link = link->next) {
            gsize length;
            const uint8_t *bytes = g_bytes_get_data(link->data, &length);
            pieces[message.msg_iovlen++] = (struct iovec){(void *) (bytes + skip), length - skip};
            skip = 0;
        }
        ssize_t sent = sendmsg(stream->fd, &message, MSG_NOSIGNAL);
        if (sent < 0)
            return would_block(errno) ? 0 : errno;
        forget_sent(stream, (size_t) sent);
    }
    return 0;
}

static gboolean on_writable(gint fd, GIOCondition condition, gpointer data)
{
    TransportByteStream *stream = data;
    int errsv = send_queued(stream);

    if (errsv) {
        end(stream, errsv);
    } else if (stream->queued == 0) {
        stop_source(&stream->writing);
        if (stream->events->drained)
            stream->events->drained(stream->data);
    }
    return G_SOURCE_CONTINUE;
}

static gboolean on_failed(gpointer data)
{
    TransportByteStream *stream = data;
    end(stream, stream->failure);
    return G_SOURCE_REMOVE;
}

/* Never from within the caller's write: it may be in the middle of something. */
static void fail_later(TransportByteStream *stream, int errsv)
{
    stream->failure = errsv;
    stream->failing = g_idle_source_new();
    g_source_set_priority(stream->failing, G_PRIORITY_DEFAULT);
    g_source_set_callback(stream->failing, on_failed, stream, NULL);
    g_source_attach(stream->failing, stream->context);
}

bool transport_byte_stream_write(TransportByteStream *stream, GBytes *bytes)
{
    size_t length = g_bytes_get_size(bytes);

    if (stream->fd < 0 || stream->failing || length == 0)
        return true;
    if (length > stream->limit - stream->queued)
        return false;
    g_queue_push_tail(&stream->queue, g_bytes_ref(bytes));
    stream->queued += length;
    if (stream->writing)
        return true;

    int errsv = send_queued(stream);
    if (errsv)
        fail_later(stream, errsv);
    else if (stream->queued > 0)
        stream->writing = watch(stream, G_IO_OUT, on_writable);
    return true;
}

size_t transport_byte_stream_get_queued(const TransportByteStream *stream)
{
    return stream->queued;
}

TransportByteStream *transport_byte_stream_new(int fd, size_t limit,
                                               const TransportByteStreamEvents *events, void *data)
{
    TransportByteStream *stream = g_new0(TransportByteStream, 1);

    stream->fd = fd;
    stream->limit = limit;
    stream->events = events;
    stream->data = data;
    stream->context = g_main_context_ref_thread_default();
    g_queue_init(&stream->queue);
    stream->reading = watch(stream, G_IO_IN, on_readable);
    return stream;
}

void transport_byte_stream_free(TransportByteStream *stream)
{
    if (!stream)
        return;
    shut(stream);
    g_main_context_unref(stream->context);
    g_free(stream);
}
