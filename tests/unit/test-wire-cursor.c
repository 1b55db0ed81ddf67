/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the vectors do not reach: the cursor itself, what cannot be encoded, texts, and telling
 * messages apart by their first words. */
#include <glib.h>
#include <string.h>

#include "wire/message.h"

static void test_failure_sticks(void)
{
    const uint8_t data[] = {1, 2, 3, 4, 5};
    WireCursor c = wire_reader(data, sizeof data);
    uint32_t word = 0xAAAAAAAA, next = 0xBBBBBBBB;
    uint8_t byte = 0xCC;
    wire_u32(&c, &word);
    wire_u32(&c, &next);
    wire_u8(&c, &byte);
    g_assert_cmphex(word, ==, 0x04030201);
    g_assert_cmphex(next, ==, 0);
    g_assert_cmphex(byte, ==, 0);
    g_assert_cmpuint(c.position, ==, 4);
    g_assert_false(wire_finish(&c));
}

static void test_left_over_bytes_fail(void)
{
    const uint8_t data[] = {1, 2, 3};
    WireCursor c = wire_reader(data, sizeof data);
    uint16_t half;
    wire_u16(&c, &half);
    g_assert_false(c.failed);
    g_assert_false(wire_finish(&c));
    wire_ignore_rest(&c);
    g_assert_true(wire_finish(&c));
}

static void test_empty_input(void)
{
    WireCursor c = wire_reader(NULL, 0);
    g_assert_true(wire_finish(&c));
    WireBytes none = {0};
    wire_bytes(&c, &none);
    g_assert_true(wire_finish(&c));
    uint8_t byte;
    wire_u8(&c, &byte);
    g_assert_false(wire_finish(&c));
}

static void test_writer_is_bounded(void)
{
    uint8_t data[4] = {0, 0, 0, 0x5A};
    WireCursor c = wire_writer(data, 3);
    uint32_t word = UINT32_MAX;
    wire_u32(&c, &word);
    g_assert_false(wire_finish(&c));
    const uint8_t untouched[] = {0, 0, 0, 0x5A};
    g_assert_cmpmem(data, sizeof data, untouched, sizeof untouched);
}

/* The inner part cannot be left by reading, and the cursor is where the outer one goes on. */
static void test_spans(void)
{
    const uint8_t data[] = {3, 0, 0, 0, 0x11, 0x22, 0x33, 0x44};
    WireCursor c = wire_reader(data, sizeof data);
    WireSpan span = wire_span_u32(&c);
    WireBytes part;
    wire_rest(&c, &part);
    wire_span_close(&c, span);
    uint8_t after;
    wire_u8(&c, &after);
    g_assert_true(wire_finish(&c));
    g_assert_cmpmem(part.data, part.length, data + 4, 3);
    g_assert_cmphex(after, ==, 0x44);

    c = wire_reader(data, sizeof data);
    span = wire_span_u32(&c);
    uint32_t too_much = 1;
    wire_u32(&c, &too_much);
    g_assert_true(c.failed);
    g_assert_cmpuint(too_much, ==, 0);
}

static void test_span_that_does_not_hold_itself(void)
{
    const uint8_t data[] = {1, 0, 0, 0};
    WireCursor c = wire_reader(data, sizeof data);
    wire_span_u16_inclusive(&c);
    g_assert_true(c.failed);
}

/* A length field of 16 bits cannot say how long this is. */
static void test_too_long_to_encode(void)
{
    static uint8_t descriptor[UINT16_MAX];
    WireTransferInRequest m = {.ts_urb = {.function = WIRE_URB_FUNCTION_SELECT_CONFIGURATION}};
    WireSelectConfiguration *b = &m.ts_urb.body.select_configuration;
    b->configuration_descriptor_is_valid = true;
    b->usb_configuration_descriptor = (WireBytes){descriptor, UINT16_MAX - 16};
    g_assert_cmpuint(wire_transfer_in_request_size(&m), ==, UINT16_MAX + 20);
    b->usb_configuration_descriptor.length++;
    g_assert_cmpuint(wire_transfer_in_request_size(&m), ==, 0);
    static uint8_t room[2 * UINT16_MAX];
    g_assert_cmpuint(wire_transfer_in_request_encode(&m, room, sizeof room), ==, 0);
}

