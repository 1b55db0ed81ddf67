/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "audit-samples.h"
#include "text-file.h"

#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct {
    char *folder, *path;
} Place;

static void place_init(Place *place, gconstpointer unused)
{
    place->folder = g_dir_make_tmp("rdpusb-XXXXXX", NULL);
    g_assert_nonnull(place->folder);
    place->path = g_build_filename(place->folder, "audit.jsonl", NULL);
}

static void place_clear(Place *place, gconstpointer unused)
{
    g_unlink(place->path);
    g_assert_cmpint(g_rmdir(place->folder), ==, 0);
    g_free(place->folder);
    g_free(place->path);
}

static Audit *open_audit(const char *target)
{
    g_autoptr(GError) error = NULL;
    Audit *audit = audit_open(target, &error);
    g_assert_no_error(error);
    return audit;
}

static char *contents(const char *path)
{
    char *text = NULL;
    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    return text;
}

/* The objects of a file, whose every line has to be one. */
static GPtrArray *read_lines(const char *path)
{
    g_autofree char *text = contents(path);
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    GPtrArray *objects = g_ptr_array_new_with_free_func((GDestroyNotify) json_node_unref);
    guint n = g_strv_length(lines);
    g_assert_cmpstr(lines[n - 1], ==, ""); /* it ends with a newline */
    for (guint i = 0; i < n - 1; i++) {
        g_autoptr(GError) error = NULL;
        JsonNode *node = json_from_string(lines[i], &error);
        g_assert_no_error(error);
        g_assert_true(JSON_NODE_HOLDS_OBJECT(node));
        g_ptr_array_add(objects, node);
    }
    return objects;
}

static JsonObject *object(GPtrArray *lines, guint i)
{
    return json_node_get_object(lines->pdata[i]);
}

static void write_reason(Audit *audit, const char *reason)
{
    audit_write(
        audit, &(AuditEvent){
                   .type = AUDIT_RELOAD, .what = "rules", .code = AUDIT_REFUSED, .reason = reason});
}

static void check_reason(GPtrArray *lines, guint i, const char *reason)
{
    g_assert_cmpuint(i, <, lines->len);
    g_assert_cmpstr(json_object_get_string_member(object(lines, i), "reason"), ==, reason);
}

/* ---- What is written ---- */

static void test_events(Place *place, gconstpointer unused)
{
    gsize n;
    const AuditEvent *events = audit_samples(&n);
    g_autoptr(Audit) audit = open_audit(place->path);
    for (gsize i = 0; i < n; i++)
        audit_write(audit, &events[i]);
    audit_write(NULL, &events[0]);
    g_autoptr(GPtrArray) lines = read_lines(place->path);
    g_assert_cmpuint(lines->len, ==, n);
    for (gsize i = 0; i < n; i++)
        g_assert_cmpstr(json_object_get_string_member(object(lines, i), "event"), ==,
                        audit_event_type_to_string(events[i].type));
}

static void test_members(void)
{
    gsize n;
    const AuditEvent *events = audit_samples(&n);
    g_autoptr(JsonObject) json = audit_event_to_json(&events[AUDIT_DETACH], 3);
    g_assert_cmpstr(json_object_get_string_member(json, "connection"), ==, AUDIT_SAMPLE_CONNECTION);
    g_assert_cmpstr(json_object_get_string_member(json, "client"), ==, "192.0.2.7:50312");
    g_assert_cmpstr(json_object_get_string_member(json, "user"), ==, "alice");
    g_assert_cmpint(json_object_get_int_member(json, "bytes-in"), ==, 5368709120);
    g_assert_cmpint(json_object_get_int_member(json, "bytes-out"), ==, 4096);
    g_assert_cmpint(json_object_get_int_member(json, "lost"), ==, 3);
    g_assert_cmpfloat(json_object_get_double_member(json, "duration"), >, 0);
    g_assert_false(json_object_has_member(json, "rule"));
    g_assert_false(json_object_has_member(json, "code"));
    g_assert_false(json_object_has_member(json, "method"));
    g_assert_false(json_object_has_member(json, "cut"));
    JsonObject *device = json_object_get_object_member(json, "device");
    JsonArray *interfaces = json_object_get_array_member(device, "interfaces");
    g_assert_cmpstr(json_object_get_string_member(device, "vendor"), ==, "0951");
    g_assert_cmpstr(json_object_get_string_member(device, "version"), ==, "0110");
    g_assert_cmpuint(json_array_get_length(interfaces), ==, 2);
    g_assert_cmpstr(json_array_get_string_element(interfaces, 1), ==, "ff:00:00");
}

