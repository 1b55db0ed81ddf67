/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Transfers of the fake client: taken, held, answered, cancelled, timed out. */
#include "client-private.h"

enum {
    MS = 1000, /* µs */
    ASYNCHRONOUS_TIMEOUT = 10000 * MS,
    CONTROL_TIMEOUT = 2000 * MS,
    LARGEST_CONTROL = 4096, /* of Linux' libusb */
};

void fake_transfer_free(Transfer *transfer)
{
    if (transfer->sent)
        g_bytes_unref(transfer->sent);
    g_free(transfer);
}

/* ---- Answers ---- */

static void put_data(WireMessage *m, WireBytes data)
{
    m->kind = WIRE_MESSAGE_URB_COMPLETION;
    m->as.urb_completion.output_buffer = data;
}

void client_respond(FakeClient *client, ClientDevice *d, Transfer *transfer,
                    const FakeResponse *response)
{
    if (transfer->is_no_ack)
        return;
    bool is_mstsc = client->profile->is_mstsc;
    WireMessage m = {.kind = WIRE_MESSAGE_URB_COMPLETION_NO_DATA,
                     .as.urb_completion = {
                         .interface_id = d->request_completion,
                         .message_id = is_mstsc ? 0 : transfer->message_id,
                         .request_id = transfer->request_id & WIRE_REQUEST_ID_MAX,
                         .usbd_status = response->usbd_status,
                         .hresult = response->hresult,
                         .ts_urb_result = response->ts_urb_result,
                     }};
    if (transfer->is_in) {
        if (response->data.length > 0)
            put_data(&m, response->data);
    } else {
        size_t taken = MIN(response->data.length, g_bytes_get_size(transfer->sent));
        m.as.urb_completion.output_buffer_size = (uint32_t) taken;
        if (client->profile->out_echoes && taken > 0)
            put_data(&m, (WireBytes){g_bytes_get_data(transfer->sent, NULL), taken});
    }
    client_send(client, d->channel, &m);
    if (is_mstsc)
        client_send(client, d->channel,
                    &(WireMessage){.kind = WIRE_MESSAGE_RELEASE,
                                   .as.release = {d->request_completion, WIRE_STREAM_ID_PROXY, 0}});
}

static void respond_status(FakeClient *client, ClientDevice *d, Transfer *transfer,
                           uint32_t freerdp_status, uint32_t mstsc_status)
{
    FakeResponse response = {.usbd_status =
                                 client->profile->is_mstsc ? mstsc_status : freerdp_status};
    client_respond(client, d, transfer, &response);
}

/* ---- Pending transfers ---- */

/* Whether the transfer, which waits, is done now; then it was answered. */
static bool advance(FakeClient *client, ClientDevice *d, Transfer *t, int64_t now)
{
    if (t->is_cancelled) {
        respond_status(client, d, t, WIRE_USBD_STATUS_LIBUSB_CANCELLED, WIRE_USBD_STATUS_CANCELED);
        return true;
    }
    if (!t->is_held && t->endpoint && fake_device_is_halted(&d->device, t->endpoint)) {
        respond_status(client, d, t, WIRE_USBD_STATUS_LIBUSB_STALL, WIRE_USBD_STATUS_STALL_PID);
        return true;
    }
    g_autoptr(GBytes) said = NULL;
    if (!t->is_held && t->endpoint)
        said = fake_device_hear(&d->device, t->endpoint, t->output_buffer_size);
    if (said) {
        gsize size;
        const uint8_t *data = g_bytes_get_data(said, &size);
        FakeResponse response = {.data = {data, size}};
        if (client->profile->is_mstsc && size < t->output_buffer_size && !t->is_short_ok)
            response = (FakeResponse){.hresult = WIRE_E_DEVICE_NOT_FUNCTIONING};
        client_respond(client, d, t, &response);
        return true;
    }
    if (now < t->deadline)
        return false;
    if (t->endpoint)
        respond_status(client, d, t, WIRE_USBD_STATUS_LIBUSB_TIMED_OUT, WIRE_USBD_STATUS_TIMEOUT);
    else
        respond_status(client, d, t, WIRE_USBD_STATUS_TIMEOUT, WIRE_USBD_STATUS_TIMEOUT);
    return true;
}

void client_advance(FakeClient *client, ClientDevice *d, int64_t now)
{
    for (GList *l = d->transfers.head, *next; l; l = next) {
        next = l->next;
        if (!advance(client, d, l->data, now))
            continue;
        fake_transfer_free(l->data);
        g_queue_delete_link(&d->transfers, l);
    }
}

