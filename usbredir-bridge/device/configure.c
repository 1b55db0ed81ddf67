/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "configure.h"
#include "job.h"
#include "oneshot.h"
#include "stream.h"
#include "watch.h"

#define MAX_FAILED_SELECTIONS 3

/* ---- Tables ---- */

/* ep_info's interval is a number of frames or microframes for QEMU, bInterval an exponent; QEMU
 * computes its isochronous buffers from it. 0 makes QEMU reject the device. */
static uint8_t guest_interval(const EndpointDescriptor *descriptor)
{
    if (descriptor->type == ENDPOINT_ISOCHRONOUS)
        return descriptor->interval > 8 ? 255 : 1u << (MAX(descriptor->interval, 1) - 1);
    return descriptor->type == ENDPOINT_INTERRUPT ? MAX(descriptor->interval, 1)
                                                  : descriptor->interval;
}

/* Of one service interval: several packets of a fast endpoint. */
static uint16_t packet_size(const Device *device, const EndpointDescriptor *descriptor)
{
    uint16_t size = descriptor->max_packet_size & 0x7ff;
    if (device->info.speed == RDPUSB_SPEED_SUPER && descriptor->bytes_per_interval > 0)
        return descriptor->bytes_per_interval;
    if (descriptor->type == ENDPOINT_ISOCHRONOUS && device->info.speed == RDPUSB_SPEED_HIGH)
        size *= 1 + (descriptor->max_packet_size >> 11 & 3);
    return size;
}

static void clear_endpoint(Device *device, Endpoint *endpoint)
{
    stream_forget(endpoint);
    endpoint_cancel(device, endpoint, true);
    endpoint->type = ENDPOINT_NONE;
    endpoint->interval = endpoint->interface = 0;
    endpoint->max_packet_size = 0;
    endpoint->pipe_handle = 0;
}

static const RdpusbPipe *find_pipe(const RdpusbDeviceEvent *event, uint8_t address)
{
    for (size_t i = 0; i < event->n_pipes; i++)
        if (event->pipes[i].endpoint_address == address)
            return &event->pipes[i];
    return NULL;
}

/* FreeRDP up to 3.22 reports success whatever happened; that the pipes are there proves it. */
static bool has_pipes(const RdpusbDeviceEvent *event, const InterfaceSetting *setting)
{
    for (unsigned i = 0; i < setting->n_endpoints; i++)
        if (!find_pipe(event, setting->endpoints[i].address))
            return false;
    return true;
}

static void fill_endpoints(Device *device, const RdpusbDeviceEvent *event,
                           const InterfaceSetting *setting)
{
    for (unsigned i = 0; i < setting->n_endpoints; i++) {
        const EndpointDescriptor *descriptor = &setting->endpoints[i];
        Endpoint *endpoint = &device->endpoints[ENDPOINT_SLOT(descriptor->address)];
        endpoint->address = descriptor->address;
        endpoint->type = descriptor->type;
        endpoint->interface = setting->number;
        endpoint->interval = guest_interval(descriptor);
        endpoint->max_packet_size = packet_size(device, descriptor);
        endpoint->pipe_handle = find_pipe(event, descriptor->address)->pipe_handle;
    }
}

static void announce_tables(Device *device, const Job *job)
{
    if (job->answered)
        return;
    device_answer(device, ANSWER_INTERFACE_INFO, 0, DEVICE_SUCCESS);
    device_answer(device, ANSWER_EP_INFO, 0, DEVICE_SUCCESS);
}

/* ---- Configurations ---- */

static const Configuration *find_configuration(const Device *device, uint8_t value)
{
    for (unsigned i = 0; i < device->configurations->len; i++) {
        const Configuration *configuration = g_ptr_array_index(device->configurations, i);
        if (configuration->value == value)
            return configuration;
    }
    return NULL;
}

static uint32_t select_configuration(Device *device, const Configuration *configuration, Job *job)
{
    size_t size = 0;
    const void *bytes = configuration ? g_bytes_get_data(configuration->bytes, &size) : NULL;
    device->dirty = true; /* until the client says otherwise */
    if (configuration) {
        device->client_configuration = configuration;
        device->client_interfaces = configuration->n_interfaces;
    }
    return rdpusb_device_channel_select_configuration(device->channel, bytes, size, job);
}

