/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A SuperSpeed device at a USB 2 port. QEMU attaches it there at 480 Mbit/s and tells nobody, but a
 * guest that runs at high speed cannot make use of SuperSpeed descriptors. It betrays itself by
 * what it reads first: 64 bytes of the device descriptor, since it does not know yet how much
 * endpoint 0 takes. At SuperSpeed that is fixed, and guests ask for 8 or 18.
 */
#pragma once

#include "device.h"

/* The device was announced: its guest may have another port than the one before. */
void port_forget(Device *device);
/* The guest reads the device descriptor, `length` bytes of it. */
void port_recognise(Device *device, uint16_t length);
/* The descriptors as this guest has to see them. They live as long as the device. */
const uint8_t *port_device_descriptor(const Device *device);
const uint8_t *port_configuration(const Device *device, const Configuration *configuration,
                                  size_t *size);
/* Bytes per packet of the endpoint, by which QEMU cuts its transfers. */
uint16_t port_packet_size(const Device *device, const Endpoint *endpoint);
