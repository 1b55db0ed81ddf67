/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Everything an administrator can set, from the configuration file and the command line. Read once
 * at start; const afterwards.
 */
#pragma once

#include "admission.h"
#include "log.h"

#include <glib.h>
#include <stdbool.h>

typedef struct {
    guint64 max_connections; /* users at a time; more are turned away */
    char *max_startups;      /* text, or NULL: the default; see config_admission() */
    guint64 max_startups_per_source;
    guint64 max_session_memory;   /* bytes of one session process; 0 is no limit */
    guint64 max_device_channels;  /* devices of one session */
    guint64 max_requests;         /* pending requests of one device */
    guint64 max_bytes_in_flight;  /* of one device */
    guint64 max_descriptor_bytes; /* of one device */
    guint64 login_seconds;        /* who has not logged in by then is turned away */
    guint64 answer_seconds;       /* for a session to show that it runs */
    guint64 lockout_failures;     /* of a source or a user, until they are locked; 0: never */
    guint64 lockout_seconds;      /* for so long */
} ConfigLimits;

/* A group [vm NAME] of the file, or what --chardev makes. */
typedef struct {
    char *name;
    unsigned line;        /* of the file, of its group or of chardev; 0: --chardev */
    GPtrArray *ports;     /* of char *: QEMU's spelling of a socket, checked */
    GPtrArray *users;     /* of char *: who may use it; "*" is everybody who may log in */
    GPtrArray *groups;    /* of char *: so may their members */
    char *filter;         /* usbredir's string, checked, or NULL */
    unsigned filter_line; /* of the file */
} ConfigVm;

/* How clients log in: bits of Config.security. */
#define CONFIG_SECURITY_NLA 1u
#define CONFIG_SECURITY_TLS 2u

/* The VM whose ports are given as options. */
#define CONFIG_DEFAULT_VM "default"

typedef struct {
    char *file;            /* path of the configuration file, or NULL */
    GPtrArray *listen;     /* of char *: ADDR:PORT, checked. Empty: the default, see config.c */
    GPtrArray *chardevs;   /* of char *: ports of the VM named CONFIG_DEFAULT_VM, which is in vms */
    char *certificate;     /* path, or NULL: make one in state_dir. Set exactly if private_key is */
    char *private_key;     /* path, or NULL */
    char *state_dir;       /* path, never NULL */
    char *security;        /* text, see config_security() */
    char *users_file;      /* path, or NULL: only `user` may log in, or nobody by the users file */
    GPtrArray *passwords;  /* of char *: "users", "pam"; never empty */
    char *pam_confdir;     /* path, or NULL: the system's */
    char *kerberos_keytab; /* path, or NULL: NLA is NTLM alone */
    char *user;            /* or NULL. Set exactly if password_file is */
    char *password_file;   /* path, or NULL */
    char *rules_dir;       /* path, never NULL */
    char *default_vm;      /* name, or NULL */
    GPtrArray *vms;        /* of ConfigVm */
    char *audit;           /* path, "journal", or NULL */
    char *capture;         /* path of a folder, or NULL: record nothing */
    guint64 capture_limit; /* bytes of one file there */
    guint64 session_uids;  /* first of the range for sessions, if we are root */
    char *log_level;       /* a name of LogLevel, or NULL: info */
    ConfigLimits limits;
    unsigned *lines; /* of the file, by setting; 0: it was given as an option, or not at all */
} Config;

/* Reads the command line, and the file that it names. On NULL, INPUT_ERROR (text-file.h) is a
 * mistake of the administrator, or a file that cannot be read. `*print_version` ends it early, with
 * a Config that is of no use. */
Config *config_new(char **argv, bool *print_version, GError **error);
/* The same of a file's text alone, for tests and fuzzing. */
Config *config_parse(const char *path, const char *text, GError **error);
/* Accepts NULL. */
void config_free(Config *config);

/* How many may be there without a login. */
AdmissionLimits config_admission(const Config *config);
LogLevel config_log_level(const Config *config);

/* CONFIG_SECURITY_ bits. */
unsigned config_security(const Config *config);
bool config_security_parse(const char *text, unsigned *security, GError **error);

/* True if clients may send a password for us to check: with TLS, or what they delegate after
 * Kerberos. Else there is NTLM's proof alone. */
bool config_takes_passwords(const Config *config);
/* True if `place` ("users", "pam") checks passwords. */
bool config_has_passwords(const Config *config, const char *place);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Config, config_free)
