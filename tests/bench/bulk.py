#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Measures bulk transfers through rdpusbd and a stock client, and the same device and guest with usbredirect between them.

    RDPUSB_BUILD=build tests/bench/bulk.py [CLIENT [ROUNDS]]

The two take turns, and the median of each is printed. Prints figures and judges none."""

import pathlib
import re
import statistics
import sys
import time

sys.path.append(str(pathlib.Path(__file__).resolve().parent.parent / 'integration'))

from daemon import Daemon, login  # noqa: E402
from fakeguest import FakeGuest  # noqa: E402
from gadget import Gadgets, Vendor  # noqa: E402
from rdp import CLIENTS, Client  # noqa: E402
from tap import Test  # noqa: E402

BYTES = 64 << 20
LATENCY_REQUESTS = 2000


def through_usbredirect(test, guest, gadgets, client):
    test.start('usbredirect', ['usbredirect', '--device', gadgets.ids[0], '--to', guest.address.removeprefix('tcp:')],
               env=gadgets.environment)


def through_rdpusbd(test, guest, gadgets, client):
    arguments = login(test.folder) + ['--log-level', 'warning', '--listen', '127.0.0.1:0']
    daemon = test.keep(Daemon(test.folder, [guest.address], arguments)).start()
    test.keep(Client(test.folder, client, daemon.port, gadgets))


def speed(guest, step):
    guest.do('control-out 0x40 6 0 0')  # the sequence begins anew
    return float(re.search(r'([0-9.]+) MB/s', guest.do(step))[1])


def latency(guest, endpoint):
    """Microseconds for one request of 512 bytes, when each waits for the one before."""
    guest.do(f'begin {endpoint} 512 1', f'wait {endpoint} 51200')
    start = time.monotonic()
    guest.do(f'wait {endpoint} {512 * LATENCY_REQUESTS}')
    elapsed = time.monotonic() - start
    guest.do(f'end {endpoint}')
    return elapsed / LATENCY_REQUESTS * 1e6


MEASURES = {
    'bulk IN, 64 KiB x 16, MB/s': lambda guest: speed(guest, f'source 0x81 {BYTES} 65536'),
    'bulk OUT, 64 KiB x 16, MB/s': lambda guest: speed(guest, f'sink 0x01 {BYTES} 65536'),
    'bulk IN, 512 bytes x 1, us': lambda guest: latency(guest, '0x81'),
    'bulk OUT, 512 bytes x 1, us': lambda guest: latency(guest, '0x01'),
}


def measure(connect, client):
    test = Test()
    try:
        guest = test.keep(FakeGuest('tcp:127.0.0.1:0'))
        connect(test, guest, Gadgets(test.folder / 'gadgets', Vendor()), client)
        guest.do('attach')
        return {name: function(guest) for name, function in MEASURES.items()}
    finally:
        for problem in test.close():
            print(problem, file=sys.stderr)


def main(client=CLIENTS[0], rounds='3'):
    results = {through_usbredirect: [], through_rdpusbd: []}
    for _ in range(int(rounds)):
        for connect, values in results.items():
            values.append(measure(connect, client))
    print(f'{"":28}  usbredirect  {client + ", rdpusbd":>20}  ratio')
    for name in MEASURES:
        without, with_us = (statistics.median(values[name] for values in all_values) for all_values in results.values())
        print(f'{name:28}  {without:11.1f}  {with_us:20.1f}  {with_us / without:5.2f}')


main(*sys.argv[1:])
