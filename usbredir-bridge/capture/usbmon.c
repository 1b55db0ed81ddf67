/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "usbmon.h"

#include "pcapng.h"

#include <errno.h>

#define TRANSFER_FLAG_IN 0x0200 /* URB_DIR_IN */

static uint8_t transfer_type(EndpointType type)
{
    switch (type) {
    case ENDPOINT_ISOCHRONOUS: return 0;
    case ENDPOINT_INTERRUPT: return 1;
    case ENDPOINT_CONTROL:
    case ENDPOINT_NONE: return 2;
    case ENDPOINT_BULK: return 3;
    }
    return 2;
}

/* 0 stands before data, even if there are none. */
static uint8_t data_flag(const UsbmonEvent *event)
{
    bool in = event->endpoint & 0x80;
    switch (event->event) {
    case USBMON_SUBMIT: return in ? '<' : 0;
    case USBMON_COMPLETE: return in ? 0 : '>';
    case USBMON_ERROR: return 'E';
    }
    return 'E';
}

static int status_of(const UsbmonEvent *event)
{
    return event->event == USBMON_SUBMIT ? -EINPROGRESS : event->status;
}

/* Eight bytes that mean one thing for control, another for isochronous. */
static void append_setup(GByteArray *out, const UsbmonEvent *event)
{
    if (event->setup) {
        const RdpusbSetup *setup = event->setup;
        const uint8_t request[] = {setup->request_type, setup->request};
        g_byte_array_append(out, request, sizeof request);
        pcapng_append_u16(out, setup->value);
        pcapng_append_u16(out, setup->index);
        pcapng_append_u16(out, setup->length);
    } else {
        bool isochronous = event->type == ENDPOINT_ISOCHRONOUS;
        pcapng_append_u32(out, isochronous && event->status != 0); /* error_count */
        pcapng_append_u32(out, isochronous);                       /* numdesc */
    }
}

/* One packet each: usbredir has no larger portions. */
static void append_iso_descriptor(GByteArray *out, const UsbmonEvent *event)
{
    pcapng_append_u32(out, event->event == USBMON_SUBMIT ? -EXDEV : event->status);
    pcapng_append_u32(out, 0);
    pcapng_append_u32(out, event->length);
    pcapng_append_u32(out, 0);
}

void usbmon_append(GByteArray *out, const UsbmonEvent *event)
{
    bool isochronous = event->type == ENDPOINT_ISOCHRONOUS;
    uint32_t captured =
        (event->data ? event->length : 0) + (isochronous ? USBMON_ISO_DESCRIPTOR : 0);
    const uint8_t bytes[] = {event->event, transfer_type(event->type), event->endpoint,
                             event->device};
    const uint8_t flags[] = {event->setup ? 0 : '-', data_flag(event)};
    pcapng_append_u64(out, event->urb);
    g_byte_array_append(out, bytes, sizeof bytes);
    pcapng_append_u16(out, event->bus);
    g_byte_array_append(out, flags, sizeof flags);
    pcapng_append_u64(out, event->time / G_USEC_PER_SEC);
    pcapng_append_u32(out, event->time % G_USEC_PER_SEC);
    /* The packet of an isochronous transfer has the status, not the transfer. */
    pcapng_append_u32(out, isochronous && event->event == USBMON_COMPLETE ? 0 : status_of(event));
    pcapng_append_u32(out, event->length);
    pcapng_append_u32(out, captured);
    append_setup(out, event);
    pcapng_append_u32(out, event->interval);
    pcapng_append_u32(out, 0); /* start_frame */
    pcapng_append_u32(out, event->endpoint & 0x80 ? TRANSFER_FLAG_IN : 0);
    pcapng_append_u32(out, isochronous);
    if (isochronous)
        append_iso_descriptor(out, event);
    if (event->data && event->length > 0)
        g_byte_array_append(out, event->data, event->length);
}
