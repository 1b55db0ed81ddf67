/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "device-channel.h"

#include "announcement.h"
#include "control-request.h"
#include "handshake.h"
#include "isoch.h"
#include "outcome.h"
#include "request-table.h"
#include "select.h"

/* Beyond, the client does not keep up with what it was asked already. */
#define MAX_QUEUED_BYTES (256 * 1024)

/* How long a client may take from the end of the hand-shake to ADD_DEVICE. FreeRDP may announce one
 * device twice, and has then none left for the second channel. */
#define ANNOUNCE_TIMEOUT (10 * G_TIME_SPAN_SECOND)

/* FreeRDP 3.12 to 3.22 answer a pipe request only when told that the answer, 36 bytes, fits. From
 * 3.23 on they drop a pipe request unless that number is 0: so 0 it is until we know better. */
enum { PIPE_REQUEST_ANSWER_SIZE = 36 };

typedef enum { HANDSHAKE, WAITING, ACTIVE, CLOSED } State;

struct RdpusbDeviceChannel {
    State state;
    bool has_failed; /* a message was malformed: nothing more is read or asked */
    uint32_t request_completion;
    UrbdrcHandshake handshake;
    int64_t announce_deadline;
    RdpusbAnnouncement announcement;
    UrbdrcOutbox outbox;
    UrbdrcRequestTable table;
    uint32_t pipe_output_buffer_size;
    GArray *events; /* of RdpusbDeviceEvent */
    unsigned n_events_fetched;
    UrbdrcLists lists; /* of the last completion */
    unsigned ignored;
};

RdpusbDeviceChannel *rdpusb_device_channel_new(uint32_t request_completion,
                                               const RdpusbLimits *limits)
{
    RdpusbDeviceChannel *channel = g_new0(RdpusbDeviceChannel, 1);
    channel->request_completion = request_completion & WIRE_INTERFACE_MASK;
    channel->announce_deadline = RDPUSB_NO_DEADLINE;
    channel->events = g_array_new(false, false, sizeof(RdpusbDeviceEvent));
    urbdrc_handshake_init(&channel->handshake);
    urbdrc_outbox_init(&channel->outbox);
    urbdrc_request_table_init(&channel->table, limits);
    return channel;
}

void rdpusb_device_channel_free(RdpusbDeviceChannel *channel)
{
    if (!channel)
        return;
    urbdrc_announcement_clear(&channel->announcement);
    urbdrc_outbox_clear(&channel->outbox);
    urbdrc_request_table_clear(&channel->table);
    g_array_unref(channel->events);
    g_free(channel);
}

void rdpusb_device_channel_opened(RdpusbDeviceChannel *channel, int64_t now)
{
    g_return_if_fail(channel->handshake.state == URBDRC_HANDSHAKE_NEW);
    urbdrc_handshake_start(&channel->handshake, &channel->outbox, now);
}

const char *rdpusb_device_channel_state(const RdpusbDeviceChannel *channel)
{
    switch (channel->state) {
    case HANDSHAKE: return "hand-shake";
    case WAITING: return "waiting for the device";
    case ACTIVE: return "active";
    case CLOSED: return "closed";
    }
    g_assert_not_reached();
}

const RdpusbAnnouncement *rdpusb_device_channel_announcement(const RdpusbDeviceChannel *channel)
{
    return channel->announcement.device_instance_id ? &channel->announcement : NULL;
}

unsigned urbdrc_device_channel_ignored(const RdpusbDeviceChannel *channel)
{
    return channel->ignored;
}

/* mstsc announces 0; FreeRDP counts from 5. */
static bool is_freerdp(const RdpusbDeviceChannel *channel)
{
    return channel->announcement.usb_device != 0;
}

static bool is_usable(const RdpusbDeviceChannel *channel)
{
    return channel->state == ACTIVE && !channel->has_failed;
}

/* ---- Events ---- */

static void push_event(RdpusbDeviceChannel *channel, RdpusbDeviceEvent event)
{
    g_array_append_val(channel->events, event);
}

bool rdpusb_device_channel_next_event(RdpusbDeviceChannel *channel, RdpusbDeviceEvent *event)
{
    if (channel->events->len == 0)
        return false;
    *event = g_array_index(channel->events, RdpusbDeviceEvent, channel->n_events_fetched++);
    if (channel->n_events_fetched == channel->events->len) {
        g_array_set_size(channel->events, 0);
        channel->n_events_fetched = 0;
    }
    return true;
}

