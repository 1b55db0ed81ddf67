/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the peer sends, and what QEMU 10 would make of it. */
#include <inttypes.h>
#include <string.h>
#include <usbredirfilter.h>

#include "guest-private.h"

static FakeGuestEvent *push(FakeGuest *guest, FakeGuestEventType type)
{
    FakeGuestEvent *event = g_new0(FakeGuestEvent, 1);
    event->type = type;
    g_queue_push_tail(&guest->events, event);
    return event;
}

static FakeGuestEvent *push_status(FakeGuest *guest, FakeGuestEventType type, uint64_t id,
                                   uint8_t endpoint, uint8_t status)
{
    FakeGuestEvent *event = push(guest, type);
    event->id = id;
    event->endpoint = endpoint;
    event->status = status;
    return event;
}

/* Takes over @data, the library's. */
static void set_data(FakeGuest *guest, FakeGuestEvent *event, uint8_t *data, int length)
{
    if (data)
        event->data = g_bytes_new(data, (gsize) length);
    usbredirparser_free_packet_data(guest->parser, data);
}

/* QEMU cancels everything in flight when it detaches, and expects no answers. */
static void detach(FakeGuest *guest, Attachment attachment)
{
    guint position = 0;
    const LedgerEntry *entry;

    while ((entry = ledger_next(guest->ledger, &position)))
        usbredirparser_send_cancel_data_packet(guest->parser, entry->id);
    ledger_clear(guest->ledger);
    g_array_set_size(guest->free_ids, 0);
    guest->ring_used = 0;
    guest->attachment = attachment;
    guest->fresh_interface_info = guest->fresh_ep_info = false;
    memset(&guest->interface_info, 0, sizeof(guest->interface_info));
    memset(&guest->ep_info, 0, sizeof(guest->ep_info));
    memset(guest->streams, 0, sizeof(guest->streams));
}

static void reject(FakeGuest *guest)
{
    detach(guest, REJECTED);
    if (guest_common_cap(guest, usb_redir_cap_filter))
        usbredirparser_send_filter_reject(guest->parser);
    push(guest, FAKE_GUEST_REJECTED);
}

static bool filter_allows(const FakeGuest *guest)
{
    struct usbredirfilter_rule *rules = NULL;
    int count = 0;

    if (!guest->filter)
        return true;
    if (usbredirfilter_string_to_rules(guest->filter, ",", "|", &rules, &count) != 0)
        g_error("not a usbredir filter: %s", guest->filter);

    const struct usb_redir_interface_info_header *info = &guest->interface_info;
    int result = usbredirfilter_check(
        rules, count, guest->device.device_class, guest->device.device_subclass,
        guest->device.device_protocol, (uint8_t *) info->interface_class,
        (uint8_t *) info->interface_subclass, (uint8_t *) info->interface_protocol,
        (int) info->interface_count, guest->device.vendor_id, guest->device.product_id,
        guest->device.device_version_bcd, 0);
    usbredirfilter_free(rules);
    return result == 0;
}

/* What holds for every packet but the hello. */
static void check_turn(FakeGuest *guest, const char *what)
{
    if (!usbredirparser_have_peer_caps(guest->parser))
        guest_violation(guest, "%s before hello", what);
    else if (!guest->audible)
        guest_violation(guest, "%s before the guest's hello was received", what);
}

/* What holds for every packet about an attached device; false if it is to be ignored. */
static bool check_attached(FakeGuest *guest, const char *what)
{
    check_turn(guest, what);
    if (guest->attachment == DETACHED)
        guest_violation(guest, "%s while no device is connected", what);
    return guest->attachment == ATTACHED;
}

static void check_status(FakeGuest *guest, const char *what, uint8_t status)
{
    if (status > usb_redir_babble)
        guest_violation(guest, "%s with unknown status %u", what, status);
}

