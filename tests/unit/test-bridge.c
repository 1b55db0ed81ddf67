/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The whole library between a fake client and a fake guest. Both complain by themselves when the
 * bridge breaks a rule that the real ones rely on: world_free() asserts that they did not.
 * The tests named qemu-rule-N hold what QEMU needs, one by one; those named rule-N what clients
 * need that the device channel alone does not see (test-device-channel.c has the others).
 */
#include "world.h"

#include <string.h>

#define EP_OUT       0x01
#define EP_IN        0x81
#define EP_INTERRUPT 0x82

static void assert_text(const FakeGuestEvent *event, const char *text)
{
    g_assert_nonnull(event);
    g_assert_cmpuint(event->status, ==, usb_redir_success);
    g_assert_nonnull(event->data);
    g_assert_cmpmem(g_bytes_get_data(event->data, NULL), g_bytes_get_size(event->data), text,
                    strlen(text));
}

static uint32_t request_id(const FakeRequest *request)
{
    return request->urb->request_id;
}

static bool is_bulk(const FakeRequest *request)
{
    return request->urb->function == WIRE_URB_FUNCTION_BULK_OR_INTERRUPT_TRANSFER;
}

/* ---- Arrival ---- */

static void test_arrival(gconstpointer profile)
{
    g_autoptr(World) world = world_new(profile, NULL, NULL);
    g_assert_cmpint(rdpusb_bridge_state(world->bridge), ==, RDPUSB_BRIDGE_READY);
    const RdpusbDeviceInfo *info = rdpusb_bridge_device_info(world->bridge);
    g_assert_cmphex(info->vendor, ==, 0x1209);
    g_assert_cmphex(info->product, ==, 0x0001);
    g_assert_cmpint(info->speed, ==, RDPUSB_SPEED_HIGH);

    world_connect_guest(world);
    g_assert_cmpint(rdpusb_bridge_state(world->bridge), ==, RDPUSB_BRIDGE_ATTACHED);
    const FakeGuestEvent *connect = world_the_event(world, FAKE_GUEST_DEVICE_CONNECT);
    g_assert_cmphex(connect->device.vendor_id, ==, 0x1209);
    g_assert_cmpint(connect->device.speed, ==, usb_redir_speed_high);
    g_assert_true(fake_guest_attached(world->guest));
}

/* Only hello until the guest's hello; then interface_info, ep_info, device_connect. */
static void test_rule_1(void)
{
    g_autoptr(World) world = world_new(NULL, NULL, NULL);
    world->guest = fake_guest_new(FAKE_GUEST_QEMU_CAPS);
    rdpusb_bridge_guest_connected(world->bridge, world->now);
    g_autoptr(GBytes) hello = rdpusb_bridge_next_guest_output(world->bridge);
    g_assert_nonnull(hello);
    g_assert_null(rdpusb_bridge_next_guest_output(world->bridge));
    g_assert_false(rdpusb_bridge_guest_said_hello(world->bridge));
    fake_guest_feed(world->guest, g_bytes_get_data(hello, NULL), g_bytes_get_size(hello));
    world_turn(world);
    static const FakeGuestEventType order[] = {FAKE_GUEST_HELLO, FAKE_GUEST_INTERFACE_INFO,
                                               FAKE_GUEST_EP_INFO, FAKE_GUEST_DEVICE_CONNECT};
    g_assert_cmpuint(world->events->len, ==, G_N_ELEMENTS(order));
    for (unsigned i = 0; i < G_N_ELEMENTS(order); i++)
        g_assert_cmpint(((FakeGuestEvent *) world->events->pdata[i])->type, ==, order[i]);
}

static void test_rule_2(void)
{
    g_autoptr(World) world = world_new(NULL, NULL, NULL);
    world_connect_guest(world);
    uint32_t caps = world_the_event(world, FAKE_GUEST_HELLO)->capabilities;
    g_assert_cmphex(caps & 1u << usb_redir_cap_bulk_streams, ==, 0);
    static const int needed_by_xhci[] = {usb_redir_cap_ep_info_max_packet_size,
                                         usb_redir_cap_64bits_ids,
                                         usb_redir_cap_32bits_bulk_length};
    for (unsigned i = 0; i < G_N_ELEMENTS(needed_by_xhci); i++)
        g_assert_cmphex(caps & 1u << needed_by_xhci[i], !=, 0);
    g_assert_cmphex(caps & 1u << usb_redir_cap_device_disconnect_ack, !=, 0);
}

/* The configuration that was selected at arrival costs no round trip. */
static void test_first_configuration(gconstpointer profile)
{
    g_autoptr(World) world = world_new_attached(profile);
    g_assert_cmpuint(world->n_selects, ==, 1);
    fake_guest_get_configuration(world->guest);
    world_turn(world);
    g_assert_cmpuint(world_the_event(world, FAKE_GUEST_CONFIGURATION_STATUS)->configuration, ==, 1);
}

static void set_configuration(World *world, uint8_t value)
{
    fake_guest_set_configuration(world->guest, value);
    world_turn(world);
    const FakeGuestEvent *event = world_the_event(world, FAKE_GUEST_CONFIGURATION_STATUS);
    g_assert_cmpuint(event->status, ==, usb_redir_success);
    g_assert_cmpuint(event->configuration, ==, value);
    world_forget(world);
}

/* From few interfaces to many and back; the fake client complains where FreeRDP would crash. */
static void test_two_configurations(gconstpointer profile)
{
    g_autoptr(World) world = world_new(profile, &fake_device_two_configurations, NULL);
    world_connect_guest(world);
    for (unsigned round = 0; round < 2; round++) {
        world_forget(world);
        set_configuration(world, 2);
        g_assert_cmpuint(fake_guest_interface_info(world->guest)->interface_count, ==, 3);
        world_device_says(world, 0x81, "of the second");
        fake_guest_bulk_in(world->guest, 0x81, 512);
        world_turn(world);
        assert_text(world_the_event(world, FAKE_GUEST_BULK), "of the second");
        world_forget(world);
        set_configuration(world, 0);
        set_configuration(world, 1);
        g_assert_cmpuint(fake_guest_interface_info(world->guest)->interface_count, ==, 1);
    }
    set_configuration(world, 2);
    world_disconnect_guest(world); /* the next guest finds the first configuration */
    world_forget(world);
    world_connect_guest(world);
    g_assert_cmpuint(fake_guest_interface_info(world->guest)->interface_count, ==, 1);
}

/* ---- Bulk ---- */

static const unsigned sizes[] = {1,    2,    31,   63,   64,    65,    511,   512,   513,
                                 1023, 1024, 1025, 4096, 65535, 65536, 65537, 262144};

static void test_loopback(gconstpointer profile)
{
    g_autoptr(World) world = world_new_attached(profile);
    for (unsigned i = 0; i < G_N_ELEMENTS(sizes); i++) {
        g_autofree uint8_t *data = g_malloc(sizes[i]);
        for (unsigned b = 0; b < sizes[i]; b++)
            data[b] = (b * 7 + i) & 0xff;
        world_forget(world);
        fake_guest_bulk_in(world->guest, EP_IN, sizes[i]);
        fake_guest_bulk_out(world->guest, EP_OUT, data, sizes[i]);
        world_turn(world);
        g_assert_cmpuint(world_n_events(world, FAKE_GUEST_BULK), ==, 2);
        const FakeGuestEvent *out = world_event(world, FAKE_GUEST_BULK, 0);
        const FakeGuestEvent *in = world_event(world, FAKE_GUEST_BULK, 1);
        if (out->endpoint != EP_OUT) {
            const FakeGuestEvent *other = out;
            out = in;
            in = other;
        }
        g_assert_cmpuint(out->status, ==, usb_redir_success);
        g_assert_cmpuint(out->length, ==, sizes[i]);
        g_assert_cmpuint(in->status, ==, usb_redir_success);
        g_assert_cmpmem(g_bytes_get_data(in->data, NULL), g_bytes_get_size(in->data), data,
                        sizes[i]);
    }
}

static bool count_zero_length(FakeClient *client, const FakeRequest *request,
                              FakeResponse *response, void *data)
{
    if (!is_bulk(request) || request->is_in)
        return false;
    g_assert_cmpuint(request->output_buffer_size, ==, 0);
    return false;
}

static void test_zero_length(gconstpointer profile)
{
    g_autoptr(World) world = world_new_attached(profile);
    world->on_urb = count_zero_length;
    unsigned before = world->n_urbs;
    fake_guest_bulk_out(world->guest, EP_OUT, NULL, 0);
    world_turn(world);
    g_assert_cmpuint(world->n_urbs, ==, before + 1);
    g_assert_cmpuint(world_the_event(world, FAKE_GUEST_BULK)->status, ==, usb_redir_success);
}

/* A short packet is a result, an empty one as well. */
static void test_short(gconstpointer profile)
{
    g_autoptr(World) world = world_new_attached(profile);
    fake_guest_bulk_in(world->guest, EP_IN, 512);
    world_turn(world);
    world_device_says(world, EP_IN, "short");
    assert_text(world_the_event(world, FAKE_GUEST_BULK), "short");
    world_forget(world);
    fake_guest_bulk_in(world->guest, EP_IN, 512);
    world_turn(world);
    world_device_says(world, EP_IN, "");
    g_assert_cmpuint(world_the_event(world, FAKE_GUEST_BULK)->length, ==, 0);
}

static GArray *held; /* request ids, in the order in which they reached the client */

