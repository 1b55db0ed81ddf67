/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "guest-steps.h"

#include <errno.h>
#include <string.h>

#include "boot-keyboard.h"
#include "guest-disk.h"
#include "guest-iso.h"
#include "guest-requests.h"
#include "guest-stamps.h"
#include "guest-storms.h"
#include "sequence.h"

#define BULK_REQUEST (16 << 10)

/* Random, and the same in each run. */
#define SEED 1

static bool fail(GError **error, const char *format, ...) G_GNUC_PRINTF(2, 3);

static bool fail(GError **error, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_propagate_error(error, g_error_new_valist(G_IO_ERROR, G_IO_ERROR_FAILED, format, arguments));
    va_end(arguments);
    return false;
}

/* Argument @i as a number, decimal or 0x…; @fallback if it was left out. */
static bool number(const Step *step, guint i, guint64 max, guint64 fallback, guint64 *value,
                   GError **error)
{
    char *end = NULL;

    *value = fallback;
    if (i >= g_strv_length(step->words))
        return true;
    errno = 0;
    *value = g_ascii_strtoull(step->words[i], &end, 0);
    if (errno || end == step->words[i] || *end || *value > max)
        return fail(error, "'%s' is not a number up to %" G_GUINT64_FORMAT, step->words[i], max);
    return true;
}

static bool endpoint(const Step *step, guint i, uint8_t *address, GError **error)
{
    guint64 value;
    bool good = number(step, i, 0xff, 0, &value, error);
    *address = (uint8_t) value;
    return good;
}

/* "48656c6c6f" as bytes. */
static GByteArray *hex(const char *text, GError **error)
{
    g_autoptr(GByteArray) bytes = g_byte_array_new();

    for (; text[0]; text += 2) {
        int high = g_ascii_xdigit_value(text[0]),
            low = high < 0 ? -1 : g_ascii_xdigit_value(text[1]);
        if (low < 0) {
            fail(error, "'%s' is not hexadecimal", text);
            return NULL;
        }
        g_byte_array_append(bytes, &(guint8){(guint8) (high << 4 | low)}, 1);
    }
    return g_steal_pointer(&bytes);
}

static void append_hex(GString *text, GBytes *data)
{
    gsize length = 0;
    const uint8_t *bytes = data ? g_bytes_get_data(data, &length) : NULL;

    for (gsize i = 0; i < length; i++)
        g_string_append_printf(text, "%s%02x", i == 0 ? " " : "", bytes[i]);
}

static void append_bytes(Step *step, const uint8_t *bytes, gsize length, gint64 start)
{
    gint64 elapsed = MAX(g_get_monotonic_time() - start, 1);
    g_autofree char *sum = g_compute_checksum_for_data(G_CHECKSUM_SHA256, bytes, length);

    g_string_append_printf(step->result, "%" G_GSIZE_FORMAT " bytes, sha256 %s, %.3f s, %.2f MB/s",
                           length, sum, (double) elapsed / 1e6, (double) length / (double) elapsed);
}

static GByteArray *sequence(guint64 length)
{
    GByteArray *bytes = g_byte_array_sized_new((guint) length);

    g_byte_array_set_size(bytes, (guint) length);
    sequence_fill(bytes->data, length, 0);
    return bytes;
}

static bool check_equal(const GByteArray *got, const GByteArray *expected, GError **error)
{
    for (guint i = 0; i < MIN(got->len, expected->len); i++) {
        if (got->data[i] != expected->data[i])
            return fail(error, "byte %u is 0x%02x, 0x%02x expected", i, got->data[i],
                        expected->data[i]);
    }
    if (got->len != expected->len)
        return fail(error, "%u bytes came, %u expected", got->len, expected->len);
    return true;
}

/* Devices ---------------------------------------------------------------------------------- */

static bool step_attach(Step *step, GError **error)
{
    if (!guest_await_device(step->socket, error))
        return false;
    guest_flows_rewind(step->flows, -1);
    return guest_enumerate(step->socket, step->result, error);
}

static bool step_wait_disconnect(Step *step, GError **error)
{
    return guest_await_gone(step->socket, error);
}

static bool step_reset(Step *step, GError **error)
{
    guest_flows_rewind(step->flows, -1);
    fake_guest_reset(guest_socket_guest(step->socket));
    return guest_enumerate(step->socket, step->result, error);
}

