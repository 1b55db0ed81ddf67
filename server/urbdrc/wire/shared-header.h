/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * SHARED_MSG_HEADER ([MS-RDPEUSB] 2.2.1): interface id, mask, message id, function id. A function
 * id means something only together with the interface id, the mask and the direction; message.h
 * tells which message a header begins.
 */
#pragma once

#include "cursor.h"

/* The high two bits of the first word. */
typedef enum {
    WIRE_STREAM_ID_NONE = 0,  /* capability exchange, and its release by Windows */
    WIRE_STREAM_ID_PROXY = 1, /* all that is no response */
    WIRE_STREAM_ID_STUB = 2,  /* responses: they have no function id */
} WireMask;

/* Interface ids have 30 bits. Those of a device (chosen by the client in ADD_DEVICE) and of its
 * completions (chosen by the server in REGISTER_REQUEST_CALLBACK) are two number spaces: mstsc
 * announces device 0. */
enum {
    WIRE_INTERFACE_CAPABILITIES = 0,
    WIRE_INTERFACE_DEVICE_SINK = 1,
    WIRE_INTERFACE_SERVER_NOTIFICATION = 2, /* server to client */
    WIRE_INTERFACE_CLIENT_NOTIFICATION = 3, /* client to server */
    WIRE_INTERFACE_MASK = 0x3FFFFFFF,
};

/* In place of a dynamic interface id that is not known yet: equals no id. */
#define WIRE_INTERFACE_NOT_KNOWN UINT32_MAX

enum {
    /* on every interface */
    WIRE_FUNCTION_RIMCALL_RELEASE = 0x00000001,
    WIRE_FUNCTION_RIMCALL_QUERYINTERFACE = 0x00000002,
    /* capabilities */
    WIRE_FUNCTION_RIM_EXCHANGE_CAPABILITY_REQUEST = 0x00000100,
    /* device sink */
    WIRE_FUNCTION_ADD_VIRTUAL_CHANNEL = 0x00000100,
    WIRE_FUNCTION_ADD_DEVICE = 0x00000101,
    /* channel notification */
    WIRE_FUNCTION_CHANNEL_CREATED = 0x00000100,
    /* USB device */
    WIRE_FUNCTION_CANCEL_REQUEST = 0x00000100,
    WIRE_FUNCTION_REGISTER_REQUEST_CALLBACK = 0x00000101,
    WIRE_FUNCTION_IO_CONTROL = 0x00000102,
    WIRE_FUNCTION_INTERNAL_IO_CONTROL = 0x00000103,
    WIRE_FUNCTION_QUERY_DEVICE_TEXT = 0x00000104,
    WIRE_FUNCTION_TRANSFER_IN_REQUEST = 0x00000105,
    WIRE_FUNCTION_TRANSFER_OUT_REQUEST = 0x00000106,
    WIRE_FUNCTION_RETRACT_DEVICE = 0x00000107,
    /* request completion */
    WIRE_FUNCTION_IOCONTROL_COMPLETION = 0x00000100,
    WIRE_FUNCTION_URB_COMPLETION = 0x00000101,
    WIRE_FUNCTION_URB_COMPLETION_NO_DATA = 0x00000102,
};

/* [MS-RDPEUSB] uses few HRESULTs. Success is zero and nothing else: FreeRDP puts a plain Win32 code
 * into QUERY_DEVICE_TEXT_RSP. */
enum {
    WIRE_S_OK = 0x00000000,
    WIRE_E_DEVICE_NOT_FUNCTIONING = 0x8007001F, /* ERROR_GEN_FAILURE */
    WIRE_E_INVALID_PARAMETER = 0x80070057,
    WIRE_E_INSUFFICIENT_BUFFER = 0x8007007A,
    WIRE_E_OPERATION_ABORTED = 0x800703E3,
    WIRE_E_NOT_FOUND = 0x80070490,
};

/* A name of the list above, or "unknown HRESULT". */
const char *wire_hresult_to_string(uint32_t hresult);

typedef struct {
    uint32_t interface_id;
    WireMask mask;
    uint32_t message_id;
    uint32_t function_id; /* 0 in a response: not on the wire */
} WireHeader;

/* Requests and all completions: 12 bytes. Responses (WIRE_STREAM_ID_STUB): 8 bytes. Mask 3 fails.
 */
WIRE_DECLARE(WireHeader, header)

/* The header of a message whose mask and function id are fixed: written so; read, any other fails.
 * The interface id is cut to its 30 bits when written. */
void wire_header_of(WireCursor *c, WireMask mask, uint32_t *interface_id, uint32_t *message_id,
                    uint32_t function_id);
