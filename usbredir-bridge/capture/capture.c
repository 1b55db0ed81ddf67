/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "capture.h"

#include "pcapng.h"
#include "usbmon.h"

#include <errno.h>

#define BUS 1

/* Kept free for the note that the limit was reached. */
#define LAST_NOTE_BYTES 256

struct Capture {
    int64_t wall_clock; /* since 1970, at 0 of the caller's clock */
    int64_t last;       /* time of the last frame, caller's clock */
    uint64_t max_bytes;
    uint64_t bytes; /* so far */
    uint8_t address;
    bool ended;
    uint32_t n_urbs;
    GHashTable *pending; /* guest's id -> Pending */
    GArray *cancelled;   /* of uint64_t, ids whose next answer is for a request that is over */
    GByteArray *frame;   /* scratch */
    GByteArray *out;     /* what nobody has taken yet */
};

/* A request without an answer. */
typedef struct {
    uint64_t id; /* first: the key */
    uint64_t urb;
    EndpointType type;
    uint8_t endpoint;
    uint8_t interval;
} Pending;

int capture_status(DeviceStatus status)
{
    switch (status) {
    case DEVICE_SUCCESS: return 0;
    case DEVICE_CANCELLED: return -ECONNRESET;
    case DEVICE_INVAL: return -EINVAL;
    case DEVICE_IOERROR: return -EPROTO;
    case DEVICE_STALL: return -EPIPE;
    case DEVICE_TIMEOUT: return -ETIMEDOUT;
    case DEVICE_BABBLE: return -EOVERFLOW;
    }
    return -EPROTO;
}

/* ---- Frames ---- */

static void append_frame(Capture *capture, UsbmonEvent *event, const char *comment)
{
    event->bus = BUS;
    event->device = capture->address;
    event->time = capture->wall_clock + capture->last;
    g_byte_array_set_size(capture->frame, 0);
    usbmon_append(capture->frame, event);
    pcapng_packet(capture->out, event->time, capture->frame->data, capture->frame->len, comment);
}

static void append_note(Capture *capture, const char *note)
{
    UsbmonEvent event = {
        .event = USBMON_ERROR, .type = ENDPOINT_CONTROL, .urb = (uint64_t) ++capture->n_urbs << 32};
    append_frame(capture, &event, note);
}

static void set_time(Capture *capture, int64_t now)
{
    capture->last = MAX(capture->last, now);
}

/* Whole frames only, and always room for one more to say that they end. */
static void keep_limit(Capture *capture, guint before)
{
    uint64_t bytes = capture->bytes + (capture->out->len - before);
    if (bytes + LAST_NOTE_BYTES <= capture->max_bytes) {
        capture->bytes = bytes;
        return;
    }
    g_byte_array_set_size(capture->out, before);
    g_autofree char *note = g_strdup_printf(
        "The capture ends here, at its limit of %" G_GUINT64_FORMAT " bytes. The device goes on.",
        capture->max_bytes);
    append_note(capture, note);
    capture->bytes += capture->out->len - before;
    capture->ended = true;
}

static void add_event(Capture *capture, UsbmonEvent *event, int64_t now)
{
    guint before = capture->out->len;
    if (capture->ended)
        return;
    set_time(capture, now);
    append_frame(capture, event, "");
    keep_limit(capture, before);
}

static void add_note(Capture *capture, int64_t now, const char *note)
{
    guint before = capture->out->len;
    if (capture->ended)
        return;
    set_time(capture, now);
    append_note(capture, note);
    keep_limit(capture, before);
}

/* ---- Requests and answers ---- */

/* The lower half is the guest's, to find it in the guest's own logs; the upper half keeps apart
 * what the guest uses again. */
static uint64_t new_urb(Capture *capture, uint64_t id)
{
    return (uint64_t) ++capture->n_urbs << 32 | (uint32_t) id;
}

static void add_submission(Capture *capture, const Pending *urb, const CaptureRequest *request,
                           int64_t now)
{
    UsbmonEvent event = {.event = USBMON_SUBMIT,
                         .type = urb->type,
                         .urb = urb->urb,
                         .endpoint = urb->endpoint,
                         .setup = urb->type == ENDPOINT_CONTROL ? &request->setup : NULL,
                         .interval = urb->interval,
                         .length = request->length,
                         .data = request->data};
    add_event(capture, &event, now);
}

static void add_completion(Capture *capture, const Pending *urb, int status, uint32_t length,
                           const uint8_t *data, int64_t now)
{
    UsbmonEvent event = {.event = USBMON_COMPLETE,
                         .type = urb->type,
                         .urb = urb->urb,
                         .endpoint = urb->endpoint,
                         .status = status,
                         .interval = urb->interval,
                         .length = length,
                         .data = data};
    add_event(capture, &event, now);
}

static Pending pending_of(Capture *capture, uint64_t id, const CaptureRequest *request)
{
    bool control = request->type == ENDPOINT_CONTROL;
    return (Pending){.id = id,
                     .urb = new_urb(capture, id),
                     .type = request->type,
                     .endpoint =
                         control ? (request->setup.request_type & 0x80) | (request->endpoint & 0x0f)
                                 : request->endpoint,
                     .interval = request->interval};
}

void capture_request(Capture *capture, uint64_t id, const CaptureRequest *request, int64_t now)
{
    if (capture->ended)
        return;
    Pending *pending = g_new(Pending, 1);
    *pending = pending_of(capture, id, request);
    add_submission(capture, pending, request, now);
    g_hash_table_replace(capture->pending, &pending->id, pending);
}

