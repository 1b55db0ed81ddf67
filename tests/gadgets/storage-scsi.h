/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The disk of the emulated stick: one SCSI direct-access logical unit with 512-byte blocks in a
 * file. Knows commands and their data, nothing of USB.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SCSI_BLOCK_SIZE 512
#define SCSI_ANSWER_MAX 256

enum scsi_direction { SCSI_NO_DATA, SCSI_TO_CLIENT, SCSI_FROM_CLIENT };

struct scsi_disk {
    int fd;
    uint64_t blocks;
    bool read_only;
    const char *serial; /* belongs to the gadget; may be NULL */
    uint8_t sense_key;
    uint16_t sense_code; /* ASC and ASCQ */
    uint64_t commands, blocks_read, blocks_written;
};

/* What a command does. Data is either `answer` or `length` bytes of the medium from `offset`. */
struct scsi_command {
    enum scsi_direction direction;
    uint64_t length; /* bytes that the disk wants to move */
    bool medium;
    uint64_t offset;
    bool failed; /* CHECK CONDITION; the sense data says why */
    uint8_t answer[SCSI_ANSWER_MAX];
};

void scsi_begin(struct scsi_disk *disk, const uint8_t *cdb, size_t length, unsigned lun,
                struct scsi_command *command);
/* Moves medium data; false on an error of the file, with the sense data set. */
bool scsi_read(struct scsi_disk *disk, uint64_t offset, uint8_t *data, size_t length);
bool scsi_write(struct scsi_disk *disk, uint64_t offset, const uint8_t *data, size_t length);
