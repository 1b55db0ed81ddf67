/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The fake client says what the page of client behaviour says, version by version: dialogues of the
 * server rest on it. A minimal server here, which knows the codec only. */
#include <string.h>

#include "client.h"

enum { CONTROL_CHANNEL = 1, DEVICE_CHANNEL = 2, COMPLETION = 0x10, SECOND = 1000000 };
enum { BULK_OUT = 0x01, BULK_IN = 0x81, INTERRUPT_IN = 0x82 };

typedef struct {
    FakeClient *client;
    uint32_t handle;
    uint32_t usb_device;
    uint32_t configuration_handle;
    uint32_t pipe_base;
    uint32_t last_id;
    GBytes *bytes; /* behind the views in the last message */
} Server;

static void feed(Server *s, unsigned channel, const WireMessage *m, int64_t now)
{
    size_t size = wire_message_size(m);
    g_assert_cmpuint(size, >, 0);
    g_autofree uint8_t *data = g_malloc(size);
    wire_message_encode(m, data, size);
    fake_client_feed(s->client, channel, data, size, now);
}

static WireMessage next(Server *s, WireMessageKind kind, unsigned channel)
{
    unsigned from;
    g_clear_pointer(&s->bytes, g_bytes_unref);
    s->bytes = fake_client_next_message(s->client, &from);
    g_assert_nonnull(s->bytes);
    g_assert_cmpuint(from, ==, channel);
    size_t size;
    const uint8_t *data = g_bytes_get_data(s->bytes, &size);
    g_assert_cmpstr(wire_message_kind_to_string(wire_kind_from_client(data, size, COMPLETION)), ==,
                    wire_message_kind_to_string(kind));
    WireMessage m;
    g_assert_true(wire_message_read(&m, kind, data, size));
    return m;
}

static void assert_silent(Server *s)
{
    unsigned channel;
    g_autoptr(GBytes) message = fake_client_next_message(s->client, &channel);
    g_assert_null(message);
}

static void hand_shake(Server *s, unsigned channel)
{
    feed(s, channel,
         &(WireMessage){.kind = WIRE_MESSAGE_CAPABILITY_REQUEST, .as.capability_request = {0, 1}},
         0);
    next(s, WIRE_MESSAGE_CAPABILITY_RESPONSE, channel);
    feed(s, channel,
         &(WireMessage){.kind = WIRE_MESSAGE_RELEASE, .as.release = {0, WIRE_STREAM_ID_NONE, 0}},
         0);
    feed(
        s, channel,
        &(WireMessage){.kind = WIRE_MESSAGE_CHANNEL_CREATED, .as.channel_created = {2, 0, 1, 0, 0}},
        0);
    next(s, WIRE_MESSAGE_CHANNEL_CREATED, channel);
    feed(s, channel,
         &(WireMessage){.kind = WIRE_MESSAGE_RELEASE, .as.release = {2, WIRE_STREAM_ID_PROXY, 0}},
         0);
}

static void server_init(Server *s, const FakeClientProfile *profile)
{
    *s = (Server){.client = fake_client_new(profile)};
    s->handle = fake_client_plug(s->client, &fake_device_loopback);
    hand_shake(s, CONTROL_CHANNEL);
    next(s, WIRE_MESSAGE_ADD_VIRTUAL_CHANNEL, CONTROL_CHANNEL);
    hand_shake(s, DEVICE_CHANNEL);
    s->usb_device = next(s, WIRE_MESSAGE_ADD_DEVICE, DEVICE_CHANNEL).as.add_device.usb_device;
    feed(s, DEVICE_CHANNEL,
         &(WireMessage){.kind = WIRE_MESSAGE_REGISTER_REQUEST_CALLBACK,
                        .as.register_request_callback = {s->usb_device, 0, true, COMPLETION}},
         0);
}

static void server_clear(Server *s)
{
    g_clear_pointer(&s->bytes, g_bytes_unref);
    fake_client_free(s->client);
}

