/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Transfers: submitted to the bus, which may serve them at once, but completed towards the program
 * only in event handling.
 */
#include "libusb-objects.h"

#include <stdlib.h>

struct libusb_transfer *LIBUSB_CALL libusb_alloc_transfer(int iso_packets)
{
    if (iso_packets < 0)
        return NULL;
    struct transfer *transfer = calloc(
        1, sizeof *transfer + (size_t) iso_packets * sizeof(struct libusb_iso_packet_descriptor));
    if (!transfer)
        return NULL;
    transfer->public.num_iso_packets = iso_packets;
    return &transfer->public;
}

/* A program may not free or close what is in flight, yet FreeRDP does it when a device leaves at
 * the wrong moment: it loses the callback, as with libusb, but corrupts nothing here. */
void transfer_drop(struct transfer *transfer)
{
    if (transfer->state == TRANSFER_PENDING) {
        TAILQ_REMOVE(&transfer->endpoint->pending, transfer, link);
    } else if (transfer->state == TRANSFER_COMPLETED) {
        struct libusb_context *context = transfer->handle->device->context;
        TAILQ_REMOVE(&context->completed, transfer, link);
        context->completed_count--;
        context_signal(context);
    }
    transfer->state = TRANSFER_IDLE;
    transfer->handle = NULL;
}

void transfers_drop_handle(struct libusb_device_handle *handle)
{
    struct gadget *gadget = handle->device->gadget;
    struct libusb_context *context = handle->device->context;
    struct transfer *t, *next;
    for (unsigned i = 0; i < GADGET_ENDPOINTS; i++)
        for (t = TAILQ_FIRST(&gadget->endpoints[i].pending); t; t = next) {
            next = TAILQ_NEXT(t, link);
            if (t->handle == handle)
                transfer_drop(t);
        }
    for (t = context ? TAILQ_FIRST(&context->completed) : NULL; t; t = next) {
        next = TAILQ_NEXT(t, link);
        if (t->handle == handle)
            transfer_drop(t);
    }
}

void LIBUSB_CALL libusb_free_transfer(struct libusb_transfer *public)
{
    if (!public)
        return;
    struct transfer *transfer = transfer_of(public);
    bus_lock();
    transfer_drop(transfer);
    bus_unlock();
    if (public->flags & LIBUSB_TRANSFER_FREE_BUFFER)
        free(public->buffer);
    free(transfer);
}

/* --- Submission ----------------------------------------------------------------------------------
 */

static int check_control(const struct libusb_transfer *public)
{
    if (public->endpoint & LIBUSB_ENDPOINT_ADDRESS_MASK)
        return LIBUSB_ERROR_NOT_SUPPORTED;
    if (!public->buffer || public->length < (int) LIBUSB_CONTROL_SETUP_SIZE)
        return LIBUSB_ERROR_INVALID_PARAM;
    const struct libusb_control_setup *setup = (const void *) public->buffer;
    int length = libusb_le16_to_cpu(setup->wLength);
    if (length > public->length - (int) LIBUSB_CONTROL_SETUP_SIZE || length > GADGET_CONTROL_MAX)
        return LIBUSB_ERROR_INVALID_PARAM;
    return LIBUSB_SUCCESS;
}

/* usbfs claims a free interface by itself for a program that forgot to; it finds no endpoint that
 * is not in the active setting, and both failures reach the program as an I/O error. */
static int check_endpoint(struct libusb_device_handle *handle,
                          const struct gadget_endpoint *endpoint)
{
    struct gadget *gadget = handle->device->gadget;
    if (!endpoint->present)
        return LIBUSB_ERROR_IO;
    struct libusb_device_handle **owner = &gadget->claimed_by[endpoint->interface];
    if (gadget->kernel_driver[endpoint->interface] || (*owner && *owner != handle))
        return LIBUSB_ERROR_IO;
    *owner = handle;
    return LIBUSB_SUCCESS;
}

/* The library checks the sum, usbfs each packet. */
static int check_iso(const struct libusb_transfer *public, const struct gadget_endpoint *endpoint)
{
    uint64_t total = 0;
    bool fits = true;
    for (int i = 0; i < public->num_iso_packets; i++) {
        total += public->iso_packet_desc[i].length;
        fits = fits && public->iso_packet_desc[i].length <= endpoint->interval_bytes;
    }
    if (public->num_iso_packets < 1 || total > (uint64_t) public->length)
        return LIBUSB_ERROR_INVALID_PARAM;
    if (endpoint->type != LIBUSB_TRANSFER_TYPE_ISOCHRONOUS || !fits)
        return LIBUSB_ERROR_IO;
    return check_endpoint(public->dev_handle, endpoint);
}

