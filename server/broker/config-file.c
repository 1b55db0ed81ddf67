/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config-file.h"

#include "config-setting.h"
#include "text-file.h"

#include <string.h>

#define MAX_VMS      1024
#define MAX_VM_NAME  64
#define VM_PREFIX    "[vm "
#define NAME_LETTERS G_CSET_A_2_Z G_CSET_a_2_z G_CSET_DIGITS "._-"

/* A key, and where it stands: GKeyFile does not tell, nor that it stands there twice. */
typedef struct {
    const Setting *setting;
    ConfigVm *vm; /* of the group, or NULL */
    char *group;  /* as it is spelled, without brackets */
    char *key;    /* as it is spelled */
    unsigned line;
} Entry;

typedef struct {
    Config *config;
    const char *path;
    unsigned line;
    char *group_name; /* of the line, NULL before the first */
    ConfigGroup group;
    ConfigVm *vm;
    GPtrArray *entries; /* of Entry */
} Scan;

static void entry_free(gpointer data)
{
    Entry *entry = data;
    g_free(entry->group);
    g_free(entry->key);
    g_free(entry);
}

static void scan_clear(Scan *scan)
{
    g_free(scan->group_name);
    g_ptr_array_unref(scan->entries);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Scan, scan_clear)

/* ---- Groups ---- */

static ConfigVm *vm_new(char *name, unsigned line)
{
    ConfigVm *vm = g_new0(ConfigVm, 1);
    vm->name = name;
    vm->line = line;
    vm->ports = g_ptr_array_new_with_free_func(g_free);
    vm->users = g_ptr_array_new_with_free_func(g_free);
    vm->groups = g_ptr_array_new_with_free_func(g_free);
    return vm;
}

static bool has_vm(const Config *config, const char *name)
{
    for (guint i = 0; i < config->vms->len; i++) {
        const ConfigVm *vm = config->vms->pdata[i];
        if (g_ascii_strcasecmp(vm->name, name) == 0)
            return true;
    }
    return false;
}

static bool scan_vm(Scan *scan, GError **error)
{
    g_autofree char *name = g_strdup(scan->group_name + strlen(VM_PREFIX) - 1);
    g_strstrip(name);
    gsize length = strlen(name);
    if (length == 0 || length > MAX_VM_NAME || strspn(name, NAME_LETTERS) != length)
        return text_file_error(error, scan->path, scan->line, 0,
                               "'%s' is no name of a VM: use up to %d letters, digits, '.', '_' "
                               "and '-'",
                               name, MAX_VM_NAME);
    if (has_vm(scan->config, name) || g_ascii_strcasecmp(name, CONFIG_DEFAULT_VM) == 0)
        return text_file_error(error, scan->path, scan->line, 0, "there is a VM '%s' already",
                               name);
    if (scan->config->vms->len == MAX_VMS)
        return text_file_error(error, scan->path, scan->line, 0, "there are more than %d VMs",
                               MAX_VMS);
    scan->vm = vm_new(g_steal_pointer(&name), scan->line);
    g_ptr_array_add(scan->config->vms, scan->vm);
    return true;
}

static bool scan_group(Scan *scan, const char *line, GError **error)
{
    gsize length = strlen(line);
    g_clear_pointer(&scan->group_name, g_free);
    scan->vm = NULL;
    if (length > 2 && line[length - 1] == ']')
        scan->group_name = g_strndup(line + 1, length - 2);
    if (strcmp(line, "[rdpusbd]") == 0)
        scan->group = CONFIG_GROUP_DAEMON;
    else if (strcmp(line, "[limits]") == 0)
        scan->group = CONFIG_GROUP_LIMITS;
    else if (scan->group_name && g_str_has_prefix(line, VM_PREFIX))
        scan->group = CONFIG_GROUP_VM;
    else
        return text_file_error(error, scan->path, scan->line, 0,
                               "%s is no group: use [rdpusbd], [limits] or [vm NAME]", line);
    return scan->group != CONFIG_GROUP_VM || scan_vm(scan, error);
}

/* ---- Keys ---- */

static const Entry *find_entry(const Scan *scan, const Setting *setting)
{
    for (guint i = 0; i < scan->entries->len; i++) {
        const Entry *entry = scan->entries->pdata[i];
        if (entry->setting == setting && entry->vm == scan->vm)
            return entry;
    }
    return NULL;
}

