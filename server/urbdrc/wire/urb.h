/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * TS_URB: one USB request inside a TRANSFER_IN_REQUEST or TRANSFER_OUT_REQUEST
 * ([MS-RDPEUSB] 2.2.9). The URB function selects the body. Size is computed, and checked against
 * CbTsUrb when read.
 */
#pragma once

#include "cursor.h"

typedef enum {
    WIRE_URB_FUNCTION_SELECT_CONFIGURATION = 0x0000,
    WIRE_URB_FUNCTION_SELECT_INTERFACE = 0x0001,
    WIRE_URB_FUNCTION_ABORT_PIPE = 0x0002,
    WIRE_URB_FUNCTION_GET_CURRENT_FRAME_NUMBER = 0x0007,
    WIRE_URB_FUNCTION_CONTROL_TRANSFER = 0x0008,
    WIRE_URB_FUNCTION_BULK_OR_INTERRUPT_TRANSFER = 0x0009,
    WIRE_URB_FUNCTION_ISOCH_TRANSFER = 0x000A,
    WIRE_URB_FUNCTION_GET_DESCRIPTOR_FROM_DEVICE = 0x000B,
    WIRE_URB_FUNCTION_SET_DESCRIPTOR_TO_DEVICE = 0x000C,
    WIRE_URB_FUNCTION_SET_FEATURE_TO_DEVICE = 0x000D,
    WIRE_URB_FUNCTION_SET_FEATURE_TO_INTERFACE = 0x000E,
    WIRE_URB_FUNCTION_SET_FEATURE_TO_ENDPOINT = 0x000F,
    WIRE_URB_FUNCTION_CLEAR_FEATURE_TO_DEVICE = 0x0010,
    WIRE_URB_FUNCTION_CLEAR_FEATURE_TO_INTERFACE = 0x0011,
    WIRE_URB_FUNCTION_CLEAR_FEATURE_TO_ENDPOINT = 0x0012,
    WIRE_URB_FUNCTION_GET_STATUS_FROM_DEVICE = 0x0013,
    WIRE_URB_FUNCTION_GET_STATUS_FROM_INTERFACE = 0x0014,
    WIRE_URB_FUNCTION_GET_STATUS_FROM_ENDPOINT = 0x0015,
    WIRE_URB_FUNCTION_VENDOR_DEVICE = 0x0017,
    WIRE_URB_FUNCTION_VENDOR_INTERFACE = 0x0018,
    WIRE_URB_FUNCTION_VENDOR_ENDPOINT = 0x0019,
    WIRE_URB_FUNCTION_CLASS_DEVICE = 0x001A,
    WIRE_URB_FUNCTION_CLASS_INTERFACE = 0x001B,
    WIRE_URB_FUNCTION_CLASS_ENDPOINT = 0x001C,
    WIRE_URB_FUNCTION_SYNC_RESET_PIPE_AND_CLEAR_STALL = 0x001E,
    WIRE_URB_FUNCTION_CLASS_OTHER = 0x001F,
    WIRE_URB_FUNCTION_VENDOR_OTHER = 0x0020,
    WIRE_URB_FUNCTION_GET_STATUS_FROM_OTHER = 0x0021,
    WIRE_URB_FUNCTION_CLEAR_FEATURE_TO_OTHER = 0x0022,
    WIRE_URB_FUNCTION_SET_FEATURE_TO_OTHER = 0x0023,
    WIRE_URB_FUNCTION_GET_DESCRIPTOR_FROM_ENDPOINT = 0x0024,
    WIRE_URB_FUNCTION_SET_DESCRIPTOR_TO_ENDPOINT = 0x0025,
    WIRE_URB_FUNCTION_GET_CONFIGURATION = 0x0026,
    WIRE_URB_FUNCTION_GET_INTERFACE = 0x0027,
    WIRE_URB_FUNCTION_GET_DESCRIPTOR_FROM_INTERFACE = 0x0028,
    WIRE_URB_FUNCTION_SET_DESCRIPTOR_TO_INTERFACE = 0x0029,
    WIRE_URB_FUNCTION_GET_MS_FEATURE_DESCRIPTOR = 0x002A,
    WIRE_URB_FUNCTION_SYNC_RESET_PIPE = 0x0030,
    WIRE_URB_FUNCTION_SYNC_CLEAR_STALL = 0x0031,
    WIRE_URB_FUNCTION_CONTROL_TRANSFER_EX = 0x0032,
    WIRE_URB_FUNCTION_CLOSE_STATIC_STREAMS = 0x0036,
    /* chained MDL: same bodies as 0x0009 and 0x000A; not to be sent */
    WIRE_URB_FUNCTION_BULK_OR_INTERRUPT_TRANSFER_USING_CHAINED_MDL = 0x0037,
    WIRE_URB_FUNCTION_ISOCH_TRANSFER_USING_CHAINED_MDL = 0x0038,
} WireUrbFunction;

