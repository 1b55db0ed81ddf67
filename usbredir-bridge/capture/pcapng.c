/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pcapng.h"

#include <string.h>

#define BLOCK_SECTION   0x0a0d0d0a
#define BLOCK_INTERFACE 1
#define BLOCK_PACKET    6

#define BYTE_ORDER_MAGIC 0x1a2b3c4d
#define LENGTH_UNKNOWN   G_MAXUINT64

#define OPTION_END            0
#define OPTION_COMMENT        1
#define OPTION_APPLICATION    4 /* shb_userappl */
#define OPTION_IF_NAME        2
#define OPTION_IF_DESCRIPTION 3
#define OPTION_IF_TSRESOL     9

#define MAX_TEXT 1024

void pcapng_append_u16(GByteArray *out, uint16_t value)
{
    value = GUINT16_TO_LE(value);
    g_byte_array_append(out, (const uint8_t *) &value, sizeof value);
}

void pcapng_append_u32(GByteArray *out, uint32_t value)
{
    value = GUINT32_TO_LE(value);
    g_byte_array_append(out, (const uint8_t *) &value, sizeof value);
}

void pcapng_append_u64(GByteArray *out, uint64_t value)
{
    value = GUINT64_TO_LE(value);
    g_byte_array_append(out, (const uint8_t *) &value, sizeof value);
}

/* Everything inside of a block begins at a multiple of four bytes. */
static void append_padded(GByteArray *out, const uint8_t *data, size_t size)
{
    static const uint8_t zeros[4] = {0};
    if (size > 0)
        g_byte_array_append(out, data, size);
    g_byte_array_append(out, zeros, -size & 3);
}

/* ---- Options ---- */

static void append_option(GByteArray *out, uint16_t code, const void *value, uint16_t size)
{
    pcapng_append_u16(out, code);
    pcapng_append_u16(out, size);
    append_padded(out, value, size);
}

static void append_text(GByteArray *out, uint16_t code, const char *text)
{
    const char *end;
    g_utf8_validate(text, MIN(strlen(text), MAX_TEXT), &end);
    if (end > text)
        append_option(out, code, text, end - text);
}

/* ---- Blocks ---- */

/* The total length stands at both ends of a block, and is known when its content is there. */
static guint begin_block(GByteArray *out, uint32_t type)
{
    guint start = out->len;
    pcapng_append_u32(out, type);
    pcapng_append_u32(out, 0);
    return start;
}

static void end_block(GByteArray *out, guint start)
{
    uint32_t length = GUINT32_TO_LE(out->len - start + 4);
    memcpy(out->data + start + 4, &length, 4);
    g_byte_array_append(out, (const uint8_t *) &length, 4);
}

void pcapng_section(GByteArray *out, const char *application, const char *comment)
{
    guint start = begin_block(out, BLOCK_SECTION);
    pcapng_append_u32(out, BYTE_ORDER_MAGIC);
    pcapng_append_u16(out, 1); /* version 1.0 */
    pcapng_append_u16(out, 0);
    pcapng_append_u64(out, LENGTH_UNKNOWN);
    append_text(out, OPTION_COMMENT, comment);
    append_text(out, OPTION_APPLICATION, application);
    append_option(out, OPTION_END, NULL, 0);
    end_block(out, start);
}

void pcapng_interface(GByteArray *out, uint16_t link_type, const char *name,
                      const char *description)
{
    static const uint8_t microseconds = 6; /* 10 to the power of -6 s */
    guint start = begin_block(out, BLOCK_INTERFACE);
    pcapng_append_u16(out, link_type);
    pcapng_append_u16(out, 0);
    pcapng_append_u32(out, 0); /* no limit of packets' sizes */
    append_text(out, OPTION_IF_NAME, name);
    append_text(out, OPTION_IF_DESCRIPTION, description);
    append_option(out, OPTION_IF_TSRESOL, &microseconds, 1);
    append_option(out, OPTION_END, NULL, 0);
    end_block(out, start);
}

void pcapng_packet(GByteArray *out, int64_t time, const uint8_t *data, size_t size,
                   const char *comment)
{
    guint start = begin_block(out, BLOCK_PACKET);
    pcapng_append_u32(out, 0); /* the interface */
    pcapng_append_u32(out, (uint64_t) time >> 32);
    pcapng_append_u32(out, (uint32_t) time);
    pcapng_append_u32(out, size);
    pcapng_append_u32(out, size);
    append_padded(out, data, size);
    if (*comment) {
        append_text(out, OPTION_COMMENT, comment);
        append_option(out, OPTION_END, NULL, 0);
    }
    end_block(out, start);
}
