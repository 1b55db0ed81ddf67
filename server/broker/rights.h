/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What this process may do: whoever takes it over has no more.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>

/* Before any thread exists. No core file is left, and nobody without rights can trace us. Root
 * keeps the capabilities that it has and needs, see rights.c. Programs that it starts get no more
 * than those, unless `for_pam`: modules of PAM are the administrator's, and may need any. */
bool rights_restrict(bool for_pam, GError **error);
