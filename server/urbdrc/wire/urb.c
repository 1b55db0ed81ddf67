/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "urb.h"

#define NO_ACK UINT32_C(0x80000000)

typedef struct {
    WireUrbKind kind;
    const char *name;
} Function;

#define FUNCTION(name, kind) [WIRE_URB_FUNCTION_##name] = {WIRE_URB_##kind, #name}

/* [MS-RDPEUSB] 2.2.9: which body goes with which function. What is left out is reserved. */
static const Function functions[] = {
    FUNCTION(SELECT_CONFIGURATION, SELECT_CONFIGURATION),
    FUNCTION(SELECT_INTERFACE, SELECT_INTERFACE),
    FUNCTION(ABORT_PIPE, PIPE_REQUEST),
    FUNCTION(GET_CURRENT_FRAME_NUMBER, HEADER_ONLY),
    FUNCTION(CONTROL_TRANSFER, CONTROL_TRANSFER),
    FUNCTION(BULK_OR_INTERRUPT_TRANSFER, BULK_OR_INTERRUPT_TRANSFER),
    FUNCTION(ISOCH_TRANSFER, ISOCH_TRANSFER),
    FUNCTION(GET_DESCRIPTOR_FROM_DEVICE, CONTROL_DESCRIPTOR_REQUEST),
    FUNCTION(SET_DESCRIPTOR_TO_DEVICE, CONTROL_DESCRIPTOR_REQUEST),
    FUNCTION(SET_FEATURE_TO_DEVICE, CONTROL_FEATURE_REQUEST),
    FUNCTION(SET_FEATURE_TO_INTERFACE, CONTROL_FEATURE_REQUEST),
    FUNCTION(SET_FEATURE_TO_ENDPOINT, CONTROL_FEATURE_REQUEST),
    FUNCTION(CLEAR_FEATURE_TO_DEVICE, CONTROL_FEATURE_REQUEST),
    FUNCTION(CLEAR_FEATURE_TO_INTERFACE, CONTROL_FEATURE_REQUEST),
    FUNCTION(CLEAR_FEATURE_TO_ENDPOINT, CONTROL_FEATURE_REQUEST),
    FUNCTION(GET_STATUS_FROM_DEVICE, CONTROL_GET_STATUS_REQUEST),
    FUNCTION(GET_STATUS_FROM_INTERFACE, CONTROL_GET_STATUS_REQUEST),
    FUNCTION(GET_STATUS_FROM_ENDPOINT, CONTROL_GET_STATUS_REQUEST),
    FUNCTION(VENDOR_DEVICE, CONTROL_VENDOR_OR_CLASS_REQUEST),
    FUNCTION(VENDOR_INTERFACE, CONTROL_VENDOR_OR_CLASS_REQUEST),
    FUNCTION(VENDOR_ENDPOINT, CONTROL_VENDOR_OR_CLASS_REQUEST),
    FUNCTION(CLASS_DEVICE, CONTROL_VENDOR_OR_CLASS_REQUEST),
    FUNCTION(CLASS_INTERFACE, CONTROL_VENDOR_OR_CLASS_REQUEST),
    FUNCTION(CLASS_ENDPOINT, CONTROL_VENDOR_OR_CLASS_REQUEST),
    FUNCTION(SYNC_RESET_PIPE_AND_CLEAR_STALL, PIPE_REQUEST),
    FUNCTION(CLASS_OTHER, CONTROL_VENDOR_OR_CLASS_REQUEST),
    FUNCTION(VENDOR_OTHER, CONTROL_VENDOR_OR_CLASS_REQUEST),
    FUNCTION(GET_STATUS_FROM_OTHER, CONTROL_GET_STATUS_REQUEST),
    FUNCTION(CLEAR_FEATURE_TO_OTHER, CONTROL_FEATURE_REQUEST),
    FUNCTION(SET_FEATURE_TO_OTHER, CONTROL_FEATURE_REQUEST),
    FUNCTION(GET_DESCRIPTOR_FROM_ENDPOINT, CONTROL_DESCRIPTOR_REQUEST),
    FUNCTION(SET_DESCRIPTOR_TO_ENDPOINT, CONTROL_DESCRIPTOR_REQUEST),
    FUNCTION(GET_CONFIGURATION, HEADER_ONLY),
    FUNCTION(GET_INTERFACE, CONTROL_GET_INTERFACE_REQUEST),
    FUNCTION(GET_DESCRIPTOR_FROM_INTERFACE, CONTROL_DESCRIPTOR_REQUEST),
    FUNCTION(SET_DESCRIPTOR_TO_INTERFACE, CONTROL_DESCRIPTOR_REQUEST),
    FUNCTION(GET_MS_FEATURE_DESCRIPTOR, OS_FEATURE_DESCRIPTOR_REQUEST),
    FUNCTION(SYNC_RESET_PIPE, PIPE_REQUEST),
    FUNCTION(SYNC_CLEAR_STALL, PIPE_REQUEST),
    FUNCTION(CONTROL_TRANSFER_EX, CONTROL_TRANSFER_EX),
    FUNCTION(CLOSE_STATIC_STREAMS, PIPE_REQUEST),
    FUNCTION(BULK_OR_INTERRUPT_TRANSFER_USING_CHAINED_MDL, BULK_OR_INTERRUPT_TRANSFER),
    FUNCTION(ISOCH_TRANSFER_USING_CHAINED_MDL, ISOCH_TRANSFER),
};

