/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The desktop that the client sees: lines of text, one per row. Rows are sent when their text has
 * changed, and only as fast as the caller lets them go.
 */
#pragma once

#include <freerdp/freerdp.h>
#include <stdbool.h>

#include <glib.h>

typedef struct Screen Screen;

/* `context` is the peer's, and outlives the screen. */
Screen *screen_new(rdpContext *context);
/* Accepts NULL. */
void screen_free(Screen *screen);

/* The client is (again) ready for pictures: takes its desktop's size, and will send all of it. */
void screen_activate(Screen *screen);
/* Shows `lines` (NULL-terminated, copied) from the top; what does not fit is left out. */
void screen_set_lines(Screen *screen, const char *const *lines);
/* The client lost what it had from `top` to `bottom`, in pixels. */
void screen_refresh(Screen *screen, unsigned top, unsigned bottom);
/* The client wants no pictures (a minimised window), or wants them again. */
void screen_suppress(Screen *screen, bool suppressed);

/* Sends one row that needs it; false when there is none. */
bool screen_send_row(Screen *screen);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Screen, screen_free)
