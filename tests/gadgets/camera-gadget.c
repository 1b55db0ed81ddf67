/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A camera (camera-gadget.h). [UVC] is the USB Video Class, revision 1.0a. */
#include "camera-gadget.h"

#include "gadget-bus.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PROBE_LENGTH   26
#define CONTROL_PROBE  0x0100
#define CONTROL_COMMIT 0x0200

enum {
    SET_CUR = 0x01,
    GET_CUR = 0x81,
    GET_MIN = 0x82,
    GET_MAX = 0x83,
    GET_RES = 0x84,
    GET_LEN = 0x85,
    GET_INFO = 0x86,
    GET_DEF = 0x87,
};

struct camera {
    uint32_t payload; /* dwMaxPayloadTransferSize */
    uint64_t packets, frames;
    /* Bulk */
    bool committed;
    uint64_t began;           /* when frame 0 did */
    uint32_t frame, next;     /* in the middle of `frame`, or waiting for `next` */
    size_t offset;            /* of the frame; CAMERA_FRAME_BYTES between two frames */
    size_t payload_at, total; /* where in the payload, of how many bytes */
};

/* clang-format off */
#define LE16(n) (n) & 0xff, (n) >> 8
#define LE32(n) (n) & 0xff, (n) >> 8 & 0xff, (n) >> 16 & 0xff, (n) >> 24 & 0xff
#define BIT_RATE (CAMERA_FRAME_BYTES * 8 * 25)
#define STREAM_LENGTH 77

#define FUNCTION(total, endpoints) \
    9, LIBUSB_DT_CONFIG, LE16(total), 2, 1, 0, 0x80, 100, \
    8, 0x0b, 0, 2, LIBUSB_CLASS_VIDEO, 3, 0, GADGET_PRODUCT,  /* one function of two interfaces */ \
    9, LIBUSB_DT_INTERFACE, 0, 0, 0, LIBUSB_CLASS_VIDEO, 1, 0, 0, \
    13, 0x24, 0x01, 0x00, 0x01, LE16(40), LE32(1000000), 1, CAMERA_INTERFACE, \
    18, 0x24, 0x02, 1, LE16(0x0201), 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, /* camera */ \
    9, 0x24, 0x03, 2, LE16(0x0101), 0, 1, 0,                             /* to USB */ \
    9, LIBUSB_DT_INTERFACE, CAMERA_INTERFACE, 0, endpoints, LIBUSB_CLASS_VIDEO, 2, 0, 0, \
    14, 0x24, 0x01, 1, LE16(STREAM_LENGTH), CAMERA_VIDEO, 0, 2, 0, 0, 0, 1, 0, \
    27, 0x24, 0x04, 1, 1, \
        'Y', 'U', 'Y', '2', 0, 0, 0x10, 0, 0x80, 0, 0, 0xaa, 0, 0x38, 0x9b, 0x71, \
        16, 1, 0, 0, 0, 0, \
    30, 0x24, 0x05, 1, 0, LE16(CAMERA_WIDTH), LE16(CAMERA_HEIGHT), LE32(BIT_RATE), \
        LE32(BIT_RATE), LE32(CAMERA_FRAME_BYTES), LE32(CAMERA_FRAME_US * 10), 1, \
        LE32(CAMERA_FRAME_US * 10), \
    6, 0x24, 0x0d, 1, 1, 4
#define SETTING(alternate, size, interval) \
    9, LIBUSB_DT_INTERFACE, CAMERA_INTERFACE, alternate, 1, LIBUSB_CLASS_VIDEO, 2, 0, 0, \
    7, LIBUSB_DT_ENDPOINT, CAMERA_VIDEO, LIBUSB_TRANSFER_TYPE_ISOCHRONOUS | 0x04, LE16(size), \
    interval

static const uint8_t iso_configuration[] = {
    FUNCTION(200, 0),
    SETTING(1, CAMERA_PAYLOAD_SMALL, 4),
    SETTING(2, CAMERA_PAYLOAD_MEDIUM, 1),
    SETTING(3, 2 << 11 | 1024, 1),
};

static const uint8_t bulk_configuration[] = {
    FUNCTION(159, 1),
    7, LIBUSB_DT_ENDPOINT, CAMERA_VIDEO, LIBUSB_TRANSFER_TYPE_BULK, 0x00, 0x02, 0,
};
/* clang-format on */
_Static_assert(sizeof iso_configuration == 200 && sizeof bulk_configuration == 159, "wTotalLength");

