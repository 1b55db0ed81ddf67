/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "session.h"

#include <glib-unix.h>
#include <glib/gstdio.h>
#include <signal.h>

#include <rdpusb/urbdrc.h>

#include "broker-link.h"
#include "channels.h"
#include "guard.h"
#include "kerberos.h"
#include "peer.h"
#include "sandbox.h"
#include "session-log.h"
#include "twins.h"
#include "usb-control.h"
#include "usb-device.h"

/* The broker's login-seconds, of which this is the maximum, ends a slow login before. */
#define LOGIN_SECONDS 3600

/* From the wish to end to the end of all devices; with the client's farewell less than the two
 * seconds that the whole server has. */
#define END_TIMEOUT (1200 * G_TIME_SPAN_MILLISECOND)
/* When the client is gone, there is only the guests to tell. */
#define CLIENT_GONE_TIMEOUT (1000 * G_TIME_SPAN_MILLISECOND)
#define END_SECONDS         4

/* A client that closes a device resets it and sleeps 100 ms in the thread that also draws. */
#define CLOSE_INTERVAL (200 * G_TIME_SPAN_MILLISECOND)

/* Between two pictures; turns are many more while data flows. */
#define SHOW_INTERVAL (100 * G_TIME_SPAN_MILLISECOND)

/* A text that is all there is to see. */
#define NOTICE_SECONDS 60

#define MAX_EPITAPHS 6

typedef enum {
    SESSION_LOGIN,   /* nobody is in */
    SESSION_NOTICE,  /* somebody is who can only be told why there is nothing for them */
    SESSION_RUNNING, /* serving */
    SESSION_ENDING,  /* devices are being told */
    SESSION_OVER,
} SessionState;

typedef struct {
    SessionState state;
    GMainLoop *loop;
    GSource *turn; /* takes one when it is due */
    int64_t due;   /* 0 whenever there may be something to do */
    LinkSettings settings;
    Link *link;
    Kerberos *kerberos; /* NULL: not used */
    Peer *peer;
    char *user; /* and VM: the first line of the screen */
    bool denied;
    int64_t end_deadline;

    UsbControl *control; /* NULL before the login */

    GPtrArray *devices;   /* UsbDevice, owned */
    uint32_t last_number; /* given to a device */
    unsigned next_writer; /* index of the device that may write first */
    unsigned additions;   /* ADD_VIRTUAL_CHANNEL for which no channel was opened yet */
    bool told_limit;
    int64_t next_close; /* earliest, of a device's channel */
    GQueue epitaphs;    /* char *, newest last */
    int64_t next_show;  /* earliest */
} Session;

static void wake(gpointer data)
{
    Session *session = data;
    session->due = 0;
}

static UsbDevice *find_device(Session *session, uint32_t number)
{
    for (guint i = 0; i < session->devices->len; i++) {
        UsbDevice *device = session->devices->pdata[i];
        if (usb_device_number(device) == number && !usb_device_is_over(device))
            return device;
    }
    return NULL;
}

/* ---- The end ---- */

static void finish(Session *session)
{
    if (session->state == SESSION_OVER)
        return;
    session->state = SESSION_OVER;
    guard_end(END_SECONDS);
    peer_disconnect(session->peer, PEER_END_BY_SERVER);
    g_main_loop_quit(session->loop);
}

static void begin_end(Session *session, int64_t now, int64_t timeout)
{
    session->state = SESSION_ENDING;
    session->end_deadline = now + timeout;
    guard_end(END_SECONDS);
    wake(session);
}

static void end(Session *session, const char *reason)
{
    if (session->state == SESSION_LOGIN || session->state == SESSION_NOTICE)
        finish(session);
    if (session->state != SESSION_RUNNING)
        return;
    g_message("ending: %s", reason);
    int64_t now = g_get_monotonic_time();
    begin_end(session, now, END_TIMEOUT);
    for (guint i = 0; i < session->devices->len; i++)
        usb_device_detach(session->devices->pdata[i], reason, now);
}

static gboolean on_signal(gpointer data)
{
    end(data, "the server is shutting down");
    return G_SOURCE_CONTINUE;
}

/* ---- The screen ---- */

