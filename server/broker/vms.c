/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vms.h"

#include <string.h>

struct Vms {
    const Config *config;
    GPtrArray *vms; /* of Vm */
};

static void vm_free(gpointer data)
{
    Vm *vm = data;
    ports_free(vm->ports);
    policy_filter_free(vm->filter);
    g_free(vm->filter_text);
    g_free(vm);
}

/* A line of the configuration refuses a device as a line of the rules does. */
static bool take_filter(Vm *vm, const char *file, GError **error)
{
    const ConfigVm *config = vm->config;
    if (!config->filter)
        return true;
    vm->filter = policy_filter_parse(config->filter, error);
    vm->filter_text = g_strdup_printf("filter=%s", config->filter);
    vm->filtered = (PolicyDecision){POLICY_BLOCK, file, config->filter_line, vm->filter_text};
    return vm->filter;
}

static Vm *vm_new(const ConfigVm *config, const char *file, GError **error)
{
    Vm *vm = g_new0(Vm, 1);
    vm->config = config;
    vm->name = config->name;
    vm->ports = ports_new();
    bool good = take_filter(vm, file, error);
    for (guint i = 0; good && i < config->ports->len; i++)
        good = ports_add(vm->ports, config->ports->pdata[i], error);
    if (good)
        return vm;
    vm_free(vm);
    return NULL;
}

Vms *vms_new(const Config *config, GError **error)
{
    g_autoptr(Vms) vms = g_new0(Vms, 1);
    vms->config = config;
    vms->vms = g_ptr_array_new_with_free_func(vm_free);
    for (guint i = 0; i < config->vms->len; i++) {
        Vm *vm = vm_new(config->vms->pdata[i], config->file, error);
        if (!vm)
            return NULL;
        g_ptr_array_add(vms->vms, vm);
    }
    return g_steal_pointer(&vms);
}

void vms_free(Vms *vms)
{
    if (!vms)
        return;
    g_ptr_array_unref(vms->vms);
    g_free(vms);
}

Vm *vms_find(const Vms *vms, const char *name)
{
    for (guint i = 0; i < vms->vms->len; i++) {
        Vm *vm = vms->vms->pdata[i];
        if (g_ascii_strcasecmp(vm->name, name) == 0)
            return vm;
    }
    return NULL;
}

/* ---- Who may use it ---- */

static bool names_user(const GPtrArray *names, const char *user)
{
    g_autofree char *folded = g_utf8_casefold(user, -1);
    for (guint i = 0; i < names->len; i++) {
        const char *name = names->pdata[i];
        g_autofree char *other = g_utf8_casefold(name, -1);
        if (strcmp(name, "*") == 0 || strcmp(other, folded) == 0)
            return true;
    }
    return false;
}

static bool admits(const Vm *vm, const char *user, const char *const *groups)
{
    if (names_user(vm->config->users, user))
        return true;
    for (; groups && *groups; groups++) {
        if (g_ptr_array_find_with_equal_func(vm->config->groups, *groups, g_str_equal, NULL))
            return true;
    }
    return false;
}

/* ---- Which one ---- */

static char *list_admitting(const Vms *vms, const char *user, const char *const *groups)
{
    GString *names = g_string_new(NULL);
    for (guint i = 0; i < vms->vms->len; i++) {
        const Vm *vm = vms->vms->pdata[i];
        if (admits(vm, user, groups))
            g_string_append_printf(names, "%s%s", names->len > 0 ? ", " : "", vm->name);
    }
    return g_string_free(names, FALSE);
}

static Vm *choose_only(const Vms *vms, const char *user, const char *const *groups, char **problem)
{
    Vm *only = NULL;
    guint n = 0;
    for (guint i = 0; i < vms->vms->len; i++) {
        Vm *vm = vms->vms->pdata[i];
        if (admits(vm, user, groups)) {
            only = vm;
            n++;
        }
    }
    if (n == 1)
        return only;
    g_autofree char *names = list_admitting(vms, user, groups);
    *problem = n == 0 ? g_strdup_printf("user %s may use no VM", user)
                      : g_strdup_printf("user %s may use several VMs and named none: log in as "
                                        "VM\\%s, with one of %s",
                                        user, user, names);
    return NULL;
}

Vm *vms_choose(const Vms *vms, const char *wish, const char *user, const char *const *groups,
               char **problem)
{
    Vm *vm = wish ? vms_find(vms, wish) : NULL;
    if (vm && admits(vm, user, groups))
        return vm;
    if (vm) {
        *problem = g_strdup_printf("user %s may not use VM %s", user, vm->name);
        return NULL;
    }
    vm = vms->config->default_vm ? vms_find(vms, vms->config->default_vm) : NULL;
    if (vm && admits(vm, user, groups))
        return vm;
    return choose_only(vms, user, groups, problem);
}
