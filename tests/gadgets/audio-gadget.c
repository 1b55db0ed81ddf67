/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A sound card: what is played may be recorded to a file, and the microphone hears a counter. */
#include "audio-gadget.h"

#include "gadget-bus.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FRAME_BYTES        4
#define SET_CUR            0x01
#define GET_CUR            0x81
#define SAMPLING_FREQUENCY 0x0100

struct audio {
    int record; /* -1: not wanted */
    uint32_t playback_rate, capture_rate;
    bool started;
    uint32_t next; /* the frame that should be played */
    uint64_t played, silent, breaks, captured;
};

/* clang-format off */
static const uint8_t configuration[] = {
    9, LIBUSB_DT_CONFIG, 9 + AUDIO_FUNCTION_LENGTH, 0, 3, 1, 0, 0x80, 50,
    AUDIO_FUNCTION(1),
};
/* clang-format on */
_Static_assert(sizeof configuration == 9 + AUDIO_FUNCTION_LENGTH, "wTotalLength");

/* --- Samples -------------------------------------------------------------------------------------
 */

/* Frames before this interval: 44.1 kHz has a packet of 45 after nine of 44. */
static uint64_t frames_until(struct gadget *gadget, uint64_t interval, uint32_t rate)
{
    return interval * bus_endpoint(gadget, AUDIO_CAPTURE)->interval * rate / 1000000;
}

static size_t audio_iso_in(struct gadget *gadget, uint8_t endpoint, uint64_t interval,
                           uint8_t *data, size_t room)
{
    struct audio *audio = gadget->state;
    uint64_t first = frames_until(gadget, interval, audio->capture_rate);
    uint64_t end = frames_until(gadget, interval + 1, audio->capture_rate);
    size_t length = (size_t) (end - first) * FRAME_BYTES;
    for (size_t i = 0; i < length && i < room; i++)
        data[i] = audio_byte((uint32_t) (first + i / FRAME_BYTES), i % FRAME_BYTES);
    audio->captured += end - first;
    return length;
}

static void check_frame(struct audio *audio, uint32_t frame)
{
    audio->played++;
    if (frame == 0 && !(audio->started && audio->next == 0)) {
        audio->silent++;
        return;
    }
    audio->breaks += audio->started && frame != audio->next;
    audio->started = true;
    audio->next = frame + 1;
}

static void record(struct audio *audio, const uint8_t *data, size_t length)
{
    while (length > 0 && audio->record >= 0) {
        ssize_t written = write(audio->record, data, length);
        if (written <= 0) {
            fprintf(stderr, "gadgets: audio: cannot record: %s\n", strerror(errno));
            close(audio->record);
            audio->record = -1;
            return;
        }
        data += written;
        length -= (size_t) written;
    }
}

static void audio_iso_out(struct gadget *gadget, uint8_t endpoint, uint64_t interval,
                          const uint8_t *data, size_t length)
{
    struct audio *audio = gadget->state;
    for (size_t at = 0; at + FRAME_BYTES <= length; at += FRAME_BYTES)
        check_frame(audio, data[at] | (uint32_t) data[at + 1] << 8 | (uint32_t) data[at + 2] << 16 |
                               (uint32_t) data[at + 3] << 24);
    record(audio, data, length);
}

/* --- Requests ------------------------------------------------------------------------------------
 */

static bool set_rate(uint32_t *rate, const uint8_t *data, size_t length)
{
    if (length != 3)
        return false;
    uint32_t wanted = data[0] | (uint32_t) data[1] << 8 | (uint32_t) data[2] << 16;
    if (wanted != 44100 && wanted != 48000)
        return false;
    *rate = wanted;
    return true;
}

/* [Audio 1.0] 5.2.3.2.3.1, of an endpoint. */
static enum gadget_reply audio_control(struct gadget *gadget,
                                       const struct libusb_control_setup *setup, uint8_t *data,
                                       size_t *length)
{
    struct audio *audio = gadget->state;
    const uint8_t out = LIBUSB_REQUEST_TYPE_CLASS | LIBUSB_RECIPIENT_ENDPOINT;
    uint8_t endpoint = (uint8_t) setup->wIndex;
    uint32_t *rate = endpoint == AUDIO_PLAYBACK  ? &audio->playback_rate
                     : endpoint == AUDIO_CAPTURE ? &audio->capture_rate
                                                 : NULL;
    if (!rate || setup->wValue != SAMPLING_FREQUENCY)
        return GADGET_STALL;
    if (setup->bmRequestType == out && setup->bRequest == SET_CUR)
        return set_rate(rate, data, *length) ? GADGET_DONE : GADGET_STALL;
    if (setup->bmRequestType != (out | LIBUSB_ENDPOINT_IN) || setup->bRequest != GET_CUR)
        return GADGET_STALL;
    for (size_t i = 0; i < *length && i < 3; i++)
        data[i] = (uint8_t) (*rate >> (8 * i));
    *length = *length < 3 ? *length : 3;
    return GADGET_DONE;
}

/* --- Life ----------------------------------------------------------------------------------------
 */

static bool audio_create(struct gadget *gadget, struct gadget_options *options)
{
    struct audio *audio = calloc(1, sizeof *audio);
    const char *path = gadget_options_string(options, "record", NULL);
    if (!audio)
        return false;
    audio->record = path ? open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600) : -1;
    if (path && audio->record < 0) {
        gadget_options_fail(options, "cannot record to %s: %s", path, strerror(errno));
        free(audio);
        return false;
    }
    gadget->state = audio;
    return true;
}

static void audio_reset(struct gadget *gadget)
{
    struct audio *audio = gadget->state;
    audio->playback_rate = audio->capture_rate = 48000;
}

/* The counts of a stream stay to be asked for after it has ended. */
static void audio_alternate_set(struct gadget *gadget, uint8_t interface)
{
    struct audio *audio = gadget->state;
    if (gadget->alternate[interface] == 0)
        return;
    if (interface == AUDIO_CAPTURE_INTERFACE) {
        audio->captured = 0;
        return;
    }
    audio->started = false;
    audio->played = audio->silent = audio->breaks = 0;
}

static void audio_stats(struct gadget *gadget, char *text, size_t size)
{
    const struct audio *audio = gadget->state;
    snprintf(text, size,
             " audio.played=%llu audio.silent=%llu audio.breaks=%llu audio.captured=%llu "
             "audio.playback-rate=%u audio.capture-rate=%u",
             (unsigned long long) audio->played, (unsigned long long) audio->silent,
             (unsigned long long) audio->breaks, (unsigned long long) audio->captured,
             audio->playback_rate, audio->capture_rate);
}

const struct gadget_ops audio_gadget = {
    .kind = "audio",
    .vendor_id = 0x1209,
    .product_id = 0x0007,
    .product = "Emulated sound card",
    .speed = LIBUSB_SPEED_FULL,
    .kernel_driver = true,
    .max_packet_size0 = 64,
    .bcd_usb = 0x0200,
    .configurations = {{configuration, sizeof configuration}},
    .create = audio_create,
    .reset = audio_reset,
    .control = audio_control,
    .iso_in = audio_iso_in,
    .iso_out = audio_iso_out,
    .alternate_set = audio_alternate_set,
    .stats = audio_stats,
};
