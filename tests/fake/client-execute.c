/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the device behind the fake client does with a request, and how its client words that. */
#include "client-private.h"

#include <string.h>

enum {
    MS = 1000,             /* µs */
    PIPE_ANSWER_SIZE = 36, /* what FreeRDP 3.12 to 3.22 wants as OutputBufferSize */
    HEAP_RUBBISH = 0xEE,
};

enum { GET_STATUS = 0, CLEAR_FEATURE = 1, SET_FEATURE = 3, GET_DESCRIPTOR = 6, SET_DESCRIPTOR = 7 };
enum { GET_CONFIGURATION = 8, SET_CONFIGURATION = 9, GET_INTERFACE = 10, SET_INTERFACE = 11 };
enum { TYPE_MASK = 0x60, TYPE_CLASS = 0x20, TYPE_VENDOR = 0x40, DIRECTION_IN = 0x80 };

/* Handles as FreeRDP makes them: bus, device, and what they are of. */
static uint32_t handle_base(const ClientDevice *d)
{
    return UINT32_C(0x01000000) | (d->handle & 0xFF) << 16;
}

static uint32_t configuration_handle(const ClientDevice *d)
{
    return handle_base(d) | d->device.configuration_value;
}

/* ---- Select ---- */

/* Appends the interface and its pipes; how many there are now. */
static uint32_t add_interface_result(const ClientDevice *d, const FakeInterface *i,
                                     WireInterfaceInformationResult *result,
                                     WirePipeInformationResult *pipes, uint32_t n_pipes)
{
    *result = (WireInterfaceInformationResult){
        i->number,        i->alternate_setting,
        i->class_code,    i->sub_class_code,
        i->protocol_code, handle_base(d) | (uint32_t) i->alternate_setting << 8 | i->number,
        i->n_endpoints};
    for (unsigned e = 0; e < i->n_endpoints && n_pipes < WIRE_MAX_PIPES; e++) {
        const FakeEndpoint *endpoint = &i->endpoints[e];
        pipes[n_pipes++] = (WirePipeInformationResult){endpoint->maximum_packet_size,
                                                       endpoint->address,
                                                       endpoint->interval,
                                                       endpoint->type,
                                                       handle_base(d) | endpoint->address,
                                                       UINT32_MAX,
                                                       0};
    }
    return n_pipes;
}

static GBytes *encode_configuration(const WireSelectConfigurationResult *result)
{
    size_t size = wire_select_configuration_result_size(result);
    uint8_t *bytes = g_malloc(size);
    wire_select_configuration_result_encode(result, bytes, size);
    return g_bytes_new_take(bytes, size);
}

/* FreeRDP echoes the count, though no interfaces follow. */
static GBytes *no_configuration(uint32_t num_interfaces)
{
    uint8_t *bytes = g_malloc0(8);
    WireCursor count = wire_writer(bytes + 4, 4);
    wire_u32(&count, &num_interfaces);
    return g_bytes_new_take(bytes, 8);
}

/* Interfaces 0 to n-1 in that order, setting 0, and the device's own descriptor. FreeRDP also takes
 * the first one again and again behind them. */
static bool names_whole_configuration(const FakeClient *client, const ClientDevice *d,
                                      const WireSelectConfiguration *b)
{
    WireBytes given = b->usb_configuration_descriptor;
    const uint8_t *own =
        given.length > 5 ? fake_device_configuration(&d->device, given.data[5]) : NULL;
    if (!own || given.length != (size_t) (own[2] | own[3] << 8) ||
        memcmp(own, given.data, given.length) != 0)
        return false;
    unsigned n = fake_device_n_interfaces(&d->device, own[5]);
    if (b->num_interfaces < n || (client->profile->is_mstsc && b->num_interfaces > n))
        return false;
    for (uint32_t i = 0; i < b->num_interfaces; i++)
        if (b->interfaces[i].interface_number != (i < n ? i : 0) ||
            b->interfaces[i].alternate_setting != 0)
            return false;
    return true;
}

/* FreeRDP looks each interface up in the list of the last selection, however long that is. */
static void look_up_interfaces(FakeClient *client, ClientDevice *d,
                               const WireSelectConfiguration *b)
{
    for (uint32_t i = 0; i < b->num_interfaces && !client->profile->is_mstsc; i++)
        if (d->n_listed > 0 && b->interfaces[i].interface_number >= d->n_listed)
            client_violation(client,
                             "SELECT_CONFIGURATION with interface %u, where the last one "
                             "had %u: FreeRDP reads past its list",
                             b->interfaces[i].interface_number, d->n_listed);
    d->n_listed = b->num_interfaces;
}

