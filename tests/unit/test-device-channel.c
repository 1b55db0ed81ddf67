/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Device channels, in dialogues. They are named after the rules of docs/protocol-notes.md for a
 * server that real clients can use; each is also played with every truncation of each message of
 * the client, and with the channel closed after each line.
 */
#include "dialogue.h"

#include "control-request.h"
#include "request-table.h"
#include "select.h"
#include "status.h"
#include "wire/completion.h"

/* clang-format off */
#define HANDSHAKE                                                                                  \
    "> capabilities 1", "< capabilities 1 0", "> release 0 mask 0", "> created 2 1.0 0",           \
    "< created 1.0", "> release 2 mask 1"
#define FREERDP "device", HANDSHAKE, "< add-device 5 200", "* announced", "> register 10"
#define MSTSC   "device", HANDSHAKE, "< add-device 0 200", "* announced", "> register 10"

#define BULK_IN(id, size)                                                                          \
    "> in " id " BULK_OR_INTERRUPT_TRANSFER pipe=1070081 flags=3 wants " size
#define BULK_OUT(id, data)                                                                         \
    "> out " id " BULK_OR_INTERRUPT_TRANSFER pipe=1070002 flags=0 sends " data
#define GET_DEVICE(id)                                                                             \
    "> in " id " GET_DESCRIPTOR_FROM_DEVICE type=1 index=0 language=0 wants 18"
#define SELECT(id)                                                                                 \
    "> in " id " SELECT_CONFIGURATION valid=1 0.0(200,200) 1.0() descriptor=57 wants 0"
#define ALTERNATE(id) "> in " id " SELECT_INTERFACE handle=1070001 1.1(40) wants 0"
#define RESET(id, obs)                                                                             \
    "> in " id " SYNC_RESET_PIPE_AND_CLEAR_STALL pipe=1070081 wants " obs
#define BARRIER(id) "> bus-time " id " wants 4"

#define PIPES "0:81:1070081:512,0:02:1070002:512"

