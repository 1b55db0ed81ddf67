/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The sound card, the camera, and the composite device of which a sound card is part. */
#include "audio-gadget.h"
#include "camera-gadget.h"
#include "gadget-test.h"

#include <stdbool.h>
#include <string.h>

#define TIMEOUT 2000

enum { AUDIO_NUMBER = 1, CAMERA_NUMBER, BULK_CAMERA_NUMBER, COMPOSITE_NUMBER };
enum { AUDIO = 0x0007, CAMERA = 0x0008, COMPOSITE = 0x0009, BULK_CAMERA = 0xa008 };

static libusb_context *context;
static char *recording;

static void run(struct test_transfer *test)
{
    test->completed = 0;
    g_assert_cmpint(libusb_submit_transfer(test->transfer), ==, 0);
    test_transfer_wait(context, test);
    g_assert_cmpint(test->transfer->status, ==, LIBUSB_TRANSFER_COMPLETED);
}

/* --- Sound ---------------------------------------------------------------------------------------
 */

static void set_rate(libusb_device_handle *handle, guint8 endpoint, guint32 rate, int expected)
{
    guint8 bytes[3] = {(guint8) rate, (guint8) (rate >> 8), (guint8) (rate >> 16)};
    g_assert_cmpint(
        libusb_control_transfer(handle, 0x22, 0x01, 0x0100, endpoint, bytes, 3, TIMEOUT), ==,
        expected);
}

/* The frames of all packets follow one another; returns how many there are. */
static guint32 check_capture(const struct test_transfer *test)
{
    guint32 first = 0, count = 0;
    for (int i = 0; i < test->transfer->num_iso_packets; i++) {
        const guint8 *data = libusb_get_iso_packet_buffer_simple(test->transfer, (unsigned) i);
        unsigned length = test->transfer->iso_packet_desc[i].actual_length;
        g_assert_cmpuint(length % 4, ==, 0);
        for (unsigned at = 0; at < length; at += 4, count++) {
            guint32 frame = data[at] | (guint32) data[at + 1] << 8 | (guint32) data[at + 2] << 16 |
                            (guint32) data[at + 3] << 24;
            if (count == 0)
                first = frame;
            g_assert_cmpuint(frame, ==, first + count);
        }
    }
    return count;
}

static void capture(libusb_device_handle *handle, guint32 rate)
{
    struct test_transfer *test = test_iso_transfer_new(handle, AUDIO_CAPTURE, 20, AUDIO_PACKET);
    g_assert_cmpint(libusb_set_interface_alt_setting(handle, AUDIO_CAPTURE_INTERFACE, 1), ==, 0);
    set_rate(handle, AUDIO_CAPTURE, rate, 3);
    run(test);
    g_assert_cmpuint(check_capture(test), ==, rate * 20 / 1000);
    g_assert_cmpint(libusb_set_interface_alt_setting(handle, AUDIO_CAPTURE_INTERFACE, 0), ==, 0);
    test_transfer_free(test);
}

static void test_capture(void)
{
    libusb_device_handle *handle = test_gadgets_open(context, AUDIO, 3);
    guint8 rate[3];
    capture(handle, 48000);
    capture(handle, 44100);
    g_assert_cmpint(
        libusb_control_transfer(handle, 0xa2, 0x81, 0x0100, AUDIO_CAPTURE, rate, 3, TIMEOUT), ==,
        3);
    g_assert_cmpuint(rate[0] | rate[1] << 8 | rate[2] << 16, ==, 44100);
    set_rate(handle, AUDIO_CAPTURE, 96000, LIBUSB_ERROR_PIPE);
    set_rate(handle, 0x8f, 48000, LIBUSB_ERROR_PIPE);
    libusb_close(handle);
}

static void play(libusb_device_handle *handle, struct test_transfer *test)
{
    for (int i = 0; i < test->transfer->length; i++) /* one packet of silence goes ahead */
        test->buffer[i] =
            i < AUDIO_PACKET ? 0 : audio_byte((guint32) (i - AUDIO_PACKET) / 4 + 1000, i % 4);
    g_assert_cmpint(libusb_set_interface_alt_setting(handle, AUDIO_PLAYBACK_INTERFACE, 1), ==, 0);
    run(test);
}

static void test_playback(void)
{
    libusb_device_handle *handle = test_gadgets_open(context, AUDIO, 3);
    struct test_transfer *test = test_iso_transfer_new(handle, AUDIO_PLAYBACK, 10, AUDIO_PACKET);
    g_autofree char *contents = NULL;
    gsize length;
    play(handle, test);
    g_assert_cmpuint(test_gadgets_stat(AUDIO_NUMBER, "audio.played"), ==, 480);
    g_assert_cmpuint(test_gadgets_stat(AUDIO_NUMBER, "audio.silent"), ==, 48);
    g_assert_cmpuint(test_gadgets_stat(AUDIO_NUMBER, "audio.breaks"), ==, 0);
    g_assert_true(g_file_get_contents(recording, &contents, &length, NULL));
    g_assert_cmpmem(contents, length, test->buffer, (gsize) test->transfer->length);
    run(test); /* the same again does not follow */
    g_assert_cmpuint(test_gadgets_stat(AUDIO_NUMBER, "audio.breaks"), ==, 1);
    test_transfer_free(test);
    libusb_close(handle);
}