/* By the device. */
static GBytes *selection_failed(const FakeClient *client, FakeResponse *response)
{
    *response = (FakeResponse){.action = client->profile->is_mstsc ? FAKE_ANSWER : FAKE_NEVER,
                               .usbd_status = WIRE_USBD_STATUS_STALL_PID,
                               .hresult = WIRE_E_DEVICE_NOT_FUNCTIONING};
    return NULL;
}

static GBytes *select_configuration(FakeClient *client, ClientDevice *d,
                                    const WireSelectConfiguration *b, FakeResponse *response)
{
    const FakeClientProfile *profile = client->profile;
    if (!b->configuration_descriptor_is_valid) {
        if (profile->is_mstsc) /* FreeRDP does nothing */
            fake_device_select_configuration(&d->device, 0);
        return no_configuration(b->num_interfaces);
    }
    WireBytes descriptor = b->usb_configuration_descriptor;
    if (!names_whole_configuration(client, d, b)) {
        client_violation(client, "SELECT_CONFIGURATION with other interfaces or another descriptor "
                                 "than the device has");
        *response = (FakeResponse){.action = profile->is_mstsc ? FAKE_ANSWER : FAKE_NEVER,
                                   .hresult = WIRE_E_INVALID_PARAMETER};
        return NULL;
    }
    look_up_interfaces(client, d, b);
    if (!fake_device_select_configuration(&d->device, descriptor.data[5]) &&
        !profile->select_always_succeeds)
        return selection_failed(client, response);
    WireSelectConfigurationResult result = {.configuration_handle =
                                                handle_base(d) | descriptor.data[5],
                                            .num_interfaces = b->num_interfaces};
    uint32_t n_pipes = 0;
    for (uint32_t i = 0; i < b->num_interfaces; i++) {
        FakeInterface interface = {0};
        fake_device_interface(&d->device, b->interfaces[i].interface_number, 0, &interface);
        n_pipes = add_interface_result(d, &interface, &result.interfaces[i], result.pipes, n_pipes);
    }
    return encode_configuration(&result);
}

/* FreeRDP 3.14 to 3.22: the result, ConfigurationHandle, 1, the result again, HResult and
 * OutputBufferSize. */
static void send_select_interface_twice(FakeClient *client, ClientDevice *d, const Transfer *t,
                                        WireBytes block)
{
    g_autoptr(GByteArray) trailing = g_byte_array_new();
    g_byte_array_append(trailing, block.data, (guint) block.length);
    g_byte_array_append(trailing, (const uint8_t[8]){0}, 8);
    client_send(client, d->channel,
                &(WireMessage){.kind = WIRE_MESSAGE_URB_COMPLETION_NO_DATA,
                               .as.urb_completion = {.interface_id = d->request_completion,
                                                     .message_id = t->message_id,
                                                     .request_id = t->request_id,
                                                     .ts_urb_result = block,
                                                     .hresult = configuration_handle(d),
                                                     .output_buffer_size = 1,
                                                     .trailing = {trailing->data, trailing->len}}});
}

static GBytes *select_interface(FakeClient *client, ClientDevice *d, const Transfer *t,
                                const WireSelectInterface *b, FakeResponse *response)
{
    const FakeClientProfile *profile = client->profile;
    uint8_t number = b->interface.interface_number, setting = b->interface.alternate_setting;
    FakeInterface interface = {.number = number, .alternate_setting = setting};
    if (d->device.configuration_value == 0 || b->configuration_handle != configuration_handle(d) ||
        number >= fake_device_n_interfaces(&d->device, d->device.configuration_value)) {
        client_violation(client,
                         "SELECT_INTERFACE without a configuration, or of an interface that "
                         "it has not: memory corruption in FreeRDP up to 3.21");
        response->action = FAKE_NEVER;
        return NULL;
    }
    fake_device_interface(&d->device, number, setting, &interface);
    if (!fake_device_select_interface(&d->device, number, setting) &&
        !profile->select_always_succeeds)
        return selection_failed(client, response);
    WireSelectInterfaceResult result = {0};
    add_interface_result(d, &interface, &result.interface, result.pipes, 0);
    size_t size = wire_select_interface_result_size(&result);
    if (profile->select_interface_wants_obs && t->output_buffer_size < PIPE_ANSWER_SIZE + size) {
        response->action = FAKE_NEVER;
        return NULL;
    }
    uint8_t *bytes = g_malloc(size);
    wire_select_interface_result_encode(&result, bytes, size);
    if (profile->select_interface_twice) {
        send_select_interface_twice(client, d, t, (WireBytes){bytes, size});
        response->action = FAKE_NEVER;
    }
    return g_bytes_new_take(bytes, size);
}

