/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Event handling: callbacks run here and nowhere else. One thread at a time holds the event lock of
 * a context; the others wait for it or, with the waiters' lock, for what it does.
 */
#include "libusb-objects.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>

#define DEFAULT_TIMEOUT_S 60

/* --- The event lock ------------------------------------------------------------------------------
 */

static bool try_take(struct libusb_context *context)
{
    if (context->handling)
        return false;
    context->handling = true;
    context->handler = pthread_self();
    return true;
}

int LIBUSB_CALL libusb_try_lock_events(libusb_context *context)
{
    bus_lock();
    bool taken = try_take(context_or_default(context));
    bus_unlock();
    return taken ? 0 : 1;
}

void LIBUSB_CALL libusb_lock_events(libusb_context *context)
{
    bus_lock();
    context = context_or_default(context);
    while (!try_take(context))
        bus_wait(&context->handler_left);
    bus_unlock();
}

static void wake_waiters(struct libusb_context *context)
{
    pthread_mutex_lock(&context->waiters_lock);
    pthread_cond_broadcast(&context->waiters);
    pthread_mutex_unlock(&context->waiters_lock);
}

void LIBUSB_CALL libusb_unlock_events(libusb_context *context)
{
    bus_lock();
    context = context_or_default(context);
    context->handling = false;
    pthread_cond_signal(&context->handler_left);
    bus_unlock();
    wake_waiters(context);
}

int LIBUSB_CALL libusb_event_handling_ok(libusb_context *context)
{
    return 1; /* closing a device needs no help from the handler here */
}

int LIBUSB_CALL libusb_event_handler_active(libusb_context *context)
{
    bus_lock();
    int active = context_or_default(context)->handling;
    bus_unlock();
    return active;
}

void LIBUSB_CALL libusb_interrupt_event_handler(libusb_context *context)
{
    bus_lock();
    context = context_or_default(context);
    if (context) {
        context->interrupted = true;
        context_signal(context);
    }
    bus_unlock();
}

void LIBUSB_CALL libusb_lock_event_waiters(libusb_context *context)
{
    bus_lock();
    context = context_or_default(context);
    bus_unlock();
    pthread_mutex_lock(&context->waiters_lock);
}

void LIBUSB_CALL libusb_unlock_event_waiters(libusb_context *context)
{
    bus_lock();
    context = context_or_default(context);
    bus_unlock();
    pthread_mutex_unlock(&context->waiters_lock);
}

static uint64_t deadline_after(const struct timeval *timeout)
{
    return gadget_now() + (uint64_t) timeout->tv_sec * 1000000 + (uint64_t) timeout->tv_usec;
}

int LIBUSB_CALL libusb_wait_for_event(libusb_context *context, struct timeval *timeout)
{
    bus_lock();
    context = context_or_default(context);
    bus_unlock();
    if (!timeout) {
        pthread_cond_wait(&context->waiters, &context->waiters_lock);
        return 0;
    }
    uint64_t due = deadline_after(timeout);
    struct timespec until = {.tv_sec = (time_t) (due / 1000000),
                             .tv_nsec = (long) (due % 1000000 * 1000)};
    return pthread_cond_timedwait(&context->waiters, &context->waiters_lock, &until) == ETIMEDOUT;
}

/* --- Handling ------------------------------------------------------------------------------------
 */

static int wait_readable(struct libusb_context *context, const struct timeval *timeout)
{
    struct pollfd poll_fd = {.fd = context->event_fd, .events = POLLIN};
    struct timespec limit = {.tv_sec = timeout->tv_sec, .tv_nsec = timeout->tv_usec * 1000};
    if (ppoll(&poll_fd, 1, &limit, NULL) >= 0)
        return LIBUSB_SUCCESS;
    return errno == EINTR ? LIBUSB_ERROR_INTERRUPTED : LIBUSB_ERROR_IO;
}

/* Transfers before hotplug: on Linux the URBs of a device that left come back before udev tells of
 * it. */
static void deliver_all(struct libusb_context *context)
{
    bus_lock();
    context->in_callbacks = true;
    context->interrupted = false;
    transfers_deliver(context);
    hotplug_deliver(context);
    hotplug_sweep(context);
    context->in_callbacks = false;
    context_signal(context);
    bus_unlock();
    wake_waiters(context);
}