/* The one place where a request gets its completion; after it comes remove, or bury. */
static void push_completion(RdpusbDeviceChannel *channel, const UrbdrcRequest *request,
                            RdpusbDeviceEvent event)
{
    if (request->kind == URBDRC_REQUEST_BARRIER)
        return;
    event.type = RDPUSB_DEVICE_EVENT_COMPLETION;
    event.owner = request->owner;
    event.request_id = request->id;
    push_event(channel, event);
}

/* The client has not answered, and the answer is no longer awaited. */
static void give_up(RdpusbDeviceChannel *channel, UrbdrcRequest *request, RdpusbStatus status)
{
    push_completion(channel, request, (RdpusbDeviceEvent){.status = status});
    urbdrc_request_table_bury(&channel->table, request);
}

/* ---- Requests ---- */

bool rdpusb_device_channel_can_submit(const RdpusbDeviceChannel *channel, size_t bytes)
{
    return is_usable(channel) && channel->outbox.bytes < MAX_QUEUED_BYTES &&
           urbdrc_request_table_has_room(&channel->table, bytes);
}

/* Puts the ids in, and queues the message. NULL if it cannot be sent. */
static UrbdrcRequest *submit(RdpusbDeviceChannel *channel, UrbdrcRequestKind kind, uint32_t size,
                             WireMessage *m, void *owner)
{
    if (!is_usable(channel))
        return NULL;
    UrbdrcRequest *request = urbdrc_request_table_add(&channel->table, kind, size);
    if (!request)
        return NULL;
    request->owner = owner;
    if (m->kind == WIRE_MESSAGE_TRANSFER_IN_REQUEST) {
        request->is_in = true;
        m->as.transfer_in_request.interface_id = channel->announcement.usb_device;
        m->as.transfer_in_request.ts_urb.request_id = request->id;
    } else if (m->kind == WIRE_MESSAGE_TRANSFER_OUT_REQUEST) {
        m->as.transfer_out_request.interface_id = channel->announcement.usb_device;
        m->as.transfer_out_request.ts_urb.request_id = request->id;
    } else {
        m->as.io_control.interface_id = channel->announcement.usb_device;
        m->as.io_control.request_id = request->id;
    }
    request->outgoing = urbdrc_outbox_push(&channel->outbox, m, request);
    if (!request->outgoing) {
        urbdrc_request_table_remove(&channel->table, request);
        return NULL;
    }
    return request;
}

static uint32_t id_of(const UrbdrcRequest *request)
{
    return request ? request->id : 0;
}

/* FreeRDP executes all that is no bulk or interrupt transfer in the order of arrival, and answers
 * this query always: what was not answered before it never will be. mstsc promises no order. */
static void submit_barrier(RdpusbDeviceChannel *channel)
{
    WireMessage m = {
        .kind = WIRE_MESSAGE_INTERNAL_IO_CONTROL,
        .as.io_control = {.io_control_code = WIRE_IOCTL_TSUSBGD_IOCTL_USBDI_QUERY_BUS_TIME,
                          .output_buffer_size = sizeof(uint32_t)},
    };
    if (is_freerdp(channel))
        submit(channel, URBDRC_REQUEST_BARRIER, 0, &m, NULL);
}

uint32_t rdpusb_device_channel_control(RdpusbDeviceChannel *channel, const RdpusbSetup *setup,
                                       const uint8_t *data, void *owner)
{
    if (urbdrc_control_request_is_reserved(setup))
        return 0;
    WireMessage m;
    urbdrc_control_request(&m, setup, data, is_freerdp(channel));
    uint32_t size = m.kind == WIRE_MESSAGE_TRANSFER_IN_REQUEST
                        ? m.as.transfer_in_request.output_buffer_size
                        : setup->length;
    return id_of(submit(channel, URBDRC_REQUEST_CONTROL, size, &m, owner));
}

