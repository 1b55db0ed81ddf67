/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The VMs of this machine: their ports, and who may use them. Lives in the main context.
 */
#pragma once

#include "config.h"
#include "policy-filter.h"
#include "ports.h"

typedef struct {
    const ConfigVm *config;
    const char *name; /* of config */
    Ports *ports;
    PolicyFilter *filter;    /* or NULL */
    PolicyDecision filtered; /* what it decides of a device that it does not allow: its setting */
    char *filter_text;       /* of `filtered` */
} Vm;

typedef struct Vms Vms;

/* Opens all ports. `config` outlives it. NULL: which port cannot be opened, and why. */
Vms *vms_new(const Config *config, GError **error);
/* No connection may use a VM any more. Accepts NULL. */
void vms_free(Vms *vms);

/* By name, which knows no case; NULL when there is none. */
Vm *vms_find(const Vms *vms, const char *name);

/* The VM for this user: the one that was named, or else the default one, or else the only one that
 * the user may use. `wish` may be NULL; `groups` is NULL-terminated, or NULL. NULL when there is
 * none: `*problem` says why, for the log and the user, who has logged in by now; caller frees it.
 */
Vm *vms_choose(const Vms *vms, const char *wish, const char *user, const char *const *groups,
               char **problem);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Vms, vms_free)
