/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The fake guest against a usbredir host written by hand, byte by byte: the library would refuse to
 * send what must be detected. */
#include <string.h>

#include "guest.h"

#define HOST_CAPS 0xfeu

enum { BULK_IN = 0x81, BULK_OUT = 0x02, INTERRUPT_IN = 0x83, INTERRUPT_OUT = 0x04, ISO_IN = 0x85 };

typedef struct {
    FakeGuest *guest;
    GByteArray *from_guest;
    bool hello_read, hello_sent;
    bool bytewise;
} Host;

typedef struct {
    uint32_t type;
    uint64_t id;
    uint8_t bytes[4096];
    uint32_t length;
} Packet;

static void feed(Host *host, const void *bytes, size_t length)
{
    if (!host->bytewise) {
        fake_guest_feed(host->guest, bytes, length);
        return;
    }
    for (size_t i = 0; i < length; i++)
        fake_guest_feed(host->guest, (const uint8_t *) bytes + i, 1);
}

/* Little-endian machines only, as usbredirproto.h itself. */
static void send_packet(Host *host, uint32_t type, uint64_t id, const void *header,
                        size_t header_length, const void *data, size_t data_length)
{
    g_autoptr(GByteArray) packet = g_byte_array_new();
    uint32_t length = (uint32_t) (header_length + data_length);

    g_byte_array_append(packet, (const guint8 *) &type, 4);
    g_byte_array_append(packet, (const guint8 *) &length, 4);
    g_byte_array_append(packet, (const guint8 *) &id, host->hello_sent ? 8 : 4);
    if (header_length)
        g_byte_array_append(packet, header, (guint) header_length);
    if (data_length)
        g_byte_array_append(packet, data, (guint) data_length);
    feed(host, packet->data, packet->len);
}

#define SEND(host, type, id, header) send_packet(host, type, id, &(header), sizeof(header), NULL, 0)

static void read_guest(Host *host)
{
    g_autoptr(GBytes) output = fake_guest_take_output(host->guest);
    gsize length = 0;
    const void *bytes = output ? g_bytes_get_data(output, &length) : NULL;

    if (length)
        g_byte_array_append(host->from_guest, bytes, (guint) length);
}

/* The next packet of the guest; false if there is none. */
static bool next_packet(Host *host, Packet *packet)
{
    guint header = host->hello_read ? 16 : 12;

    read_guest(host);
    memset(packet, 0, sizeof(*packet));
    if (host->from_guest->len < header)
        return false;
    memcpy(&packet->type, host->from_guest->data, 4);
    memcpy(&packet->length, host->from_guest->data + 4, 4);
    memcpy(&packet->id, host->from_guest->data + 8, header - 8);
    g_assert_cmpuint(packet->length, <=, sizeof(packet->bytes));
    g_assert_cmpuint(host->from_guest->len, >=, header + packet->length);
    memcpy(packet->bytes, host->from_guest->data + header, packet->length);
    g_byte_array_remove_range(host->from_guest, 0, header + packet->length);
    host->hello_read = true;
    return true;
}

static Packet expect_packet(Host *host, uint32_t type)
{
    Packet packet;
    g_assert_true(next_packet(host, &packet));
    g_assert_cmpuint(packet.type, ==, type);
    return packet;
}

static void expect_silence(Host *host)
{
    Packet packet;
    g_assert_false(next_packet(host, &packet));
}

static FakeGuestEvent *expect_event(Host *host, FakeGuestEventType type)
{
    FakeGuestEvent *event = fake_guest_next_event(host->guest);
    g_assert_nonnull(event);
    g_assert_cmpstr(fake_guest_event_type_to_string(event->type), ==,
                    fake_guest_event_type_to_string(type));
    return event;
}

static void drop_event(Host *host, FakeGuestEventType type)
{
    fake_guest_event_free(expect_event(host, type));
}

static void send_hello(Host *host, uint32_t caps)
{
    struct {
        char version[64];
        uint32_t caps;
    } hello = {.version = "host by hand", .caps = caps};

    SEND(host, usb_redir_hello, 0, hello);
    host->hello_sent = true;
}

static struct usb_redir_interface_info_header interface_info(void)
{
    return (struct usb_redir_interface_info_header){.interface_count = 2,
                                                    .interface = {0, 1},
                                                    .interface_class = {8, 3},
                                                    .interface_subclass = {6, 1},
                                                    .interface_protocol = {0x50, 1}};
}

static void set_endpoint(struct usb_redir_ep_info_header *info, uint8_t endpoint, uint8_t type,
                         uint8_t interval, uint8_t interface, uint16_t max_packet_size)
{
    unsigned slot = fake_guest_slot(endpoint);
    info->type[slot] = type;
    info->interval[slot] = interval;
    info->interface[slot] = interface;
    info->max_packet_size[slot] = max_packet_size;
}

static struct usb_redir_ep_info_header ep_info(void)
{
    struct usb_redir_ep_info_header info = {0};

