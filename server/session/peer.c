/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "peer.h"

#include <errno.h>
#include <gio/gio.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <freerdp/crypto/certificate.h>
#include <freerdp/crypto/privatekey.h>
#include <freerdp/error.h>
#include <freerdp/freerdp.h>
#include <freerdp/peer.h>
#include <freerdp/session.h>
#include <freerdp/update.h>
#include <winpr/ssl.h>

#include "screen.h"

/* TLS' own number for 1.2, RFC 5246 6.2.1 */
#define TLS_1_2 0x0303

/* FreeRDP hands over one PDU per call: so many before other sources get a turn. */
#define PDUS_PER_TURN 64

/* The least that needs a second PDU on a dynamic virtual channel. */
#define PDU_BYTES 1600

/* How long the client may take nothing of what waits for it. */
#define DEAD_SECONDS 90

/* How long the client has to take our last words. */
#define GOODBYE_MS 300

struct Peer {
    freerdp_peer *freerdp;
    int fd; /* owned by FreeRDP */
    GSource *source;
    gpointer fd_tag;
    GIOCondition watched; /* on the socket */
    Screen *screen;
    Channels *channels;
    const PeerCallbacks *callbacks;
    gpointer data;
    bool over;
};

/* FreeRDP allocates the context with room for our part. */
typedef struct {
    rdpContext context;
    Peer *peer;
} Context;

static Peer *peer_of(rdpContext *context)
{
    return ((Context *) context)->peer;
}

/* ---- FreeRDP's callbacks ---- */

static void wipe_password(rdpSettings *settings)
{
    char *password = freerdp_settings_get_string_writable(settings, FreeRDP_Password);
    if (password)
        explicit_bzero(password, strlen(password));
}

static const char *setting_or_empty(rdpSettings *settings, FreeRDP_Settings_Keys_String key)
{
    const char *value = freerdp_settings_get_string(settings, key);
    return value ? value : "";
}

/* Before the server tells its own colour depth, by which the session goes. FreeRDP's compression
 * for 24 bits per pixel gives garbage (as its own servers know, which avoid it too). */
static BOOL on_capabilities(freerdp_peer *rdp)
{
    rdpSettings *settings = rdp->context->settings;
    return freerdp_settings_get_uint32(settings, FreeRDP_ColorDepth) != 24 ||
           freerdp_settings_set_uint32(settings, FreeRDP_ColorDepth, 16);
}

static bool on_prove(const NlaProof *proof, uint8_t *hash, gpointer data)
{
    Peer *peer = data;
    return peer->callbacks->prove(proof, hash, peer->data);
}

/* The first moment at which a client of every kind understands a refusal: the PDUs that carry its
 * reason belong to an active connection. No channel is open yet. */
static BOOL on_post_connect(freerdp_peer *rdp)
{
    Peer *peer = peer_of(rdp->context);
    rdpSettings *settings = rdp->context->settings;
    bool welcome = peer->callbacks->login(
        setting_or_empty(settings, FreeRDP_Username), setting_or_empty(settings, FreeRDP_Domain),
        setting_or_empty(settings, FreeRDP_Password),
        setting_or_empty(settings, FreeRDP_ClientHostname), peer->data);
    wipe_password(settings);
    if (!welcome)
        peer_disconnect(peer, PEER_END_DENIED);
    return welcome;
}

static BOOL on_activate(freerdp_peer *rdp)
{
    Peer *peer = peer_of(rdp->context);
    screen_activate(peer->screen);
    peer->callbacks->activated(peer->data);
    return TRUE;
}

static BOOL on_refresh_rect(rdpContext *context, BYTE count, const RECTANGLE_16 *areas)
{
    for (BYTE i = 0; i < count; i++)
        screen_refresh(peer_of(context)->screen, areas[i].top, areas[i].bottom);
    return TRUE;
}

static BOOL on_suppress_output(rdpContext *context, BYTE allow, const RECTANGLE_16 *area)
{
    screen_suppress(peer_of(context)->screen, !allow);
    return TRUE;
}

/* ---- The main context ---- */

typedef struct {
    GSource source;
    Peer *peer;
} PeerSource;

/* What FreeRDP has read from the socket and not yet looked at is announced by no descriptor. */
static bool has_more_to_read(Peer *peer)
{
    return peer->freerdp->HasMoreToRead(peer->freerdp);
}

