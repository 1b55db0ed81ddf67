/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "guest-stamps.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "guest-requests.h"

/* What is older has another meaning. */
#define MAX_AGE_NS (60 * UINT64_C(1000000000))

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t) now.tv_sec * 1000000000 + (uint64_t) now.tv_nsec;
}

static bool append_age(const FakeGuestEvent *event, GString *result, GError **error)
{
    uint64_t now = now_ns(), stamp = 0;
    gsize length = 0;
    const void *data = event->data ? g_bytes_get_data(event->data, &length) : NULL;

    if (length >= sizeof(stamp))
        memcpy(&stamp, data, sizeof(stamp));
    stamp = GUINT64_FROM_LE(stamp);
    if (event->status != usb_redir_success || stamp > now || now - stamp > MAX_AGE_NS) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED,
                    "%s: %" G_GSIZE_FORMAT " bytes that begin with no time stamp",
                    usb_status_to_string(event->status), length);
        return false;
    }
    g_string_append_printf(result, "%s%" PRIu64, result->len ? " " : "", (now - stamp) / 1000);
    return true;
}

bool guest_stamps(GuestSocket *socket, uint8_t endpoint, guint count, GString *result,
                  GError **error)
{
    fake_guest_start_interrupt_receiving(guest_socket_guest(socket), endpoint);
    for (guint i = 0; i < count; i++) {
        g_autoptr(FakeGuestEvent) event = guest_await_interrupt(socket, endpoint, error);
        if (!event || !append_age(event, result, error))
            return false;
    }
    fake_guest_stop_interrupt_receiving(guest_socket_guest(socket), endpoint);
    return guest_socket_settle(socket, error);
}
