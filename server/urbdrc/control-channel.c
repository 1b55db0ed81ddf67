/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "handshake.h"

struct RdpusbControlChannel {
    UrbdrcHandshake handshake;
    UrbdrcOutbox outbox;
    unsigned additions; /* ADD_VIRTUAL_CHANNEL not yet taken */
};

RdpusbControlChannel *rdpusb_control_channel_new(void)
{
    RdpusbControlChannel *channel = g_new0(RdpusbControlChannel, 1);
    urbdrc_handshake_init(&channel->handshake);
    urbdrc_outbox_init(&channel->outbox);
    return channel;
}

void rdpusb_control_channel_free(RdpusbControlChannel *channel)
{
    if (!channel)
        return;
    urbdrc_outbox_clear(&channel->outbox);
    g_free(channel);
}

void rdpusb_control_channel_opened(RdpusbControlChannel *channel, int64_t now)
{
    g_return_if_fail(channel->handshake.state == URBDRC_HANDSHAKE_NEW);
    urbdrc_handshake_start(&channel->handshake, &channel->outbox, now);
}

static const char *state_to_string(const RdpusbControlChannel *channel)
{
    return channel->handshake.state == URBDRC_HANDSHAKE_DONE ? "ready" : "hand-shake";
}

bool rdpusb_control_channel_feed(RdpusbControlChannel *channel, const uint8_t *data, size_t size,
                                 int64_t now, GError **error)
{
    WireMessage m;
    if (!urbdrc_incoming_read(&m, data, size, WIRE_INTERFACE_NOT_KNOWN, state_to_string(channel),
                              error))
        return false;
    bool taken;
    if (!urbdrc_handshake_take(&channel->handshake, &m, &channel->outbox, now, &taken, error))
        return false;
    /* FreeRDP may announce one device twice: the device channel too many stays without ADD_DEVICE
     * and runs into its time-out. Anything else is out of sequence, and ignored. */
    if (m.kind == WIRE_MESSAGE_ADD_VIRTUAL_CHANNEL &&
        channel->handshake.state == URBDRC_HANDSHAKE_DONE && channel->additions < G_MAXINT)
        channel->additions++;
    return true;
}

GBytes *rdpusb_control_channel_next_message(RdpusbControlChannel *channel)
{
    return urbdrc_outbox_pop(&channel->outbox, NULL);
}

unsigned rdpusb_control_channel_take_additions(RdpusbControlChannel *channel)
{
    unsigned additions = channel->additions;
    channel->additions = 0;
    return additions;
}

int64_t rdpusb_control_channel_deadline(const RdpusbControlChannel *channel)
{
    return channel->handshake.deadline;
}

bool rdpusb_control_channel_tick(RdpusbControlChannel *channel, int64_t now, GError **error)
{
    return urbdrc_handshake_tick(&channel->handshake, now, error);
}
