/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Guests that read, write, cancel, clear halts and reset at random, with each client: every request
 * is answered once and in order (the fake guest sees to that), what the device takes and gives
 * stays in order, and of writes that nobody cancelled none fails. --seed repeats a run.
 */
#include "world.h"

#define EP_OUT       0x01
#define EP_IN        0x81
#define EP_INTERRUPT 0x82

enum { N_STEPS = 2000, N_IDS = 32 };

typedef struct {
    uint32_t request_id;
    uint32_t number;
} Write;

typedef struct {
    const FakeClientProfile *profile;
    World *world;
    bool may_reset;
    GQueue writes;                    /* of Write, at the client, not yet taken by the device */
    uint32_t sent, taken, read, said; /* numbers, each larger than the last */
    uint64_t ids[N_IDS];              /* of requests that may be unanswered */
    unsigned n_ids;
} Storm;

static Storm storm; /* on_urb has room for the world alone */

static void take_write(void);

/* FreeRDP cancels from the oldest on, and the device is quick. */
static void overtake(void)
{
    g_free(g_queue_pop_head(&storm.writes));
    take_write();
}

/* Two of three writes take their time, and those behind them too: a device takes what comes in
 * order. */
static bool on_urb(FakeClient *client, const FakeRequest *request, FakeResponse *response,
                   void *data)
{
    if (request->urb->function == WIRE_URB_FUNCTION_SYNC_RESET_PIPE_AND_CLEAR_STALL &&
        !storm.profile->is_mstsc)
        overtake();
    if (request->urb->function != WIRE_URB_FUNCTION_BULK_OR_INTERRUPT_TRANSFER || request->is_in)
        return false;
    g_assert_cmpuint(request->output_buffer.length, ==, sizeof(uint32_t));
    Write write = {.request_id = request->urb->request_id};
    memcpy(&write.number, request->output_buffer.data, sizeof write.number);
    if (g_queue_is_empty(&storm.writes) && g_test_rand_int_range(0, 3) == 0)
        return false;
    g_queue_push_tail(&storm.writes, g_memdup2(&write, sizeof write));
    response->action = FAKE_HOLD;
    return true;
}

/* The device takes the oldest write that was not cancelled. */
static void take_write(void)
{
    World *world = storm.world;
    g_autofree Write *write = NULL;
    for (bool taken = false; !taken && (write = g_queue_pop_head(&storm.writes));) {
        const uint8_t *bytes = (const uint8_t *) &write->number;
        FakeResponse response = {.data = {bytes, sizeof write->number}};
        taken = fake_client_complete(world->client, world->device, write->request_id, &response);
        if (taken) {
            g_assert_cmpuint(write->number, >, storm.taken);
            storm.taken = write->number;
        }
        g_clear_pointer(&write, g_free);
    }
}

static void remember(uint64_t id)
{
    storm.ids[storm.n_ids++ % N_IDS] = id;
}

static void say(void)
{
    storm.said++;
    fake_device_say(fake_client_device(storm.world->client, storm.world->device), EP_IN,
                    (const uint8_t *) &storm.said, sizeof storm.said);
    fake_client_tick(storm.world->client, storm.world->now);
}

static void step(void)
{
    World *world = storm.world;
    FakeGuest *guest = world->guest;
    switch (g_test_rand_int_range(0, storm.may_reset ? 13 : 12)) {
    case 0:
    case 1:
        storm.sent++;
        remember(fake_guest_bulk_out(guest, EP_OUT, &storm.sent, sizeof storm.sent));
        break;
    case 2:
    case 3: remember(fake_guest_bulk_in(guest, EP_IN, 512)); break;
    case 4: take_write(); break;
    case 5: say(); break;
    case 6:
        if (storm.n_ids > 0 && storm.may_reset)
            fake_guest_cancel(guest, storm.ids[g_test_rand_int_range(0, MIN(storm.n_ids, N_IDS))]);
        break;
    case 7: fake_guest_control_out(guest, 0x02, 1, 0, EP_IN, NULL, 0); break;
    case 8: fake_guest_control_in(guest, 0x80, 0, 0, 0, 2); break;
    case 9: world_advance(world, g_test_rand_int_range(0, 4 * G_TIME_SPAN_SECOND)); break;
    case 10: fake_guest_start_interrupt_receiving(guest, EP_INTERRUPT); break;
    case 11: fake_guest_stop_interrupt_receiving(guest, EP_INTERRUPT); break;
    case 12:
        fake_guest_reset(guest);
        fake_guest_set_configuration(guest, 1);
        world_advance(world, 3 * G_TIME_SPAN_SECOND); /* nothing is asked of what is not there */
        break;
    }
    if (g_test_rand_bit())
        world_turn(world);
}

static void check_events(void)
{
    const FakeGuestEvent *event;
    for (unsigned n = 0; (event = world_event(storm.world, FAKE_GUEST_BULK, n)); n++) {
        if (!storm.may_reset)
            g_assert_cmpuint(event->status, ==, usb_redir_success);
        if (event->endpoint != EP_IN || event->status != usb_redir_success)
            continue;
        uint32_t number;
        g_assert_cmpuint(event->length, ==, sizeof number);
        memcpy(&number, g_bytes_get_data(event->data, NULL), sizeof number);
        g_assert_cmpuint(number, >, storm.read);
        storm.read = number;
    }
    world_forget(storm.world);
}

static const FakeDeviceModel *model(void)
{
    static FakeDeviceModel sink;
    sink = fake_device_loopback;
    sink.loopback_out = sink.loopback_in = 0;
    return &sink;
}

static void rage(const FakeClientProfile *profile, bool may_reset)
{
    storm = (Storm){
        .profile = profile, .world = world_new(profile, model(), NULL), .may_reset = may_reset};
    World *world = storm.world;
    world_connect_guest(world);
    fake_guest_set_configuration(world->guest, 1);
    world_turn(world);
    world->on_urb = on_urb;
    for (unsigned i = 0; i < N_STEPS; i++) {
        step();
        check_events();
        g_assert_no_error(world->guest_error);
        g_assert_cmpint(rdpusb_bridge_state(world->bridge), ==, RDPUSB_BRIDGE_ATTACHED);
    }
    fake_guest_stop_interrupt_receiving(world->guest, EP_INTERRUPT);
    while (fake_guest_unanswered(world->guest) > 0) {
        take_write();
        say();
        world_advance(world, G_TIME_SPAN_SECOND);
        check_events();
    }
    g_assert_cmpuint(fake_client_n_pending(world->client), ==, 0);
    if (!may_reset)
        g_assert_cmpuint(storm.taken, ==, storm.sent);
    g_queue_clear_full(&storm.writes, g_free);
    world_free(world);
}

/* With halts cleared, and time-outs: nobody notices. */
static void test_calm(gconstpointer profile)
{
    rage(profile, false);
}

static void test_storm(gconstpointer profile)
{
    rage(profile, true);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (unsigned i = 0; i < FAKE_CLIENT_N_PROFILES; i++) {
        const FakeClientProfile *profile = fake_client_profiles[i];
        g_autofree char *calm = g_strdup_printf("/bridge-storm/calm/%s", profile->name);
        g_autofree char *wild = g_strdup_printf("/bridge-storm/storm/%s", profile->name);
        g_test_add_data_func(calm, profile, test_calm);
        g_test_add_data_func(wild, profile, test_storm);
    }
    return g_test_run();
}
