/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * An RDPEUSB client in memory, with devices behind it: FreeRDP 3.10 unless a profile says
 * otherwise.
 *
 * Whole messages in by feed(), out by next_message(), each with the number of its channel, which
 * the test chooses (channels need no opening). No I/O, clock or thread: `now` is in microseconds.
 * What would crash a real client, make it execute something else than was meant, or leave it silent
 * through the server's fault, is recorded as a violation, in words.
 *
 * Isochronous transfers are not simulated: they stay unanswered unless the test's on_urb answers.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "client-device.h"
#include "wire/message.h"

#define FAKE_CLIENT_NO_DEADLINE INT64_MAX

/* What clients differ in. */
typedef struct {
    const char *name;
    bool is_mstsc;                   /* strict: closes a channel, or answers with an HRESULT */
    bool out_echoes;                 /* OUT completes as URB_COMPLETION with the payload */
    bool control_in_fails_dirty;     /* with as many bytes of heap as were asked for */
    bool io_control_overclaims;      /* RESET_PORT claims 4 bytes that are not there */
    bool echoes_capabilities;        /* of CHANNEL_CREATED */
    bool pipe_wants_obs_36;          /* a pipe request is executed, but silent with a smaller OBS */
    bool pipe_wants_obs_0;           /* a pipe request is dropped with any other OBS */
    bool cancels_late;               /* what a pipe request cancels is answered after it */
    bool select_interface_wants_obs; /* with less than the answer has: executed, silent, corrupt */
    bool select_interface_twice;     /* a second copy of the result before HResult */
    bool select_always_succeeds;     /* whatever the device says to a configuration or setting */
    bool text_lacks_nul;
} FakeClientProfile;

extern const FakeClientProfile fake_client_freerdp_3_10;   /* 2.11 to 3.12 */
extern const FakeClientProfile fake_client_freerdp_3_13;   /* and no other */
extern const FakeClientProfile fake_client_freerdp_3_15;   /* 3.14 to 3.22 */
extern const FakeClientProfile fake_client_freerdp_3_24;   /* 3.23 to 3.30 */
extern const FakeClientProfile fake_client_freerdp_master; /* after 3.30 */
extern const FakeClientProfile fake_client_mstsc;

#define FAKE_CLIENT_N_PROFILES 6
extern const FakeClientProfile *const fake_client_profiles[FAKE_CLIENT_N_PROFILES];

typedef struct FakeClient FakeClient;

/* A TRANSFER_IN_REQUEST or TRANSFER_OUT_REQUEST. */
typedef struct {
    uint32_t usb_device;
    unsigned channel;
    const WireUrb *urb;
    bool is_in;
    uint32_t output_buffer_size;
    WireBytes output_buffer; /* OUT */
} FakeRequest;

typedef struct {
    enum {
        FAKE_ANSWER,
        FAKE_HOLD, /* until fake_client_complete(), a cancel, or the client's own time-out */
        FAKE_NEVER,
    } action;
    uint32_t usbd_status;
    uint32_t hresult;
    WireBytes ts_urb_result; /* what follows its header */
    WireBytes data;          /* IN: from the device. OUT: only its length counts: bytes taken */
} FakeResponse;

/* Asked first for every transfer. False: the device answers by itself. response begins as an answer
 * of success without data; what it points to is copied when this returns. */
typedef bool (*FakeOnUrb)(FakeClient *client, const FakeRequest *request, FakeResponse *response,
                          void *data);

/* profile: NULL for fake_client_freerdp_3_10; must outlive the client. */
FakeClient *fake_client_new(const FakeClientProfile *profile);
void fake_client_free(FakeClient *client);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(FakeClient, fake_client_free)

void fake_client_set_on_urb(FakeClient *client, FakeOnUrb on_urb, void *data);

/* Plugs a device in and announces it, if the control channel is ready. Returns a handle for the
 * calls below; FreeRDP's UsbDevice (5, 6, ...) equals it, mstsc's is always 0. */
uint32_t fake_client_plug(FakeClient *client, const FakeDeviceModel *model);
/* One that has the same ids as another: at that port of another hub, or (twin) that very device
 * once more, as FreeRDP has it when a hot-plug crosses its own start. 0 if there is no other. */
uint32_t fake_client_plug_like(FakeClient *client, uint32_t handle, bool is_twin);
/* Its channel is closed by the client; what is pending there is never answered. */
void fake_client_unplug(FakeClient *client, uint32_t handle);
/* What devices announce from now on, whatever their descriptors say: ids, each ended by '\n', of
 * ASCII. NULL: the truth. */
void fake_client_set_ids(FakeClient *client, const char *hardware_ids,
                         const char *compatibility_ids);
/* Every answer to QUERY_DEVICE_TEXT has so many characters. 0: the device's own. */
void fake_client_set_text_length(FakeClient *client, size_t length);
/* For fake_device_say() and fake_device_halt(); call fake_client_tick() afterwards. */
FakeDevice *fake_client_device(FakeClient *client, uint32_t handle);

/* Takes one whole message. */
void fake_client_feed(FakeClient *client, unsigned channel, const uint8_t *data, size_t size,
                      int64_t now);
/* The server closed a channel: the device on it is given back, and not announced again. */
void fake_client_closed(FakeClient *client, unsigned channel);

/* The next message for the server, or NULL; the caller owns it. */
GBytes *fake_client_next_message(FakeClient *client, unsigned *channel);
/* The next channel that the client closed; false if there is none. After the messages. */
bool fake_client_next_closed(FakeClient *client, unsigned *channel);

/* The client's own time-outs: 10 s for bulk and interrupt. FAKE_CLIENT_NO_DEADLINE for never. */
int64_t fake_client_deadline(const FakeClient *client);
void fake_client_tick(FakeClient *client, int64_t now);

/* How many transfers wait: held, or for data of the device. */
unsigned fake_client_n_pending(const FakeClient *client);
/* Answers one of them, in any order. False if there is none of that id. */
bool fake_client_complete(FakeClient *client, uint32_t handle, uint32_t request_id,
                          const FakeResponse *response);

/* One line each, owned by the client; an empty array if all is well. */
const GPtrArray *fake_client_violations(const FakeClient *client);
