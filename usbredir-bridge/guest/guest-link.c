/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "guest-link.h"

#include <string.h>

void guest_link_fail(GuestLink *link, const char *format, ...)
{
    if (link->error)
        return;
    va_list arguments;
    va_start(arguments, format);
    link->error =
        g_error_new_valist(RDPUSB_BRIDGE_ERROR, RDPUSB_BRIDGE_ERROR_MALFORMED, format, arguments);
    va_end(arguments);
}

/* ---- In ---- */

/* The size of the packet that begins with `header`: type, length, id, then `length` bytes. */
static uint64_t size_of_packet(const GuestLink *link)
{
    uint32_t length;
    memcpy(&length, link->header + 4, 4);
    bool long_id = link->said_hello &&
                   usbredirparser_have_cap(link->parser, usb_redir_cap_64bits_ids) &&
                   usbredirparser_peer_has_cap(link->parser, usb_redir_cap_64bits_ids);
    return 8 + (long_id ? 8 : 4) + (uint64_t) GUINT32_FROM_LE(length);
}

/* The parser would allocate up to 128 MiB on the word of a header: the header is looked at while it
 * passes. Never hands out bytes of two packets at once. */
static int read_input(void *priv, uint8_t *data, int count)
{
    GuestLink *link = priv;
    if (link->error)
        return -1;
    uint64_t left = link->position < 8 ? 8 - link->position : link->packet_size - link->position;
    size_t n = MIN(MIN((uint64_t) count, left), link->input_size);
    if (n == 0)
        return 0;
    memcpy(data, link->input, n);
    if (link->position < 8)
        memcpy(link->header + link->position, data, n);
    link->input += n;
    link->input_size -= n;
    link->position += n;

    if (link->position == 8) {
        link->packet_size = size_of_packet(link);
        if (link->packet_size > link->max_packet) {
            guest_link_fail(link, "a packet of %" G_GUINT64_FORMAT " bytes; the limit is %zu",
                            link->packet_size, link->max_packet);
            return -1;
        }
    }
    if (link->position > 8 && link->position == link->packet_size)
        link->position = 0;
    return (int) n;
}

static void parser_log(void *priv, int level, const char *message)
{
    /* What the parser finds wrong in a packet of the guest is the reason of the parse error that
     * follows. Packets of ours never fail its checks: the tests of the fake guest see to that. */
    if (level == usbredirparser_error)
        guest_link_fail(priv, "%s", message);
}

bool guest_link_feed(GuestLink *link, const uint8_t *data, size_t size, int64_t now, GError **error)
{
    link->input = data;
    link->input_size = size;
    link->now = now;
    while (link->input_size > 0 && !link->error) {
        int result = usbredirparser_do_read(link->parser);
        if (result == usbredirparser_read_parse_error)
            guest_link_fail(link, "a packet that is no usbredir");
        else if (result == usbredirparser_read_io_error)
            guest_link_fail(link, "a packet that cannot be read");
    }
    link->input = NULL;
    link->input_size = 0;
    if (!link->error)
        return true;
    g_propagate_error(error, g_error_copy(link->error));
    return false;
}

/* ---- Out ---- */

/* The library's function ignores its parser; the bytes may outlive ours. */
static void free_output(void *data)
{
    usbredirparser_free_write_buffer(NULL, data);
}

static int write_output(void *priv, uint8_t *data, int count)
{
    GuestLink *link = priv;
    g_queue_push_tail(&link->output, g_bytes_new_with_free_func(data, count, free_output, data));
    link->output_size += count;
    link->produced += count;
    return count;
}

GBytes *guest_link_next_output(GuestLink *link)
{
    if (usbredirparser_has_data_to_write(link->parser))
        usbredirparser_do_write(link->parser);
    GBytes *bytes = g_queue_pop_head(&link->output);
    if (bytes)
        link->output_size -= g_bytes_get_size(bytes);
    return bytes;
}

bool guest_link_can_acknowledge(const GuestLink *link)
{
    return link->said_hello &&
           usbredirparser_peer_has_cap(link->parser, usb_redir_cap_device_disconnect_ack);
}

/* ---- Life ---- */

/* All but bulk_streams: MS-RDPEUSB has none. */
static const int capabilities[] = {
    usb_redir_cap_connect_device_version,
    usb_redir_cap_filter,
    usb_redir_cap_device_disconnect_ack,
    usb_redir_cap_ep_info_max_packet_size,
    usb_redir_cap_64bits_ids,
    usb_redir_cap_32bits_bulk_length,
    usb_redir_cap_bulk_receiving,
};

GuestLink *guest_link_new(Device *device, size_t max_packet)
{
    GuestLink *link = g_new0(GuestLink, 1);
    link->device = device;
    link->max_packet = max_packet;
    g_queue_init(&link->output);
    g_queue_init(&link->reports);
    link->parser = usbredirparser_create();
    g_assert(link->parser); /* NULL only without memory, where GLib ends the process too */
    link->parser->priv = link;
    link->parser->log_func = parser_log;
    link->parser->read_func = read_input;
    link->parser->write_func = write_output;
    guest_link_set_callbacks(link->parser);

    uint32_t caps[USB_REDIR_CAPS_SIZE] = {0};
    for (size_t i = 0; i < G_N_ELEMENTS(capabilities); i++)
        usbredirparser_caps_set_cap(caps, capabilities[i]);
    usbredirparser_init(link->parser, "rdpusb " RDPUSB_VERSION, caps, USB_REDIR_CAPS_SIZE,
                        usbredirparser_fl_usb_host | usbredirparser_fl_write_cb_owns_buffer);
    return link;
}

void guest_link_free(GuestLink *link)
{
    if (!link)
        return;
    g_clear_pointer(&link->parser, usbredirparser_destroy);
    g_queue_clear_full(&link->output, (GDestroyNotify) g_bytes_unref);
    g_queue_clear_full(&link->reports, g_free);
    g_clear_error(&link->error);
    g_free(link);
}
