/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The users of session processes: each that runs has one of its own, so that none can reach another
 * one, or anything else of the machine. Numbers of a range that has no names; only a broker that is
 * root can give them. Lives in the main context.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <sys/types.h>

/* Above what systemd gives to users, services and containers (its UIDS-GIDS: 0x7FFFFFFF and more
 * are dangerous, 1879048192 is the end of the containers'), and outside of the usual /etc/subuid.
 */
#define SESSION_UIDS_FIRST G_GUINT64_CONSTANT(2000000000)
/* Beyond, programs take user ids for negative numbers; systemd-homed and others leave those. */
#define SESSION_UIDS_END (G_GUINT64_CONSTANT(1) << 31)

typedef struct SessionUids SessionUids;

/* `n` users from `first` on, each with the group of the same number. NULL: somebody has one of
 * these numbers, or this user namespace has not all of them. */
SessionUids *session_uids_new(guint64 first, guint64 n, GError **error);
/* Accepts NULL. */
void session_uids_free(SessionUids *uids);

/* A user that no process has, or 0 when all are taken. With NULL always 0: processes keep the
 * broker's. */
uid_t session_uids_take(SessionUids *uids);
/* The process that had it has ended. Accepts 0, and NULL with it. */
void session_uids_give_back(SessionUids *uids, uid_t uid);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(SessionUids, session_uids_free)
