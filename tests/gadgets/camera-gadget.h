/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The camera's numbers and pictures: USB Video 1.0, YUY2, 160 x 120, 25 frames a second. Interface
 * 0 controls, interface 1 streams: isochronous in settings 1 to 3, or bulk in setting 0 (`bulk=1`).
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define CAMERA_VIDEO          0x81
#define CAMERA_INTERFACE      1
#define CAMERA_WIDTH          160
#define CAMERA_HEIGHT         120
#define CAMERA_FRAME_BYTES    38400
#define CAMERA_FRAME_US       40000
#define CAMERA_PAYLOAD_SMALL  1008  /* setting 1, each 1 ms: just enough */
#define CAMERA_PAYLOAD_MEDIUM 1024  /* setting 2, each 125 us */
#define CAMERA_PAYLOAD_LARGE  3072  /* setting 3, each 125 us: high bandwidth */
#define CAMERA_PAYLOAD_BULK   16384 /* the last one of a frame is shorter */
#define CAMERA_HEADER_LENGTH  2     /* of a payload: its length, and these bits */
#define CAMERA_HEADER_FID     0x01  /* changes with each frame */
#define CAMERA_HEADER_EOF     0x02
#define CAMERA_HEADER_EOH     0x80

/* A frame starts with its number since the stream began, 32 bits little-endian; the rest follows
 * from that. Frames that nobody fetched in time are gaps in the numbers. */
static inline uint8_t camera_byte(uint32_t frame, size_t offset)
{
    return (uint8_t) (offset < 4 ? frame >> (8 * offset) : frame + offset);
}