static bool step_set_config(Step *step, GError **error)
{
    guint64 configuration;
    guest_flows_rewind(step->flows, -1);
    return number(step, 1, 0xff, 0, &configuration, error) &&
           guest_set_configuration(step->socket, (uint8_t) configuration, error);
}

static bool step_set_alt(Step *step, GError **error)
{
    guint64 interface, alt;
    if (!number(step, 1, 0xff, 0, &interface, error) || !number(step, 2, 0xff, 0, &alt, error))
        return false;
    guest_flows_rewind(step->flows, (int) interface);
    return guest_set_alt_setting(step->socket, (uint8_t) interface, (uint8_t) alt, error);
}

static bool step_clear_halt(Step *step, GError **error)
{
    uint8_t address;
    return endpoint(step, 1, &address, error) && guest_clear_halt(step->socket, address, error);
}

static bool step_control_in(Step *step, GError **error)
{
    guint64 type, request, value, index, length;

    if (!number(step, 1, 0xff, 0, &type, error) || !number(step, 2, 0xff, 0, &request, error) ||
        !number(step, 3, 0xffff, 0, &value, error) || !number(step, 4, 0xffff, 0, &index, error) ||
        !number(step, 5, 4096, 0, &length, error))
        return false;
    uint64_t id =
        fake_guest_control_in(guest_socket_guest(step->socket), (uint8_t) type, (uint8_t) request,
                              (uint16_t) value, (uint16_t) index, (uint16_t) length);
    g_autoptr(FakeGuestEvent) event = guest_await(step->socket, id, error);
    if (!event)
        return false;
    g_string_append(step->result, usb_status_to_string(event->status));
    append_hex(step->result, event->data);
    return true;
}

static bool step_control_out(Step *step, GError **error)
{
    guint64 type, request, value, index;
    g_autoptr(GByteArray) data = hex(step->words[5] ? step->words[5] : "", error);

    if (!data || !number(step, 1, 0xff, 0, &type, error) ||
        !number(step, 2, 0xff, 0, &request, error) || !number(step, 3, 0xffff, 0, &value, error) ||
        !number(step, 4, 0xffff, 0, &index, error))
        return false;
    uint64_t id = fake_guest_control_out(guest_socket_guest(step->socket), (uint8_t) type,
                                         (uint8_t) request, (uint16_t) value, (uint16_t) index,
                                         data->data, (uint16_t) data->len);
    g_autoptr(FakeGuestEvent) event = guest_await(step->socket, id, error);
    if (event)
        g_string_append(step->result, usb_status_to_string(event->status));
    return event != NULL;
}

/* Disks ------------------------------------------------------------------------------------ */

static GByteArray *read_disk(GuestDisk *disk, GError **error)
{
    g_autoptr(GByteArray) all = g_byte_array_new();
    uint16_t chunk = guest_disk_chunk(disk);
    g_autofree uint8_t *data = g_malloc((gsize) chunk * disk->block_size);

    for (uint32_t block = 0; block < disk->blocks; block += chunk) {
        uint16_t count = (uint16_t) MIN(chunk, disk->blocks - block);
        if (!guest_disk_read(disk, block, count, data, error))
            return NULL;
        g_byte_array_append(all, data, count * disk->block_size);
    }
    return g_steal_pointer(&all);
}

static bool step_read_disk(Step *step, GError **error)
{
    GuestDisk disk;
    gint64 start = g_get_monotonic_time();

    if (!guest_disk_open(&disk, step->socket, error))
        return false;
    g_autoptr(GByteArray) all = read_disk(&disk, error);
    if (!all)
        return false;
    g_string_append_printf(step->result, "\"%.*s\", %u blocks of %u, ", (int) sizeof(disk.name),
                           disk.name, disk.blocks, disk.block_size);
    append_bytes(step, all->data, all->len, start);
    return !step->words[1] ||
           g_file_set_contents(step->words[1], (const char *) all->data, (gssize) all->len, error);
}

