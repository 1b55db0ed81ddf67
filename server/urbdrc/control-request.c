/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "control-request.h"

/* USB 2.0 table 9-2: bmRequestType */
enum { STANDARD, CLASS, VENDOR };
enum { DEVICE, INTERFACE, ENDPOINT, OTHER, N_RECIPIENTS };

/* USB 2.0 table 9-4 */
enum {
    GET_STATUS = 0,
    CLEAR_FEATURE = 1,
    SET_FEATURE = 3,
    SET_ADDRESS = 5,
    GET_DESCRIPTOR = 6,
    SET_DESCRIPTOR = 7,
    GET_CONFIGURATION = 8,
    SET_CONFIGURATION = 9,
    GET_INTERFACE = 10,
    SET_INTERFACE = 11,
};

enum { ENDPOINT_HALT = 0 };

/* The data stage that libusb carries on Linux: beyond, FreeRDP fails the whole request. */
enum { FREERDP_MAX_DATA_STAGE = 4096 };

static bool is_in(const RdpusbSetup *setup)
{
    return setup->request_type & 0x80;
}

static unsigned type_of(const RdpusbSetup *setup)
{
    return setup->request_type >> 5 & 3;
}

static unsigned recipient_of(const RdpusbSetup *setup)
{
    return setup->request_type & 0x1f;
}

bool urbdrc_control_request_is_reserved(const RdpusbSetup *setup)
{
    if (is_in(setup) || type_of(setup) != STANDARD)
        return false;
    unsigned recipient = recipient_of(setup);
    switch (setup->request) {
    case SET_ADDRESS:
    case SET_CONFIGURATION: return recipient == DEVICE;
    case SET_INTERFACE: return recipient == INTERFACE;
    case CLEAR_FEATURE: /* endpoint 0 has no pipe and no halt that lasts */
        return recipient == ENDPOINT && setup->value == ENDPOINT_HALT && setup->length == 0 &&
               (setup->index & 0x0f) != 0;
    default: return false;
    }
}

static WireUrb *transfer_in(WireMessage *m, uint16_t function, uint32_t output_buffer_size)
{
    m->kind = WIRE_MESSAGE_TRANSFER_IN_REQUEST;
    m->as.transfer_in_request = (WireTransferInRequest){
        .ts_urb.function = function,
        .output_buffer_size = output_buffer_size,
    };
    return &m->as.transfer_in_request.ts_urb;
}

static WireUrb *transfer_out(WireMessage *m, uint16_t function, const uint8_t *data, size_t size)
{
    m->kind = WIRE_MESSAGE_TRANSFER_OUT_REQUEST;
    m->as.transfer_out_request = (WireTransferOutRequest){
        .ts_urb.function = function,
        .output_buffer = {data, size},
    };
    return &m->as.transfer_out_request.ts_urb;
}

/* In the direction of the setup packet. */
static WireUrb *transfer(WireMessage *m, uint16_t function, const RdpusbSetup *setup,
                         const uint8_t *data)
{
    return is_in(setup) ? transfer_in(m, function, setup->length)
                        : transfer_out(m, function, data, setup->length);
}

static uint32_t flags(const RdpusbSetup *setup)
{
    return is_in(setup) ? WIRE_USBD_TRANSFER_DIRECTION_IN | WIRE_USBD_SHORT_TRANSFER_OK : 0;
}

static void raw(WireMessage *m, const RdpusbSetup *setup, const uint8_t *data)
{
    WireUrb *urb = transfer(m, WIRE_URB_FUNCTION_CONTROL_TRANSFER, setup, data);
    urb->body.control_transfer = (WireControlTransfer){
        .transfer_flags = WIRE_USBD_DEFAULT_PIPE_TRANSFER | flags(setup),
        .setup_packet = {setup->request_type, setup->request, setup->value, setup->index,
                         setup->length},
    };
}

static void class_or_vendor(WireMessage *m, const RdpusbSetup *setup, const uint8_t *data)
{
    static const uint16_t functions[][N_RECIPIENTS] = {
        [CLASS] = {WIRE_URB_FUNCTION_CLASS_DEVICE, WIRE_URB_FUNCTION_CLASS_INTERFACE,
                   WIRE_URB_FUNCTION_CLASS_ENDPOINT, WIRE_URB_FUNCTION_CLASS_OTHER},
        [VENDOR] = {WIRE_URB_FUNCTION_VENDOR_DEVICE, WIRE_URB_FUNCTION_VENDOR_INTERFACE,
                    WIRE_URB_FUNCTION_VENDOR_ENDPOINT, WIRE_URB_FUNCTION_VENDOR_OTHER},
    };
    WireUrb *urb = transfer(m, functions[type_of(setup)][recipient_of(setup)], setup, data);
    urb->body.control_vendor_or_class_request = (WireControlVendorOrClassRequest){
        .transfer_flags = flags(setup),
        .request = setup->request,
        .value = setup->value,
        .index = setup->index,
    };
}

