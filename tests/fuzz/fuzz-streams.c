/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Isochronous streams and bulk receiving: a guest that starts, stops, floods and resets in any
 * order, and a client that completes requests in any order with any result. Each operation is a
 * byte and its operand; the first byte chooses the client. The fake guest complains about packets
 * of streams that do not run, and about answers that are missing.
 */
#include "world.h"

#include <string.h>
#include <wire/completion.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { BULK_IN = 0x81, ISO_IN = 0x83, ISO_OUT = 0x04, PACKET = 192 };
enum { MAX_OPERATIONS = 200, MAX_PACKETS = 40 };

typedef struct {
    uint32_t id;
    unsigned n_packets;
    uint32_t size;
} Held;

static GArray *held;    /* oldest first; some of them may be cancelled */
static bool running[3]; /* as QEMU knows it: BULK_IN, ISO_IN, ISO_OUT */
static const uint8_t addresses[] = {BULK_IN, ISO_IN, ISO_OUT};

static bool hold(FakeClient *client, const FakeRequest *request, FakeResponse *response, void *data)
{
    const WireUrb *urb = request->urb;
    bool isoch = urb->function == WIRE_URB_FUNCTION_ISOCH_TRANSFER;
    if (!isoch && urb->function != WIRE_URB_FUNCTION_BULK_OR_INTERRUPT_TRANSFER)
        return false;
    Held h = {.id = urb->request_id,
              .n_packets = isoch ? urb->body.isoch_transfer.iso_packets.count : 0,
              .size = request->output_buffer_size};
    g_array_append_val(held, h);
    response->action = FAKE_HOLD;
    return true;
}

/* ---- The client ---- */

static void complete(World *world, unsigned n, FakeResponse *response)
{
    static const uint8_t data[64 * 1024];
    if (held->len == 0)
        return;
    n %= held->len;
    Held h = g_array_index(held, Held, n);
    g_array_remove_index(held, n);
    response->data.data = data;
    response->data.length = MIN(response->data.length, MIN(h.size, sizeof data));
    fake_client_complete(world->client, world->device, h.id, response);
}

/* `how` varies lengths, statuses, the number of packets and that of the bytes. */
static void complete_packets(World *world, unsigned n, uint8_t how)
{
    if (held->len == 0)
        return;
    unsigned n_packets = g_array_index(held, Held, n % held->len).n_packets;
    if (how & 0x80)
        n_packets = how % MAX_PACKETS;
    WireIsoPacket packets[128] = {0};
    uint32_t total = 0;
    for (unsigned i = 0; i < n_packets; i++) {
        packets[i].length = how & 0x40 ? how * i : PACKET;
        packets[i].status = how & 0x20 ? i % 8 : 0;
        total += packets[i].status ? 0 : packets[i].length;
    }
    WireIsochTransferResult result = {.iso_packets = {.count = n_packets, .packets = packets}};
    uint8_t bytes[12 + 128 * WIRE_ISO_PACKET_SIZE];
    WireCursor c = wire_writer(bytes, sizeof bytes);
    wire_isoch_transfer_result(&c, &result);
    FakeResponse response = {
        .ts_urb_result = {bytes, 12 + n_packets * WIRE_ISO_PACKET_SIZE},
        .data.length = how & 0x10 ? total / 2 : total,
    };
    complete(world, n, &response);
}

static void happen(World *world, uint8_t operation, uint8_t operand)
{
    switch (operation) {
    case 0: complete_packets(world, 0, 0); break;
    case 1: complete_packets(world, operand & 3, 0); break;
    case 2: complete_packets(world, 0, operand); break;
    case 3: complete(world, operand >> 3, &(FakeResponse){.usbd_status = operand & 7}); break;
    case 4:
        complete(world, operand & 7,
                 &(FakeResponse){.usbd_status = operand & 8 ? 2 : 0, .data.length = operand * 4});
        break;
    case 5: world_advance(world, operand * G_TIME_SPAN_MILLISECOND); break;
    default: world_advance(world, operand * 100 * G_TIME_SPAN_MILLISECOND); break;
    }
}

