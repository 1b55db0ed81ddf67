/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A keyboard of the HID boot protocol ([HID 1.11] appendix B.1, US layout) that types a text:
 * `text=` when it is first polled, or later by the command "type N TEXT".
 */
#include "keyboard-gadget.h"

#include "gadget.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INTERRUPT_IN  0x81
#define REPORT_LENGTH 8
#define LEFT_SHIFT    0x02

#define DT_HID    0x21
#define DT_REPORT 0x22

enum {
    GET_REPORT = 0x01,
    GET_IDLE = 0x02,
    GET_PROTOCOL = 0x03,
    SET_REPORT = 0x09,
    SET_IDLE = 0x0a,
    SET_PROTOCOL = 0x0b,
};

struct keyboard {
    char *text; /* what is still to be typed starts at `at` */
    size_t at;
    bool pressed;  /* the key of text[at] is down */
    uint64_t pace; /* microseconds between two reports */
    uint64_t due;  /* when the next report may be sent */
    uint8_t report[REPORT_LENGTH];
    uint8_t leds, idle, protocol;
    uint64_t typed;
};

/* clang-format off */
static const uint8_t report_descriptor[] = {
    0x05, 0x01, 0x09, 0x06, 0xa1, 0x01,             /* generic desktop, keyboard, application */
    0x05, 0x07, 0x19, 0xe0, 0x29, 0xe7,             /* keys: left control to right GUI */
    0x15, 0x00, 0x25, 0x01, 0x75, 0x01, 0x95, 0x08, /* eight bits, */
    0x81, 0x02,                                     /* the modifiers */
    0x95, 0x01, 0x75, 0x08, 0x81, 0x01,             /* one reserved byte */
    0x95, 0x05, 0x75, 0x01, 0x05, 0x08,             /* five LEDs: num lock to kana */
    0x19, 0x01, 0x29, 0x05, 0x91, 0x02,
    0x95, 0x01, 0x75, 0x03, 0x91, 0x01,             /* padding */
    0x95, 0x06, 0x75, 0x08, 0x15, 0x00, 0x25, 0x65, /* six keys */
    0x05, 0x07, 0x19, 0x00, 0x29, 0x65, 0x81, 0x00,
    0xc0,
};

static const uint8_t configuration[] = {
    9, LIBUSB_DT_CONFIG, 34, 0, 1, 1, 0, 0xa0, 50,
    9, LIBUSB_DT_INTERFACE, 0, 0, 1, LIBUSB_CLASS_HID, 1, 1, 0,
    KEYBOARD_HID_DESCRIPTOR,
    7, LIBUSB_DT_ENDPOINT, INTERRUPT_IN, LIBUSB_TRANSFER_TYPE_INTERRUPT, REPORT_LENGTH, 0, 10,
};
/* clang-format on */
_Static_assert(sizeof report_descriptor == KEYBOARD_REPORT_DESCRIPTOR_LENGTH, "its length");

/* --- Keys ([HUT] chapter 10) ---------------------------------------------------------------------
 */

/* Usages 0x2d to 0x38, then the same with shift; 0x32 is on other layouts only. */
static const char plain_signs[] = "-=[]\\\n;'`,./";
static const char shifted_signs[] = "_+{}|\n:\"~<>?";

static uint8_t find_sign(const char *signs, char c)
{
    const char *found = strchr(signs, c);
    return found ? (uint8_t) (0x2d + (found - signs)) : 0;
}

/* False: there is no key for this character. */
static bool key_of(char c, uint8_t *modifiers, uint8_t *usage)
{
    static const char shifted_digits[] = "!@#$%^&*()";
    const char *digit = strchr(shifted_digits, c);
    *modifiers = 0;
    if (c >= 'a' && c <= 'z') {
        *usage = (uint8_t) (0x04 + c - 'a');
    } else if (c >= 'A' && c <= 'Z') {
        *usage = (uint8_t) (0x04 + c - 'A');
        *modifiers = LEFT_SHIFT;
    } else if (c >= '1' && c <= '9') {
        *usage = (uint8_t) (0x1e + c - '1');
    } else if (c == '0') {
        *usage = 0x27;
    } else if (digit) {
        *usage = (uint8_t) (0x1e + (digit - shifted_digits));
        *modifiers = LEFT_SHIFT;
    } else if (c == '\n' || c == '\t' || c == ' ') {
        *usage = c == '\n' ? 0x28 : c == '\t' ? 0x2b : 0x2c;
    } else if ((*usage = find_sign(plain_signs, c)) == 0) {
        *usage = find_sign(shifted_signs, c);
        *modifiers = LEFT_SHIFT;
    }
    return *usage != 0;
}

static const char *check_text(const char *text)
{
    uint8_t modifiers, usage;
    for (; *text; text++)
        if (!key_of(*text, &modifiers, &usage))
            return "the text has a character that no key types";
    return NULL;
}

/* --- Reports -------------------------------------------------------------------------------------
 */

static void next_report(struct keyboard *keyboard)
{
    memset(keyboard->report, 0, REPORT_LENGTH);
    if (!keyboard->pressed) {
        key_of(keyboard->text[keyboard->at], &keyboard->report[0], &keyboard->report[2]);
        keyboard->pressed = true;
        return;
    }
    keyboard->pressed = false;
    keyboard->at++;
    keyboard->typed++;
}

