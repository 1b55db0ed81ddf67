/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "descriptors.h"

#include <string.h>

G_DEFINE_QUARK(rdpusb - bridge - error - quark, rdpusb_bridge_error)

#define refuse(error, ...)                                                                         \
    (g_set_error((error), RDPUSB_BRIDGE_ERROR, RDPUSB_BRIDGE_ERROR_REFUSED, __VA_ARGS__), false)

static bool parse_interface(Configuration *configuration, const uint8_t *d, GError **error)
{
    if (d[0] < 9)
        return refuse(error, "an interface descriptor has %u bytes instead of 9", d[0]);
    if (d[2] >= configuration->n_interfaces)
        return refuse(error,
                      "interface number %u with only %u interfaces: numbers have to be without "
                      "gaps, or the client cannot select the configuration",
                      d[2], configuration->n_interfaces);
    if (configuration_setting(configuration, d[2], d[3]))
        return refuse(error, "interface %u has alternate setting %u twice", d[2], d[3]);
    if (d[4] > USB_MAX_ENDPOINTS)
        return refuse(error, "interface %u claims %u endpoints", d[2], d[4]);

    InterfaceSetting setting = {.number = d[2],
                                .alternate = d[3],
                                .n_endpoints = d[4],
                                .class_ = d[5],
                                .subclass = d[6],
                                .protocol = d[7]};
    g_array_append_val(configuration->settings, setting);
    return true;
}

/* An endpoint address belongs to one interface, in whatever setting, or the guest's table of
 * endpoints would have two owners for one slot. */
static bool endpoint_is_taken(const Configuration *configuration, const InterfaceSetting *own,
                              unsigned n_own, uint8_t address)
{
    for (unsigned i = 0; i < n_own; i++)
        if (own->endpoints[i].address == address)
            return true;
    for (unsigned s = 0; s < configuration->settings->len; s++) {
        const InterfaceSetting *other =
            &g_array_index(configuration->settings, InterfaceSetting, s);
        for (unsigned i = 0; other->number != own->number && i < other->n_endpoints; i++)
            if (other->endpoints[i].address == address)
                return true;
    }
    return false;
}

static bool parse_endpoint(Configuration *configuration, unsigned index, const uint8_t *d,
                           GError **error)
{
    if (configuration->settings->len == 0)
        return refuse(error, "an endpoint descriptor before the first interface");
    InterfaceSetting *setting =
        &g_array_index(configuration->settings, InterfaceSetting, configuration->settings->len - 1);
    if (d[0] < 7)
        return refuse(error, "an endpoint descriptor has %u bytes instead of 7", d[0]);
    if (index >= setting->n_endpoints)
        return refuse(error, "interface %u setting %u has more endpoints than the %u it declares",
                      setting->number, setting->alternate, setting->n_endpoints);
    if ((d[2] & 0x0f) == 0 || (d[2] & 0x70) != 0)
        return refuse(error, "no endpoint can have the address 0x%02x", d[2]);
    if (endpoint_is_taken(configuration, setting, index, d[2]))
        return refuse(error, "endpoint 0x%02x exists twice", d[2]);

    EndpointDescriptor *endpoint = &setting->endpoints[index];
    *endpoint = (EndpointDescriptor){.address = d[2],
                                     .type = d[3] & 3,
                                     .max_packet_size = descriptor_u16(d + 4),
                                     .interval = d[6]};
    if (endpoint->type == ENDPOINT_BULK && (endpoint->max_packet_size & 0x7ff) == 0)
        return refuse(error, "bulk endpoint 0x%02x has packets of 0 bytes", d[2]);
    return true;
}

/* Follows its endpoint. What is wrong with it is of no consequence: the size of a packet is then
 * that of the endpoint. */
static void parse_companion(Configuration *configuration, unsigned n_endpoints, const uint8_t *d)
{
    if (configuration->settings->len == 0 || n_endpoints == 0 || d[0] < 6)
        return;
    InterfaceSetting *setting =
        &g_array_index(configuration->settings, InterfaceSetting, configuration->settings->len - 1);
    EndpointDescriptor *endpoint = &setting->endpoints[n_endpoints - 1];
    if (endpoint->type == ENDPOINT_ISOCHRONOUS || endpoint->type == ENDPOINT_INTERRUPT)
        endpoint->bytes_per_interval = descriptor_u16(d + 4);
}

static bool check_complete(const Configuration *configuration, GError **error)
{
    for (unsigned i = 0; i < configuration->n_interfaces; i++)
        if (!configuration_setting(configuration, i, 0))
            return refuse(error,
                          "interface %u of %u is missing: numbers have to be without gaps, or the "
                          "client cannot select the configuration",
                          i, configuration->n_interfaces);
    return true;
}

static bool end_of_setting(const Configuration *configuration, unsigned n_endpoints, GError **error)
{
    if (configuration->settings->len == 0)
        return true;
    const InterfaceSetting *setting =
        &g_array_index(configuration->settings, InterfaceSetting, configuration->settings->len - 1);
    if (n_endpoints != setting->n_endpoints)
        return refuse(error, "interface %u setting %u has %u endpoints but declares %u",
                      setting->number, setting->alternate, n_endpoints, setting->n_endpoints);
    return true;
}

