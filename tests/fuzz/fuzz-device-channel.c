/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A device channel, with any messages of the client between any calls of its owner. The first byte
 * says how far the client has come: nowhere, or all the way as FreeRDP, or as mstsc. Then follow
 * operations, each a byte, and its operands.
 *
 * Whatever happens: each accepted request completes exactly once, not with more than was asked for,
 * and without the channel being closed, if only time passes.
 */
#include <stdlib.h>

#include <rdpusb/urbdrc.h>

#include "wire/message.h"

#include "require.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { REQUEST_COMPLETION = 0x10 };
enum { MAX_REQUESTS = 8, MAX_BYTES = 64 * 1024 };
enum { MAX_ACCEPTED = 4096 };

typedef struct {
    uint32_t id;
    bool is_in;
    uint32_t size;
    unsigned n_completions;
} Accepted;

typedef struct {
    RdpusbDeviceChannel *channel;
    int64_t now;
    bool has_failed;
    GBytes *fed; /* events view it */
    Accepted accepted[MAX_ACCEPTED];
    unsigned n_accepted;
    const uint8_t *input;
    size_t left;
} Fuzz;

static uint8_t take_u8(Fuzz *f)
{
    if (f->left == 0)
        return 0;
    f->left--;
    return *f->input++;
}

static uint16_t take_u16(Fuzz *f)
{
    uint16_t low = take_u8(f);
    return (uint16_t) (low | take_u8(f) << 8);
}

/* ---- Out of the channel ---- */

static bool lies_in(GBytes *message, const uint8_t *data, size_t size)
{
    size_t length;
    const uint8_t *start = g_bytes_get_data(message, &length);
    return data >= start && size <= length && data <= start + length - size;
}

static void check_completion(Fuzz *f, const RdpusbDeviceEvent *event)
{
    uintptr_t number = (uintptr_t) event->owner;
    REQUIRE(number >= 1 && number <= f->n_accepted);
    Accepted *a = &f->accepted[number - 1];
    REQUIRE(a->id == event->request_id);
    REQUIRE(++a->n_completions == 1);
    REQUIRE(event->size <= a->size);
    REQUIRE(!event->data || a->is_in);
    REQUIRE(event->n_pipes <= RDPUSB_MAX_PIPES);
    REQUIRE(!event->data || lies_in(f->fed, event->data, event->size));
    for (size_t i = 0; i < event->n_pipes; i++)
        REQUIRE((event->pipes[i].endpoint_address & 0x0f) != 0);
}

static void drain_events(Fuzz *f)
{
    RdpusbDeviceEvent event;
    while (rdpusb_device_channel_next_event(f->channel, &event))
        if (event.type == RDPUSB_DEVICE_EVENT_COMPLETION)
            check_completion(f, &event);
        else
            REQUIRE(rdpusb_device_channel_announcement(f->channel));
}

/* False when there was none. */
static bool fetch_message(Fuzz *f)
{
    size_t queued = rdpusb_device_channel_queued_bytes(f->channel);
    g_autoptr(GBytes) message = rdpusb_device_channel_next_message(f->channel, f->now);
    REQUIRE((message != NULL) == (queued > 0));
    if (!message)
        return false;
    REQUIRE(queued == rdpusb_device_channel_queued_bytes(f->channel) + g_bytes_get_size(message));
    const RdpusbAnnouncement *a = rdpusb_device_channel_announcement(f->channel);
    size_t size;
    const uint8_t *data = g_bytes_get_data(message, &size);
    WireMessageKind kind =
        wire_kind_from_server(data, size, a ? a->usb_device : WIRE_INTERFACE_NOT_KNOWN);
    WireMessage m;
    REQUIRE(wire_message_read(&m, kind, data, size));
    return true;
}

/* ---- Into the channel ---- */

static void feed(Fuzz *f, const uint8_t *data, size_t size)
{
    drain_events(f);
    g_clear_pointer(&f->fed, g_bytes_unref);
    f->fed = g_bytes_new(data, size); /* of the exact size */
    g_autoptr(GError) error = NULL;
    bool taken = rdpusb_device_channel_feed(f->channel, g_bytes_get_data(f->fed, NULL), size,
                                            f->now, &error);
    REQUIRE(taken == !error);
    f->has_failed = f->has_failed || !taken;
    drain_events(f);
}

static void feed_message(Fuzz *f, const WireMessage *m)
{
    size_t size = wire_message_size(m);
    REQUIRE(size > 0);
    g_autofree uint8_t *data = g_malloc(size);
    wire_message_encode(m, data, size);
    feed(f, data, size);
}

