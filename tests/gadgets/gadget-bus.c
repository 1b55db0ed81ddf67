/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gadget-bus.h"

#include "libusb-objects.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t clock_changed;
static uint64_t clock_due = GADGET_NO_TIMEOUT; /* when the clock thread wakes by itself */
static struct gadget *gadgets[GADGET_MAX];
static unsigned gadget_count;
static uint8_t last_address;

uint64_t gadget_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t) now.tv_sec * 1000000 + (uint64_t) now.tv_nsec / 1000;
}

void bus_lock(void)
{
    pthread_mutex_lock(&lock);
}

void bus_unlock(void)
{
    pthread_mutex_unlock(&lock);
}

void bus_wait(pthread_cond_t *condition)
{
    pthread_cond_wait(condition, &lock);
}

void bus_condition_init(pthread_cond_t *condition)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(condition, &attributes);
    pthread_condattr_destroy(&attributes);
}

struct gadget *bus_gadget(unsigned port)
{
    return port < gadget_count ? gadgets[port] : NULL;
}

struct gadget *gadget_new(const struct gadget_ops *ops)
{
    struct gadget *gadget = calloc(1, sizeof *gadget);
    if (!gadget)
        return NULL;
    gadget->ops = ops;
    gadget->speed = ops->speed;
    gadget->max_packet_size0 = ops->max_packet_size0;
    gadget->bcd_usb = ops->bcd_usb;
    memcpy(gadget->configurations, ops->configurations, sizeof gadget->configurations);
    gadget->wake_at = GADGET_NO_TIMEOUT;
    return gadget;
}

bool bus_add(struct gadget *gadget)
{
    if (gadget_count == GADGET_MAX)
        return false;
    gadget->port = gadget_count;
    for (unsigned i = 0; i < GADGET_ENDPOINTS; i++)
        TAILQ_INIT(&gadget->endpoints[i].pending);
    gadgets[gadget_count++] = gadget;
    return true;
}

struct gadget_endpoint *bus_endpoint(struct gadget *gadget, uint8_t address)
{
    unsigned number = address & LIBUSB_ENDPOINT_ADDRESS_MASK;
    bool in = number != 0 && (address & LIBUSB_ENDPOINT_IN) != 0;
    return &gadget->endpoints[number + (in ? 16 : 0)];
}

/* --- Plugging ------------------------------------------------------------------------------------
 */

static bool address_taken(uint8_t address)
{
    for (unsigned i = 0; i < gadget_count; i++)
        if (gadgets[i]->plugged && gadgets[i]->address == address)
            return true;
    return false;
}

/* The root hub comes first and so has address 1, where FreeRDP looks for it. */
static uint8_t next_address(void)
{
    do {
        last_address = last_address % 127 + 1;
    } while (address_taken(last_address));
    return last_address;
}

void bus_plug(struct gadget *gadget)
{
    if (gadget->plugged)
        return;
    gadget->address = next_address();
    gadget->plugged = true;
    size_t length;
    const uint8_t *configuration = gadget_configuration(gadget, 0, &length);
    gadget_set_configuration(gadget, configuration[5]);
    for (uint8_t i = 0; i < GADGET_MAX_INTERFACES; i++) {
        gadget->claimed_by[i] = NULL;
        gadget->kernel_driver[i] = gadget->ops->kernel_driver && gadget_has_interface(gadget, i);
    }
    devices_arrived(gadget);
}

void bus_complete_all(struct gadget_endpoint *endpoint, enum libusb_transfer_status status)
{
    struct transfer *transfer;
    while ((transfer = TAILQ_FIRST(&endpoint->pending)))
        bus_complete(transfer, status);
}

void bus_unplug(struct gadget *gadget)
{
    if (!gadget->plugged)
        return;
    gadget->plugged = false;
    gadget->wake_at = GADGET_NO_TIMEOUT;
    for (unsigned i = 0; i < GADGET_ENDPOINTS; i++)
        bus_complete_all(&gadget->endpoints[i], LIBUSB_TRANSFER_NO_DEVICE);
    memset(gadget->claimed_by, 0, sizeof gadget->claimed_by);
    devices_left(gadget);
}

/* The operating system restores the configuration after a reset, and the alternate settings with
 * it. */
