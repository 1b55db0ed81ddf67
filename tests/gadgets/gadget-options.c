/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * RDPUSB_GADGETS: "kind,key=value,…;kind,…". A backslash takes the next character as it is, \n is a
 * newline.
 */
#include "gadget-bus.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OPTIONS_MAX 16

static const struct gadget_ops *const kinds[] = {
    &storage_gadget,    &keyboard_gadget, &vendor_gadget, &isochronous_gadget, &serial_gadget,
    &bootloader_gadget, &audio_gadget,    &camera_gadget, &composite_gadget,   &liar_gadget};

struct gadget_options {
    char *kind;
    struct {
        char *key, *value;
        bool used;
    } entries[OPTIONS_MAX];
    unsigned count;
    bool failed;
};

void gadget_options_fail(struct gadget_options *options, const char *format, ...)
{
    va_list arguments;
    options->failed = true;
    fprintf(stderr, "gadgets: RDPUSB_GADGETS: %s: ", options->kind);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
}

const char *gadget_options_string(struct gadget_options *options, const char *key,
                                  const char *fallback)
{
    for (unsigned i = 0; i < options->count; i++)
        if (strcmp(options->entries[i].key, key) == 0) {
            options->entries[i].used = true;
            return options->entries[i].value;
        }
    return fallback;
}

bool gadget_options_number(struct gadget_options *options, const char *key, unsigned long max,
                           unsigned long *value)
{
    const char *text = gadget_options_string(options, key, NULL);
    if (!text)
        return true;
    char *end;
    errno = 0;
    unsigned long number = strtoul(text, &end, 10);
    if (!isdigit((unsigned char) *text) || *end || errno != 0 || number > max) {
        gadget_options_fail(options, "%s=%s is not a number from 0 to %lu", key, text, max);
        return false;
    }
    *value = number;
    return true;
}

/* --- Parsing -------------------------------------------------------------------------------------
 */

/* Copies up to an unescaped character of `ends`, and moves *text to it. */
static char *next_word(const char **text, const char *ends)
{
    char *word = malloc(strlen(*text) + 1);
    size_t length = 0;
    if (!word)
        return NULL;
    const char *at = *text;
    for (; *at && !strchr(ends, *at); at++) {
        if (*at == '\\' && at[1]) {
            at++;
            word[length++] = *at == 'n' ? '\n' : *at;
        } else {
            word[length++] = *at;
        }
    }
    word[length] = 0;
    *text = at;
    return word;
}

static bool parse_entry(struct gadget_options *options, const char **text)
{
    if (options->count == OPTIONS_MAX) {
        gadget_options_fail(options, "more than %d options", OPTIONS_MAX);
        return false;
    }
    char *key = next_word(text, "=,;");
    char *value = NULL;
    if (**text == '=') {
        ++*text;
        value = next_word(text, ",;");
    }
    if (key && value) {
        options->entries[options->count].key = key;
        options->entries[options->count++].value = value;
        return true;
    }
    gadget_options_fail(options, "'%s' is not key=value", key ? key : "");
    free(key);
    free(value);
    return false;
}

static bool parse(struct gadget_options *options, const char **text)
{
    options->kind = next_word(text, ",;");
    if (!options->kind)
        return false;
    while (**text == ',') {
        ++*text;
        if (!parse_entry(options, text))
            return false;
    }
    return true;
}

static void options_clear(struct gadget_options *options)
{
    for (unsigned i = 0; i < options->count; i++) {
        free(options->entries[i].key);
        free(options->entries[i].value);
    }
    free(options->kind);
}

/* --- Making gadgets ------------------------------------------------------------------------------
 */

bool gadget_options_id(struct gadget_options *options, const char *key, uint16_t *vendor_id,
                       uint16_t *product_id)
{
    const char *text = gadget_options_string(options, key, NULL);
    unsigned vendor = *vendor_id, product = *product_id;
    int used = 0;
    if (!text)
        return true;
    if (sscanf(text, "%4x:%4x%n", &vendor, &product, &used) != 2 || text[used]) {
        gadget_options_fail(options, "%s=%s is not vvvv:pppp in hexadecimal", key, text);
        return false;
    }
    *vendor_id = (uint16_t) vendor;
    *product_id = (uint16_t) product;
    return true;
}

static void make_device_descriptor(struct gadget *gadget, uint16_t vendor_id, uint16_t product_id)
{
    const struct gadget_ops *ops = gadget->ops;
    uint16_t bcd_device = ops->bcd_device ? ops->bcd_device : 0x0100;
    uint8_t configurations = 0;
    size_t length;
    while (gadget_configuration(gadget, configurations, &length))
        configurations++;
    const uint8_t descriptor[LIBUSB_DT_DEVICE_SIZE] = {
        LIBUSB_DT_DEVICE_SIZE,
        LIBUSB_DT_DEVICE,
        (uint8_t) gadget->bcd_usb,
        (uint8_t) (gadget->bcd_usb >> 8),
        ops->device_class,
        ops->device_subclass,
        ops->device_protocol,
        gadget->max_packet_size0,
        (uint8_t) vendor_id,
        (uint8_t) (vendor_id >> 8),
        (uint8_t) product_id,
        (uint8_t) (product_id >> 8),
        (uint8_t) bcd_device,
        (uint8_t) (bcd_device >> 8),
        GADGET_MANUFACTURER,
        GADGET_PRODUCT,
        gadget->strings[GADGET_SERIAL] ? GADGET_SERIAL : 0,
        configurations,
    };
    memcpy(gadget->device_descriptor, descriptor, sizeof descriptor);
}

