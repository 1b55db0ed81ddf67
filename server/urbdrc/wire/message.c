/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "message.h"

typedef enum { CLIENT = 1, SERVER = 2 } Sender;

/* In place of an interface id in the table: the dynamic id that the caller gives, or any id. */
enum { DYNAMIC = -1, ANY = -2 };

typedef struct {
    WireMessageKind kind;
    Sender sender;
    WireMask mask;
    int interface;
    uint32_t function_id;
} Row;

/* The first row that fits decides. The capability response is missing: see wire_kind_from_client.
 * Only the server's messages come with a device's id, and only the client's with a completion's. */
static const Row rows[] = {
    {WIRE_MESSAGE_CAPABILITY_REQUEST, SERVER, WIRE_STREAM_ID_NONE, WIRE_INTERFACE_CAPABILITIES,
     WIRE_FUNCTION_RIM_EXCHANGE_CAPABILITY_REQUEST},
    {WIRE_MESSAGE_RELEASE, SERVER, WIRE_STREAM_ID_NONE, WIRE_INTERFACE_CAPABILITIES,
     WIRE_FUNCTION_RIMCALL_RELEASE},
    {WIRE_MESSAGE_RELEASE, CLIENT | SERVER, WIRE_STREAM_ID_PROXY, ANY,
     WIRE_FUNCTION_RIMCALL_RELEASE},
    {WIRE_MESSAGE_QUERY_INTERFACE_REQUEST, CLIENT, WIRE_STREAM_ID_PROXY, ANY,
     WIRE_FUNCTION_RIMCALL_QUERYINTERFACE},
    {WIRE_MESSAGE_QUERY_INTERFACE_RESPONSE, SERVER, WIRE_STREAM_ID_STUB, ANY, 0},
    {WIRE_MESSAGE_QUERY_DEVICE_TEXT_RESPONSE, CLIENT, WIRE_STREAM_ID_STUB, ANY, 0},
    {WIRE_MESSAGE_CHANNEL_CREATED, SERVER, WIRE_STREAM_ID_PROXY, WIRE_INTERFACE_SERVER_NOTIFICATION,
     WIRE_FUNCTION_CHANNEL_CREATED},
    {WIRE_MESSAGE_CHANNEL_CREATED, CLIENT, WIRE_STREAM_ID_PROXY, WIRE_INTERFACE_CLIENT_NOTIFICATION,
     WIRE_FUNCTION_CHANNEL_CREATED},
    {WIRE_MESSAGE_ADD_VIRTUAL_CHANNEL, CLIENT, WIRE_STREAM_ID_PROXY, WIRE_INTERFACE_DEVICE_SINK,
     WIRE_FUNCTION_ADD_VIRTUAL_CHANNEL},
    {WIRE_MESSAGE_ADD_DEVICE, CLIENT, WIRE_STREAM_ID_PROXY, WIRE_INTERFACE_DEVICE_SINK,
     WIRE_FUNCTION_ADD_DEVICE},
    {WIRE_MESSAGE_CANCEL_REQUEST, SERVER, WIRE_STREAM_ID_PROXY, DYNAMIC,
     WIRE_FUNCTION_CANCEL_REQUEST},
    {WIRE_MESSAGE_REGISTER_REQUEST_CALLBACK, SERVER, WIRE_STREAM_ID_PROXY, DYNAMIC,
     WIRE_FUNCTION_REGISTER_REQUEST_CALLBACK},
    {WIRE_MESSAGE_IO_CONTROL, SERVER, WIRE_STREAM_ID_PROXY, DYNAMIC, WIRE_FUNCTION_IO_CONTROL},
    {WIRE_MESSAGE_INTERNAL_IO_CONTROL, SERVER, WIRE_STREAM_ID_PROXY, DYNAMIC,
     WIRE_FUNCTION_INTERNAL_IO_CONTROL},
    {WIRE_MESSAGE_QUERY_DEVICE_TEXT, SERVER, WIRE_STREAM_ID_PROXY, DYNAMIC,
     WIRE_FUNCTION_QUERY_DEVICE_TEXT},
    {WIRE_MESSAGE_TRANSFER_IN_REQUEST, SERVER, WIRE_STREAM_ID_PROXY, DYNAMIC,
     WIRE_FUNCTION_TRANSFER_IN_REQUEST},
    {WIRE_MESSAGE_TRANSFER_OUT_REQUEST, SERVER, WIRE_STREAM_ID_PROXY, DYNAMIC,
     WIRE_FUNCTION_TRANSFER_OUT_REQUEST},
    {WIRE_MESSAGE_RETRACT_DEVICE, SERVER, WIRE_STREAM_ID_PROXY, DYNAMIC,
     WIRE_FUNCTION_RETRACT_DEVICE},
    {WIRE_MESSAGE_IO_CONTROL_COMPLETION, CLIENT, WIRE_STREAM_ID_PROXY, DYNAMIC,
     WIRE_FUNCTION_IOCONTROL_COMPLETION},
    {WIRE_MESSAGE_URB_COMPLETION, CLIENT, WIRE_STREAM_ID_PROXY, DYNAMIC,
     WIRE_FUNCTION_URB_COMPLETION},
    {WIRE_MESSAGE_URB_COMPLETION_NO_DATA, CLIENT, WIRE_STREAM_ID_PROXY, DYNAMIC,
     WIRE_FUNCTION_URB_COMPLETION_NO_DATA},
};

