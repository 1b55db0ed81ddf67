/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "address.h"
#include "config-file.h"
#include "config-setting.h"
#include "session-uids.h"
#include "text-file.h"

#include <string.h>

#include <rdpusb/bridge.h>

/* ---- The command line ---- */

typedef struct {
    char *file;
    gboolean version;
    char ***values; /* by setting, as often as given; only a list keeps more than the last */
} Options;

static void options_clear(Options *options)
{
    g_free(options->file);
    for (gsize i = 0; i < config_n_settings; i++)
        g_strfreev(options->values[i]);
    g_free(options->values);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Options, options_clear)

static GOptionContext *options_context(Options *options)
{
    const GOptionEntry own[] = {
        {"config", 0, 0, G_OPTION_ARG_FILENAME, &options->file,
         "Read settings from FILE, see rdpusbd.conf(5); options add to them", "FILE"},
        {"version", 0, 0, G_OPTION_ARG_NONE, &options->version, "Print the version", NULL},
        {0},
    };
    GOptionContext *context = g_option_context_new(NULL);
    g_option_context_set_summary(context, "Takes USB devices of RDP clients to QEMU VMs.");
    g_option_context_add_main_entries(context, own, NULL);
    for (gsize i = 0; i < config_n_settings; i++) {
        const GOptionEntry entry[] = {
            {config_settings[i].key, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &options->values[i],
             config_settings[i].help, config_settings[i].argument},
            {0},
        };
        if (config_settings[i].help)
            g_option_context_add_main_entries(context, entry, NULL);
    }
    return context;
}

static bool options_parse(Options *options, char **argv, GError **error)
{
    g_auto(GStrv) arguments = g_strdupv(argv);
    g_autoptr(GOptionContext) context = options_context(options);
    g_autoptr(GError) problem = NULL;
    if (!g_option_context_parse_strv(context, &arguments, &problem)) {
        g_set_error(error, INPUT_ERROR, 0, "%s (see rdpusbd --help)", problem->message);
        return false;
    }
    if (arguments[0] && arguments[1]) {
        g_set_error(error, INPUT_ERROR, 0, "unexpected argument '%s' (see rdpusbd --help)",
                    arguments[1]);
        return false;
    }
    return true;
}

static bool options_apply(const Options *options, Config *config, GError **error)
{
    for (gsize i = 0; i < config_n_settings; i++) {
        for (char **value = options->values[i]; value && *value; value++) {
            if (!setting_take(&config_settings[i], config, *value, error)) {
                g_prefix_error(error, "--%s: ", config_settings[i].key);
                return false;
            }
            config->lines[i] = 0;
        }
    }
    return true;
}

/* ---- Both ---- */

static void vm_free(gpointer data)
{
    ConfigVm *vm = data;
    g_free(vm->name);
    g_ptr_array_unref(vm->ports);
    g_ptr_array_unref(vm->users);
    g_ptr_array_unref(vm->groups);
    g_free(vm->filter);
    g_free(vm);
}

static Config *config_new_default(void)
{
    const RdpusbLimits limits = RDPUSB_LIMITS_DEFAULT;
    const char *state_dir = g_getenv("STATE_DIRECTORY"); /* systemd's StateDirectory= */
    Config *config = g_new0(Config, 1);
    config->listen = g_ptr_array_new_with_free_func(g_free);
    config->chardevs = g_ptr_array_new_with_free_func(g_free);
    config->passwords = g_ptr_array_new_with_free_func(g_free);
    config->vms = g_ptr_array_new_with_free_func(vm_free);
    config->state_dir = g_strdup(state_dir ? state_dir : "/var/lib/rdpusb");
    config->security = g_strdup("nla");
    config->rules_dir = g_strdup(CONFIG_FOLDER "/rules.d");
    config->lines = g_new0(unsigned, config_n_settings);
    config->capture_limit = 256 << 20;
    config->session_uids = SESSION_UIDS_FIRST;
    config->limits = (ConfigLimits){
        .max_connections = 64,
        .max_startups_per_source = ADMISSION_DEFAULT_LIMITS.per_source,
        .max_session_memory = 256 << 20,
        .max_device_channels = 32,
        .max_requests = limits.max_requests,
        .max_bytes_in_flight = limits.max_bytes_in_flight,
        .max_descriptor_bytes = limits.max_descriptor_bytes,
        .login_seconds = 60,
        .answer_seconds = 120,
        .lockout_failures = 10,
        .lockout_seconds = 600,
    };
    return config;
}