    memset(info.type, usb_redir_type_invalid, sizeof(info.type));
    info.type[0] = info.type[16] = usb_redir_type_control;
    set_endpoint(&info, BULK_IN, usb_redir_type_bulk, 0, 0, 512);
    set_endpoint(&info, BULK_OUT, usb_redir_type_bulk, 0, 0, 512);
    set_endpoint(&info, INTERRUPT_IN, usb_redir_type_interrupt, 4, 1, 8);
    set_endpoint(&info, INTERRUPT_OUT, usb_redir_type_interrupt, 4, 1, 8);
    set_endpoint(&info, ISO_IN, usb_redir_type_iso, 1, 1, 192);
    return info;
}

static struct usb_redir_device_connect_header device(void)
{
    return (struct usb_redir_device_connect_header){.speed = usb_redir_speed_high,
                                                    .vendor_id = 0x1234,
                                                    .product_id = 0x5678,
                                                    .device_version_bcd = 0x0100};
}

static void send_interface_info(Host *host)
{
    struct usb_redir_interface_info_header info = interface_info();
    SEND(host, usb_redir_interface_info, 0, info);
}

/* max_streams is left out: without the capability bulk_streams the packet is that shorter. */
static void send_this_ep_info(Host *host, const struct usb_redir_ep_info_header *info)
{
    send_packet(host, usb_redir_ep_info, 0, info,
                G_STRUCT_OFFSET(struct usb_redir_ep_info_header, max_streams), NULL, 0);
}

static void send_ep_info(Host *host)
{
    struct usb_redir_ep_info_header info = ep_info();
    send_this_ep_info(host, &info);
}

static void send_tables(Host *host)
{
    send_interface_info(host);
    send_ep_info(host);
}

static void send_connect(Host *host)
{
    struct usb_redir_device_connect_header header = device();
    SEND(host, usb_redir_device_connect, 0, header);
}

static void send_disconnect(Host *host)
{
    send_packet(host, usb_redir_device_disconnect, 0, NULL, 0, NULL, 0);
}

static void greet(Host *host)
{
    expect_packet(host, usb_redir_hello);
    send_hello(host, HOST_CAPS);
    drop_event(host, FAKE_GUEST_HELLO);
}

static void connect_device(Host *host)
{
    send_tables(host);
    send_connect(host);
    drop_event(host, FAKE_GUEST_INTERFACE_INFO);
    drop_event(host, FAKE_GUEST_EP_INFO);
    drop_event(host, FAKE_GUEST_DEVICE_CONNECT);
    g_assert_true(fake_guest_attached(host->guest));
}

static void answer_bulk(Host *host, uint64_t id, uint8_t endpoint, uint8_t status, uint16_t length)
{
    struct usb_redir_bulk_packet_header header = {
        .endpoint = endpoint, .status = status, .length = length};
    uint8_t data[2048] = {0};
    size_t payload = endpoint & 0x80 ? length : 0;

    send_packet(host, usb_redir_bulk_packet, id, &header, sizeof(header), data, payload);
}

static void answer_control(Host *host, uint64_t id, uint8_t request, uint16_t length)
{
    struct usb_redir_control_packet_header header = {.endpoint = 0x80,
                                                     .request = request,
                                                     .requesttype = 0x80,
                                                     .value = 0x0100,
                                                     .length = length};
    uint8_t data[256] = {0x12, 0x01};

    send_packet(host, usb_redir_control_packet, id, &header, sizeof(header), data, length);
}

static void answer_configuration(Host *host, uint64_t id, uint8_t status, uint8_t configuration)
{
    struct usb_redir_configuration_status_header header = {.status = status,
                                                           .configuration = configuration};
    SEND(host, usb_redir_configuration_status, id, header);
}

static void answer_alt_setting(Host *host, uint64_t id, uint8_t interface, uint8_t alt)
{
    struct usb_redir_alt_setting_status_header header = {.interface = interface, .alt = alt};
    SEND(host, usb_redir_alt_setting_status, id, header);
}

static void send_interrupt(Host *host, uint8_t endpoint, uint16_t length)
{
    struct usb_redir_interrupt_packet_header header = {.endpoint = endpoint, .length = length};
    uint8_t data[64] = {0};

    send_packet(host, usb_redir_interrupt_packet, 0, &header, sizeof(header), data, length);
}

static void send_interrupt_status(Host *host, uint8_t status)
{
    struct usb_redir_interrupt_receiving_status_header header = {.status = status,
                                                                 .endpoint = INTERRUPT_IN};
    SEND(host, usb_redir_interrupt_receiving_status, 0, header);
}

static Host *host_new(void)
{
    Host *host = g_new0(Host, 1);
    host->guest = fake_guest_new(FAKE_GUEST_QEMU_CAPS);
    host->from_guest = g_byte_array_new();
    return host;
}

static void host_free(Host *host)
{
    fake_guest_free(host->guest);
    g_byte_array_unref(host->from_guest);
    g_free(host);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Host, host_free)

