/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "dialogue.h"

#include <stdio.h>
#include <string.h>

#include "device-channel.h"
#include "wire/message.h"

enum { REQUEST_COMPLETION = 0x10 };
enum { MAX_REQUESTS = 8, MAX_BYTES = 1024 * 1024 };

const uint8_t dialogue_descriptor[DIALOGUE_DESCRIPTOR_SIZE] = {
    9,  2,    DIALOGUE_DESCRIPTOR_SIZE,
    0,  2,    1,
    0,  0x80, 50, /* configuration 1 */
    9,  4,    1,
    0,  0,    0xff,
    0,  0,    0, /* interface 1, alternate 0 */
    9,  4,    1,
    1,  1,    0xff,
    0,  0,    0, /* interface 1, alternate 1 */
    7,  5,    0x83,
    3,  0x40, 0,
    10, /*   interrupt IN */
    9,  4,    0,
    0,  2,    8,
    6,  0x50, 0, /* interface 0 */
    7,  5,    0x81,
    2,  0,    2,
    0, /*   bulk IN */
    7,  5,    0x02,
    2,  0,    2,
    0, /*   bulk OUT */
};

/* A request that was accepted: its address is the owner. */
typedef struct {
    uint32_t id;
    unsigned n_completions;
} Accepted;

typedef struct {
    RdpusbControlChannel *control;
    RdpusbDeviceChannel *device;
    int64_t now;
    GPtrArray *accepted; /* of Accepted */
    GBytes *fed;         /* events view it */
    const char *line;    /* for messages of failures */
} Dialogue;

static Dialogue *dialogue_new(const char *kind)
{
    Dialogue *d = g_new0(Dialogue, 1);
    d->now = 1000 * G_TIME_SPAN_SECOND;
    d->accepted = g_ptr_array_new_with_free_func(g_free);
    if (strcmp(kind, "control") == 0) {
        d->control = rdpusb_control_channel_new();
        rdpusb_control_channel_opened(d->control, d->now);
    } else {
        g_assert_cmpstr(kind, ==, "device");
        RdpusbLimits limits = RDPUSB_LIMITS_DEFAULT;
        limits.max_requests = MAX_REQUESTS;
        limits.max_bytes_in_flight = MAX_BYTES;
        d->device = rdpusb_device_channel_new(REQUEST_COMPLETION, &limits);
        rdpusb_device_channel_opened(d->device, d->now);
    }
    return d;
}

static void dialogue_free(Dialogue *d)
{
    rdpusb_control_channel_free(d->control);
    rdpusb_device_channel_free(d->device);
    g_ptr_array_unref(d->accepted);
    g_clear_pointer(&d->fed, g_bytes_unref);
    g_free(d);
}

/* ---- Small readers ---- */

static uint32_t hex(const char *word)
{
    g_assert_nonnull(word);
    return (uint32_t) g_ascii_strtoull(word, NULL, 16);
}

static uint32_t decimal(const char *word)
{
    g_assert_nonnull(word);
    return (uint32_t) g_ascii_strtoull(word, NULL, 10);
}

static int64_t duration(const char *word)
{
    char *unit;
    int64_t value = g_ascii_strtoll(word, &unit, 10);
    return value * (strcmp(unit, "ms") == 0 ? G_TIME_SPAN_MILLISECOND : G_TIME_SPAN_SECOND);
}

static GByteArray *bytes(const char *word)
{
    GByteArray *array = g_byte_array_new();
    if (g_str_has_prefix(word, "zeros*")) {
        g_byte_array_set_size(array, decimal(word + 6));
        memset(array->data, 0, array->len);
    } else if (strcmp(word, "-") != 0) {
        for (; word[0] && word[1]; word += 2) {
            char digits[] = {word[0], word[1], 0};
            g_byte_array_append(array, &(uint8_t){(uint8_t) hex(digits)}, 1);
        }
    }
    return array;
}

static void append_hex(GString *text, const uint8_t *data, size_t size)
{
    bool all_zero = size > 64;
    for (size_t i = 0; i < size; i++)
        all_zero = all_zero && data[i] == 0;
    if (all_zero) {
        g_string_append_printf(text, "zeros*%zu", size);
        return;
    }
    for (size_t i = 0; i < size; i++)
        g_string_append_printf(text, "%02x", data[i]);
}

/* ---- What the server sends, as text ---- */

static void append_interface(GString *text, const WireInterfaceInformation *interface,
                             const WirePipeInformation *pipes)
{
    g_string_append_printf(text, " %u.%u(", interface->interface_number,
                           interface->alternate_setting);
    for (uint32_t i = 0; i < interface->number_of_pipes; i++)
        g_string_append_printf(text, "%s%x", i ? "," : "", pipes[i].maximum_packet_size);
    g_string_append_c(text, ')');
    g_assert_cmpuint(interface->number_of_pipes, ==, interface->number_of_pipes_expected);
}

