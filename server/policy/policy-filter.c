/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "policy-filter.h"

#include "log.h"
#include "text-file.h"

#include <string.h>
#include <usbredirfilter.h>

struct PolicyFilter {
    struct usbredirfilter_rule *rules;
    int n_rules;
};

static bool parse(const char *text, PolicyFilter *filter)
{
    return usbredirfilter_string_to_rules(text, ",", "|", &filter->rules, &filter->n_rules) == 0 &&
           filter->n_rules > 0;
}

/* The library does not say which rule it does not take. */
static void explain(const char *text, GError **error)
{
    g_auto(GStrv) parts = g_strsplit(text, "|", -1);
    for (guint i = 0; parts[i]; i++) {
        PolicyFilter one = {0};
        bool parsed = *parts[i] == '\0' || parse(parts[i], &one);
        usbredirfilter_free(one.rules);
        if (parsed)
            continue;
        g_autofree char *quoted = log_quote(parts[i]);
        g_set_error(error, INPUT_ERROR, 0,
                    "rule %u of the filter, %s, is not CLASS,VENDOR,PRODUCT,VERSION,ALLOW: write "
                    "numbers, -1 for any, and 1 or 0 at its end, as 0x08,-1,-1,-1,1",
                    i + 1, quoted);
        return;
    }
    g_set_error(error, INPUT_ERROR, 0,
                "the filter has no rules: write CLASS,VENDOR,PRODUCT,VERSION,ALLOW, with | between "
                "rules, or leave it out");
}

PolicyFilter *policy_filter_parse(const char *text, GError **error)
{
    if (strlen(text) > POLICY_MAX_FILTER_BYTES) {
        g_set_error(error, INPUT_ERROR, 0, "the filter has more than %d bytes: write device rules",
                    POLICY_MAX_FILTER_BYTES);
        return NULL;
    }
    PolicyFilter *filter = g_new0(PolicyFilter, 1);
    if (parse(text, filter))
        return filter;
    explain(text, error);
    policy_filter_free(filter);
    return NULL;
}

void policy_filter_free(PolicyFilter *filter)
{
    if (!filter)
        return;
    usbredirfilter_free(filter->rules);
    g_free(filter);
}

bool policy_filter_allows(const PolicyFilter *filter, const PolicyDevice *device)
{
    int n = (int) device->n_interfaces;
    g_autofree guint8 *fields = g_new(guint8, 3 * device->n_interfaces + 1);
    guint8 *classes = fields, *subclasses = fields + n, *protocols = subclasses + n;
    for (int i = 0; i < n; i++) {
        classes[i] = device->interfaces[i].class_;
        subclasses[i] = device->interfaces[i].subclass;
        protocols[i] = device->interfaces[i].protocol;
    }
    return usbredirfilter_check(filter->rules, filter->n_rules, device->class_, device->subclass,
                                device->protocol, classes, subclasses, protocols, n, device->vendor,
                                device->product, device->version, 0) == 0;
}