static void assert_clean(Host *host)
{
    fake_guest_finish(host->guest);
    const GPtrArray *violations = fake_guest_violations(host->guest);
    if (violations->len > 0)
        g_error("unexpected violation: %s", (const char *) g_ptr_array_index(violations, 0));
}

/* Dialogues without fault ------------------------------------------------------------------ */

static void dialogue(Host *host)
{
    greet(host);
    connect_device(host);

    uint64_t id = fake_guest_control_in(host->guest, 0x80, 6, 0x0100, 0, 18);
    g_assert_cmpuint(id, >, UINT32_MAX);
    g_assert_cmpuint(expect_packet(host, usb_redir_control_packet).id, ==, id);
    answer_control(host, id, 6, 18);
    g_autoptr(FakeGuestEvent) control = expect_event(host, FAKE_GUEST_CONTROL);
    g_assert_cmpuint(g_bytes_get_size(control->data), ==, 18);

    /* the same descriptor is used again */
    g_assert_cmpuint(fake_guest_set_configuration(host->guest, 1), ==, id);
    expect_packet(host, usb_redir_set_configuration);
    send_tables(host);
    answer_configuration(host, id, usb_redir_success, 1);

    uint64_t first = fake_guest_bulk_in(host->guest, BULK_IN, 512);
    uint64_t second = fake_guest_bulk_in(host->guest, BULK_IN, 512);
    uint64_t out = fake_guest_bulk_out(host->guest, BULK_OUT, "0123456789", 10);
    g_assert_cmpuint(first, !=, second);
    expect_packet(host, usb_redir_bulk_packet);
    expect_packet(host, usb_redir_bulk_packet);
    Packet packet = expect_packet(host, usb_redir_bulk_packet);
    g_assert_cmpmem(packet.bytes + 10, packet.length - 10, "0123456789", 10);
    answer_bulk(host, out, BULK_OUT, usb_redir_success, 10); /* another endpoint may overtake */
    answer_bulk(host, first, BULK_IN, usb_redir_success, 512);
    answer_bulk(host, second, BULK_IN, usb_redir_success, 0);

    fake_guest_start_interrupt_receiving(host->guest, INTERRUPT_IN);
    expect_packet(host, usb_redir_start_interrupt_receiving);
    send_interrupt_status(host, usb_redir_success);
    send_interrupt(host, INTERRUPT_IN, 8);
    fake_guest_stop_interrupt_receiving(host->guest, INTERRUPT_IN);
    send_interrupt(host, INTERRUPT_IN, 8); /* crosses the stop */
    send_interrupt_status(host, usb_redir_success);
    expect_packet(host, usb_redir_stop_interrupt_receiving);
    expect_silence(host);
    assert_clean(host);
}

static void test_dialogue(void)
{
    g_autoptr(Host) host = host_new();
    dialogue(host);
}

static void test_split_anywhere(void)
{
    g_autoptr(Host) host = host_new();
    host->bytewise = true;
    dialogue(host);
}

static void test_cancel(void)
{
    g_autoptr(Host) host = host_new();
    greet(host);
    connect_device(host);

    uint64_t id = fake_guest_bulk_in(host->guest, BULK_IN, 64);
    uint64_t behind = fake_guest_bulk_in(host->guest, BULK_IN, 64);
    g_assert_true(fake_guest_cancel(host->guest, id));
    g_assert_false(fake_guest_cancel(host->guest, id));
    g_assert_cmpuint(fake_guest_bulk_in(host->guest, BULK_IN, 32), ==, id);
    answer_bulk(host, id, BULK_IN, usb_redir_cancelled, 0);
    answer_bulk(host, behind, BULK_IN, usb_redir_success, 64);
    answer_bulk(host, id, BULK_IN, usb_redir_success, 32);
    g_autoptr(FakeGuestEvent) cancelled = expect_event(host, FAKE_GUEST_BULK);
    g_assert_true(cancelled->cancelled);
    drop_event(host, FAKE_GUEST_BULK);
    g_autoptr(FakeGuestEvent) renewed = expect_event(host, FAKE_GUEST_BULK);
    g_assert_false(renewed->cancelled);
    g_assert_cmpuint(fake_guest_unanswered(host->guest), ==, 0);
    assert_clean(host);
}

/* The answer was on its way already: usbredir-host ignores the cancel. */
static void test_cancel_crosses_answer(void)
{
    g_autoptr(Host) host = host_new();
    greet(host);
    connect_device(host);

    uint64_t id = fake_guest_bulk_in(host->guest, BULK_IN, 64);
    fake_guest_cancel(host->guest, id);
    fake_guest_bulk_in(host->guest, BULK_IN, 32);
    answer_bulk(host, id, BULK_IN, usb_redir_success, 64);
    answer_bulk(host, id, BULK_IN, usb_redir_success, 32);
    assert_clean(host);
}

