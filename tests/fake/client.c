/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Hand-shake and channels of the fake client. */
#include "client-private.h"

#include <string.h>

enum {
    FIRST_FREERDP_DEVICE = 5,
    WIN32_ERROR_INVALID_DATA = 13, /* what FreeRDP says as an HRESULT */
};

const FakeClientProfile fake_client_freerdp_3_10 = {
    .name = "FreeRDP 3.10",
    .out_echoes = true,
    .control_in_fails_dirty = true,
    .io_control_overclaims = true,
    .echoes_capabilities = true,
    .select_always_succeeds = true,
};

const FakeClientProfile fake_client_freerdp_3_13 = {
    .name = "FreeRDP 3.13",
    .out_echoes = true,
    .control_in_fails_dirty = true,
    .io_control_overclaims = true,
    .echoes_capabilities = true,
    .pipe_wants_obs_36 = true,
    .select_interface_wants_obs = true,
    .select_always_succeeds = true,
};

const FakeClientProfile fake_client_freerdp_3_15 = {
    .name = "FreeRDP 3.15",
    .out_echoes = true,
    .control_in_fails_dirty = true,
    .io_control_overclaims = true,
    .echoes_capabilities = true,
    .pipe_wants_obs_36 = true,
    .cancels_late = true,
    .select_interface_twice = true,
    .select_always_succeeds = true,
};

const FakeClientProfile fake_client_freerdp_3_24 = {
    .name = "FreeRDP 3.24",
    .out_echoes = true,
    .control_in_fails_dirty = true,
    .io_control_overclaims = true,
    .echoes_capabilities = true,
    .pipe_wants_obs_0 = true,
};

const FakeClientProfile fake_client_freerdp_master = {
    .name = "FreeRDP master",
    .pipe_wants_obs_0 = true,
    .cancels_late = true,
    .text_lacks_nul = true,
};

const FakeClientProfile fake_client_mstsc = {.name = "mstsc", .is_mstsc = true};

const FakeClientProfile *const fake_client_profiles[FAKE_CLIENT_N_PROFILES] = {
    &fake_client_freerdp_3_10, &fake_client_freerdp_3_13,   &fake_client_freerdp_3_15,
    &fake_client_freerdp_3_24, &fake_client_freerdp_master, &fake_client_mstsc,
};

typedef struct {
    unsigned channel;
    GBytes *message;
} Outgoing;

/* What mstsc wants next on a channel; anything else closes it (IronRDP #1077). */
typedef enum {
    STAGE_CAPABILITIES,
    STAGE_RELEASE_CAPABILITIES,
    STAGE_CHANNEL_CREATED,
    STAGE_RELEASE_NOTIFICATION,
    STAGE_DONE,
    STAGE_CLOSED,
} Stage;

typedef struct {
    unsigned channel;
    Stage stage;
} ChannelStage;

static void outgoing_free(Outgoing *outgoing)
{
    g_bytes_unref(outgoing->message);
    g_free(outgoing);
}

static void client_device_free(ClientDevice *d)
{
    fake_device_clear(&d->device);
    g_queue_clear_full(&d->transfers, (GDestroyNotify) fake_transfer_free);
    g_free(d);
}

FakeClient *fake_client_new(const FakeClientProfile *profile)
{
    FakeClient *client = g_new0(FakeClient, 1);
    client->profile = profile ? profile : &fake_client_freerdp_3_10;
    client->next_handle = FIRST_FREERDP_DEVICE;
    client->devices = g_ptr_array_new_with_free_func((GDestroyNotify) client_device_free);
    client->stages = g_array_new(FALSE, TRUE, sizeof(ChannelStage));
    client->violations = g_ptr_array_new_with_free_func(g_free);
    g_queue_init(&client->messages);
    g_queue_init(&client->closed);
    return client;
}

void fake_client_free(FakeClient *client)
{
    if (!client)
        return;
    g_ptr_array_unref(client->devices);
    g_array_unref(client->stages);
    g_ptr_array_unref(client->violations);
    g_queue_clear_full(&client->messages, (GDestroyNotify) outgoing_free);
    g_queue_clear(&client->closed);
    fake_client_set_ids(client, NULL, NULL);
    g_free(client);
}