static void feed_raw(Fuzz *f)
{
    size_t size = take_u8(f);
    size = MIN(size, f->left);
    const uint8_t *data = f->input;
    f->input += size;
    f->left -= size;
    feed(f, data, size);
}

/* A completion of this or that request, with a result of any bytes. */
static void feed_completion(Fuzz *f)
{
    static const uint32_t statuses[] = {0, 1, 2, 3, 4, 5, 6, 0xC0000004, 0xC0010000, 0xC0006000};
    uint8_t shape = take_u8(f);
    uint8_t result_size = take_u8(f);
    uint8_t request_id = take_u8(f);
    uint8_t status = take_u8(f);
    WireBytes result = {f->input, MIN(result_size, f->left)};
    f->input += result.length;
    f->left -= result.length;
    WireMessage m = {
        .kind = shape & 1 ? WIRE_MESSAGE_URB_COMPLETION : WIRE_MESSAGE_URB_COMPLETION_NO_DATA,
        .as.urb_completion = {.interface_id = REQUEST_COMPLETION,
                              .request_id = request_id,
                              .usbd_status = statuses[status % G_N_ELEMENTS(statuses)],
                              .hresult = shape & 2 ? WIRE_E_DEVICE_NOT_FUNCTIONING : 0,
                              .ts_urb_result = result},
    };
    g_autofree uint8_t *payload = NULL;
    if (shape & 1) {
        m.as.urb_completion.output_buffer.length = take_u8(f);
        m.as.urb_completion.output_buffer.data = payload =
            g_malloc0(m.as.urb_completion.output_buffer.length);
    } else {
        m.as.urb_completion.output_buffer_size = take_u16(f);
    }
    feed_message(f, &m);
}

static void feed_bus_time(Fuzz *f)
{
    feed_message(f, &(WireMessage){
                        .kind = WIRE_MESSAGE_IO_CONTROL_COMPLETION,
                        .as.io_control_completion = {.interface_id = REQUEST_COMPLETION,
                                                     .request_id = take_u8(f),
                                                     .output_buffer_size = 4},
                    });
}

static void pass_time(Fuzz *f, int64_t microseconds)
{
    drain_events(f);
    f->now += microseconds;
    g_autoptr(GError) error = NULL;
    bool fine = rdpusb_device_channel_tick(f->channel, f->now, &error);
    REQUIRE(fine == !error);
    REQUIRE(!fine || rdpusb_device_channel_deadline(f->channel) > f->now);
    drain_events(f);
}

/* ---- The owner ---- */

static void *owner(Fuzz *f)
{
    return (void *) (uintptr_t) (f->n_accepted + 1);
}

static void accept(Fuzz *f, uint32_t id, bool is_in, uint32_t size)
{
    if (id == 0)
        return;
    for (unsigned i = 0; i < f->n_accepted; i++)
        REQUIRE(f->accepted[i].id != id);
    f->accepted[f->n_accepted++] = (Accepted){.id = id, .is_in = is_in, .size = size};
}

static void transfer(Fuzz *f, bool is_in)
{
    uint32_t size = take_u8(f);
    size <<= take_u8(f) & 0xf;
    bool can_submit = rdpusb_device_channel_can_submit(f->channel, size);
    g_autofree uint8_t *payload = is_in ? NULL : g_malloc0(size);
    uint32_t id =
        is_in ? rdpusb_device_channel_transfer_in(f->channel, 0x81, size, owner(f))
              : rdpusb_device_channel_transfer_out(f->channel, 0x02, payload, size, owner(f));
    REQUIRE(id != 0 || !can_submit);
    accept(f, id, is_in, size);
}

static void control(Fuzz *f)
{
    RdpusbSetup setup;
    setup.request_type = take_u8(f);
    setup.request = take_u8(f);
    setup.value = take_u16(f);
    setup.index = take_u16(f);
    setup.length = take_u8(f);
    bool is_in = setup.request_type & 0x80;
    g_autofree uint8_t *payload = is_in ? NULL : g_malloc0(setup.length);
    accept(f, rdpusb_device_channel_control(f->channel, &setup, payload, owner(f)), is_in,
           setup.length);
}

static const uint8_t configuration[] = {
    9,    2, 32, 0, 1,    1, 0, 0x80, 50, 9, 4, 0, 0, 2, 8, 6,
    0x50, 0, 7,  5, 0x81, 2, 0, 2,    0,  7, 5, 2, 2, 0, 2, 0,
};

