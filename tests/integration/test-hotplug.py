#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Devices that come and go, many at once: a stock client with gadgets, rdpusbd, and a fake guest at each port."""

import os
import random
import re
import sys
import time

from fakeguest import Rig
from gadget import Vendor
from rdp import CLIENTS
from tap import equal, expect, main, scenario

DEVICES = 8
ROUNDS = int(os.environ.get('RDPUSB_HOTPLUG_ROUNDS', '500'))
SEED = int(os.environ.get('RDPUSB_HOTPLUG_SEED', '1'))


class Crowd:
    """A client with DEVICES devices, and as many ports. What the broker logs tells which port has which device."""

    def __init__(self, test, program):
        self.rig = Rig(test, program, *(Vendor(f'1234:001{number}') for number in range(DEVICES)), ports=DEVICES)
        self.guests = {str(path): guest for path, guest in zip(self.rig.paths, self.rig.guests)}
        self.ports = {}  # number of a device -> guest
        self.busy = set()
        self.seen = 0
        self.expect_ports(range(1, DEVICES + 1))

    def expect_ports(self, numbers):
        """Waits until these devices have got ports."""
        for number in numbers:
            match = self.rig.daemon.errors.wait(
                rf'device 1234:001{number - 1} .* attached to port unix:(\S+)$', 20, self.seen)
            self.ports[number] = self.guests[match[1]]


@scenario('many', seconds=300, each=CLIENTS)
def many(test, program):
    crowd = Crowd(test, program)
    choose = random.Random(SEED)
    rig = crowd.rig
    rounds = 0
    start = time.monotonic()
    plugged = set(range(1, DEVICES + 1))
    for guest in rig.guests:
        guest.do('attach')
    while rounds < ROUNDS:
        burst = choose.sample(range(1, DEVICES + 1), choose.randint(1, 8))
        crowd.seen = rig.daemon.errors.mark()
        t0 = time.monotonic()
        for number in burst:
            rig.gadget('unplug' if number in plugged else 'plug', number=number)
        t1 = time.monotonic()
        leaving = [n for n in burst if n in plugged]
        coming = [n for n in burst if n not in plugged]
        for n in leaving:
            crowd.ports.pop(n).do('wait-disconnect')
            plugged.remove(n)
        t2 = time.monotonic()
        crowd.expect_ports(coming)
        t3 = time.monotonic()
        for n in coming:
            said = crowd.ports[n].do('attach')
            equal(said.split()[0], f'1234:001{n-1}', 'device')
            plugged.add(n)
        for n in plugged:
            crowd.ports[n].do('control-out 0x40 6 0 0', 'source 0x81 65536')
        t4 = time.monotonic()
        rounds += len(burst)
        print(f'# {rounds} -{len(leaving)} +{len(coming)} gadget {t1-t0:.3f} leave {t2-t1:.3f} come {t3-t2:.3f} use {t4-t3:.3f}', flush=True)
    print('#', time.monotonic() - start); print(rig.daemon.errors.text())


main()