void fake_client_set_on_urb(FakeClient *client, FakeOnUrb on_urb, void *data)
{
    client->on_urb = on_urb;
    client->on_urb_data = data;
}

const GPtrArray *fake_client_violations(const FakeClient *client)
{
    return client->violations;
}

void client_violation(FakeClient *client, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_ptr_array_add(client->violations, g_strdup_vprintf(format, arguments));
    va_end(arguments);
}

void client_send(FakeClient *client, unsigned channel, const WireMessage *m)
{
    size_t size = wire_message_size(m);
    g_assert(size > 0);
    uint8_t *bytes = g_malloc(size);
    wire_message_encode(m, bytes, size);
    Outgoing *outgoing = g_new(Outgoing, 1);
    *outgoing = (Outgoing){channel, g_bytes_new_take(bytes, size)};
    g_queue_push_tail(&client->messages, outgoing);
}

GBytes *fake_client_next_message(FakeClient *client, unsigned *channel)
{
    Outgoing *outgoing = g_queue_pop_head(&client->messages);
    if (!outgoing)
        return NULL;
    *channel = outgoing->channel;
    GBytes *message = g_bytes_ref(outgoing->message);
    outgoing_free(outgoing);
    return message;
}

bool fake_client_next_closed(FakeClient *client, unsigned *channel)
{
    if (g_queue_is_empty(&client->closed))
        return false;
    *channel = GPOINTER_TO_UINT(g_queue_pop_head(&client->closed));
    return true;
}

static ClientDevice *find_handle(FakeClient *client, uint32_t handle)
{
    for (guint i = 0; i < client->devices->len; i++) {
        ClientDevice *d = client->devices->pdata[i];
        if (d->handle == handle)
            return d;
    }
    return NULL;
}

static ClientDevice *find_channel(FakeClient *client, unsigned channel)
{
    for (guint i = 0; i < client->devices->len; i++) {
        ClientDevice *d = client->devices->pdata[i];
        if (d->is_announced && d->channel == channel)
            return d;
    }
    return NULL;
}

FakeDevice *fake_client_device(FakeClient *client, uint32_t handle)
{
    ClientDevice *d = find_handle(client, handle);
    return d ? &d->device : NULL;
}

static Stage *stage_of(FakeClient *client, unsigned channel)
{
    for (guint i = 0; i < client->stages->len; i++) {
        ChannelStage *s = &g_array_index(client->stages, ChannelStage, i);
        if (s->channel == channel)
            return &s->stage;
    }
    ChannelStage fresh = {channel, STAGE_CAPABILITIES};
    g_array_append_val(client->stages, fresh);
    return &g_array_index(client->stages, ChannelStage, client->stages->len - 1).stage;
}

static void forget(FakeClient *client, unsigned channel)
{
    ClientDevice *d = find_channel(client, channel);
    if (d)
        g_ptr_array_remove(client->devices, d);
    if (client->has_control_channel && channel == client->control_channel)
        client->is_control_channel_closed = true;
    *stage_of(client, channel) = STAGE_CLOSED;
}

void client_close(FakeClient *client, unsigned channel)
{
    forget(client, channel);
    g_queue_push_tail(&client->closed, GUINT_TO_POINTER(channel));
}

/* FreeRDP looks by the address for the device to give back. */
void fake_client_closed(FakeClient *client, unsigned channel)
{
    const ClientDevice *d = find_channel(client, channel);
    for (guint i = 0; d && client->devices->pdata[i] != d; i++) {
        const ClientDevice *elder = client->devices->pdata[i];
        if (elder->address == d->address)
            client_violation(client, "closing the twin %u gave back device %u", d->handle,
                             elder->handle);
    }
    forget(client, channel);
}

/* FreeRDP's GUIDs are the hexadecimal form of a text of at most 16 characters. */
static char *guid_of(const char *text, const char *format)
{
    uint8_t b[16] = {0};
    memcpy(b, text, MIN(strlen(text), sizeof b));
    g_autofree char *guid = g_strdup_printf(
        "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1], b[2],
        b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]);
    GString *s = g_string_new(format);
    g_string_replace(s, "GUID", guid, 1);
    return g_string_free(s, FALSE);
}

