/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lockout.h"

#include <string.h>

#define SECOND  G_USEC_PER_SEC
#define HOME    "192.0.2.1"
#define ELSE    "192.0.2.2"
#define STRANGE "198.51.100.1"

static const LockoutLimits five = {5, 600};

static void fail_times(Lockout *lockout, const char *source, const char *user, guint times,
                       gint64 now)
{
    for (guint i = 0; i < times; i++)
        lockout_failed(lockout, source, user, now, NULL);
}

static void test_delays(void)
{
    static const gint64 seconds[] = {1, 2, 4, 8, 8, 8, 8};
    const LockoutLimits none = {0, 600};
    g_autoptr(Lockout) lockout = lockout_new(&none);
    for (gsize i = 0; i < G_N_ELEMENTS(seconds); i++)
        g_assert_cmpint(lockout_failed(lockout, HOME, "alice", 0, NULL), ==, seconds[i] * SECOND);
    /* The same address, or the same name. */
    g_assert_cmpint(lockout_failed(lockout, HOME, "bob", 0, NULL), ==, 8 * SECOND);
    g_assert_cmpint(lockout_failed(lockout, ELSE, "ALICE", 0, NULL), ==, 8 * SECOND);
    g_assert_cmpint(lockout_failed(lockout, "192.0.2.3", "carol", 0, NULL), ==, 1 * SECOND);
    /* Long ago. */
    g_assert_cmpint(lockout_failed(lockout, HOME, "alice", 600 * SECOND, NULL), ==, 1 * SECOND);
}

static void test_user(void)
{
    LockoutLocks locks;
    g_autoptr(Lockout) lockout = lockout_new(&five);
    for (guint i = 0; i < 5; i++) {
        g_autofree char *source = g_strdup_printf("198.51.100.%u", i);
        g_assert_false(lockout_is_locked(lockout, ELSE, "Alice", i));
        lockout_failed(lockout, source, "alice", i, &locks);
        g_assert_cmpuint(locks, ==, i == 4 ? LOCKOUT_USER : 0);
    }
    g_assert_true(lockout_is_locked(lockout, ELSE, "Alice", 5));
    g_assert_false(lockout_is_locked(lockout, ELSE, "bob", 5));
    g_assert_true(lockout_is_locked(lockout, ELSE, "alice", 600 * SECOND + 3));
    g_assert_false(lockout_is_locked(lockout, ELSE, "alice", 600 * SECOND + 4));
}

static void test_source(void)
{
    LockoutLocks locks;
    g_autoptr(Lockout) lockout = lockout_new(&five);
    for (guint i = 0; i < 5; i++) {
        g_autofree char *user = g_strdup_printf("user%u", i);
        g_assert_false(lockout_is_locked(lockout, STRANGE, "alice", 0));
        lockout_failed(lockout, STRANGE, user, 0, &locks);
        g_assert_cmpuint(locks, ==, i == 4 ? LOCKOUT_SOURCE : 0);
    }
    g_assert_true(lockout_is_locked(lockout, STRANGE, "alice", 1));
    g_assert_false(lockout_is_locked(lockout, HOME, "user0", 1));
    g_assert_false(lockout_is_locked(lockout, STRANGE, "alice", 600 * SECOND));
}

/* Going on against a lock makes it no longer, and does not find out about it by the time. */
static void test_locked_goes_on(void)
{
    LockoutLocks locks = LOCKOUT_USER;
    g_autoptr(Lockout) lockout = lockout_new(&five);
    fail_times(lockout, STRANGE, "alice", 5, 0);
    g_assert_cmpint(lockout_failed(lockout, STRANGE, "alice", 500 * SECOND, &locks), ==,
                    8 * SECOND);
    g_assert_cmpuint(locks, ==, 0);
    g_assert_false(lockout_is_locked(lockout, STRANGE, "alice", 600 * SECOND));
    g_assert_cmpint(lockout_failed(lockout, STRANGE, "alice", 600 * SECOND, NULL), ==, 1 * SECOND);
}

/* Failures of long ago do not add up with new ones. */
static void test_window(void)
{
    g_autoptr(Lockout) lockout = lockout_new(&five);
    fail_times(lockout, HOME, "alice", 4, 0);
    fail_times(lockout, HOME, "alice", 4, 600 * SECOND);
    g_assert_false(lockout_is_locked(lockout, HOME, "alice", 600 * SECOND));
    fail_times(lockout, HOME, "alice", 1, 1199 * SECOND);
    g_assert_true(lockout_is_locked(lockout, HOME, "alice", 1199 * SECOND));
}

