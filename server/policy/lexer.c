/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lexer.h"

#include "log.h"
#include "text-file.h"

#include <string.h>

void policy_lexer_init(PolicyLexer *lexer, const char *file, unsigned line, const char *text,
                       gsize size)
{
    *lexer = (PolicyLexer){.file = file,
                           .line = line,
                           .start = text,
                           .end = text + size,
                           .next = text,
                           .text = g_string_new(NULL)};
}

void policy_lexer_clear(PolicyLexer *lexer)
{
    if (lexer->text)
        g_string_free(lexer->text, TRUE);
    lexer->text = NULL;
}

bool policy_lexer_error(const PolicyLexer *lexer, const char *place, GError **error,
                        const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *text = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    unsigned column = g_utf8_pointer_to_offset(lexer->start, place) + 1;
    return text_file_error(error, lexer->file, lexer->line, column, "%s", text);
}

bool policy_lexer_is_word(const PolicyLexer *lexer, const char *word)
{
    return lexer->type == TOKEN_WORD && strcmp(lexer->text->str, word) == 0;
}

char *policy_lexer_cite(const PolicyLexer *lexer)
{
    return lexer->type == TOKEN_END ? g_strdup("the end of the line")
                                    : log_quote(lexer->type == TOKEN_OPEN    ? "{"
                                                : lexer->type == TOKEN_CLOSE ? "}"
                                                                             : lexer->text->str);
}

/* The escapes that USBGuard takes, whatever its grammar lists: \\, \" and \xHH. Returns what is
 * behind the one at `c`, or NULL. */
static const char *unescape(const char *c, const char *end, char *byte)
{
    gsize n = (gsize) (end - c);
    if (n >= 2 && (c[1] == '\\' || c[1] == '"')) {
        *byte = c[1];
        return c + 2;
    }
    if (n < 4 || c[1] != 'x' || !g_ascii_isxdigit(c[2]) || !g_ascii_isxdigit(c[3]))
        return NULL;
    *byte = (char) (g_ascii_xdigit_value(c[2]) << 4 | g_ascii_xdigit_value(c[3]));
    return c + 4;
}

/* What a backslash at `escape` stands for is appended. NULL if it is no escape. */
static const char *read_escape(PolicyLexer *lexer, const char *escape, GError **error)
{
    char byte;
    const char *behind = unescape(escape, lexer->end, &byte);
    if (!behind) {
        policy_lexer_error(lexer, escape, error,
                           "this is no escape: write \\\\ for a backslash, \\\" for a quote, or "
                           "\\xHH for a byte in hexadecimal digits");
        return NULL;
    }
    if (byte == '\0') {
        policy_lexer_error(lexer, escape, error,
                           "a NUL is in no text that a device or a user has: leave it out");
        return NULL;
    }
    g_string_append_c(lexer->text, byte);
    return behind;
}

static bool check_string(PolicyLexer *lexer, GError **error)
{
    if (lexer->text->len > POLICY_MAX_TEXT_BYTES)
        return policy_lexer_error(lexer, lexer->token, error,
                                  "this text has %zu bytes, and %d are possible: shorten it",
                                  lexer->text->len, POLICY_MAX_TEXT_BYTES);
    if (!g_utf8_validate(lexer->text->str, (gssize) lexer->text->len, NULL))
        return policy_lexer_error(lexer, lexer->token, error,
                                  "with its escapes this text is not UTF-8: correct the \\xHH");
    if (lexer->next < lexer->end && !strchr(" \t}#", *lexer->next))
        return policy_lexer_error(lexer, lexer->next, error,
                                  "a blank is missing behind the closing quote");
    return true;
}

static bool read_string(PolicyLexer *lexer, GError **error)
{
    const char *c = lexer->token + 1;
    lexer->type = TOKEN_STRING;
    while (c < lexer->end && *c != '"') {
        if (*c == '\\') {
            c = read_escape(lexer, c, error);
            if (!c)
                return false;
        } else if (g_ascii_iscntrl(*c)) {
            return policy_lexer_error(lexer, c, error, "a control character: write it as \\x%02x",
                                      (guchar) *c);
        } else {
            g_string_append_c(lexer->text, *c++);
        }
    }
    if (c == lexer->end)
        return policy_lexer_error(lexer, lexer->token, error,
                                  "the closing quote of this text is missing: a text ends on its "
                                  "line, and a quote inside of it is written \\\"");
    lexer->next = c + 1;
    return check_string(lexer, error);
}

static bool read_word(PolicyLexer *lexer, GError **error)
{
    const char *c = lexer->token;
    while (c < lexer->end && !strchr(" \t{}\"#", *c)) {
        if (g_ascii_iscntrl(*c))
            return policy_lexer_error(lexer, c, error, "a control character (\\x%02x): remove it",
                                      (guchar) *c);
        g_string_append_c(lexer->text, *c++);
    }
    lexer->type = TOKEN_WORD;
    lexer->next = c;
    if (c < lexer->end && *c == '"')
        return policy_lexer_error(lexer, c, error, "a blank is missing before the quote");
    if (lexer->text->len > POLICY_MAX_TEXT_BYTES)
        return policy_lexer_error(lexer, lexer->token, error,
                                  "this word has %zu bytes, and %d are possible: shorten it",
                                  lexer->text->len, POLICY_MAX_TEXT_BYTES);
    return true;
}

static bool read_token(PolicyLexer *lexer, GError **error)
{
    if (lexer->token == lexer->end) {
        lexer->type = TOKEN_END;
        return true;
    }
    switch (*lexer->token) {
    case '#':
        lexer->type = TOKEN_END;
        lexer->next = lexer->token;
        return true;
    case '{':
    case '}':
        lexer->type = *lexer->token == '{' ? TOKEN_OPEN : TOKEN_CLOSE;
        lexer->next = lexer->token + 1;
        return true;
    case '"': return read_string(lexer, error);
    default: return read_word(lexer, error);
    }
}

bool policy_lexer_next(PolicyLexer *lexer, GError **error)
{
    lexer->last_end = lexer->token_end;
    while (lexer->next < lexer->end && strchr(" \t", *lexer->next))
        lexer->next++;
    lexer->token = lexer->next;
    g_string_truncate(lexer->text, 0);
    bool read = read_token(lexer, error);
    lexer->token_end = lexer->next;
    return read;
}