static bool is_selected(const RdpusbDeviceEvent *event, const Configuration *configuration)
{
    if (event->status != RDPUSB_STATUS_SUCCESS)
        return false;
    if (!configuration)
        return true;
    for (unsigned i = 0; i < configuration->n_interfaces; i++)
        if (!has_pipes(event, configuration_setting(configuration, i, 0)))
            return false;
    return event->configuration_handle != 0;
}

static bool apply_configuration(Device *device, const Configuration *configuration,
                                const RdpusbDeviceEvent *event)
{
    if (!is_selected(event, configuration))
        return false;
    for (unsigned slot = 0; slot < ENDPOINT_SLOTS; slot++)
        clear_endpoint(device, &device->endpoints[slot]);
    device->configuration = configuration;
    device->configuration_handle = event->configuration_handle;
    for (unsigned i = 0; i < USB_MAX_INTERFACES; i++)
        device->alternates[i] = 0;
    for (unsigned i = 0; configuration && i < configuration->n_interfaces; i++)
        fill_endpoints(device, event, configuration_setting(configuration, i, 0));
    device->dirty = device->used_since_reset = false;
    device->failed_selections = 0;
    return true;
}

/* Each selection has one before it: what there is to do shows when its turn comes. */
static void push_selection(Device *device, Job *selection)
{
    selection->hold = ALL_ENDPOINTS;
    if (device->configurations->len > 1) {
        Job *room = job_new(JOB_MAKE_ROOM, 0);
        room->configuration = selection->configuration;
        room->hold = ALL_ENDPOINTS;
        jobs_push(device, room);
    }
    jobs_push(device, selection);
}

uint32_t make_room_start(Device *device, Job *job)
{
    const Configuration *next = find_configuration(device, job->configuration);
    const Configuration *present = device->client_configuration;
    if (!next || !present || next->n_interfaces <= device->client_interfaces)
        return 0;
    size_t size;
    const uint8_t *bytes = g_bytes_get_data(present->bytes, &size);
    device->dirty = true;
    device->client_interfaces = next->n_interfaces;
    return rdpusb_device_channel_make_room(device->channel, bytes, size, next->n_interfaces, job);
}

/* Whatever it came to, the selection behind it tells. */
void make_room_completed(Device *device, Job *job, const RdpusbDeviceEvent *event)
{
}

void select_default(Device *device)
{
    const Configuration *first = g_ptr_array_index(device->configurations, 0);
    Job *job = job_new(JOB_SELECT_DEFAULT, 0);
    job->configuration = first->value;
    push_selection(device, job);
}

uint32_t select_default_start(Device *device, Job *job)
{
    return select_configuration(device, g_ptr_array_index(device->configurations, 0), job);
}

void select_default_completed(Device *device, Job *job, const RdpusbDeviceEvent *event)
{
    const Configuration *configuration = g_ptr_array_index(device->configurations, 0);
    if (!apply_configuration(device, configuration, event)) {
        device_refuse(device,
                      "the client could not select configuration %u (%s, %zu of its endpoints "
                      "there): is the device in use by another program on that computer?",
                      configuration->value, rdpusb_status_to_string(event->status), event->n_pipes);
        return;
    }
    if (device->state == DEVICE_READING)
        device->state = DEVICE_READY;
    device_announce(device);
}

uint32_t set_configuration_start(Device *device, Job *job)
{
    const Configuration *configuration = find_configuration(device, job->configuration);
    if (job->configuration != 0 && !configuration) {
        job_answer(device, job, DEVICE_STALL, NULL, 0);
        return 0;
    }
    /* Selecting again resets the device at FreeRDP's end: not if nothing was done since. */
    if (configuration == device->configuration && !device->dirty) {
        announce_tables(device, job); /* which may be others meanwhile, see port.h */
        job_answer(device, job, DEVICE_SUCCESS, NULL, 0);
        return 0;
    }
    return select_configuration(device, configuration, job);
}

void set_configuration_completed(Device *device, Job *job, const RdpusbDeviceEvent *event)
{
    const Configuration *configuration = find_configuration(device, job->configuration);
    if (apply_configuration(device, configuration, event)) {
        announce_tables(device, job);
        job_answer(device, job, DEVICE_SUCCESS, NULL, 0);
        watch_check(device);
        return;
    }
    job_answer(device, job, DEVICE_IOERROR, NULL, 0);
    if (++device->failed_selections >= MAX_FAILED_SELECTIONS)
        device_refuse(device, "the client failed to select configuration %u %d times (%s)",
                      job->configuration, MAX_FAILED_SELECTIONS,
                      rdpusb_status_to_string(event->status));
}

