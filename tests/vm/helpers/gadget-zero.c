/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Talks to Linux's gadget zero (f_sourcesink, f_loopback) through usbfs: every size around packet
 * ends, byte for byte.
 *
 *   gadget-zero VVVV:PPPP loopback SIZE|source-sink SIZE|control
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/usb/ch9.h>
#include <linux/usbdevice_fs.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* The gadget's own requests hold as much, so that nothing longer is one transfer on its side. */
#define MAX_SIZE    65536
#define TIMEOUT_MS  5000
#define CONTROL_MAX 4096
#define DEPTH       4

static int device;
static unsigned bulk_in, bulk_out, packet, limit;

static void __attribute__((format(printf, 1, 2), noreturn)) fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("gadget-zero: ", stdout);
    vprintf(format, arguments);
    putchar('\n');
    va_end(arguments);
    exit(1);
}

static unsigned read_number(const char *folder, const char *name, int base)
{
    char path[512], text[32] = "";
    snprintf(path, sizeof path, "/sys/bus/usb/devices/%s/%s", folder, name);
    FILE *file = fopen(path, "r");
    if (!file || !fgets(text, sizeof text, file))
        text[0] = '\0';
    if (file)
        fclose(file);
    return (unsigned) strtoul(text, NULL, base);
}

/* Remembers the bulk endpoints of the first interface in the active configuration. */
static void find_endpoints(unsigned configuration)
{
    uint8_t data[8192];
    ssize_t size = read(device, data, sizeof data);
    bool active = false, first = false;
    for (ssize_t at = 0; at + 2 <= size && data[at] >= 2 && at + data[at] <= size; at += data[at]) {
        const uint8_t *descriptor = data + at;
        if (descriptor[1] == USB_DT_CONFIG) {
            active = descriptor[5] == configuration;
        } else if (descriptor[1] == USB_DT_INTERFACE) {
            first = descriptor[2] == 0 && descriptor[3] == 0;
        } else if (descriptor[1] == USB_DT_ENDPOINT && active && first &&
                   (descriptor[3] & USB_ENDPOINT_XFERTYPE_MASK) == USB_ENDPOINT_XFER_BULK) {
            *(descriptor[2] & USB_DIR_IN ? &bulk_in : &bulk_out) = descriptor[2];
            packet = descriptor[4] | descriptor[5] << 8;
        }
    }
    if (!bulk_in || !bulk_out)
        fail("configuration %u has no two bulk endpoints", configuration);
}

static void open_device(const char *id)
{
    DIR *folder = opendir("/sys/bus/usb/devices");
    for (struct dirent *entry; folder && (entry = readdir(folder));) {
        char found[16], path[64];
        if (!isdigit((unsigned char) entry->d_name[0]) || strchr(entry->d_name, ':'))
            continue;
        snprintf(found, sizeof found, "%04x:%04x",
                 read_number(entry->d_name, "idVendor", 16) & 0xffff,
                 read_number(entry->d_name, "idProduct", 16) & 0xffff);
        if (strcmp(found, id) != 0)
            continue;
        snprintf(path, sizeof path, "/dev/bus/usb/%03u/%03u",
                 read_number(entry->d_name, "busnum", 10),
                 read_number(entry->d_name, "devnum", 10));
        device = open(path, O_RDWR);
        if (device < 0)
            fail("%s: %s", path, strerror(errno));
        find_endpoints(read_number(entry->d_name, "bConfigurationValue", 10));
        unsigned interface = 0;
        if (ioctl(device, USBDEVFS_CLAIMINTERFACE, &interface) < 0)
            fail("the interface cannot be claimed: %s", strerror(errno));
        closedir(folder);
        return;
    }
    fail("no device %s", id);
}

struct transfer {
    struct usbdevfs_urb urb;
    bool done;
    uint8_t data[MAX_SIZE];
};

/* What is in flight for one size. */
struct slot {
    unsigned size;
    unsigned number;
    bool has_end, has_in;
    struct transfer out, end, in;
};

static struct slot slots[DEPTH];

static void start(struct transfer *transfer, unsigned endpoint, unsigned size)
{
    transfer->done = false;
    transfer->urb = (struct usbdevfs_urb){.type = USBDEVFS_URB_TYPE_BULK,
                                          .endpoint = (uint8_t) endpoint,
                                          .buffer = transfer->data,
                                          .buffer_length = (int) size,
                                          .usercontext = transfer};
    if (ioctl(device, USBDEVFS_SUBMITURB, &transfer->urb) < 0)
        fail("bulk transfer of %u bytes on endpoint %#x: %s", size, endpoint, strerror(errno));
}

/* Waits for a transfer; returns how many bytes went over. */
static unsigned finish(struct transfer *transfer)
{
    alarm(TIMEOUT_MS / 1000);
    while (!transfer->done) {
        struct usbdevfs_urb *urb;
        if (ioctl(device, USBDEVFS_REAPURB, &urb) < 0)
            fail("no transfer ends: %s", strerror(errno));
        ((struct transfer *) urb->usercontext)->done = true;
    }
    alarm(0);
    if (transfer->urb.status != 0)
        fail("bulk transfer of %d bytes on endpoint %#x ended with %d after %d bytes",
             transfer->urb.buffer_length, transfer->urb.endpoint, transfer->urb.status,
             transfer->urb.actual_length);
    return (unsigned) transfer->urb.actual_length;
}

static void on_alarm(int number)
{
    static const char text[] = "gadget-zero: a transfer does not end\n";
    ssize_t written = write(STDOUT_FILENO, text, sizeof text - 1);
    _exit(written < 0 ? 2 : 1 + (number != SIGALRM));
}

/* The next size after `size` that is a whole number of packets, or one byte less or more; past
 * MAX_SIZE at the end. */
