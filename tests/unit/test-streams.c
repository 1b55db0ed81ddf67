/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Isochronous streams and bulk receiving, between a fake client whose device does nothing by itself
 * and a fake guest: the tests say what comes back, in which order, and when.
 */
#include "pace.h"
#include "world.h"

#include <string.h>
#include <wire/completion.h>

#define BULK_IN  0x81
#define ISO_IN   0x83
#define ISO_OUT  0x04
#define PACKET   192 /* bytes, each millisecond */
#define MS       ((int64_t) G_TIME_SPAN_MILLISECOND)
#define REQUESTS 10
#define PACKETS  10

/* What reached the client's device. */
typedef struct {
    uint32_t id;
    unsigned n_packets; /* 0: no isochronous transfer */
    uint32_t size;
    GBytes *data; /* OUT */
} Sent;

static GArray *sent;
static unsigned n_pipe_resets, n_interface_selections;
static bool deaf; /* the client answers nothing, and cancels nothing */

static bool record(FakeClient *client, const FakeRequest *request, FakeResponse *response,
                   void *data)
{
    const WireUrb *urb = request->urb;
    n_pipe_resets += urb->function == WIRE_URB_FUNCTION_SYNC_RESET_PIPE_AND_CLEAR_STALL;
    n_interface_selections += urb->function == WIRE_URB_FUNCTION_SELECT_INTERFACE;
    bool isoch = urb->function == WIRE_URB_FUNCTION_ISOCH_TRANSFER;
    if (!isoch && urb->function != WIRE_URB_FUNCTION_BULK_OR_INTERRUPT_TRANSFER)
        return false;
    Sent s = {.id = urb->request_id,
              .n_packets = isoch ? urb->body.isoch_transfer.iso_packets.count : 0,
              .size = request->output_buffer_size,
              .data = g_bytes_new(request->output_buffer.data, request->output_buffer.length)};
    g_array_append_val(sent, s);
    response->action = deaf ? FAKE_NEVER : FAKE_HOLD;
    return true;
}

static const Sent *nth(unsigned n)
{
    g_assert_cmpuint(n, <, sent->len);
    return &g_array_index(sent, Sent, n);
}

static void clear_sent(void *s)
{
    g_bytes_unref(((Sent *) s)->data);
}

static World *new_world(const FakeClientProfile *profile, uint8_t alternate)
{
    g_clear_pointer(&sent, g_array_unref);
    sent = g_array_new(false, true, sizeof(Sent));
    g_array_set_clear_func(sent, clear_sent);
    World *world = world_new(profile, &fake_device_streams, NULL);
    world->on_urb = record;
    world_connect_guest(world);
    fake_guest_set_configuration(world->guest, 1);
    if (alternate)
        fake_guest_set_alt_setting(world->guest, 0, alternate);
    world_turn(world);
    world_forget(world);
    n_pipe_resets = n_interface_selections = 0;
    deaf = false;
    return world;
}

static World *new_isoch_world(void)
{
    return new_world(NULL, 1);
}

static void start(World *world, uint8_t endpoint)
{
    fake_guest_start_iso_stream(world->guest, endpoint, PACKETS, REQUESTS);
    world_turn(world);
    g_assert_cmpuint(world_the_event(world, FAKE_GUEST_ISO_STREAM_STATUS)->status, ==,
                     usb_redir_success);
    world_forget(world);
}

/* ---- Completions ---- */

typedef struct {
    uint32_t length;
    uint32_t status;
} Packet;

static bool complete(World *world, unsigned n, const FakeResponse *response)
{
    bool there = fake_client_complete(world->client, world->device, nth(n)->id, response);
    world_turn(world);
    return there;
}

static bool complete_packets(World *world, unsigned n, const Packet *packets, unsigned n_packets,
                             const uint8_t *data, size_t size)
{
    g_autofree WireIsoPacket *list = g_new0(WireIsoPacket, n_packets + 1);
    for (unsigned i = 0; i < n_packets; i++)
        list[i] = (WireIsoPacket){.length = packets[i].length, .status = packets[i].status};
    WireIsochTransferResult result = {.iso_packets = {.count = n_packets, .packets = list}};
    g_autofree uint8_t *bytes = g_malloc(12 + n_packets * WIRE_ISO_PACKET_SIZE);
    WireCursor c = wire_writer(bytes, 12 + n_packets * WIRE_ISO_PACKET_SIZE);
    wire_isoch_transfer_result(&c, &result);
    FakeResponse response = {.ts_urb_result = {bytes, 12 + n_packets * WIRE_ISO_PACKET_SIZE},
                             .data = {data, size}};
    return complete(world, n, &response);
}

