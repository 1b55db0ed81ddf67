/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Tells a capture what the guest asks and what it is answered. What the guest asks is seen in front
 * of the callbacks of requests.c, each of which is called as if nobody looked; what it is answered,
 * when send.c has sent it.
 */
#include "guest-link.h"

/* As for the device: before device_connect and after device_disconnect nothing is answered. */
static bool recorded(const GuestLink *link)
{
    return link->said_hello && !link->error && link->device->state == DEVICE_ANNOUNCED;
}

static void note_request(GuestLink *link, uint64_t id, EndpointType type, uint8_t address,
                         uint32_t length, const uint8_t *data)
{
    CaptureRequest request = {.type = type,
                              .endpoint = address,
                              .interval = link->device->endpoints[ENDPOINT_SLOT(address)].interval,
                              .length = length,
                              .data = data};
    if (recorded(link))
        capture_request(link->capture, id, &request, link->now);
}

static void note_setup(GuestLink *link, uint64_t id, uint8_t endpoint, RdpusbSetup setup,
                       const uint8_t *data, uint32_t size)
{
    CaptureRequest request = {.type = ENDPOINT_CONTROL,
                              .endpoint = endpoint,
                              .setup = setup,
                              .length = data ? size : setup.length,
                              .data = data};
    if (recorded(link))
        capture_request(link->capture, id, &request, link->now);
}

static void note_stream(GuestLink *link, const char *what, uint8_t endpoint)
{
    if (recorded(link))
        capture_note(link->capture, link->now, "guest: %s 0x%02x", what, endpoint);
}

/* ---- Requests ---- */

static void on_reset(void *priv)
{
    GuestLink *link = priv;
    if (recorded(link))
        capture_note(link->capture, link->now, "guest: reset");
    link->untapped.reset_func(priv);
}

/* The guest's own requests, which QEMU makes packets of their own of. USB 2.0 table 9-3. */

static void on_set_configuration(void *priv, uint64_t id,
                                 struct usb_redir_set_configuration_header *header)
{
    GuestLink *link = priv;
    note_setup(link, id, 0,
               (RdpusbSetup){.request_type = 0x00, .request = 9, .value = header->configuration},
               NULL, 0);
    link->untapped.set_configuration_func(priv, id, header);
}

static void on_get_configuration(void *priv, uint64_t id)
{
    GuestLink *link = priv;
    note_setup(link, id, 0, (RdpusbSetup){.request_type = 0x80, .request = 8, .length = 1}, NULL,
               0);
    link->untapped.get_configuration_func(priv, id);
}

static void on_set_alt_setting(void *priv, uint64_t id,
                               struct usb_redir_set_alt_setting_header *header)
{
    GuestLink *link = priv;
    note_setup(
        link, id, 0,
        (RdpusbSetup){
            .request_type = 0x01, .request = 11, .value = header->alt, .index = header->interface},
        NULL, 0);
    link->untapped.set_alt_setting_func(priv, id, header);
}

static void on_get_alt_setting(void *priv, uint64_t id,
                               struct usb_redir_get_alt_setting_header *header)
{
    GuestLink *link = priv;
    note_setup(
        link, id, 0,
        (RdpusbSetup){.request_type = 0x81, .request = 10, .index = header->interface, .length = 1},
        NULL, 0);
    link->untapped.get_alt_setting_func(priv, id, header);
}

static void on_cancel_data_packet(void *priv, uint64_t id)
{
    GuestLink *link = priv;
    if (recorded(link))
        capture_cancel(link->capture, id, link->now);
    link->untapped.cancel_data_packet_func(priv, id);
}

static void on_filter_reject(void *priv)
{
    GuestLink *link = priv;
    if (recorded(link))
        capture_note(link->capture, link->now, "guest: filter_reject");
    link->untapped.filter_reject_func(priv);
}

/* ---- Data ---- */

static void on_control_packet(void *priv, uint64_t id,
                              struct usb_redir_control_packet_header *header, uint8_t *data,
                              int size)
{
    GuestLink *link = priv;
    note_setup(link, id, header->endpoint,
               (RdpusbSetup){.request_type = header->requesttype,
                             .request = header->request,
                             .value = header->value,
                             .index = header->index,
                             .length = header->length},
               data, size);
    link->untapped.control_packet_func(priv, id, header, data, size);
}

static void on_bulk_packet(void *priv, uint64_t id, struct usb_redir_bulk_packet_header *header,
                           uint8_t *data, int size)
{
    GuestLink *link = priv;
    uint32_t length = (uint32_t) header->length_high << 16 | header->length;
    note_request(link, id, ENDPOINT_BULK, header->endpoint, data ? (uint32_t) size : length, data);
    link->untapped.bulk_packet_func(priv, id, header, data, size);
}

static void on_interrupt_packet(void *priv, uint64_t id,
                                struct usb_redir_interrupt_packet_header *header, uint8_t *data,
                                int size)
{
    GuestLink *link = priv;
    note_request(link, id, ENDPOINT_INTERRUPT, header->endpoint, size, data);
    link->untapped.interrupt_packet_func(priv, id, header, data, size);
}

