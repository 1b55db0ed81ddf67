/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One line of rules. */
#pragma once

#include "match.h"

typedef struct {
    PolicyTarget target;
    unsigned line;
    const char *file; /* not its own */
    char *text;       /* without comment */
    GArray *clauses;  /* of PolicyClause; all of them must match */
} PolicyRule;

/* `rule` is NULL after success if the line holds none. Caller frees. */
bool policy_rule_parse(const char *file, unsigned line, const char *text, gsize size,
                       PolicyRule **rule, GError **error);
void policy_rule_free(PolicyRule *rule);

bool policy_rule_matches(const PolicyRule *rule, const PolicyFacts *facts);
/* `why` is about the clause that does not match, or about all of them. Caller frees it. */
PolicyMatch policy_rule_explain(const PolicyRule *rule, const PolicyFacts *facts, char **why);
