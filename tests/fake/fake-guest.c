/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fake-guest: QEMU and a guest for integration tests, without either. See --help. */
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "guest-requests.h"
#include "guest-steps.h"

#define EXIT_USAGE 2

#define STEP_LIMIT_S 30

static char *describe(void)
{
    g_autoptr(GString) text = g_string_new(
        "Each STEP is one argument; without any they are read from standard input, one a line.\n"
        "A step that needs a device waits for one and enumerates it first. It must succeed, or\n"
        "with \"until-gone \" before it must end by the device's leaving, or with \"try \" may "
        "end\n"
        "in any way that QEMU could bear. One line is printed for\n"
        "each step; the exit status is 0 if all went well and nothing came on which QEMU would\n"
        "abort, hang, reject the device or lose data, else 1.\n\nSteps:\n");

    for (const StepKind *kind = step_kinds; kind->name; kind++) {
        g_autofree char *usage = g_strdup_printf("%s %s", kind->name, kind->arguments);
        g_string_append_printf(text, "  %-45s %s\n", usage, kind->does);
    }
    return g_string_free(g_steal_pointer(&text), FALSE);
}

static const StepKind *find_kind(char **words, GError **error)
{
    guint arguments = g_strv_length(words) - 1;

    for (const StepKind *kind = step_kinds; kind->name; kind++) {
        if (!g_str_equal(kind->name, words[0]))
            continue;
        if (arguments >= kind->least && arguments <= kind->most)
            return kind;
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED, "expected: %s %s", kind->name,
                    kind->arguments);
        return NULL;
    }
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED, "no such step; --help lists them");
    return NULL;
}

typedef struct {
    GuestSocket *socket;
    GuestFlows *flows;
    gint64 limit; /* of a step, in microseconds */
} Script;

static bool is_gone(const GError *error)
{
    return g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CONNECTION_CLOSED);
}

static void print_step(const char *line, const char *text)
{
    printf("%s:%s%s\n", line, *text ? " " : "", text);
    fflush(stdout);
}

/* The device that is attached now may be another than that of the last step: then it has no
 * configuration yet. */
static bool have_device(Script *script, GError **error)
{
    g_autoptr(GString) description = g_string_new(NULL);

    if (!guest_await_device(script->socket, error))
        return false;
    if (fake_guest_configuration(guest_socket_guest(script->socket)) >= 0)
        return true;
    guest_flows_rewind(script->flows, -1);
    if (!guest_enumerate(script->socket, description, error))
        return false;
    print_step("attached", description->str);
    return true;
}

static bool run_step(Script *script, char **words, GString *result, GError **error)
{
    const StepKind *kind = find_kind(words, error);
    Step step = {
        .socket = script->socket, .flows = script->flows, .result = result, .words = words};

    guest_socket_set_deadline(script->socket, g_get_monotonic_time() + script->limit);
    return kind && (!kind->needs_device || have_device(script, error)) && kind->run(&step, error);
}

/* False if the script ends here. */
static bool run_line(Script *script, const char *line)
{
    g_auto(GStrv) words = NULL;
    g_autoptr(GString) result = g_string_new(NULL);
    g_autoptr(GError) error = NULL;

    if (!g_shell_parse_argv(line, NULL, &words, &error)) {
        if (g_error_matches(error, G_SHELL_ERROR, G_SHELL_ERROR_EMPTY_STRING))
            return true;
        g_string_append_printf(result, "FAILED: %s", error->message);
        print_step(line, result->str);
        return false;
    }
    bool until_gone = g_str_equal(words[0], "until-gone") && words[1];
    bool is_try = g_str_equal(words[0], "try") && words[1];
    bool good = run_step(script, words + (until_gone || is_try), result, &error);
    if (until_gone && good) {
        g_set_error(&error, G_IO_ERROR, G_IO_ERROR_FAILED, "ended, but the device is still there");
        good = false;
    } else if (until_gone && is_gone(error)) {
        g_string_assign(result, error->message);
        good = true;
    } else if (is_try && !good) {
        g_string_append_printf(result, "%sgiven up: %s", result->len ? "; " : "", error->message);
        good = true;
    }
    if (!good)
        g_string_append_printf(result, "%sFAILED: %s", result->len ? "; " : "", error->message);
    print_step(line, result->str);
    return good;
}

