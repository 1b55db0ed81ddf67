/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The capture: blocks and headers byte by byte, its limit, and what a whole bridge records. That
 * Wireshark understands it is tested with the real programs, tests/integration/test-captures.py.
 */
#include "capture.h"
#include "pcapng.h"
#include "usbmon.h"
#include "world.h"

#include <errno.h>
#include <string.h>
#include <wire/completion.h>

#define SECOND G_TIME_SPAN_SECOND

static void assert_bytes(const GByteArray *out, const uint8_t *expected, size_t size)
{
    g_assert_cmpmem(out->data, out->len, expected, size);
}

/* ---- Blocks, draft-ietf-opsawg-pcapng 4.1 to 4.3 ---- */

static void test_section(void)
{
    static const uint8_t expected[] = {
        0x0a, 0x0d, 0x0d, 0x0a, 0x34, 0,    0,    0,                  /* type, length */
        0x4d, 0x3c, 0x2b, 0x1a, 1,    0,    0,    0,                  /* 1.0 */
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,               /* section length */
        1,    0,    2,    0,    'h',  'i',  0,    0,                  /* opt_comment */
        4,    0,    5,    0,    'r',  'd',  'p',  'u',  's', 0, 0, 0, /* shb_userappl */
        0,    0,    0,    0,    0x34, 0,    0,    0,                  /* end, length */
    };
    g_autoptr(GByteArray) out = g_byte_array_new();
    pcapng_section(out, "rdpus", "hi");
    assert_bytes(out, expected, sizeof expected);
}

static void test_interface(void)
{
    static const uint8_t expected[] = {
        1,   0, 0, 0, 0x28, 0,   0,   0,   /* type, length */
        220, 0, 0, 0, 0,    0,   0,   0,   /* link type, no snapshot length */
        2,   0, 4, 0, 'n',  'a', 'm', 'e', /* if_name; no if_description */
        9,   0, 1, 0, 6,    0,   0,   0,   /* if_tsresol */
        0,   0, 0, 0, 0x28, 0,   0,   0,   /* end, length */
    };
    g_autoptr(GByteArray) out = g_byte_array_new();
    pcapng_interface(out, 220, "name", "");
    assert_bytes(out, expected, sizeof expected);
}

static void test_packet(void)
{
    static const uint8_t plain[] = {
        6,    0,    0,    0, 0x28, 0,    0,    0,    0, 0, 0, 0, /* type, length, interface */
        0x55, 0x44, 0x06, 0, 0x80, 0xbb, 0xaa, 0x99,             /* time, upper half first */
        5,    0,    0,    0, 5,    0,    0,    0,    1, 2, 3, 4,
        5,    0,    0,    0, /* sizes, padded data */
        0x28, 0,    0,    0,
    };
    static const uint8_t commented[] = {
        6, 0, 0, 0, 0x30, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1,   0,   0,   0,
        4, 0, 0, 0, 4,    0, 0, 0, 1, 2, 3, 4, 1, 0, 3, 0, 'w', 'h', 'y', 0, /* opt_comment */
        0, 0, 0, 0, 0x30, 0, 0, 0,
    };
    static const uint8_t data[] = {1, 2, 3, 4, 5};
    g_autoptr(GByteArray) out = g_byte_array_new();
    pcapng_packet(out, G_GINT64_CONSTANT(0x0006445599aabb80), data, 5, "");
    assert_bytes(out, plain, sizeof plain);
    g_byte_array_set_size(out, 0);
    pcapng_packet(out, 1, data, 4, "why");
    assert_bytes(out, commented, sizeof commented);
}

/* Texts come from devices: what is no UTF-8, or endless, must not make an unreadable file. */
static void test_texts(void)
{
    g_autofree char *text = g_strnfill(70000, 'x');
    text[1023] = '\xc3'; /* a character that would be cut in two */
    text[1024] = '\xa4';
    g_autoptr(GByteArray) out = g_byte_array_new();
    pcapng_packet(out, 0, NULL, 0, text);
    g_assert_cmpuint(out->len, ==, 28 + 4 + 1024 + 4 + 4);
    g_assert_cmpuint(out->data[28 + 2] | out->data[28 + 3] << 8, ==, 1023);
    g_byte_array_set_size(out, 0);
    pcapng_packet(out, 0, NULL, 0, "ab\xff");
    g_assert_cmpuint(out->data[28 + 2], ==, 2);
}

