/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "watch.h"
#include "port.h"

#include <string.h>

#define NO_STRING (-1)

/* A descriptor as it was read, and as the guest is to see it. */
typedef struct {
    const uint8_t *bytes, *guest_bytes;
    size_t size, guest_size;
    RdpusbSetup setup; /* how it was read */
} Copy;

static uint8_t type_of(const RdpusbSetup *setup)
{
    return setup->value >> 8;
}

static uint8_t index_of(const RdpusbSetup *setup)
{
    return setup->value & 0xff;
}

/* ---- What is compared ---- */

/* A device that fills up what was asked for may send anything behind the string's own length. */
static size_t string_size(const uint8_t *data, size_t size)
{
    return size > 0 ? MIN(size, data[0]) : 0;
}

void watch_keep_string(Device *device, WatchedString which, const uint8_t *data, size_t size)
{
    size = string_size(data, size);
    if (size < 2 || data[1] != USB_DESCRIPTOR_STRING)
        return;
    g_clear_pointer(&device->strings[which], g_bytes_unref);
    device->strings[which] = g_bytes_new(data, size);
}

/* Its WatchedString, or NO_STRING. */
static int which_string(const Device *device, const RdpusbSetup *setup)
{
    uint8_t index = index_of(setup);
    if (index == 0)
        return WATCHED_LANGUAGES;
    if (device->reader.language == 0 || setup->index != device->reader.language)
        return NO_STRING;
    for (int which = WATCHED_MANUFACTURER; which < N_WATCHED_STRINGS; which++)
        if (index == device->descriptor[USB_DEVICE_MANUFACTURER + which - WATCHED_MANUFACTURER])
            return which;
    return NO_STRING;
}

/* To whichever recipient: there are devices that look at the request alone. */
bool watch_concerns(const Device *device, const RdpusbSetup *setup)
{
    if ((setup->request_type & 0xe0) != 0x80 || setup->request != USB_GET_DESCRIPTOR)
        return false;
    switch (type_of(setup)) {
    case USB_DESCRIPTOR_DEVICE:
    case USB_DESCRIPTOR_CONFIGURATION: return true;
    case USB_DESCRIPTOR_STRING: return which_string(device, setup) != NO_STRING;
    default: return false;
    }
}

static bool copy_of_device(const Device *device, const RdpusbSetup *setup, Copy *copy)
{
    if (index_of(setup) != 0)
        return false;
    copy->bytes = device->descriptor;
    copy->guest_bytes = port_device_descriptor(device);
    copy->size = copy->guest_size = USB_DEVICE_DESCRIPTOR_SIZE;
    return true;
}

static bool copy_of_configuration(const Device *device, const RdpusbSetup *setup, Copy *copy)
{
    if (index_of(setup) >= device->configurations->len)
        return false;
    const Configuration *configuration = g_ptr_array_index(device->configurations, index_of(setup));
    copy->bytes = g_bytes_get_data(configuration->bytes, &copy->size);
    copy->guest_bytes = port_configuration(device, configuration, &copy->guest_size);
    return true;
}

static bool copy_of_string(const Device *device, const RdpusbSetup *setup, Copy *copy)
{
    GBytes *string = device->strings[which_string(device, setup)];
    if (!string)
        return false;
    copy->bytes = copy->guest_bytes = g_bytes_get_data(string, &copy->size);
    copy->guest_size = copy->size;
    return true;
}

/* False when the device had none at arrival. */
static bool find_copy(const Device *device, const RdpusbSetup *setup, Copy *copy)
{
    bool is_string = type_of(setup) == USB_DESCRIPTOR_STRING;
    bool found = is_string ? copy_of_string(device, setup, copy)
                 : type_of(setup) == USB_DESCRIPTOR_DEVICE
                     ? copy_of_device(device, setup, copy)
                     : copy_of_configuration(device, setup, copy);
    if (!found)
        return false;
    copy->setup = (RdpusbSetup){.request_type = 0x80,
                                .request = USB_GET_DESCRIPTOR,
                                .value = setup->value,
                                .index = is_string && index_of(setup) ? setup->index : 0,
                                .length = is_string ? USB_MAX_STRING : copy->size};
    return true;
}

