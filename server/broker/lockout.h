/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What failed logins cost: every refusal is held back for a while, and after too many of them a
 * source and a user name are locked for a time. Whether a user exists is not known here, so nothing
 * can show it. A user who has logged in from a source is judged there by what fails at the two of
 * them together: others can lock neither the user nor the source for this one. No I/O and no clock
 * of its own; times are microseconds of the monotonic clock. It remembers no more than so many
 * sources, names and pairs, and nothing beyond its process.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>

/* The first refusal, and all after many of them: in between, each is held back twice as long. */
#define LOCKOUT_MIN_DELAY (1 * G_USEC_PER_SEC)
#define LOCKOUT_MAX_DELAY (8 * G_USEC_PER_SEC)

/* Records in each of the tables. */
#define LOCKOUT_MAX_RECORDS 10000

typedef struct {
    guint failures; /* within `seconds`, and it is locked; 0: it never is */
    guint seconds;
} LockoutLimits;

#define LOCKOUT_DEFAULT_LIMITS ((LockoutLimits){10, 600})

typedef struct Lockout Lockout;

Lockout *lockout_new(const LockoutLimits *limits);
/* Accepts NULL. */
void lockout_free(Lockout *lockout);

/* Holds for what fails from here on. */
void lockout_set_limits(Lockout *lockout, const LockoutLimits *limits);

/* In all of them `source` is one of admission_source(), and `user` a name as it was given, valid or
 * not; upper and lower case are the same. */

/* Whether the attempt is to be refused whatever its password is. The refusal must look as after a
 * wrong password: the caller goes through lockout_failed() and says the same. */
bool lockout_is_locked(Lockout *lockout, const char *source, const char *user, gint64 now);

typedef enum {
    LOCKOUT_SOURCE = 1,
    LOCKOUT_USER = 2,
    LOCKOUT_PAIR = 4 /* the user at a source where this one has logged in before */
} LockoutLocks;

/* An attempt was wrong, or refused for a lock: the latter counts no further, or one who goes on
 * trying would keep a user locked for ever. Returns the delay, in microseconds: the answer is held
 * back until a multiple of it since the question. `*locks`, if `locks` is not NULL, is what is
 * locked from this failure on, for the log: 0 nearly always. */
gint64 lockout_failed(Lockout *lockout, const char *source, const char *user, gint64 now,
                      LockoutLocks *locks);

/* `user` logged in: what this one has failed from `source` is forgiven, what others did is not. */
void lockout_succeeded(Lockout *lockout, const char *source, const char *user, gint64 now);

/* How many records there are, for tests of its bounds. */
guint lockout_size(const Lockout *lockout);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Lockout, lockout_free)
