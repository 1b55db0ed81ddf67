/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Every vector: decoded, described, encoded again, cut short and corrupted. Each decoding runs on
 * memory of exactly the message's size, so that AddressSanitizer sees a single byte too many. */
#include "../vectors/vector-file.h"
#include "test-wire-describe.h"

#include <string.h>

#include "test-wire-table.h"

static WireMessageKind kind_of(const Vector *v, const uint8_t *data, size_t length)
{
    if (v->sender == FROM_CLIENT)
        return wire_kind_from_client(data, length, v->is_windows ? 0 : 0x10);
    return wire_kind_from_server(data, length, v->is_windows ? 0 : 5);
}

static bool decode_result(Decoded *d, WireBytes view)
{
    switch (d->result_kind) {
    case RESULT_HEADER_ONLY: return true;
    case RESULT_SELECT_CONFIGURATION:
        return wire_select_configuration_result_decode(&d->result.select_configuration, view.data,
                                                       view.length);
    case RESULT_SELECT_INTERFACE:
        return wire_select_interface_result_decode(&d->result.select_interface, view.data,
                                                   view.length);
    case RESULT_FRAME_NUMBER:
        return wire_get_current_frame_number_result_decode(&d->result.frame_number, view.data,
                                                           view.length);
    case RESULT_ISOCH:
        return wire_isoch_transfer_result_decode(&d->result.isoch, view.data, view.length);
    }
    g_assert_not_reached();
}

/* As a caller does who remembers the request: identify, decode, decode the result. */
static bool decode(const Vector *v, const uint8_t *data, size_t length, Decoded *d)
{
    d->result_kind = v->result;
    return kind_of(v, data, length) == v->kind &&
           wire_message_read(&d->message, v->kind, data, length) &&
           decode_result(d, d->message.as.urb_completion.ts_urb_result);
}

/* A copy of exactly that size. Free with g_free(). */
static uint8_t *exact(const uint8_t *data, size_t length)
{
    return length ? g_memdup2(data, length) : g_malloc(1);
}

static uint8_t *load(const Vector *v, size_t *length)
{
    g_autoptr(GBytes) bytes = vector_load(v->name);
    return exact(g_bytes_get_data(bytes, length), g_bytes_get_size(bytes));
}

static void assert_described(const Vector *v, const uint8_t *data, size_t length)
{
    Decoded d;
    g_assert_true(decode(v, data, length, &d));
    g_assert_true(views_lie_in(&d, data, length));
    g_autofree char *text = describe(&d);
    g_assert_cmpstr(text, ==, v->text);
}

static void test_decode(const void *data)
{
    const Vector *v = data;
    size_t length;
    g_autofree uint8_t *bytes = load(v, &length);
    assert_described(v, bytes, length);
}

/* Identical bytes; where the client deviates, bytes that mean the same. */
static void test_encode(const void *data)
{
    const Vector *v = data;
    size_t length;
    g_autofree uint8_t *bytes = load(v, &length);
    Decoded d;
    g_assert_true(decode(v, bytes, length, &d));

    size_t size = wire_message_size(&d.message);
    g_autofree uint8_t *encoded = g_malloc(size);
    g_assert_cmpuint(wire_message_encode(&d.message, encoded, size), ==, size);
    if (v->is_deviation)
        assert_described(v, encoded, size);
    else
        g_assert_cmpmem(encoded, size, bytes, length);

    for (size_t room = 0; room < size; room++) {
        g_autofree uint8_t *small = g_malloc(room + 1);
        g_assert_cmpuint(wire_message_encode(&d.message, small, room), ==, 0);
    }
}