static bool step_write_disk(Step *step, GError **error)
{
    g_autofree char *data = NULL;
    gsize length;
    guint64 block;
    GuestDisk disk;
    gint64 start = g_get_monotonic_time();

    if (!number(step, 1, G_MAXUINT32, 0, &block, error) ||
        !g_file_get_contents(step->words[2], &data, &length, error) ||
        !guest_disk_open(&disk, step->socket, error))
        return false;
    if (length % disk.block_size != 0 || block + length / disk.block_size > disk.blocks)
        return fail(error,
                    "%s has %" G_GSIZE_FORMAT " bytes; from block %" G_GUINT64_FORMAT
                    " on there are %u blocks of %u",
                    step->words[2], length, block, disk.blocks, disk.block_size);

    guint64 end = block + length / disk.block_size;
    for (const char *at = data; block < end;) {
        uint16_t count = (uint16_t) MIN(guest_disk_chunk(&disk), end - block);
        if (!guest_disk_write(&disk, (uint32_t) block, count, (const uint8_t *) at, error))
            return false;
        block += count;
        at += (gsize) count * disk.block_size;
    }
    if (!guest_disk_flush(&disk, error))
        return false;
    append_bytes(step, (const uint8_t *) data, length, start);
    return true;
}

/* Interrupts ------------------------------------------------------------------------------- */

/* What has arrived until @count characters were typed. */
static bool type_text(Step *step, uint8_t address, guint64 count, GString *text, GError **error)
{
    uint8_t before[BOOT_REPORT_LENGTH] = {0};

    while (text->len < count) {
        g_autoptr(FakeGuestEvent) event = guest_await_interrupt(step->socket, address, error);
        if (!event)
            return false;
        if (event->status != usb_redir_success || event->length != BOOT_REPORT_LENGTH)
            return fail(error, "report of %u bytes: %s", event->length,
                        usb_status_to_string(event->status));
        const uint8_t *report = g_bytes_get_data(event->data, NULL);
        boot_keyboard_decode(before, report, text);
        memcpy(before, report, sizeof(before));
    }
    return true;
}

static bool step_keyboard(Step *step, GError **error)
{
    g_autoptr(GString) text = g_string_new(NULL);
    int interface = guest_find_interface(step->socket, 3, 1, 1);
    uint8_t address = guest_find_endpoint(step->socket, (uint8_t) MAX(interface, 0),
                                          usb_redir_type_interrupt, 0x80);
    guint64 count;

    if (!number(step, 1, 1 << 20, 0, &count, error))
        return false;
    if (interface < 0 || address == 0)
        return fail(error, "the device is no boot keyboard");
    if (!guest_control_out(step->socket, 0x21, 0x0a, 0, (uint16_t) interface, NULL, 0, error))
        return false; /* SET_IDLE, as Linux does */
    fake_guest_start_interrupt_receiving(guest_socket_guest(step->socket), address);
    bool good = type_text(step, address, count, text, error);
    if (guest_socket_guest(step->socket))
        fake_guest_stop_interrupt_receiving(guest_socket_guest(step->socket), address);
    g_autofree char *escaped = g_strescape(text->str, NULL);
    g_string_append_printf(step->result, "\"%s\"", escaped);
    return good;
}

static bool step_interrupt_in(Step *step, GError **error)
{
    uint8_t address;
    guint64 count;

    if (!endpoint(step, 1, &address, error) || !number(step, 2, 1 << 20, 1, &count, error))
        return false;
    fake_guest_start_interrupt_receiving(guest_socket_guest(step->socket), address);
    for (guint64 i = 0; i < count; i++) {
        g_autoptr(FakeGuestEvent) event = guest_await_interrupt(step->socket, address, error);
        if (!event)
            return false;
        g_string_append_printf(step->result, "%s%s", i ? ", " : "",
                               usb_status_to_string(event->status));
        append_hex(step->result, event->data);
    }
    fake_guest_stop_interrupt_receiving(guest_socket_guest(step->socket), address);
    return guest_socket_settle(step->socket, error);
}

static bool step_stamps(Step *step, GError **error)
{
    uint8_t address;
    guint64 count;

    return endpoint(step, 1, &address, error) && number(step, 2, 1 << 20, 1, &count, error) &&
           guest_stamps(step->socket, address, (guint) count, step->result, error);
}

static bool step_interrupt_out(Step *step, GError **error)
{
    g_autoptr(GByteArray) data = hex(step->words[2], error);
    uint8_t address;

    if (!data || !endpoint(step, 1, &address, error))
        return false;
    uint64_t id = fake_guest_interrupt_out(guest_socket_guest(step->socket), address, data->data,
                                           (uint16_t) data->len);
    g_autoptr(FakeGuestEvent) event = guest_await(step->socket, id, error);
    if (event)
        g_string_append(step->result, usb_status_to_string(event->status));
    return event != NULL;
}

/* Bulk ------------------------------------------------------------------------------------- */

