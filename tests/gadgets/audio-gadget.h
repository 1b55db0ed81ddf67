/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The sound card's numbers and data: USB Audio 1.0, stereo, 16 bit, 44.1 and 48 kHz, three
 * interfaces: control, playback and capture.
 */
#pragma once

#include <stdint.h>

#define AUDIO_PLAYBACK           0x01
#define AUDIO_CAPTURE            0x82
#define AUDIO_PLAYBACK_INTERFACE 1
#define AUDIO_CAPTURE_INTERFACE  2
#define AUDIO_PACKET             192 /* each 1 ms: 48 frames of 4 bytes, or 44 and 45 */

/* Capture gives frames that count up in time from SET_INTERFACE on, 32 bits little-endian: the left
 * sample is the lower half. Playback compares with the same: what does not follow the frame before
 * it, and is not silence, is a break. */
static inline uint8_t audio_byte(uint32_t frame, unsigned offset)
{
    return (uint8_t) (frame >> (8 * offset));
}

/* clang-format off */
#define AUDIO_STREAM(interface, terminal, address, attributes, interval) \
    9, 4, interface, 0, 0, 1, 2, 0, 0, \
    9, 4, interface, 1, 1, 1, 2, 0, 0, \
    7, 0x24, 0x01, terminal, 1, 0x01, 0x00,              /* PCM */ \
    14, 0x24, 0x02, 0x01, 2, 2, 16, 2, \
        0x44, 0xac, 0x00, 0x80, 0xbb, 0x00,              /* 44100, 48000 */ \
    9, 5, address, attributes, AUDIO_PACKET, 0, interval, 0, 0, \
    7, 0x25, 0x01, 0x01, 0, 0, 0                         /* has a sampling frequency */

/* Interfaces 0 to 2 and all that belongs to them; the interval is 1 ms as the speed writes it. */
#define AUDIO_FUNCTION(interval) \
    9, 4, 0, 0, 0, 1, 1, 0, 0, \
    10, 0x24, 0x01, 0x00, 0x01, 52, 0, 2, AUDIO_PLAYBACK_INTERFACE, AUDIO_CAPTURE_INTERFACE, \
    12, 0x24, 0x02, 1, 0x01, 0x01, 0, 2, 0x03, 0x00, 0, 0, /* from USB */ \
    9, 0x24, 0x03, 2, 0x01, 0x03, 0, 1, 0,                 /* to the speaker */ \
    12, 0x24, 0x02, 3, 0x01, 0x02, 0, 2, 0x03, 0x00, 0, 0, /* from the microphone */ \
    9, 0x24, 0x03, 4, 0x01, 0x01, 0, 3, 0,                 /* to USB */ \
    AUDIO_STREAM(AUDIO_PLAYBACK_INTERFACE, 1, AUDIO_PLAYBACK, 0x09, interval), \
    AUDIO_STREAM(AUDIO_CAPTURE_INTERFACE, 4, AUDIO_CAPTURE, 0x05, interval)
/* clang-format on */
#define AUDIO_FUNCTION_LENGTH (9 + 52 + 2 * 55)