static void test_disconnect(void)
{
    g_autoptr(Host) host = host_new();
    greet(host);
    connect_device(host);

    uint64_t id = fake_guest_bulk_in(host->guest, BULK_IN, 64);
    expect_packet(host, usb_redir_bulk_packet);
    send_disconnect(host);
    drop_event(host, FAKE_GUEST_DEVICE_DISCONNECT);
    g_assert_cmpuint(expect_packet(host, usb_redir_cancel_data_packet).id, ==, id);
    expect_packet(host, usb_redir_device_disconnect_ack);
    g_assert_cmpuint(fake_guest_bulk_in(host->guest, BULK_IN, 64), ==, 0);
    expect_silence(host);
    connect_device(host);
    assert_clean(host);
}

static void test_reset_drains(void)
{
    g_autoptr(Host) host = host_new();
    greet(host);
    connect_device(host);

    uint64_t id = fake_guest_bulk_in(host->guest, BULK_IN, 64);
    fake_guest_reset(host->guest);
    expect_packet(host, usb_redir_bulk_packet);
    expect_packet(host, usb_redir_reset);
    answer_bulk(host, id, BULK_IN, usb_redir_cancelled, 0);
    assert_clean(host);
}

static void test_filter(void)
{
    g_autoptr(Host) host = host_new();
    fake_guest_set_filter(host->guest, "0x03,-1,-1,-1,0|-1,-1,-1,-1,1");
    greet(host);
    expect_packet(host, usb_redir_filter_filter);
    send_tables(host);
    send_connect(host);
    expect_packet(host, usb_redir_filter_reject);
    g_assert_false(fake_guest_attached(host->guest));
    answer_bulk(host, 7, BULK_IN, usb_redir_success, 0); /* sent before it knew */
    assert_clean(host);
}

static void test_streams(void)
{
    g_autoptr(Host) host = host_new();
    struct usb_redir_iso_stream_status_header inval = {.status = usb_redir_inval,
                                                       .endpoint = ISO_IN};
    struct usb_redir_bulk_receiving_status_header receiving = {.endpoint = BULK_IN};
    struct usb_redir_buffered_bulk_packet_header packet = {.endpoint = BULK_IN, .length = 4};
    greet(host);
    connect_device(host);

    fake_guest_start_iso_stream(host->guest, ISO_IN, 10, 6);
    expect_packet(host, usb_redir_start_iso_stream);
    SEND(host, usb_redir_iso_stream_status, 0, inval);
    fake_guest_start_bulk_receiving(host->guest, BULK_IN, 512, 5);
    expect_packet(host, usb_redir_start_bulk_receiving);
    SEND(host, usb_redir_bulk_receiving_status, 0, receiving);
    send_packet(host, usb_redir_buffered_bulk_packet, 0, &packet, sizeof(packet), "abcd", 4);

    /* a running stream is stopped before the configuration changes; only a stall had stopped it */
    fake_guest_set_configuration(host->guest, 0);
    expect_packet(host, usb_redir_stop_bulk_receiving);
    expect_packet(host, usb_redir_stop_iso_stream);
    uint64_t id = expect_packet(host, usb_redir_set_configuration).id;
    inval.status = usb_redir_success;
    SEND(host, usb_redir_iso_stream_status, 0, inval);
    SEND(host, usb_redir_bulk_receiving_status, 0, receiving);
    send_tables(host);
    answer_configuration(host, id, usb_redir_success, 0);
    assert_clean(host);
}

/* A stall that stops the stream unasked may cross a stop, which is answered all the same. */
static void test_stream_stalls(void)
{
    g_autoptr(Host) host = host_new();
    greet(host);
    connect_device(host);

    fake_guest_start_interrupt_receiving(host->guest, INTERRUPT_IN);
    send_interrupt_status(host, usb_redir_success);
    fake_guest_stop_interrupt_receiving(host->guest, INTERRUPT_IN);
    send_interrupt_status(host, usb_redir_stall);
    send_interrupt_status(host, usb_redir_success);
    assert_clean(host);
}

/* Faults ----------------------------------------------------------------------------------- */

/* Each of these is called with the hellos exchanged and a device connected. */

static void answered_twice(Host *host)
{
    uint64_t id = fake_guest_bulk_in(host->guest, BULK_IN, 64);
    answer_bulk(host, id, BULK_IN, usb_redir_success, 64);
    answer_bulk(host, id, BULK_IN, usb_redir_success, 64);
}

static void never_answered(Host *host)
{
    fake_guest_bulk_in(host->guest, BULK_IN, 64);
}

static void cancel_never_answered(Host *host)
{
    uint64_t id = fake_guest_bulk_in(host->guest, BULK_IN, 64);
    fake_guest_cancel(host->guest, id);
}

static void cancel_answered_late(Host *host)
{
    uint64_t id = fake_guest_bulk_in(host->guest, BULK_IN, 64);
    fake_guest_cancel(host->guest, id);
    fake_guest_choose_id(host->guest, 0x5000);
    fake_guest_bulk_in(host->guest, BULK_IN, 64);
    answer_bulk(host, 0x5000, BULK_IN, usb_redir_success, 64);
    answer_bulk(host, id, BULK_IN, usb_redir_cancelled, 0);
}

