/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "reader.h"
#include "configure.h"
#include "job.h"
#include "watch.h"

#include <string.h>

typedef enum {
    READ_DEVICE,
    READ_CONFIGURATION_HEADER,
    READ_CONFIGURATION,
    READ_QUALIFIER,
    READ_LANGUAGES,
    READ_MANUFACTURER,
    READ_PRODUCT,
    READ_SERIAL_NUMBER,
    READ_DONE,
} ReadStep;

#define MAX_CONFIGURATIONS 8
#define QUALIFIER_SIZE     10
#define CLASS_HUB          9

static void read_descriptor(Device *device, uint8_t type, uint8_t index, uint16_t language,
                            uint16_t length)
{
    Job *job = job_new(JOB_READ, 0);
    job->setup = (RdpusbSetup){.request_type = 0x80,
                               .request = USB_GET_DESCRIPTOR,
                               .value = (uint16_t) (type << 8 | index),
                               .index = language,
                               .length = length};
    jobs_push(device, job);
}

static void next(Device *device, ReadStep step);

/* Each string is optional. */
static void read_string(Device *device, ReadStep step)
{
    uint8_t index = device->descriptor[USB_DEVICE_MANUFACTURER + step - READ_MANUFACTURER];
    if (index == 0 || device->reader.language == 0)
        next(device, step + 1);
    else
        read_descriptor(device, USB_DESCRIPTOR_STRING, index, device->reader.language,
                        USB_MAX_STRING);
}

static bool needs_qualifier(const Device *device)
{
    return descriptors_speed_is_ambiguous(device->descriptor,
                                          g_ptr_array_index(device->configurations, 0));
}

/* Of all that it could become, whatever of it the guest is shown. */
static bool describe_interfaces(Device *device)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GArray) classes = g_array_new(FALSE, FALSE, sizeof(RdpusbInterfaceClass));
    for (unsigned i = 0; i < device->configurations->len; i++) {
        if (!configuration_add_classes(g_ptr_array_index(device->configurations, i), classes,
                                       &error)) {
            device_refuse(device, "%s", error->message);
            return false;
        }
    }
    device->info.n_interface_classes = classes->len;
    device->info.interface_classes =
        (RdpusbInterfaceClass *) g_array_free(g_steal_pointer(&classes), FALSE);
    return true;
}

static void describe(Device *device)
{
    const uint8_t *d = device->descriptor;
    RdpusbDeviceInfo *info = &device->info;
    const Configuration *first = g_ptr_array_index(device->configurations, 0);
    info->vendor = descriptor_u16(d + 8);
    info->product = descriptor_u16(d + 10);
    info->version_bcd = descriptor_u16(d + 12);
    info->device_class = d[4];
    info->device_subclass = d[5];
    info->device_protocol = d[6];
    info->speed = descriptors_speed(d, first, device->reader.qualifier);
    if (info->speed != RDPUSB_SPEED_SUPER)
        return;
    descriptors_at_high_speed(device->descriptor, device->high_speed_descriptor);
    for (unsigned i = 0; i < device->configurations->len; i++)
        configuration_hide_streams(g_ptr_array_index(device->configurations, i));
}

static void next(Device *device, ReadStep step)
{
    Reader *reader = &device->reader;
    reader->step = step;
    switch (step) {
    case READ_DEVICE:
        read_descriptor(device, USB_DESCRIPTOR_DEVICE, 0, 0, USB_DEVICE_DESCRIPTOR_SIZE);
        break;
    case READ_CONFIGURATION_HEADER:
        read_descriptor(device, USB_DESCRIPTOR_CONFIGURATION, reader->index, 0,
                        USB_CONFIGURATION_DESCRIPTOR_SIZE);
        break;
    case READ_CONFIGURATION:
        read_descriptor(device, USB_DESCRIPTOR_CONFIGURATION, reader->index, 0, reader->total);
        break;
    case READ_QUALIFIER:
        if (!needs_qualifier(device))
            next(device, READ_LANGUAGES);
        else
            read_descriptor(device, USB_DESCRIPTOR_QUALIFIER, 0, 0, QUALIFIER_SIZE);
        break;
    case READ_LANGUAGES:
        read_descriptor(device, USB_DESCRIPTOR_STRING, 0, 0, USB_MAX_STRING);
        break;
    case READ_MANUFACTURER:
    case READ_PRODUCT:
    case READ_SERIAL_NUMBER: read_string(device, step); break;
    case READ_DONE:
        describe(device);
        if (describe_interfaces(device))
            select_default(device);
        break;
    }
}

void reader_start(Device *device)
{
    next(device, READ_DEVICE);
}

/* ---- What came ---- */