/* All packets full, each filled with the number of its request. */
static bool complete_good(World *world, unsigned n)
{
    Packet packets[PACKETS];
    for (unsigned i = 0; i < PACKETS; i++)
        packets[i] = (Packet){.length = PACKET};
    uint8_t data[PACKETS * PACKET];
    memset(data, (int) n, sizeof data);
    return complete_packets(world, n, packets, PACKETS, data, sizeof data);
}

static bool complete_status(World *world, unsigned n, uint32_t usbd_status)
{
    return complete(world, n, &(FakeResponse){.usbd_status = usbd_status});
}

/* OUT: as many packets as were sent, all taken. */
static bool acknowledge(World *world, unsigned n)
{
    unsigned n_packets = nth(n)->n_packets;
    g_autofree Packet *packets = g_new0(Packet, n_packets);
    for (unsigned i = 0; i < n_packets; i++)
        packets[i].length = nth(n)->size / n_packets;
    g_autofree uint8_t *nothing = g_malloc0(nth(n)->size + 1);
    return complete_packets(world, n, packets, n_packets, nothing, nth(n)->size);
}

static void assert_packets(World *world, unsigned from, unsigned n, unsigned request)
{
    for (unsigned i = from; i < from + n; i++) {
        const FakeGuestEvent *event = world_event(world, FAKE_GUEST_ISO_IN, i);
        g_assert_nonnull(event);
        g_assert_cmpuint(event->status, ==, usb_redir_success);
        g_assert_cmpuint(event->length, ==, PACKET);
        const uint8_t *data = g_bytes_get_data(event->data, NULL);
        g_assert_cmpuint(data[0], ==, request);
        g_assert_cmpuint(data[PACKET - 1], ==, request);
    }
}

static void assert_lost(World *world, unsigned from, unsigned n)
{
    for (unsigned i = from; i < from + n; i++) {
        const FakeGuestEvent *event = world_event(world, FAKE_GUEST_ISO_IN, i);
        g_assert_nonnull(event);
        g_assert_cmpuint(event->status, ==, usb_redir_ioerror);
        g_assert_cmpuint(event->length, ==, 0);
    }
}

static RdpusbCounters counted(World *world)
{
    RdpusbCounters counters;
    rdpusb_bridge_get_counters(world->bridge, &counters);
    return counters;
}

/* ---- Isochronous IN ---- */

static void test_in(void)
{
    g_autoptr(World) world = new_isoch_world();
    start(world, ISO_IN);
    g_assert_cmpuint(sent->len, ==, REQUESTS);
    for (unsigned i = 0; i < REQUESTS; i++) {
        g_assert_cmpuint(nth(i)->n_packets, ==, PACKETS);
        g_assert_cmpuint(nth(i)->size, ==, PACKETS * PACKET);
    }
    for (unsigned i = 0; i < 20; i++) {
        world_forget(world);
        g_assert_true(complete_good(world, i));
        g_assert_cmpuint(world_n_events(world, FAKE_GUEST_ISO_IN), ==, PACKETS);
        assert_packets(world, 0, PACKETS, i);
        g_assert_cmpuint(world_event(world, FAKE_GUEST_ISO_IN, 0)->id, ==, i * PACKETS);
        g_assert_cmpuint(sent->len, ==, REQUESTS + i + 1);
    }
}

/* QEMU asks for 60 ms, and for less of a SuperSpeed device. */
static void test_in_least(void)
{
    g_autoptr(World) world = new_isoch_world();
    fake_guest_start_iso_stream(world->guest, ISO_IN, PACKETS, 6);
    world_turn(world);
    g_assert_cmpuint(sent->len, ==, REQUESTS);
    fake_guest_stop_iso_stream(world->guest, ISO_IN);
    world_turn(world);
    fake_guest_start_iso_stream(world->guest, ISO_IN, 1, 2);
    world_turn(world);
    unsigned packets = 0;
    for (unsigned i = REQUESTS; i < sent->len; i++)
        packets += nth(i)->n_packets;
    g_assert_cmpuint(packets, >=, 100);
    g_assert_cmpuint(packets, <=, 130);
}

/* Each packet is a slot of the guest's time, an empty and a failed one too; bytes are only those of
 * the good ones, whatever the client says of the others, and however much it sends. */
