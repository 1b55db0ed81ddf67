/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ADD_DEVICE ([MS-RDPEUSB] 2.2.4.2) as text that somebody may keep.
 */
#pragma once

#include <rdpusb/urbdrc.h>
#include <wire/control.h>

void urbdrc_announcement_init(RdpusbAnnouncement *announcement, const WireAddDevice *m);
/* Accepts a zeroed one. */
void urbdrc_announcement_clear(RdpusbAnnouncement *announcement);
