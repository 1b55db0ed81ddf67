/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hostile.h"

#include <poll.h>
#include <string.h>

#include "wire/message.h"

const char *const tamper_names[TAMPER_N] = {
    [TAMPER_NONE] = "none",         [TAMPER_TWICE] = "twice",
    [TAMPER_STRANGER] = "stranger", [TAMPER_SWALLOW] = "swallow",
    [TAMPER_TRUNCATE] = "truncate", [TAMPER_RUBBISH] = "rubbish",
    [TAMPER_OVERFULL] = "overfull", [TAMPER_OVERCLAIM] = "overclaim",
};

enum {
    /* [MS-RDPEUSB] 2.2.7: FunctionId and RequestId follow InterfaceId and MessageId */
    FUNCTION_ID = 8,
    REQUEST_ID = 12,
    CB_TS_URB_RESULT = 16,
    IO_CONTROL_COMPLETION = 0x100,
    URB_COMPLETION = 0x101,
    URB_COMPLETION_NO_DATA = 0x102,
    FIRST_REQUEST_COMPLETION = 0x10, /* interface ids below are no device's */
    STRANGER = 0x3FFFFFF0,           /* a request id that the server is far from */
    EXTRA = 1000,                    /* bytes too many */
};

/* ---- Completions that are wrong ---- */

static uint32_t get_u32(const GByteArray *message, size_t at)
{
    uint32_t value = 0;
    for (size_t i = 4; i-- > 0;)
        value = value << 8 | message->data[at + i];
    return value;
}

static void set_u32(GByteArray *message, size_t at, uint32_t value)
{
    for (size_t i = 0; i < 4; i++, value >>= 8)
        message->data[at + i] = value & 0xFF;
}

static bool is_completion(const GByteArray *message)
{
    if (message->len < CB_TS_URB_RESULT + 4)
        return false;
    uint32_t function = get_u32(message, FUNCTION_ID);
    return (get_u32(message, 0) & WIRE_INTERFACE_MASK) >= FIRST_REQUEST_COMPLETION &&
           function >= IO_CONTROL_COMPLETION && function <= URB_COMPLETION_NO_DATA;
}

/* Where OutputBufferSize is; 0 if the message has no such data. */
static size_t output_buffer_size_at(const GByteArray *message)
{
    if (get_u32(message, FUNCTION_ID) != URB_COMPLETION)
        return 0;
    return CB_TS_URB_RESULT + 4 + get_u32(message, CB_TS_URB_RESULT) + 4;
}

static void append_extra(GByteArray *message)
{
    guint length = message->len;
    g_byte_array_set_size(message, length + EXTRA);
    memset(message->data + length, 0xEE, EXTRA);
}

static void send_tampered(Hostile *hostile, unsigned channel, GByteArray *message, Tamper tamper)
{
    size_t size_at = output_buffer_size_at(message);
    switch (tamper) {
    case TAMPER_TWICE:
        client_channels_send(hostile->channels, channel, message->data, message->len);
        break;
    case TAMPER_STRANGER: {
        uint32_t id = get_u32(message, REQUEST_ID);
        set_u32(message, REQUEST_ID, STRANGER);
        client_channels_send(hostile->channels, channel, message->data, message->len);
        set_u32(message, REQUEST_ID, id);
        break;
    }
    case TAMPER_SWALLOW: hostile->n_swallowed++; return;
    case TAMPER_TRUNCATE: g_byte_array_set_size(message, message->len - 1); break;
    case TAMPER_RUBBISH: append_extra(message); break;
    case TAMPER_OVERFULL:
        if (size_at) {
            append_extra(message);
            set_u32(message, size_at, get_u32(message, size_at) + EXTRA);
        }
        break;
    case TAMPER_OVERCLAIM:
        if (size_at)
            set_u32(message, size_at, get_u32(message, size_at) + EXTRA);
        break;
    case TAMPER_NONE:
    case TAMPER_N: break;
    }
    client_channels_send(hostile->channels, channel, message->data, message->len);
}

static void send_message(Hostile *hostile, unsigned channel, GBytes *bytes)
{
    g_autoptr(GByteArray) message = g_bytes_unref_to_array(g_bytes_ref(bytes));
    Tamper tamper = channel < HOSTILE_MAX_CHANNELS ? hostile->tamper[channel] : TAMPER_NONE;
    if (tamper == TAMPER_NONE || !is_completion(message))
        client_channels_send(hostile->channels, channel, message->data, message->len);
    else
        send_tampered(hostile, channel, message, tamper);
}