static uint32_t send_in(Server *s, WireUrb urb, uint32_t size, int64_t now)
{
    urb.request_id = ++s->last_id;
    feed(s, DEVICE_CHANNEL,
         &(WireMessage){.kind = WIRE_MESSAGE_TRANSFER_IN_REQUEST,
                        .as.transfer_in_request = {s->usb_device, 0, urb, size}},
         now);
    return urb.request_id;
}

static uint32_t send_out(Server *s, WireUrb urb, const char *text)
{
    urb.request_id = ++s->last_id;
    feed(s, DEVICE_CHANNEL,
         &(WireMessage){.kind = WIRE_MESSAGE_TRANSFER_OUT_REQUEST,
                        .as.transfer_out_request =
                            {s->usb_device, 0, urb, {(const uint8_t *) text, strlen(text)}}},
         0);
    return urb.request_id;
}

/* mstsc's release after each completion is taken along. */
static WireUrbCompletion completion(Server *s, WireMessageKind kind, uint32_t request_id)
{
    WireMessage m = next(s, kind, DEVICE_CHANNEL);
    g_assert_cmpuint(m.as.urb_completion.request_id, ==, request_id);
    if (s->usb_device == 0) {
        GBytes *kept = g_steal_pointer(&s->bytes);
        next(s, WIRE_MESSAGE_RELEASE, DEVICE_CHANNEL);
        g_bytes_unref(s->bytes);
        s->bytes = kept;
    }
    return m.as.urb_completion;
}

static WireUrb bulk(const Server *s, uint8_t endpoint)
{
    uint32_t flags =
        endpoint & 0x80 ? WIRE_USBD_TRANSFER_DIRECTION_IN | WIRE_USBD_SHORT_TRANSFER_OK : 0;
    return (WireUrb){.function = WIRE_URB_FUNCTION_BULK_OR_INTERRUPT_TRANSFER,
                     .body.bulk_or_interrupt_transfer = {s->pipe_base | endpoint, flags}};
}

static WireUrb pipe_request(const Server *s, uint16_t function, uint8_t endpoint)
{
    return (WireUrb){.function = function, .body.pipe_request = {s->pipe_base | endpoint}};
}

static void configure(Server *s)
{
    const uint8_t *descriptor = fake_device_loopback.configuration;
    WireUrb urb = {
        .function = WIRE_URB_FUNCTION_SELECT_CONFIGURATION,
        .body.select_configuration = {.configuration_descriptor_is_valid = true,
                                      .num_interfaces = 1,
                                      .interfaces = {{3, 0, 0, 3}},
                                      .usb_configuration_descriptor = {descriptor, descriptor[2]}}};
    uint32_t id = send_in(s, urb, 0, 0);
    WireUrbCompletion m = completion(s, WIRE_MESSAGE_URB_COMPLETION_NO_DATA, id);
    WireSelectConfigurationResult r;
    g_assert_cmphex(m.hresult, ==, 0);
    g_assert_true(
        wire_select_configuration_result_decode(&r, m.ts_urb_result.data, m.ts_urb_result.length));
    g_assert_cmphex(r.configuration_handle, !=, 0);
    g_assert_cmpuint(r.interfaces[0].number_of_pipes, ==, 3);
    g_assert_cmphex(r.pipes[1].endpoint_address, ==, BULK_IN);
    g_assert_cmpuint(r.pipes[1].maximum_packet_size, ==, 512);
    g_assert_cmpuint(r.pipes[2].pipe_type, ==, WIRE_PIPE_TYPE_INTERRUPT);
    s->configuration_handle = r.configuration_handle;
    s->pipe_base = r.pipes[1].pipe_handle & ~UINT32_C(0xFF);
}

static uint32_t send_select_interface(Server *s, uint8_t alternate_setting)
{
    WireUrb urb = {
        .function = WIRE_URB_FUNCTION_SELECT_INTERFACE,
        .body.select_interface = {s->configuration_handle, {1, 0, alternate_setting, 1}, {{0}}}};
    return send_in(s, urb, 0, 0);
}

