/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Device rules: what matches, what is refused with which text, and the order of rules and files. */
#include "device-description.h"
#include "policy-filter.h"
#include "policy.h"
#include "text-file.h"

#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

static Policy *policy_of(const char *text)
{
    g_autoptr(GError) error = NULL;
    Policy *policy = policy_parse("f", text, &error);
    g_assert_no_error(error);
    return policy;
}

static void decide(const Policy *policy, const char *device, const PolicySubject *subject,
                   PolicyDecision *decision)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(DeviceDescription) description = device_description_parse(device, &error);
    g_assert_no_error(error);
    policy_decide(policy, device_description_device(description), subject, decision);
}

typedef struct {
    const char *attributes, *device;
    bool matches;
} Match;

#define KEYBOARD "id 046d:c31c with-interface { 03:01:01 03:00:00 }"
#define MOUSE    "id 046d:c077 with-interface 03:01:02"
#define DISK     "id 0951:1666 serial \"60A4\" name \"DataTraveler\" with-interface 08:06:50"
#define UAS      "id 0951:1666 with-interface { 08:06:50 08:06:62 }"
#define CAMERA   "id 0bda:5846 with-interface { 0e:01:00 0e:02:00 0e:02:00 01:01:00 }"

static const Match match_table[] = {
    {"", DISK, true},
    {"id 0951:1666", DISK, true},
    {"0951:1666", DISK, true},
    {"0951:1666 serial \"60A4\"", DISK, true},
    {"0951:1666 serial \"60a4\"", DISK, false},
    {"id 0951:1667", DISK, false},
    {"id 0952:1666", DISK, false},
    {"id 0951:*", DISK, true},
    {"id 0952:*", DISK, false},
    {"id *:*", DISK, true},
    {"id { 0951:1666 }", DISK, true},
    {"id equals { 0951:1666 0951:1666 }", DISK, true},
    {"id one-of { 046D:C077 046d:c31c }", KEYBOARD, true},
    {"id one-of { 046D:C077 046d:c31c }", DISK, false},
    {"id none-of { 046D:C077 046d:c31c }", DISK, true},
    {"id none-of { 046D:C077 0951:* }", DISK, false},
    {"id all-of { 0951:1666 0951:* }", DISK, true},
    {"id all-of { 0951:1667 0951:* }", DISK, false},
    {"id match-all { 0951:1667 0951:* }", DISK, true},
    {"id match-all { 0951:1667 0952:* }", DISK, false},

    {"name \"DataTraveler\"", DISK, true},
    {"name \"datatraveler\"", DISK, false},
    {"name \"Data\"", DISK, false},
    {"name one-of { \"x\" \"DataTraveler\" }", DISK, true},
    {"name none-of { \"x\" \"DataTraveler\" }", DISK, false},
    {"name match-all { \"x\" \"DataTraveler\" }", DISK, true},
    {"name \"\\x44ata\\x54raveler\"", DISK, true},
    {"name \"a\\\"b\\\\c\\x09d\"", "1234:5678 name \"a\\x22b\\x5cc\\x09d\"", true},
    {"serial \"60A4\" name \"DataTraveler\"", DISK, true},
    {"serial \"60A4\" name \"DataTravele\"", DISK, false},
    {"serial \"\"", MOUSE, true},
    {"serial \"\"", DISK, false},
    {"serial none-of { \"\" }", DISK, true},

    {"with-interface 03:01:02", MOUSE, true},
    {"with-interface 03:01:01", KEYBOARD, false}, /* as USBGuard: nothing but it */
    {"with-interface { 03:01:01 03:00:00 }", KEYBOARD, true},
    {"with-interface equals { 03:00:00 03:01:01 }", KEYBOARD, true},
    {"with-interface equals { 03:00:00 03:01:01 03:00:00 }", KEYBOARD, true},
    {"with-interface equals { 03:00:00 03:01:01 03:01:02 }", KEYBOARD, false},
    {"with-interface equals { 03:*:* 03:01:* }", KEYBOARD, true},
    {"with-interface equals { 03:*:* }", KEYBOARD, false},
    {"with-interface equals { 03:*:* 0e:*:* }", KEYBOARD, false},
    {"with-interface equals { 03:01:01 03:01:* }", KEYBOARD, false},
    {"with-interface equals { 08:*:* 08:06:50 }", "0951:1666 with-interface { 08:06:50 03:01:01 }",
     false},
    {"with-interface equals { 0e:01:00 0e:02:00 01:01:00 }", CAMERA, true},
    {"with-interface equals-ordered { 03:01:01 03:00:00 }", KEYBOARD, true},
    {"with-interface equals-ordered { 03:00:00 03:01:01 }", KEYBOARD, false},
    {"with-interface equals-ordered { 03:*:* 03:00:* }", KEYBOARD, true},
    {"with-interface equals-ordered { 03:01:01 }", KEYBOARD, false},
    {"with-interface equals-ordered { 03:01:01 03:00:00 08:*:* }", KEYBOARD, false},
    {"with-interface equals-ordered { 0e:01:00 0e:02:00 0e:02:00 01:01:00 }", CAMERA, true},
    {"with-interface all-of { 03:01:01 }", KEYBOARD, true},
    {"with-interface all-of { 03:01:01 03:*:* }", KEYBOARD, true},
    {"with-interface all-of { 03:01:01 08:*:* }", KEYBOARD, false},
    {"with-interface one-of { 03:01:01 08:*:* }", KEYBOARD, true},
    {"with-interface one-of { 03:01:02 08:*:* }", KEYBOARD, false},
    {"with-interface none-of { 03:01:02 08:*:* }", KEYBOARD, true},
    {"with-interface none-of { 03:01:01 08:*:* }", KEYBOARD, false},
    {"with-interface none-of { 03:01:* }", MOUSE, false},
    {"with-interface match-all { 08:*:* }", DISK, true},
    {"with-interface match-all { 08:*:* }", UAS, true},
    {"with-interface 08:*:*", UAS, false},
    {"with-interface match-all { 08:*:* }", "0951:1666 with-interface { 08:06:50 03:01:01 }",
     false},
    {"with-interface one-of { 03:00:00 }", "0951:1666", false},
    {"with-interface none-of { 03:00:00 }", "0951:1666", true},

    {"user alice", DISK, true},
    {"user \"alice\"", DISK, true},
    {"user Alice", DISK, true},
    {"user alic\xc3\xa9", DISK, false},
    {"user none-of { ALICE }", DISK, false},
    {"user one-of { bob alice }", DISK, true},
    {"user one-of { bob carol }", DISK, false},
    {"user none-of { bob carol }", DISK, true},
    {"user none-of { bob alice }", DISK, false},
    {"group staff", DISK, true},
    {"group \"USB users\"", DISK, true},
    {"group wheel", DISK, false},
    {"group Staff", DISK, false},
    {"group one-of { wheel staff }", DISK, true},
    {"group all-of { wheel staff }", DISK, false},
    {"group all-of { staff \"USB users\" }", DISK, true},
    {"group equals { staff }", DISK, false},
    {"group equals { \"USB users\" staff }", DISK, true},
    {"group equals-ordered { \"USB users\" staff }", DISK, false},
    {"group match-all { \"USB users\" staff wheel }", DISK, true},
    {"group none-of { wheel }", DISK, true},
    {"group none-of { wheel staff }", DISK, false},
    {"vm vm1", DISK, true},
    {"vm VM1", DISK, true},
    {"vm vm2", DISK, false},
    {"vm one-of { vm1 \"vm 2\" }", DISK, true},
    {"user alice vm vm1 group staff with-interface 08:06:50 0951:1666", NULL, false},
    {"user alice vm vm1 group staff with-interface 08:06:50 id 0951:1666 # why", DISK, true},
    {"user alice vm vm2 group staff with-interface 08:06:50 id 0951:1666", DISK, false},
};

