/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "guest-storms.h"

#include <string.h>

#include "guest-requests.h"
#include "sequence.h"

#define SEED      1
#define IN_FLIGHT 16

/* What a packet to the loopback holds: its number, again and again. */
#define PACKET_WORDS 100

typedef struct {
    uint64_t id;
    uint32_t number; /* of the packet, OUT only */
} Request;

typedef struct {
    GuestSocket *socket;
    GRand *random;
    uint8_t endpoint; /* whose requests are cancelled */
    uint8_t reader;   /* of the loopback, 0 = none */
    uint32_t length;
    GArray *requests; /* of Request, in flight */
    GArray *reads;    /* ids of requests to the reader */
    GArray *certain;  /* OUT: numbers of the packets that have to arrive, and have not; ascending */
    guint64 position; /* IN: the next word is not before this byte */
    uint32_t written, read;
    guint submitted, cancelled, answered;
    char *trouble;
} Storm;

static void trouble(Storm *storm, const char *format, ...) G_GNUC_PRINTF(2, 3);

static void trouble(Storm *storm, const char *format, ...)
{
    va_list arguments;

    if (storm->trouble)
        return;
    va_start(arguments, format);
    storm->trouble = g_strdup_vprintf(format, arguments);
    va_end(arguments);
}

static uint32_t word(const uint8_t *bytes)
{
    return bytes[0] | (uint32_t) bytes[1] << 8 | (uint32_t) bytes[2] << 16 |
           (uint32_t) bytes[3] << 24;
}

/* What came ------------------------------------------------------------------------------- */

static void check_words(Storm *storm, const uint8_t *data, gsize length)
{
    if (length < 4)
        return;
    guint64 position = (guint64) word(data) * 4;
    if (position < storm->position)
        trouble(storm, "word %#x came after byte %" G_GUINT64_FORMAT, word(data), storm->position);
    if (sequence_check(data, length, position) < length)
        trouble(storm, "a transfer of %" G_GSIZE_FORMAT " bytes is torn", length);
    storm->position = position + length;
}

static void check_packet(Storm *storm, const uint8_t *data, gsize length)
{
    if (length != PACKET_WORDS * 4) {
        trouble(storm, "a packet of %" G_GSIZE_FORMAT " bytes came back", length);
        return;
    }
    uint32_t number = word(data);
    for (gsize i = 0; i < length; i += 4) {
        if (word(data + i) != number)
            trouble(storm, "packet %u is torn", number);
    }
    if (number <= storm->read)
        trouble(storm, "packet %u came after packet %u", number, storm->read);
    storm->read = number;
    if (storm->certain->len == 0 || g_array_index(storm->certain, uint32_t, 0) > number)
        return; /* cancelled, but it went out */
    if (g_array_index(storm->certain, uint32_t, 0) < number)
        trouble(storm, "packet %u is lost", g_array_index(storm->certain, uint32_t, 0));
    g_array_remove_index(storm->certain, 0);
}

static void check_data(Storm *storm, const FakeGuestEvent *event)
{
    gsize length = 0;
    const uint8_t *data = event->data ? g_bytes_get_data(event->data, &length) : NULL;

    if (event->status != usb_redir_success)
        trouble(storm, "endpoint 0x%02x: %s", event->endpoint, usb_status_to_string(event->status));
    else if (length != event->length && event->endpoint & 0x80)
        trouble(storm, "%u bytes announced, %" G_GSIZE_FORMAT " came", event->length, length);
    else if (event->endpoint == storm->reader)
        check_packet(storm, data, length);
    else
        check_words(storm, data, length);
}

static void read_ahead(Storm *storm)
{
    while (storm->reader && storm->reads->len < IN_FLIGHT) {
        uint64_t id = fake_guest_bulk_in(guest_socket_guest(storm->socket), storm->reader, 512);
        g_array_append_val(storm->reads, id);
    }
}

static void take_answer(Storm *storm, const FakeGuestEvent *event)
{
    if (event->type != FAKE_GUEST_BULK || event->cancelled)
        return;
    /* An id may be another endpoint's by now. */
    for (guint i = 0; event->endpoint == storm->reader && i < storm->reads->len; i++) {
        if (g_array_index(storm->reads, uint64_t, i) != event->id)
            continue;
        g_array_remove_index(storm->reads, i);
        check_data(storm, event);
        read_ahead(storm);
        return;
    }
    for (guint i = 0; event->endpoint == storm->endpoint && i < storm->requests->len; i++) {
        if (g_array_index(storm->requests, Request, i).id != event->id)
            continue;
        g_array_remove_index(storm->requests, i);
        storm->answered++;
        check_data(storm, event);
        return;
    }
}

