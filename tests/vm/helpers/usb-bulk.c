/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A user-space driver for the command line: bulk transfers of one interface, one after another,
 * over usbfs. For devices whose drivers are no part of the kernel (smart card readers, MTP); who
 * calls it knows their protocol.
 *
 *     usb-bulk VVVV:PPPP INTERFACE STEP...
 *
 *     out:ENDPOINT:HEX          writes these bytes
 *     in:ENDPOINT               reads until a short packet and prints the bytes in hex, a line of
 * its own in:ENDPOINT:FILE          reads likewise, into FILE
 *
 * Numbers are as in descriptors, in hex. Ends with 1 and a message at the first step that fails. */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/usbdevice_fs.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define STEP_TIMEOUT_MS 20000
#define READ_SIZE       16384 /* a multiple of every packet size */
#define OUT_LIMIT       4096

__attribute__((noreturn, format(printf, 1, 2))) static void die(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("usb-bulk: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(1);
}

/* A number of sysfs, or -1. */
static int attribute(const char *device, const char *name, int base)
{
    char path[512], text[32] = "";
    snprintf(path, sizeof path, "/sys/bus/usb/devices/%s/%s", device, name);
    FILE *file = fopen(path, "re");
    if (!file)
        return -1;
    bool read = fgets(text, sizeof text, file);
    fclose(file);
    return read ? (int) strtol(text, NULL, base) : -1;
}

static int open_device(const char *ids)
{
    int vendor = -1, product = -1, fd = -1;
    if (sscanf(ids, "%4x:%4x", (unsigned int *) &vendor, (unsigned int *) &product) != 2)
        die("'%s' is not VVVV:PPPP", ids);
    DIR *devices = opendir("/sys/bus/usb/devices");
    struct dirent *entry;
    while (devices && fd < 0 && (entry = readdir(devices))) {
        if (attribute(entry->d_name, "idVendor", 16) != vendor ||
            attribute(entry->d_name, "idProduct", 16) != product)
            continue;
        char path[64];
        snprintf(path, sizeof path, "/dev/bus/usb/%03d/%03d",
                 attribute(entry->d_name, "busnum", 10), attribute(entry->d_name, "devnum", 10));
        fd = open(path, O_RDWR | O_CLOEXEC);
        if (fd < 0)
            die("%s: %s", path, strerror(errno));
    }
    if (fd < 0)
        die("no device %s", ids);
    if (devices)
        closedir(devices);
    return fd;
}

static int transfer(int fd, unsigned int endpoint, void *data, unsigned int length)
{
    struct usbdevfs_bulktransfer bulk = {
        .ep = endpoint, .len = length, .timeout = STEP_TIMEOUT_MS, .data = data};
    int done = ioctl(fd, USBDEVFS_BULK, &bulk);
    if (done < 0)
        die("endpoint %02x: %s", endpoint, strerror(errno));
    return done;
}

static void step_out(int fd, unsigned int endpoint, const char *hex)
{
    unsigned char data[OUT_LIMIT];
    unsigned int length = 0;
    for (; *hex; hex += 2) {
        if (length == sizeof data || sscanf(hex, "%2hhx", &data[length]) != 1 || !hex[1])
            die("'%s' is not hex, or too long", hex);
        length++;
    }
    if (transfer(fd, endpoint, data, length) != (int) length)
        die("endpoint %02x took fewer bytes than %u", endpoint, length);
}

static void step_in(int fd, unsigned int endpoint, const char *path)
{
    unsigned char data[READ_SIZE];
    FILE *file = path ? fopen(path, "we") : NULL;
    if (path && !file)
        die("%s: %s", path, strerror(errno));
    int done;
    do {
        done = transfer(fd, endpoint, data, sizeof data);
        if (file) {
            fwrite(data, 1, done, file);
        } else {
            for (int i = 0; i < done; i++)
                printf("%02x", data[i]);
        }
    } while (done == sizeof data);
    if (!file)
        putchar('\n');
    else if (fclose(file) != 0)
        die("%s: %s", path, strerror(errno));
}

int main(int argc, char **argv)
{
    if (argc < 4)
        die("usage: usb-bulk VVVV:PPPP INTERFACE STEP...");
    int fd = open_device(argv[1]);
    unsigned int interface = strtoul(argv[2], NULL, 16);
    if (ioctl(fd, USBDEVFS_CLAIMINTERFACE, &interface) < 0)
        die("interface %u: %s", interface, strerror(errno));
    for (int i = 3; i < argc; i++) {
        char *rest = strchr(argv[i], ':');
        unsigned int endpoint = rest ? strtoul(rest + 1, &rest, 16) : 0;
        const char *argument = rest && *rest == ':' ? rest + 1 : NULL;
        if (strncmp(argv[i], "out:", 4) == 0 && argument)
            step_out(fd, endpoint, argument);
        else if (strncmp(argv[i], "in:", 3) == 0)
            step_in(fd, endpoint, argument);
        else
            die("unknown step '%s'", argv[i]);
    }
    close(fd);
    return 0;
}
