/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "port.h"

#define HIGH_SPEED_FIRST_READ 64
#define HIGH_SPEED_BULK_SIZE  512

void port_forget(Device *device)
{
    device->port = PORT_UNKNOWN;
}

void port_recognise(Device *device, uint16_t length)
{
    if (device->info.speed != RDPUSB_SPEED_SUPER || device->port != PORT_UNKNOWN)
        return;
    device->port = length == HIGH_SPEED_FIRST_READ ? PORT_HIGH_SPEED : PORT_AS_ANNOUNCED;
}

const uint8_t *port_device_descriptor(const Device *device)
{
    return device->port == PORT_HIGH_SPEED ? device->high_speed_descriptor : device->descriptor;
}

const uint8_t *port_configuration(const Device *device, const Configuration *configuration,
                                  size_t *size)
{
    return g_bytes_get_data(device->port == PORT_HIGH_SPEED ? configuration->high_speed_bytes
                                                            : configuration->guest_bytes,
                            size);
}

uint16_t port_packet_size(const Device *device, const Endpoint *endpoint)
{
    bool smaller = device->port == PORT_HIGH_SPEED && endpoint->type == ENDPOINT_BULK;
    return smaller ? MIN(endpoint->max_packet_size, HIGH_SPEED_BULK_SIZE)
                   : endpoint->max_packet_size;
}
