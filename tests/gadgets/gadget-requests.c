/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Chapter 9 of [USB 2.0]: the requests that every device answers, the same way for each gadget. */
#include "gadget-bus.h"

#include <string.h>

#define DT_DEVICE_QUALIFIER 6
#define FEATURE_HALT        0
#define FEATURE_WAKEUP      1
#define FEATURE_U1          48 /* [USB 3.2] 9.4.9 */
#define FEATURE_U2          49
#define ATTRIBUTE_WAKEUP    0x20
#define LANGUAGE_US         0x0409

const uint8_t *gadget_configuration(const struct gadget *gadget, unsigned index, size_t *length)
{
    if (index >= GADGET_MAX_CONFIGURATIONS || !gadget->configurations[index].data)
        return NULL;
    *length = gadget->configurations[index].length;
    return gadget->configurations[index].data;
}

/* Linux keeps what it could read, and says that there are no more. */
uint8_t gadget_configurations_readable(const struct gadget *gadget)
{
    size_t length;
    if (gadget->stalled_descriptors >> LIBUSB_DT_CONFIG & 1)
        return 1;
    return gadget_configuration(gadget, 1, &length) ? 2 : 1;
}

static const uint8_t *active_configuration(const struct gadget *gadget, size_t *length)
{
    const uint8_t *data;
    for (unsigned i = 0; (data = gadget_configuration(gadget, i, length)); i++)
        if (data[5] == gadget->configuration)
            return data;
    return NULL;
}

/* Calls visit() with every interface descriptor of the active configuration, and the bytes from
 * there on. */
typedef bool (*interface_visitor)(struct gadget *gadget, const uint8_t *descriptor, size_t rest,
                                  const void *wanted);

static bool visit_interfaces(struct gadget *gadget, interface_visitor visit, const void *wanted)
{
    size_t length = 0;
    const uint8_t *data = active_configuration(gadget, &length);
    for (size_t at = 0; data && at < length; at += data[at])
        if (data[at + 1] == LIBUSB_DT_INTERFACE && visit(gadget, data + at, length - at, wanted))
            return true;
    return false;
}

static void add_endpoint(struct gadget *gadget, uint8_t interface, const uint8_t *descriptor)
{
    struct gadget_endpoint *endpoint = bus_endpoint(gadget, descriptor[2]);
    endpoint->present = true;
    endpoint->address = descriptor[2];
    endpoint->type = descriptor[3] & LIBUSB_TRANSFER_TYPE_MASK;
    endpoint->interface = interface;
    endpoint->packet_size = (uint16_t) ((descriptor[4] | descriptor[5] << 8) & 0x7ff);
    if (endpoint->type == LIBUSB_TRANSFER_TYPE_ISOCHRONOUS && endpoint->opened_at == 0)
        iso_open(gadget, endpoint, descriptor);
}

static bool add_if_active(struct gadget *gadget, const uint8_t *descriptor, size_t rest,
                          const void *unused)
{
    if (gadget->alternate[descriptor[2]] != descriptor[3])
        return false;
    for (size_t at = descriptor[0]; at < rest && descriptor[at + 1] != LIBUSB_DT_INTERFACE;
         at += descriptor[at])
        if (descriptor[at + 1] == LIBUSB_DT_ENDPOINT)
            add_endpoint(gadget, descriptor[2], descriptor + at);
    return false;
}

/* Whatever waits on an endpoint whose setting changes is given back, as the kernel does. */
static void close_endpoint(struct gadget_endpoint *endpoint)
{
    bus_complete_all(endpoint, LIBUSB_TRANSFER_CANCELLED);
    endpoint->halted = false;
    endpoint->opened_at = 0;
}

static void rebuild_endpoints(struct gadget *gadget)
{
    struct gadget_endpoint *control = bus_endpoint(gadget, 0);
    for (unsigned i = 0; i < GADGET_ENDPOINTS; i++)
        gadget->endpoints[i].present = false;
    control->present = true;
    control->packet_size = gadget->max_packet_size0;
    visit_interfaces(gadget, add_if_active, NULL);
}

bool gadget_set_configuration(struct gadget *gadget, uint8_t value)
{
    uint8_t before = gadget->configuration;
    size_t length;
    gadget->configuration = value;
    gadget->remote_wakeup = false;
    if (value != 0 && !active_configuration(gadget, &length)) {
        gadget->configuration = before;
        return false;
    }
    memset(gadget->alternate, 0, sizeof gadget->alternate);
    for (unsigned i = 1; i < GADGET_ENDPOINTS; i++)
        close_endpoint(&gadget->endpoints[i]);
    rebuild_endpoints(gadget);
    gadget->ops->reset(gadget);
    return true;
}

static bool is_interface(struct gadget *gadget, const uint8_t *descriptor, size_t rest,
                         const void *wanted)
{
    return descriptor[2] == *(const uint8_t *) wanted;
}

static bool is_alternate(struct gadget *gadget, const uint8_t *descriptor, size_t rest,
                         const void *wanted)
{
    const uint8_t *pair = wanted;
    return descriptor[2] == pair[0] && descriptor[3] == pair[1];
}