static enum gadget_reply keyboard_in(struct gadget *gadget, uint8_t endpoint, uint8_t *data,
                                     size_t room, size_t *length)
{
    struct keyboard *keyboard = gadget->state;
    uint64_t now = gadget_now();
    bool typing = keyboard->pressed || keyboard->text[keyboard->at];
    if (!typing && keyboard->idle == 0)
        return GADGET_NAK;
    if (now < keyboard->due) {
        gadget->wake_at = keyboard->due;
        return GADGET_NAK;
    }
    if (typing)
        next_report(keyboard);
    /* Without a change the report comes again each idle period, in units of 4 ms
     * ([HID 1.11] 7.2.4). */
    bool more = keyboard->pressed || keyboard->text[keyboard->at];
    keyboard->due = now + (more ? keyboard->pace : keyboard->idle * 4 * GADGET_US_PER_MS);
    *length = room < REPORT_LENGTH ? room : REPORT_LENGTH;
    memcpy(data, keyboard->report, *length);
    return GADGET_DONE;
}

static enum gadget_reply give(uint8_t *data, size_t *length, const void *bytes, size_t size)
{
    if (size < *length)
        *length = size;
    memcpy(data, bytes, *length);
    return GADGET_DONE;
}

static enum gadget_reply get_request(struct keyboard *keyboard,
                                     const struct libusb_control_setup *setup, uint8_t *data,
                                     size_t *length)
{
    bool standard = (setup->bmRequestType & 0x60) == LIBUSB_REQUEST_TYPE_STANDARD;
    if (standard && setup->wValue == DT_REPORT << 8)
        return give(data, length, report_descriptor, sizeof report_descriptor);
    if (standard && setup->wValue == DT_HID << 8)
        return give(data, length, configuration + 18, 9);
    if (standard)
        return GADGET_STALL;
    switch (setup->bRequest) {
    case GET_REPORT: return give(data, length, keyboard->report, REPORT_LENGTH);
    case GET_IDLE: return give(data, length, &keyboard->idle, 1);
    case GET_PROTOCOL: return give(data, length, &keyboard->protocol, 1);
    default: return GADGET_STALL;
    }
}

static enum gadget_reply keyboard_control(struct gadget *gadget,
                                          const struct libusb_control_setup *setup, uint8_t *data,
                                          size_t *length)
{
    struct keyboard *keyboard = gadget->state;
    if (setup->bmRequestType & LIBUSB_ENDPOINT_IN)
        return get_request(keyboard, setup, data, length);
    switch (setup->bRequest) {
    case SET_REPORT:
        if (*length != 1)
            return GADGET_STALL;
        keyboard->leds = data[0];
        return GADGET_DONE;
    case SET_IDLE: keyboard->idle = (uint8_t) (setup->wValue >> 8); return GADGET_DONE;
    case SET_PROTOCOL: keyboard->protocol = (uint8_t) setup->wValue; return GADGET_DONE;
    default: return GADGET_STALL;
    }
}

/* --- Life ----------------------------------------------------------------------------------------
 */

static bool keyboard_create(struct gadget *gadget, struct gadget_options *options)
{
    struct keyboard *keyboard = calloc(1, sizeof *keyboard);
    const char *text = gadget_options_string(options, "text", "");
    unsigned long interval = 10;
    const char *error = check_text(text);
    if (error)
        gadget_options_fail(options, "%s", error);
    if (!keyboard || error || !gadget_options_number(options, "interval-ms", 10000, &interval)) {
        free(keyboard);
        return false;
    }
    keyboard->text = strdup(text);
    keyboard->pace = interval * GADGET_US_PER_MS;
    gadget->state = keyboard;
    return keyboard->text != NULL;
}

/* The text that is not typed yet stays: a guest's driver resets the device before it polls. */
static void keyboard_reset(struct gadget *gadget)
{
    struct keyboard *keyboard = gadget->state;
    memset(keyboard->report, 0, REPORT_LENGTH);
    keyboard->pressed = false;
    keyboard->idle = 0;
    keyboard->protocol = 1;
    keyboard->leds = 0;
}

static char unescape(char c)
{
    return c == 'n' ? '\n' : c == 't' ? '\t' : c;
}

/* "type N TEXT": \n for the enter key, \t for tab, \\ for a backslash. */
static const char *keyboard_command(struct gadget *gadget, const char *verb, const char *argument)
{
    struct keyboard *keyboard = gadget->state;
    if (strcmp(verb, "type") != 0)
        return "unknown command";
    size_t rest = strlen(keyboard->text + keyboard->at), length = rest;
    char *text = malloc(rest + strlen(argument) + 1);
    if (!text)
        return "out of memory";
    memcpy(text, keyboard->text + keyboard->at, rest);
    for (const char *c = argument; *c; c++) {
        bool escaped = *c == '\\' && c[1];
        c += escaped;
        text[length++] = escaped ? unescape(*c) : *c;
    }
    text[length] = 0;
    const char *error = check_text(text);
    if (error) {
        free(text);
        return error;
    }
    free(keyboard->text);
    keyboard->text = text;
    keyboard->at = 0;
    if (rest == 0)
        keyboard->due = 0;
    return NULL;
}

static void keyboard_stats(struct gadget *gadget, char *text, size_t size)
{
    const struct keyboard *keyboard = gadget->state;
    snprintf(text, size, " keyboard.typed=%llu keyboard.waiting=%zu keyboard.leds=%u",
             (unsigned long long) keyboard->typed, strlen(keyboard->text + keyboard->at),
             keyboard->leds);
}

const struct gadget_ops keyboard_gadget = {
    .kind = "keyboard",
    .vendor_id = 0x1209,
    .product_id = 0x0002,
    .product = "Emulated keyboard",
    .speed = LIBUSB_SPEED_LOW,
    .kernel_driver = true,
    .max_packet_size0 = 8,
    .bcd_usb = 0x0110,
    .configurations = {{configuration, sizeof configuration}},
    .create = keyboard_create,
    .reset = keyboard_reset,
    .control = keyboard_control,
    .in = keyboard_in,
    .command = keyboard_command,
    .stats = keyboard_stats,
};
