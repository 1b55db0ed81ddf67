/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What came with USB 2.1 and 3: the capabilities in the BOS descriptor and endpoints' companions.
 */
#include "libusb-objects.h"

#include <stdlib.h>
#include <string.h>

#define BOS_MAX 255

static uint16_t le16(const uint8_t *bytes)
{
    return (uint16_t) (bytes[0] | bytes[1] << 8);
}

int LIBUSB_CALL libusb_get_ss_endpoint_companion_descriptor(
    libusb_context *context, const struct libusb_endpoint_descriptor *endpoint,
    struct libusb_ss_endpoint_companion_descriptor **result)
{
    const uint8_t *raw = endpoint->extra;
    size_t rest = (size_t) endpoint->extra_length;
    *result = NULL;
    while (rest >= 2 && raw[1] != LIBUSB_DT_SS_ENDPOINT_COMPANION) {
        rest -= raw[0];
        raw += raw[0];
    }
    if (rest < LIBUSB_DT_SS_ENDPOINT_COMPANION_SIZE)
        return LIBUSB_ERROR_NOT_FOUND;
    struct libusb_ss_endpoint_companion_descriptor *companion = malloc(sizeof *companion);
    if (!companion)
        return LIBUSB_ERROR_NO_MEM;
    *companion = (struct libusb_ss_endpoint_companion_descriptor){raw[0], raw[1], raw[2], raw[3],
                                                                  le16(raw + 4)};
    *result = companion;
    return LIBUSB_SUCCESS;
}

void LIBUSB_CALL libusb_free_ss_endpoint_companion_descriptor(
    struct libusb_ss_endpoint_companion_descriptor *descriptor)
{
    free(descriptor);
}

/* --- BOS -----------------------------------------------------------------------------------------
 */

static struct libusb_bos_dev_capability_descriptor *capability_new(const uint8_t *raw)
{
    struct libusb_bos_dev_capability_descriptor *capability = malloc(raw[0]);
    if (capability)
        memcpy(capability, raw, raw[0]); /* bytes only, in the order of the descriptor */
    return capability;
}

static struct libusb_bos_descriptor *parse_bos(const uint8_t *raw, size_t length)
{
    struct libusb_bos_descriptor *bos =
        calloc(1, sizeof *bos + raw[4] * sizeof bos->dev_capability[0]);
    if (!bos)
        return NULL;
    bos->bLength = raw[0];
    bos->bDescriptorType = raw[1];
    bos->wTotalLength = le16(raw + 2);
    for (size_t at = raw[0]; at < length && bos->bNumDeviceCaps < raw[4]; at += raw[at]) {
        struct libusb_bos_dev_capability_descriptor *capability = capability_new(raw + at);
        if (!capability) {
            libusb_free_bos_descriptor(bos);
            return NULL;
        }
        bos->dev_capability[bos->bNumDeviceCaps++] = capability;
    }
    return bos;
}

/* Asks the device; one that has none stalls: LIBUSB_ERROR_PIPE. */
int LIBUSB_CALL libusb_get_bos_descriptor(libusb_device_handle *handle,
                                          struct libusb_bos_descriptor **result)
{
    uint8_t raw[BOS_MAX];
    *result = NULL;
    int length = libusb_get_descriptor(handle, LIBUSB_DT_BOS, 0, raw, sizeof raw);
    if (length < 0)
        return length;
    if (length < LIBUSB_DT_BOS_SIZE)
        return LIBUSB_ERROR_IO;
    *result = parse_bos(raw, (size_t) length);
    return *result ? LIBUSB_SUCCESS : LIBUSB_ERROR_NO_MEM;
}

void LIBUSB_CALL libusb_free_bos_descriptor(struct libusb_bos_descriptor *bos)
{
    for (unsigned i = 0; bos && i < bos->bNumDeviceCaps; i++)
        free(bos->dev_capability[i]);
    free(bos);
}

/* --- Capabilities --------------------------------------------------------------------------------
 */

static bool is_capability(const struct libusb_bos_dev_capability_descriptor *capability,
                          uint8_t type, uint8_t length)
{
    return capability->bDevCapabilityType == type && capability->bLength >= length;
}

int LIBUSB_CALL libusb_get_usb_2_0_extension_descriptor(
    libusb_context *context, struct libusb_bos_dev_capability_descriptor *capability,
    struct libusb_usb_2_0_extension_descriptor **result)
{
    const uint8_t *raw = (const uint8_t *) capability;
    *result = NULL;
    if (!is_capability(capability, LIBUSB_BT_USB_2_0_EXTENSION, LIBUSB_BT_USB_2_0_EXTENSION_SIZE))
        return LIBUSB_ERROR_INVALID_PARAM;
    if (!(*result = malloc(sizeof **result)))
        return LIBUSB_ERROR_NO_MEM;
    **result = (struct libusb_usb_2_0_extension_descriptor){
        raw[0], raw[1], raw[2], le16(raw + 3) | (uint32_t) le16(raw + 5) << 16};
    return LIBUSB_SUCCESS;
}

void LIBUSB_CALL
libusb_free_usb_2_0_extension_descriptor(struct libusb_usb_2_0_extension_descriptor *descriptor)
{
    free(descriptor);
}

int LIBUSB_CALL libusb_get_ss_usb_device_capability_descriptor(
    libusb_context *context, struct libusb_bos_dev_capability_descriptor *capability,
    struct libusb_ss_usb_device_capability_descriptor **result)
{
    const uint8_t *raw = (const uint8_t *) capability;
    *result = NULL;
    if (!is_capability(capability, LIBUSB_BT_SS_USB_DEVICE_CAPABILITY,
                       LIBUSB_BT_SS_USB_DEVICE_CAPABILITY_SIZE))
        return LIBUSB_ERROR_INVALID_PARAM;
    if (!(*result = malloc(sizeof **result)))
        return LIBUSB_ERROR_NO_MEM;
    **result = (struct libusb_ss_usb_device_capability_descriptor){
        raw[0], raw[1], raw[2], raw[3], le16(raw + 4), raw[6], raw[7], le16(raw + 8)};
    return LIBUSB_SUCCESS;
}

void LIBUSB_CALL libusb_free_ss_usb_device_capability_descriptor(
    struct libusb_ss_usb_device_capability_descriptor *descriptor)
{
    free(descriptor);
}

/* No gadget has one. */
int LIBUSB_CALL libusb_get_container_id_descriptor(
    libusb_context *context, struct libusb_bos_dev_capability_descriptor *capability,
    struct libusb_container_id_descriptor **result)
{
    *result = NULL;
    return LIBUSB_ERROR_INVALID_PARAM;
}

void LIBUSB_CALL
libusb_free_container_id_descriptor(struct libusb_container_id_descriptor *descriptor)
{
    free(descriptor);
}