/* ASCII to UTF-16LE in utf16, where '\n' stands for NUL. */
static WireText text_of(GByteArray *utf16, const char *ascii)
{
    for (; *ascii; ascii++) {
        const uint8_t unit[2] = {*ascii == '\n' ? 0 : (uint8_t) *ascii, 0};
        g_byte_array_append(utf16, unit, sizeof unit);
    }
    return (WireText){utf16->data, utf16->len / 2};
}

/* [MS-RDPEUSB] 2.2.4.2 has lists of texts, with an empty one at the end. */
static char *hardware_ids(const FakeClient *client, const ClientDevice *d)
{
    const uint8_t *descriptor = d->device.model->device;
    unsigned vendor = descriptor[8] | descriptor[9] << 8;
    unsigned product = descriptor[10] | descriptor[11] << 8;
    unsigned release = descriptor[12] | descriptor[13] << 8;
    if (client->hardware_ids)
        return g_strconcat(client->hardware_ids, "\n", NULL);
    return g_strdup_printf("USB\\VID_%04X&PID_%04X&REV_%04X\nUSB\\VID_%04X&PID_%04X\n\n", vendor,
                           product, release, vendor, product);
}

static char *compatibility_ids(const FakeClient *client, const ClientDevice *d)
{
    FakeInterface first = {0};
    fake_device_interface(&d->device, 0, 0, &first);
    if (client->compatibility_ids)
        return g_strconcat(client->compatibility_ids, "\n", NULL);
    return g_strdup_printf(
        "USB\\Class_%02X&SubClass_%02X&Prot_%02X\nUSB\\Class_%02X&SubClass_%02X\n"
        "USB\\Class_%02X\n\n",
        first.class_code, first.sub_class_code, first.protocol_code, first.class_code,
        first.sub_class_code, first.class_code);
}

static void send_add_device(FakeClient *client, const ClientDevice *d)
{
    const uint8_t *descriptor = d->device.model->device;
    unsigned version = descriptor[2] | descriptor[3] << 8,
             vendor = descriptor[8] | descriptor[9] << 8;
    unsigned product = descriptor[10] | descriptor[11] << 8;

    g_autofree char *path = g_strdup_printf("\\1-%u", d->port);
    g_autofree char *box = g_strdup_printf("%04X%04X%s", vendor, product, path + 1);
    g_autofree char *instance = guid_of(path, "GUID\n");
    g_autofree char *container = guid_of(box, "{GUID}\n");
    g_autofree char *hardware = hardware_ids(client, d);
    g_autofree char *compatible = compatibility_ids(client, d);

    g_autoptr(GByteArray) instance_id = g_byte_array_new();
    g_autoptr(GByteArray) hardware_ids = g_byte_array_new();
    g_autoptr(GByteArray) compatibility_ids = g_byte_array_new();
    g_autoptr(GByteArray) container_id = g_byte_array_new();
    client_send(
        client, d->channel,
        &(WireMessage){.kind = WIRE_MESSAGE_ADD_DEVICE,
                       .as.add_device = {
                           .usb_device = d->usb_device,
                           .device_instance_id = text_of(instance_id, instance),
                           .hardware_ids = text_of(hardware_ids, hardware),
                           .compatibility_ids = text_of(compatibility_ids, compatible),
                           .container_id = text_of(container_id, container),
                           .usb_device_capabilities = {2, 0x600, version, 0, version >= 0x200, 80},
                       }});
}

static void send_add_virtual_channel(FakeClient *client, const ClientDevice *d)
{
    uint32_t message_id = client->profile->is_mstsc ? 0 : d->handle;
    client_send(client, client->control_channel,
                &(WireMessage){.kind = WIRE_MESSAGE_ADD_VIRTUAL_CHANNEL,
                               .as.add_virtual_channel = {message_id}});
}