void client_cancel_all(FakeClient *client, ClientDevice *d, uint8_t endpoint)
{
    for (GList *l = d->transfers.head, *next; l; l = next) {
        next = l->next;
        Transfer *t = l->data;
        if (!t->endpoint || (endpoint && t->endpoint != endpoint))
            continue;
        t->is_cancelled = true;
        if (client->profile->cancels_late)
            continue;
        g_queue_delete_link(&d->transfers, l);
        respond_status(client, d, t, WIRE_USBD_STATUS_LIBUSB_CANCELLED, WIRE_USBD_STATUS_CANCELED);
        fake_transfer_free(t);
    }
}

void client_cancel(FakeClient *client, ClientDevice *d, uint32_t request_id)
{
    for (GList *l = d->transfers.head; l; l = l->next) {
        Transfer *t = l->data;
        /* FreeRDP executes control requests at once: there is nothing to cancel */
        if (t->request_id != request_id || (!t->endpoint && !client->profile->is_mstsc))
            continue;
        g_queue_delete_link(&d->transfers, l);
        respond_status(client, d, t, WIRE_USBD_STATUS_LIBUSB_CANCELLED, WIRE_USBD_STATUS_CANCELED);
        fake_transfer_free(t);
        return;
    }
}

/* ---- The requests ---- */

static uint32_t flags_of(const WireUrb *urb)
{
    switch (wire_urb_kind(urb->function)) {
    case WIRE_URB_CONTROL_TRANSFER:
    case WIRE_URB_CONTROL_TRANSFER_EX: return urb->body.control_transfer.transfer_flags;
    case WIRE_URB_BULK_OR_INTERRUPT_TRANSFER:
        return urb->body.bulk_or_interrupt_transfer.transfer_flags;
    case WIRE_URB_ISOCH_TRANSFER: return urb->body.isoch_transfer.transfer_flags;
    default: return urb->body.control_vendor_or_class_request.transfer_flags;
    }
}

static bool has_flags(WireUrbKind kind)
{
    return kind == WIRE_URB_CONTROL_TRANSFER || kind == WIRE_URB_CONTROL_TRANSFER_EX ||
           kind == WIRE_URB_BULK_OR_INTERRUPT_TRANSFER || kind == WIRE_URB_ISOCH_TRANSFER ||
           kind == WIRE_URB_CONTROL_VENDOR_OR_CLASS_REQUEST;
}

/* Requests without data that nevertheless travel in TRANSFER_IN_REQUEST, with OutputBufferSize 0.
 */
static bool is_without_data(WireUrbKind kind)
{
    return kind == WIRE_URB_SELECT_CONFIGURATION || kind == WIRE_URB_SELECT_INTERFACE ||
           kind == WIRE_URB_PIPE_REQUEST;
}

static void check(FakeClient *client, const ClientDevice *d, const FakeRequest *r)
{
    const WireUrb *urb = r->urb;
    const char *name = wire_urb_function_to_string(urb->function);
    WireUrbKind kind = wire_urb_kind(urb->function);
    if (!d->is_registered)
        client_violation(client, "%s before REGISTER_REQUEST_CALLBACK", name);
    if (urb->request_id < WIRE_REQUEST_ID_MIN || urb->request_id > WIRE_REQUEST_ID_MAX)
        client_violation(client, "%s with request id 0x%x", name, urb->request_id);
    for (const GList *l = d->transfers.head; l; l = l->next)
        if (((const Transfer *) l->data)->request_id == urb->request_id)
            client_violation(client, "request id %u is used twice", urb->request_id);
    if (has_flags(kind) && !!(flags_of(urb) & WIRE_USBD_TRANSFER_DIRECTION_IN) != r->is_in)
        client_violation(client, "%s with flags 0x%x in a transfer %s", name, flags_of(urb),
                         r->is_in ? "in" : "out");
    if (is_without_data(kind) && !r->is_in)
        client_violation(client, "%s in a transfer out is never answered", name);
    if (kind == WIRE_URB_SELECT_INTERFACE && r->output_buffer_size != 0)
        client_violation(client, "SELECT_INTERFACE with OutputBufferSize %u",
                         r->output_buffer_size);
    if (urb->no_ack && (kind != WIRE_URB_ISOCH_TRANSFER || r->is_in))
        client_violation(client, "%s with NoAck", name);
    if (kind == WIRE_URB_CONTROL_TRANSFER_EX && urb->body.control_transfer.timeout == 0)
        client_violation(client, "a control transfer without time-out freezes the client");
    if (kind != WIRE_URB_BULK_OR_INTERRUPT_TRANSFER && kind != WIRE_URB_ISOCH_TRANSFER &&
        r->output_buffer_size > LARGEST_CONTROL)
        client_violation(client, "%s with %u bytes", name, r->output_buffer_size);
}

