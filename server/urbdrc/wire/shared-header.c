/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "shared-header.h"

enum { MASK_SHIFT = 30 };

const char *wire_hresult_to_string(uint32_t hresult)
{
    switch (hresult) {
    case WIRE_S_OK: return "S_OK";
    case WIRE_E_DEVICE_NOT_FUNCTIONING: return "device not functioning";
    case WIRE_E_INVALID_PARAMETER: return "invalid parameter";
    case WIRE_E_INSUFFICIENT_BUFFER: return "insufficient buffer";
    case WIRE_E_OPERATION_ABORTED: return "operation aborted";
    case WIRE_E_NOT_FOUND: return "not found";
    default: return "unknown HRESULT";
    }
}

void wire_header(WireCursor *c, WireHeader *m)
{
    uint32_t word = (m->interface_id & WIRE_INTERFACE_MASK) | (uint32_t) m->mask << MASK_SHIFT;
    wire_u32(c, &word);
    if (wire_is_reading(c)) {
        m->interface_id = word & WIRE_INTERFACE_MASK;
        m->mask = (WireMask) (word >> MASK_SHIFT);
    }
    if (m->mask > WIRE_STREAM_ID_STUB)
        wire_fail(c);
    wire_u32(c, &m->message_id);
    if (m->mask != WIRE_STREAM_ID_STUB)
        wire_u32(c, &m->function_id);
}

void wire_header_of(WireCursor *c, WireMask mask, uint32_t *interface_id, uint32_t *message_id,
                    uint32_t function_id)
{
    WireHeader header = {*interface_id, mask, *message_id, function_id};
    wire_header(c, &header);
    if (!wire_is_reading(c))
        return;
    if (header.mask != mask || header.function_id != function_id)
        wire_fail(c);
    *interface_id = header.interface_id;
    *message_id = header.message_id;
}
