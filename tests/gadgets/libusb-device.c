/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Devices, handles, interfaces, and what the operating system's drivers do to them. */
#include "libusb-objects.h"

#include <stdlib.h>
#include <string.h>

/* --- Coming and going ----------------------------------------------------------------------------
 */

void device_attach(struct libusb_context *context, struct gadget *gadget)
{
    struct libusb_device *device = calloc(1, sizeof *device);
    if (!device)
        return;
    device->context = context;
    device->gadget = gadget;
    device->references = 1; /* the context's, until it leaves */
    device->attached = true;
    device->address = gadget->address;
    device->port = (uint8_t) gadget->port;
    memcpy(device->device_descriptor, gadget->device_descriptor, LIBUSB_DT_DEVICE_SIZE);
    TAILQ_INSERT_TAIL(&context->devices, device, link);
}

void device_unref_locked(struct libusb_device *device)
{
    if (--device->references == 0)
        free(device);
}

void devices_arrived(struct gadget *gadget)
{
    struct libusb_context *context;
    TAILQ_FOREACH(context, &contexts, link)
    {
        device_attach(context, gadget);
        struct libusb_device *device = TAILQ_LAST(&context->devices, device_list);
        if (device && device->gadget == gadget)
            hotplug_notify(device, LIBUSB_HOTPLUG_EVENT_DEVICE_ARRIVED);
    }
}

void devices_left(struct gadget *gadget)
{
    struct libusb_context *context;
    TAILQ_FOREACH(context, &contexts, link)
    {
        struct libusb_device *device;
        TAILQ_FOREACH(device, &context->devices, link)
        if (device->gadget == gadget)
            break;
        if (!device)
            continue;
        TAILQ_REMOVE(&context->devices, device, link);
        device->attached = false;
        hotplug_notify(device, LIBUSB_HOTPLUG_EVENT_DEVICE_LEFT);
        device_unref_locked(device);
    }
}

/* --- Devices -------------------------------------------------------------------------------------
 */

ssize_t LIBUSB_CALL libusb_get_device_list(libusb_context *context, libusb_device ***list)
{
    bus_lock();
    context = context_or_default(context);
    libusb_device **result = calloc(GADGET_MAX + 1, sizeof *result);
    ssize_t count = 0;
    struct libusb_device *device;
    if (result && context)
        TAILQ_FOREACH(device, &context->devices, link)
        {
            device->references++;
            result[count++] = device;
        }
    bus_unlock();
    if (!result)
        return LIBUSB_ERROR_NO_MEM;
    *list = result;
    return count;
}

void LIBUSB_CALL libusb_free_device_list(libusb_device **list, int unref_devices)
{
    for (libusb_device **device = list; list && unref_devices && *device; device++)
        libusb_unref_device(*device);
    free(list);
}

libusb_device *LIBUSB_CALL libusb_ref_device(libusb_device *device)
{
    bus_lock();
    device->references++;
    bus_unlock();
    return device;
}

void LIBUSB_CALL libusb_unref_device(libusb_device *device)
{
    if (!device)
        return;
    bus_lock();
    device_unref_locked(device);
    bus_unlock();
}

uint8_t LIBUSB_CALL libusb_get_bus_number(libusb_device *device)
{
    return BUS_NUMBER;
}

uint8_t LIBUSB_CALL libusb_get_device_address(libusb_device *device)
{
    return device->address;
}

uint8_t LIBUSB_CALL libusb_get_port_number(libusb_device *device)
{
    return device->port;
}

int LIBUSB_CALL libusb_get_port_numbers(libusb_device *device, uint8_t *ports, int length)
{
    if (length <= 0)
        return LIBUSB_ERROR_INVALID_PARAM;
    if (device->port == 0)
        return 0; /* the root hub */
    ports[0] = device->port;
    return 1;
}

int LIBUSB_CALL libusb_get_port_path(libusb_context *context, libusb_device *device, uint8_t *path,
                                     uint8_t length)
{
    return libusb_get_port_numbers(device, path, length);
}

