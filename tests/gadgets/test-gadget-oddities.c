/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Speeds and descriptors as libusb and the device tell them, and devices that are not as usual. */
#include "bootloader-gadget.h"
#include "gadget-test.h"
#include "isochronous-gadget.h"
#include "vendor-gadget.h"

#include <string.h>

#define TIMEOUT 2000

/* The devices of main(), by their product id. */
enum {
    STICK = 0xa001,
    SUPER_VENDOR = 0xa002,
    FULL_VENDOR = 0xa003,
    SUPER_ISOCHRONOUS = 0xa004,
    GAPS = 0xa005,
    TWO_CONFIGURATIONS = 0xa006,
    SILENT = 0xa007,
    BOOTLOADER = 0xa008,
    APPLICATION = 0xa009,
    HIGH_KEYBOARD = 0xa00a,
    TWIN = 0xa00b,
    LIAR = 0xa00c,
    RESET_LIAR = 0xa00d,
};

static libusb_context *context;

static libusb_device_handle *open_product(guint16 product)
{
    libusb_device_handle *handle = libusb_open_device_with_vid_pid(context, 0x1209, product);
    g_assert_nonnull(handle);
    libusb_set_auto_detach_kernel_driver(handle, 1);
    return handle;
}

static const struct libusb_endpoint_descriptor *
endpoint_of(const struct libusb_config_descriptor *configuration, int interface, int alternate,
            guint8 address)
{
    const struct libusb_interface_descriptor *setting =
        &configuration->interface[interface].altsetting[alternate];
    for (int i = 0; i < setting->bNumEndpoints; i++)
        if (setting->endpoint[i].bEndpointAddress == address)
            return &setting->endpoint[i];
    g_error("setting %d.%d has no endpoint %02x", interface, alternate, address);
}

static void check_companion(const struct libusb_endpoint_descriptor *endpoint, int burst,
                            int attributes, int bytes)
{
    struct libusb_ss_endpoint_companion_descriptor *companion;
    g_assert_cmpint(libusb_get_ss_endpoint_companion_descriptor(context, endpoint, &companion), ==,
                    0);
    g_assert_cmpint(companion->bMaxBurst, ==, burst);
    g_assert_cmpint(companion->bmAttributes, ==, attributes);
    g_assert_cmpint(companion->wBytesPerInterval, ==, bytes);
    libusb_free_ss_endpoint_companion_descriptor(companion);
}

/* --- Speeds --------------------------------------------------------------------------------------
 */

static void test_super_speed(void)
{
    libusb_device_handle *handle = open_product(SUPER_VENDOR);
    libusb_device *device = libusb_get_device(handle);
    struct libusb_device_descriptor descriptor;
    struct libusb_config_descriptor *configuration;
    guint8 data[1024];
    int actual;
    g_assert_cmpint(libusb_get_device_speed(device), ==, LIBUSB_SPEED_SUPER);
    g_assert_cmpint(libusb_get_device_descriptor(device, &descriptor), ==, 0);
    g_assert_cmpint(descriptor.bcdUSB, ==, 0x0300);
    g_assert_cmpint(descriptor.bMaxPacketSize0, ==, 9); /* 2^9 */
    g_assert_cmpint(libusb_get_active_config_descriptor(device, &configuration), ==, 0);
    const struct libusb_endpoint_descriptor *bulk =
        endpoint_of(configuration, 0, 0, VENDOR_BULK_SOURCE);
    g_assert_cmpint(bulk->wMaxPacketSize, ==, 1024);
    check_companion(bulk, 0, 0, 0);
    g_assert_cmpint(bulk->extra_length, ==, LIBUSB_DT_SS_ENDPOINT_COMPANION_SIZE + 3);
    check_companion(endpoint_of(configuration, 1, 0, VENDOR_INTERRUPT_SINK), 0, 0, 64);
    g_assert_cmpint(libusb_get_descriptor(handle, LIBUSB_DT_CONFIG, 0, data, sizeof data), ==,
                    configuration->wTotalLength);
    libusb_free_config_descriptor(configuration);
    /* A packet of 1000 bytes is a short one. */
    g_assert_cmpint(libusb_claim_interface(handle, 0), ==, 0);
    memset(data, 7, sizeof data);
    g_assert_cmpint(
        libusb_bulk_transfer(handle, VENDOR_BULK_LOOPBACK_OUT, data, 1000, &actual, TIMEOUT), ==,
        0);
    g_assert_cmpint(
        libusb_bulk_transfer(handle, VENDOR_BULK_LOOPBACK_IN, data, 1024, &actual, TIMEOUT), ==, 0);
    g_assert_cmpint(actual, ==, 1000);
    libusb_close(handle);
}

