/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "client-rdp.h"

#include <gio/gio.h>
#include <string.h>

#include <freerdp/channels/channels.h>
#include <freerdp/channels/drdynvc.h>
#include <freerdp/error.h>
#include <freerdp/freerdp.h>
#include <freerdp/settings.h>
#include <winpr/ssl.h>
#include <winpr/synch.h>
#include <winpr/wlog.h>

#define MAX_HANDLES 64

struct ClientRdp {
    freerdp *instance;
    bool is_connected;
    bool is_over;
    ClientRdpReceived received;
    void *data;
    GByteArray *pdu; /* chunks of it so far */
    GQueue pdus;     /* GBytes, whole: the first of them come before the login is done */
};

/* FreeRDP allocates the context with room for our part. */
typedef struct {
    rdpContext context;
    ClientRdp *rdp;
} Context;

static BOOL on_channel_data(freerdp *instance, UINT16 channel, const BYTE *data, size_t size,
                            UINT32 flags, size_t total)
{
    ClientRdp *rdp = ((Context *) instance->context)->rdp;
    if (flags & CHANNEL_FLAG_FIRST)
        g_byte_array_set_size(rdp->pdu, 0);
    g_byte_array_append(rdp->pdu, data, (guint) size);
    if (flags & CHANNEL_FLAG_LAST)
        g_queue_push_tail(&rdp->pdus, g_bytes_new(rdp->pdu->data, rdp->pdu->len));
    return TRUE;
}

/* FreeRDP forgets earlier settings of channels when it connects, and asks for them here. */
static BOOL on_load_channels(freerdp *instance)
{
    rdpSettings *settings = instance->context->settings;
    CHANNEL_DEF drdynvc = {.options = CHANNEL_OPTION_INITIALIZED | CHANNEL_OPTION_ENCRYPT_RDP};
    g_strlcpy(drdynvc.name, DRDYNVC_SVC_CHANNEL_NAME, sizeof drdynvc.name);
    return freerdp_settings_set_pointer_array(settings, FreeRDP_ChannelDefArray, 0, &drdynvc) &&
           freerdp_settings_set_uint32(settings, FreeRDP_ChannelCount, 1);
}

static bool set_up(rdpSettings *settings, const ClientRdpOptions *options)
{
    g_autofree char *address = g_strdup(options->server);
    char *colon = strrchr(address, ':');
    if (!colon)
        return false;
    *colon = '\0';
    return freerdp_settings_set_string(settings, FreeRDP_ServerHostname, address) &&
           freerdp_settings_set_uint32(settings, FreeRDP_ServerPort,
                                       (UINT32) g_ascii_strtoull(colon + 1, NULL, 10)) &&
           freerdp_settings_set_string(settings, FreeRDP_Username, options->user) &&
           freerdp_settings_set_string(settings, FreeRDP_Password, options->password) &&
           /* Else the whole name goes into the first message, whose length has 8 bits. */
           freerdp_settings_set_bool(settings, FreeRDP_MstscCookieMode, TRUE) &&
           freerdp_settings_set_bool(settings, FreeRDP_IgnoreCertificate, TRUE) &&
           freerdp_settings_set_bool(settings, FreeRDP_NlaSecurity, FALSE) &&
           freerdp_settings_set_bool(settings, FreeRDP_RdpSecurity, FALSE) &&
           freerdp_settings_set_bool(settings, FreeRDP_DeactivateClientDecoding, TRUE) &&
           freerdp_settings_set_uint32(settings, FreeRDP_DesktopWidth, 640) &&
           freerdp_settings_set_uint32(settings, FreeRDP_DesktopHeight, 480);
}

static bool log_in(ClientRdp *rdp, const ClientRdpOptions *options, GError **error)
{
    freerdp *instance = rdp->instance;
    instance->ContextSize = sizeof(Context);
    if (!freerdp_context_new(instance)) {
        g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_FAILED, "FreeRDP made no context");
        return false;
    }
    ((Context *) instance->context)->rdp = rdp;
    instance->ReceiveChannelData = on_channel_data;
    if (options->has_drdynvc)
        instance->LoadChannels = on_load_channels;
    if (!set_up(instance->context->settings, options)) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                    "FreeRDP did not take its settings, among them the server '%s'",
                    options->server);
        return false;
    }
    rdp->is_connected = freerdp_connect(instance);
    if (!rdp->is_connected)
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_CONNECTION_REFUSED, "no login: %s",
                    freerdp_get_last_error_string(freerdp_get_last_error(instance->context)));
    return rdp->is_connected;
}