/* GLib says neither where the mistake is, nor of two of them anything sensible. */
static bool check_escapes(const Scan *scan, const Setting *setting, const char *value,
                          GError **error)
{
    const char *allowed = setting->type == SETTING_LIST ? "\\snrt;" : "\\snrt";
    for (const char *at = value; (at = strchr(at, '\\')); at += 2) {
        if (at[1] == '\0')
            return text_file_error(error, scan->path, scan->line, 0,
                                   "%s: a backslash at the end is no escape: double it",
                                   setting->key);
        if (!strchr(allowed, at[1]))
            return text_file_error(error, scan->path, scan->line, 0,
                                   "%s: '%.*s' is no escape: for a backslash, double it",
                                   setting->key, (int) (g_utf8_next_char(at + 1) - at), at);
    }
    return true;
}

static bool scan_key(Scan *scan, const char *line, GError **error)
{
    const char *equals = strchr(line, '=');
    if (!equals)
        return text_file_error(error, scan->path, scan->line, 0,
                               "'%s' is neither a [group], nor key=value, nor a # comment", line);
    g_autofree char *key = g_strchomp(g_strndup(line, equals - line));
    if (!scan->group_name)
        return text_file_error(error, scan->path, scan->line, 0,
                               "'%s' stands before the first [group]", key);
    const Setting *setting = setting_find(scan->group, key);
    if (!setting)
        return text_file_error(error, scan->path, scan->line, 0, "there is no '%s' in group [%s]",
                               key, scan->group_name);
    const Entry *first = find_entry(scan, setting);
    if (first)
        return text_file_error(
            error, scan->path, scan->line, 0, "'%s' was given in line %u already%s", key,
            first->line, setting->type == SETTING_LIST ? ": separate several values by ;" : "");
    if (!check_escapes(scan, setting, equals + 1, error))
        return false;
    Entry *entry = g_new(Entry, 1);
    *entry =
        (Entry){setting, scan->vm, g_strdup(scan->group_name), g_steal_pointer(&key), scan->line};
    g_ptr_array_add(scan->entries, entry);
    return true;
}

static bool scan_lines(Scan *scan, const char *text, GError **error)
{
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    for (char **line = lines; *line; line++) {
        scan->line++;
        g_strchug(g_strchomp(*line));
        if (**line == '\0' || **line == '#')
            continue;
        if (!(**line == '[' ? scan_group(scan, *line, error) : scan_key(scan, *line, error)))
            return false;
    }
    return true;
}

/* ---- Values ---- */

/* GLib may return a text and an error at once. */
static char **read_values(const Entry *entry, GKeyFile *file, GError **error)
{
    g_autoptr(GError) problem = NULL;
    g_auto(GStrv) values = NULL;
    if (entry->setting->type == SETTING_LIST) {
        values = g_key_file_get_string_list(file, entry->group, entry->key, NULL, &problem);
    } else {
        values = g_new0(char *, 2);
        values[0] = g_key_file_get_string(file, entry->group, entry->key, &problem);
    }
    if (!problem)
        return g_steal_pointer(&values);
    g_propagate_error(error, g_steal_pointer(&problem));
    return NULL;
}

static bool take_values(const Entry *entry, Config *config, GKeyFile *file, GError **error)
{
    g_auto(GStrv) values = read_values(entry, file, error);
    void *target = entry->vm ? (void *) entry->vm : (void *) config;
    if (values && !*values) /* a list without values is not the default one */
        return setting_take(entry->setting, target, "", error);
    for (char **value = values; value && *value; value++) {
        if (!setting_take(entry->setting, target, g_strstrip(*value), error))
            return false;
    }
    if (entry->vm && strcmp(entry->setting->key, "filter") == 0)
        entry->vm->filter_line = entry->line;
    return values;
}

bool config_file_take(Config *config, const char *path, const char *text, GError **error)
{
    g_auto(Scan) scan = {
        .config = config,
        .path = path,
        .entries = g_ptr_array_new_with_free_func(entry_free),
    };
    g_autoptr(GKeyFile) file = g_key_file_new();
    g_autoptr(GError) problem = NULL;
    config->file = g_strdup(path);
    if (!scan_lines(&scan, text, error))
        return false;
    if (!g_key_file_load_from_data(file, text, -1, G_KEY_FILE_NONE, &problem))
        return text_file_error(error, path, 0, 0, "%s", problem->message);
    for (guint i = 0; i < scan.entries->len; i++) {
        const Entry *entry = scan.entries->pdata[i];
        if (!take_values(entry, config, file, &problem))
            return text_file_error(error, path, entry->line, 0, "%s: %s", entry->setting->key,
                                   problem->message);
        config->lines[entry->setting - config_settings] = entry->line;
    }
    return true;
}
