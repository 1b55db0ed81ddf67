/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A gadget at another speed than its table is written for: packet sizes and intervals as that speed
 * has them and, at super speed, the companion of each endpoint and a BOS descriptor.
 */
#include "gadget-bus.h"

#include <stdlib.h>
#include <string.h>

#define DT_PIPE_USAGE    0x24
#define MICROFRAME       125u
#define UAS_MAX_STREAMS  5 /* 2^5 */
#define COMPANION_LENGTH LIBUSB_DT_SS_ENDPOINT_COMPANION_SIZE

/* clang-format off */
static const uint8_t super_bos[] = {
    5, LIBUSB_DT_BOS, 22, 0, 2,
    7, LIBUSB_DT_DEVICE_CAPABILITY, LIBUSB_BT_USB_2_0_EXTENSION, 0x02, 0, 0, 0, /* LPM */
    10, LIBUSB_DT_DEVICE_CAPABILITY, LIBUSB_BT_SS_USB_DEVICE_CAPABILITY, 0,
    0x0e, 0, 1, 0x0a, 0xff, 0x07, /* full, high and super speed */
};
/* clang-format on */

uint16_t gadget_bulk_packet(enum libusb_speed speed)
{
    return speed >= LIBUSB_SPEED_SUPER ? 1024 : speed == LIBUSB_SPEED_HIGH ? 512 : 64;
}

/* --- Intervals -----------------------------------------------------------------------------------
 */

static bool in_microframes(enum libusb_speed speed)
{
    return speed >= LIBUSB_SPEED_HIGH;
}

/* [USB 2.0] 9.6.6: a number of frames for interrupt endpoints of low and full speed, otherwise an
 * exponent. */
static unsigned period_of(enum libusb_speed speed, uint8_t type, uint8_t interval)
{
    unsigned unit = in_microframes(speed) ? MICROFRAME : (unsigned) GADGET_US_PER_MS;
    bool linear = !in_microframes(speed) && type == LIBUSB_TRANSFER_TYPE_INTERRUPT;
    return linear ? unit * interval : unit << (interval - 1);
}

static uint8_t interval_of(enum libusb_speed speed, uint8_t type, unsigned period)
{
    unsigned unit = in_microframes(speed) ? MICROFRAME : (unsigned) GADGET_US_PER_MS;
    if (!in_microframes(speed) && type == LIBUSB_TRANSFER_TYPE_INTERRUPT)
        return (uint8_t) (period < unit ? 1 : period / unit);
    uint8_t exponent = 1;
    while (unit << exponent <= period)
        exponent++;
    return exponent;
}

/* --- Endpoints -----------------------------------------------------------------------------------
 */

static unsigned max_packet(enum libusb_speed speed, uint8_t type)
{
    if (speed >= LIBUSB_SPEED_HIGH)
        return 1024;
    if (type == LIBUSB_TRANSFER_TYPE_ISOCHRONOUS)
        return 1023;
    return speed == LIBUSB_SPEED_LOW ? 8 : 64;
}

static void put_companion(uint8_t *companion, uint8_t type, unsigned bytes, bool streams)
{
    bool periodic = type != LIBUSB_TRANSFER_TYPE_BULK;
    unsigned burst = periodic ? (bytes + 1023) / 1024 - 1 : 0;
    const uint8_t descriptor[COMPANION_LENGTH] = {
        COMPANION_LENGTH,
        LIBUSB_DT_SS_ENDPOINT_COMPANION,
        (uint8_t) burst,
        streams ? UAS_MAX_STREAMS : 0,
        periodic ? (uint8_t) bytes : 0,
        periodic ? (uint8_t) (bytes >> 8) : 0,
    };
    memcpy(companion, descriptor, sizeof descriptor);
}

/* Changes the endpoint in place and writes its companion, if the speed has them; returns the
 * companion's length. */