static bool hold_bulk(FakeClient *client, const FakeRequest *request, FakeResponse *response,
                      void *data)
{
    if (!is_bulk(request))
        return false;
    uint32_t id = request_id(request);
    g_array_append_val(held, id);
    response->action = FAKE_HOLD;
    return true;
}

static bool never(FakeClient *client, const FakeRequest *request, FakeResponse *response,
                  void *data)
{
    if (!is_bulk(request))
        return false;
    response->action = FAKE_NEVER;
    return true;
}

static void complete_held(World *world, unsigned index, const char *text)
{
    FakeResponse response = {.action = FAKE_ANSWER, .data = {(const uint8_t *) text, strlen(text)}};
    g_assert_true(fake_client_complete(world->client, world->device,
                                       g_array_index(held, uint32_t, index), &response));
    world_turn(world);
}

/* The client answers in any order, the guest is answered in its own. */
static void test_rule_3_order(void)
{
    static const char *const texts[] = {"zero", "one", "two", "three", "four"};
    static const unsigned order[] = {3, 1, 4, 0, 2};
    static const unsigned answered[] = {0, 0, 0, 2, 5};
    held = g_array_new(FALSE, FALSE, sizeof(uint32_t));
    g_autoptr(World) world = world_new_attached(NULL);
    world->on_urb = hold_bulk;
    for (unsigned i = 0; i < G_N_ELEMENTS(texts); i++)
        fake_guest_bulk_in(world->guest, EP_IN, 64);
    world_turn(world);
    g_assert_cmpuint(held->len, ==, G_N_ELEMENTS(texts));
    for (unsigned i = 0; i < G_N_ELEMENTS(order); i++) {
        complete_held(world, order[i], texts[order[i]]);
        g_assert_cmpuint(world_n_events(world, FAKE_GUEST_BULK), ==, answered[i]);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(texts); i++)
        assert_text(world_event(world, FAKE_GUEST_BULK, i), texts[i]);
    g_clear_pointer(&held, g_array_unref);
}

/* More than may be at the client at once: the rest waits, and is answered. */
static void test_many(gconstpointer profile)
{
    g_autoptr(World) world = world_new_attached(profile);
    uint8_t data[64] = "payload";
    for (unsigned i = 0; i < 1700; i++)
        fake_guest_bulk_out(world->guest, EP_OUT, data, sizeof data);
    world_turn(world);
    g_assert_no_error(world->guest_error);
    g_assert_cmpuint(world_n_events(world, FAKE_GUEST_BULK), ==, 1700);
    g_assert_cmpuint(fake_guest_unanswered(world->guest), ==, 0);
}

/* Writes without end do not keep a read waiting until they are over. */
static void test_fairness(void)
{
    enum { N_WRITES = 24, SIZE = 1024 * 1024 };
    g_autofree uint8_t *data = g_malloc0(SIZE);
    g_autoptr(World) world = world_new_attached(NULL);
    for (unsigned i = 0; i < N_WRITES; i++)
        fake_guest_bulk_out(world->guest, EP_OUT, data, SIZE);
    fake_guest_bulk_in(world->guest, EP_IN, SIZE);
    world_turn(world);
    g_assert_cmpuint(world_n_events(world, FAKE_GUEST_BULK), ==, N_WRITES + 1);
    unsigned place = 0;
    while (world_event(world, FAKE_GUEST_BULK, place)->endpoint != EP_IN)
        place++;
    g_assert_cmpuint(place, <, N_WRITES / 2);
}

/* ---- The client's time-outs are not the guest's ---- */

static void test_idle_bulk(gconstpointer profile)
{
    g_autoptr(World) world = world_new_attached(profile);
    for (unsigned i = 0; i < 4; i++)
        fake_guest_bulk_in(world->guest, EP_IN, 64);
    world_advance(world, 45 * G_TIME_SPAN_SECOND);
    g_assert_cmpuint(world_n_events(world, FAKE_GUEST_BULK), ==, 0);
    world_device_says(world, EP_IN, "first");
    world_device_says(world, EP_IN, "second");
    g_assert_cmpuint(world_n_events(world, FAKE_GUEST_BULK), ==, 2);
    assert_text(world_event(world, FAKE_GUEST_BULK, 0), "first");
    assert_text(world_event(world, FAKE_GUEST_BULK, 1), "second");
}

/* The first of four times out with nothing, while the second has already got data that belonged to
 * the first: order is by arrival. */
static void test_time_out_with_data_behind(void)
{
    held = g_array_new(FALSE, FALSE, sizeof(uint32_t));
    g_autoptr(World) world = world_new_attached(NULL);
    world->on_urb = hold_bulk;
    for (unsigned i = 0; i < 3; i++)
        fake_guest_bulk_in(world->guest, EP_IN, 512);
    world_turn(world);
    FakeResponse timed_out = {.action = FAKE_ANSWER, .usbd_status = 2};
    fake_client_complete(world->client, world->device, g_array_index(held, uint32_t, 0),
                         &timed_out);
    world->on_urb = NULL;
    complete_held(world, 1, "data");
    world_advance(world, G_TIME_SPAN_SECOND);
    assert_text(world_the_event(world, FAKE_GUEST_BULK), "data");
    g_assert_cmphex(world_event(world, FAKE_GUEST_BULK, 0)->endpoint, ==, EP_IN);
    world_device_says(world, EP_IN, "more");
    assert_text(world_event(world, FAKE_GUEST_BULK, 1), "more");
    g_clear_pointer(&held, g_array_unref);
}

/* A time-out in the middle of a long transfer: the bytes are kept, the rest follows. */
static void test_time_out_with_part(void)
{
    held = g_array_new(FALSE, FALSE, sizeof(uint32_t));
    g_autoptr(World) world = world_new_attached(NULL);
    world->on_urb = hold_bulk;
    fake_guest_bulk_in(world->guest, EP_IN, 1024);
    world_turn(world);
    uint8_t part[512];
    memset(part, 'a', sizeof part);
    FakeResponse timed_out = {.action = FAKE_ANSWER, .usbd_status = 2, .data = {part, sizeof part}};
    fake_client_complete(world->client, world->device, g_array_index(held, uint32_t, 0),
                         &timed_out);
    world_turn(world);
    g_assert_cmpuint(world_n_events(world, FAKE_GUEST_BULK), ==, 0);
    g_assert_cmpuint(held->len, ==, 2);
    complete_held(world, 1, "end");
    const FakeGuestEvent *event = world_the_event(world, FAKE_GUEST_BULK);
    g_assert_cmpuint(event->length, ==, 515);
    const uint8_t *bytes = g_bytes_get_data(event->data, NULL);
    g_assert_cmpmem(bytes, 512, part, 512);
    g_assert_cmpmem(bytes + 512, 3, "end", 3);
    g_clear_pointer(&held, g_array_unref);
}

/* The same for OUT: what the device took is not sent again. */
static void test_time_out_out(void)
{
    held = g_array_new(FALSE, FALSE, sizeof(uint32_t));
    g_autoptr(World) world = world_new_attached(NULL);
    world->on_urb = hold_bulk;
    uint8_t data[1536] = {0};
    fake_guest_bulk_out(world->guest, EP_OUT, data, sizeof data);
    world_turn(world);
    FakeResponse timed_out = {.action = FAKE_ANSWER, .usbd_status = 2, .data = {data, 512}};
    fake_client_complete(world->client, world->device, g_array_index(held, uint32_t, 0),
                         &timed_out);
    world_turn(world);
    g_assert_cmpuint(held->len, ==, 2);
    FakeResponse rest = {.action = FAKE_ANSWER, .data = {data, 1024}};
    fake_client_complete(world->client, world->device, g_array_index(held, uint32_t, 1), &rest);
    world_turn(world);
    const FakeGuestEvent *event = world_the_event(world, FAKE_GUEST_BULK);
    g_assert_cmpuint(event->status, ==, usb_redir_success);
    g_assert_cmpuint(event->length, ==, 1536);
    g_clear_pointer(&held, g_array_unref);
}

/* The request that a message cancels, or 0: [MS-RDPEUSB] 2.2.6.1 */
static uint32_t cancelled_request(GBytes *message)
{
    size_t size;
    const uint8_t *bytes = g_bytes_get_data(message, &size);
    if (size != 16 || bytes[8] != 0x00 || bytes[9] != 0x01)
        return 0;
    return bytes[12] | (uint32_t) bytes[13] << 8;
}

/* While the rest of a queue of OUT is called back, the device may take the one at its head. It has
 * to be the next in order, so the last one is cancelled first. */
