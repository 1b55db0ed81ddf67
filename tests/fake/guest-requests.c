/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "guest-requests.h"

#include <inttypes.h>
#include <string.h>

#define IN_FLIGHT 16

/* [USB 2.0] 9.4 */
#define GET_DESCRIPTOR 6
#define CLEAR_FEATURE  1

#define DESCRIPTOR_DEVICE        1
#define DESCRIPTOR_CONFIGURATION 2
#define DESCRIPTOR_STRING        3

const char *usb_status_to_string(uint8_t status)
{
    static const char *const names[] = {"success", "cancelled", "inval", "ioerror",
                                        "stall",   "timeout",   "babble"};
    return status < G_N_ELEMENTS(names) ? names[status] : "unknown status";
}

static bool is_gone(const FakeGuestEvent *event, GError **error)
{
    if (event->type != FAKE_GUEST_DEVICE_DISCONNECT && event->type != FAKE_GUEST_REJECTED)
        return false;
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_CONNECTION_CLOSED, "the device has gone: %s",
                fake_guest_event_type_to_string(event->type));
    return true;
}

static bool is_answer(const FakeGuestEvent *event)
{
    return event->type >= FAKE_GUEST_CONTROL && event->type <= FAKE_GUEST_ALT_SETTING_STATUS &&
           !event->cancelled;
}

/* The next answer to a request that was not cancelled. */
static FakeGuestEvent *next_answer(GuestSocket *socket, GError **error)
{
    for (;;) {
        g_autoptr(FakeGuestEvent) event = guest_socket_next(socket, error);
        if (!event || is_gone(event, error))
            return NULL;
        if (is_answer(event))
            return g_steal_pointer(&event);
    }
}

FakeGuestEvent *guest_await(GuestSocket *socket, uint64_t id, GError **error)
{
    if (id == 0) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_CONNECTION_CLOSED, "no device is attached");
        return NULL;
    }
    for (;;) {
        g_autoptr(FakeGuestEvent) event = next_answer(socket, error);
        if (!event || event->id == id)
            return g_steal_pointer(&event);
    }
}

FakeGuestEvent *guest_await_interrupt(GuestSocket *socket, uint8_t endpoint, GError **error)
{
    for (;;) {
        g_autoptr(FakeGuestEvent) event = guest_socket_next(socket, error);
        if (!event || is_gone(event, error))
            return NULL;
        if (event->type == FAKE_GUEST_INTERRUPT_IN && event->endpoint == endpoint)
            return g_steal_pointer(&event);
    }
}

bool guest_await_gone(GuestSocket *socket, GError **error)
{
    while (guest_socket_guest(socket) && fake_guest_attached(guest_socket_guest(socket))) {
        g_autoptr(GError) reason = NULL;
        g_autoptr(FakeGuestEvent) event = guest_socket_next(socket, &reason);
        if (event || g_error_matches(reason, G_IO_ERROR, G_IO_ERROR_CONNECTION_CLOSED))
            continue;
        g_propagate_error(error, g_steal_pointer(&reason));
        return false;
    }
    return true;
}

bool guest_await_device(GuestSocket *socket, GError **error)
{
    for (;;) {
        g_autoptr(GError) reason = NULL;
        if (!guest_socket_open(socket, error))
            return false;
        FakeGuest *guest = guest_socket_guest(socket);
        if (fake_guest_attached(guest)) {
            guest_socket_forget(socket); /* says nothing about this device, or nobody asked */
            return true;
        }
        g_autoptr(FakeGuestEvent) event = guest_socket_next(socket, &reason);
        if (event || g_error_matches(reason, G_IO_ERROR, G_IO_ERROR_CONNECTION_CLOSED))
            continue;
        g_propagate_error(error, g_steal_pointer(&reason));
        return false;
    }
}

static bool check_success(const FakeGuestEvent *event, const char *what, GError **error)
{
    if (event->status == usb_redir_success)
        return true;
    bool stall = event->status == usb_redir_stall;
    g_set_error(error, G_IO_ERROR, stall ? G_IO_ERROR_NOT_SUPPORTED : G_IO_ERROR_FAILED, "%s: %s",
                what, usb_status_to_string(event->status));
    return false;
}

static bool await_success(GuestSocket *socket, uint64_t id, const char *what, GError **error)
{
    g_autoptr(FakeGuestEvent) event = guest_await(socket, id, error);
    return event && check_success(event, what, error);
}

