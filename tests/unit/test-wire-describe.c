/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "test-wire-describe.h"

static void add_bytes(GString *s, const char *name, WireBytes bytes)
{
    g_string_append_printf(s, " %s[%zu]=", name, bytes.length);
    for (size_t i = 0; i < bytes.length; i++)
        g_string_append_printf(s, "%02x", bytes.data[i]);
}

static void add_text(GString *s, const char *name, const WireText *text)
{
    g_string_append_printf(s, " %s(%u)=", name, text->cch);
    for (uint32_t i = 0; i < text->cch; i++) {
        uint16_t unit = wire_text_unit(text, i);
        if (unit >= 0x20 && unit < 0x7F)
            g_string_append_c(s, (char) unit);
        else if (unit == 0)
            g_string_append_c(s, '|');
        else
            g_string_append_printf(s, "<%04x>", unit);
    }
}

static void add_iso_packets(GString *s, const WireIsoPackets *list)
{
    g_string_append_printf(s, " packets=%u", list->count);
    for (uint32_t i = 0; i < list->count; i++) {
        WireIsoPacket p = wire_iso_packet(list, i);
        g_string_append_printf(s, " {%u %u 0x%x}", p.offset, p.length, p.status);
    }
}

static void add_interface(GString *s, const WireInterfaceInformation *i,
                          const WirePipeInformation *pipes)
{
    g_string_append_printf(s, " interface=%u.%u expected=%u pipes=%u", i->interface_number,
                           i->alternate_setting, i->number_of_pipes_expected, i->number_of_pipes);
    for (uint32_t p = 0; p < i->number_of_pipes; p++)
        g_string_append_printf(s, " {%u %u 0x%x}", pipes[p].maximum_packet_size,
                               pipes[p].maximum_transfer_size, pipes[p].pipe_flags);
}

static void add_select_configuration(GString *s, const WireSelectConfiguration *b)
{
    g_string_append_printf(s, " valid=%d interfaces=%u", b->configuration_descriptor_is_valid,
                           b->num_interfaces);
    uint32_t first_pipe = 0;
    for (uint32_t i = 0; i < b->num_interfaces; i++) {
        add_interface(s, &b->interfaces[i], b->pipes + first_pipe);
        first_pipe += b->interfaces[i].number_of_pipes;
    }
    add_bytes(s, "descriptor", b->usb_configuration_descriptor);
}

static void add_control_transfer(GString *s, const WireControlTransfer *b)
{
    const WireSetupPacket *p = &b->setup_packet;
    g_string_append_printf(s, " pipe=0x%x flags=0x%x timeout=%u setup=%02x %02x %04x %04x %u",
                           b->pipe_handle, b->transfer_flags, b->timeout, p->bm_request_type,
                           p->b_request, p->w_value, p->w_index, p->w_length);
}

