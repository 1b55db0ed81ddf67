/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A device says later what it said when it was checked, or it is taken away; and what it says at
 * first is told in full to whoever applies rules. The whole library between a fake client and a
 * fake guest, as in test-bridge.c.
 */
#include "world.h"

#include <string.h>

#define DEVICE        0x0100
#define CONFIGURATION 0x0200
#define LANGUAGES     0x0300
#define MANUFACTURER  0x0301
#define PRODUCT       0x0302
#define SERIAL_NUMBER 0x0303
#define FOURTH_STRING 0x0304
#define ENGLISH       0x0409
#define EP_OUT        0x01

/* What the device becomes. */
typedef struct {
    uint8_t device[18];
    uint8_t configuration[55];
    const char *strings[5];
    FakeDeviceModel model;
} Lie;

static void lie_init(Lie *lie)
{
    memcpy(lie->device, fake_device_loopback.device, sizeof lie->device);
    memcpy(lie->configuration, fake_device_loopback.configuration, sizeof lie->configuration);
    memset(lie->strings, 0, sizeof lie->strings);
    for (unsigned i = 0; i < 3; i++)
        lie->strings[i] = fake_device_loopback.strings[i];
    lie->model = fake_device_loopback;
    lie->model.device = lie->device;
    lie->model.configuration = lie->configuration;
    lie->model.strings = lie->strings;
}

static void become(World *world, const FakeDeviceModel *model)
{
    fake_client_device(world->client, world->device)->model = model;
}

static void read_descriptor(World *world, uint16_t value, uint16_t index, uint16_t length)
{
    world_forget(world);
    fake_guest_control_in(world->guest, 0x80, 6, value, index, length);
    world_turn(world);
}

static uint16_t language_of(uint16_t value)
{
    return value > LANGUAGES ? ENGLISH : 0;
}

/* The same device in the guest, and nothing said of it. */
static void assert_stays(World *world)
{
    g_assert_cmpint(rdpusb_bridge_state(world->bridge), ==, RDPUSB_BRIDGE_ATTACHED);
    g_assert_cmpuint(world_n_events(world, FAKE_GUEST_DEVICE_DISCONNECT), ==, 0);
}

static void assert_taken_away(World *world, const char *reason)
{
    g_assert_cmpuint(world_n_events(world, FAKE_GUEST_DEVICE_DISCONNECT), ==, 1);
    g_assert_cmpint(rdpusb_bridge_state(world->bridge), ==, RDPUSB_BRIDGE_GONE);
    g_assert_true(rdpusb_bridge_failed(world->bridge));
    g_test_message("%s", rdpusb_bridge_reason(world->bridge));
    g_assert_nonnull(strstr(rdpusb_bridge_reason(world->bridge), reason));
    RdpusbCounters counters;
    rdpusb_bridge_get_counters(world->bridge, &counters);
    g_assert_cmpuint(counters.held_requests_now, ==, 0);
}

/* ---- Honest devices ---- */

static void test_unchanged(gconstpointer profile)
{
    static const uint16_t values[] = {DEVICE,       CONFIGURATION, LANGUAGES,
                                      MANUFACTURER, PRODUCT,       SERIAL_NUMBER};
    static const uint16_t lengths[] = {0, 2, 8, 9, 18, 55, 64, 255, 4096, 65535};
    g_autoptr(World) world = world_new_attached(profile);
    const FakeDevice *device = fake_client_device(world->client, world->device);
    for (unsigned v = 0; v < G_N_ELEMENTS(values); v++) {
        g_autoptr(GBytes) whole = fake_device_descriptor(device, values[v] >> 8, values[v] & 0xff);
        for (unsigned l = 0; l < G_N_ELEMENTS(lengths); l++) {
            unsigned before = world->n_urbs;
            read_descriptor(world, values[v], language_of(values[v]), lengths[l]);
            const FakeGuestEvent *event = world_the_event(world, FAKE_GUEST_CONTROL);
            size_t size = MIN(g_bytes_get_size(whole), lengths[l]);
            g_assert_cmpuint(event->status, ==, usb_redir_success);
            g_assert_cmpuint(event->length, ==, size);
            if (size > 0)
                g_assert_cmpmem(g_bytes_get_data(event->data, NULL), size,
                                g_bytes_get_data(whole, NULL), size);
            g_assert_cmpuint(world->n_urbs, ==, before + 1);
        }
    }
    assert_stays(world);
}

