/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a guest asks: from usbredirparser's callbacks to calls of the device. Every callback that a
 * guest can reach is set, or one packet would end the process.
 */
#include "guest-link.h"

#include <usbredirfilter.h>

/* Before device_connect and after device_disconnect there is nothing to ask for: what still comes
 * then was sent to a device that is gone, and is not answered. Before hello it is an error. */
static Device *asked(GuestLink *link)
{
    if (!link->said_hello)
        guest_link_fail(link, "a packet before hello");
    bool announced = !link->error && link->device->state == DEVICE_ANNOUNCED;
    return announced ? link->device : NULL;
}

/* The library's function ignores its parser; the bytes may outlive ours. */
static void free_payload(void *data)
{
    usbredirparser_free_packet_data(NULL, data);
}

static GBytes *take_payload(uint8_t *data, int size)
{
    return data ? g_bytes_new_with_free_func(data, size, free_payload, data) : NULL;
}

static void on_hello(void *priv, struct usb_redir_hello_header *hello)
{
    GuestLink *link = priv;
    if (link->said_hello) {
        guest_link_fail(link, "a second hello");
        return;
    }
    link->said_hello = true;
    device_guest_attached(link->device, link->now);
}

static void on_reset(void *priv)
{
    GuestLink *link = priv;
    if (asked(link))
        device_reset(link->device, link->now);
}

static void on_set_configuration(void *priv, uint64_t id,
                                 struct usb_redir_set_configuration_header *header)
{
    GuestLink *link = priv;
    if (asked(link))
        device_set_configuration(link->device, id, header->configuration, link->now);
}

static void on_get_configuration(void *priv, uint64_t id)
{
    GuestLink *link = priv;
    if (asked(link))
        device_get_configuration(link->device, id, link->now);
}

static void on_set_alt_setting(void *priv, uint64_t id,
                               struct usb_redir_set_alt_setting_header *header)
{
    GuestLink *link = priv;
    if (asked(link))
        device_set_alt_setting(link->device, id, header->interface, header->alt, link->now);
}

static void on_get_alt_setting(void *priv, uint64_t id,
                               struct usb_redir_get_alt_setting_header *header)
{
    GuestLink *link = priv;
    if (asked(link))
        device_get_alt_setting(link->device, id, header->interface, link->now);
}

static void on_start_interrupt_receiving(void *priv, uint64_t id,
                                         struct usb_redir_start_interrupt_receiving_header *header)
{
    GuestLink *link = priv;
    if (asked(link))
        device_start_interrupt_receiving(link->device, header->endpoint, link->now);
}

static void on_stop_interrupt_receiving(void *priv, uint64_t id,
                                        struct usb_redir_stop_interrupt_receiving_header *header)
{
    GuestLink *link = priv;
    if (asked(link))
        device_stop_interrupt_receiving(link->device, header->endpoint, link->now);
}

static void on_cancel_data_packet(void *priv, uint64_t id)
{
    GuestLink *link = priv;
    if (asked(link))
        device_cancel(link->device, id, link->now);
}

static void on_filter_reject(void *priv)
{
    GuestLink *link = priv;
    if (asked(link))
        device_guest_rejected(link->device, link->now);
}

/* The guest applies its filter itself and says filter_reject; the rules come too late to be asked
 * before device_connect. */
static void on_filter_filter(void *priv, struct usbredirfilter_rule *rules, int n_rules)
{
    usbredirfilter_free(rules);
}

static void on_device_disconnect_ack(void *priv)
{
    GuestLink *link = priv;
    link->acknowledged = true;
}

/* ---- Data ---- */

static void on_control_packet(void *priv, uint64_t id,
                              struct usb_redir_control_packet_header *header, uint8_t *data,
                              int size)
{
    GuestLink *link = priv;
    RdpusbSetup setup = {.request_type = header->requesttype,
                         .request = header->request,
                         .value = header->value,
                         .index = header->index,
                         .length = header->length};
    if (asked(link))
        device_control(link->device, id, header->endpoint, &setup, data, data ? size : 0,
                       link->now);
    usbredirparser_free_packet_data(link->parser, data);
}