/* Without SHORT_TRANSFER_OK, mstsc fails a transfer that ends early. */
uint32_t rdpusb_device_channel_transfer_in(RdpusbDeviceChannel *channel, uint32_t pipe_handle,
                                           uint32_t size, void *owner)
{
    WireMessage m = {
        .kind = WIRE_MESSAGE_TRANSFER_IN_REQUEST,
        .as.transfer_in_request.output_buffer_size = size,
    };
    WireUrb *urb = &m.as.transfer_in_request.ts_urb;
    urb->function = WIRE_URB_FUNCTION_BULK_OR_INTERRUPT_TRANSFER;
    urb->body.bulk_or_interrupt_transfer = (WireBulkOrInterruptTransfer){
        .pipe_handle = pipe_handle,
        .transfer_flags = WIRE_USBD_TRANSFER_DIRECTION_IN | WIRE_USBD_SHORT_TRANSFER_OK,
    };
    return id_of(submit(channel, URBDRC_REQUEST_TRANSFER, size, &m, owner));
}

uint32_t rdpusb_device_channel_transfer_out(RdpusbDeviceChannel *channel, uint32_t pipe_handle,
                                            const uint8_t *data, uint32_t size, void *owner)
{
    WireMessage m = {
        .kind = WIRE_MESSAGE_TRANSFER_OUT_REQUEST,
        .as.transfer_out_request.output_buffer = {data, size},
    };
    WireUrb *urb = &m.as.transfer_out_request.ts_urb;
    urb->function = WIRE_URB_FUNCTION_BULK_OR_INTERRUPT_TRANSFER;
    urb->body.bulk_or_interrupt_transfer.pipe_handle = pipe_handle;
    return id_of(submit(channel, URBDRC_REQUEST_TRANSFER, size, &m, owner));
}

static uint32_t submit_isoch(RdpusbDeviceChannel *channel, WireMessage *m, uint32_t size,
                             unsigned n_packets, void *owner)
{
    UrbdrcRequest *request = submit(channel, URBDRC_REQUEST_TRANSFER, size, m, owner);
    if (request)
        request->n_packets = n_packets;
    return id_of(request);
}

uint32_t rdpusb_device_channel_isoch_in(RdpusbDeviceChannel *channel, uint32_t pipe_handle,
                                        uint32_t packet_size, unsigned n_packets, void *owner)
{
    g_return_val_if_fail(n_packets > 0 && n_packets <= RDPUSB_MAX_ISOCH_PACKETS, 0);
    WireIsoPacket packets[RDPUSB_MAX_ISOCH_PACKETS];
    uint32_t size = packet_size * n_packets;
    WireMessage m = {
        .kind = WIRE_MESSAGE_TRANSFER_IN_REQUEST,
        .as.transfer_in_request.output_buffer_size = size,
    };
    urbdrc_isoch(&m.as.transfer_in_request.ts_urb, packets, pipe_handle, packet_size, n_packets,
                 true);
    return submit_isoch(channel, &m, size, n_packets, owner);
}

uint32_t rdpusb_device_channel_isoch_out(RdpusbDeviceChannel *channel, uint32_t pipe_handle,
                                         const uint8_t *data, uint32_t packet_size,
                                         unsigned n_packets, void *owner)
{
    g_return_val_if_fail(n_packets > 0 && n_packets <= RDPUSB_MAX_ISOCH_PACKETS, 0);
    WireIsoPacket packets[RDPUSB_MAX_ISOCH_PACKETS];
    uint32_t size = packet_size * n_packets;
    WireMessage m = {
        .kind = WIRE_MESSAGE_TRANSFER_OUT_REQUEST,
        .as.transfer_out_request.output_buffer = {data, size},
    };
    urbdrc_isoch(&m.as.transfer_out_request.ts_urb, packets, pipe_handle, packet_size, n_packets,
                 false);
    return submit_isoch(channel, &m, size, n_packets, owner);
}

uint32_t rdpusb_device_channel_select_configuration(RdpusbDeviceChannel *channel,
                                                    const uint8_t *descriptor, size_t size,
                                                    void *owner)
{
    WireMessage m = {.kind = WIRE_MESSAGE_TRANSFER_IN_REQUEST};
    WireUrb *urb = &m.as.transfer_in_request.ts_urb;
    UrbdrcRequestKind kind = URBDRC_REQUEST_SELECT_CONFIGURATION;
    if (!descriptor) {
        kind = URBDRC_REQUEST_UNCONFIGURE;
        urbdrc_unconfigure(urb);
    } else if (!urbdrc_select_configuration(urb, descriptor, size)) {
        return 0;
    }
    uint32_t id = id_of(submit(channel, kind, 0, &m, owner));
    if (id != 0)
        submit_barrier(channel);
    return id;
}

