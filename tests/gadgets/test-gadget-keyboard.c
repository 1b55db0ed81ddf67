/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The keyboard as a HID driver reads it: its reports, decoded, are the text. */
#include "gadget-test.h"

#include <string.h>

#define PRODUCT      0x0002
#define INTERRUPT_IN 0x81
#define TIMEOUT      2000

/* The US layout from the HID usage tables, written down a second time on purpose. */
static const char unshifted[] = "abcdefghijklmnopqrstuvwxyz1234567890\n\x1b\b\t -=[]\\?;'`,./";
static const char shifted[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ!@#$%^&*()\n\x1b\b\t _+{}|?:\"~<>?";

static char read_character(libusb_device_handle *handle)
{
    guint8 press[8], release[8];
    int actual;
    g_assert_cmpint(
        libusb_interrupt_transfer(handle, INTERRUPT_IN, press, sizeof press, &actual, TIMEOUT), ==,
        0);
    g_assert_cmpint(actual, ==, sizeof press);
    g_assert_cmpint(
        libusb_interrupt_transfer(handle, INTERRUPT_IN, release, sizeof release, &actual, TIMEOUT),
        ==, 0);
    g_assert_cmpint(actual, ==, sizeof release);
    static const uint8_t released[8] = {0};
    g_assert_cmpmem(release, 8, released, 8);
    g_assert_cmpuint(press[0] & ~0x02, ==, 0);
    g_assert_cmpuint(press[2], >=, 4);
    g_assert_cmpuint(press[2], <, 4 + sizeof unshifted - 1);
    unsigned key = press[2] - 4;
    return press[0] ? shifted[key] : unshifted[key];
}

static void expect_text(libusb_device_handle *handle, const char *text)
{
    g_autoptr(GString) seen = g_string_new(NULL);
    while (seen->len < strlen(text))
        g_string_append_c(seen, read_character(handle));
    g_assert_cmpstr(seen->str, ==, text);
    guint8 report[8];
    int actual;
    g_assert_cmpint(
        libusb_interrupt_transfer(handle, INTERRUPT_IN, report, sizeof report, &actual, 30), ==,
        LIBUSB_ERROR_TIMEOUT);
}

static void test_typing(void)
{
    static const char all[] = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                              "`-=[]\\;',./~_+{}|:\"<>?!@#$%^&*() ";
    libusb_context *context;
    g_assert_cmpint(libusb_init(&context), ==, 0);
    libusb_device_handle *handle = test_gadgets_open(context, PRODUCT, 1);
    expect_text(handle, "Hello, gadget;\n");
    g_autoptr(GString) escaped = g_string_new(all);
    g_string_replace(escaped, "\\", "\\\\", 0);
    g_free(test_gadgets_tell("type 1 %s\\n", escaped->str));
    g_autofree char *line = g_strconcat(all, "\n", NULL);
    expect_text(handle, line);
    g_free(test_gadgets_refused("type 1 \xc3\xa4"));
    g_assert_cmpuint(test_gadgets_stat(1, "keyboard.typed"), ==,
                     strlen("Hello, gadget;\n") + strlen(line));
    libusb_close(handle);
    libusb_exit(context);
}

static void test_requests(void)
{
    libusb_context *context;
    guint8 data[255], leds = 0x02;
    int actual;
    g_assert_cmpint(libusb_init(&context), ==, 0);
    libusb_device_handle *handle = test_gadgets_open(context, PRODUCT, 1);
    int length = libusb_control_transfer(handle, 0x81, LIBUSB_REQUEST_GET_DESCRIPTOR, 0x2200, 0,
                                         data, sizeof data, TIMEOUT);
    struct libusb_config_descriptor *configuration;
    g_assert_cmpint(libusb_get_active_config_descriptor(libusb_get_device(handle), &configuration),
                    ==, 0);
    const struct libusb_interface_descriptor *interface =
        &configuration->interface[0].altsetting[0];
    g_assert_cmpint(interface->extra_length, ==, 9);
    g_assert_cmpint(interface->extra[7], ==, length);
    libusb_free_config_descriptor(configuration);
    g_assert_cmpint(libusb_control_transfer(handle, 0x21, 0x09, 0x0200, 0, &leds, 1, TIMEOUT), ==,
                    1);
    g_assert_cmpuint(test_gadgets_stat(1, "keyboard.leds"), ==, 2);
    g_assert_cmpint(libusb_control_transfer(handle, 0x21, 0x0b, 0, 0, NULL, 0, TIMEOUT), ==, 0);
    g_assert_cmpint(libusb_control_transfer(handle, 0xa1, 0x03, 0, 0, data, 1, TIMEOUT), ==, 1);
    g_assert_cmpuint(data[0], ==, 0);
    /* With an idle rate of 8 ms the report comes without a change; with 0 it does not. */
    g_assert_cmpint(libusb_control_transfer(handle, 0x21, 0x0a, 2 << 8, 0, NULL, 0, TIMEOUT), ==,
                    0);
    for (int i = 0; i < 3; i++)
        g_assert_cmpint(libusb_interrupt_transfer(handle, INTERRUPT_IN, data, 8, &actual, TIMEOUT),
                        ==, 0);
    g_assert_cmpint(libusb_control_transfer(handle, 0x21, 0x0a, 0, 0, NULL, 0, TIMEOUT), ==, 0);
    g_assert_cmpint(libusb_interrupt_transfer(handle, INTERRUPT_IN, data, 8, &actual, 30), ==,
                    LIBUSB_ERROR_TIMEOUT);
    g_assert_cmpint(libusb_get_device_speed(libusb_get_device(handle)), ==, LIBUSB_SPEED_LOW);
    libusb_close(handle);
    libusb_exit(context);
}

/* A client's own system drives the keyboard until the program takes it. */
static void test_kernel_driver(void)
{
    libusb_context *context;
    g_assert_cmpint(libusb_init(&context), ==, 0);
    libusb_device_handle *handle = libusb_open_device_with_vid_pid(context, 0x1209, PRODUCT);
    g_assert_cmpint(libusb_attach_kernel_driver(handle, 0), ==, LIBUSB_ERROR_NOT_FOUND);
    g_assert_cmpint(libusb_kernel_driver_active(handle, 0), ==, 1);
    g_assert_cmpint(libusb_claim_interface(handle, 0), ==, LIBUSB_ERROR_BUSY);
    g_assert_cmpint(libusb_detach_kernel_driver(handle, 0), ==, 0);
    g_assert_cmpint(libusb_detach_kernel_driver(handle, 0), ==, LIBUSB_ERROR_NOT_FOUND);
    g_assert_cmpint(libusb_claim_interface(handle, 0), ==, 0);
    g_assert_cmpint(libusb_attach_kernel_driver(handle, 0), ==, LIBUSB_ERROR_BUSY);
    g_assert_cmpint(libusb_release_interface(handle, 0), ==, 0);
    g_assert_cmpint(libusb_attach_kernel_driver(handle, 0), ==, 0);
    libusb_close(handle);
    libusb_exit(context);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    test_gadgets_init("keyboard,text=Hello\\, gadget\\;\\n,interval-ms=1");
    g_test_add_func("/gadgets/keyboard/kernel-driver", test_kernel_driver);
    g_test_add_func("/gadgets/keyboard/typing", test_typing);
    g_test_add_func("/gadgets/keyboard/requests", test_requests);
    return test_gadgets_run();
}
