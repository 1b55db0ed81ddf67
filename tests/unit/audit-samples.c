/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "audit-samples.h"

#include <string.h>

#define CLIENT                                                                                     \
    .connection = AUDIT_SAMPLE_CONNECTION, .client = "192.0.2.7:50312", .server = "[::1]:3389"
#define LOGIN .user = "alice", .vm = "office", .client_name = "ALICE-PC"

static const PolicyInterface interfaces[] = {{0x08, 0x06, 0x50}, {0xff, 0x00, 0x00}};
static const PolicyDevice stick = {
    .vendor = 0x0951,
    .product = 0x1666,
    .version = 0x0110,
    .serial = "60A44C413FAE",
    .manufacturer = "Kingston",
    .name = "DataTraveler 3.0",
    .interfaces = interfaces,
    .n_interfaces = G_N_ELEMENTS(interfaces),
};
static const PolicyDecision block = {POLICY_BLOCK, "/etc/rdpusb/rules.d/50-office.rules", 7,
                                     "block id 0951:1666 with-interface one-of { 08:*:* }"};
static const AuditBytes bytes = {G_GUINT64_CONSTANT(5368709120), 4096};

static const AuditEvent ordinary[] = {
    {.type = AUDIT_CONNECTION, CLIENT},
    {.type = AUDIT_LOGIN, CLIENT, LOGIN, .method = AUDIT_METHOD_NTLM},
    {.type = AUDIT_LOGIN_REFUSED,
     CLIENT,
     LOGIN,
     .method = AUDIT_METHOD_PAM,
     .code = AUDIT_WRONG_CREDENTIALS,
     .reason = "wrong user or password"},
    {.type = AUDIT_DEVICE_REFUSED,
     CLIENT,
     LOGIN,
     .device = &stick,
     .rule = &block,
     .code = AUDIT_RULE,
     .reason = "blocked by /etc/rdpusb/rules.d/50-office.rules:7"},
    {.type = AUDIT_ATTACH,
     CLIENT,
     LOGIN,
     .port = "unix:/run/rdpusb/office.sock",
     .device = &stick,
     .rule = &block},
    {.type = AUDIT_DETACH,
     CLIENT,
     LOGIN,
     .port = "unix:/run/rdpusb/office.sock",
     .device = &stick,
     .bytes = &bytes,
     .since = 1,
     .reason = "unplugged at the client"},
    {.type = AUDIT_END,
     CLIENT,
     LOGIN,
     .since = 1,
     .process = "exited with status 0",
     .reason = "the client left"},
    {.type = AUDIT_DROPPED,
     .client = "192.0.2.7:50312",
     .server = "[::1]:3389",
     .count = 3,
     .code = AUDIT_MAX_UNAUTHENTICATED,
     .reason = "too many clients that have not logged in"},
    {.type = AUDIT_RELOAD,
     .what = "rules",
     .code = AUDIT_REFUSED,
     .reason = "/etc/rdpusb/rules.d/50-office.rules:7:1: unknown target \"blok\""},
};

const char *const *audit_hostile_texts(void)
{
    static const char *texts[] = {
        "",
        "\n{\"event\":\"login\",\"user\":\"root\"}\n",
        "\",\"user\":\"root\\",
        "\xff\xfe\xc0\x80 and \xed\xa0\x80", /* no UTF-8: a NUL in two bytes, a surrogate */
        "\x01\x1b[2J\x1f\x7f",               /* controls: a terminal would clear itself */
        "\xc2\x9b"
        "2J", /* the same in one character, U+009B */
        "a\xe2\x80\xa8"
        "b\xe2\x80\xa9"
        "c", /* U+2028, U+2029 separate lines */
        "\xe2\x80\xae"
        "exe.tsil",                         /* U+202E writes from right to left */
        "\xf3\xa0\x80\x81\xf4\x8f\xbf\xbf", /* U+E0001, U+10FFFF */
        "\xf0\x9f\x92\xa9 \xe6\xbc\xa2",    /* odd and harmless */
        NULL,
        NULL,
        NULL,
        NULL,
        NULL,
    };
    if (!texts[10]) {
        texts[10] = g_strnfill(64 * 1024, 'x');
        texts[11] = g_strnfill(64 * 1024, '\1');
        texts[12] = g_strnfill(64 * 1024, '\xff');
        texts[13] = g_strnfill(64 * 1024, '"');
    }
    return texts;
}

void audit_fill(AuditEvent *event, PolicyDevice *device, PolicyDecision *rule, const char *text)
{
    device->serial = device->manufacturer = device->name = text;
    rule->file = rule->text = text;
    event->client_name = event->user = event->vm = event->port = text;
    event->process = event->reason = text;
    event->device = device;
    event->rule = rule;
}

/* What a client or its device can choose. */
static AuditEvent hostile(const char *text)
{
    PolicyDevice *device = g_memdup2(&stick, sizeof stick);
    AuditEvent event = ordinary[AUDIT_DETACH];
    device->serial = device->manufacturer = device->name = text;
    event.device = device;
    event.client_name = event.user = event.reason = text;
    return event;
}

static void add_codes(GArray *samples, AuditEventType type, AuditCode first, AuditCode last)
{
    for (AuditCode code = first; code <= last; code++) {
        AuditEvent event = ordinary[type];
        event.code = code;
        g_array_append_val(samples, event);
    }
}

static void add_words(GArray *samples)
{
    for (AuditMethod method = AUDIT_METHOD_NTLM; method <= AUDIT_METHOD_PAM; method++) {
        AuditEvent event = ordinary[AUDIT_LOGIN];
        event.method = method;
        g_array_append_val(samples, event);
    }
    add_codes(samples, AUDIT_LOGIN_REFUSED, AUDIT_WRONG_CREDENTIALS, AUDIT_UNFINISHED);
    add_codes(samples, AUDIT_DEVICE_REFUSED, AUDIT_RULE, AUDIT_LIMIT);
    add_codes(samples, AUDIT_DROPPED, AUDIT_MAX_CONNECTIONS, AUDIT_NO_SESSION);
    add_codes(samples, AUDIT_RELOAD, AUDIT_DONE, AUDIT_REFUSED);
}

const AuditEvent *audit_samples(gsize *n)
{
    static GArray *samples;
    if (!samples) {
        samples = g_array_new(FALSE, FALSE, sizeof(AuditEvent));
        g_array_append_vals(samples, ordinary, G_N_ELEMENTS(ordinary));
        add_words(samples);
        for (const char *const *text = audit_hostile_texts(); *text; text++) {
            AuditEvent event = hostile(*text);
            g_array_append_val(samples, event);
        }
    }
    *n = samples->len;
    return (const AuditEvent *) samples->data;
}