static void test_bos(void)
{
    libusb_device_handle *handle = open_product(SUPER_VENDOR);
    struct libusb_bos_descriptor *bos;
    struct libusb_usb_2_0_extension_descriptor *extension;
    struct libusb_ss_usb_device_capability_descriptor *capability;
    g_assert_cmpint(libusb_get_bos_descriptor(handle, &bos), ==, 0);
    g_assert_cmpint(bos->bNumDeviceCaps, ==, 2);
    g_assert_cmpint(
        libusb_get_usb_2_0_extension_descriptor(context, bos->dev_capability[1], &extension), ==,
        LIBUSB_ERROR_INVALID_PARAM);
    g_assert_cmpint(
        libusb_get_usb_2_0_extension_descriptor(context, bos->dev_capability[0], &extension), ==,
        0);
    g_assert_cmpuint(extension->bmAttributes, ==, LIBUSB_BM_LPM_SUPPORT);
    libusb_free_usb_2_0_extension_descriptor(extension);
    g_assert_cmpint(libusb_get_ss_usb_device_capability_descriptor(context, bos->dev_capability[1],
                                                                   &capability),
                    ==, 0);
    g_assert_cmpuint(capability->wSpeedSupported, ==,
                     LIBUSB_FULL_SPEED_OPERATION | LIBUSB_HIGH_SPEED_OPERATION |
                         LIBUSB_SUPER_SPEED_OPERATION);
    libusb_free_ss_usb_device_capability_descriptor(capability);
    libusb_free_bos_descriptor(bos);
    libusb_close(handle);
}

/* The setting that needs streams is there, the other one works. */
static void test_uas(void)
{
    libusb_device_handle *handle = open_product(STICK);
    libusb_device *device = libusb_get_device(handle);
    struct libusb_config_descriptor *configuration;
    guint8 cbw[31] = {'U', 'S', 'B', 'C', 1, 2, 3, 4}, csw[13];
    int actual;
    cbw[14] = 6; /* TEST UNIT READY */
    g_assert_cmpint(libusb_get_active_config_descriptor(device, &configuration), ==, 0);
    g_assert_cmpint(configuration->interface[0].num_altsetting, ==, 2);
    g_assert_cmpint(configuration->interface[0].altsetting[1].bInterfaceProtocol, ==, 0x62);
    check_companion(endpoint_of(configuration, 0, 0, 0x81), 0, 0, 0);
    check_companion(endpoint_of(configuration, 0, 1, 0x81), 0, 5, 0);
    check_companion(endpoint_of(configuration, 0, 1, 0x04), 0, 0, 0);
    libusb_free_config_descriptor(configuration);
    g_assert_cmpint(libusb_claim_interface(handle, 0), ==, 0);
    for (int attempt = 0; attempt < 2; attempt++) { /* the first one reports the new medium */
        g_assert_cmpint(libusb_bulk_transfer(handle, 0x02, cbw, 31, &actual, TIMEOUT), ==, 0);
        g_assert_cmpint(libusb_bulk_transfer(handle, 0x81, csw, 13, &actual, TIMEOUT), ==, 0);
    }
    g_assert_cmpint(csw[12], ==, 0);
    g_assert_cmpint(libusb_set_interface_alt_setting(handle, 0, 1), ==, 0);
    g_assert_cmpint(libusb_bulk_transfer(handle, 0x04, cbw, 31, &actual, TIMEOUT), ==,
                    LIBUSB_ERROR_PIPE);
    libusb_close(handle);
}

