/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The stick as a client's driver sees it: Bulk-Only Transport and its error cases, SCSI, the
 * image's bytes. */
#include "gadget-test.h"

#include <stdbool.h>
#include <string.h>

#define PRODUCT     0x0001
#define BULK_IN     0x81
#define BULK_OUT    0x02
#define TIMEOUT     2000
#define IMAGE_SIZE  (1024 * 1024)
#define CSW_LENGTH  13
#define PASSED      0
#define FAILED      1
#define PHASE_ERROR 2

static char *image_path;

struct stick {
    libusb_context *context;
    libusb_device_handle *handle;
    guint32 tag;
};

static void open_stick(struct stick *stick, gconstpointer unused)
{
    g_assert_cmpint(libusb_init(&stick->context), ==, 0);
    stick->handle = test_gadgets_open(stick->context, PRODUCT, 1);
}

static void close_stick(struct stick *stick, gconstpointer unused)
{
    libusb_reset_device(stick->handle);
    libusb_close(stick->handle);
    libusb_exit(stick->context);
}

static int transfer(struct stick *stick, guint8 endpoint, void *data, int length, int *actual)
{
    return libusb_bulk_transfer(stick->handle, endpoint, data, length, actual, TIMEOUT);
}

static void put_le32(guint8 *to, guint32 value)
{
    value = GUINT32_TO_LE(value);
    memcpy(to, &value, 4);
}

static guint32 get_le32(const guint8 *from)
{
    guint32 value;
    memcpy(&value, from, 4);
    return GUINT32_FROM_LE(value);
}

static void send_command(struct stick *stick, const guint8 *cdb, guint8 cdb_length, bool in,
                         guint32 expected)
{
    guint8 cbw[31] = "USBC";
    int actual;
    put_le32(cbw + 4, ++stick->tag);
    put_le32(cbw + 8, expected);
    cbw[12] = in ? 0x80 : 0;
    cbw[14] = cdb_length;
    memcpy(cbw + 15, cdb, cdb_length);
    g_assert_cmpint(transfer(stick, BULK_OUT, cbw, sizeof cbw, &actual), ==, 0);
    g_assert_cmpint(actual, ==, sizeof cbw);
}

static void expect_status(struct stick *stick, guint8 status, guint32 residue)
{
    guint8 csw[512];
    int actual;
    g_assert_cmpint(transfer(stick, BULK_IN, csw, sizeof csw, &actual), ==, 0);
    g_assert_cmpint(actual, ==, CSW_LENGTH);
    g_assert_cmpmem(csw, 4, "USBS", 4);
    g_assert_cmpuint(get_le32(csw + 4), ==, stick->tag);
    g_assert_cmpuint(get_le32(csw + 8), ==, residue);
    g_assert_cmpuint(csw[12], ==, status);
}

static void expect_sense(struct stick *stick, guint8 key, guint8 code)
{
    const guint8 cdb[6] = {0x03, 0, 0, 0, 18, 0};
    guint8 sense[18];
    int actual;
    send_command(stick, cdb, sizeof cdb, true, sizeof sense);
    g_assert_cmpint(transfer(stick, BULK_IN, sense, sizeof sense, &actual), ==, 0);
    g_assert_cmpint(actual, ==, sizeof sense);
    expect_status(stick, PASSED, 0);
    g_assert_cmpuint(sense[2], ==, key);
    g_assert_cmpuint(sense[12], ==, code);
}

static int read_data(struct stick *stick, const guint8 *cdb, guint8 cdb_length, void *data,
                     int length)
{
    int actual = 0;
    send_command(stick, cdb, cdb_length, true, (guint32) length);
    g_assert_cmpint(transfer(stick, BULK_IN, data, length, &actual), ==, 0);
    expect_status(stick, PASSED, (guint32) (length - actual));
    return actual;
}

static void make_rw10(guint8 *cdb, guint8 opcode, guint32 block, guint16 count)
{
    const guint8 bytes[10] = {
        opcode,         0, (guint8) (block >> 24), (guint8) (block >> 16), (guint8) (block >> 8),
        (guint8) block, 0, (guint8) (count >> 8),  (guint8) count,         0};
    memcpy(cdb, bytes, sizeof bytes);
}

