/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "users-file.h"

#include "text-file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEX_DIGITS (2 * NT_HASH_SIZE)

/* A line of the file: a user, or text to be kept. */
typedef struct {
    unsigned number; /* from 1; 0 for one that is not in the file yet */
    char *text;      /* NULL for a user */
    User user;
} Line;

struct Users {
    GPtrArray *lines;  /* of Line */
    GPtrArray *users;  /* of Line, those of users */
    GHashTable *names; /* folded name -> Line */
};

static void line_free(gpointer data)
{
    Line *line = data;
    explicit_bzero(line->user.nt_hash, sizeof line->user.nt_hash);
    g_free(line->user.name);
    g_strfreev(line->user.groups);
    text_file_free(line->text); /* which may be a user that was commented out */
    g_free(line);
}

Users *users_new(void)
{
    Users *users = g_new(Users, 1);
    users->lines = g_ptr_array_new_with_free_func(line_free);
    users->users = g_ptr_array_new();
    users->names = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    return users;
}

void users_free(Users *users)
{
    if (!users)
        return;
    g_hash_table_unref(users->names);
    g_ptr_array_unref(users->users);
    g_ptr_array_unref(users->lines);
    g_free(users);
}

char *users_fold(const char *name)
{
    return g_utf8_casefold(name, -1);
}

static Line *find(const Users *users, const char *name)
{
    g_autofree char *folded = users_fold(name);
    return g_hash_table_lookup(users->names, folded);
}

const User *users_find(const Users *users, const char *name)
{
    const Line *line = find(users, name);
    return line ? &line->user : NULL;
}

guint users_count(const Users *users)
{
    return users->users->len;
}

const User *users_get(const Users *users, guint index)
{
    const Line *line = g_ptr_array_index(users->users, index);
    return &line->user;
}

static void add_user(Users *users, Line *line)
{
    g_ptr_array_add(users->lines, line);
    g_ptr_array_add(users->users, line);
    g_hash_table_insert(users->names, users_fold(line->user.name), line);
}

/* What is wrong with a name, and at which character (from 0); NULL if nothing is. */
static const char *name_problem(const char *name, unsigned *at)
{
    *at = 0;
    if (!*name)
        return "a name is missing";
    if (*name == '#')
        return "a name cannot begin with #, which begins a comment";
    if (*name == ' ')
        return "a name cannot begin with a space";
    for (const char *c = name; *c; c = g_utf8_next_char(c), ++*at) {
        if (strchr(":,\\@", *c))
            return "a name cannot have any of : , \\ @ in it";
        if (!g_unichar_isprint(g_utf8_get_char(c)))
            return "a name cannot have a control or invisible character in it";
        if (*at == USERS_MAX_NAME)
            return "a name has at most 64 characters";
        if (*c == ' ' && !c[1])
            return "a name cannot end with a space";
    }
    return NULL;
}

bool users_check_name(const char *name, GError **error)
{
    unsigned at;
    const char *problem =
        g_utf8_validate(name, -1, NULL) ? name_problem(name, &at) : "a name is text in UTF-8";
    if (problem)
        g_set_error_literal(error, INPUT_ERROR, 0, problem);
    return !problem;
}

bool users_set(Users *users, const char *name, const guint8 hash[NT_HASH_SIZE], char *const *groups,
               GError **error)
{
    if (!users_check_name(name, error))
        return false;
    for (guint i = 0; groups[i]; i++) {
        if (!users_check_name(groups[i], error)) {
            g_prefix_error(error, "group %u: ", i + 1);
            return false;
        }
    }
    if (g_strv_length((char **) groups) > USERS_MAX_GROUPS) {
        g_set_error(error, INPUT_ERROR, 0, "a user has at most %u groups", USERS_MAX_GROUPS);
        return false;
    }
    Line *line = find(users, name);
    char **copy = g_strdupv((char **) groups);
    if (!line) {
        line = g_new0(Line, 1);
        line->user.name = g_strdup(name);
        add_user(users, line);
    }
    g_strfreev(line->user.groups);
    line->user.groups = copy;
    memmove(line->user.nt_hash, hash, NT_HASH_SIZE);
    return true;
}

bool users_remove(Users *users, const char *name)
{
    g_autofree char *folded = users_fold(name);
    Line *line = g_hash_table_lookup(users->names, folded);
    if (!line)
        return false;
    g_hash_table_remove(users->names, folded);
    g_ptr_array_remove(users->users, line);
    g_ptr_array_remove(users->lines, line); /* frees it */
    return true;
}

