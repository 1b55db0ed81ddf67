/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The control channel, and the hand-shake that every channel begins with. */
#include "dialogue.h"

/* clang-format off */
#define HANDSHAKE                                                                                  \
    "> capabilities 1", "< capabilities 1 0", "> release 0 mask 0", "> created 2 1.0 0",           \
    "< created 1.0", "> release 2 mask 1"

static const struct {
    const char *name;
    const char *lines[24];
} dialogues[] = {
    /* mstsc closes the channel when any of this is missing, and when interface 1 is released */
    {"/urbdrc/rule-01-handshake-control",
     {"control", "? deadline 10s", HANDSHAKE, "? deadline never", "< add-virtual-channel",
      "? additions 1"}},
    {"/urbdrc/rule-01-capabilities-overdue",
     {"control", "> capabilities 1", "@ 9999ms", "? deadline 1ms", "@! 1ms"}},
    {"/urbdrc/rule-01-created-overdue",
     {"control", "> capabilities 1", "@ 9s", "< capabilities 1 0", "> release 0 mask 0",
      "> created 2 1.0 0", "@ 9s", "@! 1s"}},
    {"/urbdrc/rule-01-once",
     {"control", HANDSHAKE, "< capabilities 1 0", "< created 1.0", "? deadline never"}},
    {"/urbdrc/handshake/other-capabilities", {"control", "> capabilities 1", "<! capabilities 2 0"}},
    {"/urbdrc/handshake/capabilities-refused",
     {"control", "> capabilities 1", "<! capabilities 1 80004005"}},
    {"/urbdrc/handshake/other-version",
     {"control", "> capabilities 1", "< capabilities 1 0", "> release 0 mask 0",
      "> created 2 1.0 0", "<! created 2.0"}},
    /* FreeRDP 3.10.3 sends the server's Capabilities back, whatever they are */
    {"/urbdrc/handshake/minor-version",
     {"control", "> capabilities 1", "< capabilities 1 0", "> release 0 mask 0",
      "> created 2 1.0 0", "< created 1.7", "> release 2 mask 1"}},
    {"/urbdrc/handshake/out-of-order",
     {"control", "> capabilities 1", "< created 1.0", "< add-virtual-channel", "? additions 0",
      "< capabilities 1 0", "> release 0 mask 0", "> created 2 1.0 0", "< add-virtual-channel",
      "? additions 0", "< created 1.0", "> release 2 mask 1"}},

    /* FreeRDP announces all that it has not bound yet, at every hot-plug: some of it twice */
    {"/urbdrc/rule-02-announced-twice",
     {"control", HANDSHAKE, "< add-virtual-channel 5", "? additions 1", "< add-virtual-channel 5",
      "< add-virtual-channel 6", "? additions 1", ". found 5", ". found 6", "? additions 0",
      "@ 3600s", "< add-virtual-channel 7", "? additions 1"}},
    /* A device that left before it had a channel leaves one over */
    {"/urbdrc/rule-02-announced-and-gone",
     {"control", HANDSHAKE, "< add-virtual-channel 5", "< add-virtual-channel 6",
      "< add-virtual-channel 6", "? additions 2", ". found 6", ". found-none", "? additions 0",
      "< add-virtual-channel 6", "? additions 1"}},
    /* A channel that failed is worth another try */
    {"/urbdrc/rule-02-announced-again",
     {"control", HANDSHAKE, "< add-virtual-channel 5", "? additions 1", "< add-virtual-channel 5",
      "? additions 0", ". found-none", "? additions 1", ". found 5", "? additions 0"}},
    /* mstsc: MessageId and UsbDevice are 0 */
    {"/urbdrc/rule-02-mstsc",
     {"control", HANDSHAKE, "< add-virtual-channel", "< add-virtual-channel", "? additions 2",
      ". found 0", "< add-virtual-channel", "? additions 1", ". found 0", "? additions 0"}},
    /* A client whose MessageId means something else: no device is lost */
    {"/urbdrc/rule-02-other-ids",
     {"control", HANDSHAKE, "< add-virtual-channel 1", "< add-virtual-channel 1",
      "< add-virtual-channel 1", "? additions 1", ". found 5", "? additions 2", ". found 6",
      ". found 7", "? additions 0", "< add-virtual-channel 1", "? additions 1"}},

    /* [MS-RDPEUSB] 3.1.5: what is out of sequence is ignored */
    {"/urbdrc/control/of-device-channels",
     {"control", HANDSHAKE, "< add-device 5 200", "< done 1 0 0", "< text 5", "? additions 0"}},
    {"/urbdrc/control/release", {"control", "> capabilities 1", "< release 1", "< release 10"}},
    {"/urbdrc/control/query-interface",
     {"control", "> capabilities 1", "< qi 5", "> qi-response 5 no", "< capabilities 1 0",
      "> release 0 mask 0", "> created 2 1.0 0", "< created 1.0", "> release 2 mask 1", "< qi 0",
      "> qi-response 0 no"}},
    {"/urbdrc/control/unknown", {"control", HANDSHAKE, "< hex 0700004000000000ff000000"}},

    /* On this channel whatever is malformed ends the session */
    {"/urbdrc/control/empty", {"control", "> capabilities 1", "<! hex -"}},
    {"/urbdrc/control/no-header", {"control", HANDSHAKE, "<! hex 01000040000000"}},
    {"/urbdrc/control/mask-3", {"control", HANDSHAKE, "<! hex 010000c00000000000010000"}},
    {"/urbdrc/control/too-long", {"control", HANDSHAKE, "<! hex 01000040000000000001000000"}},
};
/* clang-format on */

