/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Functions that came after libusb 1.0.26, declared here because an older header does not know
 * them. None may be missing: a call that found its way into the real library would meet our objects
 * there.
 */
#include "libusb-objects.h"

#pragma GCC visibility push(default)
struct libusb_init_option;
struct libusb_interface_association_descriptor_array;
struct libusb_platform_descriptor;
struct libusb_ssplus_usb_device_capability_descriptor;

int LIBUSB_CALL libusb_init_context(libusb_context **context,
                                    const struct libusb_init_option *options, int count);
int LIBUSB_CALL libusb_get_max_alt_packet_size(libusb_device *device, int interface, int alternate,
                                               unsigned char address);
int LIBUSB_CALL libusb_get_interface_association_descriptors(
    libusb_device *device, uint8_t index,
    struct libusb_interface_association_descriptor_array **result);
int LIBUSB_CALL libusb_get_active_interface_association_descriptors(
    libusb_device *device, struct libusb_interface_association_descriptor_array **result);
void LIBUSB_CALL libusb_free_interface_association_descriptors(
    struct libusb_interface_association_descriptor_array *array);
int LIBUSB_CALL libusb_get_platform_descriptor(
    libusb_context *context, struct libusb_bos_dev_capability_descriptor *capability,
    struct libusb_platform_descriptor **result);
void LIBUSB_CALL libusb_free_platform_descriptor(struct libusb_platform_descriptor *descriptor);
int LIBUSB_CALL libusb_get_ssplus_usb_device_capability_descriptor(
    libusb_context *context, struct libusb_bos_dev_capability_descriptor *capability,
    struct libusb_ssplus_usb_device_capability_descriptor **result);
void LIBUSB_CALL libusb_free_ssplus_usb_device_capability_descriptor(
    struct libusb_ssplus_usb_device_capability_descriptor *descriptor);
#pragma GCC visibility pop

/* The options choose a log and a way to find devices; here is one way and no log. */
int LIBUSB_CALL libusb_init_context(libusb_context **context,
                                    const struct libusb_init_option *options, int count)
{
    return libusb_init(context);
}

/* Of one alternate setting, bytes per microframe as libusb_get_max_iso_packet_size() counts them.
 */
int LIBUSB_CALL libusb_get_max_alt_packet_size(libusb_device *device, int interface, int alternate,
                                               unsigned char address)
{
    struct libusb_config_descriptor *configuration;
    int size = libusb_get_active_config_descriptor(device, &configuration);
    if (size != LIBUSB_SUCCESS)
        return size;
    size = LIBUSB_ERROR_NOT_FOUND;
    if (interface >= 0 && interface < configuration->bNumInterfaces && alternate >= 0 &&
        alternate < configuration->interface[interface].num_altsetting) {
        const struct libusb_interface_descriptor *setting =
            &configuration->interface[interface].altsetting[alternate];
        for (int i = 0; i < setting->bNumEndpoints; i++) {
            const struct libusb_endpoint_descriptor *endpoint = &setting->endpoint[i];
            if (endpoint->bEndpointAddress == address)
                size = endpoint_iso_size(device->gadget->speed, endpoint);
        }
    }
    libusb_free_config_descriptor(configuration);
    return size;
}

/* --- Descriptors that no gadget has --------------------------------------------------------------
 */

int LIBUSB_CALL libusb_get_interface_association_descriptors(
    libusb_device *device, uint8_t index,
    struct libusb_interface_association_descriptor_array **result)
{
    return LIBUSB_ERROR_NOT_FOUND;
}

int LIBUSB_CALL libusb_get_active_interface_association_descriptors(
    libusb_device *device, struct libusb_interface_association_descriptor_array **result)
{
    return LIBUSB_ERROR_NOT_FOUND;
}

void LIBUSB_CALL libusb_free_interface_association_descriptors(
    struct libusb_interface_association_descriptor_array *array)
{
}

int LIBUSB_CALL libusb_get_platform_descriptor(
    libusb_context *context, struct libusb_bos_dev_capability_descriptor *capability,
    struct libusb_platform_descriptor **result)
{
    return LIBUSB_ERROR_NOT_FOUND;
}

void LIBUSB_CALL libusb_free_platform_descriptor(struct libusb_platform_descriptor *descriptor)
{
}

int LIBUSB_CALL libusb_get_ssplus_usb_device_capability_descriptor(
    libusb_context *context, struct libusb_bos_dev_capability_descriptor *capability,
    struct libusb_ssplus_usb_device_capability_descriptor **result)
{
    return LIBUSB_ERROR_NOT_FOUND;
}

void LIBUSB_CALL libusb_free_ssplus_usb_device_capability_descriptor(
    struct libusb_ssplus_usb_device_capability_descriptor *descriptor)
{
}
