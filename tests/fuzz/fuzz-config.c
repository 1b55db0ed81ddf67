/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The configuration file. What is refused says why; what is accepted keeps the promises of
 * config.h, and is the same when it is read again.
 */
#include "config.h"
#include "text-file.h"

#include "require.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_texts(const GPtrArray *texts)
{
    for (guint i = 0; i < texts->len; i++) {
        const char *text = texts->pdata[i];
        REQUIRE(*text && g_utf8_validate(text, -1, NULL));
        for (guint j = 0; j < i; j++)
            REQUIRE(strcmp(text, texts->pdata[j]) != 0);
    }
}

static void check_vm(const Config *config, guint index)
{
    const ConfigVm *vm = config->vms->pdata[index];
    REQUIRE(vm->ports->len > 0 && vm->users->len + vm->groups->len > 0);
    REQUIRE(vm->line > 0);
    check_texts(vm->ports);
    check_texts(vm->users);
    check_texts(vm->groups);
    for (guint i = 0; i < index; i++) {
        const ConfigVm *other = config->vms->pdata[i];
        REQUIRE(g_ascii_strcasecmp(vm->name, other->name) != 0);
    }
}

static void check_config(const Config *config)
{
    const ConfigLimits *limits = &config->limits;
    REQUIRE(config_security(config) != 0);
    REQUIRE(config_has_passwords(config, "users") || config_has_passwords(config, "pam"));
    REQUIRE(!config->user == !config->password_file);
    REQUIRE(!config->certificate == !config->private_key);
    REQUIRE(config->state_dir && config->rules_dir);
    REQUIRE(config->session_uids >= 65536);
    REQUIRE(limits->max_connections >= 1 && limits->max_connections <= 4096);
    REQUIRE(limits->max_device_channels >= 1 && limits->max_device_channels <= 255);
    REQUIRE(limits->login_seconds >= 1 && limits->login_seconds <= 3600);
    REQUIRE(limits->lockout_failures <= 1000 && limits->lockout_seconds <= 86400);
    for (guint i = 0; i < config->vms->len; i++)
        check_vm(config, i);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_log_set_always_fatal(G_LOG_LEVEL_CRITICAL |
                           G_LOG_LEVEL_WARNING); /* an error set twice, say */
    /* As text_file_read() hands it over */
    if (memchr(data, 0, size) || !g_utf8_validate((const char *) data, size, NULL))
        return 0;
    g_autofree char *text = g_strndup((const char *) data, size);
    g_autoptr(GError) error = NULL;
    g_autoptr(GError) again_error = NULL;
    g_autoptr(Config) config = config_parse("c", text, &error);
    g_autoptr(Config) again = config_parse("c", text, &again_error);
    REQUIRE((config == NULL) == (error != NULL));
    REQUIRE((config == NULL) == (again == NULL));
    if (error) {
        REQUIRE(error->domain == INPUT_ERROR);
        REQUIRE(g_str_has_prefix(error->message, "c:"));
        REQUIRE(g_utf8_validate(error->message, -1, NULL));
        REQUIRE(strcmp(error->message, again_error->message) == 0);
        return 0;
    }
    check_config(config);
    REQUIRE(again->vms->len == config->vms->len);
    return 0;
}