/* GLib wakes the main loop on every call, changed or not: without the comparison it never rests. */
static void watch(Peer *peer, GIOCondition condition)
{
    if (condition != peer->watched)
        g_source_modify_unix_fd(peer->source, peer->fd_tag, condition);
    peer->watched = condition;
}

static gboolean peer_source_prepare(GSource *source, gint *timeout)
{
    Peer *peer = ((PeerSource *) source)->peer;
    watch(peer, G_IO_IN | G_IO_HUP | G_IO_ERR | (peer_write_blocked(peer) ? G_IO_OUT : 0));
    *timeout = -1;
    return has_more_to_read(peer);
}

static gboolean peer_source_check(GSource *source)
{
    Peer *peer = ((PeerSource *) source)->peer;
    return has_more_to_read(peer) || g_source_query_unix_fd(source, peer->fd_tag) != 0;
}

/* Nothing is wrong with the socket, and FreeRDP names no error: it did not take what it read. */
static bool has_refused(Peer *peer)
{
    rdpContext *context = peer->freerdp->context;
    GPollFD poll = {.fd = peer->fd, .events = POLLRDHUP};
    return freerdp_get_last_error(context) == FREERDP_ERROR_SUCCESS &&
           !freerdp_shall_disconnect_context(context) && g_poll(&poll, 1, 0) == 0;
}

static const char *why_closed(Peer *peer)
{
    rdpContext *context = peer->freerdp->context;
    UINT32 error = freerdp_get_last_error(context);
    if (freerdp_shall_disconnect_context(context))
        return "the client disconnected";
    if (error == FREERDP_ERROR_SUCCESS || error == FREERDP_ERROR_CONNECT_TRANSPORT_FAILED)
        return "the connection was lost";
    return freerdp_get_last_error_string(error);
}

/* Reads what is there, and tells of it. What came first does not wait for the look whether there is
 * more: an event of a mouse is one PDU. False when the connection is over. */
static bool read_pdus(Peer *peer)
{
    freerdp_peer *rdp = peer->freerdp;
    unsigned n = 0; /* PDUs so far, as far as FreeRDP tells: it has to look for more after each */
    for (; n < PDUS_PER_TURN && !peer->over; n++) {
        if (!rdp->CheckFileDescriptor(rdp))
            return false;
        if (!has_more_to_read(peer))
            break;
        if (n == 0)
            peer->callbacks->progress(peer->data);
    }
    if (n != 1 && !peer->over)
        peer->callbacks->progress(peer->data);
    return !freerdp_shall_disconnect_context(rdp->context);
}

static void send_screen(Peer *peer)
{
    while (peer->freerdp->activated && !peer_write_blocked(peer) && screen_send_row(peer->screen))
        continue;
}

static gboolean peer_source_dispatch(GSource *source, GSourceFunc callback, gpointer data)
{
    Peer *peer = ((PeerSource *) source)->peer;
    bool alive = !peer_write_blocked(peer) || peer->freerdp->DrainOutputBuffer(peer->freerdp) >= 0;
    alive = alive && read_pdus(peer);
    if (peer->over)
        return G_SOURCE_REMOVE;
    if (!alive) {
        peer->over = true;
        if (has_refused(peer))
            peer->callbacks->refused(peer->data);
        else
            peer->callbacks->closed(why_closed(peer), peer->data);
        return G_SOURCE_REMOVE;
    }
    send_screen(peer);
    return G_SOURCE_CONTINUE;
}

static GSourceFuncs peer_source_funcs = {
    .prepare = peer_source_prepare,
    .check = peer_source_check,
    .dispatch = peer_source_dispatch,
};

static void attach_source(Peer *peer)
{
    peer->source = g_source_new(&peer_source_funcs, sizeof(PeerSource));
    ((PeerSource *) peer->source)->peer = peer;
    g_source_set_name(peer->source, "rdp");
    /* It never does. But GLib takes the descriptor of a source that cannot out of poll() for the
     * time of each call, for which it wakes the main loop twice. */
    g_source_set_can_recurse(peer->source, TRUE);
    peer->watched = G_IO_IN;
    peer->fd_tag = g_source_add_unix_fd(peer->source, peer->fd, peer->watched);
    g_source_attach(peer->source, NULL);
}

/* ---- Life ---- */