static void test_identity(struct stick *stick, gconstpointer unused)
{
    const guint8 inquiry[6] = {0x12, 0, 0, 0, 36, 0};
    const guint8 serial_page[6] = {0x12, 1, 0x80, 0, 255, 0};
    const guint8 capacity_10[10] = {0x25}, capacity_16[16] = {0x9e, 0x10, [13] = 32};
    guint8 data[255];
    unsigned char text[64];
    struct libusb_device_descriptor descriptor;
    g_assert_cmpint(read_data(stick, inquiry, 6, data, 36), ==, 36);
    g_assert_cmpmem(data + 8, 8, "RDPUSB  ", 8);
    g_assert_cmpint(read_data(stick, serial_page, 6, data, 255), ==, 4 + 6);
    g_assert_cmpmem(data + 4, 6, "ABC123", 6);
    g_assert_cmpint(read_data(stick, capacity_10, 10, data, 8), ==, 8);
    g_assert_cmpuint(data[2] << 8 | data[3], ==, IMAGE_SIZE / 512 - 1);
    g_assert_cmpuint(data[6] << 8 | data[7], ==, 512);
    g_assert_cmpint(read_data(stick, capacity_16, 16, data, 32), ==, 32);
    g_assert_cmpuint(data[6] << 8 | data[7], ==, IMAGE_SIZE / 512 - 1);
    g_assert_cmpint(libusb_get_device_descriptor(libusb_get_device(stick->handle), &descriptor), ==,
                    0);
    g_assert_cmpint(libusb_get_string_descriptor_ascii(stick->handle, descriptor.iSerialNumber,
                                                       text, sizeof text),
                    ==, 6);
    g_assert_cmpstr((char *) text, ==, "ABC123");
}

/* The whole medium, in commands of growing size, arrives as it is in the file. */
static void test_read(struct stick *stick, gconstpointer unused)
{
    g_autofree char *image = NULL;
    gsize size;
    g_assert_true(g_file_get_contents(image_path, &image, &size, NULL));
    g_autofree guint8 *data = g_malloc(128 * 1024);
    guint32 blocks = (guint32) size / 512;
    for (guint32 block = 0, count = 1; block < blocks; block += count, count = count * 2 % 255) {
        guint8 cdb[10];
        count = MIN(count, blocks - block);
        make_rw10(cdb, 0x28, block, (guint16) count);
        int length = (int) count * 512;
        g_assert_cmpint(read_data(stick, cdb, 10, data, length), ==, length);
        g_assert_cmpmem(data, length, image + block * 512, length);
    }
}

static void test_write(struct stick *stick, gconstpointer unused)
{
    guint8 cdb[10], data[5 * 512];
    int actual;
    for (gsize i = 0; i < sizeof data; i++)
        data[i] = (guint8) (i * 7 + i / 256);
    make_rw10(cdb, 0x2a, 100, 5);
    send_command(stick, cdb, 10, false, sizeof data);
    /* In two transfers: the device sees packets, not transfers. */
    g_assert_cmpint(transfer(stick, BULK_OUT, data, 1024, &actual), ==, 0);
    g_assert_cmpint(transfer(stick, BULK_OUT, data + 1024, sizeof data - 1024, &actual), ==, 0);
    expect_status(stick, PASSED, 0);
    g_autofree char *image = NULL;
    gsize size;
    g_assert_true(g_file_get_contents(image_path, &image, &size, NULL));
    g_assert_cmpuint(size, ==, IMAGE_SIZE);
    g_assert_cmpmem(image + 100 * 512, sizeof data, data, sizeof data);
}

static void test_beyond_the_end(struct stick *stick, gconstpointer unused)
{
    guint8 cdb[10], data[1024];
    int actual = -1;
    make_rw10(cdb, 0x28, IMAGE_SIZE / 512 - 1, 2);
    send_command(stick, cdb, 10, true, 1024);
    /* Case 4: data expected, none given: stall, and the status after the halt is cleared. */
    g_assert_cmpint(transfer(stick, BULK_IN, data, sizeof data, &actual), ==, LIBUSB_ERROR_PIPE);
    g_assert_cmpint(transfer(stick, BULK_IN, data, sizeof data, &actual), ==, LIBUSB_ERROR_PIPE);
    g_assert_cmpint(libusb_clear_halt(stick->handle, BULK_IN), ==, 0);
    expect_status(stick, FAILED, 1024);
    expect_sense(stick, 5, 0x21);
}

/* Case 9: the client sends data that nobody wants. */
static void test_refused_write(struct stick *stick, gconstpointer unused)
{
    guint8 cdb[10], data[1024] = {0};
    int actual;
    make_rw10(cdb, 0x2a, IMAGE_SIZE / 512, 2);
    send_command(stick, cdb, 10, false, sizeof data);
    g_assert_cmpint(transfer(stick, BULK_OUT, data, sizeof data, &actual), ==, LIBUSB_ERROR_PIPE);
    g_assert_cmpint(libusb_clear_halt(stick->handle, BULK_OUT), ==, 0);
    expect_status(stick, FAILED, sizeof data);
    expect_sense(stick, 5, 0x21);
}