static void add_urb_body(GString *s, const WireUrb *u)
{
    switch (wire_urb_kind(u->function)) {
    case WIRE_URB_UNKNOWN:
    case WIRE_URB_HEADER_ONLY: break;
    case WIRE_URB_SELECT_CONFIGURATION:
        add_select_configuration(s, &u->body.select_configuration);
        break;
    case WIRE_URB_SELECT_INTERFACE:
        g_string_append_printf(s, " handle=0x%x", u->body.select_interface.configuration_handle);
        add_interface(s, &u->body.select_interface.interface, u->body.select_interface.pipes);
        break;
    case WIRE_URB_PIPE_REQUEST:
        g_string_append_printf(s, " pipe=0x%x", u->body.pipe_request.pipe_handle);
        break;
    case WIRE_URB_CONTROL_TRANSFER:
    case WIRE_URB_CONTROL_TRANSFER_EX: add_control_transfer(s, &u->body.control_transfer); break;
    case WIRE_URB_BULK_OR_INTERRUPT_TRANSFER:
        g_string_append_printf(s, " pipe=0x%x flags=0x%x",
                               u->body.bulk_or_interrupt_transfer.pipe_handle,
                               u->body.bulk_or_interrupt_transfer.transfer_flags);
        break;
    case WIRE_URB_ISOCH_TRANSFER:
        g_string_append_printf(
            s, " pipe=0x%x flags=0x%x start=0x%x errors=%u", u->body.isoch_transfer.pipe_handle,
            u->body.isoch_transfer.transfer_flags, u->body.isoch_transfer.start_frame,
            u->body.isoch_transfer.error_count);
        add_iso_packets(s, &u->body.isoch_transfer.iso_packets);
        break;
    case WIRE_URB_CONTROL_DESCRIPTOR_REQUEST:
        g_string_append_printf(s, " index=%u type=%u language=0x%x",
                               u->body.control_descriptor_request.index,
                               u->body.control_descriptor_request.descriptor_type,
                               u->body.control_descriptor_request.language_id);
        break;
    case WIRE_URB_CONTROL_FEATURE_REQUEST:
        g_string_append_printf(s, " feature=%u index=0x%x",
                               u->body.control_feature_request.feature_selector,
                               u->body.control_feature_request.index);
        break;
    case WIRE_URB_CONTROL_GET_STATUS_REQUEST:
        g_string_append_printf(s, " index=0x%x", u->body.control_get_status_request.index);
        break;
    case WIRE_URB_CONTROL_VENDOR_OR_CLASS_REQUEST: {
        const WireControlVendorOrClassRequest *b = &u->body.control_vendor_or_class_request;
        g_string_append_printf(s, " flags=0x%x reserved=%u request=0x%02x value=0x%x index=0x%x",
                               b->transfer_flags, b->request_type_reserved_bits, b->request,
                               b->value, b->index);
        break;
    }
    case WIRE_URB_CONTROL_GET_INTERFACE_REQUEST:
        g_string_append_printf(s, " interface=%u", u->body.control_get_interface_request.interface);
        break;
    case WIRE_URB_OS_FEATURE_DESCRIPTOR_REQUEST: {
        const WireOsFeatureDescriptorRequest *b = &u->body.os_feature_descriptor_request;
        g_string_append_printf(s, " recipient=%u interface=%u page=%u index=%u", b->recipient,
                               b->interface_number, b->ms_page_index,
                               b->ms_feature_descriptor_index);
        break;
    }
    }
}

static void add_urb(GString *s, const WireUrb *u)
{
    g_string_append_printf(s, " %s request=%u%s", wire_urb_function_to_string(u->function),
                           u->request_id, u->no_ack ? " noack" : "");
    add_urb_body(s, u);
}

static void add_interface_result(GString *s, const WireInterfaceInformationResult *i,
                                 const WirePipeInformationResult *pipes)
{
    g_string_append_printf(s, " interface=%u.%u class=%02x/%02x/%02x handle=0x%x pipes=%u",
                           i->interface_number, i->alternate_setting, i->class_code,
                           i->sub_class_code, i->protocol_code, i->interface_handle,
                           i->number_of_pipes);
    for (uint32_t p = 0; p < i->number_of_pipes; p++)
        g_string_append_printf(s, " {%u %02x %u type=%u 0x%x 0x%x 0x%x}",
                               pipes[p].maximum_packet_size, pipes[p].endpoint_address,
                               pipes[p].interval, pipes[p].pipe_type, pipes[p].pipe_handle,
                               pipes[p].maximum_transfer_size, pipes[p].pipe_flags);
}