/* The name without its prefix, or "unknown URB function". */
const char *wire_urb_function_to_string(uint16_t function);

enum { /* TransferFlags */
       WIRE_USBD_TRANSFER_DIRECTION_IN = 0x1,
       WIRE_USBD_SHORT_TRANSFER_OK = 0x2,
       WIRE_USBD_START_ISO_TRANSFER_ASAP = 0x4,
       WIRE_USBD_DEFAULT_PIPE_TRANSFER = 0x8,
};

enum { /* PipeFlags */
       WIRE_USBD_PF_CHANGE_MAX_PACKET = 0x1,
       WIRE_USBD_PF_SHORT_PACKET_OPT = 0x2,
       WIRE_USBD_PF_ENABLE_RT_THREAD_ACCESS = 0x4,
       WIRE_USBD_PF_MAP_ADD_TRANSFERS = 0x8,
};

/* Interfaces of a configuration, and pipes of all of them together: an endpoint address (1..15, two
 * directions) belongs to one interface, so there are never more. Anything beyond fails. */
enum { WIRE_MAX_INTERFACES = 32, WIRE_MAX_PIPES = 30 };

/* TS_USBD_PIPE_INFORMATION. */
typedef struct {
    uint16_t maximum_packet_size;
    uint32_t maximum_transfer_size;
    uint32_t pipe_flags;
} WirePipeInformation;

/* TS_USBD_INTERFACE_INFORMATION; its pipes stand in the array of the structure around it. */
typedef struct {
    uint16_t number_of_pipes_expected;
    uint8_t interface_number;
    uint8_t alternate_setting;
    uint32_t number_of_pipes;
} WireInterfaceInformation;

/* pipes holds the pipes of interfaces[0], then those of interfaces[1], and so on, without gaps. */
typedef struct {
    bool configuration_descriptor_is_valid; /* false: unconfigure, with nothing else set */
    uint32_t num_interfaces;
    WireInterfaceInformation interfaces[WIRE_MAX_INTERFACES];
    WirePipeInformation pipes[WIRE_MAX_PIPES];
    WireBytes usb_configuration_descriptor; /* complete, if valid */
} WireSelectConfiguration;

typedef struct {
    uint32_t configuration_handle;
    WireInterfaceInformation interface;
    WirePipeInformation pipes[WIRE_MAX_PIPES];
} WireSelectInterface;

typedef struct {
    uint32_t pipe_handle;
} WirePipeRequest;

typedef struct {
    uint8_t bm_request_type;
    uint8_t b_request;
    uint16_t w_value;
    uint16_t w_index;
    uint16_t w_length;
} WireSetupPacket;

/* TS_URB_CONTROL_TRANSFER and, with the timeout, TS_URB_CONTROL_TRANSFER_EX. */
typedef struct {
    uint32_t pipe_handle;
    uint32_t transfer_flags;
    uint32_t timeout; /* ms, _EX only; 0 = for ever, which would freeze FreeRDP's client */
    WireSetupPacket setup_packet;
} WireControlTransfer;

typedef struct {
    uint32_t pipe_handle;
    uint32_t transfer_flags;
} WireBulkOrInterruptTransfer;

/* TS_USBD_ISO_PACKET_DESCRIPTOR. In a request length and status are 0. */
typedef struct {
    uint32_t offset;
    uint32_t length;
    uint32_t status;
} WireIsoPacket;

