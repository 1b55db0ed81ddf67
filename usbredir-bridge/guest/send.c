/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a device says to its guest: from answers to usbredir packets. */
#include "guest-link.h"

#include <string.h>

/* A stream's packet that may not have been sent yet. */
typedef struct {
    uint64_t end; /* in all that was ever produced */
    size_t size;
} Report;

static uint8_t wire_status(DeviceStatus status)
{
    switch (status) {
    case DEVICE_SUCCESS: return usb_redir_success;
    case DEVICE_CANCELLED: return usb_redir_cancelled;
    case DEVICE_INVAL: return usb_redir_inval;
    case DEVICE_IOERROR: return usb_redir_ioerror;
    case DEVICE_STALL: return usb_redir_stall;
    case DEVICE_TIMEOUT: return usb_redir_timeout;
    case DEVICE_BABBLE: return usb_redir_babble;
    }
    return usb_redir_ioerror;
}

static uint8_t wire_speed(RdpusbSpeed speed)
{
    switch (speed) {
    case RDPUSB_SPEED_FULL: return usb_redir_speed_full;
    case RDPUSB_SPEED_HIGH: return usb_redir_speed_high;
    case RDPUSB_SPEED_SUPER: return usb_redir_speed_super;
    }
    return usb_redir_speed_full;
}

static void send_interface_info(GuestLink *link)
{
    const Device *device = link->device;
    struct usb_redir_interface_info_header header = {0};
    const Configuration *configuration = device->configuration;
    header.interface_count = configuration ? configuration->n_interfaces : 0;
    for (unsigned i = 0; i < header.interface_count; i++) {
        const InterfaceSetting *setting =
            configuration_setting(configuration, i, device->alternates[i]);
        header.interface[i] = i;
        header.interface_class[i] = setting->class_;
        header.interface_subclass[i] = setting->subclass;
        header.interface_protocol[i] = setting->protocol;
    }
    usbredirparser_send_interface_info(link->parser, &header);
}

static void send_ep_info(GuestLink *link)
{
    struct usb_redir_ep_info_header header = {0};
    for (unsigned slot = 0; slot < ENDPOINT_SLOTS; slot++) {
        const Endpoint *endpoint = &link->device->endpoints[slot];
        bool control = (slot & 0x0f) == 0;
        header.type[slot] = control ? usb_redir_type_control : endpoint->type;
        header.interval[slot] = endpoint->interval;
        header.interface[slot] = endpoint->interface;
        header.max_packet_size[slot] = endpoint->max_packet_size;
    }
    usbredirparser_send_ep_info(link->parser, &header);
}

static void send_device_connect(GuestLink *link)
{
    const RdpusbDeviceInfo *info = &link->device->info;
    struct usb_redir_device_connect_header header = {
        .speed = wire_speed(info->speed),
        .device_class = info->device_class,
        .device_subclass = info->device_subclass,
        .device_protocol = info->device_protocol,
        .vendor_id = info->vendor,
        .product_id = info->product,
        .device_version_bcd = info->version_bcd,
    };
    link->acknowledged = false;
    usbredirparser_send_device_connect(link->parser, &header);
}

static void send_control(GuestLink *link, const Answer *answer)
{
    struct usb_redir_control_packet_header header = {
        .endpoint = answer->endpoint,
        .request = answer->setup.request,
        .requesttype = answer->setup.request_type,
        .status = wire_status(answer->status),
        .value = answer->setup.value,
        .index = answer->setup.index,
        .length = answer->length,
    };
    usbredirparser_send_control_packet(link->parser, answer->id, &header, (uint8_t *) answer->data,
                                       answer->data ? answer->length : 0);
}

static void send_bulk(GuestLink *link, const Answer *answer)
{
    struct usb_redir_bulk_packet_header header = {
        .endpoint = answer->endpoint,
        .status = wire_status(answer->status),
        .length = answer->length & 0xffff,
        .stream_id = answer->stream_id,
        .length_high = answer->length >> 16,
    };
    usbredirparser_send_bulk_packet(link->parser, answer->id, &header, (uint8_t *) answer->data,
                                    answer->data ? answer->length : 0);
}

static void send_interrupt(GuestLink *link, const Answer *answer)
{
    struct usb_redir_interrupt_packet_header header = {
        .endpoint = answer->endpoint,
        .status = wire_status(answer->status),
        .length = answer->length,
    };
    usbredirparser_send_interrupt_packet(link->parser, answer->id, &header,
                                         (uint8_t *) answer->data,
                                         answer->data ? answer->length : 0);
}

/* Bytes of stream packets among those that are not sent: the newest of all produced. */
static size_t stream_backlog(GuestLink *link)
{
    uint64_t unsent = MIN(link->output_size + (uint64_t) link->backlog, link->produced);
    Report *oldest;
    while ((oldest = g_queue_peek_head(&link->reports)) && oldest->end <= link->produced - unsent) {
        link->report_bytes -= oldest->size;
        g_free(g_queue_pop_head(&link->reports));
    }
    return link->report_bytes;
}