static void test_time_out_out_order(void)
{
    held = g_array_new(FALSE, FALSE, sizeof(uint32_t));
    g_autoptr(World) world = world_new_attached(NULL);
    world->on_urb = hold_bulk;
    for (unsigned i = 0; i < 4; i++)
        fake_guest_bulk_out(world->guest, EP_OUT, "data", 4);
    world_turn(world);
    g_assert_cmpuint(held->len, ==, 4);
    FakeResponse timed_out = {.action = FAKE_ANSWER, .usbd_status = 2};
    fake_client_complete(world->client, world->device, g_array_index(held, uint32_t, 0),
                         &timed_out);
    unsigned channel;
    g_autoptr(GBytes) answer = fake_client_next_message(world->client, &channel);
    rdpusb_bridge_feed_client(world->bridge, g_bytes_get_data(answer, NULL),
                              g_bytes_get_size(answer), world->now);
    for (unsigned i = 3; i > 0; i--) {
        g_autoptr(GBytes) message = rdpusb_bridge_next_client_message(world->bridge, world->now);
        g_assert_nonnull(message);
        g_assert_cmpuint(cancelled_request(message), ==, g_array_index(held, uint32_t, i));
        fake_client_feed(world->client, channel, g_bytes_get_data(message, NULL),
                         g_bytes_get_size(message), world->now);
    }
    world->on_urb = NULL;
    world_turn(world);
    g_assert_cmpuint(world_n_events(world, FAKE_GUEST_BULK), ==, 4);
    for (unsigned i = 0; i < 4; i++)
        g_assert_cmpuint(world_event(world, FAKE_GUEST_BULK, i)->status, ==, usb_redir_success);
    g_clear_pointer(&held, g_array_unref);
}

/* A client that never answers: the guest is answered all the same. An IN failed; an OUT may have
 * been executed and must not be repeated. */
static void test_silent_client(void)
{
    g_autoptr(World) world = world_new_attached(NULL);
    world->on_urb = never;
    fake_guest_bulk_in(world->guest, EP_IN, 64);
    fake_guest_bulk_out(world->guest, EP_OUT, "x", 1);
    world_advance(world, 14 * G_TIME_SPAN_SECOND);
    g_assert_cmpuint(world_n_events(world, FAKE_GUEST_BULK), ==, 0);
    world_advance(world, 2 * G_TIME_SPAN_SECOND);
    g_assert_cmpuint(world_n_events(world, FAKE_GUEST_BULK), ==, 2);
    for (unsigned i = 0; i < 2; i++) {
        const FakeGuestEvent *event = world_event(world, FAKE_GUEST_BULK, i);
        g_assert_cmpuint(event->status, ==,
                         event->endpoint == EP_IN ? usb_redir_ioerror : usb_redir_stall);
    }
}

/* ---- Cancelling ---- */

static void test_rule_3_cancel(gconstpointer profile)
{
    g_autoptr(World) world = world_new_attached(profile);
    fake_guest_bulk_in(world->guest, EP_IN, 64);
    uint64_t second = fake_guest_bulk_in(world->guest, EP_IN, 64);
    world_turn(world);
    fake_guest_cancel(world->guest, second);
    world_turn(world);
    const FakeGuestEvent *event = world_the_event(world, FAKE_GUEST_BULK);
    g_assert_cmpuint(event->status, ==, usb_redir_cancelled);
    g_assert_true(event->cancelled);
    world_device_says(world, EP_IN, "first");
    assert_text(world_event(world, FAKE_GUEST_BULK, 1), "first");
}

/* QEMU gives the id to the next request while the cancelled one is still at the client. */
static void test_rule_4_id_reuse(void)
{
    held = g_array_new(FALSE, FALSE, sizeof(uint32_t));
    g_autoptr(World) world = world_new_attached(NULL);
    world->on_urb = hold_bulk;
    fake_guest_choose_id(world->guest, 0xfedcba9876543210);
    uint64_t id = fake_guest_bulk_in(world->guest, EP_IN, 64);
    world_turn(world);
    fake_guest_cancel(world->guest, id);
    fake_guest_choose_id(world->guest, id);
    g_assert_cmphex(fake_guest_bulk_in(world->guest, EP_IN, 64), ==, id);
    /* The client completes the old one with data before it sees the cancel: that data is lost, as
     * with any cancelled read, and is not the answer to the new one. */
    world_turn(world);
    g_assert_cmpuint(world_n_events(world, FAKE_GUEST_BULK), ==, 1);
    world_advance(world, 3 * G_TIME_SPAN_SECOND);
    g_assert_cmpuint(held->len, ==, 2);
    complete_held(world, 1, "new");
    assert_text(world_event(world, FAKE_GUEST_BULK, 1), "new");
    g_clear_pointer(&held, g_array_unref);
}

/* While the cancelled request is still at the client, the next one waits, or the old one could take
 * its data; for two seconds, then the old one is given up. */
static void test_zombie_holds(void)
{
    g_autoptr(World) world = world_new_attached(NULL);
    world->on_urb = never;
    uint64_t id = fake_guest_bulk_in(world->guest, EP_IN, 64);
    world_turn(world);
    unsigned before = world->n_urbs;
    fake_guest_cancel(world->guest, id);
    fake_guest_bulk_in(world->guest, EP_IN, 64);
    world_advance(world, G_TIME_SPAN_SECOND);
    g_assert_cmpuint(world->n_urbs, ==, before);
    world_advance(world, 2 * G_TIME_SPAN_SECOND);
    g_assert_cmpuint(world->n_urbs, ==, before + 1);
}

static void test_cancel_control(gconstpointer profile)
{
    g_autoptr(World) world = world_new_attached(profile);
    uint64_t id = fake_guest_control_in(world->guest, 0xc0, 1, 0, 0, 8);
    fake_guest_cancel(world->guest, id);
    world_turn(world);
    g_assert_cmpuint(fake_guest_unanswered(world->guest), ==, 0);
}

/* ---- Control ---- */

static void test_control(gconstpointer profile)
{
    g_autoptr(World) world = world_new_attached(profile);
    unsigned before = world->n_urbs;
    fake_guest_control_in(world->guest, 0x80, 6, 0x0100, 0, 64);
    world_turn(world);
    const FakeGuestEvent *event = world_the_event(world, FAKE_GUEST_CONTROL);
    g_assert_cmpuint(event->length, ==, 18);
    g_assert_cmpmem(g_bytes_get_data(event->data, NULL), 18, fake_device_loopback.device, 18);
    world_forget(world);
    fake_guest_control_in(world->guest, 0x80, 6, 0x0200, 0, 9);
    world_turn(world);
    g_assert_cmpuint(world_the_event(world, FAKE_GUEST_CONTROL)->length, ==, 9);
    world_forget(world);
    /* SET_SEL belongs to the client's bus. */
    fake_guest_control_out(world->guest, 0x00, 48, 0, 0, "123456", 6);
    world_turn(world);
    g_assert_cmpuint(world_the_event(world, FAKE_GUEST_CONTROL)->status, ==, usb_redir_success);
    g_assert_cmpuint(world->n_urbs, ==, before + 2); /* for the descriptors, see test-watch.c */
}

static void test_control_never_raw(gconstpointer profile)
{
    g_autoptr(World) world = world_new_attached(profile);
    unsigned before = world->n_urbs;
    fake_guest_control_out(world->guest, 0x00, 9, 1, 0, NULL, 0); /* SET_CONFIGURATION */
    world_turn(world);
    fake_guest_control_out(world->guest, 0x01, 11, 1, 0, NULL, 0); /* SET_INTERFACE */
    world_turn(world);
    g_assert_cmpuint(world_event(world, FAKE_GUEST_CONTROL, 0)->status, ==, usb_redir_stall);
    g_assert_cmpuint(world_event(world, FAKE_GUEST_CONTROL, 1)->status, ==, usb_redir_stall);
    g_assert_cmpuint(world->n_urbs, ==, before);
}

/* ---- Speeds ---- */

static World *world_super_speed(void)
{
    static const uint8_t configuration[] = {
        9, 2, 44,   0, 1, 1,    0, 0x80, 50,                /**/
        9, 4, 0,    0, 2, 0xff, 0, 0,    0,                 /**/
        7, 5, 0x81, 2, 0, 4,    0, 6,    0x30, 15, 0, 0, 0, /**/
        7, 5, 0x01, 2, 0, 4,    0, 6,    0x30, 15, 0, 0, 0,
    };
    static uint8_t device[18];
    static FakeDeviceModel model;
    memcpy(device, fake_device_loopback.device, sizeof device);
    device[2] = 0x20;
    device[3] = 0x03;
    device[7] = 9;
    model = fake_device_loopback;
    model.device = device;
    model.configuration = configuration;
    World *world = world_new(NULL, &model, NULL);
    world_connect_guest(world);
    g_assert_cmpuint(world_the_event(world, FAKE_GUEST_DEVICE_CONNECT)->device.speed, ==,
                     usb_redir_speed_super);
    world_forget(world);
    return world;
}

/* Bytes of the device and of the configuration descriptor that tell the speed. */
static void assert_speed(World *world, uint16_t version, uint8_t packet_0, uint16_t total,
                         uint16_t packet)
{
    world_forget(world);
    fake_guest_control_in(world->guest, 0x80, 6, 0x0100, 0, 18);
    fake_guest_control_in(world->guest, 0x80, 6, 0x0200, 0, 255);
    world_turn(world);
    const uint8_t *device = g_bytes_get_data(world_event(world, FAKE_GUEST_CONTROL, 0)->data, NULL);
    g_assert_cmphex(device[2] | device[3] << 8, ==, version);
    g_assert_cmpuint(device[7], ==, packet_0);
    const FakeGuestEvent *event = world_event(world, FAKE_GUEST_CONTROL, 1);
    const uint8_t *configuration = g_bytes_get_data(event->data, NULL);
    g_assert_cmpuint(event->length, ==, total);
    g_assert_cmpuint(configuration[22] | configuration[23] << 8, ==, packet);
    g_assert_cmpuint(fake_guest_ep_info(world->guest)->max_packet_size[fake_guest_slot(EP_IN)], ==,
                     packet);
}

