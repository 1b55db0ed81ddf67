/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "incoming.h"

GQuark rdpusb_urbdrc_error_quark(void)
{
    return g_quark_from_static_string("rdpusb-urbdrc-error");
}

static bool has_header(const uint8_t *data, size_t size)
{
    WireCursor cursor = wire_reader(data, size);
    WireHeader header;
    wire_header(&cursor, &header);
    return !cursor.failed;
}

bool urbdrc_incoming_read(WireMessage *m, const uint8_t *data, size_t size,
                          uint32_t request_completion, const char *state, GError **error)
{
    WireMessageKind kind = wire_kind_from_client(data, size, request_completion);
    if (kind == WIRE_MESSAGE_UNKNOWN) {
        m->kind = kind;
        if (has_header(data, size))
            return true;
        g_set_error(error, RDPUSB_URBDRC_ERROR, RDPUSB_URBDRC_ERROR_MALFORMED,
                    "a message of %zu bytes in state \"%s\" has no valid header", size, state);
        return false;
    }
    if (wire_message_read(m, kind, data, size))
        return true;
    g_set_error(error, RDPUSB_URBDRC_ERROR, RDPUSB_URBDRC_ERROR_MALFORMED,
                "%s of %zu bytes in state \"%s\" is malformed", wire_message_kind_to_string(kind),
                size, state);
    return false;
}
