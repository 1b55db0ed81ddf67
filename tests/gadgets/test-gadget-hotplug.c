/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Unplugging and plugging, of two gadgets that differ in nothing but their place. */
#include "gadget-test.h"
#include "vendor-gadget.h"

#define PRODUCT 0xbeef

struct event {
    libusb_hotplug_event event;
    guint8 address, port;
};

static int LIBUSB_CALL record(libusb_context *context, libusb_device *device,
                              libusb_hotplug_event event, void *user_data)
{
    struct event seen = {event, libusb_get_device_address(device), libusb_get_port_number(device)};
    g_array_append_val((GArray *) user_data, seen);
    return 0;
}

static int LIBUSB_CALL record_once(libusb_context *context, libusb_device *device,
                                   libusb_hotplug_event event, void *user_data)
{
    ++*(int *) user_data;
    return 1;
}

static void handle_pending(libusb_context *context)
{
    struct timeval now = {0};
    g_assert_cmpint(libusb_handle_events_timeout(context, &now), ==, 0);
}

static int watch(libusb_context *context, int flags, libusb_hotplug_callback_fn function,
                 void *user_data)
{
    libusb_hotplug_callback_handle handle;
    g_assert_cmpint(
        libusb_hotplug_register_callback(
            context, LIBUSB_HOTPLUG_EVENT_DEVICE_ARRIVED | LIBUSB_HOTPLUG_EVENT_DEVICE_LEFT, flags,
            0x1209, PRODUCT, LIBUSB_HOTPLUG_MATCH_ANY, function, user_data, &handle),
        ==, 0);
    return handle;
}

static void expect_event(GArray *events, guint index, libusb_hotplug_event event, guint8 port)
{
    g_assert_cmpuint(events->len, ==, index + 1);
    g_assert_cmpint(g_array_index(events, struct event, index).event, ==, event);
    g_assert_cmpint(g_array_index(events, struct event, index).port, ==, port);
}

static void test_callbacks(void)
{
    g_autoptr(GArray) events = g_array_new(FALSE, FALSE, sizeof(struct event));
    libusb_context *context;
    int once = 0;
    g_assert_cmpint(libusb_init(&context), ==, 0);
    int handle = watch(context, LIBUSB_HOTPLUG_NO_FLAGS, record, events);
    watch(context, LIBUSB_HOTPLUG_NO_FLAGS, record_once, &once);
    g_assert_true(libusb_hotplug_get_user_data(context, handle) == events);
    handle_pending(context);
    g_assert_cmpuint(events->len, ==, 0);

    g_free(test_gadgets_tell("unplug 2"));
    g_assert_cmpuint(events->len, ==, 0);
    handle_pending(context);
    expect_event(events, 0, LIBUSB_HOTPLUG_EVENT_DEVICE_LEFT, 2);
    g_free(test_gadgets_refused("unplug 2"));

    g_free(test_gadgets_tell("plug 2"));
    handle_pending(context);
    expect_event(events, 1, LIBUSB_HOTPLUG_EVENT_DEVICE_ARRIVED, 2);
    g_assert_cmpuint(g_array_index(events, struct event, 1).address, !=,
                     g_array_index(events, struct event, 0).address);
    g_assert_cmpint(once, ==, 1);

    libusb_hotplug_deregister_callback(context, handle);
    g_free(test_gadgets_tell("unplug 2"));
    g_free(test_gadgets_tell("plug 2"));
    handle_pending(context);
    g_assert_cmpuint(events->len, ==, 2);
    libusb_exit(context);
}

static void test_enumerate(void)
{
    g_autoptr(GArray) events = g_array_new(FALSE, FALSE, sizeof(struct event));
    libusb_context *context;
    g_assert_cmpint(libusb_init(&context), ==, 0);
    watch(context, LIBUSB_HOTPLUG_ENUMERATE, record, events);
    g_assert_cmpuint(events->len, ==, 2);
    g_assert_cmpint(g_array_index(events, struct event, 0).port, ==, 1);
    g_assert_cmpint(g_array_index(events, struct event, 1).port, ==, 2);
    libusb_exit(context);
}

/* Transfers in flight come back before the program learns that the device left; the handle is dead.
 */