static void cancel_answered_after_reuse(Host *host)
{
    uint64_t id = fake_guest_bulk_in(host->guest, BULK_IN, 64);
    fake_guest_cancel(host->guest, id);
    fake_guest_bulk_in(host->guest, BULK_IN, 64);
    answer_bulk(host, id, BULK_IN, usb_redir_success, 64);
    answer_bulk(host, id, BULK_IN, usb_redir_cancelled, 0);
}

static void cancel_answered_as_other(Host *host)
{
    uint64_t id = fake_guest_bulk_in(host->guest, BULK_IN, 64);
    fake_guest_cancel(host->guest, id);
    answer_bulk(host, id, BULK_OUT, usb_redir_cancelled, 0);
}

static void bulk_out_of_order(Host *host)
{
    uint64_t first = fake_guest_bulk_in(host->guest, BULK_IN, 64);
    uint64_t second = fake_guest_bulk_in(host->guest, BULK_IN, 64);
    answer_bulk(host, second, BULK_IN, usb_redir_success, 64);
    answer_bulk(host, first, BULK_IN, usb_redir_success, 64);
}

static void wrong_endpoint(Host *host)
{
    uint64_t id = fake_guest_bulk_in(host->guest, BULK_IN, 64);
    answer_bulk(host, id, BULK_OUT, usb_redir_success, 0);
    answer_bulk(host, id, BULK_IN, usb_redir_success, 0);
}

static void wrong_id(Host *host)
{
    uint64_t id = fake_guest_bulk_in(host->guest, BULK_IN, 64);
    answer_bulk(host, (uint32_t) id, BULK_IN, usb_redir_success, 0);
    answer_bulk(host, id, BULK_IN, usb_redir_success, 0);
}

static void too_much_bulk(Host *host)
{
    uint64_t id = fake_guest_bulk_in(host->guest, BULK_IN, 64);
    answer_bulk(host, id, BULK_IN, usb_redir_success, 65);
}

static void bulk_out_short(Host *host)
{
    uint64_t id = fake_guest_bulk_out(host->guest, BULK_OUT, "0123456789", 10);
    answer_bulk(host, id, BULK_OUT, usb_redir_success, 0);
}

static void bulk_with_stream(Host *host)
{
    struct usb_redir_bulk_packet_header header = {.endpoint = BULK_IN, .stream_id = 3};
    uint64_t id = fake_guest_bulk_in(host->guest, BULK_IN, 64);
    SEND(host, usb_redir_bulk_packet, id, header);
}

static void unknown_status(Host *host)
{
    uint64_t id = fake_guest_bulk_in(host->guest, BULK_IN, 64);
    answer_bulk(host, id, BULK_IN, 7, 0);
}

static void too_much_control(Host *host)
{
    uint64_t id = fake_guest_control_in(host->guest, 0x80, 6, 0x0100, 0, 8);
    answer_control(host, id, 6, 18);
}

static void control_of_another_request(Host *host)
{
    uint64_t id = fake_guest_control_in(host->guest, 0x80, 6, 0x0100, 0, 18);
    answer_control(host, id, 0, 18);
}

static void interrupt_out_of_order(Host *host)
{
    struct usb_redir_interrupt_packet_header header = {.endpoint = INTERRUPT_OUT, .length = 1};
    uint64_t first = fake_guest_interrupt_out(host->guest, INTERRUPT_OUT, "1", 1);
    uint64_t second = fake_guest_interrupt_out(host->guest, INTERRUPT_OUT, "2", 1);
    SEND(host, usb_redir_interrupt_packet, second, header);
    SEND(host, usb_redir_interrupt_packet, first, header);
}

static void interrupt_not_started(Host *host)
{
    send_interrupt(host, INTERRUPT_IN, 8);
}

static void interrupt_after_stop(Host *host)
{
    fake_guest_start_interrupt_receiving(host->guest, INTERRUPT_IN);
    fake_guest_stop_interrupt_receiving(host->guest, INTERRUPT_IN);
    send_interrupt_status(host, usb_redir_success);
    send_interrupt_status(host, usb_redir_success);
    send_interrupt(host, INTERRUPT_IN, 8);
}

static void interrupt_too_long(Host *host)
{
    fake_guest_start_interrupt_receiving(host->guest, INTERRUPT_IN);
    send_interrupt_status(host, usb_redir_success);
    send_interrupt(host, INTERRUPT_IN, 9);
}

static void interrupt_of_bulk_endpoint(Host *host)
{
    send_interrupt(host, BULK_IN, 8);
}

static void stream_status_twice(Host *host)
{
    fake_guest_start_interrupt_receiving(host->guest, INTERRUPT_IN);
    send_interrupt_status(host, usb_redir_success);
    send_interrupt_status(host, usb_redir_success);
}

static void stream_status_missing(Host *host)
{
    fake_guest_start_interrupt_receiving(host->guest, INTERRUPT_IN);
}