static void on_hello(void *data, struct usb_redir_hello_header *hello)
{
    FakeGuest *guest = data;
    FakeGuestEvent *event = push(guest, FAKE_GUEST_HELLO);

    memcpy(event->version, hello->version, sizeof(hello->version));
    for (int cap = 0; cap <= usb_redir_cap_bulk_receiving; cap++) {
        if (usbredirparser_peer_has_cap(guest->parser, cap))
            event->capabilities |= 1u << cap;
    }
    if (guest->filter && guest_common_cap(guest, usb_redir_cap_filter)) {
        struct usbredirfilter_rule *rules = NULL;
        int count = 0;
        if (usbredirfilter_string_to_rules(guest->filter, ",", "|", &rules, &count) != 0)
            g_error("not a usbredir filter: %s", guest->filter);
        usbredirparser_send_filter_filter(guest->parser, rules, count);
        usbredirfilter_free(rules);
    }
}

/* A default port of qemu-xhci has a SuperSpeed half, for which QEMU wants these. */
static bool check_xhci_caps(FakeGuest *guest)
{
    static const int needed[] = {usb_redir_cap_ep_info_max_packet_size, usb_redir_cap_64bits_ids,
                                 usb_redir_cap_32bits_bulk_length};

    for (guint i = 0; i < G_N_ELEMENTS(needed); i++) {
        if (usbredirparser_have_cap(guest->parser, needed[i]) &&
            !usbredirparser_peer_has_cap(guest->parser, needed[i])) {
            guest_violation(guest, "device_connect without capability %d: no xHCI port takes it",
                            needed[i]);
            return false;
        }
    }
    return true;
}

static bool check_connect(FakeGuest *guest)
{
    if (!guest->fresh_interface_info) {
        guest_violation(guest, "device_connect before interface_info");
        return false;
    }
    if (!guest->fresh_ep_info)
        guest_violation(guest, "device_connect before ep_info: only endpoint 0 would work");
    if (guest->device.speed > usb_redir_speed_super) {
        guest_violation(guest, "device_connect with speed %u", guest->device.speed);
        return false;
    }
    return check_xhci_caps(guest);
}

static void on_device_connect(void *data, struct usb_redir_device_connect_header *header)
{
    FakeGuest *guest = data;

    check_turn(guest, "device_connect");
    if (guest->attachment == ATTACHED) {
        guest_violation(guest, "device_connect while a device is connected");
        return;
    }
    push(guest, FAKE_GUEST_DEVICE_CONNECT)->device = *header;
    guest->device = *header;
    if (!check_connect(guest) || !filter_allows(guest)) {
        reject(guest);
        return;
    }
    guest->attachment = ATTACHED;
    guest->configuration = UNKNOWN;
    for (guint i = 0; i < G_N_ELEMENTS(guest->alt); i++)
        guest->alt[i] = UNKNOWN;
}

/* The library acknowledges it when this returns. */
static void on_device_disconnect(void *data)
{
    FakeGuest *guest = data;

    check_turn(guest, "device_disconnect");
    if (guest->attachment == DETACHED)
        guest_violation(guest, "device_disconnect while no device is connected");
    detach(guest, DETACHED);
    push(guest, FAKE_GUEST_DEVICE_DISCONNECT);
}

static void check_tables_allowed(FakeGuest *guest, const char *what)
{
    check_turn(guest, what);
    if (guest->attachment == ATTACHED && !ledger_changes_tables(guest->ledger))
        guest_violation(guest, "%s although no set_configuration or set_alt_setting waits", what);
}

static void on_interface_info(void *data, struct usb_redir_interface_info_header *info)
{
    FakeGuest *guest = data;
    bool seen[256] = {false};

    check_tables_allowed(guest, "interface_info");
    for (uint32_t i = 0; i < MIN(info->interface_count, SLOTS); i++) {
        if (seen[info->interface[i]])
            guest_violation(guest, "interface_info with interface %u twice", info->interface[i]);
        seen[info->interface[i]] = true;
    }
    guest->interface_info = *info;
    guest->fresh_interface_info = true;
    guest->fresh_ep_info = false;
    push(guest, FAKE_GUEST_INTERFACE_INFO);
    if (guest->attachment == ATTACHED && !filter_allows(guest))
        reject(guest);
}