libusb_device *LIBUSB_CALL libusb_get_parent(libusb_device *device)
{
    struct libusb_device *hub = NULL;
    bus_lock();
    if (device->port != 0 && device->context)
        TAILQ_FOREACH(hub, &device->context->devices, link)
    if (hub->port == 0)
        break;
    bus_unlock();
    return hub;
}

int LIBUSB_CALL libusb_get_device_speed(libusb_device *device)
{
    return device->gadget->speed;
}

/* --- Handles -------------------------------------------------------------------------------------
 */

static int open_locked(libusb_device *device, libusb_device_handle **result)
{
    if (!device->attached || !device->context)
        return LIBUSB_ERROR_NO_DEVICE;
    struct libusb_device_handle *handle = calloc(1, sizeof *handle);
    if (!handle)
        return LIBUSB_ERROR_NO_MEM;
    device->references++;
    handle->device = device;
    TAILQ_INSERT_TAIL(&device->context->handles, handle, link);
    *result = handle;
    return LIBUSB_SUCCESS;
}

int LIBUSB_CALL libusb_open(libusb_device *device, libusb_device_handle **result)
{
    bus_lock();
    int status = open_locked(device, result);
    bus_unlock();
    return status;
}

libusb_device_handle *LIBUSB_CALL libusb_open_device_with_vid_pid(libusb_context *context,
                                                                  uint16_t vendor_id,
                                                                  uint16_t product_id)
{
    libusb_device_handle *handle = NULL;
    libusb_device *device = NULL;
    bus_lock();
    context = context_or_default(context);
    if (context)
        TAILQ_FOREACH(device, &context->devices, link)
        {
            const uint8_t *descriptor = device->device_descriptor;
            if ((descriptor[8] | descriptor[9] << 8) == vendor_id &&
                (descriptor[10] | descriptor[11] << 8) == product_id)
                break;
        }
    if (device && open_locked(device, &handle) != LIBUSB_SUCCESS)
        handle = NULL;
    bus_unlock();
    return handle;
}

static void release_claims(struct libusb_device_handle *handle)
{
    struct gadget *gadget = handle->device->gadget;
    for (unsigned i = 0; i < GADGET_MAX_INTERFACES; i++) {
        if (gadget->claimed_by[i] != handle)
            continue;
        gadget->claimed_by[i] = NULL;
        gadget->kernel_driver[i] = handle->auto_detach && gadget->ops->kernel_driver;
    }
}

void LIBUSB_CALL libusb_close(libusb_device_handle *handle)
{
    if (!handle)
        return;
    bus_lock();
    transfers_drop_handle(handle);
    release_claims(handle);
    if (handle->device->context)
        TAILQ_REMOVE(&handle->device->context->handles, handle, link);
    device_unref_locked(handle->device);
    bus_unlock();
    free(handle);
}

libusb_device *LIBUSB_CALL libusb_get_device(libusb_device_handle *handle)
{
    return handle->device;
}

int LIBUSB_CALL libusb_wrap_sys_device(libusb_context *context, intptr_t descriptor,
                                       libusb_device_handle **handle)
{
    return LIBUSB_ERROR_NOT_SUPPORTED;
}

/* --- Interfaces ----------------------------------------------------------------------------------
 */

/* The gadget behind a handle for a call on one of its interfaces; NULL with *status set. */
static struct gadget *gadget_for(libusb_device_handle *handle, int interface, int *status)
{
    struct gadget *gadget = handle->device->gadget;
    *status = LIBUSB_SUCCESS;
    if (!handle->device->attached)
        *status = LIBUSB_ERROR_NO_DEVICE;
    else if (interface < 0 || interface >= GADGET_MAX_INTERFACES ||
             !gadget_has_interface(gadget, (uint8_t) interface))
        *status = LIBUSB_ERROR_NOT_FOUND;
    return *status == LIBUSB_SUCCESS ? gadget : NULL;
}