static FakeResponse next_response;
static GBytes *next_data;

static bool answer_so(FakeClient *client, const FakeRequest *request, FakeResponse *response,
                      void *data)
{
    *response = next_response;
    if (next_data)
        response->data.data = g_bytes_get_data(next_data, &response->data.length);
    return true;
}

/* The answer to a read of the product's name is these bytes. */
static const FakeGuestEvent *read_product(World *world, const void *data, size_t size)
{
    next_response = (FakeResponse){.action = FAKE_ANSWER};
    next_data = g_bytes_new(data, size);
    world->on_urb = answer_so;
    read_descriptor(world, PRODUCT, ENGLISH, 255);
    world->on_urb = NULL;
    g_clear_pointer(&next_data, g_bytes_unref);
    return world_the_event(world, FAKE_GUEST_CONTROL);
}

/* Shorter than it was, or with what happened to be in the device's memory behind it. */
static void test_length_varies(void)
{
    static const uint8_t product[] = "\x12\x03L\0o\0o\0p\0b\0a\0c\0k\0what it has in its memory";
    g_autoptr(World) world = world_new_attached(NULL);
    g_assert_cmpuint(read_product(world, product, 18)->length, ==, 18);
    g_assert_cmpuint(read_product(world, product, sizeof product)->length, ==, 18);
    g_assert_cmpuint(read_product(world, product, 4)->length, ==, 4);
    g_assert_cmpuint(read_product(world, product, 0)->length, ==, 0);
    assert_stays(world);
}

/* A failure is no change; the guest is told of it. */
static void test_fails(gconstpointer profile)
{
    g_autoptr(World) world = world_new_attached(profile);
    static const uint16_t values[] = {DEVICE, CONFIGURATION, PRODUCT};
    for (unsigned i = 0; i < G_N_ELEMENTS(values); i++) {
        next_response = (FakeResponse){.action = FAKE_ANSWER, .usbd_status = 4};
        world->on_urb = answer_so;
        read_descriptor(world, values[i], language_of(values[i]), 255);
        world->on_urb = NULL;
        const FakeGuestEvent *event = world_the_event(world, FAKE_GUEST_CONTROL);
        g_assert_cmpuint(event->status, !=, usb_redir_success);
        g_assert_null(event->data);
    }
    assert_stays(world);
}

/* What no rule speaks of is the device's alone. */
static void test_not_compared(void)
{
    static const struct {
        uint8_t request_type;
        uint16_t value, index;
    } requests[] = {
        {0x80, PRODUCT, 0x0407}, /* in another language */
        {0x80, FOURTH_STRING, ENGLISH},
        {0x80, 0x0600, 0},        /* qualifier */
        {0x80, 0x0700, 0},        /* other speed */
        {0x80, 0x0f00, 0},        /* BOS */
        {0x81, 0x2200, 0},        /* HID report */
        {0xc0, DEVICE, 0},        /* a vendor's own request */
        {0xa0, CONFIGURATION, 0}, /* a class' */
    };
    static Lie lie;
    lie_init(&lie);
    lie.device[8] ^= 0xff;
    lie.configuration[14] = 3;
    lie.strings[1] = "Another";
    lie.strings[3] = "Fourth";
    g_autoptr(World) world = world_new_attached(NULL);
    become(world, &lie.model);
    for (unsigned i = 0; i < G_N_ELEMENTS(requests); i++) {
        unsigned before = world->n_urbs;
        world_forget(world);
        fake_guest_control_in(world->guest, requests[i].request_type, 6, requests[i].value,
                              requests[i].index, 64);
        world_turn(world);
        g_assert_nonnull(world_the_event(world, FAKE_GUEST_CONTROL));
        g_assert_cmpuint(world->n_urbs, ==, before + 1);
    }
    assert_stays(world);
}

