/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "address.h"
#include "listener.h"

#include <string.h>

#include <rdpusb/bridge.h>

#define KIB G_GUINT64_CONSTANT(1024)
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)

#define MAX_FILE_BYTES (1 * MIB)
#define GROUP          "rdpusbd"
#define LIMITS         "limits"

G_DEFINE_QUARK(rdpusbd - config - error - quark, config_error)

typedef enum { SETTING_TEXT, SETTING_LIST, SETTING_NUMBER } SettingType;
typedef bool (*Check)(const char *value, GError **error);

typedef struct {
    const char *group;
    const char *key;
    SettingType type;
    size_t offset;               /* in Config */
    Check check;                 /* of a text, or of each item of a list; NULL: any */
    guint64 min, max;            /* of a number */
    bool zero_allowed;           /* beside min..max */
    const char *help, *argument; /* of the option; [limits] are no options */
} Setting;

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

#define OPTION(key, type, field, check, argument, help)                                            \
    {                                                                                              \
        GROUP, key, type, offsetof(Config, field), check, 0, 0, false, help, argument              \
    }
#define NUMBER(key, field, min, max, argument, help)                                               \
    {                                                                                              \
        GROUP, key, SETTING_NUMBER, offsetof(Config, field), NULL, min, max, false, help, argument \
    }
#define LIMIT(key, field, min, max, zero)                                                          \
    {                                                                                              \
        LIMITS, key, SETTING_NUMBER, offsetof(Config, limits.field), NULL, min, max, zero, NULL,   \
            NULL                                                                                   \
    }

static const Setting settings[] = {
    OPTION("listen", SETTING_LIST, listen, check_listen, "ADDR:PORT",
           "Listen for RDP clients there; default 0.0.0.0:3389 and [::]:3389"),
    OPTION("certificate", SETTING_TEXT, certificate, NULL, "PEM",
           "TLS certificate, with its chain"),
    OPTION("private-key", SETTING_TEXT, private_key, NULL, "PEM", "Private key of the certificate"),
    OPTION("state-dir", SETTING_TEXT, state_dir, NULL, "DIR",
           "Where a self-signed certificate is made and kept"),
    OPTION("user", SETTING_TEXT, user, NULL, "NAME", "Who may log in"),
    OPTION("password-file", SETTING_TEXT, password_file, NULL, "FILE",
           "The first line of FILE is the password"),
    OPTION("chardev", SETTING_LIST, chardevs, check_chardev, "SPEC",
           "A port of a VM: unix:PATH or tcp:HOST:PORT, with ,server=on to listen there"),
    OPTION("capture", SETTING_TEXT, capture, NULL, "DIR",
           "Record what passes between devices and VMs there, one file per device"),
    NUMBER("capture-limit", capture_limit, RDPUSB_CAPTURE_MIN_BYTES, 64 * GIB, "BYTES",
           "Size of such a file at most, as 1MiB for example; default 256MiB"),
    OPTION("log-level", SETTING_TEXT, log_level, check_log_level, "LEVEL",
           "error, warning, info (default) or debug"),
    LIMIT("max-connections", max_connections, 1, 4096, false),
    LIMIT("max-session-memory", max_session_memory, 64 * MIB, 64 * GIB, true),
    LIMIT("max-device-channels", max_device_channels, 1, 255, false),
    LIMIT("max-requests", max_requests, 8, 65536, false),
    LIMIT("max-bytes-in-flight", max_bytes_in_flight, 256 * KIB, 1 * GIB, false),
    LIMIT("max-descriptor-bytes", max_descriptor_bytes, 1 * KIB, 1 * MIB, false),
    LIMIT("login-seconds", login_seconds, 1, 3600, false),
};
#define N_SETTINGS G_N_ELEMENTS(settings)

static const Setting *setting_find(const char *group, const char *key)
{
    for (gsize i = 0; i < N_SETTINGS; i++) {
        if (strcmp(settings[i].group, group) == 0 && strcmp(settings[i].key, key) == 0)
            return &settings[i];
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
        g_set_error(error, CONFIG_ERROR, 0,
                    "'%s' is no number (digits, and KiB, MiB or GiB if need be)", text);
        return false;
    }
    bool fits = g_uint64_checked_mul(&value, value, factor);
    if (fits && ((value >= setting->min && value <= setting->max) ||
                 (value == 0 && setting->zero_allowed))) {
        *number = value;
        return true;
    }
    g_set_error(error, CONFIG_ERROR, 0,
                "'%s' is out of bounds: %s%" G_GUINT64_FORMAT " to %" G_GUINT64_FORMAT
                " are possible",
                text, setting->zero_allowed ? "0 (no limit) and " : "", setting->min, setting->max);
    return false;
}

