/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Transfers behave as libusb documents: completion, cancellation, timeouts, halts, claims, event
 * handling. */
#include "gadget-test.h"
#include "vendor-gadget.h"

#include <poll.h>
#include <string.h>

#define PRODUCT   0x0003
#define TIMEOUT   2000
#define BULK      LIBUSB_TRANSFER_TYPE_BULK
#define INTERRUPT LIBUSB_TRANSFER_TYPE_INTERRUPT

struct fixture {
    libusb_context *context;
    libusb_device_handle *handle;
};

static void set_up(struct fixture *f, gconstpointer unused)
{
    g_assert_cmpint(libusb_init(&f->context), ==, 0);
    f->handle = test_gadgets_open(f->context, PRODUCT, 2);
}

static void tear_down(struct fixture *f, gconstpointer unused)
{
    libusb_reset_device(f->handle);
    libusb_close(f->handle);
    libusb_exit(f->context);
}

static struct test_transfer *submit(struct fixture *f, guint8 endpoint, guint8 type, gsize length,
                                    unsigned timeout)
{
    struct test_transfer *test = test_transfer_new(f->handle, endpoint, type, length, timeout);
    g_assert_cmpint(libusb_submit_transfer(test->transfer), ==, 0);
    return test;
}

/* Waits, compares, and frees. */
static void expect(struct fixture *f, struct test_transfer *test,
                   enum libusb_transfer_status status, int actual)
{
    test_transfer_wait(f->context, test);
    g_assert_cmpint(test->transfer->status, ==, status);
    g_assert_cmpint(test->transfer->actual_length, ==, actual);
    test_transfer_free(test);
}

/* A transfer that the device could serve at once is still completed in event handling only. */
static void test_completes_in_event_handling(struct fixture *f, gconstpointer unused)
{
    struct test_transfer *test = submit(f, VENDOR_BULK_SOURCE, BULK, 2048, 0);
    g_assert_cmpint(libusb_submit_transfer(test->transfer), ==, LIBUSB_ERROR_BUSY);
    g_assert_cmpint(test->completed, ==, 0);
    for (unsigned i = 0; i < 2048; i++)
        g_assert_cmpuint(test->buffer[i], ==, vendor_sequence(i));
    test_transfer_wait(f->context, test);
    g_assert_cmpint(test->completed, ==, 1);
    expect(f, test, LIBUSB_TRANSFER_COMPLETED, 2048);
}

static gpointer handle_events(gpointer data)
{
    struct test_transfer *test = data;
    test_transfer_wait(NULL, test);
    return NULL;
}

static void test_second_thread(struct fixture *f, gconstpointer unused)
{
    g_assert_cmpint(libusb_init(NULL), ==, 0);
    libusb_device_handle *handle = libusb_open_device_with_vid_pid(NULL, 0x1209, PRODUCT);
    g_assert_cmpint(libusb_release_interface(f->handle, 0), ==, 0);
    g_assert_cmpint(libusb_claim_interface(handle, 0), ==, 0);
    struct test_transfer *test =
        test_transfer_new(handle, VENDOR_BULK_LOOPBACK_IN, BULK, 512, TIMEOUT);
    guint8 data[100] = {1, 2, 3};
    int actual;
    g_assert_cmpint(libusb_submit_transfer(test->transfer), ==, 0);
    GThread *thread = g_thread_new("events", handle_events, test);
    g_assert_cmpint(
        libusb_bulk_transfer(handle, VENDOR_BULK_LOOPBACK_OUT, data, sizeof data, &actual, TIMEOUT),
        ==, 0);
    g_thread_join(thread);
    g_assert_cmpint(test->transfer->actual_length, ==, sizeof data);
    g_assert_cmpmem(test->buffer, sizeof data, data, sizeof data);
    test_transfer_free(test);
    libusb_close(handle);
    libusb_exit(NULL);
}

static void test_cancel(struct fixture *f, gconstpointer unused)
{
    struct test_transfer *test = submit(f, VENDOR_BULK_LOOPBACK_IN, BULK, 512, 0);
    g_assert_cmpint(libusb_cancel_transfer(test->transfer), ==, 0);
    g_assert_cmpint(libusb_cancel_transfer(test->transfer), ==, LIBUSB_ERROR_NOT_FOUND);
    g_assert_cmpint(test->completed, ==, 0);
    test_transfer_wait(f->context, test);
    g_assert_cmpint(libusb_cancel_transfer(test->transfer), ==, LIBUSB_ERROR_NOT_FOUND);
    expect(f, test, LIBUSB_TRANSFER_CANCELLED, 0);
}