/* ---- The guest ---- */

static void turn(World *world)
{
    static const FakeGuestEventType statuses[] = {FAKE_GUEST_BULK_RECEIVING_STATUS,
                                                  FAKE_GUEST_ISO_STREAM_STATUS,
                                                  FAKE_GUEST_ISO_STREAM_STATUS};
    world_turn(world);
    const FakeGuestEvent *event;
    for (unsigned s = 0; s < G_N_ELEMENTS(statuses); s++)
        for (unsigned i = 0; (event = world_event(world, statuses[s], i)); i++)
            if (event->endpoint == addresses[s] && event->status != usb_redir_success)
                running[s] = false;
    world_forget(world);
}

static void start_bulk(FakeGuest *guest, uint8_t operand)
{
    if (!running[0])
        fake_guest_start_bulk_receiving(guest, BULK_IN, 256 * (operand & 3), operand >> 4);
    running[0] = true;
}

static void start_iso(FakeGuest *guest, unsigned which, uint8_t operand)
{
    if (!running[which])
        fake_guest_start_iso_stream(guest, addresses[which], operand & 0x3f, 1 + (operand >> 5));
    running[which] = true;
}

static void stop(FakeGuest *guest, unsigned which)
{
    if (running[which] && which == 0)
        fake_guest_stop_bulk_receiving(guest, BULK_IN);
    else if (running[which])
        fake_guest_stop_iso_stream(guest, addresses[which]);
    running[which] = false;
}

static void stop_all(FakeGuest *guest)
{
    for (unsigned which = 0; which < G_N_ELEMENTS(running); which++)
        stop(guest, which);
}

static void put_packets(FakeGuest *guest, uint8_t operand)
{
    static const uint8_t data[256];
    for (unsigned i = 0; i <= operand >> 4; i++)
        fake_guest_iso_out(guest, ISO_OUT, data, operand & 8 ? 255 : PACKET - (operand & 7) * 8);
}

static void reconnect(World *world)
{
    turn(world);
    world_disconnect_guest(world);
    memset(running, 0, sizeof running);
    world_connect_guest(world);
}

static void ask(World *world, uint8_t operation, uint8_t operand)
{
    FakeGuest *guest = world->guest;
    switch (operation) {
    case 0: start_iso(guest, 1, operand); break;
    case 1: start_iso(guest, 2, operand); break;
    case 2: start_bulk(guest, operand); break;
    case 3: stop(guest, operand % 3); break;
    case 4:
    case 5: put_packets(guest, operand); break;
    case 6: fake_guest_bulk_in(guest, BULK_IN, operand * 16); break;
    case 7: fake_guest_reset(guest); break;
    case 8: fake_guest_control_out(guest, 0x02, 1, 0, operand, NULL, 0); break;
    case 9: /* the wrong endpoint, and counts that nobody means */
        fake_guest_start_iso_stream(guest, operand, operand, operand);
        fake_guest_stop_iso_stream(guest, operand);
        break;
    case 10: reconnect(world); break;
    default:
        stop_all(guest);
        fake_guest_set_alt_setting(guest, 0, operand & 1);
        turn(world);
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
    held = g_array_new(false, true, sizeof(Held));
    memset(running, 0, sizeof running);
    World *world =
        world_new(profiles[data[0] % G_N_ELEMENTS(profiles)], &fake_device_streams, NULL);
    world->on_urb = hold;
    world_connect_guest(world);
    fake_guest_set_configuration(world->guest, 1);
    fake_guest_set_alt_setting(world->guest, 0, 1);
    turn(world);
    for (size_t i = 1; i + 1 < size && i < 2 * MAX_OPERATIONS; i += 2) {
        if (data[i] & 0x40)
            happen(world, (data[i] & 0x0f) % 7, data[i + 1]);
        else
            ask(world, (data[i] & 0x0f) % 12, data[i + 1]);
        if (data[i] & 0x80)
            turn(world);
        if (rdpusb_bridge_state(world->bridge) >= RDPUSB_BRIDGE_LEAVING)
            break;
    }
    world_free(world);
    g_array_unref(held);
    return 0;
}
