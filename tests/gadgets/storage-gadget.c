/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A memory stick: USB Mass Storage Class, Bulk-Only Transport 1.0. A command goes CBW, data, CSW;
 * what the client expects (H) and what the disk wants to move (D) need not agree, the thirteen
 * cases are those of 6.7.
 */
#include "gadget.h"
#include "storage-scsi.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BULK_IN         0x81
#define BULK_OUT        0x02
#define UAS_STATUS      0x83
#define UAS_COMMAND     0x04
#define CBW_LENGTH      31
#define CBW_SIGNATURE   0x43425355
#define CSW_LENGTH      13
#define CSW_SIGNATURE   0x53425355
#define REQUEST_RESET   0xff
#define REQUEST_MAX_LUN 0xfe

enum csw_status { CSW_PASSED, CSW_FAILED, CSW_PHASE_ERROR };

enum storage_state {
    STORAGE_COMMAND, /* waits for a CBW */
    STORAGE_DATA_IN,
    STORAGE_DATA_OUT,
    STORAGE_STALL_IN,  /* no data to give: stall once, then status */
    STORAGE_STALL_OUT, /* no data wanted: the same */
    STORAGE_STATUS,
    STORAGE_INVALID, /* after a bad CBW: both pipes stall until reset recovery (6.6.1) */
};

struct storage {
    struct scsi_disk disk;
    struct scsi_command command;
    enum storage_state state;
    uint32_t tag, expected, moved; /* expected: dCBWDataTransferLength */
    size_t packet_size;
    uint32_t data_end; /* the data stage is over at this many bytes */
    enum csw_status status;
};

/* clang-format off */
static const uint8_t configuration[] = {
    9, LIBUSB_DT_CONFIG, 32, 0, 1, 1, 0, 0x80, 100,
    9, LIBUSB_DT_INTERFACE, 0, 0, 2, LIBUSB_CLASS_MASS_STORAGE, 0x06, 0x50, 0,
    7, LIBUSB_DT_ENDPOINT, BULK_IN, LIBUSB_TRANSFER_TYPE_BULK, 0x00, 0x02, 0,
    7, LIBUSB_DT_ENDPOINT, BULK_OUT, LIBUSB_TRANSFER_TYPE_BULK, 0x00, 0x02, 0,
};
/* clang-format on */

/* `uas=1`: a second setting that needs streams. It is there to be seen and not chosen: its pipes
 * stall. */
#define PIPE_USAGE(pipe) 4, 0x24, pipe, 0
/* clang-format off */
static const uint8_t uas_configuration[] = {
    9, LIBUSB_DT_CONFIG, 85, 0, 1, 1, 0, 0x80, 100,
    9, LIBUSB_DT_INTERFACE, 0, 0, 2, LIBUSB_CLASS_MASS_STORAGE, 0x06, 0x50, 0,
    7, LIBUSB_DT_ENDPOINT, BULK_IN, LIBUSB_TRANSFER_TYPE_BULK, 0x00, 0x02, 0,
    7, LIBUSB_DT_ENDPOINT, BULK_OUT, LIBUSB_TRANSFER_TYPE_BULK, 0x00, 0x02, 0,
    9, LIBUSB_DT_INTERFACE, 0, 1, 4, LIBUSB_CLASS_MASS_STORAGE, 0x06, 0x62, 0,
    7, LIBUSB_DT_ENDPOINT, BULK_IN, LIBUSB_TRANSFER_TYPE_BULK, 0x00, 0x02, 0,
    PIPE_USAGE(3), /* data in */
    7, LIBUSB_DT_ENDPOINT, BULK_OUT, LIBUSB_TRANSFER_TYPE_BULK, 0x00, 0x02, 0,
    PIPE_USAGE(4), /* data out */
    7, LIBUSB_DT_ENDPOINT, UAS_STATUS, LIBUSB_TRANSFER_TYPE_BULK, 0x00, 0x02, 0,
    PIPE_USAGE(2),
    7, LIBUSB_DT_ENDPOINT, UAS_COMMAND, LIBUSB_TRANSFER_TYPE_BULK, 0x00, 0x02, 0,
    PIPE_USAGE(1),
};
/* clang-format on */

static uint32_t le32(const uint8_t *bytes)
{
    return bytes[0] | (uint32_t) bytes[1] << 8 | (uint32_t) bytes[2] << 16 |
           (uint32_t) bytes[3] << 24;
}

static void put_le32(uint8_t *bytes, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        bytes[i] = (uint8_t) (value >> (8 * i));
}

/* --- Command -------------------------------------------------------------------------------------
 */

