/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "device-description.h"

#include "clause.h"

#include <string.h>

#define FILE_NAME "device description"

struct DeviceDescription {
    PolicyDevice device;
    char *name, *serial;
    GArray *interfaces; /* PolicyInterface */
    unsigned seen;      /* bits 1 << PolicyAttribute */
};

/* What `usbguard list-devices` says too, and what no rule of ours looks at */
static bool is_passed_over(const PolicyLexer *lexer)
{
    static const char *const names[] = {"hash",  "parent-hash", "via-port", "with-connect-type",
                                        "label", NULL};
    return lexer->type == TOKEN_WORD && g_strv_contains(names, lexer->text->str);
}

static bool pass_over(PolicyLexer *lexer, GError **error)
{
    g_autofree char *name = policy_lexer_cite(lexer);
    if (!policy_lexer_next(lexer, error))
        return false;
    if (lexer->type != TOKEN_STRING)
        return policy_lexer_error(lexer, lexer->token, error, "the value of %s is missing", name);
    return policy_lexer_next(lexer, error);
}

/* Number and target, with which a line of `usbguard list-devices` begins */
static bool pass_over_beginning(PolicyLexer *lexer, GError **error)
{
    const char *word = lexer->text->str;
    gsize n_digits = strspn(word, "0123456789");
    if (lexer->type == TOKEN_WORD && n_digits > 0 && strcmp(word + n_digits, ":") == 0 &&
        !policy_lexer_next(lexer, error))
        return false;
    for (PolicyTarget target = POLICY_ALLOW; target <= POLICY_REJECT; target++) {
        if (policy_lexer_is_word(lexer, policy_target_to_string(target)))
            return policy_lexer_next(lexer, error);
    }
    return true;
}

static void take_interfaces(DeviceDescription *description, const GArray *values)
{
    for (guint i = 0; i < values->len; i++) {
        guint32 number = g_array_index(values, PolicyValue, i).number;
        PolicyInterface interface = {(guint8) (number >> 16), (guint8) (number >> 8),
                                     (guint8) number};
        g_array_append_val(description->interfaces, interface);
    }
    description->device.interfaces = (PolicyInterface *) description->interfaces->data;
    description->device.n_interfaces = description->interfaces->len;
}

static void take(DeviceDescription *description, const PolicyClause *clause)
{
    const PolicyValue *value = &g_array_index(clause->values, PolicyValue, 0);
    PolicyDevice *device = &description->device;
    description->seen |= 1u << clause->attribute;
    if (clause->attribute == ATTRIBUTE_ID) {
        device->vendor = value->number >> 16;
        device->product = value->number & 0xffff;
    } else if (clause->attribute == ATTRIBUTE_NAME) {
        device->name = description->name = g_strdup(value->text);
    } else if (clause->attribute == ATTRIBUTE_SERIAL) {
        device->serial = description->serial = g_strdup(value->text);
    } else {
        take_interfaces(description, clause->values);
    }
}

/* One value of each, without wildcards, and nothing of who brings it */
static bool check(const PolicyLexer *lexer, const char *place, const DeviceDescription *description,
                  const PolicyClause *clause, GError **error)
{
    const char *name = policy_attribute_to_string(clause->attribute);
    if (clause->attribute > ATTRIBUTE_INTERFACE)
        return policy_lexer_error(lexer, place, error, "%s is nothing of a device: use --%s", name,
                                  name);
    if (description->seen & 1u << clause->attribute)
        return policy_lexer_error(lexer, place, error, "%s stands here a second time: remove one",
                                  name);
    if (clause->set_operator != OPERATOR_EQUALS ||
        (clause->attribute != ATTRIBUTE_INTERFACE && clause->values->len != 1))
        return policy_lexer_error(
            lexer, place, error, "a device has its %s, and no choice: write the value alone%s",
            name, clause->attribute == ATTRIBUTE_INTERFACE ? ", or { ... }" : "");
    for (guint i = 0; i < clause->values->len; i++) {
        const PolicyValue *value = &g_array_index(clause->values, PolicyValue, i);
        guint32 whole = clause->attribute == ATTRIBUTE_ID ? 0xffffffff : 0xffffff;
        if (!value->text && value->mask != whole)
            return policy_lexer_error(lexer, place, error,
                                      "a device has no wildcards: write the whole %s", name);
    }
    return true;
}

static bool parse_clause(PolicyLexer *lexer, DeviceDescription *description, GError **error)
{
    const char *place = lexer->token;
    PolicyClause clause;
    if (is_passed_over(lexer))
        return pass_over(lexer, error);
    if (!policy_clause_parse(lexer, description->seen == 0, &clause, error))
        return false;
    bool right = check(lexer, place, description, &clause, error);
    if (right)
        take(description, &clause);
    policy_clause_clear(&clause);
    return right;
}

static bool parse(PolicyLexer *lexer, DeviceDescription *description, GError **error)
{
    if (!policy_lexer_next(lexer, error) || !pass_over_beginning(lexer, error))
        return false;
    while (lexer->type != TOKEN_END) {
        if (!parse_clause(lexer, description, error))
            return false;
    }
    if (!(description->seen & 1u << ATTRIBUTE_ID))
        return policy_lexer_error(lexer, lexer->start, error,
                                  "it has no id: write it as usbguard list-devices prints it, id "
                                  "0951:1666 serial \"60A4\" name \"DataTraveler\" with-interface "
                                  "08:06:50");
    return true;
}

DeviceDescription *device_description_parse(const char *text, GError **error)
{
    g_auto(PolicyLexer) lexer = {0};
    g_autofree char *valid = g_utf8_make_valid(text, -1);
    g_autoptr(DeviceDescription) description = g_new0(DeviceDescription, 1);
    description->interfaces = g_array_new(FALSE, FALSE, sizeof(PolicyInterface));
    policy_lexer_init(&lexer, FILE_NAME, 1, valid, strlen(valid));
    return parse(&lexer, description, error) ? g_steal_pointer(&description) : NULL;
}

void device_description_free(DeviceDescription *description)
{
    if (!description)
        return;
    g_free(description->name);
    g_free(description->serial);
    g_array_unref(description->interfaces);
    g_free(description);
}

const PolicyDevice *device_description_device(const DeviceDescription *description)
{
    return &description->device;
}
