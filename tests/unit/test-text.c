/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How long lines become rows of the session's window. */
#include "text.h"

static GPtrArray *wrap(unsigned width, const char *line)
{
    g_autoptr(Text) text = text_new(width);
    g_assert_nonnull(text);
    GPtrArray *rows = g_ptr_array_new_with_free_func(g_free);
    text_wrap(text, line, rows);
    return rows;
}

static void test_short(void)
{
    static const char *const lines[] = {"", "a", "#a heading of so many words that it is cut"};
    for (gsize i = 0; i < G_N_ELEMENTS(lines); i++) {
        g_autoptr(GPtrArray) rows = wrap(200, lines[i]);
        g_assert_cmpuint(rows->len, ==, 1);
        g_assert_cmpstr(rows->pdata[0], ==, lines[i]);
    }
}

static char *without_blanks(const char *text)
{
    g_auto(GStrv) words = g_strsplit(text, " ", -1);
    return g_strjoinv("", words);
}

/* All of it can be read: the rule that refuses a device stands at the end. */
static void test_long(void)
{
    const char *line = "0951:1666 Kingston DataTraveler (serial 60A44C) — refused: blocked by "
                       "/etc/rdpusb/rules.d/50-default.rules:28 (block with-interface 08:*:*)";
    g_autoptr(GPtrArray) rows = wrap(800, line);
    g_assert_cmpuint(rows->len, >, 1);
    g_assert_cmpuint(rows->len, <=, TEXT_MAX_ROWS);
    for (guint i = 1; i < rows->len; i++)
        g_assert_true(g_str_has_prefix(rows->pdata[i], "  "));
    g_ptr_array_add(rows, NULL);
    g_autofree char *joined = g_strjoinv("", (char **) rows->pdata);
    g_autofree char *whole = without_blanks(joined);
    g_autofree char *expected = without_blanks(line); /* they are lost where it was wrapped */
    g_assert_cmpstr(whole, ==, expected);
}

static void test_endless(void)
{
    g_autofree char *flood = g_strnfill(2000, 'x');
    g_autoptr(GPtrArray) rows = wrap(800, flood);
    g_assert_cmpuint(rows->len, ==, TEXT_MAX_ROWS);
    g_autoptr(GPtrArray) narrow = wrap(4, flood);
    g_assert_cmpuint(narrow->len, ==, TEXT_MAX_ROWS);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    if (!text_prepare())
        g_error("there are no fonts");
    g_test_add_func("/text/short", test_short);
    g_test_add_func("/text/long", test_long);
    g_test_add_func("/text/endless", test_endless);
    return g_test_run();
}