static const struct {
    const char *name;
    const char *lines[40];
} dialogues[] = {
    {"/urbdrc/rule-01-handshake-device",
     {"device", "? state hand-shake", "? deadline 10s", "? announcement none",
      ".! in 1070081 16", "? can-submit 1 no", HANDSHAKE, "? state waiting for the device",
      "? deadline 10s", ".! in 1070081 16", ". retract", "< add-device 5 200", "* announced",
      "> register 10", "? state active", "? deadline never", "? can-submit 1 yes"}},
    {"/urbdrc/rule-01-capabilities-overdue", {"device", "> capabilities 1", "@ 9s", "@! 1s"}},

    /* One of two channels for a device announced twice stays without it */
    {"/urbdrc/rule-02-no-device", {"device", HANDSHAKE, "@ 9999ms", "@! 1ms"}},
    {"/urbdrc/rule-02-not-on-a-device-channel",
     {FREERDP, "< add-virtual-channel", "? ignored 1"}},

    {"/urbdrc/rule-03-freerdp",
     {FREERDP, "? usb-version 200", "? instance id", "? container id", "? hardware-0 A",
      "? hardware-1 B", "? compatibility-0 none"}},
    {"/urbdrc/rule-03-mstsc",
     {MSTSC, ". in 1070081 16", BULK_IN("1", "16"), "< data 1 0 aa", "* 1 success data=aa",
      "< release 0", "< release 1", "< release 10"}},
    {"/urbdrc/rule-03-any-usb-version",
     {"device", HANDSHAKE, "< add-device 7 320", "* announced", "> register 10",
      "? usb-version 320"}},
    {"/urbdrc/rule-03-reserved-interface", {"device", HANDSHAKE, "<! add-device 1 200"}},
    {"/urbdrc/rule-03-reserved-interfaces", {"device", HANDSHAKE, "<! add-device 3 200"}},
    {"/urbdrc/rule-03-early",
     {"device", "> capabilities 1", "< add-device 5 200", "? ignored 1", "? announcement none"}},
    {"/urbdrc/rule-03-twice",
     {FREERDP, "< add-device 6 300", "? ignored 1", "? usb-version 200"}},

    {"/urbdrc/rule-04-callback-before-requests",
     {"device", HANDSHAKE, "< add-device 5 200", "* announced", ". in 1070081 16", "> register 10",
      BULK_IN("1", "16")}},
    {"/urbdrc/rule-04-ids-are-not-reused",
     {FREERDP, ". in 1070081 16", BULK_IN("1", "16"), "< data 1 0 aa", "* 1 success data=aa",
      ". in 1070081 16", BULK_IN("2", "16")}},

    {"/urbdrc/rule-05-watchdog-control",
     {FREERDP, ". control 80 06 0100 0000 18", "? deadline never", "@ 60s", GET_DEVICE("1"),
      "? deadline 3s", "@ 2999ms", "@ 1ms", "* 1 lost", "? deadline never"}},
    {"/urbdrc/rule-05-watchdog-transfer",
     {FREERDP, ". in 1070081 512", BULK_IN("1", "512"), "? deadline 13s", "@ 12999ms", "@ 1ms",
      "> cancel 1", "? deadline 2s", "@ 1999ms", "@ 1ms", "* 1 lost", "? deadline never",
      "? can-submit 1048576 yes"}},
    {"/urbdrc/rule-05-watchdog-select",
     {FREERDP, ". select", SELECT("1"), BARRIER("2"), "? deadline 15s", "@ 15s", "* 1 lost",
      "? deadline never"}},
    {"/urbdrc/rule-05-watchdog-select-interface",
     {FREERDP, ". select-interface 1 1", ALTERNATE("1"), BARRIER("2"), "@ 15s", "* 1 lost"}},
    {"/urbdrc/rule-05-watchdog-pipe",
     {FREERDP, ". reset 1070081", RESET("1", "0"), BARRIER("2"), "? deadline 6s", "@ 6s",
      "* 1 lost"}},
    {"/urbdrc/rule-05-watchdog-mstsc",
     {MSTSC, ". control 80 06 0100 0000 18", GET_DEVICE("1"), "@ 3s", "> cancel 1", "@ 2s",
      "* 1 lost"}},
    {"/urbdrc/rule-05-watchdog-by-itself",
     {FREERDP, ". in 1070081 16", ". control 80 06 0100 0000 18", BULK_IN("1", "16"), "@ 1s",
      GET_DEVICE("2"), "? deadline 3s", "@ 3s", "* 2 lost", "? deadline 9s", "@ 9s", "> cancel 1",
      "@ 2s", "* 1 lost"}},
    {"/urbdrc/rule-05-zombie-keeps-its-id",
     {FREERDP, ". control 80 06 0100 0000 18", GET_DEVICE("1"), "@ 3s", "* 1 lost",
      "< data 1 0 1201", "? ignored 1", "< data 1 0 1201", "? ignored 2"}},
    /* Nothing is wrong with a pipe that had nothing to say */
    {"/urbdrc/rule-05-expired-is-a-timeout",
     {FREERDP, ". in 1070081 512", BULK_IN("1", "512"), "@ 13s", "> cancel 1", "< data 1 3 0102",
      "* 1 timeout data=0102", "? deadline never"}},
    {"/urbdrc/rule-05-expired-mstsc",
     {MSTSC, ". in 1070081 512", BULK_IN("1", "512"), "@ 13s", "> cancel 1",
      "< done 1 c0010000 0 800703e3", "* 1 timeout"}},
    {"/urbdrc/rule-05-expired-then-cancelled",
     {FREERDP, ". in 1070081 512", BULK_IN("1", "512"), "@ 13s", ". cancel 1", "> cancel 1",
      "< done 1 3 0", "* 1 cancelled"}},

    {"/urbdrc/rule-06-barrier-select",
     {FREERDP, ". select", SELECT("1"), BARRIER("2"), "< bus-time 2", "* 1 silent",
      "? deadline never", "< configured 1 1070001 " PIPES, "? ignored 1"}},
    {"/urbdrc/rule-06-barrier-after-the-answer",
     {FREERDP, ". select", SELECT("1"), BARRIER("2"), "< configured 1 1070001 " PIPES,
      "* 1 success handle=1070001 pipes=" PIPES, "< bus-time 2", "< bus-time 2", "? ignored 1"}},
    {"/urbdrc/rule-06-barrier-passes-what-is-in-order",
     {FREERDP, ". in 1070081 16", ". control 80 06 0100 0000 18", ". reset 1070081",
      ". control 80 06 0100 0000 18", BULK_IN("1", "16"), GET_DEVICE("2"), RESET("3", "0"),
      BARRIER("4"), GET_DEVICE("5"), "< bus-time 4", "* 2 silent", "* 3 silent",
      "< data 1 0 aa", "* 1 success data=aa", "< data 5 0 12", "* 5 success data=12"}},
    {"/urbdrc/rule-06-second-barrier",
     {FREERDP, ". reset 1070081", ". select", RESET("1", "0"), BARRIER("2"), SELECT("3"),
      BARRIER("4"), "< bus-time 4", "* 1 silent", "* 3 silent", "< bus-time 2", "? ignored 1"}},
    /* The kernel of the client gives a select up after some seconds, and FreeRDP since 3.23 then
     * says nothing */
    {"/urbdrc/rule-06-slow-barrier",
     {FREERDP, ". select", SELECT("1"), BARRIER("2"), "@ 14s", "< bus-time 2", "* 1 silent"}},
    {"/urbdrc/rule-06-not-for-mstsc",
     {MSTSC, ". select", SELECT("1"), ". reset 1070081", RESET("2", "0"), ". select-interface 1 1",
      ALTERNATE("3"), "? queued 0"}},
    /* 3.13.0, which wants an OutputBufferSize here that all later ones refuse; or a device that
     * refused, from 3.23 on */
    {"/urbdrc/rule-06-silent-alternate",
     {FREERDP, ". select-interface 1 1", ALTERNATE("1"), BARRIER("2"), "< bus-time 2", "* 1 silent",
      ". reset 1070081", RESET("3", "0"), BARRIER("4")}},
    {"/urbdrc/rule-06-urb-answer-for-a-barrier",
     {FREERDP, ". select", SELECT("1"), BARRIER("2"), "< done 2 0 0", "? ignored 1",
      "< bus-time 1", "? ignored 2", "< bus-time 2", "* 1 silent"}},

    {"/urbdrc/rule-07-timeout-keeps-data",
     {FREERDP, ". in 1070081 16", BULK_IN("1", "16"), "< data 1 2 aabb", "* 1 timeout data=aabb",
      ". in 1070081 14", BULK_IN("2", "14"), "< done 2 2 0", "* 2 timeout",
      ". out 1070002 0102030405", BULK_OUT("3", "0102030405"), "< done 3 2 3",
      "* 3 timeout size=3"}},

    {"/urbdrc/rule-08-lengths",
     {FREERDP, ". control 80 06 0200 0000 65535",
      "> in 1 GET_DESCRIPTOR_FROM_DEVICE type=2 index=0 language=0 wants 4096",
      ". control a1 fe 0000 0001 1",
      "> in 2 CLASS_INTERFACE flags=3 request=fe value=0 index=1 wants 1", ". reset 1070081",
      RESET("3", "0"), BARRIER("4")}},
    {"/urbdrc/rule-08-lengths-mstsc",
     {MSTSC, ". control 80 06 0200 0000 65535",
      "> in 1 GET_DESCRIPTOR_FROM_DEVICE type=2 index=0 language=0 wants 65535"}},

    {"/urbdrc/rule-09-select-configuration",
     {FREERDP, ". select", SELECT("1"), BARRIER("2"), "< configured 1 1070001 " PIPES,
      "* 1 success handle=1070001 pipes=" PIPES, "< bus-time 2", ". select-interface 1 1",
      ALTERNATE("3"), BARRIER("4"), "< alternate 3 1 1:83:1070083:64",
      "* 3 success handle=1070001 pipes=1:83:1070083:64", "< bus-time 4"}},
    {"/urbdrc/rule-09-no-pipes",
     {FREERDP, ". select-interface 1 0", "> in 1 SELECT_INTERFACE handle=1070001 1.0() wants 0",
      BARRIER("2"), "< alternate 1 1", "* 1 success handle=1070001 pipes="}},
    {"/urbdrc/rule-09-handle-0-is-a-failure",
     {FREERDP, ". select", SELECT("1"), BARRIER("2"), "< unconfigured 1 2", "* 1 error"}},
    {"/urbdrc/rule-09-unconfigure",
     {FREERDP, ". unconfigure", "> in 1 SELECT_CONFIGURATION valid=0 descriptor=0 wants 0",
      BARRIER("2"), "< unconfigured 1 2", "* 1 success", "< bus-time 2", ". unconfigure",
      "> in 3 SELECT_CONFIGURATION valid=0 descriptor=0 wants 0", BARRIER("4"), "< done 3 0 0",
      "* 3 success"}},
    {"/urbdrc/rule-09-unknown-interface",
     {FREERDP, ".! select-interface 1 2", ".! select-interface 2 0", "? queued 0"}},
    {"/urbdrc/rule-09-mstsc-refuses",
     {MSTSC, ". select", SELECT("1"), "< done 1 80000300 0 80070057", "* 1 error"}},
    {"/urbdrc/rule-09-mstsc-refuses-a-setting",
     {MSTSC, ". select-interface 1 1", ALTERNATE("1"), "< done 1 c0000004 0 8007001f", "* 1 stall"}},
    {"/urbdrc/rule-09-failure-with-empty-result",
     {FREERDP, ". select", SELECT("1"), BARRIER("2"), "< done 1 c0000004 0", "* 1 stall"}},
    {"/urbdrc/rule-09-no-result",
     {FREERDP, ". select", SELECT("1"), BARRIER("2"), "<! done 1 0 0", "? state active",
      ".! in 1070081 16", "? can-submit 1 no", "<! bus-time 2"}},
    {"/urbdrc/rule-09-endpoint-0",
     {FREERDP, ". select", SELECT("1"), BARRIER("2"), "<! configured 1 1070001 0:80:1:64"}},
    {"/urbdrc/rule-09-endpoint-with-reserved-bits",
     {FREERDP, ". select-interface 1 1", ALTERNATE("1"), BARRIER("2"),
      "<! alternate 1 1 1:93:1:64"}},
    {"/urbdrc/rule-09-endpoint-twice",
     {FREERDP, ". select", SELECT("1"), BARRIER("2"),
      "<! configured 1 1070001 0:81:1:64,1:81:2:64"}},

    {"/urbdrc/rule-10-not-raw",
     {FREERDP, ".! control 00 09 0001 0000 0", ".! control 01 0b 0001 0001 0",
      ".! control 02 01 0000 0081 0", ".! control 00 05 0007 0000 0", "? queued 0",
      ". control 02 01 0000 0080 0",
      "> out 1 CONTROL_TRANSFER pipe=0 flags=8 setup=02,01,0000,0080,0 sends -"}},

    {"/urbdrc/rule-11-reset-pipe",
     {FREERDP, ". reset 1070081", RESET("1", "0"), BARRIER("2"), "< done 1 0 0", "* 1 success",
      "< bus-time 2", ". reset 1070081", RESET("3", "0"), BARRIER("4"), "< done 3 80000500 0",
      "* 3 error", "< bus-time 4"}},
    {"/urbdrc/rule-11-silent-pipe",
     {FREERDP, ". reset 1070081", RESET("1", "0"), BARRIER("2"), "< bus-time 2", "* 1 silent",
      ". reset 1070081", RESET("3", "36"), BARRIER("4"), "< done 3 0 0", "* 3 success",
      "< bus-time 4", ". select", SELECT("5"), BARRIER("6")}},
    /* Only FreeRDP 3.14 to 3.22 garbles this, and it needs 36 */
    {"/urbdrc/rule-11-garbled-result",
     {FREERDP, ". select-interface 1 1", ALTERNATE("1"), BARRIER("2"),
      "< alternate-garbled 1 1 1:83:1070083:64",
      "* 1 success handle=1070001 pipes=1:83:1070083:64", "< bus-time 2", ". reset 1070081",
      RESET("3", "36"), BARRIER("4")}},
    /* Transfers of other pipes come back cancelled when FreeRDP resets one */
    {"/urbdrc/rule-11-cancelled-uninvited",
     {FREERDP, ". in 1070081 16", BULK_IN("1", "16"), ". reset 1070081", RESET("2", "0"),
      BARRIER("3"), "< data 1 3 aa", "* 1 cancelled data=aa", "< done 2 0 0", "* 2 success",
      "< bus-time 3"}},

    {"/urbdrc/rule-12-cancel-one-by-one",
     {FREERDP, ". in 1070081 16", ". in 1070081 16", BULK_IN("1", "16"), BULK_IN("2", "16"),
      ". cancel 2", ". cancel 1", ". cancel 1", "> cancel 2", "> cancel 1", "< done 2 3 0",
      "* 2 cancelled", "< data 1 3 aa", "* 1 cancelled data=aa", ". cancel 1", ". cancel 77"}},
    {"/urbdrc/rule-12-cancel-crosses-completion",
     {FREERDP, ". in 1070081 16", BULK_IN("1", "16"), ". cancel 1", "> cancel 1",
      "< data 1 0 aa", "* 1 success data=aa"}},
    {"/urbdrc/rule-12-cancel-without-answer",
     {FREERDP, ". in 1070081 16", BULK_IN("1", "16"), "@ 5s", ". cancel 1", "> cancel 1",
      "? deadline 2s", "@ 1s", ". cancel 1", "@ 1s", "* 1 lost"}},
    {"/urbdrc/rule-12-cancel-before-it-is-sent",
     {FREERDP, ". out 1070002 aabb", ". in 1070081 16", ". cancel 1", "* 1 cancelled",
      BULK_IN("2", "16"), "? queued 0", "<~ done 1 0 2", "? ignored 1"}},
    {"/urbdrc/rule-12-cancel-in-order",
     {FREERDP, ". control 80 06 0100 0000 18", GET_DEVICE("1"), ". cancel 1", "? queued 0",
      "? deadline 3s", "< data 1 0 12", "* 1 success data=12"}},
    {"/urbdrc/rule-12-cancel-mstsc",
     {MSTSC, ". control 80 06 0100 0000 18", GET_DEVICE("1"), ". cancel 1", "> cancel 1",
      "< done 1 c0010000 0 800703e3", "* 1 cancelled"}},

    {"/urbdrc/rule-13-features",
     {FREERDP, ". control 00 03 0001 0000 0",
      "> out 1 CONTROL_TRANSFER pipe=0 flags=8 setup=00,03,0001,0000,0 sends -",
      ". control 01 01 0001 0002 0",
      "> out 2 CONTROL_TRANSFER pipe=0 flags=8 setup=01,01,0001,0002,0 sends -",
      ". control 00 07 0301 0409 4 04034100",
      "> out 3 CONTROL_TRANSFER pipe=0 flags=8 setup=00,07,0301,0409,4 sends 04034100"}},
    {"/urbdrc/rule-13-features-mstsc",
     {MSTSC, ". control 00 03 0001 0000 0",
      "> in 1 SET_FEATURE_TO_DEVICE feature=1 index=0 wants 0", "< done 1 0 0", "* 1 success",
      ". control 01 03 0000 0002 0",
      "> in 2 SET_FEATURE_TO_INTERFACE feature=0 index=2 wants 0",
      ". control 02 01 0001 0081 0",
      "> in 3 CLEAR_FEATURE_TO_ENDPOINT feature=1 index=81 wants 0",
      ". control 03 01 0001 0000 0", "> in 4 CLEAR_FEATURE_TO_OTHER feature=1 index=0 wants 0",
      ". control 00 07 0301 0409 4 04034100",
      "> out 5 SET_DESCRIPTOR_TO_DEVICE type=3 index=1 language=409 sends 04034100"}},
    {"/urbdrc/rule-13-short-and-empty",
     {FREERDP, ". in 1070081 512", BULK_IN("1", "512"), "< data 1 0 aa", "* 1 success data=aa",
      ". in 1070081 0", BULK_IN("2", "0"), "< done 2 0 0", "* 2 success", ". out 1070002 -",
      BULK_OUT("3", "-"), "< done 3 0 0", "* 3 success"}},

    {"/urbdrc/rule-15-bytes-in-flight",
     {FREERDP, "? can-submit 1048576 yes", "? can-submit 1048577 no", ". in 1070081 1048575",
      "? can-submit 1 yes", "? can-submit 2 no", ".! out 1070002 aabb", ". out 1070002 aa",
      "? can-submit 0 yes", "? can-submit 1 no", ". control 80 06 0100 0000 18",
      BULK_IN("1", "1048575"), BULK_OUT("2", "aa"), GET_DEVICE("3"), "< done 1 4 0", "* 1 stall",
      "? can-submit 1048575 yes"}},
    {"/urbdrc/rule-15-queued-bytes",
     {FREERDP, ". out 1070002 zeros*262100", "? can-submit 1 yes", ". out 1070002 zeros*100",
      "? can-submit 1 no", BULK_OUT("1", "zeros*262100"), "? can-submit 1 yes",
      BULK_OUT("2", "zeros*100"), "? queued 0"}},

    {"/urbdrc/rule-17-echoed-out",
     {FREERDP, ". out 1070002 0102030405", BULK_OUT("1", "0102030405"), "< data 1 0 0102030405",
      "* 1 success size=5", ". control 21 20 0000 0000 2 8025",
      "> out 2 CLASS_INTERFACE flags=0 request=20 value=0 index=0 sends 8025",
      "< data 2 0 8025", "* 2 success size=2", ". out 1070002 0102", BULK_OUT("3", "0102"),
      "< done 3 0 2", "* 3 success size=2"}},
    {"/urbdrc/rule-17-more-sent-than-there-was",
     {FREERDP, ". out 1070002 0102", BULK_OUT("1", "0102"), "< done 1 0 4294967295",
      "* 1 success size=2", ". out 1070002 0102", BULK_OUT("2", "0102"), "< data 2 0 010203",
      "* 2 success size=2"}},
    /* Up to 3.30 the OUT length comes back although nothing was sent; master says 0, without data */
    {"/urbdrc/rule-17-failed-out",
     {FREERDP, ". out 1070002 0102", BULK_OUT("1", "0102"), "< data 1 1 0102", "* 1 error",
      ". out 1070002 0102", BULK_OUT("2", "0102"), "< done 2 4 0", "* 2 stall"}},
    {"/urbdrc/rule-17-junk-after-errors",
     {FREERDP, ". control 80 06 0100 0000 18", GET_DEVICE("1"), "< data 1 c0000004 zeros*18",
      "* 1 stall", ". control 80 06 0100 0000 18", GET_DEVICE("2"),
      "< data 2 c0006000 zeros*18", "* 2 timeout", ". control 21 20 0000 0000 2 8025",
      "> out 3 CLASS_INTERFACE flags=0 request=20 value=0 index=0 sends 8025",
      "< data 3 c0000004 8025", "* 3 stall", ". in 1070081 16", BULK_IN("4", "16"),
      "< data 4 1 aabb", "* 4 error", ". in 1070081 16", BULK_IN("5", "16"), "< data 5 4 aabb",
      "* 5 stall"}},
    {"/urbdrc/rule-17-bus-time-claims-too-much",
     {FREERDP, ". reset 1070081", RESET("1", "0"), BARRIER("2"), "< done 1 0 0", "* 1 success",
      "< bus-time 2 0", "? ignored 0", "? deadline never"}},
    {"/urbdrc/rule-17-bytes-after-the-message",
     {FREERDP, ". out 1070002 0102", BULK_OUT("1", "0102"),
      "< hex 10000040000000000201000001000000080000000800000000000000000000000200000099999999",
      "* 1 success size=2"}},

    {"/urbdrc/rule-18-not-more-than-asked",
     {FREERDP, ". in 1070081 2", BULK_IN("1", "2"), "< data 1 0 aabbccdd",
      "* 1 success data=aabb", ". control c0 01 0000 0000 1",
      "> in 2 VENDOR_DEVICE flags=3 request=1 value=0 index=0 wants 1", "< data 2 0 aabb",
      "* 2 success data=aa", ". in 1070081 0", BULK_IN("3", "0"), "< data 3 0 aa",
      "* 3 success"}},
    {"/urbdrc/rule-18-not-more-than-sent",
     {FREERDP, ". in 1070081 16", BULK_IN("1", "16"),
      "<! hex 10000040000000000101000001000000080000000800000000000000000000000400000001"}},
    {"/urbdrc/rule-18-in-without-data",
     {FREERDP, ". in 1070081 16", BULK_IN("1", "16"), "< done 1 0 16", "* 1 success"}},

    {"/urbdrc/rule-19-unknown-ids",
     {FREERDP, "< data 1 0 aa", "? ignored 1", ". in 1070081 16", "<~ data 1 0 aa", "? ignored 2",
      BULK_IN("1", "16"), "< data 2 0 aa", "< done 2147483649 0 0", "< done 1073741825 0 0",
      "< bus-time 1", "? ignored 6", "< data 1 0 aa", "* 1 success data=aa", "< data 1 0 aa",
      "? ignored 7"}},
    {"/urbdrc/rule-19-barrier-not-yet-sent",
     {FREERDP, ". select", SELECT("1"), "<~ bus-time 2", "? ignored 1", BARRIER("2"),
      "< bus-time 2", "* 1 silent"}},
    {"/urbdrc/rule-19-other-interfaces",
     {FREERDP, ". in 1070081 16", BULK_IN("1", "16"),
      "< hex 110000400000000002010000010000000800000008000000000000000000000000000000",
      "? ignored 1"}},
    {"/urbdrc/rule-19-mstsc-errors",
     {MSTSC, ". in 1070081 16", BULK_IN("1", "16"), "< done 1 0 0 8007001f", "* 1 error",
      ". in 1070081 16", BULK_IN("2", "16"), "< done 2 c0000004 0 8007001f", "* 2 stall",
      ". in 1070081 16", BULK_IN("3", "16"), "< data 3 0 aabb 80070057", "* 3 error"}},

    {"/urbdrc/rule-20-location",
     {FREERDP, "? location unknown", ". query-location", "> query-text 1 409", ". query-location",
      "? location unknown", "< text 5 Port_#0004.Hub_#0001", "? location Port_#0004.Hub_#0001",
      ". query-location", "< text 5 Port_#0005.Hub_#0001", "? location Port_#0004.Hub_#0001",
      "? ignored 1"}},
    {"/urbdrc/rule-20-no-location",
     {MSTSC, ". query-location", "> query-text 1 409", "< text 0", "? location ",
      "? ignored 0", ". close", ". query-location"}},
    {"/urbdrc/rule-20-text-nobody-asked-for",
     {"device", "> capabilities 1", "< text 5", "? ignored 1", "< capabilities 1 0",
      "> release 0 mask 0", "> created 2 1.0 0", "< created 1.0", "> release 2 mask 1",
      "< add-device 5 200", "* announced", "> register 10", "< text 5", "? ignored 2"}},

    {"/urbdrc/rule-21-closed",
     {FREERDP, ". in 1070081 16", ". control 80 06 0100 0000 18", ". select", BULK_IN("1", "16"),
      GET_DEVICE("2"), ". out 1070002 aa", ". close", "* 1 gone", "* 2 gone", "* 3 gone",
      "* 5 gone", "? state closed", "? deadline never", ".! in 1070081 16", "? queued 0",
      "< data 1 0 aa", "@ 100s", ". cancel 1", ". close"}},
    {"/urbdrc/rule-21-closed-with-zombies",
     {FREERDP, ". control 80 06 0100 0000 18", GET_DEVICE("1"), "@ 3s", "* 1 lost",
      ". in 1070081 16", BULK_IN("2", "16"), ". cancel 2", ". close", "* 2 gone"}},
    {"/urbdrc/rule-21-no-device",
     {FREERDP, ". in 1070081 16", BULK_IN("1", "16"), "< done 1 5 0", "* 1 gone",
      ". control 80 06 0100 0000 18", GET_DEVICE("2"), "< done 2 c0007000 0", "* 2 gone"}},

    {"/urbdrc/rule-22-drain-then-retract",
     {FREERDP, ". in 1070081 16", BULK_IN("1", "16"), ". cancel 1", "> cancel 1", "< done 1 3 0",
      "* 1 cancelled", ". retract", "> retract 1", ". close"}},

    /* Typed where the clients know it, raw where they do not */
    {"/urbdrc/control-request/descriptors",
     {FREERDP, ". control 80 06 0302 0409 255",
      "> in 1 GET_DESCRIPTOR_FROM_DEVICE type=3 index=2 language=409 wants 255",
      ". control 81 06 2200 0003 64",
      "> in 2 GET_DESCRIPTOR_FROM_INTERFACE type=22 index=0 language=3 wants 64",
      ". control 82 06 0500 0081 7",
      "> in 3 GET_DESCRIPTOR_FROM_ENDPOINT type=5 index=0 language=81 wants 7",
      ". control 83 06 0100 0000 18",
      "> in 4 CONTROL_TRANSFER pipe=0 flags=b setup=83,06,0100,0000,18 wants 18"}},
    {"/urbdrc/control-request/status",
     {FREERDP, ". control 80 00 0000 0000 2", "> in 1 GET_STATUS_FROM_DEVICE index=0 wants 2",
      ". control 81 00 0000 0001 2", "> in 2 GET_STATUS_FROM_INTERFACE index=1 wants 2",
      ". control 82 00 0000 0081 2", "> in 3 GET_STATUS_FROM_ENDPOINT index=81 wants 2",
      ". control 83 00 0000 0000 2", "> in 4 GET_STATUS_FROM_OTHER index=0 wants 2",
      ". control 80 00 0000 0000 4",
      "> in 5 CONTROL_TRANSFER pipe=0 flags=b setup=80,00,0000,0000,4 wants 4"}},
    {"/urbdrc/control-request/configuration-and-interface",
     {FREERDP, ". control 80 08 0000 0000 1", "> in 1 GET_CONFIGURATION wants 1",
      ". control 81 0a 0000 0002 1", "> in 2 GET_INTERFACE interface=2 wants 1",
      ". control 80 08 0000 0000 2",
      "> in 3 CONTROL_TRANSFER pipe=0 flags=b setup=80,08,0000,0000,2 wants 2"}},
    {"/urbdrc/control-request/class",
     {FREERDP, ". control a0 01 0002 0003 4",
      "> in 1 CLASS_DEVICE flags=3 request=1 value=2 index=3 wants 4", ". control 21 09 0200 0000 1 07",
      "> out 2 CLASS_INTERFACE flags=0 request=9 value=200 index=0 sends 07",
      ". control 22 01 0100 0001 3 44ac00",
      "> out 3 CLASS_ENDPOINT flags=0 request=1 value=100 index=1 sends 44ac00",
      ". control 23 03 0008 0001 0",
      "> out 4 CLASS_OTHER flags=0 request=3 value=8 index=1 sends -"}},
    {"/urbdrc/control-request/vendor",
     {MSTSC, ". control 40 01 0002 0003 0",
      "> out 1 VENDOR_DEVICE flags=0 request=1 value=2 index=3 sends -",
      ". control c1 02 0000 0000 8",
      "> in 2 VENDOR_INTERFACE flags=3 request=2 value=0 index=0 wants 8",
      ". control c2 02 0000 0000 8",
      "> in 3 VENDOR_ENDPOINT flags=3 request=2 value=0 index=0 wants 8",
      ". control c3 02 0000 0000 8",
      "> in 4 VENDOR_OTHER flags=3 request=2 value=0 index=0 wants 8"}},
    {"/urbdrc/control-request/others",
     {FREERDP, ". control c4 02 0001 0002 8",
      "> in 1 CONTROL_TRANSFER pipe=0 flags=b setup=c4,02,0001,0002,8 wants 8",
      ". control 60 02 0001 0002 1 aa",
      "> out 2 CONTROL_TRANSFER pipe=0 flags=8 setup=60,02,0001,0002,1 sends aa",
      ". control 82 0c 0000 0081 2",
      "> in 3 CONTROL_TRANSFER pipe=0 flags=b setup=82,0c,0000,0081,2 wants 2",
      ". control 00 31 0028 0000 0",
      "> out 4 CONTROL_TRANSFER pipe=0 flags=8 setup=00,31,0028,0000,0 sends -"}},

    /* Interface manipulation is legal at any time */
    {"/urbdrc/device/query-interface",
     {FREERDP, "< qi 5", "> qi-response 5 no", ". in 1070081 16", BULK_IN("1", "16"), "< qi 10",
      "> qi-response 10 no", "< data 1 0 aa", "* 1 success data=aa", "< release 10"}},
    {"/urbdrc/device/out-of-sequence",
     {FREERDP, "< capabilities 1 0", "< created 1.0", "< hex 0700004000000000ff000000",
      "? ignored 3"}},
    {"/urbdrc/device/completion-before-the-callback",
     {"device", HANDSHAKE, "< done 1 0 0", "< bus-time 1", "? ignored 2"}},

    {"/urbdrc/device/empty", {"device", "> capabilities 1", "<! hex -"}},
    {"/urbdrc/device/mask-3", {FREERDP, "<! hex 050000c00000000000010000"}},
    {"/urbdrc/device/two-devices",
     {"device", HANDSHAKE,
      "<! hex 0100004000000000010100000200000005000000010000000000000000000000000001000000"
      "00001c0000000200000000060000000200000000000001000000"
      "50000000"}},
    {"/urbdrc/device/nothing-after-malformed",
     {FREERDP, ". in 1070081 16", BULK_IN("1", "16"), "<! hex 00", ".! in 1070081 16",
      "<! data 1 0 aa", "@ 13s", "> cancel 1", "@ 2s", "* 1 lost"}},
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

static void run_closed(const void *data)
{
    dialogue_run_closed(data);
}

/* ---- What no dialogue reaches ---- */

static void test_ids_wrap(void)
{
    UrbdrcRequestTable table;
    urbdrc_request_table_init(&table, &RDPUSB_LIMITS_DEFAULT);
    UrbdrcRequest *first = urbdrc_request_table_add(&table, URBDRC_REQUEST_TRANSFER, 0);
    UrbdrcRequest *second = urbdrc_request_table_add(&table, URBDRC_REQUEST_TRANSFER, 0);
    g_assert_cmpuint(first->id, ==, 1);
    g_assert_cmpuint(second->id, ==, 2);
    urbdrc_request_table_bury(&table, first);

    table.last_id = 0x3FFFFFFE;
    UrbdrcRequest *last = urbdrc_request_table_add(&table, URBDRC_REQUEST_TRANSFER, 0);
    g_assert_cmpuint(last->id, ==, 0x3FFFFFFF);
    UrbdrcRequest *wrapped = urbdrc_request_table_add(&table, URBDRC_REQUEST_CONTROL, 0);
    g_assert_cmpuint(wrapped->id, ==, 3);
    urbdrc_request_table_clear(&table);
}

static void test_zombies_are_bounded(void)
{
    UrbdrcRequestTable table;
    urbdrc_request_table_init(&table, &RDPUSB_LIMITS_DEFAULT);
    for (unsigned i = 0; i < URBDRC_MAX_ZOMBIES + 10; i++) {
        UrbdrcRequest *request = urbdrc_request_table_add(&table, URBDRC_REQUEST_TRANSFER, 100);
        urbdrc_request_table_bury(&table, request);
    }
    g_assert_cmpuint(g_hash_table_size(table.by_id), ==, URBDRC_MAX_ZOMBIES);
    g_assert_null(urbdrc_request_table_find(&table, 10));
    g_assert_nonnull(urbdrc_request_table_find(&table, 11));
    g_assert_cmpuint(table.bytes, ==, 0);
    g_assert_cmpuint(table.n_transfers, ==, 0);
    urbdrc_request_table_clear(&table);
}

/* Control requests have places of their own, so that a halted pipe can always be reset. */
static void test_rule_15_requests(void)
{
    static const RdpusbLimits limits = {.max_requests = 3, .max_bytes_in_flight = 100};
    UrbdrcRequestTable table;
    urbdrc_request_table_init(&table, &limits);
    for (unsigned i = 0; i < limits.max_requests; i++)
        g_assert_nonnull(urbdrc_request_table_add(&table, URBDRC_REQUEST_TRANSFER, 1));
    g_assert_false(urbdrc_request_table_has_room(&table, 0));
    g_assert_null(urbdrc_request_table_add(&table, URBDRC_REQUEST_TRANSFER, 0));
    for (unsigned i = 0; i < URBDRC_MAX_SYNCHRONOUS; i++) {
        g_assert_nonnull(urbdrc_request_table_add(&table, URBDRC_REQUEST_RESET_PIPE, 0));
        g_assert_nonnull(urbdrc_request_table_add(&table, URBDRC_REQUEST_BARRIER, 0));
    }
    g_assert_null(urbdrc_request_table_add(&table, URBDRC_REQUEST_CONTROL, 0));
    g_assert_null(urbdrc_request_table_add(&table, URBDRC_REQUEST_BARRIER, 0));
    urbdrc_request_table_remove(&table, table.open.head->data);
    g_assert_true(urbdrc_request_table_has_room(&table, 98));
    g_assert_false(urbdrc_request_table_has_room(&table, 99));
    urbdrc_request_table_clear(&table);
}

static void test_rule_19_statuses(void)
{
    static const struct {
        uint32_t hresult, usbd_status;
        RdpusbStatus status;
    } rows[] = {
        {0, 0, RDPUSB_STATUS_SUCCESS},
        {0, 1, RDPUSB_STATUS_ERROR},
        {0, 2, RDPUSB_STATUS_TIMEOUT},
        {0, 3, RDPUSB_STATUS_CANCELLED},
        {0, 4, RDPUSB_STATUS_STALL},
        {0, 5, RDPUSB_STATUS_GONE},
        {0, 6, RDPUSB_STATUS_BABBLE},
        {0, 7, RDPUSB_STATUS_ERROR},
        {0, 0x40000000, RDPUSB_STATUS_ERROR},
        {0, 0x80000300, RDPUSB_STATUS_ERROR},
        {0, 0x80000500, RDPUSB_STATUS_ERROR},
        {0, 0xC0000001, RDPUSB_STATUS_ERROR},
        {0, 0xC0000004, RDPUSB_STATUS_STALL},
        {0, 0xC0000005, RDPUSB_STATUS_ERROR},
        {0, 0xC0000008, RDPUSB_STATUS_BABBLE},
        {0, 0xC0000011, RDPUSB_STATUS_ERROR},
        {0, 0xC0000012, RDPUSB_STATUS_BABBLE},
        {0, 0xC0006000, RDPUSB_STATUS_TIMEOUT},
        {0, 0xC0007000, RDPUSB_STATUS_GONE},
        {0, 0xC0010000, RDPUSB_STATUS_CANCELLED},
        {0, 0xFFFFFFFF, RDPUSB_STATUS_ERROR},
        {0x8007001F, 0, RDPUSB_STATUS_ERROR},
        {0x8007001F, 0xC0000004, RDPUSB_STATUS_STALL},
        {0x80070057, 0, RDPUSB_STATUS_ERROR},
        {0x80070057, 0xC0000004, RDPUSB_STATUS_ERROR},
        {0x800703E3, 0, RDPUSB_STATUS_CANCELLED},
        {13, 0, RDPUSB_STATUS_ERROR},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++)
        g_assert_cmpstr(
            rdpusb_status_to_string(urbdrc_status(rows[i].hresult, rows[i].usbd_status)), ==,
            rdpusb_status_to_string(rows[i].status));
}

/* Descriptors are checked by the caller; these are cut anywhere all the same. */
static void test_rule_09_cut_descriptor(void)
{
    for (size_t size = 0; size < DIALOGUE_DESCRIPTOR_SIZE; size++) {
        g_autofree uint8_t *cut = g_memdup2(dialogue_descriptor, size);
        WireUrb urb = {0};
        bool has_interface = size >= 18;
        g_assert_cmpint(urbdrc_select_configuration(&urb, cut, size), ==, has_interface);
        urbdrc_select_interface(&urb, 1, cut, size, 1, 1);
    }
}

static void test_rule_09_too_many_endpoints(void)
{
    g_autoptr(GByteArray) descriptor = g_byte_array_new();
    g_byte_array_append(descriptor, dialogue_descriptor, 18);
    for (unsigned i = 0; i < WIRE_MAX_PIPES; i++)
        g_byte_array_append(descriptor, dialogue_descriptor + 27, 7);
    WireUrb urb = {0};
    g_assert_true(urbdrc_select_configuration(&urb, descriptor->data, descriptor->len));
    g_byte_array_append(descriptor, dialogue_descriptor + 27, 7);
    g_assert_false(urbdrc_select_configuration(&urb, descriptor->data, descriptor->len));
    g_assert_false(urbdrc_select_interface(&urb, 1, descriptor->data, descriptor->len, 1, 0));
}

static void test_rule_09_too_many_interfaces(void)
{
    g_autoptr(GByteArray) descriptor = g_byte_array_new();
    g_byte_array_append(descriptor, dialogue_descriptor, 9);
    for (uint8_t i = 0; i <= WIRE_MAX_INTERFACES; i++) {
        WireUrb urb = {0};
        g_assert_cmpint(urbdrc_select_configuration(&urb, descriptor->data, descriptor->len), ==,
                        i > 0);
        const uint8_t interface[] = {9, 4, i, 0, 0, 0xff, 0, 0, 0};
        g_byte_array_append(descriptor, interface, sizeof interface);
    }
    WireUrb urb = {0};
    g_assert_false(urbdrc_select_configuration(&urb, descriptor->data, descriptor->len));
}

static void add(const char *name, const char *suffix, const void *lines, GTestDataFunc test)
{
    g_autofree char *path = g_strconcat(name, suffix, NULL);
    g_test_add_data_func(path, lines, test);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(dialogues); i++) {
        add(dialogues[i].name, "", dialogues[i].lines, run);
        add(dialogues[i].name, "/truncated", dialogues[i].lines, run_truncated);
        add(dialogues[i].name, "/closed", dialogues[i].lines, run_closed);
    }
    g_test_add_func("/urbdrc/rule-04-ids-wrap", test_ids_wrap);
    g_test_add_func("/urbdrc/rule-05-zombies-are-bounded", test_zombies_are_bounded);
    g_test_add_func("/urbdrc/rule-09-cut-descriptor", test_rule_09_cut_descriptor);
    g_test_add_func("/urbdrc/rule-09-too-many-endpoints", test_rule_09_too_many_endpoints);
    g_test_add_func("/urbdrc/rule-09-too-many-interfaces", test_rule_09_too_many_interfaces);
    g_test_add_func("/urbdrc/rule-15-requests", test_rule_15_requests);
    g_test_add_func("/urbdrc/rule-19-statuses", test_rule_19_statuses);
    return g_test_run();
}
