/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * rdpusbctl user: the users file. A password is asked for before the file is locked, so that nobody
 * waits for somebody who types.
 */
#include "ctl.h"
#include "password.h"
#include "text-file.h"
#include "user-table.h"
#include "users-file.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define NOT_HERE                                                                                   \
    "a password is never given on the command line, where every user of the machine can see it: "  \
    "it is asked for, or is one line of standard input"

typedef struct {
    char *file; /* NULL: the default */
    char **groups;
    const char *name; /* NULL for a command that takes none */
} Arguments;

static void arguments_clear(Arguments *arguments)
{
    g_free(arguments->file);
    g_strfreev(arguments->groups);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Arguments, arguments_clear)

static const char *file_of(const Arguments *arguments)
{
    return arguments->file ? arguments->file : SYSCONFDIR "/users";
}

static char **groups_of(const Arguments *arguments)
{
    static char *none[] = {NULL};
    return arguments->groups ? arguments->groups : none;
}

/* --- the commands --- */

static Users *load(const char *path, GError **error)
{
    if (access(path, F_OK) != 0 && errno == ENOENT) {
        text_file_error(error, path, 0, 0, "does not exist yet: rdpusbctl user add makes it");
        return NULL;
    }
    return users_load(path, error);
}

/* For the first user */
static Users *load_or_begin(const char *path, GError **error)
{
    return access(path, F_OK) != 0 && errno == ENOENT ? users_new() : users_load(path, error);
}

static bool require_user(const Users *users, const Arguments *arguments, GError **error)
{
    if (users_find(users, arguments->name))
        return true;
    return text_file_error(error, file_of(arguments), 0, 0, "there is no user '%s'",
                           arguments->name);
}

static bool require_no_user(const Users *users, const Arguments *arguments, GError **error)
{
    const User *user = users_find(users, arguments->name);
    if (!user)
        return true;
    return text_file_error(
        error, file_of(arguments), 0, 0,
        "there is a user '%s' already: rdpusbctl user passwd changes its password", user->name);
}

/* What a command does with the file; called with and without the lock. */
typedef bool (*Check)(const Users *users, const Arguments *arguments, GError **error);
typedef bool (*Change)(Users *users, const Arguments *arguments, const guint8 *hash,
                       GError **error);
typedef Users *(*Load)(const char *path, GError **error);

static bool check_now(Load read, Check check, const Arguments *arguments, GError **error)
{
    g_autoptr(Users) users = read(file_of(arguments), error);
    return users && check(users, arguments, error);
}

static bool change_locked(Load read, Change change, const Arguments *arguments, const guint8 *hash,
                          GError **error)
{
    const char *path = file_of(arguments);
    int lock = users_lock(path, error);
    if (lock < 0)
        return false;
    g_autoptr(Users) users = read(path, error);
    bool done = users && change(users, arguments, hash, error) && users_save(users, path, error);
    close(lock);
    return done;
}

static bool change_password(Load read, Check check, Change change, const Arguments *arguments,
                            GError **error)
{
    guint8 hash[NT_HASH_SIZE];
    if (!check_now(read, check, arguments, error))
        return false;
    char *password = password_read_new(arguments->name, error);
    bool done =
        password && nt_hash(password, hash) && change_locked(read, change, arguments, hash, error);
    password_free(password);
    explicit_bzero(hash, sizeof hash);
    return done;
}

static bool set_new(Users *users, const Arguments *arguments, const guint8 *hash, GError **error)
{
    return require_no_user(users, arguments, error) &&
           users_set(users, arguments->name, hash, groups_of(arguments), error);
}

static bool set_hash(Users *users, const Arguments *arguments, const guint8 *hash, GError **error)
{
    return require_user(users, arguments, error) &&
           users_set(users, arguments->name, hash, users_find(users, arguments->name)->groups,
                     error);
}

static bool take_out(Users *users, const Arguments *arguments, const guint8 *hash, GError **error)
{
    return require_user(users, arguments, error) && users_remove(users, arguments->name);
}

static bool run_add(const Arguments *arguments, GError **error)
{
    return change_password(load_or_begin, require_no_user, set_new, arguments, error);
}

static bool run_passwd(const Arguments *arguments, GError **error)
{
    return change_password(load, require_user, set_hash, arguments, error);
}

static bool run_remove(const Arguments *arguments, GError **error)
{
    return change_locked(load, take_out, arguments, NULL, error);
}

static bool run_list(const Arguments *arguments, GError **error)
{
    g_autoptr(Users) users = load(file_of(arguments), error);
    if (!users)
        return false;
    user_table_print(users, stdout);
    if (fflush(stdout) == 0)
        return true;
    g_set_error(error, INPUT_ERROR, 0, "cannot write the list: %s", g_strerror(errno));
    return false;
}