/* What had arrived before the cancellation is kept. */
static void test_cancel_keeps_data(struct fixture *f, gconstpointer unused)
{
    guint8 data[512];
    int actual;
    memset(data, 0x5a, sizeof data);
    struct test_transfer *test = submit(f, VENDOR_BULK_LOOPBACK_IN, BULK, 4096, 0);
    g_assert_cmpint(libusb_bulk_transfer(f->handle, VENDOR_BULK_LOOPBACK_OUT, data, sizeof data,
                                         &actual, TIMEOUT),
                    ==, 0);
    g_assert_cmpint(libusb_cancel_transfer(test->transfer), ==, 0);
    g_assert_cmpmem(test->buffer, 512, data, sizeof data);
    expect(f, test, LIBUSB_TRANSFER_CANCELLED, 512);
}

static void test_timeout(struct fixture *f, gconstpointer unused)
{
    guint8 data[512] = {0};
    int actual = -1;
    gint64 before = g_get_monotonic_time();
    struct test_transfer *test = submit(f, VENDOR_BULK_LOOPBACK_IN, BULK, 1024, 50);
    g_assert_cmpint(libusb_bulk_transfer(f->handle, VENDOR_BULK_LOOPBACK_OUT, data, sizeof data,
                                         &actual, TIMEOUT),
                    ==, 0);
    expect(f, test, LIBUSB_TRANSFER_TIMED_OUT, 512);
    g_assert_cmpint(g_get_monotonic_time() - before, >=, 50 * 1000);
    g_assert_cmpint(libusb_control_transfer(f->handle, 0xc0, VENDOR_NEVER, 0, 0, data, 1, 20), ==,
                    LIBUSB_ERROR_TIMEOUT);
    /* A request that timed out leaves nothing behind. */
    before = g_get_monotonic_time();
    g_assert_cmpint(libusb_control_transfer(f->handle, 0xc0, VENDOR_DELAY, 500, 0, data, 4, 20), ==,
                    LIBUSB_ERROR_TIMEOUT);
    g_assert_cmpint(libusb_control_transfer(f->handle, 0xc0, VENDOR_DELAY, 30, 0, data, 4, 1000),
                    ==, 4);
    g_assert_cmpint(g_get_monotonic_time() - before, >=, 50 * 1000);
}

/* Transfers of one endpoint are served in the order of submission. */
static void test_order(struct fixture *f, gconstpointer unused)
{
    struct test_transfer *tests[8];
    g_free(test_gadgets_tell("hold 1 81"));
    for (gsize i = 0; i < G_N_ELEMENTS(tests); i++)
        tests[i] = submit(f, VENDOR_BULK_SOURCE, BULK, 512, 0);
    g_assert_cmpuint(test_gadgets_stat(1, "ep81.pending"), ==, 8);
    g_free(test_gadgets_tell("release 1 81"));
    for (gsize i = 0; i < G_N_ELEMENTS(tests); i++) {
        test_transfer_wait(f->context, tests[i]);
        for (gsize j = 0; j < 512; j++)
            g_assert_cmpuint(tests[i]->buffer[j], ==, vendor_sequence(i * 512 + j));
        expect(f, tests[i], LIBUSB_TRANSFER_COMPLETED, 512);
    }
}