static const char *const groups[] = {"staff", "USB users", NULL};
static const PolicySubject alice = {"alice", groups, "vm1"};
static const PolicySubject nobody = {NULL, NULL, NULL};

static void test_matches(void)
{
    for (guint i = 0; i < G_N_ELEMENTS(match_table); i++) {
        const Match *match = &match_table[i];
        g_autofree char *text = g_strdup_printf("allow %s", match->attributes);
        if (!match->device) {
            g_assert_null(policy_parse("f", text, NULL));
            continue;
        }
        g_autoptr(Policy) policy = policy_of(text);
        PolicyDecision decision;
        decide(policy, match->device, &alice, &decision);
        if ((decision.target == POLICY_ALLOW) != match->matches)
            g_error("'%s' %s %s", text, match->matches ? "does not match" : "matches",
                    match->device);
        g_assert_cmpuint(decision.line, ==, match->matches ? 1 : 0);
    }
}

static void test_unknown_subject(void)
{
    static const char *const rules[] = {"user alice", "user none-of { bob }", "vm vm1",
                                        "vm none-of { vm2 }", "group staff"};
    for (guint i = 0; i < G_N_ELEMENTS(rules); i++) {
        g_autofree char *text = g_strdup_printf("allow %s", rules[i]);
        g_autoptr(Policy) policy = policy_of(text);
        PolicyDecision decision;
        decide(policy, DISK, &nobody, &decision);
        g_assert_cmpint(decision.target, ==, POLICY_BLOCK);
    }
}

static void check_decision(const Policy *policy, const char *device, const char *expected)
{
    PolicyDecision decision;
    decide(policy, device, &alice, &decision);
    g_autofree char *text = policy_decision_describe(&decision);
    g_assert_cmpstr(text, ==, expected);
}

