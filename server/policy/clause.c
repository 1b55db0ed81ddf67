/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "clause.h"

#include "log.h"

#include <string.h>

typedef enum { VALUE_ID, VALUE_INTERFACE, VALUE_QUOTED, VALUE_NAME } ValueKind;

typedef struct {
    const char *name;
    ValueKind kind;
    const char *owner; /* "a device has one": NULL where there can be several at a time */
} Attribute;

static const Attribute attributes[N_ATTRIBUTES] = {
    [ATTRIBUTE_ID] = {"id", VALUE_ID, "a device has one id"},
    [ATTRIBUTE_NAME] = {"name", VALUE_QUOTED, "a device has one name"},
    [ATTRIBUTE_SERIAL] = {"serial", VALUE_QUOTED, "a device has one serial number"},
    [ATTRIBUTE_INTERFACE] = {"with-interface", VALUE_INTERFACE, NULL},
    [ATTRIBUTE_USER] = {"user", VALUE_NAME, "a device is brought by one user"},
    [ATTRIBUTE_GROUP] = {"group", VALUE_NAME, NULL},
    [ATTRIBUTE_VM] = {"vm", VALUE_NAME, "a device goes to one VM"},
};

static const char *const operators[N_OPERATORS + 1] = {
    [OPERATOR_EQUALS] = "equals",   [OPERATOR_EQUALS_ORDERED] = "equals-ordered",
    [OPERATOR_ALL_OF] = "all-of",   [OPERATOR_ONE_OF] = "one-of",
    [OPERATOR_NONE_OF] = "none-of", [OPERATOR_MATCH_ALL] = "match-all",
};

/* What USBGuard has beside it, and what to do about it here */
static const struct {
    const char *name, *reason, *advice;
} foreign[] = {
    {"hash", "it is computed from what USBGuard reads itself", "use id and serial"},
    {"parent-hash", "the hub above a device is not known", "leave it out"},
    {"via-port", "the ports of a client's machine are not known", "use user or vm"},
    {"with-connect-type", "the ports of a client's machine are not known", "leave it out"},
    {"if", "rules have no conditions", "leave it out"},
    {"label", "rules have no labels", "write a # comment"},
    {"key", "rules have no keys", "leave it out"},
};

const char *policy_attribute_to_string(PolicyAttribute attribute)
{
    return attributes[attribute].name;
}

static bool attribute_of(const char *word, PolicyAttribute *attribute)
{
    for (guint i = 0; i < N_ATTRIBUTES; i++) {
        if (strcmp(word, attributes[i].name) == 0) {
            *attribute = i;
            return true;
        }
    }
    return false;
}

static bool operator_of(const PolicyLexer *lexer, PolicyOperator *found)
{
    for (guint i = 0; i < N_OPERATORS; i++) {
        if (policy_lexer_is_word(lexer, operators[i])) {
            *found = i;
            return true;
        }
    }
    return false;
}

static int foreign_of(const char *word)
{
    for (guint i = 0; i < G_N_ELEMENTS(foreign); i++) {
        if (strcmp(word, foreign[i].name) == 0)
            return (int) i;
    }
    return -1;
}

bool policy_is_keyword(const char *word)
{
    PolicyAttribute attribute;
    static const char *const targets[] = {"allow", "block", "reject", NULL};
    return attribute_of(word, &attribute) || foreign_of(word) >= 0 ||
           g_strv_contains(targets, word) || g_strv_contains(operators, word);
}

static bool parse_hex(const char **c, unsigned n_digits, guint32 *number)
{
    for (unsigned i = 0; i < n_digits; i++, (*c)++) {
        if (!g_ascii_isxdigit(**c))
            return false;
        *number = *number << 4 | (guint32) g_ascii_xdigit_value(**c);
    }
    return true;
}