static void test_super_speed(void)
{
    g_autoptr(World) world = world_super_speed();
    fake_guest_reset(world->guest);
    fake_guest_control_in(world->guest, 0x80, 6, 0x0100, 0, 8);
    world_turn(world);
    assert_speed(world, 0x320, 9, 44, 1024);
    fake_guest_control_in(world->guest, 0x80, 6, 0x0100, 0, 64); /* too late to mean anything */
    world_turn(world);
    assert_speed(world, 0x320, 9, 44, 1024);
}

/* At a USB 2 port guests read 64 bytes first, and that it is one holds until the next guest. */
static void test_super_speed_at_usb_2(void)
{
    g_autoptr(World) world = world_super_speed();
    fake_guest_control_in(world->guest, 0x80, 6, 0x0100, 0, 64);
    fake_guest_set_configuration(world->guest, 1);
    world_turn(world);
    assert_speed(world, 0x210, 64, 32, 512);
    fake_guest_reset(world->guest);
    fake_guest_control_in(world->guest, 0x80, 6, 0x0100, 0, 8);
    fake_guest_set_configuration(world->guest, 0);
    world_turn(world);
    fake_guest_set_configuration(world->guest, 1);
    world_turn(world);
    assert_speed(world, 0x210, 64, 32, 512);
    fake_guest_bulk_in(world->guest, EP_IN, 512);
    fake_guest_bulk_out(world->guest, EP_OUT, "works", 5);
    world_turn(world);
    g_assert_cmpuint(world_n_events(world, FAKE_GUEST_BULK), ==, 2);

    world_disconnect_guest(world);
    world_connect_guest(world);
    world_advance(world, 3 * G_TIME_SPAN_SECOND);
    assert_speed(world, 0x320, 9, 44, 1024);
}

/* ---- Halts ---- */

static void test_halt(gconstpointer profile)
{
    g_autoptr(World) world = world_new_attached(profile);
    /* A read is waiting on another pipe: clients of the FreeRDP family cancel it on the way. */
    fake_guest_start_interrupt_receiving(world->guest, EP_INTERRUPT);
    fake_guest_bulk_in(world->guest, EP_IN, 64);
    world_turn(world);
    fake_device_halt(fake_client_device(world->client, world->device), EP_OUT);
    fake_guest_bulk_out(world->guest, EP_OUT, "x", 1);
    world_turn(world);
    g_assert_cmpuint(world_the_event(world, FAKE_GUEST_BULK)->status, ==, usb_redir_stall);
    world_forget(world);

    fake_guest_control_out(world->guest, 0x02, 1, 0, EP_OUT, NULL, 0);
    world_advance(world, G_TIME_SPAN_SECOND);
    g_assert_cmpuint(world_the_event(world, FAKE_GUEST_CONTROL)->status, ==, usb_redir_success);
    g_assert_cmpuint(world_n_events(world, FAKE_GUEST_BULK), ==, 0);
    fake_guest_bulk_out(world->guest, EP_OUT, "again", 5);
    world_turn(world);
    g_assert_cmpuint(world_n_events(world, FAKE_GUEST_BULK), ==, 2);
    world_device_says(world, EP_INTERRUPT, "report");
    assert_text(world_the_event(world, FAKE_GUEST_INTERRUPT_IN), "report");
}

static unsigned n_pipe_requests;

static bool is_pipe_request(const FakeRequest *request)
{
    return request->urb->function == WIRE_URB_FUNCTION_SYNC_RESET_PIPE_AND_CLEAR_STALL;
}

/* Holds what is written, and sees that nothing of it is there when a pipe is reset: FreeRDP would
 * cancel it from the first transfer on, and the device could take the second without the first. */
static bool hold_writes(FakeClient *client, const FakeRequest *request, FakeResponse *response,
                        void *data)
{
    if (is_pipe_request(request)) {
        n_pipe_requests++;
        g_assert_cmpuint(held->len, ==, 0);
    }
    return is_bulk(request) && !request->is_in && hold_bulk(client, request, response, data);
}

static World *world_with_writes(const FakeClientProfile *profile)
{
    held = g_array_new(FALSE, FALSE, sizeof(uint32_t));
    n_pipe_requests = 0;
    World *world = world_new_attached(profile);
    world->on_urb = hold_writes;
    for (unsigned i = 0; i < 4; i++)
        fake_guest_bulk_out(world->guest, EP_OUT, "data", 4);
    world_turn(world);
    g_assert_cmpuint(held->len, ==, 4);
    fake_guest_control_out(world->guest, 0x02, 1, 0, EP_IN, NULL, 0);
    fake_guest_bulk_out(world->guest, EP_OUT, "late", 4);
    world_turn(world);
    return world;
}

static void assert_written(World *world, unsigned n)
{
    g_assert_cmpuint(world_n_events(world, FAKE_GUEST_BULK), ==, n);
    for (unsigned i = 0; i < n; i++) {
        g_assert_cmpuint(world_event(world, FAKE_GUEST_BULK, i)->status, ==, usb_redir_success);
        g_assert_cmpuint(world_event(world, FAKE_GUEST_BULK, i)->length, ==, 4);
    }
}

/* Writes at another pipe are over before a pipe is reset, and wait until it is. */
static void test_halt_after_writes(gconstpointer profile)
{
    g_autoptr(World) world = world_with_writes(profile);
    world_advance(world, 300 * G_TIME_SPAN_MILLISECOND);
    FakeResponse taken = {.action = FAKE_ANSWER, .data = {(const uint8_t *) "data", 4}};
    while (held->len > 0) {
        g_assert_cmpuint(n_pipe_requests, ==, 0);
        g_assert_cmpuint(held->len, <=, 4);
        uint32_t id = g_array_index(held, uint32_t, 0);
        g_array_remove_index(held, 0);
        g_assert_true(fake_client_complete(world->client, world->device, id, &taken));
        if (held->len == 0)
            world->on_urb = NULL;
        world_turn(world);
    }
    assert_written(world, 5);
    g_assert_cmpuint(world_the_event(world, FAKE_GUEST_CONTROL)->status, ==, usb_redir_success);
    g_clear_pointer(&held, g_array_unref);
}

/* Those that take too long are called back, and sent again afterwards. */
static void test_halt_with_slow_writes(gconstpointer profile)
{
    g_autoptr(World) world = world_with_writes(profile);
    world_advance(world, 999 * G_TIME_SPAN_MILLISECOND);
    g_assert_cmpuint(n_pipe_requests, ==, 0);
    g_assert_cmpuint(fake_client_n_pending(world->client), ==, 4);
    g_array_set_size(held, 0);
    world_advance(world, G_TIME_SPAN_MILLISECOND);
    g_assert_cmpuint(n_pipe_requests, ==, 1);
    g_assert_cmpuint(world_the_event(world, FAKE_GUEST_CONTROL)->status, ==, usb_redir_success);
    g_assert_cmpuint(world_n_events(world, FAKE_GUEST_BULK), ==, 0);
    g_assert_cmpuint(held->len, ==, 5);
    FakeResponse taken = {.action = FAKE_ANSWER, .data = {(const uint8_t *) "data", 4}};
    for (unsigned i = 0; i < held->len; i++)
        fake_client_complete(world->client, world->device, g_array_index(held, uint32_t, i),
                             &taken);
    world_turn(world);
    assert_written(world, 5);
    g_clear_pointer(&held, g_array_unref);
}

static bool cancel_with_part(FakeClient *client, const FakeRequest *request, FakeResponse *response,
                             void *data)
{
    static const uint8_t part[512] = {'p'};
    World *world = data;
    if (is_pipe_request(request)) {
        FakeResponse cancelled = {.usbd_status = 3, .data = {part, sizeof part}};
        uint32_t id = g_array_index(held, uint32_t, 0);
        world->on_urb = NULL;
        g_assert_true(fake_client_complete(client, world->device, id, &cancelled));
    }
    return is_bulk(request) && request->is_in && hold_bulk(client, request, response, data);
}

/* What a read had got when it was cancelled on the way is kept, and the rest is read afterwards. */
static void test_halt_with_part(void)
{
    held = g_array_new(FALSE, FALSE, sizeof(uint32_t));
    g_autoptr(World) world = world_new_attached(NULL);
    world->on_urb = cancel_with_part;
    fake_guest_bulk_in(world->guest, EP_IN, 1024);
    fake_guest_control_out(world->guest, 0x02, 1, 0, EP_OUT, NULL, 0);
    world_turn(world);
    g_assert_cmpuint(world_the_event(world, FAKE_GUEST_CONTROL)->status, ==, usb_redir_success);
    g_assert_cmpuint(world_n_events(world, FAKE_GUEST_BULK), ==, 0);
    world_device_says(world, EP_IN, "end");
    const FakeGuestEvent *event = world_the_event(world, FAKE_GUEST_BULK);
    g_assert_cmpuint(event->length, ==, 515);
    const uint8_t *bytes = g_bytes_get_data(event->data, NULL);
    g_assert_cmpuint(bytes[0], ==, 'p');
    g_assert_cmpmem(bytes + 512, 3, "end", 3);
    g_clear_pointer(&held, g_array_unref);
}