uint32_t rdpusb_device_channel_select_interface(RdpusbDeviceChannel *channel,
                                                uint32_t configuration_handle,
                                                const uint8_t *descriptor, size_t size,
                                                uint8_t interface_number, uint8_t alternate_setting,
                                                void *owner)
{
    WireMessage m = {.kind = WIRE_MESSAGE_TRANSFER_IN_REQUEST};
    if (!urbdrc_select_interface(&m.as.transfer_in_request.ts_urb, configuration_handle, descriptor,
                                 size, interface_number, alternate_setting))
        return 0;
    UrbdrcRequest *request = submit(channel, URBDRC_REQUEST_SELECT_INTERFACE, 0, &m, owner);
    if (!request)
        return 0;
    request->configuration_handle = configuration_handle;
    submit_barrier(channel);
    return request->id;
}

uint32_t rdpusb_device_channel_reset_pipe(RdpusbDeviceChannel *channel, uint32_t pipe_handle,
                                          void *owner)
{
    WireMessage m = {
        .kind = WIRE_MESSAGE_TRANSFER_IN_REQUEST,
        .as.transfer_in_request.output_buffer_size = channel->pipe_output_buffer_size,
    };
    WireUrb *urb = &m.as.transfer_in_request.ts_urb;
    urb->function = WIRE_URB_FUNCTION_SYNC_RESET_PIPE_AND_CLEAR_STALL;
    urb->body.pipe_request.pipe_handle = pipe_handle;
    uint32_t id = id_of(submit(channel, URBDRC_REQUEST_RESET_PIPE, 0, &m, owner));
    if (id != 0)
        submit_barrier(channel);
    return id;
}

/* ---- Cancelling ---- */

/* FreeRDP cannot cancel what it does in order: while it does that, it reads nothing. */
static bool is_cancellable(const RdpusbDeviceChannel *channel, const UrbdrcRequest *request)
{
    return request->kind == URBDRC_REQUEST_TRANSFER ||
           (request->kind != URBDRC_REQUEST_BARRIER && !is_freerdp(channel));
}

static void send_cancel(RdpusbDeviceChannel *channel, UrbdrcRequest *request, int64_t now)
{
    urbdrc_outbox_push(&channel->outbox,
                       &(WireMessage){
                           .kind = WIRE_MESSAGE_CANCEL_REQUEST,
                           .as.cancel_request = {.interface_id = channel->announcement.usb_device,
                                                 .request_id = request->id},
                       },
                       NULL);
    urbdrc_request_table_cancel(&channel->table, request, now);
}

void rdpusb_device_channel_cancel(RdpusbDeviceChannel *channel, uint32_t request_id, int64_t now)
{
    if (channel->state != ACTIVE)
        return;
    UrbdrcRequest *request = urbdrc_request_table_find(&channel->table, request_id);
    if (!request || request->kind == URBDRC_REQUEST_BARRIER)
        return;
    request->is_cancelled = true;
    switch (request->phase) {
    case URBDRC_REQUEST_QUEUED:
        urbdrc_outbox_drop(&channel->outbox, request->outgoing);
        push_completion(channel, request, (RdpusbDeviceEvent){.status = RDPUSB_STATUS_CANCELLED});
        urbdrc_request_table_remove(&channel->table, request);
        break;
    case URBDRC_REQUEST_SENT:
        if (is_cancellable(channel, request))
            send_cancel(channel, request, now);
        break;
    case URBDRC_REQUEST_CANCELLING:
    case URBDRC_REQUEST_ZOMBIE: break;
    }
}

void rdpusb_device_channel_retract(RdpusbDeviceChannel *channel)
{
    if (channel->state != ACTIVE)
        return;
    urbdrc_outbox_push(
        &channel->outbox,
        &(WireMessage){
            .kind = WIRE_MESSAGE_RETRACT_DEVICE,
            .as.retract_device = {.interface_id = channel->announcement.usb_device,
                                  .reason = WIRE_USB_RETRACT_REASON_BLOCKED_BY_POLICY},
        },
        NULL);
}

/* ---- Messages out ---- */

