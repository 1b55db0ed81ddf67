/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which message is this? The header's ids repeat per interface and direction: one table tells them
 * apart for both ends, and one union holds any of the messages. Whether a message is legal in a
 * channel's state is the channel's business.
 */
#pragma once

#include "completion.h"
#include "control.h"
#include "request.h"

typedef enum {
    WIRE_MESSAGE_UNKNOWN,
    /* both directions */
    WIRE_MESSAGE_RELEASE,
    WIRE_MESSAGE_CHANNEL_CREATED,
    /* client to server */
    WIRE_MESSAGE_CAPABILITY_RESPONSE,
    WIRE_MESSAGE_QUERY_INTERFACE_REQUEST,
    WIRE_MESSAGE_ADD_VIRTUAL_CHANNEL,
    WIRE_MESSAGE_ADD_DEVICE,
    WIRE_MESSAGE_QUERY_DEVICE_TEXT_RESPONSE,
    WIRE_MESSAGE_IO_CONTROL_COMPLETION,
    WIRE_MESSAGE_URB_COMPLETION,
    WIRE_MESSAGE_URB_COMPLETION_NO_DATA,
    /* server to client */
    WIRE_MESSAGE_CAPABILITY_REQUEST,
    WIRE_MESSAGE_QUERY_INTERFACE_RESPONSE,
    WIRE_MESSAGE_CANCEL_REQUEST,
    WIRE_MESSAGE_REGISTER_REQUEST_CALLBACK,
    WIRE_MESSAGE_IO_CONTROL,
    WIRE_MESSAGE_INTERNAL_IO_CONTROL,
    WIRE_MESSAGE_QUERY_DEVICE_TEXT,
    WIRE_MESSAGE_TRANSFER_IN_REQUEST,
    WIRE_MESSAGE_TRANSFER_OUT_REQUEST,
    WIRE_MESSAGE_RETRACT_DEVICE,
    WIRE_N_MESSAGES,
} WireMessageKind;

/* The specification's name, such as "URB_COMPLETION"; "unknown message" for any other value. */
const char *wire_message_kind_to_string(WireMessageKind kind);

/* What a message from the client is, by its first words alone: the rest may still be malformed.
 * request_completion is the id registered for this device, or WIRE_INTERFACE_NOT_KNOWN. */
WireMessageKind wire_kind_from_client(const uint8_t *data, size_t length,
                                      uint32_t request_completion);

/* The same for a message from the server. usb_device is the id announced on this channel, or
 * WIRE_INTERFACE_NOT_KNOWN. */
WireMessageKind wire_kind_from_server(const uint8_t *data, size_t length, uint32_t usb_device);

typedef struct {
    WireMessageKind kind;
    union {
        WireRelease release;
        WireChannelCreated channel_created;
        WireCapabilityResponse capability_response;
        WireQueryInterfaceRequest query_interface_request;
        WireAddVirtualChannel add_virtual_channel;
        WireAddDevice add_device;
        WireQueryDeviceTextResponse query_device_text_response;
        WireIoControlCompletion io_control_completion;
        WireUrbCompletion urb_completion; /* and URB_COMPLETION_NO_DATA */
        WireCapabilityRequest capability_request;
        WireQueryInterfaceResponse query_interface_response;
        WireCancelRequest cancel_request;
        WireRegisterRequestCallback register_request_callback;
        WireIoControl io_control; /* and INTERNAL_IO_CONTROL */
        WireQueryDeviceText query_device_text;
        WireTransferInRequest transfer_in_request;
        WireTransferOutRequest transfer_out_request;
        WireRetractDevice retract_device;
    } as;
} WireMessage;

/* Walks the member that kind selects: kind is set by the caller in both directions, so decode in
 * two steps, wire_kind_from_client() and wire_message_read(). An unknown kind fails. */
void wire_message(WireCursor *c, WireMessage *m);

/* Decodes data as a message of that kind. False: malformed, and *m is unspecified. Views in *m lie
 * in data. */
bool wire_message_read(WireMessage *m, WireMessageKind kind, const uint8_t *data, size_t length);

/* As those of WIRE_DECLARE. */
size_t wire_message_size(const WireMessage *m);
size_t wire_message_encode(const WireMessage *m, uint8_t *data, size_t size);
