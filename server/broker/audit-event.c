/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "audit-event.h"

#include <stdbool.h>
#include <string.h>

/* Bytes of one text within a line, escapes counted: AuditEvent has 14 of them and a rule. The
 * longest string of a USB descriptor (USB 2.0 9.6.7: 126 UTF-16 units) fits, in any script. */
#define MAX_TEXT_BYTES 384
#define MAX_RULE_BYTES 1024
#define MAX_INTERFACES 32

static const char *const type_names[] = {
    [AUDIT_CONNECTION] = "connection",
    [AUDIT_LOGIN] = "login",
    [AUDIT_LOGIN_REFUSED] = "login-refused",
    [AUDIT_DEVICE_REFUSED] = "device-refused",
    [AUDIT_ATTACH] = "attach",
    [AUDIT_DETACH] = "detach",
    [AUDIT_END] = "end",
    [AUDIT_DROPPED] = "dropped",
    [AUDIT_RELOAD] = "reload",
};

static const char *const method_names[] = {
    [AUDIT_METHOD_NTLM] = "ntlm",
    [AUDIT_METHOD_USERS_FILE] = "users-file",
    [AUDIT_METHOD_PAM] = "pam",
};

static const char *const code_names[] = {
    [AUDIT_WRONG_CREDENTIALS] = "wrong-credentials",
    [AUDIT_LOCKED_OUT] = "locked-out",
    [AUDIT_NOT_ALLOWED_ON_VM] = "not-allowed-on-vm",
    [AUDIT_NO_VM] = "no-vm",
    [AUDIT_TIMEOUT] = "timeout",
    [AUDIT_CHECK_FAILED] = "check-failed",
    [AUDIT_UNFINISHED] = "unfinished",
    [AUDIT_RULE] = "rule",
    [AUDIT_NO_RULE] = "no-rule",
    [AUDIT_FILTER] = "filter",
    [AUDIT_GUEST] = "guest",
    [AUDIT_LIMIT] = "limit",
    [AUDIT_MAX_CONNECTIONS] = "max-connections",
    [AUDIT_MAX_UNAUTHENTICATED] = "max-unauthenticated",
    [AUDIT_NO_SESSION] = "no-session",
    [AUDIT_DONE] = "done",
    [AUDIT_REFUSED] = "refused",
};

const char *audit_event_type_to_string(AuditEventType type)
{
    return type_names[type];
}

const char *audit_method_to_string(AuditMethod method)
{
    return method_names[method];
}

const char *audit_code_to_string(AuditCode code)
{
    return code_names[code];
}

/* ---- Texts ---- */

/* What a terminal shows as it is: neither controls nor what turns the direction of writing or
 * separates lines. */
static bool is_visible(gunichar character)
{
    switch (g_unichar_type(character)) {
    case G_UNICODE_CONTROL:
    case G_UNICODE_FORMAT:
    case G_UNICODE_UNASSIGNED:
    case G_UNICODE_SURROGATE:
    case G_UNICODE_PRIVATE_USE:
    case G_UNICODE_LINE_SEPARATOR:
    case G_UNICODE_PARAGRAPH_SEPARATOR: return false;
    default: return true;
    }
}

/* The most bytes that a character takes within a line (RFC 8259 7). */
static gsize escaped_bytes(gunichar character)
{
    if (character == '"' || character == '\\')
        return 2;
    if (is_visible(character))
        return g_unichar_to_utf8(character, NULL);
    return character <= 0xffff ? 6 : 12;
}

static void append_escape(GString *line, gunichar character)
{
    if (character > 0xffff) {
        append_escape(line, 0xd800 + ((character - 0x10000) >> 10));
        character = 0xdc00 + ((character - 0x10000) & 0x3ff);
    }
    g_string_append_printf(line, "\\u%04x", character);
}

/* Valid UTF-8 that ends with an ellipsis, and sets `*cut`, if it was too long. Caller frees. */
static char *bounded(const char *text, gsize max_bytes, bool *cut)
{
    /* No character takes less within a line than it has bytes: one that this divides is above the
     * limit. */
    g_autofree char *valid = g_utf8_make_valid(text, strnlen(text, max_bytes + 4));
    gsize bytes = 0;
    const char *end = valid;
    while (*end && (bytes += escaped_bytes(g_utf8_get_char(end))) <= max_bytes)
        end = g_utf8_next_char(end);
    if (!*end)
        return g_steal_pointer(&valid);
    *cut = true;
    return g_strdup_printf("%.*s…", (int) (end - valid), valid);
}

/* ---- The object ---- */

typedef struct {
    JsonObject *json;
    bool *cut;
} Members;

static void add_bounded(Members members, const char *name, const char *text, gsize max_bytes)
{
    if (!text)
        return;
    g_autofree char *value = bounded(text, max_bytes, members.cut);
    json_object_set_string_member(members.json, name, value);
}