/* The guest of the connection, unless that has just been lost. */
static FakeGuest *connected(const GuestSocket *socket, GError **error)
{
    FakeGuest *guest = guest_socket_guest(socket);

    if (!guest)
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_CONNECTION_CLOSED, "not connected");
    return guest;
}

GBytes *guest_control_in(GuestSocket *socket, uint8_t requesttype, uint8_t request, uint16_t value,
                         uint16_t index, uint16_t length, GError **error)
{
    FakeGuest *guest = connected(socket, error);
    if (!guest)
        return NULL;
    g_autofree char *what = g_strdup_printf("control IN 0x%02x 0x%02x 0x%04x 0x%04x", requesttype,
                                            request, value, index);
    uint64_t id = fake_guest_control_in(guest, requesttype, request, value, index, length);
    g_autoptr(FakeGuestEvent) event = guest_await(socket, id, error);

    if (!event || !check_success(event, what, error))
        return NULL;
    return event->data ? g_bytes_ref(event->data) : g_bytes_new(NULL, 0);
}

bool guest_control_out(GuestSocket *socket, uint8_t requesttype, uint8_t request, uint16_t value,
                       uint16_t index, const void *data, uint16_t length, GError **error)
{
    FakeGuest *guest = connected(socket, error);
    if (!guest)
        return false;
    g_autofree char *what = g_strdup_printf("control OUT 0x%02x 0x%02x 0x%04x 0x%04x", requesttype,
                                            request, value, index);
    return await_success(
        socket, fake_guest_control_out(guest, requesttype, request, value, index, data, length),
        what, error);
}

bool guest_barrier(GuestSocket *socket, GError **error)
{
    FakeGuest *guest = connected(socket, error);
    if (!guest)
        return false;
    return await_success(socket, fake_guest_get_configuration(guest), "get_configuration", error);
}

bool guest_set_configuration(GuestSocket *socket, uint8_t configuration, GError **error)
{
    FakeGuest *guest = connected(socket, error);
    if (!guest)
        return false;
    return await_success(socket, fake_guest_set_configuration(guest, configuration),
                         "set_configuration", error);
}

bool guest_set_alt_setting(GuestSocket *socket, uint8_t interface, uint8_t alt, GError **error)
{
    FakeGuest *guest = connected(socket, error);
    if (!guest)
        return false;
    return await_success(socket, fake_guest_set_alt_setting(guest, interface, alt),
                         "set_alt_setting", error);
}

bool guest_clear_halt(GuestSocket *socket, uint8_t endpoint, GError **error)
{
    return guest_control_out(socket, 0x02, CLEAR_FEATURE, 0, endpoint, NULL, 0, error);
}

FakeGuestEvent *guest_bulk(GuestSocket *socket, uint8_t endpoint, const void *data, uint32_t length,
                           GError **error)
{
    FakeGuest *guest = connected(socket, error);
    if (!guest)
        return NULL;
    uint64_t id = endpoint & 0x80 ? fake_guest_bulk_in(guest, endpoint, length)
                                  : fake_guest_bulk_out(guest, endpoint, data, length);
    return guest_await(socket, id, error);
}

/* One direction of a pipelined exchange. */
typedef struct {
    uint8_t endpoint;
    uint32_t request;
    uint64_t left; /* bytes not asked for or sent yet; short answers give some back */
    uint64_t sent; /* OUT: position in data */
    const uint8_t *data;
    GByteArray *into;
    GQueue in_flight; /* lengths, in the order of submission */
} Pipe;

static void fill_pipe(GuestSocket *socket, Pipe *pipe)
{
    FakeGuest *guest = guest_socket_guest(socket);

    while (pipe->left > 0 && pipe->in_flight.length < IN_FLIGHT) {
        uint32_t length = (uint32_t) MIN(pipe->left, pipe->request);
        if (pipe->endpoint & 0x80)
            fake_guest_bulk_in(guest, pipe->endpoint, length);
        else
            fake_guest_bulk_out(guest, pipe->endpoint, pipe->data + pipe->sent, length);
        pipe->left -= length;
        pipe->sent += length;
        g_queue_push_tail(&pipe->in_flight, GUINT_TO_POINTER(length));
    }
}