/* What follows the CBW, from what the client expects and what the disk wants. */
static void choose_data_stage(struct storage *storage, bool client_reads)
{
    const struct scsi_command *command = &storage->command;
    uint64_t wanted = command->length;
    bool same_direction = (command->direction == SCSI_TO_CLIENT) == client_reads || wanted == 0;
    storage->moved = 0;
    storage->data_end = 0;
    storage->status = command->failed ? CSW_FAILED : CSW_PASSED;
    if (wanted > storage->expected || !same_direction)
        storage->status = CSW_PHASE_ERROR; /* cases 2, 3, 7, 8, 10, 13 */
    if (storage->expected == 0) {
        storage->state = STORAGE_STATUS; /* cases 1, 2, 3 */
    } else if (wanted == 0 || !same_direction) {
        storage->state = client_reads ? STORAGE_STALL_IN : STORAGE_STALL_OUT; /* 4, 8, 9, 10 */
    } else {
        storage->data_end = wanted < storage->expected ? (uint32_t) wanted : storage->expected;
        storage->state = client_reads ? STORAGE_DATA_IN : STORAGE_DATA_OUT; /* 5-7, 11-13 */
    }
}

static enum gadget_reply take_command(struct storage *storage, const uint8_t *cbw, size_t length)
{
    if (length != CBW_LENGTH || le32(cbw) != CBW_SIGNATURE || (cbw[13] & 0xf0) != 0 ||
        cbw[14] == 0 || cbw[14] > 16) {
        storage->state = STORAGE_INVALID;
        return GADGET_STALL;
    }
    storage->tag = le32(cbw + 4);
    storage->expected = le32(cbw + 8);
    scsi_begin(&storage->disk, cbw + 15, cbw[14], cbw[13], &storage->command);
    choose_data_stage(storage, (cbw[12] & 0x80) != 0);
    return GADGET_DONE;
}

/* --- Data ----------------------------------------------------------------------------------------
 */

static enum gadget_reply give_data(struct storage *storage, uint8_t *data, size_t room,
                                   size_t *length)
{
    const struct scsi_command *command = &storage->command;
    size_t rest = storage->data_end - storage->moved;
    *length = rest < room ? rest : room;
    if (!command->medium)
        memcpy(data, command->answer + storage->moved, *length);
    else if (!scsi_read(&storage->disk, command->offset + storage->moved, data, *length)) {
        *length = 0;
        storage->status = CSW_FAILED;
        storage->state = STORAGE_STATUS;
        return GADGET_STALL;
    }
    storage->moved += (uint32_t) *length;
    /* Less than the client expects ends with a short packet, which may have to be an empty one
     * (case 5). */
    bool short_packet = *length % storage->packet_size != 0 || *length == 0;
    if (storage->moved == storage->data_end &&
        (storage->moved == storage->expected || short_packet))
        storage->state = STORAGE_STATUS;
    return GADGET_DONE;
}

static enum gadget_reply take_data(struct storage *storage, const uint8_t *data, size_t length,
                                   size_t *taken)
{
    size_t rest = storage->data_end - storage->moved;
    *taken = length < rest ? length : rest;
    if (length > rest && rest % storage->packet_size != 0)
        return GADGET_STALL; /* one packet with more than the data */
    if (storage->status == CSW_PASSED &&
        !scsi_write(&storage->disk, storage->command.offset + storage->moved, data, *taken))
        storage->status = CSW_FAILED;
    storage->moved += (uint32_t) *taken;
    if (storage->moved == storage->data_end)
        storage->state =
            storage->moved < storage->expected ? STORAGE_STALL_OUT : STORAGE_STATUS; /* case 11 */
    return GADGET_DONE;
}

static enum gadget_reply give_status(struct storage *storage, uint8_t *data, size_t room,
                                     size_t *length)
{
    uint8_t csw[CSW_LENGTH];
    put_le32(csw, CSW_SIGNATURE);
    put_le32(csw + 4, storage->tag);
    put_le32(csw + 8, storage->expected - storage->moved);
    csw[12] = (uint8_t) storage->status;
    *length = room < sizeof csw ? room : sizeof csw;
    memcpy(data, csw, *length);
    storage->state = STORAGE_COMMAND;
    return GADGET_DONE;
}

/* --- Endpoints -----------------------------------------------------------------------------------
 */

static enum gadget_reply storage_in(struct gadget *gadget, uint8_t endpoint, uint8_t *data,
                                    size_t room, size_t *length)
{
    struct storage *storage = gadget->state;
    if (gadget->alternate[0] != 0)
        return GADGET_STALL;
    switch (storage->state) {
    case STORAGE_DATA_IN: return give_data(storage, data, room, length);
    case STORAGE_STALL_IN: storage->state = STORAGE_STATUS; return GADGET_STALL;
    case STORAGE_STALL_OUT: /* a client that sends nothing may ask for the status at once */
    case STORAGE_STATUS: return give_status(storage, data, room, length);
    case STORAGE_INVALID: return GADGET_STALL;
    case STORAGE_COMMAND:
    case STORAGE_DATA_OUT: return GADGET_NAK;
    }
    abort();
}

