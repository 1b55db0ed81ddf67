/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gadget-test.h"

#include <glib/gstdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static char *directory;

void test_gadgets_init(const char *gadgets)
{
    g_autofree char *path = NULL;
    if (!directory)
        directory = g_dir_make_tmp("rdpusb-gadgets-XXXXXX", NULL);
    path = g_build_filename(directory, "control", NULL);
    g_setenv("RDPUSB_GADGETS", gadgets, TRUE);
    g_setenv("RDPUSB_GADGETS_CONTROL", path, TRUE);
}

int test_gadgets_run(void)
{
    int status = g_test_run();
    const char *name;
    GDir *entries = g_dir_open(directory, 0, NULL);
    while ((name = g_dir_read_name(entries))) {
        g_autofree char *path = g_build_filename(directory, name, NULL);
        g_unlink(path);
    }
    g_dir_close(entries);
    g_rmdir(directory);
    g_clear_pointer(&directory, g_free);
    return status;
}

char *test_gadgets_image(const char *name, gsize size)
{
    g_autofree guint8 *bytes = g_malloc(size);
    if (!directory)
        directory = g_dir_make_tmp("rdpusb-gadgets-XXXXXX", NULL);
    for (gsize i = 0; i < size; i++)
        bytes[i] = (guint8) g_random_int();
    char *path = g_build_filename(directory, name, NULL);
    g_assert_true(g_file_set_contents(path, (char *) bytes, (gssize) size, NULL));
    return path;
}

/* --- Control socket ------------------------------------------------------------------------------
 */

static char *ask(const char *line)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    g_strlcpy(address.sun_path, g_getenv("RDPUSB_GADGETS_CONTROL"), sizeof address.sun_path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    g_assert_cmpint(connect(fd, (struct sockaddr *) &address, sizeof address), ==, 0);
    g_assert_cmpint(write(fd, line, strlen(line)), ==, (gssize) strlen(line));
    g_assert_cmpint(write(fd, "\n", 1), ==, 1);
    g_autoptr(GString) answer = g_string_new(NULL);
    while (!strchr(answer->str, '\n')) {
        char piece[4096];
        gssize got = read(fd, piece, sizeof piece);
        g_assert_cmpint(got, >, 0);
        g_string_append_len(answer, piece, got);
    }
    close(fd);
    return g_strchomp(g_strdup(answer->str));
}

char *test_gadgets_tell(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *line = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    g_autofree char *answer = ask(line);
    if (!g_str_has_prefix(answer, "ok"))
        g_error("%s: %s", line, answer);
    return g_strdup(answer + 2);
}

char *test_gadgets_refused(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *line = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    g_autofree char *answer = ask(line);
    if (!g_str_has_prefix(answer, "error "))
        g_error("%s: %s", line, answer);
    return g_strdup(answer + strlen("error "));
}

guint64 test_gadgets_stat(unsigned gadget, const char *key)
{
    g_autofree char *answer = test_gadgets_tell("stats %u", gadget);
    g_autofree char *wanted = g_strdup_printf(" %s=", key);
    const char *found = strstr(answer, wanted);
    if (!found)
        g_error("no %s in the stats of gadget %u: %s", key, gadget, answer);
    return g_ascii_strtoull(found + strlen(wanted), NULL, 10);
}

/* --- Devices and transfers -----------------------------------------------------------------------
 */

libusb_device_handle *test_gadgets_open(libusb_context *context, guint16 product_id, int interfaces)
{
    libusb_device_handle *handle = libusb_open_device_with_vid_pid(context, 0x1209, product_id);
    g_assert_nonnull(handle);
    libusb_set_auto_detach_kernel_driver(handle, 1);
    for (int i = 0; i < interfaces; i++)
        g_assert_cmpint(libusb_claim_interface(handle, i), ==, 0);
    return handle;
}

static void LIBUSB_CALL completed(struct libusb_transfer *transfer)
{
    struct test_transfer *test = transfer->user_data;
    g_atomic_int_inc(&test->completed); /* perhaps in another thread than the one that waits */
}

struct test_transfer *test_transfer_new(libusb_device_handle *handle, guint8 endpoint, guint8 type,
                                        gsize length, unsigned timeout)
{
    struct test_transfer *test = g_new0(struct test_transfer, 1);
    test->buffer = g_malloc0(length);
    test->transfer = libusb_alloc_transfer(0);
    libusb_fill_bulk_transfer(test->transfer, handle, endpoint, test->buffer, (int) length,
                              completed, test, timeout);
    test->transfer->type = type;
    return test;
}

struct test_transfer *test_iso_transfer_new(libusb_device_handle *handle, guint8 endpoint,
                                            int packets, unsigned packet_length)
{
    struct test_transfer *test = g_new0(struct test_transfer, 1);
    int length = packets * (int) packet_length;
    test->buffer = g_malloc0((gsize) length);
    test->transfer = libusb_alloc_transfer(packets);
    libusb_fill_iso_transfer(test->transfer, handle, endpoint, test->buffer, length, packets,
                             completed, test, 0);
    libusb_set_iso_packet_lengths(test->transfer, packet_length);
    return test;
}

void test_transfer_free(struct test_transfer *test)
{
    libusb_free_transfer(test->transfer);
    g_free(test->buffer);
    g_free(test);
}

void test_transfer_wait(libusb_context *context, struct test_transfer *test)
{
    while (!g_atomic_int_get(&test->completed))
        g_assert_cmpint(libusb_handle_events_completed(context, &test->completed), ==, 0);
}