static const Function *find_function(uint16_t function)
{
    static const Function unknown = {WIRE_URB_UNKNOWN, "unknown URB function"};
    if (function >= sizeof functions / sizeof *functions || !functions[function].name)
        return &unknown;
    return &functions[function];
}

const char *wire_urb_function_to_string(uint16_t function)
{
    return find_function(function)->name;
}

WireUrbKind wire_urb_kind(uint16_t function)
{
    return find_function(function)->kind;
}

static void pipe_information(WireCursor *c, WirePipeInformation *m)
{
    wire_u16(c, &m->maximum_packet_size);
    wire_padding(c, 2);
    wire_u32(c, &m->maximum_transfer_size);
    wire_u32(c, &m->pipe_flags);
}

/* pipes has room for that many more. Returns how many of them the interface has. */
static uint32_t interface_information(WireCursor *c, WireInterfaceInformation *m,
                                      WirePipeInformation *pipes, uint32_t room)
{
    WireSpan length = wire_span_u16_inclusive(c);
    wire_u16(c, &m->number_of_pipes_expected);
    wire_u8(c, &m->interface_number);
    wire_u8(c, &m->alternate_setting);
    wire_padding(c, 2);
    wire_u32(c, &m->number_of_pipes);
    if (m->number_of_pipes > room) {
        wire_fail(c);
        return 0;
    }
    for (uint32_t i = 0; i < m->number_of_pipes; i++)
        pipe_information(c, &pipes[i]);
    wire_span_close(c, length);
    return m->number_of_pipes;
}

static void select_configuration(WireCursor *c, WireSelectConfiguration *m)
{
    uint8_t is_valid = m->configuration_descriptor_is_valid ? 1 : 0;
    wire_u8(c, &is_valid);
    if (wire_is_reading(c))
        m->configuration_descriptor_is_valid = is_valid != 0;
    wire_padding(c, 3);
    wire_u32(c, &m->num_interfaces);
    if (m->num_interfaces > WIRE_MAX_INTERFACES) {
        wire_fail(c);
        return;
    }
    uint32_t n_pipes = 0;
    for (uint32_t i = 0; i < m->num_interfaces; i++)
        n_pipes += interface_information(c, &m->interfaces[i], m->pipes + n_pipes,
                                         WIRE_MAX_PIPES - n_pipes);
    if (m->configuration_descriptor_is_valid)
        wire_rest(c, &m->usb_configuration_descriptor);
}

static void select_interface(WireCursor *c, WireSelectInterface *m)
{
    wire_u32(c, &m->configuration_handle);
    interface_information(c, &m->interface, m->pipes, WIRE_MAX_PIPES);
}

static void setup_packet(WireCursor *c, WireSetupPacket *m)
{
    wire_u8(c, &m->bm_request_type);
    wire_u8(c, &m->b_request);
    wire_u16(c, &m->w_value);
    wire_u16(c, &m->w_index);
    wire_u16(c, &m->w_length);
}

static void control_transfer(WireCursor *c, WireControlTransfer *m, bool is_ex)
{
    wire_u32(c, &m->pipe_handle);
    wire_u32(c, &m->transfer_flags);
    if (is_ex)
        wire_u32(c, &m->timeout);
    setup_packet(c, &m->setup_packet);
}

static void bulk_or_interrupt_transfer(WireCursor *c, WireBulkOrInterruptTransfer *m)
{
    wire_u32(c, &m->pipe_handle);
    wire_u32(c, &m->transfer_flags);
}

static void iso_packet(WireCursor *c, WireIsoPacket *m)
{
    wire_u32(c, &m->offset);
    wire_u32(c, &m->length);
    wire_u32(c, &m->status);
}

WireIsoPacket wire_iso_packet(const WireIsoPackets *list, uint32_t index)
{
    if (list->packets)
        return list->packets[index];
    WireIsoPacket packet = {0};
    WireCursor c =
        wire_reader(list->encoded + (size_t) index * WIRE_ISO_PACKET_SIZE, WIRE_ISO_PACKET_SIZE);
    iso_packet(&c, &packet);
    return packet;
}

void wire_iso_packets(WireCursor *c, WireIsoPackets *list)
{
    if (wire_is_reading(c)) {
        /* size_t may have 32 bits: compare before multiplying */
        if (list->count > wire_remaining(c) / WIRE_ISO_PACKET_SIZE) {
            wire_fail(c);
            list->count = 0;
        }
        WireBytes encoded = {.length = (size_t) list->count * WIRE_ISO_PACKET_SIZE};
        wire_bytes(c, &encoded);
        list->encoded = encoded.data;
        return;
    }
    for (uint32_t i = 0; i < list->count && !c->failed; i++) {
        WireIsoPacket packet = wire_iso_packet(list, i);
        iso_packet(c, &packet);
    }
}

