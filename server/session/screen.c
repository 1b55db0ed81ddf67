/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "screen.h"

#include <freerdp/codec/color.h>
#include <freerdp/codec/interleaved.h>
#include <freerdp/codec/planar.h>
#include <freerdp/update.h>
#include <string.h>

#include "text.h"

/* Bitmaps of at most 64 x 64 pixels, whose width is a multiple of four, are what every client
 * takes ([MS-RDPBCGR] 2.2.9.1.1.3.1.2.2 TS_BITMAP_DATA). */
#define TILE_WIDTH 64

/* Bytes of one update: below the 0x3FFF of one fast-path PDU, so that a client that cannot put
 * fragments together takes it too ([MS-RDPBCGR] 2.2.7.2.6). */
#define MAX_UPDATE_BYTES (15 * 1024)
#define MAX_TILES        64
#define TILE_HEADER      26 /* bytes of a TS_BITMAP_DATA before its pixels */

/* An interleaved tile that does not compress; a planar one is allocated by FreeRDP. */
#define MAX_TILE_BYTES (64 * 64 * 4)

/* More than the tallest desktop has. */
#define MAX_ROWS 512

struct Screen {
    rdpContext *context;
    unsigned width, height, color_depth; /* 0 until the client is active */
    Text *text;
    GPtrArray *lines; /* char *: what is shown */
    GPtrArray *rows;  /* char *: the same, wrapped: the text of each row from the top */
    GArray *stale;    /* bool: for each row of the desktop, whether the client lacks it */
    bool suppressed;
    BITMAP_PLANAR_CONTEXT *planar;           /* for 32 bits per pixel */
    BITMAP_INTERLEAVED_CONTEXT *interleaved; /* for fewer */
};

typedef struct {
    BITMAP_DATA tiles[MAX_TILES];
    unsigned n;
    size_t bytes;
} Batch;

Screen *screen_new(rdpContext *context)
{
    Screen *screen = g_new0(Screen, 1);
    screen->context = context;
    screen->lines = g_ptr_array_new_with_free_func(g_free);
    screen->rows = g_ptr_array_new_with_free_func(g_free);
    screen->stale = g_array_new(FALSE, TRUE, sizeof(bool));
    return screen;
}

static void clear_codecs(Screen *screen)
{
    freerdp_bitmap_planar_context_free(g_steal_pointer(&screen->planar));
    bitmap_interleaved_context_free(g_steal_pointer(&screen->interleaved));
    g_clear_pointer(&screen->text, text_free);
}

void screen_free(Screen *screen)
{
    if (!screen)
        return;
    clear_codecs(screen);
    g_clear_pointer(&screen->lines, g_ptr_array_unref);
    g_clear_pointer(&screen->rows, g_ptr_array_unref);
    g_clear_pointer(&screen->stale, g_array_unref);
    g_free(screen);
}

void screen_refresh(Screen *screen, unsigned top, unsigned bottom)
{
    unsigned end = MIN(bottom / TEXT_ROW_HEIGHT + 1, screen->stale->len);
    for (unsigned row = top / TEXT_ROW_HEIGHT; row < end; row++)
        g_array_index(screen->stale, bool, row) = true;
}

void screen_suppress(Screen *screen, bool suppressed)
{
    screen->suppressed = suppressed;
}

static const char *row_of(const Screen *screen, unsigned row)
{
    return row < screen->rows->len ? screen->rows->pdata[row] : "";
}

/* The lines as rows of the desktop's width. */
static GPtrArray *lay_out(const Screen *screen)
{
    GPtrArray *rows = g_ptr_array_new_with_free_func(g_free);
    for (guint i = 0; i < screen->lines->len && rows->len < MAX_ROWS; i++) {
        if (screen->text)
            text_wrap(screen->text, screen->lines->pdata[i], rows);
    }
    return rows;
}

static void update_rows(Screen *screen)
{
    g_autoptr(GPtrArray) old = screen->rows;
    screen->rows = lay_out(screen);
    for (unsigned row = 0; row < MIN(MAX(old->len, screen->rows->len), screen->stale->len); row++) {
        const char *before = row < old->len ? old->pdata[row] : "";
        if (strcmp(before, row_of(screen, row)) != 0)
            g_array_index(screen->stale, bool, row) = true;
    }
}

static bool are_shown(const Screen *screen, const char *const *lines)
{
    guint n = g_strv_length((char **) lines);
    bool same = n == screen->lines->len;
    for (guint i = 0; same && i < n; i++)
        same = strcmp(lines[i], screen->lines->pdata[i]) == 0;
    return same;
}

/* So that the log tells what somebody saw. */
static void log_new(const Screen *screen, const char *const *lines)
{
    for (; *lines; lines++) {
        if (**lines && !g_ptr_array_find_with_equal_func(screen->lines, *lines, g_str_equal, NULL))
            g_debug("window: %s", *lines);
    }
}

void screen_set_lines(Screen *screen, const char *const *lines)
{
    if (are_shown(screen, lines))
        return;
    log_new(screen, lines);
    g_ptr_array_set_size(screen->lines, 0);
    for (; *lines; lines++)
        g_ptr_array_add(screen->lines, g_strdup(*lines));
    update_rows(screen);
}

