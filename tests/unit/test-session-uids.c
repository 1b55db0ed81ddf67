/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* User ids of session processes: none twice at a time, none that is somebody's. */
#include "session-uids.h"

#include <grp.h>
#include <pwd.h>
#include <string.h>

#define N 3

static void test_one_each(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(SessionUids) uids = session_uids_new(SESSION_UIDS_FIRST, N, &error);
    g_assert_no_error(error);
    for (uid_t i = 0; i < N; i++)
        g_assert_cmpuint(session_uids_take(uids), ==, SESSION_UIDS_FIRST + i);
    g_assert_cmpuint(session_uids_take(uids), ==, 0);
    session_uids_give_back(uids, SESSION_UIDS_FIRST + 1);
    g_assert_cmpuint(session_uids_take(uids), ==, SESSION_UIDS_FIRST + 1);
    g_assert_cmpuint(session_uids_take(uids), ==, 0);
}

/* What was left by the one before is not met by the next one, as long as there are others. */
static void test_not_at_once(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(SessionUids) uids = session_uids_new(SESSION_UIDS_FIRST, N, &error);
    g_assert_no_error(error);
    for (unsigned i = 0; i < 2 * N; i++) {
        uid_t uid = session_uids_take(uids);
        g_assert_cmpuint(uid, ==, SESSION_UIDS_FIRST + i % N);
        session_uids_give_back(uids, uid);
    }
}

static void test_none(void)
{
    g_assert_cmpuint(session_uids_take(NULL), ==, 0);
    session_uids_give_back(NULL, 0);
    session_uids_free(NULL);
}

static void refused(guint64 first, guint64 n, const char *text)
{
    g_autoptr(GError) error = NULL;
    g_assert_null(session_uids_new(first, n, &error));
    g_assert_nonnull(error);
    g_assert_nonnull(strstr(error->message, text));
    g_assert_nonnull(strstr(error->message, "session-uids"));
}

static void test_range(void)
{
    refused(0, N, "0");
    refused(SESSION_UIDS_FIRST, 0, "0");
    refused(G_MAXINT32, 2, "2147483647");
    refused((guint64) G_MAXUINT32 + 1, 1, "4294967296");
    refused(G_MAXUINT64, G_MAXUINT64, "18446744073709551615");
}

static void test_somebodys(void)
{
    const struct passwd *user = getpwnam("nobody");
    g_assert_nonnull(user);
    refused(user->pw_uid, 1, "user nobody");
    refused(user->pw_uid - 1, N, "user nobody");
    const struct group *group;
    setgrent();
    while ((group = getgrent()) && (group->gr_gid == 0 || getpwuid(group->gr_gid)))
        continue; /* to one that no user has the number of */
    g_assert_nonnull(group);
    g_autofree char *name = g_strconcat("group ", group->gr_name, NULL);
    refused(group->gr_gid, 1, name);
    endgrent();
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/session-uids/one-each", test_one_each);
    g_test_add_func("/session-uids/not-at-once", test_not_at_once);
    g_test_add_func("/session-uids/none", test_none);
    g_test_add_func("/session-uids/range", test_range);
    g_test_add_func("/session-uids/somebodys", test_somebodys);
    return g_test_run();
}
