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

/* ---- VMs, and how users log in ---- */

static Config *parse(const char *text)
{
    g_autoptr(GError) error = NULL;
    Config *config = config_parse("c", text, &error);
    g_assert_no_error(error);
    return config;
}

static const char *text_at(const GPtrArray *list, guint index)
{
    return index < list->len ? list->pdata[index] : NULL;
}

static void test_login_defaults(void)
{
    g_autoptr(Config) config = parse("");
    g_assert_cmpuint(config_security(config), ==, CONFIG_SECURITY_NLA);
    g_assert_true(g_str_has_suffix(config->users_file, "/rdpusb/users"));
    g_assert_true(g_str_has_suffix(config->rules_dir, "/rdpusb/rules.d"));
    g_assert_true(config_has_passwords(config, "users"));
    g_assert_false(config_has_passwords(config, "pam"));
    g_assert_null(config->pam_confdir);
    g_assert_null(config->default_vm);
    g_assert_null(config->audit);
    g_assert_cmpuint(config->vms->len, ==, 0);
    g_assert_cmpuint(config->session_uids, ==, 2000000000);
    g_assert_cmpuint(config->limits.login_seconds, ==, 60);
    g_assert_cmpuint(config->limits.lockout_failures, ==, 10);
    g_assert_cmpuint(config->limits.lockout_seconds, ==, 600);
}

/* Nobody needs a users file whom it cannot let in. */
static void test_users_file_is_optional(void)
{
    g_autoptr(Config) one = parse("[rdpusbd]\n" LOGIN);
    g_assert_null(one->users_file);
    g_autoptr(Config) pam = parse("[rdpusbd]\nsecurity=tls\npasswords=pam\n");
    g_assert_null(pam->users_file);
    g_autoptr(Config) both = parse("[rdpusbd]\nsecurity=tls\npasswords=pam;users\n");
    g_assert_nonnull(both->users_file);
    g_autoptr(Config) nla = parse("[rdpusbd]\nsecurity=nla,tls\npasswords=pam\n");
    g_assert_nonnull(nla->users_file);
}

static void test_login_settings(void)
{
    g_autoptr(Config) config =
        parse("[rdpusbd]\nSecurity = NLA, tls\nUsers-File=/u\n"
              "passwords=users;pam\nPam-ConfDir=/pam\nrules-dir=/r\nAudit=journal\n"
              "session-uids=65536\n[limits]\nLockout-Failures=0\nlockout-seconds=86400\n");
    g_assert_cmpuint(config_security(config), ==, CONFIG_SECURITY_NLA | CONFIG_SECURITY_TLS);
    g_assert_cmpstr(config->users_file, ==, "/u");
    g_assert_true(config_has_passwords(config, "users") && config_has_passwords(config, "pam"));
    g_assert_cmpstr(config->pam_confdir, ==, "/pam");
    g_assert_cmpstr(config->rules_dir, ==, "/r");
    g_assert_cmpstr(config->audit, ==, "journal");
    g_assert_cmpuint(config->session_uids, ==, 65536);
    g_assert_cmpuint(config->limits.lockout_failures, ==, 0);
    g_assert_cmpuint(config->limits.lockout_seconds, ==, 86400);
}

static void test_vms(void)
{
    g_autoptr(Config) config =
        parse("[rdpusbd]\nchardev=unix:/c\ndefault-vm=WIN-10.a\n"
              "[vm win-10.a]\nPorts = unix:/a ; tcp:127.0.0.1:1,server=on\nUSERS=alice;bob\n"
              "Filter=0x03,-1,-1,-1,0|-1,-1,-1,-1,1\n"
              "[vm  lab_2 ]\nports=unix:/b\ngroups=staff;students of 2026\n");
    g_assert_cmpuint(config->vms->len, ==, 3);
    const ConfigVm *first = config->vms->pdata[0];
    g_assert_cmpstr(first->name, ==, "win-10.a");
    g_assert_cmpuint(first->line, ==, 4);
    g_assert_cmpuint(first->ports->len, ==, 2);
    g_assert_cmpstr(text_at(first->ports, 1), ==, "tcp:127.0.0.1:1,server=on");
    g_assert_cmpuint(first->users->len, ==, 2);
    g_assert_cmpstr(text_at(first->users, 1), ==, "bob");
    g_assert_cmpuint(first->groups->len, ==, 0);
    g_assert_cmpstr(first->filter, ==, "0x03,-1,-1,-1,0|-1,-1,-1,-1,1");
    g_assert_cmpuint(first->filter_line, ==, 7);
    const ConfigVm *second = config->vms->pdata[1];
    g_assert_cmpstr(second->name, ==, "lab_2");
    g_assert_cmpstr(text_at(second->groups, 1), ==, "students of 2026");
    g_assert_null(second->filter);
    const ConfigVm *options = config->vms->pdata[2];
    g_assert_cmpstr(options->name, ==, "default");
    g_assert_cmpstr(text_at(options->ports, 0), ==, "unix:/c");
    g_assert_cmpstr(text_at(options->users, 0), ==, "*");
}