/* ---- Headers, struct usbmon_packet ---- */

static void test_control_submission(void)
{
    static const uint8_t expected[] = {
        8,  7, 6, 5, 4, 3, 2, 1, 'S',  2, 0x80, 5, 1,    0,    0,    '<',  /* urb … flags */
        3,  0, 0, 0, 0, 0, 0, 0, 4,    0, 0,    0, 0x8d, 0xff, 0xff, 0xff, /* time; -EINPROGRESS */
        18, 0, 0, 0, 0, 0, 0, 0, 0x80, 6, 0,    1, 9,    4,    18,   0,    /* lengths, setup */
        0,  0, 0, 0, 0, 0, 0, 0, 0,    2, 0,    0, 0,    0,    0,    0, /* … URB_DIR_IN, ndesc */
    };
    const RdpusbSetup setup = {0x80, 6, 0x0100, 0x0409, 18};
    const UsbmonEvent event = {.event = USBMON_SUBMIT,
                               .type = ENDPOINT_CONTROL,
                               .urb = G_GUINT64_CONSTANT(0x0102030405060708),
                               .endpoint = 0x80,
                               .device = 5,
                               .bus = 1,
                               .time = 3 * SECOND + 4,
                               .setup = &setup,
                               .length = 18};
    g_autoptr(GByteArray) out = g_byte_array_new();
    usbmon_append(out, &event);
    assert_bytes(out, expected, sizeof expected);
    g_assert_cmpuint(out->len, ==, USBMON_HEADER_SIZE);
}

static void test_bulk_completion(void)
{
    static const uint8_t expected[] = {
        9, 0, 0, 0, 0, 0, 0, 0, 'C', 3, 0x02, 5,    1,    0,    '-',  '>', 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0,   0, 0,    0xe0, 0xff, 0xff, 0xff,    /* -EPIPE */
        0, 2, 0, 0, 0, 0, 0, 0, 0,   0, 0,    0,    0,    0,    0,    0, /* 512 done, none of it
                                                                            here */
        0, 0, 0, 0, 0, 0, 0, 0, 0,   0, 0,    0,    0,    0,    0,    0,
    };
    const UsbmonEvent event = {.event = USBMON_COMPLETE,
                               .type = ENDPOINT_BULK,
                               .urb = 9,
                               .endpoint = 0x02,
                               .device = 5,
                               .bus = 1,
                               .status = -EPIPE,
                               .length = 512};
    g_autoptr(GByteArray) out = g_byte_array_new();
    usbmon_append(out, &event);
    assert_bytes(out, expected, sizeof expected);
}

static void test_iso_completion(void)
{
    static const uint8_t expected[] = {
        9,    0,    0,    0,    0,  0, 0, 0, 'C', 0, 0x83, 5, 1, 0, '-', 0, 0,
        0,    0,    0,    0,    0,  0, 0, 0, 0,   0, 0,    0, 0, 0, 0,      /* the URB is fine */
        3,    0,    0,    0,    19, 0, 0, 0, 1,   0, 0,    0, 1, 0, 0,   0, /* one packet, one error
                                                                             */
        4,    0,    0,    0,    0,  0, 0, 0, 0,   2, 0,    0, 1, 0, 0,   0, /* interval, ndesc */
        0xb9, 0xff, 0xff, 0xff, 0,  0, 0, 0, 3,   0, 0,    0, 0, 0, 0,   0, /* -EPROTO, offset,
                                                                               length */
        'a',  'b',  'c',
    };
    const UsbmonEvent event = {.event = USBMON_COMPLETE,
                               .type = ENDPOINT_ISOCHRONOUS,
                               .urb = 9,
                               .endpoint = 0x83,
                               .device = 5,
                               .bus = 1,
                               .status = -EPROTO,
                               .interval = 4,
                               .length = 3,
                               .data = (const uint8_t *) "abc"};
    g_autoptr(GByteArray) out = g_byte_array_new();
    usbmon_append(out, &event);
    assert_bytes(out, expected, sizeof expected);
}

