/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Any message, in either direction: identify, decode, and what was accepted must encode, and decode
 * and encode again to the same bytes. The first byte of the input says who sent the message (odd:
 * the client), the rest is the message. Its own interface id serves as the dynamic id.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wire/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);                \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

typedef struct {
    uint8_t *data;
    size_t length;
} Encoded;

static Encoded encode_message(const WireMessage *m)
{
    Encoded e = {.length = wire_message_size(m)};
    REQUIRE(e.length > 0);
    e.data = malloc(e.length);
    REQUIRE(e.data && wire_message_encode(m, e.data, e.length) == e.length);
    return e;
}

static void round_trip_message(const WireMessage *m)
{
    Encoded first = encode_message(m);
    WireMessage back;
    REQUIRE(wire_message_read(&back, m->kind, first.data, first.length));
    Encoded second = encode_message(&back);
    REQUIRE(first.length == second.length);
    REQUIRE(memcmp(first.data, second.data, first.length) == 0);
    free(first.data);
    free(second.data);
}

/* The same for a result on its own. */
#define ROUND_TRIP_RESULT(Type, name, view)                                                        \
    do {                                                                                           \
        Type result, back;                                                                         \
        if (!wire_##name##_decode(&result, (view).data, (view).length))                            \
            break;                                                                                 \
        size_t length = wire_##name##_size(&result);                                               \
        uint8_t *first = malloc(length), *second = malloc(length);                                 \
        REQUIRE(length > 0 && first && second);                                                    \
        REQUIRE(wire_##name##_encode(&result, first, length) == length);                           \
        REQUIRE(wire_##name##_decode(&back, first, length));                                       \
        REQUIRE(wire_##name##_encode(&back, second, length) == length);                            \
        REQUIRE(memcmp(first, second, length) == 0);                                               \
        free(first);                                                                               \
        free(second);                                                                              \
    } while (0)

/* Nobody knows here what was asked: any result may be meant. */
static void urb_completion(WireUrbCompletion *m)
{
    WireBytes view = m->ts_urb_result;
    ROUND_TRIP_RESULT(WireSelectConfigurationResult, select_configuration_result, view);
    ROUND_TRIP_RESULT(WireSelectInterfaceResult, select_interface_result, view);
    ROUND_TRIP_RESULT(WireGetCurrentFrameNumberResult, get_current_frame_number_result, view);
    ROUND_TRIP_RESULT(WireIsochTransferResult, isoch_transfer_result, view);
    wire_select_interface_completion_repair(m);
}

static void text(const WireText *t)
{
    char utf8[32];
    uint32_t position = 0;
    while (wire_text_next(t, &position, utf8, sizeof utf8))
        REQUIRE(strlen(utf8) < sizeof utf8 && position <= t->cch);
}

static void use(WireMessage *m)
{
    switch (m->kind) {
    case WIRE_MESSAGE_ADD_DEVICE:
        text(&m->as.add_device.device_instance_id);
        text(&m->as.add_device.hardware_ids);
        text(&m->as.add_device.compatibility_ids);
        text(&m->as.add_device.container_id);
        break;
    case WIRE_MESSAGE_QUERY_DEVICE_TEXT_RESPONSE:
        text(&m->as.query_device_text_response.device_description);
        break;
    case WIRE_MESSAGE_URB_COMPLETION:
    case WIRE_MESSAGE_URB_COMPLETION_NO_DATA: urb_completion(&m->as.urb_completion); break;
    default: break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    bool is_from_client = data[0] & 1;
    const uint8_t *message = data + 1;
    size_t length = size - 1;

    uint32_t word = 0;
    WireCursor c = wire_reader(message, length);
    wire_u32(&c, &word);
    uint32_t id = word & WIRE_INTERFACE_MASK;
    WireMessageKind kind = is_from_client ? wire_kind_from_client(message, length, id)
                                          : wire_kind_from_server(message, length, id);
    WireMessage m;
    if (!wire_message_read(&m, kind, message, length))
        return 0;
    round_trip_message(&m);
    use(&m);
    return 0;
}
