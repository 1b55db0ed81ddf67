/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A guest's driver for Bulk-Only Transport disks ([BOT] = USB Mass Storage Class Bulk-Only
 * Transport 1.0), one command at a time as Linux's usb-storage. Errors as of guest-requests.h. */
#pragma once

#include "guest-requests.h"

typedef struct {
    GuestSocket *socket;
    uint8_t interface, in, out;
    uint32_t tag;
    char name[28]; /* vendor, product and revision of INQUIRY */
    uint32_t blocks;
    uint32_t block_size;
} GuestDisk;

/* Finds the disk of the attached device and makes it ready. */
bool guest_disk_open(GuestDisk *disk, GuestSocket *socket, GError **error);

/* @data has room for, or holds, @count blocks. */
bool guest_disk_read(GuestDisk *disk, uint32_t block, uint16_t count, uint8_t *data,
                     GError **error);
bool guest_disk_write(GuestDisk *disk, uint32_t block, uint16_t count, const uint8_t *data,
                      GError **error);
bool guest_disk_flush(GuestDisk *disk, GError **error);

/* Blocks per command that Linux uses: 120 KiB, at SuperSpeed 1 MiB. */
uint16_t guest_disk_chunk(const GuestDisk *disk);