static void test_first_match_wins(void)
{
    g_autoptr(Policy) policy = policy_of("# all of them\r\n"
                                         "\r\n"
                                         "\tallow with-interface one-of {03:01:02} # mice\r\n"
                                         "block with-interface one-of { 03:*:* }\n"
                                         "   reject id 0951:*   \n"
                                         "allow id 0951:1666\n"
                                         "allow id 0bda:*#webcams");
    g_assert_cmpuint(policy_n_rules(policy), ==, 5);
    check_decision(policy, MOUSE, "allowed by f:3 (allow with-interface one-of {03:01:02})");
    check_decision(policy, KEYBOARD, "blocked by f:4 (block with-interface one-of { 03:*:* })");
    check_decision(policy, DISK, "rejected by f:5 (reject id 0951:*)");
    check_decision(policy, CAMERA, "allowed by f:7 (allow id 0bda:*)");
    check_decision(policy, "1234:5678", "blocked: no rule matches it");
}

static void test_long_rule_is_cut(void)
{
    g_autofree char *name = g_strnfill(400, 'x');
    g_autofree char *rule = g_strdup_printf("block name none-of { \"%s\" }", name);
    g_autofree char *expected = g_strdup_printf("blocked by f:1 (%.200s…)", rule);
    g_autoptr(Policy) policy = policy_of(rule);
    check_decision(policy, DISK, expected);
}

typedef struct {
    const char *text, *error;
} Mistake;