static void test_in_packed(gconstpointer profile)
{
    g_autoptr(World) world = new_world(profile, 1);
    start(world, ISO_IN);
    Packet packets[PACKETS] = {{.length = 2}, {.length = 5, .status = 1}, {0}, {.length = 3}};
    for (unsigned i = 4; i < PACKETS; i++)
        packets[i].status = 6; /* babble */
    uint8_t data[PACKETS * PACKET] = {1, 2, 3, 4, 5};
    complete_packets(world, 0, packets, PACKETS, data, sizeof data);
    g_assert_cmpuint(world_n_events(world, FAKE_GUEST_ISO_IN), ==, PACKETS);
    const FakeGuestEvent *first = world_event(world, FAKE_GUEST_ISO_IN, 0);
    g_assert_cmpmem(g_bytes_get_data(first->data, NULL), first->length, data, 2);
    const FakeGuestEvent *failed = world_event(world, FAKE_GUEST_ISO_IN, 1);
    g_assert_cmpuint(failed->status, ==, usb_redir_ioerror);
    g_assert_cmpuint(failed->length, ==, 0);
    const FakeGuestEvent *empty = world_event(world, FAKE_GUEST_ISO_IN, 2);
    g_assert_cmpuint(empty->status, ==, usb_redir_success);
    g_assert_cmpuint(empty->length, ==, 0);
    const FakeGuestEvent *last = world_event(world, FAKE_GUEST_ISO_IN, 3);
    g_assert_cmpmem(g_bytes_get_data(last->data, NULL), last->length, data + 2, 3);
    g_assert_cmpuint(world_event(world, FAKE_GUEST_ISO_IN, 9)->status, ==, usb_redir_babble);
}

/* A result that contradicts itself ends the device. */
static void test_in_malformed(void)
{
    static const struct {
        unsigned n_packets;
        uint32_t first_length;
        size_t size;
    } cases[] = {
        {PACKETS - 1, 1, PACKET},      /* another number of packets */
        {PACKETS + 1, 1, PACKET},      /* more than were asked for */
        {PACKETS, PACKET + 1, 1024},   /* one is longer than its slot */
        {PACKETS, PACKET, PACKET - 1}, /* more bytes than came */
        {PACKETS, UINT32_MAX, PACKET}, /* the sum wraps */
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(World) world = new_isoch_world();
        start(world, ISO_IN);
        Packet packets[PACKETS + 1] = {{.length = cases[i].first_length}};
        uint8_t data[1024] = {0};
        complete_packets(world, 0, packets, cases[i].n_packets, data, cases[i].size);
        g_assert_cmpuint(world_n_events(world, FAKE_GUEST_ISO_IN), ==, 0);
        world_the_event(world, FAKE_GUEST_DEVICE_DISCONNECT);
        g_assert_true(rdpusb_bridge_failed(world->bridge));
    }
}

static void test_in_swapped(void)
{
    g_autoptr(World) world = new_isoch_world();
    start(world, ISO_IN);
    complete_good(world, 1);
    g_assert_cmpuint(world_n_events(world, FAKE_GUEST_ISO_IN), ==, 0);
    complete_good(world, 0);
    g_assert_cmpuint(world_n_events(world, FAKE_GUEST_ISO_IN), ==, 2 * PACKETS);
    assert_packets(world, 0, PACKETS, 0);
    assert_packets(world, PACKETS, PACKETS, 1);
}

static void test_in_overtaken(void)
{
    g_autoptr(World) world = new_isoch_world();
    start(world, ISO_IN);
    complete_good(world, 1);
    complete_good(world, 2);
    g_assert_cmpuint(world_n_events(world, FAKE_GUEST_ISO_IN), ==, 3 * PACKETS);
    assert_lost(world, 0, PACKETS);
    assert_packets(world, PACKETS, PACKETS, 1);
    assert_packets(world, 2 * PACKETS, PACKETS, 2);
    g_assert_cmpuint(counted(world).lost_packets, ==, PACKETS);
    /* It was cancelled: the client has nothing left to complete. */
    g_assert_false(complete_good(world, 0));
    g_assert_cmpuint(sent->len, ==, REQUESTS + 3);
}

/* FreeRDP cancels everything when another pipe is reset, and ends what takes two seconds. */
static void test_in_cancelled(void)
{
    static const uint32_t statuses[] = {2, 3}; /* libusb's time-out and cancelled */
    for (unsigned s = 0; s < G_N_ELEMENTS(statuses); s++) {
        g_autoptr(World) world = new_isoch_world();
        start(world, ISO_IN);
        for (unsigned i = 0; i < REQUESTS; i++)
            complete_status(world, i, statuses[s]);
        g_assert_cmpuint(world_n_events(world, FAKE_GUEST_ISO_IN), ==, REQUESTS * PACKETS);
        assert_lost(world, 0, REQUESTS * PACKETS);
        g_assert_cmpuint(sent->len, ==, 2 * REQUESTS);
        g_assert_cmpuint(n_pipe_resets, ==, 0);
        world_forget(world);
        complete_good(world, REQUESTS);
        assert_packets(world, 0, PACKETS, REQUESTS);
    }
}

static void test_in_stall(void)
{
    g_autoptr(World) world = new_isoch_world();
    start(world, ISO_IN);
    for (unsigned i = 0; i < REQUESTS; i++)
        complete_status(world, i, 4);
    world_advance(world, 500 * MS);
    g_assert_cmpuint(n_pipe_resets, ==, 1);
    g_assert_cmpuint(sent->len, ==, 2 * REQUESTS);
    g_assert_cmpuint(world_n_events(world, FAKE_GUEST_ISO_STREAM_STATUS), ==, 0);
    world_forget(world);
    complete_good(world, REQUESTS);
    assert_packets(world, 0, PACKETS, REQUESTS);
}