static void on_bulk_packet(void *priv, uint64_t id, struct usb_redir_bulk_packet_header *header,
                           uint8_t *data, int size)
{
    GuestLink *link = priv;
    g_autoptr(GBytes) payload = take_payload(data, size);
    uint32_t length = (uint32_t) header->length_high << 16 | header->length;
    if (asked(link))
        device_bulk(link->device, id, header->endpoint, header->stream_id,
                    g_steal_pointer(&payload), length, link->now);
}

static void on_interrupt_packet(void *priv, uint64_t id,
                                struct usb_redir_interrupt_packet_header *header, uint8_t *data,
                                int size)
{
    GuestLink *link = priv;
    g_autoptr(GBytes) payload = take_payload(data, size);
    if (asked(link))
        device_interrupt_out(link->device, id, header->endpoint, g_steal_pointer(&payload),
                             link->now);
}

/* ---- Streams ---- */

static void on_start_iso_stream(void *priv, uint64_t id,
                                struct usb_redir_start_iso_stream_header *header)
{
    GuestLink *link = priv;
    if (asked(link))
        device_start_iso_stream(link->device, header->endpoint, header->pkts_per_urb,
                                header->no_urbs, link->now);
}

static void on_stop_iso_stream(void *priv, uint64_t id,
                               struct usb_redir_stop_iso_stream_header *header)
{
    GuestLink *link = priv;
    if (asked(link))
        device_stop_iso_stream(link->device, header->endpoint, link->now);
}

static void on_iso_packet(void *priv, uint64_t id, struct usb_redir_iso_packet_header *header,
                          uint8_t *data, int size)
{
    GuestLink *link = priv;
    g_autoptr(GBytes) payload = take_payload(data, size);
    if (asked(link))
        device_iso_packet(link->device, header->endpoint, g_steal_pointer(&payload), link->now);
}

static void on_start_bulk_receiving(void *priv, uint64_t id,
                                    struct usb_redir_start_bulk_receiving_header *header)
{
    GuestLink *link = priv;
    if (asked(link))
        device_start_bulk_receiving(link->device, header->endpoint, header->stream_id,
                                    header->bytes_per_transfer, header->no_transfers, link->now);
}

static void on_stop_bulk_receiving(void *priv, uint64_t id,
                                   struct usb_redir_stop_bulk_receiving_header *header)
{
    GuestLink *link = priv;
    if (asked(link))
        device_stop_bulk_receiving(link->device, header->endpoint, header->stream_id, link->now);
}

/* These need capabilities that we do not announce; the parser refuses them before they come here.
 */
static void on_alloc_bulk_streams(void *priv, uint64_t id,
                                  struct usb_redir_alloc_bulk_streams_header *header)
{
    guest_link_fail(priv, "alloc_bulk_streams without the capability");
}

static void on_free_bulk_streams(void *priv, uint64_t id,
                                 struct usb_redir_free_bulk_streams_header *header)
{
    guest_link_fail(priv, "free_bulk_streams without the capability");
}

void guest_link_set_callbacks(struct usbredirparser *parser)
{
    parser->hello_func = on_hello;
    parser->reset_func = on_reset;
    parser->set_configuration_func = on_set_configuration;
    parser->get_configuration_func = on_get_configuration;
    parser->set_alt_setting_func = on_set_alt_setting;
    parser->get_alt_setting_func = on_get_alt_setting;
    parser->start_iso_stream_func = on_start_iso_stream;
    parser->stop_iso_stream_func = on_stop_iso_stream;
    parser->start_interrupt_receiving_func = on_start_interrupt_receiving;
    parser->stop_interrupt_receiving_func = on_stop_interrupt_receiving;
    parser->alloc_bulk_streams_func = on_alloc_bulk_streams;
    parser->free_bulk_streams_func = on_free_bulk_streams;
    parser->cancel_data_packet_func = on_cancel_data_packet;
    parser->filter_reject_func = on_filter_reject;
    parser->filter_filter_func = on_filter_filter;
    parser->device_disconnect_ack_func = on_device_disconnect_ack;
    parser->start_bulk_receiving_func = on_start_bulk_receiving;
    parser->stop_bulk_receiving_func = on_stop_bulk_receiving;
    parser->control_packet_func = on_control_packet;
    parser->bulk_packet_func = on_bulk_packet;
    parser->iso_packet_func = on_iso_packet;
    parser->interrupt_packet_func = on_interrupt_packet;
}
