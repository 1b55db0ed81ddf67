/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "completion.h"

#include <string.h>

#define NAME(name)                                                                                 \
    case WIRE_USBD_STATUS_##name: return #name

const char *wire_usbd_status_to_string(uint32_t status)
{
    switch (status) {
        NAME(SUCCESS);
        NAME(LIBUSB_ERROR);
        NAME(LIBUSB_TIMED_OUT);
        NAME(LIBUSB_CANCELLED);
        NAME(LIBUSB_STALL);
        NAME(LIBUSB_NO_DEVICE);
        NAME(LIBUSB_OVERFLOW);
        NAME(PENDING);
        NAME(NO_MEMORY);
        NAME(INVALID_URB_FUNCTION);
        NAME(INVALID_PARAMETER);
        NAME(REQUEST_FAILED);
        NAME(INVALID_PIPE_HANDLE);
        NAME(ERROR_SHORT_TRANSFER);
        NAME(CRC);
        NAME(BTSTUFF);
        NAME(DATA_TOGGLE_MISMATCH);
        NAME(STALL_PID);
        NAME(DEV_NOT_RESPONDING);
        NAME(PID_CHECK_FAILURE);
        NAME(UNEXPECTED_PID);
        NAME(DATA_OVERRUN);
        NAME(DATA_UNDERRUN);
        NAME(BUFFER_OVERRUN);
        NAME(BUFFER_UNDERRUN);
        NAME(NOT_ACCESSED);
        NAME(FIFO);
        NAME(XACT_ERROR);
        NAME(BABBLE_DETECTED);
        NAME(DATA_BUFFER_ERROR);
        NAME(NOT_SUPPORTED);
        NAME(BUFFER_TOO_SMALL);
        NAME(TIMEOUT);
        NAME(DEVICE_GONE);
        NAME(CANCELED);
    default: return "unknown USBD status";
    }
}

/* Tolerates a message that ends before the bytes it claims: FreeRDP up to 3.30 answers RESET_PORT
 * with 28 bytes that claim OutputBufferSize + 4. */
void wire_io_control_completion(WireCursor *c, WireIoControlCompletion *m)
{
    wire_header_of(c, WIRE_STREAM_ID_PROXY, &m->interface_id, &m->message_id,
                   WIRE_FUNCTION_IOCONTROL_COMPLETION);
    wire_u32(c, &m->request_id);
    wire_u32(c, &m->hresult);
    wire_u32(c, &m->information);
    wire_u32(c, &m->output_buffer_size);
    if (wire_is_reading(c)) {
        size_t present = wire_remaining(c);
        m->output_buffer.length = m->output_buffer_size < present ? m->output_buffer_size : present;
    }
    wire_bytes(c, &m->output_buffer);
    wire_ignore_rest(c);
}

/* Size and CbTsUrbResult should agree. CbTsUrbResult decides (it is right in FreeRDP 3.14 to 3.22,
 * too), Size must only not contradict it. The padding holds the function code or rubbish. */
static void ts_urb_result(WireCursor *c, WireUrbCompletion *m)
{
    WireSpan cb_ts_urb_result = wire_span_u32(c);
    size_t start = c->position;
    if (wire_is_reading(c)) {
        uint16_t size = 0;
        wire_u16(c, &size);
        if (size > c->end - start || c->end - start > UINT16_MAX)
            wire_fail(c);
        wire_padding(c, 2);
        wire_u32(c, &m->usbd_status);
        wire_rest(c, &m->ts_urb_result);
    } else {
        WireSpan size = wire_span_u16_inclusive(c);
        wire_padding(c, 2);
        wire_u32(c, &m->usbd_status);
        wire_bytes(c, &m->ts_urb_result);
        wire_span_close(c, size);
    }
    wire_span_close(c, cb_ts_urb_result);
}

void wire_urb_completion(WireCursor *c, WireUrbCompletion *m)
{
    wire_header_of(c, WIRE_STREAM_ID_PROXY, &m->interface_id, &m->message_id,
                   WIRE_FUNCTION_URB_COMPLETION);
    wire_u32(c, &m->request_id);
    ts_urb_result(c, m);
    wire_u32(c, &m->hresult);
    wire_length_u32(c, &m->output_buffer);
    wire_bytes(c, &m->output_buffer);
    if (wire_is_reading(c))
        m->output_buffer_size = (uint32_t) m->output_buffer.length;
    wire_rest(c, &m->trailing);
}