static void append_select_configuration(GString *text, const WireSelectConfiguration *select)
{
    g_string_append_printf(text, " valid=%u", select->configuration_descriptor_is_valid);
    const WirePipeInformation *pipes = select->pipes;
    for (uint32_t i = 0; i < select->num_interfaces; i++) {
        append_interface(text, &select->interfaces[i], pipes);
        pipes += select->interfaces[i].number_of_pipes;
    }
    g_string_append_printf(text, " descriptor=%zu", select->usb_configuration_descriptor.length);
}

static void append_urb(GString *text, const WireUrb *urb)
{
    g_assert_false(urb->no_ack);
    g_string_append_printf(text, " %u %s", urb->request_id,
                           wire_urb_function_to_string(urb->function));
    switch (wire_urb_kind(urb->function)) {
    case WIRE_URB_HEADER_ONLY: break;
    case WIRE_URB_SELECT_CONFIGURATION:
        append_select_configuration(text, &urb->body.select_configuration);
        break;
    case WIRE_URB_SELECT_INTERFACE:
        g_string_append_printf(text, " handle=%x", urb->body.select_interface.configuration_handle);
        append_interface(text, &urb->body.select_interface.interface,
                         urb->body.select_interface.pipes);
        break;
    case WIRE_URB_PIPE_REQUEST:
        g_string_append_printf(text, " pipe=%x", urb->body.pipe_request.pipe_handle);
        break;
    case WIRE_URB_CONTROL_TRANSFER: {
        const WireControlTransfer *m = &urb->body.control_transfer;
        const WireSetupPacket *setup = &m->setup_packet;
        g_string_append_printf(text, " pipe=%x flags=%x setup=%02x,%02x,%04x,%04x,%u",
                               m->pipe_handle, m->transfer_flags, setup->bm_request_type,
                               setup->b_request, setup->w_value, setup->w_index, setup->w_length);
        break;
    }
    case WIRE_URB_BULK_OR_INTERRUPT_TRANSFER:
        g_string_append_printf(text, " pipe=%x flags=%x",
                               urb->body.bulk_or_interrupt_transfer.pipe_handle,
                               urb->body.bulk_or_interrupt_transfer.transfer_flags);
        break;
    case WIRE_URB_CONTROL_DESCRIPTOR_REQUEST:
        g_string_append_printf(text, " type=%x index=%x language=%x",
                               urb->body.control_descriptor_request.descriptor_type,
                               urb->body.control_descriptor_request.index,
                               urb->body.control_descriptor_request.language_id);
        break;
    case WIRE_URB_CONTROL_FEATURE_REQUEST:
        g_string_append_printf(text, " feature=%x index=%x",
                               urb->body.control_feature_request.feature_selector,
                               urb->body.control_feature_request.index);
        break;
    case WIRE_URB_CONTROL_GET_STATUS_REQUEST:
        g_string_append_printf(text, " index=%x", urb->body.control_get_status_request.index);
        break;
    case WIRE_URB_CONTROL_VENDOR_OR_CLASS_REQUEST: {
        const WireControlVendorOrClassRequest *m = &urb->body.control_vendor_or_class_request;
        g_string_append_printf(text, " flags=%x request=%x value=%x index=%x", m->transfer_flags,
                               m->request, m->value, m->index);
        g_assert_cmpuint(m->request_type_reserved_bits, ==, 0);
        break;
    }
    case WIRE_URB_CONTROL_GET_INTERFACE_REQUEST:
        g_string_append_printf(text, " interface=%x",
                               urb->body.control_get_interface_request.interface);
        break;
    case WIRE_URB_CONTROL_TRANSFER_EX:
    case WIRE_URB_ISOCH_TRANSFER:
    case WIRE_URB_OS_FEATURE_DESCRIPTOR_REQUEST:
    case WIRE_URB_UNKNOWN: g_error("the server sends no %s", text->str);
    }
}

static uint32_t announced_device(const Dialogue *d)
{
    const RdpusbAnnouncement *a = d->device ? rdpusb_device_channel_announcement(d->device) : NULL;
    return a ? a->usb_device : WIRE_INTERFACE_NOT_KNOWN;
}

