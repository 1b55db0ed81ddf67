/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the client answers to requests: completions ([MS-RDPEUSB] 2.2.7) and the TS_URB_RESULT in
 * them (2.2.10). A result carries no function code, so that decoding a completion leaves a view of
 * it: the caller, who remembers under the request id what it asked, then calls the decoder of that
 * result. interface_id is the RequestCompletion of REGISTER_REQUEST_CALLBACK throughout.
 *
 * Reading is tolerant where real clients need it, and each tolerance names the client.
 */
#pragma once

#include "shared-header.h"
#include "urb.h"

typedef enum {
    WIRE_USBD_STATUS_SUCCESS = 0x00000000,
    /* FreeRDP puts raw libusb transfer statuses here, for bulk, interrupt and isochronous */
    WIRE_USBD_STATUS_LIBUSB_ERROR = 1,
    WIRE_USBD_STATUS_LIBUSB_TIMED_OUT = 2,
    WIRE_USBD_STATUS_LIBUSB_CANCELLED = 3,
    WIRE_USBD_STATUS_LIBUSB_STALL = 4,
    WIRE_USBD_STATUS_LIBUSB_NO_DEVICE = 5,
    WIRE_USBD_STATUS_LIBUSB_OVERFLOW = 6,
    WIRE_USBD_STATUS_PENDING = 0x40000000,
    WIRE_USBD_STATUS_NO_MEMORY = 0x80000100,
    WIRE_USBD_STATUS_INVALID_URB_FUNCTION = 0x80000200,
    WIRE_USBD_STATUS_INVALID_PARAMETER = 0x80000300,
    WIRE_USBD_STATUS_REQUEST_FAILED = 0x80000500,
    WIRE_USBD_STATUS_INVALID_PIPE_HANDLE = 0x80000600,
    WIRE_USBD_STATUS_ERROR_SHORT_TRANSFER = 0x80000900,
    WIRE_USBD_STATUS_CRC = 0xC0000001,
    WIRE_USBD_STATUS_BTSTUFF = 0xC0000002,
    WIRE_USBD_STATUS_DATA_TOGGLE_MISMATCH = 0xC0000003,
    WIRE_USBD_STATUS_STALL_PID = 0xC0000004,
    WIRE_USBD_STATUS_DEV_NOT_RESPONDING = 0xC0000005,
    WIRE_USBD_STATUS_PID_CHECK_FAILURE = 0xC0000006,
    WIRE_USBD_STATUS_UNEXPECTED_PID = 0xC0000007,
    WIRE_USBD_STATUS_DATA_OVERRUN = 0xC0000008,
    WIRE_USBD_STATUS_DATA_UNDERRUN = 0xC0000009,
    WIRE_USBD_STATUS_BUFFER_OVERRUN = 0xC000000C,
    WIRE_USBD_STATUS_BUFFER_UNDERRUN = 0xC000000D,
    WIRE_USBD_STATUS_NOT_ACCESSED = 0xC000000F,
    WIRE_USBD_STATUS_FIFO = 0xC0000010,
    WIRE_USBD_STATUS_XACT_ERROR = 0xC0000011,
    WIRE_USBD_STATUS_BABBLE_DETECTED = 0xC0000012,
    WIRE_USBD_STATUS_DATA_BUFFER_ERROR = 0xC0000013,
    WIRE_USBD_STATUS_NOT_SUPPORTED = 0xC0000E00,
    WIRE_USBD_STATUS_BUFFER_TOO_SMALL = 0xC0003000,
    WIRE_USBD_STATUS_TIMEOUT = 0xC0006000,
    WIRE_USBD_STATUS_DEVICE_GONE = 0xC0007000,
    WIRE_USBD_STATUS_CANCELED = 0xC0010000,
} WireUsbdStatus;

/* A name of the list above, or "unknown USBD status". */
const char *wire_usbd_status_to_string(uint32_t status);

typedef struct {
    uint32_t interface_id;
    uint32_t message_id;
    uint32_t request_id;
    uint32_t hresult;
    uint32_t information;        /* bytes produced, or needed */
    uint32_t output_buffer_size; /* as claimed: FreeRDP up to 3.30 claims more than it sends */
    WireBytes output_buffer;     /* what is there, never more than claimed */
} WireIoControlCompletion;
WIRE_DECLARE(WireIoControlCompletion, io_control_completion)