/* What always fails is not tried for ever, nor in a hot loop. */
static void test_in_fails(void)
{
    g_autoptr(World) world = new_isoch_world();
    start(world, ISO_IN);
    unsigned n = 0;
    while (world_n_events(world, FAKE_GUEST_ISO_STREAM_STATUS) == 0) {
        g_assert_cmpuint(n, <, 10 * REQUESTS);
        while (n < sent->len)
            complete_status(world, n++, 1);
        world_advance(world, 50 * MS);
    }
    g_assert_cmpuint(world_the_event(world, FAKE_GUEST_ISO_STREAM_STATUS)->status, ==,
                     usb_redir_stall);
    g_assert_cmpuint(n, <=, 3 * REQUESTS);
    fake_guest_stop_iso_stream(world->guest, ISO_IN);
}

/* FreeRDP says nothing when a transfer fails as a whole with a stall. */
static void test_in_silent(void)
{
    g_autoptr(World) world = new_isoch_world();
    start(world, ISO_IN);
    world_advance(world, 1000 * MS);
    g_assert_cmpuint(world_n_events(world, FAKE_GUEST_ISO_IN), ==, 0);
    world_advance(world, 200 * MS);
    assert_lost(world, 0, REQUESTS * PACKETS);
    g_assert_cmpuint(sent->len, ==, 2 * REQUESTS);
    world_forget(world);
    complete_good(world, REQUESTS);
    assert_packets(world, 0, PACKETS, REQUESTS);
}

static void test_in_stop(void)
{
    g_autoptr(World) world = new_isoch_world();
    start(world, ISO_IN);
    fake_guest_stop_iso_stream(world->guest, ISO_IN);
    world_turn(world);
    g_assert_cmpuint(world_the_event(world, FAKE_GUEST_ISO_STREAM_STATUS)->status, ==,
                     usb_redir_success);
    g_assert_cmpuint(fake_client_n_pending(world->client), ==, 0);
    g_assert_cmpuint(world_n_events(world, FAKE_GUEST_ISO_IN), ==, 0);
    world_forget(world);
    start(world, ISO_IN);
    complete_good(world, REQUESTS);
    assert_packets(world, 0, PACKETS, REQUESTS);
    g_assert_cmpuint(world_event(world, FAKE_GUEST_ISO_IN, 0)->id, ==, 0);
}

/* Nobody's data is left with the client that a new stream could miss: it begins at once. */
static void test_in_restart(void)
{
    g_autoptr(World) world = new_isoch_world();
    deaf = true;
    start(world, ISO_IN);
    fake_guest_stop_iso_stream(world->guest, ISO_IN);
    world_turn(world);
    world_forget(world);
    start(world, ISO_IN);
    g_assert_cmpuint(sent->len, ==, 2 * REQUESTS);
    world_advance(world, 6000 * MS);
}

/* A guest that does not read loses packets, and gets newer ones when it reads again. */
static void test_in_backlog(void)
{
    g_autoptr(World) world = new_isoch_world();
    start(world, ISO_IN);
    rdpusb_bridge_set_guest_backlog(world->bridge, 1024 * 1024);
    unsigned n = 0;
    while (world_n_events(world, FAKE_GUEST_ISO_IN) == n * PACKETS) {
        g_assert_cmpuint(n, <, 100);
        complete_good(world, n++);
    }
    /* It is about as much as two times what is at the client. */
    g_assert_cmpuint(n, >=, REQUESTS);
    g_assert_cmpuint(n, <=, 3 * REQUESTS);
    g_assert_cmpuint(counted(world).dropped_packets, >, 0);
    world_forget(world);
    rdpusb_bridge_set_guest_backlog(world->bridge, 0);
    complete_good(world, n);
    assert_packets(world, 0, PACKETS, n);
}

/* ---- Isochronous OUT ---- */

static void put(World *world, unsigned n, unsigned size, uint8_t first)
{
    for (unsigned i = 0; i < n; i++) {
        uint8_t packet[PACKET];
        memset(packet, first + i, sizeof packet);
        fake_guest_iso_out(world->guest, ISO_OUT, packet, size);
        world_turn(world);
    }
}

/* Packets wait for the cushion of 30 ms, then go in requests of ten. */
static void test_out(void)
{
    g_autoptr(World) world = new_isoch_world();
    start(world, ISO_OUT);
    put(world, 29, PACKET, 0);
    g_assert_cmpuint(sent->len, ==, 0);
    put(world, 1, PACKET, 29);
    g_assert_cmpuint(sent->len, ==, 3);
    put(world, 9, PACKET, 30);
    g_assert_cmpuint(sent->len, ==, 3);
    put(world, 1, PACKET, 39);
    g_assert_cmpuint(sent->len, ==, 4);
    for (unsigned i = 0; i < 40; i++) {
        const uint8_t *data = g_bytes_get_data(nth(i / 10)->data, NULL);
        g_assert_cmpuint(data[i % 10 * PACKET], ==, i);
        g_assert_cmpuint(data[i % 10 * PACKET + PACKET - 1], ==, i);
    }
}

