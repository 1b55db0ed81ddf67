/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "user-table.h"

#define COLUMNS    80
#define GAP        2
#define MIN_COLUMN 13 /* leaves room for a group's name of the longest kind, and a comma */
#define HEADING    "USER"

/* Columns that a terminal takes for a text. */
static unsigned width_of(const char *text)
{
    unsigned width = 0;
    for (; *text; text = g_utf8_next_char(text)) {
        gunichar c = g_utf8_get_char(text);
        width += g_unichar_iszerowidth(c) ? 0 : g_unichar_iswide(c) ? 2 : 1;
    }
    return width;
}

/* Of the users' names: as wide as the longest, if that leaves room for the longest group. */
static unsigned first_column(const Users *users)
{
    unsigned name = width_of(HEADING), group = 0;
    for (guint i = 0; i < users_count(users); i++) {
        const User *user = users_get(users, i);
        name = MAX(name, width_of(user->name));
        for (char **g = user->groups; *g; g++)
            group = MAX(group, width_of(*g) + 1);
    }
    int room = COLUMNS - GAP - (int) group;
    return MIN(name, (unsigned) MAX(room, MIN_COLUMN));
}

static void print_spaces(unsigned n, FILE *stream)
{
    fprintf(stream, "%*s", (int) n, "");
}

/* Moves on to a new line that begins in the second column. */
static void break_line(unsigned column, FILE *stream)
{
    fputc('\n', stream);
    print_spaces(column, stream);
}

static void print_groups(char *const *groups, unsigned column, FILE *stream)
{
    unsigned at = column;
    if (!*groups)
        fputc('-', stream);
    for (; *groups; groups++) {
        g_autofree char *item = g_strconcat(*groups, groups[1] ? "," : "", NULL);
        unsigned width = width_of(item);
        if (at > column && at + 1 + width > COLUMNS) {
            break_line(column, stream);
            at = column;
        } else if (at > column) {
            fputc(' ', stream);
            at++;
        }
        fputs(item, stream);
        at += width;
    }
    fputc('\n', stream);
}

static void print_user(const User *user, unsigned column, FILE *stream)
{
    unsigned width = width_of(user->name);
    fputs(user->name, stream);
    if (width + GAP > column)
        break_line(column, stream);
    else
        print_spaces(column - width, stream);
    print_groups(user->groups, column, stream);
}

void user_table_print(const Users *users, FILE *stream)
{
    unsigned column = first_column(users) + GAP;
    fprintf(stream, "%-*s%s\n", (int) column, HEADING, "GROUPS");
    for (guint i = 0; i < users_count(users); i++)
        print_user(users_get(users, i), column, stream);
}