static char *server_text(const Dialogue *d, GBytes *message)
{
    size_t size;
    const uint8_t *data = g_bytes_get_data(message, &size);
    WireMessage m;
    g_assert_true(
        wire_message_read(&m, wire_kind_from_server(data, size, announced_device(d)), data, size));
    GString *text = g_string_new(NULL);
    switch (m.kind) {
    case WIRE_MESSAGE_CAPABILITY_REQUEST:
        g_string_printf(text, "capabilities %u", m.as.capability_request.capability_value);
        break;
    case WIRE_MESSAGE_RELEASE:
        g_string_printf(text, "release %u mask %u", m.as.release.interface_id, m.as.release.mask);
        break;
    case WIRE_MESSAGE_CHANNEL_CREATED:
        g_string_printf(text, "created %u %u.%u %u", m.as.channel_created.interface_id,
                        m.as.channel_created.major_version, m.as.channel_created.minor_version,
                        m.as.channel_created.capabilities);
        break;
    case WIRE_MESSAGE_QUERY_INTERFACE_RESPONSE:
        g_string_printf(text, "qi-response %x %s", m.as.query_interface_response.interface_id,
                        m.as.query_interface_response.is_supported ? "supported" : "no");
        break;
    case WIRE_MESSAGE_CANCEL_REQUEST:
        g_string_printf(text, "cancel %u", m.as.cancel_request.request_id);
        break;
    case WIRE_MESSAGE_REGISTER_REQUEST_CALLBACK:
        g_assert_true(m.as.register_request_callback.is_registering);
        g_string_printf(text, "register %x", m.as.register_request_callback.request_completion);
        break;
    case WIRE_MESSAGE_INTERNAL_IO_CONTROL:
        g_assert_cmphex(m.as.io_control.io_control_code, ==,
                        WIRE_IOCTL_TSUSBGD_IOCTL_USBDI_QUERY_BUS_TIME);
        g_string_printf(text, "bus-time %u wants %u", m.as.io_control.request_id,
                        m.as.io_control.output_buffer_size);
        break;
    case WIRE_MESSAGE_QUERY_DEVICE_TEXT:
        g_string_printf(text, "query-text %u %x", m.as.query_device_text.text_type,
                        m.as.query_device_text.locale_id);
        break;
    case WIRE_MESSAGE_RETRACT_DEVICE:
        g_string_printf(text, "retract %u", m.as.retract_device.reason);
        break;
    case WIRE_MESSAGE_TRANSFER_IN_REQUEST:
        g_string_assign(text, "in");
        append_urb(text, &m.as.transfer_in_request.ts_urb);
        g_string_append_printf(text, " wants %u", m.as.transfer_in_request.output_buffer_size);
        break;
    case WIRE_MESSAGE_TRANSFER_OUT_REQUEST:
        g_string_assign(text, "out");
        append_urb(text, &m.as.transfer_out_request.ts_urb);
        g_string_append(text, " sends ");
        if (m.as.transfer_out_request.output_buffer.length == 0)
            g_string_append_c(text, '-');
        append_hex(text, m.as.transfer_out_request.output_buffer.data,
                   m.as.transfer_out_request.output_buffer.length);
        break;
    default: g_error("the server sent %s", wire_message_kind_to_string(m.kind));
    }
    return g_string_free(text, FALSE);
}

static GBytes *next_message(Dialogue *d)
{
    return d->control ? rdpusb_control_channel_next_message(d->control)
                      : rdpusb_device_channel_next_message(d->device, d->now);
}

static void expect_message(Dialogue *d, const char *expected)
{
    g_autoptr(GBytes) message = next_message(d);
    g_autofree char *text = message ? server_text(d, message) : NULL;
    g_assert_cmpstr(text, ==, expected);
}

static void expect_no_message(Dialogue *d)
{
    g_autoptr(GBytes) message = next_message(d);
    g_autofree char *text = message ? server_text(d, message) : NULL;
    if (text)
        g_error("before \"%s\" the server sent \"%s\", which the script does not name", d->line,
                text);
}

/* ---- Events ---- */

static void append_pipes(GString *text, const RdpusbDeviceEvent *event)
{
    g_string_append_printf(text, " handle=%x pipes=", event->configuration_handle);
    for (size_t i = 0; i < event->n_pipes; i++) {
        const RdpusbPipe *p = &event->pipes[i];
        g_string_append_printf(text, "%s%u:%02x:%x:%u", i ? "," : "", p->interface_number,
                               p->endpoint_address, p->pipe_handle, p->maximum_packet_size);
    }
}