/* The start signal: the first makes a control channel, each further one binds the next device. */
static void start(FakeClient *client, unsigned channel)
{
    if (!client->has_control_channel) {
        client->has_control_channel = true;
        client->control_channel = channel;
        for (guint i = 0; i < client->devices->len; i++)
            send_add_virtual_channel(client, client->devices->pdata[i]);
        return;
    }
    if (channel == client->control_channel)
        client_violation(client, "interface 2 was released twice on the control channel");
    for (guint i = 0; i < client->devices->len; i++) {
        ClientDevice *d = client->devices->pdata[i];
        if (d->is_announced)
            continue;
        d->is_announced = true;
        d->channel = channel;
        send_add_device(client, d);
        return;
    }
}

static uint32_t plug(FakeClient *client, const FakeDeviceModel *model, uint32_t port,
                     uint32_t address)
{
    ClientDevice *d = g_new0(ClientDevice, 1);
    d->handle = client->next_handle++;
    d->port = port ? port : d->handle;
    d->address = address ? address : d->handle;
    d->usb_device = client->profile->is_mstsc ? 0 : d->handle;
    fake_device_init(&d->device, model);
    g_queue_init(&d->transfers);
    g_ptr_array_add(client->devices, d);
    if (!client->has_control_channel || client->is_control_channel_closed)
        return d->handle;
    /* FreeRDP announces all that are not bound yet, some of them once more */
    for (guint i = 0; i < client->devices->len; i++) {
        ClientDevice *other = client->devices->pdata[i];
        if (other == d || (!other->is_announced && !client->profile->is_mstsc))
            send_add_virtual_channel(client, other);
    }
    return d->handle;
}

uint32_t fake_client_plug(FakeClient *client, const FakeDeviceModel *model)
{
    return plug(client, model, 0, 0);
}

uint32_t fake_client_plug_like(FakeClient *client, uint32_t handle, bool is_twin)
{
    const ClientDevice *d = find_handle(client, handle);
    return d ? plug(client, d->device.model, d->port, is_twin ? d->address : 0) : 0;
}

void fake_client_unplug(FakeClient *client, uint32_t handle)
{
    ClientDevice *d = find_handle(client, handle);
    g_return_if_fail(d);
    if (d->is_announced)
        client_close(client, d->channel);
    else
        g_ptr_array_remove(client->devices, d);
}

void fake_client_set_ids(FakeClient *client, const char *hardware_ids,
                         const char *compatibility_ids)
{
    g_free(client->hardware_ids);
    g_free(client->compatibility_ids);
    client->hardware_ids = g_strdup(hardware_ids);
    client->compatibility_ids = g_strdup(compatibility_ids);
}

void fake_client_set_text_length(FakeClient *client, size_t length)
{
    client->text_length = length;
}

static void release(FakeClient *client, unsigned channel, const WireRelease *m)
{
    switch (m->interface_id) {
    case WIRE_INTERFACE_DEVICE_SINK:
        client_violation(client, "the device sink was released: mstsc closes the channel");
        if (client->profile->is_mstsc)
            client_close(client, channel);
        break;
    case WIRE_INTERFACE_SERVER_NOTIFICATION: start(client, channel); break;
    default: break;
    }
}

static void channel_created(FakeClient *client, unsigned channel, const WireChannelCreated *m)
{
    uint32_t capabilities = client->profile->echoes_capabilities ? m->capabilities : 0;
    WireMessage answer = {.kind = WIRE_MESSAGE_CHANNEL_CREATED,
                          .as.channel_created = {WIRE_INTERFACE_CLIENT_NOTIFICATION, m->message_id,
                                                 1, 0, capabilities}};
    client_send(client, channel, &answer);
}

