/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The root hub that all gadgets hang on. FreeRDP opens it to ask for the status of a device's port.
 */
#include "gadget-bus.h"

#define PORT_CONNECTION 0x0001
#define PORT_ENABLE     0x0002
#define PORT_POWER      0x0100
#define PORT_LOW_SPEED  0x0200
#define PORT_HIGH_SPEED 0x0400

/* clang-format off */
static const uint8_t configuration[] = {
    9, LIBUSB_DT_CONFIG, 25, 0, 1, 1, 0, 0xe0, 0,
    9, LIBUSB_DT_INTERFACE, 0, 0, 1, LIBUSB_CLASS_HUB, 0, 0, 0,
    7, LIBUSB_DT_ENDPOINT, 0x81, LIBUSB_TRANSFER_TYPE_INTERRUPT, 4, 0, 12,
};
/* clang-format on */

/* clang-format off */
static const uint8_t device[LIBUSB_DT_DEVICE_SIZE] = {
    LIBUSB_DT_DEVICE_SIZE, LIBUSB_DT_DEVICE, 0x00, 0x02, LIBUSB_CLASS_HUB, 0, 1, 64,
    0x6b, 0x1d, 0x02, 0x00, 0x00, 0x01, 0, 0, 0, 1,
};
/* clang-format on */

static void hub_reset(struct gadget *hub)
{
    for (unsigned i = 0; i < sizeof device; i++)
        hub->device_descriptor[i] = device[i];
}

static uint16_t port_status(unsigned port)
{
    const struct gadget *gadget = port > 0 ? bus_gadget(port) : NULL;
    if (!gadget || !gadget->plugged)
        return PORT_POWER;
    uint16_t status = PORT_POWER | PORT_ENABLE | PORT_CONNECTION;
    if (gadget->speed == LIBUSB_SPEED_LOW)
        status |= PORT_LOW_SPEED;
    else if (gadget->speed == LIBUSB_SPEED_HIGH)
        status |= PORT_HIGH_SPEED;
    return status;
}

/* GetPortStatus ([USB 2.0] 11.24.2.7) is all that anybody asks. */
static enum gadget_reply hub_control(struct gadget *hub, const struct libusb_control_setup *setup,
                                     uint8_t *data, size_t *length)
{
    const uint8_t get_port_status =
        LIBUSB_ENDPOINT_IN | LIBUSB_REQUEST_TYPE_CLASS | LIBUSB_RECIPIENT_OTHER;
    if (setup->bmRequestType != get_port_status || setup->bRequest != LIBUSB_REQUEST_GET_STATUS)
        return GADGET_STALL;
    uint16_t status = port_status(setup->wIndex);
    const uint8_t answer[4] = {(uint8_t) status, (uint8_t) (status >> 8), 0, 0};
    if (*length > sizeof answer)
        *length = sizeof answer;
    for (size_t i = 0; i < *length; i++)
        data[i] = answer[i];
    return GADGET_DONE;
}

/* Changes of ports are not reported here: the program has hotplug events. */
static enum gadget_reply hub_in(struct gadget *hub, uint8_t endpoint, uint8_t *data, size_t room,
                                size_t *length)
{
    return GADGET_NAK;
}

const struct gadget_ops hub_gadget = {
    .kind = "hub",
    .speed = LIBUSB_SPEED_HIGH,
    .kernel_driver = true,
    .max_packet_size0 = 64,
    .configurations = {{configuration, sizeof configuration}},
    .reset = hub_reset,
    .control = hub_control,
    .in = hub_in,
};