static char *event_text(const RdpusbDeviceEvent *event)
{
    if (event->type == RDPUSB_DEVICE_EVENT_ANNOUNCED)
        return g_strdup("announced");
    GString *text = g_string_new(NULL);
    g_string_printf(text, "%u %s", event->request_id, rdpusb_status_to_string(event->status));
    if (event->data) {
        g_string_append(text, " data=");
        append_hex(text, event->data, event->size);
    } else if (event->size > 0) {
        g_string_append_printf(text, " size=%zu", event->size);
    }
    if (event->pipes)
        append_pipes(text, event);
    return g_string_free(text, FALSE);
}

static void count_completion(const RdpusbDeviceEvent *event)
{
    if (event->type != RDPUSB_DEVICE_EVENT_COMPLETION)
        return;
    Accepted *accepted = event->owner;
    g_assert_nonnull(accepted);
    g_assert_cmpuint(accepted->id, ==, event->request_id);
    g_assert_cmpuint(++accepted->n_completions, ==, 1);
}

/* NULL when there is none. */
static char *next_event(Dialogue *d)
{
    RdpusbDeviceEvent event;
    if (!d->device || !rdpusb_device_channel_next_event(d->device, &event))
        return NULL;
    count_completion(&event);
    return event_text(&event);
}

static void expect_no_event(Dialogue *d)
{
    g_autofree char *text = next_event(d);
    if (text)
        g_error("before \"%s\" there was an event \"%s\", which the script does not name", d->line,
                text);
}

/* ---- What the client sends ---- */

static GBytes *encode(const WireMessage *m)
{
    size_t size = wire_message_size(m);
    g_assert_cmpuint(size, >, 0);
    uint8_t *data = g_malloc(size);
    g_assert_cmpuint(wire_message_encode(m, data, size), ==, size);
    return g_bytes_new_take(data, size);
}

static GBytes *completion(const char *const *words, WireBytes result, WireBytes data, uint32_t size)
{
    return encode(&(WireMessage){
        .kind = data.data ? WIRE_MESSAGE_URB_COMPLETION : WIRE_MESSAGE_URB_COMPLETION_NO_DATA,
        .as.urb_completion = {.interface_id = REQUEST_COMPLETION,
                              .request_id = decimal(words[1]),
                              .usbd_status = hex(words[2]),
                              .ts_urb_result = result,
                              .hresult = words[3] && words[4] ? hex(words[4]) : 0,
                              .output_buffer = data,
                              .output_buffer_size = size},
    });
}

static GBytes *add_device(const char *const *words)
{
    static const uint8_t id[] = {'i', 0, 'd', 0, 0, 0}, ids[] = {'A', 0, 0, 0, 'B', 0, 0, 0, 0, 0};
    return encode(&(WireMessage){
        .kind = WIRE_MESSAGE_ADD_DEVICE,
        .as.add_device = {.usb_device = hex(words[1]),
                          .device_instance_id = {id, 3},
                          .hardware_ids = {ids, 5},
                          .container_id = {id, 3},
                          .usb_device_capabilities = {.usb_bus_interface_version = 2,
                                                      .usbdi_version = 0x600,
                                                      .supported_usb_version = hex(words[2]),
                                                      .device_is_high_speed = 1}},
    });
}

/* FreeRDP's way to say that it has no text is an error and nothing else. */
static GBytes *device_text(const char *const *words)
{
    g_autoptr(GByteArray) utf16 = g_byte_array_new();
    for (const char *c = words[2]; c && *c; c++)
        g_byte_array_append(utf16, (const uint8_t[]){(uint8_t) *c, 0}, 2);
    return encode(&(WireMessage){
        .kind = WIRE_MESSAGE_QUERY_DEVICE_TEXT_RESPONSE,
        .as.query_device_text_response = {.interface_id = hex(words[1]),
                                          .device_description = {utf16->data, utf16->len / 2},
                                          .hresult = words[2] ? 0 : 13},
    });
}

static unsigned read_pipes(const char *list, WireInterfaceInformationResult *interfaces,
                           unsigned *n_interfaces, WirePipeInformationResult *pipes)
{
    g_auto(GStrv) words = g_strsplit(list ? list : "", ",", -1);
    unsigned n = 0;
    for (; words[n]; n++) {
        unsigned interface, address, handle, size;
        g_assert_cmpint(sscanf(words[n], "%u:%x:%x:%u", &interface, &address, &handle, &size), ==,
                        4);
        pipes[n] = (WirePipeInformationResult){
            .maximum_packet_size = (uint16_t) size,
            .endpoint_address = (uint8_t) address,
            .pipe_type = WIRE_PIPE_TYPE_BULK,
            .pipe_handle = handle,
        };
        if (*n_interfaces == 0 || interfaces[*n_interfaces - 1].interface_number != interface)
            interfaces[(*n_interfaces)++].interface_number = (uint8_t) interface;
        interfaces[*n_interfaces - 1].number_of_pipes++;
    }
    return n;
}