static void select_configuration(Fuzz *f)
{
    bool is_valid = take_u8(f) & 1;
    accept(f,
           rdpusb_device_channel_select_configuration(f->channel, is_valid ? configuration : NULL,
                                                      is_valid ? sizeof configuration : 0,
                                                      owner(f)),
           true, 0);
}

/* The descriptor, too, is whatever it is. */
static void select_interface(Fuzz *f)
{
    size_t size = take_u8(f);
    size = MIN(size, f->left);
    accept(f, rdpusb_device_channel_select_interface(f->channel, 1, f->input, size, 0, 0, owner(f)),
           true, 0);
}

static void operate(Fuzz *f)
{
    switch (take_u8(f) % 16) {
    case 0: feed_raw(f); break;
    case 1:
    case 2:
    case 3: feed_completion(f); break;
    case 4: feed_bus_time(f); break;
    case 5: transfer(f, true); break;
    case 6: transfer(f, false); break;
    case 7: control(f); break;
    case 8: select_configuration(f); break;
    case 9: select_interface(f); break;
    case 10:
        accept(f, rdpusb_device_channel_reset_pipe(f->channel, 0x81, owner(f)), true, 0);
        break;
    case 11: rdpusb_device_channel_cancel(f->channel, take_u8(f), f->now); break;
    case 12: pass_time(f, take_u8(f) * G_TIME_SPAN_SECOND / 4); break;
    case 13:
    case 14: fetch_message(f); break;
    case 15: drain_events(f); break;
    }
}

/* ---- Beginning and end ---- */

static void shake_hands(Fuzz *f, uint32_t usb_device)
{
    feed_message(f, &(WireMessage){.kind = WIRE_MESSAGE_CAPABILITY_RESPONSE,
                                   .as.capability_response.capability_value = 1});
    feed_message(
        f, &(WireMessage){.kind = WIRE_MESSAGE_CHANNEL_CREATED,
                          .as.channel_created = {.interface_id = WIRE_INTERFACE_CLIENT_NOTIFICATION,
                                                 .major_version = 1}});
    feed_message(
        f, &(WireMessage){.kind = WIRE_MESSAGE_ADD_DEVICE, .as.add_device.usb_device = usb_device});
    while (fetch_message(f))
        ;
    REQUIRE(rdpusb_device_channel_announcement(f->channel));
}

/* The client never says another word. */
static void wait_for_everybody(Fuzz *f)
{
    for (int64_t deadline;
         (deadline = rdpusb_device_channel_deadline(f->channel)) != RDPUSB_NO_DEADLINE;) {
        while (fetch_message(f))
            ;
        pass_time(f, MAX(deadline - f->now, 0));
        REQUIRE(rdpusb_device_channel_deadline(f->channel) > f->now);
    }
}

static void require_all_completed(const Fuzz *f)
{
    for (unsigned i = 0; i < f->n_accepted; i++)
        REQUIRE(f->accepted[i].n_completions == 1);
}

static void end(Fuzz *f)
{
    while (fetch_message(f))
        ;
    drain_events(f);
    if (rdpusb_device_channel_announcement(f->channel)) {
        wait_for_everybody(f);
        require_all_completed(f);
        REQUIRE(f->has_failed || rdpusb_device_channel_can_submit(f->channel, MAX_BYTES));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    RdpusbLimits limits = RDPUSB_LIMITS_DEFAULT;
    limits.max_requests = MAX_REQUESTS;
    limits.max_bytes_in_flight = MAX_BYTES;

    Fuzz *f = g_new0(Fuzz, 1);
    f->channel = rdpusb_device_channel_new(REQUEST_COMPLETION, &limits);
    f->input = data;
    f->left = size;
    rdpusb_device_channel_opened(f->channel, f->now);
    uint8_t start = take_u8(f);
    if (start % 4 != 0)
        shake_hands(f, start % 4 == 1 ? 0 : 5);
    while (f->left > 0 && f->n_accepted < MAX_ACCEPTED)
        operate(f);

    bool is_patient = start & 0x80;
    if (is_patient)
        end(f);
    drain_events(f);
    rdpusb_device_channel_closed(f->channel);
    drain_events(f);
    require_all_completed(f);
    REQUIRE(!fetch_message(f));

    rdpusb_device_channel_free(f->channel);
    g_clear_pointer(&f->fed, g_bytes_unref);
    g_free(f);
    return 0;
}
