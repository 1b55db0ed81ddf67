/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "storage-scsi.h"

#include <string.h>
#include <unistd.h>

enum {
    TEST_UNIT_READY = 0x00,
    REQUEST_SENSE = 0x03,
    INQUIRY = 0x12,
    MODE_SENSE_6 = 0x1a,
    START_STOP_UNIT = 0x1b,
    PREVENT_ALLOW_MEDIUM_REMOVAL = 0x1e,
    READ_FORMAT_CAPACITIES = 0x23,
    READ_CAPACITY_10 = 0x25,
    READ_10 = 0x28,
    WRITE_10 = 0x2a,
    VERIFY_10 = 0x2f,
    SYNCHRONIZE_CACHE_10 = 0x35,
    MODE_SENSE_10 = 0x5a,
    READ_16 = 0x88,
    WRITE_16 = 0x8a,
    SERVICE_ACTION_IN_16 = 0x9e,
    REPORT_LUNS = 0xa0,
};

#define READ_CAPACITY_16 0x10 /* service action */

#define SENSE_MEDIUM_ERROR    0x03
#define SENSE_ILLEGAL_REQUEST 0x05
#define SENSE_DATA_PROTECT    0x07

#define CODE_WRITE_ERROR     0x0c00
#define CODE_READ_ERROR      0x1100
#define CODE_BAD_OPCODE      0x2000
#define CODE_LBA_OUT         0x2100
#define CODE_BAD_FIELD       0x2400
#define CODE_NO_LOGICAL_UNIT 0x2500
#define CODE_WRITE_PROTECTED 0x2700

static uint16_t be16(const uint8_t *bytes)
{
    return (uint16_t) (bytes[0] << 8 | bytes[1]);
}

static uint32_t be32(const uint8_t *bytes)
{
    return (uint32_t) be16(bytes) << 16 | be16(bytes + 2);
}

static uint64_t be64(const uint8_t *bytes)
{
    return (uint64_t) be32(bytes) << 32 | be32(bytes + 4);
}

static void put_be32(uint8_t *bytes, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        bytes[i] = (uint8_t) (value >> (24 - 8 * i));
}

static void put_be64(uint8_t *bytes, uint64_t value)
{
    put_be32(bytes, (uint32_t) (value >> 32));
    put_be32(bytes + 4, (uint32_t) value);
}

static void set_sense(struct scsi_disk *disk, uint8_t key, uint16_t code)
{
    disk->sense_key = key;
    disk->sense_code = code;
}

static void fail(struct scsi_disk *disk, struct scsi_command *command, uint8_t key, uint16_t code)
{
    command->direction = SCSI_NO_DATA;
    command->length = 0;
    command->failed = true;
    set_sense(disk, key, code);
}

/* An answer of `size` bytes, cut at the allocation length of the command. */
static void give(struct scsi_command *command, size_t size, uint32_t allocation)
{
    command->direction = SCSI_TO_CLIENT;
    command->length = size < allocation ? size : allocation;
}

/* --- What the disk is ----------------------------------------------------------------------------
 */

/* Vital product data ([SPC-4] 7.8): list of pages, serial number. */
static void inquiry_page(struct scsi_disk *disk, const uint8_t *cdb, struct scsi_command *command)
{
    uint8_t *page = command->answer;
    const char *serial = disk->serial ? disk->serial : "";
    size_t length = 0;
    page[1] = cdb[2];
    switch (cdb[2]) {
    case 0x00:
        page[4 + length++] = 0x00;
        page[4 + length++] = 0x80;
        break;
    case 0x80:
        length = strnlen(serial, 64);
        memcpy(page + 4, serial, length);
        break;
    default: fail(disk, command, SENSE_ILLEGAL_REQUEST, CODE_BAD_FIELD); return;
    }
    page[3] = (uint8_t) length;
    give(command, 4 + length, be16(cdb + 3));
}

