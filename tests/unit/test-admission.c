/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "admission.h"

#include <string.h>

#define MILLISECOND 1000
#define STEP        (5 * MILLISECOND)
#define LOGIN       (1 * G_USEC_PER_SEC) /* what a user needs */
#define ATTACKERS   200                  /* connections that the attacker keeps open or opens */
#define GRACE       (60 * G_USEC_PER_SEC)

static const gpointer USER = GUINT_TO_POINTER(100000);

static gpointer attacker(guint number)
{
    return GUINT_TO_POINTER(number + 1);
}

static guint attacker_number(gpointer connection)
{
    return GPOINTER_TO_UINT(connection) - 1;
}

/* ---- Limits ---- */

static void test_parse(void)
{
    AdmissionLimits limits = {.per_source = 7};
    g_autoptr(GError) error = NULL;
    g_assert_true(admission_limits_parse("10:30:60", &limits, &error));
    g_assert_no_error(error);
    g_assert_cmpuint(limits.start, ==, 10);
    g_assert_cmpuint(limits.rate, ==, 30);
    g_assert_cmpuint(limits.full, ==, 60);
    g_assert_cmpuint(limits.per_source, ==, 7);
    g_assert_true(admission_limits_parse("1:100:1", &limits, &error));
    g_assert_true(admission_limits_parse("4096:1:4096", &limits, &error));
}

static void test_parse_refused(void)
{
    static const char *const texts[] = {"",
                                        "32",
                                        "32:30",
                                        "32:30:",
                                        ":30:100",
                                        "32::100",
                                        "0:30:100",
                                        "32:0:100",
                                        "32:101:100",
                                        "33:30:32",
                                        "32:30:4097",
                                        "32:30:100:",
                                        "32:30:100:4",
                                        "-1:30:100",
                                        "+1:30:100",
                                        "a:30:100",
                                        "32:30:100 ",
                                        " 32:30:100",
                                        "32.5:30:100",
                                        "0x20:30:100",
                                        "18446744073709551617:30:100"};
    for (gsize i = 0; i < G_N_ELEMENTS(texts); i++) {
        AdmissionLimits limits = {1, 2, 3, 4};
        g_autoptr(GError) error = NULL;
        g_assert_false(admission_limits_parse(texts[i], &limits, &error));
        g_assert_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT);
        g_assert_nonnull(strstr(error->message, texts[i]));
        g_assert_cmpuint(limits.start, ==, 1);
        g_assert_cmpuint(limits.full, ==, 3);
    }
}

static void test_sources(void)
{
    static const char *const pairs[][2] = {
        {"192.0.2.1", "192.0.2.1"},
        {"::ffff:192.0.2.1", "192.0.2.1"},
        {"2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"},
        {"2001:db8:1:2::", "2001:db8:1:2::/64"},
        {"2001:db8:1:3::1", "2001:db8:1:3::/64"},
        {"::1", "::/64"},
        {"::fffe:192.0.2.1", "::/64"},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(pairs); i++) {
        g_autoptr(GInetAddress) address = g_inet_address_new_from_string(pairs[i][0]);
        g_autofree char *source = admission_source(address);
        g_assert_cmpstr(source, ==, pairs[i][1]);
    }
    g_autofree char *unknown = admission_source(NULL);
    g_assert_cmpstr(unknown, ==, "unknown");
}

/* ---- Rules ---- */

static void test_below_start(void)
{
    const AdmissionLimits limits = {32, 30, 100, 0};
    g_autoptr(Admission) admission = admission_new(&limits, 1);
    for (guint i = 0; i < 32; i++)
        g_assert_null(admission_enter(admission, "192.0.2.1", attacker(i), 0));
    g_assert_cmpuint(admission_size(admission), ==, 32);
    admission_leave(admission, USER); /* never came */
    g_assert_cmpuint(admission_size(admission), ==, 32);
    for (guint i = 0; i < 32; i++)
        admission_leave(admission, attacker(i));
    g_assert_cmpuint(admission_size(admission), ==, 0);
}