static void test_mistakes(void)
{
    static const struct {
        const char *text, *error; /* its beginning */
    } mistakes[] = {
        {"x", "c:1: 'x' is neither"},
        {"user=x", "c:1: 'user' stands before the first [group]"},
        {"\n\n[Rdpusbd]", "c:3: [Rdpusbd] is no group"},
        {"[vm]", "c:1: [vm] is no group"},
        {"[vm ]", "c:1: '' is no name of a VM"},
        {"[vm a\\b]", "c:1: 'a\\b' is no name of a VM"},
        {"[vm a@b]", "c:1: 'a@b' is no name of a VM"},
        {"[vm a", "c:1: [vm a is no group"},
        {"[vm Default]", "c:1: there is a VM 'Default' already"},
        {"[vm a]\nports=unix:/a\nusers=*\n[vm A]", "c:4: there is a VM 'A' already"},
        {"[vm a]\nports=unix:/a\nPorts=unix:/b", "c:3: 'Ports' was given in line 2 already"},
        {"[vm a]\nports=unix:/a;unix:/a\nusers=*", "c:2: ports: 'unix:/a' is given twice"},
        {"[vm a]\nports=unix:/a", "c:1: [vm a] lacks users or groups"},
        {"[vm a]\nusers=*", "c:1: [vm a] lacks ports"},
        {"[vm a]\nports=unix:/a\nusers=*\n[vm b]\nusers=*\nports=unix:/a,server=on",
         "c:4: VM b has the port unix:/a of VM a"},
        {"[vm a]\nports=unix:/a\nusers=*\n[rdpusbd]\nchardev=unix:/a",
         "c:5: VM default has the port unix:/a of VM a"},
        {"[vm a]\nfilter=", "c:2: filter: the value is empty"},
        {"[rdpusbd]\nlisten=", "c:2: listen: the value is empty"},
        {"[rdpusbd]\npasswords= ", "c:2: passwords: the value is empty"},
        {"[vm a]\nfilter=x", "c:2: filter: "},
        {"[rdpusbd]\nusers=alice", "c:2: there is no 'users' in group [rdpusbd]"},
        {"[rdpusbd]\nsecurity=tls,", "c:2: security: '' is no way to log in"},
        {"[rdpusbd]\nsecurity=rdp", "c:2: security: 'rdp' is no way to log in"},
        {"[rdpusbd]\npasswords=shadow", "c:2: passwords: 'shadow' is no place of passwords"},
        {"[rdpusbd]\npasswords=pam", "c:2: passwords=pam needs security=tls"},
        {"[rdpusbd]\nusers-file=u", "c:2: users-file: 'u' is no absolute path"},
        {"[rdpusbd]\nrules-dir=r", "c:2: rules-dir: 'r' is no absolute path"},
        {"[rdpusbd]\npam-confdir=p", "c:2: pam-confdir: 'p' is no absolute path"},
        {"[rdpusbd]\naudit=syslog", "c:2: audit: 'syslog' is no absolute path"},
        {"[rdpusbd]\nsession-uids=1000", "c:2: session-uids: '1000' is out of bounds"},
        {"[rdpusbd]\nsession-uids=2147483648", "c:2: session-uids: '2147483648' is out of bounds"},
        {"[rdpusbd]\ndefault-vm=a", "c:2: there is no [vm a] for default-vm"},
        {"[rdpusbd]\nuser=alice", "c:2: user and password-file go together"},
        {"[rdpusbd]\n\npassword-file=/p", "c:3: user and password-file go together"},
        {"[rdpusbd]\ncertificate=/c", "c:2: certificate and private-key go together"},
        {"[rdpusbd]\nprivate-key=/k", "c:2: certificate and private-key go together"},
        {"[rdpusbd]\nsecurity=tls\nkerberos-keytab=/k", "c:3: kerberos-keytab needs security=nla"},
        {"[rdpusbd]\nstate-dir=/a\\q", "c:2: state-dir: '\\q' is no escape"},
        {"[rdpusbd]\nstate-dir=/a\\", "c:2: state-dir: a backslash at the end"},
        {"[rdpusbd]\nstate-dir=/a\\;b", "c:2: state-dir: '\\;' is no escape"},
        {"[rdpusbd]\nchardev=unix:/a\\q", "c:2: chardev: '\\q' is no escape"},
        {"[vm a]\nports=unix:/a\nusers=bob;a\\lice", "c:3: users: '\\l' is no escape"},
        {"[limits]\nlockout-failures=1001", "c:2: lockout-failures: '1001' is out of bounds"},
        {"[limits]\nlockout-seconds=0", "c:2: lockout-seconds: '0' is out of bounds"},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(mistakes); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(Config) config = config_parse("c", mistakes[i].text, &error);
        g_test_message("%s: %s", mistakes[i].text, error ? error->message : "good");
        g_assert_null(config);
        g_assert_true(g_error_matches(error, INPUT_ERROR, 0));
        g_assert_true(g_str_has_prefix(error->message, mistakes[i].error));
    }
}

/* Any free port, twice, is two ports. */
static void test_free_ports(void)
{
    g_autoptr(Config) config = parse("[vm a]\nports=tcp:127.0.0.1:0,server=on\nusers=*\n"
                                     "[vm b]\nports=tcp:127.0.0.1:0,server=on\nusers=*\n");
    g_assert_cmpuint(config->vms->len, ==, 2);
}

/* ---- Addresses ---- */

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
    g_test_add_func("/config/login-defaults", test_login_defaults);
    g_test_add_func("/config/users-file-is-optional", test_users_file_is_optional);
    g_test_add_func("/config/login-settings", test_login_settings);
    g_test_add_func("/config/vms", test_vms);
    g_test_add_func("/config/mistakes", test_mistakes);
    g_test_add_func("/config/free-ports", test_free_ports);
    g_test_add_func("/config/addresses", test_addresses);
    return g_test_run();
}