static void test_too_many_to_encode(void)
{
    WireUrb u = {.function = WIRE_URB_FUNCTION_SELECT_CONFIGURATION};
    WireSelectConfiguration *b = &u.body.select_configuration;
    b->num_interfaces = WIRE_MAX_INTERFACES;
    b->interfaces[0].number_of_pipes = WIRE_MAX_PIPES;
    g_assert_cmpuint(wire_urb_size(&u), ==, 16 + 12 * (WIRE_MAX_INTERFACES + WIRE_MAX_PIPES));
    b->interfaces[1].number_of_pipes = 1;
    g_assert_cmpuint(wire_urb_size(&u), ==, 0);
    b->interfaces[1].number_of_pipes = UINT32_MAX;
    g_assert_cmpuint(wire_urb_size(&u), ==, 0);
    b->interfaces[1].number_of_pipes = 0;
    b->num_interfaces++;
    g_assert_cmpuint(wire_urb_size(&u), ==, 0);
}

static void test_reserved_functions(void)
{
    const uint16_t reserved[] = {0x03, 0x06, 0x16, 0x1D, 0x2B, 0x2F, 0x33, 0x39, 0xFFFF};
    for (size_t i = 0; i < G_N_ELEMENTS(reserved); i++) {
        WireUrb u = {.function = reserved[i]};
        g_assert_cmpint(wire_urb_kind(reserved[i]), ==, WIRE_URB_UNKNOWN);
        g_assert_cmpuint(wire_urb_size(&u), ==, 0);
        g_assert_cmpstr(wire_urb_function_to_string(reserved[i]), ==, "unknown URB function");
    }
}

/* 31 bits of request id, and nothing of it in the NoAck bit. */
static void test_request_id_and_no_ack(void)
{
    WireUrb u = {.function = WIRE_URB_FUNCTION_GET_CONFIGURATION, .request_id = 0x7FFFFFFF};
    uint8_t data[8];
    WireUrb back;
    g_assert_cmpuint(wire_urb_encode(&u, data, sizeof data), ==, 8);
    g_assert_true(wire_urb_decode(&back, data, sizeof data));
    g_assert_cmphex(back.request_id, ==, 0x7FFFFFFF);
    g_assert_false(back.no_ack);

    u.no_ack = true;
    g_assert_cmpuint(wire_urb_encode(&u, data, sizeof data), ==, 8);
    g_assert_true(wire_urb_decode(&back, data, sizeof data));
    g_assert_cmphex(back.request_id, ==, 0x7FFFFFFF);
    g_assert_true(back.no_ack);
}

/* Packets given as structs encode as those given as bytes. */
static void test_iso_packets(void)
{
    const WireIsoPacket packets[] = {{0, 0, 0}, {192, 100, 0xC0000011}, {0xFFFFFFFF, 1, 2}};
    WireIsochTransferResult m = {.iso_packets = {.count = 3, .packets = packets}};
    uint8_t first[48], second[48];
    g_assert_cmpuint(wire_isoch_transfer_result_encode(&m, first, sizeof first), ==, 48);

    WireIsochTransferResult back;
    g_assert_true(wire_isoch_transfer_result_decode(&back, first, sizeof first));
    g_assert_cmpuint(back.iso_packets.count, ==, 3);
    for (uint32_t i = 0; i < 3; i++) {
        WireIsoPacket p = wire_iso_packet(&back.iso_packets, i);
        g_assert_cmpmem(&p, sizeof p, &packets[i], sizeof packets[i]);
    }
    g_assert_cmpuint(wire_isoch_transfer_result_encode(&back, second, sizeof second), ==, 48);
    g_assert_cmpmem(first, sizeof first, second, sizeof second);
}

