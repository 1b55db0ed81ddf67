/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The folder of --capture. Sessions open no files: they get them from here, one for each device.
 */
#pragma once

#include <glib.h>

typedef struct Captures Captures;

/* NULL when `folder` is no folder or not writable; the text says what to do. */
Captures *captures_new(const char *folder, GError **error);
/* Accepts NULL. */
void captures_free(Captures *captures);

/* Makes a new file for a device at `port`, for writing, mode 0600. Returns its descriptor and, in
 * `*path`, its name (the caller frees it), or -1 and an error. */
int captures_open(Captures *captures, const char *port, guint16 vendor, guint16 product,
                  char **path, GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Captures, captures_free)
