/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The configuration file: a key file as GLib has it, with the line of every mistake. Internal to
 * the configuration.
 */
#pragma once

#include "config.h"

/* Adds what the text says to `config`, and keeps `path`, which is for errors too. INPUT_ERROR. */
bool config_file_take(Config *config, const char *path, const char *text, GError **error);