void bus_reset(struct gadget *gadget)
{
    for (unsigned i = 0; i < GADGET_ENDPOINTS; i++)
        bus_complete_all(&gadget->endpoints[i], LIBUSB_TRANSFER_CANCELLED);
    uint8_t alternate[GADGET_MAX_INTERFACES];
    memcpy(alternate, gadget->alternate, sizeof alternate);
    gadget_set_configuration(gadget, gadget->configuration);
    for (uint8_t i = 0; i < GADGET_MAX_INTERFACES; i++)
        if (alternate[i] != 0)
            gadget_set_alternate(gadget, i, alternate[i]);
}

/* --- Moving data ---------------------------------------------------------------------------------
 */

void bus_wake_at(uint64_t due)
{
    if (due < clock_due) {
        clock_due = due;
        pthread_cond_signal(&clock_changed);
    }
}

unsigned bus_pending(const struct gadget_endpoint *endpoint)
{
    unsigned count = 0;
    struct transfer *transfer;
    TAILQ_FOREACH(transfer, &endpoint->pending, link)
    count++;
    return count;
}

static void count(struct gadget_endpoint *endpoint, enum libusb_transfer_status status,
                  size_t bytes)
{
    endpoint->transfers++;
    endpoint->bytes += bytes;
    endpoint->stalls += status == LIBUSB_TRANSFER_STALL;
    endpoint->cancelled += status == LIBUSB_TRANSFER_CANCELLED;
    endpoint->timed_out += status == LIBUSB_TRANSFER_TIMED_OUT;
}

void bus_complete(struct transfer *transfer, enum libusb_transfer_status status)
{
    struct libusb_context *context = transfer->handle->device->context;
    if (transfer->public.type == LIBUSB_TRANSFER_TYPE_ISOCHRONOUS)
        iso_settle(transfer->handle->device->gadget, transfer->endpoint, transfer);
    bool short_is_error = (transfer->public.flags & LIBUSB_TRANSFER_SHORT_NOT_OK) != 0;
    size_t wanted = (size_t) transfer->public.length;
    if (transfer->public.type == LIBUSB_TRANSFER_TYPE_CONTROL)
        wanted -= LIBUSB_CONTROL_SETUP_SIZE;
    if (transfer->public.type != LIBUSB_TRANSFER_TYPE_ISOCHRONOUS &&
        status == LIBUSB_TRANSFER_COMPLETED && short_is_error && transfer->moved != wanted)
        status = LIBUSB_TRANSFER_ERROR;
    count(transfer->endpoint, status, transfer->moved);
    TAILQ_REMOVE(&transfer->endpoint->pending, transfer, link);
    transfer->state = TRANSFER_COMPLETED;
    transfer->public.status = status;
    if (transfer->public.type != LIBUSB_TRANSFER_TYPE_ISOCHRONOUS)
        transfer->public.actual_length = (int) transfer->moved;
    TAILQ_INSERT_TAIL(&context->completed, transfer, link);
    context->completed_count++;
    context_signal(context);
}

static void complete_stalled(struct gadget_endpoint *endpoint, struct transfer *transfer)
{
    endpoint->halted = endpoint->address != 0;
    bus_complete(transfer, LIBUSB_TRANSFER_STALL);
}

static bool serve_control(struct gadget *gadget, struct gadget_endpoint *endpoint,
                          struct transfer *transfer)
{
    struct libusb_control_setup *setup = libusb_control_transfer_get_setup(&transfer->public);
    uint8_t *data = libusb_control_transfer_get_data(&transfer->public);
    struct libusb_control_setup request = {
        .bmRequestType = setup->bmRequestType,
        .bRequest = setup->bRequest,
        .wValue = libusb_le16_to_cpu(setup->wValue),
        .wIndex = libusb_le16_to_cpu(setup->wIndex),
        .wLength = libusb_le16_to_cpu(setup->wLength),
    };
    size_t length = request.wLength;
    gadget->asked_at = transfer->head_since;
    switch (gadget_request(gadget, &request, data, &length)) {
    case GADGET_NAK: return false;
    case GADGET_STALL: complete_stalled(endpoint, transfer); return true;
    case GADGET_DONE:
        transfer->moved = length;
        bus_complete(transfer, LIBUSB_TRANSFER_COMPLETED);
        return true;
    }
    abort();
}

