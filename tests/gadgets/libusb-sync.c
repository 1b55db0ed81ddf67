/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The synchronous calls: a transfer of their own, and event handling until it is done. So callbacks
 * of other transfers may run in the thread of a synchronous call, as with libusb.
 */
#include "libusb-objects.h"

#include <stdlib.h>
#include <string.h>

static void LIBUSB_CALL set_completed(struct libusb_transfer *transfer)
{
    __atomic_store_n((int *) transfer->user_data, 1, __ATOMIC_RELEASE);
}

static int to_error(enum libusb_transfer_status status)
{
    switch (status) {
    case LIBUSB_TRANSFER_COMPLETED: return LIBUSB_SUCCESS;
    case LIBUSB_TRANSFER_TIMED_OUT: return LIBUSB_ERROR_TIMEOUT;
    case LIBUSB_TRANSFER_STALL: return LIBUSB_ERROR_PIPE;
    case LIBUSB_TRANSFER_NO_DEVICE: return LIBUSB_ERROR_NO_DEVICE;
    case LIBUSB_TRANSFER_OVERFLOW: return LIBUSB_ERROR_OVERFLOW;
    case LIBUSB_TRANSFER_ERROR:
    case LIBUSB_TRANSFER_CANCELLED: return LIBUSB_ERROR_IO;
    }
    return LIBUSB_ERROR_OTHER;
}

static bool inside_callback(libusb_device_handle *handle)
{
    bus_lock();
    struct libusb_context *context = handle->device->context;
    bool inside = context && context->handling && context->in_callbacks &&
                  pthread_equal(context->handler, pthread_self());
    bus_unlock();
    return inside;
}

/* Submits and waits. Takes nothing over; the transfer can be freed afterwards in any case. */
static int run(struct libusb_transfer *transfer)
{
    int completed = 0;
    transfer->user_data = &completed;
    transfer->callback = set_completed;
    if (inside_callback(transfer->dev_handle))
        return LIBUSB_ERROR_BUSY;
    int status = libusb_submit_transfer(transfer);
    if (status != LIBUSB_SUCCESS)
        return status;
    struct libusb_context *context = transfer->dev_handle->device->context;
    while (!__atomic_load_n(&completed, __ATOMIC_ACQUIRE)) {
        status = libusb_handle_events_completed(context, &completed);
        if (status < 0 && status != LIBUSB_ERROR_INTERRUPTED)
            libusb_cancel_transfer(transfer);
    }
    return to_error(transfer->status);
}

int LIBUSB_CALL libusb_control_transfer(libusb_device_handle *handle, uint8_t request_type,
                                        uint8_t request, uint16_t value, uint16_t index,
                                        unsigned char *data, uint16_t length, unsigned int timeout)
{
    struct libusb_transfer *transfer = libusb_alloc_transfer(0);
    unsigned char *buffer = malloc(LIBUSB_CONTROL_SETUP_SIZE + length);
    int status = LIBUSB_ERROR_NO_MEM;
    if (transfer && buffer) {
        libusb_fill_control_setup(buffer, request_type, request, value, index, length);
        if (!(request_type & LIBUSB_ENDPOINT_IN) && length > 0)
            memcpy(buffer + LIBUSB_CONTROL_SETUP_SIZE, data, length);
        libusb_fill_control_transfer(transfer, handle, buffer, NULL, NULL, timeout);
        status = run(transfer);
        if (status == LIBUSB_SUCCESS)
            status = transfer->actual_length;
        if (status > 0 && (request_type & LIBUSB_ENDPOINT_IN))
            memcpy(data, buffer + LIBUSB_CONTROL_SETUP_SIZE, (size_t) status);
    }
    libusb_free_transfer(transfer);
    free(buffer);
    return status;
}

static int bulk_or_interrupt(libusb_device_handle *handle, unsigned char endpoint, uint8_t type,
                             unsigned char *data, int length, int *actual, unsigned int timeout)
{
    struct libusb_transfer *transfer = libusb_alloc_transfer(0);
    if (!transfer)
        return LIBUSB_ERROR_NO_MEM;
    libusb_fill_bulk_transfer(transfer, handle, endpoint, data, length, NULL, NULL, timeout);
    transfer->type = type;
    int status = run(transfer);
    if (actual)
        *actual = transfer->actual_length;
    libusb_free_transfer(transfer);
    return status;
}

int LIBUSB_CALL libusb_bulk_transfer(libusb_device_handle *handle, unsigned char endpoint,
                                     unsigned char *data, int length, int *actual,
                                     unsigned int timeout)
{
    return bulk_or_interrupt(handle, endpoint, LIBUSB_TRANSFER_TYPE_BULK, data, length, actual,
                             timeout);
}

int LIBUSB_CALL libusb_interrupt_transfer(libusb_device_handle *handle, unsigned char endpoint,
                                          unsigned char *data, int length, int *actual,
                                          unsigned int timeout)
{
    return bulk_or_interrupt(handle, endpoint, LIBUSB_TRANSFER_TYPE_INTERRUPT, data, length, actual,
                             timeout);
}