bool gadget_has_interface(const struct gadget *gadget, uint8_t interface)
{
    return visit_interfaces((struct gadget *) gadget, is_interface, &interface);
}

bool gadget_set_alternate(struct gadget *gadget, uint8_t interface, uint8_t alternate)
{
    const uint8_t pair[] = {interface, alternate};
    if (!visit_interfaces(gadget, is_alternate, pair))
        return false;
    for (unsigned i = 1; i < GADGET_ENDPOINTS; i++) {
        struct gadget_endpoint *endpoint = &gadget->endpoints[i];
        if (endpoint->present && endpoint->interface == interface)
            close_endpoint(endpoint);
    }
    gadget->alternate[interface] = alternate;
    rebuild_endpoints(gadget);
    if (gadget->ops->alternate_set)
        gadget->ops->alternate_set(gadget, interface);
    return true;
}

/* --- Standard requests ---------------------------------------------------------------------------
 */

static enum gadget_reply answer(uint8_t *data, size_t *length, const void *bytes, size_t size)
{
    if (size < *length)
        *length = size;
    memcpy(data, bytes, *length);
    return GADGET_DONE;
}

static enum gadget_reply string_descriptor(struct gadget *gadget, uint8_t index, uint8_t *data,
                                           size_t *length)
{
    static const uint8_t languages[] = {4, LIBUSB_DT_STRING, LANGUAGE_US & 0xff, LANGUAGE_US >> 8};
    if (index == 0)
        return answer(data, length, languages, sizeof languages);
    if (index >= GADGET_STRINGS || !gadget->strings[index])
        return GADGET_STALL;
    uint8_t descriptor[255];
    size_t size = 2;
    for (const char *c = gadget->strings[index]; *c && size + 2 <= sizeof descriptor; c++) {
        descriptor[size++] = (uint8_t) *c;
        descriptor[size++] = 0;
    }
    descriptor[0] = (uint8_t) size;
    descriptor[1] = LIBUSB_DT_STRING;
    return answer(data, length, descriptor, size);
}

/* Only devices that can run at another speed too have one ([USB 2.0] 9.6.2): our high-speed ones.
 */
static enum gadget_reply qualifier_descriptor(struct gadget *gadget, uint8_t *data, size_t *length)
{
    const uint8_t *device = gadget->device_descriptor;
    uint8_t descriptor[10] = {10, DT_DEVICE_QUALIFIER};
    if (gadget->speed != LIBUSB_SPEED_HIGH)
        return GADGET_STALL;
    memcpy(descriptor + 2, device + 2, 6); /* bcdUSB, class, subclass, protocol, bMaxPacketSize0 */
    descriptor[8] = 1;
    return answer(data, length, descriptor, sizeof descriptor);
}

/* A device may say of itself what is not so. */
static struct gadget_blob told_descriptor(struct gadget *gadget, unsigned type, uint8_t index)
{
    struct gadget_blob told = {NULL, 0};
    if (gadget->ops->told && (type == LIBUSB_DT_DEVICE || type == LIBUSB_DT_CONFIG) && index == 0)
        told = gadget->ops->told(gadget, type);
    return told;
}

static enum gadget_reply get_descriptor(struct gadget *gadget,
                                        const struct libusb_control_setup *setup, uint8_t *data,
                                        size_t *length)
{
    uint8_t index = (uint8_t) setup->wValue;
    size_t size;
    const uint8_t *configuration;
    unsigned type = setup->wValue >> 8;
    /* Any but the first configuration: without that one no device works. */
    if (type < 32 && (gadget->stalled_descriptors >> type & 1) != 0 &&
        (type != LIBUSB_DT_CONFIG || index > 0))
        return GADGET_STALL;
    struct gadget_blob told = told_descriptor(gadget, type, index);
    if (told.data)
        return answer(data, length, told.data, told.length);
    switch (type) {
    case LIBUSB_DT_DEVICE:
        return answer(data, length, gadget->device_descriptor, LIBUSB_DT_DEVICE_SIZE);
    case LIBUSB_DT_CONFIG:
        configuration = gadget_configuration(gadget, index, &size);
        return configuration ? answer(data, length, configuration, size) : GADGET_STALL;
    case LIBUSB_DT_STRING: return string_descriptor(gadget, index, data, length);
    case LIBUSB_DT_BOS:
        return gadget->bos.data ? answer(data, length, gadget->bos.data, gadget->bos.length)
                                : GADGET_STALL;
    case DT_DEVICE_QUALIFIER: return qualifier_descriptor(gadget, data, length);
    default: return GADGET_STALL;
    }
}