static void test_flags(void)
{
    static const struct {
        UsbmonEventType event;
        uint8_t endpoint;
        char flag;
    } flags[] = {
        {USBMON_SUBMIT, 0x81, '<'},   {USBMON_SUBMIT, 0x01, 0},  {USBMON_COMPLETE, 0x81, 0},
        {USBMON_COMPLETE, 0x01, '>'}, {USBMON_ERROR, 0x00, 'E'},
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(flags); i++) {
        g_autoptr(GByteArray) out = g_byte_array_new();
        const UsbmonEvent event = {
            .event = flags[i].event, .type = ENDPOINT_BULK, .endpoint = flags[i].endpoint};
        usbmon_append(out, &event);
        g_assert_cmpint(out->data[15], ==, flags[i].flag);
    }
}

static void test_statuses(void)
{
    static const int statuses[] = {
        [DEVICE_SUCCESS] = 0,   [DEVICE_CANCELLED] = -104, [DEVICE_INVAL] = -22,
        [DEVICE_IOERROR] = -71, [DEVICE_STALL] = -32,      [DEVICE_TIMEOUT] = -110,
        [DEVICE_BABBLE] = -75,
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(statuses); i++)
        g_assert_cmpint(capture_status(i), ==, statuses[i]);
}

/* ---- Reading it back ---- */

typedef struct {
    char event;
    uint8_t transfer, endpoint;
    uint64_t urb;
    int64_t time;
    int32_t status;
    uint32_t length;
    GBytes *data;
    char *comment; /* NULL: none */
} Frame;

static void frame_free(gpointer data)
{
    Frame *frame = data;
    g_bytes_unref(frame->data);
    g_free(frame->comment);
    g_free(frame);
}

static uint32_t get_u32(const uint8_t *bytes)
{
    return bytes[0] | bytes[1] << 8 | bytes[2] << 16 | (uint32_t) bytes[3] << 24;
}

static Frame *frame_of_block(const uint8_t *block, uint32_t length)
{
    Frame *frame = g_new0(Frame, 1);
    uint32_t size = get_u32(block + 20);
    const uint8_t *packet = block + 28;
    g_assert_cmpuint(size, >=, USBMON_HEADER_SIZE);
    g_assert_cmpuint(28 + size + 4, <=, length);
    frame->time = (int64_t) get_u32(block + 12) << 32 | get_u32(block + 16);
    frame->urb = get_u32(packet) | (uint64_t) get_u32(packet + 4) << 32;
    frame->event = packet[8];
    frame->transfer = packet[9];
    frame->endpoint = packet[10];
    frame->status = (int32_t) get_u32(packet + 28);
    frame->length = get_u32(packet + 32);
    uint32_t captured = get_u32(packet + 36);
    g_assert_cmpuint(USBMON_HEADER_SIZE + captured, ==, size);
    frame->data = g_bytes_new(packet + USBMON_HEADER_SIZE, captured);
    const uint8_t *options = packet + ((size + 3) & ~3u);
    if (options < block + length - 4) {
        g_assert_cmpuint(options[0], ==, 1);
        frame->comment = g_strndup((const char *) options + 4, options[2] | options[3] << 8);
    }
    return frame;
}

/* All frames, after section and interface; asserts that time does not go back. */
static GPtrArray *frames_of(const GByteArray *file)
{
    GPtrArray *frames = g_ptr_array_new_with_free_func(frame_free);
    unsigned block = 0;
    int64_t last = 0;
    for (guint at = 0; at < file->len; block++) {
        uint32_t type = get_u32(file->data + at), length = get_u32(file->data + at + 4);
        g_assert_cmpuint(at + length, <=, file->len);
        g_assert_cmpuint(length % 4, ==, 0);
        g_assert_cmpuint(get_u32(file->data + at + length - 4), ==, length);
        g_assert_cmphex(type, ==, block == 0 ? 0x0a0d0d0a : block == 1 ? 1 : 6);
        if (block >= 2) {
            Frame *frame = frame_of_block(file->data + at, length);
            g_assert_cmpint(frame->time, >=, last);
            last = frame->time;
            g_ptr_array_add(frames, frame);
        }
        at += length;
    }
    return frames;
}

static const Frame *frame(const GPtrArray *frames, unsigned i)
{
    g_assert_cmpuint(i, <, frames->len);
    return frames->pdata[i];
}

/* ---- One capture ---- */