static unsigned line_of(const Config *config, const char *key)
{
    return config->lines[setting_find(CONFIG_GROUP_DAEMON, key) - config_settings];
}

/* What follows from other settings. */
static void config_complete(Config *config)
{
    if (config->passwords->len == 0)
        g_ptr_array_add(config->passwords, g_strdup("users"));
    bool needs_users =
        config_security(config) & CONFIG_SECURITY_NLA || config_has_passwords(config, "users");
    if (!config->users_file && !config->user && needs_users)
        config->users_file = g_strdup(CONFIG_FOLDER "/users");
    if (config->chardevs->len == 0)
        return;
    ConfigVm *vm = g_new0(ConfigVm, 1);
    vm->name = g_strdup(CONFIG_DEFAULT_VM);
    vm->line = line_of(config, "chardev");
    vm->ports = g_ptr_array_ref(config->chardevs);
    vm->users = g_ptr_array_new_with_free_func(g_free);
    vm->groups = g_ptr_array_new_with_free_func(g_free);
    g_ptr_array_add(vm->users, g_strdup("*"));
    g_ptr_array_add(config->vms, vm);
}

/* Where a setting was given that does not go with the others, and why not. */
static bool refuse(const Config *config, const char *path, const char *key, const char *problem,
                   GError **error)
{
    g_autofree char *option = g_strconcat("--", key, NULL);
    unsigned line = line_of(config, key);
    return text_file_error(error, line > 0 ? path : option, line, 0, "%s", problem);
}

/* Two VMs that share a port would share their users' devices. */
static bool check_ports(const ConfigVm *vm, GHashTable *taken, const char *path, GError **error)
{
    for (guint i = 0; i < vm->ports->len; i++) {
        g_autoptr(TransportAddress) address = transport_address_parse(vm->ports->pdata[i], error);
        if (!address)
            return false;
        bool any = !address->path && address->port == 0;
        address->server = false;
        char *place = transport_address_to_string(address);
        const ConfigVm *other = any ? NULL : g_hash_table_lookup(taken, place);
        if (other) {
            text_file_error(error, vm->line > 0 ? path : "--chardev", vm->line, 0,
                            "VM %s has the port %s of VM %s: give each its own", vm->name, place,
                            other->name);
            g_free(place);
            return false;
        }
        g_hash_table_insert(taken, place, (gpointer) vm);
    }
    return true;
}

/* `path` is that of the file, or NULL. */
static bool check_vms(const Config *config, const char *path, GError **error)
{
    bool found = !config->default_vm;
    g_autoptr(GHashTable) taken = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    for (guint i = 0; i < config->vms->len; i++) {
        const ConfigVm *vm = config->vms->pdata[i];
        const char *lacks = vm->ports->len == 0 ? "ports: which usb-redir devices it has"
                            : vm->users->len + vm->groups->len == 0
                                ? "users or groups: who may use it (users=* is everybody)"
                                : NULL;
        if (lacks)
            return text_file_error(error, path, vm->line, 0, "[vm %s] lacks %s", vm->name, lacks);
        if (!check_ports(vm, taken, path, error))
            return false;
        found |= config->default_vm && g_ascii_strcasecmp(vm->name, config->default_vm) == 0;
    }
    if (found)
        return true;
    g_autofree char *problem =
        g_strdup_printf("there is no [vm %s] for default-vm", config->default_vm);
    return refuse(config, path, "default-vm", problem, error);
}