static void add_result(GString *s, const Decoded *d)
{
    switch (d->result_kind) {
    case RESULT_HEADER_ONLY:
        add_bytes(s, "result", d->message.as.urb_completion.ts_urb_result);
        break;
    case RESULT_SELECT_CONFIGURATION: {
        const WireSelectConfigurationResult *r = &d->result.select_configuration;
        g_string_append_printf(s, " handle=0x%x interfaces=%u", r->configuration_handle,
                               r->num_interfaces);
        uint32_t first_pipe = 0;
        for (uint32_t i = 0; i < r->num_interfaces; i++) {
            add_interface_result(s, &r->interfaces[i], r->pipes + first_pipe);
            first_pipe += r->interfaces[i].number_of_pipes;
        }
        break;
    }
    case RESULT_SELECT_INTERFACE:
        add_interface_result(s, &d->result.select_interface.interface,
                             d->result.select_interface.pipes);
        break;
    case RESULT_FRAME_NUMBER:
        g_string_append_printf(s, " frame=0x%x", d->result.frame_number.frame_number);
        break;
    case RESULT_ISOCH:
        g_string_append_printf(s, " start=0x%x errors=%u", d->result.isoch.start_frame,
                               d->result.isoch.error_count);
        add_iso_packets(s, &d->result.isoch.iso_packets);
        break;
    }
}

static void add_urb_completion(GString *s, const Decoded *d)
{
    const WireUrbCompletion *m = &d->message.as.urb_completion;
    g_string_append_printf(s, " if=0x%x msg=%u request=%u status=0x%x hr=0x%x obs=%u",
                           m->interface_id, m->message_id, m->request_id, m->usbd_status,
                           m->hresult, m->output_buffer_size);
    add_result(s, d);
    add_bytes(s, "data", m->output_buffer);
    add_bytes(s, "trailing", m->trailing);
}

static void add_add_device(GString *s, const WireAddDevice *m)
{
    const WireUsbDeviceCapabilities *c = &m->usb_device_capabilities;
    g_string_append_printf(s, " msg=%u device=%u", m->message_id, m->usb_device);
    add_text(s, "instance", &m->device_instance_id);
    add_text(s, "hw", &m->hardware_ids);
    add_text(s, "compat", &m->compatibility_ids);
    add_text(s, "container", &m->container_id);
    g_string_append_printf(s, " caps=%u 0x%x 0x%x %u %u %u", c->usb_bus_interface_version,
                           c->usbdi_version, c->supported_usb_version, c->hcd_capabilities,
                           c->device_is_high_speed, c->no_ack_isoch_write_jitter_buffer_size_in_ms);
}

static void add_io_control(GString *s, const WireIoControl *m)
{
    g_string_append_printf(s, " if=0x%x msg=%u code=0x%x obs=%u request=%u", m->interface_id,
                           m->message_id, m->io_control_code, m->output_buffer_size, m->request_id);
    add_bytes(s, "input", m->input_buffer);
}