static void test_halt(struct fixture *f, gconstpointer unused)
{
    guint8 data[64], status[2];
    int actual;
    struct test_transfer *test = submit(f, VENDOR_BULK_LOOPBACK_IN, BULK, 512, 0);
    g_free(test_gadgets_tell("stall 1 82"));
    expect(f, test, LIBUSB_TRANSFER_STALL, 0);
    expect(f, submit(f, VENDOR_BULK_LOOPBACK_IN, BULK, 512, 0), LIBUSB_TRANSFER_STALL, 0);
    g_assert_cmpint(libusb_control_transfer(f->handle, 0x82, LIBUSB_REQUEST_GET_STATUS, 0, 0x82,
                                            status, 2, TIMEOUT),
                    ==, 2);
    g_assert_cmpuint(status[0], ==, 1);
    g_assert_cmpint(libusb_clear_halt(f->handle, 0x82), ==, 0);
    g_assert_cmpint(libusb_clear_halt(f->handle, 0x8f), ==, LIBUSB_ERROR_NOT_FOUND);
    g_assert_cmpint(libusb_bulk_transfer(f->handle, 0x82, data, 64, &actual, 10), ==,
                    LIBUSB_ERROR_TIMEOUT);
    /* The other way: with the standard request. */
    g_free(test_gadgets_tell("stall 1 81"));
    g_assert_cmpint(libusb_bulk_transfer(f->handle, 0x81, data, 64, &actual, TIMEOUT), ==,
                    LIBUSB_ERROR_PIPE);
    g_assert_cmpint(libusb_control_transfer(f->handle, 0x02, LIBUSB_REQUEST_CLEAR_FEATURE, 0, 0x81,
                                            NULL, 0, TIMEOUT),
                    ==, 0);
    g_assert_cmpint(libusb_bulk_transfer(f->handle, 0x81, data, 64, &actual, TIMEOUT), ==,
                    LIBUSB_ERROR_OVERFLOW);
}

static void test_short_and_empty_packets(struct fixture *f, gconstpointer unused)
{
    guint8 data[1024];
    int actual;
    g_free(test_gadgets_tell("short 1 81 700"));
    expect(f, submit(f, VENDOR_BULK_SOURCE, BULK, 4096, TIMEOUT), LIBUSB_TRANSFER_COMPLETED, 700);
    g_free(test_gadgets_tell("zlp 1 81 2"));
    expect(f, submit(f, VENDOR_BULK_SOURCE, BULK, 4096, TIMEOUT), LIBUSB_TRANSFER_COMPLETED, 0);
    expect(f, submit(f, VENDOR_BULK_SOURCE, BULK, 4096, TIMEOUT), LIBUSB_TRANSFER_COMPLETED, 0);
    struct test_transfer *test = submit(f, VENDOR_BULK_SOURCE, BULK, 4096, TIMEOUT);
    test_transfer_wait(f->context, test);
    for (gsize i = 0; i < 4096; i++)
        g_assert_cmpuint(test->buffer[i], ==, vendor_sequence(700 + i));
    expect(f, test, LIBUSB_TRANSFER_COMPLETED, 4096);

    test = test_transfer_new(f->handle, VENDOR_BULK_LOOPBACK_OUT, BULK, 1024, TIMEOUT);
    test->transfer->flags = LIBUSB_TRANSFER_ADD_ZERO_PACKET;
    g_assert_cmpint(libusb_submit_transfer(test->transfer), ==, 0);
    expect(f, test, LIBUSB_TRANSFER_COMPLETED, 1024);
    expect(f, submit(f, VENDOR_BULK_LOOPBACK_IN, BULK, 4096, 0), LIBUSB_TRANSFER_COMPLETED, 1024);
    expect(f, submit(f, VENDOR_BULK_LOOPBACK_OUT, BULK, 0, 0), LIBUSB_TRANSFER_COMPLETED, 0);
    expect(f, submit(f, VENDOR_BULK_LOOPBACK_IN, BULK, 512, 0), LIBUSB_TRANSFER_COMPLETED, 0);
    g_assert_cmpint(
        libusb_bulk_transfer(f->handle, VENDOR_BULK_LOOPBACK_IN, data, sizeof data, &actual, 10),
        ==, LIBUSB_ERROR_TIMEOUT);

    test = test_transfer_new(f->handle, VENDOR_BULK_SOURCE, BULK, 1024, TIMEOUT);
    test->transfer->flags = LIBUSB_TRANSFER_SHORT_NOT_OK;
    g_free(test_gadgets_tell("short 1 81 100"));
    g_assert_cmpint(libusb_submit_transfer(test->transfer), ==, 0);
    expect(f, test, LIBUSB_TRANSFER_ERROR, 100);
}