/* Gets packets into the rest of the transfer. The last piece, when the client's buffer is no
 * multiple of the packet size, goes through a packet of its own: a device that sends more than fits
 * is a babble. */
static enum gadget_reply pull(struct gadget *gadget, struct gadget_endpoint *endpoint,
                              struct transfer *transfer, size_t limit, bool cut, size_t *length)
{
    size_t room = limit - transfer->moved;
    uint8_t *to = transfer->public.buffer + transfer->moved;
    uint8_t packet[1024];
    if (cut)
        return gadget->ops->in(gadget, endpoint->address, to, room, length);
    if (room >= endpoint->packet_size)
        return gadget->ops->in(gadget, endpoint->address, to, room - room % endpoint->packet_size,
                               length);
    enum gadget_reply reply =
        gadget->ops->in(gadget, endpoint->address, packet, endpoint->packet_size, length);
    if (reply == GADGET_DONE && *length <= room)
        memcpy(to, packet, *length);
    return reply;
}

static bool serve_in(struct gadget *gadget, struct gadget_endpoint *endpoint,
                     struct transfer *transfer)
{
    size_t limit = (size_t) transfer->public.length;
    bool cut = endpoint->short_count != 0 && endpoint->short_length <= limit &&
               endpoint->short_length >= transfer->moved;
    if (cut)
        limit = endpoint->short_length;
    bool progress = false, ended = limit == transfer->moved;
    while (!ended) {
        size_t length = 0;
        switch (pull(gadget, endpoint, transfer, limit, cut, &length)) {
        case GADGET_NAK: return progress;
        case GADGET_STALL: complete_stalled(endpoint, transfer); return true;
        case GADGET_DONE: break;
        }
        if (length > limit - transfer->moved) {
            bus_complete(transfer, LIBUSB_TRANSFER_OVERFLOW);
            return true;
        }
        progress = true;
        transfer->moved += length;
        ended = transfer->moved == limit || length == 0 || length % endpoint->packet_size != 0;
    }
    if (cut)
        endpoint->short_count--;
    bus_complete(transfer, LIBUSB_TRANSFER_COMPLETED);
    return true;
}

static bool serve_out(struct gadget *gadget, struct gadget_endpoint *endpoint,
                      struct transfer *transfer)
{
    size_t total = (size_t) transfer->public.length;
    bool progress = false;
    while (transfer->moved < total || transfer->zero_packet_due) {
        size_t taken = 0, rest = total - transfer->moved;
        switch (gadget->ops->out(gadget, endpoint->address,
                                 transfer->public.buffer + transfer->moved, rest, &taken)) {
        case GADGET_NAK: return progress;
        case GADGET_STALL: complete_stalled(endpoint, transfer); return true;
        case GADGET_DONE: break;
        }
        if (rest == 0)
            transfer->zero_packet_due = false;
        transfer->moved += taken;
        progress = true;
    }
    bus_complete(transfer, LIBUSB_TRANSFER_COMPLETED);
    return true;
}

static bool delayed(struct gadget_endpoint *endpoint, struct transfer *transfer)
{
    if (transfer->head_since == 0)
        transfer->head_since = gadget_now();
    uint64_t due = transfer->head_since + endpoint->delay;
    if (endpoint->delay == 0 || due <= gadget_now())
        return false;
    bus_wake_at(due);
    return true;
}

/* Whether the transfer at the head moved on. */
static bool serve(struct gadget *gadget, struct gadget_endpoint *endpoint,
                  struct transfer *transfer)
{
    if (endpoint->type == LIBUSB_TRANSFER_TYPE_ISOCHRONOUS)
        return iso_serve(gadget, endpoint, transfer);
    if (delayed(endpoint, transfer) || endpoint->held)
        return false;
    if (endpoint->fail_count != 0) {
        endpoint->fail_count--;
        bus_complete(transfer, endpoint->fail_status);
        return true;
    }
    if (endpoint->halted) {
        endpoint->halted = endpoint->address != 0;
        bus_complete(transfer, LIBUSB_TRANSFER_STALL);
        return true;
    }
    if (endpoint->address == 0)
        return serve_control(gadget, endpoint, transfer);
    if (endpoint->address & LIBUSB_ENDPOINT_IN)
        return serve_in(gadget, endpoint, transfer);
    return serve_out(gadget, endpoint, transfer);
}

