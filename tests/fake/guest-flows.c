/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "guest-flows.h"

#include "guest-requests.h"
#include "sequence.h"

#define SLOTS          32
#define DEFAULT_BULK   (16 << 10)
#define DEFAULT_DEPTH  16
#define INTERRUPT_TYPE usb_redir_type_interrupt

typedef struct {
    uint64_t id;
    uint32_t length;
} Asked;

typedef struct {
    uint8_t endpoint, type;
    uint32_t request;
    guint depth;
    guint left;        /* requests still to be made */
    bool any_status;   /* of a queue: a status is a result */
    bool forsaken;     /* nobody asks for it any more; freed when its answers are there */
    guint64 submitted; /* OUT: position of the next request */
    guint64 bytes;     /* moved */
    guint answers;
    GQueue in_flight;   /* of Asked, in the order of submission */
    GString *statuses;  /* of a queue */
    uint8_t run_status; /* the last of them, and how often it came */
    guint run;
    char *trouble; /* what was wrong first */
    bool gone;     /* that was the device's leaving */
} Flow;

struct GuestFlows {
    GuestSocket *socket;
    GQueue flows; /* of Flow */
    guint64 positions[SLOTS];
};

static bool is_in(const Flow *flow)
{
    return flow->endpoint & 0x80;
}

static bool is_stream(const Flow *flow)
{
    return is_in(flow) && flow->type == INTERRUPT_TYPE;
}

static guint64 *position_of(GuestFlows *flows, const Flow *flow)
{
    return &flows->positions[fake_guest_slot(flow->endpoint)];
}

static void flow_free(Flow *flow)
{
    g_queue_clear_full(&flow->in_flight, g_free);
    g_string_free(flow->statuses, TRUE);
    g_free(flow->trouble);
    g_free(flow);
}

static void flow_fail(Flow *flow, const char *format, ...) G_GNUC_PRINTF(2, 3);

static void flow_fail(Flow *flow, const char *format, ...)
{
    va_list arguments;

    flow->left = 0;
    if (flow->trouble)
        return;
    va_start(arguments, format);
    flow->trouble = g_strdup_vprintf(format, arguments);
    va_end(arguments);
}

static void forget(GuestFlows *flows, Flow *flow)
{
    g_queue_remove(&flows->flows, flow);
    flow_free(flow);
}

/* Requests --------------------------------------------------------------------------------- */

static uint64_t submit(FakeGuest *guest, Flow *flow)
{
    g_autofree uint8_t *data = NULL;

    if (is_in(flow))
        return fake_guest_bulk_in(guest, flow->endpoint, flow->request);
    data = g_malloc(flow->request);
    sequence_fill(data, flow->request, flow->submitted);
    flow->submitted += flow->request;
    return flow->type == INTERRUPT_TYPE
               ? fake_guest_interrupt_out(guest, flow->endpoint, data, (uint16_t) flow->request)
               : fake_guest_bulk_out(guest, flow->endpoint, data, flow->request);
}

static void fill(GuestFlows *flows, Flow *flow)
{
    FakeGuest *guest = guest_socket_guest(flows->socket);

    while (guest && !is_stream(flow) && flow->left > 0 && flow->in_flight.length < flow->depth) {
        Asked *asked = g_new0(Asked, 1);
        asked->id = submit(guest, flow);
        asked->length = flow->request;
        g_queue_push_tail(&flow->in_flight, asked);
        if (flow->left != G_MAXUINT)
            flow->left--;
    }
}

/* Answers ---------------------------------------------------------------------------------- */

static void end_run(Flow *flow)
{
    if (flow->run > 0)
        g_string_append_printf(flow->statuses, "%s%u %s", flow->statuses->len ? ", " : "",
                               flow->run, usb_status_to_string(flow->run_status));
    flow->run = 0;
}

static void count_status(Flow *flow, uint8_t status)
{
    if (status != flow->run_status)
        end_run(flow);
    flow->run_status = status;
    flow->run++;
}

