/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "client-device.h"

#include <string.h>

enum {
    DESCRIPTOR_DEVICE = 1,
    DESCRIPTOR_CONFIGURATION = 2,
    DESCRIPTOR_STRING = 3,
    DESCRIPTOR_INTERFACE = 4,
    DESCRIPTOR_ENDPOINT = 5,
    DESCRIPTOR_HID = 0x21,
};

static const uint8_t loopback_device[] = {
    18,   DESCRIPTOR_DEVICE,
    0x00, 0x02,
    0xFF, 0x00,
    0x00, 64, /* USB 2.0, vendor class */
    0x09, 0x12,
    0x01, 0x00, /* 1209:0001 */
    0x00, 0x01,
    1,    2,
    3,    1, /* 1.00, strings, 1 configuration */
};

static const uint8_t loopback_configuration[] = {
    9, DESCRIPTOR_CONFIGURATION, 55,   0, 1,    1,    0,    0x80, 50, /* 55 bytes, value 1 */
    9, DESCRIPTOR_INTERFACE,     0,    0, 3,    0xFF, 0x00, 0x00, 0,  /* alternate setting 0 */
    7, DESCRIPTOR_ENDPOINT,      0x01, 2, 0x00, 0x02, 0,              /* bulk OUT, 512 */
    7, DESCRIPTOR_ENDPOINT,      0x81, 2, 0x00, 0x02, 0,              /* bulk IN, 512 */
    7, DESCRIPTOR_ENDPOINT,      0x82, 3, 0x08, 0x00, 4,              /* interrupt IN, 8 */
    9, DESCRIPTOR_INTERFACE,     0,    1, 1,    0xFF, 0x01, 0x00, 0,  /* alternate setting 1 */
    7, DESCRIPTOR_ENDPOINT,      0x82, 3, 0x08, 0x00, 4,
};

static const char *const loopback_strings[] = {"rdpusb", "Loopback", "0001", NULL};

const FakeDeviceModel fake_device_loopback = {
    .device = loopback_device,
    .configuration = loopback_configuration,
    .strings = loopback_strings,
    .loopback_out = 0x01,
    .loopback_in = 0x81,
};

static const uint8_t streams_device[] = {
    18,   DESCRIPTOR_DEVICE,
    0x00, 0x02,
    0xFF, 0x00,
    0x00, 64,
    0x09, 0x12,
    0x04, 0x00, /* 1209:0004 */
    0x00, 0x01,
    0,    0,
    0,    1,
};

static const uint8_t streams_configuration[] = {
    9, DESCRIPTOR_CONFIGURATION, 48,   0, 1,    1,    0,    0x80, 50, /* 48 bytes, value 1 */
    9, DESCRIPTOR_INTERFACE,     0,    0, 1,    0xFF, 0x00, 0x00, 0,  /* alternate setting 0 */
    7, DESCRIPTOR_ENDPOINT,      0x81, 2, 0x00, 0x02, 0,              /* bulk IN, 512 */
    9, DESCRIPTOR_INTERFACE,     0,    1, 2,    0xFF, 0x00, 0x00, 0,  /* alternate setting 1 */
    7, DESCRIPTOR_ENDPOINT,      0x83, 1, 192,  0,    4,              /* isochronous, each 1 ms */
    7, DESCRIPTOR_ENDPOINT,      0x04, 1, 192,  0,    4,
};

const FakeDeviceModel fake_device_streams = {
    .device = streams_device,
    .configuration = streams_configuration,
};

static const uint8_t two_configurations_device[] = {
    18,   DESCRIPTOR_DEVICE,
    0x00, 0x02,
    0xFF, 0x00,
    0x00, 64,
    0x09, 0x12,
    0x05, 0x00, /* 1209:0005 */
    0x00, 0x01,
    0,    0,
    0,    2,
};

static const uint8_t first_of_two[] = {
    9, DESCRIPTOR_CONFIGURATION, 25,   0, 1,    1,    0,    0x80, 50,
    9, DESCRIPTOR_INTERFACE,     0,    0, 1,    0xFF, 0x00, 0x00, 0,
    7, DESCRIPTOR_ENDPOINT,      0x81, 2, 0x00, 0x02, 0,
};

