/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A control channel with any messages. Each is a byte for its length and that many bytes; length
 * 255 lets three seconds pass, 254 and 253 are the right answers of the hand-shake.
 */
#include <string.h>

#include <rdpusb/urbdrc.h>

#include "wire/message.h"

#include "require.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PASS_TIME = 255, CAPABILITIES = 254, CREATED = 253 };

static const uint8_t capabilities[16] = {[8] = 1};
static const uint8_t created[24] = {3, 0, 0, 0x40, [9] = 1, [12] = 1};

/* False when the channel is over. */
static bool feed(RdpusbControlChannel *channel, const uint8_t *data, size_t size, int64_t now)
{
    g_autofree uint8_t *exact = g_memdup2(data, size);
    g_autoptr(GError) error = NULL;
    bool taken = rdpusb_control_channel_feed(channel, exact, size, now, &error);
    REQUIRE(taken == !error);
    return taken;
}

static bool tick(RdpusbControlChannel *channel, int64_t now)
{
    g_autoptr(GError) error = NULL;
    bool fine = rdpusb_control_channel_tick(channel, now, &error);
    REQUIRE(fine == !error);
    REQUIRE(fine == (rdpusb_control_channel_deadline(channel) > now));
    return fine;
}

static void drain(RdpusbControlChannel *channel)
{
    GBytes *message;
    while ((message = rdpusb_control_channel_next_message(channel))) {
        size_t size;
        const uint8_t *data = g_bytes_get_data(message, &size);
        WireMessage m;
        REQUIRE(wire_message_read(&m, wire_kind_from_server(data, size, WIRE_INTERFACE_NOT_KNOWN),
                                  data, size));
        g_bytes_unref(message);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autoptr(RdpusbControlChannel) channel = rdpusb_control_channel_new();
    int64_t now = 0;
    rdpusb_control_channel_opened(channel, now);
    for (bool is_open = true; is_open && size > 0;) {
        uint8_t length = *data++;
        size--;
        if (length == PASS_TIME) {
            is_open = tick(channel, now += 3 * G_TIME_SPAN_SECOND);
        } else if (length == CAPABILITIES) {
            is_open = feed(channel, capabilities, sizeof capabilities, now);
        } else if (length == CREATED) {
            is_open = feed(channel, created, sizeof created, now);
        } else {
            length = (uint8_t) MIN(length, size);
            is_open = feed(channel, data, length, now);
            data += length;
            size -= length;
        }
        drain(channel);
        /* Nobody announces a device before the hand-shake is over */
        bool is_ready = rdpusb_control_channel_deadline(channel) == RDPUSB_NO_DEADLINE;
        REQUIRE(rdpusb_control_channel_take_additions(channel) == 0 || is_ready);
    }
    return 0;
}
