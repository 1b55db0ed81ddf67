/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Who may try to log in: a bound on the connections that have not done so yet, with random early
 * drop, after sshd's MaxStartups and PerSourceMaxStartups (sshd_config(5)). Unlike sshd it drops
 * those who wait already: who holds connections open cannot keep others out. No I/O and no clock
 * of its own; times are microseconds of the monotonic clock.
 */
#pragma once

#include <gio/gio.h>
#include <stdbool.h>

/* How long one of a crowd is left alone: a login takes about half of it. */
#define ADMISSION_PROTECTED_MICROSECONDS (2 * G_USEC_PER_SEC)

/* Beyond `start` connections one is dropped for each that comes, with a probability that rises from
 * `rate` percent to all at `full`. */
typedef struct {
    guint start, rate, full;
    guint per_source; /* of one source; 0: as many as of all */
} AdmissionLimits;

/* A session process costs some 8 MiB and 40 ms before the login: in a flood one address can have
 * some 16 of them started in a second. */
#define ADMISSION_DEFAULT_LIMITS ((AdmissionLimits){32, 30, 100, 32})

/* Reads "start:rate:full" and leaves `per_source`. False, and G_IO_ERROR_INVALID_ARGUMENT, when it
 * is none. */
bool admission_limits_parse(const char *text, AdmissionLimits *limits, GError **error);

/* What counts as one client: an IPv4 address, also one written as IPv6, or an IPv6 network of 64
 * bits, which every customer has. NULL is everybody whose address is not known. Caller frees. */
char *admission_source(GInetAddress *address);

typedef struct Admission Admission;

Admission *admission_new(const AdmissionLimits *limits, guint32 seed);
/* Accepts NULL. */
void admission_free(Admission *admission);

/* Holds for those who come from here on. */
void admission_set_limits(Admission *admission, const AdmissionLimits *limits);

/* `connection` came from `source` (it is copied). Returns the one to drop, which is left already;
 * `connection` itself when it is that, NULL when nobody has to go. */
gpointer admission_enter(Admission *admission, const char *source, gpointer connection, gint64 now);
/* It has logged in or ended. Nothing happens to one that is not there. */
void admission_leave(Admission *admission, gpointer connection);

/* How many are there. */
guint admission_size(const Admission *admission);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Admission, admission_free)