/* ---- Comparing ---- */

static const char *name_of(const Device *device, const RdpusbSetup *setup)
{
    static const char *const strings[] = {"list of languages", "manufacturer's name",
                                          "product's name", "serial number"};
    if (type_of(setup) == USB_DESCRIPTOR_STRING)
        return strings[which_string(device, setup)];
    return type_of(setup) == USB_DESCRIPTOR_DEVICE ? "device descriptor"
                                                   : "configuration descriptor";
}

static void end_changed(Device *device, Job *job, const Copy *copy, const uint8_t *data, size_t at)
{
    job_answer(device, job, DEVICE_IOERROR, NULL, 0);
    device_refuse(device,
                  "its %s changed since it was checked: byte %zu was 0x%02x and is 0x%02x. If that "
                  "is as it should be, plug it in again, and it is checked as what it is then",
                  name_of(device, &job->setup), at, copy->bytes[at], data[at]);
}

uint32_t watch_start(Device *device, Job *job)
{
    Copy copy;
    if (!find_copy(device, &job->setup, &copy)) {
        job_answer(device, job, DEVICE_STALL, NULL, 0);
        return 0;
    }
    if (job->type == JOB_CONTROL && type_of(&job->setup) == USB_DESCRIPTOR_DEVICE)
        port_recognise(device, job->setup.length);
    return rdpusb_device_channel_control(device->channel, &copy.setup, NULL, job);
}

void watch_completed(Device *device, Job *job, const RdpusbDeviceEvent *event)
{
    Copy copy;
    if (event->status != RDPUSB_STATUS_SUCCESS || !find_copy(device, &job->setup, &copy)) {
        job_answer(device, job, device_status_from_client(event->status, true), NULL, 0);
        return;
    }
    bool is_string = type_of(&job->setup) == USB_DESCRIPTOR_STRING;
    size_t size = is_string ? string_size(event->data, event->size) : event->size, same = 0;
    while (same < MIN(size, copy.size) && event->data[same] == copy.bytes[same])
        same++;
    if (same < MIN(size, copy.size)) {
        end_changed(device, job, &copy, event->data, same);
        return;
    }
    /* An answer may be shorter than it was at arrival: then the guest gets no more. */
    size = size < copy.size ? MIN(size, copy.guest_size) : copy.guest_size;
    job_answer(device, job, DEVICE_SUCCESS, copy.guest_bytes, MIN(size, job->setup.length));
}

/* ---- After a selection ---- */

static void check(Device *device, uint8_t type, uint8_t index)
{
    Job *job = job_new(JOB_CHECK, 0);
    job->setup = (RdpusbSetup){.request_type = 0x80,
                               .request = USB_GET_DESCRIPTOR,
                               .value = (uint16_t) (type << 8 | index)};
    job->hold = ALL_ENDPOINTS;
    jobs_push_first(device, job);
}

void watch_check(Device *device)
{
    check(device, USB_DESCRIPTOR_DEVICE, 0);
}

uint32_t check_start(Device *device, Job *job)
{
    return watch_start(device, job);
}

/* A device that does not answer now has not changed; the guest will find out. */
void check_completed(Device *device, Job *job, const RdpusbDeviceEvent *event)
{
    watch_completed(device, job, event);
    if (device->state == DEVICE_GONE || event->status != RDPUSB_STATUS_SUCCESS)
        return;
    bool was_device = type_of(&job->setup) == USB_DESCRIPTOR_DEVICE;
    unsigned next = was_device ? 0 : index_of(&job->setup) + 1u;
    if (next < device->configurations->len)
        check(device, USB_DESCRIPTOR_CONFIGURATION, next);
}
