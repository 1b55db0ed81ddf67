/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Descriptors as libusb hands them out: from the operating system's cache, without asking the
 * device. The raw ones are the gadgets' own tables, so the parser trusts them.
 */
#include "libusb-objects.h"

#include <stdlib.h>
#include <string.h>

static uint16_t le16(const uint8_t *bytes)
{
    return (uint16_t) (bytes[0] | bytes[1] << 8);
}

int LIBUSB_CALL libusb_get_device_descriptor(libusb_device *device,
                                             struct libusb_device_descriptor *descriptor)
{
    const uint8_t *raw = device->device_descriptor;
    *descriptor = (struct libusb_device_descriptor){
        .bLength = raw[0],
        .bDescriptorType = raw[1],
        .bcdUSB = le16(raw + 2),
        .bDeviceClass = raw[4],
        .bDeviceSubClass = raw[5],
        .bDeviceProtocol = raw[6],
        .bMaxPacketSize0 = raw[7],
        .idVendor = le16(raw + 8),
        .idProduct = le16(raw + 10),
        .bcdDevice = le16(raw + 12),
        .iManufacturer = raw[14],
        .iProduct = raw[15],
        .iSerialNumber = raw[16],
        .bNumConfigurations = raw[17],
    };
    return LIBUSB_SUCCESS;
}

/* --- Configuration -------------------------------------------------------------------------------
 */

/* What is being filled: descriptors of other types belong to the last interface or endpoint before
 * them. */
struct parse {
    struct libusb_config_descriptor *configuration;
    struct libusb_interface *interface;
    struct libusb_interface_descriptor *alternate;
    struct libusb_endpoint_descriptor *endpoint;
    bool failed;
};

/* The public structures point to const; they are ours until they are handed out. */
static void *writable(const void *pointer)
{
    return (void *) pointer;
}

static void *grow(struct parse *parse, const void *array, size_t count, size_t size)
{
    void *grown = realloc(writable(array), (count + 1) * size);
    if (!grown)
        parse->failed = true;
    else
        memset((char *) grown + count * size, 0, size);
    return grown;
}

static struct libusb_interface *interface_numbered(struct parse *parse, uint8_t number)
{
    struct libusb_config_descriptor *configuration = parse->configuration;
    for (unsigned i = 0; i < configuration->bNumInterfaces; i++) {
        struct libusb_interface *interface = writable(&configuration->interface[i]);
        if (interface->num_altsetting == 0 || interface->altsetting[0].bInterfaceNumber == number)
            return interface;
    }
    return NULL;
}

static void add_interface(struct parse *parse, const uint8_t *raw)
{
    struct libusb_interface *interface = interface_numbered(parse, raw[2]);
    size_t count = (size_t) interface->num_altsetting;
    struct libusb_interface_descriptor *alternates =
        grow(parse, interface->altsetting, count, sizeof *alternates);
    if (!alternates)
        return;
    interface->altsetting = alternates;
    interface->num_altsetting++;
    parse->alternate = &alternates[count];
    parse->endpoint = NULL;
    memcpy(parse->alternate, raw, LIBUSB_DT_INTERFACE_SIZE);
    parse->alternate->bNumEndpoints = 0; /* counted as they come */
}

static void add_endpoint(struct parse *parse, const uint8_t *raw)
{
    struct libusb_interface_descriptor *alternate = parse->alternate;
    struct libusb_endpoint_descriptor *endpoints =
        grow(parse, alternate->endpoint, alternate->bNumEndpoints, sizeof *endpoints);
    if (!endpoints)
        return;
    alternate->endpoint = endpoints;
    parse->endpoint = &endpoints[alternate->bNumEndpoints++];
    *parse->endpoint = (struct libusb_endpoint_descriptor){
        .bLength = raw[0],
        .bDescriptorType = raw[1],
        .bEndpointAddress = raw[2],
        .bmAttributes = raw[3],
        .wMaxPacketSize = le16(raw + 4),
        .bInterval = raw[6],
        .bRefresh = raw[0] >= LIBUSB_DT_ENDPOINT_AUDIO_SIZE ? raw[7] : 0,
        .bSynchAddress = raw[0] >= LIBUSB_DT_ENDPOINT_AUDIO_SIZE ? raw[8] : 0,
    };
}

