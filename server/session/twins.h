/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One device that a client announces twice, on two channels: the second is left alone. Two devices
 * that are alike stay two.
 *
 * FreeRDP's ids are made of vendor, product, release, bus and the last port: equal for one device
 * twice, and for two sticks at the same port of two hubs. What tells these apart is the place that
 * QUERY_DEVICE_TEXT tells, where FreeRDP puts bus and address. Whoever tells no place has no twins.
 */
#pragma once

#include "usb-device.h"

/* Looks for twins among the devices that are new; to be called after they took their turns. */
void twins_find(GPtrArray *devices, int64_t now);
