/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * USB descriptors as a device sent them: checked once, here, then trusted by the rest of the
 * folder. A device whose descriptors contradict themselves is refused, because QEMU's and the
 * guest's tables would be built on them.
 */
#pragma once

#include <rdpusb/bridge.h>

#define USB_DESCRIPTOR_DEVICE        0x01
#define USB_DESCRIPTOR_CONFIGURATION 0x02
#define USB_DESCRIPTOR_STRING        0x03
#define USB_DESCRIPTOR_INTERFACE     0x04
#define USB_DESCRIPTOR_ENDPOINT      0x05
#define USB_DESCRIPTOR_QUALIFIER     0x06
#define USB_DESCRIPTOR_COMPANION     0x30 /* USB 3.2 9.6.7 */
#define USB_DESCRIPTOR_SSP_COMPANION 0x31 /* USB 3.2 9.6.8 */

#define USB_DEVICE_DESCRIPTOR_SIZE        18
#define USB_CONFIGURATION_DESCRIPTOR_SIZE 9
#define USB_MAX_STRING                    255 /* bytes of its descriptor */

#define USB_GET_DESCRIPTOR 6

/* Byte offsets in the device descriptor, USB 2.0 table 9-8 */
#define USB_DEVICE_CLASS 4
#define USB_DEVICE_MANUFACTURER                                                                    \
    14 /* the index of this string; product and serial number follow                               \
        */
#define USB_DEVICE_CONFIGURATIONS 17

#define USB_MAX_INTERFACES 32
#define USB_MAX_ENDPOINTS  30

/* The numbers of bmAttributes, USB 2.0 table 9-13, and of usbredir. */
typedef enum {
    ENDPOINT_CONTROL = 0,
    ENDPOINT_ISOCHRONOUS = 1,
    ENDPOINT_BULK = 2,
    ENDPOINT_INTERRUPT = 3,
    ENDPOINT_NONE = 255,
} EndpointType;

typedef struct {
    uint8_t address;
    uint8_t type; /* EndpointType */
    uint8_t interval;
    uint16_t max_packet_size;    /* wMaxPacketSize with the multiplier bits */
    uint16_t bytes_per_interval; /* SuperSpeed, interrupt and isochronous; else 0 */
} EndpointDescriptor;

typedef struct {
    uint8_t number;
    uint8_t alternate;
    uint8_t class_, subclass, protocol;
    uint8_t n_endpoints;
    EndpointDescriptor endpoints[USB_MAX_ENDPOINTS];
} InterfaceSetting;

typedef struct {
    GBytes *bytes;            /* as the device sent it */
    GBytes *guest_bytes;      /* as the guest reads it, see configuration_hide_streams() */
    GBytes *high_speed_bytes; /* the same at a USB 2 port; NULL unless the device is SuperSpeed */
    uint8_t value;
    uint8_t n_interfaces;
    GArray *settings; /* of InterfaceSetting */
} Configuration;

/* NULL and RDPUSB_BRIDGE_ERROR_REFUSED when it contradicts itself. */
Configuration *configuration_parse(const uint8_t *data, size_t size, GError **error);
void configuration_free(Configuration *configuration);

/* NULL when there is none. */
const InterfaceSetting *configuration_setting(const Configuration *configuration, uint8_t number,
                                              uint8_t alternate);

/* Adds those of the configuration's interfaces, in whatever alternate setting, that are not among
 * the `classes` (of RdpusbInterfaceClass) yet. False and RDPUSB_BRIDGE_ERROR_REFUSED when there are
 * too many. */
bool configuration_add_classes(const Configuration *configuration, GArray *classes, GError **error);

/* Takes the UAS settings out of what the guest reads of a SuperSpeed device: they need bulk
 * streams, which MS-RDPEUSB cannot carry, and QEMU ejects a device that offers them in vain. */
void configuration_hide_streams(Configuration *configuration);

/* The device descriptor that a SuperSpeed device would have at high speed. */
void descriptors_at_high_speed(const uint8_t device[USB_DEVICE_DESCRIPTOR_SIZE],
                               uint8_t result[USB_DEVICE_DESCRIPTOR_SIZE]);

/* The speed from what the descriptors allow; the client's own word is not reliable. `qualifier`:
 * the device answered a request for its device qualifier. */
RdpusbSpeed descriptors_speed(const uint8_t device[USB_DEVICE_DESCRIPTOR_SIZE],
                              const Configuration *configuration, bool qualifier);

/* True when only the qualifier can tell high from full speed. */
bool descriptors_speed_is_ambiguous(const uint8_t device[USB_DEVICE_DESCRIPTOR_SIZE],
                                    const Configuration *configuration);

/* The text of a string descriptor as clean UTF-8, "" when it is none. Caller frees. */
char *descriptors_string(const uint8_t *data, size_t size);

static inline uint16_t descriptor_u16(const uint8_t *bytes)
{
    return (uint16_t) (bytes[0] | bytes[1] << 8);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Configuration, configuration_free)
