/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The file that a bridge's capture goes to, as the broker opened it. What is wrong with it ends the
 * capture and nothing else.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <rdpusb/bridge.h>

typedef struct CaptureFile CaptureFile;

/* Takes `fd`, a regular file. `number` is the device's, for the log. */
CaptureFile *capture_file_new(int fd, uint32_t number);
/* Accepts NULL. */
void capture_file_free(CaptureFile *file);

/* Writes what the bridge has recorded. False when it is of no more use: the limit was reached, or
 * writing failed. */
bool capture_file_write(CaptureFile *file, RdpusbBridge *bridge, int64_t now);
/* Writes the rest. */
void capture_file_end(CaptureFile *file, RdpusbBridge *bridge, int64_t now);
