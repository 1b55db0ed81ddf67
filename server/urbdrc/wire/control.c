/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "control.h"

enum { USB_DEVICE_CAPABILITIES_SIZE = 28 };

void wire_capability_request(WireCursor *c, WireCapabilityRequest *m)
{
    uint32_t interface_id = WIRE_INTERFACE_CAPABILITIES;
    wire_header_of(c, WIRE_STREAM_ID_NONE, &interface_id, &m->message_id,
                   WIRE_FUNCTION_RIM_EXCHANGE_CAPABILITY_REQUEST);
    if (interface_id != WIRE_INTERFACE_CAPABILITIES)
        wire_fail(c);
    wire_u32(c, &m->capability_value);
}

/* A response without a function id, and yet its mask is not STUB: no shared header fits. */
void wire_capability_response(WireCursor *c, WireCapabilityResponse *m)
{
    wire_constant_u32(c, WIRE_INTERFACE_CAPABILITIES);
    wire_u32(c, &m->message_id);
    wire_u32(c, &m->capability_value);
    wire_u32(c, &m->result);
}

void wire_channel_created(WireCursor *c, WireChannelCreated *m)
{
    wire_header_of(c, WIRE_STREAM_ID_PROXY, &m->interface_id, &m->message_id,
                   WIRE_FUNCTION_CHANNEL_CREATED);
    if (m->interface_id != WIRE_INTERFACE_SERVER_NOTIFICATION &&
        m->interface_id != WIRE_INTERFACE_CLIENT_NOTIFICATION)
        wire_fail(c);
    wire_u32(c, &m->major_version);
    wire_u32(c, &m->minor_version);
    wire_u32(c, &m->capabilities);
}

static void device_sink_header(WireCursor *c, uint32_t *message_id, uint32_t function_id)
{
    uint32_t interface_id = WIRE_INTERFACE_DEVICE_SINK;
    wire_header_of(c, WIRE_STREAM_ID_PROXY, &interface_id, message_id, function_id);
    if (interface_id != WIRE_INTERFACE_DEVICE_SINK)
        wire_fail(c);
}

void wire_add_virtual_channel(WireCursor *c, WireAddVirtualChannel *m)
{
    device_sink_header(c, &m->message_id, WIRE_FUNCTION_ADD_VIRTUAL_CHANNEL);
}

static void usb_device_capabilities(WireCursor *c, WireUsbDeviceCapabilities *m)
{
    wire_constant_u32(c, USB_DEVICE_CAPABILITIES_SIZE); /* CbSize */
    wire_u32(c, &m->usb_bus_interface_version);
    wire_u32(c, &m->usbdi_version);
    wire_u32(c, &m->supported_usb_version);
    wire_u32(c, &m->hcd_capabilities);
    wire_u32(c, &m->device_is_high_speed);
    wire_u32(c, &m->no_ack_isoch_write_jitter_buffer_size_in_ms);
}

void wire_add_device(WireCursor *c, WireAddDevice *m)
{
    device_sink_header(c, &m->message_id, WIRE_FUNCTION_ADD_DEVICE);
    wire_constant_u32(c, 1); /* NumUsbDevice: [MS-RDPEUSB] 2.2.4.2 knows no other */
    uint32_t usb_device = m->usb_device & WIRE_INTERFACE_MASK;
    wire_u32(c, &usb_device);
    if (wire_is_reading(c))
        m->usb_device = usb_device & WIRE_INTERFACE_MASK;
    wire_text(c, &m->device_instance_id);
    wire_text(c, &m->hardware_ids);
    wire_text(c, &m->compatibility_ids);
    wire_text(c, &m->container_id);
    usb_device_capabilities(c, &m->usb_device_capabilities);
}

void wire_release(WireCursor *c, WireRelease *m)
{
    WireHeader header = {m->interface_id, m->mask, m->message_id, WIRE_FUNCTION_RIMCALL_RELEASE};
    wire_header(c, &header);
    if (header.function_id != WIRE_FUNCTION_RIMCALL_RELEASE || header.mask == WIRE_STREAM_ID_STUB)
        wire_fail(c);
    if (wire_is_reading(c))
        *m = (WireRelease){header.interface_id, header.mask, header.message_id};
}

void wire_query_interface_request(WireCursor *c, WireQueryInterfaceRequest *m)
{
    wire_header_of(c, WIRE_STREAM_ID_PROXY, &m->interface_id, &m->message_id,
                   WIRE_FUNCTION_RIMCALL_QUERYINTERFACE);
    if (wire_is_reading(c))
        m->guid.length = WIRE_GUID_SIZE;
    else if (m->guid.length != WIRE_GUID_SIZE)
        wire_fail(c);
    wire_bytes(c, &m->guid);
}

void wire_query_interface_response(WireCursor *c, WireQueryInterfaceResponse *m)
{
    wire_header_of(c, WIRE_STREAM_ID_STUB, &m->interface_id, &m->message_id, 0);
    if (wire_is_reading(c))
        m->is_supported = wire_remaining(c) > 0;
    if (m->is_supported)
        wire_u32(c, &m->new_interface_id);
}