void wire_urb_completion_no_data(WireCursor *c, WireUrbCompletion *m)
{
    wire_header_of(c, WIRE_STREAM_ID_PROXY, &m->interface_id, &m->message_id,
                   WIRE_FUNCTION_URB_COMPLETION_NO_DATA);
    wire_u32(c, &m->request_id);
    ts_urb_result(c, m);
    wire_u32(c, &m->hresult);
    wire_u32(c, &m->output_buffer_size);
    wire_rest(c, &m->trailing);
}

/* As sent: result, ConfigurationHandle, 1, the interface block once more, HResult and
 * OutputBufferSize. As read: HResult is the handle, OutputBufferSize is 1, the rest is trailing. */
bool wire_select_interface_completion_repair(WireUrbCompletion *m)
{
    enum { HRESULT_AND_OUTPUT_BUFFER_SIZE = 8 };
    WireBytes block = m->ts_urb_result;
    if (m->output_buffer_size != 1 || block.length == 0 ||
        m->trailing.length != block.length + HRESULT_AND_OUTPUT_BUFFER_SIZE ||
        memcmp(m->trailing.data, block.data, block.length) != 0)
        return false;

    WireCursor c = wire_reader(m->trailing.data + block.length, HRESULT_AND_OUTPUT_BUFFER_SIZE);
    wire_u32(&c, &m->hresult);
    wire_u32(&c, &m->output_buffer_size);
    m->trailing = (WireBytes){0};
    return true;
}

static void pipe_information_result(WireCursor *c, WirePipeInformationResult *m)
{
    wire_u16(c, &m->maximum_packet_size);
    wire_u8(c, &m->endpoint_address);
    wire_u8(c, &m->interval);
    wire_u32(c, &m->pipe_type);
    wire_u32(c, &m->pipe_handle);
    wire_u32(c, &m->maximum_transfer_size);
    wire_u32(c, &m->pipe_flags);
}

/* pipes has room for that many more. Returns how many of them the interface has. */
static uint32_t interface_information_result(WireCursor *c, WireInterfaceInformationResult *m,
                                             WirePipeInformationResult *pipes, uint32_t room)
{
    WireSpan length = wire_span_u16_inclusive(c);
    wire_u8(c, &m->interface_number);
    wire_u8(c, &m->alternate_setting);
    wire_u8(c, &m->class_code);
    wire_u8(c, &m->sub_class_code);
    wire_u8(c, &m->protocol_code);
    wire_padding(c, 1);
    wire_u32(c, &m->interface_handle);
    wire_u32(c, &m->number_of_pipes);
    if (m->number_of_pipes > room) {
        wire_fail(c);
        return 0;
    }
    for (uint32_t i = 0; i < m->number_of_pipes; i++)
        pipe_information_result(c, &pipes[i]);
    wire_span_close(c, length);
    return m->number_of_pipes;
}

void wire_select_configuration_result(WireCursor *c, WireSelectConfigurationResult *m)
{
    wire_u32(c, &m->configuration_handle);
    wire_u32(c, &m->num_interfaces);
    /* FreeRDP up to 3.20 echoes the request's count where it failed, or unconfigured */
    if (wire_is_reading(c) && m->configuration_handle == 0 && wire_remaining(c) == 0)
        m->num_interfaces = 0;
    if (m->num_interfaces > WIRE_MAX_INTERFACES) {
        wire_fail(c);
        return;
    }
    uint32_t n_pipes = 0;
    for (uint32_t i = 0; i < m->num_interfaces; i++)
        n_pipes += interface_information_result(c, &m->interfaces[i], m->pipes + n_pipes,
                                                WIRE_MAX_PIPES - n_pipes);
    wire_ignore_rest(c);
}

void wire_select_interface_result(WireCursor *c, WireSelectInterfaceResult *m)
{
    interface_information_result(c, &m->interface, m->pipes, WIRE_MAX_PIPES);
    wire_ignore_rest(c);
}

void wire_get_current_frame_number_result(WireCursor *c, WireGetCurrentFrameNumberResult *m)
{
    wire_u32(c, &m->frame_number);
    wire_ignore_rest(c);
}

void wire_isoch_transfer_result(WireCursor *c, WireIsochTransferResult *m)
{
    wire_u32(c, &m->start_frame);
    wire_u32(c, &m->iso_packets.count);
    wire_u32(c, &m->error_count);
    wire_iso_packets(c, &m->iso_packets);
    wire_ignore_rest(c);
}