/* An hour ago is an hour's duration, and a moment has a duration too. */
static void test_duration(void)
{
    static const double seconds[] = {0.25, 3600, 1e9};
    for (gsize i = 0; i < G_N_ELEMENTS(seconds); i++) {
        AuditEvent event = {.type = AUDIT_END, .since = g_get_monotonic_time() - seconds[i] * 1e6};
        /* A machine that has just been started has no such past. */
        if (event.since <= 0)
            continue;
        g_autoptr(JsonObject) json = audit_event_to_json(&event, 0);
        double duration = json_object_get_double_member(json, "duration");
        g_assert_cmpfloat(duration, >=, seconds[i]);
        g_assert_cmpfloat(duration, <, seconds[i] + 10);
    }
}

static void test_time(void)
{
    g_autoptr(JsonObject) json = audit_event_to_json(&(AuditEvent){.type = AUDIT_RELOAD}, 0);
    const char *time = json_object_get_string_member(json, "time");
    g_assert_true(
        g_regex_match_simple("^\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d\\.\\d{6}Z$", time, 0, 0));
    g_autoptr(GDateTime) parsed = g_date_time_new_from_iso8601(time, NULL);
    g_autoptr(GDateTime) now = g_date_time_new_now_utc();
    g_assert_cmpint(ABS(g_date_time_difference(now, parsed)), <, 10 * G_TIME_SPAN_SECOND);
}

/* ---- What peers say ---- */

/* Not one character that is a control, a separator of lines or a turn of direction. */
static void check_line(const char *line)
{
    gsize length = strlen(line);
    g_assert_cmpuint(length, <=, AUDIT_MAX_LINE_BYTES);
    g_assert_true(g_utf8_validate(line, length, NULL));
    g_assert_true(strchr(line, '\n') == line + length - 1);
    for (const char *c = line; *c != '\n'; c = g_utf8_next_char(c)) {
        gunichar character = g_utf8_get_char(c);
        g_assert_true(g_unichar_isprint(character));
        g_assert_false(character == 0x2028 || character == 0x2029);
    }
}

/* Every text of an event at once: still one object, of bounded length, in which the text is a
 * member and nothing else. */
static void test_hostile(void)
{
    static PolicyInterface many[64];
    for (const char *const *text = audit_hostile_texts(); *text; text++) {
        PolicyDevice device = {.vendor = 0xffff,
                               .product = 0xffff,
                               .version = 0xffff,
                               .interfaces = many,
                               .n_interfaces = G_N_ELEMENTS(many)};
        PolicyDecision rule = {.line = G_MAXUINT};
        AuditEvent event = {.type = AUDIT_LOGIN_REFUSED,
                            .method = AUDIT_METHOD_USERS_FILE,
                            .since = 1,
                            .bytes = &(AuditBytes){G_MAXUINT64, G_MAXUINT64},
                            .count = G_MAXUINT64,
                            .code = AUDIT_MAX_UNAUTHENTICATED};
        audit_fill(&event, &device, &rule, *text);
        event.connection = event.client = event.server = event.what = *text;
        g_autoptr(JsonObject) json = audit_event_to_json(&event, G_MAXUINT64);
        g_autofree char *line = audit_json_to_line(json);
        check_line(line);
        g_autoptr(JsonNode) node = json_from_string(line, NULL);
        g_assert_nonnull(node);
        JsonObject *parsed = json_node_get_object(node);
        g_assert_cmpstr(json_object_get_string_member(parsed, "event"), ==, "login-refused");
        g_assert_true(json_object_get_boolean_member(parsed, "cut")); /* the interfaces */
        const char *user = json_object_get_string_member(parsed, "user");
        if (strlen(*text) < 64) {
            g_autofree char *valid = g_utf8_make_valid(*text, -1);
            g_assert_cmpstr(user, ==, valid);
        } else {
            g_assert_true(g_str_has_suffix(user, "…"));
        }
    }
}

