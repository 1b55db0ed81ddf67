/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "isoch.h"

#include "status.h"

void urbdrc_isoch(WireUrb *urb, WireIsoPacket *packets, uint32_t pipe_handle, uint32_t packet_size,
                  unsigned n_packets, bool in)
{
    for (unsigned i = 0; i < n_packets; i++)
        packets[i] = (WireIsoPacket){.offset = i * packet_size};
    urb->function = WIRE_URB_FUNCTION_ISOCH_TRANSFER;
    urb->body.isoch_transfer = (WireIsochTransfer){
        .pipe_handle = pipe_handle,
        .transfer_flags =
            WIRE_USBD_START_ISO_TRANSFER_ASAP | (in ? WIRE_USBD_TRANSFER_DIRECTION_IN : 0),
        .iso_packets = {.count = n_packets, .packets = packets},
    };
}

/* Only the bytes of good packets came, without gaps; the offsets in the result are the request's
 * at some clients, and these positions at others. */
bool urbdrc_isoch_result(const WireUrbCompletion *m, uint32_t packet_size, unsigned n_packets,
                         bool in, RdpusbIsochPacket *packets, bool *failed)
{
    WireIsochTransferResult result;
    if (!wire_isoch_transfer_result_decode(&result, m->ts_urb_result.data, m->ts_urb_result.length))
        return false;
    *failed = result.iso_packets.count == 0;
    if (*failed)
        return true;
    if (result.iso_packets.count != n_packets)
        return false;

    uint32_t offset = 0;
    for (unsigned i = 0; i < n_packets; i++) {
        WireIsoPacket packet = wire_iso_packet(&result.iso_packets, i);
        RdpusbStatus status = urbdrc_status(WIRE_S_OK, packet.status);
        packets[i] = (RdpusbIsochPacket){.status = status, .offset = offset};
        if (status != RDPUSB_STATUS_SUCCESS)
            continue;
        if (packet.length > packet_size || (in && packet.length > m->output_buffer.length - offset))
            return false;
        packets[i].length = packet.length;
        offset += in ? packet.length : 0;
    }
    return true;
}