static bool drain_pipe(Pipe *pipe, const FakeGuestEvent *event, GError **error)
{
    g_autofree char *what = g_strdup_printf("endpoint 0x%02x", pipe->endpoint);
    guint wanted = GPOINTER_TO_UINT(g_queue_pop_head(&pipe->in_flight));

    if (!check_success(event, what, error))
        return false;
    if (event->length > wanted) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED, "%s: %u bytes, %u wanted", what,
                    event->length, wanted);
        return false;
    }
    if (event->data)
        g_byte_array_append(pipe->into, g_bytes_get_data(event->data, NULL),
                            (guint) g_bytes_get_size(event->data));
    pipe->left += wanted - event->length;
    return true;
}

static bool run_pipes(GuestSocket *socket, Pipe *pipes, guint count, GError **error)
{
    for (;;) {
        guint busy = 0;
        for (guint i = 0; i < count; i++) {
            fill_pipe(socket, &pipes[i]);
            busy += pipes[i].in_flight.length;
        }
        if (busy == 0)
            return true;
        g_autoptr(FakeGuestEvent) event = next_answer(socket, error);
        if (!event)
            return false;
        for (guint i = 0; i < count; i++) {
            if (event->type == FAKE_GUEST_BULK && event->endpoint == pipes[i].endpoint &&
                !drain_pipe(&pipes[i], event, error))
                return false;
        }
    }
}

static bool run_and_clear(GuestSocket *socket, Pipe *pipes, guint count, GError **error)
{
    if (!connected(socket, error))
        return false;
    bool good = run_pipes(socket, pipes, count, error);

    for (guint i = 0; i < count; i++)
        g_queue_clear(&pipes[i].in_flight);
    return good;
}

bool guest_bulk_read(GuestSocket *socket, uint8_t endpoint, uint64_t total, uint32_t request,
                     GByteArray *into, GError **error)
{
    Pipe pipe = {.endpoint = endpoint | 0x80, .request = request, .left = total, .into = into};
    return run_and_clear(socket, &pipe, 1, error);
}

bool guest_bulk_write(GuestSocket *socket, uint8_t endpoint, const uint8_t *data, uint64_t total,
                      uint32_t request, GError **error)
{
    Pipe pipe = {.endpoint = endpoint & 0x7f, .request = request, .left = total, .data = data};
    return run_and_clear(socket, &pipe, 1, error);
}

bool guest_bulk_exchange(GuestSocket *socket, uint8_t out, uint8_t in, const uint8_t *data,
                         uint64_t total, uint32_t request, GByteArray *into, GError **error)
{
    Pipe pipes[] = {{.endpoint = out & 0x7f, .request = request, .left = total, .data = data},
                    {.endpoint = in | 0x80, .request = request, .left = total, .into = into}};
    return run_and_clear(socket, pipes, 2, error);
}

static GBytes *get_descriptor(GuestSocket *socket, uint8_t type, uint8_t index, uint16_t language,
                              uint16_t length, uint16_t minimum, GError **error)
{
    g_autoptr(GBytes) descriptor = guest_control_in(
        socket, 0x80, GET_DESCRIPTOR, (uint16_t) (type << 8 | index), language, length, error);

    if (!descriptor)
        return NULL;
    gsize got;
    const uint8_t *bytes = g_bytes_get_data(descriptor, &got);
    if (got < minimum || bytes[1] != type) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED,
                    "descriptor of type %u: %" G_GSIZE_FORMAT " bytes of type %u", type, got,
                    got > 1 ? bytes[1] : 0);
        return NULL;
    }
    return g_steal_pointer(&descriptor);
}

/* A device may have no strings, whatever it says: no guest minds. */
static bool forgive_stall(GError **reason, GError **error)
{
    if (g_error_matches(*reason, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED))
        return true;
    g_propagate_error(error, g_steal_pointer(reason));
    return false;
}

static bool append_string(GuestSocket *socket, uint8_t index, GString *description, GError **error)
{
    if (index == 0)
        return true;
    g_autoptr(GError) reason = NULL;
    g_autoptr(GBytes) descriptor =
        get_descriptor(socket, DESCRIPTOR_STRING, index, 0x0409, 255, 2, &reason);
    if (!descriptor)
        return forgive_stall(&reason, error);
    gsize length;
    const uint8_t *bytes = g_bytes_get_data(descriptor, &length);
    g_autofree char *text = g_convert((const char *) bytes + 2, (gssize) (length - 2), "UTF-8",
                                      "UTF-16LE", NULL, NULL, error);
    if (text)
        g_string_append_printf(description, " \"%s\"", text);
    return text != NULL;
}