/* False if QEMU rejects the device for it. */
static bool check_slot(FakeGuest *guest, unsigned slot, const struct usb_redir_ep_info_header *info)
{
    uint8_t type = info->type[slot];

    if (slot % 16 == 0 && type != usb_redir_type_control)
        guest_violation(guest, "ep_info slot %u is endpoint 0 and has type %u", slot, type);
    if (type > usb_redir_type_interrupt && type != usb_redir_type_invalid) {
        guest_violation(guest, "ep_info slot %u has type %u", slot, type);
        return false;
    }
    if ((type == usb_redir_type_iso || type == usb_redir_type_interrupt) && !info->interval[slot]) {
        guest_violation(guest, "ep_info slot %u has interval 0", slot);
        return false;
    }
    /* QEMU divides by it when it combines bulk IN packets. */
    if (type == usb_redir_type_bulk && slot >= 16 && !info->max_packet_size[slot] &&
        guest_common_cap(guest, usb_redir_cap_ep_info_max_packet_size))
        guest_violation(guest, "ep_info slot %u (bulk IN) has max_packet_size 0", slot);
    return true;
}

/* QEMU has asserts on the type of an endpoint with queued packets. */
static void check_queued(FakeGuest *guest, const struct usb_redir_ep_info_header *info)
{
    guint position = 0;
    const LedgerEntry *entry;

    while ((entry = ledger_next(guest->ledger, &position))) {
        unsigned slot = fake_guest_slot(entry->endpoint);
        if (info->type[slot] != guest->ep_info.type[slot])
            guest_violation(guest,
                            "ep_info changes the type of endpoint 0x%02x, which has packets queued",
                            entry->endpoint);
    }
}

static void on_ep_info(void *data, struct usb_redir_ep_info_header *info)
{
    FakeGuest *guest = data;
    bool acceptable = true;

    check_tables_allowed(guest, "ep_info");
    if (!guest->fresh_interface_info)
        guest_violation(guest, "ep_info before interface_info");
    for (unsigned slot = 0; slot < SLOTS; slot++)
        acceptable = check_slot(guest, slot, info) && acceptable;
    if (guest->attachment == ATTACHED)
        check_queued(guest, info);
    guest->ep_info = *info;
    guest->fresh_ep_info = true;
    push(guest, FAKE_GUEST_EP_INFO);
    if (!acceptable)
        reject(guest);
}

static LedgerEntry *answer(FakeGuest *guest, LedgerKind kind, FakeGuestEvent *event,
                           const char *what)
{
    check_status(guest, what, event->status);
    LedgerEntry *entry =
        ledger_answer(guest->ledger, kind, event->endpoint, event->id, event->status);
    if (!entry)
        return NULL;
    event->cancelled = entry->cancel_serial != 0;
    if (!event->cancelled)
        g_array_append_val(guest->free_ids, entry->id);
    return entry;
}

/* IN: no more than wanted. OUT: on success all of it, as this is what QEMU tells the guest. */
static void check_length(FakeGuest *guest, const LedgerEntry *entry, const FakeGuestEvent *event,
                         const char *what)
{
    if (event->cancelled)
        return;
    if (event->length > entry->length)
        guest_violation(guest, "%s of endpoint 0x%02x with %u bytes, %u wanted", what,
                        entry->endpoint, event->length, entry->length);
    else if (!(entry->endpoint & 0x80) && event->status == usb_redir_success &&
             event->length < entry->length)
        guest_violation(guest, "%s of endpoint 0x%02x: success, but %u bytes done of %u", what,
                        entry->endpoint, event->length, entry->length);
}