static void read_strings(struct gadget *gadget, struct gadget_options *options)
{
    const char *serial = gadget_options_string(options, "serial", NULL);
    gadget->strings[GADGET_MANUFACTURER] =
        strdup(gadget_options_string(options, "manufacturer", "rdpusb"));
    gadget->strings[GADGET_PRODUCT] =
        strdup(gadget_options_string(options, "product", gadget->ops->product));
    gadget->strings[GADGET_SERIAL] = serial ? strdup(serial) : NULL;
}

static bool all_used(struct gadget_options *options)
{
    for (unsigned i = 0; i < options->count; i++)
        if (!options->entries[i].used) {
            gadget_options_fail(options, "there is no option '%s'", options->entries[i].key);
            return false;
        }
    return true;
}

static bool set_speed(struct gadget *gadget, struct gadget_options *options)
{
    static const char *const names[] = {[LIBUSB_SPEED_LOW] = "low",
                                        [LIBUSB_SPEED_FULL] = "full",
                                        [LIBUSB_SPEED_HIGH] = "high",
                                        [LIBUSB_SPEED_SUPER] = "super"};
    const char *wanted = gadget_options_string(options, "speed", names[gadget->speed]);
    for (unsigned i = LIBUSB_SPEED_LOW; i <= LIBUSB_SPEED_SUPER; i++)
        if (strcmp(names[i], wanted) == 0 && (!gadget->ops->one_speed || i == gadget->speed) &&
            gadget_set_speed(gadget, (enum libusb_speed) i))
            return true;
    gadget_options_fail(options, "this kind has no speed=%s", wanted);
    return false;
}

/* "string+bos": types of descriptors that the device does not answer for. */
static bool read_stalled(struct gadget *gadget, struct gadget_options *options)
{
    static const struct {
        const char *name;
        unsigned type;
    } types[] = {{"configuration", LIBUSB_DT_CONFIG},
                 {"string", LIBUSB_DT_STRING},
                 {"qualifier", 6},
                 {"bos", LIBUSB_DT_BOS}};
    const char *text = gadget_options_string(options, "stall-descriptors", "");
    while (*text) {
        size_t length = strcspn(text, "+"), i = 0;
        const size_t count = sizeof types / sizeof types[0];
        while (i < count &&
               (strlen(types[i].name) != length || memcmp(types[i].name, text, length) != 0))
            i++;
        if (i == count) {
            gadget_options_fail(options, "stall-descriptors takes configuration, string, "
                                         "qualifier and bos, joined by +");
            return false;
        }
        gadget->stalled_descriptors |= 1u << types[i].type;
        text += length + (text[length] == '+');
    }
    return true;
}

static bool set_up(struct gadget *gadget, struct gadget_options *options, bool *plugged)
{
    uint16_t vendor_id = gadget->ops->vendor_id, product_id = gadget->ops->product_id;
    unsigned long delay = 0, plug = 1;
    read_strings(gadget, options);
    if (!gadget_options_id(options, "id", &vendor_id, &product_id) ||
        !gadget_options_number(options, "delay-ms", 60000, &delay) ||
        !gadget_options_number(options, "plugged", 1, &plug))
        return false;
    for (unsigned i = 1; i < GADGET_ENDPOINTS; i++)
        gadget->endpoints[i].delay = delay * GADGET_US_PER_MS;
    *plugged = plug;
    if (!gadget->ops->create(gadget, options) || !set_speed(gadget, options) ||
        !read_stalled(gadget, options) || options->failed || !all_used(options))
        return false;
    make_device_descriptor(gadget, vendor_id, product_id);
    return true;
}

static const struct gadget_ops *find_kind(const char *name)
{
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (strcmp(kinds[i]->kind, name) == 0)
            return kinds[i];
    return NULL;
}

static bool add_gadget(struct gadget_options *options)
{
    const struct gadget_ops *ops = find_kind(options->kind);
    if (!ops) {
        gadget_options_fail(options, "there is no such kind of gadget");
        return false;
    }
    /* Gadgets live as long as the process. */
    struct gadget *gadget = gadget_new(ops);
    bool plugged = false;
    if (!gadget)
        return false;
    if (!set_up(gadget, options, &plugged)) {
        for (unsigned i = 0; i < GADGET_STRINGS; i++)
            free(gadget->strings[i]);
        free(gadget);
        return false;
    }
    if (!bus_add(gadget)) {
        gadget_options_fail(options, "more than %d gadgets", GADGET_MAX - 1);
        return false;
    }
    if (plugged)
        bus_plug(gadget);
    return true;
}

bool gadget_options_load(const char *text)
{
    while (*text) {
        struct gadget_options options = {0};
        bool added = parse(&options, &text) && add_gadget(&options);
        options_clear(&options);
        if (!added)
            return false;
        if (*text == ';')
            text++;
    }
    return true;
}