static void append_extra(struct parse *parse, const unsigned char **extra, int *length,
                         const uint8_t *raw)
{
    unsigned char *grown = realloc(writable(*extra), (size_t) *length + raw[0]);
    if (!grown) {
        parse->failed = true;
        return;
    }
    memcpy(grown + *length, raw, raw[0]);
    *extra = grown;
    *length += raw[0];
}

static void add_extra(struct parse *parse, const uint8_t *raw)
{
    if (parse->endpoint)
        append_extra(parse, &parse->endpoint->extra, &parse->endpoint->extra_length, raw);
    else if (parse->alternate)
        append_extra(parse, &parse->alternate->extra, &parse->alternate->extra_length, raw);
    else
        append_extra(parse, &parse->configuration->extra, &parse->configuration->extra_length, raw);
}

static struct libusb_config_descriptor *parse_configuration(const uint8_t *raw, size_t length)
{
    struct libusb_config_descriptor *configuration = calloc(1, sizeof *configuration);
    if (!configuration)
        return NULL;
    *configuration = (struct libusb_config_descriptor){
        .bLength = raw[0],
        .bDescriptorType = raw[1],
        .wTotalLength = le16(raw + 2),
        .bNumInterfaces = raw[4],
        .bConfigurationValue = raw[5],
        .iConfiguration = raw[6],
        .bmAttributes = raw[7],
        .MaxPower = raw[8],
        .interface = calloc(raw[4], sizeof(struct libusb_interface)),
    };
    struct parse parse = {.configuration = configuration, .failed = !configuration->interface};
    for (size_t at = raw[0]; at < length && !parse.failed; at += raw[at]) {
        if (raw[at + 1] == LIBUSB_DT_INTERFACE)
            add_interface(&parse, raw + at);
        else if (raw[at + 1] == LIBUSB_DT_ENDPOINT)
            add_endpoint(&parse, raw + at);
        else
            add_extra(&parse, raw + at);
    }
    if (parse.failed) {
        libusb_free_config_descriptor(configuration);
        return NULL;
    }
    return configuration;
}

static void free_alternate(const struct libusb_interface_descriptor *alternate)
{
    for (unsigned i = 0; i < alternate->bNumEndpoints; i++)
        free(writable(alternate->endpoint[i].extra));
    free(writable(alternate->endpoint));
    free(writable(alternate->extra));
}

void LIBUSB_CALL libusb_free_config_descriptor(struct libusb_config_descriptor *configuration)
{
    if (!configuration)
        return;
    for (unsigned i = 0; configuration->interface && i < configuration->bNumInterfaces; i++) {
        const struct libusb_interface *interface = &configuration->interface[i];
        for (int j = 0; j < interface->num_altsetting; j++)
            free_alternate(&interface->altsetting[j]);
        free(writable(interface->altsetting));
    }
    free(writable(configuration->interface));
    free(writable(configuration->extra));
    free(configuration);
}

int LIBUSB_CALL libusb_get_config_descriptor(libusb_device *device, uint8_t index,
                                             struct libusb_config_descriptor **result)
{
    size_t length;
    bus_lock(); /* a device that is replaced by another changes its tables */
    const uint8_t *raw = gadget_configuration(device->gadget, index, &length);
    bool readable = raw && index < gadget_configurations_readable(device->gadget);
    bus_unlock();
    if (!readable)
        return LIBUSB_ERROR_NOT_FOUND;
    *result = parse_configuration(raw, length);
    return *result ? LIBUSB_SUCCESS : LIBUSB_ERROR_NO_MEM;
}