static void iso_not_started(Host *host)
{
    struct usb_redir_iso_packet_header header = {.endpoint = ISO_IN};
    SEND(host, usb_redir_iso_packet, 0, header);
}

static void bulk_receiving_not_started(Host *host)
{
    struct usb_redir_buffered_bulk_packet_header header = {.endpoint = BULK_IN};
    SEND(host, usb_redir_buffered_bulk_packet, 0, header);
}

static void ep_info_unasked(Host *host)
{
    struct usb_redir_ep_info_header info = ep_info();
    uint64_t id = fake_guest_set_configuration(host->guest, 1);
    send_tables(host);
    answer_configuration(host, id, usb_redir_success, 1);
    send_this_ep_info(host, &info);
}

static void interface_info_unasked(Host *host)
{
    send_interface_info(host);
}

static void tables_after_cancel(Host *host)
{
    uint64_t id = fake_guest_set_configuration(host->guest, 1);
    fake_guest_cancel(host->guest, id);
    answer_configuration(host, id, usb_redir_cancelled, 0);
    send_interface_info(host);
}

static void ep_info_before_interface_info(Host *host)
{
    fake_guest_set_configuration(host->guest, 1);
    send_ep_info(host);
    send_disconnect(host);
}

static void ep_info_of_queued_endpoint(Host *host)
{
    struct usb_redir_ep_info_header info = ep_info();
    set_endpoint(&info, BULK_IN, usb_redir_type_interrupt, 1, 0, 512);
    fake_guest_bulk_in(host->guest, BULK_IN, 64);
    fake_guest_set_configuration(host->guest, 1);
    send_interface_info(host);
    send_this_ep_info(host, &info);
    send_disconnect(host);
}

/* The tables that go with a change; @spoil makes them wrong. */
static void change_tables(Host *host, void (*spoil)(struct usb_redir_ep_info_header *info))
{
    struct usb_redir_ep_info_header info = ep_info();
    spoil(&info);
    fake_guest_set_configuration(host->guest, 1);
    send_interface_info(host);
    send_this_ep_info(host, &info);
    send_disconnect(host);
}

static void spoil_interval(struct usb_redir_ep_info_header *info)
{
    info->interval[fake_guest_slot(INTERRUPT_IN)] = 0;
}

static void interval_0(Host *host)
{
    change_tables(host, spoil_interval);
}

static void spoil_size(struct usb_redir_ep_info_header *info)
{
    info->max_packet_size[fake_guest_slot(BULK_IN)] = 0;
}

static void bulk_in_size_0(Host *host)
{
    change_tables(host, spoil_size);
}

static void spoil_type(struct usb_redir_ep_info_header *info)
{
    info->type[5] = 4;
}

static void endpoint_type_4(Host *host)
{
    change_tables(host, spoil_type);
}

static void spoil_control(struct usb_redir_ep_info_header *info)
{
    info->type[16] = usb_redir_type_invalid;
}

static void endpoint_0_missing(Host *host)
{
    change_tables(host, spoil_control);
}

static void configure(Host *host, uint8_t configuration)
{
    uint64_t id = fake_guest_set_configuration(host->guest, configuration);
    send_tables(host);
    answer_configuration(host, id, usb_redir_success, configuration);
}

static void configuration_before_tables(Host *host)
{
    configure(host, 1);
    uint64_t id = fake_guest_set_configuration(host->guest, 2);
    answer_configuration(host, id, usb_redir_success, 2);
}

static void configuration_of_another_number(Host *host)
{
    uint64_t id = fake_guest_set_configuration(host->guest, 1);
    send_tables(host);
    answer_configuration(host, id, usb_redir_success, 2);
}

static void alt_setting_before_tables(Host *host)
{
    configure(host, 1);
    uint64_t id = fake_guest_set_alt_setting(host->guest, 1, 1);
    answer_alt_setting(host, id, 1, 1);
}

static void alt_setting_of_another_number(Host *host)
{
    uint64_t id = fake_guest_set_alt_setting(host->guest, 1, 1);
    send_tables(host);
    answer_alt_setting(host, id, 0, 1);
}

static void get_configuration_wrong(Host *host)
{
    configure(host, 1);
    answer_configuration(host, fake_guest_get_configuration(host->guest), usb_redir_success, 2);
}

static void get_alt_setting_wrong(Host *host)
{
    configure(host, 1);
    answer_alt_setting(host, fake_guest_get_alt_setting(host->guest, 1), 1, 2);
}

static void interface_twice(Host *host)
{
    struct usb_redir_interface_info_header info = interface_info();
    info.interface[1] = 0;
    fake_guest_set_configuration(host->guest, 1);
    SEND(host, usb_redir_interface_info, 0, info);
    send_disconnect(host);
}

static void interface_count_33(Host *host)
{
    struct usb_redir_interface_info_header info = interface_info();
    info.interface_count = 33;
    fake_guest_set_configuration(host->guest, 1);
    SEND(host, usb_redir_interface_info, 0, info);
    g_assert_false(fake_guest_feed(host->guest, "", 1));
}

