/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "guest.h"

#include <string.h>

#include "guest-private.h"

/* A ring of transfer descriptors in guest memory; above 4 GiB, as in any guest of that size. */
#define RING_BASE       UINT64_C(0x107654000)
#define RING_BASE_32BIT UINT64_C(0x7654000)
#define RING_STEP       16

void guest_violation(FakeGuest *guest, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_ptr_array_add(guest->violations, g_strdup_vprintf(format, arguments));
    va_end(arguments);
}

static void ledger_violation(void *data, const char *text)
{
    guest_violation(data, "%s", text);
}

bool guest_common_cap(const FakeGuest *guest, int cap)
{
    return usbredirparser_have_cap(guest->parser, cap) &&
           usbredirparser_peer_has_cap(guest->parser, cap);
}

static void on_log(void *data, int level, const char *text)
{
    FakeGuest *guest = data;

    if (level > usbredirparser_error)
        return;
    if (guest->feeding)
        guest_violation(guest, "malformed packet: %s", text);
    else
        g_error("the fake guest sent a malformed packet: %s", text);
}

static int on_read(void *data, uint8_t *buffer, int count)
{
    FakeGuest *guest = data;
    size_t n = MIN((size_t) count, guest->input_length);

    if (n > 0)
        memcpy(buffer, guest->input, n);
    guest->input += n;
    guest->input_length -= n;
    return (int) n;
}

static int on_write(void *data, uint8_t *bytes, int count)
{
    FakeGuest *guest = data;
    g_byte_array_append(guest->output, bytes, (guint) count);
    return count;
}

bool fake_guest_feed(FakeGuest *guest, const void *bytes, size_t length)
{
    if (guest->dead)
        return false;
    guest->input = bytes;
    guest->input_length = length;
    guest->feeding = true;
    /* usbredir_chardev_read() asserts that all was consumed; after a parse error it was not. */
    guest->dead = usbredirparser_do_read(guest->parser) < 0;
    guest->feeding = false;
    return !guest->dead;
}

GBytes *fake_guest_take_output(FakeGuest *guest)
{
    guest->audible = true;
    while (usbredirparser_has_data_to_write(guest->parser))
        usbredirparser_do_write(guest->parser);
    if (guest->output->len == 0)
        return NULL;

    GBytes *output = g_byte_array_free_to_bytes(guest->output);
    guest->output = g_byte_array_new();
    return output;
}

const char *fake_guest_event_type_to_string(FakeGuestEventType type)
{
    switch (type) {
    case FAKE_GUEST_HELLO: return "hello";
    case FAKE_GUEST_INTERFACE_INFO: return "interface_info";
    case FAKE_GUEST_EP_INFO: return "ep_info";
    case FAKE_GUEST_DEVICE_CONNECT: return "device_connect";
    case FAKE_GUEST_DEVICE_DISCONNECT: return "device_disconnect";
    case FAKE_GUEST_REJECTED: return "rejected";
    case FAKE_GUEST_CONTROL: return "control_packet";
    case FAKE_GUEST_BULK: return "bulk_packet";
    case FAKE_GUEST_INTERRUPT_OUT: return "interrupt_packet (OUT)";
    case FAKE_GUEST_CONFIGURATION_STATUS: return "configuration_status";
    case FAKE_GUEST_ALT_SETTING_STATUS: return "alt_setting_status";
    case FAKE_GUEST_INTERRUPT_IN: return "interrupt_packet (IN)";
    case FAKE_GUEST_INTERRUPT_RECEIVING_STATUS: return "interrupt_receiving_status";
    case FAKE_GUEST_ISO_IN: return "iso_packet";
    case FAKE_GUEST_ISO_STREAM_STATUS: return "iso_stream_status";
    case FAKE_GUEST_BUFFERED_BULK: return "buffered_bulk_packet";
    case FAKE_GUEST_BULK_RECEIVING_STATUS: return "bulk_receiving_status";
    case FAKE_GUEST_BULK_STREAMS_STATUS: return "bulk_streams_status";
    }
    return "unknown";
}

void fake_guest_event_free(FakeGuestEvent *event)
{
    if (!event)
        return;
    g_clear_pointer(&event->data, g_bytes_unref);
    g_free(event);
}

FakeGuestEvent *fake_guest_next_event(FakeGuest *guest)
{
    return g_queue_pop_head(&guest->events);
}

/* Notes that a start or stop is about to be sent; false if there is nobody to send it to. */
static bool stream_turn(FakeGuest *guest, StreamKind kind, uint8_t endpoint, bool start)
{
    Stream *stream = &guest->streams[kind][fake_guest_slot(endpoint)];

    if (guest->attachment != ATTACHED)
        return false;
    if (kind == STREAM_BULK && !guest_common_cap(guest, usb_redir_cap_bulk_receiving))
        return false;
    stream->running = start;
    stream->unanswered++;
    return true;
}

