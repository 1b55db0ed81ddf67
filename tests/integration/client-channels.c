/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "client-channels.h"

#include <string.h>

/* [MS-RDPEDYC] 2.2 */
enum { CREATE = 1, DATA_FIRST = 2, DATA = 3, CLOSE = 4, CAPABILITIES = 5 };

#define MAX_PDU     1600
#define MAX_HEADER  9
#define NOT_FOUND   0xC0000225 /* STATUS_NOT_FOUND, what Windows answers */
#define NO_CHANNELS ((unsigned) -1)

typedef struct {
    uint32_t id;
    bool is_open;
    bool is_closed_by_server;
    unsigned n_received;
    GByteArray *message; /* of DATA_FIRST and DATA, so far */
    uint32_t total;      /* bytes of it; 0 when there is none under way */
} Channel;

struct ClientChannels {
    const ClientChannelsEvents *events;
    void *data;
    GPtrArray *channels; /* Channel */
    ClientChannelsAnswer create, capabilities;
};

static void channel_free(gpointer data)
{
    Channel *channel = data;
    g_byte_array_unref(channel->message);
    g_free(channel);
}

ClientChannels *client_channels_new(const ClientChannelsEvents *events, void *data)
{
    ClientChannels *channels = g_new0(ClientChannels, 1);
    channels->events = events;
    channels->data = data;
    channels->channels = g_ptr_array_new_with_free_func(channel_free);
    return channels;
}

void client_channels_free(ClientChannels *channels)
{
    if (!channels)
        return;
    g_ptr_array_unref(channels->channels);
    g_free(channels);
}

void client_channels_answer_create(ClientChannels *channels, ClientChannelsAnswer answer)
{
    channels->create = answer;
}

void client_channels_answer_capabilities(ClientChannels *channels, ClientChannelsAnswer answer)
{
    channels->capabilities = answer;
}

static Channel *get(const ClientChannels *channels, unsigned number)
{
    return number < channels->channels->len ? channels->channels->pdata[number] : NULL;
}

static unsigned find(const ClientChannels *channels, uint32_t id)
{
    for (guint i = 0; i < channels->channels->len; i++) {
        if (((Channel *) channels->channels->pdata[i])->id == id)
            return i;
    }
    return NO_CHANNELS;
}

unsigned client_channels_n(const ClientChannels *channels)
{
    return channels->channels->len;
}

bool client_channels_is_open(const ClientChannels *channels, unsigned channel)
{
    const Channel *c = get(channels, channel);
    return c && c->is_open;
}

bool client_channels_is_closed_by_server(const ClientChannels *channels, unsigned channel)
{
    const Channel *c = get(channels, channel);
    return c && c->is_closed_by_server;
}

unsigned client_channels_n_received(const ClientChannels *channels, unsigned channel)
{
    const Channel *c = get(channels, channel);
    return c ? c->n_received : 0;
}

/* ---- Out ---- */

static void put(GByteArray *pdu, uint32_t value, unsigned size)
{
    for (unsigned i = 0; i < size; i++, value >>= 8)
        g_byte_array_append(pdu, &(uint8_t){value & 0xFF}, 1);
}

/* Cmd, cbId and ChannelId; 2.2 always knows an id in four bytes. */
static GByteArray *header(unsigned command, unsigned sp, uint32_t id)
{
    GByteArray *pdu = g_byte_array_new();
    put(pdu, command << 4 | sp << 2 | 2, 1);
    put(pdu, id, 4);
    return pdu;
}

static void send_pdu(ClientChannels *channels, GByteArray *pdu)
{
    channels->events->send(pdu->data, pdu->len, channels->data);
    g_byte_array_unref(pdu);
}

void client_channels_send_first(ClientChannels *channels, unsigned channel, uint32_t total,
                                const uint8_t *data, size_t size)
{
    const Channel *c = get(channels, channel);
    g_return_if_fail(c);
    GByteArray *pdu = header(DATA_FIRST, 2, c->id);
    put(pdu, total, 4);
    g_byte_array_append(pdu, data, (guint) size);
    send_pdu(channels, pdu);
}

void client_channels_send_data(ClientChannels *channels, unsigned channel, const uint8_t *data,
                               size_t size)
{
    const Channel *c = get(channels, channel);
    g_return_if_fail(c);
    GByteArray *pdu = header(DATA, 0, c->id);
    g_byte_array_append(pdu, data, (guint) size);
    send_pdu(channels, pdu);
}