static void test_faults(struct fixture *f, gconstpointer unused)
{
    g_free(test_gadgets_tell("fail 1 81 error"));
    expect(f, submit(f, VENDOR_BULK_SOURCE, BULK, 512, 0), LIBUSB_TRANSFER_ERROR, 0);
    g_free(test_gadgets_tell("refuse 1 81"));
    struct test_transfer *test = test_transfer_new(f->handle, VENDOR_BULK_SOURCE, BULK, 512, 0);
    g_assert_cmpint(libusb_submit_transfer(test->transfer), ==, LIBUSB_ERROR_NO_MEM);
    g_assert_cmpint(libusb_submit_transfer(test->transfer), ==, 0);
    expect(f, test, LIBUSB_TRANSFER_COMPLETED, 512);
    g_free(test_gadgets_tell("delay 1 81 40"));
    gint64 before = g_get_monotonic_time();
    expect(f, submit(f, VENDOR_BULK_SOURCE, BULK, 512, 0), LIBUSB_TRANSFER_COMPLETED, 512);
    g_assert_cmpint(g_get_monotonic_time() - before, >=, 40 * 1000);
    g_free(test_gadgets_tell("delay 1 81 0"));
    g_free(test_gadgets_refused("short 1 01 5"));
    g_free(test_gadgets_refused("stall 1 8f"));
    g_free(test_gadgets_refused("stats 9"));
    g_free(test_gadgets_refused("dance 1"));
}

static void test_control_requests(struct fixture *f, gconstpointer unused)
{
    g_autofree guint8 *sent = g_malloc(4096), *received = g_malloc0(4096);
    struct vendor_counters counters;
    int actual;
    for (gsize i = 0; i < 4096; i++)
        sent[i] = (guint8) (i * 31);
    g_assert_cmpint(
        libusb_control_transfer(f->handle, 0x40, VENDOR_BUFFER, 0, 0, sent, 4096, TIMEOUT), ==,
        4096);
    g_assert_cmpint(
        libusb_control_transfer(f->handle, 0xc0, VENDOR_BUFFER, 0, 0, received, 4096, TIMEOUT), ==,
        4096);
    g_assert_cmpmem(sent, 4096, received, 4096);
    g_assert_cmpint(
        libusb_control_transfer(f->handle, 0xc0, VENDOR_STALL, 0, 0, received, 8, TIMEOUT), ==,
        LIBUSB_ERROR_PIPE);
    const guint8 ten[4] = {10};
    g_assert_cmpint(libusb_control_transfer(f->handle, 0x40, VENDOR_FAULT, VENDOR_FAULT_SHORT,
                                            VENDOR_BULK_SOURCE, (guint8 *) ten, 4, TIMEOUT),
                    ==, 4);
    expect(f, submit(f, VENDOR_BULK_SOURCE, BULK, 512, TIMEOUT), LIBUSB_TRANSFER_COMPLETED, 10);
    for (gsize i = 0; i < 1000; i++)
        sent[i] = vendor_sequence(i);
    sent[999] ^= 1;
    g_assert_cmpint(libusb_bulk_transfer(f->handle, VENDOR_BULK_SINK, sent, 1000, &actual, TIMEOUT),
                    ==, 0);
    g_assert_cmpint(libusb_control_transfer(f->handle, 0xc0, VENDOR_COUNTERS, 0, 0,
                                            (guint8 *) &counters, sizeof counters, TIMEOUT),
                    ==, sizeof counters);
    g_assert_cmpuint(GUINT32_FROM_LE(counters.bulk_sunk), ==, 1000);
    g_assert_cmpuint(GUINT32_FROM_LE(counters.bulk_mismatches), ==, 1);
}

