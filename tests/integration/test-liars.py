#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Devices that say something else later than when they were checked: stock clients, gadgets, rdpusbd, and a guest that
must not get to know what they became."""

from bench import Bench, SEE_SECONDS
from fakeguest import Rig
from gadget import Liar
from rdp import CLIENTS
from tap import equal, expect, main, scenario

DEVICE, CONFIGURATION = 0x100, 0x200
ANOTHER = '8 was 0x09 and is 0x6d'
CHANGED = r'device 1: ended in state attached: its {} changed since it was checked: byte {}. .* plug it in again'


def check_gone(rig, what, change):
    rig.guest.do('wait-disconnect')
    rig.daemon.errors.wait(CHANGED.format(what, change), 10)
    expect(rig.client.running(), 'the client ended')


@scenario('a device that says later that it is a keyboard is taken away', each=CLIENTS)
def lies_when_asked(test, program):
    for value, what, change in (DEVICE, 'device', ANOTHER), (CONFIGURATION, 'configuration', '2 was 0x19 and is 0x22'):
        rig = Rig(test, program, Liar(), folder=f'{program}-{what}')
        equal(rig.guest.do('attach').split()[0], '1209:000a', 'ids')
        rig.guest.says('success 12010002000000400912', 'control-in 0x80 6 0x100 0 10')
        rig.gadget('lie')
        rig.guest.says('ioerror', f'control-in 0x80 6 {value:#x} 0 9')  # of the configuration, no interface's class
        check_gone(rig, what + ' descriptor', change)


@scenario('a device that changes when it is configured is taken away before it is used', each=CLIENTS)
def lies_when_configured(test, program):
    rig = Rig(test, program, Liar())
    rig.guest.do('attach', 'control-out 0x40 1 0 0')  # or there is nothing to begin anew
    rig.gadget('lie')
    rig.guest.do('set-config 1')
    check_gone(rig, 'device descriptor', ANOTHER)


@scenario('a Linux guest never sees what a device became while it looked', seconds=90, each=CLIENTS)
def lies_to_linux(test, program):
    bench = Bench(test)
    # One read is ours, at arrival; what a client selects then is like a reset. The guest's first read is lied to.
    for n, after in enumerate((1, 'reset')):
        mark, console_mark = bench.daemon.errors.mark(), bench.guest.console.mark()
        client = bench.connect(program, Liar(**{'lies-after': after}), name=f'client {n}')
        bench.daemon.errors.wait(CHANGED.format('device descriptor', ANOTHER), SEE_SECONDS, mark)
        bench.guest.console.wait('new high-speed USB device', SEE_SECONDS, console_mark)
        equal(bench.guest.usb(), [], 'devices in the guest')
        expect(client.running(), 'the client ended')
    expect('046d' not in bench.guest.console.text(), 'the guest knows what it became')


main()