static void test_unplug_in_flight(void)
{
    g_autoptr(GArray) events = g_array_new(FALSE, FALSE, sizeof(struct event));
    libusb_context *context;
    g_assert_cmpint(libusb_init(&context), ==, 0);
    watch(context, LIBUSB_HOTPLUG_NO_FLAGS, record, events);
    libusb_device_handle *handle = test_gadgets_open(context, PRODUCT, 2);
    libusb_device *device = libusb_ref_device(libusb_get_device(handle));
    g_assert_cmpint(libusb_get_port_number(device), ==, 1);
    struct test_transfer *test =
        test_transfer_new(handle, VENDOR_BULK_LOOPBACK_IN, LIBUSB_TRANSFER_TYPE_BULK, 512, 0);
    g_assert_cmpint(libusb_submit_transfer(test->transfer), ==, 0);
    g_free(test_gadgets_tell("unplug 1"));
    g_assert_cmpint(libusb_cancel_transfer(test->transfer), ==, LIBUSB_ERROR_NO_DEVICE);
    g_assert_cmpint(libusb_submit_transfer(test->transfer), ==, LIBUSB_ERROR_BUSY);
    test_transfer_wait(context, test);
    g_assert_cmpint(test->transfer->status, ==, LIBUSB_TRANSFER_NO_DEVICE);
    expect_event(events, 0, LIBUSB_HOTPLUG_EVENT_DEVICE_LEFT, 1);
    g_assert_cmpint(libusb_submit_transfer(test->transfer), ==, LIBUSB_ERROR_NO_DEVICE);
    g_assert_cmpint(libusb_set_configuration(handle, 1), ==, LIBUSB_ERROR_NO_DEVICE);
    g_assert_cmpint(libusb_claim_interface(handle, 0), ==, LIBUSB_ERROR_NO_DEVICE);
    g_assert_cmpint(libusb_reset_device(handle), ==, LIBUSB_ERROR_NO_DEVICE);

    g_free(test_gadgets_tell("plug 1"));
    /* Plugged in again it is another device; the old handle stays dead. */
    g_assert_cmpint(libusb_submit_transfer(test->transfer), ==, LIBUSB_ERROR_NO_DEVICE);
    libusb_device_handle *again;
    g_assert_cmpint(libusb_open(device, &again), ==, LIBUSB_ERROR_NO_DEVICE);
    test_transfer_free(test);
    libusb_close(handle);
    struct libusb_device_descriptor descriptor;
    g_assert_cmpint(libusb_get_device_descriptor(device, &descriptor), ==, 0);
    g_assert_cmpuint(descriptor.idProduct, ==, PRODUCT);
    libusb_unref_device(device);
    handle = test_gadgets_open(context, PRODUCT, 2);
    libusb_close(handle);
    libusb_exit(context);
}

/* FreeRDP frees transfers whose callbacks have not run when a device leaves. */
static void test_free_in_flight(void)
{
    libusb_context *context;
    g_assert_cmpint(libusb_init(&context), ==, 0);
    libusb_device_handle *handle = test_gadgets_open(context, PRODUCT, 2);
    struct test_transfer *pending =
        test_transfer_new(handle, VENDOR_BULK_LOOPBACK_IN, LIBUSB_TRANSFER_TYPE_BULK, 512, 0);
    struct test_transfer *done =
        test_transfer_new(handle, VENDOR_BULK_SOURCE, LIBUSB_TRANSFER_TYPE_BULK, 512, 0);
    g_assert_cmpint(libusb_submit_transfer(pending->transfer), ==, 0);
    g_assert_cmpint(libusb_submit_transfer(done->transfer), ==, 0);
    test_transfer_free(pending);
    test_transfer_free(done);
    handle_pending(context);
    libusb_close(handle);
    libusb_exit(context);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    test_gadgets_init("vendor,id=1209:beef;vendor,id=1209:beef");
    g_test_add_func("/gadgets/hotplug/callbacks", test_callbacks);
    g_test_add_func("/gadgets/hotplug/enumerate", test_enumerate);
    g_test_add_func("/gadgets/hotplug/unplug-in-flight", test_unplug_in_flight);
    g_test_add_func("/gadgets/hotplug/free-in-flight", test_free_in_flight);
    return test_gadgets_run();
}
