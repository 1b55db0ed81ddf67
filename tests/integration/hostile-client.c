/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* hostile-client: an RDP client with devices that can be told to misbehave. See --help. */
#include <errno.h>
#include <gio/gio.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hostile.h"

#define EXIT_USAGE 2

/* For steps that wait. */
#define STEP_LIMIT (30 * G_TIME_SPAN_SECOND)

typedef struct {
    Hostile hostile;
    const char *server, *user, *password;
    bool has_told_end;
    GString *input; /* read, and not yet a whole line */
} Script;

typedef struct {
    const char *name, *arguments, *does;
    guint least, most;
    bool (*run)(Script *script, char **words, GString *result, GError **error);
} StepKind;

static bool fail(GError **error, const char *format, ...) G_GNUC_PRINTF(2, 3);

static bool fail(GError **error, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_propagate_error(error, g_error_new_valist(G_IO_ERROR, G_IO_ERROR_FAILED, format, arguments));
    va_end(arguments);
    return false;
}

/* ---- Arguments ---- */

static bool number(const char *word, uint64_t max, uint64_t *value, GError **error)
{
    char *end = NULL;
    errno = 0;
    *value = g_ascii_strtoull(word, &end, 0);
    if (errno || end == word || *end || *value > max)
        return fail(error, "'%s' is not a number up to %" G_GUINT64_FORMAT, word, max);
    return true;
}

static bool channel_number(Script *script, const char *word, unsigned *channel, GError **error)
{
    uint64_t value;
    if (!number(word, HOSTILE_MAX_CHANNELS - 1, &value, error))
        return false;
    *channel = (unsigned) value;
    return true;
}

static bool existing_channel(Script *script, const char *word, unsigned *channel, GError **error)
{
    if (!channel_number(script, word, channel, error))
        return false;
    if (*channel >= client_channels_n(script->hostile.channels))
        return fail(error, "the server has created no channel %u", *channel);
    return true;
}

/* "48656c6c6f" as bytes. */
static GByteArray *hex(const char *text, GError **error)
{
    g_autoptr(GByteArray) bytes = g_byte_array_new();
    for (; text[0]; text += 2) {
        int high = g_ascii_xdigit_value(text[0]);
        int low = high < 0 ? -1 : g_ascii_xdigit_value(text[1]);
        if (low < 0) {
            fail(error, "'%s' is not hexadecimal", text);
            return NULL;
        }
        g_byte_array_append(bytes, &(guint8){(guint8) (high << 4 | low)}, 1);
    }
    return g_steal_pointer(&bytes);
}

/* The index of a word in a list that ends with NULL. */
static bool choice(const char *const *list, const char *word, unsigned *index, GError **error)
{
    for (*index = 0; list[*index]; (*index)++) {
        if (g_str_equal(list[*index], word))
            return true;
    }
    g_autofree char *known = g_strjoinv(", ", (char **) list);
    return fail(error, "'%s' is none of %s", word, known);
}

/* ---- Before the login ---- */

static bool step_profile(Script *script, char **words, GString *result, GError **error)
{
    const char *names[FAKE_CLIENT_N_PROFILES + 1] = {NULL};
    unsigned index;
    for (unsigned i = 0; i < FAKE_CLIENT_N_PROFILES; i++)
        names[i] = fake_client_profiles[i]->name;
    if (!choice(names, words[1], &index, error))
        return false;
    hostile_set_profile(&script->hostile, fake_client_profiles[index]);
    return true;
}

static bool step_without_drdynvc(Script *script, char **words, GString *result, GError **error)
{
    script->hostile.has_drdynvc = false;
    return true;
}

static bool step_connect(Script *script, char **words, GString *result, GError **error)
{
    if (script->hostile.rdp)
        return fail(error, "there is a connection already");
    return hostile_connect(&script->hostile, script->server, script->user, script->password, error);
}

/* ---- Devices ---- */

static bool step_plug(Script *script, char **words, GString *result, GError **error)
{
    uint64_t count = 1;
    if (words[1] && !number(words[1], HOSTILE_MAX_CHANNELS, &count, error))
        return false;
    for (uint64_t i = 0; i < count; i++)
        g_string_append_printf(result, "%s%u", i ? " " : "",
                               fake_client_plug(script->hostile.fake, &fake_device_loopback));
    return true;
}

