/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Kerberos for NLA ([MS-CSSP] with [MS-KILE]): FreeRDP speaks it with libkrb5, and finds the
 * service's keys in the memory of this process. A ticket is answered without a word to anybody
 * else.
 *
 * Whose the ticket is, FreeRDP before 3.22 does not tell, and the name that the client gives is a
 * claim. So a ticket lets nobody in: the password that the client delegates does.
 */
#pragma once

#include <glib.h>

typedef struct Kerberos Kerberos;

/* Copies the keys, as Configure gave them. Before sandbox_seal(). */
Kerberos *kerberos_new(GVariant *keys, GError **error);
/* Accepts NULL. */
void kerberos_free(Kerberos *kerberos);

/* The name of the keytab in memory. */
const char *kerberos_keytab(const Kerberos *kerberos);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Kerberos, kerberos_free)
