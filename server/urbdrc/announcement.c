/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "announcement.h"

/* Windows' own limits are 200 characters for an id; nobody has more than a handful of them. */
enum { MAX_ID_SIZE = 1024, MAX_IDS = 16 };

static char *text(const WireText *wire)
{
    char utf8[MAX_ID_SIZE];
    wire_text_first(wire, utf8, sizeof utf8);
    return g_strdup(utf8);
}

static char **list(const WireText *wire)
{
    char *ids[MAX_IDS + 1] = {NULL};
    char utf8[MAX_ID_SIZE];
    uint32_t position = 0;
    for (unsigned i = 0; i < MAX_IDS && wire_text_next(wire, &position, utf8, sizeof utf8); i++)
        ids[i] = g_strdup(utf8);
    return g_memdup2(ids, sizeof ids);
}

void urbdrc_announcement_init(RdpusbAnnouncement *announcement, const WireAddDevice *m)
{
    const WireUsbDeviceCapabilities *capabilities = &m->usb_device_capabilities;
    *announcement = (RdpusbAnnouncement){
        .usb_device = m->usb_device,
        .device_instance_id = text(&m->device_instance_id),
        .hardware_ids = list(&m->hardware_ids),
        .compatibility_ids = list(&m->compatibility_ids),
        .container_id = text(&m->container_id),
        .supported_usb_version = capabilities->supported_usb_version,
        .device_is_high_speed = capabilities->device_is_high_speed,
        .no_ack_isoch_write_jitter_buffer_size_in_ms =
            capabilities->no_ack_isoch_write_jitter_buffer_size_in_ms,
    };
}

void urbdrc_announcement_take_location(RdpusbAnnouncement *announcement, const WireText *wire)
{
    g_free(announcement->location);
    announcement->location = text(wire);
}

void urbdrc_announcement_clear(RdpusbAnnouncement *announcement)
{
    g_free(announcement->device_instance_id);
    g_strfreev(announcement->hardware_ids);
    g_strfreev(announcement->compatibility_ids);
    g_free(announcement->container_id);
    g_free(announcement->location);
    *announcement = (RdpusbAnnouncement){0};
}