/* What no single setting can tell. */
static bool config_check(const Config *config, const char *path, GError **error)
{
    if (!config->user != !config->password_file)
        return refuse(config, path, config->user ? "user" : "password-file",
                      "user and password-file go together: set both, or neither to have the users "
                      "file alone",
                      error);
    if (!config->certificate != !config->private_key)
        return refuse(config, path, config->certificate ? "certificate" : "private-key",
                      "certificate and private-key go together: set both, or neither to have a "
                      "self-signed certificate made",
                      error);
    if (config->kerberos_keytab && !(config_security(config) & CONFIG_SECURITY_NLA))
        return refuse(config, path, "kerberos-keytab",
                      "kerberos-keytab needs security=nla or nla,tls: Kerberos is a part of nla",
                      error);
    if (config_has_passwords(config, "pam") && !config_takes_passwords(config))
        return refuse(config, path, "passwords",
                      "passwords=pam needs security=tls or nla,tls, or a kerberos-keytab: with nla "
                      "alone the server never sees the password that PAM wants",
                      error);
    return check_vms(config, path, error);
}

static bool config_finish(Config *config, const char *path, GError **error)
{
    config_complete(config);
    return config_check(config, path, error);
}

static bool read_file(Config *config, const char *path, GError **error)
{
    g_autofree char *text = text_file_read(path, TEXT_FILE_PUBLIC, error);
    return text && config_file_take(config, path, text, error);
}

Config *config_new(char **argv, bool *print_version, GError **error)
{
    g_autoptr(Config) config = config_new_default();
    g_auto(Options) options = {.values = g_new0(char **, config_n_settings)};
    if (!options_parse(&options, argv, error))
        return NULL;
    *print_version = options.version;
    if (options.version)
        return g_steal_pointer(&config);
    if (options.file && !read_file(config, options.file, error))
        return NULL;
    if (!options_apply(&options, config, error) || !config_finish(config, options.file, error))
        return NULL;
    return g_steal_pointer(&config);
}

Config *config_parse(const char *path, const char *text, GError **error)
{
    g_autoptr(Config) config = config_new_default();
    if (!config_file_take(config, path, text, error) || !config_finish(config, path, error))
        return NULL;
    return g_steal_pointer(&config);
}

void config_free(Config *config)
{
    if (!config)
        return;
    g_free(config->file);
    g_ptr_array_unref(config->listen);
    g_ptr_array_unref(config->chardevs);
    g_ptr_array_unref(config->passwords);
    g_ptr_array_unref(config->vms);
    g_free(config->lines);
    for (gsize i = 0; i < config_n_settings; i++) {
        const Setting *setting = &config_settings[i];
        if (setting->type == SETTING_TEXT && setting->group != CONFIG_GROUP_VM)
            g_free(*(char **) ((char *) config + setting->offset));
    }
    g_free(config);
}

AdmissionLimits config_admission(const Config *config)
{
    AdmissionLimits limits = ADMISSION_DEFAULT_LIMITS;
    if (config->limits.max_startups)
        admission_limits_parse(config->limits.max_startups, &limits, NULL);
    limits.per_source = config->limits.max_startups_per_source;
    return limits;
}

LogLevel config_log_level(const Config *config)
{
    LogLevel level = LOG_INFO;
    if (config->log_level)
        log_level_parse(config->log_level, &level);
    return level;
}

bool config_security_parse(const char *text, unsigned *security, GError **error)
{
    g_auto(GStrv) names = g_strsplit_set(text, ",;", -1);
    *security = 0;
    for (char **name = names; *name; name++) {
        g_strstrip(*name);
        if (g_ascii_strcasecmp(*name, "nla") == 0) {
            *security |= CONFIG_SECURITY_NLA;
        } else if (g_ascii_strcasecmp(*name, "tls") == 0) {
            *security |= CONFIG_SECURITY_TLS;
        } else {
            g_set_error(error, INPUT_ERROR, 0, "'%s' is no way to log in: use nla, tls or nla,tls",
                        *name);
            return false;
        }
    }
    return true;
}

unsigned config_security(const Config *config)
{
    unsigned security = 0;
    config_security_parse(config->security, &security, NULL);
    return security;
}

bool config_takes_passwords(const Config *config)
{
    return config_security(config) & CONFIG_SECURITY_TLS || config->kerberos_keytab;
}

bool config_has_passwords(const Config *config, const char *place)
{
    return g_ptr_array_find_with_equal_func(config->passwords, place, g_str_equal, NULL);
}
