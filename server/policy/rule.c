/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "rule.h"

#include "text-file.h"

static bool parse_target(PolicyLexer *lexer, PolicyTarget *target, GError **error)
{
    for (PolicyTarget t = POLICY_ALLOW; t <= POLICY_REJECT; t++) {
        if (policy_lexer_is_word(lexer, policy_target_to_string(t))) {
            *target = t;
            return policy_lexer_next(lexer, error);
        }
    }
    g_autofree char *cited = policy_lexer_cite(lexer);
    return policy_lexer_error(lexer, lexer->token, error,
                              "%s is no target: a rule begins with allow, block or reject", cited);
}

static bool check_new(const PolicyLexer *lexer, const char *place, const PolicyRule *rule,
                      PolicyAttribute attribute, GError **error)
{
    for (guint i = 0; i < rule->clauses->len; i++) {
        if (g_array_index(rule->clauses, PolicyClause, i).attribute != attribute)
            continue;
        const char *name = policy_attribute_to_string(attribute);
        return policy_lexer_error(lexer, place, error,
                                  "%s stands in this rule a second time: use one set, %s one-of { "
                                  "... }",
                                  name, name);
    }
    return true;
}

static bool parse_clauses(PolicyLexer *lexer, PolicyRule *rule, GError **error)
{
    while (lexer->type != TOKEN_END) {
        PolicyClause clause;
        const char *place = lexer->token;
        if (!policy_clause_parse(lexer, rule->clauses->len == 0, &clause, error))
            return false;
        bool is_new = check_new(lexer, place, rule, clause.attribute, error);
        g_array_append_val(rule->clauses, clause);
        if (!is_new)
            return false;
    }
    return true;
}

static void clear_clause(gpointer clause)
{
    policy_clause_clear(clause);
}

static PolicyRule *parse_rule(PolicyLexer *lexer, GError **error)
{
    PolicyRule *rule = g_new0(PolicyRule, 1);
    rule->file = lexer->file;
    rule->line = lexer->line;
    rule->clauses = g_array_new(FALSE, FALSE, sizeof(PolicyClause));
    g_array_set_clear_func(rule->clauses, clear_clause);
    const char *start = lexer->token;
    if (!parse_target(lexer, &rule->target, error) || !parse_clauses(lexer, rule, error)) {
        policy_rule_free(rule);
        return NULL;
    }
    rule->text = g_strndup(start, (gsize) (lexer->last_end - start));
    return rule;
}

bool policy_rule_parse(const char *file, unsigned line, const char *text, gsize size,
                       PolicyRule **rule, GError **error)
{
    g_auto(PolicyLexer) lexer = {0};
    *rule = NULL;
    if (size > POLICY_MAX_LINE_BYTES)
        return text_file_error(error, file, line, 0,
                               "this line has %zu bytes, and %d are possible: use several rules",
                               size, POLICY_MAX_LINE_BYTES);
    policy_lexer_init(&lexer, file, line, text, size);
    if (!policy_lexer_next(&lexer, error))
        return false;
    if (lexer.type == TOKEN_END)
        return true;
    *rule = parse_rule(&lexer, error);
    return *rule != NULL;
}

void policy_rule_free(PolicyRule *rule)
{
    g_free(rule->text);
    g_array_unref(rule->clauses);
    g_free(rule);
}

bool policy_rule_matches(const PolicyRule *rule, const PolicyFacts *facts)
{
    for (guint i = 0; i < rule->clauses->len; i++) {
        const PolicyClause *clause = &g_array_index(rule->clauses, PolicyClause, i);
        if (policy_clause_match(clause, facts) != POLICY_MATCHES)
            return false;
    }
    return true;
}

PolicyMatch policy_rule_explain(const PolicyRule *rule, const PolicyFacts *facts, char **why)
{
    GString *reasons = g_string_new(rule->clauses->len == 0 ? "it matches every device" : NULL);
    PolicyMatch result = POLICY_MATCHES;
    /* What does not match in any case is a better reason than what is not known. */
    for (guint i = 0; i < rule->clauses->len && result != POLICY_MATCHES_NOT; i++) {
        const PolicyClause *clause = &g_array_index(rule->clauses, PolicyClause, i);
        PolicyMatch match = policy_clause_match(clause, facts);
        if (result != POLICY_MATCHES && match != POLICY_MATCHES_NOT)
            continue;
        result = match;
        g_autofree char *reason = policy_clause_explain(clause, facts);
        g_string_truncate(reasons, match == POLICY_MATCHES ? reasons->len : 0);
        g_string_append_printf(reasons, "%s%s", reasons->len ? "; " : "", reason);
    }
    *why = g_string_free(reasons, FALSE);
    return result;
}
