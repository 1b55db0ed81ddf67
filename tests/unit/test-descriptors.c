/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Descriptors: what a device may say, and what it is refused for. */
#include "descriptors.h"

#include <string.h>

/* A bulk-only disk: one interface, two bulk endpoints. */
static const uint8_t disk[] = {
    0x09, 0x02, 0x20, 0x00, 0x01, 0x01, 0x00, 0x80, 0x32, /* configuration */
    0x09, 0x04, 0x00, 0x00, 0x02, 0x08, 0x06, 0x50, 0x00, /* interface 0 */
    0x07, 0x05, 0x81, 0x02, 0x00, 0x02, 0x00,             /* bulk IN 512 */
    0x07, 0x05, 0x02, 0x02, 0x00, 0x02, 0x00,             /* bulk OUT 512 */
};

static const uint8_t device_usb2[18] = {18, 1,    0,    2, 0, 0, 0, 64, 0x51,
                                        9,  0x66, 0x16, 0, 1, 1, 2, 3,  1};
static const uint8_t device_usb3[18] = {18, 1,    0,    3, 0, 0, 0, 9, 0x51,
                                        9,  0x66, 0x16, 0, 1, 1, 2, 3, 1};

/* One change of a good descriptor each, and a word of the reason. */
static const struct {
    const char *name;
    unsigned at;
    uint8_t value;
    const char *reason;
} lies[] = {
    {"no-configuration", 1, 0x04, "is none"},
    {"header-too-short", 0, 0x08, "is none"},
    {"header-past-the-end", 0, 0x40, "is none"},
    {"total-too-small", 2, 0x1f, "claims 31 bytes"},
    {"total-too-large", 3, 0x01, "claims 288 bytes"},
    {"value-0", 5, 0, "not possible"},
    {"too-many-interfaces", 4, 33, "not possible"},
    {"interface-missing", 4, 2, "interface 1 of 2 is missing"},
    {"interface-number-gap", 11, 1, "without gaps"},
    {"only-an-alternate", 12, 1, "interface 0 of 1 is missing"},
    {"length-0", 18, 0, "runs past the end"},
    {"length-1", 18, 1, "runs past the end"},
    {"length-past-the-end", 25, 8, "runs past the end"},
    {"interface-too-short", 9, 8, "8 bytes instead of 9"},
    {"more-endpoints-declared", 13, 3, "has 2 endpoints but declares 3"},
    {"fewer-endpoints-declared", 13, 1, "more endpoints than the 1"},
    {"endpoint-count-absurd", 13, 255, "claims 255 endpoints"},
    {"endpoint-0", 20, 0x80, "address 0x80"},
    {"endpoint-reserved-bits", 20, 0xf1, "address 0xf1"},
    {"endpoint-twice", 27, 0x81, "exists twice"},
    {"bulk-without-packets", 23, 0x00, "packets of 0 bytes"},
};

static Configuration *parse_exact(const uint8_t *data, size_t size, GError **error)
{
    g_autofree uint8_t *copy = g_memdup2(data, size); /* exact, so that ASan sees an overrun */
    return configuration_parse(copy, size, error);
}

static void test_disk(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Configuration) configuration = parse_exact(disk, sizeof disk, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(configuration->value, ==, 1);
    g_assert_cmpuint(configuration->n_interfaces, ==, 1);
    const InterfaceSetting *setting = configuration_setting(configuration, 0, 0);
    g_assert_cmpuint(setting->n_endpoints, ==, 2);
    g_assert_cmphex(setting->endpoints[1].address, ==, 0x02);
    g_assert_cmpuint(setting->endpoints[1].max_packet_size, ==, 512);
    g_assert_null(configuration_setting(configuration, 0, 1));
    g_assert_cmpint(descriptors_speed(device_usb2, configuration, false), ==, RDPUSB_SPEED_HIGH);
    g_assert_cmpint(descriptors_speed(device_usb3, configuration, false), ==, RDPUSB_SPEED_SUPER);
}

static void test_lies(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(lies); i++) {
        uint8_t bytes[sizeof disk];
        memcpy(bytes, disk, sizeof disk);
        bytes[lies[i].at] = lies[i].value;
        g_autoptr(GError) error = NULL;
        g_assert_null(parse_exact(bytes, sizeof bytes, &error));
        g_assert_error(error, RDPUSB_BRIDGE_ERROR, RDPUSB_BRIDGE_ERROR_REFUSED);
        g_test_message("%s: %s", lies[i].name, error->message);
        g_assert_nonnull(strstr(error->message, lies[i].reason));
    }
}

