/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "guest-disk.h"

#include <string.h>

#define CBW_LENGTH 31
#define CSW_LENGTH 13

/* A disk says "unit attention" a few times after it was plugged in. */
#define READY_TRIES 5

#define TEST_UNIT_READY   0x00
#define REQUEST_SENSE     0x03
#define INQUIRY           0x12
#define READ_CAPACITY     0x25
#define READ_10           0x28
#define WRITE_10          0x2a
#define SYNCHRONIZE_CACHE 0x35

static void put_u32le(uint8_t *bytes, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        bytes[i] = (uint8_t) (value >> 8 * i);
}

static void put_u32be(uint8_t *bytes, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        bytes[i] = (uint8_t) (value >> (24 - 8 * i));
}

static uint32_t get_u32be(const uint8_t *bytes)
{
    return (uint32_t) bytes[0] << 24 | (uint32_t) bytes[1] << 16 | (uint32_t) bytes[2] << 8 |
           bytes[3];
}

static bool fail(GError **error, const char *what, uint8_t status)
{
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED, "disk: %s: %s", what,
                usb_status_to_string(status));
    return false;
}

/* [BOT] 5.1 */
static bool send_command(GuestDisk *disk, const uint8_t *cdb, uint8_t cdb_length, bool in,
                         uint32_t length, GError **error)
{
    uint8_t cbw[CBW_LENGTH] = "USBC";

    put_u32le(cbw + 4, ++disk->tag);
    put_u32le(cbw + 8, length);
    cbw[12] = in ? 0x80 : 0x00;
    cbw[14] = cdb_length;
    memcpy(cbw + 15, cdb, cdb_length);
    g_autoptr(FakeGuestEvent) event = guest_bulk(disk->socket, disk->out, cbw, sizeof(cbw), error);
    if (!event)
        return false;
    return event->status == usb_redir_success || fail(error, "CBW", event->status);
}

/* A stall ends the data early; the status tells the rest ([BOT] 6.7). */
static bool move_data(GuestDisk *disk, bool in, uint8_t *data, uint32_t length, uint32_t *moved,
                      GError **error)
{
    uint8_t endpoint = in ? disk->in : disk->out;

    *moved = 0;
    if (length == 0)
        return true;
    g_autoptr(FakeGuestEvent) event = guest_bulk(disk->socket, endpoint, data, length, error);
    if (!event)
        return false;
    if (event->status == usb_redir_stall)
        return guest_clear_halt(disk->socket, endpoint, error);
    if (event->status != usb_redir_success)
        return fail(error, "data", event->status);
    *moved = MIN(event->length, length);
    if (in && event->data)
        memcpy(data, g_bytes_get_data(event->data, NULL),
               MIN(g_bytes_get_size(event->data), length));
    return true;
}

/* [BOT] 5.2; a first stall is cleared ([BOT] 6.7.2, figure 2). Sets @status to bCSWStatus. */
static bool read_status(GuestDisk *disk, uint8_t *status, GError **error)
{
    for (int tries = 0;; tries++) {
        g_autoptr(FakeGuestEvent) event =
            guest_bulk(disk->socket, disk->in, NULL, CSW_LENGTH, error);
        if (!event)
            return false;
        if (event->status == usb_redir_stall && tries == 0) {
            if (!guest_clear_halt(disk->socket, disk->in, error))
                return false;
            continue;
        }
        if (event->status != usb_redir_success)
            return fail(error, "CSW", event->status);

        uint8_t expected[8] = "USBS";
        put_u32le(expected + 4, disk->tag);
        const uint8_t *csw = event->data ? g_bytes_get_data(event->data, NULL) : NULL;
        if (event->length != CSW_LENGTH || memcmp(csw, expected, sizeof(expected)) != 0) {
            g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED,
                        "disk: a CSW of %u bytes is not that of command %u", event->length,
                        disk->tag);
            return false;
        }
        *status = csw[12];
        return true;
    }
}

/* @status is bCSWStatus: 0 passed, 1 failed, 2 phase error. */
static bool transact(GuestDisk *disk, const uint8_t *cdb, uint8_t cdb_length, bool in,
                     uint8_t *data, uint32_t length, uint32_t *moved, uint8_t *status,
                     GError **error)
{
    return send_command(disk, cdb, cdb_length, in, length, error) &&
           move_data(disk, in, data, length, moved, error) && read_status(disk, status, error);
}

/* All of the data, or an error. */
static bool command(GuestDisk *disk, const uint8_t *cdb, uint8_t cdb_length, bool in, uint8_t *data,
                    uint32_t length, GError **error)
{
    uint32_t moved;
    uint8_t status;

    if (!transact(disk, cdb, cdb_length, in, data, length, &moved, &status, error))
        return false;
    if (status == 0 && moved == length)
        return true;
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED,
                "disk: command 0x%02x: status %u after %u of %u bytes", cdb[0], status, moved,
                length);
    return false;
}