static bool set_certificate(rdpSettings *settings, const char *certificate_pem, const char *key_pem,
                            GError **error)
{
    rdpCertificate *certificate = freerdp_certificate_new_from_pem(certificate_pem);
    if (!certificate ||
        !freerdp_settings_set_pointer_len(settings, FreeRDP_RdpServerCertificate, certificate, 1)) {
        g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                            "the server's certificate is no PEM that FreeRDP can read");
        return false;
    }
    rdpPrivateKey *key = freerdp_key_new_from_pem(key_pem);
    if (!key || !freerdp_settings_set_pointer_len(settings, FreeRDP_RdpServerRsaKey, key, 1)) {
        g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                            "the server's private key is no PEM that FreeRDP can read");
        return false;
    }
    return true;
}

static bool set_up(rdpSettings *settings, const PeerSecurity *security)
{
    const struct {
        FreeRDP_Settings_Keys_Bool key;
        BOOL value;
    } values[] = {
        {FreeRDP_TlsSecurity, security->tls},
        {FreeRDP_NlaSecurity, security->nla},
        {FreeRDP_Authentication, TRUE}, /* without it, NLA would let everybody in */
        {FreeRDP_RdpSecurity, FALSE},
        {FreeRDP_UseRdpSecurityLayer, FALSE},
        {FreeRDP_SupportErrorInfoPdu, TRUE},
        {FreeRDP_RefreshRect, TRUE},
        {FreeRDP_SuppressOutput, TRUE},
        {FreeRDP_SurfaceCommandsEnabled, FALSE},
        {FreeRDP_SupportGraphicsPipeline, FALSE},
        {FreeRDP_SupportMultitransport, FALSE},
        {FreeRDP_NetworkAutoDetect, FALSE},
        /* Else a write waits until a slow client has taken all of it. */
        {FreeRDP_WaitForOutputBufferFlush, FALSE},
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(values); i++) {
        if (!freerdp_settings_set_bool(settings, values[i].key, values[i].value))
            return false;
    }
    return freerdp_settings_set_string(settings, FreeRDP_KerberosKeytab, security->keytab) &&
           freerdp_settings_set_uint32(settings, FreeRDP_ColorDepth, 32) &&
           freerdp_settings_set_uint16(settings, FreeRDP_TLSMinVersion, TLS_1_2);
}

static bool initialize(Peer *peer, const PeerSecurity *security, GError **error)
{
    freerdp_peer *rdp = peer->freerdp;
    rdpContext *context = rdp->context;
    ((Context *) context)->peer = peer;
    if (!set_certificate(context->settings, security->certificate, security->private_key, error))
        return false;
    rdp->Capabilities = on_capabilities;
    rdp->PostConnect = on_post_connect;
    rdp->Activate = on_activate;
    nla_set_up(rdp, on_prove, peer);
    context->update->RefreshRect = on_refresh_rect;
    context->update->SuppressOutput = on_suppress_output;
    peer->screen = screen_new(context);
    peer->channels = channels_new(context, error);
    if (!peer->channels)
        return false;
    if (!set_up(context->settings, security) || !rdp->Initialize(rdp)) {
        g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_FAILED,
                            "FreeRDP did not take its settings");
        return false;
    }
    return true;
}

/* The listener's keep-alive notices a client that went away while nothing was said; this one that
 * went while something waits for it. */
static void limit_silence(int fd)
{
    int timeout = DEAD_SECONDS * 1000;
    if (setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout, sizeof timeout) != 0)
        g_message("a client that vanishes will be noticed late: %s", g_strerror(errno));
}

Peer *peer_new(int fd, const PeerSecurity *security, const PeerCallbacks *callbacks, gpointer data,
               GError **error)
{
    g_autoptr(Peer) peer = g_new0(Peer, 1);
    peer->fd = fd;
    peer->callbacks = callbacks;
    peer->data = data;
    peer->freerdp = freerdp_peer_new(fd);
    if (!peer->freerdp) {
        close(fd);
        g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_FAILED, "FreeRDP made no peer");
        return NULL;
    }
    winpr_InitializeSSL(WINPR_SSL_INIT_DEFAULT); /* MD4 and RC4, which NTLM is made of */
    peer->freerdp->ContextSize = sizeof(Context);
    if (!freerdp_peer_context_new(peer->freerdp)) {
        g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_FAILED, "FreeRDP made no context");
        return NULL;
    }
    if (!initialize(peer, security, error))
        return NULL;
    limit_silence(fd);
    attach_source(peer);
    return g_steal_pointer(&peer);
}