static void add_text(Members members, const char *name, const char *text)
{
    add_bounded(members, name, text, MAX_TEXT_BYTES);
}

/* Numbers of the wire are below 2^63. */
static void add_number(Members members, const char *name, guint64 number)
{
    json_object_set_int_member(members.json, name, MIN(number, G_MAXINT64));
}

static void add_hex(Members members, const char *name, guint16 number)
{
    char text[5];
    g_snprintf(text, sizeof text, "%04x", number);
    json_object_set_string_member(members.json, name, text);
}

static void add_present_text(Members members, const char *name, const char *text)
{
    if (text && *text)
        add_text(members, name, text);
}

static JsonArray *interfaces_to_json(const PolicyDevice *device, bool *cut)
{
    JsonArray *json = json_array_new();
    for (gsize i = 0; i < MIN(device->n_interfaces, MAX_INTERFACES); i++) {
        const PolicyInterface *interface = &device->interfaces[i];
        g_autofree char *text = g_strdup_printf("%02x:%02x:%02x", interface->class_,
                                                interface->subclass, interface->protocol);
        json_array_add_string_element(json, text);
    }
    *cut |= device->n_interfaces > MAX_INTERFACES;
    return json;
}

static void add_device(Members members, const PolicyDevice *device)
{
    Members inner = {json_object_new(), members.cut};
    add_hex(inner, "vendor", device->vendor);
    add_hex(inner, "product", device->product);
    add_hex(inner, "version", device->version);
    add_present_text(inner, "serial", device->serial);
    add_present_text(inner, "manufacturer", device->manufacturer);
    add_present_text(inner, "name", device->name);
    json_object_set_array_member(inner.json, "interfaces", interfaces_to_json(device, members.cut));
    json_object_set_object_member(members.json, "device", inner.json);
}

static void add_rule(Members members, const PolicyDecision *rule)
{
    Members inner = {json_object_new(), members.cut};
    add_text(inner, "file", rule->file);
    add_number(inner, "line", rule->line);
    add_bounded(inner, "text", rule->text, MAX_RULE_BYTES);
    json_object_set_object_member(members.json, "rule", inner.json);
}

static void add_time(Members members)
{
    g_autoptr(GDateTime) now = g_date_time_new_now_utc();
    g_autofree char *text = g_date_time_format(now, "%Y-%m-%dT%H:%M:%S.%fZ");
    json_object_set_string_member(members.json, "time", text);
}

static void add_measures(Members members, const AuditEvent *event)
{
    if (event->bytes) {
        add_number(members, "bytes-in", event->bytes->in);
        add_number(members, "bytes-out", event->bytes->out);
    }
    if (event->since > 0)
        json_object_set_double_member(members.json, "duration",
                                      (g_get_monotonic_time() - event->since) / 1e6);
    if (event->count > 0)
        add_number(members, "count", event->count);
}

JsonObject *audit_event_to_json(const AuditEvent *event, guint64 lost)
{
    bool cut = false;
    Members members = {json_object_new(), &cut};
    add_time(members);
    add_text(members, "event", type_names[event->type]);
    add_text(members, "connection", event->connection);
    add_text(members, "client", event->client);
    add_text(members, "server", event->server);
    add_present_text(members, "client-name", event->client_name);
    add_text(members, "user", event->user);
    add_text(members, "method", method_names[event->method]);
    add_text(members, "vm", event->vm);
    add_text(members, "port", event->port);
    if (event->device)
        add_device(members, event->device);
    if (event->rule && event->rule->file)
        add_rule(members, event->rule);
    add_measures(members, event);
    add_text(members, "what", event->what);
    add_text(members, "process", event->process);
    add_text(members, "code", code_names[event->code]);
    add_text(members, "reason", event->reason);
    if (cut)
        json_object_set_boolean_member(members.json, "cut", TRUE);
    if (lost > 0)
        add_number(members, "lost", lost);
    return members.json;
}

/* ---- The line ---- */

static char *generate(JsonObject *json)
{
    g_autoptr(JsonNode) node = json_node_init_object(json_node_alloc(), json);
    g_autoptr(JsonGenerator) generator = json_generator_new();
    json_generator_set_root(generator, node);
    return json_generator_to_data(generator, NULL);
}

/* The generator escapes what JSON asks for. Outside of strings it writes visible characters only,
 * so whatever else is invisible stands in a string, and may be escaped. */
char *audit_json_to_line(JsonObject *json)
{
    g_autofree char *text = generate(json);
    GString *line = g_string_new(NULL);
    for (const char *c = text; *c; c = g_utf8_next_char(c)) {
        gunichar character = g_utf8_get_char(c);
        if (is_visible(character))
            g_string_append_unichar(line, character);
        else
            append_escape(line, character);
    }
    return g_string_free(g_string_append_c(line, '\n'), FALSE);
}