static void query_device_text(FakeClient *client, const ClientDevice *d,
                              const WireQueryDeviceText *m)
{
    if (m->locale_id > UINT16_MAX)
        return;
    WireMessage answer = {.kind = WIRE_MESSAGE_QUERY_DEVICE_TEXT_RESPONSE,
                          .as.query_device_text_response = {.interface_id = d->usb_device,
                                                            .message_id = m->message_id}};
    WireQueryDeviceTextResponse *response = &answer.as.query_device_text_response;
    g_autoptr(GByteArray) utf16 = g_byte_array_new();
    g_autofree char *location = g_strdup_printf("Port_#%04u.Hub_#0001\n", d->address);
    uint8_t product = d->device.model->device[15];
    g_autoptr(GBytes) string = product ? fake_device_descriptor(&d->device, 3, product) : NULL;
    if (client->text_length) {
        g_autofree char *text = g_strnfill(client->text_length, 'x');
        response->device_description = text_of(utf16, text);
        client_send(client, d->channel, &answer);
        return;
    }
    switch (m->text_type) {
    case WIRE_TEXT_TYPE_DESCRIPTION:
        if (!string) {
            response->device_description = text_of(utf16, "Generic Usb String\n");
            break;
        }
        g_byte_array_append(utf16, (const uint8_t *) g_bytes_get_data(string, NULL) + 2,
                            (guint) g_bytes_get_size(string) - 2);
        /* up to 3.27 the NUL takes the place of the last character */
        if (!client->profile->text_lacks_nul && utf16->len >= 2)
            memset(utf16->data + utf16->len - 2, 0, 2);
        response->device_description = (WireText){utf16->data, utf16->len / 2};
        break;
    case WIRE_TEXT_TYPE_LOCATION_INFORMATION:
        response->device_description = text_of(utf16, location);
        break;
    default: response->hresult = WIN32_ERROR_INVALID_DATA; break;
    }
    client_send(client, d->channel, &answer);
}

static void register_request_callback(FakeClient *client, ClientDevice *d,
                                      const WireRegisterRequestCallback *m)
{
    if (d->is_registered)
        client_violation(client, "REGISTER_REQUEST_CALLBACK was sent twice");
    d->is_registered = m->is_registering;
    d->request_completion = m->request_completion;
}

static void device_message(FakeClient *client, ClientDevice *d, const WireMessage *m, int64_t now)
{
    switch (m->kind) {
    case WIRE_MESSAGE_REGISTER_REQUEST_CALLBACK:
        register_request_callback(client, d, &m->as.register_request_callback);
        break;
    case WIRE_MESSAGE_CANCEL_REQUEST:
        client_cancel(client, d, m->as.cancel_request.request_id);
        break;
    case WIRE_MESSAGE_QUERY_DEVICE_TEXT:
        query_device_text(client, d, &m->as.query_device_text);
        break;
    case WIRE_MESSAGE_IO_CONTROL:
    case WIRE_MESSAGE_INTERNAL_IO_CONTROL: client_io_control(client, d, m, now); break;
    case WIRE_MESSAGE_TRANSFER_IN_REQUEST:
    case WIRE_MESSAGE_TRANSFER_OUT_REQUEST: client_transfer(client, d, m, now); break;
    case WIRE_MESSAGE_RETRACT_DEVICE:
        /* FreeRDP ignores it */
        if (client->profile->is_mstsc)
            client_close(client, d->channel);
        break;
    default: break;
    }
}

/* Whether mstsc goes on: it closes a channel on which anything comes out of order. */
static bool mstsc_accepts(FakeClient *client, unsigned channel, const WireMessage *m)
{
    static const WireMessageKind wanted[] = {
        [STAGE_CAPABILITIES] = WIRE_MESSAGE_CAPABILITY_REQUEST,
        [STAGE_RELEASE_CAPABILITIES] = WIRE_MESSAGE_RELEASE,
        [STAGE_CHANNEL_CREATED] = WIRE_MESSAGE_CHANNEL_CREATED,
        [STAGE_RELEASE_NOTIFICATION] = WIRE_MESSAGE_RELEASE,
    };
    Stage *stage = stage_of(client, channel);
    if (*stage == STAGE_DONE)
        return true;
    if (*stage == STAGE_CLOSED)
        return false;
    bool is_right = m->kind == wanted[*stage];
    if (is_right && m->kind == WIRE_MESSAGE_RELEASE)
        is_right = m->as.release.interface_id == (*stage == STAGE_RELEASE_CAPABILITIES
                                                      ? WIRE_INTERFACE_CAPABILITIES
                                                      : WIRE_INTERFACE_SERVER_NOTIFICATION);
    if (is_right) {
        (*stage)++;
        return true;
    }
    client_violation(client, "%s came out of order on channel %u: mstsc closes it",
                     wire_message_kind_to_string(m->kind), channel);
    client_close(client, channel);
    return false;
}

