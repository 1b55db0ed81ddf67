/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A device for tests: sources, sinks and loopbacks of bulk and interrupt packets (vendor-gadget.h).
 */
#include "vendor-gadget.h"

#include "gadget-bus.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define BULK_PACKET      1024 /* at super speed */
#define LOOPBACK_PACKETS 128
#define RECIPIENT_DEVICE 0x00
#define DT_VENDOR        0x40 /* class-specific bytes that a parser has to carry along */

/* A stream with a position: a source's next byte, or what a sink expects. */
struct sequence {
    uint64_t offset, mismatches;
};

/* Packets keep their boundaries, so short and empty ones come back as they were sent. */
struct loopback {
    unsigned first, count;
    struct {
        uint16_t length;
        uint8_t data[BULK_PACKET];
    } packets[LOOPBACK_PACKETS];
};

/* vendor-variants.c */
extern const struct gadget_blob vendor_gaps, vendor_second;

struct vendor {
    struct sequence bulk_source, bulk_sink, interrupt_source, interrupt_sink;
    struct loopback bulk_loopback, interrupt_loopback;
    uint8_t buffer[GADGET_CONTROL_MAX];
    size_t buffer_length;
    uint64_t source_interval, source_jitter, source_due;
    bool stamps;
};

/* clang-format off */
#define BULK(address) 7, LIBUSB_DT_ENDPOINT, address, LIBUSB_TRANSFER_TYPE_BULK, 0x00, 0x02, 0
#define INTERRUPT(address, packet) \
    7, LIBUSB_DT_ENDPOINT, address, LIBUSB_TRANSFER_TYPE_INTERRUPT, packet, 0, 4
#define INTERRUPT_SETTING(alternate, packet) \
    9, LIBUSB_DT_INTERFACE, 1, alternate, 4, LIBUSB_CLASS_VENDOR_SPEC, 0, 0, 0, \
    INTERRUPT(VENDOR_INTERRUPT_SOURCE, packet), \
    INTERRUPT(VENDOR_INTERRUPT_SINK, packet), \
    INTERRUPT(VENDOR_INTERRUPT_LOOPBACK_IN, packet), \
    INTERRUPT(VENDOR_INTERRUPT_LOOPBACK_OUT, packet)

static const uint8_t configuration[] = {
    9, LIBUSB_DT_CONFIG, 132, 0, 2, 1, 0, 0x80, 50,
    4, DT_VENDOR, 0xc0, 0x01,
    9, LIBUSB_DT_INTERFACE, 0, 0, 4, LIBUSB_CLASS_VENDOR_SPEC, 0, 0, 0,
    5, DT_VENDOR, 0x1f, 0x02, 0x03,
    BULK(VENDOR_BULK_SOURCE),
    3, DT_VENDOR, 0xe0,
    BULK(VENDOR_BULK_SINK),
    BULK(VENDOR_BULK_LOOPBACK_IN),
    BULK(VENDOR_BULK_LOOPBACK_OUT),
    INTERRUPT_SETTING(0, 64),
    INTERRUPT_SETTING(1, 16),
};
/* clang-format on */
_Static_assert(sizeof configuration == 132, "wTotalLength");

/* --- Data ----------------------------------------------------------------------------------------
 */

static enum gadget_reply give_sequence(struct sequence *sequence, uint8_t *data, size_t room,
                                       size_t *length)
{
    for (size_t i = 0; i < room; i++)
        data[i] = vendor_sequence(sequence->offset++);
    *length = room;
    return GADGET_DONE;
}

static enum gadget_reply take_sequence(struct sequence *sequence, const uint8_t *data,
                                       size_t length)
{
    for (size_t i = 0; i < length; i++)
        sequence->mismatches += data[i] != vendor_sequence(sequence->offset++);
    return GADGET_DONE;
}