static uint8_t endpoint_of(const WireUrb *urb)
{
    switch (wire_urb_kind(urb->function)) {
    case WIRE_URB_BULK_OR_INTERRUPT_TRANSFER:
        return urb->body.bulk_or_interrupt_transfer.pipe_handle & 0xFF;
    case WIRE_URB_ISOCH_TRANSFER: return urb->body.isoch_transfer.pipe_handle & 0xFF;
    default: return 0;
    }
}

static Transfer *fake_transfer_new(const FakeClient *client, const FakeRequest *r,
                                   uint32_t message_id, int64_t now)
{
    Transfer *t = g_new0(Transfer, 1);
    t->message_id = message_id;
    t->request_id = r->urb->request_id;
    t->output_buffer_size = r->output_buffer_size;
    t->endpoint = endpoint_of(r->urb);
    t->is_in = r->is_in;
    t->is_no_ack = r->urb->no_ack;
    t->sent = g_bytes_new(r->output_buffer.data, r->output_buffer.length);
    t->deadline = client->profile->is_mstsc
                      ? FAKE_CLIENT_NO_DEADLINE
                      : now + (t->endpoint ? ASYNCHRONOUS_TIMEOUT : CONTROL_TIMEOUT);
    return t;
}

void client_transfer(FakeClient *client, ClientDevice *d, const WireMessage *m, int64_t now)
{
    const WireTransferInRequest *in = &m->as.transfer_in_request;
    const WireTransferOutRequest *out = &m->as.transfer_out_request;
    bool is_in = m->kind == WIRE_MESSAGE_TRANSFER_IN_REQUEST;
    FakeRequest r = {.usb_device = d->handle,
                     .channel = d->channel,
                     .urb = is_in ? &in->ts_urb : &out->ts_urb,
                     .is_in = is_in,
                     .output_buffer_size =
                         is_in ? in->output_buffer_size : (uint32_t) out->output_buffer.length,
                     .output_buffer = is_in ? (WireBytes){0} : out->output_buffer};
    check(client, d, &r);

    Transfer *t = fake_transfer_new(client, &r, is_in ? in->message_id : out->message_id, now);
    FakeResponse response = {0};
    g_autoptr(GBytes) keep = NULL;
    if (is_without_data(wire_urb_kind(r.urb->function)) && !is_in)
        response.action = FAKE_NEVER;
    else if (client->on_urb && client->on_urb(client, &r, &response, client->on_urb_data))
        t->is_held = response.action == FAKE_HOLD;
    else
        keep = client_execute(client, d, &r, t, &response, now);

    if (response.action == FAKE_HOLD) {
        g_queue_push_tail(&d->transfers, t);
    } else {
        if (response.action == FAKE_ANSWER)
            client_respond(client, d, t, &response);
        fake_transfer_free(t);
    }
    client_advance(client, d, now); /* loopback: somebody may have waited for this data */
}

/* FreeRDP resets and cycles nothing, but says so; what it does not know it does not answer. */
void client_io_control(FakeClient *client, ClientDevice *d, const WireMessage *m, int64_t now)
{
    const WireIoControl *r = &m->as.io_control;
    if (!d->is_registered)
        client_violation(client, "%s before REGISTER_REQUEST_CALLBACK",
                         wire_message_kind_to_string(m->kind));
    if (m->kind == WIRE_MESSAGE_IO_CONTROL)
        client_violation(client, "IO_CONTROL 0x%x does nothing, or answers junk",
                         r->io_control_code);
    uint8_t bytes[4];
    WireCursor c = wire_writer(bytes, sizeof bytes);
    uint32_t ticks = (uint32_t) (now / MS);
    wire_u32(&c, &ticks);
    WireMessage answer = {.kind = WIRE_MESSAGE_IO_CONTROL_COMPLETION,
                          .as.io_control_completion = {.interface_id = d->request_completion,
                                                       .message_id = r->message_id,
                                                       .request_id = r->request_id}};
    WireIoControlCompletion *completion = &answer.as.io_control_completion;
    if (m->kind == WIRE_MESSAGE_INTERNAL_IO_CONTROL) {
        if (r->output_buffer_size < sizeof bytes)
            return;
        completion->output_buffer = (WireBytes){bytes, sizeof bytes};
        completion->output_buffer_size = sizeof bytes;
    } else if (r->io_control_code == WIRE_IOCTL_INTERNAL_USB_RESET_PORT ||
               r->io_control_code == WIRE_IOCTL_INTERNAL_USB_CYCLE_PORT ||
               r->io_control_code == WIRE_IOCTL_INTERNAL_USB_GET_PORT_STATUS) {
        if (client->profile->io_control_overclaims)
            completion->output_buffer_size = r->output_buffer_size + 4;
    } else {
        return;
    }
    completion->information = completion->output_buffer_size;
    client_send(client, d->channel, &answer);
}
