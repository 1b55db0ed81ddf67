/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Bytes over a connected socket, never blocking. Lives in the GMainContext that was the thread's
 * default when it was created. It always reads: a full queue towards the peer does not stop it, as
 * QEMU's own queue towards us has no bound. */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct TransportByteStream TransportByteStream;

typedef struct {
    /* Bytes arrived; borrowed for the call. */
    void (*received)(void *data, const uint8_t *bytes, size_t length);
    /* The queue, which was not empty, now is. May be NULL. */
    void (*drained)(void *data);
    /* The last event: the peer hung up (@error NULL) or the socket failed. What was queued is lost.
     * Never called from within a call of ours. */
    void (*closed)(void *data, const GError *error);
} TransportByteStreamEvents;

/* Takes over @fd, a connected and non-blocking socket. At most @limit bytes are queued for the
 * peer. @events must live as long as the stream; each of its callbacks may free the stream. */
TransportByteStream *transport_byte_stream_new(int fd, size_t limit,
                                               const TransportByteStreamEvents *events, void *data);

/* Closes the socket; what is queued is lost. No callback comes any more. */
void transport_byte_stream_free(TransportByteStream *stream);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(TransportByteStream, transport_byte_stream_free)

/* Sends or queues all of @bytes (a reference is taken). False, and nothing is sent, if they do not
 * fit into the queue. What is written to a stream that has failed is lost; closed tells, or told,
 * the reason. */
bool transport_byte_stream_write(TransportByteStream *stream, GBytes *bytes);

/* Bytes that the kernel has not taken yet. */
size_t transport_byte_stream_get_queued(const TransportByteStream *stream);