/* ---- Streams ---- */

static CaptureRequest stream_packet(const GuestLink *link, uint8_t address)
{
    const Endpoint *endpoint = &link->device->endpoints[ENDPOINT_SLOT(address)];
    return (CaptureRequest){.type = endpoint->type,
                            .endpoint = address,
                            .interval = endpoint->interval,
                            .length = endpoint->max_packet_size};
}

/* Nobody answers it: for the guest it has gone out. */
static void on_iso_packet(void *priv, uint64_t id, struct usb_redir_iso_packet_header *header,
                          uint8_t *data, int size)
{
    GuestLink *link = priv;
    CaptureRequest packet = stream_packet(link, header->endpoint);
    packet.type = ENDPOINT_ISOCHRONOUS;
    packet.length = data ? size : 0;
    packet.data = data;
    if (recorded(link))
        capture_packet(link->capture, id, &packet, DEVICE_SUCCESS, packet.length, NULL, link->now);
    link->untapped.iso_packet_func(priv, id, header, data, size);
}

#define TAP_STREAM(name)                                                                           \
    static void on_##name(void *priv, uint64_t id, struct usb_redir_##name##_header *header)       \
    {                                                                                              \
        GuestLink *link = priv;                                                                    \
        note_stream(link, #name, header->endpoint);                                                \
        link->untapped.name##_func(priv, id, header);                                              \
    }

TAP_STREAM(start_iso_stream)
TAP_STREAM(stop_iso_stream)
TAP_STREAM(start_interrupt_receiving)
TAP_STREAM(stop_interrupt_receiving)
TAP_STREAM(start_bulk_receiving)
TAP_STREAM(stop_bulk_receiving)

void guest_link_tap(GuestLink *link, Capture *capture)
{
    struct usbredirparser *parser = link->parser;
    link->capture = capture;
    link->untapped = *parser;
    parser->reset_func = on_reset;
    parser->set_configuration_func = on_set_configuration;
    parser->get_configuration_func = on_get_configuration;
    parser->set_alt_setting_func = on_set_alt_setting;
    parser->get_alt_setting_func = on_get_alt_setting;
    parser->start_iso_stream_func = on_start_iso_stream;
    parser->stop_iso_stream_func = on_stop_iso_stream;
    parser->start_interrupt_receiving_func = on_start_interrupt_receiving;
    parser->stop_interrupt_receiving_func = on_stop_interrupt_receiving;
    parser->start_bulk_receiving_func = on_start_bulk_receiving;
    parser->stop_bulk_receiving_func = on_stop_bulk_receiving;
    parser->cancel_data_packet_func = on_cancel_data_packet;
    parser->filter_reject_func = on_filter_reject;
    parser->control_packet_func = on_control_packet;
    parser->bulk_packet_func = on_bulk_packet;
    parser->iso_packet_func = on_iso_packet;
    parser->interrupt_packet_func = on_interrupt_packet;
}

/* ---- Answers ---- */

static void tap_stream_packet(GuestLink *link, const Answer *answer, int64_t now)
{
    CaptureRequest packet = stream_packet(link, answer->endpoint);
    packet.length = MAX(packet.length, answer->length);
    capture_packet(link->capture, answer->id, &packet, answer->status, answer->length, answer->data,
                   now);
}

static void note_stream_status(GuestLink *link, const char *what, const Answer *answer)
{
    capture_note(link->capture, link->device->now, "device: %s 0x%02x: %s", what, answer->endpoint,
                 device_status_to_string(answer->status));
}

void guest_link_tap_answer(GuestLink *link, const Answer *answer)
{
    int64_t now = link->device->now;
    switch (answer->type) {
    case ANSWER_INTERFACE_INFO:
    case ANSWER_EP_INFO: break;
    case ANSWER_DEVICE_CONNECT: capture_note(link->capture, now, "device: connect"); break;
    case ANSWER_DEVICE_DISCONNECT: capture_gone(link->capture, now, "device: disconnect"); break;
    case ANSWER_CONFIGURATION_STATUS:
        capture_answer_value(link->capture, answer->id, answer->status, answer->configuration, now);
        break;
    case ANSWER_ALT_SETTING_STATUS:
        capture_answer_value(link->capture, answer->id, answer->status, answer->alternate, now);
        break;
    case ANSWER_INTERRUPT_RECEIVING_STATUS:
        note_stream_status(link, "interrupt_receiving_status", answer);
        break;
    case ANSWER_BULK_RECEIVING_STATUS:
        note_stream_status(link, "bulk_receiving_status", answer);
        break;
    case ANSWER_ISO_STREAM_STATUS: note_stream_status(link, "iso_stream_status", answer); break;
    case ANSWER_CONTROL:
    case ANSWER_BULK:
    case ANSWER_INTERRUPT_OUT:
        capture_answer(link->capture, answer->id, answer->status, answer->length, answer->data,
                       now);
        break;
    case ANSWER_INTERRUPT_IN:
    case ANSWER_BUFFERED_BULK:
    case ANSWER_ISO_IN: tap_stream_packet(link, answer, now); break;
    }
}
