/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ADD_DEVICE ([MS-RDPEUSB] 2.2.4.2) as text that somebody may keep.
 */
#pragma once

#include <rdpusb/urbdrc.h>
#include <wire/control.h>

void urbdrc_announcement_init(RdpusbAnnouncement *announcement, const WireAddDevice *m);
/* Accepts a zeroed one. */
/* The client's answer to QUERY_DEVICE_TEXT. */
void urbdrc_announcement_take_location(RdpusbAnnouncement *announcement, const WireText *text);
void urbdrc_announcement_clear(RdpusbAnnouncement *announcement);