void hostile_pump(Hostile *hostile)
{
    GBytes *message;
    unsigned channel;
    while ((message = fake_client_next_message(hostile->fake, &channel))) {
        send_message(hostile, channel, message);
        g_bytes_unref(message);
    }
    while (fake_client_next_closed(hostile->fake, &channel))
        client_channels_close(hostile->channels, channel);
}

/* ---- Descriptors that lie ---- */

static bool on_urb(FakeClient *client, const FakeRequest *request, FakeResponse *response,
                   void *data)
{
    Hostile *hostile = data;
    const WireUrb *urb = request->urb;
    if (!request->is_in || wire_urb_kind(urb->function) != WIRE_URB_CONTROL_DESCRIPTOR_REQUEST)
        return false;
    const WireControlDescriptorRequest *asked = &urb->body.control_descriptor_request;
    GBytes *said = g_hash_table_lookup(
        hostile->descriptors, GUINT_TO_POINTER(asked->descriptor_type << 8 | asked->index));
    if (!said)
        return false;
    gsize size;
    const uint8_t *bytes = g_bytes_get_data(said, &size);
    response->data = (WireBytes){bytes, (uint32_t) MIN(size, request->output_buffer_size)};
    return true;
}

/* ---- Life ---- */

static void on_send(const uint8_t *pdu, size_t size, void *data)
{
    Hostile *hostile = data;
    if (hostile->rdp)
        client_rdp_send(hostile->rdp, pdu, size);
}

static void on_received(unsigned channel, const uint8_t *message, size_t size, void *data)
{
    Hostile *hostile = data;
    if (channel < HOSTILE_MAX_CHANNELS && hostile->is_muted[channel])
        return;
    fake_client_feed(hostile->fake, channel, message, size, g_get_monotonic_time());
}

static void on_closed(unsigned channel, void *data)
{
    Hostile *hostile = data;
    fake_client_closed(hostile->fake, channel);
}

static const ClientChannelsEvents channel_events = {
    .send = on_send,
    .received = on_received,
    .closed = on_closed,
};

static void on_pdu(const uint8_t *pdu, size_t size, void *data)
{
    Hostile *hostile = data;
    if (!client_channels_take(hostile->channels, pdu, size))
        hostile->n_bad_pdus++;
}

void hostile_set_profile(Hostile *hostile, const FakeClientProfile *profile)
{
    fake_client_free(hostile->fake);
    hostile->fake = fake_client_new(profile);
    fake_client_set_on_urb(hostile->fake, on_urb, hostile);
}

void hostile_init(Hostile *hostile)
{
    *hostile = (Hostile){.has_drdynvc = true};
    hostile->channels = client_channels_new(&channel_events, hostile);
    hostile->descriptors = g_hash_table_new_full(NULL, NULL, NULL, (GDestroyNotify) g_bytes_unref);
    hostile_set_profile(hostile, NULL);
}

void hostile_clear(Hostile *hostile)
{
    g_clear_pointer(&hostile->rdp, client_rdp_free);
    g_clear_pointer(&hostile->channels, client_channels_free);
    g_clear_pointer(&hostile->fake, fake_client_free);
    g_clear_pointer(&hostile->descriptors, g_hash_table_unref);
}

bool hostile_connect(Hostile *hostile, const char *server, const char *user, const char *password,
                     GError **error)
{
    ClientRdpOptions options = {
        .server = server,
        .user = user,
        .password = password,
        .has_drdynvc = hostile->has_drdynvc,
        .received = on_pdu,
        .data = hostile,
    };
    hostile->rdp = client_rdp_new(&options, error);
    return hostile->rdp;
}

bool hostile_serve(Hostile *hostile, int fd, int64_t deadline)
{
    if (!hostile->rdp) {
        struct pollfd input = {.fd = fd, .events = POLLIN};
        return poll(&input, 1, -1) > 0;
    }
    bool is_readable =
        client_rdp_serve(hostile->rdp, fd, MIN(deadline, fake_client_deadline(hostile->fake)));
    fake_client_tick(hostile->fake, g_get_monotonic_time());
    hostile_pump(hostile);
    return is_readable;
}
