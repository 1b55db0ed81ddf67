/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The emulated bus: the gadgets, one lock for everything, and the clock thread, which serves what
 * is due later (transfer timeouts, delayed endpoints, typing). What stands below bus_unlock() is
 * called with the lock held.
 */
#pragma once

#include "gadget.h"

#include <pthread.h>

#define BUS_NUMBER 1

/* Reads the environment and starts the threads, once in the life of the process. */
bool bus_start(void);
/* For the life of the process. */
bool bus_start_thread(void *(*function)(void *) );
void bus_lock(void);
void bus_unlock(void);
void bus_condition_init(pthread_cond_t *condition); /* on the monotonic clock */
void bus_wait(pthread_cond_t *condition);           /* releases the lock meanwhile */

struct gadget *bus_gadget(unsigned port);
/* Takes the gadget over. False when the bus is full. */
bool bus_add(struct gadget *gadget);

void bus_plug(struct gadget *gadget);
/* Every transfer in flight completes with LIBUSB_TRANSFER_NO_DEVICE. */
void bus_unplug(struct gadget *gadget);
void bus_reset(struct gadget *gadget);

struct gadget_endpoint *bus_endpoint(struct gadget *gadget, uint8_t address);
/* Serves what can be served now: after a submit, and after anything that may have ended a NAK. */
void bus_run(struct gadget *gadget);
void bus_queue(struct gadget *gadget, struct gadget_endpoint *endpoint, struct transfer *transfer);
/* Ends a pending transfer; the callback runs in the next event handling. */
void bus_complete(struct transfer *transfer, enum libusb_transfer_status status);
void bus_complete_all(struct gadget_endpoint *endpoint, enum libusb_transfer_status status);
unsigned bus_pending(const struct gadget_endpoint *endpoint);

/* gadget-requests.c: chapter 9 */
const uint8_t *gadget_configuration(const struct gadget *gadget, unsigned index, size_t *length);
bool gadget_set_configuration(struct gadget *gadget, uint8_t value);
bool gadget_set_alternate(struct gadget *gadget, uint8_t interface, uint8_t alternate);
bool gadget_has_interface(const struct gadget *gadget, uint8_t interface);
enum gadget_reply gadget_request(struct gadget *gadget, const struct libusb_control_setup *setup,
                                 uint8_t *data, size_t *length);
