/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The ports of the VMs: each --chardev is one, and carries one device at a time. Devices that find
 * no free port wait in the order of their arrival. Lives in the main context; callbacks never come
 * from inside a call.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>

typedef struct Ports Ports;
/* A device's claim to a port. It has one, or waits for one, until it is freed. */
typedef struct PortClaim PortClaim;

typedef struct {
    /* A stream to the guest of `port` is open, the first or another after port_claim_lost().
     * `stream` is the caller's to duplicate. */
    void (*connected)(void *owner, const char *port, int stream);
    /* There is none yet: once per distinct reason. */
    void (*waiting)(void *owner, const char *reason);
} PortClaimEvents;

Ports *ports_new(void);
/* Not while there are claims. Accepts NULL. */
void ports_free(Ports *ports);

/* Adds the port that `chardev` names, in QEMU's spelling. The ports that listen do so from here on.
 * False: it cannot be opened, and why. */
bool ports_add(Ports *ports, const char *chardev, GError **error);

PortClaim *port_claim_new(Ports *ports, const PortClaimEvents *events, void *owner);
/* Ends the stream, whoever still has it, and gives the port to the next device. Accepts NULL. */
void port_claim_free(PortClaim *claim);
/* The stream last given has ended: get another. False when there was none. */
bool port_claim_lost(PortClaim *claim);
/* The port's name, or NULL while waiting for one. */
const char *port_claim_port(const PortClaim *claim);