void screen_activate(Screen *screen)
{
    rdpSettings *settings = screen->context->settings;
    screen->width = freerdp_settings_get_uint32(settings, FreeRDP_DesktopWidth);
    screen->height = freerdp_settings_get_uint32(settings, FreeRDP_DesktopHeight);
    screen->color_depth = freerdp_settings_get_uint32(settings, FreeRDP_ColorDepth);
    screen->suppressed = false;
    clear_codecs(screen);
    screen->text = text_new((screen->width + 3) & ~3u);
    if (screen->color_depth == 32) {
        DWORD flags = PLANAR_FORMAT_HEADER_RLE;
        if (freerdp_settings_get_bool(settings, FreeRDP_DrawAllowSkipAlpha))
            flags |= PLANAR_FORMAT_HEADER_NA;
        screen->planar = freerdp_bitmap_planar_context_new(flags, TILE_WIDTH, 64);
    } else {
        screen->interleaved = bitmap_interleaved_context_new(TRUE);
    }
    bool usable = screen->text && (screen->planar || screen->interleaved);
    unsigned rows = usable ? (screen->height + TEXT_ROW_HEIGHT - 1) / TEXT_ROW_HEIGHT : 0;
    g_array_set_size(screen->stale, rows);
    update_rows(screen);
    screen_refresh(screen, 0, screen->height);
}

/* ---- Sending ---- */

static bool compress_planar(Screen *screen, const uint8_t *pixels, BITMAP_DATA *tile)
{
    tile->bitsPerPixel = 32;
    tile->bitmapDataStream = freerdp_bitmap_compress_planar(
        screen->planar, pixels, PIXEL_FORMAT_BGRX32, tile->width, tile->height,
        text_stride(screen->text), NULL, &tile->bitmapLength);
    return tile->bitmapDataStream;
}

static bool compress_interleaved(Screen *screen, const uint8_t *pixels, BITMAP_DATA *tile)
{
    tile->bitsPerPixel = screen->color_depth;
    tile->bitmapLength = MAX_TILE_BYTES;
    tile->bitmapDataStream = malloc(MAX_TILE_BYTES);
    return tile->bitmapDataStream &&
           interleaved_compress(screen->interleaved, tile->bitmapDataStream, &tile->bitmapLength,
                                tile->width, tile->height, pixels, PIXEL_FORMAT_BGRX32,
                                text_stride(screen->text), 0, 0, NULL, screen->color_depth);
}

static bool send_batch(Screen *screen, Batch *batch)
{
    rdpUpdate *update = screen->context->update;
    BITMAP_UPDATE bitmap_update = {.number = batch->n, .rectangles = batch->tiles};
    bool sent = batch->n == 0 || update->BitmapUpdate(screen->context, &bitmap_update);
    for (unsigned i = 0; i < batch->n; i++)
        free(batch->tiles[i].bitmapDataStream);
    batch->n = 0;
    batch->bytes = 0;
    return sent;
}

static bool add_tile(Screen *screen, Batch *batch, const uint8_t *row_pixels, unsigned x,
                     unsigned y)
{
    unsigned visible = MIN(TILE_WIDTH, screen->width - x);
    BITMAP_DATA tile = {
        .destLeft = x,
        .destTop = y,
        .destRight = x + visible - 1,
        .destBottom = MIN(y + TEXT_ROW_HEIGHT, screen->height) - 1,
        .width = (visible + 3) & ~3u,
        .height = TEXT_ROW_HEIGHT,
        .compressed = TRUE,
    };
    bool compressed = screen->planar ? compress_planar(screen, row_pixels + 4 * x, &tile)
                                     : compress_interleaved(screen, row_pixels + 4 * x, &tile);
    if (!compressed) {
        free(tile.bitmapDataStream);
        return false;
    }
    unsigned bytes_per_pixel = (tile.bitsPerPixel + 7) / 8;
    tile.cbScanWidth = tile.width * bytes_per_pixel;
    tile.cbUncompressedSize = tile.cbScanWidth * tile.height;
    tile.cbCompMainBodySize = tile.bitmapLength;
    size_t bytes = tile.bitmapLength + TILE_HEADER;
    bool sent = true;
    if (batch->n == MAX_TILES || batch->bytes + bytes > MAX_UPDATE_BYTES)
        sent = send_batch(screen, batch);
    batch->tiles[batch->n++] = tile;
    batch->bytes += bytes;
    return sent;
}

static bool send_row(Screen *screen, unsigned row)
{
    const uint8_t *pixels = text_paint(screen->text, row_of(screen, row));
    Batch batch = {.n = 0};
    bool sent = true;
    for (unsigned x = 0; sent && x < screen->width; x += TILE_WIDTH)
        sent = add_tile(screen, &batch, pixels, x, row * TEXT_ROW_HEIGHT);
    return send_batch(screen, &batch) && sent;
}

bool screen_send_row(Screen *screen)
{
    for (unsigned row = 0; !screen->suppressed && row < screen->stale->len; row++) {
        bool *stale = &g_array_index(screen->stale, bool, row);
        if (!*stale)
            continue;
        *stale = false;
        if (!send_row(screen, row)) {
            /* Devices work without a picture: this client does not get one. */
            g_message("the client takes no pictures at %u bits per pixel: its screen stays empty",
                      screen->color_depth);
            g_array_set_size(screen->stale, 0);
        }
        return true;
    }
    return false;
}
