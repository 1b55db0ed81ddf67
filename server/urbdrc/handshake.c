/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "handshake.h"

/* A client that asks without reading our answers gets no more of them. */
#define MAX_QUEUED_BYTES (64 * 1024)

void urbdrc_handshake_init(UrbdrcHandshake *handshake)
{
    *handshake = (UrbdrcHandshake){.deadline = RDPUSB_NO_DEADLINE};
}

void urbdrc_handshake_start(UrbdrcHandshake *handshake, UrbdrcOutbox *outbox, int64_t now)
{
    urbdrc_outbox_push(
        outbox,
        &(WireMessage){
            .kind = WIRE_MESSAGE_CAPABILITY_REQUEST,
            .as.capability_request = {.capability_value = WIRE_RIM_CAPABILITY_VERSION_01},
        },
        NULL);
    handshake->state = URBDRC_HANDSHAKE_CAPABILITIES;
    handshake->deadline = now + URBDRC_HANDSHAKE_TIMEOUT;
}

static void release(UrbdrcOutbox *outbox, uint32_t interface_id, WireMask mask)
{
    urbdrc_outbox_push(outbox,
                       &(WireMessage){
                           .kind = WIRE_MESSAGE_RELEASE,
                           .as.release = {.interface_id = interface_id, .mask = mask},
                       },
                       NULL);
}

static bool take_capability_response(UrbdrcHandshake *handshake, const WireCapabilityResponse *m,
                                     UrbdrcOutbox *outbox, int64_t now, GError **error)
{
    if (m->capability_value != WIRE_RIM_CAPABILITY_VERSION_01 || m->result != WIRE_S_OK) {
        g_set_error(error, RDPUSB_URBDRC_ERROR, RDPUSB_URBDRC_ERROR_MALFORMED,
                    "in state \"hand-shake\" the client refused the capabilities: value %u, "
                    "result 0x%08x",
                    m->capability_value, m->result);
        return false;
    }
    release(outbox, WIRE_INTERFACE_CAPABILITIES, WIRE_STREAM_ID_NONE);
    urbdrc_outbox_push(
        outbox,
        &(WireMessage){
            .kind = WIRE_MESSAGE_CHANNEL_CREATED,
            .as.channel_created = {.interface_id = WIRE_INTERFACE_SERVER_NOTIFICATION,
                                   .major_version = 1},
        },
        NULL);
    handshake->state = URBDRC_HANDSHAKE_CREATED;
    handshake->deadline = now + URBDRC_HANDSHAKE_TIMEOUT;
    return true;
}

static bool take_channel_created(UrbdrcHandshake *handshake, const WireChannelCreated *m,
                                 UrbdrcOutbox *outbox, GError **error)
{
    if (m->major_version != 1) {
        g_set_error(error, RDPUSB_URBDRC_ERROR, RDPUSB_URBDRC_ERROR_MALFORMED,
                    "in state \"hand-shake\" the client created the channel with version %u.%u, "
                    "where only 1.0 exists",
                    m->major_version, m->minor_version);
        return false;
    }
    release(outbox, WIRE_INTERFACE_SERVER_NOTIFICATION, WIRE_STREAM_ID_PROXY);
    handshake->state = URBDRC_HANDSHAKE_DONE;
    handshake->deadline = RDPUSB_NO_DEADLINE;
    return true;
}

/* "Not supported": nothing on these channels can be queried ([MS-RDPEXPS] 2.2.2.1.2). */
static void answer_query_interface(const WireQueryInterfaceRequest *m, UrbdrcOutbox *outbox)
{
    if (outbox->bytes > MAX_QUEUED_BYTES)
        return;
    urbdrc_outbox_push(outbox,
                       &(WireMessage){
                           .kind = WIRE_MESSAGE_QUERY_INTERFACE_RESPONSE,
                           .as.query_interface_response = {.interface_id = m->interface_id,
                                                           .message_id = m->message_id},
                       },
                       NULL);
}

bool urbdrc_handshake_take(UrbdrcHandshake *handshake, const WireMessage *m, UrbdrcOutbox *outbox,
                           int64_t now, bool *taken, GError **error)
{
    *taken = true;
    if (m->kind == WIRE_MESSAGE_RELEASE)
        return true; /* mstsc releases an interface after every completion */
    if (m->kind == WIRE_MESSAGE_QUERY_INTERFACE_REQUEST) {
        answer_query_interface(&m->as.query_interface_request, outbox);
        return true;
    }
    if (m->kind == WIRE_MESSAGE_CAPABILITY_RESPONSE &&
        handshake->state == URBDRC_HANDSHAKE_CAPABILITIES)
        return take_capability_response(handshake, &m->as.capability_response, outbox, now, error);
    if (m->kind == WIRE_MESSAGE_CHANNEL_CREATED && handshake->state == URBDRC_HANDSHAKE_CREATED)
        return take_channel_created(handshake, &m->as.channel_created, outbox, error);
    *taken = false;
    return true;
}

bool urbdrc_handshake_tick(const UrbdrcHandshake *handshake, int64_t now, GError **error)
{
    if (now < handshake->deadline)
        return true;
    g_set_error(error, RDPUSB_URBDRC_ERROR, RDPUSB_URBDRC_ERROR_SILENT,
                "the client sent no %s within %d seconds",
                wire_message_kind_to_string(handshake->state == URBDRC_HANDSHAKE_CREATED
                                                ? WIRE_MESSAGE_CHANNEL_CREATED
                                                : WIRE_MESSAGE_CAPABILITY_RESPONSE),
                (int) (URBDRC_HANDSHAKE_TIMEOUT / G_TIME_SPAN_SECOND));
    return false;
}