/* The longest string that USB allows is not cut. */
static void test_longest_name(void)
{
    g_autoptr(GString) name = g_string_new(NULL);
    for (int i = 0; i < 126; i++)
        g_string_append_unichar(name, 0x6f22);
    PolicyDevice device = {.name = name->str};
    g_autoptr(JsonObject) json =
        audit_event_to_json(&(AuditEvent){.type = AUDIT_ATTACH, .device = &device}, 0);
    JsonObject *member = json_object_get_object_member(json, "device");
    g_assert_cmpstr(json_object_get_string_member(member, "name"), ==, name->str);
    g_assert_false(json_object_has_member(json, "cut"));
    g_assert_false(json_object_has_member(member, "serial"));
}

/* ---- The file ---- */

static void test_modes(Place *place, gconstpointer unused)
{
    static const struct {
        mode_t mode;
        const char *problem; /* NULL: good */
    } modes[] = {{0600, NULL},
                 {0640, NULL},
                 {0644, NULL},
                 {0620, ": its group may change the audit trail: chmod 0600 or 0640"},
                 {0602, ": everybody may change the audit trail: chmod 0600 or 0640"}};
    mode_t before = umask(0);
    g_autoptr(Audit) audit = open_audit(place->path);
    umask(before);
    g_assert_nonnull(audit);
    GStatBuf status;
    g_assert_cmpint(g_stat(place->path, &status), ==, 0);
    g_assert_cmpuint(status.st_mode & 07777, ==, 0600);
    for (gsize i = 0; i < G_N_ELEMENTS(modes); i++) {
        g_autoptr(GError) error = NULL;
        g_assert_cmpint(g_chmod(place->path, modes[i].mode), ==, 0);
        g_autoptr(Audit) other = audit_open(place->path, &error);
        g_assert_true((other == NULL) == (modes[i].problem != NULL));
        g_autofree char *text = g_strconcat(place->path, modes[i].problem, NULL);
        if (modes[i].problem)
            g_assert_cmpstr(error->message, ==, text);
    }
}

static void check_refused(const char *target, const char *expected)
{
    g_autoptr(GError) error = NULL;
    g_assert_null(audit_open(target, &error));
    g_assert_error(error, INPUT_ERROR, 0);
    g_test_message("%s", error->message);
    g_assert_true(g_str_has_prefix(error->message, target) ||
                  g_str_has_prefix(error->message, "audit: "));
    g_assert_nonnull(strstr(error->message, expected));
}

static void test_refused(Place *place, gconstpointer unused)
{
    g_autofree char *pipe = g_build_filename(place->folder, "pipe", NULL);
    g_autofree char *link = g_build_filename(place->folder, "link", NULL);
    g_autofree char *nowhere = g_build_filename(place->folder, "no", "where", NULL);
    g_assert_cmpint(mkfifo(pipe, 0600), ==, 0);
    g_assert_cmpint(symlink(place->path, link), ==, 0);
    check_refused("audit.jsonl", "neither 'journal' nor an absolute path");
    check_refused("", "neither 'journal' nor an absolute path");
    check_refused(nowhere, "the folder has to be there");
    check_refused(link, "name the file itself");
    check_refused(pipe, "is no regular file");
    check_refused("/dev/full", "is no regular file");
    check_refused(place->folder, "cannot write the audit trail: Is a directory");
    g_assert_false(g_file_test(place->path, G_FILE_TEST_EXISTS)); /* not made through the link */
    g_unlink(pipe);
    g_unlink(link);
}