static const RdpusbDeviceInfo stick = {
    .vendor = 0x0951, .product = 0x1666, .product_name = (char *) "DataTraveler"};

static const RdpusbCapture small = {.vm = "unix:/run/vm1.sock",
                                    .address = 3,
                                    .wall_clock = 1700000000 * SECOND,
                                    .max_bytes = RDPUSB_CAPTURE_MIN_BYTES};

typedef struct {
    Capture *capture;
    GByteArray *file;
} Recording;

static void recording_begin(Recording *recording, const RdpusbCapture *options)
{
    recording->capture = capture_new(options, &stick, 5 * SECOND);
    recording->file = g_byte_array_new();
}

static GPtrArray *recording_frames(Recording *recording)
{
    g_autoptr(GBytes) bytes = capture_take(recording->capture);
    if (bytes)
        g_byte_array_append(recording->file, g_bytes_get_data(bytes, NULL),
                            g_bytes_get_size(bytes));
    return frames_of(recording->file);
}

static void recording_clear(Recording *recording)
{
    capture_free(recording->capture);
    g_byte_array_unref(recording->file);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Recording, recording_clear)

static const CaptureRequest read_512 = {.type = ENDPOINT_BULK, .endpoint = 0x81, .length = 512};

static void test_pair(void)
{
    g_auto(Recording) recording;
    recording_begin(&recording, &small);
    capture_request(recording.capture, 0x12300000045, &read_512, 6 * SECOND);
    capture_answer(recording.capture, 0x12300000045, DEVICE_SUCCESS, 2, (const uint8_t *) "ab",
                   7 * SECOND);
    capture_answer(recording.capture, 0x12300000045, DEVICE_SUCCESS, 0, NULL, 7 * SECOND);
    capture_request(recording.capture, 0x12300000045, &read_512, 6 * SECOND);
    capture_answer(recording.capture, 0x12300000045, DEVICE_STALL, 0, NULL, 8 * SECOND);
    g_autoptr(GPtrArray) frames = recording_frames(&recording);
    g_assert_cmpuint(frames->len, ==, 4);
    g_assert_cmpint(frame(frames, 0)->event, ==, 'S');
    g_assert_cmpint(frame(frames, 0)->time, ==, small.wall_clock + 1 * SECOND);
    g_assert_cmpint(frame(frames, 0)->status, ==, -EINPROGRESS);
    g_assert_cmpuint(frame(frames, 0)->length, ==, 512);
    g_assert_cmpint(frame(frames, 1)->event, ==, 'C');
    g_assert_cmpint(frame(frames, 1)->time, ==, small.wall_clock + 2 * SECOND);
    g_assert_cmphex(frame(frames, 1)->urb, ==, frame(frames, 0)->urb);
    g_assert_cmphex((uint32_t) frame(frames, 0)->urb, ==, 0x45);
    g_assert_cmpuint(frame(frames, 1)->length, ==, 2);
    g_assert_cmpint(frame(frames, 3)->status, ==, -EPIPE);
    g_assert_cmphex(frame(frames, 2)->urb, !=, frame(frames, 0)->urb);
}

/* Guests use an id again as soon as they have cancelled: the answer to the first request is none to
 * the second. */
static void test_cancel(void)
{
    g_auto(Recording) recording;
    recording_begin(&recording, &small);
    capture_request(recording.capture, 9, &read_512, 6 * SECOND);
    capture_cancel(recording.capture, 9, 7 * SECOND);
    capture_request(recording.capture, 9, &read_512, 7 * SECOND);
    capture_answer(recording.capture, 9, DEVICE_SUCCESS, 3, (const uint8_t *) "old", 8 * SECOND);
    capture_answer(recording.capture, 9, DEVICE_SUCCESS, 3, (const uint8_t *) "new", 9 * SECOND);
    capture_cancel(recording.capture, 9, 9 * SECOND);
    g_autoptr(GPtrArray) frames = recording_frames(&recording);
    g_assert_cmpuint(frames->len, ==, 6);
    g_assert_cmpint(frame(frames, 1)->status, ==, -ECONNRESET);
    g_assert_cmpint(frame(frames, 1)->time, ==, small.wall_clock + 2 * SECOND);
    g_assert_cmpstr(frame(frames, 3)->comment, ==,
                    "device: answer to ...00000009, which was cancelled: success, 3 bytes");
    g_assert_cmphex(frame(frames, 4)->urb, ==, frame(frames, 2)->urb);
    g_assert_cmpmem(g_bytes_get_data(frame(frames, 4)->data, NULL), 3, "new", 3);
    g_assert_cmpstr(frame(frames, 5)->comment, ==,
                    "guest: cancel of ...00000009, which is answered already");
}