/* --- Pictures ------------------------------------------------------------------------------------
 */

static void put_header(uint8_t *data, uint32_t frame, bool last)
{
    data[0] = CAMERA_HEADER_LENGTH;
    data[1] = (uint8_t) (CAMERA_HEADER_EOH | (frame & CAMERA_HEADER_FID) |
                         (last ? CAMERA_HEADER_EOF : 0));
}

static void put_picture(uint8_t *data, size_t length, uint32_t frame, size_t offset)
{
    for (size_t i = 0; i < length; i++)
        data[i] = camera_byte(frame, offset + i);
}

/* Frame and place in it follow from the time alone. Behind the frame come bare headers until the
 * next one begins. */
static size_t camera_iso_in(struct gadget *gadget, uint8_t endpoint, uint64_t interval,
                            uint8_t *data, size_t room)
{
    struct camera *camera = gadget->state;
    const struct gadget_endpoint *video = bus_endpoint(gadget, endpoint);
    const uint64_t per_frame = CAMERA_FRAME_US / video->interval;
    uint32_t frame = (uint32_t) (interval / per_frame);
    size_t share = video->interval_bytes - CAMERA_HEADER_LENGTH;
    size_t offset = (size_t) (interval % per_frame) * share;
    size_t rest = offset < CAMERA_FRAME_BYTES ? CAMERA_FRAME_BYTES - offset : 0;
    size_t length = rest < share ? rest : share;
    camera->packets++;
    camera->frames += offset == 0;
    if (CAMERA_HEADER_LENGTH + length <= room) {
        put_header(data, frame, length > 0 && length == rest);
        put_picture(data + CAMERA_HEADER_LENGTH, length, frame, offset);
    }
    return CAMERA_HEADER_LENGTH + length;
}

/* --- Bulk ----------------------------------------------------------------------------------------
 */

/* The newest frame whose time has come; false if that was sent already. */
static bool next_frame(struct gadget *gadget, struct camera *camera)
{
    uint32_t newest = (uint32_t) ((gadget_now() - camera->began) / CAMERA_FRAME_US);
    if (newest < camera->next) {
        gadget->wake_at = camera->began + (uint64_t) camera->next * CAMERA_FRAME_US;
        return false;
    }
    camera->frame = newest;
    camera->next = newest + 1;
    camera->offset = 0;
    camera->frames++;
    return true;
}

static void next_payload(struct camera *camera)
{
    size_t rest = CAMERA_FRAME_BYTES - camera->offset;
    size_t share = camera->payload - CAMERA_HEADER_LENGTH;
    camera->payload_at = 0;
    camera->total = CAMERA_HEADER_LENGTH + (rest < share ? rest : share);
    camera->packets++;
}

static enum gadget_reply camera_in(struct gadget *gadget, uint8_t endpoint, uint8_t *data,
                                   size_t room, size_t *length)
{
    struct camera *camera = gadget->state;
    if (!camera->committed)
        return GADGET_NAK;
    if (camera->payload_at == camera->total) {
        if (camera->offset == CAMERA_FRAME_BYTES && !next_frame(gadget, camera))
            return GADGET_NAK;
        next_payload(camera);
    }
    uint8_t header[CAMERA_HEADER_LENGTH];
    put_header(header, camera->frame,
               camera->offset + camera->total - camera->payload_at >= CAMERA_FRAME_BYTES);
    for (*length = 0; *length < room && camera->payload_at < camera->total; ++*length) {
        size_t at = camera->payload_at++;
        data[*length] =
            at < CAMERA_HEADER_LENGTH ? header[at] : camera_byte(camera->frame, camera->offset++);
    }
    return GADGET_DONE;
}

/* --- Requests ([UVC] 4.3.1.1) --------------------------------------------------------------------
 */

static void put_le32(uint8_t *bytes, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        bytes[i] = (uint8_t) (value >> (8 * i));
}