/* Case 5: less than expected, a multiple of the packet size: an empty packet ends it. */
static void test_short_read(struct stick *stick, gconstpointer unused)
{
    guint8 cdb[10], data[2048];
    int actual;
    make_rw10(cdb, 0x28, 7, 2);
    send_command(stick, cdb, 10, true, sizeof data);
    g_assert_cmpint(transfer(stick, BULK_IN, data, sizeof data, &actual), ==, 0);
    g_assert_cmpint(actual, ==, 1024);
    expect_status(stick, PASSED, 1024);
}

/* Case 7 and case 8. */
static void test_phase_errors(struct stick *stick, gconstpointer unused)
{
    guint8 cdb[10], data[1024];
    int actual;
    make_rw10(cdb, 0x28, 7, 4);
    send_command(stick, cdb, 10, true, sizeof data);
    g_assert_cmpint(transfer(stick, BULK_IN, data, sizeof data, &actual), ==, 0);
    g_assert_cmpint(actual, ==, sizeof data);
    expect_status(stick, PHASE_ERROR, 0);
    make_rw10(cdb, 0x2a, 7, 2);
    send_command(stick, cdb, 10, true, sizeof data);
    g_assert_cmpint(transfer(stick, BULK_IN, data, sizeof data, &actual), ==, LIBUSB_ERROR_PIPE);
    g_assert_cmpint(libusb_clear_halt(stick->handle, BULK_IN), ==, 0);
    expect_status(stick, PHASE_ERROR, sizeof data);
}

/* 6.6.1 and 5.3.4: after a bad CBW nothing but reset recovery helps. */
static void test_reset_recovery(struct stick *stick, gconstpointer unused)
{
    const guint8 ready[6] = {0};
    guint8 junk[31] = "JUNK", data[512];
    int actual;
    g_assert_cmpint(transfer(stick, BULK_OUT, junk, sizeof junk, &actual), ==, LIBUSB_ERROR_PIPE);
    g_assert_cmpint(libusb_clear_halt(stick->handle, BULK_OUT), ==, 0);
    g_assert_cmpint(transfer(stick, BULK_OUT, junk, sizeof junk, &actual), ==, LIBUSB_ERROR_PIPE);
    g_assert_cmpint(transfer(stick, BULK_IN, data, sizeof data, &actual), ==, LIBUSB_ERROR_PIPE);
    g_assert_cmpint(libusb_control_transfer(stick->handle, 0x21, 0xff, 0, 0, NULL, 0, TIMEOUT), ==,
                    0);
    g_assert_cmpint(libusb_clear_halt(stick->handle, BULK_IN), ==, 0);
    g_assert_cmpint(libusb_clear_halt(stick->handle, BULK_OUT), ==, 0);
    send_command(stick, ready, sizeof ready, false, 0);
    expect_status(stick, PASSED, 0);
    g_assert_cmpint(libusb_control_transfer(stick->handle, 0xa1, 0xfe, 0, 0, data, 1, TIMEOUT), ==,
                    1);
    g_assert_cmpint(data[0], ==, 0);
}

static void test_unknown_command(struct stick *stick, gconstpointer unused)
{
    const guint8 cdb[6] = {0x1f};
    send_command(stick, cdb, sizeof cdb, false, 0);
    expect_status(stick, FAILED, 0);
    expect_sense(stick, 5, 0x20);
}

#define ADD(name, function)                                                                        \
    g_test_add("/gadgets/storage/" name, struct stick, NULL, open_stick, function, close_stick)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    image_path = test_gadgets_image("stick.img", IMAGE_SIZE);
    g_autofree char *gadgets = g_strdup_printf("storage,image=%s,serial=ABC123", image_path);
    test_gadgets_init(gadgets);
    ADD("identity", test_identity);
    ADD("read", test_read);
    ADD("write", test_write);
    ADD("beyond-the-end", test_beyond_the_end);
    ADD("refused-write", test_refused_write);
    ADD("short-read", test_short_read);
    ADD("phase-errors", test_phase_errors);
    ADD("reset-recovery", test_reset_recovery);
    ADD("unknown-command", test_unknown_command);
    int status = test_gadgets_run();
    g_free(image_path);
    return status;
}
