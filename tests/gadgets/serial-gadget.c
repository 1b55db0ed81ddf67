/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A serial adapter of FTDI's kind, with its plug bridged: what is written comes back. Every IN
 * packet begins with two bytes of modem and line status; one that is not full waits for the latency
 * timer, and comes without any data when there is none.
 */
#include "gadget-bus.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BULK_IN      0x81
#define BULK_OUT     0x02
#define STATUS_BYTES 2
#define BUFFER_SIZE  4096
#define LATENCY_MS   16

enum {
    REQUEST_RESET = 0x00,
    REQUEST_MODEM_CONTROL = 0x01,
    REQUEST_FLOW_CONTROL = 0x02,
    REQUEST_BAUD_RATE = 0x03,
    REQUEST_DATA = 0x04,
    REQUEST_MODEM_STATUS = 0x05,
    REQUEST_EVENT_CHARACTER = 0x06,
    REQUEST_ERROR_CHARACTER = 0x07,
    REQUEST_SET_LATENCY = 0x09,
    REQUEST_GET_LATENCY = 0x0a,
    REQUEST_SET_BIT_MODE = 0x0b,
    REQUEST_GET_BIT_MODE = 0x0c,
    REQUEST_READ_EEPROM = 0x90,
};

/* CTS, DSR and DCD are on; transmitter and its holding register are empty. */
static const uint8_t line_status[STATUS_BYTES] = {0xb1, 0x60};

struct serial {
    uint8_t buffer[BUFFER_SIZE];
    size_t first, count;
    uint64_t latency; /* microseconds */
    uint64_t due;     /* when the next packet is sent, full or not */
    uint64_t received, sent, packets;
};

/* clang-format off */
static const uint8_t configuration[] = {
    9, LIBUSB_DT_CONFIG, 32, 0, 1, 1, 0, 0xa0, 45,
    9, LIBUSB_DT_INTERFACE, 0, 0, 2, LIBUSB_CLASS_VENDOR_SPEC, 0xff, 0xff, GADGET_PRODUCT,
    7, LIBUSB_DT_ENDPOINT, BULK_IN, LIBUSB_TRANSFER_TYPE_BULK, 64, 0, 0,
    7, LIBUSB_DT_ENDPOINT, BULK_OUT, LIBUSB_TRANSFER_TYPE_BULK, 64, 0, 0,
};
/* clang-format on */

/* --- Data ----------------------------------------------------------------------------------------
 */

static enum gadget_reply serial_out(struct gadget *gadget, uint8_t endpoint, const uint8_t *data,
                                    size_t length, size_t *taken)
{
    struct serial *serial = gadget->state;
    size_t room = BUFFER_SIZE - serial->count, packet = gadget_bulk_packet(gadget->speed);
    if (length > room)
        length = room - room % packet; /* whole packets, the rest later */
    if (length == 0 && room < packet)
        return GADGET_NAK;
    for (size_t i = 0; i < length; i++)
        serial->buffer[(serial->first + serial->count++) % BUFFER_SIZE] = data[i];
    serial->received += length;
    *taken = length;
    return GADGET_DONE;
}

/* One packet. */
static enum gadget_reply serial_in(struct gadget *gadget, uint8_t endpoint, uint8_t *data,
                                   size_t room, size_t *length)
{
    struct serial *serial = gadget->state;
    size_t packet = gadget_bulk_packet(gadget->speed);
    size_t most = (room < packet ? room : packet);
    uint64_t now = gadget_now();
    if (most < STATUS_BYTES)
        return GADGET_STALL; /* only the command "short" asks for so little */
    most -= STATUS_BYTES;
    if (serial->count < most && now < serial->due) {
        gadget->wake_at = serial->due;
        return GADGET_NAK;
    }
    memcpy(data, line_status, STATUS_BYTES);
    *length = STATUS_BYTES;
    for (size_t i = 0; i < most && serial->count > 0; i++, serial->count--) {
        data[(*length)++] = serial->buffer[serial->first];
        serial->first = (serial->first + 1) % BUFFER_SIZE;
    }
    serial->sent += *length - STATUS_BYTES;
    serial->packets++;
    serial->due = now + serial->latency;
    return GADGET_DONE;
}

