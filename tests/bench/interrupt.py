#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Measures how long an event takes from an interrupt IN endpoint to the guest, through rdpusbd and a stock client, and
through usbredirect.

    RDPUSB_BUILD=build-release tests/bench/interrupt.py [CLIENT [ROUNDS [EVENTS]]]

The gadget writes the time of the event into the packet, the fake guest compares it with its clock when it has the packet:
how punctual the gadget is plays no part. Events are 2 to 5 ms apart, so each is alone. The two ways take turns, EVENTS in
each of ROUNDS. Prints figures and judges none."""

import statistics
import sys

from paths import CLIENTS, take_turns
from gadget import Vendor

INTERRUPT_SOURCE = 0x83
PERCENTILES = (50, 90, 99)


def percentile(ages, percent):
    return statistics.quantiles(ages, n=100, method='inclusive')[percent - 1]


def main(client=CLIENTS[0], rounds='4', events='1000'):
    results = take_turns(int(rounds), client, lambda: Vendor(stamps=1, **{'interval-ms': 2, 'jitter-ms': 3}),
                         lambda guest: [int(age) for age in guest.do(f'stamps {INTERRUPT_SOURCE} {events}').split()])
    without, with_us = ([age for ages in rounds for age in ages] for rounds in results)
    print(f'{len(without)} events each, us  usbredirect  {client + ", rdpusbd":>20}  added')
    for percent in PERCENTILES:
        before, after = percentile(without, percent), percentile(with_us, percent)
        print(f'{percent:12}th percentile  {before:11.0f}  {after:20.0f}  {after - before:5.0f}')
    # usbredirect does not set TCP_NODELAY: its tail is Nagle's algorithm, and says nothing about the device.
    print(f'the 99th percentile is {percentile(with_us, 99) - percentile(without, 50):.0f} us above the median of usbredirect')


main(*sys.argv[1:])
