/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One device of three: a sound card (interfaces 0 to 2), a keyboard (3) and a stick (4). Each part
 * is the gadget of that kind, told that it is alone.
 */
#include "audio-gadget.h"
#include "gadget-bus.h"
#include "keyboard-gadget.h"

#include <stdlib.h>
#include <string.h>

#define KEYBOARD_INTERFACE 3
#define STORAGE_INTERFACE  4
#define KEYBOARD_IN        0x83
#define STORAGE_IN         0x84
#define STORAGE_OUT        0x05

enum part { PART_AUDIO, PART_KEYBOARD, PART_STORAGE, PARTS };

static const struct gadget_ops *const kinds[PARTS] = {&audio_gadget, &keyboard_gadget,
                                                      &storage_gadget};

struct composite {
    void *states[PARTS];
};

/* clang-format off */
#define TOTAL (9 + AUDIO_FUNCTION_LENGTH + 25 + 23)
static const uint8_t configuration[] = {
    9, LIBUSB_DT_CONFIG, TOTAL, 0, 5, 1, 0, 0xa0, 100,
    AUDIO_FUNCTION(4),
    9, LIBUSB_DT_INTERFACE, KEYBOARD_INTERFACE, 0, 1, LIBUSB_CLASS_HID, 1, 1, 0,
    KEYBOARD_HID_DESCRIPTOR,
    7, LIBUSB_DT_ENDPOINT, KEYBOARD_IN, LIBUSB_TRANSFER_TYPE_INTERRUPT, 8, 0, 7,
    9, LIBUSB_DT_INTERFACE, STORAGE_INTERFACE, 0, 2, LIBUSB_CLASS_MASS_STORAGE, 0x06, 0x50, 0,
    7, LIBUSB_DT_ENDPOINT, STORAGE_IN, LIBUSB_TRANSFER_TYPE_BULK, 0x00, 0x02, 0,
    7, LIBUSB_DT_ENDPOINT, STORAGE_OUT, LIBUSB_TRANSFER_TYPE_BULK, 0x00, 0x02, 0,
};
/* clang-format on */
_Static_assert(sizeof configuration == TOTAL && TOTAL < 256, "wTotalLength");

/* --- The part that is meant ----------------------------------------------------------------------
 */

static enum part part_of(uint8_t interface)
{
    return interface == STORAGE_INTERFACE    ? PART_STORAGE
           : interface == KEYBOARD_INTERFACE ? PART_KEYBOARD
                                             : PART_AUDIO;
}

/* A part finds its own state in the gadget until leave(). */
static struct composite *enter(struct gadget *gadget, enum part part)
{
    struct composite *composite = gadget->state;
    gadget->state = composite->states[part];
    return composite;
}

static void leave(struct gadget *gadget, struct composite *composite)
{
    gadget->state = composite;
}

static enum gadget_reply composite_control(struct gadget *gadget,
                                           const struct libusb_control_setup *setup, uint8_t *data,
                                           size_t *length)
{
    uint8_t index = (uint8_t) setup->wIndex;
    bool to_endpoint = (setup->bmRequestType & 0x1f) == LIBUSB_RECIPIENT_ENDPOINT;
    enum part part = part_of(to_endpoint ? bus_endpoint(gadget, index)->interface : index);
    struct composite *composite = enter(gadget, part);
    enum gadget_reply reply = kinds[part]->control(gadget, setup, data, length);
    leave(gadget, composite);
    return reply;
}

static enum gadget_reply composite_in(struct gadget *gadget, uint8_t endpoint, uint8_t *data,
                                      size_t room, size_t *length)
{
    enum part part = part_of(bus_endpoint(gadget, endpoint)->interface);
    struct composite *composite = enter(gadget, part);
    enum gadget_reply reply = kinds[part]->in(gadget, endpoint, data, room, length);
    leave(gadget, composite);
    return reply;
}

static enum gadget_reply composite_out(struct gadget *gadget, uint8_t endpoint, const uint8_t *data,
                                       size_t length, size_t *taken)
{
    struct composite *composite = enter(gadget, PART_STORAGE);
    enum gadget_reply reply = storage_gadget.out(gadget, endpoint, data, length, taken);
    leave(gadget, composite);
    return reply;
}

static size_t composite_iso_in(struct gadget *gadget, uint8_t endpoint, uint64_t interval,
                               uint8_t *data, size_t room)
{
    struct composite *composite = enter(gadget, PART_AUDIO);
    size_t length = audio_gadget.iso_in(gadget, endpoint, interval, data, room);
    leave(gadget, composite);
    return length;
}

static void composite_iso_out(struct gadget *gadget, uint8_t endpoint, uint64_t interval,
                              const uint8_t *data, size_t length)
{
    struct composite *composite = enter(gadget, PART_AUDIO);
    audio_gadget.iso_out(gadget, endpoint, interval, data, length);
    leave(gadget, composite);
}

static void composite_alternate_set(struct gadget *gadget, uint8_t interface)
{
    enum part part = part_of(interface);
    struct composite *composite = enter(gadget, part);
    if (kinds[part]->alternate_set)
        kinds[part]->alternate_set(gadget, interface);
    leave(gadget, composite);
}

/* --- Life ----------------------------------------------------------------------------------------
 */

static bool composite_create(struct gadget *gadget, struct gadget_options *options)
{
    struct composite *composite = calloc(1, sizeof *composite);
    const struct gadget_blob own = gadget->configurations[0];
    for (enum part part = 0; composite && part < PARTS; part++) {
        /* What one part has made stays when another one fails: the program ends then. */
        if (!kinds[part]->create(gadget, options))
            return false;
        composite->states[part] = gadget->state;
    }
    if (composite && gadget->configurations[0].data != own.data)
        gadget_options_fail(options, "there is no uas=1 in a composite device");
    gadget->state = composite;
    return composite != NULL;
}

static void composite_reset(struct gadget *gadget)
{
    for (enum part part = 0; part < PARTS; part++) {
        struct composite *composite = enter(gadget, part);
        kinds[part]->reset(gadget);
        leave(gadget, composite);
    }
}

static const char *composite_command(struct gadget *gadget, const char *verb, const char *argument)
{
    struct composite *composite = enter(gadget, PART_KEYBOARD);
    const char *error = keyboard_gadget.command(gadget, verb, argument);
    leave(gadget, composite);
    return error;
}

static void composite_stats(struct gadget *gadget, char *text, size_t size)
{
    for (enum part part = 0; part < PARTS; part++) {
        size_t used = strlen(text);
        struct composite *composite = enter(gadget, part);
        kinds[part]->stats(gadget, text + used, size - used);
        leave(gadget, composite);
    }
}

const struct gadget_ops composite_gadget = {
    .kind = "composite",
    .vendor_id = 0x1209,
    .product_id = 0x0009,
    .product = "Emulated headset with keys and memory",
    .speed = LIBUSB_SPEED_HIGH,
    .kernel_driver = true,
    .max_packet_size0 = 64,
    .bcd_usb = 0x0200,
    .configurations = {{configuration, sizeof configuration}},
    .create = composite_create,
    .reset = composite_reset,
    .control = composite_control,
    .in = composite_in,
    .out = composite_out,
    .iso_in = composite_iso_in,
    .iso_out = composite_iso_out,
    .alternate_set = composite_alternate_set,
    .command = composite_command,
    .stats = composite_stats,
};