/* A list of them as it lies on the wire, of any length. Read with wire_iso_packet(); to encode
 * structs, set packets, which then goes before encoded. */
typedef struct {
    uint32_t count;
    const uint8_t *encoded;
    const WireIsoPacket *packets; /* NULL after decoding */
} WireIsoPackets;

enum { WIRE_ISO_PACKET_SIZE = 12 };

/* The packet at index < count. */
WireIsoPacket wire_iso_packet(const WireIsoPackets *list, uint32_t index);

/* list->count packets: the count stands elsewhere, as it is not next to them on the wire. */
void wire_iso_packets(WireCursor *c, WireIsoPackets *list);

typedef struct {
    uint32_t pipe_handle;
    uint32_t transfer_flags;
    uint32_t start_frame;
    uint32_t error_count;
    WireIsoPackets iso_packets;
} WireIsochTransfer;

typedef struct {
    uint8_t index;           /* wValue, low byte */
    uint8_t descriptor_type; /* wValue, high byte */
    uint16_t language_id;    /* wIndex */
} WireControlDescriptorRequest;

typedef struct {
    uint16_t feature_selector; /* wValue */
    uint16_t index;            /* wIndex */
} WireControlFeatureRequest;

typedef struct {
    uint16_t index; /* wIndex */
} WireControlGetStatusRequest;

typedef struct {
    uint32_t transfer_flags;
    uint8_t request_type_reserved_bits; /* 0 */
    uint8_t request;
    uint16_t value;
    uint16_t index;
} WireControlVendorOrClassRequest;

typedef struct {
    uint16_t interface;
} WireControlGetInterfaceRequest;

typedef struct {
    uint8_t recipient; /* 5 bits: 0 device, 1 interface, 2 endpoint, 3 other */
    uint8_t interface_number;
    uint8_t ms_page_index;
    uint16_t ms_feature_descriptor_index; /* 4 extended compat id, 5 extended properties */
} WireOsFeatureDescriptorRequest;

/* Which member of WireUrb.body a function uses. */
typedef enum {
    WIRE_URB_UNKNOWN, /* reserved or obsolete function: neither encoded nor decoded */
    WIRE_URB_HEADER_ONLY,
    WIRE_URB_SELECT_CONFIGURATION,
    WIRE_URB_SELECT_INTERFACE,
    WIRE_URB_PIPE_REQUEST,
    WIRE_URB_CONTROL_TRANSFER,
    WIRE_URB_CONTROL_TRANSFER_EX,
    WIRE_URB_BULK_OR_INTERRUPT_TRANSFER,
    WIRE_URB_ISOCH_TRANSFER,
    WIRE_URB_CONTROL_DESCRIPTOR_REQUEST,
    WIRE_URB_CONTROL_FEATURE_REQUEST,
    WIRE_URB_CONTROL_GET_STATUS_REQUEST,
    WIRE_URB_CONTROL_VENDOR_OR_CLASS_REQUEST,
    WIRE_URB_CONTROL_GET_INTERFACE_REQUEST,
    WIRE_URB_OS_FEATURE_DESCRIPTOR_REQUEST,
} WireUrbKind;

WireUrbKind wire_urb_kind(uint16_t function);

typedef struct {
    uint16_t function;   /* WireUrbFunction */
    uint32_t request_id; /* 31 bits; see WIRE_REQUEST_ID_MAX in request.h */
    bool no_ack;         /* isochronous OUT only: the client sends no completion */
    union {
        WireSelectConfiguration select_configuration;
        WireSelectInterface select_interface;
        WirePipeRequest pipe_request;
        WireControlTransfer control_transfer; /* and _EX */
        WireBulkOrInterruptTransfer bulk_or_interrupt_transfer;
        WireIsochTransfer isoch_transfer;
        WireControlDescriptorRequest control_descriptor_request;
        WireControlFeatureRequest control_feature_request;
        WireControlGetStatusRequest control_get_status_request;
        WireControlVendorOrClassRequest control_vendor_or_class_request;
        WireControlGetInterfaceRequest control_get_interface_request;
        WireOsFeatureDescriptorRequest os_feature_descriptor_request;
    } body;
} WireUrb;
WIRE_DECLARE(WireUrb, urb)
