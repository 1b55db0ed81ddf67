/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Isochronous transfers keep the time of a bus: what is counted here is packets and intervals. */
#include "gadget-test.h"
#include "isochronous-gadget.h"

#include <string.h>

#define PRODUCT 0x0004
#define SOURCE  ISOCHRONOUS_SOURCE
#define SINK    ISOCHRONOUS_SINK
#define TIMEOUT 2000

/* Newer than some headers. */
int LIBUSB_CALL libusb_get_max_alt_packet_size(libusb_device *device, int interface, int alternate,
                                               unsigned char address);

struct fixture {
    libusb_context *context;
    libusb_device_handle *handle;
};

static void set_up(struct fixture *f, gconstpointer unused)
{
    g_assert_cmpint(libusb_init(&f->context), ==, 0);
    f->handle = test_gadgets_open(f->context, PRODUCT, 1);
}

static void tear_down(struct fixture *f, gconstpointer unused)
{
    g_assert_cmpint(libusb_set_interface_alt_setting(f->handle, 0, ISOCHRONOUS_IDLE), ==, 0);
    libusb_close(f->handle);
    libusb_exit(f->context);
}

static void choose(struct fixture *f, int setting)
{
    g_assert_cmpint(libusb_set_interface_alt_setting(f->handle, 0, setting), ==, 0);
}

static void LIBUSB_CALL completed(struct libusb_transfer *transfer)
{
    struct test_transfer *test = transfer->user_data;
    test->completed++;
}

static struct test_transfer *iso_new(struct fixture *f, guint8 endpoint, int packets,
                                     unsigned packet_length)
{
    struct test_transfer *test = g_new0(struct test_transfer, 1);
    int length = packets * (int) packet_length;
    test->buffer = g_malloc0((gsize) length);
    test->transfer = libusb_alloc_transfer(packets);
    libusb_fill_iso_transfer(test->transfer, f->handle, endpoint, test->buffer, length, packets,
                             completed, test, 0);
    libusb_set_iso_packet_lengths(test->transfer, packet_length);
    return test;
}

static void submit(struct test_transfer *test)
{
    test->completed = 0;
    g_assert_cmpint(libusb_submit_transfer(test->transfer), ==, 0);
}

static struct test_transfer *submitted(struct fixture *f, guint8 endpoint, int packets)
{
    struct test_transfer *test = iso_new(f, endpoint, packets, ISOCHRONOUS_PACKET);
    for (int i = 0; endpoint == SINK && i < packets; i++)
        isochronous_fill(test->buffer + i * ISOCHRONOUS_PACKET, ISOCHRONOUS_PACKET, (guint32) i);
    submit(test);
    return test;
}

static void expect(struct fixture *f, struct test_transfer *test,
                   enum libusb_transfer_status status)
{
    test_transfer_wait(f->context, test);
    g_assert_cmpint(test->transfer->status, ==, status);
}

/* Lets time pass: the other endpoint's clock is the one there is. */
static void pass(struct fixture *f, guint8 endpoint, int ms)
{
    struct test_transfer *test = submitted(f, endpoint, ms);
    expect(f, test, LIBUSB_TRANSFER_COMPLETED);
    test_transfer_free(test);
}

/* --- Streams -------------------------------------------------------------------------------------
 */

struct stream {
    struct test_transfer *ring[8];
    gsize depth;
    guint32 next;          /* the counter that comes without a gap */
    guint64 packets, gaps; /* in packets */
};

/* Every packet is whole, and none comes twice or too early. */
static void check_packets(struct stream *stream, struct test_transfer *test)
{
    for (int i = 0; i < test->transfer->num_iso_packets; i++) {
        const struct libusb_iso_packet_descriptor *packet = &test->transfer->iso_packet_desc[i];
        const guint8 *data = libusb_get_iso_packet_buffer_simple(test->transfer, (unsigned) i);
        g_assert_cmpint(packet->status, ==, LIBUSB_TRANSFER_COMPLETED);
        g_assert_cmpuint(packet->actual_length, ==, packet->length);
        g_assert_true(isochronous_whole(data, packet->length));
        guint32 counter = isochronous_counter(data);
        g_assert_cmpuint(counter, >=, stream->next);
        stream->gaps += stream->packets > 0 ? counter - stream->next : 0;
        stream->next = counter + 1;
        stream->packets++;
    }
}