/* 44.1 kHz: nine packets of 176 bytes, one of 180. FreeRDP divides the buffer by the number of
 * packets: only equal ones share a request. Nothing is lost, repeated or out of order. */
static void test_out_unequal(void)
{
    g_autoptr(World) world = new_isoch_world();
    start(world, ISO_OUT);
    for (unsigned i = 0; i < 100; i++)
        put(world, 1, i % 10 == 9 ? 180 : 176, i);
    unsigned next = 0;
    for (unsigned r = 0; r < sent->len; r++) {
        const Sent *s = nth(r);
        unsigned size = s->size / s->n_packets;
        g_assert_cmpuint(size * s->n_packets, ==, s->size);
        for (unsigned p = 0; p < s->n_packets; p++, next++) {
            g_assert_cmpuint(size, ==, next % 10 == 9 ? 180 : 176);
            g_assert_cmpuint(((const uint8_t *) g_bytes_get_data(s->data, NULL))[p * size], ==,
                             next);
        }
    }
    g_assert_cmpuint(next, >=, 98);
}

/* A client that takes nothing gets no more than the guest asked for and what may be on the way. The
 * oldest that wait are dropped. */
static void test_out_overflow(void)
{
    g_autoptr(World) world = new_isoch_world();
    start(world, ISO_OUT);
    put(world, 250, PACKET, 0);
    unsigned at_client = 0;
    for (unsigned i = 0; i < sent->len; i++)
        at_client += nth(i)->n_packets;
    put(world, 250, PACKET, 0);
    unsigned later = 0;
    for (unsigned i = 0; i < sent->len; i++)
        later += nth(i)->n_packets;
    g_assert_cmpuint(later, <=, REQUESTS * PACKETS + 250);
    g_assert_cmpuint(counted(world).dropped_packets, >=, 500 - REQUESTS * PACKETS - 250);
    g_assert_cmpuint(later, >=, at_client);
    while (fake_client_n_pending(world->client) > 0)
        for (unsigned i = 0; i < sent->len; i++)
            acknowledge(world, i);
}

/* Everything acknowledged means that the device has run dry: gather again. */
static void test_out_dry(void)
{
    g_autoptr(World) world = new_isoch_world();
    start(world, ISO_OUT);
    put(world, 30, PACKET, 0);
    for (unsigned i = 0; i < 3; i++)
        g_assert_true(acknowledge(world, i));
    put(world, 29, PACKET, 30);
    g_assert_cmpuint(sent->len, ==, 3);
    put(world, 1, PACKET, 59);
    g_assert_cmpuint(sent->len, ==, 6);
}

/* The end of a sound is heard: what waits is sent when the guest stops, nothing is cancelled, and
 * the setting changes when it is played. */
static void test_out_plays_to_the_end(void)
{
    g_autoptr(World) world = new_isoch_world();
    start(world, ISO_OUT);
    put(world, 15, PACKET, 0);
    g_assert_cmpuint(sent->len, ==, 0);
    fake_guest_set_alt_setting(world->guest, 0, 0); /* stops the stream first */
    world_turn(world);
    g_assert_cmpuint(sent->len, ==, 2);
    g_assert_cmpuint(nth(0)->n_packets, ==, 10);
    g_assert_cmpuint(nth(1)->n_packets, ==, 5);
    g_assert_cmpuint(n_interface_selections, ==, 0);
    g_assert_true(acknowledge(world, 0));
    g_assert_cmpuint(n_interface_selections, ==, 0);
    g_assert_true(acknowledge(world, 1));
    g_assert_cmpuint(n_interface_selections, ==, 1);
    g_assert_cmpuint(world_the_event(world, FAKE_GUEST_ALT_SETTING_STATUS)->status, ==,
                     usb_redir_success);
}

/* ... but a client that has gone silent does not keep the guest waiting for its five seconds. */
static void test_out_silent_end(void)
{
    g_autoptr(World) world = new_isoch_world();
    start(world, ISO_OUT);
    put(world, 30, PACKET, 0);
    fake_guest_set_alt_setting(world->guest, 0, 0);
    world_advance(world, 4900 * MS);
    g_assert_cmpuint(world_the_event(world, FAKE_GUEST_ALT_SETTING_STATUS)->status, ==,
                     usb_redir_success);
}