/* Strangers lock a user out everywhere but where the user has been. */
static void test_familiar(void)
{
    g_autoptr(Lockout) lockout = lockout_new(&five);
    lockout_succeeded(lockout, HOME, "alice", 0);
    fail_times(lockout, STRANGE, "alice", 100, 1);
    g_assert_true(lockout_is_locked(lockout, STRANGE, "alice", 2));
    g_assert_true(lockout_is_locked(lockout, ELSE, "alice", 2));
    g_assert_false(lockout_is_locked(lockout, HOME, "Alice", 2));
    lockout_succeeded(lockout, HOME, "alice", 3); /* opens it for nobody else */
    g_assert_true(lockout_is_locked(lockout, STRANGE, "alice", 4));
    g_assert_true(lockout_is_locked(lockout, ELSE, "alice", 4));
    /* Nor does it let others in from there. */
    fail_times(lockout, STRANGE, "bob", 5, 5);
    g_assert_true(lockout_is_locked(lockout, HOME, "bob", 5) ==
                  lockout_is_locked(lockout, ELSE, "bob", 5));
}

/* The same when the address is locked: others behind it guessed. Guesses at the user's own name
 * from there are bounded all the same. */
static void test_familiar_source(void)
{
    LockoutLocks locks = 0;
    g_autoptr(Lockout) lockout = lockout_new(&five);
    lockout_succeeded(lockout, HOME, "alice", 0);
    fail_times(lockout, HOME, "bob", 5, 1);
    g_assert_true(lockout_is_locked(lockout, HOME, "carol", 2));
    g_assert_false(lockout_is_locked(lockout, HOME, "alice", 2));
    for (guint i = 0; i < 5; i++) {
        g_assert_false(lockout_is_locked(lockout, HOME, "alice", 2));
        lockout_failed(lockout, HOME, "alice", 2, &locks);
    }
    g_assert_cmpuint(locks & LOCKOUT_PAIR, ==, LOCKOUT_PAIR);
    g_assert_true(lockout_is_locked(lockout, HOME, "alice", 3));
    g_assert_false(lockout_is_locked(lockout, HOME, "alice", 602 * SECOND));
}

/* The delay says neither whether a user is known nor where from. */
static void test_delay_of_familiar(void)
{
    for (guint before = 0; before < 12; before++) {
        g_autoptr(Lockout) lockout = lockout_new(&five);
        g_autoptr(Lockout) without = lockout_new(&five);
        lockout_succeeded(lockout, HOME, "alice", 0);
        for (guint i = 0; i < before; i++) {
            g_autofree char *user = g_strdup_printf("user%u", i);
            g_assert_cmpint(lockout_failed(lockout, HOME, user, 1, NULL), ==,
                            lockout_failed(without, HOME, user, 1, NULL));
        }
        for (guint i = 0; i < 12; i++)
            g_assert_cmpint(lockout_failed(lockout, HOME, "alice", 1, NULL), ==,
                            lockout_failed(without, HOME, "nobody", 1, NULL));
    }
}

static void test_forgiven(void)
{
    g_autoptr(Lockout) lockout = lockout_new(&five);
    for (guint day = 0; day < 10; day++) {
        fail_times(lockout, HOME, "alice", 4, day);
        g_assert_false(lockout_is_locked(lockout, HOME, "alice", day));
        lockout_succeeded(lockout, HOME, "alice", day);
    }
    g_assert_cmpint(lockout_failed(lockout, ELSE, "alice", 10, NULL), ==, 1 * SECOND);
    g_assert_cmpint(lockout_failed(lockout, HOME, "bob", 10, NULL), ==, 1 * SECOND);
}

/* Who has an account cannot wash guesses at others away by logging in. */
static void test_not_forgiven(void)
{
    g_autoptr(Lockout) lockout = lockout_new(&five);
    for (guint i = 0; i < 5; i++) {
        g_autofree char *user = g_strdup_printf("user%u", i);
        g_assert_false(lockout_is_locked(lockout, STRANGE, "alice", i));
        lockout_failed(lockout, STRANGE, user, i, NULL);
        lockout_succeeded(lockout, STRANGE, "mallory", i);
    }
    g_assert_true(lockout_is_locked(lockout, STRANGE, "alice", 6));
}

static void test_never(void)
{
    const LockoutLimits never = {0, 600};
    g_autoptr(Lockout) lockout = lockout_new(&five);
    fail_times(lockout, STRANGE, "alice", 5, 0);
    g_assert_true(lockout_is_locked(lockout, STRANGE, "alice", 1));
    lockout_set_limits(lockout, &never);
    g_assert_false(lockout_is_locked(lockout, STRANGE, "alice", 1));
    fail_times(lockout, ELSE, "bob", 100, 1);
    g_assert_false(lockout_is_locked(lockout, ELSE, "bob", 1));
}

