/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The header of one event as Linux' usbmon gives it to those who map its buffer (Linux,
 * Documentation/usb/usbmon.rst, struct usbmon_packet): what Wireshark dissects best. In pcapng
 * its integers have the byte order of the section.
 */
#pragma once

#include "descriptors.h"

#define USBMON_LINK_TYPE      220 /* LINKTYPE_USB_LINUX_MMAPPED */
#define USBMON_HEADER_SIZE    64
#define USBMON_ISO_DESCRIPTOR 16

typedef enum {
    USBMON_SUBMIT = 'S',
    USBMON_COMPLETE = 'C',
    USBMON_ERROR = 'E', /* a submission that failed */
} UsbmonEventType;

typedef struct {
    UsbmonEventType event;
    EndpointType type;
    uint64_t urb; /* the same for the submission and its completion */
    uint8_t endpoint;
    uint8_t device; /* address */
    uint16_t bus;
    int64_t time;             /* microseconds since 1970 */
    int status;               /* -errno; 0 for a submission means that it is under way */
    const RdpusbSetup *setup; /* of a control submission, else NULL */
    uint8_t interval;
    uint32_t length;     /* bytes wanted or given, or done */
    const uint8_t *data; /* `length` bytes, or NULL when this event does not carry them */
} UsbmonEvent;

/* Appends header, isochronous descriptor if there is one, and data. */
void usbmon_append(GByteArray *out, const UsbmonEvent *event);