static void inquiry(struct scsi_disk *disk, const uint8_t *cdb, struct scsi_command *command)
{
    uint8_t *answer = command->answer;
    if (cdb[1] & 1) {
        inquiry_page(disk, cdb, command);
        return;
    }
    if (cdb[2] != 0) {
        fail(disk, command, SENSE_ILLEGAL_REQUEST, CODE_BAD_FIELD);
        return;
    }
    answer[1] = 0x80; /* removable */
    answer[2] = 0x06; /* SPC-4 */
    answer[3] = 0x02;
    answer[4] = 36 - 5;
    memcpy(answer + 8, "RDPUSB  Emulated stick  0100", 28);
    give(command, 36, be16(cdb + 3));
}

static void read_capacity_10(struct scsi_disk *disk, struct scsi_command *command)
{
    uint64_t last = disk->blocks - 1;
    put_be32(command->answer, last > UINT32_MAX ? UINT32_MAX : (uint32_t) last);
    put_be32(command->answer + 4, SCSI_BLOCK_SIZE);
    give(command, 8, 8);
}

static void read_capacity_16(struct scsi_disk *disk, const uint8_t *cdb,
                             struct scsi_command *command)
{
    if ((cdb[1] & 0x1f) != READ_CAPACITY_16) {
        fail(disk, command, SENSE_ILLEGAL_REQUEST, CODE_BAD_FIELD);
        return;
    }
    put_be64(command->answer, disk->blocks - 1);
    put_be32(command->answer + 8, SCSI_BLOCK_SIZE);
    give(command, 32, be32(cdb + 10));
}

static void read_format_capacities(struct scsi_disk *disk, const uint8_t *cdb,
                                   struct scsi_command *command)
{
    uint8_t *answer = command->answer;
    answer[3] = 8; /* one descriptor: formatted medium */
    put_be32(answer + 4, disk->blocks > UINT32_MAX ? UINT32_MAX : (uint32_t) disk->blocks);
    put_be32(answer + 8, 0x02000000 | SCSI_BLOCK_SIZE);
    give(command, 12, be16(cdb + 7));
}

/* Only the caching page exists, and says that nothing is cached. */
static size_t mode_pages(uint8_t code, uint8_t *pages)
{
    if (code != 0x08 && code != 0x3f)
        return 0;
    pages[0] = 0x08;
    pages[1] = 18;
    return 20;
}

static void mode_sense(struct scsi_disk *disk, const uint8_t *cdb, struct scsi_command *command)
{
    bool six = cdb[0] == MODE_SENSE_6;
    size_t header = six ? 4 : 8;
    uint8_t code = cdb[2] & 0x3f, protect = disk->read_only ? 0x80 : 0;
    size_t pages = mode_pages(code, command->answer + header);
    if (pages == 0 && code != 0) {
        fail(disk, command, SENSE_ILLEGAL_REQUEST, CODE_BAD_FIELD);
        return;
    }
    if (six) {
        command->answer[0] = (uint8_t) (header - 1 + pages);
        command->answer[2] = protect;
    } else {
        command->answer[1] = (uint8_t) (header - 2 + pages);
        command->answer[3] = protect;
    }
    give(command, header + pages, six ? cdb[4] : be16(cdb + 7));
}

static void request_sense(struct scsi_disk *disk, const uint8_t *cdb, struct scsi_command *command)
{
    uint8_t *answer = command->answer;
    answer[0] = 0x70;
    answer[2] = disk->sense_key;
    answer[7] = 18 - 8;
    answer[12] = (uint8_t) (disk->sense_code >> 8);
    answer[13] = (uint8_t) disk->sense_code;
    set_sense(disk, 0, 0);
    give(command, 18, cdb[4]);
}

static void report_luns(const uint8_t *cdb, struct scsi_command *command)
{
    command->answer[3] = 8;
    give(command, 16, be32(cdb + 6));
}

/* --- The medium ----------------------------------------------------------------------------------
 */