static const uint8_t second_of_two[] = {
    9,
    DESCRIPTOR_CONFIGURATION,
    57,
    0,
    3,
    2,
    0,
    0x80,
    50,
    9,
    DESCRIPTOR_INTERFACE,
    0,
    0,
    1,
    0xFF,
    0x00,
    0x00,
    0,
    7,
    DESCRIPTOR_ENDPOINT,
    0x81,
    2,
    0x00,
    0x02,
    0,
    9,
    DESCRIPTOR_INTERFACE,
    1,
    0,
    1,
    0xFF,
    0x00,
    0x00,
    0,
    7,
    DESCRIPTOR_ENDPOINT,
    0x02,
    2,
    0x00,
    0x02,
    0,
    9,
    DESCRIPTOR_INTERFACE,
    2,
    0,
    1,
    0xFF,
    0x00,
    0x00,
    0,
    7,
    DESCRIPTOR_ENDPOINT,
    0x83,
    3,
    0x08,
    0x00,
    4,
};

const FakeDeviceModel fake_device_two_configurations = {
    .device = two_configurations_device,
    .configuration = first_of_two,
    .second = second_of_two,
};

static const uint8_t keyboard_device[] = {
    18,   DESCRIPTOR_DEVICE,
    0x00, 0x02,
    0x00, 0x00,
    0x00, 64,
    0x09, 0x12,
    0x06, 0x00, /* 1209:0006 */
    0x00, 0x01,
    0,    0,
    0,    1,
};

static const uint8_t keyboard_configuration[] = {
    9, DESCRIPTOR_CONFIGURATION, 34,   0,    1, 1,    0,    0x80, 50,
    9, DESCRIPTOR_INTERFACE,     0,    0,    1, 0x03, 0x01, 0x01, 0,
    9, DESCRIPTOR_HID,           0x11, 0x01, 0, 1,    0x22, 63,   0,
    7, DESCRIPTOR_ENDPOINT,      0x81, 3,    8, 0,    4,
};

const FakeDeviceModel fake_device_keyboard = {
    .device = keyboard_device,
    .configuration = keyboard_configuration,
};

static const uint8_t stick_device[] = {
    18,   DESCRIPTOR_DEVICE,
    0x00, 0x02,
    0x00, 0x00,
    0x00, 64,
    0x09, 0x12,
    0x07, 0x00, /* 1209:0007 */
    0x00, 0x01,
    0,    0,
    0,    1,
};

static const uint8_t stick_configuration[] = {
    9, DESCRIPTOR_CONFIGURATION, 32,   0, 1,    1,    0,    0x80, 50, /* 32 bytes, value 1 */
    9, DESCRIPTOR_INTERFACE,     0,    0, 2,    0x08, 0x06, 0x50, 0,  /* storage, SCSI, bulk only */
    7, DESCRIPTOR_ENDPOINT,      0x81, 2, 0x00, 0x02, 0,              /* bulk IN, 512 */
    7, DESCRIPTOR_ENDPOINT,      0x02, 2, 0x00, 0x02, 0,
};

const FakeDeviceModel fake_device_stick = {
    .device = stick_device,
    .configuration = stick_configuration,
    .loopback_out = 0x02,
    .loopback_in = 0x81,
};

static uint16_t get_u16(const uint8_t *at)
{
    return (uint16_t) (at[0] | at[1] << 8);
}

void fake_device_init(FakeDevice *device, const FakeDeviceModel *model)
{
    *device = (FakeDevice){.model = model};
    for (size_t i = 0; i < G_N_ELEMENTS(device->queues); i++)
        g_queue_init(&device->queues[i]);
}

void fake_device_clear(FakeDevice *device)
{
    for (size_t i = 0; i < G_N_ELEMENTS(device->queues); i++)
        g_queue_clear_full(&device->queues[i], (GDestroyNotify) g_bytes_unref);
}

static GBytes *string_descriptor(const FakeDevice *device, uint8_t index)
{
    static const uint8_t languages[] = {4, DESCRIPTOR_STRING, 0x09, 0x04};
    if (!device->model->strings)
        return NULL;
    if (index == 0)
        return g_bytes_new_static(languages, sizeof languages);
    if (index > g_strv_length((char **) device->model->strings))
        return NULL;

    const char *text = device->model->strings[index - 1];
    size_t length = 2 + 2 * strlen(text);
    uint8_t *bytes = g_malloc0(length);
    bytes[0] = (uint8_t) length;
    bytes[1] = DESCRIPTOR_STRING;
    for (size_t i = 0; text[i]; i++)
        bytes[2 + 2 * i] = (uint8_t) text[i];
    return g_bytes_new_take(bytes, length);
}

GBytes *fake_device_descriptor(const FakeDevice *device, uint8_t type, uint8_t index)
{
    const FakeDeviceModel *model = device->model;
    if (type == DESCRIPTOR_STRING)
        return string_descriptor(device, index);
    if (type == DESCRIPTOR_DEVICE && index == 0)
        return g_bytes_new_static(model->device, model->device[0]);
    const uint8_t *configurations[] = {model->configuration, model->second};
    if (type != DESCRIPTOR_CONFIGURATION || index > 1 || !configurations[index])
        return NULL;
    return g_bytes_new_static(configurations[index], get_u16(configurations[index] + 2));
}