static void test_full_speed(void)
{
    libusb_device_handle *handle = open_product(FULL_VENDOR);
    libusb_device *device = libusb_get_device(handle);
    struct libusb_config_descriptor *configuration;
    guint8 qualifier[10];
    g_assert_cmpint(libusb_get_device_speed(device), ==, LIBUSB_SPEED_FULL);
    g_assert_cmpint(libusb_get_active_config_descriptor(device, &configuration), ==, 0);
    g_assert_cmpint(endpoint_of(configuration, 0, 0, VENDOR_BULK_SOURCE)->wMaxPacketSize, ==, 64);
    g_assert_cmpint(endpoint_of(configuration, 1, 0, VENDOR_INTERRUPT_SINK)->bInterval, ==, 1);
    libusb_free_config_descriptor(configuration);
    g_assert_cmpint(libusb_get_descriptor(handle, 6, 0, qualifier, sizeof qualifier), ==,
                    LIBUSB_ERROR_PIPE);
    libusb_close(handle);
    handle = open_product(HIGH_KEYBOARD); /* 10 ms, as a power of two of microframes */
    g_assert_cmpint(libusb_get_active_config_descriptor(libusb_get_device(handle), &configuration),
                    ==, 0);
    g_assert_cmpint(endpoint_of(configuration, 0, 0, 0x81)->bInterval, ==, 7);
    libusb_free_config_descriptor(configuration);
    libusb_close(handle);
}

static void test_super_isochronous(void)
{
    libusb_device_handle *handle = open_product(SUPER_ISOCHRONOUS);
    libusb_device *device = libusb_get_device(handle);
    struct libusb_config_descriptor *configuration;
    g_assert_cmpint(libusb_get_active_config_descriptor(device, &configuration), ==, 0);
    const struct libusb_endpoint_descriptor *fast =
        endpoint_of(configuration, 0, ISOCHRONOUS_FAST, ISOCHRONOUS_SOURCE);
    g_assert_cmpint(fast->wMaxPacketSize, ==, 1024);
    check_companion(fast, 2, 0, ISOCHRONOUS_FAST_PACKET);
    libusb_free_config_descriptor(configuration);
    g_assert_cmpint(libusb_get_max_iso_packet_size(device, ISOCHRONOUS_SOURCE), ==,
                    ISOCHRONOUS_PACKET);
    libusb_close(handle);
}

/* --- Odd descriptors -----------------------------------------------------------------------------
 */

static void test_interface_gaps(void)
{
    libusb_device_handle *handle = open_product(GAPS);
    struct libusb_config_descriptor *configuration;
    guint8 data[512];
    int actual;
    g_assert_cmpint(libusb_get_active_config_descriptor(libusb_get_device(handle), &configuration),
                    ==, 0);
    g_assert_cmpint(configuration->bNumInterfaces, ==, 2);
    g_assert_cmpint(configuration->interface[0].altsetting[0].bInterfaceNumber, ==, 2);
    g_assert_cmpint(configuration->interface[1].altsetting[0].bInterfaceNumber, ==, 5);
    libusb_free_config_descriptor(configuration);
    g_assert_cmpint(libusb_claim_interface(handle, 0), ==, LIBUSB_ERROR_NOT_FOUND);
    g_assert_cmpint(libusb_claim_interface(handle, 2), ==, 0);
    g_assert_cmpint(libusb_claim_interface(handle, 5), ==, 0);
    for (int round = 0; round < 2; round++) { /* the setting begins the sequence anew */
        g_assert_cmpint(libusb_set_interface_alt_setting(handle, 2, 0), ==, 0);
        g_assert_cmpint(
            libusb_bulk_transfer(handle, VENDOR_BULK_SOURCE, data, 512, &actual, TIMEOUT), ==, 0);
        g_assert_cmpint(data[4], ==, vendor_sequence(4));
    }
    g_assert_cmpint(
        libusb_interrupt_transfer(handle, VENDOR_INTERRUPT_SOURCE, data, 64, &actual, TIMEOUT), ==,
        0);
    libusb_close(handle);
}

