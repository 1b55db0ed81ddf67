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
/* A gadget as the table of its kind says, or NULL; it is nobody's yet. */
struct gadget *gadget_new(const struct gadget_ops *ops);
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

/* Has the clock thread serve the bus at this time. */
void bus_wake_at(uint64_t due);

/* gadget-iso.c */
void iso_open(struct gadget *gadget, struct gadget_endpoint *endpoint, const uint8_t *descriptor);
void iso_queue(struct gadget_endpoint *endpoint, struct transfer *transfer);
/* Ends the transfer at the head when its time is over: whether it did. */
bool iso_serve(struct gadget *gadget, struct gadget_endpoint *endpoint, struct transfer *transfer);
/* Moves the packets whose time has passed, before a transfer is ended for another reason. */
void iso_settle(struct gadget *gadget, struct gadget_endpoint *endpoint, struct transfer *transfer);

/* gadget-requests.c: chapter 9 */
const uint8_t *gadget_configuration(const struct gadget *gadget, unsigned index, size_t *length);
bool gadget_set_configuration(struct gadget *gadget, uint8_t value);
bool gadget_set_alternate(struct gadget *gadget, uint8_t interface, uint8_t alternate);
bool gadget_has_interface(const struct gadget *gadget, uint8_t interface);
enum gadget_reply gadget_request(struct gadget *gadget, const struct libusb_control_setup *setup,
                                 uint8_t *data, size_t *length);
