/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What client.c (hand-shake, channels) and client-transfer.c (requests of a device) share. */
#pragma once

#include "client.h"

/* One transfer, as much of it as its completion needs. */
typedef struct {
    uint32_t message_id;
    uint32_t request_id;
    uint32_t output_buffer_size;
    uint8_t endpoint; /* 0 if it does not wait for the device */
    bool is_in;
    bool is_no_ack;
    bool is_held; /* by the test */
    bool is_cancelled;
    bool is_short_ok;
    GBytes *sent; /* OUT */
    int64_t deadline;
} Transfer;

typedef struct {
    uint32_t handle;
    uint32_t usb_device;    /* on the wire */
    uint32_t port, address; /* of the hub; on the bus */
    bool is_announced;
    unsigned channel;
    bool is_registered;
    uint32_t request_completion;
    uint32_t n_listed; /* interfaces in the last selection of a configuration; 0: none yet */
    FakeDevice device;
    GQueue transfers; /* pending, oldest first */
} ClientDevice;

struct FakeClient {
    const FakeClientProfile *profile;
    FakeOnUrb on_urb;
    void *on_urb_data;
    uint32_t next_handle;
    bool has_control_channel, is_control_channel_closed;
    unsigned control_channel;
    GPtrArray *devices;                     /* ClientDevice */
    char *hardware_ids, *compatibility_ids; /* of all of them; NULL: the descriptors' */
    size_t text_length;                     /* likewise; 0 */
    GArray *stages;                         /* of mstsc's hand-shakes: ChannelStage */
    GQueue messages;                        /* Outgoing */
    GQueue closed;                          /* channels, GUINT_TO_POINTER */
    GPtrArray *violations;
};

void client_send(FakeClient *client, unsigned channel, const WireMessage *m);
void client_close(FakeClient *client, unsigned channel);
void client_violation(FakeClient *client, const char *format, ...) G_GNUC_PRINTF(2, 3);

/* A message to a device, other than QUERY_DEVICE_TEXT and the like. */
void client_transfer(FakeClient *client, ClientDevice *d, const WireMessage *m, int64_t now);
void client_io_control(FakeClient *client, ClientDevice *d, const WireMessage *m, int64_t now);
void client_cancel(FakeClient *client, ClientDevice *d, uint32_t request_id);
/* Gives pending transfers what the device has for them, and times the others out. */
void client_advance(FakeClient *client, ClientDevice *d, int64_t now);
void client_respond(FakeClient *client, ClientDevice *d, Transfer *transfer,
                    const FakeResponse *response);
/* The pending transfers of one endpoint, or of the whole device (0): answered by client_advance()
 * if the profile cancels late. */
void client_cancel_all(FakeClient *client, ClientDevice *d, uint8_t endpoint);
/* The device answers by itself. What is returned keeps the bytes of the response. */
GBytes *client_execute(FakeClient *client, ClientDevice *d, const FakeRequest *r, Transfer *t,
                       FakeResponse *response, int64_t now);
void fake_transfer_free(Transfer *transfer);
