/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "match.h"

#include "log.h"

#include <string.h>

#define MAX_LISTED 16 /* values in an explanation */

static PolicyValue *add(PolicyFacts *facts, PolicyAttribute attribute, gsize n)
{
    facts->of[attribute].values = g_new0(PolicyValue, n);
    facts->of[attribute].n = n;
    return facts->of[attribute].values;
}

static void add_number(PolicyFacts *facts, PolicyAttribute attribute, guint32 number)
{
    *add(facts, attribute, 1) = (PolicyValue){.number = number};
}

static void add_text(PolicyFacts *facts, PolicyAttribute attribute, const char *text)
{
    *add(facts, attribute, 1) = (PolicyValue){.text = (char *) text};
}

static void add_name(PolicyFacts *facts, PolicyAttribute attribute, const char *name)
{
    if (name)
        *add(facts, attribute, 1) = (PolicyValue){.text = (char *) name, .key = policy_fold(name)};
}

void policy_facts_init(PolicyFacts *facts, const PolicyDevice *device, const PolicySubject *subject)
{
    *facts = (PolicyFacts){0};
    add_number(facts, ATTRIBUTE_ID, policy_id_number(device->vendor, device->product));
    add_text(facts, ATTRIBUTE_NAME, device->name ? device->name : "");
    add_text(facts, ATTRIBUTE_SERIAL, device->serial ? device->serial : "");
    PolicyValue *interfaces = add(facts, ATTRIBUTE_INTERFACE, device->n_interfaces);
    for (gsize i = 0; i < device->n_interfaces; i++)
        interfaces[i].number = policy_interface_number(device->interfaces[i]);
    add_name(facts, ATTRIBUTE_USER, subject->user);
    add_name(facts, ATTRIBUTE_VM, subject->vm);
    gsize n_groups = subject->groups ? g_strv_length((char **) subject->groups) : 0;
    PolicyValue *groups = add(facts, ATTRIBUTE_GROUP, n_groups);
    for (gsize i = 0; i < n_groups; i++)
        groups[i].text = (char *) subject->groups[i];
}

void policy_facts_clear(PolicyFacts *facts)
{
    for (guint i = 0; i < N_ATTRIBUTES; i++) {
        for (gsize v = 0; v < facts->of[i].n; v++)
            g_free(facts->of[i].values[v].key);
        g_free(facts->of[i].values);
    }
    *facts = (PolicyFacts){0};
}

static const PolicyValue *wanted(const PolicyClause *clause, gsize i)
{
    return &g_array_index(clause->values, PolicyValue, i);
}

static bool value_matches(const PolicyValue *value, const PolicyValue *fact)
{
    if (value->key)
        return strcmp(value->key, fact->key) == 0;
    if (value->text)
        return strcmp(value->text, fact->text) == 0;
    return (fact->number & value->mask) == value->number;
}

static bool is_there(const PolicyValue *value, const PolicyValue *facts, gsize n)
{
    for (gsize i = 0; i < n; i++) {
        if (value_matches(value, &facts[i]))
            return true;
    }
    return false;
}

static bool is_wanted(const PolicyClause *clause, const PolicyValue *fact)
{
    for (gsize i = 0; i < clause->values->len; i++) {
        if (value_matches(wanted(clause, i), fact))
            return true;
    }
    return false;
}

static bool all_are_there(const PolicyClause *clause, const PolicyValue *facts, gsize n)
{
    for (gsize i = 0; i < clause->values->len; i++) {
        if (!is_there(wanted(clause, i), facts, n))
            return false;
    }
    return true;
}

static bool any_is_there(const PolicyClause *clause, const PolicyValue *facts, gsize n)
{
    for (gsize i = 0; i < clause->values->len; i++) {
        if (is_there(wanted(clause, i), facts, n))
            return true;
    }
    return false;
}

static bool nothing_else_is_there(const PolicyClause *clause, const PolicyValue *facts, gsize n)
{
    for (gsize i = 0; i < n; i++) {
        if (!is_wanted(clause, &facts[i]))
            return false;
    }
    return true;
}