/* ---- Pipes ---- */

static void pipe_request(FakeClient *client, ClientDevice *d, const FakeRequest *r,
                         FakeResponse *response)
{
    const FakeClientProfile *profile = client->profile;
    uint8_t endpoint = r->urb->body.pipe_request.pipe_handle & 0xFF;
    if (profile->pipe_wants_obs_0 && r->output_buffer_size != 0) {
        client_violation(client, "a pipe request with OutputBufferSize %u is dropped",
                         r->output_buffer_size);
        response->action = FAKE_NEVER;
        return;
    }
    if (r->urb->function != WIRE_URB_FUNCTION_ABORT_PIPE) {
        if (!profile->is_mstsc)
            client_cancel_all(client, d, 0);
        fake_device_clear_halt(&d->device, endpoint);
    } else if (profile->is_mstsc) {
        client_cancel_all(client, d, endpoint);
    } else {
        client_violation(client, "ABORT_PIPE halts the endpoint with FreeRDP");
        client_cancel_all(client, d, 0);
        fake_device_halt(&d->device, endpoint);
    }
    if (profile->pipe_wants_obs_36 && r->output_buffer_size < PIPE_ANSWER_SIZE)
        response->action = FAKE_NEVER;
}

static void bulk_or_interrupt(FakeClient *client, ClientDevice *d, const FakeRequest *r,
                              Transfer *t, FakeResponse *response)
{
    bool is_mstsc = client->profile->is_mstsc;
    const WireBulkOrInterruptTransfer *b = &r->urb->body.bulk_or_interrupt_transfer;
    uint8_t endpoint = b->pipe_handle & 0xFF;
    if (!fake_device_has_endpoint(&d->device, endpoint) || !!(endpoint & 0x80) != r->is_in) {
        *response = (FakeResponse){.action = is_mstsc ? FAKE_ANSWER : FAKE_NEVER,
                                   .hresult = WIRE_E_INVALID_PARAMETER};
        return;
    }
    if (r->is_in) {
        t->is_short_ok = b->transfer_flags & WIRE_USBD_SHORT_TRANSFER_OK;
        response->action = FAKE_HOLD;
    } else if (fake_device_is_halted(&d->device, endpoint)) {
        response->usbd_status =
            is_mstsc ? WIRE_USBD_STATUS_STALL_PID : WIRE_USBD_STATUS_LIBUSB_STALL;
    } else {
        fake_device_take(&d->device, endpoint, r->output_buffer.data, r->output_buffer.length);
        response->data = r->output_buffer;
    }
}

/* ---- Control ---- */

static uint8_t recipient_of(uint16_t function)
{
    enum { DEVICE, INTERFACE, ENDPOINT, OTHER };
    switch (function) {
    case WIRE_URB_FUNCTION_GET_DESCRIPTOR_FROM_INTERFACE:
    case WIRE_URB_FUNCTION_SET_DESCRIPTOR_TO_INTERFACE:
    case WIRE_URB_FUNCTION_SET_FEATURE_TO_INTERFACE:
    case WIRE_URB_FUNCTION_CLEAR_FEATURE_TO_INTERFACE:
    case WIRE_URB_FUNCTION_GET_STATUS_FROM_INTERFACE:
    case WIRE_URB_FUNCTION_VENDOR_INTERFACE:
    case WIRE_URB_FUNCTION_CLASS_INTERFACE: return INTERFACE;
    case WIRE_URB_FUNCTION_GET_DESCRIPTOR_FROM_ENDPOINT:
    case WIRE_URB_FUNCTION_SET_DESCRIPTOR_TO_ENDPOINT:
    case WIRE_URB_FUNCTION_SET_FEATURE_TO_ENDPOINT:
    case WIRE_URB_FUNCTION_CLEAR_FEATURE_TO_ENDPOINT:
    case WIRE_URB_FUNCTION_GET_STATUS_FROM_ENDPOINT:
    case WIRE_URB_FUNCTION_VENDOR_ENDPOINT:
    case WIRE_URB_FUNCTION_CLASS_ENDPOINT: return ENDPOINT;
    case WIRE_URB_FUNCTION_SET_FEATURE_TO_OTHER:
    case WIRE_URB_FUNCTION_CLEAR_FEATURE_TO_OTHER:
    case WIRE_URB_FUNCTION_GET_STATUS_FROM_OTHER:
    case WIRE_URB_FUNCTION_VENDOR_OTHER:
    case WIRE_URB_FUNCTION_CLASS_OTHER: return OTHER;
    default: return DEVICE;
    }
}

