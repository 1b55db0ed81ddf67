/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The log of each program: GLib's structured log, to the journal when standard error goes there,
 * else as plain lines to standard error. Standard output stays free for what a program prints.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>

typedef enum { LOG_ERROR, LOG_WARNING, LOG_INFO, LOG_DEBUG } LogLevel;

const char *log_level_to_string(LogLevel level);
bool log_level_parse(const char *text, LogLevel *level);

/* For a program that may open no socket: the journal gets lines as well, with the priority in front
 * that it takes from there (sd-daemon(3)). Before log_open(). */
void log_use_lines(void);
/* Once, before threads exist. `program` is copied and begins each line. */
void log_open(const char *program);
void log_set_level(LogLevel level);
/* Text that follows the program's name in brackets, as the client's address; before threads exist.
 */
void log_set_label(const char *label);

/* `text` of a peer, in quotes, as one printable line of bounded length. Caller frees. */
char *log_quote(const char *text);