/* Keeps the ring full until so many packets have come, and says how long it took in microseconds.
 */
static gint64 run_stream(struct fixture *f, struct stream *stream, guint8 endpoint, int packets,
                         unsigned length, guint64 total)
{
    gint64 began = g_get_monotonic_time();
    for (gsize i = 0; i < stream->depth; i++)
        submit(stream->ring[i] = iso_new(f, endpoint, packets, length));
    for (gsize i = 0; stream->packets < total; i = (i + 1) % stream->depth) {
        expect(f, stream->ring[i], LIBUSB_TRANSFER_COMPLETED);
        check_packets(stream, stream->ring[i]);
        submit(stream->ring[i]);
    }
    gint64 took = g_get_monotonic_time() - began;
    for (gsize i = 0; i < stream->depth; i++)
        libusb_cancel_transfer(stream->ring[i]->transfer);
    for (gsize i = 0; i < stream->depth; i++) {
        test_transfer_wait(f->context, stream->ring[i]);
        test_transfer_free(stream->ring[i]);
    }
    return took;
}

/* The bus is never faster than its clock, and what a late program loses is counted. */
static void test_source_keeps_time(struct fixture *f, gconstpointer unused)
{
    struct stream stream = {.depth = 4};
    choose(f, ISOCHRONOUS_BOTH);
    gint64 took = run_stream(f, &stream, SOURCE, 20, ISOCHRONOUS_PACKET, 400);
    g_assert_cmpuint(stream.packets, ==, 400);
    g_assert_cmpint(took, >=, 399 * 1000);
    g_assert_cmpuint(stream.gaps, ==, test_gadgets_stat(1, "ep81.missed"));
    g_assert_cmpuint(test_gadgets_stat(1, "ep81.packets"), >=, 400);
}

static void test_high_bandwidth(struct fixture *f, gconstpointer unused)
{
    struct stream stream = {.depth = 8};
    choose(f, ISOCHRONOUS_FAST);
    gint64 took = run_stream(f, &stream, SOURCE, 64, ISOCHRONOUS_FAST_PACKET, 3200);
    g_assert_cmpint(took, >=, 3199 * 125);
    g_assert_cmpuint(stream.gaps, ==, test_gadgets_stat(1, "ep81.missed"));
}

static void test_idle_intervals_are_lost(struct fixture *f, gconstpointer unused)
{
    struct stream stream = {0};
    choose(f, ISOCHRONOUS_BOTH);
    struct test_transfer *test = submitted(f, SOURCE, 5);
    expect(f, test, LIBUSB_TRANSFER_COMPLETED);
    check_packets(&stream, test);
    pass(f, SINK, 30);
    submit(test);
    expect(f, test, LIBUSB_TRANSFER_COMPLETED);
    check_packets(&stream, test);
    g_assert_cmpuint(stream.gaps, >=, 30);
    g_assert_cmpuint(stream.gaps, ==, test_gadgets_stat(1, "ep81.missed"));
    test_transfer_free(test);
}

/* A transfer that is queued in time follows the one before it without a gap, however late the
 * program handles its events. */
static void test_queued_in_time(struct fixture *f, gconstpointer unused)
{
    struct stream stream = {0};
    choose(f, ISOCHRONOUS_BOTH);
    struct test_transfer *tests[] = {submitted(f, SOURCE, 10), submitted(f, SOURCE, 3),
                                     submitted(f, SOURCE, 7)};
    for (gsize i = 0; i < G_N_ELEMENTS(tests); i++) {
        expect(f, tests[i], LIBUSB_TRANSFER_COMPLETED);
        check_packets(&stream, tests[i]);
        test_transfer_free(tests[i]);
    }
    g_assert_cmpuint(stream.gaps, ==, 0);
    g_assert_cmpuint(stream.packets, ==, 20);
}

/* --- The sink ------------------------------------------------------------------------------------
 */