static bool list_add(GPtrArray *list, const char *value, GError **error)
{
    if (g_ptr_array_find_with_equal_func(list, value, g_str_equal, NULL)) {
        g_set_error(error, CONFIG_ERROR, 0, "'%s' is given twice", value);
        return false;
    }
    g_ptr_array_add(list, g_strdup(value));
    return true;
}

/* Takes one value, wherever it came from. */
static bool setting_take(Config *config, const Setting *setting, const char *value, GError **error)
{
    void *field = (char *) config + setting->offset;
    if (*value == '\0') {
        g_set_error(error, CONFIG_ERROR, 0, "the value is empty");
        return false;
    }
    g_autoptr(GError) problem = NULL;
    if (setting->check && !setting->check(value, &problem)) {
        g_set_error_literal(error, CONFIG_ERROR, 0, problem->message);
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

/* ---- The file ---- */

/* What GKeyFile does not tell: where a key stands, and that it stands there twice. */
typedef struct {
    const char *path;
    unsigned line;
    const char *group; /* of the line, NULL before the first */
    GHashTable *lines; /* const Setting * -> line */
} Place;

static bool bad_line(const Place *place, GError **error, const char *format, ...)
    G_GNUC_PRINTF(3, 4);

static bool bad_line(const Place *place, GError **error, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *text = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    g_set_error(error, CONFIG_ERROR, 0, "%s:%u: %s", place->path, place->line, text);
    return false;
}

static bool scan_group(Place *place, const char *line, GError **error)
{
    place->group = NULL;
    if (strcmp(line, "[" GROUP "]") == 0)
        place->group = GROUP;
    else if (strcmp(line, "[" LIMITS "]") == 0)
        place->group = LIMITS;
    return place->group ||
           bad_line(place, error, "%s is no group: use [" GROUP "] or [" LIMITS "]", line);
}

static bool scan_key(Place *place, const char *line, GError **error)
{
    const char *equals = strchr(line, '=');
    if (!equals)
        return bad_line(place, error, "'%s' is neither a [group], nor key=value, nor a # comment",
                        line);
    g_autofree char *key = g_strchomp(g_strndup(line, equals - line));
    if (!place->group)
        return bad_line(place, error, "'%s' stands before the first [group]", key);
    const Setting *setting = setting_find(place->group, key);
    if (!setting)
        return bad_line(place, error, "there is no '%s' in group [%s]", key, place->group);
    gpointer first = g_hash_table_lookup(place->lines, setting);
    if (first)
        return bad_line(place, error, "'%s' was given in line %u already%s", key,
                        GPOINTER_TO_UINT(first),
                        setting->type == SETTING_LIST ? ": separate several values by ;" : "");
    g_hash_table_insert(place->lines, (gpointer) setting, GUINT_TO_POINTER(place->line));
    return true;
}

static bool scan(Place *place, const char *text, GError **error)
{
    if (!g_utf8_validate(text, -1, NULL)) {
        g_set_error(error, CONFIG_ERROR, 0, "%s: is not encoded in UTF-8", place->path);
        return false;
    }
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    for (char **line = lines; *line; line++) {
        place->line++;
        g_strchug(g_strchomp(*line));
        if (**line == '\0' || **line == '#')
            continue;
        if (!(**line == '[' ? scan_group(place, *line, error) : scan_key(place, *line, error)))
            return false;
    }
    return true;
}

static bool read_key(Config *config, GKeyFile *file, const Setting *setting, GError **error)
{
    g_auto(GStrv) values = NULL;
    if (setting->type == SETTING_LIST) {
        values = g_key_file_get_string_list(file, setting->group, setting->key, NULL, error);
    } else {
        values = g_new0(char *, 2);
        values[0] = g_key_file_get_string(file, setting->group, setting->key, error);
    }
    if (!values || (setting->type != SETTING_LIST && !values[0]))
        return false;
    for (char **value = values; *value; value++) {
        if (!setting_take(config, setting, g_strstrip(*value), error))
            return false;
    }
    return true;
}

static bool read_text(Config *config, const char *path, const char *text, GError **error)
{
    g_autoptr(GHashTable) lines = g_hash_table_new(NULL, NULL);
    Place place = {.path = path, .lines = lines};
    g_autoptr(GKeyFile) file = g_key_file_new();
    if (!scan(&place, text, error))
        return false;
    g_autoptr(GError) problem = NULL;
    if (!g_key_file_load_from_data(file, text, -1, G_KEY_FILE_NONE, &problem)) {
        g_set_error(error, CONFIG_ERROR, 0, "%s: %s", path, problem->message);
        return false;
    }
    for (gsize i = 0; i < N_SETTINGS; i++) {
        place.line = GPOINTER_TO_UINT(g_hash_table_lookup(lines, &settings[i]));
        if (place.line && !read_key(config, file, &settings[i], &problem))
            return bad_line(&place, error, "%s: %s", settings[i].key, problem->message);
    }
    return true;
}

static bool read_file(Config *config, const char *path, GError **error)
{
    g_autofree char *text = NULL;
    gsize size;
    if (!g_file_get_contents(path, &text, &size, error))
        return false;
    if (strlen(text) == size && size <= MAX_FILE_BYTES)
        return read_text(config, path, text, error);
    g_set_error(error, CONFIG_ERROR, 0, "%s: is no text file of at most 1 MiB", path);
    return false;
}

/* ---- The command line ---- */

typedef struct {
    char *file;
    gboolean version;
    char **values[N_SETTINGS]; /* as often as given; only a list keeps more than the last */
} Options;

static void options_clear(Options *options)
{
    g_free(options->file);
    for (gsize i = 0; i < N_SETTINGS; i++)
        g_strfreev(options->values[i]);
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
    for (gsize i = 0; i < N_SETTINGS; i++) {
        const GOptionEntry entry[] = {
            {settings[i].key, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &options->values[i],
             settings[i].help, settings[i].argument},
            {0},
        };
        if (settings[i].help)
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
        g_set_error(error, CONFIG_ERROR, 0, "%s (see rdpusbd --help)", problem->message);
        return false;
    }
    if (arguments[0] && arguments[1]) {
        g_set_error(error, CONFIG_ERROR, 0, "unexpected argument '%s' (see rdpusbd --help)",
                    arguments[1]);
        return false;
    }
    return true;
}

static bool options_apply(const Options *options, Config *config, GError **error)
{
    for (gsize i = 0; i < N_SETTINGS; i++) {
        for (char **value = options->values[i]; value && *value; value++) {
            if (!setting_take(config, &settings[i], *value, error)) {
                g_prefix_error(error, "--%s: ", settings[i].key);
                return false;
            }
        }
    }
    return true;
}

/* ---- Both ---- */

static Config *config_new_default(void)
{
    const RdpusbLimits limits = RDPUSB_LIMITS_DEFAULT;
    const char *state_dir = g_getenv("STATE_DIRECTORY"); /* systemd's StateDirectory= */
    Config *config = g_new0(Config, 1);
    config->listen = g_ptr_array_new_with_free_func(g_free);
    config->chardevs = g_ptr_array_new_with_free_func(g_free);
    config->state_dir = g_strdup(state_dir ? state_dir : "/var/lib/rdpusb");
    config->capture_limit = 256 * MIB;
    config->limits = (ConfigLimits){
        .max_connections = 64,
        .max_session_memory = 256 * MIB,
        .max_device_channels = 32,
        .max_requests = limits.max_requests,
        .max_bytes_in_flight = limits.max_bytes_in_flight,
        .max_descriptor_bytes = limits.max_descriptor_bytes,
        .login_seconds = 60,
    };
    return config;
}

/* What no single setting can tell. */
static bool config_check(const Config *config, GError **error)
{
    const char *problem = NULL;
    if (!config->user || !config->password_file)
        problem = "nobody could log in: set both user and password-file, as options "
                  "(--user NAME --password-file FILE) or in group [" GROUP "] of the file given "
                  "with --config";
    else if (!config->certificate != !config->private_key)
        problem = "certificate and private-key go together: set both, or neither to have a "
                  "self-signed certificate made";
    if (problem)
        g_set_error(error, CONFIG_ERROR, 0, "%s", problem);
    return !problem;
}

Config *config_new(char **argv, bool *print_version, GError **error)
{
    g_autoptr(Config) config = config_new_default();
    g_auto(Options) options = {0};
    if (!options_parse(&options, argv, error))
        return NULL;
    *print_version = options.version;
    if (options.version)
        return g_steal_pointer(&config);
    if (options.file && !read_file(config, options.file, error))
        return NULL;
    if (!options_apply(&options, config, error) || !config_check(config, error))
        return NULL;
    return g_steal_pointer(&config);
}

void config_free(Config *config)
{
    if (!config)
        return;
    g_ptr_array_unref(config->listen);
    g_ptr_array_unref(config->chardevs);
    g_free(config->certificate);
    g_free(config->private_key);
    g_free(config->state_dir);
    g_free(config->user);
    g_free(config->password_file);
    g_free(config->capture);
    g_free(config->log_level);
    g_free(config);
}

LogLevel config_log_level(const Config *config)
{
    LogLevel level = LOG_INFO;
    if (config->log_level)
        log_level_parse(config->log_level, &level);
    return level;
}
