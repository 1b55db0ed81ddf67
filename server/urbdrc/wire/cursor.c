/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cursor.h"

#include <string.h>

WireCursor wire_reader(const uint8_t *data, size_t length)
{
    return (WireCursor){.mode = WIRE_READ, .in = data, .end = length};
}

WireCursor wire_writer(uint8_t *data, size_t size)
{
    return (WireCursor){.mode = WIRE_WRITE, .out = data, .end = size};
}

WireCursor wire_measurer(void)
{
    return (WireCursor){.mode = WIRE_MEASURE, .end = SIZE_MAX};
}

void wire_fail(WireCursor *c)
{
    c->failed = true;
}

bool wire_finish(const WireCursor *c)
{
    return !c->failed && (c->mode != WIRE_READ || c->position == c->end);
}

/* Moves past length bytes, the only place where the position grows. False: they are not there. */
static bool take(WireCursor *c, size_t length, size_t *at)
{
    if (c->failed || length > wire_remaining(c)) {
        wire_fail(c);
        return false;
    }
    *at = c->position;
    c->position += length;
    return true;
}

static void move_integer(WireCursor *c, uint32_t *value, uint8_t width)
{
    size_t at;
    if (!take(c, width, &at)) {
        if (c->mode == WIRE_READ)
            *value = 0;
        return;
    }
    switch (c->mode) {
    case WIRE_READ:
        *value = 0;
        for (uint8_t i = 0; i < width; i++)
            *value |= (uint32_t) c->in[at + i] << (8 * i);
        break;
    case WIRE_WRITE:
        for (uint8_t i = 0; i < width; i++)
            c->out[at + i] = (uint8_t) (*value >> (8 * i));
        break;
    case WIRE_MEASURE: break;
    }
}

void wire_u8(WireCursor *c, uint8_t *value)
{
    uint32_t v = *value;
    move_integer(c, &v, 1);
    if (wire_is_reading(c))
        *value = (uint8_t) v;
}

void wire_u16(WireCursor *c, uint16_t *value)
{
    uint32_t v = *value;
    move_integer(c, &v, 2);
    if (wire_is_reading(c))
        *value = (uint16_t) v;
}

void wire_u32(WireCursor *c, uint32_t *value)
{
    move_integer(c, value, 4);
}

void wire_constant_u32(WireCursor *c, uint32_t value)
{
    uint32_t v = value;
    move_integer(c, &v, 4);
    if (v != value)
        wire_fail(c);
}

void wire_padding(WireCursor *c, size_t length)
{
    size_t at;
    if (take(c, length, &at) && c->mode == WIRE_WRITE)
        memset(c->out + at, 0, length);
}

void wire_bytes(WireCursor *c, WireBytes *bytes)
{
    size_t at;
    bool taken = take(c, bytes->length, &at);
    if (wire_is_reading(c)) /* an empty message may be a NULL pointer */
        *bytes = taken && c->in ? (WireBytes){c->in + at, bytes->length} : (WireBytes){0};
    else if (taken && c->mode == WIRE_WRITE && bytes->length > 0)
        memcpy(c->out + at, bytes->data, bytes->length);
}

void wire_rest(WireCursor *c, WireBytes *bytes)
{
    if (wire_is_reading(c))
        bytes->length = wire_remaining(c);
    wire_bytes(c, bytes);
}

void wire_ignore_rest(WireCursor *c)
{
    if (wire_is_reading(c) && !c->failed)
        c->position = c->end;
}

void wire_length_u32(WireCursor *c, WireBytes *bytes)
{
    if (!wire_is_reading(c) && bytes->length > UINT32_MAX)
        wire_fail(c);
    uint32_t length = (uint32_t) bytes->length;
    wire_u32(c, &length);
    if (wire_is_reading(c))
        bytes->length = length;
}

/* Opens at the length field. What the length counts begins at the field itself or after it. */
static WireSpan open_span(WireCursor *c, uint8_t width, bool is_inclusive)
{
    WireSpan span = {.field = c->position, .outer = c->end, .width = width};
    uint32_t length = 0;
    move_integer(c, &length, width);
    span.start = is_inclusive ? span.field : c->position;
    if (!wire_is_reading(c) || c->failed)
        return span;

    size_t counted = c->position - span.start;
    if (length < counted || length - counted > wire_remaining(c))
        wire_fail(c);
    else
        c->end = span.start + length;
    return span;
}

WireSpan wire_span_u32(WireCursor *c)
{
    return open_span(c, 4, false);
}

WireSpan wire_span_u16_inclusive(WireCursor *c)
{
    return open_span(c, 2, true);
}

WireSpan wire_span_u32_inclusive(WireCursor *c)
{
    return open_span(c, 4, true);
}

void wire_span_close(WireCursor *c, WireSpan span)
{
    if (wire_is_reading(c)) {
        if (c->position != c->end)
            wire_fail(c);
        c->end = span.outer;
        return;
    }
    size_t length = c->position - span.start;
    if (c->failed || length > (span.width == 2 ? UINT16_MAX : UINT32_MAX)) {
        wire_fail(c);
        return;
    }
    if (c->mode == WIRE_WRITE) {
        WireCursor field = wire_writer(c->out + span.field, span.width);
        uint32_t value = (uint32_t) length;
        move_integer(&field, &value, span.width);
    }
}
