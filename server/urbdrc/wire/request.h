/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the server asks of a device, and the one response that is no completion ([MS-RDPEUSB] 2.2.6,
 * 2.2.8). interface_id is the UsbDevice of ADD_DEVICE throughout. Decoding is strict: these
 * messages are read by the fake client of the tests only.
 */
#pragma once

#include "shared-header.h"
#include "text.h"
#include "urb.h"

/* Request ids have 31 bits in a TS_URB, but FreeRDP returns 30 of them and uses bits 30 and 31 for
 * its own ends. Ids of IO_CONTROL and of TS_URBs are one number space. */
enum { WIRE_REQUEST_ID_MIN = 1, WIRE_REQUEST_ID_MAX = 0x3FFFFFFF };

typedef struct {
    uint32_t interface_id;
    uint32_t message_id;
    uint32_t request_id;
} WireCancelRequest;
WIRE_DECLARE(WireCancelRequest, cancel_request)

typedef struct {
    uint32_t interface_id;
    uint32_t message_id;
    bool is_registering;         /* false: the client is to send no more completions */
    uint32_t request_completion; /* the interface id of all completions, if registering */
} WireRegisterRequestCallback;
WIRE_DECLARE(WireRegisterRequestCallback, register_request_callback)

enum {
    WIRE_IOCTL_INTERNAL_USB_RESET_PORT = 0x00220007,
    WIRE_IOCTL_INTERNAL_USB_GET_PORT_STATUS = 0x00220013,
    WIRE_IOCTL_INTERNAL_USB_GET_HUB_COUNT = 0x0022001B,
    WIRE_IOCTL_INTERNAL_USB_CYCLE_PORT = 0x0022001F,
    WIRE_IOCTL_INTERNAL_USB_GET_HUB_NAME = 0x00220020,
    WIRE_IOCTL_INTERNAL_USB_GET_BUS_INFO = 0x00220420,
    WIRE_IOCTL_INTERNAL_USB_GET_CONTROLLER_NAME = 0x00220424,
    /* the only one of INTERNAL_IO_CONTROL: OutputBufferSize 4, a frame number */
    WIRE_IOCTL_TSUSBGD_IOCTL_USBDI_QUERY_BUS_TIME = 0x00224000,
};

/* Answer of WIRE_IOCTL_INTERNAL_USB_GET_PORT_STATUS. */
enum { WIRE_USBD_PORT_ENABLED = 0x1, WIRE_USBD_PORT_CONNECTED = 0x2 };

/* IO_CONTROL or INTERNAL_IO_CONTROL. */
typedef struct {
    uint32_t interface_id;
    uint32_t message_id;
    uint32_t io_control_code;
    WireBytes input_buffer;      /* empty for every code above */
    uint32_t output_buffer_size; /* most bytes that the client may return */
    uint32_t request_id;
} WireIoControl;
WIRE_DECLARE(WireIoControl, io_control)
WIRE_DECLARE(WireIoControl, internal_io_control)

typedef enum {
    WIRE_TEXT_TYPE_DESCRIPTION = 0,
    WIRE_TEXT_TYPE_LOCATION_INFORMATION = 1,
} WireTextType;

enum { WIRE_LOCALE_ENGLISH_US = 0x0409 };

typedef struct {
    uint32_t interface_id;
    uint32_t message_id; /* identifies the response */
    uint32_t text_type;  /* WireTextType */
    uint32_t locale_id;  /* at most 0xFFFF: FreeRDP does not answer a larger one */
} WireQueryDeviceText;
WIRE_DECLARE(WireQueryDeviceText, query_device_text)

/* Client to server; a response: mask STUB, no function id. */
typedef struct {
    uint32_t interface_id;
    uint32_t message_id;
    WireText device_description; /* cch 0: none; FreeRDP's may lack the NUL */
    uint32_t hresult;
} WireQueryDeviceTextResponse;
WIRE_DECLARE(WireQueryDeviceTextResponse, query_device_text_response)

/* TRANSFER_IN_REQUEST: output_buffer_size is the most bytes that the client may return. */
typedef struct {
    uint32_t interface_id;
    uint32_t message_id;
    WireUrb ts_urb;
    uint32_t output_buffer_size;
} WireTransferInRequest;
WIRE_DECLARE(WireTransferInRequest, transfer_in_request)

/* TRANSFER_OUT_REQUEST: OutputBufferSize is output_buffer.length. */
typedef struct {
    uint32_t interface_id;
    uint32_t message_id;
    WireUrb ts_urb;
    WireBytes output_buffer; /* the data for the device */
} WireTransferOutRequest;
WIRE_DECLARE(WireTransferOutRequest, transfer_out_request)

enum { WIRE_USB_RETRACT_REASON_BLOCKED_BY_POLICY = 1 };

typedef struct {
    uint32_t interface_id;
    uint32_t message_id;
    uint32_t reason;
} WireRetractDevice;
WIRE_DECLARE(WireRetractDevice, retract_device)
