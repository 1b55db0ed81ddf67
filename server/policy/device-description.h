/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A device in words, to ask the policy about: the attributes of a rule without its target, as
 * `usbguard list-devices` prints them, or a lone VVVV:PPPP.
 */
#pragma once

#include "policy.h"

typedef struct DeviceDescription DeviceDescription;

/* INPUT_ERROR "device description:1:COLUMN: what, and what to do" if it is none. */
DeviceDescription *device_description_parse(const char *text, GError **error);
/* Accepts NULL. */
void device_description_free(DeviceDescription *description);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DeviceDescription, device_description_free)

/* Belongs to the description. */
const PolicyDevice *device_description_device(const DeviceDescription *description);
