/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What guest.c (what the guest says) and guest-peer.c (what it hears) share of a FakeGuest. */
#pragma once

#include <usbredirparser.h>

#include "guest.h"
#include "ledger.h"

#define SLOTS 32

#define UNKNOWN (-1)

typedef enum { STREAM_INTERRUPT, STREAM_ISO, STREAM_BULK, STREAM_KINDS } StreamKind;

typedef struct {
    bool running;
    guint unanswered; /* starts and stops without a status */
    guint extra;      /* error statuses that may have been unsolicited */
} Stream;

typedef enum {
    DETACHED,
    ATTACHED,
    REJECTED, /* by us; what the peer sent before it knew is ignored */
} Attachment;

struct FakeGuest {
    struct usbredirparser *parser;
    const uint8_t *input;
    size_t input_length;
    GByteArray *output;
    bool audible; /* our hello has been taken out */
    bool dead;    /* QEMU would have aborted */
    bool feeding;

    GQueue events;
    GPtrArray *violations;
    Ledger *ledger;
    GArray *free_ids; /* the one freed last is used next */
    uint64_t ring_used;
    uint64_t chosen_id;
    char *filter;

    Attachment attachment;
    bool fresh_interface_info, fresh_ep_info; /* came since the last detach or set_* request */
    struct usb_redir_interface_info_header interface_info;
    struct usb_redir_ep_info_header ep_info;
    struct usb_redir_device_connect_header device;
    int configuration; /* as last answered, or UNKNOWN */
    int alt[256];
    Stream streams[STREAM_KINDS][SLOTS];
};

void guest_violation(FakeGuest *guest, const char *format, ...) G_GNUC_PRINTF(2, 3);

/* Both sides announced @cap. */
bool guest_common_cap(const FakeGuest *guest, int cap);

/* guest-peer.c: the callbacks for what the peer sends. */
void guest_set_callbacks(FakeGuest *guest);
