/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "handshake.h"

/* Devices that may be awaited at a time; of more, the oldest are forgotten, and their repetitions
 * are taken for new devices. */
#define MAX_AWAITED 64

/* FreeRDP puts the UsbDevice of the device in question into MessageId, never uses one twice, and
 * each time that a device is plugged in announces again all those that have no channel yet: eight
 * devices at once come to dozens of ADD_VIRTUAL_CHANNEL. As long as ADD_DEVICE confirms these
 * numbers, one channel for each is enough. mstsc's are 0. */
typedef struct {
    uint32_t usb_device;
    unsigned repetitions;
} Awaited;

struct RdpusbControlChannel {
    UrbdrcHandshake handshake;
    UrbdrcOutbox outbox;
    unsigned additions; /* ADD_VIRTUAL_CHANNEL not yet taken */
    GArray *awaited;    /* of Awaited: announced here, not by ADD_DEVICE; oldest first */
};

RdpusbControlChannel *rdpusb_control_channel_new(void)
{
    RdpusbControlChannel *channel = g_new0(RdpusbControlChannel, 1);
    urbdrc_handshake_init(&channel->handshake);
    urbdrc_outbox_init(&channel->outbox);
    channel->awaited = g_array_new(false, false, sizeof(Awaited));
    return channel;
}

void rdpusb_control_channel_free(RdpusbControlChannel *channel)
{
    if (!channel)
        return;
    urbdrc_outbox_clear(&channel->outbox);
    g_array_unref(channel->awaited);
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

static bool find_awaited(const RdpusbControlChannel *channel, uint32_t usb_device, guint *index)
{
    for (*index = 0; *index < channel->awaited->len; (*index)++) {
        if (g_array_index(channel->awaited, Awaited, *index).usb_device == usb_device)
            return true;
    }
    return false;
}

static void add(RdpusbControlChannel *channel, uint32_t message_id)
{
    guint index;
    if (message_id != 0 && find_awaited(channel, message_id, &index)) {
        Awaited *awaited = &g_array_index(channel->awaited, Awaited, index);
        awaited->repetitions = MIN(awaited->repetitions + 1, MAX_AWAITED);
        return;
    }
    if (channel->additions < G_MAXINT)
        channel->additions++;
    if (message_id == 0)
        return;
    if (channel->awaited->len == MAX_AWAITED)
        g_array_remove_index(channel->awaited, 0);
    Awaited awaited = {.usb_device = message_id};
    g_array_append_val(channel->awaited, awaited);
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
    /* Anything else is out of sequence, and ignored. */
    if (m.kind == WIRE_MESSAGE_ADD_VIRTUAL_CHANNEL &&
        channel->handshake.state == URBDRC_HANDSHAKE_DONE)
        add(channel, m.as.add_virtual_channel.message_id);
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

/* What was taken for repetitions may have been devices of their own. */
static void distrust(RdpusbControlChannel *channel)
{
    for (guint i = 0; i < channel->awaited->len; i++)
        channel->additions += g_array_index(channel->awaited, Awaited, i).repetitions;
    channel->additions = MIN(channel->additions, G_MAXINT);
    g_array_set_size(channel->awaited, 0);
}

void rdpusb_control_channel_found(RdpusbControlChannel *channel, uint32_t usb_device)
{
    guint index;
    if (find_awaited(channel, usb_device, &index))
        g_array_remove_index(channel->awaited, index);
    else
        distrust(channel);
}

void rdpusb_control_channel_found_none(RdpusbControlChannel *channel)
{
    distrust(channel);
}

int64_t rdpusb_control_channel_deadline(const RdpusbControlChannel *channel)
{
    return channel->handshake.deadline;
}

bool rdpusb_control_channel_tick(RdpusbControlChannel *channel, int64_t now, GError **error)
{
    return urbdrc_handshake_tick(&channel->handshake, now, error);
}