static bool bulk_arguments(const Step *step, guint first, guint64 *size, uint32_t *request,
                           GError **error)
{
    guint64 value = 0;
    bool good = number(step, first, 1 << 30, 0, size, error) &&
                number(step, first + 1, 1 << 20, BULK_REQUEST, &value, error);
    *request = MAX((uint32_t) value, 1);
    return good;
}

static GByteArray *read_bulk(Step *step, GError **error)
{
    g_autoptr(GByteArray) data = g_byte_array_new();
    uint8_t address;
    guint64 size;
    uint32_t request;
    gint64 start = g_get_monotonic_time();

    if (!endpoint(step, 1, &address, error) || !bulk_arguments(step, 2, &size, &request, error) ||
        !guest_bulk_read(step->socket, address, size, request, data, error))
        return NULL;
    append_bytes(step, data->data, data->len, start);
    return g_steal_pointer(&data);
}

static bool step_bulk_in(Step *step, GError **error)
{
    g_autoptr(GByteArray) data = read_bulk(step, error);
    return data != NULL;
}

static bool step_source(Step *step, GError **error)
{
    g_autoptr(GByteArray) data = read_bulk(step, error);
    g_autoptr(GByteArray) expected = data ? sequence(data->len) : NULL;
    return data && check_equal(data, expected, error);
}

static bool step_sink(Step *step, GError **error)
{
    uint8_t address;
    guint64 size;
    uint32_t request;

    if (!endpoint(step, 1, &address, error) || !bulk_arguments(step, 2, &size, &request, error))
        return false;
    g_autoptr(GByteArray) data = sequence(size);
    gint64 start = g_get_monotonic_time();
    if (!guest_bulk_write(step->socket, address, data->data, size, request, error))
        return false;
    append_bytes(step, data->data, data->len, start);
    return true;
}

static bool step_loopback(Step *step, GError **error)
{
    g_autoptr(GByteArray) sent = g_byte_array_new(), got = g_byte_array_new();
    g_autoptr(GRand) random = g_rand_new_with_seed(SEED);
    uint8_t out, in;
    guint64 size;
    uint32_t request;
    gint64 start = g_get_monotonic_time();

    if (!endpoint(step, 1, &out, error) || !endpoint(step, 2, &in, error) ||
        !bulk_arguments(step, 3, &size, &request, error))
        return false;
    for (guint64 i = 0; i < size; i++)
        g_byte_array_append(sent, &(guint8){(guint8) g_rand_int(random)}, 1);
    if (!guest_bulk_exchange(step->socket, out, in, sent->data, size, request, got, error))
        return false;
    append_bytes(step, got->data, got->len, start);
    return check_equal(got, sent, error);
}

static bool append_bulk_answer(Step *step, FakeGuestEvent *event)
{
    if (!event)
        return false;
    g_string_append_printf(step->result, "%s, %u bytes", usb_status_to_string(event->status),
                           event->length);
    append_hex(step->result, event->data);
    fake_guest_event_free(event);
    return true;
}

static bool step_bulk_once_in(Step *step, GError **error)
{
    uint8_t address;
    guint64 length;

    return endpoint(step, 1, &address, error) && number(step, 2, 4096, 0, &length, error) &&
           append_bulk_answer(
               step, guest_bulk(step->socket, address | 0x80, NULL, (uint32_t) length, error));
}

static bool step_bulk_once_out(Step *step, GError **error)
{
    g_autoptr(GByteArray) data = hex(step->words[2] ? step->words[2] : "", error);
    uint8_t address;

    return data && endpoint(step, 1, &address, error) &&
           append_bulk_answer(
               step, guest_bulk(step->socket, address & 0x7f, data->data, data->len, error));
}

/* One write of @size bytes, ended by a zero-length packet if nothing shorter does, and one read
 * that such an end alone can end. All three are in flight at once: the gadget holds 64 KiB only. */