/* QEMU does not use the ids of these. */
void fake_guest_start_interrupt_receiving(FakeGuest *guest, uint8_t endpoint)
{
    struct usb_redir_start_interrupt_receiving_header header = {.endpoint = endpoint};

    if (stream_turn(guest, STREAM_INTERRUPT, endpoint, true))
        usbredirparser_send_start_interrupt_receiving(guest->parser, 0, &header);
}

void fake_guest_stop_interrupt_receiving(FakeGuest *guest, uint8_t endpoint)
{
    struct usb_redir_stop_interrupt_receiving_header header = {.endpoint = endpoint};

    if (stream_turn(guest, STREAM_INTERRUPT, endpoint, false))
        usbredirparser_send_stop_interrupt_receiving(guest->parser, 0, &header);
}

void fake_guest_start_iso_stream(FakeGuest *guest, uint8_t endpoint, uint8_t pkts_per_urb,
                                 uint8_t no_urbs)
{
    struct usb_redir_start_iso_stream_header header = {
        .endpoint = endpoint, .pkts_per_urb = pkts_per_urb, .no_urbs = no_urbs};

    if (stream_turn(guest, STREAM_ISO, endpoint, true))
        usbredirparser_send_start_iso_stream(guest->parser, 0, &header);
}

void fake_guest_stop_iso_stream(FakeGuest *guest, uint8_t endpoint)
{
    struct usb_redir_stop_iso_stream_header header = {.endpoint = endpoint};

    if (stream_turn(guest, STREAM_ISO, endpoint, false))
        usbredirparser_send_stop_iso_stream(guest->parser, 0, &header);
}

void fake_guest_start_bulk_receiving(FakeGuest *guest, uint8_t endpoint,
                                     uint32_t bytes_per_transfer, uint8_t no_transfers)
{
    struct usb_redir_start_bulk_receiving_header header = {.endpoint = endpoint,
                                                           .bytes_per_transfer = bytes_per_transfer,
                                                           .no_transfers = no_transfers};

    if (stream_turn(guest, STREAM_BULK, endpoint, true))
        usbredirparser_send_start_bulk_receiving(guest->parser, 0, &header);
}

void fake_guest_stop_bulk_receiving(FakeGuest *guest, uint8_t endpoint)
{
    struct usb_redir_stop_bulk_receiving_header header = {.endpoint = endpoint};

    if (stream_turn(guest, STREAM_BULK, endpoint, false))
        usbredirparser_send_stop_bulk_receiving(guest->parser, 0, &header);
}

void fake_guest_iso_out(FakeGuest *guest, uint8_t endpoint, const void *data, uint16_t length)
{
    struct usb_redir_iso_packet_header header = {.endpoint = endpoint, .length = length};

    if (guest->attachment == ATTACHED)
        usbredirparser_send_iso_packet(guest->parser, 0, &header, (uint8_t *) data, length);
}

/* QEMU stops the streams before it changes what they run on; -1: of all interfaces. */
static void stop_streams(FakeGuest *guest, int interface)
{
    for (unsigned slot = 0; slot < SLOTS; slot++) {
        uint8_t endpoint = (uint8_t) ((slot & 0x10) << 3 | (slot & 0x0f));
        if (interface >= 0 && guest->ep_info.interface[slot] != interface)
            continue;
        if (guest->streams[STREAM_INTERRUPT][slot].running)
            fake_guest_stop_interrupt_receiving(guest, endpoint);
        if (guest->streams[STREAM_ISO][slot].running)
            fake_guest_stop_iso_stream(guest, endpoint);
        if (guest->streams[STREAM_BULK][slot].running)
            fake_guest_stop_bulk_receiving(guest, endpoint);
    }
}

/* A guest reuses the descriptor it used last; one of them is never twice in the ring. */
static uint64_t take_id(FakeGuest *guest)
{
    uint64_t base = guest_common_cap(guest, usb_redir_cap_64bits_ids) ? RING_BASE : RING_BASE_32BIT;
    uint64_t id = guest->chosen_id;

    guest->chosen_id = 0;
    if (id == 0 && guest->free_ids->len == 0)
        return base + RING_STEP * guest->ring_used++;
    if (id == 0)
        id = g_array_index(guest->free_ids, uint64_t, guest->free_ids->len - 1);
    for (guint i = guest->free_ids->len; i-- > 0;) {
        if (g_array_index(guest->free_ids, uint64_t, i) == id)
            g_array_remove_index(guest->free_ids, i);
    }
    return id;
}