static bool step_plug_other(Script *script, char **words, GString *result, GError **error)
{
    static const char *const names[] = {"keyboard", "stick", NULL};
    static const FakeDeviceModel *const models[] = {&fake_device_keyboard, &fake_device_stick};
    unsigned index;
    if (!choice(names, words[1], &index, error))
        return false;
    g_string_append_printf(result, "%u", fake_client_plug(script->hostile.fake, models[index]));
    return true;
}

static bool step_plug_like(Script *script, char **words, GString *result, GError **error)
{
    static const char *const kinds[] = {"elsewhere", "twin", NULL};
    uint64_t handle;
    unsigned kind;
    if (!number(words[1], UINT32_MAX, &handle, error) || !choice(kinds, words[2], &kind, error))
        return false;
    uint32_t other = fake_client_plug_like(script->hostile.fake, (uint32_t) handle, kind == 1);
    if (!other)
        return fail(error, "there is no device %s", words[1]);
    g_string_append_printf(result, "%u", other);
    return true;
}

static bool step_unplug(Script *script, char **words, GString *result, GError **error)
{
    uint64_t handle;
    if (!number(words[1], UINT32_MAX, &handle, error))
        return false;
    if (!fake_client_device(script->hostile.fake, (uint32_t) handle))
        return fail(error, "there is no device %s", words[1]);
    fake_client_unplug(script->hostile.fake, (uint32_t) handle);
    return true;
}

static bool step_descriptor(Script *script, char **words, GString *result, GError **error)
{
    uint64_t type, index;
    if (!number(words[1], 255, &type, error) || !number(words[2], 255, &index, error))
        return false;
    gpointer key = GUINT_TO_POINTER(type << 8 | index);
    if (!words[3]) {
        g_hash_table_remove(script->hostile.descriptors, key);
        return true;
    }
    GByteArray *bytes = hex(words[3], error);
    if (bytes)
        g_hash_table_insert(script->hostile.descriptors, key, g_byte_array_free_to_bytes(bytes));
    return bytes;
}

/* "a;b" as the ids a and b. */
static char *ids(const char *text)
{
    GString *ids = g_string_new(text);
    g_string_replace(ids, ";", "\n", 0);
    return g_string_free(g_string_append_c(ids, '\n'), FALSE);
}

static bool step_announce(Script *script, char **words, GString *result, GError **error)
{
    g_autofree char *hardware = words[1] ? ids(words[1]) : NULL;
    g_autofree char *compatible = words[1] && words[2] ? ids(words[2]) : NULL;
    fake_client_set_ids(script->hostile.fake, hardware, compatible);
    return true;
}

static bool step_text(Script *script, char **words, GString *result, GError **error)
{
    uint64_t length;
    if (!number(words[1], G_MAXINT32 / 2, &length, error))
        return false;
    fake_client_set_text_length(script->hostile.fake, length);
    return true;
}

/* ---- Misbehaving ---- */

static const char *const answers[] = {"accept", "reject", "ignore", NULL};

static bool step_capabilities(Script *script, char **words, GString *result, GError **error)
{
    unsigned answer;
    if (!choice(answers, words[1], &answer, error))
        return false;
    client_channels_answer_capabilities(script->hostile.channels, answer);
    return true;
}

static bool step_create(Script *script, char **words, GString *result, GError **error)
{
    unsigned answer;
    if (!choice(answers, words[1], &answer, error))
        return false;
    client_channels_answer_create(script->hostile.channels, answer);
    return true;
}

static bool step_mute(Script *script, char **words, GString *result, GError **error)
{
    unsigned channel;
    if (!channel_number(script, words[1], &channel, error))
        return false;
    script->hostile.is_muted[channel] = true;
    return true;
}

static bool step_tamper(Script *script, char **words, GString *result, GError **error)
{
    const char *names[TAMPER_N + 1] = {NULL};
    unsigned channel, kind;
    memcpy(names, tamper_names, sizeof tamper_names);
    if (!channel_number(script, words[1], &channel, error) ||
        !choice(names, words[2], &kind, error))
        return false;
    script->hostile.tamper[channel] = kind;
    return true;
}

static bool step_send(Script *script, char **words, GString *result, GError **error)
{
    unsigned channel;
    uint64_t count = 1;
    if (!existing_channel(script, words[1], &channel, error) ||
        (words[3] && !number(words[3], UINT32_MAX, &count, error)))
        return false;
    g_autoptr(GByteArray) message = hex(words[2], error);
    for (uint64_t i = 0; message && i < count; i++)
        client_channels_send(script->hostile.channels, channel, message->data, message->len);
    return message;
}

