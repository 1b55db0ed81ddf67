/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Functions that came after libusb 1.0.26, declared here because an older header does not know
 * them. None may be missing: a call that found its way into the real library would meet our objects
 * there.
 */
#include "libusb-objects.h"

#include <stdlib.h>
#include <string.h>

#define DT_INTERFACE_ASSOCIATION 0x0b

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

/* --- Interface associations ----------------------------------------------------------------------
 */

struct interface_association { /* the descriptor's bytes */
    uint8_t length, type, first_interface, interface_count;
    uint8_t function_class, function_subclass, function_protocol, function;
};

/* As struct libusb_interface_association_descriptor_array, which a newer header defines. */
struct interface_associations {
    struct interface_association *list;
    int length;
};

static int get_associations(const uint8_t *raw, size_t length,
                            struct libusb_interface_association_descriptor_array **result)
{
    struct interface_associations *array = calloc(1, sizeof *array);
    struct interface_association *list = calloc(GADGET_MAX_INTERFACES, sizeof *list);
    if (!array || !list) {
        free(array);
        free(list);
        return LIBUSB_ERROR_NO_MEM;
    }
    for (size_t at = 0; at < length && array->length < GADGET_MAX_INTERFACES; at += raw[at])
        if (raw[at + 1] == DT_INTERFACE_ASSOCIATION)
            memcpy(&list[array->length++], raw + at, sizeof *list);
    array->list = list;
    *result = (void *) array;
    return LIBUSB_SUCCESS;
}

int LIBUSB_CALL libusb_get_interface_association_descriptors(
    libusb_device *device, uint8_t index,
    struct libusb_interface_association_descriptor_array **result)
{
    size_t length;
    const uint8_t *raw = gadget_configuration(device->gadget, index, &length);
    return raw ? get_associations(raw, length, result) : LIBUSB_ERROR_NOT_FOUND;
}

int LIBUSB_CALL libusb_get_active_interface_association_descriptors(
    libusb_device *device, struct libusb_interface_association_descriptor_array **result)
{
    struct libusb_config_descriptor *configuration;
    int status = libusb_get_active_config_descriptor(device, &configuration);
    if (status != LIBUSB_SUCCESS)
        return status;
    uint8_t value = configuration->bConfigurationValue;
    libusb_free_config_descriptor(configuration);
    size_t length;
    const uint8_t *raw;
    for (unsigned i = 0; (raw = gadget_configuration(device->gadget, i, &length)); i++)
        if (raw[5] == value)
            return get_associations(raw, length, result);
    return LIBUSB_ERROR_NOT_FOUND;
}

void LIBUSB_CALL libusb_free_interface_association_descriptors(
    struct libusb_interface_association_descriptor_array *array)
{
    struct interface_associations *associations = (void *) array;
    if (associations)
        free(associations->list);
    free(associations);
}

/* --- Descriptors that no gadget has --------------------------------------------------------------
 */

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