static uint64_t submit(FakeGuest *guest, LedgerEntry entry)
{
    if (guest->attachment != ATTACHED)
        return 0;
    entry.id = take_id(guest);
    ledger_submit(guest->ledger, &entry);
    return entry.id;
}

static uint64_t control(FakeGuest *guest, uint8_t endpoint,
                        struct usb_redir_control_packet_header header, const void *data)
{
    bool in = endpoint & 0x80;
    uint64_t id = submit(guest, (LedgerEntry){.kind = LEDGER_CONTROL,
                                              .endpoint = endpoint,
                                              .length = header.length,
                                              .request = header.request,
                                              .requesttype = header.requesttype,
                                              .value = header.value,
                                              .index = header.index});
    header.endpoint = endpoint;
    if (id)
        usbredirparser_send_control_packet(guest->parser, id, &header, in ? NULL : (uint8_t *) data,
                                           in ? 0 : header.length);
    return id;
}

uint64_t fake_guest_control_in(FakeGuest *guest, uint8_t requesttype, uint8_t request,
                               uint16_t value, uint16_t index, uint16_t length)
{
    struct usb_redir_control_packet_header header = {.request = request,
                                                     .requesttype = requesttype | 0x80,
                                                     .value = value,
                                                     .index = index,
                                                     .length = length};
    return control(guest, 0x80, header, NULL);
}

uint64_t fake_guest_control_out(FakeGuest *guest, uint8_t requesttype, uint8_t request,
                                uint16_t value, uint16_t index, const void *data, uint16_t length)
{
    struct usb_redir_control_packet_header header = {.request = request,
                                                     .requesttype = requesttype & 0x7f,
                                                     .value = value,
                                                     .index = index,
                                                     .length = length};
    return control(guest, 0x00, header, data);
}

static uint64_t bulk(FakeGuest *guest, uint8_t endpoint, const void *data, uint32_t length)
{
    struct usb_redir_bulk_packet_header header = {.endpoint = endpoint,
                                                  .length = (uint16_t) length,
                                                  .length_high = (uint16_t) (length >> 16)};
    bool in = endpoint & 0x80;

    g_assert(length <= UINT16_MAX || guest_common_cap(guest, usb_redir_cap_32bits_bulk_length));
    uint64_t id =
        submit(guest, (LedgerEntry){.kind = LEDGER_BULK, .endpoint = endpoint, .length = length});
    if (id)
        usbredirparser_send_bulk_packet(guest->parser, id, &header, in ? NULL : (uint8_t *) data,
                                        in ? 0 : (int) length);
    return id;
}

uint64_t fake_guest_bulk_in(FakeGuest *guest, uint8_t endpoint, uint32_t length)
{
    return bulk(guest, endpoint | 0x80, NULL, length);
}

uint64_t fake_guest_bulk_out(FakeGuest *guest, uint8_t endpoint, const void *data, uint32_t length)
{
    return bulk(guest, endpoint & 0x7f, data, length);
}

uint64_t fake_guest_interrupt_out(FakeGuest *guest, uint8_t endpoint, const void *data,
                                  uint16_t length)
{
    struct usb_redir_interrupt_packet_header header = {.endpoint = endpoint & 0x7f,
                                                       .length = length};
    uint64_t id = submit(
        guest,
        (LedgerEntry){.kind = LEDGER_INTERRUPT, .endpoint = endpoint & 0x7f, .length = length});
    if (id)
        usbredirparser_send_interrupt_packet(guest->parser, id, &header, (uint8_t *) data, length);
    return id;
}

uint64_t fake_guest_set_configuration(FakeGuest *guest, uint8_t configuration)
{
    struct usb_redir_set_configuration_header header = {.configuration = configuration};

    stop_streams(guest, -1);
    ledger_drain(guest->ledger);
    uint64_t id =
        submit(guest, (LedgerEntry){.kind = LEDGER_SET_CONFIGURATION, .value = configuration});
    guest->fresh_interface_info = guest->fresh_ep_info = false;
    if (id)
        usbredirparser_send_set_configuration(guest->parser, id, &header);
    return id;
}

uint64_t fake_guest_set_alt_setting(FakeGuest *guest, uint8_t interface, uint8_t alt)
{
    struct usb_redir_set_alt_setting_header header = {.interface = interface, .alt = alt};

    stop_streams(guest, interface);
    ledger_drain(guest->ledger);
    uint64_t id = submit(
        guest, (LedgerEntry){.kind = LEDGER_SET_ALT_SETTING, .index = interface, .value = alt});
    guest->fresh_interface_info = guest->fresh_ep_info = false;
    if (id)
        usbredirparser_send_set_alt_setting(guest->parser, id, &header);
    return id;
}