/* Messages whose fields are all numbers. */
static void add_numbers(GString *s, const WireMessage *m)
{
    switch (m->kind) {
    case WIRE_MESSAGE_RELEASE:
        g_string_append_printf(s, " if=0x%x mask=%u msg=%u", m->as.release.interface_id,
                               m->as.release.mask, m->as.release.message_id);
        break;
    case WIRE_MESSAGE_CHANNEL_CREATED:
        g_string_append_printf(
            s, " if=0x%x msg=%u version=%u.%u caps=%u", m->as.channel_created.interface_id,
            m->as.channel_created.message_id, m->as.channel_created.major_version,
            m->as.channel_created.minor_version, m->as.channel_created.capabilities);
        break;
    case WIRE_MESSAGE_CAPABILITY_REQUEST:
        g_string_append_printf(s, " msg=%u value=%u", m->as.capability_request.message_id,
                               m->as.capability_request.capability_value);
        break;
    case WIRE_MESSAGE_CAPABILITY_RESPONSE:
        g_string_append_printf(
            s, " msg=%u value=%u result=0x%x", m->as.capability_response.message_id,
            m->as.capability_response.capability_value, m->as.capability_response.result);
        break;
    case WIRE_MESSAGE_QUERY_INTERFACE_RESPONSE:
        g_string_append_printf(
            s, " if=0x%x msg=%u supported=%d new=0x%x", m->as.query_interface_response.interface_id,
            m->as.query_interface_response.message_id, m->as.query_interface_response.is_supported,
            m->as.query_interface_response.new_interface_id);
        break;
    case WIRE_MESSAGE_ADD_VIRTUAL_CHANNEL:
        g_string_append_printf(s, " msg=%u", m->as.add_virtual_channel.message_id);
        break;
    case WIRE_MESSAGE_CANCEL_REQUEST:
        g_string_append_printf(s, " if=0x%x msg=%u request=%u", m->as.cancel_request.interface_id,
                               m->as.cancel_request.message_id, m->as.cancel_request.request_id);
        break;
    case WIRE_MESSAGE_REGISTER_REQUEST_CALLBACK:
        g_string_append_printf(s, " if=0x%x msg=%u registering=%d completion=0x%x",
                               m->as.register_request_callback.interface_id,
                               m->as.register_request_callback.message_id,
                               m->as.register_request_callback.is_registering,
                               m->as.register_request_callback.request_completion);
        break;
    case WIRE_MESSAGE_QUERY_DEVICE_TEXT:
        g_string_append_printf(
            s, " if=0x%x msg=%u type=%u locale=0x%x", m->as.query_device_text.interface_id,
            m->as.query_device_text.message_id, m->as.query_device_text.text_type,
            m->as.query_device_text.locale_id);
        break;
    case WIRE_MESSAGE_RETRACT_DEVICE:
        g_string_append_printf(s, " if=0x%x msg=%u reason=%u", m->as.retract_device.interface_id,
                               m->as.retract_device.message_id, m->as.retract_device.reason);
        break;
    default: g_assert_not_reached();
    }
}

char *describe(const Decoded *d)
{
    const WireMessage *m = &d->message;
    GString *s = g_string_new(wire_message_kind_to_string(m->kind));
    switch (m->kind) {
    case WIRE_MESSAGE_QUERY_INTERFACE_REQUEST:
        g_string_append_printf(s, " if=0x%x msg=%u", m->as.query_interface_request.interface_id,
                               m->as.query_interface_request.message_id);
        add_bytes(s, "guid", m->as.query_interface_request.guid);
        break;
    case WIRE_MESSAGE_ADD_DEVICE: add_add_device(s, &m->as.add_device); break;
    case WIRE_MESSAGE_QUERY_DEVICE_TEXT_RESPONSE:
        g_string_append_printf(
            s, " if=0x%x msg=%u hr=0x%x", m->as.query_device_text_response.interface_id,
            m->as.query_device_text_response.message_id, m->as.query_device_text_response.hresult);
        add_text(s, "text", &m->as.query_device_text_response.device_description);
        break;
    case WIRE_MESSAGE_IO_CONTROL_COMPLETION: {
        const WireIoControlCompletion *i = &m->as.io_control_completion;
        g_string_append_printf(s, " if=0x%x msg=%u request=%u hr=0x%x information=%u obs=%u",
                               i->interface_id, i->message_id, i->request_id, i->hresult,
                               i->information, i->output_buffer_size);
        add_bytes(s, "data", i->output_buffer);
        break;
    }
    case WIRE_MESSAGE_URB_COMPLETION:
    case WIRE_MESSAGE_URB_COMPLETION_NO_DATA: add_urb_completion(s, d); break;
    case WIRE_MESSAGE_IO_CONTROL:
    case WIRE_MESSAGE_INTERNAL_IO_CONTROL: add_io_control(s, &m->as.io_control); break;
    case WIRE_MESSAGE_TRANSFER_IN_REQUEST:
        g_string_append_printf(s, " if=0x%x msg=%u obs=%u", m->as.transfer_in_request.interface_id,
                               m->as.transfer_in_request.message_id,
                               m->as.transfer_in_request.output_buffer_size);
        add_urb(s, &m->as.transfer_in_request.ts_urb);
        break;
    case WIRE_MESSAGE_TRANSFER_OUT_REQUEST:
        g_string_append_printf(s, " if=0x%x msg=%u", m->as.transfer_out_request.interface_id,
                               m->as.transfer_out_request.message_id);
        add_urb(s, &m->as.transfer_out_request.ts_urb);
        add_bytes(s, "data", m->as.transfer_out_request.output_buffer);
        break;
    default: add_numbers(s, m); break;
    }
    return g_string_free(s, FALSE);
}