static void test_two_configurations(void)
{
    libusb_device_handle *handle = open_product(TWO_CONFIGURATIONS);
    libusb_device *device = libusb_get_device(handle);
    struct libusb_device_descriptor descriptor;
    struct libusb_config_descriptor *configuration;
    guint8 data[64] = {1, 2, 3};
    int actual, value;
    g_assert_cmpint(libusb_get_device_descriptor(device, &descriptor), ==, 0);
    g_assert_cmpint(descriptor.bNumConfigurations, ==, 2);
    g_assert_cmpint(libusb_get_config_descriptor(device, 1, &configuration), ==, 0);
    g_assert_cmpint(configuration->bConfigurationValue, ==, VENDOR_SECOND_CONFIGURATION);
    libusb_free_config_descriptor(configuration);
    g_assert_cmpint(libusb_set_configuration(handle, VENDOR_SECOND_CONFIGURATION), ==, 0);
    g_assert_cmpint(libusb_get_configuration(handle, &value), ==, 0);
    g_assert_cmpint(value, ==, VENDOR_SECOND_CONFIGURATION);
    g_assert_cmpint(libusb_claim_interface(handle, 1), ==, LIBUSB_ERROR_NOT_FOUND);
    g_assert_cmpint(libusb_claim_interface(handle, 0), ==, 0);
    g_assert_cmpint(libusb_bulk_transfer(handle, VENDOR_BULK_SOURCE, data, 64, &actual, TIMEOUT),
                    ==, LIBUSB_ERROR_IO);
    g_assert_cmpint(
        libusb_bulk_transfer(handle, VENDOR_BULK_LOOPBACK_OUT, data, 3, &actual, TIMEOUT), ==, 0);
    g_assert_cmpint(
        libusb_bulk_transfer(handle, VENDOR_BULK_LOOPBACK_IN, data, 64, &actual, TIMEOUT), ==, 0);
    g_assert_cmpint(actual, ==, 3);
    g_assert_cmpint(libusb_release_interface(handle, 0), ==, 0);
    g_assert_cmpint(libusb_set_configuration(handle, 1), ==, 0);
    libusb_close(handle);
}

static void test_stalled_descriptors(void)
{
    libusb_device_handle *handle = open_product(SILENT);
    libusb_device *device = libusb_get_device(handle);
    struct libusb_device_descriptor descriptor;
    struct libusb_config_descriptor *configuration;
    struct libusb_bos_descriptor *bos;
    guint8 data[255];
    g_assert_cmpint(libusb_get_string_descriptor_ascii(handle, 2, data, sizeof data), ==,
                    LIBUSB_ERROR_PIPE);
    g_assert_cmpint(libusb_get_descriptor(handle, 6, 0, data, sizeof data), ==, LIBUSB_ERROR_PIPE);
    g_assert_cmpint(libusb_get_bos_descriptor(handle, &bos), ==, LIBUSB_ERROR_PIPE);
    /* What Linux could not read is not there; the device itself says otherwise. */
    g_assert_cmpint(libusb_get_device_descriptor(device, &descriptor), ==, 0);
    g_assert_cmpint(descriptor.bNumConfigurations, ==, 1);
    g_assert_cmpint(libusb_get_config_descriptor(device, 1, &configuration), ==,
                    LIBUSB_ERROR_NOT_FOUND);
    g_assert_cmpint(libusb_get_descriptor(handle, LIBUSB_DT_DEVICE, 0, data, sizeof data), ==, 18);
    g_assert_cmpint(data[17], ==, 2);
    g_assert_cmpint(libusb_get_descriptor(handle, LIBUSB_DT_CONFIG, 1, data, sizeof data), ==,
                    LIBUSB_ERROR_PIPE);
    g_assert_cmpint(libusb_get_descriptor(handle, LIBUSB_DT_CONFIG, 0, data, sizeof data), >, 0);
    libusb_close(handle);
}