static void payload_shorter_than_length(Host *host)
{
    struct usb_redir_bulk_packet_header header = {.endpoint = BULK_IN, .length = 64};
    fake_guest_bulk_in(host->guest, BULK_IN, 64);
    send_packet(host, usb_redir_bulk_packet, 1, &header, sizeof(header), "1234", 4);
}

static void unknown_packet(Host *host)
{
    send_packet(host, 99, 0, NULL, 0, NULL, 0);
}

static void second_hello(Host *host)
{
    send_hello(host, HOST_CAPS);
}

static void connect_twice(Host *host)
{
    send_connect(host);
}

static void answer_after_disconnect(Host *host)
{
    uint64_t id = fake_guest_bulk_in(host->guest, BULK_IN, 64);
    send_disconnect(host);
    answer_bulk(host, id, BULK_IN, usb_redir_cancelled, 0);
}

static void disconnect_twice(Host *host)
{
    send_disconnect(host);
    send_disconnect(host);
}

static void streams_status_unasked(Host *host)
{
    struct usb_redir_bulk_streams_status_header header = {.no_streams = 1};
    SEND(host, usb_redir_bulk_streams_status, 0, header);
}

typedef struct {
    const char *name;
    const char *violation;
    void (*act)(Host *host);
    guint also; /* further violations that this fault brings along */
} Fault;

static const Fault faults[] = {
    {"answered-twice", "answered twice?", answered_twice, 0},
    {"never-answered", "was never answered", never_answered, 0},
    {"cancel-never-answered", "cancelled) was never answered", cancel_never_answered, 0},
    {"cancel-answered-late", "not answered before a later request", cancel_answered_late, 0},
    {"cancel-answered-after-reuse", "came before the cancelled one's", cancel_answered_after_reuse,
     0},
    {"cancel-answered-as-other", "answered as bulk of 0x02", cancel_answered_as_other, 0},
    {"bulk-out-of-order", "answered out of order", bulk_out_of_order, 0},
    {"wrong-endpoint", "answered as bulk of 0x02", wrong_endpoint, 0},
    {"wrong-id", "unknown id", wrong_id, 0},
    {"too-much-bulk", "65 bytes, 64 wanted", too_much_bulk, 0},
    {"bulk-out-short", "0 bytes done of 10", bulk_out_short, 0},
    {"bulk-with-stream", "with stream 3", bulk_with_stream, 0},
    {"unknown-status", "unknown status 7", unknown_status, 0},
    {"too-much-control", "18 bytes, 8 wanted", too_much_control, 0},
    {"control-of-another-request", "does not repeat", control_of_another_request, 0},
    {"interrupt-out-of-order", "answered out of order", interrupt_out_of_order, 0},
    {"interrupt-not-started", "is not started", interrupt_not_started, 0},
    {"interrupt-after-stop", "is not started", interrupt_after_stop, 0},
    {"interrupt-too-long", "9 bytes, max_packet_size is 8", interrupt_too_long, 0},
    {"interrupt-of-bulk-endpoint", "which is of type 2", interrupt_of_bulk_endpoint, 0},
    {"stream-status-twice", "without a start or stop", stream_status_twice, 0},
    {"stream-status-missing", "have no status", stream_status_missing, 0},
    {"iso-not-started", "is not started", iso_not_started, 0},
    {"bulk-receiving-not-started", "is not started", bulk_receiving_not_started, 0},
    {"ep-info-unasked", "ep_info although", ep_info_unasked, 0},
    {"interface-info-unasked", "interface_info although", interface_info_unasked, 0},
    {"tables-after-cancel", "interface_info although", tables_after_cancel, 0},
    {"ep-info-before-interface-info", "before interface_info", ep_info_before_interface_info, 0},
    {"ep-info-of-queued-endpoint", "has packets queued", ep_info_of_queued_endpoint, 0},
    {"interval-0", "interval 0", interval_0, 0},
    {"bulk-in-size-0", "max_packet_size 0", bulk_in_size_0, 0},
    {"endpoint-type-4", "type 4", endpoint_type_4, 0},
    {"endpoint-0-missing", "is endpoint 0", endpoint_0_missing, 0},
    {"configuration-before-tables", "success before interface_info", configuration_before_tables,
     0},
    {"configuration-of-another-number", "configuration 2, 1 expected",
     configuration_of_another_number, 0},
    {"alt-setting-before-tables", "success before interface_info", alt_setting_before_tables, 0},
    {"alt-setting-of-another-number", "interface 0 alt 1", alt_setting_of_another_number, 0},
    {"get-configuration-wrong", "configuration 2, 1 expected", get_configuration_wrong, 0},
    {"get-alt-setting-wrong", "interface 1 alt 2", get_alt_setting_wrong, 0},
    {"interface-twice", "interface 0 twice", interface_twice, 0},
    {"interface-count-33", "malformed packet", interface_count_33, 1},
    {"payload-shorter-than-length", "malformed packet", payload_shorter_than_length, 1},
    {"unknown-packet", "malformed packet", unknown_packet, 0},
    {"second-hello", "malformed packet", second_hello, 0},
    {"connect-twice", "while a device is connected", connect_twice, 0},
    {"answer-after-disconnect", "while no device is connected", answer_after_disconnect, 0},
    {"disconnect-twice", "while no device is connected", disconnect_twice, 0},
    {"streams-status-unasked", "which nothing asked for", streams_status_unasked, 0},
};

