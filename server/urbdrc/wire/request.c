/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "request.h"

void wire_cancel_request(WireCursor *c, WireCancelRequest *m)
{
    wire_header_of(c, WIRE_STREAM_ID_PROXY, &m->interface_id, &m->message_id,
                   WIRE_FUNCTION_CANCEL_REQUEST);
    wire_u32(c, &m->request_id);
}

void wire_register_request_callback(WireCursor *c, WireRegisterRequestCallback *m)
{
    wire_header_of(c, WIRE_STREAM_ID_PROXY, &m->interface_id, &m->message_id,
                   WIRE_FUNCTION_REGISTER_REQUEST_CALLBACK);
    uint32_t num_request_completion = m->is_registering ? 1 : 0;
    wire_u32(c, &num_request_completion);
    if (num_request_completion > 1)
        wire_fail(c);
    if (wire_is_reading(c))
        m->is_registering = num_request_completion == 1;
    if (m->is_registering)
        wire_u32(c, &m->request_completion);
}

static void io_control(WireCursor *c, WireIoControl *m, uint32_t function_id)
{
    wire_header_of(c, WIRE_STREAM_ID_PROXY, &m->interface_id, &m->message_id, function_id);
    wire_u32(c, &m->io_control_code);
    wire_length_u32(c, &m->input_buffer);
    wire_bytes(c, &m->input_buffer);
    wire_u32(c, &m->output_buffer_size);
    wire_u32(c, &m->request_id);
}

void wire_io_control(WireCursor *c, WireIoControl *m)
{
    io_control(c, m, WIRE_FUNCTION_IO_CONTROL);
}

void wire_internal_io_control(WireCursor *c, WireIoControl *m)
{
    io_control(c, m, WIRE_FUNCTION_INTERNAL_IO_CONTROL);
}

void wire_query_device_text(WireCursor *c, WireQueryDeviceText *m)
{
    wire_header_of(c, WIRE_STREAM_ID_PROXY, &m->interface_id, &m->message_id,
                   WIRE_FUNCTION_QUERY_DEVICE_TEXT);
    wire_u32(c, &m->text_type);
    wire_u32(c, &m->locale_id);
}

void wire_query_device_text_response(WireCursor *c, WireQueryDeviceTextResponse *m)
{
    wire_header_of(c, WIRE_STREAM_ID_STUB, &m->interface_id, &m->message_id, 0);
    wire_text(c, &m->device_description);
    wire_u32(c, &m->hresult);
}

/* CbTsUrb and TS_URB_HEADER.Size bound the same bytes, so that they cannot disagree. */
static void ts_urb(WireCursor *c, WireUrb *m)
{
    WireSpan span = wire_span_u32(c);
    wire_urb(c, m);
    wire_span_close(c, span);
}

void wire_transfer_in_request(WireCursor *c, WireTransferInRequest *m)
{
    wire_header_of(c, WIRE_STREAM_ID_PROXY, &m->interface_id, &m->message_id,
                   WIRE_FUNCTION_TRANSFER_IN_REQUEST);
    ts_urb(c, &m->ts_urb);
    wire_u32(c, &m->output_buffer_size);
}

void wire_transfer_out_request(WireCursor *c, WireTransferOutRequest *m)
{
    wire_header_of(c, WIRE_STREAM_ID_PROXY, &m->interface_id, &m->message_id,
                   WIRE_FUNCTION_TRANSFER_OUT_REQUEST);
    ts_urb(c, &m->ts_urb);
    wire_length_u32(c, &m->output_buffer);
    wire_bytes(c, &m->output_buffer);
}

void wire_retract_device(WireCursor *c, WireRetractDevice *m)
{
    wire_header_of(c, WIRE_STREAM_ID_PROXY, &m->interface_id, &m->message_id,
                   WIRE_FUNCTION_RETRACT_DEVICE);
    wire_u32(c, &m->reason);
}