static const Mistake mistakes[] = {
    {"allow\rblock", "f:1:6: a control character (\\x0d): remove it"},
    {"allow \r\nblock\r", "f:2:6: a control character (\\x0d): remove it"},
    {"alow id 1050:0011",
     "f:1:1: \"alow\" is no target: a rule begins with allow, block or reject"},
    {"id 1050:0011", "f:1:1: \"id\" is no target: a rule begins with allow, block or reject"},
    {"\"allow\"", "f:1:1: \"allow\" is no target: a rule begins with allow, block or reject"},
    {"match", "f:1:1: \"match\" is no target: a rule begins with allow, block or reject"},
    {"allow foo",
     "f:1:7: \"foo\" is no attribute: use id, name, serial, with-interface, user, group or vm"},
    {"allow \xc3\xbcnter name", "f:1:7: \"\xc3\xbcnter\" is no attribute: use id, name, serial, "
                                "with-interface, user, group or vm"},
    {"allow  name DataTraveler",
     "f:1:13: \"DataTraveler\" stands where a text in quotes is expected: write name \"...\""},
    {"allow name",
     "f:1:11: the end of the line stands where a text in quotes is expected: write name \"...\""},
    {"allow name # \"x\"",
     "f:1:12: the end of the line stands where a text in quotes is expected: write name \"...\""},
    {"allow name \"x", "f:1:12: the closing quote of this text is missing: a text ends on its "
                       "line, and a quote inside of it is written \\\""},
    {"allow name \"x\\q\"", "f:1:14: this is no escape: write \\\\ for a backslash, \\\" for a "
                            "quote, or \\xHH for a byte in hexadecimal digits"},
    {"allow name \"x\\x1\"", "f:1:14: this is no escape: write \\\\ for a backslash, \\\" for a "
                             "quote, or \\xHH for a byte in hexadecimal digits"},
    {"allow name \"\\",
     "f:1:13: this is no escape: write \\\\ for a backslash, \\\" for a quote, or \\xHH for a byte "
     "in hexadecimal digits"},
    {"allow name \"x\\n\"", "f:1:14: this is no escape: write \\\\ for a backslash, \\\" for a "
                            "quote, or \\xHH for a byte in hexadecimal digits"},
    {"allow name \"a\\x00b\"",
     "f:1:14: a NUL is in no text that a device or a user has: leave it out"},
    {"allow name \"x\\xff\"", "f:1:12: with its escapes this text is not UTF-8: correct the \\xHH"},
    {"allow name \"x\"serial \"y\"", "f:1:15: a blank is missing behind the closing quote"},
    {"allow name\"x\"", "f:1:11: a blank is missing before the quote"},
    {"allow name \"a\" \"b\"",
     "f:1:16: \"b\" is one value too many: write several as a set, as id one-of { ... }"},
    {"allow name { \"a\" \"b\" }",
     "f:1:12: a device has one name, and never 2: write name one-of { ... }"},
    {"allow name { }",
     "f:1:12: this set is empty: write its values, or leave name out to match all"},
    {"allow name one-of \"a\"", "f:1:19: one-of needs a set in braces: write one-of { ... }"},
    {"allow name one-of", "f:1:18: one-of needs a set in braces: write one-of { ... }"},
    {"allow name one-of { \"a\"",
     "f:1:19: the closing } of this set is missing: a rule ends on its line"},
    {"allow name one-of { \"a\" } }", "f:1:27: this } closes no set: remove it"},
    {"allow one-of { 03:01:01 }", "f:1:7: \"one-of\" stands behind the name of an attribute: write "
                                  "with-interface one-of { ... }"},
    {"allow id 1050:11", "f:1:10: \"1050:11\" is no device id: write vendor and product as four "
                         "hexadecimal digits each, as 1050:0011, 1050:* or *:*"},
    {"allow id \"1050:0011\"", "f:1:10: the device id \"1050:0011\" stands in quotes: remove them"},
    {"allow id *:0011", "f:1:10: \"*:0011\" is no device id: write vendor and product as four "
                        "hexadecimal digits each, as 1050:0011, 1050:* or *:*"},
    {"allow id 1050:00*1", "f:1:10: \"1050:00*1\" is no device id: write vendor and product as "
                           "four hexadecimal digits each, as 1050:0011, 1050:* or *:*"},
    {"allow id 1050", "f:1:10: \"1050\" is no device id: write vendor and product as four "
                      "hexadecimal digits each, as 1050:0011, 1050:* or *:*"},
    {"allow id 1050:0011 1050:0012",
     "f:1:20: \"1050:0012\" is one value too many: write several as a set, as id one-of { ... }"},
    {"allow 1050:0011 id 1050:0012",
     "f:1:17: id stands in this rule a second time: use one set, id one-of { ... }"},
    {"allow 03:01:01",
     "f:1:7: 03:01:01 is an interface, and no device id: write with-interface 03:01:01"},
    {"allow id { 1050:0011 1050:0012 }",
     "f:1:10: a device has one id, and never 2: write id one-of { ... }"},
    {"allow with-interface 3:1:1",
     "f:1:22: \"3:1:1\" is no interface: write class, subclass and protocol as two hexadecimal "
     "digits each, as 03:01:02, 03:01:* or 03:*:*"},
    {"allow with-interface *:*:*",
     "f:1:22: \"*:*:*\" is no interface: write class, subclass and protocol as two hexadecimal "
     "digits each, as 03:01:02, 03:01:* or 03:*:*"},
    {"allow with-interface 03:*:01",
     "f:1:22: \"03:*:01\" is no interface: write class, subclass and protocol as two hexadecimal "
     "digits each, as 03:01:02, 03:01:* or 03:*:*"},
    {"allow with-interface 03:01:011",
     "f:1:22: \"03:01:011\" is no interface: write class, subclass and protocol as two hexadecimal "
     "digits each, as 03:01:02, 03:01:* or 03:*:*"},
    {"allow with-interface one-of 03:01:01",
     "f:1:29: one-of needs a set in braces: write one-of { ... }"},
    {"allow with-interface one-of { 03:01:01, 03:01:02 }",
     "f:1:39: there are blanks between the values of a set: remove the comma, or quote it as a "
     "part of a name"},
    {"allow hash \"x\"", "f:1:7: USBGuard's \"hash\" means nothing here (it is computed from what "
                         "USBGuard reads itself): use id and serial"},
    {"allow parent-hash \"x\"", "f:1:7: USBGuard's \"parent-hash\" means nothing here (the hub "
                                "above a device is not known): leave it out"},
    {"allow via-port \"1-2\"", "f:1:7: USBGuard's \"via-port\" means nothing here (the ports of a "
                               "client's machine are not known): use user or vm"},
    {"allow with-connect-type \"hotplug\"",
     "f:1:7: USBGuard's \"with-connect-type\" means nothing here (the ports of a client's machine "
     "are not known): leave it out"},
    {"allow if true",
     "f:1:7: USBGuard's \"if\" means nothing here (rules have no conditions): leave it out"},
    {"allow label \"x\"",
     "f:1:7: USBGuard's \"label\" means nothing here (rules have no labels): write a # comment"},
    {"allow id 1050:* with-interface 08:*:* with-interface 03:00:00",
     "f:1:39: with-interface stands in this rule a second time: use one set, with-interface one-of "
     "{ ... }"},
    {"allow user", "f:1:11: the end of the line stands where a name is expected: write user NAME, "
                   "or user one-of { NAME NAME }"},
    {"allow user vm vm1", "f:1:12: the name of a user is missing before \"vm\": write it, and in "
                          "quotes if \"vm\" is that name"},
    {"allow user *",
     "f:1:12: names have no wildcards: write each name, or leave user out to match all"},
    {"allow user DOMAIN\\alice", "f:1:12: a name with a backslash must be quoted, and the "
                                 "backslash doubled: \"DOMAIN\\\\name\""},
    {"allow user \"\"", "f:1:12: nothing is named \"\": write the name of a user"},
    {"allow user { alice bob }",
     "f:1:12: a device is brought by one user, and never 2: write user one-of { ... }"},
    {"allow group { a b }", "f:1:13: which of these groups: write one-of { ... } for any, or "
                            "all-of { ... } for each of them"},
    {"allow vm all-of { a b }",
     "f:1:10: a device goes to one VM, and never 2: write vm one-of { ... }"},
    {"allow user alice bob",
     "f:1:18: \"bob\" is no attribute: use id, name, serial, with-interface, user, group or vm"},
    {"allow }", "f:1:7: this } closes no set: remove it"},
    {"allow { 03:00:00 }",
     "f:1:7: a set stands behind the name of an attribute: write with-interface one-of { ... }"},
    {"allow key \"x\"",
     "f:1:7: USBGuard's \"key\" means nothing here (rules have no keys): leave it out"},
    {"block\n\nallow näme \"x\"",
     "f:3:7: \"näme\" is no attribute: use id, name, serial, with-interface, user, group or vm"},
    {"allow \001", "f:1:7: a control character (\\x01): remove it"},
    {"allow name \"a\001b\"", "f:1:14: a control character: write it as \\x01"},
    {"\357\273\277allow",
     "f:1:1: \"\\u{feff}allow\" is no target: a rule begins with allow, block or reject"},
    {"allow id", "f:1:9: the end of the line stands where a device id is expected, as 1050:0011"},
    {"allow with-interface {",
     "f:1:22: the closing } of this set is missing: a rule ends on its line"},
    {"allow with-interface }", "f:1:22: \"}\" stands where an interface is expected, as 03:01:02"},
    {"allow user one-of { alice, bob }", "f:1:26: there are blanks between the values of a set: "
                                         "remove the comma, or quote it as a part of a name"},
    {"allow name one-of { \"a\", \"b\" }", "f:1:24: a blank is missing behind the closing quote"},
};

