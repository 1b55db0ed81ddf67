/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One bounds-checked cursor over the bytes of one message, and the primitives that move a field
 * between it and a variable in the cursor's direction. A message is written down once, as a walker
 * that lists its fields: run with a reader it decodes, with a writer it encodes, with a measurer it
 * counts. The first failure sticks: from then on reads give 0 and nothing moves, so that a walker
 * needs no error path of its own. All integers are little-endian ([MS-RDPEUSB] 2.2).
 *
 * The folder uses the C standard library only, allocates nothing, and keeps no state.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes that somebody else owns: after decoding they lie in the message that was decoded. */
typedef struct {
    const uint8_t *data;
    size_t length;
} WireBytes;

typedef enum { WIRE_READ, WIRE_WRITE, WIRE_MEASURE } WireMode;

typedef struct {
    WireMode mode;
    bool failed;
    const uint8_t *in; /* WIRE_READ */
    uint8_t *out;      /* WIRE_WRITE */
    size_t position;
    size_t end;
} WireCursor;

WireCursor wire_reader(const uint8_t *data, size_t length);
WireCursor wire_writer(uint8_t *data, size_t size);
WireCursor wire_measurer(void);

static inline bool wire_is_reading(const WireCursor *c)
{
    return c->mode == WIRE_READ;
}

/* What is left to read, or room to write into. */
static inline size_t wire_remaining(const WireCursor *c)
{
    return c->end - c->position;
}

void wire_fail(WireCursor *c);

/* The one question after a walk: nothing failed and, when reading, every byte was used. */
bool wire_finish(const WireCursor *c);

void wire_u8(WireCursor *c, uint8_t *value);
void wire_u16(WireCursor *c, uint16_t *value);
void wire_u32(WireCursor *c, uint32_t *value);

/* A field that has one legal value: anything else fails when read. */
void wire_constant_u32(WireCursor *c, uint32_t value);

/* Padding: ignored when read, zero when written. */
void wire_padding(WireCursor *c, size_t length);

/* Exactly bytes->length bytes: a view when read, copied when written. */
void wire_bytes(WireCursor *c, WireBytes *bytes);

/* All that is left (of the innermost span) when read; bytes->length bytes when written. */
void wire_rest(WireCursor *c, WireBytes *bytes);

/* Ends a walk, or a span, that tolerates more than it knows: nothing is written. */
void wire_ignore_rest(WireCursor *c);

/* A u32 that says bytes->length. It is checked where the bytes are taken, by wire_bytes(). */
void wire_length_u32(WireCursor *c, WireBytes *bytes);

/* A part whose length stands in a field before it: opened at that field, closed after the part.
 * Reading, the cursor cannot leave the part; writing, closing fills the length in. */
typedef struct {
    size_t field; /* where the length stands */
    size_t start; /* the first byte that it counts */
    size_t outer; /* the cursor's end around the part */
    uint8_t width;
} WireSpan;

/* The length is a u32 that counts what follows it. */
WireSpan wire_span_u32(WireCursor *c);

/* The length is the part's own first field and counts itself. */
WireSpan wire_span_u16_inclusive(WireCursor *c);
WireSpan wire_span_u32_inclusive(WireCursor *c);

/* Reading, fails unless the part was used up. */
void wire_span_close(WireCursor *c, WireSpan span);

/*
 * Declares the walker of a message and, from it, three ready-made calls:
 *
 *   bool   wire_<name>_decode(m, data, length)  false if the bytes are no such message: *m is then
 *                                               unspecified. Views in *m lie in data.
 *   size_t wire_<name>_size(m)                  bytes that encoding takes; 0 if it cannot be
 * encoded (a part is longer than its length field can say). size_t wire_<name>_encode(m, data,
 * size)    bytes written; 0 if it cannot be encoded or size is too small.
 *
 * A walker takes a non-const message because reading fills it; writing leaves it alone, so that the
 * casts here are sound.
 */
#define WIRE_DECLARE(Type, name)                                                                   \
    void wire_##name(WireCursor *c, Type *m);                                                      \
    static inline bool wire_##name##_decode(Type *m, const uint8_t *data, size_t length)           \
    {                                                                                              \
        WireCursor c = wire_reader(data, length);                                                  \
        *m = (Type){0};                                                                            \
        wire_##name(&c, m);                                                                        \
        return wire_finish(&c);                                                                    \
    }                                                                                              \
    static inline size_t wire_##name##_size(const Type *m)                                         \
    {                                                                                              \
        WireCursor c = wire_measurer();                                                            \
        wire_##name(&c, (Type *) m);                                                               \
        return wire_finish(&c) ? c.position : 0;                                                   \
    }                                                                                              \
    static inline size_t wire_##name##_encode(const Type *m, uint8_t *data, size_t size)           \
    {                                                                                              \
        WireCursor c = wire_writer(data, size);                                                    \
        wire_##name(&c, (Type *) m);                                                               \
        return wire_finish(&c) ? c.position : 0;                                                   \
    }
