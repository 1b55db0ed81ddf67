/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What fake-guest can be told to do, one function for each word of its scripts. */
#pragma once

#include <gio/gio.h>

#include "guest-flows.h"

typedef struct {
    GuestSocket *socket;
    GuestFlows *flows;
    GString *result; /* what the step's line says */
    char **words;    /* the step and its arguments, NULL at the end */
} Step;

typedef struct {
    const char *name;
    const char *arguments; /* for the reader */
    guint least, most;     /* how many there are */
    bool needs_device;     /* an enumerated one */
    bool (*run)(Step *step, GError **error);
    const char *does; /* for the reader */
} StepKind;

/* Ends with an entry without a name. */
extern const StepKind step_kinds[];