static void check_data(Flow *flow, const FakeGuestEvent *event, guint64 position)
{
    gsize length = 0;
    const uint8_t *data = event->data ? g_bytes_get_data(event->data, &length) : NULL;
    gsize right = sequence_check(data, length, position);

    if (length != event->length)
        flow_fail(flow, "%u bytes announced, %" G_GSIZE_FORMAT " came", event->length, length);
    if (right == length)
        return;
    uint32_t word = 0;
    for (gsize i = MIN(right & ~(gsize) 3, length - MIN(length, 4)), n = 0; n < 4 && i < length;
         i++, n++)
        word |= (uint32_t) data[i] << 8 * n;
    flow_fail(flow, "byte %" G_GUINT64_FORMAT " is wrong: word %#x instead of %#x",
              position + right, word, (uint32_t) ((position + right) / 4));
}

static void take_answer(GuestFlows *flows, Flow *flow, const FakeGuestEvent *event)
{
    guint64 *position = position_of(flows, flow);

    flow->answers++;
    count_status(flow, event->status);
    if (flow->forsaken)
        return;
    if (event->status != usb_redir_success) {
        if (!flow->any_status)
            flow_fail(flow, "answer %u after %" G_GUINT64_FORMAT " bytes: %s", flow->answers,
                      flow->bytes, usb_status_to_string(event->status));
        return;
    }
    if (is_in(flow))
        check_data(flow, event, *position);
    *position += event->length;
    flow->bytes += event->length;
}

/* The flow that waits for this answer, and takes it off its list. The id may be another request's
 * by now, but a later one's of this endpoint. */
static Flow *find_asked(GuestFlows *flows, uint8_t endpoint, uint64_t id)
{
    for (GList *link = flows->flows.head; link; link = link->next) {
        Flow *flow = link->data;
        if (flow->endpoint != endpoint)
            continue;
        for (GList *at = flow->in_flight.head; at; at = at->next) {
            if (((Asked *) at->data)->id != id)
                continue;
            g_free(at->data);
            g_queue_delete_link(&flow->in_flight, at);
            return flow;
        }
    }
    return NULL;
}

static bool on_answer(GuestFlows *flows, const FakeGuestEvent *event)
{
    Flow *flow = event->cancelled ? NULL : find_asked(flows, event->endpoint, event->id);

    if (!flow)
        return false;
    take_answer(flows, flow, event);
    fill(flows, flow);
    if (flow->forsaken && flow->in_flight.length == 0)
        forget(flows, flow);
    return true;
}

static Flow *find(GuestFlows *flows, uint8_t endpoint)
{
    for (GList *link = flows->flows.head; link; link = link->next) {
        Flow *flow = link->data;
        if (flow->endpoint == endpoint && !flow->forsaken)
            return flow;
    }
    return NULL;
}

static bool on_stream_packet(GuestFlows *flows, const FakeGuestEvent *event)
{
    Flow *flow = find(flows, event->endpoint);

    if (!flow)
        return false;
    take_answer(flows, flow, event);
    return true;
}

static void on_gone(GuestFlows *flows)
{
    for (GList *link = flows->flows.head, *next; link; link = next) {
        Flow *flow = link->data;
        next = link->next;
        g_queue_clear_full(&flow->in_flight, g_free);
        flow->gone = flow->gone || !flow->trouble;
        flow_fail(flow, "the device has gone");
        if (flow->forsaken)
            forget(flows, flow);
    }
    for (guint slot = 0; slot < SLOTS; slot++)
        flows->positions[slot] = 0;
}

static bool observe(void *data, const FakeGuestEvent *event)
{
    GuestFlows *flows = data;
    Flow *flow;

    switch (event ? event->type : FAKE_GUEST_DEVICE_DISCONNECT) {
    case FAKE_GUEST_BULK:
    case FAKE_GUEST_INTERRUPT_OUT: return on_answer(flows, event);
    case FAKE_GUEST_INTERRUPT_IN: return on_stream_packet(flows, event);
    case FAKE_GUEST_INTERRUPT_RECEIVING_STATUS:
        flow = find(flows, event->endpoint);
        if (flow && event->status != usb_redir_success)
            flow_fail(flow, "the stream: %s", usb_status_to_string(event->status));
        return false;
    case FAKE_GUEST_DEVICE_DISCONNECT:
    case FAKE_GUEST_REJECTED: on_gone(flows); return false;
    default: return false;
    }
}