static int check(const struct transfer *transfer, struct gadget_endpoint *endpoint)
{
    const struct libusb_transfer *public = &transfer->public;
    if (transfer->state != TRANSFER_IDLE)
        return LIBUSB_ERROR_BUSY;
    if (!public->dev_handle->device->attached)
        return LIBUSB_ERROR_NO_DEVICE;
    if (public->length < 0 || (!public->buffer && public->length > 0))
        return LIBUSB_ERROR_INVALID_PARAM;
    switch (public->type) {
    case LIBUSB_TRANSFER_TYPE_CONTROL: return check_control(public);
    case LIBUSB_TRANSFER_TYPE_BULK:
    case LIBUSB_TRANSFER_TYPE_INTERRUPT:
        if ((public->endpoint & LIBUSB_ENDPOINT_ADDRESS_MASK) == 0 ||
            endpoint->type == LIBUSB_TRANSFER_TYPE_ISOCHRONOUS)
            return LIBUSB_ERROR_IO;
        return check_endpoint(public->dev_handle, endpoint);
    case LIBUSB_TRANSFER_TYPE_ISOCHRONOUS: return check_iso(public, endpoint);
    case LIBUSB_TRANSFER_TYPE_BULK_STREAM: return LIBUSB_ERROR_NOT_SUPPORTED;
    default: return LIBUSB_ERROR_INVALID_PARAM;
    }
}

static int submit_locked(struct transfer *transfer)
{
    struct libusb_transfer *public = &transfer->public;
    struct gadget *gadget = public->dev_handle->device->gadget;
    struct gadget_endpoint *endpoint = bus_endpoint(gadget, public->endpoint);
    int status = check(transfer, endpoint);
    if (status != LIBUSB_SUCCESS)
        return status;
    if (endpoint->refuse_count > 0) {
        endpoint->refuse_count--;
        return LIBUSB_ERROR_NO_MEM; /* what Linux says above its limit of usbfs memory */
    }
    transfer->handle = public->dev_handle;
    transfer->cancelled = false;
    transfer->silent = false;
    transfer->moved = 0;
    transfer->head_since = 0;
    transfer->deadline =
        public->timeout ? gadget_now() + public->timeout * GADGET_US_PER_MS : GADGET_NO_TIMEOUT;
    bool add_zero = (public->flags & LIBUSB_TRANSFER_ADD_ZERO_PACKET) != 0 &&
                    endpoint->packet_size != 0 && public->length % endpoint->packet_size == 0;
    transfer->zero_packet_due = public->length == 0 || add_zero;
    public->actual_length = 0;
    bus_queue(gadget, endpoint, transfer);
    return LIBUSB_SUCCESS;
}

int LIBUSB_CALL libusb_submit_transfer(struct libusb_transfer *public)
{
    if (!public->dev_handle)
        return LIBUSB_ERROR_NO_DEVICE;
    bus_lock();
    int status = submit_locked(transfer_of(public));
    bus_unlock();
    return status;
}

/* --- Cancellation --------------------------------------------------------------------------------
 */

/* A transfer that is done on the bus but not yet handled is reported as cancelled with its data,
 * because libusb on Linux does so: it remembers the wish, and reaps the finished URB later. */
static int cancel_locked(struct transfer *transfer)
{
    if (transfer->state == TRANSFER_IDLE || transfer->cancelled)
        return LIBUSB_ERROR_NOT_FOUND;
    if (transfer->public.status == LIBUSB_TRANSFER_NO_DEVICE &&
        transfer->state == TRANSFER_COMPLETED)
        return LIBUSB_ERROR_NO_DEVICE;
    transfer->cancelled = true;
    if (transfer->state == TRANSFER_COMPLETED) {
        transfer->public.status = LIBUSB_TRANSFER_CANCELLED;
        return LIBUSB_SUCCESS;
    }
    struct gadget *gadget = transfer->handle->device->gadget;
    bus_complete(transfer, LIBUSB_TRANSFER_CANCELLED);
    bus_run(gadget);
    return LIBUSB_SUCCESS;
}

int LIBUSB_CALL libusb_cancel_transfer(struct libusb_transfer *public)
{
    bus_lock();
    int status = cancel_locked(transfer_of(public));
    bus_unlock();
    return status;
}

void LIBUSB_CALL libusb_transfer_set_stream_id(struct libusb_transfer *public, uint32_t stream_id)
{
    transfer_of(public)->stream_id = stream_id;
}

uint32_t LIBUSB_CALL libusb_transfer_get_stream_id(struct libusb_transfer *public)
{
    return transfer_of(public)->stream_id;
}

/* --- Completion ----------------------------------------------------------------------------------
 */

static void deliver(struct libusb_context *context, struct transfer *transfer)
{
    struct libusb_transfer *public = &transfer->public;
    TAILQ_REMOVE(&context->completed, transfer, link);
    context->completed_count--;
    transfer->state = TRANSFER_IDLE;
    transfer->handle = NULL;
    bool free_it = (public->flags & LIBUSB_TRANSFER_FREE_TRANSFER) != 0;
    bus_unlock();
    if (public->callback)
    public->callback(public); /* which may submit it again, or free it */
    if (free_it)
        libusb_free_transfer(public);
    bus_lock();
}

/* Only what is completed now: a callback that submits again must not keep the caller for ever. */
void transfers_deliver(struct libusb_context *context)
{
    for (unsigned count = context->completed_count; count > 0; count--) {
        struct transfer *transfer = TAILQ_FIRST(&context->completed);
        if (!transfer)
            return;
        deliver(context, transfer);
    }
}