static GBytes *select_completion(const char *id, WireBytes result)
{
    const char *words[] = {"", id, "0", NULL};
    return completion(words, result, (WireBytes){0}, 0);
}

static GBytes *configured(const char *const *words)
{
    WireSelectConfigurationResult result = {.configuration_handle = hex(words[2])};
    read_pipes(words[3], result.interfaces, &result.num_interfaces, result.pipes);
    uint8_t buffer[2048];
    size_t size = wire_select_configuration_result_encode(&result, buffer, sizeof buffer);
    return select_completion(words[1], (WireBytes){buffer, size});
}

static GBytes *unconfigured(const char *const *words)
{
    const uint8_t result[8] = {[4] = (uint8_t) decimal(words[2])};
    return select_completion(words[1], (WireBytes){result, sizeof result});
}

static GBytes *alternate(const char *const *words)
{
    WireSelectInterfaceResult result = {0};
    unsigned n_interfaces = 0;
    read_pipes(words[3], &result.interface, &n_interfaces, result.pipes);
    result.interface.interface_number = (uint8_t) decimal(words[2]);
    uint8_t buffer[2048];
    size_t size = wire_select_interface_result_encode(&result, buffer, sizeof buffer);
    g_autoptr(GBytes) message = select_completion(words[1], (WireBytes){buffer, size});
    if (strcmp(words[0], "alternate-garbled") != 0)
        return g_steal_pointer(&message);

    size_t length;
    const uint8_t *sent = g_bytes_get_data(message, &length);
    enum { TAIL = 8 }; /* HResult, OutputBufferSize */
    static const uint8_t handle_and_one[8] = {1, 0, 7, 1, 1};
    GByteArray *garbled = g_byte_array_new();
    g_byte_array_append(garbled, sent, (guint) length - TAIL);
    g_byte_array_append(garbled, handle_and_one, sizeof handle_and_one);
    g_byte_array_append(garbled, buffer, (guint) size);
    g_byte_array_append(garbled, sent + length - TAIL, TAIL);
    return g_byte_array_free_to_bytes(garbled);
}

static GBytes *bus_time(const char *const *words)
{
    static const uint8_t time[64] = {0x53, 0x4b, 0x5f, 0x1a};
    uint32_t size = words[2] ? decimal(words[2]) : 4;
    return encode(&(WireMessage){
        .kind = WIRE_MESSAGE_IO_CONTROL_COMPLETION,
        .as.io_control_completion = {.interface_id = REQUEST_COMPLETION,
                                     .request_id = decimal(words[1]),
                                     .information = 4,
                                     .output_buffer_size = 4,
                                     .output_buffer = {time, size}},
    });
}

static GBytes *client_message(const char *text)
{
    g_auto(GStrv) split = g_strsplit(text, " ", -1);
    const char *const *words = (const char *const *) split;
    const char *verb = words[0];
    if (strcmp(verb, "capabilities") == 0)
        return encode(&(WireMessage){.kind = WIRE_MESSAGE_CAPABILITY_RESPONSE,
                                     .as.capability_response = {.capability_value = hex(words[1]),
                                                                .result = hex(words[2])}});
    if (strcmp(verb, "created") == 0) {
        unsigned major, minor;
        g_assert_cmpint(sscanf(words[1], "%u.%u", &major, &minor), ==, 2);
        return encode(&(WireMessage){
            .kind = WIRE_MESSAGE_CHANNEL_CREATED,
            .as.channel_created = {.interface_id = WIRE_INTERFACE_CLIENT_NOTIFICATION,
                                   .major_version = major,
                                   .minor_version = minor}});
    }
    if (strcmp(verb, "add-virtual-channel") == 0)
        return encode(&(WireMessage){.kind = WIRE_MESSAGE_ADD_VIRTUAL_CHANNEL,
                                     .as.add_virtual_channel = {words[1] ? decimal(words[1]) : 0}});
    if (strcmp(verb, "add-device") == 0)
        return add_device(words);
    if (strcmp(verb, "release") == 0)
        return encode(&(WireMessage){
            .kind = WIRE_MESSAGE_RELEASE,
            .as.release = {.interface_id = hex(words[1]), .mask = WIRE_STREAM_ID_PROXY}});
    if (strcmp(verb, "qi") == 0) {
        static const uint8_t guid[WIRE_GUID_SIZE];
        return encode(&(WireMessage){.kind = WIRE_MESSAGE_QUERY_INTERFACE_REQUEST,
                                     .as.query_interface_request = {.interface_id = hex(words[1]),
                                                                    .guid = {guid, sizeof guid}}});
    }
    if (strcmp(verb, "text") == 0)
        return device_text(words);
    if (strcmp(verb, "done") == 0)
        return completion(words, (WireBytes){0}, (WireBytes){0}, decimal(words[3]));
    if (strcmp(verb, "data") == 0) {
        g_autoptr(GByteArray) data = bytes(words[3]);
        return completion(words, (WireBytes){0}, (WireBytes){data->data, data->len}, data->len);
    }
    if (strcmp(verb, "bus-time") == 0)
        return bus_time(words);
    if (strcmp(verb, "configured") == 0)
        return configured(words);
    if (strcmp(verb, "unconfigured") == 0)
        return unconfigured(words);
    if (g_str_has_prefix(verb, "alternate"))
        return alternate(words);
    g_assert_cmpstr(verb, ==, "hex");
    return g_byte_array_free_to_bytes(bytes(words[1]));
}