static bool parse_body(Configuration *configuration, const uint8_t *data, size_t size,
                       GError **error)
{
    unsigned n_endpoints = 0;
    for (size_t at = data[0]; at < size; at += data[at]) {
        const uint8_t *d = data + at;
        if (size - at < 2 || d[0] < 2 || d[0] > size - at)
            return refuse(error, "the descriptor at byte %zu of %zu runs past the end", at, size);
        if (d[1] == USB_DESCRIPTOR_INTERFACE) {
            if (!end_of_setting(configuration, n_endpoints, error) ||
                !parse_interface(configuration, d, error))
                return false;
            n_endpoints = 0;
        } else if (d[1] == USB_DESCRIPTOR_ENDPOINT) {
            if (!parse_endpoint(configuration, n_endpoints++, d, error))
                return false;
        } else if (d[1] == USB_DESCRIPTOR_COMPANION) {
            parse_companion(configuration, n_endpoints, d);
        }
    }
    return end_of_setting(configuration, n_endpoints, error) &&
           check_complete(configuration, error);
}

static bool check_header(const uint8_t *data, size_t size, GError **error)
{
    if (size < USB_CONFIGURATION_DESCRIPTOR_SIZE || data[0] < USB_CONFIGURATION_DESCRIPTOR_SIZE ||
        data[0] > size || data[1] != USB_DESCRIPTOR_CONFIGURATION)
        return refuse(error, "what it gives as configuration descriptor is none");
    if (descriptor_u16(data + 2) != size)
        return refuse(error, "its configuration descriptor claims %u bytes and has %zu",
                      descriptor_u16(data + 2), size);
    if (data[4] > USB_MAX_INTERFACES || data[5] == 0)
        return refuse(error, "configuration %u with %u interfaces is not possible", data[5],
                      data[4]);
    return true;
}

Configuration *configuration_parse(const uint8_t *data, size_t size, GError **error)
{
    if (!check_header(data, size, error))
        return NULL;
    g_autoptr(Configuration) configuration = g_new0(Configuration, 1);
    configuration->bytes = g_bytes_new(data, size);
    configuration->guest_bytes = g_bytes_ref(configuration->bytes);
    configuration->n_interfaces = data[4];
    configuration->value = data[5];
    configuration->settings = g_array_new(FALSE, TRUE, sizeof(InterfaceSetting));
    if (!parse_body(configuration, data, size, error))
        return NULL;
    return g_steal_pointer(&configuration);
}

void configuration_free(Configuration *configuration)
{
    if (!configuration)
        return;
    g_clear_pointer(&configuration->bytes, g_bytes_unref);
    g_clear_pointer(&configuration->guest_bytes, g_bytes_unref);
    g_clear_pointer(&configuration->high_speed_bytes, g_bytes_unref);
    g_clear_pointer(&configuration->settings, g_array_unref);
    g_free(configuration);
}

const InterfaceSetting *configuration_setting(const Configuration *configuration, uint8_t number,
                                              uint8_t alternate)
{
    for (unsigned i = 0; i < configuration->settings->len; i++) {
        const InterfaceSetting *setting =
            &g_array_index(configuration->settings, InterfaceSetting, i);
        if (setting->number == number && setting->alternate == alternate)
            return setting;
    }
    return NULL;
}

static bool has_class(const GArray *classes, const RdpusbInterfaceClass *wanted)
{
    for (unsigned i = 0; i < classes->len; i++) {
        const RdpusbInterfaceClass *class_ = &g_array_index(classes, RdpusbInterfaceClass, i);
        if (class_->class_ == wanted->class_ && class_->subclass == wanted->subclass &&
            class_->protocol == wanted->protocol)
            return true;
    }
    return false;
}

bool configuration_add_classes(const Configuration *configuration, GArray *classes, GError **error)
{
    for (unsigned i = 0; i < configuration->settings->len; i++) {
        const InterfaceSetting *setting =
            &g_array_index(configuration->settings, InterfaceSetting, i);
        RdpusbInterfaceClass class_ = {setting->class_, setting->subclass, setting->protocol};
        if (has_class(classes, &class_))
            continue;
        if (classes->len == RDPUSB_MAX_INTERFACE_CLASSES)
            return refuse(error, "its interfaces are of more than %d different classes",
                          RDPUSB_MAX_INTERFACE_CLASSES);
        g_array_append_val(classes, class_);
    }
    return true;
}

/* USB Attached SCSI: class 8, subclass 6, protocol 0x62, as an alternate of bulk-only. */
static bool is_uas_alternate(const uint8_t *d)
{
    return d[1] == USB_DESCRIPTOR_INTERFACE && d[3] != 0 && d[5] == 0x08 && d[6] == 0x06 &&
           d[7] == 0x62;
}

/* wTotalLength follows what was kept. */
static GBytes *configuration_bytes(GByteArray *kept)
{
    kept->data[2] = kept->len & 0xff;
    kept->data[3] = kept->len >> 8;
    return g_byte_array_free_to_bytes(kept);
}

