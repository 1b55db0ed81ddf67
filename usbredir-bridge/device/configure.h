/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Configurations and alternate settings, and the tables of interfaces and endpoints that follow
 * from them. The guest is told new tables before the status of the change, and at no other time:
 * QEMU sets its endpoints up anew from them.
 */
#pragma once

#include "device.h"

/* Selects the first configuration: at arrival, and before a new guest gets a used device. */
void select_default(Device *device);