GBytes *rdpusb_device_channel_next_message(RdpusbDeviceChannel *channel, int64_t now)
{
    void *request = NULL;
    GBytes *message = urbdrc_outbox_pop(&channel->outbox, &request);
    if (request)
        urbdrc_request_table_start(&channel->table, request, now);
    return message;
}

size_t rdpusb_device_channel_queued_bytes(const RdpusbDeviceChannel *channel)
{
    return channel->outbox.bytes;
}

/* ---- Messages in ---- */

static bool fail(const RdpusbDeviceChannel *channel, GError **error, const char *what)
{
    g_set_error(error, RDPUSB_URBDRC_ERROR, RDPUSB_URBDRC_ERROR_MALFORMED, "%s in state \"%s\"",
                what, rdpusb_device_channel_state(channel));
    return false;
}

/* A device must not have the id of an interface that speaks of something else. */
static bool is_legal_device(uint32_t usb_device)
{
    return usb_device < WIRE_INTERFACE_DEVICE_SINK ||
           usb_device > WIRE_INTERFACE_CLIENT_NOTIFICATION;
}

/* [MS-RDPEUSB] 3.3.5.2.2: the callback has to be known before the first request. */
static bool take_add_device(RdpusbDeviceChannel *channel, const WireAddDevice *m, GError **error)
{
    if (!is_legal_device(m->usb_device))
        return fail(channel, error, "ADD_DEVICE with the interface id of another purpose");
    urbdrc_announcement_init(&channel->announcement, m);
    urbdrc_outbox_push(
        &channel->outbox,
        &(WireMessage){
            .kind = WIRE_MESSAGE_REGISTER_REQUEST_CALLBACK,
            .as.register_request_callback = {.interface_id = m->usb_device,
                                             .is_registering = true,
                                             .request_completion = channel->request_completion},
        },
        NULL);
    channel->state = ACTIVE;
    channel->announce_deadline = RDPUSB_NO_DEADLINE;
    push_event(channel, (RdpusbDeviceEvent){.type = RDPUSB_DEVICE_EVENT_ANNOUNCED});
    return true;
}

/* The open request that this answers; NULL, and counted, if there is none. A client that guesses
 * the id of a request that it has not got answers nothing. */
static UrbdrcRequest *find_open(RdpusbDeviceChannel *channel, uint32_t request_id, bool is_barrier)
{
    UrbdrcRequest *request = urbdrc_request_table_find(&channel->table, request_id);
    bool fits = request && request->phase != URBDRC_REQUEST_QUEUED &&
                (request->kind == URBDRC_REQUEST_BARRIER) == is_barrier;
    if (fits && request->phase != URBDRC_REQUEST_ZOMBIE)
        return request;
    if (fits)
        urbdrc_request_table_remove(&channel->table, request);
    channel->ignored++;
    return NULL;
}

static bool take_urb_completion(RdpusbDeviceChannel *channel, WireUrbCompletion *m, GError **error)
{
    UrbdrcRequest *request = find_open(channel, m->request_id, false);
    if (!request)
        return true;
    RdpusbDeviceEvent event = {0};
    bool is_garbled;
    if (!urbdrc_outcome(request, m, &channel->lists, &event, &is_garbled))
        return fail(channel, error, "a malformed result");
    if (is_garbled) /* FreeRDP 3.14 to 3.22 */
        channel->pipe_output_buffer_size = PIPE_REQUEST_ANSWER_SIZE;
    push_completion(channel, request, event);
    urbdrc_request_table_remove(&channel->table, request);
    return true;
}

static void take_barrier(RdpusbDeviceChannel *channel, const WireIoControlCompletion *m)
{
    UrbdrcRequest *barrier = find_open(channel, m->request_id, true);
    if (!barrier)
        return;
    GList *next;
    for (GList *link = channel->table.open.head; link != &barrier->order_link; link = next) {
        UrbdrcRequest *request = link->data;
        next = link->next;
        if (request->kind == URBDRC_REQUEST_TRANSFER)
            continue;
        if (request->kind == URBDRC_REQUEST_RESET_PIPE)
            channel->pipe_output_buffer_size = PIPE_REQUEST_ANSWER_SIZE;
        give_up(channel, request, RDPUSB_STATUS_SILENT);
    }
    urbdrc_request_table_remove(&channel->table, barrier);
}