static unsigned next_size(unsigned size)
{
    if (size == 0)
        return 1;
    switch (size % packet) {
    case 0: return size + 1;
    case 1: return size + packet - 2;
    default: return size + 1;
    }
}

/* Does every size: begin() puts it in flight, end() waits for it and compares. */
static void all_sizes(void (*begin)(struct slot *slot), void (*end)(struct slot *slot))
{
    unsigned count = 0;
    for (unsigned size = 0; size <= limit; size = next_size(size), count++) {
        struct slot *slot = &slots[count % DEPTH];
        if (count >= DEPTH)
            end(slot);
        slot->size = size;
        slot->number = count;
        begin(slot);
    }
    for (unsigned n = 0; n < DEPTH; n++)
        end(&slots[(count + n) % DEPTH]);
    printf("%u sizes\n", count);
}

static uint8_t loopback_byte(unsigned number, unsigned n)
{
    return (uint8_t) (n * 7 + n / 256 + number);
}

static void loopback_begin(struct slot *slot)
{
    for (unsigned n = 0; n < slot->size; n++)
        slot->out.data[n] = loopback_byte(slot->number, n);
    start(&slot->out, bulk_out, slot->size);
    slot->has_end = slot->size > 0 && slot->size < MAX_SIZE && slot->size % packet == 0;
    if (slot->has_end)
        start(&slot->end, bulk_out, 0);
    start(&slot->in, bulk_in, MAX_SIZE);
}

static void loopback_end(struct slot *slot)
{
    if (finish(&slot->out) != slot->size || (slot->has_end && finish(&slot->end) != 0))
        fail("%u bytes were sent in part", slot->size);
    unsigned came = finish(&slot->in);
    if (came != slot->size)
        fail("of %u bytes sent, %u came back", slot->size, came);
    for (unsigned n = 0; n < came; n++) {
        if (slot->in.data[n] != loopback_byte(slot->number, n))
            fail("byte %u of %u is wrong", n, came);
    }
}

/* The pattern that f_sourcesink calls 1. */
static uint8_t pattern(unsigned n)
{
    return (uint8_t) (n % packet % 63);
}

static void source_sink_begin(struct slot *slot)
{
    for (unsigned n = 0; n < slot->size; n++)
        slot->out.data[n] = pattern(n);
    start(&slot->out, bulk_out, slot->size);
    /* The source does not stop in mid-packet. */
    slot->has_in = slot->size > 0 && slot->size % packet == 0;
    if (slot->has_in)
        start(&slot->in, bulk_in, slot->size);
}

static void source_sink_end(struct slot *slot)
{
    if (finish(&slot->out) != slot->size)
        fail("%u bytes were sent in part", slot->size);
    if (!slot->has_in)
        return;
    unsigned came = finish(&slot->in);
    if (came != slot->size)
        fail("%u bytes of %u came", came, slot->size);
    for (unsigned n = 0; n < came; n++) {
        if (slot->in.data[n] != pattern(n))
            fail("byte %u of %u is wrong", n, came);
    }
}

static int control_transfer(unsigned type, unsigned request, void *data, unsigned size)
{
    struct usbdevfs_ctrltransfer transfer = {.bRequestType = (uint8_t) type,
                                             .bRequest = (uint8_t) request,
                                             .wLength = (uint16_t) size,
                                             .timeout = TIMEOUT_MS,
                                             .data = data};
    return ioctl(device, USBDEVFS_CONTROL, &transfer);
}

/* Requests 0x5b and 0x5c write and read a buffer; others stall. */
static void control(void)
{
    static const unsigned sizes[] = {1, 7, 8, 9, 63, 64, 65, 511, 512, 513, 4095, CONTROL_MAX};
    uint8_t sent[CONTROL_MAX], received[CONTROL_MAX];
    for (unsigned at = 0; at < sizeof sizes / sizeof *sizes; at++) {
        unsigned size = sizes[at];
        for (unsigned n = 0; n < size; n++)
            sent[n] = (uint8_t) (n * 5 + n / 256 + at);
        memset(received, 0, sizeof received);
        int out = control_transfer(USB_DIR_OUT | USB_TYPE_VENDOR, 0x5b, sent, size);
        if (out != (int) size)
            fail("control OUT of %u bytes: %s", size, out < 0 ? strerror(errno) : "in part");
        int in = control_transfer(USB_DIR_IN | USB_TYPE_VENDOR, 0x5c, received, size);
        if (in != (int) size || memcmp(sent, received, size) != 0)
            fail("control IN of %u bytes: %s", size, in < 0 ? strerror(errno) : "wrong bytes");
        if (control_transfer(USB_DIR_IN | USB_TYPE_VENDOR, 0x77, received, size) >= 0 ||
            errno != EPIPE)
            fail("an unknown request of %u bytes did not stall", size);
    }
    printf("%zu sizes\n", sizeof sizes / sizeof *sizes);
}

int main(int argc, char **argv)
{
    if (argc == 4)
        limit = (unsigned) strtoul(argv[3], NULL, 10);
    bool control_test = argc == 3 && strcmp(argv[2], "control") == 0;
    if (!control_test && (argc != 4 || limit < DEPTH || limit > MAX_SIZE))
        fail("use: gadget-zero VVVV:PPPP loopback SIZE|source-sink SIZE|control");
    signal(SIGALRM, on_alarm);
    open_device(argv[1]);
    if (control_test)
        control();
    else if (strcmp(argv[2], "loopback") == 0)
        all_sizes(loopback_begin, loopback_end);
    else if (strcmp(argv[2], "source-sink") == 0)
        all_sizes(source_sink_begin, source_sink_end);
    else
        fail("unknown test %s", argv[2]);
    return 0;
}
