/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Dynamic virtual channels of a peer, as whole messages. FreeRDP fills a channel's queue only while
 * the peer's socket is read, so nothing here has a descriptor of its own: after reading, ask each
 * channel for its state and its messages.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

typedef struct rdp_context rdpContext;
typedef struct Channels Channels;
typedef struct Channel Channel;

typedef enum {
    CHANNELS_NONE,    /* the client has no dynamic virtual channels, or refused them */
    CHANNELS_WAITING, /* not yet set up */
    CHANNELS_READY,   /* channel_open() may be called */
} ChannelsState;

typedef enum {
    CHANNEL_OPENING,
    CHANNEL_OPEN,
    CHANNEL_REFUSED, /* the client knows no such channel */
    CHANNEL_CLOSED,  /* by the client, and all its messages are read */
} ChannelState;

/* `context` is the peer's, and outlives the channels. */
Channels *channels_new(rdpContext *context, GError **error);
/* Closes all channels; accepts NULL. */
void channels_free(Channels *channels);

ChannelsState channels_state(const Channels *channels);
/* Hands what was written to the peer. Once `activated`, also sets up dynamic virtual channels. */
void channels_flush(Channels *channels, bool activated);
/* How many bytes the next channels_flush() will hand over. */
size_t channels_written(const Channels *channels);

/* NULL when there is no memory. Owned by `channels` until channel_close(). */
Channel *channel_open(Channels *channels, const char *name);
/* Frees `channel`, and tells the client when it had accepted it. Accepts NULL. */
void channel_close(Channel *channel);

ChannelState channel_state(const Channel *channel);
/* The next whole message, NULL when there is none; valid until the next read on any channel. A
 * message for which there is no memory is cut, which makes it malformed. */
const uint8_t *channel_read(Channel *channel, size_t *size);
/* Queues one message without a bound: see peer_write_blocked(). False when memory is short. */
bool channel_write(Channel *channel, GBytes *message);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Channels, channels_free)