/* The guest sees all its requests end when the device goes, in the order in which it asked. */
static void test_gone(void)
{
    g_auto(Recording) recording;
    recording_begin(&recording, &small);
    for (uint64_t id = 20; id > 0; id--)
        capture_request(recording.capture, id, &read_512, 6 * SECOND);
    capture_answer(recording.capture, 20, DEVICE_SUCCESS, 0, NULL, 6 * SECOND);
    capture_gone(recording.capture, 7 * SECOND, "device: disconnect");
    capture_answer(recording.capture, 5, DEVICE_SUCCESS, 0, NULL, 8 * SECOND);
    g_autoptr(GPtrArray) frames = recording_frames(&recording);
    g_assert_cmpuint(frames->len, ==, 20 + 1 + 1 + 19);
    g_assert_cmpint(frame(frames, 21)->event, ==, 'E');
    g_assert_cmpstr(frame(frames, 21)->comment, ==, "device: disconnect");
    for (unsigned i = 22; i < frames->len; i++) {
        g_assert_cmpint(frame(frames, i)->status, ==, -ESHUTDOWN);
        g_assert_cmphex(frame(frames, i)->urb, ==, frame(frames, i - 21)->urb);
    }
}

/* Which of the two a request was is known from the request. */
static void test_values(void)
{
    const CaptureRequest set = {.type = ENDPOINT_CONTROL, .setup = {0x00, 9, 1, 0, 0}};
    const CaptureRequest get = {.type = ENDPOINT_CONTROL, .setup = {0x80, 8, 0, 0, 1}, .length = 1};
    g_auto(Recording) recording;
    recording_begin(&recording, &small);
    capture_request(recording.capture, 1, &set, 6 * SECOND);
    capture_answer_value(recording.capture, 1, DEVICE_SUCCESS, 7, 6 * SECOND);
    capture_request(recording.capture, 2, &get, 6 * SECOND);
    capture_answer_value(recording.capture, 2, DEVICE_SUCCESS, 7, 6 * SECOND);
    g_autoptr(GPtrArray) frames = recording_frames(&recording);
    g_assert_cmpuint(frames->len, ==, 4);
    g_assert_cmphex(frame(frames, 1)->endpoint, ==, 0x00);
    g_assert_cmpuint(g_bytes_get_size(frame(frames, 1)->data), ==, 0);
    g_assert_cmphex(frame(frames, 3)->endpoint, ==, 0x80);
    g_assert_cmpmem(g_bytes_get_data(frame(frames, 3)->data, NULL),
                    g_bytes_get_size(frame(frames, 3)->data), "\7", 1);
}

static void fill(uint64_t max_bytes)
{
    g_autofree uint8_t *data = g_malloc0(1000);
    RdpusbCapture options = small;
    options.max_bytes = max_bytes;
    g_auto(Recording) recording;
    recording_begin(&recording, &options);
    for (uint64_t id = 0; id < 100; id++) {
        capture_request(recording.capture, id, &read_512, 6 * SECOND);
        capture_answer(recording.capture, id, DEVICE_SUCCESS, 1000 - id % 7, data, 6 * SECOND);
        if (id % 10 == 0) /* taking what there is does not make room */
            g_ptr_array_unref(recording_frames(&recording));
    }
    g_autoptr(GPtrArray) frames = recording_frames(&recording);
    g_assert_false(capture_is_active(recording.capture));
    g_assert_cmpuint(recording.file->len, <=, max_bytes);
    g_assert_cmpuint(recording.file->len, >, max_bytes - 2000);
    g_autofree char *note = g_strdup_printf("limit of %" G_GUINT64_FORMAT " bytes", max_bytes);
    g_assert_nonnull(strstr(frame(frames, frames->len - 1)->comment, note));
    for (unsigned i = 0; i + 1 < frames->len; i++)
        g_assert_null(frame(frames, i)->comment);
    capture_end(recording.capture, 7 * SECOND, "too late");
    g_assert_null(capture_take(recording.capture));
}