static enum gadget_reply storage_out(struct gadget *gadget, uint8_t endpoint, const uint8_t *data,
                                     size_t length, size_t *taken)
{
    struct storage *storage = gadget->state;
    *taken = length;
    if (gadget->alternate[0] != 0)
        return GADGET_STALL;
    switch (storage->state) {
    case STORAGE_COMMAND: return take_command(storage, data, length);
    case STORAGE_DATA_OUT: return take_data(storage, data, length, taken);
    case STORAGE_STALL_OUT: storage->state = STORAGE_STATUS; return GADGET_STALL;
    case STORAGE_INVALID: return GADGET_STALL;
    case STORAGE_DATA_IN:
    case STORAGE_STALL_IN:
    case STORAGE_STATUS: return GADGET_NAK;
    }
    abort();
}

static enum gadget_reply storage_control(struct gadget *gadget,
                                         const struct libusb_control_setup *setup, uint8_t *data,
                                         size_t *length)
{
    struct storage *storage = gadget->state;
    const uint8_t out = LIBUSB_REQUEST_TYPE_CLASS | LIBUSB_RECIPIENT_INTERFACE;
    if (setup->bRequest == REQUEST_RESET && setup->bmRequestType == out) {
        storage->state = STORAGE_COMMAND; /* halts stay, the client clears them (3.1) */
        return GADGET_DONE;
    }
    if (setup->bRequest == REQUEST_MAX_LUN && setup->bmRequestType == (out | LIBUSB_ENDPOINT_IN) &&
        *length > 0) {
        data[0] = 0;
        *length = 1;
        return GADGET_DONE;
    }
    return GADGET_STALL;
}

/* --- Life ----------------------------------------------------------------------------------------
 */

static bool open_image(struct storage *storage, struct gadget_options *options)
{
    const char *path = gadget_options_string(options, "image", NULL);
    unsigned long read_only = 0;
    struct stat status;
    if (!path) {
        gadget_options_fail(options, "needs image=PATH, the file with the stick's blocks");
        return false;
    }
    if (!gadget_options_number(options, "read-only", 1, &read_only))
        return false;
    storage->disk.read_only = read_only;
    storage->disk.fd = open(path, (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC);
    if (storage->disk.fd < 0 || fstat(storage->disk.fd, &status) < 0) {
        gadget_options_fail(options, "cannot open the image %s: %s", path, strerror(errno));
        return false;
    }
    storage->disk.blocks = (uint64_t) status.st_size / SCSI_BLOCK_SIZE;
    if (storage->disk.blocks == 0) {
        gadget_options_fail(options, "the image %s has no whole block of %d bytes", path,
                            SCSI_BLOCK_SIZE);
        return false;
    }
    return true;
}

static bool storage_create(struct gadget *gadget, struct gadget_options *options)
{
    struct storage *storage = calloc(1, sizeof *storage);
    unsigned long uas = 0;
    if (!storage)
        return false;
    storage->disk.fd = -1;
    storage->disk.serial = gadget->strings[GADGET_SERIAL];
    if (!gadget_options_number(options, "uas", 1, &uas) || !open_image(storage, options)) {
        if (storage->disk.fd >= 0)
            close(storage->disk.fd);
        free(storage);
        return false;
    }
    if (uas)
        gadget->configurations[0] =
            (struct gadget_blob){uas_configuration, sizeof uas_configuration};
    gadget->state = storage;
    return true;
}

static void storage_reset(struct gadget *gadget)
{
    struct storage *storage = gadget->state;
    storage->packet_size = gadget_bulk_packet(gadget->speed);
    storage->state = STORAGE_COMMAND;
}

static void storage_stats(struct gadget *gadget, char *text, size_t size)
{
    const struct scsi_disk *disk = &((struct storage *) gadget->state)->disk;
    snprintf(text, size, " scsi.commands=%llu scsi.blocks-read=%llu scsi.blocks-written=%llu",
             (unsigned long long) disk->commands, (unsigned long long) disk->blocks_read,
             (unsigned long long) disk->blocks_written);
}

const struct gadget_ops storage_gadget = {
    .kind = "storage",
    .vendor_id = 0x1209,
    .product_id = 0x0001,
    .product = "Emulated stick",
    .speed = LIBUSB_SPEED_HIGH,
    .kernel_driver = true,
    .max_packet_size0 = 64,
    .bcd_usb = 0x0200,
    .configurations = {{configuration, sizeof configuration}},
    .create = storage_create,
    .reset = storage_reset,
    .control = storage_control,
    .in = storage_in,
    .out = storage_out,
    .stats = storage_stats,
};