static enum gadget_reply take_loopback(struct loopback *loopback, size_t packet_size,
                                       const uint8_t *data, size_t length, size_t *taken)
{
    if (loopback->count == LOOPBACK_PACKETS)
        return GADGET_NAK;
    unsigned last = (loopback->first + loopback->count++) % LOOPBACK_PACKETS;
    *taken = length < packet_size ? length : packet_size;
    loopback->packets[last].length = (uint16_t) *taken;
    if (*taken > 0) /* a zero-length packet may come without a buffer */
        memcpy(loopback->packets[last].data, data, *taken);
    return GADGET_DONE;
}

static enum gadget_reply give_loopback(struct loopback *loopback, uint8_t *data, size_t room,
                                       size_t *length)
{
    if (loopback->count == 0)
        return GADGET_NAK;
    uint16_t whole = loopback->packets[loopback->first].length;
    uint8_t *packet = loopback->packets[loopback->first].data;
    *length = whole < room ? whole : room;
    memcpy(data, packet, *length);
    if (*length < whole) { /* cut by the "short" fault: the rest is a packet of its own */
        memmove(packet, packet + *length, whole - *length);
        loopback->packets[loopback->first].length = (uint16_t) (whole - *length);
        return GADGET_DONE;
    }
    loopback->first = (loopback->first + 1) % LOOPBACK_PACKETS;
    loopback->count--;
    return GADGET_DONE;
}

/* The event happens now: whoever gets the packet can tell how long it took. */
static void put_stamp(uint8_t *data, size_t room)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    uint64_t ns = (uint64_t) now.tv_sec * 1000000000 + (uint64_t) now.tv_nsec;
    for (size_t i = 0; i < 8 && i < room; i++)
        data[i] = (uint8_t) (ns >> i * 8);
}

/* One packet each interval: an interrupt source that is always full would flood a slow connection.
 */
static enum gadget_reply give_interrupt(struct gadget *gadget, uint8_t *data, size_t room,
                                        size_t *length)
{
    struct vendor *vendor = gadget->state;
    size_t packet = bus_endpoint(gadget, VENDOR_INTERRUPT_SOURCE)->packet_size;
    uint64_t now = gadget_now();
    if (now < vendor->source_due) {
        if (vendor->source_due < gadget->wake_at)
            gadget->wake_at = vendor->source_due;
        return GADGET_NAK;
    }
    uint64_t jitter = vendor->source_jitter ? (uint64_t) rand() % vendor->source_jitter : 0;
    vendor->source_due = now + vendor->source_interval + jitter;
    give_sequence(&vendor->interrupt_source, data, room < packet ? room : packet, length);
    if (vendor->stamps)
        put_stamp(data, *length);
    return GADGET_DONE;
}

static enum gadget_reply vendor_in(struct gadget *gadget, uint8_t endpoint, uint8_t *data,
                                   size_t room, size_t *length)
{
    struct vendor *vendor = gadget->state;
    switch (endpoint) {
    case VENDOR_BULK_SOURCE: return give_sequence(&vendor->bulk_source, data, room, length);
    case VENDOR_BULK_LOOPBACK_IN: return give_loopback(&vendor->bulk_loopback, data, room, length);
    case VENDOR_INTERRUPT_SOURCE: return give_interrupt(gadget, data, room, length);
    case VENDOR_INTERRUPT_LOOPBACK_IN:
        return give_loopback(&vendor->interrupt_loopback, data, room, length);
    default: return GADGET_STALL;
    }
}

static enum gadget_reply vendor_out(struct gadget *gadget, uint8_t endpoint, const uint8_t *data,
                                    size_t length, size_t *taken)
{
    struct vendor *vendor = gadget->state;
    size_t packet = bus_endpoint(gadget, endpoint)->packet_size;
    *taken = length;
    switch (endpoint) {
    case VENDOR_BULK_SINK: return take_sequence(&vendor->bulk_sink, data, length);
    case VENDOR_BULK_LOOPBACK_OUT:
        return take_loopback(&vendor->bulk_loopback, packet, data, length, taken);
    case VENDOR_INTERRUPT_SINK: return take_sequence(&vendor->interrupt_sink, data, length);
    case VENDOR_INTERRUPT_LOOPBACK_OUT:
        return take_loopback(&vendor->interrupt_loopback, packet, data, length, taken);
    default: return GADGET_STALL;
    }
}

