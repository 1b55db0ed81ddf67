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
     {"control", HANDSHAKE, "< add-virtual-channel", "< add-virtual-channel", "? additions 2",
      "? additions 0", "@ 3600s", "< add-virtual-channel", "? additions 1"}},

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

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(dialogues); i++) {
        g_autofree char *truncated = g_strdup_printf("%s/truncated", dialogues[i].name);
        g_test_add_data_func(dialogues[i].name, dialogues[i].lines, run);
        g_test_add_data_func(truncated, dialogues[i].lines, run_truncated);
    }
    g_test_add_func("/urbdrc/control/query-interface-flood", test_query_interface_flood);
    return g_test_run();
}
