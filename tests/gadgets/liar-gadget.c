/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A device that says it is something harmless when it is first asked, and a boot keyboard later. It
 * stays on the bus meanwhile: nobody learns of it who does not ask again.
 */
#include "gadget-bus.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NEVER UINT64_MAX

struct liar {
    uint64_t honest_reads; /* of the device descriptor, that are left */
    bool plugged, lies_after_reset, lies;
};

/* clang-format off */
static const uint8_t harmless[] = {
    9, LIBUSB_DT_CONFIG, 25, 0, 1, 1, 0, 0x80, 50,
    9, LIBUSB_DT_INTERFACE, 0, 0, 1, LIBUSB_CLASS_VENDOR_SPEC, 0, 0, 0,
    7, LIBUSB_DT_ENDPOINT, 0x81, LIBUSB_TRANSFER_TYPE_INTERRUPT, 8, 0, 7,
};

static const uint8_t keyboard[] = {
    9, LIBUSB_DT_CONFIG, 34, 0, 1, 1, 0, 0x80, 50,
    9, LIBUSB_DT_INTERFACE, 0, 0, 1, LIBUSB_CLASS_HID, 1, 1, 0,
    9, LIBUSB_DT_HID, 0x11, 0x01, 0, 1, LIBUSB_DT_REPORT, 63, 0,
    7, LIBUSB_DT_ENDPOINT, 0x81, LIBUSB_TRANSFER_TYPE_INTERRUPT, 8, 0, 7,
};

static const uint8_t keyboard_device[LIBUSB_DT_DEVICE_SIZE] = {
    LIBUSB_DT_DEVICE_SIZE, LIBUSB_DT_DEVICE, 0x00, 0x02, 0, 0, 0, 64,
    0x6d, 0x04, 0x1c, 0xc3, 0x00, 0x01, GADGET_MANUFACTURER, GADGET_PRODUCT, 0, 1,
};
/* clang-format on */

static struct gadget_blob liar_told(struct gadget *gadget, unsigned type)
{
    struct liar *liar = gadget->state;
    if (type == LIBUSB_DT_DEVICE && !liar->lies && liar->honest_reads != NEVER)
        liar->lies = liar->honest_reads-- == 0;
    if (!liar->lies)
        return (struct gadget_blob){NULL, 0};
    return type == LIBUSB_DT_DEVICE ? (struct gadget_blob){keyboard_device, sizeof keyboard_device}
                                    : (struct gadget_blob){keyboard, sizeof keyboard};
}

static const char *liar_command(struct gadget *gadget, const char *verb, const char *argument)
{
    struct liar *liar = gadget->state;
    if (strcmp(verb, "lie") != 0 || *argument)
        return "unknown command";
    liar->lies = true;
    return NULL;
}

static enum gadget_reply liar_in(struct gadget *gadget, uint8_t endpoint, uint8_t *data,
                                 size_t room, size_t *length)
{
    return GADGET_NAK;
}

/* The first time is when it is plugged in. */
static void liar_reset(struct gadget *gadget)
{
    struct liar *liar = gadget->state;
    liar->lies |= liar->plugged && liar->lies_after_reset;
    liar->plugged = true;
}

static bool liar_create(struct gadget *gadget, struct gadget_options *options)
{
    struct liar *liar = calloc(1, sizeof *liar);
    const char *after = gadget_options_string(options, "lies-after", NULL);
    unsigned long reads = 0;
    bool counts = after && strcmp(after, "reset") != 0;
    if (!liar || (counts && !gadget_options_number(options, "lies-after", 1000, &reads))) {
        free(liar);
        return false;
    }
    liar->honest_reads = counts ? reads : NEVER;
    liar->lies_after_reset = after && !counts;
    gadget->state = liar;
    return true;
}

static void liar_stats(struct gadget *gadget, char *text, size_t size)
{
    const struct liar *liar = gadget->state;
    snprintf(text, size, " liar.lies=%d", liar->lies);
}

const struct gadget_ops liar_gadget = {
    .kind = "liar",
    .vendor_id = 0x1209,
    .product_id = 0x000a,
    .product = "Harmless device",
    .speed = LIBUSB_SPEED_HIGH,
    .one_speed = true,
    .max_packet_size0 = 64,
    .bcd_usb = 0x0200,
    .configurations = {{harmless, sizeof harmless}},
    .create = liar_create,
    .reset = liar_reset,
    .told = liar_told,
    .in = liar_in,
    .command = liar_command,
    .stats = liar_stats,
};