/* The guest gives up clearing the halt: what waited for that goes on. */
static void test_halt_cancelled(gconstpointer profile)
{
    g_autoptr(World) world = world_new_attached(profile);
    world->on_urb = never; /* the read will not come back before the grace is over */
    fake_guest_bulk_in(world->guest, EP_IN, 64);
    world_turn(world);
    uint64_t id = fake_guest_control_out(world->guest, 0x02, 1, 0, EP_IN, NULL, 0);
    fake_guest_bulk_out(world->guest, EP_OUT, "late", 4);
    world_turn(world);
    unsigned before = world->n_urbs;
    fake_guest_cancel(world->guest, id);
    world_turn(world);
    g_assert_cmpuint(world_the_event(world, FAKE_GUEST_CONTROL)->status, ==, usb_redir_cancelled);
    g_assert_cmpuint(world->n_urbs, ==, before + 1);
}

static void test_halt_unknown_endpoint(void)
{
    g_autoptr(World) world = world_new_attached(NULL);
    fake_guest_control_out(world->guest, 0x02, 1, 0, 0x85, NULL, 0);
    world_turn(world);
    g_assert_cmpuint(world_the_event(world, FAKE_GUEST_CONTROL)->status, ==, usb_redir_stall);
}

/* ---- Interrupt receiving ---- */

static void test_rule_7_interrupts(gconstpointer profile)
{
    g_autoptr(World) world = world_new_attached(profile);
    world_device_says(world, EP_INTERRUPT, "before");
    g_assert_cmpuint(world->events->len, ==, 0);
    fake_guest_start_interrupt_receiving(world->guest, EP_INTERRUPT);
    world_turn(world);
    g_assert_cmpuint(world_the_event(world, FAKE_GUEST_INTERRUPT_RECEIVING_STATUS)->status, ==,
                     usb_redir_success);
    world_advance(world, 35 * G_TIME_SPAN_SECOND);
    world_device_says(world, EP_INTERRUPT, "a");
    world_device_says(world, EP_INTERRUPT, "b");
    world_device_says(world, EP_INTERRUPT, "");
    world_device_says(world, EP_INTERRUPT, "c");
    g_assert_cmpuint(world_n_events(world, FAKE_GUEST_INTERRUPT_IN), ==, 5);
    static const char *const texts[] = {"before", "a", "b", NULL, "c"};
    for (unsigned i = 0; i < G_N_ELEMENTS(texts); i++) {
        const FakeGuestEvent *event = world_event(world, FAKE_GUEST_INTERRUPT_IN, i);
        g_assert_cmpuint(event->id, ==, i);
        if (texts[i])
            assert_text(event, texts[i]);
        else
            g_assert_cmpuint(event->length, ==, 0);
    }
}

/* Faster than the client: what belongs to the first run is not taken for the second's. */
static void test_rule_7_restart(gconstpointer profile)
{
    g_autoptr(World) world = world_new_attached(profile);
    for (unsigned i = 0; i < 10; i++) {
        fake_guest_start_interrupt_receiving(world->guest, EP_INTERRUPT);
        fake_guest_stop_interrupt_receiving(world->guest, EP_INTERRUPT);
    }
    fake_guest_start_interrupt_receiving(world->guest, EP_INTERRUPT);
    world_advance(world, G_TIME_SPAN_SECOND);
    g_assert_cmpuint(world_n_events(world, FAKE_GUEST_INTERRUPT_RECEIVING_STATUS), ==, 21);
    world_device_says(world, EP_INTERRUPT, "now");
    assert_text(world_the_event(world, FAKE_GUEST_INTERRUPT_IN), "now");
}

static void test_start_twice(void)
{
    g_autoptr(World) world = world_new_attached(NULL);
    fake_guest_start_interrupt_receiving(world->guest, EP_INTERRUPT);
    fake_guest_start_interrupt_receiving(world->guest, EP_INTERRUPT);
    fake_guest_start_interrupt_receiving(world->guest, EP_IN);
    fake_guest_start_interrupt_receiving(world->guest, 0x8f);
    world_turn(world);
    g_assert_cmpuint(world_n_events(world, FAKE_GUEST_INTERRUPT_RECEIVING_STATUS), ==, 4);
    for (unsigned i = 0; i < 4; i++)
        g_assert_cmpuint(world_event(world, FAKE_GUEST_INTERRUPT_RECEIVING_STATUS, i)->status, ==,
                         i == 0 ? usb_redir_success : usb_redir_inval);
}

static void test_stream_stall(gconstpointer profile)
{
    g_autoptr(World) world = world_new_attached(profile);
    FakeDevice *device = fake_client_device(world->client, world->device);
    fake_device_halt(device, EP_INTERRUPT);
    fake_guest_start_interrupt_receiving(world->guest, EP_INTERRUPT);
    world_advance(world, G_TIME_SPAN_SECOND);
    world_device_says(world, EP_INTERRUPT, "healed");
    assert_text(world_the_event(world, FAKE_GUEST_INTERRUPT_IN), "healed");
    g_assert_cmpuint(world_n_events(world, FAKE_GUEST_INTERRUPT_RECEIVING_STATUS), ==, 1);
}

static unsigned failures_left;

/* mstsc fails an interrupt read now and then, though the device is fine. */
static bool fail_some(FakeClient *client, const FakeRequest *request, FakeResponse *response,
                      void *data)
{
    if (!is_bulk(request) || failures_left == 0)
        return false;
    failures_left--;
    response->hresult = 0x8007001f;
    return true;
}

static void test_stream_failures(void)
{
    g_autoptr(World) world = world_new_attached(&fake_client_mstsc);
    world->on_urb = fail_some;
    failures_left = 1;
    fake_guest_start_interrupt_receiving(world->guest, EP_INTERRUPT);
    world_advance(world, G_TIME_SPAN_SECOND);
    world_device_says(world, EP_INTERRUPT, "fine");
    assert_text(world_the_event(world, FAKE_GUEST_INTERRUPT_IN), "fine");
    g_assert_cmpuint(world_n_events(world, FAKE_GUEST_INTERRUPT_RECEIVING_STATUS), ==, 1);

    /* One that goes on failing is given up, without a hot loop. */
    fake_guest_stop_interrupt_receiving(world->guest, EP_INTERRUPT);
    world_advance(world, G_TIME_SPAN_SECOND);
    unsigned before = world->n_urbs;
    failures_left = 1000;
    fake_guest_start_interrupt_receiving(world->guest, EP_INTERRUPT);
    world_advance(world, 10 * G_TIME_SPAN_SECOND);
    g_assert_cmpuint(world->n_urbs - before, <=, 12);
    g_assert_cmpuint(world_n_events(world, FAKE_GUEST_INTERRUPT_RECEIVING_STATUS), ==, 4);
    g_assert_cmpuint(world_event(world, FAKE_GUEST_INTERRUPT_RECEIVING_STATUS, 3)->status, ==,
                     usb_redir_stall);
}

/* Failures of an idle pipe, far from each other, are none for the guest, however many. */
static void test_stream_failures_apart(void)
{
    held = g_array_new(FALSE, FALSE, sizeof(uint32_t));
    g_autoptr(World) world = world_new_attached(&fake_client_mstsc);
    world->on_urb = hold_bulk;
    fake_guest_start_interrupt_receiving(world->guest, EP_INTERRUPT);
    FakeResponse failed = {.hresult = 0x8007001f};
    for (unsigned i = 0; i < 10; i++) {
        world_advance(world, 11 * G_TIME_SPAN_SECOND);
        unsigned oldest = 0; /* of those that the watchdog has not called back */
        while (!fake_client_complete(world->client, world->device,
                                     g_array_index(held, uint32_t, oldest), &failed))
            g_assert_cmpuint(++oldest, <, held->len);
    }
    world_advance(world, G_TIME_SPAN_SECOND);
    g_assert_cmpuint(world_n_events(world, FAKE_GUEST_INTERRUPT_RECEIVING_STATUS), ==, 1);
    g_assert_cmpuint(fake_client_n_pending(world->client), ==, 4);
    world->on_urb = NULL;
    world_advance(world, 16 * G_TIME_SPAN_SECOND); /* until they are read anew */
    world_device_says(world, EP_INTERRUPT, "report");
    assert_text(world_the_event(world, FAKE_GUEST_INTERRUPT_IN), "report");
    g_clear_pointer(&held, g_array_unref);
}

/* ---- Configuration, reset ---- */

static void test_alternate_setting(gconstpointer profile)
{
    g_autoptr(World) world = world_new_attached(profile);
    fake_guest_bulk_in(world->guest, EP_IN, 64);
    world_turn(world);
    fake_guest_set_alt_setting(world->guest, 0, 1);
    world_advance(world, 3 * G_TIME_SPAN_SECOND);
    const FakeGuestEvent *status = world_the_event(world, FAKE_GUEST_ALT_SETTING_STATUS);
    g_assert_cmpuint(world_the_event(world, FAKE_GUEST_BULK)->status, ==, usb_redir_cancelled);
    if (profile == &fake_client_freerdp_3_13) { /* the one release that wants to be told a size */
        g_assert_cmpuint(status->status, ==, usb_redir_stall);
        return;
    }
    g_assert_cmpuint(status->status, ==, usb_redir_success);
    g_assert_cmpuint(status->alt, ==, 1);
    const struct usb_redir_ep_info_header *endpoints = fake_guest_ep_info(world->guest);
    g_assert_cmpuint(endpoints->type[fake_guest_slot(EP_IN)], ==, usb_redir_type_invalid);
    g_assert_cmpuint(endpoints->type[fake_guest_slot(EP_INTERRUPT)], ==, usb_redir_type_interrupt);
    world_forget(world);

    fake_guest_bulk_in(world->guest, EP_IN, 64);
    world_turn(world);
    g_assert_cmpuint(world_the_event(world, FAKE_GUEST_BULK)->status, ==, usb_redir_inval);
    fake_guest_start_interrupt_receiving(world->guest, EP_INTERRUPT);
    world_device_says(world, EP_INTERRUPT, "alive");
    assert_text(world_the_event(world, FAKE_GUEST_INTERRUPT_IN), "alive");
    fake_guest_get_alt_setting(world->guest, 0);
    world_turn(world);
    g_assert_cmpuint(world_event(world, FAKE_GUEST_ALT_SETTING_STATUS, 0)->alt, ==, 1);
}

