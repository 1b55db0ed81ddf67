/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Everything an administrator can set, from the configuration file and the command line. Read once
 * at start; const afterwards.
 */
#pragma once

#include "log.h"

#include <glib.h>
#include <stdbool.h>

/* CONFIG_ERROR: somebody has to correct an option or a line; its text names it. */
#define CONFIG_ERROR (config_error_quark())
GQuark config_error_quark(void);

typedef struct {
    guint64 max_connections;      /* clients at a time; more are turned away */
    guint64 max_session_memory;   /* bytes of one session process; 0 is no limit */
    guint64 max_device_channels;  /* devices of one session */
    guint64 max_requests;         /* pending requests of one device */
    guint64 max_bytes_in_flight;  /* of one device */
    guint64 max_descriptor_bytes; /* of one device */
    guint64 login_seconds;        /* who has not logged in by then is turned away */
} ConfigLimits;

typedef struct {
    GPtrArray *listen;     /* of char *: ADDR:PORT, checked. Empty: the default, see config.c */
    GPtrArray *chardevs;   /* of char *: QEMU's spelling of a socket, checked */
    char *certificate;     /* path, or NULL: make one in state_dir. Set exactly if private_key is */
    char *private_key;     /* path, or NULL */
    char *state_dir;       /* path, never NULL */
    char *user;            /* never NULL */
    char *password_file;   /* path, never NULL */
    char *capture;         /* path of a folder, or NULL: record nothing */
    guint64 capture_limit; /* bytes of one file there */
    char *log_level;       /* a name of LogLevel, or NULL: info */
    ConfigLimits limits;
} Config;

/* Reads the command line, and the file that it names. On NULL, CONFIG_ERROR is a mistake of the
 * administrator; any other error a file that cannot be read. `*print_version` ends it early, with
 * a Config that is of no use. */
Config *config_new(char **argv, bool *print_version, GError **error);
/* Accepts NULL. */
void config_free(Config *config);

LogLevel config_log_level(const Config *config);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Config, config_free)
