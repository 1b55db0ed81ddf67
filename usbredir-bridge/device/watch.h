/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Whether a device still says what it said when it was checked. Rules were applied to what was read
 * at arrival (reader.h). A device that says something else later ends here, because it was not let
 * in as that, and the guest never gets the other bytes.
 *
 * The guest's requests for the device descriptor, configurations, and the strings that rules speak
 * of go to the device, always as they went at arrival, so that the whole answer is compared however
 * little the guest asked for. What the guest gets is the copy. The copy alone, without asking the
 * device, would protect the guest as well, but nobody would learn of the change; the device's
 * bytes alone could be others than those compared, because the guest has its own view of some
 * devices (port.h). What could not be read at arrival is not there for the guest either: a device
 * cannot keep a configuration or a serial number back from the rules.
 *
 * Not compared is what no rule speaks of: strings in other languages, other-speed descriptors, BOS,
 * class and vendor descriptors.
 *
 * When a device changes: a reset of the guest's port does not reach it (device_reset()), and guests
 * read the device descriptor again after one, which is compared. What reaches it, and is the best
 * moment to become another, is the SET_CONFIGURATION with which a client begins anew. The guest has
 * read all it wants by then, so we read it again ourselves: a few round trips where there is a
 * slow one already. Not after the selection before an announcement, because a guest that is told of
 * a device begins with reading.
 */
#pragma once

#include "job.h"

/* At arrival, a string descriptor that could be read. */
void watch_keep_string(Device *device, WatchedString which, const uint8_t *data, size_t size);

/* True when the guest asks for a descriptor that is compared. Then these two take the place of the
 * plain request. */
bool watch_concerns(const Device *device, const RdpusbSetup *setup);
uint32_t watch_start(Device *device, Job *job);
void watch_completed(Device *device, Job *job, const RdpusbDeviceEvent *event);

/* The device was configured anew: reads it again, before anything else goes there. */
void watch_check(Device *device);