static void test_out_stall(void)
{
    g_autoptr(World) world = new_isoch_world();
    start(world, ISO_OUT);
    put(world, 30, PACKET, 0);
    for (unsigned i = 0; i < 3; i++)
        complete_status(world, i, 4);
    world_advance(world, 150 * MS);
    g_assert_cmpuint(n_pipe_resets, ==, 1);
    put(world, 30, PACKET, 30);
    g_assert_cmpuint(sent->len, ==, 6);
}

static void test_out_silent(void)
{
    g_autoptr(World) world = new_isoch_world();
    start(world, ISO_OUT);
    put(world, 30, PACKET, 0);
    world_advance(world, 1500 * MS);
    put(world, 30, PACKET, 30);
    g_assert_cmpuint(sent->len, ==, 6);
}

/* ---- What guests may not do ---- */

static void test_bad_requests(void)
{
    g_autoptr(World) world = new_isoch_world();
    static const struct {
        uint8_t endpoint, packets, requests;
    } bad[] = {
        {ISO_IN, 0, 6}, {ISO_IN, 33, 6}, {ISO_IN, 10, 0}, {ISO_IN, 10, 17}, {BULK_IN, 10, 6},
        {0x80, 10, 6},  {0x00, 10, 6},   {0x8f, 10, 6},   {0x93, 10, 6},
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        world_forget(world);
        fake_guest_start_iso_stream(world->guest, bad[i].endpoint, bad[i].packets, bad[i].requests);
        world_turn(world);
        g_assert_cmpuint(world_the_event(world, FAKE_GUEST_ISO_STREAM_STATUS)->status, ==,
                         usb_redir_inval);
    }
    g_assert_cmpuint(sent->len, ==, 0);
}

static void test_start_twice(void)
{
    g_autoptr(World) world = new_isoch_world();
    start(world, ISO_IN);
    fake_guest_start_iso_stream(world->guest, ISO_IN, PACKETS, REQUESTS);
    world_turn(world);
    g_assert_cmpuint(world_the_event(world, FAKE_GUEST_ISO_STREAM_STATUS)->status, ==,
                     usb_redir_inval);
    g_assert_cmpuint(sent->len, ==, REQUESTS);
    world_forget(world);
    for (unsigned i = 0; i < 2; i++) { /* a stop too many is fine */
        fake_guest_stop_iso_stream(world->guest, ISO_IN);
        world_turn(world);
        g_assert_cmpuint(world_event(world, FAKE_GUEST_ISO_STREAM_STATUS, i)->status, ==,
                         usb_redir_success);
    }
}

static void test_bad_packets(void)
{
    g_autoptr(World) world = new_isoch_world();
    uint8_t data[PACKET + 1] = {0};
    fake_guest_iso_out(world->guest, ISO_OUT, data, PACKET); /* crossed our status: dropped */
    world_turn(world);
    g_assert_cmpuint(world->events->len, ==, 0);
    start(world, ISO_OUT);
    for (unsigned i = 0; i < 100; i++)
        fake_guest_iso_out(world->guest, ISO_OUT, data, PACKET + 1);
    world_turn(world);
    g_assert_cmpuint(sent->len, ==, 0);
    g_assert_cmpuint(world_event(world, FAKE_GUEST_ISO_STREAM_STATUS, 0)->status, ==,
                     usb_redir_inval);
}

/* A reset ends the streams, and says so; the device is not lost. */
static void test_reset(void)
{
    g_autoptr(World) world = new_isoch_world();
    start(world, ISO_IN);
    start(world, ISO_OUT);
    put(world, 10, PACKET, 0);
    fake_guest_reset(world->guest);
    world_turn(world);
    g_assert_cmpuint(world_n_events(world, FAKE_GUEST_ISO_STREAM_STATUS), ==, 2);
    g_assert_cmpuint(world_event(world, FAKE_GUEST_ISO_STREAM_STATUS, 0)->status, ==,
                     usb_redir_stall);
    g_assert_cmpuint(fake_client_n_pending(world->client), ==, 0);
    g_assert_cmpint(rdpusb_bridge_state(world->bridge), ==, RDPUSB_BRIDGE_ATTACHED);
    world_forget(world);
    start(world, ISO_IN);
    g_assert_cmpuint(fake_client_n_pending(world->client), ==, REQUESTS);
}

/* ---- Bulk receiving ---- */

static void start_bulk(World *world, unsigned size, unsigned n)
{
    fake_guest_start_bulk_receiving(world->guest, BULK_IN, size, n);
    world_turn(world);
}

static void say(World *world, unsigned n, const char *text)
{
    g_assert_true(
        complete(world, n, &(FakeResponse){.data = {(const uint8_t *) text, strlen(text)}}));
}

static void assert_text(const FakeGuestEvent *event, FakeGuestEventType type, const char *text)
{
    g_assert_cmpint(event->type, ==, type);
    g_assert_cmpmem(g_bytes_get_data(event->data, NULL), g_bytes_get_size(event->data), text,
                    strlen(text));
}

