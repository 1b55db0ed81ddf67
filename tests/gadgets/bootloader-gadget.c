/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A device that changes its ids (bootloader-gadget.h). */
#include "bootloader-gadget.h"

#include "gadget-bus.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LEAVES_AFTER (20 * GADGET_US_PER_MS) /* the request is answered before */

struct bootloader {
    bool application, wanted; /* what it is, and what the next reset makes of it */
    uint8_t ids[2][4];        /* idVendor and idProduct of the loader and of the application */
    uint64_t switches;
};

/* clang-format off */
static const uint8_t loader_configuration[] = {
    9, LIBUSB_DT_CONFIG, 18, 0, 1, 1, 0, 0x80, 50,
    9, LIBUSB_DT_INTERFACE, 0, 0, 0, LIBUSB_CLASS_VENDOR_SPEC, 0, 0, 0,
};

static const uint8_t application_configuration[] = {
    9, LIBUSB_DT_CONFIG, 34, 0, 2, 1, 0, 0x80, 50,
    9, LIBUSB_DT_INTERFACE, 0, 0, 0, LIBUSB_CLASS_VENDOR_SPEC, 1, 0, 0,
    9, LIBUSB_DT_INTERFACE, 1, 0, 1, LIBUSB_CLASS_VENDOR_SPEC, 1, 0, 0,
    7, LIBUSB_DT_ENDPOINT, BOOTLOADER_SOURCE, LIBUSB_TRANSFER_TYPE_BULK, 0x00, 0x02, 0,
};
/* clang-format on */

/* --- Identities ----------------------------------------------------------------------------------
 */

static void show(struct gadget *gadget, bool application)
{
    static const struct gadget_blob tables[] = {
        {loader_configuration, sizeof loader_configuration},
        {application_configuration, sizeof application_configuration}};
    struct bootloader *bootloader = gadget->state;
    uint8_t *ids = gadget->device_descriptor + 8; /* idVendor, idProduct */
    memcpy(bootloader->ids[bootloader->application], ids, 4);
    memcpy(ids, bootloader->ids[application], 4);
    gadget->configurations[0] = tables[application];
    bootloader->application = application;
    bootloader->switches++;
}

/* The bus has been reset. True: what comes back is another device. */
static bool bootloader_replaced(struct gadget *gadget)
{
    struct bootloader *bootloader = gadget->state;
    if (bootloader->application == bootloader->wanted)
        return false;
    show(gadget, bootloader->wanted);
    return true;
}

static void bootloader_woken(struct gadget *gadget)
{
    if (!bootloader_replaced(gadget))
        return;
    bus_unplug(gadget);
    bus_plug(gadget);
}

static enum gadget_reply bootloader_control(struct gadget *gadget,
                                            const struct libusb_control_setup *setup, uint8_t *data,
                                            size_t *length)
{
    struct bootloader *bootloader = gadget->state;
    const uint8_t out = LIBUSB_REQUEST_TYPE_VENDOR | LIBUSB_RECIPIENT_DEVICE;
    if (setup->bmRequestType == out && setup->bRequest == BOOTLOADER_SWITCH && setup->wValue < 2) {
        bootloader->wanted = !bootloader->application;
        if (setup->wValue == 1)
            gadget->wake_at = gadget_now() + LEAVES_AFTER;
        return GADGET_DONE;
    }
    if (setup->bmRequestType == (out | LIBUSB_ENDPOINT_IN) &&
        setup->bRequest == BOOTLOADER_IDENTITY && *length > 0) {
        data[0] = bootloader->application;
        *length = 1;
        return GADGET_DONE;
    }
    return GADGET_STALL;
}

static enum gadget_reply bootloader_in(struct gadget *gadget, uint8_t endpoint, uint8_t *data,
                                       size_t room, size_t *length)
{
    memset(data, 0, room);
    *length = room;
    return GADGET_DONE;
}

/* --- Life ----------------------------------------------------------------------------------------
 */

static bool bootloader_create(struct gadget *gadget, struct gadget_options *options)
{
    uint16_t vendor = gadget->ops->vendor_id, product = BOOTLOADER_APPLICATION_PRODUCT;
    struct bootloader *bootloader = calloc(1, sizeof *bootloader);
    if (!bootloader || !gadget_options_id(options, "becomes", &vendor, &product)) {
        free(bootloader);
        return false;
    }
    const uint8_t ids[] = {(uint8_t) vendor, (uint8_t) (vendor >> 8), (uint8_t) product,
                           (uint8_t) (product >> 8)};
    memcpy(bootloader->ids[1], ids, sizeof ids);
    gadget->state = bootloader;
    return true;
}

static void bootloader_reset(struct gadget *gadget)
{
}

static void bootloader_stats(struct gadget *gadget, char *text, size_t size)
{
    const struct bootloader *bootloader = gadget->state;
    snprintf(text, size, " bootloader.application=%d bootloader.switches=%llu",
             bootloader->application, (unsigned long long) bootloader->switches);
}

const struct gadget_ops bootloader_gadget = {
    .kind = "bootloader",
    .vendor_id = 0x1209,
    .product_id = BOOTLOADER_APPLICATION_PRODUCT - 1,
    .product = "Emulated boot loader",
    .speed = LIBUSB_SPEED_HIGH,
    .one_speed = true,
    .max_packet_size0 = 64,
    .bcd_usb = 0x0200,
    .configurations = {{loader_configuration, sizeof loader_configuration}},
    .create = bootloader_create,
    .reset = bootloader_reset,
    .replaced = bootloader_replaced,
    .woken = bootloader_woken,
    .control = bootloader_control,
    .in = bootloader_in,
    .stats = bootloader_stats,
};
