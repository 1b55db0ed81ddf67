/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "policy.h"

#include "rule.h"
#include "text-file.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MAX_CITED 200 /* characters of a rule in a line of the log */

struct Policy {
    GPtrArray *files; /* their names */
    GPtrArray *rules; /* PolicyRule */
};

static const char *const target_names[] = {"allow", "block", "reject"};

const char *policy_target_to_string(PolicyTarget target)
{
    return target_names[target];
}

static Policy *policy_new(void)
{
    Policy *policy = g_new0(Policy, 1);
    policy->files = g_ptr_array_new_with_free_func(g_free);
    policy->rules = g_ptr_array_new_with_free_func((GDestroyNotify) policy_rule_free);
    return policy;
}

void policy_free(Policy *policy)
{
    if (!policy)
        return;
    g_ptr_array_unref(policy->rules);
    g_ptr_array_unref(policy->files);
    g_free(policy);
}

unsigned policy_n_rules(const Policy *policy)
{
    return policy->rules->len;
}

static bool asks_for_groups(const PolicyRule *rule)
{
    for (guint i = 0; i < rule->clauses->len; i++) {
        if (g_array_index(rule->clauses, PolicyClause, i).attribute == ATTRIBUTE_GROUP)
            return true;
    }
    return false;
}

bool policy_asks_for_groups(const Policy *policy)
{
    for (guint i = 0; i < policy->rules->len; i++) {
        if (asks_for_groups(g_ptr_array_index(policy->rules, i)))
            return true;
    }
    return false;
}

static bool add_line(Policy *policy, const char *file, unsigned line, const char *text, gsize size,
                     GError **error)
{
    PolicyRule *rule;
    if (!policy_rule_parse(file, line, text, size, &rule, error))
        return false;
    if (!rule)
        return true;
    g_ptr_array_add(policy->rules, rule);
    if (policy->rules->len <= POLICY_MAX_RULES)
        return true;
    return text_file_error(error, file, line, 0,
                           "there are more than %d rules: use sets, as id one-of { ... }",
                           POLICY_MAX_RULES);
}

static bool add_text(Policy *policy, const char *file_name, const char *text, GError **error)
{
    char *file = g_strdup(file_name);
    g_ptr_array_add(policy->files, file);
    for (unsigned line = 1; *text; line++) {
        gsize size = strcspn(text, "\n");
        bool of_dos = size > 0 && text[size] == '\n' && text[size - 1] == '\r';
        if (!add_line(policy, file, line, text, size - of_dos, error))
            return false;
        text += size + (text[size] == '\n');
    }
    return true;
}

Policy *policy_parse(const char *file_name, const char *text, GError **error)
{
    g_autoptr(Policy) policy = policy_new();
    if (!g_utf8_validate(text, -1, NULL))
        text_file_error(error, file_name, 0, 0, "is no text in UTF-8");
    else if (add_text(policy, file_name, text, error))
        return g_steal_pointer(&policy);
    return NULL;
}

static int is_rule_file(const struct dirent *entry)
{
    return *entry->d_name != '.' && g_str_has_suffix(entry->d_name, ".rules");
}

/* Not in the order of a locale: who reads the folder must see which rule comes first. */
static int by_bytes(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static bool add_file(Policy *policy, const char *folder, const char *name, GError **error)
{
    g_autofree char *path = g_build_filename(folder, name, NULL);
    g_autofree char *text = text_file_read(path, TEXT_FILE_PUBLIC, error);
    return text && add_text(policy, path, text, error);
}

static bool add_files(Policy *policy, const char *folder, struct dirent **entries, int n,
                      GError **error)
{
    if (n == 0)
        return text_file_error(error, folder, 0, 0,
                               "has no file named *.rules, so no device could be used: write one, "
                               "see rdpusb-rules(5)");
    if (n > POLICY_MAX_FILES)
        return text_file_error(error, folder, 0, 0,
                               "has %d files named *.rules, and %d are possible: join some", n,
                               POLICY_MAX_FILES);
    for (int i = 0; i < n; i++) {
        if (!add_file(policy, folder, entries[i]->d_name, error))
            return false;
    }
    return true;
}

Policy *policy_load(const char *folder, GError **error)
{
    g_autoptr(Policy) policy = policy_new();
    struct dirent **entries = NULL;
    if (!g_file_test(folder, G_FILE_TEST_EXISTS)) {
        text_file_error(error, folder, 0, 0,
                        "the folder with the device rules is missing: make it, and write a *.rules "
                        "file there, see rdpusb-rules(5)");
        return NULL;
    }
    if (!text_folder_check(folder, error))
        return NULL;
    int n = scandir(folder, &entries, is_rule_file, by_bytes);
    if (n < 0) {
        text_file_error(error, folder, 0, 0, "%s", g_strerror(errno));
        return NULL;
    }
    bool loaded = add_files(policy, folder, entries, n, error);
    for (int i = 0; i < n; i++)
        free(entries[i]);
    free(entries);
    return loaded ? g_steal_pointer(&policy) : NULL;
}

static PolicyDecision decision_by(const PolicyRule *rule)
{
    return (PolicyDecision){rule->target, rule->file, rule->line, rule->text};
}

void policy_decide(const Policy *policy, const PolicyDevice *device, const PolicySubject *subject,
                   PolicyDecision *decision)
{
    g_auto(PolicyFacts) facts = {0};
    policy_facts_init(&facts, device, subject);
    *decision = (PolicyDecision){.target = POLICY_BLOCK};
    for (guint i = 0; i < policy->rules->len && !decision->file; i++) {
        const PolicyRule *rule = g_ptr_array_index(policy->rules, i);
        if (policy_rule_matches(rule, &facts))
            *decision = decision_by(rule);
    }
}

void policy_explain(const Policy *policy, const PolicyDevice *device, const PolicySubject *subject,
                    PolicyStep step, gpointer data)
{
    g_auto(PolicyFacts) facts = {0};
    policy_facts_init(&facts, device, subject);
    PolicyMatch match = POLICY_MATCHES_NOT;
    for (guint i = 0; i < policy->rules->len && match != POLICY_MATCHES; i++) {
        const PolicyRule *rule = g_ptr_array_index(policy->rules, i);
        g_autofree char *why = NULL;
        match = policy_rule_explain(rule, &facts, &why);
        PolicyDecision decision = decision_by(rule);
        step(&decision, match, why, data);
    }
}

char *policy_decision_describe(const PolicyDecision *decision)
{
    static const char *const done[] = {"allowed", "blocked", "rejected"};
    if (!decision->file)
        return g_strdup_printf("%s: no rule matches it", done[decision->target]);
    bool whole = g_utf8_strlen(decision->text, -1) <= MAX_CITED;
    g_autofree char *text =
        g_utf8_substring(decision->text, 0, whole ? g_utf8_strlen(decision->text, -1) : MAX_CITED);
    return g_strdup_printf("%s by %s:%u (%s%s)", done[decision->target], decision->file,
                           decision->line, text, whole ? "" : "…");
}
