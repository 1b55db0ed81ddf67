/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The client's end of dynamic virtual channels ([MS-RDPEDYC], version 1), well-behaved unless told
 * otherwise. Channels are numbered from 0 in the order in which the server creates them. No I/O.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct ClientChannels ClientChannels;

typedef struct {
    /* One PDU for drdynvc. */
    void (*send)(const uint8_t *pdu, size_t size, void *data);
    /* A whole message came on a channel. */
    void (*received)(unsigned channel, const uint8_t *message, size_t size, void *data);
    /* The server closed a channel. */
    void (*closed)(unsigned channel, void *data);
} ClientChannelsEvents;

typedef enum {
    CLIENT_CHANNELS_ACCEPT,
    CLIENT_CHANNELS_REJECT,
    CLIENT_CHANNELS_IGNORE,
} ClientChannelsAnswer;

ClientChannels *client_channels_new(const ClientChannelsEvents *events, void *data);
void client_channels_free(ClientChannels *channels);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ClientChannels, client_channels_free)

/* How requests to create channels are answered from now on; the capabilities as well, where
 * anything but ACCEPT is silence. */
void client_channels_answer_create(ClientChannels *channels, ClientChannelsAnswer answer);
void client_channels_answer_capabilities(ClientChannels *channels, ClientChannelsAnswer answer);

/* Takes one PDU of drdynvc. False if it is none that a client of version 1 knows. */
bool client_channels_take(ClientChannels *channels, const uint8_t *pdu, size_t size);

/* How many there have ever been. */
unsigned client_channels_n(const ClientChannels *channels);
bool client_channels_is_open(const ClientChannels *channels, unsigned channel);
bool client_channels_is_closed_by_server(const ClientChannels *channels, unsigned channel);
unsigned client_channels_n_received(const ClientChannels *channels, unsigned channel);

/* Of any channel of that number; open or not is for the server to judge. */
void client_channels_send(ClientChannels *channels, unsigned channel, const uint8_t *message,
                          size_t size);
/* DYNVC_DATA_FIRST with whatever length. */
void client_channels_send_first(ClientChannels *channels, unsigned channel, uint32_t total,
                                const uint8_t *data, size_t size);
/* DYNVC_DATA. */
void client_channels_send_data(ClientChannels *channels, unsigned channel, const uint8_t *data,
                               size_t size);
void client_channels_close(ClientChannels *channels, unsigned channel);