static void test_alternate_setting(struct fixture *f, gconstpointer unused)
{
    guint8 data[64] = {0}, alternate;
    int actual;
    g_assert_cmpint(
        libusb_interrupt_transfer(f->handle, VENDOR_INTERRUPT_SOURCE, data, 64, &actual, TIMEOUT),
        ==, 0);
    g_assert_cmpint(actual, ==, 64);
    struct test_transfer *test = submit(f, VENDOR_INTERRUPT_LOOPBACK_IN, INTERRUPT, 64, 0);
    g_assert_cmpint(libusb_set_interface_alt_setting(f->handle, 1, 1), ==, 0);
    expect(f, test, LIBUSB_TRANSFER_CANCELLED, 0);
    g_assert_cmpint(libusb_set_interface_alt_setting(f->handle, 1, 2), ==, LIBUSB_ERROR_NOT_FOUND);
    g_assert_cmpint(libusb_control_transfer(f->handle, 0x81, LIBUSB_REQUEST_GET_INTERFACE, 0, 1,
                                            &alternate, 1, TIMEOUT),
                    ==, 1);
    g_assert_cmpuint(alternate, ==, 1);
    g_assert_cmpint(libusb_interrupt_transfer(f->handle, VENDOR_INTERRUPT_LOOPBACK_OUT, data, 40,
                                              &actual, TIMEOUT),
                    ==, 0);
    /* The sequence begins again, in packets of the new size. */
    test = submit(f, VENDOR_INTERRUPT_SOURCE, INTERRUPT, 16, TIMEOUT);
    test_transfer_wait(f->context, test);
    for (gsize i = 0; i < 16; i++)
        g_assert_cmpuint(test->buffer[i], ==, vendor_sequence(i));
    expect(f, test, LIBUSB_TRANSFER_COMPLETED, 16);
    /* 40 bytes are packets of 16, 16 and 8: the short one ends the transfer. */
    expect(f, submit(f, VENDOR_INTERRUPT_LOOPBACK_IN, INTERRUPT, 64, 0), LIBUSB_TRANSFER_COMPLETED,
           40);
}

static void test_claims(struct fixture *f, gconstpointer unused)
{
    libusb_device_handle *other = libusb_open_device_with_vid_pid(f->context, 0x1209, PRODUCT);
    g_assert_cmpint(libusb_claim_interface(other, 0), ==, LIBUSB_ERROR_BUSY);
    g_assert_cmpint(libusb_claim_interface(other, 2), ==, LIBUSB_ERROR_NOT_FOUND);
    g_assert_cmpint(libusb_set_configuration(f->handle, 1), ==, LIBUSB_ERROR_BUSY);
    g_assert_cmpint(libusb_release_interface(f->handle, 0), ==, 0);
    g_assert_cmpint(libusb_release_interface(f->handle, 0), ==, LIBUSB_ERROR_NOT_FOUND);
    g_assert_cmpint(libusb_release_interface(f->handle, 1), ==, 0);
    g_assert_cmpint(libusb_set_configuration(f->handle, 7), ==, LIBUSB_ERROR_NOT_FOUND);
    g_assert_cmpint(libusb_set_configuration(f->handle, -1), ==, 0);
    struct libusb_config_descriptor *configuration;
    g_assert_cmpint(libusb_get_active_config_descriptor(libusb_get_device(other), &configuration),
                    ==, LIBUSB_ERROR_NOT_FOUND);
    g_assert_cmpint(libusb_claim_interface(f->handle, 0), ==, LIBUSB_ERROR_NOT_FOUND);
    g_assert_cmpint(libusb_set_configuration(f->handle, 1), ==, 0);
    g_assert_cmpint(libusb_claim_interface(other, 0), ==, 0);
    /* Closing releases what is claimed, and gives up what is in flight without a callback. */
    struct test_transfer *test = test_transfer_new(other, VENDOR_BULK_LOOPBACK_IN, BULK, 512, 0);
    g_assert_cmpint(libusb_submit_transfer(test->transfer), ==, 0);
    libusb_close(other);
    g_assert_cmpuint(test_gadgets_stat(1, "ep82.pending"), ==, 0);
    test_transfer_free(test);
    g_assert_cmpint(libusb_claim_interface(f->handle, 0), ==, 0);
}

