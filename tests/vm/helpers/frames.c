/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Takes pictures from the camera among the preload gadgets (tests/gadgets/camera-gadget.h), and
 * compares every byte: each picture is whole, and its number follows that of the one before.
 *
 *     frames /dev/videoN COUNT
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/videodev2.h>
#include <poll.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define WIDTH            160
#define HEIGHT           120
#define FRAME_BYTES      (WIDTH * HEIGHT * 2)
#define BUFFERS          8
#define FRAME_TIMEOUT_MS 10000

static int device;
static uint8_t *buffers[BUFFERS];

static void __attribute__((format(printf, 1, 2), noreturn)) fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("frames: ", stdout);
    vprintf(format, arguments);
    putchar('\n');
    va_end(arguments);
    exit(1);
}

static void call(unsigned long request, void *argument, const char *name)
{
    if (ioctl(device, request, argument) < 0)
        fail("%s: %s", name, strerror(errno));
}

static struct v4l2_buffer buffer(unsigned index)
{
    return (struct v4l2_buffer){
        .index = index, .type = V4L2_BUF_TYPE_VIDEO_CAPTURE, .memory = V4L2_MEMORY_MMAP};
}

static void begin(void)
{
    struct v4l2_format format = {.type = V4L2_BUF_TYPE_VIDEO_CAPTURE};
    format.fmt.pix.width = WIDTH;
    format.fmt.pix.height = HEIGHT;
    format.fmt.pix.pixelformat = V4L2_PIX_FMT_YUYV;
    call(VIDIOC_S_FMT, &format, "VIDIOC_S_FMT");
    if (format.fmt.pix.sizeimage != FRAME_BYTES)
        fail("a picture has %u bytes", format.fmt.pix.sizeimage);
    struct v4l2_requestbuffers request = {
        .count = BUFFERS, .type = V4L2_BUF_TYPE_VIDEO_CAPTURE, .memory = V4L2_MEMORY_MMAP};
    call(VIDIOC_REQBUFS, &request, "VIDIOC_REQBUFS");
    for (unsigned n = 0; n < request.count && n < BUFFERS; n++) {
        struct v4l2_buffer one = buffer(n);
        call(VIDIOC_QUERYBUF, &one, "VIDIOC_QUERYBUF");
        buffers[n] = mmap(NULL, one.length, PROT_READ, MAP_SHARED, device, one.m.offset);
        if (buffers[n] == MAP_FAILED)
            fail("mmap: %s", strerror(errno));
        call(VIDIOC_QBUF, &one, "VIDIOC_QBUF");
    }
    int type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
    call(VIDIOC_STREAMON, &type, "VIDIOC_STREAMON");
}

/* Compares a picture; returns its number. */
static uint32_t check(const uint8_t *data, unsigned size)
{
    if (size != FRAME_BYTES)
        fail("a picture came with %u bytes of %u", size, FRAME_BYTES);
    uint32_t number = data[0] | data[1] << 8 | data[2] << 16 | (uint32_t) data[3] << 24;
    for (unsigned n = 4; n < size; n++) {
        if (data[n] != (uint8_t) (number + n))
            fail("byte %u of picture %u is %#x", n, number, data[n]);
    }
    return number;
}

int main(int argc, char **argv)
{
    unsigned count = argc == 3 ? (unsigned) strtoul(argv[2], NULL, 10) : 0;
    if (count == 0)
        fail("use: frames /dev/videoN COUNT");
    device = open(argv[1], O_RDWR);
    if (device < 0)
        fail("%s: %s", argv[1], strerror(errno));
    begin();
    uint32_t next = 0;
    for (unsigned n = 0; n < count; n++) {
        struct pollfd wait = {device, POLLIN, 0};
        if (poll(&wait, 1, FRAME_TIMEOUT_MS) <= 0)
            fail("no picture after %u in %d ms", n, FRAME_TIMEOUT_MS);
        struct v4l2_buffer one = buffer(0);
        call(VIDIOC_DQBUF, &one, "VIDIOC_DQBUF");
        if (one.flags & V4L2_BUF_FLAG_ERROR)
            fail("picture %u is damaged", n);
        uint32_t number = check(buffers[one.index], one.bytesused);
        if (n > 0 && number != next)
            fail("picture %u came in place of %u, after %u good ones", number, next, n);
        next = number + 1;
        call(VIDIOC_QBUF, &one, "VIDIOC_QBUF");
    }
    printf("%u pictures\n", count);
    return 0;
}
