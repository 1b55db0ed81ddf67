/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The tokens of one line of rules: words, quoted strings and braces; a # begins a comment. The
 * lexer lies on its user's stack and points into the text; policy_lexer_clear() frees its token.
 */
#pragma once

#include "policy.h"

typedef enum { TOKEN_END, TOKEN_WORD, TOKEN_STRING, TOKEN_OPEN, TOKEN_CLOSE } PolicyTokenType;

typedef struct {
    const char *file; /* as errors call it */
    unsigned line;
    const char *start, *end, *next;

    /* The current token */
    PolicyTokenType type;
    const char *token;     /* where it begins */
    const char *token_end; /* behind it */
    GString *text;         /* of a word or a string, without quotes and escapes */
    const char *last_end;  /* of the token before it; NULL if it is the first */
} PolicyLexer;

/* `text` is valid UTF-8. Call policy_lexer_next() for the first token. */
void policy_lexer_init(PolicyLexer *lexer, const char *file, unsigned line, const char *text,
                       gsize size);
void policy_lexer_clear(PolicyLexer *lexer);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(PolicyLexer, policy_lexer_clear)

bool policy_lexer_next(PolicyLexer *lexer, GError **error);
bool policy_lexer_is_word(const PolicyLexer *lexer, const char *word);
/* The token in quotes, as errors cite it. Caller frees. */
char *policy_lexer_cite(const PolicyLexer *lexer);

/* Sets INPUT_ERROR "FILE:LINE:COLUMN: text" with the column of `place`. Returns false. */
bool policy_lexer_error(const PolicyLexer *lexer, const char *place, GError **error,
                        const char *format, ...) G_GNUC_PRINTF(4, 5);