static void check_mistake(const Mistake *mistake)
{
    g_autoptr(GError) error = NULL;
    g_assert_null(policy_parse("f", mistake->text, &error));
    g_assert_error(error, INPUT_ERROR, 0);
    g_assert_cmpstr(error->message, ==, mistake->error);
}

static void test_mistakes(void)
{
    for (guint i = 0; i < G_N_ELEMENTS(mistakes); i++)
        check_mistake(&mistakes[i]);
}

/* A rule of `n` values */
static char *rule_of(unsigned n)
{
    GString *text = g_string_new("allow id one-of {");
    for (unsigned i = 0; i < n; i++)
        g_string_append_printf(text, " 1050:%04x", i);
    return g_string_free(g_string_append(text, " }"), FALSE);
}

static void check_limit(char *possible, char *too_much, const char *error)
{
    g_autofree char *file = possible;
    g_autofree char *refused = too_much;
    g_autoptr(Policy) policy = policy_of(file);
    g_assert_cmpuint(policy_n_rules(policy), >, 0);
    check_mistake(&(Mistake){refused, error});
}

/* `count` times `text` */
static char *repeat(const char *text, unsigned count)
{
    GString *all = g_string_new(NULL);
    for (unsigned i = 0; i < count; i++)
        g_string_append(all, text);
    return g_string_free(all, FALSE);
}

static void test_limits(void)
{
    g_autofree char *text = g_strnfill(POLICY_MAX_TEXT_BYTES, 'x');
    check_limit(rule_of(256), rule_of(257),
                "f:1:2579: this set has more than 256 values: use several rules");
    check_limit(repeat("block\n", 4096), repeat("block\n", 4097),
                "f:4097: there are more than 4096 rules: use sets, as id one-of { ... }");
    check_limit(g_strdup_printf("block name \"%s\"", text),
                g_strdup_printf("block name \"%sx\"", text),
                "f:1:12: this text has 513 bytes, and 512 are possible: shorten it");
    check_limit(g_strdup_printf("block user %s", text), g_strdup_printf("block user %sx", text),
                "f:1:12: this word has 513 bytes, and 512 are possible: shorten it");
    g_autofree char *line = g_strnfill(POLICY_MAX_LINE_BYTES - strlen("block #"), 'x');
    check_limit(g_strdup_printf("block #%s", line), g_strdup_printf("block #%sx", line),
                "f:1: this line has 8193 bytes, and 8192 are possible: use several rules");
}

static const Mistake wrong_descriptions[] = {
    {"0951:*", "1: a device has no wildcards: write the whole id"},
    {"", "1: it has no id: write it as usbguard list-devices prints it, id 0951:1666 serial "
         "\"60A4\" name \"DataTraveler\" with-interface 08:06:50"},
    {"foo", "1: \"foo\" is no attribute: use id, name, serial, with-interface, user, group or vm"},
    {"id 0951:1666 user alice", "14: user is nothing of a device: use --user"},
    {"id 0951:1666 id 0951:1666", "14: id stands here a second time: remove one"},
    {"id one-of { 0951:1666 }", "1: a device has its id, and no choice: write the value alone"},
    {"with-interface 08:*:* id 0951:1666",
     "1: a device has no wildcards: write the whole with-interface"},
    {"name \"x\"", "1: it has no id: write it as usbguard list-devices prints it, id 0951:1666 "
                   "serial \"60A4\" name \"DataTraveler\" with-interface 08:06:50"},
    {"id 0951:1666 hash", "18: the value of \"hash\" is missing"},
};