static void test_sink_counts(struct fixture *f, gconstpointer unused)
{
    static const guint32 counters[] = {7, 8, 8, 9, 12, 11, 12, 13, 14, 15};
    choose(f, ISOCHRONOUS_BOTH);
    struct test_transfer *test = iso_new(f, SINK, G_N_ELEMENTS(counters), ISOCHRONOUS_PACKET);
    for (gsize i = 0; i < G_N_ELEMENTS(counters); i++)
        isochronous_fill(test->buffer + i * ISOCHRONOUS_PACKET, ISOCHRONOUS_PACKET, counters[i]);
    test->buffer[9 * ISOCHRONOUS_PACKET + 100] ^= 1;
    submit(test);
    expect(f, test, LIBUSB_TRANSFER_COMPLETED);
    choose(f, ISOCHRONOUS_IDLE); /* the counts stay */
    g_assert_cmpuint(test_gadgets_stat(1, "iso.received"), ==, 10);
    g_assert_cmpuint(test_gadgets_stat(1, "iso.repeated"), ==, 2);
    g_assert_cmpuint(test_gadgets_stat(1, "iso.lost"), ==, 2);
    g_assert_cmpuint(test_gadgets_stat(1, "iso.out-of-order"), ==, 1);
    g_assert_cmpuint(test_gadgets_stat(1, "iso.damaged"), ==, 1);
    test_transfer_free(test);
}

/* 44.1 kHz: nine packets of 44 samples, one of 45, one after the other in the buffer. */
static void test_uneven_packets(struct fixture *f, gconstpointer unused)
{
    guint64 before = test_gadgets_stat(1, "ep01.bytes");
    choose(f, ISOCHRONOUS_UNEVEN);
    struct test_transfer *test = iso_new(f, SINK, 10, 180);
    guint8 *data = test->buffer;
    for (guint32 i = 0; i < 10; i++) {
        unsigned length = i == 9 ? 180 : 176;
        test->transfer->iso_packet_desc[i].length = length;
        isochronous_fill(data, length, i);
        data += length;
    }
    test->transfer->length = (int) (data - test->buffer);
    submit(test);
    expect(f, test, LIBUSB_TRANSFER_COMPLETED);
    g_assert_cmpuint(test->transfer->iso_packet_desc[9].actual_length, ==, 180);
    g_assert_cmpuint(test_gadgets_stat(1, "iso.received"), ==, 10);
    g_assert_cmpuint(test_gadgets_stat(1, "iso.lost"), ==, 0);
    g_assert_cmpuint(test_gadgets_stat(1, "iso.damaged"), ==, 0);
    g_assert_cmpuint(test_gadgets_stat(1, "ep01.bytes") - before, ==, 9 * 176 + 180);
    test_transfer_free(test);
}

/* --- Cancellation and faults ---------------------------------------------------------------------
 */

/* The packets that had their time are in the transfer, the others were never on the bus. */
static void test_cancel(struct fixture *f, gconstpointer unused)
{
    choose(f, ISOCHRONOUS_BOTH);
    struct test_transfer *test = submitted(f, SOURCE, 60000);
    pass(f, SINK, 20);
    g_assert_cmpint(libusb_cancel_transfer(test->transfer), ==, 0);
    expect(f, test, LIBUSB_TRANSFER_CANCELLED);
    const struct libusb_iso_packet_descriptor *packets = test->transfer->iso_packet_desc;
    int moved = 0;
    while (moved < 60000 && packets[moved].status == LIBUSB_TRANSFER_COMPLETED)
        g_assert_cmpuint(packets[moved++].actual_length, ==, ISOCHRONOUS_PACKET);
    g_assert_cmpint(moved, >=, 19);
    g_assert_cmpint(moved, <, 60000);
    for (int i = moved; i < 60000; i++) {
        g_assert_cmpint(packets[i].status, ==, LIBUSB_TRANSFER_ERROR);
        g_assert_cmpuint(packets[i].actual_length, ==, 0);
    }
    test_transfer_free(test);
    /* The stream was ended, so the time until the next one is not missed. */
    pass(f, SINK, 5);
    pass(f, SOURCE, 1);
    g_assert_cmpuint(test_gadgets_stat(1, "ep81.missed"), ==, 0);
}