static void test_remote_wakeup(void)
{
    libusb_device_handle *handle = open_product(HIGH_KEYBOARD);
    guint8 status[2];
    g_assert_cmpint(
        libusb_control_transfer(handle, 0x00, LIBUSB_REQUEST_SET_FEATURE, 1, 0, NULL, 0, TIMEOUT),
        ==, 0);
    g_assert_cmpint(
        libusb_control_transfer(handle, 0x80, LIBUSB_REQUEST_GET_STATUS, 0, 0, status, 2, TIMEOUT),
        ==, 2);
    g_assert_cmpint(status[0], ==, 2);
    libusb_close(handle);
    handle = open_product(FULL_VENDOR); /* does not offer it */
    g_assert_cmpint(
        libusb_control_transfer(handle, 0x00, LIBUSB_REQUEST_SET_FEATURE, 1, 0, NULL, 0, TIMEOUT),
        ==, LIBUSB_ERROR_PIPE);
    libusb_close(handle);
}

/* Two sticks that only their serial numbers tell apart, among many devices. */
static void test_twins(void)
{
    libusb_device **list;
    g_autoptr(GPtrArray) serials = g_ptr_array_new_with_free_func(g_free);
    gssize count = libusb_get_device_list(context, &list);
    g_assert_cmpint(count, >=, 8);
    for (gssize i = 0; i < count; i++) {
        struct libusb_device_descriptor descriptor;
        libusb_device_handle *handle;
        guint8 text[255];
        g_assert_cmpint(libusb_get_device_descriptor(list[i], &descriptor), ==, 0);
        if (descriptor.idProduct != TWIN)
            continue;
        g_assert_cmpint(libusb_open(list[i], &handle), ==, 0);
        g_assert_cmpint(
            libusb_get_string_descriptor_ascii(handle, descriptor.iSerialNumber, text, sizeof text),
            >, 0);
        g_ptr_array_add(serials, g_strdup((char *) text));
        libusb_close(handle);
    }
    libusb_free_device_list(list, 1);
    g_assert_cmpuint(serials->len, ==, 2);
    g_assert_cmpstr(serials->pdata[0], ==, "left");
    g_assert_cmpstr(serials->pdata[1], ==, "right");
}

/* --- Boot loader ---------------------------------------------------------------------------------
 */

static int LIBUSB_CALL arrived(libusb_context *unused, libusb_device *device,
                               libusb_hotplug_event event, void *count)
{
    ++*(int *) count;
    return 0;
}

static void switch_identity(libusb_device_handle *handle, int at_once)
{
    g_assert_cmpint(libusb_control_transfer(handle, 0x40, BOOTLOADER_SWITCH, (uint16_t) at_once, 0,
                                            NULL, 0, TIMEOUT),
                    ==, 0);
}

static void test_bootloader(void)
{
    libusb_device_handle *handle = open_product(BOOTLOADER);
    guint8 data[512];
    int actual, count = 0;
    g_assert_cmpint(libusb_reset_device(handle), ==, 0); /* nothing was asked for */
    switch_identity(handle, 0);
    g_assert_cmpint(libusb_reset_device(handle), ==, LIBUSB_ERROR_NOT_FOUND);
    g_assert_cmpint(
        libusb_control_transfer(handle, 0xc0, BOOTLOADER_IDENTITY, 0, 0, data, 1, TIMEOUT), ==,
        LIBUSB_ERROR_NO_DEVICE);
    libusb_close(handle);
    g_assert_null(libusb_open_device_with_vid_pid(context, 0x1209, BOOTLOADER));

    handle = open_product(APPLICATION);
    g_assert_cmpint(
        libusb_control_transfer(handle, 0xc0, BOOTLOADER_IDENTITY, 0, 0, data, 1, TIMEOUT), ==, 1);
    g_assert_cmpint(data[0], ==, 1);
    g_assert_cmpint(libusb_claim_interface(handle, 1), ==, 0);
    g_assert_cmpint(libusb_bulk_transfer(handle, BOOTLOADER_SOURCE, data, 512, &actual, TIMEOUT),
                    ==, 0);
    /* Back again, this time by itself. */
    libusb_hotplug_callback_handle callback;
    g_assert_cmpint(libusb_hotplug_register_callback(
                        context, LIBUSB_HOTPLUG_EVENT_DEVICE_ARRIVED, 0, 0x1209, BOOTLOADER,
                        LIBUSB_HOTPLUG_MATCH_ANY, arrived, &count, &callback),
                    ==, 0);
    switch_identity(handle, 1);
    while (count == 0)
        g_assert_cmpint(libusb_handle_events_completed(context, &count), ==, 0);
    libusb_hotplug_deregister_callback(context, callback);
    libusb_close(handle);
    libusb_close(open_product(BOOTLOADER));
}