static struct transfer *head(const struct gadget_endpoint *endpoint)
{
    struct transfer *transfer = TAILQ_FIRST(&endpoint->pending);
    while (transfer && transfer->silent)
        transfer = TAILQ_NEXT(transfer, link);
    return transfer;
}

void bus_run(struct gadget *gadget)
{
    /* A packet that one endpoint takes may let another one answer, so until nothing moves any more.
     */
    bool progress = true;
    while (progress && gadget->plugged) {
        progress = false;
        for (unsigned i = 0; i < GADGET_ENDPOINTS; i++) {
            struct gadget_endpoint *endpoint = &gadget->endpoints[i];
            struct transfer *transfer = head(endpoint);
            if (transfer && serve(gadget, endpoint, transfer))
                progress = true;
        }
    }
    bus_wake_at(gadget->wake_at);
}

void bus_queue(struct gadget *gadget, struct gadget_endpoint *endpoint, struct transfer *transfer)
{
    transfer->endpoint = endpoint;
    transfer->state = TRANSFER_PENDING;
    if (endpoint->silent_count > 0) {
        endpoint->silent_count--;
        transfer->silent = true;
    }
    if (transfer->public.type == LIBUSB_TRANSFER_TYPE_ISOCHRONOUS)
        iso_queue(endpoint, transfer);
    TAILQ_INSERT_TAIL(&endpoint->pending, transfer, link);
    bus_wake_at(transfer->deadline);
    bus_run(gadget);
}

/* --- The clock -----------------------------------------------------------------------------------
 */

static uint64_t earliest(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static void expire(struct gadget *gadget, uint64_t now)
{
    for (unsigned i = 0; i < GADGET_ENDPOINTS; i++) {
        struct transfer *next;
        for (struct transfer *t = TAILQ_FIRST(&gadget->endpoints[i].pending); t; t = next) {
            next = TAILQ_NEXT(t, link);
            if (t->deadline <= now)
                bus_complete(t, LIBUSB_TRANSFER_TIMED_OUT);
            else
                clock_due = earliest(clock_due, t->deadline);
        }
    }
}

static void *clock_thread(void *unused)
{
    bus_lock();
    while (true) {
        uint64_t now = gadget_now();
        if (clock_due > now) {
            struct timespec until = {.tv_sec = (time_t) (clock_due / 1000000),
                                     .tv_nsec = (long) (clock_due % 1000000 * 1000)};
            if (clock_due == GADGET_NO_TIMEOUT)
                pthread_cond_wait(&clock_changed, &lock);
            else
                pthread_cond_timedwait(&clock_changed, &lock, &until);
            continue;
        }
        clock_due = GADGET_NO_TIMEOUT;
        for (unsigned i = 0; i < gadget_count; i++) {
            if (gadgets[i]->wake_at <= now)
                gadgets[i]->wake_at = GADGET_NO_TIMEOUT;
            expire(gadgets[i], now);
            bus_run(gadgets[i]);
        }
    }
    return NULL;
}

/* --- Start ---------------------------------------------------------------------------------------
 */

static bool started;

/* The program's signals stay with its own threads. */
bool bus_start_thread(void *(*function)(void *) )
{
    pthread_t thread;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool made = pthread_create(&thread, NULL, function, NULL) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (made)
        pthread_detach(thread);
    else
        fprintf(stderr, "gadgets: no thread can be started\n");
    return made;
}

static bool start(void)
{
    const char *devices = getenv("RDPUSB_GADGETS"), *control = getenv("RDPUSB_GADGETS_CONTROL");
    struct gadget *hub = gadget_new(&hub_gadget);
    bus_condition_init(&clock_changed);
    if (!bus_start_thread(clock_thread) || !hub || !bus_add(hub))
        return false;
    bus_plug(hub);
    if (!gadget_options_load(devices ? devices : ""))
        return false;
    return !control || gadget_control_start(control);
}

bool bus_start(void)
{
    static bool failed;
    bus_lock();
    if (!started && !failed)
        started = start(), failed = !started;
    bool result = started;
    bus_unlock();
    return result;
}
