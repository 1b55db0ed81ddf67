/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A text that is in memory only while somebody keeps it: made anew for each use, and wiped after.
 */
#pragma once

#define SECRET_SIZE 64

void secret_make(char secret[SECRET_SIZE]);
/* How often it is in the memory that this process can write to, freed or not. */
unsigned secret_count(void);