/* One completion, one packet, in the order of the requests. */
static void test_bulk(void)
{
    g_autoptr(World) world = new_world(NULL, 0);
    start_bulk(world, 512, 5);
    g_assert_cmpuint(world_the_event(world, FAKE_GUEST_BULK_RECEIVING_STATUS)->status, ==,
                     usb_redir_success);
    g_assert_cmpuint(sent->len, ==, 5);
    g_assert_cmpuint(nth(0)->size, ==, 512);
    world_forget(world);
    say(world, 1, "two");
    g_assert_cmpuint(world->events->len, ==, 0);
    say(world, 0, "one");
    g_assert_cmpuint(world->events->len, ==, 2);
    assert_text(world->events->pdata[0], FAKE_GUEST_BUFFERED_BULK, "one");
    assert_text(world->events->pdata[1], FAKE_GUEST_BUFFERED_BULK, "two");
    g_assert_cmpuint(sent->len, ==, 7);
}

/* FreeRDP's time-out is nobody's business; what came before it is kept. */
static void test_bulk_timeout(void)
{
    g_autoptr(World) world = new_world(NULL, 0);
    start_bulk(world, 512, 5);
    world_forget(world);
    complete(world, 0, &(FakeResponse){.usbd_status = 2, .data = {(const uint8_t *) "ab", 2}});
    complete(world, 1, &(FakeResponse){.usbd_status = 2});
    g_assert_cmpuint(world->events->len, ==, 1);
    assert_text(world->events->pdata[0], FAKE_GUEST_BUFFERED_BULK, "ab");
    g_assert_cmpuint(sent->len, ==, 7);
}

/* QEMU changes to ordinary requests when a guest reads in odd sizes, and back. */
static void test_bulk_and_requests(void)
{
    g_autoptr(World) world = new_world(NULL, 0);
    start_bulk(world, 512, 5);
    fake_guest_stop_bulk_receiving(world->guest, BULK_IN);
    world_turn(world);
    g_assert_cmpuint(world_n_events(world, FAKE_GUEST_BULK_RECEIVING_STATUS), ==, 2);
    g_assert_cmpuint(fake_client_n_pending(world->client), ==, 0);
    world_forget(world);
    fake_guest_bulk_in(world->guest, BULK_IN, 100);
    world_turn(world);
    g_assert_cmpuint(nth(5)->size, ==, 100);
    say(world, 5, "plain");
    assert_text(world_the_event(world, FAKE_GUEST_BULK), FAKE_GUEST_BULK, "plain");
    start_bulk(world, 512, 5);
    say(world, 6, "buffered");
    assert_text(world_the_event(world, FAKE_GUEST_BUFFERED_BULK), FAKE_GUEST_BUFFERED_BULK,
                "buffered");
}

/* What the client still has could eat what is meant for the new stream. */
static void test_bulk_restart(void)
{
    g_autoptr(World) world = new_world(NULL, 0);
    deaf = true;
    start_bulk(world, 512, 5);
    fake_guest_stop_bulk_receiving(world->guest, BULK_IN);
    start_bulk(world, 512, 5);
    g_assert_cmpuint(sent->len, ==, 5);
    world_advance(world, 2500 * MS); /* the grace of a cancelled request */
    g_assert_cmpuint(sent->len, ==, 10);
}

static void test_bulk_stall(void)
{
    g_autoptr(World) world = new_world(NULL, 0);
    start_bulk(world, 512, 5);
    world_forget(world);
    for (unsigned i = 0; i < 5; i++)
        complete_status(world, i, 4);
    world_advance(world, 200 * MS);
    g_assert_cmpuint(n_pipe_resets, ==, 1);
    g_assert_cmpuint(world->events->len, ==, 0);
    say(world, 5, "again");
    assert_text(world->events->pdata[0], FAKE_GUEST_BUFFERED_BULK, "again");
}

static void test_bulk_bad_requests(void)
{
    g_autoptr(World) world = new_world(NULL, 0);
    static const struct {
        unsigned size, n;
    } bad[] = {{0, 5}, {511, 5}, {512, 0}, {512, 17}, {66048, 5}, {134217216, 5}};
    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        world_forget(world);
        start_bulk(world, bad[i].size, bad[i].n);
        g_assert_cmpuint(world_the_event(world, FAKE_GUEST_BULK_RECEIVING_STATUS)->status, ==,
                         usb_redir_inval);
    }
    start_bulk(world, 512, 5);
    world_forget(world);
    fake_guest_bulk_in(world->guest, BULK_IN, 100);
    world_turn(world);
    g_assert_cmpuint(world_the_event(world, FAKE_GUEST_BULK)->status, ==, usb_redir_inval);
}

/* ---- The pace ---- */

