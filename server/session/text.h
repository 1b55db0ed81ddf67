/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One line of text as pixels, by Pango. A text is painted row by row, so that a desktop of any
 * size takes the memory of one row.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/* Pixels of a row; a multiple of four, which RDP bitmaps want. */
#define TEXT_ROW_HEIGHT 28

typedef struct Text Text;

/* Loads the fonts. False: none could be, and no text can be painted. */
bool text_prepare(void);

/* Rows of `width` pixels. NULL when there is no memory for them. */
Text *text_new(unsigned width);
/* Accepts NULL. */
void text_free(Text *text);

/* Adds to `rows` (of char *) what `line` takes when its words are wrapped: TEXT_MAX_ROWS at most,
 * of which the last has the rest. */
#define TEXT_MAX_ROWS 4
void text_wrap(Text *text, const char *line, GPtrArray *rows);

/* Paints `line` (UTF-8; too long lines end in an ellipsis). A line that begins with '#' is a
 * heading. Returns TEXT_ROW_HEIGHT rows of BGRX pixels, top down, valid until the next call. */
const uint8_t *text_paint(Text *text, const char *line);
/* Bytes from one row of pixels to the next. */
unsigned text_stride(const Text *text);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Text, text_free)
