#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Devices that are lawful and unusual, and streams that keep time: stock clients, gadgets, rdpusbd, and the fake guest in
place of QEMU. Sanitizers and other work on the machine make packets late, so none of these counts lost time; the figures
are in ../bench."""

import re

from fakeguest import Rig
from gadget import Bootloader, Isochronous, Keyboard, Vendor
from rdp import CLIENTS
from tap import equal, expect, main, scenario

SETTINGS = {'48 kHz both ways': (1, '0x81 0x01'), '24 MB/s': (2, '0x81'), '44.1 kHz': (3, '0x01')}
WRONG = 'repeated', 'out-of-order', 'damaged'


def stream(rig, seconds, endpoints):
    """Runs streams; returns what the guest says of each."""
    said = rig.guest.do(f'iso {seconds} {endpoints}')
    return {endpoint: {key: int(value) for key, value in re.findall(r'(\S+)=(\d+)', numbers)}
            for endpoint, numbers in re.findall(r'(0x\w\w): ([^;]*)', said)}


def check_in(numbers):
    expect(numbers['received'] > 0, f'nothing was received: {numbers}')
    equal([numbers[what] for what in WRONG], [0, 0, 0], 'packets in that were ' + ', '.join(WRONG))


def check_out(rig):
    stats = rig.stats()
    expect(stats['iso.received'] > 0, f'nothing was played: {stats}')
    equal([stats['iso.' + what] for what in WRONG], [0, 0, 0], 'packets out that were ' + ', '.join(WRONG))


@scenario('isochronous streams, in order and whole', seconds=90, each=CLIENTS)
def isochronous(test, program):
    rig = Rig(test, program, Isochronous())
    for setting, endpoints in SETTINGS.values():
        rig.guest.do(f'set-alt 0 {setting}')
        numbers = stream(rig, 2, endpoints)
        rig.guest.do('set-alt 0 0')  # when all is played
        if '0x81' in numbers:
            check_in(numbers['0x81'])
        if '0x01' in numbers:
            check_out(rig)
    expect(rig.client.running(), 'the client ended')


@scenario('isochronous streams outlast what fails and what never ends', seconds=90, each=CLIENTS)
def troubled_streams(test, program):
    rig = Rig(test, program, Isochronous())
    for trouble in 'fail-packet 81 error 20', 'silent 81 3', 'silent 01 2', 'fail 81 error 2':
        command, endpoint, *arguments = trouble.split()
        rig.guest.do('set-alt 0 1')
        rig.gadget(command, endpoint, *arguments)
        numbers = stream(rig, 3, '0x81 0x01')
        rig.guest.do('set-alt 0 0')
        check_in(numbers['0x81'])
        check_out(rig)
        expect(endpoint != '81' or numbers['0x81']['failed'] > 0, f'the guest was told of no failure after {trouble!r}')


@scenario('a device that comes back with other ids', each=CLIENTS)
def bootloader(test, program):
    rig = Rig(test, program, Bootloader())
    for first, second in ('1209:0005', '1209:0006'), ('1209:0006', '1209:0005'):
        equal(rig.guest.do('attach').split()[0], first, 'ids before')
        rig.guest.do('control-out 0x40 1 1 0', 'wait-disconnect')  # BOOTLOADER_SWITCH, at once
        equal(rig.guest.do('attach').split()[0], second, 'ids after')


@scenario('a device without the descriptors that it speaks of', each=CLIENTS)
def stalled_descriptors(test, program):
    rig = Rig(test, program, Vendor(**{'stall-descriptors': 'string+qualifier+bos'}))
    rig.guest.do('attach', 'source 0x81 1048576', 'loopback 0x02 0x82 1048576')


@scenario('interface numbers with gaps are refused, with the reason', each=CLIENTS)
def gaps(test, program):
    rig = Rig(test, program, Vendor(gaps=1))
    rig.daemon.errors.wait(r'device 1: .*interface number 2 .*numbers have to be without gaps', 20)


@scenario('remote wake-up is between guest and device', each=CLIENTS)
def remote_wakeup(test, program):
    rig = Rig(test, program, Keyboard())
    rig.guest.do('attach')
    for request, status in (3, '0200'), (1, '0000'):  # SET_FEATURE, CLEAR_FEATURE
        rig.guest.do(f'control-out 0x00 {request} 1 0')
        rig.guest.says(f'success {status}', 'control-in 0x80 0 0 0 2')


main()