static void send_iso(GuestLink *link, const Answer *answer)
{
    struct usb_redir_iso_packet_header header = {
        .endpoint = answer->endpoint,
        .status = wire_status(answer->status),
        .length = answer->length,
    };
    usbredirparser_send_iso_packet(link->parser, answer->id, &header, (uint8_t *) answer->data,
                                   answer->data ? answer->length : 0);
}

static void send_buffered_bulk(GuestLink *link, const Answer *answer)
{
    struct usb_redir_buffered_bulk_packet_header header = {
        .endpoint = answer->endpoint,
        .status = wire_status(answer->status),
        .stream_id = answer->stream_id,
        .length = answer->length,
    };
    usbredirparser_send_buffered_bulk_packet(link->parser, answer->id, &header,
                                             (uint8_t *) answer->data,
                                             answer->data ? answer->length : 0);
}

/* Only the packets of streams count: a megabyte of answers is a guest that reads as fast as it can.
 */
static void send_stream_packet(GuestLink *link, const Answer *answer,
                               void (*send)(GuestLink *link, const Answer *answer))
{
    if (stream_backlog(link) > answer->backlog) {
        link->dropped++;
        return;
    }
    uint64_t before = link->produced;
    send(link, answer);
    usbredirparser_do_write(link->parser);

    Report *report = g_new(Report, 1);
    *report = (Report){.end = link->produced, .size = link->produced - before};
    link->report_bytes += report->size;
    g_queue_push_tail(&link->reports, report);
}

static void send_configuration_status(GuestLink *link, const Answer *answer)
{
    struct usb_redir_configuration_status_header header = {.status = wire_status(answer->status),
                                                           .configuration = answer->configuration};
    usbredirparser_send_configuration_status(link->parser, answer->id, &header);
}

static void send_alt_setting_status(GuestLink *link, const Answer *answer)
{
    struct usb_redir_alt_setting_status_header header = {.status = wire_status(answer->status),
                                                         .interface = answer->interface,
                                                         .alt = answer->alternate};
    usbredirparser_send_alt_setting_status(link->parser, answer->id, &header);
}

static void send_interrupt_receiving_status(GuestLink *link, const Answer *answer)
{
    struct usb_redir_interrupt_receiving_status_header header = {
        .status = wire_status(answer->status), .endpoint = answer->endpoint};
    usbredirparser_send_interrupt_receiving_status(link->parser, 0, &header);
}

static void send_bulk_receiving_status(GuestLink *link, const Answer *answer)
{
    struct usb_redir_bulk_receiving_status_header header = {.stream_id = answer->stream_id,
                                                            .endpoint = answer->endpoint,
                                                            .status = wire_status(answer->status)};
    usbredirparser_send_bulk_receiving_status(link->parser, 0, &header);
}

static void send_iso_stream_status(GuestLink *link, const Answer *answer)
{
    struct usb_redir_iso_stream_status_header header = {.status = wire_status(answer->status),
                                                        .endpoint = answer->endpoint};
    usbredirparser_send_iso_stream_status(link->parser, 0, &header);
}

void guest_link_send(GuestLink *link, const Answer *answer)
{
    switch (answer->type) {
    case ANSWER_INTERFACE_INFO: send_interface_info(link); break;
    case ANSWER_EP_INFO: send_ep_info(link); break;
    case ANSWER_DEVICE_CONNECT: send_device_connect(link); break;
    case ANSWER_DEVICE_DISCONNECT: usbredirparser_send_device_disconnect(link->parser); break;
    case ANSWER_CONFIGURATION_STATUS: send_configuration_status(link, answer); break;
    case ANSWER_ALT_SETTING_STATUS: send_alt_setting_status(link, answer); break;
    case ANSWER_INTERRUPT_RECEIVING_STATUS: send_interrupt_receiving_status(link, answer); break;
    case ANSWER_CONTROL: send_control(link, answer); break;
    case ANSWER_BULK: send_bulk(link, answer); break;
    case ANSWER_INTERRUPT_OUT: send_interrupt(link, answer); break;
    case ANSWER_BULK_RECEIVING_STATUS: send_bulk_receiving_status(link, answer); break;
    case ANSWER_ISO_STREAM_STATUS: send_iso_stream_status(link, answer); break;
    case ANSWER_INTERRUPT_IN: send_stream_packet(link, answer, send_interrupt); break;
    case ANSWER_BUFFERED_BULK: send_stream_packet(link, answer, send_buffered_bulk); break;
    case ANSWER_ISO_IN: send_stream_packet(link, answer, send_iso); break;
    }
    /* Into our queue at once: the library's own grows slow with its length. */
    usbredirparser_do_write(link->parser);
}