static bool is_set_feature(uint16_t function)
{
    return function == WIRE_URB_FUNCTION_SET_FEATURE_TO_DEVICE ||
           function == WIRE_URB_FUNCTION_SET_FEATURE_TO_INTERFACE ||
           function == WIRE_URB_FUNCTION_SET_FEATURE_TO_ENDPOINT ||
           function == WIRE_URB_FUNCTION_SET_FEATURE_TO_OTHER;
}

static bool is_class(uint16_t function)
{
    return function == WIRE_URB_FUNCTION_CLASS_DEVICE ||
           function == WIRE_URB_FUNCTION_CLASS_INTERFACE ||
           function == WIRE_URB_FUNCTION_CLASS_ENDPOINT ||
           function == WIRE_URB_FUNCTION_CLASS_OTHER;
}

/* The USB request that the client makes of a typed one. FreeRDP takes the direction of feature
 * requests from the outer message and sends SET_DESCRIPTOR under the code of GET_DESCRIPTOR. */
static WireSetupPacket setup_of(const FakeClient *client, const FakeRequest *r)
{
    const WireUrb *urb = r->urb;
    bool is_mstsc = client->profile->is_mstsc;
    uint8_t recipient = recipient_of(urb->function), direction = r->is_in ? DIRECTION_IN : 0;
    uint16_t length = (uint16_t) r->output_buffer_size;
    switch (wire_urb_kind(urb->function)) {
    case WIRE_URB_CONTROL_TRANSFER:
    case WIRE_URB_CONTROL_TRANSFER_EX: return urb->body.control_transfer.setup_packet;
    case WIRE_URB_CONTROL_DESCRIPTOR_REQUEST: {
        const WireControlDescriptorRequest *b = &urb->body.control_descriptor_request;
        return (WireSetupPacket){
            direction | recipient, is_mstsc && !r->is_in ? SET_DESCRIPTOR : GET_DESCRIPTOR,
            (uint16_t) (b->descriptor_type << 8 | b->index), b->language_id, length};
    }
    case WIRE_URB_CONTROL_FEATURE_REQUEST: {
        const WireControlFeatureRequest *b = &urb->body.control_feature_request;
        return (WireSetupPacket){(is_mstsc ? 0 : direction) | recipient,
                                 is_set_feature(urb->function) ? SET_FEATURE : CLEAR_FEATURE,
                                 b->feature_selector, b->index, 0};
    }
    case WIRE_URB_CONTROL_GET_STATUS_REQUEST:
        return (WireSetupPacket){DIRECTION_IN | recipient, GET_STATUS, 0,
                                 urb->body.control_get_status_request.index, length};
    case WIRE_URB_CONTROL_VENDOR_OR_CLASS_REQUEST: {
        const WireControlVendorOrClassRequest *b = &urb->body.control_vendor_or_class_request;
        bool is_in = b->transfer_flags & WIRE_USBD_TRANSFER_DIRECTION_IN;
        return (WireSetupPacket){(is_in ? DIRECTION_IN : 0) |
                                     (is_class(urb->function) ? TYPE_CLASS : TYPE_VENDOR) |
                                     recipient,
                                 b->request, b->value, b->index, length};
    }
    case WIRE_URB_CONTROL_GET_INTERFACE_REQUEST:
        return (WireSetupPacket){DIRECTION_IN | 1, GET_INTERFACE, 0,
                                 urb->body.control_get_interface_request.interface, length};
    default: return (WireSetupPacket){DIRECTION_IN, GET_CONFIGURATION, 0, 0, length};
    }
}

/* What the device says to an IN request; NULL: stall. */
static GBytes *control_in(const FakeDevice *device, const WireSetupPacket *s)
{
    static const uint8_t no_status[2] = {0};
    if (s->bm_request_type & TYPE_MASK)
        return NULL;
    switch (s->b_request) {
    case GET_DESCRIPTOR: return fake_device_descriptor(device, s->w_value >> 8, s->w_value & 0xFF);
    case GET_STATUS: return g_bytes_new_static(no_status, sizeof no_status);
    case GET_CONFIGURATION: return g_bytes_new(&device->configuration_value, 1);
    case GET_INTERFACE: return g_bytes_new(&device->alternate_settings[s->w_index & 0xFF], 1);
    default: return NULL;
    }
}