/* --- reading --- */

typedef struct {
    const char *path;
    unsigned line;
    GError **error;
} Place;

static bool refuse(const Place *place, unsigned column, const char *what)
{
    return text_file_error(place->error, place->path, place->line, column, "%s", what);
}

static unsigned column_of(const char *line, const char *at)
{
    return (unsigned) g_utf8_strlen(line, at - line) + 1;
}

static bool parse_name(const Place *place, unsigned column, const char *name)
{
    unsigned at;
    const char *problem = name_problem(name, &at);
    return problem ? refuse(place, column + at, problem) : true;
}

static bool parse_hash(const Place *place, unsigned column, const char *text, guint8 *hash)
{
    guint8 empty[NT_HASH_SIZE];
    for (unsigned i = 0; i < HEX_DIGITS; i++) {
        if (!g_ascii_isxdigit(text[i]))
            return refuse(
                place, column + i,
                "the hash is not 32 hexadecimal digits: set it with rdpusbctl user passwd");
        guint8 digit = (guint8) g_ascii_xdigit_value(text[i]);
        hash[i / 2] = (guint8) (i % 2 ? hash[i / 2] | digit : digit << 4);
    }
    if (text[HEX_DIGITS])
        return refuse(place, column + HEX_DIGITS, "the hash is longer than 32 hexadecimal digits");
    nt_hash("", empty);
    if (memcmp(hash, empty, sizeof empty) == 0)
        return refuse(place, column,
                      "the hash is that of no password: set one with rdpusbctl user passwd");
    return true;
}

static bool parse_groups(const Place *place, unsigned column, const char *text, char ***groups)
{
    *groups = g_strsplit(text, ",", USERS_MAX_GROUPS + 1);
    for (unsigned i = 0; (*groups)[i]; i++) {
        if (i == USERS_MAX_GROUPS)
            return refuse(place, column, "a user has at most 32 groups");
        if (!parse_name(place, column, (*groups)[i]))
            return false;
        column += (unsigned) g_utf8_strlen((*groups)[i], -1) + 1;
    }
    return true;
}

/* `text` is the line, and is cut into its fields. */
static bool parse_user(const Place *place, char *text, User *user)
{
    char *hash = strchr(text, ':');
    char *groups = hash ? strchr(hash + 1, ':') : NULL;
    if (!groups)
        return refuse(place, column_of(text, text + strlen(text)),
                      "the line ends too early: it is NAME:NTHASH:GROUP,GROUP, where groups may be "
                      "missing but not the second colon");
    unsigned hash_column = column_of(text, hash + 1);
    unsigned groups_column = column_of(text, groups + 1);
    *hash++ = '\0';
    *groups++ = '\0';
    user->name = g_strdup(text);
    return parse_name(place, 1, text) && parse_hash(place, hash_column, hash, user->nt_hash) &&
           parse_groups(place, groups_column, groups, &user->groups);
}

static bool parse_line(Users *users, const Place *place, char *text)
{
    Line *line = g_new0(Line, 1);
    line->number = place->line;
    if (*text == '#' || text[strspn(text, " \t")] == '\0') {
        line->text = g_strdup(text);
        g_ptr_array_add(users->lines, line);
        return true;
    }
    if (!parse_user(place, text, &line->user)) {
        line_free(line);
        return false;
    }
    const Line *first = find(users, line->user.name);
    if (first) {
        line_free(line);
        return text_file_error(place->error, place->path, place->line, 1,
                               "this user is in line %u already", first->number);
    }
    add_user(users, line);
    return true;
}

/* The text is cut up and overwritten. */
static bool parse_text(Users *users, const char *path, char *text, GError **error)
{
    Place place = {path, 1, error};
    char *next;
    for (char *line = text; line && *line; line = next, place.line++) {
        next = strchr(line, '\n');
        if (next)
            *next++ = '\0';
        if (!parse_line(users, &place, line))
            return false;
    }
    return true;
}

static Users *take_text(const char *path, char *text, GError **error)
{
    gsize size = strlen(text);
    g_autoptr(Users) users = users_new();
    bool valid = parse_text(users, path, text, error);
    explicit_bzero(text, size);
    g_free(text);
    return valid ? g_steal_pointer(&users) : NULL;
}

Users *users_parse(const char *path, const char *text, GError **error)
{
    return take_text(path, g_strdup(text), error);
}