/* The script ------------------------------------------------------------------------------- */

GuestFlows *guest_flows_new(GuestSocket *socket)
{
    GuestFlows *flows = g_new0(GuestFlows, 1);

    flows->socket = socket;
    g_queue_init(&flows->flows);
    guest_socket_set_observer(socket, observe, flows);
    return flows;
}

void guest_flows_free(GuestFlows *flows)
{
    if (!flows)
        return;
    guest_socket_set_observer(flows->socket, NULL, NULL);
    g_queue_clear_full(&flows->flows, (GDestroyNotify) flow_free);
    g_free(flows);
}

static bool check(const Flow *flow, GError **error)
{
    if (!flow->trouble)
        return true;
    g_set_error(error, G_IO_ERROR, flow->gone ? G_IO_ERROR_CONNECTION_CLOSED : G_IO_ERROR_FAILED,
                "endpoint 0x%02x: %s", flow->endpoint, flow->trouble);
    return false;
}

static bool is_moved(const Flow *flow, guint64 bytes)
{
    return flow->bytes >= bytes;
}

static bool is_idle(const Flow *flow, guint64 unused)
{
    return flow->left == 0 && flow->in_flight.length == 0;
}

/* One turn after the other until @condition holds or the flow is in trouble. */
static bool wait_for(GuestFlows *flows, const Flow *flow,
                     bool (*condition)(const Flow *flow, guint64 argument), guint64 argument,
                     GError **error)
{
    while (!flow->trouble && !condition(flow, argument)) {
        g_autoptr(GError) reason = NULL;
        int left = guest_socket_time_left_ms(flows->socket);
        fake_guest_event_free(guest_socket_poll(flows->socket, left, &reason));
        if (left == 0) {
            g_set_error(error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT,
                        "endpoint 0x%02x: nothing more in time after %" G_GUINT64_FORMAT
                        " bytes, with %u requests in flight",
                        flow->endpoint, flow->bytes, flow->in_flight.length);
            return false;
        }
        if (reason && !flow->trouble) {
            g_propagate_error(error, g_steal_pointer(&reason));
            return false;
        }
    }
    return check(flow, error);
}

static Flow *create(GuestFlows *flows, uint8_t endpoint, uint32_t request, guint depth,
                    GError **error)
{
    const struct usb_redir_ep_info_header *info =
        fake_guest_ep_info(guest_socket_guest(flows->socket));
    guint slot = fake_guest_slot(endpoint);

    if (info->type[slot] != usb_redir_type_bulk && info->type[slot] != INTERRUPT_TYPE) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED, "no bulk or interrupt endpoint 0x%02x",
                    endpoint);
        return NULL;
    }
    Flow *flow = g_new0(Flow, 1);
    flow->endpoint = endpoint;
    flow->type = info->type[slot];
    flow->request = request;
    flow->depth = depth;
    flow->submitted = flows->positions[slot];
    flow->statuses = g_string_new(NULL);
    g_queue_init(&flow->in_flight);
    g_queue_push_tail(&flows->flows, flow);
    return flow;
}

bool guest_flows_begin(GuestFlows *flows, uint8_t endpoint, uint32_t request, guint depth,
                       GError **error)
{
    FakeGuest *guest = guest_socket_guest(flows->socket);

    if (find(flows, endpoint)) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED, "endpoint 0x%02x flows already",
                    endpoint);
        return false;
    }
    Flow *flow = create(flows, endpoint, request, depth ? depth : DEFAULT_DEPTH, error);
    if (!flow)
        return false;
    if (request == 0)
        flow->request = flow->type == INTERRUPT_TYPE
                            ? fake_guest_ep_info(guest)->max_packet_size[fake_guest_slot(endpoint)]
                            : DEFAULT_BULK;
    flow->left = G_MAXUINT;
    if (is_stream(flow))
        fake_guest_start_interrupt_receiving(guest, endpoint);
    fill(flows, flow);
    return true;
}