static void test_truncated(void)
{
    for (size_t size = 0; size < sizeof disk; size++) {
        uint8_t bytes[sizeof disk];
        memcpy(bytes, disk, sizeof disk);
        g_autoptr(GError) error = NULL;
        g_assert_null(parse_exact(bytes, size, &error));
        if (size < 4)
            continue;
        /* The same with a total that fits: what is cut is noticed further in. */
        bytes[2] = size;
        g_clear_error(&error);
        g_assert_null(parse_exact(bytes, size, &error));
        g_assert_error(error, RDPUSB_BRIDGE_ERROR, RDPUSB_BRIDGE_ERROR_REFUSED);
    }
}

/* The same endpoint in two interfaces: two owners for one slot of the guest's table. */
static void test_shared_endpoint(void)
{
    static const uint8_t two[] = {
        9, 2, 41, 0, 2, 1, 0, 0x80, 50, /**/ 9, 4, 0, 0, 1,      3, 0,    0, 0, /**/ 7, 5, 0x81,
        3, 8, 0,  1, 9, 4, 1, 0,    1,  3,      0, 0, 0, /**/ 7, 5, 0x81, 3, 8, 0,      1,
    };
    g_autoptr(GError) error = NULL;
    g_assert_null(parse_exact(two, sizeof two, &error));
    g_assert_nonnull(strstr(error->message, "0x81 exists twice"));
}

/* A SuperSpeed disk with bulk-only and UAS: the guest must not see UAS, the client must. */
static void test_hide_streams(void)
{
    static const uint8_t uas[] = {
        9, 2, 55,   0, 1, 1, 0, 0x80,   50,                   /**/
        9, 4, 0,    0, 2, 8, 6, 0x50,   0,                    /**/
        7, 5, 0x81, 2, 0, 4, 0, /**/ 7, 5,  0x02, 2, 0, 4, 0, /**/
        9, 4, 0,    1, 2, 8, 6, 0x62,   0,                    /**/
        7, 5, 0x83, 2, 0, 4, 0, /**/ 7, 5,  0x04, 2, 0, 4, 0,
    };
    g_assert_cmpuint(sizeof uas, ==, 55);
    g_autoptr(GError) error = NULL;
    g_autoptr(Configuration) configuration = parse_exact(uas, sizeof uas, &error);
    g_assert_no_error(error);
    configuration_hide_streams(configuration);
    g_assert_cmpuint(g_bytes_get_size(configuration->bytes), ==, 55);
    size_t size;
    const uint8_t *seen = g_bytes_get_data(configuration->guest_bytes, &size);
    g_assert_cmpuint(size, ==, 32);
    g_assert_cmpuint(descriptor_u16(seen + 2), ==, 32);
    g_assert_cmpmem(seen + 9, 23, uas + 9, 23);
}

/* What a guest at a USB 2 port reads of a SuperSpeed device. */
static void test_at_high_speed(void)
{
    static const uint8_t super[] = {
        9, 2, 51,   0, 1, 1,    0, 0x80, 50,                /**/
        9, 4, 0,    0, 3, 0xff, 0, 0,    0,                 /**/
        7, 5, 0x81, 2, 0, 4,    0, 6,    0x30, 15, 0, 0, 0, /**/
        7, 5, 0x02, 2, 0, 4,    0, 6,    0x30, 15, 0, 0, 0, /**/
        7, 5, 0x83, 3, 0, 4,    9,
    };
    static const uint8_t high[] = {
        9, 2, 39,   0, 1, 1,    0, 0x80,   50,                   /**/
        9, 4, 0,    0, 3, 0xff, 0, 0,      0,                    /**/
        7, 5, 0x81, 2, 0, 2,    0, /**/ 7, 5,  0x02, 2, 0, 2, 0, /**/
        7, 5, 0x83, 3, 0, 4,    9,
    };
    g_autoptr(GError) error = NULL;
    g_autoptr(Configuration) configuration = parse_exact(super, sizeof super, &error);
    g_assert_no_error(error);
    configuration_hide_streams(configuration);
    size_t size;
    const uint8_t *seen = g_bytes_get_data(configuration->guest_bytes, &size);
    g_assert_cmpmem(seen, size, super, sizeof super);
    seen = g_bytes_get_data(configuration->high_speed_bytes, &size);
    g_assert_cmpmem(seen, size, high, sizeof high);

    static const uint8_t device[18] = {18,   1, 0x20, 3, 0, 0, 0, 9, 0x34,
                                       0x12, 0, 0,    0, 1, 1, 2, 3, 1};
    static const uint8_t slower[18] = {18,   1, 0x10, 2, 0, 0, 0, 64, 0x34,
                                       0x12, 0, 0,    0, 1, 1, 2, 3,  1};
    uint8_t result[18];
    descriptors_at_high_speed(device, result);
    g_assert_cmpmem(result, sizeof result, slower, sizeof slower);
}