static void add_devices(Session *session, GPtrArray *lines)
{
    for (guint i = 0; i < session->devices->len; i++) {
        UsbDevice *device = session->devices->pdata[i];
        if (usb_device_is_known(device) && !usb_device_is_over(device))
            g_ptr_array_add(lines, usb_device_describe(device));
    }
    for (GList *i = session->epitaphs.head; i; i = i->next)
        g_ptr_array_add(lines, g_strdup(i->data));
}

static void add_text(GPtrArray *lines, const char *text)
{
    g_auto(GStrv) parts = g_strsplit(text, "\n", -1);
    for (char **part = parts; *part; part++)
        g_ptr_array_add(lines, g_strdup(*part));
}

static void add_heading(Session *session, GPtrArray *lines)
{
    g_ptr_array_add(lines, g_strdup(""));
    g_ptr_array_add(lines, g_strdup("#rdpusb"));
    g_ptr_array_add(lines, g_strdup(session->user));
}

static void show(Session *session)
{
    g_autoptr(GPtrArray) lines = g_ptr_array_new_with_free_func(g_free);
    add_heading(session, lines);
    g_ptr_array_add(lines, g_strdup(""));
    g_ptr_array_add(lines, g_strdup("#USB devices"));
    guint before = lines->len;
    add_devices(session, lines);
    const char *absence = usb_control_absence(session->control);
    if (absence)
        add_text(lines, absence);
    else if (lines->len == before)
        g_ptr_array_add(lines, g_strdup("none so far"));
    g_ptr_array_add(lines, NULL);
    peer_show(session->peer, (const char *const *) lines->pdata);
}

/* Shows what there is, or returns when to do it, after which it has nothing new to show. */
static int64_t show_in_time(Session *session, int64_t now)
{
    if (now < session->next_show)
        return session->next_show;
    show(session);
    session->next_show = now + SHOW_INTERVAL;
    return RDPUSB_NO_DEADLINE;
}

/* ---- Devices come ---- */

static bool open_device(Session *session, int64_t now)
{
    Channel *channel = channel_open(peer_channels(session->peer), RDPUSB_URBDRC_NAME);
    if (!channel) {
        g_warning("FreeRDP opened no channel for a device");
        return false;
    }
    g_debug("device %u: opening its channel", session->last_number + 1);
    g_ptr_array_add(session->devices,
                    usb_device_new(++session->last_number, channel, session->link,
                                   &session->settings.limits, now, wake, session));
    return true;
}

/* One channel for each ADD_VIRTUAL_CHANNEL; those beyond the limit wait until others are closed. */
static void open_devices(Session *session, int64_t now)
{
    unsigned limit = session->settings.max_device_channels;
    unsigned additions = usb_control_take_additions(session->control);
    session->additions = MIN(session->additions + additions, 2 * limit);
    while (session->additions > 0 && session->devices->len < limit) {
        session->additions--;
        if (!open_device(session, now))
            return;
    }
    if (session->additions > 0 && !session->told_limit) {
        g_warning("the client offers more devices than max-device-channels (%u): the others wait",
                  limit);
        session->told_limit = true;
    }
}

static void follow_control(Session *session, int64_t now)
{
    g_autoptr(GError) error = NULL;
    if (usb_control_turn(session->control, now, &error))
        return;
    g_warning("control channel: %s", error->message);
    end(session, "the client broke the rules of USB redirection");
}

static void follow_devices(Session *session, int64_t now)
{
    for (guint i = 0; i < session->devices->len; i++) {
        UsbDevice *device = session->devices->pdata[i];
        bool was_found = usb_device_announcement(device);
        usb_device_turn(device, now);
        if (!was_found && usb_device_announcement(device))
            usb_control_found(session->control, usb_device_announcement(device));
    }
    twins_find(session->devices, now);
}

/* ---- Turns ---- */

/* Everything written goes through one socket: messages are taken only while it takes them, so that
 * what waits, waits in the bridges, which start no new transfers then. One message for each device
 * in turn. */
static void write_client(Session *session, int64_t now)
{
    while (!peer_write_blocked(session->peer) && usb_control_write(session->control))
        peer_flush(session->peer);
    guint n = session->devices->len;
    guint idle = 0; /* devices in a row that had nothing to write */
    while (idle < n && !peer_write_blocked(session->peer)) {
        UsbDevice *device = session->devices->pdata[session->next_writer++ % n];
        if (usb_device_write(device, now)) {
            peer_flush(session->peer);
            idle = 0;
        } else {
            idle++;
        }
    }
    peer_flush(session->peer);
}