/* --- Pictures ------------------------------------------------------------------------------------
 */

/* What a receiver makes of payloads. */
struct picture {
    guint8 data[CAMERA_FRAME_BYTES];
    gsize length;
    int fid, whole; /* whole: frames that were complete and right */
    guint32 frame;
};

static void end_frame(struct picture *picture)
{
    const guint8 *data = picture->data;
    g_assert_cmpuint(picture->length, ==, CAMERA_FRAME_BYTES);
    guint32 frame =
        data[0] | (guint32) data[1] << 8 | (guint32) data[2] << 16 | (guint32) data[3] << 24;
    for (gsize i = 0; i < CAMERA_FRAME_BYTES; i++)
        g_assert_cmpuint(data[i], ==, camera_byte(frame, i));
    g_assert_true(picture->whole == 0 || frame > picture->frame);
    g_assert_cmpint(frame & CAMERA_HEADER_FID, ==, picture->fid);
    picture->frame = frame;
    picture->whole++;
    picture->length = 0;
}

static void take_payload(struct picture *picture, const guint8 *data, gsize length)
{
    g_assert_cmpuint(length, >=, CAMERA_HEADER_LENGTH);
    g_assert_cmpuint(data[0], ==, CAMERA_HEADER_LENGTH);
    gsize rest = length - CAMERA_HEADER_LENGTH;
    g_assert_cmpuint(picture->length + rest, <=, CAMERA_FRAME_BYTES);
    g_assert_true(picture->length == 0 || picture->fid == (data[1] & CAMERA_HEADER_FID));
    picture->fid = data[1] & CAMERA_HEADER_FID;
    memcpy(picture->data + picture->length, data + CAMERA_HEADER_LENGTH, rest);
    picture->length += rest;
    if (data[1] & CAMERA_HEADER_EOF)
        end_frame(picture);
}

static void negotiate(libusb_device_handle *handle, guint32 payload)
{
    guint8 probe[26];
    g_assert_cmpint(libusb_control_transfer(handle, 0xa1, 0x81, 0x0100, CAMERA_INTERFACE, probe,
                                            sizeof probe, TIMEOUT),
                    ==, sizeof probe);
    g_assert_cmpuint(probe[22] | (guint32) probe[23] << 8, ==, payload);
    for (guint16 control = 0x0100; control <= 0x0200; control += 0x0100)
        g_assert_cmpint(libusb_control_transfer(handle, 0x21, 0x01, control, CAMERA_INTERFACE,
                                                probe, sizeof probe, TIMEOUT),
                        ==, sizeof probe);
}

static bool ends_frame(struct libusb_transfer *transfer, int packet)
{
    const guint8 *data = libusb_get_iso_packet_buffer_simple(transfer, (unsigned) packet);
    return transfer->iso_packet_desc[packet].actual_length > CAMERA_HEADER_LENGTH &&
           (data[1] & CAMERA_HEADER_EOF) != 0;
}

/* One transfer from the start of the setting on, which is less than a frame late. */
static void stream_iso(libusb_device_handle *handle, int setting, int packets, unsigned size)
{
    struct test_transfer *test = test_iso_transfer_new(handle, CAMERA_VIDEO, packets, size);
    g_autofree struct picture *picture = g_new0(struct picture, 1);
    g_assert_cmpint(libusb_set_interface_alt_setting(handle, CAMERA_INTERFACE, setting), ==, 0);
    run(test);
    int i = 0;
    while (!ends_frame(test->transfer, i)) /* the rest of the frame in which it began */
        g_assert_cmpint(++i, <, packets);
    for (i++; i < packets; i++)
        take_payload(picture, libusb_get_iso_packet_buffer_simple(test->transfer, (unsigned) i),
                     test->transfer->iso_packet_desc[i].actual_length);
    g_assert_cmpint(picture->whole, ==, 1);
    g_assert_cmpint(libusb_set_interface_alt_setting(handle, CAMERA_INTERFACE, 0), ==, 0);
    test_transfer_free(test);
}

/* Newer than some headers. */
struct libusb_interface_association_descriptor_array;
struct association_array {
    const guint8 (*list)[8];
    int length;
};
int LIBUSB_CALL libusb_get_active_interface_association_descriptors(
    libusb_device *device, struct libusb_interface_association_descriptor_array **result);
void LIBUSB_CALL libusb_free_interface_association_descriptors(
    struct libusb_interface_association_descriptor_array *array);

