/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "boot-keyboard.h"

#include <string.h>

#define SHIFTS 0x22 /* left and right */

#define FIRST_USAGE 0x04

/* [HUT 1.12] 10, from usage 0x04 (a) on; ' ' at 0x2c, the non-US key 0x32 left out. */
static const char plain[] = "abcdefghijklmnopqrstuvwxyz1234567890\n\033\b\t -=[]\\\\;'`,./";
static const char shifted[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ!@#$%^&*()\n\033\b\t _+{}||:\"~<>?";

G_STATIC_ASSERT(sizeof(plain) == sizeof(shifted));

void boot_keyboard_decode(const uint8_t before[BOOT_REPORT_LENGTH],
                          const uint8_t report[BOOT_REPORT_LENGTH], GString *text)
{
    const char *keys = report[0] & SHIFTS ? shifted : plain;

    for (int i = 2; i < BOOT_REPORT_LENGTH; i++) {
        uint8_t usage = report[i];
        if (usage < FIRST_USAGE || memchr(before + 2, usage, BOOT_REPORT_LENGTH - 2))
            continue;
        if (usage - FIRST_USAGE < (int) sizeof(plain) - 1)
            g_string_append_c(text, keys[usage - FIRST_USAGE]);
        else
            g_string_append_printf(text, "<0x%02x>", usage);
    }
}