/* A row that jitters loses nothing; one that stops for a while loses that while, once. */
static void test_pace(void)
{
    Pace pace = {0};
    pace_start(&pace, 1000);
    g_autoptr(GRand) random = g_rand_new_with_seed(1);
    int64_t now = 1000000, lost = 0;
    for (unsigned i = 0; i < 500; i++)
        lost += pace_advance(&pace, 10, now + i * 10000 + g_rand_int_range(random, 0, 5000));
    g_assert_cmpint(lost, <, 1000);
    g_assert_cmpint(pace.jitter, >, 4000);
    g_assert_cmpint(pace.jitter, <, 5000);
    lost = 0;
    for (unsigned i = 500; i < 1000; i++)
        lost += pace_advance(&pace, 10, now + 40000 + i * 10000);
    g_assert_cmpint(lost, >, 35000);
    g_assert_cmpint(lost, <, 45000);
    lost = 0;
    int64_t jitter = pace.jitter;
    for (unsigned i = 1000; i < 1800; i++)
        lost += pace_advance(&pace, 10, now + 40000 + i * 10000);
    g_assert_cmpint(lost, ==, 0);
    g_assert_cmpint(pace.jitter, <, jitter / 2); /* what has passed is forgotten by and by */
}

/* The device went without requests for 40 ms: there are more of them afterwards. */
static void test_ring_grows(void)
{
    g_autoptr(World) world = new_isoch_world();
    start(world, ISO_IN);
    unsigned n = 0;
    for (; n < 150; n++) {
        world_advance(world, 10 * MS);
        complete_good(world, n);
    }
    g_assert_cmpuint(fake_client_n_pending(world->client), ==, REQUESTS);
    world_advance(world, 40 * MS);
    for (; n < 400; n++) {
        world_advance(world, 10 * MS);
        complete_good(world, n);
    }
    g_assert_cmpuint(fake_client_n_pending(world->client), ==, REQUESTS + 4);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/streams/isoch-in", test_in);
    g_test_add_func("/streams/isoch-in-least", test_in_least);
    g_test_add_data_func("/streams/isoch-in-packed/freerdp-3.10", &fake_client_freerdp_3_10,
                         test_in_packed);
    g_test_add_data_func("/streams/isoch-in-packed/freerdp-master", &fake_client_freerdp_master,
                         test_in_packed);
    g_test_add_data_func("/streams/isoch-in-packed/mstsc", &fake_client_mstsc, test_in_packed);
    g_test_add_func("/streams/isoch-in-malformed", test_in_malformed);
    g_test_add_func("/streams/isoch-in-swapped", test_in_swapped);
    g_test_add_func("/streams/isoch-in-overtaken", test_in_overtaken);
    g_test_add_func("/streams/isoch-in-cancelled", test_in_cancelled);
    g_test_add_func("/streams/isoch-in-stall", test_in_stall);
    g_test_add_func("/streams/isoch-in-fails", test_in_fails);
    g_test_add_func("/streams/isoch-in-silent", test_in_silent);
    g_test_add_func("/streams/isoch-in-stop", test_in_stop);
    g_test_add_func("/streams/isoch-in-restart", test_in_restart);
    g_test_add_func("/streams/isoch-in-backlog", test_in_backlog);
    g_test_add_func("/streams/isoch-in-ring-grows", test_ring_grows);
    g_test_add_func("/streams/isoch-out", test_out);
    g_test_add_func("/streams/isoch-out-unequal", test_out_unequal);
    g_test_add_func("/streams/isoch-out-overflow", test_out_overflow);
    g_test_add_func("/streams/isoch-out-dry", test_out_dry);
    g_test_add_func("/streams/isoch-out-plays-to-the-end", test_out_plays_to_the_end);
    g_test_add_func("/streams/isoch-out-silent-end", test_out_silent_end);
    g_test_add_func("/streams/isoch-out-stall", test_out_stall);
    g_test_add_func("/streams/isoch-out-silent", test_out_silent);
    g_test_add_func("/streams/isoch-bad-requests", test_bad_requests);
    g_test_add_func("/streams/isoch-start-twice", test_start_twice);
    g_test_add_func("/streams/isoch-bad-packets", test_bad_packets);
    g_test_add_func("/streams/isoch-reset", test_reset);
    g_test_add_func("/streams/bulk", test_bulk);
    g_test_add_func("/streams/bulk-timeout", test_bulk_timeout);
    g_test_add_func("/streams/bulk-and-requests", test_bulk_and_requests);
    g_test_add_func("/streams/bulk-restart", test_bulk_restart);
    g_test_add_func("/streams/bulk-stall", test_bulk_stall);
    g_test_add_func("/streams/bulk-bad-requests", test_bulk_bad_requests);
    g_test_add_func("/streams/pace", test_pace);
    int status = g_test_run();
    g_clear_pointer(&sent, g_array_unref);
    return status;
}
