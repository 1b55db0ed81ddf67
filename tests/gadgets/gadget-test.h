/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the tests of the gadgets share. The gadgets are made once in a process, by the first
 * libusb_init(), so each test program sets them up in main() with test_gadgets_init().
 */
#pragma once

#include <glib.h>
#include <libusb.h>

/* Sets the environment; the control socket and files go to a directory that is removed at the end.
 */
void test_gadgets_init(const char *gadgets);
/* Runs the tests and removes the directory. */
int test_gadgets_run(void);
/* A new file of random bytes in that directory; the path belongs to the caller. */
char *test_gadgets_image(const char *name, gsize size);

/* Sends a line to the control socket; the answer without "ok" belongs to the caller. */
char *test_gadgets_tell(const char *format, ...) G_GNUC_PRINTF(1, 2);
/* The same for a command that must fail: the reason. */
char *test_gadgets_refused(const char *format, ...) G_GNUC_PRINTF(1, 2);
/* One number of the answer to "stats N". */
guint64 test_gadgets_stat(unsigned gadget, const char *key);

/* Opens a device and claims its interfaces (0 … count-1), without a kernel driver in the way. */
libusb_device_handle *test_gadgets_open(libusb_context *context, guint16 product_id,
                                        int interfaces);

/* A transfer with what its callback saw. */
struct test_transfer {
    struct libusb_transfer *transfer;
    guint8 *buffer;
    int completed; /* how often the callback ran */
};
struct test_transfer *test_transfer_new(libusb_device_handle *handle, guint8 endpoint, guint8 type,
                                        gsize length, unsigned timeout);
/* Isochronous: packets of one length. */
struct test_transfer *test_iso_transfer_new(libusb_device_handle *handle, guint8 endpoint,
                                            int packets, unsigned packet_length);
void test_transfer_free(struct test_transfer *transfer);
void test_transfer_wait(libusb_context *context, struct test_transfer *transfer);
