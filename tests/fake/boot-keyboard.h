/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a US keyboard of the HID boot protocol ([HID 1.11] appendix B.1) has typed. */
#pragma once

#include <glib.h>
#include <stdint.h>

#define BOOT_REPORT_LENGTH 8

/* Appends the characters of keys that are down in @report and were not in @before. */
void boot_keyboard_decode(const uint8_t before[BOOT_REPORT_LENGTH],
                          const uint8_t report[BOOT_REPORT_LENGTH], GString *text);