/* Fields of `n_digits` with colons between them; a * may stand for the last ones. */
static bool parse_fields(const char *c, unsigned n_fields, unsigned n_digits, PolicyValue *value)
{
    const guint32 all = n_digits == 4 ? 0xffff : 0xff;
    bool any = false;
    *value = (PolicyValue){0};
    for (unsigned i = 0; i < n_fields; i++) {
        if (i > 0 && *c++ != ':')
            return false;
        value->mask <<= 4 * n_digits;
        if (*c == '*') {
            any = true;
            value->number <<= 4 * n_digits;
            c++;
        } else if (!any && parse_hex(&c, n_digits, &value->number)) {
            value->mask |= all;
        } else {
            return false;
        }
    }
    return *c == '\0';
}

static bool parse_id(PolicyLexer *lexer, PolicyValue *value, GError **error)
{
    const char *word = lexer->text->str;
    if (parse_fields(word, 2, 4, value))
        return true;
    if (parse_fields(word, 3, 2, value))
        return policy_lexer_error(lexer, lexer->token, error,
                                  "%s is an interface, and no device id: write with-interface %s",
                                  word, word);
    g_autofree char *cited = policy_lexer_cite(lexer);
    return policy_lexer_error(lexer, lexer->token, error,
                              "%s is no device id: write vendor and product as four hexadecimal "
                              "digits each, as 1050:0011, 1050:* or *:*",
                              cited);
}

static bool parse_interface(PolicyLexer *lexer, PolicyValue *value, GError **error)
{
    /* USBGuard knows no *:*:* either */
    if (*lexer->text->str != '*' && parse_fields(lexer->text->str, 3, 2, value))
        return true;
    g_autofree char *cited = policy_lexer_cite(lexer);
    return policy_lexer_error(lexer, lexer->token, error,
                              "%s is no interface: write class, subclass and protocol as two "
                              "hexadecimal digits each, as 03:01:02, 03:01:* or 03:*:*",
                              cited);
}

/* What holds for numbers alike: they are words */
static bool parse_number(PolicyLexer *lexer, ValueKind kind, PolicyValue *value, GError **error)
{
    g_autofree char *cited = policy_lexer_cite(lexer);
    const char *name = kind == VALUE_ID ? "device id" : "interface";
    const char *example = kind == VALUE_ID ? "1050:0011" : "03:01:02";
    if (lexer->type == TOKEN_STRING)
        return policy_lexer_error(lexer, lexer->token, error,
                                  "the %s %s stands in quotes: remove them", name, cited);
    if (lexer->type != TOKEN_WORD)
        return policy_lexer_error(lexer, lexer->token, error,
                                  "%s stands where %s %s is expected, as %s", cited,
                                  kind == VALUE_ID ? "a" : "an", name, example);
    return kind == VALUE_ID ? parse_id(lexer, value, error) : parse_interface(lexer, value, error);
}

static bool parse_quoted(PolicyLexer *lexer, const char *attribute, PolicyValue *value,
                         GError **error)
{
    g_autofree char *cited = policy_lexer_cite(lexer);
    if (lexer->type != TOKEN_STRING)
        return policy_lexer_error(lexer, lexer->token, error,
                                  "%s stands where a text in quotes is expected: write %s \"...\"",
                                  cited, attribute);
    *value = (PolicyValue){.text = g_strdup(lexer->text->str)};
    return true;
}

char *policy_fold(const char *name)
{
    g_autofree char *valid = g_utf8_make_valid(name, -1);
    return g_utf8_casefold(valid, -1);
}

/* Of a user, a group or a VM */
static bool parse_name(PolicyLexer *lexer, PolicyAttribute name_of, PolicyValue *value,
                       GError **error)
{
    const char *attribute = attributes[name_of].name;
    const char *text = lexer->text->str;
    g_autofree char *cited = policy_lexer_cite(lexer);
    if ((lexer->type != TOKEN_WORD && lexer->type != TOKEN_STRING))
        return policy_lexer_error(lexer, lexer->token, error,
                                  "%s stands where a name is expected: write %s NAME, or %s "
                                  "one-of { NAME NAME }",
                                  cited, attribute, attribute);
    if (*text == '\0')
        return policy_lexer_error(lexer, lexer->token, error,
                                  "nothing is named \"\": write the name of a %s", attribute);
    if (lexer->type == TOKEN_WORD && policy_is_keyword(text))
        return policy_lexer_error(lexer, lexer->token, error,
                                  "the name of a %s is missing before %s: write it, and in quotes "
                                  "if %s is that name",
                                  attribute, cited, cited);
    if (lexer->type == TOKEN_WORD && strpbrk(text, "*?"))
        return policy_lexer_error(lexer, lexer->token, error,
                                  "names have no wildcards: write each name, or leave %s out to "
                                  "match all",
                                  attribute);
    if (lexer->type == TOKEN_WORD && strchr(text, '\\'))
        return policy_lexer_error(lexer, lexer->token, error,
                                  "a name with a backslash must be quoted, and the backslash "
                                  "doubled: \"DOMAIN\\\\name\"");
    *value = (PolicyValue){.text = g_strdup(text)};
    if (name_of != ATTRIBUTE_GROUP)
        value->key = policy_fold(text);
    return true;
}