/* --- Requests ------------------------------------------------------------------------------------
 */

static uint32_t le32(const uint8_t *bytes)
{
    return bytes[0] | (uint32_t) bytes[1] << 8 | (uint32_t) bytes[2] << 16 |
           (uint32_t) bytes[3] << 24;
}

static enum gadget_reply set_fault(struct gadget *gadget, const struct libusb_control_setup *setup,
                                   const uint8_t *data, size_t length)
{
    struct gadget_endpoint *endpoint = bus_endpoint(gadget, (uint8_t) setup->wIndex);
    uint32_t argument = length >= 4 ? le32(data) : 0;
    if (!endpoint->present || endpoint->address == 0)
        return GADGET_STALL;
    switch ((enum vendor_fault) setup->wValue) {
    case VENDOR_FAULT_HALT: endpoint->halted = true; return GADGET_DONE;
    case VENDOR_FAULT_HOLD:
    case VENDOR_FAULT_RELEASE:
        endpoint->held = setup->wValue == VENDOR_FAULT_HOLD;
        return GADGET_DONE;
    case VENDOR_FAULT_DELAY: endpoint->delay = argument * GADGET_US_PER_MS; return GADGET_DONE;
    case VENDOR_FAULT_SHORT:
        endpoint->short_count = 1;
        endpoint->short_length = argument;
        return GADGET_DONE;
    }
    return GADGET_STALL;
}

static enum gadget_reply use_buffer(struct vendor *vendor, bool in, uint8_t *data, size_t *length)
{
    if (in) {
        if (vendor->buffer_length < *length)
            *length = vendor->buffer_length;
        memcpy(data, vendor->buffer, *length);
        return GADGET_DONE;
    }
    if (*length > sizeof vendor->buffer)
        return GADGET_STALL;
    memcpy(vendor->buffer, data, *length);
    vendor->buffer_length = *length;
    return GADGET_DONE;
}

static enum gadget_reply answer_later(struct gadget *gadget, uint16_t ms, bool in, uint8_t *data,
                                      size_t length)
{
    uint64_t due = gadget->asked_at + ms * GADGET_US_PER_MS;
    if (gadget_now() < due) {
        if (due < gadget->wake_at)
            gadget->wake_at = due;
        return GADGET_NAK;
    }
    if (in)
        memset(data, 0, length);
    return GADGET_DONE;
}

static enum gadget_reply give_counters(const struct vendor *vendor, uint8_t *data, size_t *length)
{
    const uint64_t values[] = {vendor->bulk_sink.offset, vendor->bulk_sink.mismatches,
                               vendor->interrupt_sink.offset, vendor->interrupt_sink.mismatches};
    uint8_t bytes[sizeof(struct vendor_counters)];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t) (values[i / 4] >> (i % 4 * 8));
    if (*length > sizeof bytes)
        *length = sizeof bytes;
    memcpy(data, bytes, *length);
    return GADGET_DONE;
}

static void vendor_reset(struct gadget *gadget)
{
    struct vendor *vendor = gadget->state;
    static const struct sequence start;
    vendor->bulk_source = vendor->bulk_sink = start;
    vendor->interrupt_source = vendor->interrupt_sink = start;
    vendor->bulk_loopback.count = vendor->interrupt_loopback.count = 0;
}

