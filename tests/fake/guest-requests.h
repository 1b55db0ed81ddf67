/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a guest's drivers do with the device at a GuestSocket: requests that wait for their answers.
 * Errors are those of guest-socket.h; an answer with another status than success is FAILED and says
 * which. */
#pragma once

#include "guest-socket.h"

const char *usb_status_to_string(uint8_t status);

/* The answer to request @id, whatever its status; the caller owns it. Other events are dropped. */
FakeGuestEvent *guest_await(GuestSocket *socket, uint64_t id, GError **error);

/* Whatever was asked for before this and is answered at once has been answered. */
bool guest_barrier(GuestSocket *socket, GError **error);

/* Waits for the next interrupt packet of @endpoint. */
FakeGuestEvent *guest_await_interrupt(GuestSocket *socket, uint8_t endpoint, GError **error);

/* Waits for device_disconnect, a rejection or the end of the connection. */
bool guest_await_gone(GuestSocket *socket, GError **error);

/* Waits until a device is attached. */
bool guest_await_device(GuestSocket *socket, GError **error);

/* The data of a control transfer IN; the caller owns it. */
GBytes *guest_control_in(GuestSocket *socket, uint8_t requesttype, uint8_t request, uint16_t value,
                         uint16_t index, uint16_t length, GError **error);
bool guest_control_out(GuestSocket *socket, uint8_t requesttype, uint8_t request, uint16_t value,
                       uint16_t index, const void *data, uint16_t length, GError **error);
bool guest_set_configuration(GuestSocket *socket, uint8_t configuration, GError **error);
bool guest_set_alt_setting(GuestSocket *socket, uint8_t interface, uint8_t alt, GError **error);
bool guest_clear_halt(GuestSocket *socket, uint8_t endpoint, GError **error);

/* One bulk transfer; its answer whatever the status is. OUT takes @data, IN leaves it out. */
FakeGuestEvent *guest_bulk(GuestSocket *socket, uint8_t endpoint, const void *data, uint32_t length,
                           GError **error);

/* A stream of @total bytes from or to a bulk endpoint, in requests of @request bytes, 16 in flight
 * as under qemu-xhci. OUT data is @data; IN data is appended to @into. */
bool guest_bulk_read(GuestSocket *socket, uint8_t endpoint, uint64_t total, uint32_t request,
                     GByteArray *into, GError **error);
bool guest_bulk_write(GuestSocket *socket, uint8_t endpoint, const uint8_t *data, uint64_t total,
                      uint32_t request, GError **error);

/* Sends @total bytes to @out while it reads as many from @in, and appends those to @into. */
bool guest_bulk_exchange(GuestSocket *socket, uint8_t out, uint8_t in, const uint8_t *data,
                         uint64_t total, uint32_t request, GByteArray *into, GError **error);

/* Reads the descriptors as a guest's kernel does and sets the first configuration. Appends a
 * description of the device, without a newline, to @description. */
bool guest_enumerate(GuestSocket *socket, GString *description, GError **error);

/* The endpoint of that type (usb_redir_type_*) and direction (0x80 or 0) of an interface; 0 if
 * there is none. */
uint8_t guest_find_endpoint(const GuestSocket *socket, uint8_t interface, uint8_t type,
                            uint8_t direction);

/* The number of the interface with that class, subclass and protocol; -1 if there is none. */
int guest_find_interface(const GuestSocket *socket, uint8_t class, uint8_t subclass,
                         uint8_t protocol);
