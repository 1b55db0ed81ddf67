/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * rdpusbd: options, signals, exit codes.
 */
#include "broker.h"
#include "session-process.h"

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

static void raise_file_limit(const Config *config)
{
    struct rlimit limit;
    rlim_t wanted = FILES_OWN + FILES_PER_CONNECTION * config->limits.max_connections +
                    FILES_PER_PORT * config->chardevs->len;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted)
        return;
    limit.rlim_cur = MIN(wanted, limit.rlim_max);
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur < wanted)
        g_warning("%lu open files are not enough for max-connections: raise LimitNOFILE of the "
                  "service",
                  (unsigned long) limit.rlim_cur);
}

static Ports *open_ports(const Config *config, GError **error)
{
    Ports *ports = ports_new();
    for (guint i = 0; i < config->chardevs->len; i++) {
        if (!ports_add(ports, config->chardevs->pdata[i], error)) {
            ports_free(ports);
            return NULL;
        }
    }
    if (config->chardevs->len == 0)
        g_warning("there is no port of a VM: every device will wait. Name one with --chardev");
    return ports;
}

/* Serves until a signal comes. The handlers stand before anybody can know that it serves. */
static bool serve(const ConnectionContext *context, GError **error)
{
    g_autoptr(GMainLoop) loop = g_main_loop_new(NULL, FALSE);
    g_autoptr(Broker) broker = broker_new(context);
    Daemon daemon = {.loop = loop, .broker = broker};
    guint sources[] = {g_unix_signal_add(SIGTERM, on_signal, &daemon),
                       g_unix_signal_add(SIGINT, on_signal, &daemon)};
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
    g_autofree char *session_program = session_process_find(error);
    if (!session_program)
        return false;
    g_autoptr(Credentials) credentials =
        credentials_new(config->user, config->password_file, error);
    if (!credentials)
        return false;
    g_autoptr(Certificate) certificate =
        config->certificate ? certificate_load(config->certificate, config->private_key, error)
                            : certificate_load_or_make(config->state_dir, error);
    if (!certificate)
        return false;
    g_autoptr(Captures) captures = NULL;
    if (config->capture && !(captures = captures_new(config->capture, error)))
        return false;
    raise_file_limit(config);
    Ports *ports = open_ports(config, error);
    if (!ports)
        return false;
    const ConnectionContext context = {config,          certificate, credentials,
                                       session_program, ports,       captures};
    bool served = serve(&context, error);
    ports_free(ports);
    return served;
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
    return g_error_matches(error, CONFIG_ERROR, 0) ? EXIT_BAD_OPTION : EXIT_CANNOT_SERVE;
}