static bool append_strings(GuestSocket *socket, const uint8_t *device, GString *description,
                           GError **error)
{
    g_autoptr(GBytes) languages = NULL;

    if (!device[14] && !device[15] && !device[16])
        return true;
    g_autoptr(GError) reason = NULL;
    languages = get_descriptor(socket, DESCRIPTOR_STRING, 0, 0, 255, 4, &reason);
    if (!languages)
        return forgive_stall(&reason, error);
    return append_string(socket, device[14], description, error) &&
           append_string(socket, device[15], description, error) &&
           append_string(socket, device[16], description, error);
}

static void append_interfaces(const GuestSocket *socket, GString *description)
{
    const struct usb_redir_interface_info_header *info =
        fake_guest_interface_info(guest_socket_guest(socket));

    g_string_append(description, " interfaces");
    for (uint32_t i = 0; i < info->interface_count; i++)
        g_string_append_printf(description, " %u:%u/%u/%u", info->interface[i],
                               info->interface_class[i], info->interface_subclass[i],
                               info->interface_protocol[i]);
}

/* The whole of the first configuration descriptor: its number, or 0. */
static uint8_t read_configuration(GuestSocket *socket, GError **error)
{
    g_autoptr(GBytes) head = get_descriptor(socket, DESCRIPTOR_CONFIGURATION, 0, 0, 9, 9, error);
    if (!head)
        return 0;
    const uint8_t *bytes = g_bytes_get_data(head, NULL);
    uint16_t total = (uint16_t) (bytes[2] | bytes[3] << 8);
    g_autoptr(GBytes) whole =
        get_descriptor(socket, DESCRIPTOR_CONFIGURATION, 0, 0, total, total, error);
    if (!whole)
        return 0;
    return ((const uint8_t *) g_bytes_get_data(whole, NULL))[5];
}

bool guest_enumerate(GuestSocket *socket, GString *description, GError **error)
{
    FakeGuest *guest = connected(socket, error);
    if (!guest)
        return false;
    fake_guest_reset(guest);
    g_autoptr(GBytes) head = get_descriptor(socket, DESCRIPTOR_DEVICE, 0, 0, 8, 8, error);
    if (!head)
        return false;
    guest = connected(socket, error);
    if (!guest)
        return false;
    fake_guest_reset(guest);
    g_autoptr(GBytes) device = get_descriptor(socket, DESCRIPTOR_DEVICE, 0, 0, 18, 18, error);
    if (!device)
        return false;
    const uint8_t *bytes = g_bytes_get_data(device, NULL);
    g_string_append_printf(description, "%02x%02x:%02x%02x", bytes[9], bytes[8], bytes[11],
                           bytes[10]);
    if (!append_strings(socket, bytes, description, error))
        return false;
    uint8_t configuration = read_configuration(socket, error);
    if (configuration == 0 || !guest_set_configuration(socket, configuration, error))
        return false;
    append_interfaces(socket, description);
    return true;
}

uint8_t guest_find_endpoint(const GuestSocket *socket, uint8_t interface, uint8_t type,
                            uint8_t direction)
{
    const FakeGuest *guest = guest_socket_guest(socket);

    for (uint8_t number = 1; guest && number < 16; number++) {
        const struct usb_redir_ep_info_header *info = fake_guest_ep_info(guest);
        unsigned slot = fake_guest_slot(number | direction);
        if (info->type[slot] == type && info->interface[slot] == interface)
            return number | direction;
    }
    return 0;
}

int guest_find_interface(const GuestSocket *socket, uint8_t class, uint8_t subclass,
                         uint8_t protocol)
{
    const FakeGuest *guest = guest_socket_guest(socket);
    const struct usb_redir_interface_info_header *info =
        guest ? fake_guest_interface_info(guest) : NULL;

    for (uint32_t i = 0; info && i < info->interface_count; i++) {
        if (info->interface_class[i] == class && info->interface_subclass[i] == subclass &&
            info->interface_protocol[i] == protocol)
            return info->interface[i];
    }
    return -1;
}
