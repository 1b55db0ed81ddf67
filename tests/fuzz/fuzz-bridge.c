/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A guest that asks, cancels, resets and reconnects in any order, and a client that answers, fails,
 * keeps silent and lets time pass in any order. Each operation is a byte and its operand; the first
 * byte chooses the client. The fake peers hold what real ones rely on: every request answered once,
 * in order, and nothing sent to the client that it does not stand.
 */
#include "world.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { EP_OUT = 0x01, EP_IN = 0x81, EP_INTERRUPT = 0x82 };
enum { MAX_OPERATIONS = 200, N_IDS = 16 };

static uint64_t ids[N_IDS];
static unsigned n_ids;
static uint8_t fault; /* for the next transfer that reaches the client; 0: none */
static uint32_t held_id;
static bool started; /* as QEMU knows it */

static bool misbehave(FakeClient *client, const FakeRequest *request, FakeResponse *response,
                      void *data)
{
    if (fault == 0 || request->urb->function != WIRE_URB_FUNCTION_BULK_OR_INTERRUPT_TRANSFER)
        return false;
    uint8_t how = fault;
    fault = 0;
    if (how < 8) {
        response->usbd_status = how - 1;
    } else if (how < 16) {
        response->action = FAKE_NEVER;
    } else if (how < 32) {
        response->hresult = 0x8007001f;
    } else {
        response->action = FAKE_HOLD;
        held_id = request->urb->request_id;
    }
    return true;
}

static void remember(uint64_t id)
{
    ids[n_ids++ % N_IDS] = id;
}

static void complete_held(World *world, uint8_t operand)
{
    static const uint8_t data[512] = {1, 2, 3};
    FakeResponse response = {
        .action = FAKE_ANSWER, .usbd_status = operand & 3, .data = {data, (operand >> 2) * 8}};
    if (held_id)
        fake_client_complete(world->client, world->device, held_id, &response);
    held_id = 0;
}

static void say(World *world, uint8_t endpoint, size_t size)
{
    static const uint8_t data[512] = "data of the device";
    FakeDevice *device = fake_client_device(world->client, world->device);
    fake_device_say(device, endpoint, data, size);
    fake_client_tick(world->client, world->now);
}

static void turn(World *world)
{
    world_turn(world);
    const FakeGuestEvent *event;
    for (unsigned i = 0; (event = world_event(world, FAKE_GUEST_INTERRUPT_RECEIVING_STATUS, i));
         i++)
        started = started && event->status != usb_redir_stall;
    world_forget(world);
}

static void reconnect(World *world)
{
    turn(world);
    world_disconnect_guest(world);
    started = false;
    world_connect_guest(world);
}

/* QEMU starts a stream at the guest's first poll, and again after a stall that it has heard of. */
static void start_or_stop(FakeGuest *guest, bool start)
{
    if (start && !started)
        fake_guest_start_interrupt_receiving(guest, EP_INTERRUPT);
    else if (!start && started)
        fake_guest_stop_interrupt_receiving(guest, EP_INTERRUPT);
    started = start;
}

static void ask(World *world, uint8_t operation, uint8_t operand)
{
    static const uint8_t data[4096];
    FakeGuest *guest = world->guest;
    switch (operation) {
    case 0: remember(fake_guest_bulk_in(guest, EP_IN, operand * 16)); break;
    case 1: remember(fake_guest_bulk_out(guest, EP_OUT, data, operand * 16)); break;
    case 2: remember(fake_guest_control_in(guest, 0xc0, 1, 0, 0, operand)); break;
    case 3: remember(fake_guest_control_out(guest, 0x40, 1, 0, 0, data, operand)); break;
    case 4: fake_guest_control_out(guest, 0x02, 1, 0, operand, NULL, 0); break;
    case 5: fake_guest_cancel(guest, ids[operand % N_IDS]); break;
    case 6: fake_guest_reset(guest); break;
    case 7:
        start_or_stop(guest, false);
        remember(fake_guest_set_configuration(guest, operand % 3));
        break;
    case 8:
        start_or_stop(guest, false);
        remember(fake_guest_set_alt_setting(guest, operand >> 7, operand % 3));
        break;
    case 9: start_or_stop(guest, true); break;
    case 10: start_or_stop(guest, false); break;
    case 11: remember(fake_guest_control_in(guest, 0x80, 6, operand << 8, 0, 64)); break;
    case 12: /* QEMU gives an id away again as soon as it was cancelled */
        fake_guest_cancel(guest, ids[operand % N_IDS]);
        fake_guest_choose_id(guest, ids[operand % N_IDS]);
        break;
    default: reconnect(world); break;
    }
}

/* It says from now on that it is another: the bridge may end, and nobody else may notice. */
static void lie(World *world)
{
    static uint8_t descriptor[18];
    static FakeDeviceModel model;
    memcpy(descriptor, fake_device_loopback.device, sizeof descriptor);
    descriptor[8] ^= 0xff;
    model = fake_device_loopback;
    model.device = descriptor;
    fake_client_device(world->client, world->device)->model = &model;
}

static void happen(World *world, uint8_t operation, uint8_t operand)
{
    switch (operation) {
    case 0: say(world, EP_IN, operand); break;
    case 1: say(world, EP_INTERRUPT, operand % 9); break;
    case 2:
        fake_device_halt(fake_client_device(world->client, world->device),
                         operand & 1 ? EP_IN : EP_INTERRUPT);
        break;
    case 3: fault = operand; break;
    case 4: complete_held(world, operand); break;
    case 5:
        if (operand == 0xff)
            lie(world);
        world_advance(world, operand * 100 * G_TIME_SPAN_MILLISECOND);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const FakeClientProfile *const profiles[] = {
        &fake_client_freerdp_3_10, &fake_client_freerdp_3_15, &fake_client_freerdp_master,
        &fake_client_mstsc};
    if (size < 1)
        return 0;
    n_ids = fault = held_id = started = 0;
    memset(ids, 0, sizeof ids);
    World *world = world_new_attached(profiles[data[0] % G_N_ELEMENTS(profiles)]);
    world->on_urb = misbehave;
    for (size_t i = 1; i + 1 < size && i < 2 * MAX_OPERATIONS; i += 2) {
        uint8_t operation = data[i] & 0x0f;
        if (data[i] & 0x40)
            happen(world, operation % 6, data[i + 1]);
        else
            ask(world, operation, data[i + 1]);
        /* No guest asks for data before a change of its tables is answered. */
        bool changes = !(data[i] & 0x40) && (operation == 7 || operation == 8);
        if (data[i] & 0x80 || changes)
            turn(world);
        if (rdpusb_bridge_state(world->bridge) >= RDPUSB_BRIDGE_LEAVING)
            break;
    }
    world_free(world);
    return 0;
}
