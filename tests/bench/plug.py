#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Measures how long a device takes from being plugged in at the client until a guest has it.

    RDPUSB_BUILD=build tests/bench/plug.py [CLIENT [ROUNDS]]

Client, rdpusbd and guest are on one machine. The fake guest is at once with what it is told; a Linux guest without KVM is
slow by itself, so the same stick on a usb-storage device of QEMU's own is measured beside it. Prints figures and judges
none."""

import pathlib
import statistics
import sys
import time

sys.path.append(str(pathlib.Path(__file__).resolve().parent.parent / 'integration'))

from bench import ATTACHED, SEE_SECONDS, UNPLUGGED, Bench  # noqa: E402
from fakeguest import Rig  # noqa: E402
from gadget import Vendor  # noqa: E402
from rdp import CLIENTS  # noqa: E402
from tap import Test  # noqa: E402


CLIENT_SLEEPS = 0.2  # FreeRDP's, after each device that leaves: whoever plugs in by hand is slower


def measure_fake(test, client, rounds):
    """Milliseconds until the guest is told of the device, and until it has enumerated it and set its configuration."""
    rig = Rig(test, client, Vendor())
    rig.guest.do('attach')
    log = rig.daemon.errors
    told, usable = [], []
    for _ in range(rounds):
        rig.gadget('unplug')
        rig.guest.do('wait-disconnect')
        time.sleep(CLIENT_SLEEPS)
        mark = log.mark()
        start = time.monotonic()
        rig.gadget('plug')
        log.wait(' attached to port ', 20, mark)
        told.append((time.monotonic() - start) * 1000)
        rig.guest.do('attach')
        usable.append((time.monotonic() - start) * 1000)
    return {'plugged -> given to a port': told, 'plugged -> configured by the fake guest': usable}


def measure_real(test, client, rounds):
    """Milliseconds until the kernel of a guest has found the device, and until there is a disk."""
    bench = Bench(test)
    joined = bench.connect(client, bench.stick())
    console, monitor = bench.guest.console, bench.guest.monitor
    console.wait(ATTACHED, SEE_SECONDS)
    found, disk = [], []
    for _ in range(rounds):
        mark = console.mark()
        joined.gadgets.command('unplug 1')
        console.wait(UNPLUGGED, SEE_SECONDS, mark)
        time.sleep(CLIENT_SLEEPS)
        mark = console.mark()
        start = time.monotonic()
        joined.gadgets.command('plug 1')
        console.wait('New USB device found', SEE_SECONDS, mark)
        found.append((time.monotonic() - start) * 1000)
        console.wait(ATTACHED, SEE_SECONDS, mark)
        disk.append((time.monotonic() - start) * 1000)
    # The same without us: QEMU's own stick in the same guest.
    own = []
    image = test.folder / 'own.img'
    image.write_bytes(bytes(8 << 20))
    monitor.call('blockdev-add', driver='raw', node_name='own', file={'driver': 'file', 'filename': str(image)})
    for _ in range(rounds):
        mark = console.mark()
        start = time.monotonic()
        monitor.call('device_add', driver='usb-storage', id='own', drive='own', share_rw=True)
        console.wait(ATTACHED, SEE_SECONDS, mark)
        own.append((time.monotonic() - start) * 1000)
        mark = console.mark()
        monitor.call('device_del', id='own')
        console.wait(UNPLUGGED, SEE_SECONDS, mark)
        monitor.wait_event('DEVICE_DELETED')
    return {'plugged -> found by the Linux guest': found, 'plugged -> disk in the Linux guest': disk,
            "QEMU's own stick -> disk": own}


def main(client=CLIENTS[0], rounds='10'):
    print(f'{client}, {rounds} rounds, milliseconds   median      max')
    for measure in measure_fake, measure_real:
        test = Test()
        try:
            for name, values in measure(test, client, int(rounds)).items():
                print(f'{name:40} {statistics.median(values):8.1f} {max(values):8.1f}', flush=True)
        finally:
            for problem in test.close():
                print(problem, file=sys.stderr)


main(*sys.argv[1:])