static WireText text_of(const char *bytes, size_t length)
{
    return (WireText){(const uint8_t *) bytes, (uint32_t) (length / 2)};
}

#define TEXT(literal) text_of(literal, sizeof(literal) - 1)

static void test_text_list(void)
{
    WireText list = TEXT("a\0b\0\0\0c\0\0\0\0\0d\0");
    uint32_t position = 0;
    char s[8];
    g_assert_true(wire_text_next(&list, &position, s, sizeof s));
    g_assert_cmpstr(s, ==, "ab");
    g_assert_true(wire_text_next(&list, &position, s, sizeof s));
    g_assert_cmpstr(s, ==, "c");
    g_assert_false(wire_text_next(&list, &position, s, sizeof s));
    g_assert_cmpstr(s, ==, "");

    WireText nothing = {0};
    g_assert_false(wire_text_first(&nothing, s, sizeof s));
    g_assert_cmpstr(s, ==, "");
}

static void test_text_of_a_device_is_not_trusted(void)
{
    static const struct {
        WireText text;
        const char *utf8;
    } cases[] = {
        {{(const uint8_t *) "\x1b\x00[\x00", 2}, "\xEF\xBF\xBD["}, /* terminal escape */
        {{(const uint8_t *) "\n\x00\x85\x00", 2}, "\xEF\xBF\xBD\xEF\xBF\xBD"},
        {{(const uint8_t *) "\x00\xd8x\x00", 2}, "\xEF\xBF\xBDx"},       /* lone high surrogate */
        {{(const uint8_t *) "\x00\xdcx\x00", 2}, "\xEF\xBF\xBDx"},       /* lone low surrogate */
        {{(const uint8_t *) "x\x00\x00\xd8", 2}, "x\xEF\xBF\xBD"},       /* cut pair */
        {{(const uint8_t *) "\x3d\xd8\x00\xde", 2}, "\xF0\x9F\x98\x80"}, /* U+1F600 */
        {{(const uint8_t *) "\xe9\x00\xac\x20", 2}, "\xC3\xA9\xE2\x82\xAC"},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        char s[32];
        g_assert_true(wire_text_first(&cases[i].text, s, sizeof s));
        g_assert_cmpstr(s, ==, cases[i].utf8);
        g_assert_true(g_utf8_validate(s, -1, NULL));
    }
}

/* Whole characters only, nothing past the end, and the next string is found all the same. */
static void test_text_is_cut(void)
{
    WireText list = TEXT("\xac\x20\xac\x20x\0\0\0n\0");
    for (size_t size = 1; size < 12; size++) {
        g_autofree char *s = g_malloc(size);
        uint32_t position = 0;
        g_assert_true(wire_text_next(&list, &position, s, size));
        g_assert_cmpuint(strlen(s), ==, size > 7 ? 7 : (size - 1) / 3 * 3);
        g_assert_true(g_utf8_validate(s, -1, NULL));
        g_assert_cmpuint(position, ==, 4);
    }
}

static void assert_from_client(const uint32_t *words, size_t n, uint32_t id, WireMessageKind kind)
{
    uint8_t data[64] = {0};
    WireCursor c = wire_writer(data, sizeof data);
    for (size_t i = 0; i < n; i++) {
        uint32_t word = words[i];
        wire_u32(&c, &word);
    }
    g_assert_cmpstr(wire_message_kind_to_string(wire_kind_from_client(data, 4 * n, id)), ==,
                    wire_message_kind_to_string(kind));
}