static bool lies_in(const uint8_t *view, size_t size, const uint8_t *data, size_t length)
{
    return size == 0 || (view >= data && size <= length && (size_t) (view - data) <= length - size);
}

static bool bytes_lie_in(WireBytes view, const uint8_t *data, size_t length)
{
    return lies_in(view.data, view.length, data, length);
}

static bool text_lies_in(const WireText *text, const uint8_t *data, size_t length)
{
    return lies_in(text->utf16, 2 * (size_t) text->cch, data, length);
}

static bool packets_lie_in(const WireIsoPackets *list, const uint8_t *data, size_t length)
{
    return lies_in(list->encoded, (size_t) list->count * WIRE_ISO_PACKET_SIZE, data, length);
}

static bool urb_lies_in(const WireUrb *u, const uint8_t *data, size_t length)
{
    switch (wire_urb_kind(u->function)) {
    case WIRE_URB_SELECT_CONFIGURATION:
        return bytes_lie_in(u->body.select_configuration.usb_configuration_descriptor, data,
                            length);
    case WIRE_URB_ISOCH_TRANSFER:
        return packets_lie_in(&u->body.isoch_transfer.iso_packets, data, length);
    default: return true;
    }
}

static bool completion_lies_in(const Decoded *d, const uint8_t *data, size_t length)
{
    const WireUrbCompletion *m = &d->message.as.urb_completion;
    return bytes_lie_in(m->ts_urb_result, data, length) &&
           bytes_lie_in(m->output_buffer, data, length) &&
           bytes_lie_in(m->trailing, data, length) &&
           (d->result_kind != RESULT_ISOCH ||
            packets_lie_in(&d->result.isoch.iso_packets, m->ts_urb_result.data,
                           m->ts_urb_result.length));
}

bool views_lie_in(const Decoded *d, const uint8_t *data, size_t length)
{
    const WireMessage *m = &d->message;
    switch (m->kind) {
    case WIRE_MESSAGE_QUERY_INTERFACE_REQUEST:
        return bytes_lie_in(m->as.query_interface_request.guid, data, length);
    case WIRE_MESSAGE_ADD_DEVICE:
        return text_lies_in(&m->as.add_device.device_instance_id, data, length) &&
               text_lies_in(&m->as.add_device.hardware_ids, data, length) &&
               text_lies_in(&m->as.add_device.compatibility_ids, data, length) &&
               text_lies_in(&m->as.add_device.container_id, data, length);
    case WIRE_MESSAGE_QUERY_DEVICE_TEXT_RESPONSE:
        return text_lies_in(&m->as.query_device_text_response.device_description, data, length);
    case WIRE_MESSAGE_IO_CONTROL_COMPLETION:
        return bytes_lie_in(m->as.io_control_completion.output_buffer, data, length);
    case WIRE_MESSAGE_URB_COMPLETION:
    case WIRE_MESSAGE_URB_COMPLETION_NO_DATA: return completion_lies_in(d, data, length);
    case WIRE_MESSAGE_IO_CONTROL:
    case WIRE_MESSAGE_INTERNAL_IO_CONTROL:
        return bytes_lie_in(m->as.io_control.input_buffer, data, length);
    case WIRE_MESSAGE_TRANSFER_IN_REQUEST:
        return urb_lies_in(&m->as.transfer_in_request.ts_urb, data, length);
    case WIRE_MESSAGE_TRANSFER_OUT_REQUEST:
        return urb_lies_in(&m->as.transfer_out_request.ts_urb, data, length) &&
               bytes_lie_in(m->as.transfer_out_request.output_buffer, data, length);
    default: return true;
    }
}