/* --- the command line --- */

static const struct {
    const char *name;
    bool (*run)(const Arguments *arguments, GError **error);
    bool takes_name, takes_groups;
    const char *help;
} commands[] = {
    {"add", run_add, true, true, "add a user and set the password"},
    {"remove", run_remove, true, false, "remove a user"},
    {"passwd", run_passwd, true, false, "set another password"},
    {"list", run_list, false, false, "show who is in the file, and in which groups"},
};

static gboolean on_password(const char *option, const char *value, gpointer data, GError **error)
{
    g_set_error_literal(error, G_OPTION_ERROR, G_OPTION_ERROR_FAILED, NOT_HERE);
    return FALSE;
}

static bool parse_options(gsize command, int *argc, char ***argv, Arguments *arguments,
                          GError **error)
{
    const GOptionEntry entries[] = {{"users-file", 0, 0, G_OPTION_ARG_FILENAME, &arguments->file,
                                     "The users file (default: " SYSCONFDIR "/users)", "FILE"},
                                    {"password", 'p',
                                     G_OPTION_FLAG_HIDDEN | G_OPTION_FLAG_OPTIONAL_ARG,
                                     G_OPTION_ARG_CALLBACK, (gpointer) on_password, NULL, NULL},
                                    G_OPTION_ENTRY_NULL};
    const GOptionEntry group_entries[] = {{"group", 0, 0, G_OPTION_ARG_FILENAME_ARRAY,
                                           &arguments->groups,
                                           "A group that the user is in; may be repeated", "GROUP"},
                                          G_OPTION_ENTRY_NULL};
    g_autoptr(GOptionContext) context =
        g_option_context_new(commands[command].takes_name ? "NAME" : NULL);
    g_autofree char *program = g_strdup_printf("rdpusbctl user %s", commands[command].name);
    g_set_prgname(program);
    g_option_context_set_summary(context, commands[command].help);
    g_option_context_add_main_entries(context, entries, NULL);
    if (commands[command].takes_groups)
        g_option_context_add_main_entries(context, group_entries, NULL);
    return g_option_context_parse(context, argc, argv, error);
}

/* What is left is the name, if the command takes one. */
static bool parse_name(gsize command, int argc, char **argv, Arguments *arguments, GError **error)
{
    const char *problem = NULL;
    int wanted = commands[command].takes_name ? 2 : 1;
    if (argc > 1 && strcmp(argv[1], "--") == 0) {
        argc--;
        argv++;
    }
    if (argc < wanted)
        problem = "the name of a user is missing";
    else if (argc == 3 && (commands[command].run == run_add || commands[command].run == run_passwd))
        problem = NOT_HERE;
    else if (argc > wanted)
        problem = "there are too many arguments";
    if (problem)
        g_set_error_literal(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, problem);
    arguments->name = argc == 2 ? argv[1] : NULL;
    return !problem;
}

/* Before a password is asked for. */
static bool check_names(gsize command, const Arguments *arguments, GError **error)
{
    static const guint8 no_hash[NT_HASH_SIZE];
    g_autoptr(Users) scratch = users_new();
    return !commands[command].takes_groups ||
           users_set(scratch, arguments->name, no_hash, groups_of(arguments), error);
}

static int run(gsize command, int argc, char **argv)
{
    g_auto(Arguments) arguments = {0};
    g_autoptr(GError) error = NULL;
    bool understood = parse_options(command, &argc, &argv, &arguments, &error) &&
                      parse_name(command, argc, argv, &arguments, &error) &&
                      check_names(command, &arguments, &error);
    if (understood && commands[command].run(&arguments, &error))
        return CTL_DONE;
    fprintf(stderr, "rdpusbctl: user %s: %s\n", commands[command].name, error->message);
    return understood ? CTL_FAILED : CTL_BAD_USAGE;
}

static void print_help(FILE *stream)
{
    fputs("Usage: rdpusbctl user COMMAND [OPTION]... [NAME]\n\n", stream);
    for (gsize i = 0; i < G_N_ELEMENTS(commands); i++)
        fprintf(stream, "  %-8s %s\n", commands[i].name, commands[i].help);
    fputs("\nrdpusbctl user COMMAND --help says more. See rdpusbctl(8).\n", stream);
}

int ctl_user(int argc, char **argv)
{
    if (argc >= 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        print_help(stdout);
        return CTL_DONE;
    }
    for (gsize i = 0; argc >= 2 && i < G_N_ELEMENTS(commands); i++) {
        if (strcmp(argv[1], commands[i].name) == 0)
            return run(i, argc - 1, argv + 1);
    }
    if (argc >= 2)
        fprintf(stderr, "rdpusbctl: there is no 'user %s'\n", argv[1]);
    print_help(stderr);
    return CTL_BAD_USAGE;
}