static void on_control_packet(void *data, uint64_t id,
                              struct usb_redir_control_packet_header *header, uint8_t *bytes,
                              int length)
{
    FakeGuest *guest = data;

    if (!check_attached(guest, "control_packet")) {
        usbredirparser_free_packet_data(guest->parser, bytes);
        return;
    }
    FakeGuestEvent *event =
        push_status(guest, FAKE_GUEST_CONTROL, id, header->endpoint, header->status);
    event->length = header->length;
    set_data(guest, event, bytes, length);

    g_autofree LedgerEntry *entry = answer(guest, LEDGER_CONTROL, event, "control_packet");
    if (!entry)
        return;
    if (header->request != entry->request || header->requesttype != entry->requesttype ||
        header->value != entry->value || header->index != entry->index)
        guest_violation(guest, "control_packet %#" PRIx64 " does not repeat its request", id);
    check_length(guest, entry, event, "control_packet");
}

static void on_bulk_packet(void *data, uint64_t id, struct usb_redir_bulk_packet_header *header,
                           uint8_t *bytes, int length)
{
    FakeGuest *guest = data;

    if (!check_attached(guest, "bulk_packet")) {
        usbredirparser_free_packet_data(guest->parser, bytes);
        return;
    }
    FakeGuestEvent *event =
        push_status(guest, FAKE_GUEST_BULK, id, header->endpoint, header->status);
    event->length = (uint32_t) header->length_high << 16 | header->length;
    set_data(guest, event, bytes, length);
    if (header->stream_id != 0)
        guest_violation(guest, "bulk_packet with stream %u, 0 asked", header->stream_id);

    g_autofree LedgerEntry *entry = answer(guest, LEDGER_BULK, event, "bulk_packet");
    if (entry)
        check_length(guest, entry, event, "bulk_packet");
}

static void on_interrupt_in(FakeGuest *guest, const FakeGuestEvent *event)
{
    unsigned slot = fake_guest_slot(event->endpoint);
    const Stream *stream = &guest->streams[STREAM_INTERRUPT][slot];

    if (guest->ep_info.type[slot] != usb_redir_type_interrupt)
        guest_violation(guest, "interrupt_packet of endpoint 0x%02x, which is of type %u",
                        event->endpoint, guest->ep_info.type[slot]);
    else if (!stream->running && stream->unanswered == 0)
        guest_violation(guest, "interrupt_packet of endpoint 0x%02x, which is not started: lost",
                        event->endpoint);
    if (event->length > guest->ep_info.max_packet_size[slot])
        guest_violation(guest,
                        "interrupt_packet of endpoint 0x%02x with %u bytes, max_packet_size is %u",
                        event->endpoint, event->length, guest->ep_info.max_packet_size[slot]);
}

static void on_interrupt_packet(void *data, uint64_t id,
                                struct usb_redir_interrupt_packet_header *header, uint8_t *bytes,
                                int length)
{
    FakeGuest *guest = data;
    bool in = header->endpoint & 0x80;

    if (!check_attached(guest, "interrupt_packet")) {
        usbredirparser_free_packet_data(guest->parser, bytes);
        return;
    }
    FakeGuestEvent *event =
        push_status(guest, in ? FAKE_GUEST_INTERRUPT_IN : FAKE_GUEST_INTERRUPT_OUT, id,
                    header->endpoint, header->status);
    event->length = header->length;
    set_data(guest, event, bytes, length);
    if (in) {
        check_status(guest, "interrupt_packet", header->status);
        on_interrupt_in(guest, event);
        return;
    }
    g_autofree LedgerEntry *entry = answer(guest, LEDGER_INTERRUPT, event, "interrupt_packet");
    if (entry)
        check_length(guest, entry, event, "interrupt_packet");
}

static void check_fresh_tables(FakeGuest *guest, const char *what)
{
    if (!guest->fresh_interface_info || !guest->fresh_ep_info)
        guest_violation(guest, "%s: success before interface_info and ep_info of the change", what);
}

