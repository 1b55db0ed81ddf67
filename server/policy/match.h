/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a device and its user have, in the form of a rule's values, and the comparison of both. */
#pragma once

#include "clause.h"

typedef struct {
    struct {
        PolicyValue *values; /* their texts belong to the device and the subject, their keys not */
        gsize n;
    } of[N_ATTRIBUTES];
} PolicyFacts;

void policy_facts_init(PolicyFacts *facts, const PolicyDevice *device,
                       const PolicySubject *subject);
void policy_facts_clear(PolicyFacts *facts);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(PolicyFacts, policy_facts_clear)

PolicyMatch policy_clause_match(const PolicyClause *clause, const PolicyFacts *facts);
/* The clause and what it was compared with: `name "a": the device's name is "b"`. Caller frees. */
char *policy_clause_explain(const PolicyClause *clause, const PolicyFacts *facts);
