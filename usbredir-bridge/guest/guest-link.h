/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One connection to a guest: usbredir bytes in and out on one side, a Device on the other. Made
 * when the stream opens, freed when it closes; the device outlives it.
 *
 * This folder is the only one that knows libusbredirparser.
 */
#pragma once

#include "capture.h"
#include "device.h"

#include <usbredirparser.h>

typedef struct {
    Device *device; /* borrowed */
    struct usbredirparser *parser;
    size_t max_packet;
    int64_t now; /* of the call under way */

    /* The input of the call under way, and where it is in the packet */
    const uint8_t *input;
    size_t input_size;
    uint8_t header[8];
    uint64_t position;
    uint64_t packet_size;
    GError *error; /* the first thing that was wrong */

    GQueue output; /* of GBytes */
    size_t output_size;
    uint64_t produced; /* bytes that ever went into output */
    size_t backlog;    /* bytes that our caller holds unsent */
    GQueue reports;    /* of what may be unsent, the packets of streams; see send.c */
    size_t report_bytes;
    uint64_t dropped;
    bool said_hello;
    bool acknowledged; /* device_disconnect_ack came */

    Capture *capture;               /* borrowed; NULL: none */
    struct usbredirparser untapped; /* its callbacks without the capture; see tap.c */
} GuestLink;

/* `device` outlives the link. The hello is queued. */
GuestLink *guest_link_new(Device *device, size_t max_packet);
void guest_link_free(GuestLink *link);

/* False, and RDPUSB_BRIDGE_ERROR, when these are not the bytes of a usbredir guest: the link is of
 * no more use. */
bool guest_link_feed(GuestLink *link, const uint8_t *data, size_t size, int64_t now,
                     GError **error);
/* The next bytes to write, or NULL. */
GBytes *guest_link_next_output(GuestLink *link);

/* Sends an answer of the device, see send.c. */
void guest_link_send(GuestLink *link, const Answer *answer);
/* Whether the guest acknowledges device_disconnect. */
bool guest_link_can_acknowledge(const GuestLink *link);

/* Sets the callbacks for what guests ask, see requests.c. */
void guest_link_set_callbacks(struct usbredirparser *parser);

/* Records from here on, see tap.c. `capture` outlives the link. */
void guest_link_tap(GuestLink *link, Capture *capture);
/* For send.c: records what was sent. */
void guest_link_tap_answer(GuestLink *link, const Answer *answer);

/* For requests.c: notes what is wrong; the link ends when the call is over. */
void guest_link_fail(GuestLink *link, const char *format, ...) G_GNUC_PRINTF(2, 3);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(GuestLink, guest_link_free)