static void test_setting_ends_stream(struct fixture *f, gconstpointer unused)
{
    choose(f, ISOCHRONOUS_BOTH);
    struct test_transfer *test = submitted(f, SOURCE, 60000);
    choose(f, ISOCHRONOUS_IDLE);
    expect(f, test, LIBUSB_TRANSFER_CANCELLED);
    g_assert_cmpint(libusb_submit_transfer(test->transfer), ==, LIBUSB_ERROR_IO);
    test_transfer_free(test);
}

static void test_packet_faults(struct fixture *f, gconstpointer unused)
{
    choose(f, ISOCHRONOUS_BOTH);
    g_free(test_gadgets_tell("fail-packet 1 81 error 2"));
    g_free(test_gadgets_tell("short 1 81 10"));
    struct test_transfer *test = submitted(f, SOURCE, 5);
    expect(f, test, LIBUSB_TRANSFER_COMPLETED);
    const struct libusb_iso_packet_descriptor *packets = test->transfer->iso_packet_desc;
    for (int i = 0; i < 5; i++) {
        g_assert_cmpint(packets[i].status, ==,
                        i < 2 ? LIBUSB_TRANSFER_ERROR : LIBUSB_TRANSFER_COMPLETED);
        g_assert_cmpuint(packets[i].actual_length, ==,
                         i < 2    ? 0
                         : i == 2 ? 10
                                  : ISOCHRONOUS_PACKET);
    }
    test_transfer_free(test);
    test = iso_new(f, SOURCE, 1, 100); /* less room than the packet needs */
    submit(test);
    expect(f, test, LIBUSB_TRANSFER_COMPLETED);
    g_assert_cmpint(test->transfer->iso_packet_desc[0].status, ==, LIBUSB_TRANSFER_OVERFLOW);
    test_transfer_free(test);
    g_free(test_gadgets_refused("stall 1 81"));
    g_free(test_gadgets_refused("fail-packet 1 0 error"));
}

static void test_transfer_faults(struct fixture *f, gconstpointer unused)
{
    choose(f, ISOCHRONOUS_BOTH);
    g_free(test_gadgets_tell("fail 1 81 error"));
    struct test_transfer *test = submitted(f, SOURCE, 2);
    expect(f, test, LIBUSB_TRANSFER_ERROR);
    g_assert_cmpint(test->transfer->iso_packet_desc[0].status, ==, LIBUSB_TRANSFER_ERROR);
    g_free(test_gadgets_tell("refuse 1 81"));
    g_assert_cmpint(libusb_submit_transfer(test->transfer), ==, LIBUSB_ERROR_NO_MEM);
    g_free(test_gadgets_tell("hold 1 81"));
    submit(test);
    pass(f, SINK, 10);
    g_assert_cmpuint(test_gadgets_stat(1, "ep81.pending"), ==, 1);
    g_free(test_gadgets_tell("release 1 81"));
    expect(f, test, LIBUSB_TRANSFER_COMPLETED);
    test_transfer_free(test);
}

/* A transfer that is lost holds nothing up, and comes back when it is cancelled. */
static void test_silent_transfer(struct fixture *f, gconstpointer unused)
{
    choose(f, ISOCHRONOUS_BOTH);
    g_free(test_gadgets_tell("silent 1 81"));
    struct test_transfer *lost = submitted(f, SOURCE, 2);
    pass(f, SOURCE, 4);
    g_assert_cmpint(lost->completed, ==, 0);
    g_assert_cmpint(libusb_cancel_transfer(lost->transfer), ==, 0);
    expect(f, lost, LIBUSB_TRANSFER_CANCELLED);
    g_assert_cmpuint(lost->transfer->iso_packet_desc[0].actual_length, ==, 0);
    test_transfer_free(lost);
}

static void test_timeout(struct fixture *f, gconstpointer unused)
{
    choose(f, ISOCHRONOUS_BOTH);
    struct test_transfer *test = iso_new(f, SOURCE, 60000, ISOCHRONOUS_PACKET);
    test->transfer->timeout = 30;
    submit(test);
    expect(f, test, LIBUSB_TRANSFER_TIMED_OUT);
    g_assert_cmpint(test->transfer->iso_packet_desc[27].status, ==, LIBUSB_TRANSFER_COMPLETED);
    test_transfer_free(test);
}