/* As many on both sides, and nothing of either side without something that matches it. USBGuard
 * asks it of the rule's values only, so that `equals { 08:*:* 08:06:50 }` takes a disk with a
 * keyboard; that is no equality. */
static bool equal(const PolicyClause *clause, const PolicyValue *facts, gsize n)
{
    return clause->values->len == n && all_are_there(clause, facts, n) &&
           nothing_else_is_there(clause, facts, n);
}

static bool equal_in_order(const PolicyClause *clause, const PolicyValue *facts, gsize n)
{
    for (gsize i = 0; i < n && i < clause->values->len; i++) {
        if (!value_matches(wanted(clause, i), &facts[i]))
            return false;
    }
    return clause->values->len == n;
}

/* Of what is not known nothing can be said, not even that it is none of some. */
static bool is_known(const PolicyClause *clause, const PolicyFacts *facts)
{
    bool of_subject = clause->attribute == ATTRIBUTE_USER || clause->attribute == ATTRIBUTE_VM;
    return !of_subject || facts->of[clause->attribute].n > 0;
}

static bool holds(const PolicyClause *clause, const PolicyValue *facts, gsize n)
{
    switch (clause->set_operator) {
    case OPERATOR_EQUALS: return equal(clause, facts, n);
    case OPERATOR_EQUALS_ORDERED: return equal_in_order(clause, facts, n);
    case OPERATOR_ALL_OF: return all_are_there(clause, facts, n);
    case OPERATOR_ONE_OF: return any_is_there(clause, facts, n);
    case OPERATOR_NONE_OF: return !any_is_there(clause, facts, n);
    case OPERATOR_MATCH_ALL: return nothing_else_is_there(clause, facts, n);
    case N_OPERATORS: break;
    }
    g_assert_not_reached();
}

PolicyMatch policy_clause_match(const PolicyClause *clause, const PolicyFacts *facts)
{
    if (!is_known(clause, facts))
        return POLICY_MATCH_UNKNOWN;
    return holds(clause, facts->of[clause->attribute].values, facts->of[clause->attribute].n)
               ? POLICY_MATCHES
               : POLICY_MATCHES_NOT;
}

static void append_fact(GString *text, PolicyAttribute attribute, const PolicyValue *fact)
{
    guint32 number = fact->number;
    if (fact->text) {
        g_autofree char *quoted = log_quote(fact->text);
        g_string_append(text, quoted);
    } else if (attribute == ATTRIBUTE_ID) {
        g_string_append_printf(text, "%04x:%04x", number >> 16, number & 0xffff);
    } else {
        g_string_append_printf(text, "%02x:%02x:%02x", number >> 16, number >> 8 & 0xff,
                               number & 0xff);
    }
}

static const struct {
    const char *some, *none;
} phrases[N_ATTRIBUTES] = {
    [ATTRIBUTE_ID] = {"the device's id is", ""},
    [ATTRIBUTE_NAME] = {"the device's name is", "the device has no name"},
    [ATTRIBUTE_SERIAL] = {"the device's serial number is", "the device has no serial number"},
    [ATTRIBUTE_INTERFACE] = {"the device has", "the device has no interfaces"},
    [ATTRIBUTE_USER] = {"the user is", "the user is not known"},
    [ATTRIBUTE_GROUP] = {"the user's groups are", "the user is in no group"},
    [ATTRIBUTE_VM] = {"the VM is", "the VM is not known"},
};

char *policy_clause_explain(const PolicyClause *clause, const PolicyFacts *facts)
{
    const PolicyValue *values = facts->of[clause->attribute].values;
    gsize n = facts->of[clause->attribute].n;
    GString *text = g_string_new(clause->text);
    g_string_append(text, ": ");
    bool none = n == 0 || (values[0].text && *values[0].text == '\0');
    g_string_append(text, none ? phrases[clause->attribute].none : phrases[clause->attribute].some);
    for (gsize i = 0; !none && i < MIN(n, MAX_LISTED); i++) {
        g_string_append_c(text, ' ');
        append_fact(text, clause->attribute, &values[i]);
    }
    if (n > MAX_LISTED)
        g_string_append_printf(text, " and %zu more", n - MAX_LISTED);
    return g_string_free(text, FALSE);
}