static enum gadget_reply vendor_control(struct gadget *gadget,
                                        const struct libusb_control_setup *setup, uint8_t *data,
                                        size_t *length)
{
    bool in = (setup->bmRequestType & LIBUSB_ENDPOINT_IN) != 0;
    if ((setup->bmRequestType & 0x7f) != (LIBUSB_REQUEST_TYPE_VENDOR | RECIPIENT_DEVICE))
        return GADGET_STALL;
    switch ((enum vendor_request) setup->bRequest) {
    case VENDOR_BUFFER: return use_buffer(gadget->state, in, data, length);
    case VENDOR_STALL: return GADGET_STALL;
    case VENDOR_FAULT: return in ? GADGET_STALL : set_fault(gadget, setup, data, *length);
    case VENDOR_DELAY: return answer_later(gadget, setup->wValue, in, data, *length);
    case VENDOR_NEVER: return GADGET_NAK;
    case VENDOR_RESTART: vendor_reset(gadget); return in ? GADGET_STALL : GADGET_DONE;
    case VENDOR_COUNTERS: return in ? give_counters(gadget->state, data, length) : GADGET_STALL;
    }
    return GADGET_STALL;
}

/* --- Life ----------------------------------------------------------------------------------------
 */

static bool vendor_create(struct gadget *gadget, struct gadget_options *options)
{
    struct vendor *vendor = calloc(1, sizeof *vendor);
    unsigned long interval = 1, jitter = 0, stamps = 0, gaps = 0, configurations = 1;
    if (!vendor || !gadget_options_number(options, "interval-ms", 60000, &interval) ||
        !gadget_options_number(options, "jitter-ms", 60000, &jitter) ||
        !gadget_options_number(options, "stamps", 1, &stamps) ||
        !gadget_options_number(options, "gaps", 1, &gaps) ||
        !gadget_options_number(options, "configurations", 2, &configurations)) {
        free(vendor);
        return false;
    }
    vendor->source_interval = interval * GADGET_US_PER_MS;
    if (gaps)
        gadget->configurations[0] = vendor_gaps;
    if (configurations == 2)
        gadget->configurations[1] = vendor_second;
    vendor->source_jitter = jitter * GADGET_US_PER_MS;
    vendor->stamps = stamps;
    gadget->state = vendor;
    return true;
}

/* The interrupt streams begin anew with the other packet size. */
static void vendor_alternate_set(struct gadget *gadget, uint8_t interface)
{
    struct vendor *vendor = gadget->state;
    static const struct sequence start;
    if (interface == bus_endpoint(gadget, VENDOR_BULK_LOOPBACK_IN)->interface) {
        vendor->bulk_source = vendor->bulk_sink = start;
        vendor->bulk_loopback.count = 0;
    } else {
        vendor->interrupt_source = vendor->interrupt_sink = start;
        vendor->interrupt_loopback.count = 0;
    }
}

static void vendor_stats(struct gadget *gadget, char *text, size_t size)
{
    const struct vendor *vendor = gadget->state;
    snprintf(text, size,
             " bulk.sourced=%llu bulk.sunk=%llu bulk.mismatches=%llu interrupt.sourced=%llu "
             "interrupt.sunk=%llu interrupt.mismatches=%llu",
             (unsigned long long) vendor->bulk_source.offset,
             (unsigned long long) vendor->bulk_sink.offset,
             (unsigned long long) vendor->bulk_sink.mismatches,
             (unsigned long long) vendor->interrupt_source.offset,
             (unsigned long long) vendor->interrupt_sink.offset,
             (unsigned long long) vendor->interrupt_sink.mismatches);
}

const struct gadget_ops vendor_gadget = {
    .kind = "vendor",
    .vendor_id = 0x1209,
    .product_id = 0x0003,
    .product = "Emulated test device",
    .speed = LIBUSB_SPEED_HIGH,
    .max_packet_size0 = 64,
    .bcd_usb = 0x0200,
    .configurations = {{configuration, sizeof configuration}},
    .create = vendor_create,
    .reset = vendor_reset,
    .control = vendor_control,
    .in = vendor_in,
    .out = vendor_out,
    .alternate_set = vendor_alternate_set,
    .stats = vendor_stats,
};
