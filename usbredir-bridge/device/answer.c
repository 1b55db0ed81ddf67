/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "answer.h"

void answer_clear(Answer *answer)
{
    g_clear_pointer(&answer->hold, g_bytes_unref);
    answer->data = NULL;
}

const char *device_status_to_string(DeviceStatus status)
{
    switch (status) {
    case DEVICE_SUCCESS: return "success";
    case DEVICE_CANCELLED: return "cancelled";
    case DEVICE_INVAL: return "inval";
    case DEVICE_IOERROR: return "ioerror";
    case DEVICE_STALL: return "stall";
    case DEVICE_TIMEOUT: return "timeout";
    case DEVICE_BABBLE: return "babble";
    }
    return "unknown";
}

DeviceStatus device_status_from_client(RdpusbStatus status, bool in)
{
    switch (status) {
    case RDPUSB_STATUS_SUCCESS: return DEVICE_SUCCESS;
    case RDPUSB_STATUS_CANCELLED: return DEVICE_CANCELLED;
    case RDPUSB_STATUS_TIMEOUT: return DEVICE_TIMEOUT;
    case RDPUSB_STATUS_STALL: return DEVICE_STALL;
    case RDPUSB_STATUS_BABBLE: return DEVICE_BABBLE;
    /* Linux on xHCI repeats a transfer after an I/O error up to three times. An OUT of which nobody
     * knows whether it was executed must not be executed twice: a stall makes the driver recover.
     */
    case RDPUSB_STATUS_ERROR:
    case RDPUSB_STATUS_SILENT:
    case RDPUSB_STATUS_LOST: return in ? DEVICE_IOERROR : DEVICE_STALL;
    case RDPUSB_STATUS_GONE: return DEVICE_IOERROR;
    }
    return DEVICE_IOERROR;
}
