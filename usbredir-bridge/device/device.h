/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One bridged device: what the guest asks becomes requests on the device channel, what the client
 * answers becomes answers for the guest. No I/O, no usbredir, no clock.
 *
 *   READING -> READY <-> ANNOUNCED; from each of them GONE
 *
 * Two kinds of work go on side by side:
 *   jobs       (job.h) control requests and all that changes the device as a whole: one at a time
 *   transfers  (transfer.h, oneshot.h) bulk and interrupt, several per endpoint, answered in the
 *              order in which the guest asked; and those of streams (stream.h, isoch.h), which the
 *              guest starts once
 * A job can name endpoints that have to be idle at the client before it starts and stay so until
 * it is done; what the guest asks of them meanwhile waits.
 *
 * The structs are open to the files of this folder, and to nobody else.
 */
#pragma once

#include "answer.h"
#include "descriptors.h"
#include "pace.h"

typedef struct Device Device;
typedef struct Job Job;

typedef enum {
    DEVICE_READING,   /* descriptors are being read */
    DEVICE_READY,     /* nobody's */
    DEVICE_ANNOUNCED, /* the guest was told */
    DEVICE_GONE,      /* refused, or closed by the client; see device->refusal */
} DeviceState;

/* What the guest's port turned out to be, see port.h. */
typedef enum {
    PORT_UNKNOWN,
    PORT_AS_ANNOUNCED,
    PORT_HIGH_SPEED, /* although the device was announced at SuperSpeed */
} GuestPort;

/* Slots as in usbredir's ep_info: OUT endpoints 0-15, then IN endpoints 0-15. */
#define ENDPOINT_SLOTS         32
#define ENDPOINT_SLOT(address) (((address) &0x0f) | ((address) &0x80) >> 3)
#define ALL_ENDPOINTS          0xfffefffeu

typedef enum {
    STREAM_INTERRUPT,
    STREAM_BULK, /* "bulk receiving" */
    STREAM_ISOCH_IN,
    STREAM_ISOCH_OUT,
} StreamKind;

/* What isochronous streams have on top, see isoch.c. */
typedef struct {
    unsigned packets; /* in one request */
    unsigned asked;   /* packets in all requests together, as the guest wishes */
    Pace pace;        /* of what comes, or is acknowledged */
    /* OUT only */
    GQueue waiting;       /* of GBytes: packets that are not sent */
    unsigned at_client;   /* packets */
    bool flowing;         /* enough was there to begin */
    int64_t acknowledged; /* the shortest time from sending to acknowledgement */
} Isoch;

typedef struct {
    StreamKind kind;
    unsigned wanted;    /* IN: transfers to keep at the client */
    uint32_t size;      /* bytes of one: a transfer, or an isochronous packet */
    uint32_t stream_id; /* of bulk receiving, repeated in each packet */
    size_t backlog;     /* bytes unsent to the guest beyond which packets are dropped */
    uint64_t packet_id; /* running number of the next packet */
    unsigned errors;    /* in a row */
    int64_t retry_at;   /* when to go on after an error; 0: now */
    bool running;       /* the guest wants it */
    bool resetting;     /* a stall is being cleared */
    Isoch isoch;
} Stream;

typedef struct {
    uint8_t address;
    uint8_t type;     /* EndpointType; ENDPOINT_NONE when the slot is unused */
    uint8_t interval; /* as ep_info wants it */
    uint8_t interface;
    uint16_t max_packet_size; /* bytes per packet, as ep_info wants it */
    uint32_t pipe_handle;     /* the client's */
    GQueue transfers;         /* of Transfer, unanswered, in the guest's order */
    unsigned at_client;       /* requests at the client, those of answered transfers included */
    unsigned zombies;         /* answered transfers that are still at the client */
    bool recalling;           /* waits until nothing is at the client, see oneshot.h */
    Stream stream;
} Endpoint;

static inline bool endpoint_is_in(const Endpoint *endpoint)
{
    return (endpoint->address & 0x80) != 0;
}

/* The strings that rules speak of, and the list of languages that they are in. */
typedef enum {
    WATCHED_LANGUAGES,
    WATCHED_MANUFACTURER,
    WATCHED_PRODUCT,
    WATCHED_SERIAL_NUMBER,
    N_WATCHED_STRINGS,
} WatchedString;

/* How far the reading of descriptors has come, see reader.c. */
typedef struct {
    unsigned step;
    unsigned index; /* of the configuration */
    uint16_t total; /* its wTotalLength */
    uint16_t language;
    bool qualifier;
    size_t bytes; /* read so far */
} Reader;

struct Device {
    RdpusbDeviceChannel *channel; /* borrowed */
    RdpusbLimits limits;
    DeviceState state;
    GError *refusal; /* why GONE; NULL when the client closed the channel */
    int64_t now;     /* of the call under way */