static bool step_send_size(Script *script, char **words, GString *result, GError **error)
{
    unsigned channel;
    uint64_t size;
    if (!existing_channel(script, words[1], &channel, error) ||
        !number(words[2], G_MAXINT32, &size, error))
        return false;
    g_autofree uint8_t *message = g_malloc0(size);
    client_channels_send(script->hostile.channels, channel, message, size);
    return true;
}

static bool step_first(Script *script, char **words, GString *result, GError **error)
{
    unsigned channel;
    uint64_t total;
    if (!existing_channel(script, words[1], &channel, error) ||
        !number(words[2], UINT32_MAX, &total, error))
        return false;
    g_autoptr(GByteArray) data = hex(words[3], error);
    if (data)
        client_channels_send_first(script->hostile.channels, channel, (uint32_t) total, data->data,
                                   data->len);
    return data;
}

static bool step_data(Script *script, char **words, GString *result, GError **error)
{
    unsigned channel;
    if (!existing_channel(script, words[1], &channel, error))
        return false;
    g_autoptr(GByteArray) data = hex(words[2], error);
    if (data)
        client_channels_send_data(script->hostile.channels, channel, data->data, data->len);
    return data;
}

static bool connected(Script *script, GError **error)
{
    return (script->hostile.rdp && !client_rdp_end(script->hostile.rdp)) ||
           fail(error, "there is no connection");
}

static bool step_pdu(Script *script, char **words, GString *result, GError **error)
{
    g_autoptr(GByteArray) pdu = hex(words[1], error);
    return pdu && connected(script, error) &&
           (client_rdp_send(script->hostile.rdp, pdu->data, pdu->len) ||
            fail(error, "FreeRDP did not send it"));
}

/* Serves in between, as the server may end the connection at any of them. */
static bool step_chunks(Script *script, char **words, GString *result, GError **error)
{
    uint64_t total, flags, size, count;
    if (!number(words[1], UINT32_MAX, &total, error) ||
        !number(words[2], UINT32_MAX, &flags, error) || !number(words[3], 1600, &size, error) ||
        !number(words[4], UINT32_MAX, &count, error) || !connected(script, error))
        return false;
    g_autofree uint8_t *data = g_malloc0(size + 1);
    uint64_t sent = 0;
    while (sent < count && client_rdp_send_chunk(script->hostile.rdp, (uint32_t) total,
                                                 (uint32_t) flags, data, size))
        sent++;
    g_string_append_printf(result, "%" G_GUINT64_FORMAT " sent", sent);
    return true;
}

static bool step_close(Script *script, char **words, GString *result, GError **error)
{
    unsigned channel;
    if (!existing_channel(script, words[1], &channel, error))
        return false;
    client_channels_close(script->hostile.channels, channel);
    fake_client_closed(script->hostile.fake, channel);
    return true;
}

/* ---- Waiting ---- */

typedef enum { AWAIT_OPEN, AWAIT_CLOSED, AWAIT_RECEIVED, AWAIT_PENDING, AWAIT_END } Await;

static bool has_come(const Hostile *hostile, Await what, unsigned channel, unsigned count)
{
    switch (what) {
    case AWAIT_OPEN: return client_channels_is_open(hostile->channels, channel);
    case AWAIT_CLOSED: return client_channels_is_closed_by_server(hostile->channels, channel);
    case AWAIT_RECEIVED: return client_channels_n_received(hostile->channels, channel) >= count;
    case AWAIT_PENDING: return fake_client_n_pending(hostile->fake) >= channel;
    case AWAIT_END: return client_rdp_end(hostile->rdp);
    }
    return false;
}

static bool step_await(Script *script, char **words, GString *result, GError **error)
{
    static const char *const names[] = {"open", "closed", "received", "pending", "end", NULL};
    Hostile *hostile = &script->hostile;
    unsigned what, channel = 0;
    uint64_t count = 1;
    if (!choice(names, words[1], &what, error) ||
        (words[2] && !channel_number(script, words[2], &channel, error)) ||
        (words[2] && words[3] && !number(words[3], UINT32_MAX, &count, error)))
        return false;
    if (!hostile->rdp)
        return fail(error, "there is no connection");
    int64_t deadline = g_get_monotonic_time() + STEP_LIMIT;
    while (!has_come(hostile, what, channel, (unsigned) count)) {
        if (client_rdp_end(hostile->rdp))
            return fail(error, "the connection ended: %s", client_rdp_end(hostile->rdp));
        if (g_get_monotonic_time() >= deadline)
            return fail(error, "it did not come in time");
        hostile_serve(hostile, -1, deadline);
    }
    return true;
}