const uint8_t *fake_device_configuration(const FakeDevice *device, uint8_t value)
{
    const FakeDeviceModel *model = device->model;
    if (value == model->configuration[5])
        return model->configuration;
    return model->second && value == model->second[5] ? model->second : NULL;
}

unsigned fake_device_n_interfaces(const FakeDevice *device, uint8_t value)
{
    const uint8_t *configuration = fake_device_configuration(device, value);
    return configuration ? configuration[4] : 0;
}

bool fake_device_select_configuration(FakeDevice *device, uint8_t value)
{
    if (device->refuses_selections || (value != 0 && !fake_device_configuration(device, value)))
        return false;
    device->configuration_value = value;
    memset(device->alternate_settings, 0, sizeof device->alternate_settings);
    device->halted = 0;
    return true;
}

bool fake_device_interface(const FakeDevice *device, uint8_t number, uint8_t alternate_setting,
                           FakeInterface *interface)
{
    const uint8_t *d = fake_device_configuration(device, device->configuration_value);
    if (!d)
        d = device->model->configuration;
    const uint8_t *end = d + get_u16(d + 2);
    bool is_found = false, is_inside = false;
    for (; end - d >= 2 && d[0] >= 2 && d[0] <= end - d; d += d[0]) {
        if (d[1] == DESCRIPTOR_INTERFACE) {
            is_inside = d[2] == number && d[3] == alternate_setting;
            is_found = is_found || is_inside;
            if (is_inside)
                *interface = (FakeInterface){d[2], d[3], d[5], d[6], d[7], 0, {{0}}};
        } else if (d[1] == DESCRIPTOR_ENDPOINT && is_inside &&
                   interface->n_endpoints < G_N_ELEMENTS(interface->endpoints)) {
            interface->endpoints[interface->n_endpoints++] =
                (FakeEndpoint){d[2], d[3] & 3, d[6], get_u16(d + 4)};
        }
    }
    return is_found;
}

bool fake_device_select_interface(FakeDevice *device, uint8_t number, uint8_t alternate_setting)
{
    FakeInterface interface;
    if (device->refuses_selections ||
        !fake_device_interface(device, number, alternate_setting, &interface))
        return false;
    device->alternate_settings[number] = alternate_setting;
    for (unsigned i = 0; i < interface.n_endpoints; i++)
        fake_device_clear_halt(device, interface.endpoints[i].address);
    return true;
}

bool fake_device_has_endpoint(const FakeDevice *device, uint8_t address)
{
    if (device->configuration_value == 0)
        return false;
    for (unsigned number = 0; number < G_N_ELEMENTS(device->alternate_settings); number++) {
        FakeInterface interface;
        if (!fake_device_interface(device, (uint8_t) number, device->alternate_settings[number],
                                   &interface))
            continue;
        for (unsigned i = 0; i < interface.n_endpoints; i++)
            if (interface.endpoints[i].address == address)
                return true;
    }
    return false;
}

void fake_device_say(FakeDevice *device, uint8_t endpoint, const uint8_t *data, size_t size)
{
    g_queue_push_tail(&device->queues[endpoint & 0x0F], g_bytes_new(data, size));
}

GBytes *fake_device_hear(FakeDevice *device, uint8_t endpoint, size_t size)
{
    GQueue *queue = &device->queues[endpoint & 0x0F];
    GBytes *front = g_queue_pop_head(queue);
    if (!front || g_bytes_get_size(front) <= size)
        return front;
    GBytes *part = g_bytes_new_from_bytes(front, 0, size);
    g_queue_push_head(queue, g_bytes_new_from_bytes(front, size, g_bytes_get_size(front) - size));
    g_bytes_unref(front);
    return part;
}

void fake_device_take(FakeDevice *device, uint8_t endpoint, const uint8_t *data, size_t size)
{
    if (endpoint == device->model->loopback_out && device->model->loopback_in)
        fake_device_say(device, device->model->loopback_in, data, size);
}

static uint32_t halt_bit(uint8_t endpoint)
{
    return UINT32_C(1) << ((endpoint & 0x0F) + (endpoint & 0x80 ? 16 : 0));
}

void fake_device_halt(FakeDevice *device, uint8_t endpoint)
{
    device->halted |= halt_bit(endpoint);
}

void fake_device_clear_halt(FakeDevice *device, uint8_t endpoint)
{
    device->halted &= ~halt_bit(endpoint);
}

bool fake_device_is_halted(const FakeDevice *device, uint8_t endpoint)
{
    return device->halted & halt_bit(endpoint);
}
