/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "capture-file.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <unistd.h>

struct CaptureFile {
    int fd;
    uint32_t number;
    uint64_t size;
};

CaptureFile *capture_file_new(int fd, uint32_t number)
{
    CaptureFile *file = g_new0(CaptureFile, 1);
    file->fd = fd;
    file->number = number;
    return file;
}

void capture_file_free(CaptureFile *file)
{
    if (!file)
        return;
    g_close(file->fd, NULL);
    g_free(file);
}

static bool write_all(CaptureFile *file, GBytes *bytes)
{
    size_t size;
    const uint8_t *data = g_bytes_get_data(bytes, &size);
    while (size > 0) {
        ssize_t n = write(file->fd, data, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return false;
        data += n;
        size -= n;
        file->size += n;
    }
    return true;
}

bool capture_file_write(CaptureFile *file, RdpusbBridge *bridge, int64_t now)
{
    g_autoptr(GBytes) bytes = rdpusb_bridge_next_capture(bridge);
    if (bytes && !write_all(file, bytes)) {
        g_warning("device %u: its capture ended after %" G_GUINT64_FORMAT " bytes: %s. The device "
                  "goes on",
                  file->number, file->size, g_strerror(errno));
        rdpusb_bridge_stop_capture(bridge, "", now);
        return false;
    }
    if (!rdpusb_bridge_is_capturing(bridge))
        g_message("device %u: its capture ended after %" G_GUINT64_FORMAT " bytes: this is its "
                  "limit. The device goes on",
                  file->number, file->size);
    return rdpusb_bridge_is_capturing(bridge);
}

void capture_file_end(CaptureFile *file, RdpusbBridge *bridge, int64_t now)
{
    if (!capture_file_write(file, bridge, now))
        return;
    const char *reason = rdpusb_bridge_reason(bridge);
    g_autofree char *note =
        g_strdup_printf("device: gone: %s", *reason ? reason : "the session ends");
    rdpusb_bridge_stop_capture(bridge, note, now);
    g_autoptr(GBytes) last = rdpusb_bridge_next_capture(bridge);
    if (!last || write_all(file, last))
        g_debug("device %u: its capture has %" G_GUINT64_FORMAT " bytes", file->number, file->size);
    else
        g_warning("device %u: the last frame of its capture is missing: %s", file->number,
                  g_strerror(errno));
}