static void bury(Session *session, UsbDevice *device)
{
    if (usb_device_has_epitaph(device)) {
        g_queue_push_tail(&session->epitaphs, usb_device_describe(device));
        if (session->epitaphs.length > MAX_EPITAPHS)
            g_free(g_queue_pop_head(&session->epitaphs));
    }
    if (!usb_device_announcement(device))
        usb_control_found(session->control, NULL);
    g_ptr_array_remove(session->devices, device);
    wake(session); /* others may wait for its channel, or its end */
}

/* When a device may be freed, and its channel be closed. */
static int64_t burial_time(Session *session, UsbDevice *device)
{
    if (!usb_device_is_over(device))
        return RDPUSB_NO_DEADLINE;
    if (!usb_device_is_held_by_client(device))
        return 0;
    if (find_device(session, usb_device_twin_of(device)))
        return RDPUSB_NO_DEADLINE;
    return MAX(session->next_close, usb_device_close_time(device));
}

/* Channels that the client has to close for us are closed one after the other. */
static void bury_devices(Session *session, int64_t now)
{
    guint i = 0;
    while (i < session->devices->len) {
        UsbDevice *device = session->devices->pdata[i];
        bool held = usb_device_is_held_by_client(device);
        if (now < burial_time(session, device)) {
            i++;
            continue;
        }
        bury(session, device);
        if (held)
            session->next_close = now + CLOSE_INTERVAL;
    }
}

static bool all_over(Session *session)
{
    for (guint i = 0; i < session->devices->len; i++) {
        if (!usb_device_is_over(session->devices->pdata[i]))
            return false;
    }
    return true;
}

static int64_t next_deadline(Session *session)
{
    int64_t deadline = usb_control_deadline(session->control);
    for (guint i = 0; i < session->devices->len; i++) {
        UsbDevice *device = session->devices->pdata[i];
        int64_t burial = burial_time(session, device); /* MIN would call it twice */
        deadline = MIN(deadline, MIN(burial, usb_device_deadline(device)));
    }
    if (session->state == SESSION_ENDING)
        deadline = MIN(deadline, session->end_deadline);
    return deadline;
}

static void take_turn(Session *session)
{
    session->due = RDPUSB_NO_DEADLINE;
    if (session->state != SESSION_RUNNING && session->state != SESSION_ENDING)
        return;
    int64_t now = g_get_monotonic_time();
    follow_devices(session, now); /* first: guests wait for what they say */
    if (session->state == SESSION_RUNNING)
        follow_control(session, now);
    if (session->state == SESSION_RUNNING)
        open_devices(session, now);
    write_client(session, now);
    if (session->state == SESSION_ENDING && (all_over(session) || now >= session->end_deadline)) {
        finish(session);
        return;
    }
    bury_devices(session, now);
    peer_flush(session->peer);                         /* the closing of their channels */
    int64_t next_picture = show_in_time(session, now); /* MIN would call it twice */
    int64_t deadline = MIN(next_deadline(session), next_picture);
    session->due = MIN(session->due, deadline); /* a wake during this turn stands */
}

/* A ready time of GLib's would do, but costs a write, a read and a poll each time it changes: with
 * each transfer. All of this is one thread, so nobody waits in poll() meanwhile. */
typedef struct {
    GSource source;
    Session *session;
} TurnSource;

static gboolean check_turn(GSource *source)
{
    return ((TurnSource *) source)->session->due <= g_source_get_time(source);
}

static gboolean prepare_turn(GSource *source, gint *timeout)
{
    int64_t due = ((TurnSource *) source)->session->due;
    int64_t left = due == 0 ? 0 : due - g_source_get_time(source);
    int64_t left_ms = (left + G_TIME_SPAN_MILLISECOND - 1) / G_TIME_SPAN_MILLISECOND;
    *timeout = due == RDPUSB_NO_DEADLINE ? -1 : (gint) CLAMP(left_ms, 0, G_MAXINT);
    return *timeout == 0;
}

static gboolean dispatch_turn(GSource *source, GSourceFunc callback, gpointer data)
{
    take_turn(((TurnSource *) source)->session);
    return G_SOURCE_CONTINUE;
}

