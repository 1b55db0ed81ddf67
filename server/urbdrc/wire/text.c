/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "text.h"

#include <string.h>

enum { REPLACEMENT_CHARACTER = 0xFFFD };

void wire_text(WireCursor *c, WireText *text)
{
    uint32_t cch = text->cch;
    wire_u32(c, &cch);
    /* size_t may have 32 bits: compare before doubling */
    if (wire_is_reading(c) && cch > wire_remaining(c) / 2) {
        wire_fail(c);
        cch = 0;
    }
    WireBytes units = {text->utf16, 2 * (size_t) cch};
    wire_bytes(c, &units);
    if (wire_is_reading(c))
        *text = (WireText){units.data, cch};
}

static bool is_high_surrogate(uint32_t unit)
{
    return unit >= 0xD800 && unit <= 0xDBFF;
}

static bool is_low_surrogate(uint32_t unit)
{
    return unit >= 0xDC00 && unit <= 0xDFFF;
}

static bool is_control(uint32_t character)
{
    return character < 0x20 || (character >= 0x7F && character < 0xA0);
}

/* The character at *position, which moves past it. */
static uint32_t next_character(const WireText *text, uint32_t *position)
{
    uint32_t unit = wire_text_unit(text, (*position)++);
    if (is_high_surrogate(unit) && *position < text->cch) {
        uint32_t low = wire_text_unit(text, *position);
        if (is_low_surrogate(low)) {
            (*position)++;
            return 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00);
        }
    }
    if (is_high_surrogate(unit) || is_low_surrogate(unit) || (unit != 0 && is_control(unit)))
        return REPLACEMENT_CHARACTER;
    return unit;
}

static size_t encode_utf8(uint32_t character, char utf8[4])
{
    if (character < 0x80) {
        utf8[0] = (char) character;
        return 1;
    }
    size_t length = character < 0x800 ? 2 : character < 0x10000 ? 3 : 4;
    for (size_t i = length - 1; i > 0; i--) {
        utf8[i] = (char) (0x80 | (character & 0x3F));
        character >>= 6;
    }
    utf8[0] = (char) (0xF00 >> length | character);
    return length;
}

bool wire_text_next(const WireText *text, uint32_t *position, char *utf8, size_t size)
{
    size_t used = 0;
    bool is_full = false, is_empty = true;
    while (*position < text->cch) {
        uint32_t character = next_character(text, position);
        if (character == 0)
            break;
        is_empty = false;
        char encoded[4];
        size_t length = encode_utf8(character, encoded);
        is_full = is_full || length >= size - used;
        if (is_full)
            continue;
        memcpy(utf8 + used, encoded, length);
        used += length;
    }
    utf8[used] = '\0';
    return !is_empty;
}