static Flow *need(GuestFlows *flows, uint8_t endpoint, GError **error)
{
    Flow *flow = find(flows, endpoint);

    if (!flow)
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED, "nothing flows at endpoint 0x%02x",
                    endpoint);
    return flow;
}

bool guest_flows_wait(GuestFlows *flows, uint8_t endpoint, guint64 bytes, GError **error)
{
    Flow *flow = need(flows, endpoint, error);

    if (!flow)
        return false;
    bool good = wait_for(flows, flow, is_moved, flow->bytes + bytes, error);
    if (flow->gone)
        forget(flows, flow);
    return good;
}

static void append_moved(const Flow *flow, GString *result)
{
    g_string_append_printf(result, "%" G_GUINT64_FORMAT " bytes in %u transfers", flow->bytes,
                           flow->answers);
}

static void stop_stream(GuestFlows *flows, const Flow *flow)
{
    FakeGuest *guest = guest_socket_guest(flows->socket);

    if (guest && is_stream(flow))
        fake_guest_stop_interrupt_receiving(guest, flow->endpoint);
}

bool guest_flows_end(GuestFlows *flows, uint8_t endpoint, GString *result, GError **error)
{
    Flow *flow = need(flows, endpoint, error);

    if (!flow)
        return false;
    flow->left = 0;
    stop_stream(flows, flow);
    bool good = wait_for(flows, flow, is_idle, 0, error);
    append_moved(flow, result);
    forget(flows, flow);
    return good;
}

bool guest_flows_cut(GuestFlows *flows, uint8_t endpoint, GString *result, GError **error)
{
    Flow *flow = need(flows, endpoint, error);
    FakeGuest *guest = guest_socket_guest(flows->socket);

    if (!flow)
        return false;
    stop_stream(flows, flow);
    for (GList *link = flow->in_flight.head; guest && link; link = link->next)
        fake_guest_cancel(guest, ((Asked *) link->data)->id);
    append_moved(flow, result);
    bool good = check(flow, error);
    forget(flows, flow);
    return good;
}

bool guest_flows_queue(GuestFlows *flows, uint8_t endpoint, uint32_t request, guint count,
                       GString *result, GError **error)
{
    Flow *flow = create(flows, endpoint, request, count, error);

    if (!flow)
        return false;
    flow->any_status = true;
    flow->left = count;
    fill(flows, flow);
    bool good = wait_for(flows, flow, is_idle, 0, error);
    end_run(flow);
    g_string_append_printf(result, "%s; %" G_GUINT64_FORMAT " bytes", flow->statuses->str,
                           flow->bytes);
    forget(flows, flow);
    return good;
}

void guest_flows_rewind(GuestFlows *flows, int interface)
{
    FakeGuest *guest = guest_socket_guest(flows->socket);

    for (guint slot = 0; guest && slot < SLOTS; slot++) {
        if (interface < 0 || fake_guest_ep_info(guest)->interface[slot] == interface)
            flows->positions[slot] = 0;
    }
    for (GList *link = flows->flows.head, *next; guest && link; link = next) {
        Flow *flow = link->data;
        guint slot = fake_guest_slot(flow->endpoint);
        next = link->next;
        if (interface >= 0 && fake_guest_ep_info(guest)->interface[slot] != interface)
            continue;
        flow->forsaken = true;
        flow->left = 0;
        if (flow->in_flight.length == 0)
            forget(flows, flow);
    }
}

bool guest_flows_finish(GuestFlows *flows, GError **error)
{
    bool good = true;

    for (GList *link = flows->flows.head; link; link = link->next) {
        Flow *flow = link->data;
        flow->left = 0;
        if (good && !flow->gone)
            good = check(flow, error);
    }
    return good;
}