static void test_settings_that_do_not_exist(gconstpointer profile)
{
    g_autoptr(World) world = world_new_attached(profile);
    fake_guest_set_alt_setting(world->guest, 0, 7);
    world_turn(world);
    fake_guest_set_alt_setting(world->guest, 9, 0);
    world_turn(world);
    fake_guest_set_configuration(world->guest, 2);
    world_turn(world);
    for (unsigned i = 0; i < 2; i++)
        g_assert_cmpuint(world_event(world, FAKE_GUEST_ALT_SETTING_STATUS, i)->status, ==,
                         usb_redir_stall);
    const FakeGuestEvent *status = world_the_event(world, FAKE_GUEST_CONFIGURATION_STATUS);
    g_assert_cmpuint(status->status, ==, usb_redir_stall);
    g_assert_cmpuint(status->configuration, ==, 1);
}

static void test_unconfigure(gconstpointer profile)
{
    g_autoptr(World) world = world_new_attached(profile);
    fake_guest_set_configuration(world->guest, 0);
    world_turn(world);
    g_assert_cmpuint(world_the_event(world, FAKE_GUEST_CONFIGURATION_STATUS)->status, ==,
                     usb_redir_success);
    g_assert_cmpuint(fake_guest_interface_info(world->guest)->interface_count, ==, 0);
    world_forget(world);
    fake_guest_set_configuration(world->guest, 1);
    world_turn(world);
    g_assert_cmpuint(world_the_event(world, FAKE_GUEST_CONFIGURATION_STATUS)->configuration, ==, 1);
    g_assert_cmpuint(fake_guest_interface_info(world->guest)->interface_count, ==, 1);
}

/* Resets of an unused device are free; after use, the next configuration is really selected. */
static void test_rule_8_reset(gconstpointer profile)
{
    g_autoptr(World) world = world_new_attached(profile);
    for (unsigned i = 0; i < 4; i++)
        fake_guest_reset(world->guest);
    fake_guest_set_configuration(world->guest, 1);
    world_turn(world);
    g_assert_cmpuint(world->n_selects, ==, 1);

    fake_guest_bulk_in(world->guest, EP_IN, 64);
    fake_guest_start_interrupt_receiving(world->guest, EP_INTERRUPT);
    world_turn(world);
    world_forget(world);
    for (unsigned i = 0; i < 3; i++)
        fake_guest_reset(world->guest);
    world_turn(world);
    g_assert_cmpuint(world_the_event(world, FAKE_GUEST_BULK)->status, ==, usb_redir_cancelled);
    g_assert_cmpuint(world_the_event(world, FAKE_GUEST_INTERRUPT_RECEIVING_STATUS)->status, ==,
                     usb_redir_stall);
    fake_guest_set_configuration(world->guest, 1);
    world_advance(world, 3 * G_TIME_SPAN_SECOND);
    g_assert_cmpuint(world->n_selects, ==, 2);
    fake_guest_bulk_in(world->guest, EP_IN, 64);
    world_turn(world);
    world_device_says(world, EP_IN, "after");
    assert_text(world_event(world, FAKE_GUEST_BULK, 1), "after");
}

/* RESET_PORT is not to be relied on: nothing but cancels goes to the client. */
static void test_reset_stays_here(gconstpointer profile)
{
    g_autoptr(World) world = world_new_attached(profile);
    fake_guest_bulk_in(world->guest, EP_IN, 64);
    world_turn(world);
    unsigned before = world->n_urbs;
    fake_guest_reset(world->guest);
    world_advance(world, 3 * G_TIME_SPAN_SECOND);
    g_assert_cmpuint(world->n_urbs, ==, before);
    g_assert_cmpuint(fake_client_n_pending(world->client), ==, 0);
    g_assert_cmpint(rdpusb_bridge_state(world->bridge), ==, RDPUSB_BRIDGE_ATTACHED);
}

static bool refuse_select(FakeClient *client, const FakeRequest *request, FakeResponse *response,
                          void *data)
{
    if (request->urb->function != WIRE_URB_FUNCTION_SELECT_CONFIGURATION)
        return false;
    response->hresult = 0x80070057;
    return true;
}

static void test_selection_fails(void)
{
    g_autoptr(World) world = world_new_attached(NULL);
    world->on_urb = refuse_select;
    for (unsigned i = 0; i < 3; i++) {
        g_assert_cmpint(rdpusb_bridge_state(world->bridge), ==, RDPUSB_BRIDGE_ATTACHED);
        fake_guest_set_configuration(world->guest, 0);
        world_turn(world);
        g_assert_cmpuint(world_event(world, FAKE_GUEST_CONFIGURATION_STATUS, i)->status, ==,
                         usb_redir_ioerror);
    }
    g_assert_cmpuint(world_n_events(world, FAKE_GUEST_DEVICE_DISCONNECT), ==, 1);
    g_assert_true(rdpusb_bridge_failed(world->bridge));
}

/* A device that refuses to be configured: up to 3.22 FreeRDP does not tell, later it says nothing.
 * The guest has an answer soon. */
static void test_refused_selections(gconstpointer data)
{
    const FakeClientProfile *profile = data;
    g_autoptr(World) world = world_new_attached(profile);
    fake_guest_bulk_out(world->guest, EP_OUT, "used", 4);
    world_turn(world);
    fake_client_device(world->client, world->device)->refuses_selections = true;
    fake_guest_set_configuration(world->guest, 1);
    world_turn(world);
    g_assert_cmpuint(world->n_selects, ==, 2);
    bool succeeds = profile->select_always_succeeds;
    g_assert_cmpuint(world_the_event(world, FAKE_GUEST_CONFIGURATION_STATUS)->status, ==,
                     succeeds ? usb_redir_success : usb_redir_ioerror);
    fake_guest_set_alt_setting(world->guest, 0, 1);
    world_turn(world);
    succeeds = succeeds && profile != &fake_client_freerdp_3_13;
    g_assert_cmpuint(world_the_event(world, FAKE_GUEST_ALT_SETTING_STATUS)->status, ==,
                     succeeds ? usb_redir_success : usb_redir_stall);
}

/* Resets are what guests recover with, in the midst of anything: the device stays. */
static void test_reset_under_load(gconstpointer profile)
{
    g_autoptr(World) world = world_new_attached(profile);
    for (unsigned round = 0; round < 20; round++) {
        fake_guest_start_interrupt_receiving(world->guest, EP_INTERRUPT);
        for (unsigned i = 0; i < 16; i++)
            fake_guest_bulk_in(world->guest, EP_IN, 512);
        fake_guest_control_out(world->guest, 0x02, 1, 0, EP_IN, NULL, 0);
        if (round % 2)
            world_turn(world);
        fake_guest_reset(world->guest);
        fake_guest_set_configuration(world->guest, 1);
        world_advance(world, 3 * G_TIME_SPAN_SECOND);
        g_assert_cmpint(rdpusb_bridge_state(world->bridge), ==, RDPUSB_BRIDGE_ATTACHED);
        g_assert_cmpuint(world_n_events(world, FAKE_GUEST_DEVICE_DISCONNECT), ==, 0);
        g_assert_cmpuint(fake_guest_unanswered(world->guest), ==, 0);
        g_assert_cmpuint(fake_client_n_pending(world->client), ==, 0);
        world_forget(world);
        fake_guest_bulk_in(world->guest, EP_IN, 64);
        fake_guest_bulk_out(world->guest, EP_OUT, "alive", 5);
        world_turn(world);
        g_assert_cmpuint(world_n_events(world, FAKE_GUEST_BULK), ==, 2);
    }
}

/* ---- Coming and going ---- */

static void test_unplug(gconstpointer profile)
{
    g_autoptr(World) world = world_new_attached(profile);
    for (unsigned i = 0; i < 16; i++)
        fake_guest_bulk_in(world->guest, EP_IN, 64);
    fake_guest_start_interrupt_receiving(world->guest, EP_INTERRUPT);
    world_turn(world);
    fake_client_unplug(world->client, world->device);
    world_turn(world);
    g_assert_cmpuint(world_n_events(world, FAKE_GUEST_DEVICE_DISCONNECT), ==, 1);
    g_assert_cmpint(rdpusb_bridge_state(world->bridge), ==, RDPUSB_BRIDGE_GONE);
    g_assert_cmpstr(rdpusb_bridge_reason(world->bridge), ==, "withdrawn by the client");
    g_assert_false(rdpusb_bridge_failed(world->bridge));
}

/* Once a client has said of a request that the device is gone, it is asked nothing more: the device
 * may be on its way out, with the channel still open. */
