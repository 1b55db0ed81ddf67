/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the tests may see of a device channel beyond <rdpusb/urbdrc.h>.
 */
#pragma once

#include <rdpusb/urbdrc.h>

/* Messages that were dropped: unknown, out of sequence, or completions of nothing open. */
unsigned urbdrc_device_channel_ignored(const RdpusbDeviceChannel *channel);