/* Takes in what comes within 2 ms; the endpoint may well have nothing to send. */
static bool listen_a_little(Storm *storm, GError **error)
{
    for (;;) {
        g_autoptr(GError) reason = NULL;
        g_autoptr(FakeGuestEvent) event = guest_socket_poll(storm->socket, 2, &reason);
        if (reason) {
            g_propagate_error(error, g_steal_pointer(&reason));
            return false;
        }
        if (!event)
            break;
        take_answer(storm, event);
    }
    if (fake_guest_attached(guest_socket_guest(storm->socket)))
        return true;
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_CONNECTION_CLOSED, "the device has gone");
    return false;
}

/* What goes ------------------------------------------------------------------------------- */

static uint64_t submit_packet(Storm *storm, FakeGuest *guest)
{
    uint8_t data[PACKET_WORDS * 4];

    for (gsize i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t) (storm->written >> i % 4 * 8);
    return fake_guest_bulk_out(guest, storm->endpoint, data, sizeof(data));
}

static void submit(Storm *storm)
{
    FakeGuest *guest = guest_socket_guest(storm->socket);

    while (storm->requests->len < IN_FLIGHT) {
        Request request = {.number = ++storm->written};
        if (storm->reader) {
            g_array_append_val(storm->certain, request.number);
            request.id = submit_packet(storm, guest);
        } else {
            request.id = fake_guest_bulk_in(guest, storm->endpoint, storm->length);
        }
        g_array_append_val(storm->requests, request);
        storm->submitted++;
    }
}

static void cancel_one(Storm *storm, guint i)
{
    const Request *request = &g_array_index(storm->requests, Request, i);

    fake_guest_cancel(guest_socket_guest(storm->socket), request->id);
    for (guint n = 0; n < storm->certain->len; n++) {
        if (g_array_index(storm->certain, uint32_t, n) == request->number) {
            g_array_remove_index(storm->certain, n);
            break;
        }
    }
    g_array_remove_index(storm->requests, i);
    storm->cancelled++;
}

static void cancel_some(Storm *storm, guint count)
{
    for (count = MIN(count, storm->requests->len); count > 0; count--)
        cancel_one(storm,
                   (guint) g_rand_int_range(storm->random, 0, (gint32) storm->requests->len));
}

static bool run(Storm *storm, guint rounds, GError **error)
{
    for (guint i = 0; i < rounds && !storm->trouble; i++) {
        submit(storm);
        if (g_rand_boolean(storm->random) && !listen_a_little(storm, error))
            return false;
        cancel_some(storm, (guint) g_rand_int_range(storm->random, 0, IN_FLIGHT + 1));
    }
    return true;
}

static bool report(Storm *storm, GString *result, GError **error)
{
    g_string_append_printf(result, "%u requests, %u cancelled, %u answered", storm->submitted,
                           storm->cancelled, storm->answered);
    if (storm->trouble)
        g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_FAILED, storm->trouble);
    return !storm->trouble;
}

static void begin(Storm *storm, GuestSocket *socket, uint8_t endpoint)
{
    *storm = (Storm){.socket = socket, .endpoint = endpoint};
    storm->random = g_rand_new_with_seed(SEED);
    storm->requests = g_array_new(FALSE, FALSE, sizeof(Request));
    storm->reads = g_array_new(FALSE, FALSE, sizeof(uint64_t));
    storm->certain = g_array_new(FALSE, FALSE, sizeof(uint32_t));
}

static void clear(Storm *storm)
{
    g_rand_free(storm->random);
    g_array_unref(storm->requests);
    g_array_unref(storm->reads);
    g_array_unref(storm->certain);
    g_free(storm->trouble);
}

bool guest_storm_in(GuestSocket *socket, uint8_t endpoint, guint rounds, uint32_t length,
                    GString *result, GError **error)
{
    Storm storm;

    begin(&storm, socket, endpoint);
    storm.length = length;
    bool good = run(&storm, rounds, error);
    if (good) {
        cancel_some(&storm, storm.requests->len);
        good = guest_barrier(socket, error);
    }
    good = good && report(&storm, result, error);
    clear(&storm);
    return good;
}

/* Every packet that was not cancelled, the last one among them, has come back. */
static bool wait_for_packets(Storm *storm, GError **error)
{
    while (!storm->trouble && (storm->requests->len > 0 || storm->certain->len > 0)) {
        g_autoptr(FakeGuestEvent) event = guest_socket_next(storm->socket, error);
        if (!event)
            return false;
        take_answer(storm, event);
    }
    return true;
}

bool guest_storm_out(GuestSocket *socket, uint8_t out, uint8_t in, guint rounds, GString *result,
                     GError **error)
{
    Storm storm;

    begin(&storm, socket, out);
    storm.reader = in;
    read_ahead(&storm);
    bool good = run(&storm, rounds, error);
    if (good) {
        submit(&storm);
        good = wait_for_packets(&storm, error);
    }
    for (guint i = 0; good && i < storm.reads->len; i++)
        fake_guest_cancel(guest_socket_guest(socket), g_array_index(storm.reads, uint64_t, i));
    good = good && guest_barrier(socket, error) && report(&storm, result, error);
    clear(&storm);
    return good;
}
