/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Blocks of a pcapng file (draft-ietf-opsawg-pcapng), little-endian on every machine: one section
 * with one interface, then packets. Each function appends one block to `out`. Texts are UTF-8; ""
 * leaves an option out, and what is too long or no UTF-8 is cut off.
 */
#pragma once

#include <glib.h>
#include <stddef.h>
#include <stdint.h>

void pcapng_section(GByteArray *out, const char *application, const char *comment);
/* Times of its packets are microseconds. */
void pcapng_interface(GByteArray *out, uint16_t link_type, const char *name,
                      const char *description);
/* `time` is since 1970. */
void pcapng_packet(GByteArray *out, int64_t time, const uint8_t *data, size_t size,
                   const char *comment);

/* Integers as usbmon headers have them too. */
void pcapng_append_u16(GByteArray *out, uint16_t value);
void pcapng_append_u32(GByteArray *out, uint32_t value);
void pcapng_append_u64(GByteArray *out, uint64_t value);