/* ---- What was not there ---- */

static void assert_not_there(World *world, uint16_t value)
{
    unsigned before = world->n_urbs;
    read_descriptor(world, value, language_of(value), 255);
    g_assert_cmpuint(world_the_event(world, FAKE_GUEST_CONTROL)->status, ==, usb_redir_stall);
    g_assert_cmpuint(world->n_urbs, ==, before);
}

/* A configuration, or a name, that a device keeps back at first. */
static void test_kept_back(void)
{
    static Lie first, second;
    lie_init(&first);
    first.strings[1] = NULL;
    lie_init(&second);
    second.model.second = second.configuration;
    g_autoptr(World) world = world_new(NULL, &first.model, NULL);
    g_assert_cmpstr(rdpusb_bridge_device_info(world->bridge)->serial_number, ==, "");
    world_connect_guest(world);
    become(world, &second.model);
    assert_not_there(world, SERIAL_NUMBER);
    assert_not_there(world, CONFIGURATION + 1);
    assert_not_there(world, CONFIGURATION + 255);
    assert_not_there(world, DEVICE + 1);
    assert_stays(world);
}

/* ---- Liars ---- */

static const struct {
    const char *name;
    unsigned device_byte, configuration_byte; /* what changes; 0: nothing in there */
    const char *product, *serial;
    uint16_t read, length;
    uint8_t request_type;
    const char *reason;
} changes[] = {
    {"vendor", 8, 0, NULL, NULL, DEVICE, 18, 0x80, "its device descriptor changed"},
    {"vendor-unasked", 8, 0, NULL, NULL, DEVICE, 8, 0x80, "byte 8 was 0x09 and is 0xf6"},
    {"vendor-nothing-asked", 8, 0, NULL, NULL, DEVICE, 0, 0x80, "its device descriptor changed"},
    {"vendor-of-an-interface", 8, 0, NULL, NULL, DEVICE, 18, 0x81, "its device descriptor changed"},
    {"vendor-of-others", 8, 0, NULL, NULL, DEVICE, 18, 0x83, "its device descriptor changed"},
    {"class", 4, 0, NULL, NULL, DEVICE, 255, 0x80, "byte 4 was 0xff and is 0x00"},
    {"interface", 0, 14, NULL, NULL, CONFIGURATION, 255, 0x80, "byte 14 was 0xff and is 0x00"},
    {"interface-unasked", 0, 14, NULL, NULL, CONFIGURATION, 9, 0x80,
     "its configuration descriptor changed"},
    {"alternate", 0, 44, NULL, NULL, CONFIGURATION, 9, 0x80, "byte 44"},
    {"configuration-of-an-endpoint", 0, 14, NULL, NULL, CONFIGURATION, 9, 0x82, "byte 14"},
    {"product", 0, 0, "Loopbacc", NULL, PRODUCT, 255, 0x80, "its product's name changed"},
    {"product-longer", 0, 0, "Loopback II", NULL, PRODUCT, 2, 0x80, "its product's name changed"},
    {"serial", 0, 0, NULL, "0002", SERIAL_NUMBER, 255, 0x80, "its serial number changed"},
};

static void lie_apply(Lie *lie, unsigned i)
{
    lie_init(lie);
    if (changes[i].device_byte)
        lie->device[changes[i].device_byte] ^= 0xff;
    if (changes[i].configuration_byte)
        lie->configuration[changes[i].configuration_byte] ^= 0xff;
    if (changes[i].product)
        lie->strings[1] = changes[i].product;
    if (changes[i].serial)
        lie->strings[2] = changes[i].serial;
}

static void test_changes(gconstpointer profile)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(changes); i++) {
        g_test_message("%s", changes[i].name);
        static Lie lie;
        lie_apply(&lie, i);
        g_autoptr(World) world = world_new_attached(profile);
        become(world, &lie.model);
        world_forget(world);
        fake_guest_bulk_in(world->guest, 0x81, 64); /* goes with the device */
        fake_guest_control_in(world->guest, changes[i].request_type, 6, changes[i].read,
                              language_of(changes[i].read), changes[i].length);
        world_turn(world);
        const FakeGuestEvent *event = world_the_event(world, FAKE_GUEST_CONTROL);
        g_assert_cmpuint(event->status, ==, usb_redir_ioerror);
        g_assert_null(event->data);
        assert_taken_away(world, changes[i].reason);
    }
}

