/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "status.h"

#include <wire/completion.h>

const char *rdpusb_status_to_string(RdpusbStatus status)
{
    switch (status) {
    case RDPUSB_STATUS_SUCCESS: return "success";
    case RDPUSB_STATUS_CANCELLED: return "cancelled";
    case RDPUSB_STATUS_TIMEOUT: return "timeout";
    case RDPUSB_STATUS_STALL: return "stall";
    case RDPUSB_STATUS_BABBLE: return "babble";
    case RDPUSB_STATUS_ERROR: return "error";
    case RDPUSB_STATUS_SILENT: return "silent";
    case RDPUSB_STATUS_LOST: return "lost";
    case RDPUSB_STATUS_GONE: return "gone";
    }
    return "unknown status";
}

/* The numbers of libusb do not collide with the codes of [MS-RDPEUSB] 2.2.10.1.1: every one of
 * those has its high bits set. */
static RdpusbStatus usbd(uint32_t status)
{
    switch (status) {
    case WIRE_USBD_STATUS_SUCCESS: return RDPUSB_STATUS_SUCCESS;
    case WIRE_USBD_STATUS_LIBUSB_TIMED_OUT:
    case WIRE_USBD_STATUS_TIMEOUT: return RDPUSB_STATUS_TIMEOUT;
    case WIRE_USBD_STATUS_LIBUSB_CANCELLED:
    case WIRE_USBD_STATUS_CANCELED: return RDPUSB_STATUS_CANCELLED;
    /* FreeRDP says STALL_PID for an I/O error of a control request, too */
    case WIRE_USBD_STATUS_LIBUSB_STALL:
    case WIRE_USBD_STATUS_STALL_PID: return RDPUSB_STATUS_STALL;
    case WIRE_USBD_STATUS_LIBUSB_NO_DEVICE:
    case WIRE_USBD_STATUS_DEVICE_GONE: return RDPUSB_STATUS_GONE;
    case WIRE_USBD_STATUS_LIBUSB_OVERFLOW:
    case WIRE_USBD_STATUS_DATA_OVERRUN:
    case WIRE_USBD_STATUS_BABBLE_DETECTED: return RDPUSB_STATUS_BABBLE;
    default: return RDPUSB_STATUS_ERROR;
    }
}

RdpusbStatus urbdrc_status(uint32_t hresult, uint32_t usbd_status)
{
    switch (hresult) {
    case WIRE_S_OK: return usbd(usbd_status);
    case WIRE_E_OPERATION_ABORTED: return RDPUSB_STATUS_CANCELLED;
    /* mstsc's word for any URB that failed: the status tells more, unless it was left empty */
    case WIRE_E_DEVICE_NOT_FUNCTIONING:
        return usbd_status == WIRE_USBD_STATUS_SUCCESS ? RDPUSB_STATUS_ERROR : usbd(usbd_status);
    default: return RDPUSB_STATUS_ERROR;
    }
}
