/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a device has to say to its guest, in order. The device never calls upward: the owner takes
 * answers out with device_next_answer() after every call.
 */
#pragma once

#include <rdpusb/urbdrc.h>

typedef enum {
    ANSWER_INTERFACE_INFO, /* the tables of the device as they are now */
    ANSWER_EP_INFO,
    ANSWER_DEVICE_CONNECT,
    ANSWER_DEVICE_DISCONNECT,
    ANSWER_CONFIGURATION_STATUS,
    ANSWER_ALT_SETTING_STATUS,
    ANSWER_INTERRUPT_RECEIVING_STATUS,
    ANSWER_BULK_RECEIVING_STATUS,
    ANSWER_ISO_STREAM_STATUS,
    ANSWER_CONTROL,
    ANSWER_BULK,
    ANSWER_INTERRUPT_OUT,
    /* of streams: nobody waits for these */
    ANSWER_INTERRUPT_IN,
    ANSWER_BUFFERED_BULK,
    ANSWER_ISO_IN,
} AnswerType;

/* The statuses of usbredir. */
typedef enum {
    DEVICE_SUCCESS,
    DEVICE_CANCELLED,
    DEVICE_INVAL,
    DEVICE_IOERROR,
    DEVICE_STALL,
    DEVICE_TIMEOUT,
    DEVICE_BABBLE,
} DeviceStatus;

typedef struct {
    AnswerType type;
    uint64_t id; /* the guest's, or the running number of a stream packet */
    DeviceStatus status;
    uint8_t endpoint;
    uint8_t configuration;
    uint8_t interface;
    uint8_t alternate;
    uint32_t stream_id;
    size_t backlog;      /* of a stream: to be dropped when so many bytes of streams wait */
    RdpusbSetup setup;   /* ANSWER_CONTROL */
    uint32_t length;     /* bytes done */
    const uint8_t *data; /* IN payload of `length` bytes, valid until the next call of the device */
    GBytes *hold;        /* what keeps data alive, or NULL when it is a view of a client message */
} Answer;

void answer_clear(Answer *answer);

/* The status that the guest is told for what a transfer came to. `in`: nothing was executed that
 * must not be executed twice; see transfer LOST. */
DeviceStatus device_status_from_client(RdpusbStatus status, bool in);
