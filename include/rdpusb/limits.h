/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What one peer can make us hold. Plain values, copied by whoever takes them.
 */
#pragma once

#include <stddef.h>

typedef struct {
    unsigned max_requests;       /* requests of one device at the client at a time */
    size_t max_bytes_in_flight;  /* payload bytes of those requests, IN and OUT together */
    unsigned max_guest_requests; /* unanswered requests of one guest; beyond, its connection ends */
    size_t max_guest_bytes;      /* bytes held for those requests; beyond, its connection ends */
    size_t max_guest_packet;     /* one usbredir packet; beyond, the connection ends */
    size_t max_descriptor_bytes; /* all configuration descriptors of one device together */
} RdpusbLimits;

#define RDPUSB_LIMITS_DEFAULT                                                                      \
    ((RdpusbLimits){                                                                               \
        .max_requests = 256,                                                                       \
        .max_bytes_in_flight = 16 * 1024 * 1024,                                                   \
        .max_guest_requests = 4096,                                                                \
        .max_guest_bytes = 32 * 1024 * 1024,                                                       \
        .max_guest_packet = 4 * 1024 * 1024,                                                       \
        .max_descriptor_bytes = 64 * 1024,                                                         \
    })