#define FROM_CLIENT(id, kind, ...)                                                                 \
    assert_from_client((const uint32_t[]){__VA_ARGS__},                                            \
                       sizeof((const uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t), id,             \
                       WIRE_MESSAGE_##kind)

static void test_kind_from_client(void)
{
    const uint32_t none = WIRE_INTERFACE_NOT_KNOWN;
    FROM_CLIENT(none, CAPABILITY_RESPONSE, 0, 0, 1, 0);
    FROM_CLIENT(none, CAPABILITY_RESPONSE, 0, 0, 0x100, 1);
    FROM_CLIENT(none, RELEASE, 0, 0, 1);
    FROM_CLIENT(none, RELEASE, 0x40000003, 0, 1);
    FROM_CLIENT(none, RELEASE, 0x40000777, 0, 1);
    FROM_CLIENT(none, CHANNEL_CREATED, 0x40000003, 0, 0x100, 1, 0, 0);
    FROM_CLIENT(none, UNKNOWN, 0x40000002, 0, 0x100, 1, 0, 0);
    FROM_CLIENT(none, ADD_VIRTUAL_CHANNEL, 0x40000001, 0, 0x100);
    FROM_CLIENT(none, ADD_DEVICE, 0x40000001, 0, 0x101);
    FROM_CLIENT(none, QUERY_INTERFACE_REQUEST, 0x40000001, 0, 2);
    FROM_CLIENT(none, QUERY_DEVICE_TEXT_RESPONSE, 0x80000005, 0);
    FROM_CLIENT(none, UNKNOWN, 0xC0000005, 0, 0);
    FROM_CLIENT(none, UNKNOWN, 0x40000001, 0);
    FROM_CLIENT(none, UNKNOWN, 0x40000001, 0, 0x102);
    /* no completion before its id is registered, and then on no other id */
    FROM_CLIENT(none, UNKNOWN, 0x40000010, 0, 0x101);
    FROM_CLIENT(0x10, UNKNOWN, 0x40000011, 0, 0x101);
    FROM_CLIENT(0x10, UNKNOWN, 0x00000010, 0, 0x101);
    FROM_CLIENT(0x10, UNKNOWN, 0x40000010, 0, 0x103);
    FROM_CLIENT(0x10, IO_CONTROL_COMPLETION, 0x40000010, 0, 0x100);
    FROM_CLIENT(0x10, URB_COMPLETION, 0x40000010, 0, 0x101);
    FROM_CLIENT(0x10, URB_COMPLETION_NO_DATA, 0x40000010, 0, 0x102);
    FROM_CLIENT(0, URB_COMPLETION_NO_DATA, 0x40000000, 0, 0x102);
    /* nothing that a server sends */
    FROM_CLIENT(5, UNKNOWN, 0x40000005, 0, 0x105);
}

/* A decoder called by itself refuses the header of another message. */
static void test_header_of_another_message(void)
{
    uint8_t data[12] = {1, 0, 0, 0x40, 0, 0, 0, 0, 0, 1, 0, 0};
    WireAddVirtualChannel m;
    g_assert_true(wire_add_virtual_channel_decode(&m, data, sizeof data));
    for (unsigned mask = 0; mask < 4; mask++) {
        data[3] = (uint8_t) (mask << 6);
        g_assert_cmpint(wire_add_virtual_channel_decode(&m, data, sizeof data), ==, mask == 1);
        WireHeader header;
        g_assert_cmpint(wire_header_decode(&header, data, sizeof data), ==, mask < 2);
        g_assert_cmpint(wire_header_decode(&header, data, 8), ==, mask == 2);
    }
    data[3] = 0x40;
    data[8] = 1;
    g_assert_false(wire_add_virtual_channel_decode(&m, data, sizeof data));
}

/* Size has 16 bits: a CbTsUrbResult beyond them contradicts it. */
static void test_result_longer_than_its_size_can_say(void)
{
    enum { LONGEST = UINT16_MAX, AROUND = 28 };
    g_autofree uint8_t *data = g_malloc0(LONGEST + 1 + AROUND);
    WireUrbCompletion m = {.ts_urb_result.length = LONGEST - 8}, back;
    m.ts_urb_result.data = g_malloc0(LONGEST);
    size_t size = wire_urb_completion_no_data_encode(&m, data, LONGEST + AROUND);
    g_assert_cmpuint(size, ==, LONGEST + AROUND);
    g_assert_true(wire_urb_completion_no_data_decode(&back, data, size));
    WireCursor cb_ts_urb_result = wire_writer(data + 16, 4);
    uint32_t longer = LONGEST + 1;
    wire_u32(&cb_ts_urb_result, &longer);
    g_assert_false(wire_urb_completion_no_data_decode(&back, data, size + 1));
    g_free((void *) m.ts_urb_result.data);
}

static void test_unknown_kind(void)
{
    const uint8_t data[16] = {0};
    WireMessage m;
    g_assert_false(wire_message_read(&m, WIRE_MESSAGE_UNKNOWN, data, sizeof data));
    g_assert_cmpuint(wire_message_size(&m), ==, 0);
    for (int kind = 0; kind <= WIRE_N_MESSAGES; kind++) {
        bool is_named = kind != WIRE_MESSAGE_UNKNOWN && kind != WIRE_N_MESSAGES;
        const char *name = wire_message_kind_to_string((WireMessageKind) kind);
        g_assert_cmpint(strcmp(name, "unknown message") != 0, ==, is_named);
    }
}

/* NumUsbDevice 1 is the only one with a known layout. */
static void test_add_device_of_two(void)
{
    WireAddDevice m = {.usb_device = 5};
    uint8_t data[64];
    size_t size = wire_add_device_encode(&m, data, sizeof data);
    g_assert_cmpuint(size, ==, 64);
    g_assert_true(wire_add_device_decode(&m, data, size));
    data[12] = 2;
    g_assert_false(wire_add_device_decode(&m, data, size));
}

static void test_names(void)
{
    g_assert_cmpstr(wire_usbd_status_to_string(0xC0000004), ==, "STALL_PID");
    g_assert_cmpstr(wire_usbd_status_to_string(2), ==, "LIBUSB_TIMED_OUT");
    g_assert_cmpstr(wire_usbd_status_to_string(7), ==, "unknown USBD status");
    g_assert_cmpstr(wire_hresult_to_string(0x80070057), ==, "invalid parameter");
    g_assert_cmpstr(wire_hresult_to_string(13), ==, "unknown HRESULT");
    g_assert_cmpstr(wire_urb_function_to_string(0x1E), ==, "SYNC_RESET_PIPE_AND_CLEAR_STALL");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/wire-cursor/failure-sticks", test_failure_sticks);
    g_test_add_func("/wire-cursor/left-over-bytes-fail", test_left_over_bytes_fail);
    g_test_add_func("/wire-cursor/empty-input", test_empty_input);
    g_test_add_func("/wire-cursor/writer-is-bounded", test_writer_is_bounded);
    g_test_add_func("/wire-cursor/spans", test_spans);
    g_test_add_func("/wire-cursor/span-that-does-not-hold-itself",
                    test_span_that_does_not_hold_itself);
    g_test_add_func("/wire-cursor/too-long-to-encode", test_too_long_to_encode);
    g_test_add_func("/wire-cursor/too-many-to-encode", test_too_many_to_encode);
    g_test_add_func("/wire-cursor/reserved-functions", test_reserved_functions);
    g_test_add_func("/wire-cursor/request-id-and-no-ack", test_request_id_and_no_ack);
    g_test_add_func("/wire-cursor/iso-packets", test_iso_packets);
    g_test_add_func("/wire-cursor/text-list", test_text_list);
    g_test_add_func("/wire-cursor/text-of-a-device-is-not-trusted",
                    test_text_of_a_device_is_not_trusted);
    g_test_add_func("/wire-cursor/text-is-cut", test_text_is_cut);
    g_test_add_func("/wire-cursor/kind-from-client", test_kind_from_client);
    g_test_add_func("/wire-cursor/header-of-another-message", test_header_of_another_message);
    g_test_add_func("/wire-cursor/result-longer-than-its-size-can-say",
                    test_result_longer_than_its_size_can_say);
    g_test_add_func("/wire-cursor/unknown-kind", test_unknown_kind);
    g_test_add_func("/wire-cursor/add-device-of-two", test_add_device_of_two);
    g_test_add_func("/wire-cursor/names", test_names);
    return g_test_run();
}
