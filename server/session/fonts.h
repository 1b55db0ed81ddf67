/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The fonts of this process. Libraries open a font's file when a text needs it first, and close
 * some to open others; in the sandbox there are the files that are open.
 */
#pragma once

#include <pango/pango.h>

/* From here on `map` knows only those fonts that it takes for the characters of `sample` in each of
 * the `n` descriptions; a character that they lack is shown as its number. */
void fonts_restrict(PangoFontMap *map, const char *const *descriptions, unsigned n,
                    const char *sample);