static bool take_message(RdpusbDeviceChannel *channel, WireMessage *m, GError **error)
{
    bool is_completion_legal = channel->state == ACTIVE;
    switch (m->kind) {
    case WIRE_MESSAGE_ADD_DEVICE:
        if (channel->state != WAITING)
            break;
        return take_add_device(channel, &m->as.add_device, error);
    case WIRE_MESSAGE_URB_COMPLETION:
    case WIRE_MESSAGE_URB_COMPLETION_NO_DATA:
        if (!is_completion_legal)
            break;
        return take_urb_completion(channel, &m->as.urb_completion, error);
    case WIRE_MESSAGE_IO_CONTROL_COMPLETION:
        if (!is_completion_legal)
            break;
        take_barrier(channel, &m->as.io_control_completion);
        return true;
    default: break;
    }
    channel->ignored++;
    return true;
}

static bool take(RdpusbDeviceChannel *channel, WireMessage *m, int64_t now, GError **error)
{
    bool taken;
    if (!urbdrc_handshake_take(&channel->handshake, m, &channel->outbox, now, &taken, error))
        return false;
    if (channel->state == HANDSHAKE && channel->handshake.state == URBDRC_HANDSHAKE_DONE) {
        channel->state = WAITING;
        channel->announce_deadline = now + ANNOUNCE_TIMEOUT;
    }
    return taken || take_message(channel, m, error);
}

bool rdpusb_device_channel_feed(RdpusbDeviceChannel *channel, const uint8_t *data, size_t size,
                                int64_t now, GError **error)
{
    if (channel->state == CLOSED)
        return true;
    if (channel->has_failed)
        return fail(channel, error, "a message after a malformed one");
    uint32_t request_completion =
        channel->state == ACTIVE ? channel->request_completion : WIRE_INTERFACE_NOT_KNOWN;
    WireMessage m;
    channel->has_failed = !urbdrc_incoming_read(&m, data, size, request_completion,
                                                rdpusb_device_channel_state(channel), error) ||
                          !take(channel, &m, now, error);
    return !channel->has_failed;
}

/* ---- Time, and the end ---- */

int64_t rdpusb_device_channel_deadline(const RdpusbDeviceChannel *channel)
{
    switch (channel->state) {
    case HANDSHAKE: return channel->handshake.deadline;
    case WAITING: return channel->announce_deadline;
    case ACTIVE: return urbdrc_request_table_deadline(&channel->table);
    case CLOSED: return RDPUSB_NO_DEADLINE;
    }
    g_assert_not_reached();
}

static void expire(RdpusbDeviceChannel *channel, UrbdrcRequest *request, int64_t now)
{
    request->is_expired = true;
    if (request->phase == URBDRC_REQUEST_SENT && is_cancellable(channel, request))
        send_cancel(channel, request, now);
    else
        give_up(channel, request, RDPUSB_STATUS_LOST);
}

static bool check_announcement(const RdpusbDeviceChannel *channel, int64_t now, GError **error)
{
    if (now < channel->announce_deadline)
        return true;
    g_set_error(error, RDPUSB_URBDRC_ERROR, RDPUSB_URBDRC_ERROR_SILENT,
                "the client announced no device within %d seconds",
                (int) (ANNOUNCE_TIMEOUT / G_TIME_SPAN_SECOND));
    return false;
}

bool rdpusb_device_channel_tick(RdpusbDeviceChannel *channel, int64_t now, GError **error)
{
    switch (channel->state) {
    case HANDSHAKE: return urbdrc_handshake_tick(&channel->handshake, now, error);
    case WAITING: return check_announcement(channel, now, error);
    case ACTIVE: {
        UrbdrcRequest *request;
        while ((request = urbdrc_request_table_expired(&channel->table, now)))
            expire(channel, request, now);
        return true;
    }
    case CLOSED: return true;
    }
    g_assert_not_reached();
}

void rdpusb_device_channel_closed(RdpusbDeviceChannel *channel)
{
    channel->state = CLOSED;
    urbdrc_outbox_clear(&channel->outbox);
    while (channel->table.open.head) {
        UrbdrcRequest *request = channel->table.open.head->data;
        push_completion(channel, request, (RdpusbDeviceEvent){.status = RDPUSB_STATUS_GONE});
        urbdrc_request_table_remove(&channel->table, request);
    }
}