/* Wherever the last frame ends. */
static void test_limit(void)
{
    for (unsigned i = 0; i < 1200; i += 50)
        fill(RDPUSB_CAPTURE_MIN_BYTES + i);
}

/* ---- A whole bridge ---- */

static GPtrArray *world_frames(World *world)
{
    g_autoptr(GByteArray) file = g_byte_array_new();
    GBytes *bytes;
    while ((bytes = rdpusb_bridge_next_capture(world->bridge))) {
        g_byte_array_append(file, g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes));
        g_bytes_unref(bytes);
    }
    return frames_of(file);
}

static const Frame *the_frame(const GPtrArray *frames, char event, uint8_t transfer,
                              uint8_t endpoint)
{
    const Frame *found = NULL;
    for (unsigned i = 0; i < frames->len; i++) {
        const Frame *other = frames->pdata[i];
        if (other->event == event && other->transfer == transfer && other->endpoint == endpoint) {
            g_assert_null(found);
            found = other;
        }
    }
    g_assert_nonnull(found);
    return found;
}

static void assert_comment(const GPtrArray *frames, const char *comment)
{
    for (unsigned i = 0; i < frames->len; i++) {
        if (g_strcmp0(frame(frames, i)->comment, comment) == 0)
            return;
    }
    g_test_message("no frame says '%s'", comment);
    g_test_fail();
}

static void test_bridge(void)
{
    g_autoptr(World) world = world_new(NULL, NULL, NULL);
    g_assert_false(rdpusb_bridge_is_capturing(world->bridge));
    g_assert_null(rdpusb_bridge_next_capture(world->bridge));
    rdpusb_bridge_start_capture(world->bridge, &small, world->now);
    g_assert_true(rdpusb_bridge_is_capturing(world->bridge));
    world_connect_guest(world);
    fake_guest_set_configuration(world->guest, 1);
    world_turn(world);
    fake_guest_control_in(world->guest, 0x80, 6, 0x0100, 0, 18);
    fake_guest_bulk_out(world->guest, 0x01, "hello", 5);
    fake_guest_bulk_in(world->guest, 0x81, 512);
    world_turn(world);
    fake_guest_start_interrupt_receiving(world->guest, 0x82);
    world_turn(world);
    world_device_says(world, 0x82, "press");
    world_turn(world);
    fake_guest_stop_interrupt_receiving(world->guest, 0x82);
    world_turn(world);
    fake_guest_bulk_in(world->guest, 0x81, 512);
    world_turn(world);
    world_disconnect_guest(world);
    rdpusb_bridge_stop_capture(world->bridge, "over", world->now);
    g_assert_false(rdpusb_bridge_is_capturing(world->bridge));

    g_autoptr(GPtrArray) frames = world_frames(world);
    g_assert_cmpstr(frame(frames, 0)->comment, ==, "device: connect");
    g_assert_cmpuint(the_frame(frames, 'S', 2, 0x80)->length, ==, 18);
    g_assert_cmpuint(g_bytes_get_size(the_frame(frames, 'C', 2, 0x80)->data), ==, 18);
    const Frame *out = the_frame(frames, 'S', 3, 0x01);
    g_assert_cmpmem(g_bytes_get_data(out->data, NULL), g_bytes_get_size(out->data), "hello", 5);
    g_assert_cmpuint(the_frame(frames, 'C', 3, 0x01)->length, ==, 5);
    the_frame(frames, 'S', 1, 0x82);
    const Frame *press = the_frame(frames, 'C', 1, 0x82);
    g_assert_cmpmem(g_bytes_get_data(press->data, NULL), g_bytes_get_size(press->data), "press", 5);
    assert_comment(frames, "guest: start_interrupt_receiving 0x82");
    assert_comment(frames, "device: interrupt_receiving_status 0x82: success");
    assert_comment(frames, "guest: gone");
    g_assert_cmpint(frame(frames, frames->len - 2)->status, ==, -ESHUTDOWN);
    g_assert_cmpstr(frame(frames, frames->len - 1)->comment, ==, "over");
}

