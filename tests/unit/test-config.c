/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Configuration file and command line together; what is refused with which text is tested with the
 * real program, tests/integration/broker. */
#include "config.h"
#include "listener.h"
#include "text-file.h"

#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

static Config *read_config(const char *file, const char *const *options, GError **error)
{
    g_autofree char *path = NULL;
    int fd = g_file_open_tmp("rdpusbd-XXXXXX", &path, NULL);
    g_assert_cmpint(fd, >=, 0);
    close(fd);
    g_assert_true(g_file_set_contents(path, file, -1, NULL));
    g_autoptr(GPtrArray) arguments = g_ptr_array_new();
    g_ptr_array_add(arguments, "rdpusbd");
    g_ptr_array_add(arguments, "--config");
    g_ptr_array_add(arguments, path);
    for (; *options; options++)
        g_ptr_array_add(arguments, (gpointer) *options);
    g_ptr_array_add(arguments, NULL);
    bool print_version = true;
    Config *config = config_new((char **) arguments->pdata, &print_version, error);
    g_assert_false(print_version && config);
    g_unlink(path);
    return config;
}

static Config *config_of(const char *file, const char *const *options)
{
    g_autoptr(GError) error = NULL;
    Config *config = read_config(file, options, &error);
    g_assert_no_error(error);
    return config;
}

#define LOGIN "user=alice\npassword-file=/p\n"

static void test_defaults(void)
{
    g_autoptr(Config) config = config_of("[rdpusbd]\n" LOGIN, (const char *const[]){NULL});
    g_assert_cmpuint(config->listen->len, ==, 0);
    g_assert_cmpuint(config->chardevs->len, ==, 0);
    g_assert_null(config->certificate);
    g_assert_cmpstr(config->state_dir, ==, "/var/lib/rdpusb");
    g_assert_null(config->capture);
    g_assert_cmpuint(config->capture_limit, ==, 256 << 20);
    g_assert_cmpint(config_log_level(config), ==, LOG_INFO);
    g_assert_cmpuint(config->limits.max_device_channels, ==, 32);
    g_assert_cmpuint(config->limits.max_requests, ==, 256);
    g_assert_cmpuint(config->limits.max_bytes_in_flight, ==, 16 << 20);
    g_assert_cmpuint(config->limits.max_descriptor_bytes, ==, 64 << 10);
    g_assert_cmpuint(config->limits.max_session_memory, ==, 256 << 20);
}

static void test_options_add(void)
{
    const char *const options[] = {
        "--listen",        "[::1]:2", "--chardev", "tcp:127.0.0.1:4000", "--log-level",
        "debug",           "--user",  "bob",       "--capture",          "/two",
        "--capture-limit", "3 MiB",   NULL};
    g_autoptr(Config) config =
        config_of("# everything\r\n[rdpusbd]\r\n" LOGIN "listen = 127.0.0.1:1 ; 127.0.0.2:1\n"
                  "chardev=unix:/a,server=on\nlog-level=error\nstate-dir=/s\n"
                  "capture=/one\ncapture-limit=1GiB\n"
                  "certificate=/c\nprivate-key=/k\n[limits]\nmax-session-memory=0\n"
                  "max-bytes-in-flight = 1 GiB\n",
                  options);
    g_assert_cmpuint(config->listen->len, ==, 3);
    g_assert_cmpstr(config->listen->pdata[0], ==, "127.0.0.1:1");
    g_assert_cmpstr(config->listen->pdata[1], ==, "127.0.0.2:1");
    g_assert_cmpstr(config->listen->pdata[2], ==, "[::1]:2");
    g_assert_cmpuint(config->chardevs->len, ==, 2);
    g_assert_cmpstr(config->chardevs->pdata[0], ==, "unix:/a,server=on");
    g_assert_cmpstr(config->chardevs->pdata[1], ==, "tcp:127.0.0.1:4000");
    g_assert_cmpstr(config->user, ==, "bob");
    g_assert_cmpstr(config->password_file, ==, "/p");
    g_assert_cmpstr(config->state_dir, ==, "/s");
    g_assert_cmpstr(config->certificate, ==, "/c");
    g_assert_cmpstr(config->private_key, ==, "/k");
    g_assert_cmpstr(config->capture, ==, "/two");
    g_assert_cmpuint(config->capture_limit, ==, 3 << 20);
    g_assert_cmpint(config_log_level(config), ==, LOG_DEBUG);
    g_assert_cmpuint(config->limits.max_session_memory, ==, 0);
    g_assert_cmpuint(config->limits.max_bytes_in_flight, ==, 1 << 30);
}

static void test_bounds(void)
{
    static const struct {
        const char *line;
        bool good;
    } lines[] = {
        {"max-connections=1", true},
        {"max-connections=4096", true},
        {"max-connections=0", false},
        {"max-connections=4097", false},
        {"max-connections=+1", false},
        {"max-connections= ", false},
        {"max-connections=1 1", false},
        {"max-session-memory=64MiB", true},
        {"max-session-memory=67108863", false},
        {"max-session-memory=64GiB", true},
        {"max-session-memory=17179869185GiB", false}, /* more than 64 bits */
        {"max-session-memory=64 TiB", false},
        {"login-seconds=3600", true},
        {"login-seconds=3601", false},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(lines); i++) {
        g_autoptr(GError) error = NULL;
        g_autofree char *file =
            g_strconcat("[limits]\n", lines[i].line, "\n[rdpusbd]\n" LOGIN, NULL);
        g_autoptr(Config) config = read_config(file, (const char *const[]){NULL}, &error);
        g_test_message("%s: %s", lines[i].line, error ? error->message : "good");
        g_assert_true((config != NULL) == lines[i].good);
        g_assert_true(lines[i].good || g_error_matches(error, INPUT_ERROR, 0));
    }
}

static void test_addresses(void)
{
    static const struct {
        const char *text, *result; /* NULL: refused */
    } addresses[] = {
        {"127.0.0.1:3389", "127.0.0.1:3389"},
        {"0.0.0.0:0", "0.0.0.0:0"},
        {"[::]:3389", "[::]:3389"},
        {"[2001:DB8::1]:65535", "[2001:db8::1]:65535"},
        {"", NULL},
        {":", NULL},
        {"[]:1", NULL},
        {"[:1", NULL},
        {"]:1", NULL},
        {"[127.0.0.1]:1", NULL},
        {"::1:1", NULL},
        {"127.0.0.1", NULL},
        {"127.0.0.1:", NULL},
        {"127.0.0.1:-1", NULL},
        {"127.0.0.1:65536", NULL},
        {"127.0.0.1: 1", NULL},
        {"localhost:1", NULL},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(addresses); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(GSocketAddress) address = listener_address_parse(addresses[i].text, &error);
        g_autofree char *text = address ? listener_address_to_string(address) : NULL;
        g_assert_cmpstr(text, ==, addresses[i].result);
        g_assert_true((error != NULL) == (addresses[i].result == NULL));
    }
}

int main(int argc, char **argv)
{
    g_unsetenv("STATE_DIRECTORY");
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/config/defaults", test_defaults);
    g_test_add_func("/config/options-add", test_options_add);
    g_test_add_func("/config/bounds", test_bounds);
    g_test_add_func("/config/addresses", test_addresses);
    return g_test_run();
}
