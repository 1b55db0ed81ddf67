/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "usb-control.h"

/* The client's answer to the set-up of dynamic channels, and of this one. */
#define OPEN_TIMEOUT (10 * G_TIME_SPAN_SECOND)

#define START_WITH_USB                                                                             \
    "This client offers no USB devices.\n"                                                         \
    "Start it with USB redirection, for example:\n"                                                \
    "xfreerdp3 /usb:id:VVVV:PPPP ..."

struct UsbControl {
    Channels *channels;
    Channel *channel; /* NULL: not yet, or given up */
    RdpusbControlChannel *protocol;
    bool opened;
    bool ready; /* whatever comes next is for the client to begin */
    int64_t open_deadline;
    const char *absence; /* what to tell when there are no devices, not NULL then */
    bool given_up;
};

UsbControl *usb_control_new(Channels *channels, int64_t now)
{
    UsbControl *control = g_new0(UsbControl, 1);
    control->channels = channels;
    control->protocol = rdpusb_control_channel_new();
    control->open_deadline = now + OPEN_TIMEOUT;
    return control;
}

void usb_control_free(UsbControl *control)
{
    if (!control)
        return;
    g_clear_pointer(&control->channel, channel_close);
    g_clear_pointer(&control->protocol, rdpusb_control_channel_free);
    g_free(control);
}

/* Nothing is wrong with such a client: it has its desktop, which tells. */
static void give_up(UsbControl *control, const char *reason, const char *absence)
{
    g_message("%s: no USB devices in this connection", reason);
    control->absence = absence;
    control->given_up = true;
    g_clear_pointer(&control->channel, channel_close);
}

/* The first channel that a connection opens by this name is the control channel: [MS-RDPEUSB]
 * 2.1. */
static void open_channel(UsbControl *control, int64_t now)
{
    switch (channels_state(control->channels)) {
    case CHANNELS_NONE:
        give_up(control, "the client has no dynamic virtual channels", START_WITH_USB);
        return;
    case CHANNELS_WAITING:
        if (now >= control->open_deadline && !control->absence) {
            g_message("the client does not set up dynamic virtual channels: no USB devices until "
                      "it does");
            control->absence = START_WITH_USB;
        }
        return;
    case CHANNELS_READY: break;
    }
    control->absence = NULL;
    control->open_deadline = now + OPEN_TIMEOUT;
    control->channel = channel_open(control->channels, RDPUSB_URBDRC_NAME);
    if (!control->channel)
        give_up(control, "FreeRDP opened no channel", "The server is short of memory.");
}

static bool feed(UsbControl *control, int64_t now, GError **error)
{
    if (!control->opened) {
        control->opened = true;
        rdpusb_control_channel_opened(control->protocol, now);
    }
    const uint8_t *message;
    size_t size;
    while ((message = channel_read(control->channel, &size))) {
        if (!rdpusb_control_channel_feed(control->protocol, message, size, now, error))
            return false;
    }
    int64_t deadline = rdpusb_control_channel_deadline(control->protocol);
    if (!control->ready && deadline == RDPUSB_NO_DEADLINE) {
        control->ready = true;
        g_debug("control channel: ready");
    }
    return deadline > now || rdpusb_control_channel_tick(control->protocol, now, error);
}

bool usb_control_turn(UsbControl *control, int64_t now, GError **error)
{
    if (!control->channel && !control->given_up)
        open_channel(control, now);
    if (!control->channel)
        return true;
    if (channel_state(control->channel) == CHANNEL_OPEN && !feed(control, now, error))
        return false;
    switch (channel_state(control->channel)) {
    case CHANNEL_OPEN: break;
    case CHANNEL_OPENING:
        if (now >= control->open_deadline)
            give_up(control, "the client does not answer for the control channel", START_WITH_USB);
        break;
    case CHANNEL_REFUSED:
        give_up(control, "the client has no USB redirection", START_WITH_USB);
        break;
    case CHANNEL_CLOSED:
        /* Its devices are dead now. */
        g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_CLOSED, "closed by the client");
        return false;
    }
    return true;
}

int64_t usb_control_deadline(const UsbControl *control)
{
    if (control->absence)
        return RDPUSB_NO_DEADLINE;
    return control->opened ? rdpusb_control_channel_deadline(control->protocol)
                           : control->open_deadline;
}

bool usb_control_write(UsbControl *control)
{
    if (!control->opened || !control->channel)
        return false;
    g_autoptr(GBytes) message = rdpusb_control_channel_next_message(control->protocol);
    /* Without memory for it, the hand-shake stops here and its time limit ends the session. */
    if (message && !channel_write(control->channel, message))
        g_warning("control channel: no memory for a message to the client");
    return message;
}

unsigned usb_control_take_additions(UsbControl *control)
{
    return rdpusb_control_channel_take_additions(control->protocol);
}

void usb_control_found(UsbControl *control, const RdpusbAnnouncement *announcement)
{
    if (announcement)
        rdpusb_control_channel_found(control->protocol, announcement->usb_device);
    else
        rdpusb_control_channel_found_none(control->protocol);
}

const char *usb_control_absence(const UsbControl *control)
{
    return control->absence;
}