/* In memory of its exact size, which outlives the events. */
static bool feed(Dialogue *d, const uint8_t *data, size_t size, GError **error)
{
    g_clear_pointer(&d->fed, g_bytes_unref);
    d->fed = g_bytes_new(data, size);
    data = g_bytes_get_data(d->fed, NULL);
    return d->control ? rdpusb_control_channel_feed(d->control, data, size, d->now, error)
                      : rdpusb_device_channel_feed(d->device, data, size, d->now, error);
}

static void client_sends(Dialogue *d, const char *text, bool is_legal)
{
    g_autoptr(GBytes) message = client_message(text);
    size_t size;
    const uint8_t *data = g_bytes_get_data(message, &size);
    g_autoptr(GError) error = NULL;
    bool taken = feed(d, data, size, &error);
    if (is_legal) {
        g_assert_no_error(error);
        g_assert_true(taken);
        return;
    }
    g_assert_false(taken);
    g_assert_error(error, RDPUSB_URBDRC_ERROR, RDPUSB_URBDRC_ERROR_MALFORMED);
    g_assert_nonnull(strstr(error->message, " state "));
}

/* ---- What the owner does ---- */

static uint32_t submit(Dialogue *d, const char *const *words, void *owner)
{
    if (strcmp(words[0], "control") == 0) {
        RdpusbSetup setup = {(uint8_t) hex(words[1]), (uint8_t) hex(words[2]),
                             (uint16_t) hex(words[3]), (uint16_t) hex(words[4]),
                             (uint16_t) decimal(words[5])};
        g_autoptr(GByteArray) data = words[6] ? bytes(words[6]) : NULL;
        return rdpusb_device_channel_control(d->device, &setup, data ? data->data : NULL, owner);
    }
    if (strcmp(words[0], "in") == 0)
        return rdpusb_device_channel_transfer_in(d->device, hex(words[1]), decimal(words[2]),
                                                 owner);
    if (strcmp(words[0], "out") == 0) {
        g_autoptr(GByteArray) data = bytes(words[2]);
        return rdpusb_device_channel_transfer_out(d->device, hex(words[1]), data->data, data->len,
                                                  owner);
    }
    if (strcmp(words[0], "select") == 0)
        return rdpusb_device_channel_select_configuration(d->device, dialogue_descriptor,
                                                          sizeof dialogue_descriptor, owner);
    if (strcmp(words[0], "unconfigure") == 0)
        return rdpusb_device_channel_select_configuration(d->device, NULL, 0, owner);
    if (strcmp(words[0], "select-interface") == 0)
        return rdpusb_device_channel_select_interface(
            d->device, 0x01070001, dialogue_descriptor, sizeof dialogue_descriptor,
            (uint8_t) decimal(words[1]), (uint8_t) decimal(words[2]), owner);
    g_assert_cmpstr(words[0], ==, "reset");
    return rdpusb_device_channel_reset_pipe(d->device, hex(words[1]), owner);
}

static void call(Dialogue *d, const char *text, bool is_accepted)
{
    g_auto(GStrv) split = g_strsplit(text, " ", -1);
    const char *const *words = (const char *const *) split;
    if (strcmp(words[0], "cancel") == 0) {
        rdpusb_device_channel_cancel(d->device, decimal(words[1]), d->now);
    } else if (strcmp(words[0], "retract") == 0) {
        rdpusb_device_channel_retract(d->device);
    } else if (strcmp(words[0], "query-location") == 0) {
        rdpusb_device_channel_query_location(d->device);
    } else if (strcmp(words[0], "found") == 0) {
        rdpusb_control_channel_found(d->control, decimal(words[1]));
    } else if (strcmp(words[0], "found-none") == 0) {
        rdpusb_control_channel_found_none(d->control);
    } else if (strcmp(words[0], "close") == 0) {
        rdpusb_device_channel_closed(d->device);
    } else {
        g_autofree Accepted *accepted = g_new0(Accepted, 1);
        accepted->id = submit(d, words, accepted);
        g_assert_cmpint(accepted->id != 0, ==, is_accepted);
        if (is_accepted)
            g_ptr_array_add(d->accepted, g_steal_pointer(&accepted));
    }
}

