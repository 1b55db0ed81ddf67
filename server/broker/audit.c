/* SPDX-License-Identifier: LGPL-2.1-or-later */
#define SD_JOURNAL_SUPPRESS_LOCATION /* a line of this file says nothing to a reader */
#include "audit.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <syslog.h>
#include <systemd/sd-journal.h>
#include <unistd.h>

#include "text-file.h"

#define JOURNAL        "journal"
#define JOURNAL_SOCKET "/run/systemd/journal/socket"

struct Audit {
    char *path; /* NULL: the journal */
    int file;   /* -1: the journal */
    bool torn;  /* the file ends within a line */
    guint64 lost;
};

/* ---- The file ---- */

static bool check_file(int file, const char *path, GError **error)
{
    struct stat status;
    if (fstat(file, &status) != 0)
        return text_file_error(error, path, 0, 0, "%s", g_strerror(errno));
    if (!S_ISREG(status.st_mode))
        return text_file_error(error, path, 0, 0,
                               "is no regular file: the audit trail needs one, or 'journal'");
    if (status.st_uid != 0 && status.st_uid != geteuid())
        return text_file_error(error, path, 0, 0,
                               "belongs to user %u, who could change the audit trail: chown it to "
                               "the user of rdpusbd",
                               status.st_uid);
    if (status.st_mode & (S_IWGRP | S_IWOTH))
        return text_file_error(error, path, 0, 0,
                               "%s may change the audit trail: chmod 0600 or 0640",
                               status.st_mode & S_IWOTH ? "everybody" : "its group");
    return true;
}

static bool fail_open(const char *path, int problem, GError **error)
{
    const char *advice = "";
    if (problem == ELOOP)
        advice = "; name the file itself, not a link to it";
    else if (problem == ENOENT)
        advice = "; the folder has to be there: make it, for the user of rdpusbd";
    else if (problem == EACCES || problem == EPERM || problem == EROFS)
        advice = "; rdpusbd has to be able to write there, under systemd with LogsDirectory= or "
                 "ReadWritePaths=";
    return text_file_error(error, path, 0, 0, "cannot write the audit trail: %s%s",
                           g_strerror(problem), advice);
}

static int open_file(const char *path, GError **error)
{
    /* O_NONBLOCK: not to wait for the other end, if it is a pipe. */
    int file = open(
        path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK, 0600);
    if (file < 0) {
        fail_open(path, errno, error);
        return -1;
    }
    if (!check_file(file, path, error)) {
        close(file);
        return -1;
    }
    return file;
}

/* As a machine that lost its power leaves it */
static bool ends_within_line(int file)
{
    char last;
    off_t size = lseek(file, 0, SEEK_END);
    return size > 0 && pread(file, &last, 1, size - 1) == 1 && last != '\n';
}

/* A disk that becomes full takes the beginning of a line. Without it, the file has only whole ones;
 * where it cannot be taken back, as in a file that may only grow, the next line begins a new one,
 * as it does where the file was torn before. */
static void take_back(Audit *audit, ssize_t bytes)
{
    off_t end = lseek(audit->file, 0, SEEK_CUR);
    audit->torn = audit->torn || end < bytes || ftruncate(audit->file, end - bytes) != 0;
}

/* Returns 0, or an errno. */
static int append(Audit *audit, const char *line)
{
    struct iovec parts[] = {{(char *) "\n", audit->torn ? 1 : 0}, {(char *) line, strlen(line)}};
    ssize_t whole = parts[0].iov_len + parts[1].iov_len;
    ssize_t written = writev(audit->file, parts, G_N_ELEMENTS(parts));
    if (written < 0)
        return errno;
    if (written == whole) {
        audit->torn = false;
        return 0;
    }
    take_back(audit, written);
    return ENOSPC;
}

/* ---- The journal ---- */

/* sd_journal_sendv() succeeds where there is no journal. */
static bool has_journal(void)
{
    struct stat status;
    return stat(JOURNAL_SOCKET, &status) == 0 && S_ISSOCK(status.st_mode);
}

static void add_field(GPtrArray *fields, const char *name, const char *value)
{
    g_ptr_array_add(fields, g_strdup_printf("%s=%s", name, value));
}

/* A member becomes a field of its name, "client-name" RDPUSB_CLIENT_NAME; that of an object is
 * preceded by the object's name, and an array is the same field several times. */
