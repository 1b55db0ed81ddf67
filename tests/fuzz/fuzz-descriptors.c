/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Descriptors of a device. What is accepted must keep the promises that the rest relies on: each
 * interface there, no endpoint twice, and the guest's copy a valid descriptor again.
 */
#include "descriptors.h"

#include "require.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_settings(const Configuration *configuration)
{
    uint32_t seen = 0;
    for (unsigned i = 0; i < configuration->n_interfaces; i++) {
        const InterfaceSetting *setting = configuration_setting(configuration, i, 0);
        REQUIRE(setting && setting->n_endpoints <= USB_MAX_ENDPOINTS);
        for (unsigned e = 0; e < setting->n_endpoints; e++) {
            uint8_t address = setting->endpoints[e].address;
            uint32_t bit = 1u << ((address & 0x0f) | (address & 0x80) >> 3);
            REQUIRE((address & 0x0f) != 0 && (seen & bit) == 0);
            seen |= bit;
        }
    }
}

/* Every setting's class is told, and none twice; or the device is refused. */
static void check_classes(const Configuration *configuration)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GArray) classes = g_array_new(FALSE, FALSE, sizeof(RdpusbInterfaceClass));
    bool told = configuration_add_classes(configuration, classes, &error);
    REQUIRE(told == (error == NULL) && classes->len <= RDPUSB_MAX_INTERFACE_CLASSES);
    unsigned n = classes->len;
    REQUIRE(n <= configuration->settings->len);
    REQUIRE(configuration_add_classes(configuration, classes, NULL) == told && classes->len == n);
}

static void check_guest_copy(Configuration *configuration)
{
    configuration_hide_streams(configuration);
    size_t size;
    const uint8_t *bytes = g_bytes_get_data(configuration->guest_bytes, &size);
    g_autoptr(GError) error = NULL;
    g_autoptr(Configuration) copy = configuration_parse(bytes, size, &error);
    REQUIRE(copy != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t device[USB_DEVICE_DESCRIPTOR_SIZE] = {18, 1, 0, 2, 0, 0, 0, 64};
    g_autoptr(GError) error = NULL;
    g_autoptr(Configuration) configuration = configuration_parse(data, size, &error);
    REQUIRE((configuration == NULL) == (error != NULL));
    if (configuration) {
        check_settings(configuration);
        check_classes(configuration);
        check_guest_copy(configuration);
        descriptors_speed(device, configuration,
                          descriptors_speed_is_ambiguous(device, configuration));
    }
    g_autofree char *text = descriptors_string(data, size);
    REQUIRE(g_utf8_validate(text, -1, NULL));
    return 0;
}
