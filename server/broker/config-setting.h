/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What can be set: the table of settings, and how a value of one is taken. Internal to the
 * configuration.
 */
#pragma once

#include "config.h"

typedef enum { CONFIG_GROUP_DAEMON, CONFIG_GROUP_LIMITS, CONFIG_GROUP_VM } ConfigGroup;
typedef enum { SETTING_TEXT, SETTING_LIST, SETTING_NUMBER } SettingType;

typedef struct {
    ConfigGroup group;
    const char *key;
    SettingType type;
    size_t offset;                                    /* in Config, or in ConfigVm for that group */
    bool (*check)(const char *value, GError **error); /* of a text, or of each item of a list */
    guint64 min, max;                                 /* of a number */
    bool zero_allowed;                                /* beside min..max */
    const char *help, *argument;                      /* of the option; NULL: only in the file */
} Setting;

extern const Setting config_settings[];
extern const gsize config_n_settings;

/* NULL when there is none. Keys know no case, as those of systemd's and QEMU's users are. */
const Setting *setting_find(ConfigGroup group, const char *key);

/* Takes one value, wherever it came from. `target` is the Config or the ConfigVm. INPUT_ERROR. */
bool setting_take(const Setting *setting, void *target, const char *value, GError **error);