static void test_owner(Place *place, gconstpointer unused)
{
    audit_free(open_audit(place->path));
    if (geteuid() != 0) /* nobody else can give a file away */
        return;
    g_assert_cmpint(chown(place->path, 65534, -1), ==, 0);
    check_refused(place->path, "belongs to user 65534, who could change the audit trail");
}

/* What others append is kept. */
static void test_append(Place *place, gconstpointer unused)
{
    g_autoptr(Audit) one = open_audit(place->path);
    g_autoptr(Audit) other = open_audit(place->path);
    write_reason(one, "1");
    write_reason(other, "2");
    write_reason(one, "3");
    g_autoptr(GPtrArray) lines = read_lines(place->path);
    g_assert_cmpuint(lines->len, ==, 3);
    for (guint i = 0; i < 3; i++)
        check_reason(lines, i, (const char *[]){"1", "2", "3"}[i]);
}

/* A half line costs no other. */
static void test_torn(Place *place, gconstpointer unused)
{
    g_autoptr(GError) error = NULL;
    static const char half[] = "{\"time\":\"2026";
    g_assert_true(g_file_set_contents_full(place->path, half, -1, 0, 0600, NULL));
    g_autoptr(Audit) audit = open_audit(place->path);
    write_reason(audit, "1");
    g_assert_true(audit_reopen(audit, &error));
    write_reason(audit, "2");
    g_autofree char *text = contents(place->path);
    g_assert_true(g_str_has_prefix(text, half));
    g_assert_cmpint(text[strlen(half)], ==, '\n');
    g_assert_true(g_file_set_contents(place->path, text + strlen(half) + 1, -1, NULL));
    g_autoptr(GPtrArray) lines = read_lines(place->path);
    g_assert_cmpuint(lines->len, ==, 2);
    check_reason(lines, 0, "1");
    check_reason(lines, 1, "2");
}

static void test_reopen(Place *place, gconstpointer unused)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *old = g_strconcat(place->path, ".1", NULL);
    g_autoptr(Audit) audit = open_audit(place->path);
    write_reason(audit, "before");
    g_assert_cmpint(g_rename(place->path, old), ==, 0);
    write_reason(audit, "renamed");
    g_assert_true(audit_reopen(audit, &error));
    write_reason(audit, "after");
    g_autoptr(GPtrArray) old_lines = read_lines(old);
    g_autoptr(GPtrArray) lines = read_lines(place->path);
    g_assert_cmpuint(old_lines->len, ==, 2);
    check_reason(old_lines, 1, "renamed");
    g_assert_cmpuint(lines->len, ==, 1);
    check_reason(lines, 0, "after");
    g_unlink(old);
    g_assert_true(audit_reopen(NULL, &error));
}

/* A file that must not be used does not end the one in use. */
static void test_reopen_refused(Place *place, gconstpointer unused)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *old = g_strconcat(place->path, ".1", NULL);
    g_autoptr(Audit) audit = open_audit(place->path);
    g_assert_cmpint(g_rename(place->path, old), ==, 0);
    g_assert_true(g_file_set_contents(place->path, "", 0, NULL));
    g_assert_cmpint(g_chmod(place->path, 0666), ==, 0);
    g_assert_false(audit_reopen(audit, &error));
    g_assert_error(error, INPUT_ERROR, 0);
    write_reason(audit, "after");
    g_autoptr(GPtrArray) lines = read_lines(old);
    check_reason(lines, 0, "after");
    g_unlink(old);
}

/* ---- A disk that is full ---- */

static void limit_files(rlim_t bytes)
{
    struct rlimit limit;
    g_assert_cmpint(getrlimit(RLIMIT_FSIZE, &limit), ==, 0);
    limit.rlim_cur = MIN(bytes, limit.rlim_max);
    g_assert_cmpint(setrlimit(RLIMIT_FSIZE, &limit), ==, 0);
}

static goffset size_of(const char *path)
{
    GStatBuf status;
    g_assert_cmpint(g_stat(path, &status), ==, 0);
    return status.st_size;
}

/* Room for `spare` bytes, which is less than a line: none of it is left over. The first loss and
 * the end of the losses are logged, and nothing between. */
