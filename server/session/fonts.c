/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fonts.h"

#include <fontconfig/fontconfig.h>
#include <pango/pangofc-font.h>
#include <pango/pangofc-fontmap.h>

/* Cairo keeps ten open. */
#define MAX_FILES 8

static void add_file(GPtrArray *files, PangoFont *font)
{
    FcChar8 *file = NULL;
    if (files->len >= MAX_FILES || !PANGO_IS_FC_FONT(font) ||
        FcPatternGetString(pango_fc_font_get_pattern(PANGO_FC_FONT(font)), FC_FILE, 0, &file) !=
            FcResultMatch)
        return;
    if (!g_ptr_array_find_with_equal_func(files, file, g_str_equal, NULL))
        g_ptr_array_add(files, g_strdup((const char *) file));
}

static void add_files(GPtrArray *files, PangoFontMap *map, PangoContext *context,
                      const char *description, const char *sample)
{
    PangoFontDescription *wanted = pango_font_description_from_string(description);
    PangoFontset *fonts =
        pango_font_map_load_fontset(map, context, wanted, pango_language_get_default());
    for (const char *c = sample; fonts && *c; c = g_utf8_next_char(c)) {
        g_autoptr(PangoFont) font = pango_fontset_get_font(fonts, g_utf8_get_char(c));
        if (font)
            add_file(files, font);
    }
    g_clear_object(&fonts);
    pango_font_description_free(wanted);
}

void fonts_restrict(PangoFontMap *map, const char *const *descriptions, unsigned n,
                    const char *sample)
{
    if (!PANGO_IS_FC_FONT_MAP(map))
        return;
    g_autoptr(GPtrArray) files = g_ptr_array_new_with_free_func(g_free);
    PangoContext *context = pango_font_map_create_context(map);
    for (unsigned i = 0; i < n; i++) /* before others: the first letters must not lack one */
        add_files(files, map, context, descriptions[i], " ");
    for (unsigned i = 0; i < n; i++)
        add_files(files, map, context, descriptions[i], sample);
    g_object_unref(context);
    FcConfig *config = FcInitLoadConfig();
    for (unsigned i = 0; config && i < files->len; i++)
        FcConfigAppFontAddFile(config, files->pdata[i]);
    if (!config)
        return;
    pango_fc_font_map_set_config(PANGO_FC_FONT_MAP(map), config);
    FcConfigDestroy(config);
}