static bool descriptor(WireMessage *m, const RdpusbSetup *setup, const uint8_t *data,
                       bool is_freerdp)
{
    static const uint16_t get[] = {WIRE_URB_FUNCTION_GET_DESCRIPTOR_FROM_DEVICE,
                                   WIRE_URB_FUNCTION_GET_DESCRIPTOR_FROM_INTERFACE,
                                   WIRE_URB_FUNCTION_GET_DESCRIPTOR_FROM_ENDPOINT};
    static const uint16_t set[] = {WIRE_URB_FUNCTION_SET_DESCRIPTOR_TO_DEVICE,
                                   WIRE_URB_FUNCTION_SET_DESCRIPTOR_TO_INTERFACE,
                                   WIRE_URB_FUNCTION_SET_DESCRIPTOR_TO_ENDPOINT};
    bool is_get = setup->request == GET_DESCRIPTOR;
    unsigned recipient = recipient_of(setup);
    if (recipient > ENDPOINT || is_in(setup) != is_get || (!is_get && is_freerdp))
        return false;

    RdpusbSetup allowed = *setup;
    if (is_get && is_freerdp)
        allowed.length = MIN(setup->length, FREERDP_MAX_DATA_STAGE);
    WireUrb *urb = transfer(m, is_get ? get[recipient] : set[recipient], &allowed, data);
    urb->body.control_descriptor_request = (WireControlDescriptorRequest){
        .index = setup->value & 0xff,
        .descriptor_type = setup->value >> 8,
        .language_id = setup->index, /* or the interface's number: wIndex, whatever it is */
    };
    return true;
}

/* [MS-RDPEUSB] 2.2.9.11 wants these in TRANSFER_IN_REQUEST although they have no data stage. */
static bool feature(WireMessage *m, const RdpusbSetup *setup, bool is_freerdp)
{
    static const uint16_t set[N_RECIPIENTS] = {
        WIRE_URB_FUNCTION_SET_FEATURE_TO_DEVICE, WIRE_URB_FUNCTION_SET_FEATURE_TO_INTERFACE,
        WIRE_URB_FUNCTION_SET_FEATURE_TO_ENDPOINT, WIRE_URB_FUNCTION_SET_FEATURE_TO_OTHER};
    static const uint16_t clear[N_RECIPIENTS] = {
        WIRE_URB_FUNCTION_CLEAR_FEATURE_TO_DEVICE, WIRE_URB_FUNCTION_CLEAR_FEATURE_TO_INTERFACE,
        WIRE_URB_FUNCTION_CLEAR_FEATURE_TO_ENDPOINT, WIRE_URB_FUNCTION_CLEAR_FEATURE_TO_OTHER};
    if (is_freerdp || is_in(setup) || setup->length != 0)
        return false;
    unsigned recipient = recipient_of(setup);
    WireUrb *urb =
        transfer_in(m, setup->request == SET_FEATURE ? set[recipient] : clear[recipient], 0);
    urb->body.control_feature_request = (WireControlFeatureRequest){
        .feature_selector = setup->value,
        .index = setup->index,
    };
    return true;
}

static bool get_status(WireMessage *m, const RdpusbSetup *setup)
{
    static const uint16_t functions[N_RECIPIENTS] = {
        WIRE_URB_FUNCTION_GET_STATUS_FROM_DEVICE, WIRE_URB_FUNCTION_GET_STATUS_FROM_INTERFACE,
        WIRE_URB_FUNCTION_GET_STATUS_FROM_ENDPOINT, WIRE_URB_FUNCTION_GET_STATUS_FROM_OTHER};
    if (!is_in(setup) || setup->value != 0 || setup->length != 2)
        return false;
    WireUrb *urb = transfer_in(m, functions[recipient_of(setup)], setup->length);
    urb->body.control_get_status_request.index = setup->index;
    return true;
}

static bool get_configuration(WireMessage *m, const RdpusbSetup *setup)
{
    if (setup->request_type != 0x80 || setup->value != 0 || setup->index != 0 || setup->length != 1)
        return false;
    transfer_in(m, WIRE_URB_FUNCTION_GET_CONFIGURATION, setup->length);
    return true;
}

static bool get_interface(WireMessage *m, const RdpusbSetup *setup)
{
    if (setup->request_type != 0x81 || setup->value != 0 || setup->length != 1)
        return false;
    WireUrb *urb = transfer_in(m, WIRE_URB_FUNCTION_GET_INTERFACE, setup->length);
    urb->body.control_get_interface_request.interface = setup->index;
    return true;
}

/* False when no typed TS_URB says the same. */
static bool standard(WireMessage *m, const RdpusbSetup *setup, const uint8_t *data, bool is_freerdp)
{
    switch (setup->request) {
    case GET_STATUS: return get_status(m, setup);
    case CLEAR_FEATURE:
    case SET_FEATURE: return feature(m, setup, is_freerdp);
    case GET_DESCRIPTOR:
    case SET_DESCRIPTOR: return descriptor(m, setup, data, is_freerdp);
    case GET_CONFIGURATION: return get_configuration(m, setup);
    case GET_INTERFACE: return get_interface(m, setup);
    default: return false;
    }
}

void urbdrc_control_request(WireMessage *m, const RdpusbSetup *setup, const uint8_t *data,
                            bool is_freerdp)
{
    unsigned type = type_of(setup);
    bool is_typed = recipient_of(setup) < N_RECIPIENTS;
    if (is_typed && (type == CLASS || type == VENDOR))
        class_or_vendor(m, setup, data);
    else if (!is_typed || type != STANDARD || !standard(m, setup, data, is_freerdp))
        raw(m, setup, data);
}