static void lose_events(Place *place, gsize spare)
{
    g_autoptr(Audit) audit = open_audit(place->path);
    write_reason(audit, "before");
    goffset size = size_of(place->path);
    g_test_expect_message("rdpusbd", G_LOG_LEVEL_WARNING, "cannot write the audit trail to *");
    limit_files(size + spare);
    for (int i = 0; i < 5; i++)
        write_reason(audit, "lost");
    limit_files(RLIM_INFINITY);
    g_test_assert_expected_messages();
    g_assert_cmpint(size_of(place->path), ==, size);
    g_test_expect_message("rdpusbd", G_LOG_LEVEL_MESSAGE, "*; 5 events were lost");
    write_reason(audit, "after");
    write_reason(audit, "and so on");
    g_test_assert_expected_messages();
    g_autoptr(GPtrArray) lines = read_lines(place->path);
    g_assert_cmpuint(lines->len, ==, 3);
    check_reason(lines, 1, "after");
    g_assert_cmpint(json_object_get_int_member(object(lines, 1), "lost"), ==, 5);
    g_assert_false(json_object_has_member(object(lines, 2), "lost"));
}

static void test_full(Place *place, gconstpointer unused)
{
    lose_events(place, 0);
}

static void test_full_within_line(Place *place, gconstpointer unused)
{
    lose_events(place, 10);
}

/* As after the power was lost because of it. */
static void test_full_when_torn(Place *place, gconstpointer unused)
{
    static const char half[] = "{\"time\":\"2026";
    g_assert_true(g_file_set_contents_full(place->path, half, -1, 0, 0600, NULL));
    g_autoptr(Audit) audit = open_audit(place->path);
    g_test_expect_message("rdpusbd", G_LOG_LEVEL_WARNING, "cannot write the audit trail to *");
    limit_files(strlen(half) + 10);
    write_reason(audit, "lost");
    limit_files(RLIM_INFINITY);
    g_test_expect_message("rdpusbd", G_LOG_LEVEL_MESSAGE, "*; 1 events were lost");
    write_reason(audit, "after");
    g_test_assert_expected_messages();
    g_autofree char *text = contents(place->path);
    g_assert_true(g_str_has_prefix(text, half));
    g_assert_cmpint(text[strlen(half)], ==, '\n');
}

/* The end of the daemon is the last chance to say it. */
static void test_full_until_end(Place *place, gconstpointer unused)
{
    Audit *audit = open_audit(place->path);
    g_test_expect_message("rdpusbd", G_LOG_LEVEL_WARNING, "cannot write the audit trail to *");
    g_test_expect_message("rdpusbd", G_LOG_LEVEL_WARNING,
                          "the audit trail lacks its last 1 events");
    limit_files(0);
    write_reason(audit, "lost");
    limit_files(RLIM_INFINITY);
    audit_free(audit);
    g_test_assert_expected_messages();
    audit_free(NULL);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    signal(SIGXFSZ, SIG_IGN); /* of limit_files() */
    g_test_add_func("/audit/members", test_members);
    g_test_add_func("/audit/duration", test_duration);
    g_test_add_func("/audit/time", test_time);
    g_test_add_func("/audit/hostile", test_hostile);
    g_test_add_func("/audit/longest-name", test_longest_name);
#define ADD(path, function) g_test_add(path, Place, NULL, place_init, function, place_clear)
    ADD("/audit/events", test_events);
    ADD("/audit/modes", test_modes);
    ADD("/audit/refused", test_refused);
    ADD("/audit/owner", test_owner);
    ADD("/audit/append", test_append);
    ADD("/audit/torn", test_torn);
    ADD("/audit/reopen", test_reopen);
    ADD("/audit/reopen-refused", test_reopen_refused);
    ADD("/audit/full", test_full);
    ADD("/audit/full-within-line", test_full_within_line);
    ADD("/audit/full-when-torn", test_full_when_torn);
    ADD("/audit/full-until-end", test_full_until_end);
    return g_test_run();
}
