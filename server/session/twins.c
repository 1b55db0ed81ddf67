/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "twins.h"

typedef enum { TWINS_NO, TWINS_PERHAPS, TWINS_YES } Twins;

static Twins compare(const RdpusbAnnouncement *a, const RdpusbAnnouncement *b)
{
    if (!g_str_equal(a->device_instance_id, b->device_instance_id) ||
        !g_str_equal(a->container_id, b->container_id) ||
        !g_strv_equal((const char *const *) a->hardware_ids, (const char *const *) b->hardware_ids))
        return TWINS_NO;
    if (!a->location || !b->location)
        return TWINS_PERHAPS;
    return *a->location && g_str_equal(a->location, b->location) ? TWINS_YES : TWINS_NO;
}

static bool counts(const UsbDevice *device)
{
    return usb_device_is_held_by_client(device) && usb_device_twin_of(device) == 0;
}

static void settle(GPtrArray *devices, UsbDevice *device, int64_t now)
{
    bool settled = true;
    for (guint i = 0; i < devices->len; i++) {
        UsbDevice *other = devices->pdata[i];
        if (other == device || !counts(other))
            continue;
        switch (compare(usb_device_announcement(device), usb_device_announcement(other))) {
        case TWINS_NO: break;
        case TWINS_PERHAPS:
            usb_device_query_location(device);
            usb_device_query_location(other);
            settled = false;
            break;
        case TWINS_YES: usb_device_leave_alone(device, other, now); return;
        }
    }
    if (settled)
        usb_device_settle(device);
}

/* The newest first: of two, the one that came later is the twin. When a channel is closed FreeRDP
 * gives the elder of the two back, whichever channel it was. */
void twins_find(GPtrArray *devices, int64_t now)
{
    for (guint i = devices->len; i > 0; i--) {
        UsbDevice *device = devices->pdata[i - 1];
        if (counts(device) && !usb_device_is_settled(device))
            settle(devices, device, now);
    }
}