void device_set_configuration(Device *device, uint64_t id, uint8_t value, int64_t now)
{
    device->now = now;
    Job *job = job_new(JOB_SET_CONFIGURATION, id);
    job->configuration = value;
    endpoints_abandon(device, ALL_ENDPOINTS, true);
    push_selection(device, job);
}

void device_get_configuration(Device *device, uint64_t id, int64_t now)
{
    device->now = now;
    Answer *answer = device_answer(device, ANSWER_CONFIGURATION_STATUS, id, DEVICE_SUCCESS);
    answer->configuration = device->configuration ? device->configuration->value : 0;
}

/* ---- Alternate settings ---- */

static const InterfaceSetting *find_setting(const Device *device, uint8_t interface,
                                            uint8_t alternate)
{
    return device->configuration
               ? configuration_setting(device->configuration, interface, alternate)
               : NULL;
}

uint32_t set_alt_setting_start(Device *device, Job *job)
{
    /* A change of configuration before it in the queue may have taken the setting away. */
    if (!find_setting(device, job->interface, job->alternate)) {
        job_answer(device, job, DEVICE_STALL, NULL, 0);
        return 0;
    }
    size_t size;
    const uint8_t *bytes = g_bytes_get_data(device->configuration->bytes, &size);
    device->dirty = device->used_since_reset = true;
    return rdpusb_device_channel_select_interface(device->channel, device->configuration_handle,
                                                  bytes, size, job->interface, job->alternate, job);
}

void set_alt_setting_completed(Device *device, Job *job, const RdpusbDeviceEvent *event)
{
    const InterfaceSetting *setting = find_setting(device, job->interface, job->alternate);
    if (event->status != RDPUSB_STATUS_SUCCESS || !has_pipes(event, setting)) {
        job_answer(device, job, DEVICE_STALL, NULL, 0);
        return;
    }
    for (unsigned slot = 0; slot < ENDPOINT_SLOTS; slot++) {
        Endpoint *endpoint = &device->endpoints[slot];
        if (endpoint->type != ENDPOINT_NONE && endpoint->interface == job->interface)
            clear_endpoint(device, endpoint);
    }
    fill_endpoints(device, event, setting);
    device->alternates[job->interface] = job->alternate;
    announce_tables(device, job);
    job_answer(device, job, DEVICE_SUCCESS, NULL, 0);
}

/* The endpoints of the interface, as it is and as it will be. */
static uint32_t slots_of(const Device *device, uint8_t interface, const InterfaceSetting *setting)
{
    uint32_t slots = 0;
    for (unsigned slot = 0; slot < ENDPOINT_SLOTS; slot++)
        if (device->endpoints[slot].type != ENDPOINT_NONE &&
            device->endpoints[slot].interface == interface)
            slots |= 1u << slot;
    for (unsigned i = 0; i < setting->n_endpoints; i++)
        slots |= 1u << ENDPOINT_SLOT(setting->endpoints[i].address);
    return slots;
}

void device_set_alt_setting(Device *device, uint64_t id, uint8_t interface, uint8_t alternate,
                            int64_t now)
{
    device->now = now;
    Job *job = job_new(JOB_SET_ALT_SETTING, id);
    job->interface = interface;
    job->alternate = alternate;
    const InterfaceSetting *setting = find_setting(device, interface, alternate);
    if (!setting) {
        job_refuse(device, job, DEVICE_STALL);
        return;
    }
    job->hold = slots_of(device, interface, setting);
    endpoints_abandon(device, job->hold, true);
    jobs_push(device, job);
}

void device_get_alt_setting(Device *device, uint64_t id, uint8_t interface, int64_t now)
{
    device->now = now;
    bool exists = find_setting(device, interface, 0) != NULL;
    Answer *answer = device_answer(device, ANSWER_ALT_SETTING_STATUS, id,
                                   exists ? DEVICE_SUCCESS : DEVICE_STALL);
    answer->interface = interface;
    answer->alternate = exists ? device->alternates[interface] : 0;
}
