/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The messages that set a channel up: capability exchange, CHANNEL_CREATED, ADD_VIRTUAL_CHANNEL,
 * ADD_DEVICE, releases and interface queries ([MS-RDPEUSB] 2.2.3 to 2.2.5, [MS-RDPEXPS] 2.2.2).
 */
#pragma once

#include "shared-header.h"
#include "text.h"

enum { WIRE_RIM_CAPABILITY_VERSION_01 = 1 };

/* Server to client. */
typedef struct {
    uint32_t message_id;
    uint32_t capability_value;
} WireCapabilityRequest;
WIRE_DECLARE(WireCapabilityRequest, capability_request)

/* Client to server; its mask is NONE and it has no function id. */
typedef struct {
    uint32_t message_id;
    uint32_t capability_value;
    uint32_t result; /* HRESULT */
} WireCapabilityResponse;
WIRE_DECLARE(WireCapabilityResponse, capability_response)

/* Both directions. */
typedef struct {
    uint32_t interface_id; /* WIRE_INTERFACE_SERVER_NOTIFICATION or _CLIENT_NOTIFICATION */
    uint32_t message_id;
    uint32_t major_version; /* 1 */
    uint32_t minor_version; /* 0 */
    uint32_t capabilities;  /* 0 */
} WireChannelCreated;
WIRE_DECLARE(WireChannelCreated, channel_created)

/* Client to server, control channel: open one more channel for a device. */
typedef struct {
    uint32_t message_id;
} WireAddVirtualChannel;
WIRE_DECLARE(WireAddVirtualChannel, add_virtual_channel)

/* USB_DEVICE_CAPABILITIES; real clients put the device's bcdUSB into supported_usb_version and
 * guess device_is_high_speed from it: nothing here is to be trusted. */
typedef struct {
    uint32_t usb_bus_interface_version;
    uint32_t usbdi_version;
    uint32_t supported_usb_version;
    uint32_t hcd_capabilities;
    uint32_t device_is_high_speed;
    uint32_t no_ack_isoch_write_jitter_buffer_size_in_ms; /* 0: every iso OUT is acknowledged */
} WireUsbDeviceCapabilities;

/* Client to server, device channel, once. NumUsbDevice is 1, any other fails. An id list that the
 * client left out has cch 0. */
typedef struct {
    uint32_t message_id;
    uint32_t usb_device; /* the interface id of the device, 30 bits */
    WireText device_instance_id;
    WireText hardware_ids;      /* list */
    WireText compatibility_ids; /* list */
    WireText container_id;
    WireUsbDeviceCapabilities usb_device_capabilities;
} WireAddDevice;
WIRE_DECLARE(WireAddDevice, add_device)

/* RIMCALL_RELEASE, both directions. The server releases capabilities with mask NONE, everything
 * else goes with mask PROXY. */
typedef struct {
    uint32_t interface_id;
    WireMask mask;
    uint32_t message_id;
} WireRelease;
WIRE_DECLARE(WireRelease, release)

enum { WIRE_GUID_SIZE = 16 };

/* QI_REQ: a server must not send it. */
typedef struct {
    uint32_t interface_id;
    uint32_t message_id;
    WireBytes guid; /* WIRE_GUID_SIZE bytes */
} WireQueryInterfaceRequest;
WIRE_DECLARE(WireQueryInterfaceRequest, query_interface_request)

/* QI_RSP: without a new interface id it says "not supported". */
typedef struct {
    uint32_t interface_id;
    uint32_t message_id;
    bool is_supported;
    uint32_t new_interface_id; /* if supported */
} WireQueryInterfaceResponse;
WIRE_DECLARE(WireQueryInterfaceResponse, query_interface_response)