/* --- Liars ---------------------------------------------------------------------------------------
 */

static int product_told(libusb_device_handle *handle)
{
    guint8 device[18], configuration[64];
    g_assert_cmpint(libusb_get_descriptor(handle, LIBUSB_DT_DEVICE, 0, device, 18), ==, 18);
    int length = libusb_get_descriptor(handle, LIBUSB_DT_CONFIG, 0, configuration, 64);
    g_assert_cmpint(length, ==, configuration[2]);
    g_assert_cmpint(configuration[14] == LIBUSB_CLASS_HID, ==, device[9] == 0x04);
    return device[10] | device[11] << 8;
}

/* What libusb knows was read before. */
static void assert_known_as(libusb_device_handle *handle, int product)
{
    struct libusb_device_descriptor descriptor;
    g_assert_cmpint(libusb_get_device_descriptor(libusb_get_device(handle), &descriptor), ==, 0);
    g_assert_cmphex(descriptor.idProduct, ==, product);
}

static void test_liars(void)
{
    libusb_device_handle *handle = open_product(LIAR);
    for (unsigned i = 0; i < 2; i++)
        g_assert_cmphex(product_told(handle), ==, LIAR);
    g_assert_cmphex(product_told(handle), ==, 0xc31c);
    assert_known_as(handle, LIAR);
    libusb_close(handle);

    handle = open_product(RESET_LIAR);
    for (unsigned i = 0; i < 4; i++)
        g_assert_cmphex(product_told(handle), ==, RESET_LIAR);
    g_assert_cmpint(libusb_reset_device(handle), ==, 0);
    g_assert_cmphex(product_told(handle), ==, 0xc31c);
    assert_known_as(handle, RESET_LIAR);
    libusb_close(handle);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_autofree char *image = test_gadgets_image("stick.img", 64 * 512);
    g_autofree char *gadgets = g_strdup_printf(
        "storage,id=1209:a001,speed=super,uas=1,image=%s;"
        "vendor,id=1209:a002,speed=super;vendor,id=1209:a003,speed=full;"
        "isochronous,id=1209:a004,speed=super;vendor,id=1209:a005,gaps=1;"
        "vendor,id=1209:a006,configurations=2;"
        "vendor,id=1209:a007,speed=high,configurations=2,"
        "stall-descriptors=string+qualifier+bos+configuration;"
        "bootloader,id=1209:a008,becomes=1209:a009;keyboard,id=1209:a00a,speed=high;"
        "liar,id=1209:a00c,lies-after=2;liar,id=1209:a00d,lies-after=reset;"
        "storage,id=1209:a00b,serial=left,image=%s;storage,id=1209:a00b,serial=right,image=%s",
        image, image, image);
    test_gadgets_init(gadgets);
    g_assert_cmpint(libusb_init(&context), ==, 0);
    g_test_add_func("/gadgets/oddities/super-speed", test_super_speed);
    g_test_add_func("/gadgets/oddities/bos", test_bos);
    g_test_add_func("/gadgets/oddities/uas", test_uas);
    g_test_add_func("/gadgets/oddities/full-speed", test_full_speed);
    g_test_add_func("/gadgets/oddities/super-isochronous", test_super_isochronous);
    g_test_add_func("/gadgets/oddities/interface-gaps", test_interface_gaps);
    g_test_add_func("/gadgets/oddities/two-configurations", test_two_configurations);
    g_test_add_func("/gadgets/oddities/stalled-descriptors", test_stalled_descriptors);
    g_test_add_func("/gadgets/oddities/remote-wakeup", test_remote_wakeup);
    g_test_add_func("/gadgets/oddities/twins", test_twins);
    g_test_add_func("/gadgets/oddities/bootloader", test_bootloader);
    g_test_add_func("/gadgets/oddities/liars", test_liars);
    int status = test_gadgets_run();
    libusb_exit(context);
    return status;
}
