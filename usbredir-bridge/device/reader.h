/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reads a device's descriptors when it arrives: device, configurations, strings. */
#pragma once

#include "device.h"

/* Goes on by itself: ends in a selection of the first configuration, or in a refusal. */
void reader_start(Device *device);