static size_t convert_endpoint(uint8_t *endpoint, uint8_t *companion, enum libusb_speed from,
                               enum libusb_speed to, bool streams)
{
    uint8_t type = endpoint[3] & LIBUSB_TRANSFER_TYPE_MASK;
    unsigned raw = endpoint[4] | (unsigned) endpoint[5] << 8;
    unsigned bytes = (raw & 0x7ff) * (1 + (raw >> 11 & 3));
    unsigned size = bytes < max_packet(to, type) ? bytes : max_packet(to, type);
    if (type == LIBUSB_TRANSFER_TYPE_BULK)
        bytes = size = gadget_bulk_packet(to);
    else
        endpoint[6] = interval_of(to, type, period_of(from, type, endpoint[6]));
    if (to == LIBUSB_SPEED_HIGH && bytes > size)
        size = (bytes / 1024 - 1) << 11 | 1024;
    endpoint[4] = (uint8_t) size;
    endpoint[5] = (uint8_t) (size >> 8);
    if (to < LIBUSB_SPEED_SUPER)
        return 0;
    put_companion(companion, type, bytes, streams);
    return COMPANION_LENGTH;
}

/* --- Configurations ------------------------------------------------------------------------------
 */

/* A pipe usage descriptor ([UAS] 5.2) follows: status and data pipes, not the command pipe, have
 * streams. */
static bool has_streams(const struct gadget_blob *blob, size_t next)
{
    const uint8_t *descriptor = blob->data + next;
    return next < blob->length && descriptor[1] == DT_PIPE_USAGE && descriptor[0] == 4 &&
           descriptor[2] > 1;
}

static bool convert(struct gadget_blob *blob, enum libusb_speed from, enum libusb_speed to)
{
    uint8_t *result =
        malloc(blob->length + blob->length / LIBUSB_DT_ENDPOINT_SIZE * COMPANION_LENGTH);
    size_t length = 0;
    if (!result)
        return false;
    for (size_t at = 0; at < blob->length; at += blob->data[at]) {
        const uint8_t *descriptor = blob->data + at;
        uint8_t *copy = memcpy(result + length, descriptor, descriptor[0]);
        length += descriptor[0];
        if (descriptor[1] == LIBUSB_DT_ENDPOINT)
            length += convert_endpoint(copy, result + length, from, to,
                                       has_streams(blob, at + descriptor[0]));
    }
    result[2] = (uint8_t) length;
    result[3] = (uint8_t) (length >> 8);
    if (to >= LIBUSB_SPEED_SUPER)
        result[8] = (uint8_t) ((result[8] + 3) / 4); /* bMaxPower in 8 mA, not 2 */
    *blob = (struct gadget_blob){result, length};
    return true;
}

static bool only_interrupt(const struct gadget_blob *blob)
{
    for (size_t at = 0; at < blob->length; at += blob->data[at])
        if (blob->data[at + 1] == LIBUSB_DT_ENDPOINT &&
            (blob->data[at + 3] & LIBUSB_TRANSFER_TYPE_MASK) != LIBUSB_TRANSFER_TYPE_INTERRUPT)
            return false;
    return true;
}

bool gadget_set_speed(struct gadget *gadget, enum libusb_speed speed)
{
    if (speed == gadget->speed)
        return true;
    for (unsigned i = 0; i < GADGET_MAX_CONFIGURATIONS && gadget->configurations[i].data; i++) {
        struct gadget_blob *blob = &gadget->configurations[i];
        if (speed == LIBUSB_SPEED_LOW && !only_interrupt(blob))
            return false;
        if (!convert(blob, gadget->speed, speed))
            return false;
    }
    gadget->speed = speed;
    gadget->max_packet_size0 = speed >= LIBUSB_SPEED_SUPER ? 9 : speed == LIBUSB_SPEED_LOW ? 8 : 64;
    gadget->bcd_usb = speed >= LIBUSB_SPEED_SUPER ? 0x0300 : 0x0200;
    if (speed >= LIBUSB_SPEED_SUPER)
        gadget->bos = (struct gadget_blob){super_bos, sizeof super_bos};
    return true;
}