/* There is one format, one size and one rate: every negotiation ends here. */
static enum gadget_reply give_probe(const struct camera *camera, uint8_t *data, size_t *length)
{
    uint8_t probe[PROBE_LENGTH] = {0};
    probe[2] = 1; /* bFormatIndex */
    probe[3] = 1; /* bFrameIndex */
    put_le32(probe + 4, CAMERA_FRAME_US * 10);
    put_le32(probe + 18, CAMERA_FRAME_BYTES);
    put_le32(probe + 22, camera->payload);
    *length = *length < PROBE_LENGTH ? *length : PROBE_LENGTH;
    memcpy(data, probe, *length);
    return GADGET_DONE;
}

static void commit(struct camera *camera)
{
    camera->committed = true;
    camera->began = gadget_now();
    camera->next = 0;
    camera->offset = CAMERA_FRAME_BYTES;
    camera->payload_at = camera->total = 0;
}

static enum gadget_reply give_small(uint8_t *data, size_t *length, uint16_t value, size_t size)
{
    const uint8_t bytes[] = {(uint8_t) value, (uint8_t) (value >> 8)};
    *length = *length < size ? *length : size;
    memcpy(data, bytes, *length);
    return GADGET_DONE;
}

static enum gadget_reply camera_control(struct gadget *gadget,
                                        const struct libusb_control_setup *setup, uint8_t *data,
                                        size_t *length)
{
    struct camera *camera = gadget->state;
    if ((setup->bmRequestType & 0x7f) != (LIBUSB_REQUEST_TYPE_CLASS | LIBUSB_RECIPIENT_INTERFACE) ||
        setup->wIndex != CAMERA_INTERFACE ||
        (setup->wValue != CONTROL_PROBE && setup->wValue != CONTROL_COMMIT))
        return GADGET_STALL;
    switch (setup->bRequest) {
    case SET_CUR:
        if (setup->wValue == CONTROL_COMMIT)
            commit(camera);
        return GADGET_DONE;
    case GET_CUR:
    case GET_MIN:
    case GET_MAX:
    case GET_RES:
    case GET_DEF: return give_probe(camera, data, length);
    case GET_LEN: return give_small(data, length, PROBE_LENGTH, 2);
    case GET_INFO: return give_small(data, length, 0x03, 1); /* GET and SET */
    default: return GADGET_STALL;
    }
}

/* --- Life ----------------------------------------------------------------------------------------
 */

static bool camera_create(struct gadget *gadget, struct gadget_options *options)
{
    static const uint32_t payloads[] = {CAMERA_PAYLOAD_SMALL, CAMERA_PAYLOAD_MEDIUM,
                                        CAMERA_PAYLOAD_LARGE};
    unsigned long bulk = 0, setting = 1;
    struct camera *camera = calloc(1, sizeof *camera);
    if (!camera || !gadget_options_number(options, "bulk", 1, &bulk) ||
        !gadget_options_number(options, "setting", 3, &setting)) {
        free(camera);
        return false;
    }
    if (setting < 1 || (bulk && setting != 1)) {
        gadget_options_fail(options, "setting= is 1, 2 or 3, and not for bulk=1");
        free(camera);
        return false;
    }
    camera->payload = bulk ? CAMERA_PAYLOAD_BULK : payloads[setting - 1];
    if (bulk)
        gadget->configurations[0] =
            (struct gadget_blob){bulk_configuration, sizeof bulk_configuration};
    gadget->state = camera;
    return true;
}

static void camera_reset(struct gadget *gadget)
{
    struct camera *camera = gadget->state;
    camera->committed = false;
}

static void camera_stats(struct gadget *gadget, char *text, size_t size)
{
    const struct camera *camera = gadget->state;
    snprintf(text, size, " camera.frames=%llu camera.packets=%llu",
             (unsigned long long) camera->frames, (unsigned long long) camera->packets);
}

const struct gadget_ops camera_gadget = {
    .kind = "camera",
    .vendor_id = 0x1209,
    .product_id = 0x0008,
    .product = "Emulated camera",
    .speed = LIBUSB_SPEED_HIGH,
    .kernel_driver = true,
    .max_packet_size0 = 64,
    .device_class = LIBUSB_CLASS_MISCELLANEOUS,
    .device_subclass = 2,
    .device_protocol = 1, /* interface associations */
    .bcd_usb = 0x0200,
    .configurations = {{iso_configuration, sizeof iso_configuration}},
    .create = camera_create,
    .reset = camera_reset,
    .control = camera_control,
    .in = camera_in,
    .iso_in = camera_iso_in,
    .stats = camera_stats,
};