Users *users_load(const char *path, GError **error)
{
    char *text = text_file_read(path, TEXT_FILE_SECRET, error);
    return text ? take_text(path, text, error) : NULL;
}

/* --- writing --- */

/* A file beside `path`, which no pattern for its own name matches. */
static char *beside(const char *path, const char *suffix)
{
    g_autofree char *folder = g_path_get_dirname(path);
    g_autofree char *base = g_path_get_basename(path);
    g_autofree char *name = g_strconcat(".", base, suffix, NULL);
    return g_build_filename(folder, name, NULL);
}

static bool fail(GError **error, const char *path, const char *what)
{
    return text_file_error(error, path, 0, 0, "cannot %s: %s", what, g_strerror(errno));
}

/* A file, not its folder: whoever can read a folder could hold a lock on it for ever. */
int users_lock(const char *path, GError **error)
{
    g_autofree char *folder = g_path_get_dirname(path);
    if (!text_folder_check(folder, error))
        return -1;
    g_autofree char *lock = beside(path, ".lock");
    int fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        fail(error, lock, "lock the users file");
        return -1;
    }
    while (flock(fd, LOCK_EX) != 0) {
        if (errno == EINTR)
            continue;
        fail(error, lock, "lock the users file");
        close(fd);
        return -1;
    }
    return fd;
}

static void print_line(GString *text, const Line *line)
{
    if (line->text) {
        g_string_append(text, line->text);
    } else {
        g_string_append_printf(text, "%s:", line->user.name);
        for (unsigned i = 0; i < NT_HASH_SIZE; i++)
            g_string_append_printf(text, "%02x", line->user.nt_hash[i]);
        g_autofree char *groups = g_strjoinv(",", line->user.groups);
        g_string_append_printf(text, ":%s", groups);
    }
    g_string_append_c(text, '\n');
}

/* Made as large as it can get, so that no part of it stays behind where it was smaller. */
static GString *print_users(const Users *users)
{
    GString *text = g_string_sized_new(TEXT_FILE_MAX_BYTES);
    for (guint i = 0; i < users->lines->len; i++)
        print_line(text, users->lines->pdata[i]);
    return text;
}

static bool write_all(int fd, const char *bytes, gsize size)
{
    while (size > 0) {
        ssize_t n = write(fd, bytes, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return false;
        bytes += n;
        size -= (gsize) n;
    }
    return true;
}

/* Like the file that is replaced, if there is one. */
static bool take_owner(int fd, const char *path, GError **error)
{
    struct stat old;
    if (lstat(path, &old) != 0)
        return errno == ENOENT ? true : fail(error, path, "look at it");
    if (S_ISLNK(old.st_mode))
        return text_file_error(error, path, 0, 0,
                               "is a symbolic link, which would be replaced: name the file itself");
    if (fchown(fd, old.st_uid, old.st_gid) != 0)
        return fail(error, path, "keep its owner and group");
    return fchmod(fd, old.st_mode & 0640) == 0 ? true : fail(error, path, "keep its mode");
}

static bool fill_file(int fd, const Users *users, const char *path, GError **error)
{
    GString *text = print_users(users);
    bool done = take_owner(fd, path, error);
    if (done && text->len > TEXT_FILE_MAX_BYTES)
        done = text_file_error(error, path, 0, 0, "would be larger than 1 MiB");
    if (done && (!write_all(fd, text->str, text->len) || fsync(fd) != 0))
        done = fail(error, path, "write it");
    explicit_bzero(text->str, text->len);
    g_string_free(text, TRUE);
    return done;
}

/* The name in its folder is safe on disk. */
static bool sync_folder(const char *path, GError **error)
{
    g_autofree char *folder = g_path_get_dirname(path);
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool done = fd >= 0 && fsync(fd) == 0;
    if (!done)
        fail(error, folder, "write it");
    if (fd >= 0)
        close(fd);
    return done;
}

bool users_save(const Users *users, const char *path, GError **error)
{
    g_autofree char *new_path = beside(path, ".new");
    unlink(new_path); /* of a writer that died; the lock keeps living ones away */
    int fd = open(new_path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return fail(error, new_path, "make a new users file");
    bool filled = fill_file(fd, users, path, error);
    close(fd);
    if (filled && rename(new_path, path) == 0)
        return sync_folder(path, error);
    if (filled)
        fail(error, path, "replace it");
    unlink(new_path);
    return false;
}