static void clear_value(gpointer data)
{
    PolicyValue *value = data;
    g_free(value->text);
    g_free(value->key);
}

static bool is_same(const PolicyValue *a, const PolicyValue *b)
{
    return a->number == b->number && a->mask == b->mask &&
           g_strcmp0(a->key ? a->key : a->text, b->key ? b->key : b->text) == 0;
}

static void add_once(GArray *values, PolicyValue value)
{
    for (guint i = 0; i < values->len; i++) {
        if (is_same(&g_array_index(values, PolicyValue, i), &value)) {
            clear_value(&value);
            return;
        }
    }
    g_array_append_val(values, value);
}

static bool parse_value(PolicyLexer *lexer, PolicyClause *clause, GError **error)
{
    const Attribute *attribute = &attributes[clause->attribute];
    PolicyValue value;
    bool parsed = false;
    const char *comma = lexer->type == TOKEN_WORD ? strchr(lexer->text->str, ',') : NULL;
    if (comma)
        return policy_lexer_error(lexer, lexer->token + (comma - lexer->text->str), error,
                                  "there are blanks between the values of a set: remove the comma, "
                                  "or quote it as a part of a name");
    switch (attribute->kind) {
    case VALUE_ID:
    case VALUE_INTERFACE: parsed = parse_number(lexer, attribute->kind, &value, error); break;
    case VALUE_QUOTED: parsed = parse_quoted(lexer, attribute->name, &value, error); break;
    case VALUE_NAME: parsed = parse_name(lexer, clause->attribute, &value, error); break;
    }
    if (!parsed)
        return false;
    add_once(clause->values, value);
    return policy_lexer_next(lexer, error);
}

static bool parse_set(PolicyLexer *lexer, PolicyClause *clause, GError **error)
{
    const char *open = lexer->token;
    if (!policy_lexer_next(lexer, error))
        return false;
    for (unsigned n = 0; lexer->type != TOKEN_CLOSE; n++) {
        if (lexer->type == TOKEN_END)
            return policy_lexer_error(lexer, open, error,
                                      "the closing } of this set is missing: a rule ends on its "
                                      "line");
        if (n == POLICY_MAX_VALUES)
            return policy_lexer_error(lexer, lexer->token, error,
                                      "this set has more than %d values: use several rules",
                                      POLICY_MAX_VALUES);
        if (!parse_value(lexer, clause, error))
            return false;
    }
    if (clause->values->len == 0)
        return policy_lexer_error(lexer, open, error,
                                  "this set is empty: write its values, or leave %s out to match "
                                  "all",
                                  attributes[clause->attribute].name);
    return policy_lexer_next(lexer, error);
}

/* What can never match is a mistake, which would open a door if the rule is to block. */
static bool check_set(const PolicyLexer *lexer, const PolicyClause *clause, const char *place,
                      bool operator_given, GError **error)
{
    const Attribute *attribute = &attributes[clause->attribute];
    if (clause->attribute == ATTRIBUTE_GROUP && !operator_given)
        return policy_lexer_error(lexer, place, error,
                                  "which of these groups: write one-of { ... } for any, or all-of "
                                  "{ ... } for each of them");
    bool needs_all = clause->set_operator == OPERATOR_EQUALS ||
                     clause->set_operator == OPERATOR_EQUALS_ORDERED ||
                     (clause->set_operator == OPERATOR_ALL_OF && attribute->kind != VALUE_ID);
    if (attribute->owner && needs_all && clause->values->len > 1)
        return policy_lexer_error(lexer, place, error, "%s, and never %u: write %s one-of { ... }",
                                  attribute->owner, clause->values->len, attribute->name);
    return true;
}

