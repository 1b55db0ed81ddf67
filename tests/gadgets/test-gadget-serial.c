/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The serial adapter: status bytes, latency timer, and what is written comes back. */
#include "gadget-test.h"

#include <string.h>

#define BULK_IN     0x81
#define BULK_OUT    0x02
#define TIMEOUT     2000
#define SET_LATENCY 0x09
#define GET_LATENCY 0x0a

struct fixture {
    libusb_context *context;
    libusb_device_handle *handle;
};

static void set_up(struct fixture *f, gconstpointer unused)
{
    g_assert_cmpint(libusb_init(&f->context), ==, 0);
    f->handle = libusb_open_device_with_vid_pid(f->context, 0x0403, 0x6001);
    g_assert_nonnull(f->handle);
    libusb_set_auto_detach_kernel_driver(f->handle, 1);
    g_assert_cmpint(libusb_claim_interface(f->handle, 0), ==, 0);
}

static void tear_down(struct fixture *f, gconstpointer unused)
{
    libusb_reset_device(f->handle);
    libusb_close(f->handle);
    libusb_exit(f->context);
}

static void check_status(const guint8 *packet)
{
    g_assert_cmpint(packet[0] & 0x0f, ==, 0x01);
    g_assert_cmpint(packet[1] & 0x60, ==, 0x60); /* the transmitter is empty */
}

/* With nothing to say, a packet of status alone comes each latency period. */
static void test_latency_timer(struct fixture *f, gconstpointer unused)
{
    guint8 data[512], latency;
    int actual;
    g_assert_cmpint(
        libusb_control_transfer(f->handle, 0xc0, GET_LATENCY, 0, 0, &latency, 1, TIMEOUT), ==, 1);
    g_assert_cmpint(latency, ==, 16);
    g_assert_cmpint(libusb_control_transfer(f->handle, 0x40, SET_LATENCY, 5, 0, NULL, 0, TIMEOUT),
                    ==, 0);
    gint64 before = g_get_monotonic_time();
    for (int i = 0; i < 4; i++) {
        g_assert_cmpint(libusb_bulk_transfer(f->handle, BULK_IN, data, 512, &actual, TIMEOUT), ==,
                        0);
        g_assert_cmpint(actual, ==, 2);
        check_status(data);
    }
    g_assert_cmpint(g_get_monotonic_time() - before, >=, 3 * 5000);
    g_assert_cmpint(libusb_control_transfer(f->handle, 0x40, SET_LATENCY, 0, 0, NULL, 0, TIMEOUT),
                    ==, LIBUSB_ERROR_PIPE);
}

/* Full packets follow one another at once, each with its status; the last one is short. */
static void test_loopback(struct fixture *f, gconstpointer unused)
{
    guint8 sent[1000], data[64 * 32], received[sizeof sent];
    gsize count = 0;
    int actual;
    for (gsize i = 0; i < sizeof sent; i++)
        sent[i] = (guint8) (i * 7);
    g_assert_cmpint(libusb_bulk_transfer(f->handle, BULK_OUT, sent, sizeof sent, &actual, TIMEOUT),
                    ==, 0);
    g_assert_cmpint(libusb_bulk_transfer(f->handle, BULK_IN, data, sizeof data, &actual, TIMEOUT),
                    ==, 0);
    g_assert_cmpint(actual, ==, 1000 + 2 * 17); /* 62 bytes in each of 16, and 8 */
    for (int at = 0; at < actual; at += 64) {
        int length = MIN(64, actual - at);
        check_status(data + at);
        memcpy(received + count, data + at + 2, (gsize) length - 2);
        count += (gsize) length - 2;
    }
    g_assert_cmpmem(received, count, sent, sizeof sent);
    g_assert_cmpuint(test_gadgets_stat(1, "serial.received"), ==, 1000);
}

/* Nobody reads: the adapter takes what fits, and no more. */
static void test_full_buffer(struct fixture *f, gconstpointer unused)
{
    guint8 data[8192] = {0};
    int actual;
    g_assert_cmpint(libusb_bulk_transfer(f->handle, BULK_OUT, data, sizeof data, &actual, 50), ==,
                    LIBUSB_ERROR_TIMEOUT);
    g_assert_cmpint(actual, ==, 4096);
}

#define ADD(name, function)                                                                        \
    g_test_add("/gadgets/serial/" name, struct fixture, NULL, set_up, function, tear_down)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    test_gadgets_init("serial");
    ADD("latency-timer", test_latency_timer);
    ADD("loopback", test_loopback);
    ADD("full-buffer", test_full_buffer);
    return test_gadgets_run();
}
