/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Configurations of the vendor device that are lawful and unusual. */
#include "vendor-gadget.h"

#include "gadget.h"

/* clang-format off */
#define BULK(address) 7, LIBUSB_DT_ENDPOINT, address, LIBUSB_TRANSFER_TYPE_BULK, 0x00, 0x02, 0
#define INTERRUPT(address) \
    7, LIBUSB_DT_ENDPOINT, address, LIBUSB_TRANSFER_TYPE_INTERRUPT, 64, 0, 4
#define INTERFACE(number, endpoints) \
    9, LIBUSB_DT_INTERFACE, number, 0, endpoints, LIBUSB_CLASS_VENDOR_SPEC, 0, 0, 0

/* Two interfaces that are not numbered from 0 on, and not in a row. */
static const uint8_t gaps[] = {
    9, LIBUSB_DT_CONFIG, 83, 0, 2, 1, 0, 0x80, 50,
    INTERFACE(2, 4),
    BULK(VENDOR_BULK_SOURCE), BULK(VENDOR_BULK_SINK),
    BULK(VENDOR_BULK_LOOPBACK_IN), BULK(VENDOR_BULK_LOOPBACK_OUT),
    INTERFACE(5, 4),
    INTERRUPT(VENDOR_INTERRUPT_SOURCE), INTERRUPT(VENDOR_INTERRUPT_SINK),
    INTERRUPT(VENDOR_INTERRUPT_LOOPBACK_IN), INTERRUPT(VENDOR_INTERRUPT_LOOPBACK_OUT),
};

/* A second configuration: one interface, and neither value nor endpoints are the first one's. */
static const uint8_t second[] = {
    9, LIBUSB_DT_CONFIG, 46, 0, 1, VENDOR_SECOND_CONFIGURATION, 0, 0x80, 50,
    INTERFACE(0, 4),
    BULK(VENDOR_BULK_LOOPBACK_IN), BULK(VENDOR_BULK_LOOPBACK_OUT),
    INTERRUPT(VENDOR_INTERRUPT_SOURCE), INTERRUPT(VENDOR_INTERRUPT_SINK),
};
/* clang-format on */
_Static_assert(sizeof gaps == 83 && sizeof second == 46, "wTotalLength");

const struct gadget_blob vendor_gaps = {gaps, sizeof gaps};
const struct gadget_blob vendor_second = {second, sizeof second};