static void add_node(GPtrArray *fields, const char *prefix, const char *member, JsonNode *node)
{
    g_autofree char *name = g_strdup_printf("%s_%s", prefix, member);
    for (char *c = name; *c; c++)
        *c = *c == '-' ? '_' : g_ascii_toupper(*c);
    if (JSON_NODE_HOLDS_OBJECT(node)) {
        JsonObjectIter iterator;
        json_object_iter_init(&iterator, json_node_get_object(node));
        while (json_object_iter_next(&iterator, &member, &node))
            add_node(fields, name, member, node);
    } else if (JSON_NODE_HOLDS_ARRAY(node)) {
        JsonArray *array = json_node_get_array(node);
        for (guint i = 0; i < json_array_get_length(array); i++)
            add_field(fields, name, json_array_get_string_element(array, i));
    } else if (json_node_get_value_type(node) == G_TYPE_STRING) {
        add_field(fields, name, json_node_get_string(node));
    } else {
        g_autofree char *text = json_to_string(node, FALSE);
        add_field(fields, name, text);
    }
}

static int priority_of(AuditEventType type)
{
    bool refusal =
        type == AUDIT_LOGIN_REFUSED || type == AUDIT_DEVICE_REFUSED || type == AUDIT_DROPPED;
    return refusal ? LOG_NOTICE : LOG_INFO;
}

/* Returns 0, or an errno. */
static int send_to_journal(AuditEventType type, JsonObject *json, const char *line)
{
    if (!has_journal())
        return ENOENT;
    g_autoptr(GPtrArray) fields = g_ptr_array_new_with_free_func(g_free);
    g_ptr_array_add(fields, g_strdup_printf("MESSAGE=%.*s", (int) strlen(line) - 1, line));
    g_ptr_array_add(fields, g_strdup_printf("PRIORITY=%d", priority_of(type)));
    g_ptr_array_add(fields, g_strdup("SYSLOG_IDENTIFIER=rdpusbd"));
    JsonObjectIter iterator;
    const char *member;
    JsonNode *node;
    json_object_iter_init(&iterator, json);
    while (json_object_iter_next(&iterator, &member, &node))
        add_node(fields, "RDPUSB", member, node);
    g_autofree struct iovec *parts = g_new(struct iovec, fields->len);
    for (guint i = 0; i < fields->len; i++)
        parts[i] = (struct iovec){fields->pdata[i], strlen(fields->pdata[i])};
    return -sd_journal_sendv(parts, fields->len);
}

/* ---- Either ---- */

Audit *audit_open(const char *target, GError **error)
{
    bool journal = strcmp(target, JOURNAL) == 0;
    if (!journal && !g_path_is_absolute(target)) {
        g_set_error(error, INPUT_ERROR, 0,
                    "audit: \"%s\" is neither 'journal' nor an absolute path", target);
        return NULL;
    }
    if (journal && !has_journal()) {
        text_file_error(error, JOURNAL_SOCKET, 0, 0,
                        "there is no journal here: name a file for the audit trail instead");
        return NULL;
    }
    int file = journal ? -1 : open_file(target, error);
    if (!journal && file < 0)
        return NULL;
    Audit *audit = g_new0(Audit, 1);
    audit->path = journal ? NULL : g_strdup(target);
    audit->file = file;
    audit->torn = !journal && ends_within_line(file);
    return audit;
}

void audit_free(Audit *audit)
{
    if (!audit)
        return;
    if (audit->lost > 0)
        g_warning("the audit trail lacks its last %" G_GUINT64_FORMAT " events", audit->lost);
    if (audit->file >= 0)
        close(audit->file);
    g_free(audit->path);
    g_free(audit);
}

bool audit_reopen(Audit *audit, GError **error)
{
    if (!audit || !audit->path)
        return true;
    int file = open_file(audit->path, error);
    if (file < 0)
        return false;
    close(audit->file);
    audit->file = file;
    audit->torn = ends_within_line(file);
    return true;
}

static void failed(Audit *audit, int problem)
{
    if (audit->lost++ == 0)
        g_warning("cannot write the audit trail to %s: %s; events are lost until this is corrected",
                  audit->path ? audit->path : "the journal", g_strerror(problem));
}

static void succeeded(Audit *audit)
{
    if (audit->lost > 0)
        g_message("the audit trail is written again; %" G_GUINT64_FORMAT " events were lost",
                  audit->lost);
    audit->lost = 0;
}

void audit_write(Audit *audit, const AuditEvent *event)
{
    if (!audit)
        return;
    g_autoptr(JsonObject) json = audit_event_to_json(event, audit->lost);
    g_autofree char *line = audit_json_to_line(json);
    int problem = audit->path ? append(audit, line) : send_to_journal(event->type, json, line);
    if (problem == 0)
        succeeded(audit);
    else
        failed(audit, problem);
}
