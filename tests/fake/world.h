/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A client with one device, the library, and a guest, all in memory and in one turn: what one says
 * the other hears until nobody has anything to say. Time stands still unless a test moves it.
 */
#pragma once

#include "client.h"
#include "guest.h"

#include <rdpusb/bridge.h>

typedef struct {
    FakeClient *client;
    FakeGuest *guest; /* NULL: no stream is open */
    RdpusbControlChannel *control;
    RdpusbBridge *bridge;
    uint32_t device; /* the client's handle */
    int64_t now;
    GError *guest_error; /* of feed_guest */
    GPtrArray *events;   /* of FakeGuestEvent, since the last world_forget() */
    /* Transfers that reach the client, seen before the fake device acts on them */
    unsigned n_selects;
    unsigned n_urbs;
    FakeOnUrb on_urb;
} World;

/* profile, model: NULL for FreeRDP 3.10 and the loopback device. limits: NULL for the defaults. No
 * guest yet. */
World *world_new(const FakeClientProfile *profile, const FakeDeviceModel *model,
                 const RdpusbLimits *limits);
/* Asserts that neither the guest nor the client has anything to complain about. */
void world_free(World *world);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(World, world_free)

/* A world in which the guest has the device and has set its configuration. */
World *world_new_attached(const FakeClientProfile *profile);

/* A guest connects, or goes without a word. */
void world_connect_guest(World *world);
void world_disconnect_guest(World *world);

/* Until nobody has anything to say. */
void world_turn(World *world);
/* Lets time pass, deadline by deadline. */
void world_advance(World *world, int64_t microseconds);

/* The only event of that type since world_forget(); fails when there is none, or a second. */
const FakeGuestEvent *world_the_event(World *world, FakeGuestEventType type);
unsigned world_n_events(World *world, FakeGuestEventType type);
/* The n-th event of that type. */
const FakeGuestEvent *world_event(World *world, FakeGuestEventType type, unsigned n);
void world_forget(World *world);

/* The device says it on its next IN transfer. */
void world_device_says(World *world, uint8_t endpoint, const char *text);