static void isoch_transfer(WireCursor *c, WireIsochTransfer *m)
{
    wire_u32(c, &m->pipe_handle);
    wire_u32(c, &m->transfer_flags);
    wire_u32(c, &m->start_frame);
    wire_u32(c, &m->iso_packets.count);
    wire_u32(c, &m->error_count);
    wire_iso_packets(c, &m->iso_packets);
}

static void control_descriptor_request(WireCursor *c, WireControlDescriptorRequest *m)
{
    wire_u8(c, &m->index);
    wire_u8(c, &m->descriptor_type);
    wire_u16(c, &m->language_id);
}

static void control_feature_request(WireCursor *c, WireControlFeatureRequest *m)
{
    wire_u16(c, &m->feature_selector);
    wire_u16(c, &m->index);
}

static void control_get_status_request(WireCursor *c, WireControlGetStatusRequest *m)
{
    wire_u16(c, &m->index);
    wire_padding(c, 2);
}

static void control_vendor_or_class_request(WireCursor *c, WireControlVendorOrClassRequest *m)
{
    wire_u32(c, &m->transfer_flags);
    wire_u8(c, &m->request_type_reserved_bits);
    wire_u8(c, &m->request);
    wire_u16(c, &m->value);
    wire_u16(c, &m->index);
    wire_padding(c, 2);
}

static void control_get_interface_request(WireCursor *c, WireControlGetInterfaceRequest *m)
{
    wire_u16(c, &m->interface);
    wire_padding(c, 2);
}

static void os_feature_descriptor_request(WireCursor *c, WireOsFeatureDescriptorRequest *m)
{
    uint8_t recipient = m->recipient & 0x1F;
    wire_u8(c, &recipient);
    if (wire_is_reading(c))
        m->recipient = recipient & 0x1F;
    wire_u8(c, &m->interface_number);
    wire_u8(c, &m->ms_page_index);
    wire_u16(c, &m->ms_feature_descriptor_index);
    wire_padding(c, 3);
}

static void body(WireCursor *c, WireUrb *m)
{
    switch (wire_urb_kind(m->function)) {
    case WIRE_URB_UNKNOWN: wire_fail(c); break;
    case WIRE_URB_HEADER_ONLY: break;
    case WIRE_URB_SELECT_CONFIGURATION:
        select_configuration(c, &m->body.select_configuration);
        break;
    case WIRE_URB_SELECT_INTERFACE: select_interface(c, &m->body.select_interface); break;
    case WIRE_URB_PIPE_REQUEST: wire_u32(c, &m->body.pipe_request.pipe_handle); break;
    case WIRE_URB_CONTROL_TRANSFER: control_transfer(c, &m->body.control_transfer, false); break;
    case WIRE_URB_CONTROL_TRANSFER_EX: control_transfer(c, &m->body.control_transfer, true); break;
    case WIRE_URB_BULK_OR_INTERRUPT_TRANSFER:
        bulk_or_interrupt_transfer(c, &m->body.bulk_or_interrupt_transfer);
        break;
    case WIRE_URB_ISOCH_TRANSFER: isoch_transfer(c, &m->body.isoch_transfer); break;
    case WIRE_URB_CONTROL_DESCRIPTOR_REQUEST:
        control_descriptor_request(c, &m->body.control_descriptor_request);
        break;
    case WIRE_URB_CONTROL_FEATURE_REQUEST:
        control_feature_request(c, &m->body.control_feature_request);
        break;
    case WIRE_URB_CONTROL_GET_STATUS_REQUEST:
        control_get_status_request(c, &m->body.control_get_status_request);
        break;
    case WIRE_URB_CONTROL_VENDOR_OR_CLASS_REQUEST:
        control_vendor_or_class_request(c, &m->body.control_vendor_or_class_request);
        break;
    case WIRE_URB_CONTROL_GET_INTERFACE_REQUEST:
        control_get_interface_request(c, &m->body.control_get_interface_request);
        break;
    case WIRE_URB_OS_FEATURE_DESCRIPTOR_REQUEST:
        os_feature_descriptor_request(c, &m->body.os_feature_descriptor_request);
        break;
    }
}

void wire_urb(WireCursor *c, WireUrb *m)
{
    WireSpan size = wire_span_u16_inclusive(c);
    wire_u16(c, &m->function);
    uint32_t request_id = (m->request_id & ~NO_ACK) | (m->no_ack ? NO_ACK : 0);
    wire_u32(c, &request_id);
    if (wire_is_reading(c)) {
        m->request_id = request_id & ~NO_ACK;
        m->no_ack = (request_id & NO_ACK) != 0;
    }
    body(c, m);
    wire_span_close(c, size);
}