static void on_configuration_status(void *data, uint64_t id,
                                    struct usb_redir_configuration_status_header *header)
{
    FakeGuest *guest = data;

    if (!check_attached(guest, "configuration_status"))
        return;
    FakeGuestEvent *event =
        push_status(guest, FAKE_GUEST_CONFIGURATION_STATUS, id, 0, header->status);
    event->configuration = header->configuration;

    g_autofree LedgerEntry *entry =
        answer(guest, LEDGER_SET_CONFIGURATION, event, "configuration_status");
    if (!entry || event->cancelled || header->status != usb_redir_success)
        return;
    bool set = entry->kind == LEDGER_SET_CONFIGURATION;
    int expected = set ? entry->value : guest->configuration;
    if (expected != UNKNOWN && header->configuration != expected)
        guest_violation(guest, "configuration_status: success with configuration %u, %d expected",
                        header->configuration, expected);
    if (!set)
        return;
    if (guest->configuration != UNKNOWN && guest->configuration != entry->value)
        check_fresh_tables(guest, "set_configuration");
    guest->configuration = entry->value;
    memset(guest->alt, 0, sizeof(guest->alt));
}

static void on_alt_setting_status(void *data, uint64_t id,
                                  struct usb_redir_alt_setting_status_header *header)
{
    FakeGuest *guest = data;

    if (!check_attached(guest, "alt_setting_status"))
        return;
    FakeGuestEvent *event =
        push_status(guest, FAKE_GUEST_ALT_SETTING_STATUS, id, 0, header->status);
    event->interface = header->interface;
    event->alt = header->alt;

    g_autofree LedgerEntry *entry =
        answer(guest, LEDGER_SET_ALT_SETTING, event, "alt_setting_status");
    if (!entry || event->cancelled || header->status != usb_redir_success)
        return;
    bool set = entry->kind == LEDGER_SET_ALT_SETTING;
    int *alt = &guest->alt[entry->index & 0xff];
    int expected = set ? entry->value : *alt;
    if (header->interface != entry->index || (expected != UNKNOWN && header->alt != expected))
        guest_violation(guest,
                        "alt_setting_status: success with interface %u alt %u, %u and %d expected",
                        header->interface, header->alt, entry->index, expected);
    if (set && *alt != UNKNOWN && *alt != entry->value)
        check_fresh_tables(guest, "set_alt_setting");
    if (set)
        *alt = entry->value;
}

/* One status per start or stop; error statuses may also come unasked, and mean that the stream has
 * stopped. If one comes while an answer is due it may be either. */
static void stream_status(FakeGuest *guest, StreamKind kind, FakeGuestEventType type,
                          uint8_t endpoint, uint8_t status)
{
    const char *what = fake_guest_event_type_to_string(type);

    if (!check_attached(guest, what))
        return;
    push_status(guest, type, 0, endpoint, status);
    check_status(guest, what, status);

    Stream *stream = &guest->streams[kind][fake_guest_slot(endpoint)];
    if (stream->unanswered > 0) {
        stream->unanswered--;
        stream->extra += status != usb_redir_success;
    } else if (status == usb_redir_success && stream->extra > 0) {
        stream->extra--;
    } else if (status == usb_redir_success) {
        guest_violation(guest, "%s of endpoint 0x%02x without a start or stop", what, endpoint);
    }
    /* Any other status leaves QEMU's stream started (redirect.c). */
    if (status == usb_redir_stall && stream->unanswered == 0)
        stream->running = false;
}

static void
on_interrupt_receiving_status(void *data, uint64_t id,
                              struct usb_redir_interrupt_receiving_status_header *header)
{
    stream_status(data, STREAM_INTERRUPT, FAKE_GUEST_INTERRUPT_RECEIVING_STATUS, header->endpoint,
                  header->status);
}