static void assert_no_violations(const Server *s)
{
    const GPtrArray *violations = fake_client_violations(s->client);
    if (violations->len > 0)
        g_error("%s", (const char *) violations->pdata[0]);
}

static void assert_one_violation(const Server *s, const char *about)
{
    const GPtrArray *violations = fake_client_violations(s->client);
    g_assert_cmpuint(violations->len, ==, 1);
    g_assert_nonnull(strstr(violations->pdata[0], about));
}

/* What is the same with each: announced, configured, and every byte comes back. */
static void test_loopback(const void *profile)
{
    Server s;
    server_init(&s, profile);
    g_assert_cmpuint(s.usb_device, ==, profile == &fake_client_mstsc ? 0 : 5);
    configure(&s);
    uint32_t in = send_in(&s, bulk(&s, BULK_IN), 64, 0);
    assert_silent(&s);
    uint32_t out = send_out(&s, bulk(&s, BULK_OUT), "loop");
    bool echoes = ((const FakeClientProfile *) profile)->out_echoes;
    WireUrbCompletion m = completion(
        &s, echoes ? WIRE_MESSAGE_URB_COMPLETION : WIRE_MESSAGE_URB_COMPLETION_NO_DATA, out);
    g_assert_cmpuint(m.output_buffer_size, ==, 4);
    m = completion(&s, WIRE_MESSAGE_URB_COMPLETION, in);
    g_assert_cmpmem(m.output_buffer.data, m.output_buffer.length, "loop", 4);
    g_assert_cmpuint(fake_client_n_pending(s.client), ==, 0);
    assert_no_violations(&s);
    server_clear(&s);
}

static void test_descriptors(void)
{
    Server s;
    server_init(&s, NULL);
    WireUrb urb = {.function = WIRE_URB_FUNCTION_GET_DESCRIPTOR_FROM_DEVICE,
                   .body.control_descriptor_request = {.descriptor_type = 1}};
    WireUrbCompletion m = completion(&s, WIRE_MESSAGE_URB_COMPLETION, send_in(&s, urb, 18, 0));
    g_assert_cmpmem(m.output_buffer.data, m.output_buffer.length, fake_device_loopback.device, 18);

    urb.body.control_descriptor_request = (WireControlDescriptorRequest){2, 3, 0x409};
    m = completion(&s, WIRE_MESSAGE_URB_COMPLETION, send_in(&s, urb, 255, 0));
    g_assert_cmpuint(m.output_buffer.length, ==, 2 + 2 * strlen("Loopback"));

    /* there is none: a whole buffer of rubbish, and the error */
    urb.body.control_descriptor_request.descriptor_type = 0x0F;
    m = completion(&s, WIRE_MESSAGE_URB_COMPLETION, send_in(&s, urb, 5, 0));
    g_assert_cmphex(m.usbd_status, ==, WIRE_USBD_STATUS_STALL_PID);
    g_assert_cmpuint(m.output_buffer.length, ==, 5);
    assert_no_violations(&s);
    server_clear(&s);
}

static void test_time_out(void)
{
    Server s;
    server_init(&s, NULL);
    configure(&s);
    g_assert_cmpint(fake_client_deadline(s.client), ==, FAKE_CLIENT_NO_DEADLINE);
    uint32_t id = send_in(&s, bulk(&s, INTERRUPT_IN), 8, 3 * SECOND);
    g_assert_cmpint(fake_client_deadline(s.client), ==, 13 * SECOND);
    fake_client_tick(s.client, 13 * SECOND - 1);
    assert_silent(&s);
    fake_client_tick(s.client, 13 * SECOND);
    WireUrbCompletion m = completion(&s, WIRE_MESSAGE_URB_COMPLETION_NO_DATA, id);
    g_assert_cmphex(m.usbd_status, ==, WIRE_USBD_STATUS_LIBUSB_TIMED_OUT);
    server_clear(&s);
}