static enum gadget_reply get_status(struct gadget *gadget, const struct libusb_control_setup *setup,
                                    uint8_t *data, size_t *length)
{
    uint8_t status[2] = {gadget->remote_wakeup ? 0x02 : 0, 0};
    if ((setup->bmRequestType & 0x1f) != LIBUSB_RECIPIENT_DEVICE)
        status[0] = 0;
    if ((setup->bmRequestType & 0x1f) == LIBUSB_RECIPIENT_ENDPOINT) {
        struct gadget_endpoint *endpoint = bus_endpoint(gadget, (uint8_t) setup->wIndex);
        if (!endpoint->present)
            return GADGET_STALL;
        status[0] = endpoint->halted;
    }
    return answer(data, length, status, sizeof status);
}

static enum gadget_reply change_device_feature(struct gadget *gadget, uint16_t feature, bool set)
{
    size_t length;
    const uint8_t *configuration = active_configuration(gadget, &length);
    if (feature == FEATURE_WAKEUP && configuration && (configuration[7] & ATTRIBUTE_WAKEUP)) {
        gadget->remote_wakeup = set;
        return GADGET_DONE;
    }
    bool power = feature == FEATURE_U1 || feature == FEATURE_U2;
    return power && gadget->speed >= LIBUSB_SPEED_SUPER ? GADGET_DONE : GADGET_STALL;
}

static enum gadget_reply change_feature(struct gadget *gadget,
                                        const struct libusb_control_setup *setup, bool set)
{
    struct gadget_endpoint *endpoint = bus_endpoint(gadget, (uint8_t) setup->wIndex);
    if ((setup->bmRequestType & 0x1f) == LIBUSB_RECIPIENT_DEVICE)
        return change_device_feature(gadget, setup->wValue, set);
    if ((setup->bmRequestType & 0x1f) != LIBUSB_RECIPIENT_ENDPOINT)
        return GADGET_STALL;
    if (setup->wValue != FEATURE_HALT || !endpoint->present)
        return GADGET_STALL;
    endpoint->halted = set && endpoint->address != 0;
    return GADGET_DONE;
}

static enum gadget_reply standard_request(struct gadget *gadget,
                                          const struct libusb_control_setup *setup, uint8_t *data,
                                          size_t *length)
{
    uint8_t value = (uint8_t) setup->wValue, interface = (uint8_t) setup->wIndex;
    switch (setup->bRequest) {
    case LIBUSB_REQUEST_GET_DESCRIPTOR: return get_descriptor(gadget, setup, data, length);
    case LIBUSB_REQUEST_GET_STATUS: return get_status(gadget, setup, data, length);
    case LIBUSB_REQUEST_SET_FEATURE:
    case LIBUSB_REQUEST_CLEAR_FEATURE:
        return change_feature(gadget, setup, setup->bRequest == LIBUSB_REQUEST_SET_FEATURE);
    case LIBUSB_REQUEST_GET_CONFIGURATION: return answer(data, length, &gadget->configuration, 1);
    case LIBUSB_REQUEST_SET_CONFIGURATION:
        return gadget_set_configuration(gadget, value) ? GADGET_DONE : GADGET_STALL;
    case LIBUSB_REQUEST_GET_INTERFACE:
        if (!gadget_has_interface(gadget, interface))
            return GADGET_STALL;
        return answer(data, length, &gadget->alternate[interface], 1);
    case LIBUSB_REQUEST_SET_INTERFACE:
        return gadget_set_alternate(gadget, interface, value) ? GADGET_DONE : GADGET_STALL;
    case LIBUSB_REQUEST_SET_SEL:
    case LIBUSB_SET_ISOCH_DELAY:
        return gadget->speed >= LIBUSB_SPEED_SUPER ? GADGET_DONE : GADGET_STALL;
    default: return GADGET_STALL;
    }
}

static bool is_standard(const struct libusb_control_setup *setup)
{
    return (setup->bmRequestType & LIBUSB_REQUEST_TYPE_RESERVED) == LIBUSB_REQUEST_TYPE_STANDARD;
}

static bool wants_interface_descriptor(const struct libusb_control_setup *setup)
{
    return setup->bRequest == LIBUSB_REQUEST_GET_DESCRIPTOR &&
           (setup->bmRequestType & 0x1f) == LIBUSB_RECIPIENT_INTERFACE;
}

enum gadget_reply gadget_request(struct gadget *gadget, const struct libusb_control_setup *setup,
                                 uint8_t *data, size_t *length)
{
    bool in = (setup->bmRequestType & LIBUSB_ENDPOINT_IN) != 0;
    /* HID's own descriptors are fetched with the standard request ([HID 1.11] 7.1.1). */
    if (!is_standard(setup) || wants_interface_descriptor(setup))
        return gadget->ops->control ? gadget->ops->control(gadget, setup, data, length)
                                    : GADGET_STALL;
    bool reads = setup->bRequest == LIBUSB_REQUEST_GET_DESCRIPTOR ||
                 setup->bRequest == LIBUSB_REQUEST_GET_STATUS ||
                 setup->bRequest == LIBUSB_REQUEST_GET_CONFIGURATION ||
                 setup->bRequest == LIBUSB_REQUEST_GET_INTERFACE;
    return in == reads ? standard_request(gadget, setup, data, length) : GADGET_STALL;
}
