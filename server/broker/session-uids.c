/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "session-uids.h"

#include <errno.h>
#include <gio/gio.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>

struct SessionUids {
    uid_t first;
    guint n;
    guint next;  /* where the search begins: who left last is taken up again last */
    bool *taken; /* n */
};

#define ADVICE "choose another range with session-uids, see rdpusbd.conf(5)"

/* The table of the namespace says "inside outside length" in each line, user_namespaces(7). */
static bool is_mapped(const char *path, guint64 first, guint64 n)
{
    g_autofree char *text = NULL;
    if (!g_file_get_contents(path, &text, NULL, NULL))
        return true; /* a kernel without namespaces has all ids */
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    for (char **line = lines; *line; line++) {
        guint64 inside, length;
        if (sscanf(*line, "%" G_GUINT64_FORMAT " %*u %" G_GUINT64_FORMAT, &inside, &length) == 2 &&
            first >= inside && first + n <= inside + length)
            return true;
    }
    return false;
}

static char *name_of_user(uid_t uid)
{
    char buffer[16384];
    struct passwd user, *found = NULL;
    getpwuid_r(uid, &user, buffer, sizeof buffer, &found);
    return found ? g_strdup(found->pw_name) : NULL;
}

static char *name_of_group(gid_t gid)
{
    char buffer[16384];
    struct group group, *found = NULL;
    int result = getgrgid_r(gid, &group, buffer, sizeof buffer, &found);
    /* One with more members than fit is one. */
    return found ? g_strdup(found->gr_name) : result == ERANGE ? g_strdup("?") : NULL;
}

static bool refuse_taken(guint64 id, const char *kind, const char *name, GError **error)
{
    if (!name)
        return true;
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_EXISTS,
                "session processes cannot have user id %" G_GUINT64_FORMAT ", it is that of the %s "
                "%s: " ADVICE,
                id, kind, name);
    return false;
}

static bool are_free(guint64 first, guint64 n, GError **error)
{
    for (guint64 id = first; id < first + n; id++) {
        g_autofree char *user = name_of_user((uid_t) id);
        g_autofree char *group = name_of_group((gid_t) id);
        if (!refuse_taken(id, "user", user, error) || !refuse_taken(id, "group", group, error))
            return false;
    }
    return true;
}

SessionUids *session_uids_new(guint64 first, guint64 n, GError **error)
{
    if (first == 0 || n == 0 || first >= SESSION_UIDS_END || n > SESSION_UIDS_END - first) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                    "session processes cannot have %" G_GUINT64_FORMAT " user ids from "
                    "%" G_GUINT64_FORMAT " on: " ADVICE,
                    n, first);
        return NULL;
    }
    if (!is_mapped("/proc/self/uid_map", first, n) || !is_mapped("/proc/self/gid_map", first, n)) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND,
                    "this container has no user ids from %" G_GUINT64_FORMAT " to "
                    "%" G_GUINT64_FORMAT " for session processes: " ADVICE
                    ", or do not run rdpusbd as root",
                    first, first + n - 1);
        return NULL;
    }
    if (!are_free(first, n, error))
        return NULL;
    SessionUids *uids = g_new0(SessionUids, 1);
    uids->first = (uid_t) first;
    uids->n = (guint) n;
    uids->taken = g_new0(bool, n);
    return uids;
}

void session_uids_free(SessionUids *uids)
{
    if (!uids)
        return;
    g_free(uids->taken);
    g_free(uids);
}

uid_t session_uids_take(SessionUids *uids)
{
    for (guint i = 0; uids && i < uids->n; i++) {
        guint candidate = (uids->next + i) % uids->n;
        if (uids->taken[candidate])
            continue;
        uids->taken[candidate] = true;
        uids->next = candidate + 1;
        return uids->first + candidate;
    }
    return 0;
}

void session_uids_give_back(SessionUids *uids, uid_t uid)
{
    if (uid != 0)
        uids->taken[uid - uids->first] = false;
}