static GSourceFuncs turn_funcs = {
    .prepare = prepare_turn,
    .check = check_turn,
    .dispatch = dispatch_turn,
};

static GSource *turn_source_new(Session *session)
{
    GSource *source = g_source_new(&turn_funcs, sizeof(TurnSource));
    ((TurnSource *) source)->session = session;
    g_source_set_name(source, "turn");
    g_source_attach(source, NULL);
    return source;
}

/* ---- From the peer ---- */

/* Waits for the broker: nobody is served by this process yet. */
static bool on_prove(const NlaProof *proof, uint8_t *hash, gpointer data)
{
    Session *session = data;
    g_autoptr(GError) error = NULL;
    if (link_prove_ntlm(session->link, proof, hash, &error))
        return true;
    g_message("login refused: %s", error->message);
    session->denied = true;
    return false;
}

static void deny(Session *session)
{
    session->state = SESSION_OVER;
    guard_end(END_SECONDS);
    g_main_loop_quit(session->loop);
}

static void welcome(Session *session, const char *name, const char *vm)
{
    session->state = SESSION_RUNNING;
    session->user = g_strdup_printf("Logged in as %s — VM %s", name, vm);
    session->control = usb_control_new(peer_channels(session->peer), g_get_monotonic_time());
    guard_release();
    g_unix_signal_add(SIGTERM, on_signal, session);
    g_unix_signal_add(SIGINT, on_signal, session);
}

static gboolean on_notice_over(gpointer data)
{
    end(data, "nothing more to tell");
    return G_SOURCE_REMOVE;
}

/* The user is known but gets no VM: what to do stands on the screen, for a while. */
static void notify(Session *session, const char *text)
{
    session->state = SESSION_NOTICE;
    session->user = g_strdup(text);
    g_timeout_add_seconds(NOTICE_SECONDS, on_notice_over, session);
}

/* Waits for the broker, too. */
static bool on_login(const char *user, const char *domain, const char *password,
                     const char *computer, gpointer data)
{
    Session *session = data;
    g_autoptr(GError) error = NULL;
    g_autofree char *name = NULL;
    g_autofree char *vm = NULL;
    switch (
        link_authenticate(session->link, user, domain, password, computer, &name, &vm, &error)) {
    case LINK_LOGIN_WELCOME: welcome(session, name, vm); return true;
    case LINK_LOGIN_NO_VM: notify(session, error->message); return true;
    case LINK_LOGIN_DENIED: break;
    }
    g_message("login refused: %s", error->message);
    deny(session);
    return false;
}

static void show_notice(Session *session)
{
    g_autoptr(GPtrArray) lines = g_ptr_array_new_with_free_func(g_free);
    add_heading(session, lines);
    g_ptr_array_add(lines, NULL);
    peer_show(session->peer, (const char *const *) lines->pdata);
}

static void on_activated(gpointer data)
{
    Session *session = data;
    if (session->state == SESSION_NOTICE)
        show_notice(session);
    wake(session);
}

/* At once: one round of the main loop less on the way to the guest. */
static void on_progress(gpointer data)
{
    take_turn(data);
}

static void end_without_client(Session *session)
{
    if (session->state == SESSION_LOGIN || session->state == SESSION_NOTICE)
        finish(session);
    if (session->state == SESSION_OVER)
        return;
    int64_t now = g_get_monotonic_time();
    begin_end(session, now, CLIENT_GONE_TIMEOUT);
    for (guint i = 0; i < session->devices->len; i++)
        usb_device_client_gone(session->devices->pdata[i], now);
}

static void on_client_closed(const char *reason, gpointer data)
{
    g_message("%s", reason);
    end_without_client(data);
}

/* Before the login it is anybody who talks to an open port: no reason for a warning. */
static void on_client_refused(gpointer data)
{
    Session *session = data;
    if (session->denied) {
        end_without_client(session);
        return;
    }
    g_log(G_LOG_DOMAIN, session->state == SESSION_LOGIN ? G_LOG_LEVEL_MESSAGE : G_LOG_LEVEL_WARNING,
          "the client sent what is no RDP%s, or more than fits in max-session-memory: connection "
          "ended",
          session->kerberos ? ", or a ticket for no key of the keytab" : "");
    end_without_client(session);
}