/* Started with a guest that has the device already, as an embedding server may want to. */
static void test_bridge_late(void)
{
    g_autoptr(World) world = world_new_attached(NULL);
    fake_guest_bulk_in(world->guest, 0x81, 512);
    world_turn(world);
    rdpusb_bridge_start_capture(world->bridge, &small, world->now);
    fake_guest_bulk_out(world->guest, 0x01, "hello", 5);
    world_turn(world);
    g_autoptr(GPtrArray) frames = world_frames(world);
    g_assert_cmpuint(frames->len, ==, 2); /* not the answer to what was asked before */
    g_assert_cmphex(frame(frames, 0)->urb, ==, frame(frames, 1)->urb);
}

static void test_bridge_cancel(void)
{
    g_autoptr(World) world = world_new_attached(NULL);
    rdpusb_bridge_start_capture(world->bridge, &small, world->now);
    uint64_t id = fake_guest_bulk_in(world->guest, 0x81, 512);
    world_turn(world);
    g_assert_true(fake_guest_cancel(world->guest, id));
    world_turn(world);
    g_autoptr(GPtrArray) frames = world_frames(world);
    g_autofree char *late = g_strdup_printf(
        "device: answer to ...%08x, which was cancelled: cancelled, 0 bytes", (uint32_t) id);
    g_assert_cmpuint(frames->len, ==, 3);
    g_assert_cmpint(frame(frames, 1)->status, ==, -ECONNRESET);
    g_assert_cmphex(frame(frames, 1)->urb, ==, frame(frames, 0)->urb);
    g_assert_cmpstr(frame(frames, 2)->comment, ==, late);
}

/* What a guest is too slow for it never got. */
static void test_bridge_dropped(void)
{
    RdpusbCapture large = small;
    large.max_bytes = 64 * 1024 * 1024;
    g_autoptr(World) world = world_new_attached(NULL);
    fake_guest_start_interrupt_receiving(world->guest, 0x82);
    world_turn(world);
    rdpusb_bridge_start_capture(world->bridge, &large, world->now);
    rdpusb_bridge_set_guest_backlog(world->bridge, 1024 * 1024);
    for (unsigned i = 0; i < 5000; i++)
        world_device_says(world, 0x82, "report");
    g_autoptr(GPtrArray) frames = world_frames(world);
    g_assert_cmpuint(frames->len, ==, 2 * world_n_events(world, FAKE_GUEST_INTERRUPT_IN));
    g_assert_cmpuint(frames->len, <, 2 * 5000);
}

/* ---- Streams ---- */

static uint32_t held; /* the oldest request at a device that does nothing by itself */

static bool hold(FakeClient *client, const FakeRequest *request, FakeResponse *response, void *data)
{
    const WireUrb *urb = request->urb;
    if (urb->function != WIRE_URB_FUNCTION_ISOCH_TRANSFER &&
        urb->function != WIRE_URB_FUNCTION_BULK_OR_INTERRUPT_TRANSFER)
        return false;
    if (!held)
        held = urb->request_id;
    response->action = FAKE_HOLD;
    return true;
}

static World *new_stream_world(uint8_t alternate)
{
    held = 0;
    World *world = world_new(NULL, &fake_device_streams, NULL);
    world->on_urb = hold;
    world_connect_guest(world);
    fake_guest_set_configuration(world->guest, 1);
    if (alternate)
        fake_guest_set_alt_setting(world->guest, 0, alternate);
    world_turn(world);
    rdpusb_bridge_start_capture(world->bridge, &small, world->now);
    return world;
}