uint64_t fake_guest_get_configuration(FakeGuest *guest)
{
    uint64_t id = submit(guest, (LedgerEntry){.kind = LEDGER_GET_CONFIGURATION});
    if (id)
        usbredirparser_send_get_configuration(guest->parser, id);
    return id;
}

uint64_t fake_guest_get_alt_setting(FakeGuest *guest, uint8_t interface)
{
    struct usb_redir_get_alt_setting_header header = {.interface = interface};
    uint64_t id = submit(guest, (LedgerEntry){.kind = LEDGER_GET_ALT_SETTING, .index = interface});
    if (id)
        usbredirparser_send_get_alt_setting(guest->parser, id, &header);
    return id;
}

void fake_guest_choose_id(FakeGuest *guest, uint64_t id)
{
    guest->chosen_id = id;
}

bool fake_guest_cancel(FakeGuest *guest, uint64_t id)
{
    const LedgerEntry *entry = ledger_cancel(guest->ledger, id);

    if (!entry)
        return false;
    /* Whether a change took effect is not known. */
    if (entry->kind == LEDGER_SET_CONFIGURATION)
        guest->configuration = UNKNOWN;
    if (entry->kind == LEDGER_SET_CONFIGURATION || entry->kind == LEDGER_SET_ALT_SETTING) {
        for (guint i = 0; i < G_N_ELEMENTS(guest->alt); i++)
            guest->alt[i] = UNKNOWN;
    }
    g_array_append_val(guest->free_ids, id);
    usbredirparser_send_cancel_data_packet(guest->parser, id);
    return true;
}

void fake_guest_reset(FakeGuest *guest)
{
    if (guest->attachment != ATTACHED)
        return;
    ledger_drain(guest->ledger);
    usbredirparser_send_reset(guest->parser);
}

void fake_guest_finish(FakeGuest *guest)
{
    ledger_finish(guest->ledger);
    for (StreamKind kind = 0; kind < STREAM_KINDS; kind++) {
        for (unsigned slot = 0; slot < SLOTS; slot++) {
            if (guest->streams[kind][slot].unanswered > 0)
                guest_violation(guest, "%u starts or stops of slot %u have no status",
                                guest->streams[kind][slot].unanswered, slot);
        }
    }
    memset(guest->streams, 0, sizeof(guest->streams));
}

const GPtrArray *fake_guest_violations(const FakeGuest *guest)
{
    return guest->violations;
}

bool fake_guest_attached(const FakeGuest *guest)
{
    return guest->attachment == ATTACHED;
}

int fake_guest_configuration(const FakeGuest *guest)
{
    return guest->attachment == ATTACHED ? guest->configuration : UNKNOWN;
}

guint fake_guest_unanswered(const FakeGuest *guest)
{
    guint count = ledger_open(guest->ledger);

    for (StreamKind kind = 0; kind < STREAM_KINDS; kind++) {
        for (unsigned slot = 0; slot < SLOTS; slot++)
            count += guest->streams[kind][slot].unanswered;
    }
    return count;
}

const struct usb_redir_interface_info_header *fake_guest_interface_info(const FakeGuest *guest)
{
    return &guest->interface_info;
}

const struct usb_redir_ep_info_header *fake_guest_ep_info(const FakeGuest *guest)
{
    return &guest->ep_info;
}

uint8_t fake_guest_speed(const FakeGuest *guest)
{
    return guest->device.speed;
}

void fake_guest_set_filter(FakeGuest *guest, const char *rules)
{
    g_free(guest->filter);
    guest->filter = g_strdup(rules);
}

FakeGuest *fake_guest_new(uint32_t caps)
{
    FakeGuest *guest = g_new0(FakeGuest, 1);

    guest->output = g_byte_array_new();
    g_queue_init(&guest->events);
    guest->violations = g_ptr_array_new_with_free_func(g_free);
    guest->ledger = ledger_new(ledger_violation, guest);
    guest->free_ids = g_array_new(false, false, sizeof(uint64_t));
    guest->parser = usbredirparser_create();
    guest->parser->priv = guest;
    guest->parser->log_func = on_log;
    guest->parser->read_func = on_read;
    guest->parser->write_func = on_write;
    guest_set_callbacks(guest);
    usbredirparser_init(guest->parser, "fake guest, as QEMU 10.0", &caps, USB_REDIR_CAPS_SIZE, 0);
    return guest;
}

void fake_guest_free(FakeGuest *guest)
{
    if (!guest)
        return;
    usbredirparser_destroy(guest->parser);
    g_byte_array_unref(guest->output);
    g_queue_clear_full(&guest->events, (GDestroyNotify) fake_guest_event_free);
    g_ptr_array_unref(guest->violations);
    ledger_free(guest->ledger);
    g_array_unref(guest->free_ids);
    g_free(guest->filter);
    g_free(guest);
}
