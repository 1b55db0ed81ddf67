/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A device with two identities: a boot loader, and the application that it starts. The application
 * has another id, other interfaces and an endpoint.
 */
#pragma once

#define BOOTLOADER_APPLICATION_PRODUCT 0x0006 /* the boot loader's is 0x0005 */
#define BOOTLOADER_SOURCE              0x81   /* of the application: bulk, zeros */

/* Vendor requests to the device. */
enum bootloader_request {
    /* OUT: the other identity shows after the next reset (wValue 0), or at once: the device leaves
     * the bus by itself and comes back (wValue 1). */
    BOOTLOADER_SWITCH = 1,
    BOOTLOADER_IDENTITY = 2, /* IN: one byte, 0 for the boot loader, 1 for the application */
};