/* The caller holds the event lock. */
static int handle(struct libusb_context *context, const struct timeval *timeout)
{
    bus_lock();
    bool nested = context->in_callbacks;
    bus_unlock();
    if (nested)
        return LIBUSB_ERROR_BUSY;
    int status = wait_readable(context, timeout);
    if (status == LIBUSB_SUCCESS)
        deliver_all(context);
    return status;
}

static bool inside_callback(struct libusb_context *context)
{
    bus_lock();
    bool inside = context->handling && context->in_callbacks &&
                  pthread_equal(context->handler, pthread_self());
    bus_unlock();
    return inside;
}

static bool valid(const struct timeval *timeout)
{
    return timeout->tv_sec >= 0 && timeout->tv_usec >= 0 && timeout->tv_usec < 1000000;
}

static bool is_set(const int *completed)
{
    return completed && __atomic_load_n(completed, __ATOMIC_ACQUIRE);
}

/* Another thread handles the events: waits for it to have handled some, or to leave. False: it
 * left. */
static bool wait_for_handler(struct libusb_context *context, struct timeval *timeout,
                             const int *completed)
{
    bool active = true;
    libusb_lock_event_waiters(context);
    if (!is_set(completed)) {
        active = libusb_event_handler_active(context) != 0;
        if (active)
            libusb_wait_for_event(context, timeout);
    }
    libusb_unlock_event_waiters(context);
    return active;
}

int LIBUSB_CALL libusb_handle_events_timeout_completed(libusb_context *context,
                                                       struct timeval *timeout, int *completed)
{
    if (!valid(timeout))
        return LIBUSB_ERROR_INVALID_PARAM;
    bus_lock();
    context = context_or_default(context);
    bus_unlock();
    if (inside_callback(context))
        return LIBUSB_ERROR_BUSY;
    while (libusb_try_lock_events(context) != 0)
        if (wait_for_handler(context, timeout, completed))
            return LIBUSB_SUCCESS;
    int status = is_set(completed) ? LIBUSB_SUCCESS : handle(context, timeout);
    libusb_unlock_events(context);
    return status;
}

int LIBUSB_CALL libusb_handle_events_timeout(libusb_context *context, struct timeval *timeout)
{
    return libusb_handle_events_timeout_completed(context, timeout, NULL);
}

int LIBUSB_CALL libusb_handle_events_completed(libusb_context *context, int *completed)
{
    struct timeval timeout = {.tv_sec = DEFAULT_TIMEOUT_S};
    return libusb_handle_events_timeout_completed(context, &timeout, completed);
}

int LIBUSB_CALL libusb_handle_events(libusb_context *context)
{
    return libusb_handle_events_completed(context, NULL);
}

int LIBUSB_CALL libusb_handle_events_locked(libusb_context *context, struct timeval *timeout)
{
    if (!valid(timeout))
        return LIBUSB_ERROR_INVALID_PARAM;
    bus_lock();
    context = context_or_default(context);
    bus_unlock();
    return handle(context, timeout);
}

/* --- Descriptors to poll -------------------------------------------------------------------------
 */

/* The clock thread sees to timeouts and makes event_fd readable, so a loop need not know of them.
 */
int LIBUSB_CALL libusb_pollfds_handle_timeouts(libusb_context *context)
{
    return 1;
}

int LIBUSB_CALL libusb_get_next_timeout(libusb_context *context, struct timeval *timeout)
{
    return 0;
}

const struct libusb_pollfd **LIBUSB_CALL libusb_get_pollfds(libusb_context *context)
{
    struct {
        const struct libusb_pollfd *list[2];
        struct libusb_pollfd event;
    } *result = calloc(1, sizeof *result);
    if (!result)
        return NULL;
    bus_lock();
    result->event.fd = context_or_default(context)->event_fd;
    bus_unlock();
    result->event.events = POLLIN;
    result->list[0] = &result->event;
    return result->list;
}

void LIBUSB_CALL libusb_free_pollfds(const struct libusb_pollfd **list)
{
    free(list);
}

/* The one descriptor is there from libusb_init to libusb_exit: nothing to notify of. */
void LIBUSB_CALL libusb_set_pollfd_notifiers(libusb_context *context, libusb_pollfd_added_cb added,
                                             libusb_pollfd_removed_cb removed, void *user_data)
{
}