static bool fits(const Row *row, Sender sender, const WireHeader *header, uint32_t dynamic)
{
    if (!(row->sender & sender) || row->mask != header->mask ||
        row->function_id != header->function_id)
        return false;
    switch (row->interface) {
    case ANY: return true;
    case DYNAMIC: return header->interface_id == dynamic;
    default: return header->interface_id == (uint32_t) row->interface;
    }
}

static WireMessageKind find_kind(const uint8_t *data, size_t length, Sender sender,
                                 uint32_t dynamic)
{
    WireHeader header = {0};
    WireCursor c = wire_reader(data, length);
    wire_header(&c, &header);
    if (c.failed)
        return WIRE_MESSAGE_UNKNOWN;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (fits(&rows[i], sender, &header, dynamic))
            return rows[i].kind;
    return WIRE_MESSAGE_UNKNOWN;
}

/* Only the client sends capability responses, so its first word 0 means one whatever the third word
 * says: there stands CapabilityValue, which equals the function id of a release. A release of
 * interface 0 with that mask, as Windows sends it, is told apart by its length. */
WireMessageKind wire_kind_from_client(const uint8_t *data, size_t length,
                                      uint32_t request_completion)
{
    WireRelease release;
    uint32_t word = 0;
    WireCursor c = wire_reader(data, length);
    wire_u32(&c, &word);
    if (c.failed || word != WIRE_INTERFACE_CAPABILITIES)
        return find_kind(data, length, CLIENT, request_completion);
    return wire_release_decode(&release, data, length) ? WIRE_MESSAGE_RELEASE
                                                       : WIRE_MESSAGE_CAPABILITY_RESPONSE;
}

WireMessageKind wire_kind_from_server(const uint8_t *data, size_t length, uint32_t usb_device)
{
    return find_kind(data, length, SERVER, usb_device);
}