/* FreeRDP looks at the interface id alone, mstsc at the channel. */
static ClientDevice *route(FakeClient *client, unsigned channel, const uint8_t *data, size_t size)
{
    if (client->profile->is_mstsc)
        return find_channel(client, channel);
    uint32_t word = 0;
    WireCursor c = wire_reader(data, size);
    wire_u32(&c, &word);
    for (guint i = 0; i < client->devices->len; i++) {
        ClientDevice *d = client->devices->pdata[i];
        if (d->is_announced && d->usb_device == (word & WIRE_INTERFACE_MASK))
            return d;
    }
    return NULL;
}

void fake_client_feed(FakeClient *client, unsigned channel, const uint8_t *data, size_t size,
                      int64_t now)
{
    ClientDevice *d = route(client, channel, data, size);
    WireMessageKind kind =
        wire_kind_from_server(data, size, d ? d->usb_device : WIRE_INTERFACE_NOT_KNOWN);
    if (kind == WIRE_MESSAGE_UNKNOWN && size >= 12)
        return; /* a device that has gone: silence */
    WireMessage m;
    if (!wire_message_read(&m, kind, data, size)) {
        client_violation(client, "%zu bytes on channel %u are no %s", size, channel,
                         wire_message_kind_to_string(kind));
        return;
    }
    if (client->profile->is_mstsc && !mstsc_accepts(client, channel, &m))
        return;

    switch (kind) {
    case WIRE_MESSAGE_CAPABILITY_REQUEST:
        client_send(
            client, channel,
            &(WireMessage){.kind = WIRE_MESSAGE_CAPABILITY_RESPONSE,
                           .as.capability_response = {m.as.capability_request.message_id,
                                                      WIRE_RIM_CAPABILITY_VERSION_01, WIRE_S_OK}});
        break;
    case WIRE_MESSAGE_CHANNEL_CREATED:
        channel_created(client, channel, &m.as.channel_created);
        break;
    case WIRE_MESSAGE_RELEASE: release(client, channel, &m.as.release); break;
    default:
        if (!d || client->is_control_channel_closed)
            break;
        if (d->channel != channel)
            client_violation(client, "%s for device %u came on channel %u, not %u",
                             wire_message_kind_to_string(kind), d->handle, channel, d->channel);
        device_message(client, d, &m, now);
        break;
    }
}

int64_t fake_client_deadline(const FakeClient *client)
{
    int64_t deadline = FAKE_CLIENT_NO_DEADLINE;
    for (guint i = 0; i < client->devices->len; i++) {
        const ClientDevice *d = client->devices->pdata[i];
        for (const GList *l = d->transfers.head; l; l = l->next)
            deadline = MIN(deadline, ((const Transfer *) l->data)->deadline);
    }
    return deadline;
}

void fake_client_tick(FakeClient *client, int64_t now)
{
    for (guint i = 0; i < client->devices->len; i++)
        client_advance(client, client->devices->pdata[i], now);
}

unsigned fake_client_n_pending(const FakeClient *client)
{
    unsigned n = 0;
    for (guint i = 0; i < client->devices->len; i++)
        n += ((const ClientDevice *) client->devices->pdata[i])->transfers.length;
    return n;
}

bool fake_client_complete(FakeClient *client, uint32_t handle, uint32_t request_id,
                          const FakeResponse *response)
{
    ClientDevice *d = find_handle(client, handle);
    for (GList *l = d ? d->transfers.head : NULL; l; l = l->next) {
        Transfer *t = l->data;
        if (t->request_id != request_id)
            continue;
        g_queue_delete_link(&d->transfers, l);
        client_respond(client, d, t, response);
        fake_transfer_free(t);
        return true;
    }
    return false;
}