static void test_cancel_and_stall(void)
{
    Server s;
    server_init(&s, NULL);
    configure(&s);
    uint32_t first = send_in(&s, bulk(&s, INTERRUPT_IN), 8, 0);
    uint32_t second = send_in(&s, bulk(&s, INTERRUPT_IN), 8, 0);
    feed(&s, DEVICE_CHANNEL,
         &(WireMessage){.kind = WIRE_MESSAGE_CANCEL_REQUEST,
                        .as.cancel_request = {s.usb_device, 0, second}},
         0);
    WireUrbCompletion m = completion(&s, WIRE_MESSAGE_URB_COMPLETION_NO_DATA, second);
    g_assert_cmphex(m.usbd_status, ==, WIRE_USBD_STATUS_LIBUSB_CANCELLED);

    uint32_t stalled = send_in(&s, bulk(&s, BULK_IN), 8, 0);
    fake_device_halt(fake_client_device(s.client, s.handle), BULK_IN);
    fake_client_tick(s.client, 0);
    m = completion(&s, WIRE_MESSAGE_URB_COMPLETION_NO_DATA, stalled);
    g_assert_cmphex(m.usbd_status, ==, WIRE_USBD_STATUS_LIBUSB_STALL);

    /* clearing the halt cancels what waits on any pipe */
    uint32_t id = send_in(
        &s, pipe_request(&s, WIRE_URB_FUNCTION_SYNC_RESET_PIPE_AND_CLEAR_STALL, BULK_IN), 0, 0);
    m = completion(&s, WIRE_MESSAGE_URB_COMPLETION_NO_DATA, first);
    g_assert_cmphex(m.usbd_status, ==, WIRE_USBD_STATUS_LIBUSB_CANCELLED);
    m = completion(&s, WIRE_MESSAGE_URB_COMPLETION_NO_DATA, id);
    g_assert_cmphex(m.usbd_status, ==, 0);
    send_in(&s, bulk(&s, BULK_IN), 8, 0);
    assert_silent(&s);
    assert_no_violations(&s);
    server_clear(&s);
}

/* A pipe request with OutputBufferSize 0 is executed by all, answered by some; with 36, one drops
 * it. */
static void test_pipe_request(const void *data)
{
    const FakeClientProfile *profile = data;
    for (uint32_t size = 0; size <= 36; size += 36) {
        Server s;
        server_init(&s, profile);
        configure(&s);
        WireUrb urb = pipe_request(&s, WIRE_URB_FUNCTION_SYNC_RESET_PIPE_AND_CLEAR_STALL, BULK_IN);
        fake_device_halt(fake_client_device(s.client, s.handle), BULK_IN);
        uint32_t id = send_in(&s, urb, size, 0);
        bool is_dropped = profile->pipe_wants_obs_0 && size != 0;
        if (is_dropped || (profile->pipe_wants_obs_36 && size == 0))
            assert_silent(&s);
        else
            completion(&s, WIRE_MESSAGE_URB_COMPLETION_NO_DATA, id);
        g_assert_cmpint(fake_device_is_halted(fake_client_device(s.client, s.handle), BULK_IN), ==,
                        is_dropped);
        server_clear(&s);
    }
}

static void test_select_interface(const void *profile)
{
    Server s;
    server_init(&s, profile);
    configure(&s);
    uint32_t id = send_select_interface(&s, 1);
    if (profile == &fake_client_freerdp_3_13) {
        assert_silent(&s);
        server_clear(&s);
        return;
    }
    WireUrbCompletion m = completion(&s, WIRE_MESSAGE_URB_COMPLETION_NO_DATA, id);
    bool is_twice = profile == &fake_client_freerdp_3_15;
    g_assert_cmpint(wire_select_interface_completion_repair(&m), ==, is_twice);
    g_assert_cmphex(m.hresult, ==, 0);
    g_assert_cmpuint(m.trailing.length, ==, 0);
    WireSelectInterfaceResult r;
    g_assert_true(
        wire_select_interface_result_decode(&r, m.ts_urb_result.data, m.ts_urb_result.length));
    g_assert_cmpuint(r.interface.number_of_pipes, ==, 1);
    g_assert_cmphex(r.pipes[0].endpoint_address, ==, INTERRUPT_IN);
    assert_no_violations(&s);

    send_in(&s, bulk(&s, BULK_IN), 8, 0); /* not in this setting */
    if (profile == &fake_client_mstsc) {
        m = completion(&s, WIRE_MESSAGE_URB_COMPLETION_NO_DATA, s.last_id);
        g_assert_cmphex(m.hresult, ==, WIRE_E_INVALID_PARAMETER);
    }
    assert_silent(&s);
    server_clear(&s);
}