int LIBUSB_CALL libusb_get_config_descriptor_by_value(libusb_device *device, uint8_t value,
                                                      struct libusb_config_descriptor **result)
{
    size_t length;
    const uint8_t *raw;
    for (uint8_t i = 0; (raw = gadget_configuration(device->gadget, i, &length)); i++)
        if (raw[5] == value)
            return libusb_get_config_descriptor(device, i, result);
    return LIBUSB_ERROR_NOT_FOUND;
}

int LIBUSB_CALL libusb_get_active_config_descriptor(libusb_device *device,
                                                    struct libusb_config_descriptor **result)
{
    bus_lock();
    uint8_t value = device->gadget->configuration;
    bus_unlock();
    if (value == 0)
        return LIBUSB_ERROR_NOT_FOUND;
    return libusb_get_config_descriptor_by_value(device, value, result);
}

static const struct libusb_endpoint_descriptor *
find_endpoint(const struct libusb_config_descriptor *configuration, unsigned char address)
{
    for (unsigned i = 0; i < configuration->bNumInterfaces; i++)
        for (int j = 0; j < configuration->interface[i].num_altsetting; j++) {
            const struct libusb_interface_descriptor *alternate =
                &configuration->interface[i].altsetting[j];
            for (unsigned k = 0; k < alternate->bNumEndpoints; k++)
                if (alternate->endpoint[k].bEndpointAddress == address)
                    return &alternate->endpoint[k];
        }
    return NULL;
}

int endpoint_iso_size(enum libusb_speed speed, const struct libusb_endpoint_descriptor *endpoint)
{
    if (speed < LIBUSB_SPEED_SUPER)
        return (endpoint->wMaxPacketSize & 0x7ff) * (1 + (endpoint->wMaxPacketSize >> 11 & 3));
    struct libusb_ss_endpoint_companion_descriptor *companion;
    int status = libusb_get_ss_endpoint_companion_descriptor(NULL, endpoint, &companion);
    if (status == LIBUSB_SUCCESS)
        status = companion->wBytesPerInterval;
    libusb_free_ss_endpoint_companion_descriptor(companion);
    return status;
}

/* Like libusb: of the first alternate setting that has the endpoint. */
static int packet_size(libusb_device *device, unsigned char address, bool iso)
{
    struct libusb_config_descriptor *configuration;
    int status = libusb_get_active_config_descriptor(device, &configuration);
    if (status < 0)
        return LIBUSB_ERROR_OTHER;
    const struct libusb_endpoint_descriptor *endpoint = find_endpoint(configuration, address);
    if (!endpoint)
        status = LIBUSB_ERROR_NOT_FOUND;
    else if (!iso)
        status = endpoint->wMaxPacketSize;
    else
        status = endpoint_iso_size(device->gadget->speed, endpoint);
    libusb_free_config_descriptor(configuration);
    return status;
}

int LIBUSB_CALL libusb_get_max_packet_size(libusb_device *device, unsigned char address)
{
    return packet_size(device, address, false);
}

int LIBUSB_CALL libusb_get_max_iso_packet_size(libusb_device *device, unsigned char address)
{
    return packet_size(device, address, true);
}

/* --- Strings -------------------------------------------------------------------------------------
 */

int LIBUSB_CALL libusb_get_string_descriptor_ascii(libusb_device_handle *handle, uint8_t index,
                                                   unsigned char *data, int length)
{
    uint8_t raw[255];
    if (index == 0 || length <= 0)
        return LIBUSB_ERROR_INVALID_PARAM;
    int size = libusb_get_string_descriptor(handle, 0, 0, raw, sizeof raw);
    if (size < 0)
        return size;
    if (size < 4)
        return LIBUSB_ERROR_IO;
    size = libusb_get_string_descriptor(handle, index, le16(raw + 2), raw, sizeof raw);
    if (size < 0)
        return size;
    if (size < 2 || raw[1] != LIBUSB_DT_STRING || raw[0] > size)
        return LIBUSB_ERROR_IO;
    int written = 0;
    for (int at = 2; at + 1 < raw[0] && written < length - 1; at += 2)
        data[written++] = raw[at + 1] == 0 && raw[at] < 0x80 ? raw[at] : '?';
    data[written] = 0;
    return written;
}