/* The part of a SuperSpeed device that the guest is not shown counts as well. */
static void test_change_of_what_is_hidden(void)
{
    static const uint8_t uas[] = {
        9, 2, 55,   0, 1, 1, 0, 0x80,   50,                   /**/
        9, 4, 0,    0, 2, 8, 6, 0x50,   0,                    /**/
        7, 5, 0x81, 2, 0, 4, 0, /**/ 7, 5,  0x01, 2, 0, 4, 0, /**/
        9, 4, 0,    1, 2, 8, 6, 0x62,   0,                    /**/
        7, 5, 0x81, 2, 0, 4, 0, /**/ 7, 5,  0x01, 2, 0, 4, 0,
    };
    static Lie first, second;
    lie_init(&first);
    first.device[3] = 3;
    first.device[7] = 9;
    memcpy(first.configuration, uas, sizeof uas);
    second = first;
    second.model.device = second.device;
    second.model.configuration = second.configuration;
    second.model.strings = second.strings;
    second.configuration[38] = 3;
    g_autoptr(World) world = world_new(NULL, &first.model, NULL);
    const RdpusbDeviceInfo *info = rdpusb_bridge_device_info(world->bridge);
    g_assert_cmpuint(info->n_interface_classes, ==, 2);
    g_assert_cmphex(info->interface_classes[1].protocol, ==, 0x62);
    world_connect_guest(world);
    read_descriptor(world, CONFIGURATION, 0, 255);
    g_assert_cmpuint(world_the_event(world, FAKE_GUEST_CONTROL)->length, ==, 32);
    become(world, &second.model);
    read_descriptor(world, CONFIGURATION, 0, 32);
    assert_taken_away(world, "byte 38");
}

/* The guest does not wait for the answer any more, and is still told of the device. */
static void test_cancelled(gconstpointer profile)
{
    static Lie lie;
    lie_apply(&lie, 0);
    g_autoptr(World) world = world_new_attached(profile);
    become(world, &lie.model);
    world_forget(world);
    uint64_t id = fake_guest_control_in(world->guest, 0x80, 6, DEVICE, 0, 18);
    fake_guest_cancel(world->guest, id);
    world_turn(world);
    g_assert_cmpuint(world_n_events(world, FAKE_GUEST_CONTROL), ==, 1);
    assert_taken_away(world, "its device descriptor changed");
}

/* The guest has left meanwhile: the next one does not get the device. */
static void test_without_guest(void)
{
    static Lie lie;
    lie_apply(&lie, 0);
    g_autoptr(World) world = world_new_attached(NULL);
    become(world, &lie.model);
    fake_guest_control_in(world->guest, 0x80, 6, DEVICE, 0, 18);
    g_autoptr(GBytes) request = fake_guest_take_output(world->guest);
    rdpusb_bridge_feed_guest(world->bridge, g_bytes_get_data(request, NULL),
                             g_bytes_get_size(request), world->now, NULL);
    world_disconnect_guest(world);
    world_turn(world);
    g_assert_cmpint(rdpusb_bridge_state(world->bridge), ==, RDPUSB_BRIDGE_GONE);
    g_assert_true(rdpusb_bridge_failed(world->bridge));
}

/* ---- After a selection ---- */

static unsigned n_bulk;
static uint32_t reading; /* our own request */

static bool hold_reading(FakeClient *client, const FakeRequest *request, FakeResponse *response,
                         void *data)
{
    if (request->urb->function == WIRE_URB_FUNCTION_SELECT_CONFIGURATION)
        return false;
    if (request->urb->function == WIRE_URB_FUNCTION_BULK_OR_INTERRUPT_TRANSFER) {
        n_bulk++;
        return false;
    }
    reading = request->urb->request_id;
    response->action = FAKE_HOLD;
    return true;
}