static void test_descriptions(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(DeviceDescription) description = device_description_parse(
        "6: allow id 1d6b:0002 serial \"0000:00:14.0\" name \"xHCI \\x48ost\" hash \"jEP/6=\" "
        "parent-hash \"rV9=\" via-port \"usb1\" with-interface { 09:00:00 0e:01:02 09:00:00 } "
        "with-connect-type \"\" label \"a\"",
        &error);
    g_assert_no_error(error);
    const PolicyDevice *device = device_description_device(description);
    g_assert_cmphex(device->vendor, ==, 0x1d6b);
    g_assert_cmphex(device->product, ==, 0x0002);
    g_assert_cmpstr(device->serial, ==, "0000:00:14.0");
    g_assert_cmpstr(device->name, ==, "xHCI Host");
    g_assert_cmpuint(device->n_interfaces, ==, 2);
    g_assert_cmphex(device->interfaces[1].class_, ==, 0x0e);
    g_assert_cmphex(device->interfaces[1].subclass, ==, 0x01);
    g_assert_cmphex(device->interfaces[1].protocol, ==, 0x02);
    for (guint i = 0; i < G_N_ELEMENTS(wrong_descriptions); i++) {
        g_autoptr(GError) wrong = NULL;
        g_autofree char *expected =
            g_strdup_printf("device description:1:%s", wrong_descriptions[i].error);
        g_assert_null(device_description_parse(wrong_descriptions[i].text, &wrong));
        g_assert_error(wrong, INPUT_ERROR, 0);
        g_assert_cmpstr(wrong->message, ==, expected);
    }
}

static const Mistake wrong_filters[] = {
    {"", "the filter has no rules: write CLASS,VENDOR,PRODUCT,VERSION,ALLOW, with | between rules, "
         "or leave it out"},
    {"|", "the filter has no rules: write CLASS,VENDOR,PRODUCT,VERSION,ALLOW, with | between "
          "rules, or leave it out"},
    {"0x08,-1,-1,-1",
     "rule 1 of the filter, \"0x08,-1,-1,-1\", is not CLASS,VENDOR,PRODUCT,VERSION,ALLOW: write "
     "numbers, -1 for any, and 1 or 0 at its end, as 0x08,-1,-1,-1,1"},
    {"0x08,-1,-1,-1,1|0x108,-1,-1,-1,1",
     "rule 2 of the filter, \"0x108,-1,-1,-1,1\", is not CLASS,VENDOR,PRODUCT,VERSION,ALLOW: write "
     "numbers, -1 for any, and 1 or 0 at its end, as 0x08,-1,-1,-1,1"},
    {"allow", "rule 1 of the filter, \"allow\", is not CLASS,VENDOR,PRODUCT,VERSION,ALLOW: write "
              "numbers, -1 for any, and 1 or 0 at its end, as 0x08,-1,-1,-1,1"},
};

static bool filter_allows(const char *filter, const char *device)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(PolicyFilter) parsed = policy_filter_parse(filter, &error);
    g_assert_no_error(error);
    g_autoptr(DeviceDescription) description = device_description_parse(device, &error);
    g_assert_no_error(error);
    return policy_filter_allows(parsed, device_description_device(description));
}

static void test_filter(void)
{
    const char *storage = "0x08,-1,-1,-1,1|-1,-1,-1,-1,0";
    g_assert_true(filter_allows(storage, DISK));
    g_assert_true(filter_allows(storage, UAS));
    g_assert_false(filter_allows(storage, MOUSE));
    g_assert_false(filter_allows(storage, "0951:1666 with-interface { 08:06:50 03:01:01 }"));
    g_assert_true(filter_allows("-1,0x0951,0x1666,-1,1", DISK));
    g_assert_false(filter_allows("-1,0x0951,0x1667,-1,1", DISK));
    /* libusbredirparser's exception for the buttons of a headset */
    const char *audio = "0x01,-1,-1,-1,1";
    g_assert_true(filter_allows(audio, "0951:1666 with-interface { 01:01:00 03:00:00 }"));
    g_assert_false(filter_allows(audio, "0951:1666 with-interface { 01:01:00 03:01:01 }"));
    for (guint i = 0; i < G_N_ELEMENTS(wrong_filters); i++) {
        g_autoptr(GError) wrong = NULL;
        g_assert_null(policy_filter_parse(wrong_filters[i].text, &wrong));
        g_assert_error(wrong, INPUT_ERROR, 0);
        g_assert_cmpstr(wrong->message, ==, wrong_filters[i].error);
    }
    g_autofree char *longest = g_strnfill(POLICY_MAX_FILTER_BYTES + 1, '|');
    g_assert_null(policy_filter_parse(longest, NULL));
}

/* A version and a class of the device, which no description says */
static void test_filter_of_device(void)
{
    PolicyDevice device = {.vendor = 1, .product = 2, .version = 0x0110, .class_ = 0xe0};
    g_autoptr(PolicyFilter) version = policy_filter_parse("-1,1,2,0x0110,1", NULL);
    g_autoptr(PolicyFilter) class = policy_filter_parse("0xe0,-1,-1,-1,0|-1,-1,-1,-1,1", NULL);
    g_assert_true(policy_filter_allows(version, &device));
    g_assert_false(policy_filter_allows(class, &device));
    device.version = 0x0111;
    device.class_ = 0xff;
    g_assert_false(policy_filter_allows(version, &device));
    g_assert_true(policy_filter_allows(class, &device));
}