static void check_association(libusb_device *device)
{
    const guint8 expected[8] = {8, 0x0b, 0, 2, LIBUSB_CLASS_VIDEO, 3, 0, 2};
    struct libusb_interface_association_descriptor_array *array;
    g_assert_cmpint(libusb_get_active_interface_association_descriptors(device, &array), ==, 0);
    const struct association_array *associations = (const void *) array;
    g_assert_cmpint(associations->length, ==, 1);
    g_assert_cmpmem(associations->list[0], 8, expected, 8);
    libusb_free_interface_association_descriptors(array);
}

static void test_isochronous_camera(void)
{
    libusb_device_handle *handle = test_gadgets_open(context, CAMERA, 2);
    check_association(libusb_get_device(handle));
    negotiate(handle, CAMERA_PAYLOAD_SMALL);
    stream_iso(handle, 1, 80, CAMERA_PAYLOAD_SMALL);
    stream_iso(handle, 3, 640, CAMERA_PAYLOAD_LARGE);
    libusb_close(handle);
}

static void test_bulk_camera(void)
{
    libusb_device_handle *handle = test_gadgets_open(context, BULK_CAMERA, 2);
    g_autofree struct picture *picture = g_new0(struct picture, 1);
    g_autofree guint8 *data = g_malloc(CAMERA_PAYLOAD_BULK);
    int actual;
    g_assert_cmpint(libusb_bulk_transfer(handle, CAMERA_VIDEO, data, 512, &actual, 20), ==,
                    LIBUSB_ERROR_TIMEOUT); /* nothing before COMMIT */
    negotiate(handle, CAMERA_PAYLOAD_BULK);
    gint64 before = g_get_monotonic_time();
    while (picture->whole < 3) {
        g_assert_cmpint(
            libusb_bulk_transfer(handle, CAMERA_VIDEO, data, CAMERA_PAYLOAD_BULK, &actual, TIMEOUT),
            ==, 0);
        take_payload(picture, data, (gsize) actual);
    }
    g_assert_cmpint(g_get_monotonic_time() - before, >=, CAMERA_FRAME_US);
    g_assert_cmpuint(test_gadgets_stat(BULK_CAMERA_NUMBER, "camera.frames"), ==, 3);
    libusb_close(handle);
}

/* --- All in one ----------------------------------------------------------------------------------
 */

static void test_composite(void)
{
    libusb_device_handle *handle = test_gadgets_open(context, COMPOSITE, 5);
    guint8 cbw[31] = {'U', 'S', 'B', 'C', 1, 2, 3, 4}, data[64], lun;
    int actual;
    cbw[14] = 6; /* TEST UNIT READY */
    g_free(test_gadgets_tell("type %d a", COMPOSITE_NUMBER));
    g_assert_cmpint(libusb_interrupt_transfer(handle, 0x83, data, 8, &actual, TIMEOUT), ==, 0);
    g_assert_cmpint(data[2], ==, 0x04);
    capture(handle, 44100);
    g_assert_cmpint(libusb_bulk_transfer(handle, 0x05, cbw, 31, &actual, TIMEOUT), ==, 0);
    g_assert_cmpint(libusb_bulk_transfer(handle, 0x84, data, 64, &actual, TIMEOUT), ==, 0);
    g_assert_cmpint(actual, ==, 13);
    /* Requests go to the interface that they name. */
    g_assert_cmpint(libusb_control_transfer(handle, 0xa1, 0xfe, 0, 4, &lun, 1, TIMEOUT), ==, 1);
    g_assert_cmpint(libusb_control_transfer(handle, 0xa1, 0xfe, 0, 3, &lun, 1, TIMEOUT), ==,
                    LIBUSB_ERROR_PIPE);
    g_assert_cmpint(libusb_control_transfer(handle, 0x81, 0x06, 0x2200, 3, data, 64, TIMEOUT), ==,
                    63);
    g_assert_cmpuint(test_gadgets_stat(COMPOSITE_NUMBER, "scsi.commands"), ==, 1);
    g_assert_cmpuint(test_gadgets_stat(COMPOSITE_NUMBER, "audio.capture-rate"), ==, 44100);
    libusb_close(handle);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_autofree char *image = test_gadgets_image("stick.img", 64 * 512);
    recording = test_gadgets_image("recording", 1);
    g_autofree char *gadgets = g_strdup_printf(
        "audio,record=%s;camera;camera,bulk=1,id=1209:a008;composite,image=%s", recording, image);
    test_gadgets_init(gadgets);
    g_assert_cmpint(libusb_init(&context), ==, 0);
    g_test_add_func("/gadgets/media/capture", test_capture);
    g_test_add_func("/gadgets/media/playback", test_playback);
    g_test_add_func("/gadgets/media/isochronous-camera", test_isochronous_camera);
    g_test_add_func("/gadgets/media/bulk-camera", test_bulk_camera);
    g_test_add_func("/gadgets/media/composite", test_composite);
    int status = test_gadgets_run();
    libusb_exit(context);
    g_free(recording);
    return status;
}