static void test_select_interface_too_early(void)
{
    Server s;
    server_init(&s, NULL);
    send_select_interface(&s, 0);
    assert_silent(&s);
    assert_one_violation(&s, "memory corruption");
    server_clear(&s);
}

static bool hold_bulk(FakeClient *client, const FakeRequest *request, FakeResponse *response,
                      void *data)
{
    if (wire_urb_kind(request->urb->function) != WIRE_URB_BULK_OR_INTERRUPT_TRANSFER)
        return false;
    ++*(unsigned *) data;
    response->action = FAKE_HOLD;
    return true;
}

/* What the test holds it answers in whatever order, and with whatever. */
static void test_held(void)
{
    Server s;
    unsigned n_asked = 0;
    server_init(&s, NULL);
    configure(&s);
    fake_client_set_on_urb(s.client, hold_bulk, &n_asked);
    uint32_t first = send_in(&s, bulk(&s, BULK_IN), 8, 0);
    uint32_t second = send_out(&s, bulk(&s, BULK_OUT), "abc");
    g_assert_cmpuint(n_asked, ==, 2);
    g_assert_cmpuint(fake_client_n_pending(s.client), ==, 2);
    FakeResponse response = {.usbd_status = WIRE_USBD_STATUS_LIBUSB_ERROR,
                             .data = {(const uint8_t *) "ab", 2}};
    g_assert_true(fake_client_complete(s.client, s.handle, second, &response));
    g_assert_true(fake_client_complete(s.client, s.handle, first, &response));
    g_assert_false(fake_client_complete(s.client, s.handle, first, &response));
    WireUrbCompletion m = completion(&s, WIRE_MESSAGE_URB_COMPLETION, second);
    g_assert_cmpuint(m.output_buffer_size, ==, 2);
    m = completion(&s, WIRE_MESSAGE_URB_COMPLETION, first);
    g_assert_cmphex(m.usbd_status, ==, WIRE_USBD_STATUS_LIBUSB_ERROR);
    server_clear(&s);
}

static void test_io_control(void)
{
    Server s;
    server_init(&s, NULL);
    WireIoControl r = {.interface_id = s.usb_device,
                       .io_control_code = WIRE_IOCTL_TSUSBGD_IOCTL_USBDI_QUERY_BUS_TIME,
                       .output_buffer_size = 4,
                       .request_id = 7};
    feed(&s, DEVICE_CHANNEL, &(WireMessage){WIRE_MESSAGE_INTERNAL_IO_CONTROL, {.io_control = r}},
         5 * SECOND);
    WireMessage m = next(&s, WIRE_MESSAGE_IO_CONTROL_COMPLETION, DEVICE_CHANNEL);
    g_assert_cmpuint(m.as.io_control_completion.request_id, ==, 7);
    g_assert_cmpuint(m.as.io_control_completion.output_buffer.length, ==, 4);

    r.io_control_code = WIRE_IOCTL_INTERNAL_USB_RESET_PORT;
    r.output_buffer_size = 0;
    feed(&s, DEVICE_CHANNEL, &(WireMessage){WIRE_MESSAGE_IO_CONTROL, {.io_control = r}}, 0);
    m = next(&s, WIRE_MESSAGE_IO_CONTROL_COMPLETION, DEVICE_CHANNEL);
    g_assert_cmpuint(m.as.io_control_completion.output_buffer_size, ==, 4);
    g_assert_cmpuint(m.as.io_control_completion.output_buffer.length, ==, 0);

    r.io_control_code = WIRE_IOCTL_INTERNAL_USB_GET_HUB_COUNT;
    feed(&s, DEVICE_CHANNEL, &(WireMessage){WIRE_MESSAGE_IO_CONTROL, {.io_control = r}}, 0);
    assert_silent(&s);
    server_clear(&s);
}

