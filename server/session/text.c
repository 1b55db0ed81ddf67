/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "text.h"

#include <pango/pangocairo.h>

#include "fonts.h"

#define MARGIN       24
#define INDENT       "        " /* of the rows of a line but the first */
#define INDENT_WIDTH 48
#define FONT         "DejaVu Sans 15px"
#define FONT_BIG     "DejaVu Sans Bold 19px"
#define BACKGROUND   0.11, 0.13, 0.16
#define PLAIN_COLOR  0.87, 0.88, 0.90
#define BIG_COLOR    1.00, 1.00, 1.00

/* Of every kind that a device's name may have. */
#define SAMPLE       "USB Ünï… Ελ Жж שׁ عر 日本語 한글 ไทย हिन्दी ✓ 😀"
#define SAMPLE_WIDTH 800

struct Text {
    cairo_surface_t *surface;
    cairo_t *cairo;
    int width;
    PangoLayout *layout;
    PangoFontDescription *font, *font_big;
};

static void begin_line(Text *text, const char *line)
{
    bool big = line[0] == '#';
    pango_layout_set_font_description(text->layout, big ? text->font_big : text->font);
    pango_layout_set_text(text->layout, big ? line + 1 : line, -1);
}

static void set_wrapping(Text *text, bool wraps)
{
    int width = MAX(1, text->width - 2 * MARGIN - (wraps ? INDENT_WIDTH : 0));
    pango_layout_set_ellipsize(text->layout, wraps ? PANGO_ELLIPSIZE_NONE : PANGO_ELLIPSIZE_END);
    pango_layout_set_wrap(text->layout, PANGO_WRAP_WORD_CHAR);
    pango_layout_set_width(text->layout, width * PANGO_SCALE);
}

Text *text_new(unsigned width)
{
    g_autoptr(Text) text = g_new0(Text, 1);
    text->surface = cairo_image_surface_create(CAIRO_FORMAT_RGB24, (int) width, TEXT_ROW_HEIGHT);
    text->cairo = cairo_create(text->surface);
    if (cairo_status(text->cairo) != CAIRO_STATUS_SUCCESS)
        return NULL;
    text->layout = pango_cairo_create_layout(text->cairo);
    text->font = pango_font_description_from_string(FONT);
    text->font_big = pango_font_description_from_string(FONT_BIG);
    /* What a device calls itself must not leave its line. */
    pango_layout_set_single_paragraph_mode(text->layout, TRUE);
    text->width = (int) width;
    set_wrapping(text, false);
    return g_steal_pointer(&text);
}

void text_free(Text *text)
{
    if (!text)
        return;
    g_clear_pointer(&text->font, pango_font_description_free);
    g_clear_pointer(&text->font_big, pango_font_description_free);
    g_clear_object(&text->layout);
    g_clear_pointer(&text->cairo, cairo_destroy);
    g_clear_pointer(&text->surface, cairo_surface_destroy);
    g_free(text);
}

void text_wrap(Text *text, const char *line, GPtrArray *rows)
{
    set_wrapping(text, true);
    begin_line(text, line);
    int n = pango_layout_get_line_count(text->layout);
    if (line[0] == '#' || n <= 1) {
        g_ptr_array_add(rows, g_strdup(line));
    } else {
        for (int row = 0; row < MIN(n, TEXT_MAX_ROWS); row++) {
            PangoLayoutLine *part = pango_layout_get_line_readonly(text->layout, row);
            const char *begin = line + part->start_index;
            bool rest = row == TEXT_MAX_ROWS - 1;
            g_autofree char *words = rest ? g_strdup(begin) : g_strndup(begin, part->length);
            g_ptr_array_add(rows, g_strconcat(row > 0 ? INDENT : "", g_strstrip(words), NULL));
        }
    }
    set_wrapping(text, false);
}

const uint8_t *text_paint(Text *text, const char *line)
{
    bool big = line[0] == '#';
    cairo_set_source_rgb(text->cairo, BACKGROUND);
    cairo_paint(text->cairo);
    if (big)
        cairo_set_source_rgb(text->cairo, BIG_COLOR);
    else
        cairo_set_source_rgb(text->cairo, PLAIN_COLOR);
    begin_line(text, line);
    int height;
    pango_layout_get_pixel_size(text->layout, NULL, &height);
    cairo_move_to(text->cairo, MARGIN, (TEXT_ROW_HEIGHT - height) / 2);
    pango_cairo_show_layout(text->cairo, text->layout);
    cairo_surface_flush(text->surface);
    return cairo_image_surface_get_data(text->surface);
}

unsigned text_stride(const Text *text)
{
    return (unsigned) cairo_image_surface_get_stride(text->surface);
}

bool text_prepare(void)
{
    static const char *const used[] = {FONT, FONT_BIG};
    fonts_restrict(pango_cairo_font_map_get_default(), used, G_N_ELEMENTS(used), SAMPLE);
    g_autoptr(Text) text = text_new(SAMPLE_WIDTH);
    if (!text)
        return false;
    text_paint(text, "#" SAMPLE);
    text_paint(text, SAMPLE);
    return cairo_status(text->cairo) == CAIRO_STATUS_SUCCESS;
}