static void test_said_gone(void)
{
    held = g_array_new(FALSE, FALSE, sizeof(uint32_t));
    g_autoptr(World) world = world_new_attached(NULL);
    world->on_urb = hold_bulk;
    for (unsigned i = 0; i < 3; i++)
        fake_guest_bulk_in(world->guest, EP_IN, 64);
    fake_guest_start_interrupt_receiving(world->guest, EP_INTERRUPT);
    world_turn(world);
    FakeResponse gone = {.action = FAKE_ANSWER, .usbd_status = 5};
    fake_client_complete(world->client, world->device, g_array_index(held, uint32_t, 1), &gone);
    unsigned before = world->n_urbs, pending = fake_client_n_pending(world->client);
    world_turn(world);
    world_advance(world, 5 * G_TIME_SPAN_SECOND);
    g_assert_cmpuint(world->n_urbs, ==, before);
    g_assert_cmpuint(fake_client_n_pending(world->client), ==, pending); /* nothing is cancelled */
    g_assert_cmpuint(world_n_events(world, FAKE_GUEST_DEVICE_DISCONNECT), ==, 1);
    g_assert_cmpint(rdpusb_bridge_state(world->bridge), ==, RDPUSB_BRIDGE_GONE);
    g_assert_true(rdpusb_bridge_client_said_gone(world->bridge));
    g_assert_false(rdpusb_bridge_failed(world->bridge));
    g_clear_pointer(&held, g_array_unref);
}

static void test_detach(gconstpointer profile)
{
    g_autoptr(World) world = world_new_attached(profile);
    for (unsigned i = 0; i < 16; i++)
        fake_guest_bulk_in(world->guest, EP_IN, 64);
    world_turn(world);
    rdpusb_bridge_detach(world->bridge, "the administrator said so", world->now);
    world_turn(world);
    g_assert_cmpint(rdpusb_bridge_state(world->bridge), ==, RDPUSB_BRIDGE_GONE);
    g_assert_cmpuint(world_n_events(world, FAKE_GUEST_DEVICE_DISCONNECT), ==, 1);
    g_assert_cmpstr(rdpusb_bridge_reason(world->bridge), ==, "the administrator said so");
}

static void test_detach_from_the_silent(void)
{
    g_autoptr(World) world = world_new_attached(NULL);
    world->on_urb = never;
    fake_guest_bulk_in(world->guest, EP_IN, 64);
    world_turn(world);
    rdpusb_bridge_detach(world->bridge, "", world->now);
    world_advance(world, G_TIME_SPAN_SECOND);
    g_assert_cmpint(rdpusb_bridge_state(world->bridge), ==, RDPUSB_BRIDGE_LEAVING);
    world_advance(world, G_TIME_SPAN_SECOND);
    g_assert_cmpint(rdpusb_bridge_state(world->bridge), ==, RDPUSB_BRIDGE_GONE);
}

/* QEMU restarts: the device is still at the client, and the new guest gets it as new. */
static void test_guest_restarts(gconstpointer profile)
{
    g_autoptr(World) world = world_new_attached(profile);
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < 16; i++)
            fake_guest_bulk_in(world->guest, EP_IN, 64);
        world_turn(world);
        world_disconnect_guest(world);
        g_assert_cmpint(rdpusb_bridge_state(world->bridge), ==, RDPUSB_BRIDGE_READY);
        world_forget(world);
        world_connect_guest(world);
        world_advance(world, 3 * G_TIME_SPAN_SECOND);
        g_assert_cmpint(rdpusb_bridge_state(world->bridge), ==, RDPUSB_BRIDGE_ATTACHED);
        g_assert_cmpuint(world->n_selects, ==, 2 + round);
        world_forget(world);
        fake_guest_bulk_in(world->guest, EP_IN, 64);
        world_turn(world);
        world_device_says(world, EP_IN, "hello again");
        assert_text(world_the_event(world, FAKE_GUEST_BULK), "hello again");
    }
}

static void test_filter(void)
{
    g_autoptr(World) world = world_new(NULL, NULL, NULL);
    world->guest = fake_guest_new(FAKE_GUEST_QEMU_CAPS);
    fake_guest_set_filter(world->guest, "-1,0x1209,-1,-1,0|-1,-1,-1,-1,1");
    rdpusb_bridge_guest_connected(world->bridge, world->now);
    world_turn(world);
    g_assert_true(rdpusb_bridge_guest_rejected(world->bridge));
    g_assert_cmpint(rdpusb_bridge_state(world->bridge), ==, RDPUSB_BRIDGE_READY);
}

/* ---- Hostile guests ---- */

static void feed_raw(World *world, const void *data, size_t size, int code, const char *word)
{
    g_autoptr(GError) error = NULL;
    g_autofree uint8_t *copy = g_memdup2(data, size);
    g_assert_false(rdpusb_bridge_feed_guest(world->bridge, copy, size, world->now, &error));
    g_assert_error(error, RDPUSB_BRIDGE_ERROR, code);
    g_test_message("%s", error->message);
    g_assert_nonnull(strstr(error->message, word));
    /* The device survives its guest. */
    world_disconnect_guest(world);
    world_connect_guest(world);
    world_advance(world, 3 * G_TIME_SPAN_SECOND);
    g_assert_cmpint(rdpusb_bridge_state(world->bridge), ==, RDPUSB_BRIDGE_ATTACHED);
}

static void test_hostile_guest(void)
{
    g_autoptr(World) world = world_new_attached(NULL);
    static const uint8_t endless[] = {101, 0, 0, 0, 0xff, 0xff, 0xff, 0x7f, 1, 0, 0, 0, 0, 0, 0, 0};
    feed_raw(world, endless, sizeof endless, RDPUSB_BRIDGE_ERROR_MALFORMED, "the limit is");
    static const uint8_t unknown[] = {99, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0};
    feed_raw(world, unknown, sizeof unknown, RDPUSB_BRIDGE_ERROR_MALFORMED, "type");
    /* device_connect is ours to say */
    static const uint8_t ours[] = {1, 0, 0, 0, 10, 0, 0, 0, 1, 0, 0, 0, 0,
                                   0, 0, 0, 2, 0,  0, 0, 0, 0, 0, 0, 0, 0};
    feed_raw(world, ours, sizeof ours, RDPUSB_BRIDGE_ERROR_MALFORMED, "");
    uint8_t hello[16 + 64 + 4] = {0, 0, 0, 0, 68};
    feed_raw(world, hello, sizeof hello, RDPUSB_BRIDGE_ERROR_MALFORMED, "hello");
}

