/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "text.h"

#include <pango/pangocairo.h>

#include "fonts.h"

#define MARGIN      24
#define FONT        "DejaVu Sans 15px"
#define FONT_BIG    "DejaVu Sans Bold 19px"
#define BACKGROUND  0.11, 0.13, 0.16
#define PLAIN_COLOR 0.87, 0.88, 0.90
#define BIG_COLOR   1.00, 1.00, 1.00

/* Of every kind that a device's name may have. */
#define SAMPLE       "USB Ünï… Ελ Жж שׁ عر 日本語 한글 ไทย हिन्दी ✓ 😀"
#define SAMPLE_WIDTH 800

struct Text {
    cairo_surface_t *surface;
    cairo_t *cairo;
    PangoLayout *layout;
    PangoFontDescription *font, *font_big;
};

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
    pango_layout_set_ellipsize(text->layout, PANGO_ELLIPSIZE_END);
    pango_layout_set_width(text->layout, MAX(1, (int) width - 2 * MARGIN) * PANGO_SCALE);
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

const uint8_t *text_paint(Text *text, const char *line)
{
    bool big = line[0] == '#';
    cairo_set_source_rgb(text->cairo, BACKGROUND);
    cairo_paint(text->cairo);
    if (big)
        cairo_set_source_rgb(text->cairo, BIG_COLOR);
    else
        cairo_set_source_rgb(text->cairo, PLAIN_COLOR);
    pango_layout_set_font_description(text->layout, big ? text->font_big : text->font);
    pango_layout_set_text(text->layout, big ? line + 1 : line, -1);
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