bool handle_claims(struct libusb_device_handle *handle, uint8_t interface)
{
    return handle->device->attached && handle->device->gadget->claimed_by[interface] == handle;
}

int LIBUSB_CALL libusb_claim_interface(libusb_device_handle *handle, int interface)
{
    int status;
    bus_lock();
    struct gadget *gadget = gadget_for(handle, interface, &status);
    if (gadget) {
        if (handle->auto_detach)
            gadget->kernel_driver[interface] = false;
        struct libusb_device_handle *owner = gadget->claimed_by[interface];
        if (gadget->kernel_driver[interface] || (owner && owner != handle))
            status = LIBUSB_ERROR_BUSY;
        else
            gadget->claimed_by[interface] = handle;
    }
    bus_unlock();
    return status;
}

static void cancel_interface(struct gadget *gadget, uint8_t interface)
{
    for (unsigned i = 1; i < GADGET_ENDPOINTS; i++)
        if (gadget->endpoints[i].present && gadget->endpoints[i].interface == interface)
            bus_complete_all(&gadget->endpoints[i], LIBUSB_TRANSFER_CANCELLED);
}

int LIBUSB_CALL libusb_release_interface(libusb_device_handle *handle, int interface)
{
    int status;
    bus_lock();
    struct gadget *gadget = gadget_for(handle, interface, &status);
    if (gadget && gadget->claimed_by[interface] != handle) {
        status = LIBUSB_ERROR_NOT_FOUND;
    } else if (gadget) {
        cancel_interface(gadget, (uint8_t) interface);
        gadget->claimed_by[interface] = NULL;
        if (handle->auto_detach)
            gadget->kernel_driver[interface] = gadget->ops->kernel_driver;
    }
    bus_unlock();
    return status;
}

int LIBUSB_CALL libusb_set_interface_alt_setting(libusb_device_handle *handle, int interface,
                                                 int alternate)
{
    int status;
    if (alternate < 0 || alternate > UINT8_MAX)
        return LIBUSB_ERROR_INVALID_PARAM;
    bus_lock();
    struct gadget *gadget = gadget_for(handle, interface, &status);
    if (gadget && (gadget->claimed_by[interface] != handle ||
                   !gadget_set_alternate(gadget, (uint8_t) interface, (uint8_t) alternate)))
        status = LIBUSB_ERROR_NOT_FOUND;
    bus_unlock();
    return status;
}

int LIBUSB_CALL libusb_clear_halt(libusb_device_handle *handle, unsigned char address)
{
    int status = LIBUSB_SUCCESS;
    bus_lock();
    struct gadget *gadget = handle->device->gadget;
    struct gadget_endpoint *endpoint = bus_endpoint(gadget, address);
    if (!handle->device->attached)
        status = LIBUSB_ERROR_NO_DEVICE;
    else if (!endpoint->present)
        status = LIBUSB_ERROR_NOT_FOUND;
    else
        endpoint->halted = false;
    if (status == LIBUSB_SUCCESS)
        bus_run(gadget);
    bus_unlock();
    return status;
}

/* --- Configurations ------------------------------------------------------------------------------
 */

/* Linux refuses while any interface has a driver, and usbfs claims count as one. Choosing the
 * active configuration again only resets the device, the drivers stay as they are. */
static int set_configuration_locked(libusb_device_handle *handle, uint8_t value)
{
    struct gadget *gadget = handle->device->gadget;
    if (!handle->device->attached)
        return LIBUSB_ERROR_NO_DEVICE;
    for (unsigned i = 0; i < GADGET_MAX_INTERFACES; i++)
        if (gadget->claimed_by[i] || gadget->kernel_driver[i])
            return LIBUSB_ERROR_BUSY;
    uint8_t before = gadget->configuration;
    if (!gadget_set_configuration(gadget, value))
        return LIBUSB_ERROR_NOT_FOUND;
    for (uint8_t i = 0; i < GADGET_MAX_INTERFACES && value != before; i++)
        gadget->kernel_driver[i] = gadget->ops->kernel_driver && gadget_has_interface(gadget, i);
    bus_run(gadget);
    return LIBUSB_SUCCESS;
}