void client_channels_send(ClientChannels *channels, unsigned channel, const uint8_t *message,
                          size_t size)
{
    size_t piece = MAX_PDU - MAX_HEADER;
    if (size <= piece) {
        client_channels_send_data(channels, channel, message, size);
        return;
    }
    client_channels_send_first(channels, channel, (uint32_t) size, message, piece);
    for (size_t i = piece; i < size; i += piece)
        client_channels_send_data(channels, channel, message + i, MIN(piece, size - i));
}

static void send_close(ClientChannels *channels, uint32_t id)
{
    send_pdu(channels, header(CLOSE, 0, id));
}

void client_channels_close(ClientChannels *channels, unsigned channel)
{
    Channel *c = get(channels, channel);
    g_return_if_fail(c);
    c->is_open = false;
    send_close(channels, c->id);
}

/* ---- In ---- */

static bool take_capabilities(ClientChannels *channels)
{
    GByteArray *pdu = g_byte_array_new();
    put(pdu, CAPABILITIES << 4, 1);
    put(pdu, 0, 1);
    put(pdu, 1, 2); /* version */
    if (channels->capabilities == CLIENT_CHANNELS_ACCEPT)
        send_pdu(channels, pdu);
    else
        g_byte_array_unref(pdu);
    return true;
}

static bool take_create(ClientChannels *channels, uint32_t id)
{
    Channel *channel = g_new0(Channel, 1);
    channel->id = id;
    channel->is_open = channels->create == CLIENT_CHANNELS_ACCEPT;
    channel->message = g_byte_array_new();
    g_ptr_array_add(channels->channels, channel);
    if (channels->create == CLIENT_CHANNELS_IGNORE)
        return true;
    GByteArray *pdu = header(CREATE, 0, id);
    put(pdu, channels->create == CLIENT_CHANNELS_ACCEPT ? 0 : NOT_FOUND, 4);
    send_pdu(channels, pdu);
    return true;
}

static bool take_data(ClientChannels *channels, unsigned number, const uint8_t *data, size_t size)
{
    Channel *channel = get(channels, number);
    g_byte_array_append(channel->message, data, (guint) size);
    if (channel->message->len < channel->total)
        return true;
    if (channel->total != 0 && channel->message->len > channel->total)
        return false;
    channel->total = 0;
    channel->n_received++;
    g_autoptr(GByteArray) message = g_steal_pointer(&channel->message);
    channel->message = g_byte_array_new();
    if (channel->is_open)
        channels->events->received(number, message->data, message->len, channels->data);
    return true;
}

static bool take_data_first(ClientChannels *channels, unsigned number, unsigned sp,
                            const uint8_t *data, size_t size)
{
    Channel *channel = get(channels, number);
    size_t length_size = (size_t) 1 << sp;
    if (sp > 2 || size < length_size || channel->total != 0)
        return false;
    for (size_t i = length_size; i-- > 0;)
        channel->total = channel->total << 8 | data[i];
    return take_data(channels, number, data + length_size, size - length_size);
}

/* Who is told to close a channel confirms that, unless it did so itself before. */
static bool take_close(ClientChannels *channels, unsigned number)
{
    Channel *channel = get(channels, number);
    channel->is_closed_by_server = true;
    if (!channel->is_open)
        return true;
    channel->is_open = false;
    send_close(channels, channel->id);
    channels->events->closed(number, channels->data);
    return true;
}

bool client_channels_take(ClientChannels *channels, const uint8_t *pdu, size_t size)
{
    if (size < 1)
        return false;
    unsigned command = pdu[0] >> 4, sp = pdu[0] >> 2 & 3, id_size = 1u << (pdu[0] & 3);
    if (command == CAPABILITIES)
        return take_capabilities(channels);
    if (id_size > 4 || size < 1 + id_size)
        return false;
    uint32_t id = 0;
    for (unsigned i = id_size; i > 0; i--)
        id = id << 8 | pdu[i];
    if (command == CREATE)
        return take_create(channels, id);
    unsigned number = find(channels, id);
    if (number == NO_CHANNELS)
        return false;
    const uint8_t *rest = pdu + 1 + id_size;
    size_t n = size - 1 - id_size;
    switch (command) {
    case DATA_FIRST: return take_data_first(channels, number, sp, rest, n);
    case DATA: return take_data(channels, number, rest, n);
    case CLOSE: return take_close(channels, number);
    default: return false;
    }
}