static void pass_time(Dialogue *d, const char *text, bool is_legal)
{
    d->now += duration(text);
    g_autoptr(GError) error = NULL;
    bool fine = d->control ? rdpusb_control_channel_tick(d->control, d->now, &error)
                           : rdpusb_device_channel_tick(d->device, d->now, &error);
    g_assert_cmpint(fine, ==, is_legal);
    if (!is_legal)
        g_assert_error(error, RDPUSB_URBDRC_ERROR, RDPUSB_URBDRC_ERROR_SILENT);
}

static const char *announcement_field(const RdpusbAnnouncement *a, const char *name)
{
    if (strcmp(name, "instance") == 0)
        return a->device_instance_id;
    if (strcmp(name, "container") == 0)
        return a->container_id;
    if (strcmp(name, "hardware-0") == 0)
        return a->hardware_ids[0];
    if (strcmp(name, "hardware-1") == 0)
        return a->hardware_ids[1];
    if (strcmp(name, "location") == 0)
        return a->location ? a->location : "unknown";
    g_assert_cmpstr(name, ==, "compatibility-0");
    return a->compatibility_ids[0] ? a->compatibility_ids[0] : "none";
}

static void check(Dialogue *d, const char *text)
{
    g_auto(GStrv) words = g_strsplit(text, " ", 3);
    if (strcmp(words[0], "deadline") == 0) {
        int64_t deadline = d->control ? rdpusb_control_channel_deadline(d->control)
                                      : rdpusb_device_channel_deadline(d->device);
        g_assert_cmpint(deadline, ==,
                        strcmp(words[1], "never") == 0 ? RDPUSB_NO_DEADLINE
                                                       : d->now + duration(words[1]));
    } else if (strcmp(words[0], "can-submit") == 0) {
        g_assert_cmpint(rdpusb_device_channel_can_submit(d->device, decimal(words[1])), ==,
                        strcmp(words[2], "yes") == 0);
    } else if (strcmp(words[0], "ignored") == 0) {
        g_assert_cmpuint(urbdrc_device_channel_ignored(d->device), ==, decimal(words[1]));
    } else if (strcmp(words[0], "additions") == 0) {
        g_assert_cmpuint(rdpusb_control_channel_take_additions(d->control), ==, decimal(words[1]));
    } else if (strcmp(words[0], "state") == 0) {
        g_assert_cmpstr(rdpusb_device_channel_state(d->device), ==, text + strlen("state "));
    } else if (strcmp(words[0], "queued") == 0) {
        g_assert_cmpuint(rdpusb_device_channel_queued_bytes(d->device), ==, decimal(words[1]));
    } else {
        const RdpusbAnnouncement *a = rdpusb_device_channel_announcement(d->device);
        if (strcmp(words[0], "announcement") == 0 && strcmp(words[1], "none") == 0)
            g_assert_null(a);
        else if (strcmp(words[0], "usb-version") == 0)
            g_assert_cmphex(a->supported_usb_version, ==, hex(words[1]));
        else
            g_assert_cmpstr(announcement_field(a, words[0]), ==, words[1]);
    }
}

static void play(Dialogue *d, const char *line)
{
    d->line = line;
    g_test_message("%s", line);
    bool is_legal = line[1] != '!';
    const char *text = strchr(line, ' ') + 1;
    if (line[0] != '*')
        expect_no_event(d);
    if (line[0] == '<' && line[1] != '~')
        expect_no_message(d);
    switch (line[0]) {
    case '>': expect_message(d, text); break;
    case '<': client_sends(d, text, is_legal); break;
    case '.': call(d, text, is_legal); break;
    case '@': pass_time(d, text, is_legal); break;
    case '?': check(d, text); break;
    case '*': {
        g_autofree char *event = next_event(d);
        g_assert_cmpstr(event, ==, text);
        break;
    }
    default: g_error("no line of a dialogue: \"%s\"", line);
    }
}

