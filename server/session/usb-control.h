/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * USB redirection of a connection as such: sets up the control channel, on which the client says
 * that it has devices. It is never closed while the connection lives: it cannot be opened again.
 */
#pragma once

#include <gio/gio.h>
#include <stdbool.h>
#include <stdint.h>

#include <rdpusb/urbdrc.h>

#include "channels.h"

typedef struct UsbControl UsbControl;

/* `channels` outlives it. */
UsbControl *usb_control_new(Channels *channels, int64_t now);
/* Accepts NULL. */
void usb_control_free(UsbControl *control);

/* Moves everything that can be moved, except messages to the client. On false the client broke the
 * rules and the session should end: `error` names the state and the reason. */
bool usb_control_turn(UsbControl *control, int64_t now, GError **error);
/* When usb_control_turn() is due at the latest. */
int64_t usb_control_deadline(const UsbControl *control);
/* Writes one message to the client; false when there is none. */
bool usb_control_write(UsbControl *control);

/* How many device channels the client has asked for since the last call. */
unsigned usb_control_take_additions(UsbControl *control);
/* What came of one of these: the device that was announced there, or NULL. */
void usb_control_found(UsbControl *control, const RdpusbAnnouncement *announcement);
/* Why this connection has no USB devices and what to do about it, lines of text for the user; NULL
 * when it may have some. */
const char *usb_control_absence(const UsbControl *control);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(UsbControl, usb_control_free)
