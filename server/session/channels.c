/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "channels.h"

#include <gio/gio.h>

#include <freerdp/channels/channels.h>
#include <freerdp/channels/drdynvc.h>
#include <freerdp/channels/wtsvc.h>
#include <freerdp/freerdp.h>
#include <winpr/wtsapi.h>

/* Room for a message that is kept for the next one. */
#define KEPT_BYTES (1024 * 1024)

struct Channels {
    HANDLE manager;
    DWORD session;
    GHashTable *by_id; /* UINT32 -> Channel, owned */
    uint8_t *message;  /* the last one read */
    size_t room;       /* there */
    size_t written;    /* since the last flush */
};

struct Channel {
    Channels *channels;
    HANDLE handle;
    UINT32 id;
    ChannelState state;
};

/* The client may send this as often as it likes; the first one counts. */
static BOOL on_creation_status(void *data, UINT32 id, INT32 status)
{
    Channels *channels = data;
    Channel *channel = g_hash_table_lookup(channels->by_id, GUINT_TO_POINTER(id));
    if (channel && channel->state == CHANNEL_OPENING)
        channel->state = status < 0 ? CHANNEL_REFUSED : CHANNEL_OPEN;
    return TRUE;
}

static void free_channel(gpointer data)
{
    Channel *channel = data;
    WTSVirtualChannelClose(channel->handle);
    g_free(channel);
}

static bool query_session(Channels *channels)
{
    LPSTR buffer = NULL;
    DWORD size = 0;
    if (!WTSQuerySessionInformationA(channels->manager, WTS_CURRENT_SESSION, WTSSessionId, &buffer,
                                     &size))
        return false;
    channels->session = *(ULONG *) (void *) buffer;
    WTSFreeMemory(buffer);
    return true;
}

Channels *channels_new(rdpContext *context, GError **error)
{
    WTSRegisterWtsApiFunctionTable(FreeRDP_InitWtsApi());
    g_autoptr(Channels) channels = g_new0(Channels, 1);
    channels->by_id = g_hash_table_new_full(NULL, NULL, NULL, free_channel);
    channels->message = g_malloc(KEPT_BYTES);
    channels->room = KEPT_BYTES;
    channels->manager = WTSOpenServerA((LPSTR) context);
    if (channels->manager == INVALID_HANDLE_VALUE || !query_session(channels)) {
        g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_FAILED,
                            "FreeRDP made no manager of virtual channels");
        return NULL;
    }
    WTSVirtualChannelManagerSetDVCCreationCallback(channels->manager, on_creation_status, channels);
    return g_steal_pointer(&channels);
}

void channels_free(Channels *channels)
{
    if (!channels)
        return;
    g_clear_pointer(&channels->by_id, g_hash_table_unref);
    g_clear_pointer(&channels->message, g_free);
    if (channels->manager && channels->manager != INVALID_HANDLE_VALUE)
        WTSCloseServer(channels->manager);
    g_free(channels);
}

ChannelsState channels_state(const Channels *channels)
{
    if (!WTSVirtualChannelManagerIsChannelJoined(channels->manager, DRDYNVC_SVC_CHANNEL_NAME))
        return CHANNELS_NONE;
    switch (WTSVirtualChannelManagerGetDrdynvcState(channels->manager)) {
    case DRDYNVC_STATE_READY: return CHANNELS_READY;
    case DRDYNVC_STATE_FAILED: return CHANNELS_NONE;
    default: return CHANNELS_WAITING;
    }
}

void channels_flush(Channels *channels, bool activated)
{
    /* The set-up is tried once and for all, which before the activation is too early. When this
     * fails, the peer's next read fails too, and tells. */
    WTSVirtualChannelManagerCheckFileDescriptorEx(channels->manager, activated);
    channels->written = 0;
}

size_t channels_written(const Channels *channels)
{
    return channels->written;
}

Channel *channel_open(Channels *channels, const char *name)
{
    HANDLE handle =
        WTSVirtualChannelOpenEx(channels->session, (LPSTR) name, WTS_CHANNEL_OPTION_DYNAMIC);
    if (!handle)
        return NULL;
    Channel *channel = g_new0(Channel, 1);
    channel->channels = channels;
    channel->handle = handle;
    channel->id = WTSChannelGetIdByHandle(handle);
    g_hash_table_insert(channels->by_id, GUINT_TO_POINTER(channel->id), channel);
    return channel;
}

void channel_close(Channel *channel)
{
    if (channel)
        g_hash_table_remove(channel->channels->by_id, GUINT_TO_POINTER(channel->id));
}

ChannelState channel_state(const Channel *channel)
{
    return channel->state;
}

/* WTSVirtualChannelRead fails alike when there is nothing to read and when the client has closed;
 * this query fails only then. */
static bool closed_by_client(Channel *channel)
{
    PVOID ready = NULL;
    DWORD size = 0;
    if (!WTSVirtualChannelQuery(channel->handle, WTSVirtualChannelReady, &ready, &size))
        return true;
    WTSFreeMemory(ready);
    return false;
}

/* Makes room for a message of a size that the client chose, as far as there is memory. */
static void make_room(Channels *channels, size_t size)
{
    size_t room = MAX(size, KEPT_BYTES);
    if (size <= channels->room && channels->room == KEPT_BYTES)
        return;
    uint8_t *message = g_try_realloc(channels->message, room);
    if (!message)
        return;
    channels->message = message;
    channels->room = room;
}

/* Drops what did not fit of a message. */
static void drop(Channel *channel, size_t size)
{
    char scrap[4096];
    ULONG length;
    while (size > 0 && WTSVirtualChannelRead(channel->handle, 0, scrap,
                                             (ULONG) MIN(size, sizeof scrap), &length))
        size -= length;
}

const uint8_t *channel_read(Channel *channel, size_t *size)
{
    Channels *channels = channel->channels;
    if (channel->state != CHANNEL_OPEN)
        return NULL;
    ULONG total = 0, length = 0;
    if (!WTSVirtualChannelRead(channel->handle, 0, NULL, 0, &total)) {
        if (closed_by_client(channel))
            channel->state = CHANNEL_CLOSED;
        return NULL;
    }
    make_room(channels, total);
    if (!WTSVirtualChannelRead(channel->handle, 0, (PCHAR) channels->message,
                               (ULONG) channels->room, &length))
        return NULL;
    drop(channel, total - length);
    *size = length;
    return channels->message;
}

bool channel_write(Channel *channel, GBytes *message)
{
    gsize size;
    const void *data = g_bytes_get_data(message, &size);
    ULONG written = 0;
    channel->channels->written += size;
    return WTSVirtualChannelWrite(channel->handle, (PCHAR) data, (ULONG) size, &written);
}