/* A newcomer, at `size` of others who have been there for long: how often one of them goes. */
static guint percent_dropped(guint size)
{
    const AdmissionLimits limits = {10, 30, 60, 0};
    guint dropped = 0;
    for (guint round = 0; round < 10000; round++) {
        g_autoptr(Admission) admission = admission_new(&limits, round);
        const AdmissionLimits none = {4096, 100, 4096, 0};
        admission_set_limits(admission, &none);
        for (guint i = 0; i < size; i++)
            admission_enter(admission, "192.0.2.1", attacker(i), 0);
        admission_set_limits(admission, &limits);
        gpointer victim = admission_enter(admission, "192.0.2.2", USER, GRACE);
        g_assert_true(!victim || victim == attacker(0));
        dropped += victim != NULL;
    }
    return (dropped + 50) / 100;
}

static void test_rises(void)
{
    g_assert_cmpuint(percent_dropped(9), ==, 0);
    g_assert_cmpfloat_with_epsilon(percent_dropped(10), 30, 2);
    g_assert_cmpfloat_with_epsilon(percent_dropped(35), 65, 2);
    g_assert_cmpfloat_with_epsilon(percent_dropped(59), 98, 2);
    g_assert_cmpuint(percent_dropped(60), ==, 100);
    g_assert_cmpuint(percent_dropped(80), ==, 100);
}

static void test_same_seed(void)
{
    const AdmissionLimits limits = {1, 1, 200, 0};
    g_autoptr(Admission) first = admission_new(&limits, 7);
    g_autoptr(Admission) second = admission_new(&limits, 7);
    for (guint i = 0; i < 1000; i++) {
        gint64 now = i * G_USEC_PER_SEC;
        g_assert_true(admission_enter(first, "192.0.2.1", attacker(i), now) ==
                      admission_enter(second, "192.0.2.1", attacker(i), now));
    }
}

static void test_per_source(void)
{
    const AdmissionLimits limits = {100, 30, 100, 4};
    g_autoptr(Admission) admission = admission_new(&limits, 1);
    gint64 later = ADMISSION_PROTECTED_MICROSECONDS;
    for (guint i = 0; i < 4; i++)
        g_assert_null(admission_enter(admission, "192.0.2.1", attacker(i), 0));
    /* At the same time as the others: it has to wait for its turn. */
    g_assert_true(admission_enter(admission, "192.0.2.1", USER, later - 1) == USER);
    g_assert_cmpuint(admission_size(admission), ==, 4);
    /* Others have no part in it. */
    g_assert_null(admission_enter(admission, "192.0.2.2", attacker(10), 0));
    g_assert_true(admission_enter(admission, "192.0.2.1", USER, later) == attacker(0));
    /* One by one. */
    g_assert_true(admission_enter(admission, "192.0.2.1", attacker(4), later) == attacker(4));
    later += ADMISSION_PROTECTED_MICROSECONDS / 2;
    g_assert_true(admission_enter(admission, "192.0.2.1", attacker(4), later) == attacker(1));
    admission_leave(admission, USER);
    g_assert_null(admission_enter(admission, "192.0.2.1", attacker(5), later));
}

/* When it is full, the source that has most gives way, protected or not. */
static void test_heaviest(void)
{
    const AdmissionLimits limits = {4, 100, 4, 0};
    g_autoptr(Admission) admission = admission_new(&limits, 1);
    g_assert_null(admission_enter(admission, "192.0.2.9", attacker(9), 0));
    for (guint i = 0; i < 3; i++)
        g_assert_null(admission_enter(admission, "192.0.2.1", attacker(i), 1));
    g_assert_true(admission_enter(admission, "192.0.2.2", USER, 1) == attacker(0));
    g_assert_true(admission_enter(admission, "192.0.2.3", attacker(3), 1) == attacker(1));
    /* Now each has one, and who comes last waits until one of them has had its time. */
    g_assert_true(admission_enter(admission, "192.0.2.4", attacker(4), 1) == attacker(4));
    g_assert_true(admission_enter(admission, "192.0.2.4", attacker(4),
                                  ADMISSION_PROTECTED_MICROSECONDS) == attacker(9));
    g_assert_cmpuint(admission_size(admission), ==, 4);
}