void capture_cancel(Capture *capture, uint64_t id, int64_t now)
{
    const Pending *pending = g_hash_table_lookup(capture->pending, &id);
    if (!pending) {
        capture_note(capture, now, "guest: cancel of ...%08x, which is answered already",
                     (uint32_t) id);
        return;
    }
    add_completion(capture, pending, -ECONNRESET, 0, NULL, now);
    g_hash_table_remove(capture->pending, &id);
    g_array_append_val(capture->cancelled, id);
}

/* As QEMU finds it out: the first answer is the cancelled request's, even if the id is in use
 * again. */
static bool is_late(Capture *capture, uint64_t id)
{
    for (guint i = 0; i < capture->cancelled->len; i++) {
        if (g_array_index(capture->cancelled, uint64_t, i) == id) {
            g_array_remove_index(capture->cancelled, i);
            return true;
        }
    }
    return false;
}

void capture_answer(Capture *capture, uint64_t id, DeviceStatus status, uint32_t length,
                    const uint8_t *data, int64_t now)
{
    if (is_late(capture, id)) {
        capture_note(capture, now, "device: answer to ...%08x, which was cancelled: %s, %u bytes",
                     (uint32_t) id, device_status_to_string(status), length);
        return;
    }
    const Pending *pending = g_hash_table_lookup(capture->pending, &id);
    if (!pending)
        return;
    add_completion(capture, pending, capture_status(status), length, data, now);
    g_hash_table_remove(capture->pending, &id);
}

void capture_answer_value(Capture *capture, uint64_t id, DeviceStatus status, uint8_t value,
                          int64_t now)
{
    const Pending *pending = g_hash_table_lookup(capture->pending, &id);
    bool asked = pending && pending->endpoint & 0x80 && status == DEVICE_SUCCESS;
    capture_answer(capture, id, status, asked ? 1 : 0, asked ? &value : NULL, now);
}

void capture_packet(Capture *capture, uint64_t id, const CaptureRequest *packet,
                    DeviceStatus status, uint32_t length, const uint8_t *data, int64_t now)
{
    if (capture->ended)
        return;
    const Pending urb = pending_of(capture, id, packet);
    add_submission(capture, &urb, packet, now);
    add_completion(capture, &urb, capture_status(status), length, data, now);
}

/* ---- What is no transfer ---- */

void capture_note(Capture *capture, int64_t now, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *note = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    add_note(capture, now, note);
}

static int by_urb(const void *a, const void *b)
{
    uint64_t first = ((const Pending *) a)->urb, second = ((const Pending *) b)->urb;
    return first < second ? -1 : first > second;
}

void capture_gone(Capture *capture, int64_t now, const char *note)
{
    add_note(capture, now, note);
    g_autoptr(GList) pending = g_list_sort(g_hash_table_get_values(capture->pending), by_urb);
    for (GList *i = pending; i; i = i->next)
        add_completion(capture, i->data, -ESHUTDOWN, 0, NULL, now);
    g_hash_table_remove_all(capture->pending);
    g_array_set_size(capture->cancelled, 0);
}

/* ---- Life ---- */

static void append_start(Capture *capture, const char *vm, const RdpusbDeviceInfo *info)
{
    g_autofree char *name = g_strdup_printf("%04x:%04x%s%s", info->vendor, info->product,
                                            *info->product_name ? " " : "", info->product_name);
    g_autofree char *description = g_strdup_printf("USB device at the VM %s", vm);
    g_autofree char *comment = g_strdup_printf(
        "Traffic of %s as the VM %s sees it. Frames of type 'E' are no errors but notes: what "
        "happened stands in their comment.",
        name, vm);
    pcapng_section(capture->out, "rdpusb " RDPUSB_VERSION, comment);
    pcapng_interface(capture->out, USBMON_LINK_TYPE, name, description);
    capture->bytes = capture->out->len;
}

Capture *capture_new(const RdpusbCapture *options, const RdpusbDeviceInfo *info, int64_t now)
{
    Capture *capture = g_new0(Capture, 1);
    capture->wall_clock = options->wall_clock - now;
    capture->last = now;
    capture->max_bytes = MAX(options->max_bytes, RDPUSB_CAPTURE_MIN_BYTES);
    capture->address = options->address;
    capture->pending = g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL, g_free);
    capture->cancelled = g_array_new(FALSE, FALSE, sizeof(uint64_t));
    capture->frame = g_byte_array_new();
    capture->out = g_byte_array_new();
    append_start(capture, options->vm, info);
    return capture;
}

void capture_free(Capture *capture)
{
    if (!capture)
        return;
    g_hash_table_unref(capture->pending);
    g_array_unref(capture->cancelled);
    g_byte_array_unref(capture->frame);
    g_byte_array_unref(capture->out);
    g_free(capture);
}

void capture_end(Capture *capture, int64_t now, const char *note)
{
    add_note(capture, now, note);
    capture->ended = true;
}

bool capture_is_active(const Capture *capture)
{
    return !capture->ended;
}

GBytes *capture_take(Capture *capture)
{
    if (capture->out->len == 0)
        return NULL;
    GBytes *bytes = g_byte_array_free_to_bytes(capture->out);
    capture->out = g_byte_array_new();
    return bytes;
}