static void got_device(Device *device, const RdpusbDeviceEvent *event)
{
    const uint8_t *d = event->data;
    if (event->status != RDPUSB_STATUS_SUCCESS || event->size != USB_DEVICE_DESCRIPTOR_SIZE ||
        d[0] != USB_DEVICE_DESCRIPTOR_SIZE || d[1] != USB_DESCRIPTOR_DEVICE) {
        device_refuse(device, "its device descriptor cannot be read (%s, %zu bytes)",
                      rdpusb_status_to_string(event->status), event->size);
    } else if (d[USB_DEVICE_CLASS] == CLASS_HUB) {
        device_refuse(device, "it is a hub, and hubs cannot be redirected: redirect the devices "
                              "that are plugged into it");
    } else if (d[USB_DEVICE_CONFIGURATIONS] == 0 ||
               d[USB_DEVICE_CONFIGURATIONS] > MAX_CONFIGURATIONS) {
        device_refuse(device, "it claims %u configurations; 1 to %d are supported",
                      d[USB_DEVICE_CONFIGURATIONS], MAX_CONFIGURATIONS);
    } else {
        memcpy(device->descriptor, d, USB_DEVICE_DESCRIPTOR_SIZE);
        next(device, READ_CONFIGURATION_HEADER);
    }
}

/* The first configuration is needed; a device that stalls at a further one has no more. */
static void configuration_unreadable(Device *device, const RdpusbDeviceEvent *event)
{
    if (device->reader.index > 0) {
        next(device, READ_QUALIFIER);
        return;
    }
    device_refuse(device, "its configuration descriptor of %u bytes cannot be read (%s, %zu bytes)",
                  device->reader.total, rdpusb_status_to_string(event->status), event->size);
}

static void got_configuration_header(Device *device, const RdpusbDeviceEvent *event)
{
    Reader *reader = &device->reader;
    reader->total = USB_CONFIGURATION_DESCRIPTOR_SIZE;
    if (event->status != RDPUSB_STATUS_SUCCESS || event->size < USB_CONFIGURATION_DESCRIPTOR_SIZE) {
        configuration_unreadable(device, event);
        return;
    }
    reader->total = descriptor_u16(event->data + 2);
    reader->bytes += reader->total;
    if (reader->total < USB_CONFIGURATION_DESCRIPTOR_SIZE)
        device_refuse(device, "its configuration descriptor claims %u bytes", reader->total);
    else if (reader->bytes > device->limits.max_descriptor_bytes)
        device_refuse(device, "its configuration descriptors have %zu bytes; the limit is %zu",
                      reader->bytes, device->limits.max_descriptor_bytes);
    else
        next(device, READ_CONFIGURATION);
}

static void got_configuration(Device *device, const RdpusbDeviceEvent *event)
{
    Reader *reader = &device->reader;
    if (event->status != RDPUSB_STATUS_SUCCESS || event->size != reader->total) {
        configuration_unreadable(device, event);
        return;
    }
    g_autoptr(GError) error = NULL;
    Configuration *configuration = configuration_parse(event->data, event->size, &error);
    if (!configuration) {
        device_refuse(device, "%s", error->message);
        return;
    }
    g_ptr_array_add(device->configurations, configuration);
    bool more = ++reader->index < device->descriptor[USB_DEVICE_CONFIGURATIONS];
    next(device, more ? READ_CONFIGURATION_HEADER : READ_QUALIFIER);
}

static void got_languages(Device *device, const RdpusbDeviceEvent *event)
{
    if (event->status == RDPUSB_STATUS_SUCCESS && event->size >= 4) {
        device->reader.language = descriptor_u16(event->data + 2);
        watch_keep_string(device, WATCHED_LANGUAGES, event->data, event->size);
    }
    next(device, READ_MANUFACTURER);
}

static void got_string(Device *device, const RdpusbDeviceEvent *event)
{
    char **texts[] = {&device->info.manufacturer_name, &device->info.product_name,
                      &device->info.serial_number};
    unsigned which = device->reader.step - READ_MANUFACTURER;
    if (event->status == RDPUSB_STATUS_SUCCESS) {
        g_free(*texts[which]);
        *texts[which] = descriptors_string(event->data, event->size);
        watch_keep_string(device, WATCHED_MANUFACTURER + which, event->data, event->size);
    }
    next(device, device->reader.step + 1);
}

uint32_t read_start(Device *device, Job *job)
{
    return rdpusb_device_channel_control(device->channel, &job->setup, NULL, job);
}

void read_completed(Device *device, Job *job, const RdpusbDeviceEvent *event)
{
    switch ((ReadStep) device->reader.step) {
    case READ_DEVICE: got_device(device, event); break;
    case READ_CONFIGURATION_HEADER: got_configuration_header(device, event); break;
    case READ_CONFIGURATION: got_configuration(device, event); break;
    case READ_QUALIFIER:
        device->reader.qualifier =
            event->status == RDPUSB_STATUS_SUCCESS && event->size == QUALIFIER_SIZE;
        next(device, READ_LANGUAGES);
        break;
    case READ_LANGUAGES: got_languages(device, event); break;
    case READ_MANUFACTURER:
    case READ_PRODUCT:
    case READ_SERIAL_NUMBER: got_string(device, event); break;
    case READ_DONE: break;
    }
}
