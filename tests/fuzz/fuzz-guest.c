/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Any bytes from a guest, after its hello (or none, by the first byte), in portions: each portion
 * begins with its size. The device behind answers. Whatever comes, the device survives, and another
 * guest gets it.
 */
#include "world.h"

#include <stdio.h>

#include "require.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The library writes to standard output what it does not like. */
static void silence(void)
{
    static bool silent;
    if (!silent && !freopen("/dev/null", "w", stdout))
        g_error("cannot open /dev/null");
    silent = true;
}

/* What the bridge answers is not read: the fake guest did not ask. */
static void turn(World *world)
{
    FakeGuest *guest = g_steal_pointer(&world->guest);
    world_turn(world);
    world->guest = guest;
}

static bool feed_portion(World *world, const uint8_t **data, size_t *size)
{
    size_t n = MIN(**data, *size - 1);
    g_autofree uint8_t *copy = g_memdup2(*data + 1, n);
    *data += 1 + n;
    *size -= 1 + n;
    bool fine = rdpusb_bridge_feed_guest(world->bridge, copy, n, world->now, NULL);
    turn(world);
    return fine;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    silence();
    if (size == 0)
        return 0;
    World *world = world_new(NULL, NULL, NULL);
    if (data[0] & 1) {
        world_connect_guest(world);
    } else {
        world->guest = fake_guest_new(FAKE_GUEST_QEMU_CAPS);
        rdpusb_bridge_guest_connected(world->bridge, world->now);
    }
    data++;
    size--;
    while (size > 0 && feed_portion(world, &data, &size)) {
    }
    g_clear_pointer(&world->guest, fake_guest_free);
    rdpusb_bridge_guest_disconnected(world->bridge, world->now);
    world_connect_guest(world);
    world_advance(world, 60 * G_TIME_SPAN_SECOND);
    REQUIRE(rdpusb_bridge_state(world->bridge) == RDPUSB_BRIDGE_ATTACHED);
    world_free(world);
    return 0;
}