/* The configuration with its class-specific bytes in the places where libusb puts them. */
static void test_descriptors(struct fixture *f, gconstpointer unused)
{
    const guint8 of_configuration[] = {4, 0x40, 0xc0, 0x01}, of_endpoint[] = {3, 0x40, 0xe0};
    const guint8 of_interface[] = {5, 0x40, 0x1f, 0x02, 0x03};
    struct libusb_config_descriptor *configuration;
    libusb_device *device = libusb_get_device(f->handle);
    guint8 raw[256];
    g_assert_cmpint(libusb_get_config_descriptor(device, 0, &configuration), ==, 0);
    g_assert_cmpint(configuration->bNumInterfaces, ==, 2);
    g_assert_cmpmem(configuration->extra, configuration->extra_length, of_configuration, 4);
    const struct libusb_interface_descriptor *bulk = &configuration->interface[0].altsetting[0];
    g_assert_cmpint(configuration->interface[0].num_altsetting, ==, 1);
    g_assert_cmpmem(bulk->extra, bulk->extra_length, of_interface, 5);
    g_assert_cmpint(bulk->bNumEndpoints, ==, 4);
    g_assert_cmpmem(bulk->endpoint[0].extra, bulk->endpoint[0].extra_length, of_endpoint, 3);
    g_assert_cmpint(bulk->endpoint[1].wMaxPacketSize, ==, 512);
    g_assert_cmpint(configuration->interface[1].num_altsetting, ==, 2);
    g_assert_cmpint(configuration->interface[1].altsetting[1].endpoint[0].wMaxPacketSize, ==, 16);
    struct libusb_ss_endpoint_companion_descriptor *companion;
    g_assert_cmpint(
        libusb_get_ss_endpoint_companion_descriptor(f->context, &bulk->endpoint[0], &companion), ==,
        LIBUSB_ERROR_NOT_FOUND);
    g_assert_cmpint(libusb_get_descriptor(f->handle, LIBUSB_DT_CONFIG, 0, raw, sizeof raw), ==,
                    configuration->wTotalLength);
    libusb_free_config_descriptor(configuration);
    g_assert_cmpint(libusb_get_config_descriptor(device, 1, &configuration), ==,
                    LIBUSB_ERROR_NOT_FOUND);
    struct libusb_bos_descriptor *bos;
    g_assert_cmpint(libusb_get_bos_descriptor(f->handle, &bos), ==, LIBUSB_ERROR_PIPE);
    g_assert_cmpint(libusb_get_device_speed(device), ==, LIBUSB_SPEED_HIGH);
    g_assert_cmpint(libusb_get_max_packet_size(device, 0x81), ==, 512);
}

static void test_topology(struct fixture *f, gconstpointer unused)
{
    libusb_device *device = libusb_get_device(f->handle), **list;
    uint8_t port, status[4];
    libusb_device_handle *hub;
    g_assert_cmpint(libusb_get_device_list(f->context, &list), ==, 2);
    g_assert_true(list[1] == device && libusb_get_parent(device) == list[0]);
    g_assert_cmpint(libusb_get_port_numbers(device, &port, 1), ==, 1);
    g_assert_cmpint(port, ==, 1);
    g_assert_cmpint(libusb_get_port_numbers(list[0], &port, 1), ==, 0);
    g_assert_cmpint(libusb_open(list[0], &hub), ==, 0);
    g_assert_cmpint(libusb_control_transfer(hub, 0xa3, 0, 0, 1, status, 4, TIMEOUT), ==, 4);
    g_assert_cmpuint(status[0] & 1, ==, 1);
    libusb_close(hub);
    libusb_free_device_list(list, 1);
}

/* The descriptor to poll is readable exactly while something waits to be handled. */
static void test_pollfds(struct fixture *f, gconstpointer unused)
{
    const struct libusb_pollfd **list = libusb_get_pollfds(f->context);
    struct pollfd fd = {.fd = list[0]->fd, .events = list[0]->events};
    g_assert_null(list[1]);
    libusb_free_pollfds(list);
    g_assert_cmpint(poll(&fd, 1, 0), ==, 0);
    struct test_transfer *test = submit(f, VENDOR_BULK_LOOPBACK_IN, BULK, 512, 30);
    g_assert_cmpint(poll(&fd, 1, 0), ==, 0);
    g_assert_cmpint(poll(&fd, 1, TIMEOUT), ==, 1);
    g_assert_cmpint(test->completed, ==, 0);
    expect(f, test, LIBUSB_TRANSFER_TIMED_OUT, 0);
    g_assert_cmpint(poll(&fd, 1, 0), ==, 0);
    libusb_interrupt_event_handler(f->context);
    g_assert_cmpint(poll(&fd, 1, 0), ==, 1);
    g_assert_cmpint(libusb_handle_events(f->context), ==, 0);
    g_assert_cmpint(poll(&fd, 1, 0), ==, 0);
}

struct nested {
    libusb_context *context;
    libusb_device_handle *handle;
    int completed, events, control;
};

static void LIBUSB_CALL handle_inside(struct libusb_transfer *transfer)
{
    struct nested *nested = transfer->user_data;
    guint8 data[1];
    nested->events = libusb_handle_events(nested->context);
    nested->control =
        libusb_control_transfer(nested->handle, 0xc0, VENDOR_BUFFER, 0, 0, data, 1, TIMEOUT);
    nested->completed = 1;
}