const char *wire_message_kind_to_string(WireMessageKind kind)
{
    switch (kind) {
    case WIRE_MESSAGE_RELEASE: return "RIMCALL_RELEASE";
    case WIRE_MESSAGE_CHANNEL_CREATED: return "CHANNEL_CREATED";
    case WIRE_MESSAGE_CAPABILITY_RESPONSE: return "RIM_EXCHANGE_CAPABILITY_RESPONSE";
    case WIRE_MESSAGE_QUERY_INTERFACE_REQUEST: return "QI_REQ";
    case WIRE_MESSAGE_ADD_VIRTUAL_CHANNEL: return "ADD_VIRTUAL_CHANNEL";
    case WIRE_MESSAGE_ADD_DEVICE: return "ADD_DEVICE";
    case WIRE_MESSAGE_QUERY_DEVICE_TEXT_RESPONSE: return "QUERY_DEVICE_TEXT_RSP";
    case WIRE_MESSAGE_IO_CONTROL_COMPLETION: return "IOCONTROL_COMPLETION";
    case WIRE_MESSAGE_URB_COMPLETION: return "URB_COMPLETION";
    case WIRE_MESSAGE_URB_COMPLETION_NO_DATA: return "URB_COMPLETION_NO_DATA";
    case WIRE_MESSAGE_CAPABILITY_REQUEST: return "RIM_EXCHANGE_CAPABILITY_REQUEST";
    case WIRE_MESSAGE_QUERY_INTERFACE_RESPONSE: return "QI_RSP";
    case WIRE_MESSAGE_CANCEL_REQUEST: return "CANCEL_REQUEST";
    case WIRE_MESSAGE_REGISTER_REQUEST_CALLBACK: return "REGISTER_REQUEST_CALLBACK";
    case WIRE_MESSAGE_IO_CONTROL: return "IO_CONTROL";
    case WIRE_MESSAGE_INTERNAL_IO_CONTROL: return "INTERNAL_IO_CONTROL";
    case WIRE_MESSAGE_QUERY_DEVICE_TEXT: return "QUERY_DEVICE_TEXT";
    case WIRE_MESSAGE_TRANSFER_IN_REQUEST: return "TRANSFER_IN_REQUEST";
    case WIRE_MESSAGE_TRANSFER_OUT_REQUEST: return "TRANSFER_OUT_REQUEST";
    case WIRE_MESSAGE_RETRACT_DEVICE: return "RETRACT_DEVICE";
    case WIRE_MESSAGE_UNKNOWN:
    case WIRE_N_MESSAGES: break;
    }
    return "unknown message";
}

#define WALK(KIND, name)                                                                           \
    case WIRE_MESSAGE_##KIND: wire_##name(c, &m->as.name); return

void wire_message(WireCursor *c, WireMessage *m)
{
    switch (m->kind) {
        WALK(RELEASE, release);
        WALK(CHANNEL_CREATED, channel_created);
        WALK(CAPABILITY_RESPONSE, capability_response);
        WALK(QUERY_INTERFACE_REQUEST, query_interface_request);
        WALK(ADD_VIRTUAL_CHANNEL, add_virtual_channel);
        WALK(ADD_DEVICE, add_device);
        WALK(QUERY_DEVICE_TEXT_RESPONSE, query_device_text_response);
        WALK(IO_CONTROL_COMPLETION, io_control_completion);
        WALK(URB_COMPLETION, urb_completion);
        WALK(CAPABILITY_REQUEST, capability_request);
        WALK(QUERY_INTERFACE_RESPONSE, query_interface_response);
        WALK(CANCEL_REQUEST, cancel_request);
        WALK(REGISTER_REQUEST_CALLBACK, register_request_callback);
        WALK(IO_CONTROL, io_control);
        WALK(QUERY_DEVICE_TEXT, query_device_text);
        WALK(TRANSFER_IN_REQUEST, transfer_in_request);
        WALK(TRANSFER_OUT_REQUEST, transfer_out_request);
        WALK(RETRACT_DEVICE, retract_device);
    case WIRE_MESSAGE_URB_COMPLETION_NO_DATA:
        wire_urb_completion_no_data(c, &m->as.urb_completion);
        return;
    case WIRE_MESSAGE_INTERNAL_IO_CONTROL: wire_internal_io_control(c, &m->as.io_control); return;
    case WIRE_MESSAGE_UNKNOWN:
    case WIRE_N_MESSAGES: break;
    }
    wire_fail(c);
}

bool wire_message_read(WireMessage *m, WireMessageKind kind, const uint8_t *data, size_t length)
{
    *m = (WireMessage){.kind = kind};
    WireCursor c = wire_reader(data, length);
    wire_message(&c, m);
    return wire_finish(&c);
}

size_t wire_message_size(const WireMessage *m)
{
    WireCursor c = wire_measurer();
    wire_message(&c, (WireMessage *) m);
    return wire_finish(&c) ? c.position : 0;
}

size_t wire_message_encode(const WireMessage *m, uint8_t *data, size_t size)
{
    WireCursor c = wire_writer(data, size);
    wire_message(&c, (WireMessage *) m);
    return wire_finish(&c) ? c.position : 0;
}
