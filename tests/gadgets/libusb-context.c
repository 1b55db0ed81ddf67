/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Contexts and the library's own settings. */
#include "libusb-objects.h"

#include <stdarg.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define OPTION_LOG_CB 3 /* since libusb 1.0.27 */

struct context_list contexts = TAILQ_HEAD_INITIALIZER(contexts);
static struct libusb_context *default_context;

/* NULL means the default context; without one, libusb falls back to the first that was made. */
struct libusb_context *context_or_default(struct libusb_context *context)
{
    if (context)
        return context;
    return default_context ? default_context : TAILQ_FIRST(&contexts);
}

void context_signal(struct libusb_context *context)
{
    bool wanted = context->interrupted || !TAILQ_EMPTY(&context->completed) ||
                  !TAILQ_EMPTY(&context->messages);
    if (wanted == context->signalled)
        return;
    context->signalled = wanted;
    if (wanted)
        eventfd_write(context->event_fd, 1);
    else
        eventfd_read(context->event_fd, &(eventfd_t){0});
}

static struct libusb_context *context_new(void)
{
    struct libusb_context *context = calloc(1, sizeof *context);
    if (!context)
        return NULL;
    context->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (context->event_fd < 0) {
        free(context);
        return NULL;
    }
    context->references = 1;
    TAILQ_INIT(&context->devices);
    TAILQ_INIT(&context->handles);
    TAILQ_INIT(&context->completed);
    TAILQ_INIT(&context->callbacks);
    TAILQ_INIT(&context->messages);
    bus_condition_init(&context->handler_left);
    bus_condition_init(&context->waiters);
    pthread_mutex_init(&context->waiters_lock, NULL);
    return context;
}

static void context_free(struct libusb_context *context)
{
    close(context->event_fd);
    pthread_cond_destroy(&context->handler_left);
    pthread_cond_destroy(&context->waiters);
    pthread_mutex_destroy(&context->waiters_lock);
    free(context);
}

static int init_locked(libusb_context **result)
{
    if (!result && default_context) {
        default_context->references++;
        return LIBUSB_SUCCESS;
    }
    struct libusb_context *context = context_new();
    if (!context)
        return LIBUSB_ERROR_NO_MEM;
    TAILQ_INSERT_TAIL(&contexts, context, link);
    struct gadget *gadget;
    for (unsigned port = 0; (gadget = bus_gadget(port)); port++)
        if (gadget->plugged)
            device_attach(context, gadget);
    if (result)
        *result = context;
    else
        default_context = context;
    return LIBUSB_SUCCESS;
}

int LIBUSB_CALL libusb_init(libusb_context **result)
{
    if (!bus_start())
        return LIBUSB_ERROR_OTHER;
    bus_lock();
    int status = init_locked(result);
    bus_unlock();
    return status;
}

/* Handles and devices that the program still holds stay valid to be closed and released. */
static void detach_objects(struct libusb_context *context)
{
    struct libusb_device_handle *handle;
    while ((handle = TAILQ_FIRST(&context->handles))) {
        transfers_drop_handle(handle);
        TAILQ_REMOVE(&context->handles, handle, link);
        handle->device->context = NULL;
    }
    struct hotplug_message *message;
    while ((message = TAILQ_FIRST(&context->messages))) {
        TAILQ_REMOVE(&context->messages, message, link);
        device_unref_locked(message->device);
        free(message);
    }
    struct hotplug_callback *callback;
    TAILQ_FOREACH(callback, &context->callbacks, link)
    callback->removed = true;
    hotplug_sweep(context);
    struct libusb_device *device;
    while ((device = TAILQ_FIRST(&context->devices))) {
        TAILQ_REMOVE(&context->devices, device, link);
        device->context = NULL;
        device->attached = false;
        device_unref_locked(device);
    }
}

void LIBUSB_CALL libusb_exit(libusb_context *context)
{
    bus_lock();
    if (!context)
        context = default_context;
    if (!context || --context->references > 0) {
        bus_unlock();
        return;
    }
    if (context == default_context)
        default_context = NULL;
    TAILQ_REMOVE(&contexts, context, link);
    detach_objects(context);
    bus_unlock();
    context_free(context);
}

int LIBUSB_CALL libusb_has_capability(uint32_t capability)
{
    switch (capability) {
    case LIBUSB_CAP_HAS_CAPABILITY:
    case LIBUSB_CAP_HAS_HOTPLUG:
    case LIBUSB_CAP_SUPPORTS_DETACH_KERNEL_DRIVER: return 1;
    default: return 0;
    }
}

/* There is nothing to choose: no log, one way to find devices. */
int LIBUSB_CALL libusb_set_option(libusb_context *context, enum libusb_option option, ...)
{
    va_list arguments;
    int level = LIBUSB_LOG_LEVEL_NONE;
    va_start(arguments, option);
    if (option == LIBUSB_OPTION_LOG_LEVEL)
        level = va_arg(arguments, int);
    va_end(arguments);
    if (option == LIBUSB_OPTION_LOG_LEVEL && (level < 0 || level > LIBUSB_LOG_LEVEL_DEBUG))
        return LIBUSB_ERROR_INVALID_PARAM;
    if (option == LIBUSB_OPTION_LOG_LEVEL || option == LIBUSB_OPTION_NO_DEVICE_DISCOVERY ||
        (int) option == OPTION_LOG_CB)
        return LIBUSB_SUCCESS;
    return option == LIBUSB_OPTION_USE_USBDK ? LIBUSB_ERROR_NOT_SUPPORTED
                                             : LIBUSB_ERROR_INVALID_PARAM;
}

void LIBUSB_CALL libusb_set_debug(libusb_context *context, int level)
{
}

void LIBUSB_CALL libusb_set_log_cb(libusb_context *context, libusb_log_cb callback, int mode)
{
}