static void test_no_nesting(struct fixture *f, gconstpointer unused)
{
    struct nested nested = {f->context, f->handle, 0, 0, 0};
    guint8 data[512];
    struct libusb_transfer *transfer = libusb_alloc_transfer(0);
    libusb_fill_bulk_transfer(transfer, f->handle, VENDOR_BULK_SOURCE, data, 512, handle_inside,
                              &nested, 0);
    g_assert_cmpint(libusb_submit_transfer(transfer), ==, 0);
    while (!nested.completed)
        g_assert_cmpint(libusb_handle_events_completed(f->context, &nested.completed), ==, 0);
    g_assert_cmpint(nested.events, ==, LIBUSB_ERROR_BUSY);
    g_assert_cmpint(nested.control, ==, LIBUSB_ERROR_BUSY);
    libusb_free_transfer(transfer);
}

/* What FreeRDP does: one thread polls with the lock functions, another makes synchronous requests.
 */
static gpointer poll_like_freerdp(gpointer data)
{
    struct fixture *f = data;
    struct timeval limit = {.tv_usec = 500};
    for (int i = 0; i < 200; i++) {
        if (libusb_try_lock_events(f->context) == 0) {
            if (libusb_event_handling_ok(f->context))
                g_assert_cmpint(libusb_handle_events_locked(f->context, &limit), ==, 0);
            libusb_unlock_events(f->context);
        } else {
            libusb_lock_event_waiters(f->context);
            if (libusb_event_handler_active(f->context))
                g_assert_cmpint(libusb_wait_for_event(f->context, &limit), >=, 0);
            libusb_unlock_event_waiters(f->context);
        }
    }
    return NULL;
}

static void test_two_pollers(struct fixture *f, gconstpointer unused)
{
    guint8 data[64];
    GThread *thread = g_thread_new("poll", poll_like_freerdp, f);
    for (int i = 0; i < 100; i++) {
        g_assert_cmpint(
            libusb_control_transfer(f->handle, 0xc0, VENDOR_DELAY, 1, 0, data, 4, TIMEOUT), ==, 4);
        struct test_transfer *test = submit(f, VENDOR_BULK_SOURCE, BULK, 512, TIMEOUT);
        expect(f, test, LIBUSB_TRANSFER_COMPLETED, 512);
    }
    g_thread_join(thread);
}

static void test_refused_submissions(struct fixture *f, gconstpointer unused)
{
    struct test_transfer *test = test_transfer_new(f->handle, 0x8f, BULK, 512, 0);
    g_assert_cmpint(libusb_submit_transfer(test->transfer), ==, LIBUSB_ERROR_IO);
    test->transfer->endpoint = VENDOR_BULK_SOURCE;
    test->transfer->type = LIBUSB_TRANSFER_TYPE_ISOCHRONOUS;
    g_assert_cmpint(libusb_submit_transfer(test->transfer), ==, LIBUSB_ERROR_INVALID_PARAM);
    g_assert_cmpint(libusb_cancel_transfer(test->transfer), ==, LIBUSB_ERROR_NOT_FOUND);
    test_transfer_free(test);
}

#define ADD(name, function)                                                                        \
    g_test_add("/gadgets/transfers/" name, struct fixture, NULL, set_up, function, tear_down)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    test_gadgets_init("vendor");
    ADD("completes-in-event-handling", test_completes_in_event_handling);
    ADD("second-thread", test_second_thread);
    ADD("cancel", test_cancel);
    ADD("cancel-keeps-data", test_cancel_keeps_data);
    ADD("timeout", test_timeout);
    ADD("order", test_order);
    ADD("halt", test_halt);
    ADD("short-and-empty-packets", test_short_and_empty_packets);
    ADD("faults", test_faults);
    ADD("control-requests", test_control_requests);
    ADD("alternate-setting", test_alternate_setting);
    ADD("claims", test_claims);
    ADD("descriptors", test_descriptors);
    ADD("topology", test_topology);
    ADD("pollfds", test_pollfds);
    ADD("no-nesting", test_no_nesting);
    ADD("two-pollers", test_two_pollers);
    ADD("refused-submissions", test_refused_submissions);
    return test_gadgets_run();
}