/* Standard OUT requests are taken, others stalled. */
static bool control_out(FakeClient *client, const WireSetupPacket *s)
{
    if (s->bm_request_type & TYPE_MASK)
        return false;
    if (s->b_request == SET_CONFIGURATION || s->b_request == SET_INTERFACE ||
        (s->b_request == CLEAR_FEATURE && s->bm_request_type == 2 && s->w_value == 0))
        client_violation(client, "bRequest %u goes to the device behind the client's back",
                         s->b_request);
    return s->b_request == SET_FEATURE || s->b_request == CLEAR_FEATURE ||
           s->b_request == SET_DESCRIPTOR || s->b_request == SET_CONFIGURATION ||
           s->b_request == SET_INTERFACE;
}

/* Failed requests of FreeRDP up to 3.30 return their whole buffer, whatever is in it. */
static GBytes *control_failed(const FakeClient *client, const FakeRequest *r,
                              FakeResponse *response)
{
    response->usbd_status = WIRE_USBD_STATUS_STALL_PID;
    if (!client->profile->control_in_fails_dirty)
        return NULL;
    size_t size = r->is_in ? r->output_buffer_size : r->output_buffer.length;
    uint8_t *rubbish = g_malloc(size + 1);
    memset(rubbish, HEAP_RUBBISH, size);
    response->data = (WireBytes){rubbish, size};
    return g_bytes_new_take(rubbish, size);
}

/* Typed requests only, and those without a data stage in TRANSFER_IN_REQUEST. */
static bool mstsc_knows(WireUrbKind kind, const FakeRequest *r)
{
    if (kind == WIRE_URB_CONTROL_FEATURE_REQUEST)
        return r->is_in && r->output_buffer_size == 0;
    return kind != WIRE_URB_CONTROL_TRANSFER && kind != WIRE_URB_CONTROL_TRANSFER_EX;
}

static GBytes *control(FakeClient *client, ClientDevice *d, const FakeRequest *r,
                       FakeResponse *response)
{
    WireUrbKind kind = wire_urb_kind(r->urb->function);
    WireSetupPacket s = setup_of(client, r);
    if (client->profile->is_mstsc && !mstsc_knows(kind, r)) {
        response->hresult = WIRE_E_INVALID_PARAMETER;
        return NULL;
    }
    if (s.w_length != r->output_buffer_size) {
        client_violation(client, "wLength %u with OutputBufferSize %u", s.w_length,
                         r->output_buffer_size);
        response->action = FAKE_NEVER;
        return NULL;
    }
    if (!(s.bm_request_type & DIRECTION_IN)) {
        if (!control_out(client, &s))
            return control_failed(client, r, response);
        response->data = r->output_buffer;
        return NULL;
    }
    GBytes *answer = r->is_in ? control_in(&d->device, &s) : NULL;
    if (!answer)
        return control_failed(client, r, response);
    response->data.data = g_bytes_get_data(answer, &response->data.length);
    response->data.length = MIN(response->data.length, s.w_length);
    return answer;
}

static GBytes *frame_number(int64_t now)
{
    WireGetCurrentFrameNumberResult result = {(uint32_t) (now / MS)};
    uint8_t bytes[4];
    wire_get_current_frame_number_result_encode(&result, bytes, sizeof bytes);
    return g_bytes_new(bytes, sizeof bytes);
}

GBytes *client_execute(FakeClient *client, ClientDevice *d, const FakeRequest *r, Transfer *t,
                       FakeResponse *response, int64_t now)
{
    GBytes *result = NULL;
    switch (wire_urb_kind(r->urb->function)) {
    case WIRE_URB_SELECT_CONFIGURATION:
        result = select_configuration(client, d, &r->urb->body.select_configuration, response);
        break;
    case WIRE_URB_SELECT_INTERFACE:
        result = select_interface(client, d, t, &r->urb->body.select_interface, response);
        break;
    case WIRE_URB_PIPE_REQUEST: pipe_request(client, d, r, response); break;
    case WIRE_URB_HEADER_ONLY:
        if (r->urb->function == WIRE_URB_FUNCTION_GET_CONFIGURATION)
            return control(client, d, r, response);
        result = frame_number(now);
        break;
    case WIRE_URB_BULK_OR_INTERRUPT_TRANSFER: bulk_or_interrupt(client, d, r, t, response); break;
    case WIRE_URB_OS_FEATURE_DESCRIPTOR_REQUEST: return control_failed(client, r, response);
    case WIRE_URB_ISOCH_TRANSFER:
    case WIRE_URB_UNKNOWN: response->action = FAKE_NEVER; break;
    default: return control(client, d, r, response);
    }
    if (result)
        response->ts_urb_result.data = g_bytes_get_data(result, &response->ts_urb_result.length);
    return result;
}