static void write_file(const char *folder, const char *name, const char *text)
{
    g_autofree char *path = g_build_filename(folder, name, NULL);
    g_assert_true(g_file_set_contents_full(path, text, -1, G_FILE_SET_CONTENTS_NONE, 0644, NULL));
}

static void remove_folder(const char *folder)
{
    g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
    for (const char *name; (name = g_dir_read_name(dir));) {
        g_autofree char *path = g_build_filename(folder, name, NULL);
        g_assert_cmpint(g_remove(path), ==, 0);
    }
    g_assert_cmpint(g_rmdir(folder), ==, 0);
}

/* What is wrong with the folder, without its path at the beginning */
static void check_load_fails(const char *folder, const char *expected)
{
    g_autoptr(GError) error = NULL;
    g_assert_null(policy_load(folder, &error));
    g_assert_error(error, INPUT_ERROR, 0);
    g_assert_true(g_str_has_prefix(error->message, folder));
    g_assert_cmpstr(error->message + strlen(folder), ==, expected);
}

static void test_order_of_files(void)
{
    g_autofree char *folder = g_dir_make_tmp("rdpusb-XXXXXX", NULL);
    write_file(folder, "9-last.rules", "allow");
    write_file(folder, "10-first.rules", "block id 046d:c077\n# no more\n");
    write_file(folder, "5-B.rules", "");
    write_file(folder, "5-a.rules", "block id 046d:c31c");
    write_file(folder, "0.rules.bak", "block");
    write_file(folder, ".0.rules", "block");
    write_file(folder, "README", "nothing of a rule");
    g_autoptr(GError) error = NULL;
    g_autoptr(Policy) policy = policy_load(folder, &error);
    g_assert_no_error(error);
    g_autofree char *first =
        g_strdup_printf("blocked by %s/10-first.rules:1 (block id 046d:c077)", folder);
    g_autofree char *middle =
        g_strdup_printf("blocked by %s/5-a.rules:1 (block id 046d:c31c)", folder);
    g_autofree char *last = g_strdup_printf("allowed by %s/9-last.rules:1 (allow)", folder);
    check_decision(policy, MOUSE, first);
    check_decision(policy, KEYBOARD, middle);
    check_decision(policy, DISK, last);
    write_file(folder, "6-wrong.rules", "block\nblok\n");
    check_load_fails(folder, "/6-wrong.rules:2:1: \"blok\" is no target: a rule begins with allow, "
                             "block or reject");
    remove_folder(folder);
}

static void test_folders(void)
{
    g_autofree char *folder = g_dir_make_tmp("rdpusb-XXXXXX", NULL);
    check_load_fails(folder, ": has no file named *.rules, so no device could be used: write one, "
                             "see rdpusb-rules(5)");
    write_file(folder, "a.rules", "allow\n");
    g_assert_cmpint(g_chmod(folder, 0777), ==, 0);
    check_load_fails(folder, ": everybody may write it: chmod 0755");
    g_assert_cmpint(g_chmod(folder, 0755), ==, 0);
    g_autofree char *path = g_build_filename(folder, "a.rules", NULL);
    check_load_fails(path, ": is no folder");
    g_assert_cmpint(g_chmod(path, 0666), ==, 0);
    check_load_fails(folder, "/a.rules: everybody may write it: chmod 0644 or less");
    g_assert_cmpint(g_chmod(path, 0644), ==, 0);
    write_file(folder, "a.rules", "allow\nallow name \"\xff\"\n");
    check_load_fails(folder, "/a.rules:2: is no text in UTF-8");
    for (unsigned i = 0; i < POLICY_MAX_FILES; i++) {
        g_autofree char *name = g_strdup_printf("%u.rules", i);
        write_file(folder, name, "");
    }
    check_load_fails(folder, ": has 257 files named *.rules, and 256 are possible: join some");
    remove_folder(folder);
    check_load_fails(folder, ": the folder with the device rules is missing: make it, and write a "
                             "*.rules file there, see rdpusb-rules(5)");
}

