/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "outcome.h"

#include "isoch.h"
#include "select.h"
#include "status.h"

/* Of what was moved before a time-out or a cancel, bulk and interrupt transfers keep all. Any other
 * failure comes with uninitialised memory of FreeRDP's (up to 3.30), and a count that is a guess.
 */
static bool is_data_real(const UrbdrcRequest *request, RdpusbStatus status)
{
    if (status == RDPUSB_STATUS_SUCCESS)
        return true;
    return request->kind == URBDRC_REQUEST_TRANSFER &&
           (status == RDPUSB_STATUS_TIMEOUT || status == RDPUSB_STATUS_CANCELLED);
}

/* FreeRDP up to 3.30 sends the bytes of an OUT transfer back: only their number counts. */
static void take_data(const UrbdrcRequest *request, const WireUrbCompletion *m,
                      RdpusbDeviceEvent *event)
{
    if (!is_data_real(request, event->status))
        return;
    if (request->is_in) {
        event->size = MIN(m->output_buffer.length, request->size);
        event->data = event->size > 0 ? m->output_buffer.data : NULL;
    } else {
        event->size = MIN(m->output_buffer_size, request->size);
    }
}

static bool take_packets(const UrbdrcRequest *request, const WireUrbCompletion *m,
                         RdpusbIsochPacket *packets, RdpusbDeviceEvent *event)
{
    if (event->status != RDPUSB_STATUS_SUCCESS)
        return true;
    bool failed;
    if (!urbdrc_isoch_result(m, request->size / request->n_packets, request->n_packets,
                             request->is_in, packets, &failed))
        return false;
    if (failed) {
        event->status = RDPUSB_STATUS_ERROR;
        return true;
    }
    event->packets = packets;
    event->n_packets = request->n_packets;
    take_data(request, m, event);
    return true;
}

/* FreeRDP says success, and handle 0, when it could not select. */
static bool take_configuration(const WireUrbCompletion *m, RdpusbPipe *pipes,
                               RdpusbDeviceEvent *event)
{
    if (event->status != RDPUSB_STATUS_SUCCESS)
        return true;
    uint32_t handle;
    size_t n_pipes;
    if (!urbdrc_select_configuration_result(m, &handle, pipes, &n_pipes))
        return false;
    if (handle == 0) {
        event->status = RDPUSB_STATUS_ERROR;
        return true;
    }
    event->configuration_handle = handle;
    event->pipes = pipes;
    event->n_pipes = n_pipes;
    return true;
}

static bool take_interface(const UrbdrcRequest *request, const WireUrbCompletion *m,
                           RdpusbPipe *pipes, RdpusbDeviceEvent *event)
{
    if (event->status != RDPUSB_STATUS_SUCCESS)
        return true;
    if (!urbdrc_select_interface_result(m, pipes, &event->n_pipes))
        return false;
    event->configuration_handle = request->configuration_handle;
    event->pipes = pipes;
    return true;
}

/* The transfer ended because our own watchdog had it cancelled: nobody else wanted that. */
static RdpusbStatus unmask_expiry(const UrbdrcRequest *request, RdpusbStatus status)
{
    bool is_ours = request->is_expired && !request->is_cancelled;
    return status == RDPUSB_STATUS_CANCELLED && is_ours ? RDPUSB_STATUS_TIMEOUT : status;
}

bool urbdrc_outcome(const UrbdrcRequest *request, WireUrbCompletion *m, UrbdrcLists *lists,
                    RdpusbDeviceEvent *event, bool *is_garbled)
{
    *is_garbled = request->kind == URBDRC_REQUEST_SELECT_INTERFACE &&
                  wire_select_interface_completion_repair(m);
    event->status = unmask_expiry(request, urbdrc_status(m->hresult, m->usbd_status));

    switch (request->kind) {
    case URBDRC_REQUEST_SELECT_CONFIGURATION: return take_configuration(m, lists->pipes, event);
    case URBDRC_REQUEST_SELECT_INTERFACE: return take_interface(request, m, lists->pipes, event);
    case URBDRC_REQUEST_TRANSFER:
        if (request->n_packets > 0)
            return take_packets(request, m, lists->packets, event);
        take_data(request, m, event);
        return true;
    case URBDRC_REQUEST_CONTROL: take_data(request, m, event); return true;
    case URBDRC_REQUEST_UNCONFIGURE: /* its result is of no use, and clients differ in it */
    case URBDRC_REQUEST_RESET_PIPE:
    case URBDRC_REQUEST_BARRIER: return true;
    }
    g_assert_not_reached();
}