/* --- Requests ------------------------------------------------------------------------------------
 */

static enum gadget_reply give(uint8_t *data, size_t *length, const void *bytes, size_t size)
{
    if (size < *length)
        *length = size;
    memcpy(data, bytes, *length);
    return GADGET_DONE;
}

static enum gadget_reply get_request(struct serial *serial,
                                     const struct libusb_control_setup *setup, uint8_t *data,
                                     size_t *length)
{
    static const uint8_t empty_word[] = {0xff, 0xff}, no_mode[] = {0};
    uint8_t latency = (uint8_t) (serial->latency / GADGET_US_PER_MS);
    switch (setup->bRequest) {
    case REQUEST_MODEM_STATUS: return give(data, length, line_status, sizeof line_status);
    case REQUEST_GET_LATENCY: return give(data, length, &latency, sizeof latency);
    case REQUEST_GET_BIT_MODE: return give(data, length, no_mode, sizeof no_mode);
    case REQUEST_READ_EEPROM: return give(data, length, empty_word, sizeof empty_word);
    default: return GADGET_STALL;
    }
}

/* A reset with value 1 or 2 empties the buffer of one direction. */
static void purge(struct serial *serial, uint16_t value)
{
    if (value <= 2)
        serial->first = serial->count = 0;
}

static enum gadget_reply serial_control(struct gadget *gadget,
                                        const struct libusb_control_setup *setup, uint8_t *data,
                                        size_t *length)
{
    struct serial *serial = gadget->state;
    if ((setup->bmRequestType & LIBUSB_REQUEST_TYPE_RESERVED) != LIBUSB_REQUEST_TYPE_VENDOR)
        return GADGET_STALL;
    if (setup->bmRequestType & LIBUSB_ENDPOINT_IN)
        return get_request(serial, setup, data, length);
    switch (setup->bRequest) {
    case REQUEST_RESET: purge(serial, setup->wValue); return GADGET_DONE;
    case REQUEST_MODEM_CONTROL:
    case REQUEST_FLOW_CONTROL:
    case REQUEST_BAUD_RATE:
    case REQUEST_DATA:
    case REQUEST_EVENT_CHARACTER:
    case REQUEST_ERROR_CHARACTER:
    case REQUEST_SET_BIT_MODE: return GADGET_DONE;
    case REQUEST_SET_LATENCY:
        if (setup->wValue < 1 || setup->wValue > 255)
            return GADGET_STALL;
        serial->latency = setup->wValue * GADGET_US_PER_MS;
        return GADGET_DONE;
    default: return GADGET_STALL;
    }
}

/* --- Life ----------------------------------------------------------------------------------------
 */

static bool serial_create(struct gadget *gadget, struct gadget_options *options)
{
    gadget->state = calloc(1, sizeof(struct serial));
    return gadget->state != NULL;
}

static void serial_reset(struct gadget *gadget)
{
    struct serial *serial = gadget->state;
    serial->first = serial->count = 0;
    serial->latency = LATENCY_MS * GADGET_US_PER_MS;
    serial->due = gadget_now() + serial->latency;
}

static void serial_stats(struct gadget *gadget, char *text, size_t size)
{
    const struct serial *serial = gadget->state;
    snprintf(text, size,
             " serial.received=%llu serial.sent=%llu serial.packets=%llu serial.latency=%llu",
             (unsigned long long) serial->received, (unsigned long long) serial->sent,
             (unsigned long long) serial->packets,
             (unsigned long long) (serial->latency / GADGET_US_PER_MS));
}

/* An FT232R. With speed=high it has the packets of its faster relatives. */
const struct gadget_ops serial_gadget = {
    .kind = "serial",
    .vendor_id = 0x0403,
    .product_id = 0x6001,
    .bcd_device = 0x0600,
    .product = "Emulated serial adapter",
    .speed = LIBUSB_SPEED_FULL,
    .kernel_driver = true,
    .max_packet_size0 = 8,
    .bcd_usb = 0x0200,
    .configurations = {{configuration, sizeof configuration}},
    .create = serial_create,
    .reset = serial_reset,
    .control = serial_control,
    .in = serial_in,
    .out = serial_out,
    .stats = serial_stats,
};
