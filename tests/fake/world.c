/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "world.h"

#define CONTROL_CHANNEL    0
#define DEVICE_CHANNEL     1
#define REQUEST_COMPLETION 0x10

static void assert_no_violations(const GPtrArray *violations, const char *whose)
{
    for (unsigned i = 0; i < violations->len; i++)
        g_test_message("%s: %s", whose, (const char *) violations->pdata[i]);
    g_assert_cmpuint(violations->len, ==, 0);
}

static bool count_urb(FakeClient *client, const FakeRequest *request, FakeResponse *response,
                      void *data)
{
    World *world = data;
    world->n_urbs++;
    if (request->urb->function == WIRE_URB_FUNCTION_SELECT_CONFIGURATION)
        world->n_selects++;
    return world->on_urb && world->on_urb(client, request, response, world);
}

static bool say_to_client(World *world)
{
    g_autoptr(GBytes) control = rdpusb_control_channel_next_message(world->control);
    if (control)
        fake_client_feed(world->client, CONTROL_CHANNEL, g_bytes_get_data(control, NULL),
                         g_bytes_get_size(control), world->now);
    g_autoptr(GBytes) device = NULL;
    if (world->bridge)
        device = rdpusb_bridge_next_client_message(world->bridge, world->now);
    if (device)
        fake_client_feed(world->client, DEVICE_CHANNEL, g_bytes_get_data(device, NULL),
                         g_bytes_get_size(device), world->now);
    return control || device;
}

static void hear_on_control(World *world, GBytes *message)
{
    g_autoptr(GError) error = NULL;
    rdpusb_control_channel_feed(world->control, g_bytes_get_data(message, NULL),
                                g_bytes_get_size(message), world->now, &error);
    g_assert_no_error(error);
    if (rdpusb_control_channel_take_additions(world->control) > 0 && world->bridge)
        rdpusb_bridge_client_opened(world->bridge, world->now);
}

static bool hear_client(World *world)
{
    unsigned channel;
    g_autoptr(GBytes) message = fake_client_next_message(world->client, &channel);
    if (message && channel == CONTROL_CHANNEL)
        hear_on_control(world, message);
    else if (message)
        rdpusb_bridge_feed_client(world->bridge, g_bytes_get_data(message, NULL),
                                  g_bytes_get_size(message), world->now);
    else if (fake_client_next_closed(world->client, &channel))
        rdpusb_bridge_client_closed(world->bridge, world->now);
    else
        return false;
    return true;
}

static bool say_to_guest(World *world)
{
    g_autoptr(GBytes) bytes = rdpusb_bridge_next_guest_output(world->bridge);
    if (!bytes)
        return false;
    if (world->guest)
        fake_guest_feed(world->guest, g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes));
    return true;
}

static bool hear_guest(World *world)
{
    g_autoptr(GBytes) bytes = world->guest ? fake_guest_take_output(world->guest) : NULL;
    if (!bytes)
        return false;
    g_clear_error(&world->guest_error);
    rdpusb_bridge_feed_guest(world->bridge, g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes),
                             world->now, &world->guest_error);
    return true;
}

void world_turn(World *world)
{
    while (say_to_client(world) || hear_client(world) || say_to_guest(world) || hear_guest(world)) {
    }
    FakeGuestEvent *event;
    while (world->guest && (event = fake_guest_next_event(world->guest)))
        g_ptr_array_add(world->events, event);
}

void world_advance(World *world, int64_t microseconds)
{
    int64_t end = world->now + microseconds;
    world_turn(world);
    while (world->now < end) {
        int64_t next =
            MIN(rdpusb_bridge_deadline(world->bridge), fake_client_deadline(world->client));
        world->now = MIN(MAX(next, world->now + 1), end);
        fake_client_tick(world->client, world->now);
        rdpusb_bridge_tick(world->bridge, world->now);
        world_turn(world);
    }
}

World *world_new(const FakeClientProfile *profile, const FakeDeviceModel *model,
                 const RdpusbLimits *limits)
{
    World *world = g_new0(World, 1);
    world->now = 1000 * G_TIME_SPAN_SECOND;
    world->events = g_ptr_array_new_with_free_func((GDestroyNotify) fake_guest_event_free);
    world->client = fake_client_new(profile);
    fake_client_set_on_urb(world->client, count_urb, world);
    world->device = fake_client_plug(world->client, model ? model : &fake_device_loopback);
    world->control = rdpusb_control_channel_new();
    world->bridge = rdpusb_bridge_new(REQUEST_COMPLETION, limits ? limits : &RDPUSB_LIMITS_DEFAULT);
    rdpusb_control_channel_opened(world->control, world->now);
    world_turn(world);
    return world;
}

void world_free(World *world)
{
    if (!world)
        return;
    world_turn(world);
    if (world->guest) {
        /* What still waits for data is answered by a reset; what is not was forgotten. */
        fake_guest_reset(world->guest);
        world_turn(world);
        fake_guest_finish(world->guest);
        assert_no_violations(fake_guest_violations(world->guest), "guest");
    }
    assert_no_violations(fake_client_violations(world->client), "client");
    rdpusb_bridge_free(world->bridge);
    rdpusb_control_channel_free(world->control);
    fake_guest_free(world->guest);
    fake_client_free(world->client);
    g_clear_error(&world->guest_error);
    g_ptr_array_unref(world->events);
    g_free(world);
}

void world_connect_guest(World *world)
{
    world->guest = fake_guest_new(FAKE_GUEST_QEMU_CAPS);
    rdpusb_bridge_guest_connected(world->bridge, world->now);
    world_turn(world);
}

void world_disconnect_guest(World *world)
{
    assert_no_violations(fake_guest_violations(world->guest), "guest");
    g_clear_pointer(&world->guest, fake_guest_free);
    rdpusb_bridge_guest_disconnected(world->bridge, world->now);
    world_turn(world);
}

World *world_new_attached(const FakeClientProfile *profile)
{
    World *world = world_new(profile, NULL, NULL);
    world_connect_guest(world);
    g_assert_cmpint(rdpusb_bridge_state(world->bridge), ==, RDPUSB_BRIDGE_ATTACHED);
    fake_guest_set_configuration(world->guest, 1);
    world_turn(world);
    g_assert_cmpuint(world_the_event(world, FAKE_GUEST_CONFIGURATION_STATUS)->status, ==,
                     usb_redir_success);
    world_forget(world);
    return world;
}

const FakeGuestEvent *world_event(World *world, FakeGuestEventType type, unsigned n)
{
    for (unsigned i = 0; i < world->events->len; i++) {
        const FakeGuestEvent *event = world->events->pdata[i];
        if (event->type == type && n-- == 0)
            return event;
    }
    return NULL;
}

unsigned world_n_events(World *world, FakeGuestEventType type)
{
    unsigned n = 0;
    while (world_event(world, type, n))
        n++;
    return n;
}

const FakeGuestEvent *world_the_event(World *world, FakeGuestEventType type)
{
    g_assert_cmpuint(world_n_events(world, type), ==, 1);
    return world_event(world, type, 0);
}

void world_forget(World *world)
{
    g_ptr_array_set_size(world->events, 0);
}

void world_device_says(World *world, uint8_t endpoint, const char *text)
{
    FakeDevice *device = fake_client_device(world->client, world->device);
    fake_device_say(device, endpoint, (const uint8_t *) text, strlen(text));
    fake_client_tick(world->client, world->now);
    world_turn(world);
}