int LIBUSB_CALL libusb_set_configuration(libusb_device_handle *handle, int value)
{
    if (value < -1 || value > UINT8_MAX)
        return LIBUSB_ERROR_INVALID_PARAM;
    bus_lock();
    int status = set_configuration_locked(handle, value == -1 ? 0 : (uint8_t) value);
    bus_unlock();
    return status;
}

int LIBUSB_CALL libusb_get_configuration(libusb_device_handle *handle, int *value)
{
    bus_lock();
    bool attached = handle->device->attached;
    if (attached)
        *value = handle->device->gadget->configuration;
    bus_unlock();
    return attached ? LIBUSB_SUCCESS : LIBUSB_ERROR_NO_DEVICE;
}

int LIBUSB_CALL libusb_reset_device(libusb_device_handle *handle)
{
    bus_lock();
    bool attached = handle->device->attached;
    if (attached) {
        bus_reset(handle->device->gadget);
        bus_run(handle->device->gadget);
    }
    bus_unlock();
    return attached ? LIBUSB_SUCCESS : LIBUSB_ERROR_NO_DEVICE;
}

/* --- Kernel drivers ------------------------------------------------------------------------------
 */

int LIBUSB_CALL libusb_kernel_driver_active(libusb_device_handle *handle, int interface)
{
    int status;
    bus_lock();
    struct gadget *gadget = gadget_for(handle, interface, &status);
    if (gadget)
        status = gadget->kernel_driver[interface];
    bus_unlock();
    return status;
}

int LIBUSB_CALL libusb_detach_kernel_driver(libusb_device_handle *handle, int interface)
{
    int status;
    bus_lock();
    struct gadget *gadget = gadget_for(handle, interface, &status);
    if (gadget && !gadget->kernel_driver[interface])
        status = LIBUSB_ERROR_NOT_FOUND;
    else if (gadget)
        gadget->kernel_driver[interface] = false;
    bus_unlock();
    return status;
}

int LIBUSB_CALL libusb_attach_kernel_driver(libusb_device_handle *handle, int interface)
{
    int status;
    bus_lock();
    struct gadget *gadget = gadget_for(handle, interface, &status);
    if (gadget && gadget->claimed_by[interface])
        status = LIBUSB_ERROR_BUSY;
    else if (gadget && (!gadget->ops->kernel_driver || gadget->kernel_driver[interface]))
        status = LIBUSB_ERROR_NOT_FOUND;
    else if (gadget)
        gadget->kernel_driver[interface] = true;
    bus_unlock();
    return status;
}

int LIBUSB_CALL libusb_set_auto_detach_kernel_driver(libusb_device_handle *handle, int enable)
{
    bus_lock();
    handle->auto_detach = enable != 0;
    bus_unlock();
    return LIBUSB_SUCCESS;
}

/* --- SuperSpeed streams and device memory: no gadget has them ------------------------------------
 */

int LIBUSB_CALL libusb_alloc_streams(libusb_device_handle *handle, uint32_t count,
                                     unsigned char *endpoints, int endpoint_count)
{
    return LIBUSB_ERROR_NOT_SUPPORTED;
}

int LIBUSB_CALL libusb_free_streams(libusb_device_handle *handle, unsigned char *endpoints,
                                    int endpoint_count)
{
    return LIBUSB_ERROR_NOT_SUPPORTED;
}

unsigned char *LIBUSB_CALL libusb_dev_mem_alloc(libusb_device_handle *handle, size_t length)
{
    return NULL;
}

int LIBUSB_CALL libusb_dev_mem_free(libusb_device_handle *handle, unsigned char *buffer,
                                    size_t length)
{
    return LIBUSB_ERROR_NOT_SUPPORTED;
}