static bool await_ready(GuestDisk *disk, GError **error)
{
    static const uint8_t test[6] = {TEST_UNIT_READY};
    static const uint8_t request_sense[6] = {REQUEST_SENSE, 0, 0, 0, 18};
    uint8_t status, sense[18] = {0};

    for (int tries = 0; tries < READY_TRIES; tries++) {
        uint32_t moved;
        if (!transact(disk, test, sizeof(test), false, NULL, 0, &moved, &status, error))
            return false;
        if (status == 0)
            return true;
        if (!transact(disk, request_sense, sizeof(request_sense), true, sense, sizeof(sense),
                      &moved, &status, error))
            return false;
    }
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED, "disk: not ready, sense %u/%02x/%02x",
                sense[2] & 0x0f, sense[12], sense[13]);
    return false;
}

static bool inquire(GuestDisk *disk, GError **error)
{
    static const uint8_t cdb[6] = {INQUIRY, 0, 0, 0, 36};
    uint8_t data[36];

    if (!command(disk, cdb, sizeof(cdb), true, data, sizeof(data), error))
        return false;
    memcpy(disk->name, data + 8, 28);
    for (size_t i = 0; i < sizeof(disk->name); i++) {
        if (!g_ascii_isprint(disk->name[i]))
            disk->name[i] = '?';
    }
    return true;
}

static bool read_capacity(GuestDisk *disk, GError **error)
{
    static const uint8_t cdb[10] = {READ_CAPACITY};
    uint8_t data[8];

    if (!command(disk, cdb, sizeof(cdb), true, data, sizeof(data), error))
        return false;
    disk->blocks = get_u32be(data) + 1;
    disk->block_size = get_u32be(data + 4);
    if (disk->blocks != 0 && disk->block_size >= 512 && disk->block_size <= 4096)
        return true;
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED, "disk: %u blocks of %u bytes", disk->blocks,
                disk->block_size);
    return false;
}

bool guest_disk_open(GuestDisk *disk, GuestSocket *socket, GError **error)
{
    int interface = guest_find_interface(socket, 8, 6, 0x50);

    *disk = (GuestDisk){.socket = socket, .interface = (uint8_t) MAX(interface, 0)};
    disk->in = guest_find_endpoint(socket, disk->interface, usb_redir_type_bulk, 0x80);
    disk->out = guest_find_endpoint(socket, disk->interface, usb_redir_type_bulk, 0x00);
    if (interface < 0 || !disk->in || !disk->out) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED,
                    "the device has no Bulk-Only Transport disk");
        return false;
    }
    /* [BOT] 3.2: a device with one unit may stall this. */
    g_autoptr(GError) stall = NULL;
    G_GNUC_UNUSED g_autoptr(GBytes) max_lun =
        guest_control_in(socket, 0xa1, 0xfe, 0, disk->interface, 1, &stall);
    if (g_error_matches(stall, G_IO_ERROR, G_IO_ERROR_CONNECTION_CLOSED)) {
        g_propagate_error(error, g_steal_pointer(&stall));
        return false;
    }
    return inquire(disk, error) && await_ready(disk, error) && read_capacity(disk, error);
}

static bool transfer(GuestDisk *disk, uint8_t operation, uint32_t block, uint16_t count,
                     uint8_t *data, GError **error)
{
    uint8_t cdb[10] = {operation};

    put_u32be(cdb + 2, block);
    cdb[7] = (uint8_t) (count >> 8);
    cdb[8] = (uint8_t) count;
    return command(disk, cdb, sizeof(cdb), operation == READ_10, data, count * disk->block_size,
                   error);
}

bool guest_disk_read(GuestDisk *disk, uint32_t block, uint16_t count, uint8_t *data, GError **error)
{
    return transfer(disk, READ_10, block, count, data, error);
}

bool guest_disk_write(GuestDisk *disk, uint32_t block, uint16_t count, const uint8_t *data,
                      GError **error)
{
    return transfer(disk, WRITE_10, block, count, (uint8_t *) data, error);
}

bool guest_disk_flush(GuestDisk *disk, GError **error)
{
    static const uint8_t cdb[10] = {SYNCHRONIZE_CACHE};
    return command(disk, cdb, sizeof(cdb), false, NULL, 0, error);
}

uint16_t guest_disk_chunk(const GuestDisk *disk)
{
    const FakeGuest *guest = guest_socket_guest(disk->socket);
    uint16_t size =
        guest ? fake_guest_ep_info(guest)->max_packet_size[fake_guest_slot(disk->in)] : 0;
    return (uint16_t) ((size >= 1024 ? 1 << 20 : 120 << 10) / disk->block_size);
}