/*
 * URB_COMPLETION and URB_COMPLETION_NO_DATA. ts_urb_result is what follows the
 * TS_URB_RESULT_HEADER, found by CbTsUrbResult alone: it may be followed by rubbish there, which
 * the result decoders ignore. trailing is what follows the message.
 *
 * A URB_COMPLETION that claims more data than it has is refused: no client is known to send one,
 * and a transfer must not look shorter than it was.
 */
typedef struct {
    uint32_t interface_id;
    uint32_t message_id;
    uint32_t request_id;
    uint32_t usbd_status; /* WireUsbdStatus */
    WireBytes ts_urb_result;
    uint32_t hresult;
    uint32_t output_buffer_size; /* bytes transferred; in URB_COMPLETION output_buffer.length */
    WireBytes output_buffer;     /* empty in URB_COMPLETION_NO_DATA */
    WireBytes trailing;          /* normally empty */
} WireUrbCompletion;
WIRE_DECLARE(WireUrbCompletion, urb_completion)
WIRE_DECLARE(WireUrbCompletion, urb_completion_no_data)

/* FreeRDP 3.14 to 3.22 put a second copy of the result of SELECT_INTERFACE in front of HResult and
 * OutputBufferSize, which then read as something else. To be called on the completion of a
 * SELECT_INTERFACE only: if it has that form, puts HResult, output_buffer_size and trailing right
 * and says true (which also tells the client's version). */
bool wire_select_interface_completion_repair(WireUrbCompletion *m);

typedef enum {
    WIRE_PIPE_TYPE_CONTROL = 0,
    WIRE_PIPE_TYPE_ISOCHRONOUS = 1,
    WIRE_PIPE_TYPE_BULK = 2,
    WIRE_PIPE_TYPE_INTERRUPT = 3,
} WirePipeType;

/* TS_USBD_PIPE_INFORMATION_RESULT. */
typedef struct {
    uint16_t maximum_packet_size;
    uint8_t endpoint_address;
    uint8_t interval;
    uint32_t pipe_type; /* WirePipeType */
    uint32_t pipe_handle;
    uint32_t maximum_transfer_size;
    uint32_t pipe_flags;
} WirePipeInformationResult;

/* TS_USBD_INTERFACE_INFORMATION_RESULT; its pipes stand in the array of the structure around it. */
typedef struct {
    uint8_t interface_number;
    uint8_t alternate_setting;
    uint8_t class_code;
    uint8_t sub_class_code;
    uint8_t protocol_code;
    uint32_t interface_handle;
    uint32_t number_of_pipes;
} WireInterfaceInformationResult;

/*
 * The results that are more than a header. Their decoders take a completion's ts_urb_result and
 * ignore what follows the result in it:
 *
 *     WireSelectInterfaceResult r;
 *     wire_select_interface_result_decode(&r, m.ts_urb_result.data, m.ts_urb_result.length)
 */

/* pipes holds the pipes of interfaces[0], then those of interfaces[1], and so on, without gaps.
 * FreeRDP says configuration_handle 0 for failure, with UsbdStatus and HResult success, and may
 * name interfaces that it does not send: num_interfaces is then 0. */
typedef struct {
    uint32_t configuration_handle;
    uint32_t num_interfaces;
    WireInterfaceInformationResult interfaces[WIRE_MAX_INTERFACES];
    WirePipeInformationResult pipes[WIRE_MAX_PIPES];
} WireSelectConfigurationResult;
WIRE_DECLARE(WireSelectConfigurationResult, select_configuration_result)

typedef struct {
    WireInterfaceInformationResult interface;
    WirePipeInformationResult pipes[WIRE_MAX_PIPES];
} WireSelectInterfaceResult;
WIRE_DECLARE(WireSelectInterfaceResult, select_interface_result)

typedef struct {
    uint32_t frame_number;
} WireGetCurrentFrameNumberResult;
WIRE_DECLARE(WireGetCurrentFrameNumberResult, get_current_frame_number_result)

/* The data of an IN transfer is packed: packet after packet, only those with status 0. Offsets in
 * the packets are not to be used, clients disagree about them. */
typedef struct {
    uint32_t start_frame;
    uint32_t error_count;
    WireIsoPackets iso_packets;
} WireIsochTransferResult;
WIRE_DECLARE(WireIsochTransferResult, isoch_transfer_result)