ClientRdp *client_rdp_new(const ClientRdpOptions *options, GError **error)
{
    WLog_SetLogLevel(WLog_GetRoot(), WLOG_OFF);
    winpr_InitializeSSL(WINPR_SSL_INIT_DEFAULT);
    g_autoptr(ClientRdp) rdp = g_new0(ClientRdp, 1);
    rdp->received = options->received;
    rdp->data = options->data;
    rdp->pdu = g_byte_array_new();
    g_queue_init(&rdp->pdus);
    rdp->instance = freerdp_new();
    return log_in(rdp, options, error) ? g_steal_pointer(&rdp) : NULL;
}

void client_rdp_free(ClientRdp *rdp)
{
    if (!rdp)
        return;
    if (rdp->is_connected)
        freerdp_disconnect(rdp->instance);
    if (rdp->instance->context)
        freerdp_context_free(rdp->instance);
    freerdp_free(rdp->instance);
    g_byte_array_unref(rdp->pdu);
    g_queue_clear_full(&rdp->pdus, (GDestroyNotify) g_bytes_unref);
    g_free(rdp);
}

static void deliver(ClientRdp *rdp)
{
    GBytes *pdu;
    while ((pdu = g_queue_pop_head(&rdp->pdus))) {
        gsize size;
        const uint8_t *bytes = g_bytes_get_data(pdu, &size);
        rdp->received(bytes, size, rdp->data);
        g_bytes_unref(pdu);
    }
}

static gint milliseconds_until(int64_t deadline)
{
    int64_t left = deadline - g_get_monotonic_time();
    return (gint) CLAMP(left / 1000 + 1, 0, 1000 * 1000);
}

/* WinPR's own way of waiting does not notice the end of a pipe. */
static bool wait_for(ClientRdp *rdp, int fd, int64_t deadline)
{
    HANDLE handles[MAX_HANDLES];
    GPollFD fds[MAX_HANDLES + 1] = {{.fd = fd, .events = G_IO_IN}};
    guint n = 0;
    if (!rdp->is_over)
        n = freerdp_get_event_handles(rdp->instance->context, handles, MAX_HANDLES);
    for (guint i = 0; i < n; i++)
        fds[1 + i] = (GPollFD){.fd = GetEventFileDescriptor(handles[i]), .events = G_IO_IN};
    return g_poll(fds, 1 + n, milliseconds_until(deadline)) > 0 && fds[0].revents != 0;
}

bool client_rdp_serve(ClientRdp *rdp, int fd, int64_t deadline)
{
    rdpContext *context = rdp->instance->context;
    deliver(rdp);
    bool is_readable = wait_for(rdp, fd, deadline);
    if (!rdp->is_over)
        rdp->is_over =
            !freerdp_check_event_handles(context) || freerdp_shall_disconnect_context(context);
    deliver(rdp);
    return is_readable;
}

const char *client_rdp_end(const ClientRdp *rdp)
{
    rdpContext *context = rdp->instance->context;
    if (!rdp->is_over)
        return NULL;
    UINT32 info = freerdp_error_info(rdp->instance);
    if (info != ERRINFO_SUCCESS)
        return freerdp_get_error_info_name(info);
    return freerdp_get_last_error_name(freerdp_get_last_error(context));
}

static UINT16 channel_id(ClientRdp *rdp)
{
    return rdp->is_over ? 0
                        : freerdp_channels_get_id_by_name(rdp->instance, DRDYNVC_SVC_CHANNEL_NAME);
}

bool client_rdp_send(ClientRdp *rdp, const uint8_t *pdu, size_t size)
{
    UINT16 channel = channel_id(rdp);
    return channel != 0 && rdp->instance->SendChannelData(rdp->instance, channel, pdu, size);
}

bool client_rdp_send_chunk(ClientRdp *rdp, uint32_t total, uint32_t flags, const uint8_t *data,
                           size_t size)
{
    UINT16 channel = channel_id(rdp);
    return channel != 0 &&
           rdp->instance->SendChannelPacket(rdp->instance, channel, total, flags, data, size);
}
