/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A device as a session describes it (Attach in org.rdpusb.Link1.xml), checked. What the device
 * says of itself is as little to be trusted as the session.
 */
#pragma once

#include "policy.h"

#include <glib.h>

typedef struct {
    PolicyDevice device; /* its texts are of `text` */
    char *label;         /* for the log: ids, quoted names */
    GVariant *text;
} Description;

/* NULL when it lacks what a device must have, or is larger than any device's. */
Description *description_new(GVariant *variant);
/* Accepts NULL. */
void description_free(Description *description);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Description, description_free)
