#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Measures bulk transfers through rdpusbd and a stock client, and the same device and guest with usbredirect between them.

    RDPUSB_BUILD=build-release tests/bench/bulk.py [CLIENT [ROUNDS]]

The two take turns, and the median of each is printed. Prints figures and judges none."""

import re
import statistics
import sys
import time

from paths import CLIENTS, take_turns
from gadget import Vendor

BYTES = 64 << 20
LATENCY_REQUESTS = 2000


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


def main(client=CLIENTS[0], rounds='3'):
    results = take_turns(int(rounds), client, Vendor,
                         lambda guest: {name: function(guest) for name, function in MEASURES.items()})
    print(f'{"":28}  usbredirect  {client + ", rdpusbd":>20}  ratio')
    for name in MEASURES:
        without, with_us = (statistics.median(values[name] for values in all_values) for all_values in results)
        print(f'{name:28}  {without:11.1f}  {with_us:20.1f}  {with_us / without:5.2f}')


main(*sys.argv[1:])