/* Another device comes of a selection: the guest reads nothing after it, and nothing that it asks
 * goes there before we have read it. */
static void test_changes_with_selection(gconstpointer profile)
{
    static Lie lie;
    lie_apply(&lie, 0);
    g_autoptr(World) world = world_new_attached(profile);
    fake_guest_bulk_out(world->guest, EP_OUT, "used", 4);
    world_turn(world);
    world_forget(world);
    n_bulk = reading = 0;
    world->on_urb = hold_reading;
    fake_guest_set_configuration(world->guest, 1);
    world_turn(world);
    g_assert_cmpuint(world_the_event(world, FAKE_GUEST_CONFIGURATION_STATUS)->status, ==,
                     usb_redir_success);
    fake_guest_bulk_out(world->guest, EP_OUT, "not to it", 9);
    world_turn(world);
    g_assert_cmpuint(reading, !=, 0);
    g_assert_cmpuint(n_bulk, ==, 0);
    FakeResponse other = {.action = FAKE_ANSWER, .data = {lie.device, sizeof lie.device}};
    g_assert_true(fake_client_complete(world->client, world->device, reading, &other));
    world_turn(world);
    g_assert_cmpuint(n_bulk, ==, 0);
    assert_taken_away(world, "its device descriptor changed");
}

static void test_unchanged_by_selection(gconstpointer profile)
{
    g_autoptr(World) world = world_new(profile, &fake_device_two_configurations, NULL);
    world_connect_guest(world);
    for (unsigned round = 0; round < 3; round++) {
        unsigned before = world->n_urbs, before_selects = world->n_selects;
        fake_guest_set_configuration(world->guest, 1 + (round + 1) % 2);
        world_advance(world, G_TIME_SPAN_SECOND);
        /* The device descriptor and two configurations. */
        g_assert_cmpuint(world->n_urbs - before, ==, world->n_selects - before_selects + 3);
    }
    g_assert_cmpuint(world_n_events(world, FAKE_GUEST_CONFIGURATION_STATUS), ==, 3);
    assert_stays(world);
}

static bool stall_control(FakeClient *client, const FakeRequest *request, FakeResponse *response,
                          void *data)
{
    if (request->urb->function == WIRE_URB_FUNCTION_SELECT_CONFIGURATION)
        return false;
    response->usbd_status = 4;
    return true;
}

/* A device that does not answer then has not changed, and is asked once. */
static void test_silent_after_selection(void)
{
    g_autoptr(World) world = world_new_attached(NULL);
    fake_guest_bulk_out(world->guest, EP_OUT, "used", 4);
    world_turn(world);
    unsigned before = world->n_urbs;
    world->on_urb = stall_control;
    fake_guest_set_configuration(world->guest, 1);
    world_turn(world);
    world->on_urb = NULL;
    g_assert_cmpuint(world->n_urbs, ==, before + 2);
    g_assert_cmpuint(world_the_event(world, FAKE_GUEST_CONFIGURATION_STATUS)->status, ==,
                     usb_redir_success);
    assert_stays(world);
}

/* ---- Interface classes ---- */

static void test_classes(void)
{
    g_autoptr(World) world = world_new(NULL, NULL, NULL);
    const RdpusbDeviceInfo *info = rdpusb_bridge_device_info(world->bridge);
    g_assert_cmpuint(info->n_interface_classes, ==, 2);
    g_assert_cmphex(info->interface_classes[0].class_, ==, 0xff);
    g_assert_cmphex(info->interface_classes[0].subclass, ==, 0);
    g_assert_cmphex(info->interface_classes[1].subclass, ==, 1); /* alternate setting 1 */
}

