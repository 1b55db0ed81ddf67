/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One bulk or interrupt transfer, from the guest's request to its answer, or one of those that a
 * stream, isochronous ones included, has at the client. Owned by its endpoint's queue until it is
 * answered; when it is answered while still at the client, it lives on as a zombie until the
 * completion.
 */
#pragma once

#include "device.h"
#include "request.h"

typedef enum {
    TRANSFER_BULK,
    TRANSFER_INTERRUPT_OUT,
    TRANSFER_STREAM,
} TransferKind;

typedef struct {
    Request request; /* first: the owner of the request at the client */
    TransferKind kind;
    Endpoint *endpoint;
    uint64_t id;        /* the guest's */
    uint32_t stream_id; /* repeated in the answer */
    bool in;
    bool zombie;
    bool complete; /* result is final, waits for those before it */
    bool returned; /* the result of the last round waits to be sorted in, see oneshot.c */
    DeviceStatus status;
    uint32_t length;     /* wanted, or to be sent */
    uint32_t done;       /* bytes of the rounds so far */
    uint32_t asked;      /* bytes of the round at the client */
    GBytes *out;         /* OUT payload */
    GByteArray *kept;    /* IN bytes that cannot be answered at once */
    const uint8_t *view; /* IN bytes of a completion that can */
    RdpusbStatus round_status;
    GByteArray *round;   /* IN bytes of a returned round */
    uint32_t round_size; /* OUT bytes of a returned round */

    /* Isochronous only */
    unsigned n_packets; /* of stream->size bytes each (IN), of length / n_packets (OUT) */
    unsigned overtaken; /* how many that were sent later are back */
    int64_t sent_at;
    RdpusbIsochPacket *packets; /* what came, as long as it cannot be answered */
} Transfer;

Transfer *transfer_new(Endpoint *endpoint, TransferKind kind, uint64_t id, uint32_t length);
void transfer_free(Transfer *transfer);
/* The IN bytes for the answer. *hold becomes the caller's, and is what keeps them alive; it stays
 * as it is when they are a view of a client message. */
const uint8_t *transfer_take_data(Transfer *transfer, GBytes **hold);