static void on_iso_stream_status(void *data, uint64_t id,
                                 struct usb_redir_iso_stream_status_header *header)
{
    stream_status(data, STREAM_ISO, FAKE_GUEST_ISO_STREAM_STATUS, header->endpoint, header->status);
}

static void on_bulk_receiving_status(void *data, uint64_t id,
                                     struct usb_redir_bulk_receiving_status_header *header)
{
    stream_status(data, STREAM_BULK, FAKE_GUEST_BULK_RECEIVING_STATUS, header->endpoint,
                  header->status);
}

static void on_bulk_streams_status(void *data, uint64_t id,
                                   struct usb_redir_bulk_streams_status_header *header)
{
    FakeGuest *guest = data;

    if (!check_attached(guest, "bulk_streams_status"))
        return;
    push_status(guest, FAKE_GUEST_BULK_STREAMS_STATUS, 0, 0, header->status);
    guest_violation(guest, "bulk_streams_status, which nothing asked for");
}

static void stream_packet(FakeGuest *guest, StreamKind kind, FakeGuestEvent *event)
{
    const char *what = fake_guest_event_type_to_string(event->type);
    const Stream *stream = &guest->streams[kind][fake_guest_slot(event->endpoint)];

    check_status(guest, what, event->status);
    if (!stream->running && stream->unanswered == 0)
        guest_violation(guest, "%s of endpoint 0x%02x, which is not started: lost", what,
                        event->endpoint);
}

static void on_iso_packet(void *data, uint64_t id, struct usb_redir_iso_packet_header *header,
                          uint8_t *bytes, int length)
{
    FakeGuest *guest = data;

    if (!check_attached(guest, "iso_packet")) {
        usbredirparser_free_packet_data(guest->parser, bytes);
        return;
    }
    FakeGuestEvent *event =
        push_status(guest, FAKE_GUEST_ISO_IN, id, header->endpoint, header->status);
    event->length = header->length;
    set_data(guest, event, bytes, length);
    stream_packet(guest, STREAM_ISO, event);

    uint16_t limit = guest->ep_info.max_packet_size[fake_guest_slot(header->endpoint)];
    if (header->length > limit)
        guest_violation(guest, "iso_packet of endpoint 0x%02x with %u bytes, max_packet_size is %u",
                        header->endpoint, header->length, limit);
}

static void on_buffered_bulk_packet(void *data, uint64_t id,
                                    struct usb_redir_buffered_bulk_packet_header *header,
                                    uint8_t *bytes, int length)
{
    FakeGuest *guest = data;

    if (!check_attached(guest, "buffered_bulk_packet")) {
        usbredirparser_free_packet_data(guest->parser, bytes);
        return;
    }
    FakeGuestEvent *event =
        push_status(guest, FAKE_GUEST_BUFFERED_BULK, id, header->endpoint, header->status);
    event->length = header->length;
    set_data(guest, event, bytes, length);
    stream_packet(guest, STREAM_BULK, event);
}

void guest_set_callbacks(FakeGuest *guest)
{
    struct usbredirparser *parser = guest->parser;

    parser->hello_func = on_hello;
    parser->device_connect_func = on_device_connect;
    parser->device_disconnect_func = on_device_disconnect;
    parser->interface_info_func = on_interface_info;
    parser->ep_info_func = on_ep_info;
    parser->configuration_status_func = on_configuration_status;
    parser->alt_setting_status_func = on_alt_setting_status;
    parser->iso_stream_status_func = on_iso_stream_status;
    parser->interrupt_receiving_status_func = on_interrupt_receiving_status;
    parser->bulk_streams_status_func = on_bulk_streams_status;
    parser->bulk_receiving_status_func = on_bulk_receiving_status;
    parser->control_packet_func = on_control_packet;
    parser->bulk_packet_func = on_bulk_packet;
    parser->iso_packet_func = on_iso_packet;
    parser->interrupt_packet_func = on_interrupt_packet;
    parser->buffered_bulk_packet_func = on_buffered_bulk_packet;
}