/* Without companions, and with the packets of bulk endpoints that USB 2.0 5.8.3 demands. */
static GBytes *at_high_speed(GBytes *bytes)
{
    size_t size;
    const uint8_t *data = g_bytes_get_data(bytes, &size);
    GByteArray *kept = g_byte_array_sized_new(size);
    for (size_t at = 0; at < size; at += data[at]) {
        if (data[at + 1] == USB_DESCRIPTOR_COMPANION ||
            data[at + 1] == USB_DESCRIPTOR_SSP_COMPANION)
            continue;
        g_byte_array_append(kept, data + at, data[at]);
        uint8_t *copy = kept->data + kept->len - data[at];
        if (copy[1] == USB_DESCRIPTOR_ENDPOINT && (copy[3] & 3) == ENDPOINT_BULK) {
            copy[4] = 512 & 0xff;
            copy[5] = 512 >> 8;
        }
    }
    return configuration_bytes(kept);
}

void descriptors_at_high_speed(const uint8_t device[USB_DEVICE_DESCRIPTOR_SIZE],
                               uint8_t result[USB_DEVICE_DESCRIPTOR_SIZE])
{
    memcpy(result, device, USB_DEVICE_DESCRIPTOR_SIZE);
    result[2] = 0x10; /* bcdUSB 2.10: there is a BOS */
    result[3] = 0x02;
    result[7] = 64; /* bMaxPacketSize0 */
}

void configuration_hide_streams(Configuration *configuration)
{
    size_t size;
    const uint8_t *data = g_bytes_get_data(configuration->bytes, &size);
    g_autoptr(GByteArray) kept = g_byte_array_sized_new(size);
    bool hidden = false;
    for (size_t at = 0; at < size; at += data[at]) {
        if (data[at + 1] == USB_DESCRIPTOR_INTERFACE)
            hidden = is_uas_alternate(data + at);
        if (!hidden)
            g_byte_array_append(kept, data + at, data[at]);
    }
    g_bytes_unref(configuration->guest_bytes);
    configuration->guest_bytes = configuration_bytes(g_steal_pointer(&kept));
    g_clear_pointer(&configuration->high_speed_bytes, g_bytes_unref);
    configuration->high_speed_bytes = at_high_speed(configuration->guest_bytes);
}

static unsigned largest_packet(const Configuration *configuration, EndpointType type)
{
    unsigned largest = 0;
    for (unsigned s = 0; s < configuration->settings->len; s++) {
        const InterfaceSetting *setting =
            &g_array_index(configuration->settings, InterfaceSetting, s);
        for (unsigned i = 0; i < setting->n_endpoints; i++)
            if (setting->endpoints[i].type == type)
                largest = MAX(largest, setting->endpoints[i].max_packet_size);
    }
    return largest;
}

bool descriptors_speed_is_ambiguous(const uint8_t device[USB_DEVICE_DESCRIPTOR_SIZE],
                                    const Configuration *configuration)
{
    return device[7] != 9 && descriptor_u16(device + 2) >= 0x200 &&
           largest_packet(configuration, ENDPOINT_BULK) == 0 &&
           largest_packet(configuration, ENDPOINT_INTERRUPT) <= 64 &&
           largest_packet(configuration, ENDPOINT_ISOCHRONOUS) <= 1023;
}

RdpusbSpeed descriptors_speed(const uint8_t device[USB_DEVICE_DESCRIPTOR_SIZE],
                              const Configuration *configuration, bool qualifier)
{
    unsigned bulk = largest_packet(configuration, ENDPOINT_BULK) & 0x7ff;
    if (device[7] == 9 || bulk == 1024)
        return RDPUSB_SPEED_SUPER;
    if (bulk > 0)
        return bulk > 64 ? RDPUSB_SPEED_HIGH : RDPUSB_SPEED_FULL;
    /* The multiplier in bits 11 and 12 makes a high-bandwidth endpoint large as well. */
    if (largest_packet(configuration, ENDPOINT_INTERRUPT) > 64 ||
        largest_packet(configuration, ENDPOINT_ISOCHRONOUS) > 1023)
        return RDPUSB_SPEED_HIGH;
    return qualifier ? RDPUSB_SPEED_HIGH : RDPUSB_SPEED_FULL;
}

char *descriptors_string(const uint8_t *data, size_t size)
{
    if (size < 2 || data[1] != USB_DESCRIPTOR_STRING || data[0] < 2)
        return g_strdup("");
    size_t n = (MIN(size, data[0]) - 2) / 2;
    g_autoptr(GString) text = g_string_new(NULL);
    for (size_t i = 0; i < n; i++) {
        gunichar c = descriptor_u16(data + 2 + 2 * i);
        if (c == 0)
            break;
        if (c >= 0xd800 && c < 0xdc00 && i + 1 < n) {
            gunichar low = descriptor_u16(data + 4 + 2 * i);
            if (low >= 0xdc00 && low < 0xe000) {
                c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
                i++;
            }
        }
        if (g_unichar_validate(c) && g_unichar_isprint(c))
            g_string_append_unichar(text, c);
    }
    return g_strstrip(g_string_free(g_steal_pointer(&text), FALSE));
}
