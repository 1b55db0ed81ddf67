/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a configuration says of a keyboard. */
#pragma once

#define KEYBOARD_REPORT_DESCRIPTOR_LENGTH 63
/* [HID 1.11] 6.2.1, with one report descriptor. */
#define KEYBOARD_HID_DESCRIPTOR                                                                    \
    9, 0x21, 0x11, 0x01, 0, 1, 0x22, KEYBOARD_REPORT_DESCRIPTOR_LENGTH, 0
