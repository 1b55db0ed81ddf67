/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One attribute of a rule with its values, `with-interface one-of { 03:01:* 09:*:* }`, and the same
 * attribute of a device and of who brings it, which it is compared with.
 */
#pragma once

#include "lexer.h"

typedef enum {
    ATTRIBUTE_ID,
    ATTRIBUTE_NAME,
    ATTRIBUTE_SERIAL,
    ATTRIBUTE_INTERFACE,
    ATTRIBUTE_USER,
    ATTRIBUTE_GROUP,
    ATTRIBUTE_VM,
    N_ATTRIBUTES
} PolicyAttribute;

typedef enum {
    OPERATOR_EQUALS,
    OPERATOR_EQUALS_ORDERED,
    OPERATOR_ALL_OF,
    OPERATOR_ONE_OF,
    OPERATOR_NONE_OF,
    OPERATOR_MATCH_ALL,
    N_OPERATORS
} PolicyOperator;

/* A text, or a number (a device id, an interface) of which the bits in `mask` count. */
typedef struct {
    char *text; /* NULL for numbers */
    char *key;  /* what it is compared by, if that is not the text itself */
    guint32 number, mask;
} PolicyValue;

typedef struct {
    PolicyAttribute attribute;
    PolicyOperator set_operator;
    char *text;     /* as it was written */
    GArray *values; /* of PolicyValue, each once */
} PolicyClause;

const char *policy_attribute_to_string(PolicyAttribute attribute);
/* A word that has a meaning in the language: a name that is the same must be quoted. */
bool policy_is_keyword(const char *word);

/* From the current token, the attribute's name, to behind the last value; a lone device id may
 * stand for `id`. Sets `clause` only if it succeeds; policy_clause_clear() frees what it owns. */
bool policy_clause_parse(PolicyLexer *lexer, bool may_be_lone_id, PolicyClause *clause,
                         GError **error);
void policy_clause_clear(PolicyClause *clause);

/* What names of users and VMs are compared by. Caller frees. */
char *policy_fold(const char *name);

static inline guint32 policy_id_number(guint16 vendor, guint16 product)
{
    return (guint32) vendor << 16 | product;
}

static inline guint32 policy_interface_number(PolicyInterface interface)
{
    return (guint32) interface.class_ << 16 | (guint32) interface.subclass << 8 |
           interface.protocol;
}