/* The line that decides in the file that comes with us, by how it begins */
static const struct {
    const char *device, *rule;
} shipped[] = {
    {DISK, "allow"},
    {UAS, "allow"},
    {CAMERA, "allow"},
    {"1d6b:0002 with-interface 09:00:00", "block with-interface one-of { 09:*:* }"},
    {"05e3:0610 with-interface { 09:00:01 09:00:02 }", "block with-interface one-of { 09:*:* }"},
    {KEYBOARD, "block with-interface one-of { 03:01:01 03:01:02 }"},
    {MOUSE, "block with-interface one-of { 03:01:01 03:01:02 }"},
    {"0951:1666 with-interface { 08:06:50 03:01:01 }",
     "block with-interface one-of { 03:01:01 03:01:02 }"},
    {"id 1050:0120 name \"Security Key\" with-interface 03:00:00", "allow"},
    {"id 1050:0407 name \"YubiKey\" with-interface { 03:01:01 03:00:00 0b:00:00 }",
     "block with-interface one-of { 03:01:01 03:01:02 }"},
    {"id 047f:c025 name \"headset\" with-interface { 01:01:00 01:02:00 03:00:00 }", "allow"},
};

static void test_shipped_rules(void)
{
    g_autofree char *text = NULL;
    g_autofree char *path = g_test_build_filename(G_TEST_DIST, "..", "..", "server", "policy",
                                                  "50-default.rules", NULL);
    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    g_autoptr(Policy) policy = policy_of(text);
    g_assert_cmpuint(policy_n_rules(policy), ==, 3);
    for (guint i = 0; i < G_N_ELEMENTS(shipped); i++) {
        PolicyDecision decision;
        decide(policy, shipped[i].device, &alice, &decision);
        g_assert_cmpstr(decision.text, ==, shipped[i].rule);
    }
}

static bool is_rule(const char *line)
{
    return g_str_has_prefix(line, "    allow ") || g_str_has_prefix(line, "    block") ||
           g_str_has_prefix(line, "    reject ");
}

/* What the manual shows as rules are rules. */
static void test_manual(void)
{
    g_autofree char *text = NULL;
    g_autofree char *path =
        g_test_build_filename(G_TEST_DIST, "..", "..", "docs", "man", "rdpusb-rules.5.rst", NULL);
    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    unsigned n = 0;
    for (guint i = 0; lines[i]; i++) {
        if (!is_rule(lines[i]) || strstr(lines[i], "blocked by"))
            continue;
        g_autoptr(Policy) policy = policy_of(lines[i]);
        n += policy_n_rules(policy);
    }
    g_assert_cmpuint(n, ==, 14);
}

static void collect(const PolicyDecision *rule, PolicyMatch match, const char *why, gpointer data)
{
    static const char *const names[] = {"yes", "no", "unknown"};
    g_string_append_printf(data, "%u %s %s|", rule->line, names[match], why);
}

static void test_explain(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(DeviceDescription) description = device_description_parse(KEYBOARD, &error);
    g_assert_no_error(error);
    g_autoptr(GString) steps = g_string_new(NULL);
    g_autoptr(Policy) policy = policy_of("allow with-interface 03:01:01\n"
                                         "allow serial none-of { \"\" }\n"
                                         "allow id 046d:* user one-of { bob carol }\n"
                                         "allow group one-of { wheel }\n"
                                         "block with-interface one-of { 03:01:* } vm vm1 # here\n"
                                         "allow\n");
    policy_explain(policy, device_description_device(description), &alice, collect, steps);
    g_assert_cmpstr(steps->str, ==,
                    "1 no with-interface 03:01:01: the device has 03:01:01 03:00:00|"
                    "2 no serial none-of { \"\" }: the device has no serial number|"
                    "3 no user one-of { bob carol }: the user is \"alice\"|"
                    "4 no group one-of { wheel }: the user's groups are \"staff\" \"USB users\"|"
                    "5 yes with-interface one-of { 03:01:* }: the device has 03:01:01 03:00:00; "
                    "vm vm1: the VM is \"vm1\"|");
    g_assert_true(policy_asks_for_groups(policy));
    g_string_truncate(steps, 0);
    g_autoptr(Policy) unknown =
        policy_of("block user alice id 046d:c31c\nblock vm vm1 id 0951:*\nblock group a\n");
    policy_explain(unknown, device_description_device(description), &nobody, collect, steps);
    g_assert_cmpstr(steps->str, ==,
                    "1 unknown user alice: the user is not known|"
                    "2 no id 0951:*: the device's id is 046d:c31c|"
                    "3 no group a: the user is in no group|");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/policy/matches", test_matches);
    g_test_add_func("/policy/unknown-subject", test_unknown_subject);
    g_test_add_func("/policy/first-match-wins", test_first_match_wins);
    g_test_add_func("/policy/long-rule-is-cut", test_long_rule_is_cut);
    g_test_add_func("/policy/mistakes", test_mistakes);
    g_test_add_func("/policy/limits", test_limits);
    g_test_add_func("/policy/descriptions", test_descriptions);
    g_test_add_func("/policy/filter", test_filter);
    g_test_add_func("/policy/filter-of-device", test_filter_of_device);
    g_test_add_func("/policy/order-of-files", test_order_of_files);
    g_test_add_func("/policy/folders", test_folders);
    g_test_add_func("/policy/shipped-rules", test_shipped_rules);
    g_test_add_func("/policy/manual", test_manual);
    g_test_add_func("/policy/explain", test_explain);
    return g_test_run();
}
