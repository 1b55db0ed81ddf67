/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The vendor device's numbers and its data, for the other end: plain C, usable by test programs in
 * a guest.
 */
#pragma once

#include <stdint.h>

/* Interface 0, bulk, packets of 512 bytes. */
#define VENDOR_BULK_SOURCE       0x81
#define VENDOR_BULK_SINK         0x01
#define VENDOR_BULK_LOOPBACK_IN  0x82
#define VENDOR_BULK_LOOPBACK_OUT 0x02
/* Interface 1, interrupt, packets of 64 bytes in setting 0 and of 16 bytes in setting 1. */
#define VENDOR_INTERRUPT_SOURCE       0x83
#define VENDOR_INTERRUPT_SINK         0x03
#define VENDOR_INTERRUPT_LOOPBACK_IN  0x84
#define VENDOR_INTERRUPT_LOOPBACK_OUT 0x04

/* With gaps=1 the interfaces are 2 and 5, each with one setting. With configurations=2 there is a
 * second configuration of this value: interface 0 with the bulk loopback and the interrupt source
 * and sink. */
#define VENDOR_SECOND_CONFIGURATION 4

/* Vendor requests to the device: bmRequestType 0x40 (OUT), 0xc0 (IN). */
enum vendor_request {
    VENDOR_BUFFER = 1, /* OUT keeps up to 4096 bytes, IN gives them back */
    VENDOR_STALL = 2,  /* is always stalled */
    VENDOR_FAULT =
        3, /* OUT: wIndex = endpoint, wValue = enum vendor_fault, data = u32 LE argument */
    VENDOR_DELAY = 4,   /* answers after wValue milliseconds; IN: with zeros */
    VENDOR_NEVER = 5,   /* never answers */
    VENDOR_RESTART = 6, /* OUT: sequences, counters and loopbacks as after SET_CONFIGURATION */
    VENDOR_COUNTERS = 7 /* IN: struct vendor_counters */
};

/* The argument is 0 where none is named. */
enum vendor_fault {
    VENDOR_FAULT_HALT = 1,
    VENDOR_FAULT_HOLD = 2, /* answer NAK until released */
    VENDOR_FAULT_RELEASE = 3,
    VENDOR_FAULT_DELAY = 4, /* argument: milliseconds before each transfer is served */
    VENDOR_FAULT_SHORT = 5  /* argument: bytes of the next IN transfer; 0 is a zero-length packet */
};

struct vendor_counters { /* little-endian */
    uint32_t bulk_sunk, bulk_mismatches;
    uint32_t interrupt_sunk, interrupt_mismatches;
};

/* Sources send, and sinks expect, 32-bit little-endian words that count up from 0: the byte at an
 * offset in the stream since the last restart. Loss, duplication and disorder all show. */
static inline uint8_t vendor_sequence(uint64_t offset)
{
    return (uint8_t) ((uint32_t) (offset / 4) >> (offset % 4 * 8));
}