/* The second configuration is a keyboard. */
static void test_classes_of_all_configurations(void)
{
    static const uint8_t keyboard[] = {
        9, 2,  34, 0, 2,    2,    0, 0x80, 50, /**/
        8, 11, 0,  2, 0x0e, 3,    0, 0,        /* association: no interface */
        9, 4,  0,  0, 0,    0xff, 0, 0,    0,  /**/
        9, 4,  1,  0, 0,    3,    1, 1,    0,  /**/
    };
    static Lie lie;
    static uint8_t second[sizeof keyboard];
    lie_init(&lie);
    memcpy(second, keyboard, sizeof second);
    second[2] = sizeof second;
    lie.device[17] = 2;
    lie.model.second = second;
    g_autoptr(World) world = world_new(NULL, &lie.model, NULL);
    const RdpusbDeviceInfo *info = rdpusb_bridge_device_info(world->bridge);
    g_assert_cmpuint(info->n_interface_classes, ==, 3);
    g_assert_cmphex(info->interface_classes[2].class_, ==, 3);
    g_assert_cmphex(info->interface_classes[2].subclass, ==, 1);
    g_assert_cmphex(info->interface_classes[2].protocol, ==, 1);
}

static uint8_t many[9 + 9 * 257];

static FakeDeviceModel model_of_many(unsigned n)
{
    size_t size = 9 + 9 * n;
    const uint8_t header[] = {9, 2, size & 0xff, size >> 8, 1, 1, 0, 0x80, 50};
    memcpy(many, header, sizeof header);
    for (unsigned i = 0; i < n; i++) {
        const uint8_t setting[] = {9, 4, i / 256, i & 0xff, 0, 0xff, i >> 8, i & 0xff, 0};
        memcpy(many + 9 + 9 * i, setting, sizeof setting);
    }
    many[4] = n > 256 ? 2 : 1;
    FakeDeviceModel model = fake_device_loopback;
    model.configuration = many;
    return model;
}

static void test_too_many_classes(void)
{
    FakeDeviceModel model = model_of_many(RDPUSB_MAX_INTERFACE_CLASSES);
    g_autoptr(World) world = world_new(NULL, &model, NULL);
    g_assert_cmpint(rdpusb_bridge_state(world->bridge), ==, RDPUSB_BRIDGE_READY);
    g_assert_cmpuint(rdpusb_bridge_device_info(world->bridge)->n_interface_classes, ==,
                     RDPUSB_MAX_INTERFACE_CLASSES);
    g_clear_pointer(&world, world_free);

    model = model_of_many(RDPUSB_MAX_INTERFACE_CLASSES + 1);
    world = world_new(NULL, &model, NULL);
    g_assert_cmpint(rdpusb_bridge_state(world->bridge), ==, RDPUSB_BRIDGE_GONE);
    g_assert_cmpstr(rdpusb_bridge_reason(world->bridge), ==,
                    "its interfaces are of more than 256 different classes");
}

static void add_for_each_profile(const char *name, GTestDataFunc function)
{
    for (unsigned i = 0; i < FAKE_CLIENT_N_PROFILES; i++) {
        const FakeClientProfile *profile = fake_client_profiles[i];
        g_autofree char *path = g_strdup_printf("/watch/%s/%s", name, profile->name);
        g_test_add_data_func(path, profile, function);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    add_for_each_profile("unchanged", test_unchanged);
    add_for_each_profile("fails", test_fails);
    add_for_each_profile("changes", test_changes);
    add_for_each_profile("cancelled", test_cancelled);
    add_for_each_profile("changes-with-selection", test_changes_with_selection);
    add_for_each_profile("unchanged-by-selection", test_unchanged_by_selection);
    g_test_add_func("/watch/length-varies", test_length_varies);
    g_test_add_func("/watch/not-compared", test_not_compared);
    g_test_add_func("/watch/kept-back", test_kept_back);
    g_test_add_func("/watch/change-of-what-is-hidden", test_change_of_what_is_hidden);
    g_test_add_func("/watch/without-guest", test_without_guest);
    g_test_add_func("/watch/silent-after-selection", test_silent_after_selection);
    g_test_add_func("/watch/classes", test_classes);
    g_test_add_func("/watch/classes-of-all-configurations", test_classes_of_all_configurations);
    g_test_add_func("/watch/too-many-classes", test_too_many_classes);
    return g_test_run();
}
