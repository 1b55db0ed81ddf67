/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * rdpusbd: options, signals, exit codes.
 */
#include "broker.h"
#include "door.h"
#include "rights.h"
#include "text-file.h"

#include <glib-unix.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <systemd/sd-daemon.h>

#define EXIT_SERVED       0
#define EXIT_CANNOT_SERVE 1
#define EXIT_BAD_OPTION   2

/* Descriptors of one connection (its link), of one port (socket, listener, the stream's copy), and
 * of the daemon itself. */
#define FILES_PER_CONNECTION 4
#define FILES_PER_PORT       4
#define FILES_OWN            64

typedef struct {
    GMainLoop *loop;
    Services *services;
    Broker *broker;
    bool stopping;
} Daemon;

static void on_closed(void *owner)
{
    g_main_loop_quit(((Daemon *) owner)->loop);
}

static gboolean on_signal(gpointer data)
{
    Daemon *daemon = data;
    if (!daemon->stopping) {
        daemon->stopping = true;
        sd_notify(0, "STOPPING=1");
        g_message("stopping");
        broker_close(daemon->broker, on_closed, daemon);
    }
    return G_SOURCE_CONTINUE;
}

static gboolean on_reload(gpointer data)
{
    Daemon *daemon = data;
    if (daemon->stopping)
        return G_SOURCE_CONTINUE;
    sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%" G_GINT64_FORMAT, g_get_monotonic_time());
    if (services_reload(daemon->services))
        g_message("certificate, users and device rules reloaded");
    broker_apply_rules(daemon->broker);
    sd_notify(0, "READY=1");
    return G_SOURCE_CONTINUE;
}

static guint count_ports(const Config *config)
{
    guint n = 0;
    for (guint i = 0; i < config->vms->len; i++)
        n += ((const ConfigVm *) config->vms->pdata[i])->ports->len;
    return n;
}

static void raise_file_limit(const Config *config)
{
    struct rlimit limit;
    const AdmissionLimits startups = config_admission(config);
    rlim_t wanted = FILES_OWN + door_max_files(&startups) +
                    FILES_PER_CONNECTION * (config->limits.max_connections + startups.full) +
                    FILES_PER_PORT * count_ports(config);
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted)
        return;
    limit.rlim_cur = MIN(wanted, limit.rlim_max);
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur < wanted)
        g_warning("%lu open files are not enough for max-connections: raise LimitNOFILE of the "
                  "service",
                  (unsigned long) limit.rlim_cur);
}

/* Serves until a signal comes. The handlers stand before anybody can know that it serves. */
static bool serve(Services *services, GError **error)
{
    g_autoptr(GMainLoop) loop = g_main_loop_new(NULL, FALSE);
    g_autoptr(Broker) broker = broker_new(services);
    Daemon daemon = {.loop = loop, .services = services, .broker = broker};
    guint sources[] = {g_unix_signal_add(SIGTERM, on_signal, &daemon),
                       g_unix_signal_add(SIGINT, on_signal, &daemon),
                       g_unix_signal_add(SIGHUP, on_reload, &daemon)};
    bool serves = broker_open(broker, error);
    if (serves) {
        sd_notify(0, "READY=1");
        g_main_loop_run(loop);
    }
    for (gsize i = 0; i < G_N_ELEMENTS(sources); i++)
        g_source_remove(sources[i]);
    return serves;
}

static bool run(const Config *config, GError **error)
{
    if (!rights_restrict(config_has_passwords(config, "pam"), error))
        return false;
    raise_file_limit(config);
    if (config->vms->len == 0)
        g_warning("there is no port of a VM, and so nobody can log in. Name one with --chardev, or "
                  "in a group [vm NAME] of the configuration");
    g_autoptr(Services) services = services_new(config, error);
    return services && serve(services, error);
}

int main(int argc, char **argv)
{
    bool print_version = false;
    g_autoptr(GError) error = NULL;
    setlocale(LC_ALL, "");
    log_open("rdpusbd");
    signal(SIGPIPE, SIG_IGN); /* of standard output */
    g_autoptr(Config) config = config_new(argv, &print_version, &error);
    if (print_version) {
        printf("rdpusbd " RDPUSB_VERSION "\n");
        return EXIT_SERVED;
    }
    if (config)
        log_set_level(config_log_level(config));
    if (config && run(config, &error))
        return EXIT_SERVED;
    fprintf(stderr, "rdpusbd: %s\n", error->message);
    return g_error_matches(error, INPUT_ERROR, 0) ? EXIT_BAD_OPTION : EXIT_CANNOT_SERVE;
}
