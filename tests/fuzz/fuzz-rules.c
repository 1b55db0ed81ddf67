/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Device rules, in parts that lines "%%" divide: rules, a device description, user with groups and
 * VM, a usbredir filter, and the values of a set of interfaces. Whatever the texts are, the same
 * question gets the same answer, the explanation agrees with the decision, an error is one line
 * with its place, and the operators of sets keep what they promise of each other.
 */
#include "device-description.h"
#include "policy-filter.h"
#include "policy.h"
#include "text-file.h"

#include "require.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define N_PARTS 5

static void check_error(const GError *error, const char *place)
{
    REQUIRE(error->domain == INPUT_ERROR);
    REQUIRE(g_str_has_prefix(error->message, place));
    REQUIRE(g_utf8_validate(error->message, -1, NULL));
    REQUIRE(!strpbrk(error->message, "\r\n"));
}

/* The device of a text, or one that is always there. */
static const PolicyDevice *read_device(const char *text, DeviceDescription **description)
{
    static const PolicyInterface interfaces[] = {{3, 1, 1}, {3, 0, 0}};
    static const PolicyDevice keyboard = {
        .vendor = 0x046d, .product = 0xc31c, .interfaces = interfaces, .n_interfaces = 2};
    g_autoptr(GError) error = NULL;
    *description = device_description_parse(text, &error);
    REQUIRE((*description == NULL) == (error != NULL));
    if (error)
        check_error(error, "device description:1:");
    return *description ? device_description_device(*description) : &keyboard;
}

static void last_step(const PolicyDecision *rule, PolicyMatch match, const char *why, gpointer data)
{
    PolicyDecision *last = data;
    REQUIRE(last->file == NULL); /* nothing comes behind the rule that matches */
    REQUIRE(*why && g_utf8_validate(why, -1, NULL) && !strpbrk(why, "\r\n"));
    if (match == POLICY_MATCHES)
        *last = *rule;
}

/* The rule that a decision cites decides the same alone. */
static void check_text(const PolicyDecision *decision, const PolicyDevice *device,
                       const PolicySubject *subject)
{
    g_autoptr(Policy) policy = policy_parse("f", decision->text, NULL);
    PolicyDecision again;
    REQUIRE(policy && policy_n_rules(policy) == 1);
    policy_decide(policy, device, subject, &again);
    REQUIRE(again.line == 1 && again.target == decision->target);
}

static void check_rules(const char *text, const PolicyDevice *device, const PolicySubject *subject)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Policy) policy = policy_parse("f", text, &error);
    REQUIRE((policy == NULL) == (error != NULL));
    if (error) {
        check_error(error, "f:");
        return;
    }
    PolicyDecision decision, again, explained = {.target = POLICY_BLOCK};
    policy_decide(policy, device, subject, &decision);
    policy_decide(policy, device, subject, &again);
    policy_explain(policy, device, subject, last_step, &explained);
    REQUIRE(memcmp(&decision, &again, sizeof decision) == 0);
    REQUIRE(decision.target == explained.target && decision.line == explained.line);
    REQUIRE(decision.text == explained.text);
    g_autofree char *described = policy_decision_describe(&decision);
    REQUIRE(g_utf8_validate(described, -1, NULL) && !strpbrk(described, "\r\n"));
    if (decision.file)
        check_text(&decision, device, subject);
    else
        REQUIRE(decision.target == POLICY_BLOCK);
}

static void check_filter(const char *text, const PolicyDevice *device)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(PolicyFilter) filter = policy_filter_parse(text, &error);
    REQUIRE((filter == NULL) == (error != NULL));
    if (error)
        check_error(error, "");
    else
        REQUIRE(policy_filter_allows(filter, device) == policy_filter_allows(filter, device));
}

/* Whether the device's interfaces and the values are as the operator says; false if the values are
 * no set. */
static bool compare(const char *set_operator, const char *values, const PolicyDevice *device,
                    bool *matches)
{
    g_autofree char *text = g_strdup_printf("allow with-interface %s { %s }", set_operator, values);
    g_autoptr(Policy) policy = policy_parse("f", text, NULL);
    PolicyDecision decision;
    if (!policy || policy_n_rules(policy) != 1)
        return false;
    policy_decide(policy, device, &(PolicySubject){0}, &decision);
    *matches = decision.target == POLICY_ALLOW;
    return true;
}

static void check_operators(const char *values, const PolicyDevice *device)
{
    bool one, none, all, only, equal, ordered;
    if (strpbrk(values, "}#\n") || !compare("one-of", values, device, &one))
        return;
    REQUIRE(compare("none-of", values, device, &none) && compare("all-of", values, device, &all) &&
            compare("match-all", values, device, &only) &&
            compare("equals", values, device, &equal) &&
            compare("equals-ordered", values, device, &ordered));
    REQUIRE(one != none);
    REQUIRE(!all || one);
    REQUIRE(!only || one || device->n_interfaces == 0);
    REQUIRE(!equal || (all && only));
    REQUIRE(!ordered || equal);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autofree char *text = g_utf8_make_valid((const char *) data, (gssize) size);
    g_auto(GStrv) read = g_strsplit(text, "\n%%\n", N_PARTS);
    const char *parts[N_PARTS] = {"", "", "", "", ""};
    for (guint i = 0; read[i]; i++)
        parts[i] = read[i];
    g_auto(GStrv) names = g_strsplit(parts[2], " ", -1);
    guint n_names = g_strv_length(names);
    PolicySubject subject = {n_names > 0 ? names[0] : NULL,
                             n_names > 1 ? (const char *const *) names + 2 : NULL,
                             n_names > 1 ? names[1] : NULL};
    g_autoptr(DeviceDescription) description = NULL;
    const PolicyDevice *device = read_device(parts[1], &description);
    check_rules(parts[0], device, &subject);
    check_filter(parts[3], device);
    check_operators(parts[4], device);
    return 0;
}
