/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * UTF-16LE strings and string lists as they lie on the wire: unaligned, counted in 16-bit units
 * ("cch") that are supposed to include every terminating NUL. The terminators may be missing.
 */
#pragma once

#include "cursor.h"

typedef struct {
    const uint8_t *utf16; /* 2 * cch bytes that somebody else owns */
    uint32_t cch;
} WireText;

/* u32 cch, then that many units. */
void wire_text(WireCursor *c, WireText *text);

static inline uint16_t wire_text_unit(const WireText *text, uint32_t index)
{
    return (uint16_t) (text->utf16[2 * (size_t) index] | text->utf16[2 * (size_t) index + 1] << 8);
}

/* Writes the string that begins at unit *position as NUL-terminated UTF-8 into utf8 (size >= 1),
 * cut to whole characters when it does not fit, and moves *position past its NUL, or to the end.
 * What is no UTF-16, and every control character, becomes U+FFFD: the text comes from a device.
 * False if nothing is left, or the string is empty, which ends a list; utf8 is then "". */
bool wire_text_next(const WireText *text, uint32_t *position, char *utf8, size_t size);

/* The first string: false and "" if there is none. */
static inline bool wire_text_first(const WireText *text, char *utf8, size_t size)
{
    uint32_t position = 0;
    return wire_text_next(text, &position, utf8, size);
}