/* Many users at the start of a day, each from an own address, all at once: there is room. */
static void test_no_attack(void)
{
    const AdmissionLimits limits = ADMISSION_DEFAULT_LIMITS;
    g_autoptr(Admission) admission = admission_new(&limits, 1);
    for (guint i = 0; i < limits.full; i++) {
        g_autofree char *source = g_strdup_printf("192.0.2.%u", i);
        g_assert_null(admission_enter(admission, source, attacker(i), i * MILLISECOND));
    }
}

static void test_lower_limits(void)
{
    const AdmissionLimits wide = {100, 30, 100, 0}, narrow = {4, 30, 8, 0};
    g_autoptr(Admission) admission = admission_new(&wide, 1);
    for (guint i = 0; i < 100; i++)
        g_assert_null(admission_enter(admission, "192.0.2.1", attacker(i), 0));
    admission_set_limits(admission, &narrow);
    g_assert_true(admission_enter(admission, "192.0.2.2", USER, 0) == attacker(0));
    g_assert_cmpuint(admission_size(admission), ==, 100);
}

/* ---- Attacks ---- */

typedef struct {
    const char *name;
    AdmissionLimits limits;
    guint sources;  /* that the attacker has */
    gint64 back;    /* after which a connection that was dropped is opened again; 0: never */
    gint64 held;    /* how long one that was turned away as it came notices nothing */
    bool same;      /* the user has one of the attacker's addresses */
    guint tries;    /* that the user makes at most */
    guint expected; /* percent of the users who get in */
} Attack;

typedef struct {
    const Attack *attack;
    Admission *admission;
    GRand *random;
    gint64 now;
    gint64 returns[ATTACKERS]; /* when each opens its connection; G_MAXINT64: it stands */
    gint64 ends[ATTACKERS];    /* of the grace time, while it stands */
    bool user_dropped;
} World;

static void on_victim(World *world, gpointer victim, gpointer newcomer)
{
    if (!victim)
        return;
    if (victim == USER) {
        world->user_dropped = true;
        return;
    }
    gint64 back = world->attack->back * g_rand_double_range(world->random, 0.5, 1.5);
    gint64 notices = victim == newcomer ? world->now + world->attack->held : world->now;
    world->ends[attacker_number(victim)] = G_MAXINT64;
    world->returns[attacker_number(victim)] = back > 0 ? notices + back : G_MAXINT64;
}

static void enter(World *world, guint source, gpointer connection)
{
    g_autofree char *name = g_strdup_printf("192.0.2.%u", source);
    on_victim(world, admission_enter(world->admission, name, connection, world->now), connection);
}

static void pass_step(World *world)
{
    world->now += STEP;
    guint first = g_rand_int_range(world->random, 0, ATTACKERS); /* nobody is always the first */
    for (guint n = 0; n < ATTACKERS; n++) {
        guint i = (first + n) % ATTACKERS;
        if (world->ends[i] <= world->now) {
            admission_leave(world->admission, attacker(i));
            world->ends[i] = G_MAXINT64;
            world->returns[i] = world->attack->back > 0 ? world->now : G_MAXINT64;
        }
        if (world->returns[i] <= world->now) {
            world->returns[i] = G_MAXINT64;
            world->ends[i] = world->now + GRACE;
            enter(world, i % world->attack->sources, attacker(i));
        }
    }
}