/* Closes the channel and looks after everybody who is still waiting, in order. */
static void finish(Dialogue *d)
{
    d->line = "the end";
    if (!d->device)
        return;
    rdpusb_device_channel_closed(d->device);
    g_assert_cmpstr(rdpusb_device_channel_state(d->device), ==, "closed");
    RdpusbDeviceEvent event;
    size_t last = 0;
    while (rdpusb_device_channel_next_event(d->device, &event)) {
        count_completion(&event);
        guint index;
        if (event.status == RDPUSB_STATUS_GONE && event.owner &&
            g_ptr_array_find(d->accepted, event.owner, &index)) {
            g_assert_cmpuint(index + 1, >, last);
            last = index + 1;
        }
    }
    for (guint i = 0; i < d->accepted->len; i++) {
        const Accepted *accepted = g_ptr_array_index(d->accepted, i);
        g_assert_cmpuint(accepted->n_completions, ==, 1);
    }
    expect_no_message(d);
    g_assert_cmpuint(rdpusb_device_channel_transfer_in(d->device, 0x81, 1, d), ==, 0);
    g_assert_cmpuint(rdpusb_device_channel_queued_bytes(d->device), ==, 0);
    g_assert_cmpint(rdpusb_device_channel_deadline(d->device), ==, RDPUSB_NO_DEADLINE);
    g_assert_true(feed(d, (const uint8_t *) "?", 1, NULL));
    expect_no_event(d);
}

/* ---- Scripts ---- */

static GPtrArray *lines_of(Script script)
{
    GPtrArray *lines = g_ptr_array_new();
    for (; *script; script++)
        g_ptr_array_add(lines, (char *) *script);
    return lines;
}

static Dialogue *play_lines(const GPtrArray *lines, guint n)
{
    Dialogue *d = dialogue_new(g_ptr_array_index(lines, 0));
    for (guint i = 1; i < n; i++)
        play(d, g_ptr_array_index(lines, i));
    return d;
}

void dialogue_run(Script script)
{
    g_autoptr(GPtrArray) lines = lines_of(script);
    Dialogue *d = play_lines(lines, lines->len);
    d->line = "the end";
    expect_no_event(d);
    expect_no_message(d);
    finish(d);
    dialogue_free(d);
}

static bool is_unknown(const Dialogue *d, const uint8_t *data, size_t size)
{
    bool is_active = d->device && rdpusb_device_channel_announcement(d->device);
    uint32_t id = is_active ? REQUEST_COMPLETION : WIRE_INTERFACE_NOT_KNOWN;
    return wire_kind_from_client(data, size, id) == WIRE_MESSAGE_UNKNOWN;
}

/* What nobody reads may have any length. What follows a message proper, or is missing from what it
 * claims, is nothing to refuse. A capability response begins like a release of interface 0. */
static bool is_lenient(const Dialogue *d, const char *line, const uint8_t *data, size_t size)
{
    enum { HEADER_SIZE = 12, COMPLETION_SIZE = 36 };
    bool has_header = size >= HEADER_SIZE;
    if (d->device && strcmp(rdpusb_device_channel_state(d->device), "closed") == 0)
        return true;
    if (strstr(line, "hex") && size >= COMPLETION_SIZE)
        return true;
    return has_header &&
           (strstr(line, "bus-time") || strstr(line, "garbled") ||
            (strstr(line, "capabilities") && size == HEADER_SIZE) || is_unknown(d, data, size));
}

static void cut(const GPtrArray *lines, guint n, GBytes *message, size_t size)
{
    Dialogue *d = play_lines(lines, n);
    const char *line = g_ptr_array_index(lines, n);
    const uint8_t *data = g_bytes_get_data(message, NULL);
    bool may_be_taken = is_lenient(d, line, data, size);
    g_autoptr(GError) error = NULL;
    if (!feed(d, data, size, &error)) {
        g_assert_error(error, RDPUSB_URBDRC_ERROR, RDPUSB_URBDRC_ERROR_MALFORMED);
        g_assert_nonnull(strstr(error->message, " state "));
    } else if (!may_be_taken) {
        g_error("\"%s\" was taken when cut to %zu bytes", line, size);
    }
    finish(d);
    dialogue_free(d);
}

void dialogue_run_truncated(Script script)
{
    g_autoptr(GPtrArray) lines = lines_of(script);
    for (guint i = 1; i < lines->len; i++) {
        const char *line = g_ptr_array_index(lines, i);
        if (!g_str_has_prefix(line, "< "))
            continue;
        g_autoptr(GBytes) message = client_message(line + 2);
        for (size_t size = 0; size < g_bytes_get_size(message); size++)
            cut(lines, i, message, size);
    }
}

void dialogue_run_closed(Script script)
{
    g_autoptr(GPtrArray) lines = lines_of(script);
    for (guint n = 1; n <= lines->len; n++) {
        Dialogue *d = play_lines(lines, n);
        finish(d);
        dialogue_free(d);
    }
}