static bool loop_once(Step *step, uint8_t out, uint8_t in, const uint8_t *data, uint32_t size,
                      guint *writes, GError **error)
{
    FakeGuest *guest = guest_socket_guest(step->socket);
    uint32_t packet = fake_guest_ep_info(guest)->max_packet_size[fake_guest_slot(in)];
    uint64_t read = fake_guest_bulk_in(guest, in, (size / packet + 1) * packet);
    bool empty = size % packet == 0;

    if (size > 0)
        fake_guest_bulk_out(guest, out, data, size);
    if (empty)
        fake_guest_bulk_out(guest, out, NULL, 0);
    *writes += (size > 0) + empty;
    g_autoptr(FakeGuestEvent) event = guest_await(step->socket, read, error);
    if (!event)
        return false;
    gsize length = event->data ? g_bytes_get_size(event->data) : 0;
    if (event->status != usb_redir_success || event->length != size || length != size)
        return fail(error, "%s with %u bytes (%" G_GSIZE_FORMAT "), %u were written",
                    usb_status_to_string(event->status), event->length, length, size);
    if (size > 0 && memcmp(g_bytes_get_data(event->data, NULL), data, size) != 0)
        return fail(error, "of %u bytes some came back changed", size);
    return true;
}

static bool step_loopback_sizes(Step *step, GError **error)
{
    g_autoptr(GRand) random = g_rand_new_with_seed(SEED);
    uint8_t out, in;
    guint64 max;
    guint writes = 0, sizes = 0;

    if (!endpoint(step, 1, &out, error) || !endpoint(step, 2, &in, error) ||
        !number(step, 3, 1 << 20, 0, &max, error))
        return false;
    g_autofree uint8_t *data = g_malloc(max + 1);
    uint32_t packet =
        fake_guest_ep_info(guest_socket_guest(step->socket))->max_packet_size[fake_guest_slot(in)];
    for (uint32_t size = 0; size <= max; size++) {
        uint32_t rest = size % packet;
        if (rest > 1 && rest < packet - 1)
            continue;
        for (uint32_t i = 0; i < size; i++)
            data[i] = (uint8_t) g_rand_int(random);
        if (!loop_once(step, out, in, data, size, &writes, error))
            return false;
        sizes++;
    }
    g_string_append_printf(step->result, "%u sizes, %u writes", sizes, writes);
    return guest_barrier(step->socket, error);
}

/* Isochronous ------------------------------------------------------------------------------- */

#define MAX_ISO_STREAMS 4

static bool step_iso(Step *step, GError **error)
{
    uint8_t addresses[MAX_ISO_STREAMS];
    guint64 seconds;
    guint n = g_strv_length(step->words) - 2;

    if (!number(step, 1, 24 * 3600, 0, &seconds, error))
        return false;
    for (guint i = 0; i < n; i++) {
        if (!endpoint(step, i + 2, &addresses[i], error))
            return false;
    }
    guest_socket_extend_deadline(step->socket, (gint64) seconds * G_TIME_SPAN_SECOND);
    return guest_iso_run(step->socket, addresses, n, (guint) seconds, step->result, error);
}

/* Flows ------------------------------------------------------------------------------------ */

static bool step_begin(Step *step, GError **error)
{
    guint64 request, depth;
    uint8_t address;

    return endpoint(step, 1, &address, error) && number(step, 2, 1 << 20, 0, &request, error) &&
           number(step, 3, 256, 0, &depth, error) &&
           guest_flows_begin(step->flows, address, (uint32_t) request, (guint) depth, error);
}

static bool step_wait(Step *step, GError **error)
{
    guint64 bytes;
    uint8_t address;

    return endpoint(step, 1, &address, error) && number(step, 2, G_MAXINT64, 0, &bytes, error) &&
           guest_flows_wait(step->flows, address, bytes, error);
}

static bool step_end(Step *step, GError **error)
{
    uint8_t address;
    return endpoint(step, 1, &address, error) &&
           guest_flows_end(step->flows, address, step->result, error);
}

static bool step_cut(Step *step, GError **error)
{
    uint8_t address;
    return endpoint(step, 1, &address, error) &&
           guest_flows_cut(step->flows, address, step->result, error) &&
           guest_barrier(step->socket, error);
}

static bool step_queue(Step *step, GError **error)
{
    guint64 request, count;
    uint8_t address;

    return endpoint(step, 1, &address, error) && number(step, 2, 1 << 20, 0, &request, error) &&
           number(step, 3, 256, 0, &count, error) &&
           guest_flows_queue(step->flows, address, (uint32_t) request, (guint) count, step->result,
                             error);
}

static bool step_drop(Step *step, GError **error)
{
    guest_socket_drop(step->socket);
    return true;
}

/* Cancelling ------------------------------------------------------------------------------- */