    uint8_t descriptor[USB_DEVICE_DESCRIPTOR_SIZE];
    uint8_t high_speed_descriptor[USB_DEVICE_DESCRIPTOR_SIZE]; /* of a SuperSpeed device */
    GPtrArray *configurations;                                 /* of Configuration */
    GBytes *strings[N_WATCHED_STRINGS];                        /* as read; NULL: it has none */
    Reader reader;
    RdpusbDeviceInfo info;

    const Configuration *configuration; /* in force; NULL: unconfigured */
    uint32_t configuration_handle;
    /* What the client last selected, with how many interfaces: it keeps it when the guest
     * unconfigures the device. */
    const Configuration *client_configuration;
    unsigned client_interfaces;
    uint8_t alternates[USB_MAX_INTERFACES];
    Endpoint endpoints[ENDPOINT_SLOTS];
    bool dirty;            /* not in the state that a selection leaves it in */
    bool used_since_reset; /* a further reset is not free */
    unsigned failed_selections;

    GQueue jobs; /* of Job, waiting */
    Job *running;

    bool guest_there;
    bool rejected; /* by the guest's filter */
    GuestPort port;
    unsigned guest_requests;
    size_t guest_bytes;
    size_t bytes_at_client;
    uint64_t dropped_packets; /* isochronous OUT: too old to be sent */
    uint64_t lost_packets;    /* isochronous, of requests that failed as a whole or never came */
    unsigned turn;            /* which endpoint sends first */
    GQueue answers;           /* of Answer */
};

/* `channel` outlives the device. */
Device *device_new(RdpusbDeviceChannel *channel, const RdpusbLimits *limits);
void device_free(Device *device);

/* ADD_DEVICE came: starts reading. */
void device_start(Device *device, int64_t now);
/* An event of the channel. */
void device_client_event(Device *device, const RdpusbDeviceEvent *event, int64_t now);
/* The channel closed. */
void device_client_closed(Device *device, int64_t now);

/* Takes the oldest answer; the caller clears it. */
bool device_next_answer(Device *device, Answer *answer);

int64_t device_deadline(const Device *device);
void device_tick(Device *device, int64_t now);

/* A guest is there and said hello: announces the device as soon as it is READY and clean. */
void device_guest_attached(Device *device, int64_t now);
/* The guest is gone without a word: what it asked is forgotten, the device stays. */
void device_guest_detached(Device *device, int64_t now);
/* filter_reject: the guest does not want this device. */
void device_guest_rejected(Device *device, int64_t now);
/* Tells the guest that the device leaves, and recalls everything from the client. */
void device_leave(Device *device, int64_t now);
/* Nothing of this device is at the client. */
bool device_is_idle(const Device *device);

/*
 * What the guest asks. Ids are opaque, 64 bit, and come back at once after their answer. Each of
 * the requests with an id gets exactly one answer as long as the guest is there. To be called
 * while ANNOUNCED only: before and after, the guest has no device to ask for.
 */
void device_control(Device *device, uint64_t id, uint8_t endpoint, const RdpusbSetup *setup,
                    const uint8_t *data, size_t size, int64_t now);
/* Takes over `data` (OUT only, may be NULL), `length` bytes wanted or given. */
void device_bulk(Device *device, uint64_t id, uint8_t endpoint, uint32_t stream_id, GBytes *data,
                 uint32_t length, int64_t now);
void device_interrupt_out(Device *device, uint64_t id, uint8_t endpoint, GBytes *data, int64_t now);
void device_set_configuration(Device *device, uint64_t id, uint8_t value, int64_t now);
void device_get_configuration(Device *device, uint64_t id, int64_t now);
void device_set_alt_setting(Device *device, uint64_t id, uint8_t interface, uint8_t alternate,
                            int64_t now);
void device_get_alt_setting(Device *device, uint64_t id, uint8_t interface, int64_t now);
void device_start_interrupt_receiving(Device *device, uint8_t endpoint, int64_t now);
void device_stop_interrupt_receiving(Device *device, uint8_t endpoint, int64_t now);
void device_start_bulk_receiving(Device *device, uint8_t endpoint, uint32_t stream_id,
                                 uint32_t bytes_per_transfer, uint8_t no_transfers, int64_t now);
void device_stop_bulk_receiving(Device *device, uint8_t endpoint, uint32_t stream_id, int64_t now);
void device_start_iso_stream(Device *device, uint8_t endpoint, uint8_t pkts_per_urb,
                             uint8_t no_urbs, int64_t now);
void device_stop_iso_stream(Device *device, uint8_t endpoint, int64_t now);
/* OUT. Takes over `data`, NULL for an empty packet. */
void device_iso_packet(Device *device, uint8_t endpoint, GBytes *data, int64_t now);
void device_cancel(Device *device, uint64_t id, int64_t now);
void device_reset(Device *device, int64_t now);

/* More is asked than the limits allow: the guest's connection should end. */
bool device_guest_exceeds_limits(const Device *device);

/* For the files of this folder. */
Answer *device_answer(Device *device, AnswerType type, uint64_t id, DeviceStatus status);
void device_refuse(Device *device, const char *format, ...) G_GNUC_PRINTF(2, 3);
void device_announce(Device *device);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Device, device_free)