static bool step_state(Script *script, char **words, GString *result, GError **error)
{
    const ClientChannels *channels = script->hostile.channels;
    unsigned n_open = 0;
    for (unsigned i = 0; i < client_channels_n(channels); i++)
        n_open += client_channels_is_open(channels, i);
    g_string_append_printf(result, "%u channels, %u open, %u requests pending, %u swallowed",
                           client_channels_n(channels), n_open,
                           fake_client_n_pending(script->hostile.fake),
                           script->hostile.n_swallowed);
    return true;
}

static const StepKind step_kinds[] = {
    {"profile", "NAME", "is this client, not FreeRDP 3.10", 1, 1, step_profile},
    {"without-drdynvc", "", "has no dynamic channels", 0, 0, step_without_drdynvc},
    {"plug", "[N]", "plugs loopback devices in; tells their handles", 0, 1, step_plug},
    {"plug-other", "keyboard|stick", "plugs in one of this kind", 1, 1, step_plug_other},
    {"plug-like", "HANDLE elsewhere|twin", "plugs in one that looks like it; or it, once more", 2,
     2, step_plug_like},
    {"unplug", "HANDLE", "unplugs one", 1, 1, step_unplug},
    {"descriptor", "TYPE INDEX [HEX]", "all devices say this, or the truth", 2, 3, step_descriptor},
    {"announce", "[IDS [IDS]]",
     "devices announce these hardware and compatibility ids; or the truth", 0, 2, step_announce},
    {"text", "LENGTH", "answers for texts of devices have so many characters; 0: the truth", 1, 1,
     step_text},
    {"connect", "", "logs in", 0, 0, step_connect},
    {"capabilities", "accept|ignore", "how to answer for dynamic channels", 1, 1,
     step_capabilities},
    {"create", "accept|reject|ignore", "how to answer for new channels", 1, 1, step_create},
    {"mute", "N", "is deaf on channel N from now on", 1, 1, step_mute},
    {"tamper", "N KIND", "sends wrong completions on channel N", 2, 2, step_tamper},
    {"send", "N HEX [COUNT]", "sends a message on channel N", 2, 3, step_send},
    {"send-size", "N SIZE", "sends so many zeros as one message", 2, 2, step_send_size},
    {"first", "N TOTAL HEX", "sends a DYNVC_DATA_FIRST", 3, 3, step_first},
    {"data", "N HEX", "sends a DYNVC_DATA", 2, 2, step_data},
    {"pdu", "HEX", "sends a PDU on drdynvc", 1, 1, step_pdu},
    {"chunks", "TOTAL FLAGS SIZE COUNT", "sends chunks of zeros on drdynvc", 4, 4, step_chunks},
    {"close", "N", "closes channel N", 1, 1, step_close},
    {"await", "open|closed N", "until the server opened or closed it", 1, 3, step_await},
    {"await", "received N COUNT", "until so many messages came there", 1, 3, step_await},
    {"await", "pending COUNT", "until so many requests wait", 1, 3, step_await},
    {"await", "end", "until the connection is over", 1, 3, step_await},
    {"state", "", "tells what there is", 0, 0, step_state},
    {0},
};

/* ---- The script ---- */

static const StepKind *find_kind(char **words, GError **error)
{
    guint arguments = g_strv_length(words) - 1;
    for (const StepKind *kind = step_kinds; kind->name; kind++) {
        if (!g_str_equal(kind->name, words[0]))
            continue;
        if (arguments >= kind->least && arguments <= kind->most)
            return kind;
        fail(error, "expected: %s %s", kind->name, kind->arguments);
        return NULL;
    }
    fail(error, "no such step; --help lists them");
    return NULL;
}

static void print_step(const char *line, const char *text)
{
    printf("%.100s:%s%s\n", line, *text ? " " : "", text);
    fflush(stdout);
}

/* False if the script ends here. */
static bool run_line(Script *script, const char *line)
{
    g_auto(GStrv) words = NULL;
    g_autoptr(GString) result = g_string_new(NULL);
    g_autoptr(GError) error = NULL;
    if (!g_shell_parse_argv(line, NULL, &words, &error) &&
        g_error_matches(error, G_SHELL_ERROR, G_SHELL_ERROR_EMPTY_STRING))
        return true;
    const StepKind *kind = error ? NULL : find_kind(words, &error);
    bool good = kind && kind->run(script, words, result, &error);
    hostile_pump(&script->hostile);
    if (!good)
        g_string_append_printf(result, "FAILED: %s", error->message);
    print_step(line, result->str);
    return good;
}

