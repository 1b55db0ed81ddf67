/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* rdpusbctl policy check: which line decides about a device, and why. */
#include "ctl.h"

#include "device-description.h"
#include "policy-filter.h"
#include "policy.h"
#include "text-file.h"

#include <stdio.h>
#include <string.h>

#define USE "use rdpusbctl policy check VVVV:PPPP, or see rdpusbctl policy --help"

enum { STATUS_ALLOWED, STATUS_REFUSED, STATUS_BAD_INPUT };

typedef struct {
    char *user, *vm, *rules_dir, *filter;
    char **groups;
    char **words; /* the command and the device */
    gboolean verbose;
} Question;

static void question_clear(Question *question)
{
    g_free(question->user);
    g_free(question->vm);
    g_free(question->rules_dir);
    g_free(question->filter);
    g_strfreev(question->groups);
    g_strfreev(question->words);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Question, question_clear)

static GOptionContext *options_new(Question *question)
{
    /* As FILENAME, so that texts come as they are, whatever the locale */
    const GOptionEntry entries[] = {
        {"user", 0, 0, G_OPTION_ARG_FILENAME, &question->user, "Who brings the device", "USER"},
        {"group", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &question->groups,
         "A group of that user; may be repeated", "GROUP"},
        {"vm", 0, 0, G_OPTION_ARG_FILENAME, &question->vm, "The VM that it goes to", "VM"},
        {"rules-dir", 0, 0, G_OPTION_ARG_FILENAME, &question->rules_dir,
         "Folder of the rules; default " POLICY_RULES_DIR, "DIR"},
        {"filter", 0, 0, G_OPTION_ARG_FILENAME, &question->filter, "The VM's usbredir filter",
         "FILTER"},
        {"verbose", 'v', 0, G_OPTION_ARG_NONE, &question->verbose,
         "Say of each rule before it why it does not match", NULL},
        {G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &question->words, NULL, NULL},
        {0}};
    GOptionContext *context = g_option_context_new("check DEVICE-DESCRIPTION");
    g_option_context_set_summary(
        context, "Says which line of the device rules decides about a device, and why.");
    g_option_context_set_description(
        context,
        "DEVICE-DESCRIPTION is one argument, as usbguard list-devices prints it, or VVVV:PPPP:\n"
        "  'id 0951:1666 serial \"60A4\" name \"DataTraveler\" with-interface 08:06:50'\n\n"
        "Exit status: 0 if it is allowed, 1 if it is refused, 2 if that cannot be said.");
    g_option_context_add_main_entries(context, entries, NULL);
    return context;
}

static bool parse_arguments(int argc, char **argv, Question *question, GError **error)
{
    g_autoptr(GOptionContext) context = options_new(question);
    g_set_prgname("rdpusbctl policy");
    g_autoptr(GError) problem = NULL;
    if (!g_option_context_parse(context, &argc, &argv, &problem)) {
        g_set_error(error, INPUT_ERROR, 0, "%s: see rdpusbctl policy --help", problem->message);
        return false;
    }
    char **words = question->words;
    if (!words)
        g_set_error(error, INPUT_ERROR, 0, "the command is missing: " USE);
    else if (strcmp(words[0], "check") != 0)
        g_set_error(error, INPUT_ERROR, 0, "%s is no command: " USE, words[0]);
    else if (!words[1])
        g_set_error(error, INPUT_ERROR, 0, "the device description is missing: " USE);
    else if (words[2])
        g_set_error(error, INPUT_ERROR, 0,
                    "the device description has to be one argument: put it into single quotes");
    else
        return true;
    return false;
}

static void print_step(const PolicyDecision *rule, PolicyMatch match, const char *why,
                       gpointer data)
{
    const Question *question = data;
    if (match == POLICY_MATCHES)
        printf("  because of %s\n", why);
    else if (match == POLICY_MATCH_UNKNOWN || question->verbose)
        printf("  not %s:%u (%s): %s\n", rule->file, rule->line, rule->text, why);
}

static void print_notes(const Question *question, const Policy *policy, const PolicyDevice *device)
{
    if (!question->groups && policy_asks_for_groups(policy))
        printf("  note: no --group is given, so this is about a user in no group\n");
    if (device->n_interfaces == 0)
        printf("  note: the description says no with-interface, so this is about a device without "
               "interfaces\n");
}

static int answer(const Question *question, const Policy *policy, const PolicyFilter *filter,
                  const PolicyDevice *device)
{
    const PolicySubject subject = {question->user, (const char *const *) question->groups,
                                   question->vm};
    PolicyDecision decision;
    policy_decide(policy, device, &subject, &decision);
    g_autofree char *text = policy_decision_describe(&decision);
    bool filtered =
        decision.target == POLICY_ALLOW && filter && !policy_filter_allows(filter, device);
    if (filtered)
        printf("blocked by the filter %s\n  although %s\n", question->filter, text);
    else
        printf("%s\n", text);
    policy_explain(policy, device, &subject, print_step, (gpointer) question);
    print_notes(question, policy, device);
    return decision.target == POLICY_ALLOW && !filtered ? STATUS_ALLOWED : STATUS_REFUSED;
}

static int check(const Question *question, GError **error)
{
    const char *folder = question->rules_dir ? question->rules_dir : POLICY_RULES_DIR;
    g_autoptr(PolicyFilter) filter = NULL;
    g_autoptr(DeviceDescription) description = device_description_parse(question->words[1], error);
    if (!description)
        return STATUS_BAD_INPUT;
    if (question->filter && !(filter = policy_filter_parse(question->filter, error)))
        return STATUS_BAD_INPUT;
    g_autoptr(Policy) policy = policy_load(folder, error);
    if (!policy)
        return STATUS_BAD_INPUT;
    return answer(question, policy, filter, device_description_device(description));
}

int ctl_policy(int argc, char **argv)
{
    g_auto(Question) question = {0};
    g_autoptr(GError) error = NULL;
    int status = parse_arguments(argc, argv, &question, &error) ? check(&question, &error)
                                                                : STATUS_BAD_INPUT;
    if (error)
        fprintf(stderr, "rdpusbctl: %s\n", error->message);
    return status;
}