/* One interrupt endpoint, of that wMaxPacketSize. */
static Configuration *interrupt_device(uint16_t max_packet_size)
{
    uint8_t bytes[] = {9,
                       2,
                       25,
                       0,
                       1,
                       1,
                       0,
                       0x80,
                       50,
                       /**/ 9,
                       4,
                       0,
                       0,
                       1,
                       3,
                       0,
                       0,
                       0,
                       7,
                       5,
                       0x81,
                       3,
                       max_packet_size & 0xff,
                       max_packet_size >> 8,
                       4};
    Configuration *configuration = configuration_parse(bytes, sizeof bytes, NULL);
    g_assert_nonnull(configuration);
    return configuration;
}

static void test_speed(void)
{
    g_autoptr(Configuration) small = interrupt_device(8);
    g_autoptr(Configuration) large = interrupt_device(512);
    g_autoptr(Configuration) wide = interrupt_device(64 | 1 << 11);
    g_assert_true(descriptors_speed_is_ambiguous(device_usb2, small));
    g_assert_cmpint(descriptors_speed(device_usb2, small, false), ==, RDPUSB_SPEED_FULL);
    g_assert_cmpint(descriptors_speed(device_usb2, small, true), ==, RDPUSB_SPEED_HIGH);
    g_assert_false(descriptors_speed_is_ambiguous(device_usb2, large));
    g_assert_cmpint(descriptors_speed(device_usb2, large, false), ==, RDPUSB_SPEED_HIGH);
    g_assert_cmpint(descriptors_speed(device_usb2, wide, false), ==, RDPUSB_SPEED_HIGH);

    uint8_t full[sizeof disk];
    memcpy(full, disk, sizeof disk);
    full[22] = full[29] = 64;
    full[23] = full[30] = 0;
    g_autoptr(Configuration) slow = configuration_parse(full, sizeof full, NULL);
    g_assert_cmpint(descriptors_speed(device_usb2, slow, true), ==, RDPUSB_SPEED_FULL);
}

static void test_string(void)
{
    static const struct {
        const char *bytes;
        size_t size;
        const char *text;
    } cases[] = {
        {"\x08\x03U\0S\0B\0", 8, "USB"},
        {"\x08\x03U\0S\0B\0", 6, "US"},   /* cut short */
        {"\xff\x03U\0S\0", 6, "US"},      /* claims more */
        {"\x08\x03 \0A\0\x1b\0", 8, "A"}, /* a control character, and space */
        {"\x08\x03"
         "A\0\0\0B\0",
         8, "A"},                                            /* ends early */
        {"\x06\x03\x3d\xd8\x00\xde", 6, "\xf0\x9f\x98\x80"}, /* a surrogate pair */
        {"\x06\x03\x3d\xd8"
         "A\0",
         6, "A"}, /* half a pair */
        {"\x04\x02"
         "A\0",
         4, ""}, /* no string */
        {"\x01\x03", 2, ""},
        {"", 0, ""},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree uint8_t *copy = g_memdup2(cases[i].bytes, cases[i].size);
        g_autofree char *text = descriptors_string(copy, cases[i].size);
        g_assert_cmpstr(text, ==, cases[i].text);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/descriptors/disk", test_disk);
    g_test_add_func("/descriptors/lies", test_lies);
    g_test_add_func("/descriptors/truncated", test_truncated);
    g_test_add_func("/descriptors/shared-endpoint", test_shared_endpoint);
    g_test_add_func("/descriptors/hide-streams", test_hide_streams);
    g_test_add_func("/descriptors/at-high-speed", test_at_high_speed);
    g_test_add_func("/descriptors/speed", test_speed);
    g_test_add_func("/descriptors/string", test_string);
    return g_test_run();
}