static bool step_cancel_storm(Step *step, GError **error)
{
    uint8_t address;
    guint64 rounds, length;

    return endpoint(step, 1, &address, error) && number(step, 2, 1 << 20, 100, &rounds, error) &&
           number(step, 3, 1 << 20, 512, &length, error) &&
           guest_storm_in(step->socket, address, (guint) rounds, (uint32_t) length, step->result,
                          error);
}

static bool step_cancel_storm_out(Step *step, GError **error)
{
    uint8_t out, in;
    guint64 rounds;

    return endpoint(step, 1, &out, error) && endpoint(step, 2, &in, error) &&
           number(step, 3, 1 << 20, 100, &rounds, error) &&
           guest_storm_out(step->socket, out, in, (guint) rounds, step->result, error);
}

const StepKind step_kinds[] = {
    {"attach", "", 0, 0, false, step_attach, "waits for a device and enumerates it"},
    {"wait-disconnect", "", 0, 0, false, step_wait_disconnect, "waits until the device has gone"},
    {"read-disk", "[OUT]", 0, 1, true, step_read_disk, "reads a whole disk, into the file OUT"},
    {"write-disk", "BLOCK FILE", 2, 2, true, step_write_disk, "writes FILE from block BLOCK on"},
    {"keyboard", "N", 1, 1, true, step_keyboard, "waits until N characters were typed"},
    {"source", "EP SIZE [REQUEST]", 2, 3, true, step_source,
     "reads words that count up (in whole packets)"},
    {"sink", "EP SIZE [REQUEST]", 2, 3, true, step_sink, "writes words that count up"},
    {"loopback", "OUT IN SIZE [REQUEST]", 3, 4, true, step_loopback,
     "writes random bytes, reads and compares them"},
    {"bulk-in", "EP SIZE [REQUEST]", 2, 3, true, step_bulk_in, "reads whatever comes"},
    {"bulk-once-in", "EP LENGTH", 2, 2, true, step_bulk_once_in, "one request; tells its status"},
    {"bulk-once-out", "EP [HEX]", 1, 2, true, step_bulk_once_out, "one request; tells its status"},
    {"interrupt-in", "EP [COUNT]", 1, 2, true, step_interrupt_in, "receives COUNT packets"},
    {"stamps", "EP [COUNT]", 1, 2, true, step_stamps,
     "receives packets with time stamps; tells their ages, us"},
    {"interrupt-out", "EP HEX", 2, 2, true, step_interrupt_out, "sends one packet"},
    {"control-in", "TYPE REQUEST VALUE INDEX LENGTH", 5, 5, true, step_control_in,
     "one control transfer; tells its status"},
    {"control-out", "TYPE REQUEST VALUE INDEX [HEX]", 4, 5, true, step_control_out,
     "one control transfer; tells its status"},
    {"loopback-sizes", "OUT IN MAX", 3, 3, true, step_loopback_sizes,
     "one transfer of each size around packet ends"},
    {"iso", "SECONDS EP…", 2, 1 + MAX_ISO_STREAMS, true, step_iso,
     "runs streams of packets that count, all at once"},
    {"begin", "EP [REQUEST [DEPTH]]", 1, 3, true, step_begin,
     "words that count up flow beside the next steps"},
    {"wait", "EP BYTES", 2, 2, false, step_wait, "waits until so much more has flowed"},
    {"end", "EP", 1, 1, false, step_end, "ends the flow in good order"},
    {"cut", "EP", 1, 1, false, step_cut, "ends it by cancelling what is in flight"},
    {"queue", "EP REQUEST COUNT", 3, 3, true, step_queue,
     "so many requests at once; tells their statuses"},
    {"cancel-storm", "EP [ROUNDS [LENGTH]]", 1, 3, true, step_cancel_storm,
     "submits and cancels requests for words"},
    {"cancel-storm-out", "OUT IN [ROUNDS]", 2, 3, true, step_cancel_storm_out,
     "the same with packets to a loopback"},
    {"clear-halt", "EP", 1, 1, true, step_clear_halt, "CLEAR_FEATURE(ENDPOINT_HALT)"},
    {"set-alt", "INTERFACE ALT", 2, 2, true, step_set_alt, "selects an alternate setting"},
    {"set-config", "NUMBER", 1, 1, true, step_set_config, "sets a configuration"},
    {"drop", "", 0, 0, true, step_drop, "closes the connection as it is"},
    {"reset", "", 0, 0, true, step_reset, "resets the device and enumerates it again"},
    {0},
};