static void run(const void *data)
{
    dialogue_run(data);
}

static void run_truncated(const void *data)
{
    dialogue_run_truncated(data);
}

/* A client that asks without reading does not make us keep the answers. */
static void test_query_interface_flood(void)
{
    static const uint8_t request[28] = {5, 0, 0, 0x40, 0, 0, 0, 0, 2};
    g_autoptr(RdpusbControlChannel) channel = rdpusb_control_channel_new();
    rdpusb_control_channel_opened(channel, 0);
    for (unsigned i = 0; i < 100000; i++)
        g_assert_true(rdpusb_control_channel_feed(channel, request, sizeof request, 0, NULL));
    unsigned n = 0;
    GBytes *message;
    while ((message = rdpusb_control_channel_next_message(channel))) {
        g_bytes_unref(message);
        n++;
    }
    g_assert_cmpuint(n, >, 1);
    g_assert_cmpuint(n, <, 10000);
}

/* Nor one that announces without end. */
static void test_announcement_flood(void)
{
    uint8_t add[12] = {1, 0, 0, 0x40, [9] = 1};
    g_autoptr(RdpusbControlChannel) channel = rdpusb_control_channel_new();
    rdpusb_control_channel_opened(channel, 0);
    static const uint8_t capabilities[] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0};
    static const uint8_t created[24] = {3, 0, 0, 0x40, 0, 0, 0, 0, 0, 1, 0, 0, 1};
    g_assert_true(rdpusb_control_channel_feed(channel, capabilities, sizeof capabilities, 0, NULL));
    g_assert_true(rdpusb_control_channel_feed(channel, created, sizeof created, 0, NULL));
    for (unsigned i = 0; i < 100000; i++) {
        add[4] = i & 0xff;
        add[5] = (i >> 8) & 0xff;
        for (unsigned n = 0; n < 3; n++)
            g_assert_true(rdpusb_control_channel_feed(channel, add, sizeof add, 0, NULL));
    }
    g_assert_cmpuint(rdpusb_control_channel_take_additions(channel), >=, 65536);
    rdpusb_control_channel_found_none(channel);
    g_assert_cmpuint(rdpusb_control_channel_take_additions(channel), ==, 2 * 64);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(dialogues); i++) {
        g_autofree char *truncated = g_strdup_printf("%s/truncated", dialogues[i].name);
        g_test_add_data_func(dialogues[i].name, dialogues[i].lines, run);
        g_test_add_data_func(truncated, dialogues[i].lines, run_truncated);
    }
    g_test_add_func("/urbdrc/control/query-interface-flood", test_query_interface_flood);
    g_test_add_func("/urbdrc/control/announcement-flood", test_announcement_flood);
    return g_test_run();
}