/* Serves the guest until a whole line has come; NULL at the end. */
static char *next_line(Script *script, GString *input)
{
    for (;;) {
        char bytes[1024];
        char *newline = memchr(input->str, '\n', input->len);
        if (newline) {
            char *line = g_strndup(input->str, (gsize) (newline - input->str));
            g_string_erase(input, 0, newline - input->str + 1);
            return line;
        }
        guest_socket_idle(script->socket, STDIN_FILENO);
        ssize_t n = read(STDIN_FILENO, bytes, sizeof(bytes));
        if (n <= 0)
            return NULL;
        g_string_append_len(input, bytes, n);
    }
}

static bool run_script(Script *script, char **steps)
{
    g_autoptr(GString) input = g_string_new(NULL);
    bool good = true;

    for (; steps && *steps && good; steps++)
        good = run_line(script, *steps);
    if (steps)
        return good;
    while (good) {
        g_autofree char *line = next_line(script, input);
        if (!line)
            break;
        good = run_line(script, line);
    }
    return good;
}

/* Prints what QEMU would have tripped over; true if there was nothing. */
static bool report(Script *script)
{
    g_autoptr(GError) error = NULL;

    guest_socket_set_deadline(script->socket, g_get_monotonic_time() + script->limit);
    if (!guest_flows_finish(script->flows, &error) || !guest_socket_settle(script->socket, &error))
        printf("settling: FAILED: %s\n", error->message);
    g_autoptr(GPtrArray) violations = guest_socket_finish(script->socket);
    for (guint i = 0; i < violations->len; i++)
        printf("violation: %s\n", (const char *) g_ptr_array_index(violations, i));
    return !error && violations->len == 0;
}

static GuestSocket *open_socket(const char *connect, const char *listen, guint32 caps,
                                GError **error)
{
    g_autoptr(TransportAddress) address = NULL;

    if (!connect == !listen) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED, "give one of --connect and --listen");
        return NULL;
    }
    g_autofree char *spec = listen ? g_strconcat(listen, ",server=on", NULL) : g_strdup(connect);
    address = transport_address_parse(spec, error);
    return address ? guest_socket_new(address, caps, error) : NULL;
}

int main(int argc, char **argv)
{
    g_autofree char *connect = NULL, *listen = NULL, *description = describe();
    g_auto(GStrv) steps = NULL;
    gint limit = STEP_LIMIT_S, caps = FAKE_GUEST_QEMU_CAPS;
    g_autoptr(GError) error = NULL;
    const GOptionEntry entries[] = {
        {"connect", 'c', 0, G_OPTION_ARG_STRING, &connect, "Connect to a bridge that listens",
         "unix:PATH|tcp:HOST:PORT"},
        {"listen", 'l', 0, G_OPTION_ARG_STRING, &listen, "Listen for the bridge, as server=on",
         "unix:PATH|tcp:ADDR:PORT"},
        {"timeout", 't', 0, G_OPTION_ARG_INT, &limit, "Limit for each step (30)", "SECONDS"},
        {"caps", 0, 0, G_OPTION_ARG_INT, &caps, "Capabilities to announce (0xff, as QEMU 10)",
         "BITS"},
        {G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_STRING_ARRAY, &steps, NULL, "STEP…"},
        {0}};
    g_autoptr(GOptionContext) options = g_option_context_new(NULL);

    setlocale(LC_CTYPE, "C.UTF-8");
    g_option_context_add_main_entries(options, entries, NULL);
    g_option_context_set_description(options, description);
    g_autoptr(GuestSocket) socket = NULL;
    if (g_option_context_parse(options, &argc, &argv, &error))
        socket = open_socket(connect, listen, (guint32) caps, &error);
    if (!socket) {
        fprintf(stderr, "fake-guest: %s\n", error->message);
        return EXIT_USAGE;
    }
    if (listen)
        print_step("listening", guest_socket_address(socket));
    g_autoptr(GuestFlows) flows = guest_flows_new(socket);
    Script script = {.socket = socket, .flows = flows, .limit = limit * G_TIME_SPAN_SECOND};
    bool good = run_script(&script, steps);
    return report(&script) && good ? EXIT_SUCCESS : EXIT_FAILURE;
}