static void test_iso_in(void)
{
    WireIsoPacket packets[10] = {{.length = 3}, {.length = 2}};
    WireIsochTransferResult result = {.iso_packets = {.count = 10, .packets = packets}};
    uint8_t bytes[12 + 10 * WIRE_ISO_PACKET_SIZE];
    WireCursor c = wire_writer(bytes, sizeof bytes);
    wire_isoch_transfer_result(&c, &result);
    g_autoptr(World) world = new_stream_world(1);
    fake_guest_start_iso_stream(world->guest, 0x83, 10, 6);
    world_turn(world);
    FakeResponse response = {.ts_urb_result = {bytes, sizeof bytes},
                             .data = {(const uint8_t *) "abcde", 5}};
    g_assert_true(fake_client_complete(world->client, world->device, held, &response));
    world_turn(world);
    g_autoptr(GPtrArray) frames = world_frames(world);
    assert_comment(frames, "guest: start_iso_stream 0x83");
    assert_comment(frames, "device: iso_stream_status 0x83: success");
    g_assert_cmpuint(frames->len, ==, 2 + 2 * 10);
    for (unsigned i = 0; i < 2; i++) {
        const Frame *submission = frame(frames, 2 + 2 * i), *completion = frame(frames, 3 + 2 * i);
        g_assert_cmpint(submission->event, ==, 'S');
        g_assert_cmpuint(submission->length, ==, 192);
        g_assert_cmpint(completion->event, ==, 'C');
        g_assert_cmpuint(completion->transfer, ==, 0);
        g_assert_cmphex(completion->urb, ==, submission->urb);
        const uint8_t *data = g_bytes_get_data(completion->data, NULL);
        g_assert_cmpmem(data + USBMON_ISO_DESCRIPTOR,
                        g_bytes_get_size(completion->data) - USBMON_ISO_DESCRIPTOR,
                        i == 0 ? "abc" : "de", i == 0 ? 3 : 2);
    }
}

static void test_iso_out(void)
{
    g_autoptr(World) world = new_stream_world(1);
    fake_guest_start_iso_stream(world->guest, 0x04, 2, 2);
    fake_guest_iso_out(world->guest, 0x04, "sound", 5);
    world_turn(world);
    g_autoptr(GPtrArray) frames = world_frames(world);
    const Frame *submission = the_frame(frames, 'S', 0, 0x04);
    g_assert_cmpuint(the_frame(frames, 'C', 0, 0x04)->length, ==, 5);
    const uint8_t *data = g_bytes_get_data(submission->data, NULL);
    g_assert_cmpmem(data + USBMON_ISO_DESCRIPTOR,
                    g_bytes_get_size(submission->data) - USBMON_ISO_DESCRIPTOR, "sound", 5);
}

static void test_bulk_receiving(void)
{
    g_autoptr(World) world = new_stream_world(0);
    fake_guest_start_bulk_receiving(world->guest, 0x81, 512, 2);
    world_turn(world);
    FakeResponse response = {.data = {(const uint8_t *) "serial", 6}};
    g_assert_true(fake_client_complete(world->client, world->device, held, &response));
    world_turn(world);
    g_autoptr(GPtrArray) frames = world_frames(world);
    assert_comment(frames, "guest: start_bulk_receiving 0x81");
    assert_comment(frames, "device: bulk_receiving_status 0x81: success");
    g_assert_cmpuint(the_frame(frames, 'S', 3, 0x81)->length, ==, 512);
    const Frame *completion = the_frame(frames, 'C', 3, 0x81);
    g_assert_cmpmem(g_bytes_get_data(completion->data, NULL), g_bytes_get_size(completion->data),
                    "serial", 6);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/capture/pcapng/section", test_section);
    g_test_add_func("/capture/pcapng/interface", test_interface);
    g_test_add_func("/capture/pcapng/packet", test_packet);
    g_test_add_func("/capture/pcapng/texts", test_texts);
    g_test_add_func("/capture/usbmon/control-submission", test_control_submission);
    g_test_add_func("/capture/usbmon/bulk-completion", test_bulk_completion);
    g_test_add_func("/capture/usbmon/iso-completion", test_iso_completion);
    g_test_add_func("/capture/usbmon/flags", test_flags);
    g_test_add_func("/capture/statuses", test_statuses);
    g_test_add_func("/capture/pair", test_pair);
    g_test_add_func("/capture/cancel", test_cancel);
    g_test_add_func("/capture/gone", test_gone);
    g_test_add_func("/capture/values", test_values);
    g_test_add_func("/capture/limit", test_limit);
    g_test_add_func("/capture/bridge/everything", test_bridge);
    g_test_add_func("/capture/bridge/late", test_bridge_late);
    g_test_add_func("/capture/bridge/cancel", test_bridge_cancel);
    g_test_add_func("/capture/bridge/dropped", test_bridge_dropped);
    g_test_add_func("/capture/bridge/iso-in", test_iso_in);
    g_test_add_func("/capture/bridge/iso-out", test_iso_out);
    g_test_add_func("/capture/bridge/bulk-receiving", test_bulk_receiving);
    return g_test_run();
}
