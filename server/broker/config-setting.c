/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config-setting.h"

#include "address.h"
#include "admission.h"
#include "listener.h"
#include "policy-filter.h"
#include "session-uids.h"
#include "text-file.h"

#include <string.h>

#include <rdpusb/bridge.h>

#define KIB G_GUINT64_CONSTANT(1024)
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)

static bool check_log_level(const char *value, GError **error)
{
    LogLevel level;
    if (log_level_parse(value, &level))
        return true;
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                "'%s' is no log level: use error, warning, info or debug", value);
    return false;
}

static bool check_listen(const char *value, GError **error)
{
    g_autoptr(GSocketAddress) address = listener_address_parse(value, error);
    return address != NULL;
}

static bool check_chardev(const char *value, GError **error)
{
    g_autoptr(TransportAddress) address = transport_address_parse(value, error);
    return address != NULL;
}

static bool check_security(const char *value, GError **error)
{
    unsigned security;
    return config_security_parse(value, &security, error);
}

static bool check_passwords(const char *value, GError **error)
{
    if (strcmp(value, "users") == 0 || strcmp(value, "pam") == 0)
        return true;
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                "'%s' is no place of passwords: use users (the users file) or pam", value);
    return false;
}

static bool check_absolute(const char *value, GError **error)
{
    if (g_path_is_absolute(value))
        return true;
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT, "'%s' is no absolute path", value);
    return false;
}

static bool check_audit(const char *value, GError **error)
{
    return strcmp(value, "journal") == 0 || check_absolute(value, error);
}

static bool check_filter(const char *value, GError **error)
{
    g_autoptr(PolicyFilter) filter = policy_filter_parse(value, error);
    return filter != NULL;
}

static bool check_startups(const char *value, GError **error)
{
    AdmissionLimits limits;
    return admission_limits_parse(value, &limits, error);
}

#define ENTRY(group, type, structure, field, key, check, argument, help)                           \
    {                                                                                              \
        group, key, type, offsetof(structure, field), check, 0, 0, false, help, argument           \
    }
#define OPTION(key, type, field, check, argument, help)                                            \
    ENTRY(CONFIG_GROUP_DAEMON, type, Config, field, key, check, argument, help)
#define OF_VM(key, type, field, check)                                                             \
    ENTRY(CONFIG_GROUP_VM, type, ConfigVm, field, key, check, NULL, NULL)
#define NUMBER(key, field, min, max, argument, help)                                               \
    {                                                                                              \
        CONFIG_GROUP_DAEMON, key, SETTING_NUMBER, offsetof(Config, field), NULL, min, max, false,  \
            help, argument                                                                         \
    }
#define LIMIT(key, field, min, max, zero)                                                          \
    {                                                                                              \
        CONFIG_GROUP_LIMITS, key, SETTING_NUMBER, offsetof(Config, limits.field), NULL, min, max,  \
            zero, NULL, NULL                                                                       \
    }