static void test_names(void)
{
    g_autofree char *longest = g_strnfill(100000, 'x');
    static const char *const pairs[][2] = {{"alice", "ALICE"},
                                           {"ström", "STRÖM"},
                                           {"straße", "STRASSE"},
                                           {"", ""},
                                           {"a\xff", "A\xff"}};
    for (gsize i = 0; i < G_N_ELEMENTS(pairs); i++) {
        g_autoptr(Lockout) lockout = lockout_new(&five);
        fail_times(lockout, STRANGE, pairs[i][0], 5, 0);
        g_assert_true(lockout_is_locked(lockout, ELSE, pairs[i][1], 1));
        g_assert_false(lockout_is_locked(lockout, ELSE, "bob", 1));
    }
    g_autoptr(Lockout) lockout = lockout_new(&five);
    fail_times(lockout, STRANGE, longest, 5, 0);
    g_assert_true(lockout_is_locked(lockout, ELSE, longest, 1));
    /* A name and an address together are no other pair. */
    lockout_succeeded(lockout, HOME, "x alice", 0);
    fail_times(lockout, ELSE, "alice", 5, 0);
    g_assert_true(lockout_is_locked(lockout, HOME, "alice", 1));
}

/* Any number of names and addresses, and nothing grows; neither a lock nor a place where a user has
 * been is forgotten for those. */
static void test_bounds(void)
{
    g_autoptr(Lockout) lockout = lockout_new(&five);
    lockout_succeeded(lockout, HOME, "alice", 0);
    fail_times(lockout, STRANGE, "bob", 5, 0);
    for (guint i = 0; i < 5 * LOCKOUT_MAX_RECORDS; i++) {
        g_autofree char *user = g_strdup_printf("user%u", i);
        g_autofree char *source = g_strdup_printf("2001:db8:%x:%x::/64", i >> 16, i & 0xffff);
        lockout_failed(lockout, source, user, 1, NULL);
        g_assert_cmpuint(lockout_size(lockout), <=, 3 * LOCKOUT_MAX_RECORDS + 1);
    }
    g_assert_true(lockout_is_locked(lockout, ELSE, "bob", 2));
    g_assert_true(lockout_is_locked(lockout, STRANGE, "carol", 2));
    fail_times(lockout, ELSE, "alice", 5, 2);
    g_assert_false(lockout_is_locked(lockout, HOME, "alice", 3));
}

/* Locks that are over make room first: new failures are counted again. */
static void test_old_locks(void)
{
    const LockoutLimits one = {1, 10};
    g_autoptr(Lockout) lockout = lockout_new(&one);
    for (guint i = 0; i < LOCKOUT_MAX_RECORDS + 10; i++) {
        g_autofree char *user = g_strdup_printf("user%u", i);
        g_autofree char *source = g_strdup_printf("2001:db8:%x:%x::/64", i >> 16, i & 0xffff);
        lockout_failed(lockout, source, user, 0, NULL);
    }
    g_assert_false(lockout_is_locked(lockout, STRANGE, "user0", 1)); /* too many locks */
    g_assert_true(lockout_is_locked(lockout, STRANGE, "user10", 1));
    lockout_set_limits(lockout, &five);
    for (guint i = 0; i < 5; i++) { /* in turn: neither pushes the other out */
        lockout_failed(lockout, STRANGE, "alice", 20 * SECOND, NULL);
        lockout_failed(lockout, ELSE, "bob", 20 * SECOND, NULL);
    }
    g_assert_true(lockout_is_locked(lockout, HOME, "alice", 21 * SECOND));
    g_assert_true(lockout_is_locked(lockout, HOME, "bob", 21 * SECOND));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/lockout/delays", test_delays);
    g_test_add_func("/lockout/user", test_user);
    g_test_add_func("/lockout/source", test_source);
    g_test_add_func("/lockout/locked-goes-on", test_locked_goes_on);
    g_test_add_func("/lockout/window", test_window);
    g_test_add_func("/lockout/familiar", test_familiar);
    g_test_add_func("/lockout/familiar-source", test_familiar_source);
    g_test_add_func("/lockout/delay-of-familiar", test_delay_of_familiar);
    g_test_add_func("/lockout/forgiven", test_forgiven);
    g_test_add_func("/lockout/not-forgiven", test_not_forgiven);
    g_test_add_func("/lockout/never", test_never);
    g_test_add_func("/lockout/names", test_names);
    g_test_add_func("/lockout/bounds", test_bounds);
    g_test_add_func("/lockout/old-locks", test_old_locks);
    return g_test_run();
}