static void test_truncated(const void *data)
{
    const Vector *v = data;
    size_t length;
    g_autofree uint8_t *bytes = load(v, &length);
    size_t shortest = v->shortest ? v->shortest : length;
    for (size_t cut = 0; cut < length; cut++) {
        g_autofree uint8_t *part = exact(bytes, cut);
        Decoded d;
        bool is_accepted = decode(v, part, cut, &d);
        bool is_message = cut >= shortest || (v->also_at && cut == v->also_at);
        if (is_accepted != is_message)
            g_error("%s cut to %zu bytes is %s", v->name, cut,
                    is_accepted ? "accepted" : "refused");
        g_assert_true(!is_accepted || views_lie_in(&d, part, cut));
    }
}

/* Also in a result on its own, where trailing bytes are tolerated: no shorter one is complete. */
static void test_truncated_result(const void *data)
{
    const Vector *v = data;
    size_t length;
    g_autofree uint8_t *bytes = load(v, &length);
    Decoded d;
    g_assert_true(decode(v, bytes, length, &d));
    WireBytes whole = d.message.as.urb_completion.ts_urb_result;
    for (size_t cut = 0; cut < whole.length; cut++) {
        g_autofree uint8_t *part = exact(whole.data, cut);
        g_assert_false(decode_result(&d, (WireBytes){part, cut}));
    }
}

static uint64_t get_field(const uint8_t *at, unsigned width)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < width; i++)
        value |= (uint64_t) at[i] << (8 * i);
    return value;
}

static void put_field(uint8_t *at, unsigned width, uint64_t value)
{
    for (unsigned i = 0; i < width; i++)
        at[i] = (uint8_t) (value >> (8 * i));
}

static void corrupt_field(const Vector *v, const Field *f, uint8_t *bytes, size_t length)
{
    uint64_t right = get_field(bytes + f->offset, f->width);
    uint64_t most = f->width == 2 ? UINT16_MAX : UINT32_MAX;
    const uint64_t wrong[] = {0,
                              1,
                              right - 1,
                              right + 1,
                              right + 2,
                              right * 2,
                              right + 8,
                              right + 12,
                              right + 0x100,
                              most,
                              most - 1,
                              most / 2,
                              most / 2 + 1,
                              most / 4 + 1,
                              most / 12 + 2,
                              most / 20 + 1};
    for (size_t i = 0; i < G_N_ELEMENTS(wrong); i++) {
        uint64_t value = wrong[i] & most;
        if (value == right)
            continue;
        put_field(bytes + f->offset, f->width, value);
        Decoded d;
        bool is_accepted = decode(v, bytes, length, &d);
        bool must_refuse = f->rule == REFUSED || (f->rule == LARGER_REFUSED && value > right);
        if (is_accepted && must_refuse)
            g_error("%s with 0x%" G_GINT64_MODIFIER "x at %u is accepted", v->name, value,
                    f->offset);
        g_assert_true(!is_accepted || views_lie_in(&d, bytes, length));
    }
    put_field(bytes + f->offset, f->width, right);
}

static void test_corrupted_lengths(const void *data)
{
    const Vector *v = data;
    size_t length;
    g_autofree uint8_t *bytes = load(v, &length);
    for (const Field *f = v->fields; f->width; f++)
        corrupt_field(v, f, bytes, length);
    assert_described(v, bytes, length);
}

/* Whatever byte is wrong, and however: nothing outside the message is read or pointed to, and what
 * is accepted can be encoded. */
static void test_corrupted_bytes(const void *data)
{
    const Vector *v = data;
    size_t length;
    g_autofree uint8_t *bytes = load(v, &length);
    for (size_t at = 0; at < length; at++) {
        uint8_t right = bytes[at];
        for (unsigned wrong = 0; wrong <= UINT8_MAX; wrong++) {
            bytes[at] = (uint8_t) wrong;
            Decoded d;
            if (!decode(v, bytes, length, &d))
                continue;
            g_assert_true(views_lie_in(&d, bytes, length));
            g_assert_cmpuint(wire_message_size(&d.message), >, 0);
        }
        bytes[at] = right;
    }
}

static void add(const Vector *v, const char *name, void (*test)(const void *))
{
    g_autofree char *path = g_strdup_printf("/wire/%s/%s", v->name, name);
    g_test_add_data_func(path, v, test);
}