/* Behind the name of the attribute */
static bool parse_values(PolicyLexer *lexer, PolicyClause *clause, GError **error)
{
    const char *place = lexer->token;
    bool operator_given = operator_of(lexer, &clause->set_operator);
    if (operator_given) {
        const char *name = operators[clause->set_operator];
        if (!policy_lexer_next(lexer, error))
            return false;
        if (lexer->type != TOKEN_OPEN)
            return policy_lexer_error(lexer, lexer->token, error,
                                      "%s needs a set in braces: write %s { ... }", name, name);
    }
    if (lexer->type == TOKEN_OPEN)
        return parse_set(lexer, clause, error) &&
               check_set(lexer, clause, place, operator_given, error);
    /* A user has several groups: being in this one is meant, not being in no other. */
    if (clause->attribute == ATTRIBUTE_GROUP)
        clause->set_operator = OPERATOR_ONE_OF;
    return parse_value(lexer, clause, error);
}

static bool is_lone_id(const PolicyLexer *lexer)
{
    return lexer->type == TOKEN_WORD && strchr(lexer->text->str, ':');
}

/* A word stands there that is no attribute of ours. */
static bool explain_word(const PolicyLexer *lexer, const char *cited, GError **error)
{
    int i = foreign_of(lexer->text->str);
    if (i >= 0)
        return policy_lexer_error(lexer, lexer->token, error,
                                  "USBGuard's %s means nothing here (%s): %s", cited,
                                  foreign[i].reason, foreign[i].advice);
    PolicyOperator set_operator;
    if (operator_of(lexer, &set_operator))
        return policy_lexer_error(lexer, lexer->token, error,
                                  "%s stands behind the name of an attribute: write "
                                  "with-interface %s { ... }",
                                  cited, operators[set_operator]);
    return policy_lexer_error(lexer, lexer->token, error,
                              "%s is no attribute: use id, name, serial, with-interface, user, "
                              "group or vm",
                              cited);
}

static bool parse_attribute(const PolicyLexer *lexer, PolicyAttribute *attribute, GError **error)
{
    g_autofree char *cited = policy_lexer_cite(lexer);
    if (lexer->type == TOKEN_CLOSE)
        return policy_lexer_error(lexer, lexer->token, error, "this } closes no set: remove it");
    if (lexer->type == TOKEN_OPEN)
        return policy_lexer_error(lexer, lexer->token, error,
                                  "a set stands behind the name of an attribute: write "
                                  "with-interface one-of { ... }");
    if (lexer->type == TOKEN_STRING || is_lone_id(lexer))
        return policy_lexer_error(lexer, lexer->token, error,
                                  "%s is one value too many: write several as a set, as id one-of "
                                  "{ ... }",
                                  cited);
    return attribute_of(lexer->text->str, attribute) || explain_word(lexer, cited, error);
}

bool policy_clause_parse(PolicyLexer *lexer, bool may_be_lone_id, PolicyClause *clause,
                         GError **error)
{
    const char *start = lexer->token;
    PolicyClause read = {.attribute = ATTRIBUTE_ID, .set_operator = OPERATOR_EQUALS};
    bool lone_id = may_be_lone_id && is_lone_id(lexer);
    if (!lone_id &&
        (!parse_attribute(lexer, &read.attribute, error) || !policy_lexer_next(lexer, error)))
        return false;
    read.values = g_array_new(FALSE, FALSE, sizeof(PolicyValue));
    g_array_set_clear_func(read.values, clear_value);
    if (!(lone_id ? parse_value(lexer, &read, error) : parse_values(lexer, &read, error))) {
        policy_clause_clear(&read);
        return false;
    }
    read.text = g_strndup(start, (gsize) (lexer->last_end - start));
    *clause = read;
    return true;
}

void policy_clause_clear(PolicyClause *clause)
{
    g_free(clause->text);
    g_array_unref(clause->values);
}