void peer_free(Peer *peer)
{
    if (!peer)
        return;
    if (peer->source) {
        g_source_destroy(peer->source);
        g_source_unref(peer->source);
    }
    g_clear_pointer(&peer->channels, channels_free);
    g_clear_pointer(&peer->screen, screen_free);
    if (peer->freerdp) {
        nla_clear(peer->freerdp);
        freerdp_peer_context_free(peer->freerdp);
        freerdp_peer_free(peer->freerdp);
    }
    g_free(peer);
}

Channels *peer_channels(Peer *peer)
{
    return peer->channels;
}

void peer_show(Peer *peer, const char *const *lines)
{
    screen_set_lines(peer->screen, lines);
    if (!peer->over)
        send_screen(peer);
}

bool peer_write_blocked(Peer *peer)
{
    return !peer->over && peer->freerdp->IsWriteBlocked(peer->freerdp);
}

static void cork(Peer *peer, int on)
{
    setsockopt(peer->fd, IPPROTO_TCP, TCP_CORK, &on, sizeof on); /* it only saves time */
}

/* The PDUs of a long message leave together: FreeRDP sends each on its own, of at most 1600 bytes
 * ([MS-RDPEDYC] 2.2.3), and the client would be woken for each. */
void peer_flush(Peer *peer)
{
    if (peer->over)
        return;
    bool several = channels_written(peer->channels) > PDU_BYTES;
    if (several)
        cork(peer, true);
    channels_flush(peer->channels, peer->freerdp->activated);
    if (several)
        cork(peer, false);
}

/* ---- The end ---- */

/* [MS-RDPBCGR] 2.2.10.1.1.4.1.1 Logon Errors Info: clients that ask for it say more with it than
 * with the error alone. Always the same, whatever the broker's reason was. */
static void send_logon_failure(rdpContext *context)
{
    logon_info_ex info = {
        .haveErrorInfo = TRUE,
        .ErrorNotificationType = LOGON_MSG_SESSION_TERMINATE,
        .ErrorNotificationData = LOGON_FAILED_BAD_PASSWORD,
    };
    if (context->update->SaveSessionInfo)
        context->update->SaveSessionInfo(context, INFO_TYPE_LOGON_EXTENDED_INF, &info);
}

static void say_goodbye(Peer *peer, PeerEnd end)
{
    static const UINT32 error_infos[] = {
        [PEER_END_DENIED] = ERRINFO_SERVER_DENIED_CONNECTION,
        [PEER_END_BY_SERVER] = ERRINFO_RPC_INITIATED_DISCONNECT,
    };
    rdpContext *context = peer->freerdp->context;
    if (!peer->freerdp->connected && end != PEER_END_DENIED)
        return; /* in the middle of the connection sequence nothing would be understood */
    if (end == PEER_END_DENIED)
        send_logon_failure(context);
    /* Close() says it too, but after the deactivation, when FreeRDP 3 does not listen any more. */
    freerdp_set_error_info(context->rdp, error_infos[end]);
    freerdp_send_error_info(context->rdp);
    peer->freerdp->Close(peer->freerdp);
}

/* Until the client has closed, having read all: a socket closed with unread bytes in it would
 * reset the connection, and our last words with it. */
static void linger(Peer *peer)
{
    freerdp_peer *rdp = peer->freerdp;
    gint64 end = g_get_monotonic_time() + GOODBYE_MS * G_TIME_SPAN_MILLISECOND;
    bool finished = false;
    for (;;) {
        bool blocked = rdp->IsWriteBlocked(rdp);
        if (!blocked && !finished) {
            shutdown(peer->fd, SHUT_WR);
            finished = true;
        }
        GPollFD poll = {.fd = peer->fd, .events = G_IO_IN | (blocked ? G_IO_OUT : 0)};
        gint64 left_ms = (end - g_get_monotonic_time()) / G_TIME_SPAN_MILLISECOND;
        if (left_ms <= 0 || g_poll(&poll, 1, (gint) left_ms) <= 0)
            return;
        char scrap[4096];
        if ((poll.revents & ~G_IO_OUT) && recv(peer->fd, scrap, sizeof scrap, 0) <= 0)
            return;
        if (blocked && rdp->DrainOutputBuffer(rdp) < 0)
            return;
    }
}

void peer_disconnect(Peer *peer, PeerEnd end)
{
    if (peer->over)
        return;
    peer_flush(peer);
    say_goodbye(peer, end);
    peer->over = true;
    linger(peer);
}