static void access_medium(struct scsi_disk *disk, struct scsi_command *command, uint64_t block,
                          uint64_t count, enum scsi_direction direction)
{
    if (block > disk->blocks || count > disk->blocks - block) {
        fail(disk, command, SENSE_ILLEGAL_REQUEST, CODE_LBA_OUT);
        return;
    }
    if (direction == SCSI_FROM_CLIENT && disk->read_only) {
        fail(disk, command, SENSE_DATA_PROTECT, CODE_WRITE_PROTECTED);
        return;
    }
    command->direction = count ? direction : SCSI_NO_DATA;
    command->length = count * SCSI_BLOCK_SIZE;
    command->offset = block * SCSI_BLOCK_SIZE;
    command->medium = true;
    if (direction == SCSI_TO_CLIENT)
        disk->blocks_read += count;
    else
        disk->blocks_written += count;
}

bool scsi_read(struct scsi_disk *disk, uint64_t offset, uint8_t *data, size_t length)
{
    while (length > 0) {
        ssize_t got = pread(disk->fd, data, length, (off_t) offset);
        if (got <= 0) {
            set_sense(disk, SENSE_MEDIUM_ERROR, CODE_READ_ERROR);
            return false;
        }
        data += got;
        offset += (uint64_t) got;
        length -= (size_t) got;
    }
    return true;
}

bool scsi_write(struct scsi_disk *disk, uint64_t offset, const uint8_t *data, size_t length)
{
    while (length > 0) {
        ssize_t put = pwrite(disk->fd, data, length, (off_t) offset);
        if (put <= 0) {
            set_sense(disk, SENSE_MEDIUM_ERROR, CODE_WRITE_ERROR);
            return false;
        }
        data += put;
        offset += (uint64_t) put;
        length -= (size_t) put;
    }
    return true;
}

/* --- Dispatch ------------------------------------------------------------------------------------
 */

static size_t cdb_length(uint8_t opcode)
{
    static const uint8_t by_group[8] = {6, 10, 10, 16, 16, 12, 16, 16};
    return by_group[opcode >> 5];
}

static void run(struct scsi_disk *disk, const uint8_t *cdb, struct scsi_command *command)
{
    switch (cdb[0]) {
    case TEST_UNIT_READY:
    case START_STOP_UNIT:
    case PREVENT_ALLOW_MEDIUM_REMOVAL:
    case SYNCHRONIZE_CACHE_10: /* every write went to the file at once */
    case VERIFY_10: return;
    case REQUEST_SENSE: request_sense(disk, cdb, command); return;
    case INQUIRY: inquiry(disk, cdb, command); return;
    case MODE_SENSE_6:
    case MODE_SENSE_10: mode_sense(disk, cdb, command); return;
    case READ_FORMAT_CAPACITIES: read_format_capacities(disk, cdb, command); return;
    case READ_CAPACITY_10: read_capacity_10(disk, command); return;
    case SERVICE_ACTION_IN_16: read_capacity_16(disk, cdb, command); return;
    case REPORT_LUNS: report_luns(cdb, command); return;
    case READ_10:
    case WRITE_10:
        access_medium(disk, command, be32(cdb + 2), be16(cdb + 7),
                      cdb[0] == READ_10 ? SCSI_TO_CLIENT : SCSI_FROM_CLIENT);
        return;
    case READ_16:
    case WRITE_16:
        access_medium(disk, command, be64(cdb + 2), be32(cdb + 10),
                      cdb[0] == READ_16 ? SCSI_TO_CLIENT : SCSI_FROM_CLIENT);
        return;
    default: fail(disk, command, SENSE_ILLEGAL_REQUEST, CODE_BAD_OPCODE);
    }
}

void scsi_begin(struct scsi_disk *disk, const uint8_t *cdb, size_t length, unsigned lun,
                struct scsi_command *command)
{
    memset(command, 0, sizeof *command);
    disk->commands++;
    if (cdb[0] != REQUEST_SENSE)
        set_sense(disk, 0, 0);
    if (length < cdb_length(cdb[0]))
        fail(disk, command, SENSE_ILLEGAL_REQUEST, CODE_BAD_FIELD);
    else if (lun != 0 && cdb[0] != REQUEST_SENSE)
        fail(disk, command, SENSE_ILLEGAL_REQUEST, CODE_NO_LOGICAL_UNIT);
    else
        run(disk, cdb, command);
}
