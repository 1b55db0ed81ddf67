/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "outbox.h"

void urbdrc_outbox_init(UrbdrcOutbox *outbox)
{
    *outbox = (UrbdrcOutbox){0};
    g_queue_init(&outbox->messages);
}

void urbdrc_outbox_clear(UrbdrcOutbox *outbox)
{
    while (outbox->messages.head)
        urbdrc_outbox_drop(outbox, outbox->messages.head->data);
}

UrbdrcOutgoing *urbdrc_outbox_push(UrbdrcOutbox *outbox, const WireMessage *message, void *request)
{
    size_t size = wire_message_size(message);
    if (size == 0)
        return NULL;
    uint8_t *data = g_malloc(size);
    wire_message_encode(message, data, size);

    UrbdrcOutgoing *outgoing = g_new(UrbdrcOutgoing, 1);
    *outgoing = (UrbdrcOutgoing){
        .link = {.data = outgoing},
        .bytes = g_bytes_new_take(data, size),
        .request = request,
    };
    g_queue_push_tail_link(&outbox->messages, &outgoing->link);
    outbox->bytes += size;
    return outgoing;
}

static GBytes *take(UrbdrcOutbox *outbox, UrbdrcOutgoing *outgoing)
{
    GBytes *bytes = outgoing->bytes;
    g_queue_unlink(&outbox->messages, &outgoing->link);
    outbox->bytes -= g_bytes_get_size(bytes);
    g_free(outgoing);
    return bytes;
}

void urbdrc_outbox_drop(UrbdrcOutbox *outbox, UrbdrcOutgoing *outgoing)
{
    g_bytes_unref(take(outbox, outgoing));
}

GBytes *urbdrc_outbox_pop(UrbdrcOutbox *outbox, void **request)
{
    if (!outbox->messages.head)
        return NULL;
    UrbdrcOutgoing *outgoing = outbox->messages.head->data;
    if (request)
        *request = outgoing->request;
    return take(outbox, outgoing);
}
