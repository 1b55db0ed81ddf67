/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The users and their groups as a table for people, 80 columns wide. Never a hash.
 */
#pragma once

#include "users-file.h"

#include <stdio.h>

void user_table_print(const Users *users, FILE *stream);