static void assert_violation(Host *host, const char *text, guint also)
{
    fake_guest_finish(host->guest);
    const GPtrArray *violations = fake_guest_violations(host->guest);
    for (guint i = 0; i < violations->len; i++)
        g_test_message("%s", (const char *) g_ptr_array_index(violations, i));
    g_assert_cmpuint(violations->len, ==, 1 + also);
    g_assert_nonnull(strstr(g_ptr_array_index(violations, 0), text));
}

static void test_fault(gconstpointer data)
{
    const Fault *fault = data;
    g_autoptr(Host) host = host_new();

    greet(host);
    connect_device(host);
    fault->act(host);
    assert_violation(host, fault->violation, fault->also);
}

/* Faults before a device is connected ------------------------------------------------------- */

static void test_packet_before_hello(void)
{
    g_autoptr(Host) host = host_new();
    read_guest(host);
    send_interface_info(host);
    assert_violation(host, "interface_info before hello", 0);
}

static void test_packet_before_guest_hello(void)
{
    g_autoptr(Host) host = host_new();
    send_hello(host, HOST_CAPS);
    send_interface_info(host);
    assert_violation(host, "before the guest's hello", 0);
}

static void expect_rejected(Host *host, const char *text)
{
    g_assert_false(fake_guest_attached(host->guest));
    expect_packet(host, usb_redir_filter_reject);
    assert_violation(host, text, 0);
}

static void test_connect_without_interface_info(void)
{
    g_autoptr(Host) host = host_new();
    greet(host);
    send_connect(host);
    expect_rejected(host, "before interface_info");
}

static void test_connect_without_ep_info(void)
{
    g_autoptr(Host) host = host_new();
    greet(host);
    send_interface_info(host);
    send_connect(host);
    g_assert_true(fake_guest_attached(host->guest));
    assert_violation(host, "before ep_info", 0);
}

static void test_connect_again_without_tables(void)
{
    g_autoptr(Host) host = host_new();
    greet(host);
    connect_device(host);
    send_disconnect(host);
    expect_packet(host, usb_redir_device_disconnect_ack);
    send_connect(host);
    expect_rejected(host, "before interface_info");
}

static void test_unknown_speed(void)
{
    g_autoptr(Host) host = host_new();
    struct usb_redir_device_connect_header header = device();
    header.speed = usb_redir_speed_unknown;
    greet(host);
    send_tables(host);
    SEND(host, usb_redir_device_connect, 0, header);
    expect_rejected(host, "speed 255");
}

static void test_caps_of_xhci(void)
{
    g_autoptr(Host) host = host_new();
    expect_packet(host, usb_redir_hello);
    send_hello(host, HOST_CAPS & ~(1u << usb_redir_cap_32bits_bulk_length));
    send_tables(host);
    send_connect(host);
    expect_rejected(host, "without capability 6");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/fake-guest/dialogue", test_dialogue);
    g_test_add_func("/fake-guest/split-anywhere", test_split_anywhere);
    g_test_add_func("/fake-guest/cancel", test_cancel);
    g_test_add_func("/fake-guest/cancel-crosses-answer", test_cancel_crosses_answer);
    g_test_add_func("/fake-guest/disconnect", test_disconnect);
    g_test_add_func("/fake-guest/reset-drains", test_reset_drains);
    g_test_add_func("/fake-guest/filter", test_filter);
    g_test_add_func("/fake-guest/streams", test_streams);
    g_test_add_func("/fake-guest/stream-stalls", test_stream_stalls);
    for (gsize i = 0; i < G_N_ELEMENTS(faults); i++) {
        g_autofree char *path = g_strdup_printf("/fake-guest/fault/%s", faults[i].name);
        g_test_add_data_func(path, &faults[i], test_fault);
    }
    g_test_add_func("/fake-guest/fault/packet-before-hello", test_packet_before_hello);
    g_test_add_func("/fake-guest/fault/packet-before-guest-hello", test_packet_before_guest_hello);
    g_test_add_func("/fake-guest/fault/connect-without-interface-info",
                    test_connect_without_interface_info);
    g_test_add_func("/fake-guest/fault/connect-without-ep-info", test_connect_without_ep_info);
    g_test_add_func("/fake-guest/fault/connect-again-without-tables",
                    test_connect_again_without_tables);
    g_test_add_func("/fake-guest/fault/unknown-speed", test_unknown_speed);
    g_test_add_func("/fake-guest/fault/caps-of-xhci", test_caps_of_xhci);
    return g_test_run();
}