const Setting config_settings[] = {
    OPTION("listen", SETTING_LIST, listen, check_listen, "ADDR:PORT",
           "Listen for RDP clients there; default 0.0.0.0:3389 and [::]:3389"),
    OPTION("certificate", SETTING_TEXT, certificate, NULL, "PEM",
           "TLS certificate, with its chain"),
    OPTION("private-key", SETTING_TEXT, private_key, NULL, "PEM", "Private key of the certificate"),
    OPTION("state-dir", SETTING_TEXT, state_dir, NULL, "DIR",
           "Where a self-signed certificate is made and kept"),
    OPTION("security", SETTING_TEXT, security, check_security, "nla|tls|nla,tls",
           "How clients log in: nla (default), tls with a password, or either"),
    OPTION("users-file", SETTING_TEXT, users_file, check_absolute, "FILE",
           "Who may log in, see rdpusbctl(8); default " CONFIG_FOLDER "/users"),
    OPTION("passwords", SETTING_LIST, passwords, check_passwords, "users|pam",
           "Who checks the passwords of tls: the users file (default), PAM, or both in turn"),
    OPTION("pam-confdir", SETTING_TEXT, pam_confdir, check_absolute, "DIR",
           "Where PAM's services are described, instead of /etc/pam.d"),
    OPTION("kerberos-keytab", SETTING_TEXT, kerberos_keytab, check_absolute, "FILE",
           "Kerberos for nla, with the keys of TERMSRV/HOST in this keytab"),
    OPTION("rules-dir", SETTING_TEXT, rules_dir, check_absolute, "DIR",
           "Which devices are allowed, see rdpusb-rules(5); default " CONFIG_FOLDER "/rules.d"),
    OPTION("default-vm", SETTING_TEXT, default_vm, NULL, "NAME",
           "The VM of users who name none, if they may use it"),
    OPTION("audit", SETTING_TEXT, audit, check_audit, "FILE|journal",
           "Write down who did what, one JSON object per line"),
    OPTION("user", SETTING_TEXT, user, NULL, "NAME", "One who may log in, besides the users file"),
    OPTION("password-file", SETTING_TEXT, password_file, NULL, "FILE",
           "The first line of FILE is the password"),
    OPTION("chardev", SETTING_LIST, chardevs, check_chardev, "SPEC",
           "A port of the VM named default, which every user may use: unix:PATH or tcp:HOST:PORT, "
           "with ,server=on to listen there"),
    OPTION("capture", SETTING_TEXT, capture, NULL, "DIR",
           "Record what passes between devices and VMs there, one file per device"),
    NUMBER("capture-limit", capture_limit, RDPUSB_CAPTURE_MIN_BYTES, 64 * GIB, "BYTES",
           "Size of such a file at most, as 1MiB for example; default 256MiB"),
    OPTION("log-level", SETTING_TEXT, log_level, check_log_level, "LEVEL",
           "error, warning, info (default) or debug"),
    NUMBER("session-uids", session_uids, 65536, SESSION_UIDS_END - 1, "FIRST",
           "If the daemon is root, sessions run as this and the following users; default "
           "2000000000"),
    LIMIT("max-connections", max_connections, 1, 4096, false),
    ENTRY(CONFIG_GROUP_LIMITS, SETTING_TEXT, Config, limits.max_startups, "max-startups",
          check_startups, NULL, NULL),
    LIMIT("max-startups-per-source", max_startups_per_source, 1, 4096, true),
    LIMIT("max-session-memory", max_session_memory, 64 * MIB, 64 * GIB, true),
    LIMIT("max-device-channels", max_device_channels, 1, 255, false),
    LIMIT("max-requests", max_requests, 8, 65536, false),
    LIMIT("max-bytes-in-flight", max_bytes_in_flight, 256 * KIB, 1 * GIB, false),
    LIMIT("max-descriptor-bytes", max_descriptor_bytes, 1 * KIB, 1 * MIB, false),
    LIMIT("login-seconds", login_seconds, 1, 3600, false),
    LIMIT("answer-seconds", answer_seconds, 1, 3600, false),
    LIMIT("lockout-failures", lockout_failures, 1, 1000, true),
    LIMIT("lockout-seconds", lockout_seconds, 1, 86400, false),
    OF_VM("ports", SETTING_LIST, ports, check_chardev),
    OF_VM("users", SETTING_LIST, users, NULL),
    OF_VM("groups", SETTING_LIST, groups, NULL),
    OF_VM("filter", SETTING_TEXT, filter, check_filter),
};
const gsize config_n_settings = G_N_ELEMENTS(config_settings);

const Setting *setting_find(ConfigGroup group, const char *key)
{
    for (gsize i = 0; i < config_n_settings; i++) {
        if (config_settings[i].group == group &&
            g_ascii_strcasecmp(config_settings[i].key, key) == 0)
            return &config_settings[i];
    }
    return NULL;
}

static bool number_parse(const char *text, const Setting *setting, guint64 *number, GError **error)
{
    static const struct {
        const char *suffix;
        guint64 factor;
    } units[] = {{"", 1}, {"KiB", KIB}, {"MiB", MIB}, {"GiB", GIB}};
    char *end = NULL;
    guint64 value = g_ascii_isdigit(text[0]) ? g_ascii_strtoull(text, &end, 10) : 0;
    guint64 factor = 0;
    while (end && *end == ' ')
        end++;
    for (gsize i = 0; end && i < G_N_ELEMENTS(units); i++) {
        if (strcmp(end, units[i].suffix) == 0)
            factor = units[i].factor;
    }
    if (factor == 0) {
        g_set_error(error, INPUT_ERROR, 0,
                    "'%s' is no number (digits, and KiB, MiB or GiB if need be)", text);
        return false;
    }
    bool fits = g_uint64_checked_mul(&value, value, factor);
    if (fits && ((value >= setting->min && value <= setting->max) ||
                 (value == 0 && setting->zero_allowed))) {
        *number = value;
        return true;
    }
    g_set_error(error, INPUT_ERROR, 0,
                "'%s' is out of bounds: %s%" G_GUINT64_FORMAT " to %" G_GUINT64_FORMAT
                " are possible",
                text, setting->zero_allowed ? "0 (no limit) and " : "", setting->min, setting->max);
    return false;
}

static bool list_add(GPtrArray *list, const char *value, GError **error)
{
    if (g_ptr_array_find_with_equal_func(list, value, g_str_equal, NULL)) {
        g_set_error(error, INPUT_ERROR, 0, "'%s' is given twice", value);
        return false;
    }
    g_ptr_array_add(list, g_strdup(value));
    return true;
}

bool setting_take(const Setting *setting, void *target, const char *value, GError **error)
{
    void *field = (char *) target + setting->offset;
    if (*value == '\0') {
        g_set_error(error, INPUT_ERROR, 0, "the value is empty");
        return false;
    }
    g_autoptr(GError) problem = NULL;
    if (setting->check && !setting->check(value, &problem)) {
        g_set_error_literal(error, INPUT_ERROR, 0, problem->message);
        return false;
    }
    switch (setting->type) {
    case SETTING_TEXT:
        g_free(*(char **) field);
        *(char **) field = g_strdup(value);
        return true;
    case SETTING_LIST: return list_add(*(GPtrArray **) field, value, error);
    case SETTING_NUMBER: return number_parse(value, setting, field, error);
    }
    return false;
}
