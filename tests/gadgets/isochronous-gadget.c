/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A device for tests: an isochronous source and sink that count (isochronous-gadget.h). */
#include "isochronous-gadget.h"

#include "gadget-bus.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct isochronous {
    uint64_t sourced;
    /* The sink's */
    bool started;
    uint32_t next; /* the counter that should come */
    uint64_t received, lost, repeated, out_of_order, damaged;
};

/* clang-format off */
#define SETTING(alternate, endpoints) \
    9, LIBUSB_DT_INTERFACE, 0, alternate, endpoints, LIBUSB_CLASS_VENDOR_SPEC, 0, 0, 0
/* Asynchronous (bits 3..2), data: what most headsets say. */
#define ENDPOINT(address, size, interval) \
    7, LIBUSB_DT_ENDPOINT, address, LIBUSB_TRANSFER_TYPE_ISOCHRONOUS | 0x04, \
    (size) & 0xff, (size) >> 8, interval
#define CONFIGURATION(ms, fast) \
    9, LIBUSB_DT_CONFIG, 73, 0, 1, 1, 0, 0x80, 50, \
    SETTING(ISOCHRONOUS_IDLE, 0), \
    SETTING(ISOCHRONOUS_BOTH, 2), \
    ENDPOINT(ISOCHRONOUS_SOURCE, ISOCHRONOUS_PACKET, ms), \
    ENDPOINT(ISOCHRONOUS_SINK, ISOCHRONOUS_PACKET, ms), \
    SETTING(ISOCHRONOUS_FAST, 1), \
    ENDPOINT(ISOCHRONOUS_SOURCE, fast, 1), \
    SETTING(ISOCHRONOUS_UNEVEN, 1), \
    ENDPOINT(ISOCHRONOUS_SINK, ISOCHRONOUS_PACKET, ms)

static const uint8_t high_configuration[] = {CONFIGURATION(4, 2 << 11 | 1024)};
static const uint8_t full_configuration[] = {CONFIGURATION(1, ISOCHRONOUS_FAST_PACKET_FULL)};
/* clang-format on */
_Static_assert(sizeof high_configuration == 73, "wTotalLength");

/* --- Packets -------------------------------------------------------------------------------------
 */

static size_t isochronous_iso_in(struct gadget *gadget, uint8_t endpoint, uint64_t interval,
                                 uint8_t *data, size_t room)
{
    struct isochronous *isochronous = gadget->state;
    size_t length = bus_endpoint(gadget, endpoint)->interval_bytes;
    isochronous_fill(data, length < room ? length : room, (uint32_t) interval);
    isochronous->sourced++;
    return length;
}

static void isochronous_iso_out(struct gadget *gadget, uint8_t endpoint, uint64_t interval,
                                const uint8_t *data, size_t length)
{
    struct isochronous *isochronous = gadget->state;
    isochronous->received++;
    if (!isochronous_whole(data, length)) {
        isochronous->damaged++;
        return;
    }
    uint32_t counter = isochronous_counter(data);
    int32_t ahead = (int32_t) (counter - isochronous->next);
    if (isochronous->started && ahead < 0) {
        if (ahead == -1)
            isochronous->repeated++;
        else
            isochronous->out_of_order++;
        return;
    }
    if (isochronous->started)
        isochronous->lost += (uint32_t) ahead;
    isochronous->started = true;
    isochronous->next = counter + 1;
}

/* --- Life ----------------------------------------------------------------------------------------
 */

static bool isochronous_create(struct gadget *gadget, struct gadget_options *options)
{
    const char *speed = gadget_options_string(options, "speed", "high");
    if (strcmp(speed, "full") != 0 && strcmp(speed, "high") != 0) {
        gadget_options_fail(options, "speed=%s is neither full nor high", speed);
        return false;
    }
    if (strcmp(speed, "full") == 0) {
        gadget->speed = LIBUSB_SPEED_FULL;
        gadget->configurations[0] =
            (struct gadget_blob){full_configuration, sizeof full_configuration};
    }
    gadget->state = calloc(1, sizeof(struct isochronous));
    return gadget->state != NULL;
}

static void isochronous_reset(struct gadget *gadget)
{
    memset(gadget->state, 0, sizeof(struct isochronous));
}

/* The counts of a stream stay to be asked for after it has ended. */
static void isochronous_alternate_set(struct gadget *gadget, uint8_t interface)
{
    if (gadget->alternate[interface] != ISOCHRONOUS_IDLE)
        isochronous_reset(gadget);
}

static void isochronous_stats(struct gadget *gadget, char *text, size_t size)
{
    const struct isochronous *isochronous = gadget->state;
    snprintf(text, size,
             " iso.sourced=%llu iso.received=%llu iso.lost=%llu iso.repeated=%llu "
             "iso.out-of-order=%llu iso.damaged=%llu",
             (unsigned long long) isochronous->sourced, (unsigned long long) isochronous->received,
             (unsigned long long) isochronous->lost, (unsigned long long) isochronous->repeated,
             (unsigned long long) isochronous->out_of_order,
             (unsigned long long) isochronous->damaged);
}

const struct gadget_ops isochronous_gadget = {
    .kind = "isochronous",
    .vendor_id = 0x1209,
    .product_id = 0x0004,
    .product = "Emulated isochronous test device",
    .speed = LIBUSB_SPEED_HIGH,
    .max_packet_size0 = 64,
    .bcd_usb = 0x0200,
    .configurations = {{high_configuration, sizeof high_configuration}},
    .create = isochronous_create,
    .reset = isochronous_reset,
    .iso_in = isochronous_iso_in,
    .iso_out = isochronous_iso_out,
    .alternate_set = isochronous_alternate_set,
    .stats = isochronous_stats,
};