static void test_no_hello(void)
{
    g_autoptr(World) world = world_new(NULL, NULL, NULL);
    rdpusb_bridge_guest_connected(world->bridge, world->now);
    static const uint8_t reset[] = {3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
    g_autoptr(GError) error = NULL;
    g_assert_false(
        rdpusb_bridge_feed_guest(world->bridge, reset, sizeof reset, world->now, &error));
    g_assert_error(error, RDPUSB_BRIDGE_ERROR, RDPUSB_BRIDGE_ERROR_MALFORMED);
}

static void test_guest_limits(void)
{
    RdpusbLimits limits = RDPUSB_LIMITS_DEFAULT;
    limits.max_guest_requests = 10;
    g_autoptr(World) world = world_new(NULL, NULL, &limits);
    world->on_urb = never;
    world_connect_guest(world);
    for (unsigned i = 0; i < 10; i++)
        fake_guest_bulk_in(world->guest, EP_IN, 64);
    world_turn(world);
    g_assert_no_error(world->guest_error);
    fake_guest_bulk_in(world->guest, EP_IN, 64);
    world_turn(world);
    g_assert_error(world->guest_error, RDPUSB_BRIDGE_ERROR, RDPUSB_BRIDGE_ERROR_LIMIT);
    world_disconnect_guest(world);
}

/* A request that no budget can hold is answered, not kept waiting. */
static void test_too_much_at_once(void)
{
    g_autoptr(World) world = world_new_attached(NULL);
    fake_guest_bulk_in(world->guest, EP_IN, 64 * 1024 * 1024);
    world_turn(world);
    g_assert_cmpuint(world_the_event(world, FAKE_GUEST_BULK)->status, ==, usb_redir_inval);
}

/* A guest that does not read loses reports, but not the first ones, and never an answer. */
static void test_rule_9_backlog(void)
{
    g_autoptr(World) world = world_new_attached(NULL);
    fake_guest_start_interrupt_receiving(world->guest, EP_INTERRUPT);
    world_turn(world);
    rdpusb_bridge_set_guest_backlog(world->bridge, 1024 * 1024);
    for (unsigned i = 0; i < 10000; i++)
        world_device_says(world, EP_INTERRUPT, "report");
    /* Of 64 KiB, in packets of 16 + 4 + 6 bytes. */
    g_assert_cmpuint(world_n_events(world, FAKE_GUEST_INTERRUPT_IN), >=, 64 * 1024 / 26);
    g_assert_cmpuint(world_n_events(world, FAKE_GUEST_INTERRUPT_IN), <=, 64 * 1024 / 26 + 1);
    fake_guest_control_in(world->guest, 0x80, 6, 0x0100, 0, 18);
    world_turn(world);
    g_assert_cmpuint(world_n_events(world, FAKE_GUEST_CONTROL), ==, 1);
    world_forget(world);
    rdpusb_bridge_set_guest_backlog(world->bridge, 0);
    world_device_says(world, EP_INTERRUPT, "kept");
    assert_text(world_the_event(world, FAKE_GUEST_INTERRUPT_IN), "kept");
}

/* Answers that wait to be read are no reason to drop reports. */
static void test_rule_9_answers(void)
{
    g_autoptr(World) world = world_new_attached(NULL);
    fake_guest_start_interrupt_receiving(world->guest, EP_INTERRUPT);
    world_turn(world);
    for (size_t backlog = 0; backlog < 4 * 1024 * 1024; backlog += 256 * 1024) {
        uint8_t data[4096] = {0};
        rdpusb_bridge_set_guest_backlog(world->bridge, backlog);
        world_device_says(world, EP_INTERRUPT, "report");
        g_assert_cmpuint(world_n_events(world, FAKE_GUEST_INTERRUPT_IN), ==, 1);
        for (unsigned i = 0; i < 64; i++)
            fake_guest_bulk_out(world->guest, EP_OUT, data, sizeof data);
        world_turn(world);
        world_forget(world);
    }
}

/* ---- Hostile devices and clients ---- */

static void test_malformed_client_message(void)
{
    g_autoptr(World) world = world_new_attached(NULL);
    fake_guest_bulk_in(world->guest, EP_IN, 64);
    world_turn(world);
    static const uint8_t rubbish[] = {1, 2, 3};
    rdpusb_bridge_feed_client(world->bridge, rubbish, sizeof rubbish, world->now);
    world_turn(world);
    g_assert_cmpint(rdpusb_bridge_state(world->bridge), ==, RDPUSB_BRIDGE_GONE);
    g_assert_true(rdpusb_bridge_failed(world->bridge));
    g_test_message("%s", rdpusb_bridge_reason(world->bridge));
    g_assert_nonnull(strstr(rdpusb_bridge_reason(world->bridge), "active"));
    g_assert_cmpuint(world_n_events(world, FAKE_GUEST_DEVICE_DISCONNECT), ==, 1);
}

static void assert_refused(const FakeDeviceModel *model, const char *word)
{
    g_autoptr(World) world = world_new(NULL, model, NULL);
    world_advance(world, 3 * G_TIME_SPAN_SECOND);
    g_test_message("%s", rdpusb_bridge_reason(world->bridge));
    g_assert_cmpint(rdpusb_bridge_state(world->bridge), ==, RDPUSB_BRIDGE_GONE);
    g_assert_true(rdpusb_bridge_failed(world->bridge));
    g_assert_nonnull(strstr(rdpusb_bridge_reason(world->bridge), word));
}

static void test_refused_devices(void)
{
    uint8_t hub[18];
    memcpy(hub, fake_device_loopback.device, sizeof hub);
    hub[4] = 9;
    FakeDeviceModel model = fake_device_loopback;
    model.device = hub;
    assert_refused(&model, "hub");

    static const uint8_t gap[] = {9, 2, 18, 0, 1, 1, 0, 0x80, 50, 9, 4, 1, 0, 0, 255, 0, 0, 0};
    model = fake_device_loopback;
    model.configuration = gap;
    assert_refused(&model, "without gaps");
}

static void test_descriptor_limit(void)
{
    RdpusbLimits limits = RDPUSB_LIMITS_DEFAULT;
    limits.max_descriptor_bytes = 20;
    g_autoptr(World) world = world_new(NULL, NULL, &limits);
    world_advance(world, 3 * G_TIME_SPAN_SECOND);
    g_assert_cmpint(rdpusb_bridge_state(world->bridge), ==, RDPUSB_BRIDGE_GONE);
    g_assert_nonnull(strstr(rdpusb_bridge_reason(world->bridge), "the limit is 20"));
}

/* The client vanishes at every step of the life of a connection. */
static void test_client_vanishes(void)
{
    for (unsigned steps = 0; steps < 60; steps++) {
        g_autoptr(World) world = world_new(NULL, NULL, NULL);
        world_connect_guest(world);
        fake_guest_set_configuration(world->guest, 1);
        fake_guest_start_interrupt_receiving(world->guest, EP_INTERRUPT);
        fake_guest_bulk_in(world->guest, EP_IN, 512);
        fake_guest_control_in(world->guest, 0xc0, 1, 0, 0, 8);
        fake_guest_bulk_out(world->guest, EP_OUT, "data", 4);
        fake_guest_set_alt_setting(world->guest, 0, 1);
        for (unsigned i = 0; i < steps; i++) {
            g_autoptr(GBytes) out = fake_guest_take_output(world->guest);
            if (out)
                rdpusb_bridge_feed_guest(world->bridge, g_bytes_get_data(out, NULL),
                                         g_bytes_get_size(out), world->now, NULL);
            g_autoptr(GBytes) message =
                rdpusb_bridge_next_client_message(world->bridge, world->now);
            if (!message)
                break;
        }
        rdpusb_bridge_client_closed(world->bridge, world->now);
        world_turn(world);
        g_assert_cmpint(rdpusb_bridge_state(world->bridge), ==, RDPUSB_BRIDGE_GONE);
    }
}

typedef struct {
    const char *name;
    void (*test)(gconstpointer profile);
} ProfileTest;

static const ProfileTest profile_tests[] = {
    {"arrival", test_arrival},
    {"first-configuration", test_first_configuration},
    {"two-configurations", test_two_configurations},
    {"loopback", test_loopback},
    {"zero-length", test_zero_length},
    {"short", test_short},
    {"many", test_many},
    {"rule-07-idle-bulk", test_idle_bulk},
    {"qemu-rule-3-cancel", test_rule_3_cancel},
    {"cancel-control", test_cancel_control},
    {"control", test_control},
    {"control-never-raw", test_control_never_raw},
    {"rule-11-halt", test_halt},
    {"rule-11-halt-after-writes", test_halt_after_writes},
    {"rule-11-halt-with-slow-writes", test_halt_with_slow_writes},
    {"rule-11-halt-cancelled", test_halt_cancelled},
    {"qemu-rule-7-interrupts", test_rule_7_interrupts},
    {"qemu-rule-7-restart", test_rule_7_restart},
    {"stream-stall", test_stream_stall},
    {"alternate-setting", test_alternate_setting},
    {"settings-that-do-not-exist", test_settings_that_do_not_exist},
    {"unconfigure", test_unconfigure},
    {"qemu-rule-8-reset", test_rule_8_reset},
    {"rule-16-reset-stays-here", test_reset_stays_here},
    {"refused-selections", test_refused_selections},
    {"rule-16-reset-under-load", test_reset_under_load},
    {"unplug", test_unplug},
    {"detach", test_detach},
    {"guest-restarts", test_guest_restarts},
};

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (unsigned t = 0; t < G_N_ELEMENTS(profile_tests); t++) {
        for (unsigned p = 0; p < FAKE_CLIENT_N_PROFILES; p++) {
            g_autofree char *path = g_strdup_printf("/bridge/%s/%s", profile_tests[t].name,
                                                    fake_client_profiles[p]->name);
            g_test_add_data_func(path, fake_client_profiles[p], profile_tests[t].test);
        }
    }
    g_test_add_func("/bridge/qemu-rule-1-order", test_rule_1);
    g_test_add_func("/bridge/qemu-rule-2-capabilities", test_rule_2);
    g_test_add_func("/bridge/qemu-rule-3-order", test_rule_3_order);
    g_test_add_func("/bridge/qemu-rule-4-ids", test_rule_4_id_reuse);
    g_test_add_func("/bridge/zombie-holds", test_zombie_holds);
    g_test_add_func("/bridge/qemu-rule-9-backlog", test_rule_9_backlog);
    g_test_add_func("/bridge/qemu-rule-9-answers", test_rule_9_answers);
    g_test_add_func("/bridge/fairness", test_fairness);
    g_test_add_func("/bridge/rule-07-data-behind", test_time_out_with_data_behind);
    g_test_add_func("/bridge/rule-07-part", test_time_out_with_part);
    g_test_add_func("/bridge/rule-07-out", test_time_out_out);
    g_test_add_func("/bridge/rule-07-out-order", test_time_out_out_order);
    g_test_add_func("/bridge/qemu-rule-10-silent-client", test_silent_client);
    g_test_add_func("/bridge/super-speed", test_super_speed);
    g_test_add_func("/bridge/super-speed-at-usb-2", test_super_speed_at_usb_2);
    g_test_add_func("/bridge/rule-11-halt-with-part", test_halt_with_part);
    g_test_add_func("/bridge/halt-unknown-endpoint", test_halt_unknown_endpoint);
    g_test_add_func("/bridge/start-twice", test_start_twice);
    g_test_add_func("/bridge/stream-failures", test_stream_failures);
    g_test_add_func("/bridge/stream-failures-apart", test_stream_failures_apart);
    g_test_add_func("/bridge/selection-fails", test_selection_fails);
    g_test_add_func("/bridge/said-gone", test_said_gone);
    g_test_add_func("/bridge/detach-from-the-silent", test_detach_from_the_silent);
    g_test_add_func("/bridge/filter", test_filter);
    g_test_add_func("/bridge/hostile-guest", test_hostile_guest);
    g_test_add_func("/bridge/no-hello", test_no_hello);
    g_test_add_func("/bridge/guest-limits", test_guest_limits);
    g_test_add_func("/bridge/too-much-at-once", test_too_much_at_once);
    g_test_add_func("/bridge/malformed-client-message", test_malformed_client_message);
    g_test_add_func("/bridge/refused-devices", test_refused_devices);
    g_test_add_func("/bridge/descriptor-limit", test_descriptor_limit);
    g_test_add_func("/bridge/client-vanishes", test_client_vanishes);
    return g_test_run();
}