static void tell_end(Script *script)
{
    const char *end = script->hostile.rdp ? client_rdp_end(script->hostile.rdp) : NULL;
    if (!end || script->has_told_end)
        return;
    script->has_told_end = true;
    print_step("connection ended", end);
}

/* Serves the connection until a whole line has come; NULL at the end. */
static char *next_line(Script *script)
{
    for (;;) {
        char bytes[4096];
        char *newline = memchr(script->input->str, '\n', script->input->len);
        if (newline) {
            char *line = g_strndup(script->input->str, (gsize) (newline - script->input->str));
            g_string_erase(script->input, 0, newline - script->input->str + 1);
            return line;
        }
        bool is_readable = hostile_serve(&script->hostile, STDIN_FILENO, INT64_MAX);
        tell_end(script);
        if (!is_readable)
            continue;
        ssize_t n = read(STDIN_FILENO, bytes, sizeof bytes);
        if (n <= 0)
            return NULL;
        g_string_append_len(script->input, bytes, n);
    }
}

static bool run_script(Script *script)
{
    for (;;) {
        g_autofree char *line = next_line(script);
        if (!line)
            return true;
        bool good = run_line(script, line);
        tell_end(script);
        if (!good)
            return false;
    }
}

/* Prints what a real client would have tripped over; true if there was nothing. */
static bool report(const Hostile *hostile)
{
    const GPtrArray *violations = fake_client_violations(hostile->fake);
    for (guint i = 0; i < violations->len; i++)
        printf("violation: %s\n", (const char *) violations->pdata[i]);
    if (hostile->n_bad_pdus)
        printf("violation: %u PDUs of drdynvc are none\n", hostile->n_bad_pdus);
    return violations->len == 0 && hostile->n_bad_pdus == 0;
}

static char *describe(void)
{
    g_autoptr(GString) text = g_string_new(
        "Steps are read from standard input, one a line; in between, the client goes on with what\n"
        "the server asks. One line is printed for each step. The exit status is 0 if all went "
        "well\n"
        "and the server did nothing that a real client could not stand, else 1. Channels are\n"
        "numbered in the order of their creation: 0 is the control channel.\n\nSteps:\n");
    for (const StepKind *kind = step_kinds; kind->name; kind++) {
        g_autofree char *usage = g_strdup_printf("%s %s", kind->name, kind->arguments);
        g_string_append_printf(text, "  %-32s %s\n", usage, kind->does);
    }
    g_string_append(text, "\nKinds of tampering:");
    for (unsigned i = 0; i < TAMPER_N; i++)
        g_string_append_printf(text, " %s", tamper_names[i]);
    return g_string_free(g_steal_pointer(&text), FALSE);
}

int main(int argc, char **argv)
{
    g_autofree char *server = NULL, *user = NULL, *password = NULL, *description = describe();
    g_autoptr(GError) error = NULL;
    const GOptionEntry entries[] = {
        {"server", 's', 0, G_OPTION_ARG_STRING, &server, "Where to connect", "ADDRESS:PORT"},
        {"user", 'u', 0, G_OPTION_ARG_STRING, &user, "Name for the login", "NAME"},
        {"password", 'p', 0, G_OPTION_ARG_STRING, &password, "Password for it", "TEXT"},
        {0}};
    g_autoptr(GOptionContext) options = g_option_context_new(NULL);

    setlocale(LC_CTYPE, "C.UTF-8");
    g_option_context_add_main_entries(options, entries, NULL);
    g_option_context_set_description(options, description);
    if (!g_option_context_parse(options, &argc, &argv, &error) || !server || argc != 1) {
        fprintf(stderr, "hostile-client: %s\n",
                error ? error->message : "give --server; see --help");
        return EXIT_USAGE;
    }
    Script script = {
        .server = server,
        .user = user ? user : "",
        .password = password ? password : "",
        .input = g_string_new(NULL),
    };
    hostile_init(&script.hostile);
    bool good = run_script(&script);
    good = report(&script.hostile) && good;
    hostile_clear(&script.hostile);
    g_string_free(script.input, TRUE);
    return good ? EXIT_SUCCESS : EXIT_FAILURE;
}