/* The block that the page shows on its own is the one in both select requests. */
static void test_interface_information_fragment(void)
{
    g_autoptr(GBytes) fragment = vector_load("2.2.9.1.2-fragment-interface-information");
    g_autoptr(GBytes) configuration = vector_load("2.2.9.2-select-configuration");
    g_autoptr(GBytes) interface = vector_load("2.2.9.3-select-interface");
    size_t size;
    const uint8_t *block = g_bytes_get_data(fragment, &size);
    const uint8_t *in_configuration = g_bytes_get_data(configuration, NULL);
    const uint8_t *in_interface = g_bytes_get_data(interface, NULL);
    g_assert_cmpmem(block, size, in_configuration + 32, size);
    g_assert_cmpmem(block, size, in_interface + 28, size);
}

/* A vector that nobody lists would test nothing. */
static void test_all_vectors_are_listed(void)
{
    g_autofree char *path = g_test_build_filename(G_TEST_DIST, "..", "vectors", NULL);
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    g_assert_nonnull(dir);
    size_t n_files = 0;
    for (const char *name = g_dir_read_name(dir); name; name = g_dir_read_name(dir))
        n_files += g_str_has_suffix(name, ".hex") && !strstr(name, "-fragment-");
    g_assert_cmpuint(n_files, ==, G_N_ELEMENTS(vectors));
}

/* FreeRDP 3.14 to 3.22 and its second copy of the result. */
static void test_repair(void)
{
    g_autoptr(GBytes) bytes = vector_load("client-freerdp-3.15-select-interface-result-twice");
    size_t length;
    const uint8_t *data = g_bytes_get_data(bytes, &length);
    WireUrbCompletion m;
    g_assert_true(wire_urb_completion_no_data_decode(&m, data, length));
    g_assert_cmphex(m.hresult, !=, 0);
    m.output_buffer_size = 0;
    g_assert_false(wire_select_interface_completion_repair(&m));
    m.output_buffer_size = 1;
    g_assert_true(wire_select_interface_completion_repair(&m));
    g_assert_cmphex(m.hresult, ==, 0);
    g_assert_cmpuint(m.output_buffer_size, ==, 0);
    g_assert_cmpuint(m.trailing.length, ==, 0);
    g_assert_false(wire_select_interface_completion_repair(&m));

    enum { WITHOUT_COPY = 92 };
    for (size_t cut = WITHOUT_COPY; cut < length; cut++) {
        g_assert_true(wire_urb_completion_no_data_decode(&m, data, cut));
        g_assert_false(wire_select_interface_completion_repair(&m));
    }
}

static void test_repair_leaves_alone(void)
{
    g_autoptr(GBytes) bytes = vector_load("2.2.10.3-select-interface-result");
    size_t length;
    const uint8_t *data = g_bytes_get_data(bytes, &length);
    WireUrbCompletion m;
    g_assert_true(wire_urb_completion_no_data_decode(&m, data, length));
    g_assert_false(wire_select_interface_completion_repair(&m));

    m = (WireUrbCompletion){.output_buffer_size = 1};
    g_assert_false(wire_select_interface_completion_repair(&m));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(vectors); i++) {
        const Vector *v = &vectors[i];
        add(v, "decode", test_decode);
        add(v, "encode", test_encode);
        add(v, "truncated", test_truncated);
        if (v->result != RESULT_HEADER_ONLY && !v->is_deviation)
            add(v, "truncated-result", test_truncated_result);
        add(v, "corrupted-lengths", test_corrupted_lengths);
        add(v, "corrupted-bytes", test_corrupted_bytes);
    }
    g_test_add_func("/wire/interface-information-fragment", test_interface_information_fragment);
    g_test_add_func("/wire/all-vectors-are-listed", test_all_vectors_are_listed);
    g_test_add_func("/wire/repair", test_repair);
    g_test_add_func("/wire/repair-leaves-alone", test_repair_leaves_alone);
    return g_test_run();
}
