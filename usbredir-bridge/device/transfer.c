/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "transfer.h"

Transfer *transfer_new(Endpoint *endpoint, TransferKind kind, uint64_t id, uint32_t length)
{
    Transfer *transfer = g_new0(Transfer, 1);
    transfer->request.owner = REQUEST_TRANSFER;
    transfer->endpoint = endpoint;
    transfer->kind = kind;
    transfer->id = id;
    transfer->length = length;
    transfer->in = endpoint->address & 0x80;
    return transfer;
}

void transfer_free(Transfer *transfer)
{
    if (!transfer)
        return;
    g_clear_pointer(&transfer->out, g_bytes_unref);
    g_clear_pointer(&transfer->kept, g_byte_array_unref);
    g_clear_pointer(&transfer->round, g_byte_array_unref);
    g_free(transfer->packets);
    g_free(transfer);
}

const uint8_t *transfer_take_data(Transfer *transfer, GBytes **hold)
{
    if (!transfer->kept)
        return transfer->view;
    *hold = g_byte_array_free_to_bytes(g_steal_pointer(&transfer->kept));
    return g_bytes_get_data(*hold, NULL);
}
