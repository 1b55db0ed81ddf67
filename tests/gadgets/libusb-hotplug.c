/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Hotplug: messages are queued when a gadget is plugged, callbacks run in event handling. */
#include "libusb-objects.h"

#include <stdlib.h>

void hotplug_notify(struct libusb_device *device, libusb_hotplug_event event)
{
    struct hotplug_message *message = calloc(1, sizeof *message);
    if (!message)
        return;
    device->references++;
    message->device = device;
    message->event = event;
    TAILQ_INSERT_TAIL(&device->context->messages, message, link);
    context_signal(device->context);
}

static bool matches(const struct hotplug_callback *callback, const struct libusb_device *device,
                    libusb_hotplug_event event)
{
    const uint8_t *descriptor = device->device_descriptor;
    int vendor_id = descriptor[8] | descriptor[9] << 8;
    int product_id = descriptor[10] | descriptor[11] << 8;
    if (callback->removed || (callback->events & event) == 0)
        return false;
    return (callback->vendor_id == LIBUSB_HOTPLUG_MATCH_ANY || callback->vendor_id == vendor_id) &&
           (callback->product_id == LIBUSB_HOTPLUG_MATCH_ANY ||
            callback->product_id == product_id) &&
           (callback->device_class == LIBUSB_HOTPLUG_MATCH_ANY ||
            callback->device_class == descriptor[4]);
}

/* Runs with the lock released: the callback may call anything that does not handle events. */
static void call(struct libusb_context *context, struct hotplug_callback *callback,
                 struct libusb_device *device, libusb_hotplug_event event)
{
    callback->running++;
    bus_unlock();
    int finished = callback->function(context, device, event, callback->user_data);
    bus_lock();
    callback->running--;
    if (finished)
        callback->removed = true;
}

static void deliver(struct libusb_context *context, struct hotplug_message *message)
{
    struct hotplug_callback *callback;
    /* Callbacks are freed in hotplug_sweep() only, by the thread that handles events: this one. */
    TAILQ_FOREACH(callback, &context->callbacks, link)
    if (matches(callback, message->device, message->event))
        call(context, callback, message->device, message->event);
    device_unref_locked(message->device);
    free(message);
}

void hotplug_deliver(struct libusb_context *context)
{
    struct hotplug_message *message;
    while ((message = TAILQ_FIRST(&context->messages))) {
        TAILQ_REMOVE(&context->messages, message, link);
        deliver(context, message);
    }
}

void hotplug_sweep(struct libusb_context *context)
{
    struct hotplug_callback *next;
    for (struct hotplug_callback *c = TAILQ_FIRST(&context->callbacks); c; c = next) {
        next = TAILQ_NEXT(c, link);
        if (!c->removed || c->running > 0)
            continue;
        TAILQ_REMOVE(&context->callbacks, c, link);
        free(c);
    }
}

/* LIBUSB_HOTPLUG_ENUMERATE: for what is there already, before the registration returns. */
static void enumerate(struct libusb_context *context, struct hotplug_callback *callback)
{
    struct libusb_device *devices[GADGET_MAX], *device;
    unsigned count = 0;
    TAILQ_FOREACH(device, &context->devices, link)
    {
        device->references++;
        devices[count++] = device;
    }
    for (unsigned i = 0; i < count; i++) {
        if (matches(callback, devices[i], LIBUSB_HOTPLUG_EVENT_DEVICE_ARRIVED))
            call(context, callback, devices[i], LIBUSB_HOTPLUG_EVENT_DEVICE_ARRIVED);
        device_unref_locked(devices[i]);
    }
}

int LIBUSB_CALL libusb_hotplug_register_callback(libusb_context *context, int events, int flags,
                                                 int vendor_id, int product_id, int device_class,
                                                 libusb_hotplug_callback_fn function,
                                                 void *user_data,
                                                 libusb_hotplug_callback_handle *handle)
{
    int all = LIBUSB_HOTPLUG_EVENT_DEVICE_ARRIVED | LIBUSB_HOTPLUG_EVENT_DEVICE_LEFT;
    if (!function || events == 0 || (events & ~all) != 0 || (flags & ~LIBUSB_HOTPLUG_ENUMERATE))
        return LIBUSB_ERROR_INVALID_PARAM;
    struct hotplug_callback *callback = calloc(1, sizeof *callback);
    if (!callback)
        return LIBUSB_ERROR_NO_MEM;
    bus_lock();
    context = context_or_default(context);
    *callback = (struct hotplug_callback){.id = ++context->next_callback_id,
                                          .events = events,
                                          .vendor_id = vendor_id,
                                          .product_id = product_id,
                                          .device_class = device_class,
                                          .function = function,
                                          .user_data = user_data};
    TAILQ_INSERT_TAIL(&context->callbacks, callback, link);
    if (handle)
        *handle = callback->id;
    if (flags & LIBUSB_HOTPLUG_ENUMERATE)
        enumerate(context, callback);
    bus_unlock();
    return LIBUSB_SUCCESS;
}

static struct hotplug_callback *find(libusb_context *context, libusb_hotplug_callback_handle id)
{
    struct hotplug_callback *callback;
    TAILQ_FOREACH(callback, &context->callbacks, link)
    if (callback->id == id && !callback->removed)
        return callback;
    return NULL;
}

void LIBUSB_CALL libusb_hotplug_deregister_callback(libusb_context *context,
                                                    libusb_hotplug_callback_handle handle)
{
    bus_lock();
    context = context_or_default(context);
    struct hotplug_callback *callback = find(context, handle);
    if (callback)
        callback->removed = true;
    bus_unlock();
}

void *LIBUSB_CALL libusb_hotplug_get_user_data(libusb_context *context,
                                               libusb_hotplug_callback_handle handle)
{
    bus_lock();
    context = context_or_default(context);
    struct hotplug_callback *callback = find(context, handle);
    void *user_data = callback ? callback->user_data : NULL;
    bus_unlock();
    return user_data;
}