static void test_query_device_text(void)
{
    Server s;
    char text[32];
    server_init(&s, NULL);
    WireQueryDeviceText r = {s.usb_device, 3, WIRE_TEXT_TYPE_DESCRIPTION, WIRE_LOCALE_ENGLISH_US};
    WireMessage m = {.kind = WIRE_MESSAGE_QUERY_DEVICE_TEXT, .as.query_device_text = r};
    feed(&s, DEVICE_CHANNEL, &m, 0);
    WireMessage answer = next(&s, WIRE_MESSAGE_QUERY_DEVICE_TEXT_RESPONSE, DEVICE_CHANNEL);
    g_assert_cmpuint(answer.as.query_device_text_response.message_id, ==, 3);
    wire_text_first(&answer.as.query_device_text_response.device_description, text, sizeof text);
    g_assert_cmpstr(text, ==, "Loopbac"); /* the NUL took the last character */
    m.as.query_device_text.text_type = 9;
    feed(&s, DEVICE_CHANNEL, &m, 0);
    answer = next(&s, WIRE_MESSAGE_QUERY_DEVICE_TEXT_RESPONSE, DEVICE_CHANNEL);
    g_assert_cmpuint(answer.as.query_device_text_response.hresult, ==, 13);
    m.as.query_device_text.locale_id = 0x10000;
    feed(&s, DEVICE_CHANNEL, &m, 0);
    assert_silent(&s);
    server_clear(&s);
}

static void test_hot_plug(void)
{
    Server s;
    unsigned channel;
    server_init(&s, NULL);
    uint32_t second = fake_client_plug(s.client, &fake_device_loopback);
    next(&s, WIRE_MESSAGE_ADD_VIRTUAL_CHANNEL, CONTROL_CHANNEL);
    fake_client_plug(s.client, &fake_device_loopback);
    /* the second one again, as it has no channel yet */
    next(&s, WIRE_MESSAGE_ADD_VIRTUAL_CHANNEL, CONTROL_CHANNEL);
    next(&s, WIRE_MESSAGE_ADD_VIRTUAL_CHANNEL, CONTROL_CHANNEL);
    hand_shake(&s, 3);
    WireMessage m = next(&s, WIRE_MESSAGE_ADD_DEVICE, 3);
    g_assert_cmpuint(m.as.add_device.usb_device, ==, second);
    hand_shake(&s, 4);
    next(&s, WIRE_MESSAGE_ADD_DEVICE, 4);
    hand_shake(&s, 5);
    assert_silent(&s);

    configure(&s);
    send_in(&s, bulk(&s, BULK_IN), 8, 0);
    fake_client_unplug(s.client, s.handle);
    g_assert_true(fake_client_next_closed(s.client, &channel));
    g_assert_cmpuint(channel, ==, DEVICE_CHANNEL);
    g_assert_false(fake_client_next_closed(s.client, &channel));
    g_assert_cmpuint(fake_client_n_pending(s.client), ==, 0);
    send_in(&s, bulk(&s, BULK_IN), 8, 0);
    assert_silent(&s);
    assert_no_violations(&s);
    server_clear(&s);
}

static void test_mstsc_wants_order(void)
{
    unsigned channel;
    Server s = {.client = fake_client_new(&fake_client_mstsc)};
    feed(
        &s, CONTROL_CHANNEL,
        &(WireMessage){.kind = WIRE_MESSAGE_CHANNEL_CREATED, .as.channel_created = {2, 0, 1, 0, 0}},
        0);
    assert_silent(&s);
    g_assert_true(fake_client_next_closed(s.client, &channel));
    g_assert_cmpuint(channel, ==, CONTROL_CHANNEL);
    assert_one_violation(&s, "out of order");
    server_clear(&s);
}