static const PeerCallbacks peer_callbacks = {
    .prove = on_prove,
    .login = on_login,
    .activated = on_activated,
    .progress = on_progress,
    .closed = on_client_closed,
    .refused = on_client_refused,
};

/* ---- From the broker ---- */

static UsbDevice *need_device(Session *session, uint32_t number, GError **error)
{
    UsbDevice *device = find_device(session, number);
    if (!device)
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND, "device %u is not here (any more)",
                    number);
    return device;
}

static bool on_connect(uint32_t number, const char *port, int fd, gpointer data, GError **error)
{
    UsbDevice *device = need_device(data, number, error);
    return device && usb_device_connect(device, port, fd, g_get_monotonic_time(), error);
}

static bool on_capture(uint32_t number, const char *port, int fd, uint64_t max_bytes, gpointer data,
                       GError **error)
{
    UsbDevice *device = need_device(data, number, error);
    return device && usb_device_capture(device, port, fd, max_bytes, g_get_monotonic_time(), error);
}

static void on_waiting(uint32_t number, const char *reason, gpointer data)
{
    UsbDevice *device = find_device(data, number);
    if (device)
        usb_device_set_waiting(device, reason);
}

static void on_detach(uint32_t number, const char *reason, gpointer data)
{
    UsbDevice *device = find_device(data, number);
    if (device)
        usb_device_take_away(device, reason, g_get_monotonic_time());
}

static void on_attach_answered(uint32_t number, const GError *error, gpointer data)
{
    UsbDevice *device = find_device(data, number);
    if (device)
        usb_device_attach_answered(device, error, g_get_monotonic_time());
}

static void on_end(const char *reason, gpointer data)
{
    end(data, reason);
}

static const LinkCallbacks link_callbacks = {
    .connect = on_connect,
    .capture = on_capture,
    .waiting = on_waiting,
    .detach = on_detach,
    .attach_answered = on_attach_answered,
    .end = on_end,
};

/* ---- Life ---- */

static void init(Session *session)
{
    session->loop = g_main_loop_new(NULL, FALSE);
    session->devices = g_ptr_array_new_with_free_func((GDestroyNotify) usb_device_free);
    g_queue_init(&session->epitaphs);
    session->due = RDPUSB_NO_DEADLINE;
    session->turn = turn_source_new(session);
}

static void clear(Session *session)
{
    g_clear_pointer(&session->devices, g_ptr_array_unref);
    g_clear_pointer(&session->control, usb_control_free);
    g_clear_pointer(&session->peer, peer_free); /* and its channels */
    g_clear_pointer(&session->kerberos, kerberos_free);
    if (session->link)
        link_flush(session->link);
    g_clear_pointer(&session->link, link_free);
    link_settings_clear(&session->settings);
    g_queue_clear_full(&session->epitaphs, g_free);
    g_free(session->user);
    g_source_destroy(session->turn);
    g_source_unref(session->turn);
    g_main_loop_unref(session->loop);
}

static bool begin(Session *session, int client_fd, int link_fd, GError **error)
{
    session->link = link_new(link_fd, &link_callbacks, session, error);
    if (!session->link || !link_configure(session->link, &session->settings, error)) {
        g_prefix_error(error, "link to rdpusbd: ");
        g_close(client_fd, NULL);
        return false;
    }
    if (!session_log_configure(session->settings.log_level, session->settings.client))
        g_warning("unknown log level '%s'", session->settings.log_level);
    if (session->settings.kerberos_keys &&
        !(session->kerberos = kerberos_new(session->settings.kerberos_keys, error))) {
        g_close(client_fd, NULL);
        return false;
    }
    const PeerSecurity security = {session->settings.certificate, session->settings.private_key,
                                   session->settings.nla, session->settings.tls,
                                   session->kerberos ? kerberos_keytab(session->kerberos) : NULL};
    session->peer = peer_new(client_fd, &security, &peer_callbacks, session, error);
    /* From here on the client is read. */
    return session->peer && sandbox_seal(error);
}

bool session_run(int client_fd, int link_fd, GError **error)
{
    Session session = {.state = SESSION_LOGIN};
    guard_login(LOGIN_SECONDS);
    init(&session);
    bool begun = begin(&session, client_fd, link_fd, error);
    if (begun && session.state != SESSION_OVER)
        g_main_loop_run(session.loop);
    clear(&session);
    return begun;
}