/* Comes, needs a second, and comes again when it was dropped: as a person or a client would. */
static bool user_gets_in(World *world)
{
    for (guint attempt = 0; attempt < world->attack->tries; attempt++) {
        gint64 came = world->now;
        world->user_dropped = false;
        enter(world, world->attack->same ? 0 : 200, USER);
        bool waits = world->user_dropped; /* was turned away, and is held as well */
        while (!world->user_dropped && world->now - came < LOGIN)
            pass_step(world);
        admission_leave(world->admission, USER);
        if (!world->user_dropped)
            return true;
        gint64 again = world->now + (waits ? world->attack->held : 0) +
                       g_rand_int_range(world->random, 100, 1000) * MILLISECOND;
        while (world->now < again)
            pass_step(world);
    }
    return false;
}

static guint percent_of_users(const Attack *attack, guint32 seed)
{
    World world = {.attack = attack,
                   .admission = admission_new(&attack->limits, seed),
                   .random = g_rand_new_with_seed(seed)};
    guint users = 50, in = 0;
    for (guint i = 0; i < ATTACKERS; i++) {
        world.ends[i] = G_MAXINT64;
        world.returns[i] = i * MILLISECOND;
    }
    for (guint i = 0; i < users; i++) {
        gint64 next = world.now + g_rand_int_range(world.random, 1000, 4000) * MILLISECOND;
        while (world.now < next)
            pass_step(&world);
        in += user_gets_in(&world);
        g_assert_cmpuint(admission_size(world.admission), <=, attack->limits.full);
    }
    admission_free(world.admission);
    g_rand_free(world.random);
    return in * 100 / users;
}

#define OURS ADMISSION_DEFAULT_LIMITS
#define FULL ((AdmissionLimits){32, 30, 100, 0})
#define HELD ADMISSION_PROTECTED_MICROSECONDS
static const Attack attacks[] = {
    {"hold still", FULL, 1, 0, 0, false, 1, 100},
    {"hold still, the user's address", FULL, 1, 0, 0, true, 1, 100},
    {"flood", FULL, 1, 20 * MILLISECOND, HELD, false, 1, 100},
    {"flood that is not held", FULL, 1, MILLISECOND, 0, false, 1, 100},
    {"flood of 50 addresses", FULL, 50, 20 * MILLISECOND, HELD, false, 1, 100},
    {"flood of 200 addresses", FULL, 200, 20 * MILLISECOND, HELD, false, 5, 90},
    {"flood, the user's address", FULL, 1, 20 * MILLISECOND, HELD, true, 5, 90},
    {"slow flood, the user's address", FULL, 1, 5 * G_USEC_PER_SEC, HELD, true, 5, 90},
    {"flood, ours", OURS, 1, 20 * MILLISECOND, HELD, false, 1, 100},
    {"flood of 200 addresses, ours", OURS, 200, 20 * MILLISECOND, HELD, false, 5, 90},
    {"flood, the user's address, ours", OURS, 1, 20 * MILLISECOND, HELD, true, 10, 80},
    {"flood, 16 of an address", {32, 30, 100, 16}, 1, 20 * MILLISECOND, HELD, false, 1, 100},
};

static void test_attack(gconstpointer data)
{
    const Attack *attack = data;
    for (guint32 seed = 1; seed <= 2; seed++) {
        guint percent = percent_of_users(attack, seed);
        g_test_message("%s: %u %% of the users get in", attack->name, percent);
        g_assert_cmpuint(percent, >=, attack->expected);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/admission/parse", test_parse);
    g_test_add_func("/admission/parse-refused", test_parse_refused);
    g_test_add_func("/admission/sources", test_sources);
    g_test_add_func("/admission/below-start", test_below_start);
    g_test_add_func("/admission/rises", test_rises);
    g_test_add_func("/admission/same-seed", test_same_seed);
    g_test_add_func("/admission/per-source", test_per_source);
    g_test_add_func("/admission/heaviest", test_heaviest);
    g_test_add_func("/admission/no-attack", test_no_attack);
    g_test_add_func("/admission/lower-limits", test_lower_limits);
    for (gsize i = 0; i < G_N_ELEMENTS(attacks); i++) {
        g_autofree char *path = g_strdup_printf("/admission/attack/%s", attacks[i].name);
        g_test_add_data_func(path, &attacks[i], test_attack);
    }
    return g_test_run();
}