static void test_mstsc_wants_short_ok(void)
{
    Server s;
    server_init(&s, &fake_client_mstsc);
    configure(&s);
    fake_device_say(fake_client_device(s.client, s.handle), BULK_IN, (const uint8_t *) "x", 1);
    WireUrb urb = bulk(&s, BULK_IN);
    urb.body.bulk_or_interrupt_transfer.transfer_flags = WIRE_USBD_TRANSFER_DIRECTION_IN;
    uint32_t id = send_in(&s, urb, 8, 0);
    WireUrbCompletion m = completion(&s, WIRE_MESSAGE_URB_COMPLETION_NO_DATA, id);
    g_assert_cmphex(m.hresult, ==, WIRE_E_DEVICE_NOT_FUNCTIONING);
    server_clear(&s);
}

static void test_violations(void)
{
    static const struct {
        const char *about;
        WireUrb urb;
        bool is_in;
    } cases[] = {
        {"behind the client's back",
         {.function = WIRE_URB_FUNCTION_CONTROL_TRANSFER,
          .body.control_transfer = {0, WIRE_USBD_DEFAULT_PIPE_TRANSFER, 0, {0, 9, 1, 0, 0}}},
         false},
        {"with flags",
         {.function = WIRE_URB_FUNCTION_VENDOR_DEVICE,
          .body.control_vendor_or_class_request = {.transfer_flags = 0}},
         true},
        {"never answered", {.function = WIRE_URB_FUNCTION_SYNC_RESET_PIPE}, false},
        {"ABORT_PIPE", {.function = WIRE_URB_FUNCTION_ABORT_PIPE}, true},
        {"NoAck", {.function = WIRE_URB_FUNCTION_GET_CURRENT_FRAME_NUMBER, .no_ack = true}, true},
        {"freezes the client",
         {.function = WIRE_URB_FUNCTION_CONTROL_TRANSFER_EX,
          .body.control_transfer = {0, WIRE_USBD_TRANSFER_DIRECTION_IN, 0, {0x80, 8, 0, 0, 0}}},
         true},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        Server s;
        server_init(&s, NULL);
        if (cases[i].is_in)
            send_in(&s, cases[i].urb, 0, 0);
        else
            send_out(&s, cases[i].urb, "");
        assert_one_violation(&s, cases[i].about);
        server_clear(&s);
    }
}

static void add_each(const char *name, void (*test)(const void *))
{
    for (size_t i = 0; i < FAKE_CLIENT_N_PROFILES; i++) {
        g_autofree char *path =
            g_strdup_printf("/fake-client/%s/%s", name, fake_client_profiles[i]->name);
        g_test_add_data_func(path, fake_client_profiles[i], test);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    add_each("loopback", test_loopback);
    add_each("pipe-request", test_pipe_request);
    add_each("select-interface", test_select_interface);
    g_test_add_func("/fake-client/descriptors", test_descriptors);
    g_test_add_func("/fake-client/time-out", test_time_out);
    g_test_add_func("/fake-client/cancel-and-stall", test_cancel_and_stall);
    g_test_add_func("/fake-client/select-interface-too-early", test_select_interface_too_early);
    g_test_add_func("/fake-client/held", test_held);
    g_test_add_func("/fake-client/io-control", test_io_control);
    g_test_add_func("/fake-client/query-device-text", test_query_device_text);
    g_test_add_func("/fake-client/hot-plug", test_hot_plug);
    g_test_add_func("/fake-client/mstsc-wants-order", test_mstsc_wants_order);
    g_test_add_func("/fake-client/mstsc-wants-short-ok", test_mstsc_wants_short_ok);
    g_test_add_func("/fake-client/violations", test_violations);
    return g_test_run();
}