/* --- What libusb says ----------------------------------------------------------------------------
 */

static void test_packet_sizes(struct fixture *f, gconstpointer unused)
{
    libusb_device *device = libusb_get_device(f->handle);
    g_assert_cmpint(libusb_get_device_speed(device), ==, LIBUSB_SPEED_HIGH);
    g_assert_cmpint(libusb_get_max_iso_packet_size(device, SOURCE), ==, ISOCHRONOUS_PACKET);
    g_assert_cmpint(libusb_get_max_alt_packet_size(device, 0, ISOCHRONOUS_FAST, SOURCE), ==,
                    ISOCHRONOUS_FAST_PACKET);
    g_assert_cmpint(libusb_get_max_alt_packet_size(device, 0, ISOCHRONOUS_UNEVEN, SOURCE), ==,
                    LIBUSB_ERROR_NOT_FOUND);
}

static void test_full_speed(struct fixture *f, gconstpointer unused)
{
    struct fixture full = {.context = f->context};
    full.handle = libusb_open_device_with_vid_pid(f->context, 0x1209, 0xf004);
    libusb_device *device = libusb_get_device(full.handle);
    g_assert_cmpint(libusb_get_device_speed(device), ==, LIBUSB_SPEED_FULL);
    g_assert_cmpint(libusb_get_max_alt_packet_size(device, 0, ISOCHRONOUS_FAST, SOURCE), ==,
                    ISOCHRONOUS_FAST_PACKET_FULL);
    g_assert_cmpint(libusb_claim_interface(full.handle, 0), ==, 0);
    choose(&full, ISOCHRONOUS_FAST);
    struct stream stream = {.depth = 4};
    gint64 took = run_stream(&full, &stream, SOURCE, 10, ISOCHRONOUS_FAST_PACKET_FULL, 60);
    g_assert_cmpint(took, >=, 59 * 1000);
    libusb_close(full.handle);
}

static void test_refused_submissions(struct fixture *f, gconstpointer unused)
{
    guint8 data[ISOCHRONOUS_PACKET];
    int actual;
    choose(f, ISOCHRONOUS_BOTH);
    struct test_transfer *test = iso_new(f, SOURCE, 2, ISOCHRONOUS_PACKET);
    test->transfer->iso_packet_desc[1].length = ISOCHRONOUS_PACKET + 1;
    g_assert_cmpint(libusb_submit_transfer(test->transfer), ==, LIBUSB_ERROR_INVALID_PARAM);
    test->transfer->iso_packet_desc[0].length = 100;
    g_assert_cmpint(libusb_submit_transfer(test->transfer), ==, LIBUSB_ERROR_IO);
    test->transfer->num_iso_packets = 0;
    g_assert_cmpint(libusb_submit_transfer(test->transfer), ==, LIBUSB_ERROR_INVALID_PARAM);
    test_transfer_free(test);
    g_assert_cmpint(libusb_bulk_transfer(f->handle, SOURCE, data, sizeof data, &actual, TIMEOUT),
                    ==, LIBUSB_ERROR_IO);
}

#define ADD(name, function)                                                                        \
    g_test_add("/gadgets/isochronous/" name, struct fixture, NULL, set_up, function, tear_down)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    test_gadgets_init("isochronous;isochronous,speed=full,id=1209:f004");
    ADD("source-keeps-time", test_source_keeps_time);
    ADD("high-bandwidth", test_high_bandwidth);
    ADD("idle-intervals-are-lost", test_idle_intervals_are_lost);
    ADD("queued-in-time", test_queued_in_time);
    ADD("sink-counts", test_sink_counts);
    ADD("uneven-packets", test_uneven_packets);
    ADD("cancel", test_cancel);
    ADD("setting-ends-stream", test_setting_ends_stream);
    ADD("packet-faults", test_packet_faults);
    ADD("transfer-faults", test_transfer_faults);
    ADD("silent-transfer", test_silent_transfer);
    ADD("timeout", test_timeout);
    ADD("packet-sizes", test_packet_sizes);
    ADD("full-speed", test_full_speed);
    ADD("refused-submissions", test_refused_submissions);
    return test_gadgets_run();
}
