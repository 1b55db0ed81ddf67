#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The program fake-guest: with usbredir's own host program and the gadgets, which must not break a rule, and with a host
that does."""

import pathlib
import re
import socket
import struct
import sys

sys.path.append(str(pathlib.Path(__file__).resolve().parent.parent / 'integration'))

from daemon import find_program  # noqa: E402
from gadget import Gadgets, Keyboard, Stick  # noqa: E402
from tap import equal, expect, main, scenario  # noqa: E402

STEP_SECONDS = 20


class Vendor:
    kind = 'vendor'
    id = '1234:0003'
    options = {'id': id}


class Isochronous:
    kind = 'isochronous'
    id = '1234:0004'
    options = {'id': id}


def listen(test, *steps):
    """A fake guest that listens, and its address."""
    guest = test.start('fake-guest', [find_program('fake-guest'), '--listen', 'tcp:127.0.0.1:0', *steps])
    address = guest.log.wait(r'listening: tcp:(.*),server=on', 5).group(1)
    return guest, address


def redirect(test, device, *steps):
    guest, address = listen(test, *steps)
    gadgets = Gadgets(test.folder / 'gadgets', device)
    test.start('usbredirect', ['usbredirect', '--device', device.id, '--to', address], env=gadgets.environment)
    return guest, gadgets


def ends_well(guest):
    equal(guest.wait(STEP_SECONDS), 0, 'exit status')
    return guest.log.text()


@scenario('a stick is read and written')
def stick(test):
    image = test.folder / 'stick.img'
    image.write_bytes(bytes(range(256)) * 2 * 5000)
    piece = test.folder / 'piece'
    piece.write_bytes(b'written by the fake guest       ' * 16 * 300)
    copy = test.folder / 'copy'
    expected = image.read_bytes()
    expected = expected[:512 * 1000] + piece.read_bytes() + expected[512 * 1300:]
    guest, _ = redirect(test, Stick(image), 'read-disk', f'write-disk 1000 {piece}', 'reset', f'read-disk {copy}')
    log = ends_well(guest)
    expect('5000 blocks of 512' in log, 'no capacity in the log')
    expect(copy.read_bytes() == expected, 'the copy differs')
    expect(image.read_bytes() == expected, 'the image differs')


@scenario("a keyboard's text arrives")
def keyboard(test):
    text = 'Hello: [fake] "guest"!'
    guest, gadgets = redirect(test, Keyboard(), 'attach', f'keyboard {len(text)}')
    guest.log.wait('^attach:', STEP_SECONDS)
    gadgets.type(0, text)
    equal(ends_well(guest).splitlines()[-1], f'keyboard {len(text)}: "' + text.replace('"', r'\"') + '"', 'log')


@scenario('data flows both ways on every kind of endpoint')
def vendor(test):
    guest, _ = redirect(test, Vendor, 'source 0x81 1048576', 'sink 0x01 1000001', 'loopback 0x02 0x82 65536 4096',
                        'control-out 0x40 1 0 0 00ff10', 'control-in 0xc0 1 0 0 3', 'control-in 0xc0 2 0 0 3',
                        'set-alt 1 1', 'interrupt-in 0x83 2', 'interrupt-out 0x04 0102', 'interrupt-in 0x84',
                        'clear-halt 0x81', 'bulk-once-out 0x02 abcd', 'bulk-once-in 0x82 512')
    log = ends_well(guest)
    expect('control-in 0xc0 1 0 0 3: success 00ff10' in log, 'no buffer')
    expect('control-in 0xc0 2 0 0 3: stall' in log, 'no stall')
    expect('interrupt-in 0x83 2: success 00000000010000000200000003000000, success 0400' in log, 'no packets')
    expect('interrupt-in 0x84: success 0102' in log, 'no interrupt loopback')
    expect('bulk-once-in 0x82 512: success, 2 bytes abcd' in log, 'no bulk loopback')


@scenario('requests are cancelled in all moments')
def storm(test):
    guest, _ = redirect(test, Vendor, 'cancel-storm 0x81 300', 'cancel-storm 0x82', 'cancel-storm-out 0x02 0x82 300',
                        'reset', 'source 0x81 65536')
    ends_well(guest)


@scenario('flows go on beside other requests')
def flows(test):
    guest, gadgets = redirect(test, Vendor, 'begin 0x81 4096', 'begin 0x01 65536 4', 'begin 0x83', 'begin 0x03',
                              'wait 0x81 4000000', 'wait 0x01 4000000', 'loopback-sizes 0x02 0x82 5000',
                              'wait 0x83 6400', 'wait 0x03 6400', 'end 0x81', 'end 0x01', 'end 0x83', 'cut 0x03',
                              'queue 0x81 512 5', 'set-alt 1 1', 'begin 0x83', 'wait 0x83 160', 'reset', 'begin 0x81',
                              'wait 0x81 100000', 'drop')
    log = ends_well(guest)
    expect('queue 0x81 512 5: 5 success; 2560 bytes' in log, 'no queue')


@scenario('events tell their age')
def stamps(test):
    device = Vendor()
    device.options = {'id': device.id, 'stamps': 1, 'jitter-ms': 2}
    guest, _ = redirect(test, device, 'stamps 0x83 20')
    ages = [int(age) for age in ends_well(guest).splitlines()[-1].removeprefix('stamps 0x83 20: ').split()]
    equal(len(ages), 20, 'events')
    expect(max(ages) < 1e6 * STEP_SECONDS, f'ages are no microseconds: {ages}')


@scenario('an event without a time stamp is refused')
def no_stamps(test):
    guest, _ = redirect(test, Vendor(), 'stamps 0x83')
    equal(guest.wait(STEP_SECONDS), 1, 'exit status')
    guest.log.wait('FAILED: success: 64 bytes that begin with no time stamp', 1)


@scenario('isochronous streams run at the guest\'s clock')
def isochronous(test):
    guest, gadgets = redirect(test, Isochronous(), 'set-alt 0 1', 'iso 1 0x81 0x01')
    log = ends_well(guest)
    said = dict(re.findall(r'(\S+)=(\d+)', log.splitlines()[-1]))
    # usbredirhost tells the interval as an exponent, 4, which QEMU takes for 4 microframes.
    equal(said['sent'], '2000', 'packets out')
    expect(0 < int(said['received']) <= 1100, f'{said["received"]} packets in')
    for trouble in 'repeated', 'out-of-order', 'damaged', 'empty', 'restarts':
        equal(said[trouble], '0', trouble)


@scenario('no stream without an isochronous endpoint')
def no_stream(test):
    guest, _ = redirect(test, Isochronous(), 'iso 1 0x81')
    equal(guest.wait(STEP_SECONDS), 1, 'exit status')
    guest.log.wait('FAILED: no isochronous endpoint 0x81', 1)


@scenario('a flow that is disturbed fails')
def disturbed(test):
    for trouble in 'control-out 0x40 6 0 0', 'control-out 0x40 3 1 0x81':
        guest, _ = redirect(test, Vendor, 'begin 0x81', 'wait 0x81 100000', trouble, 'wait 0x81 1000000000')
        equal(guest.wait(STEP_SECONDS), 1, 'exit status')
        guest.log.wait('FAILED: endpoint 0x81: (byte [0-9]+ is wrong|answer [0-9]+ after [0-9]+ bytes: stall)', 1)


@scenario('the device leaves in the middle')
def leaves(test):
    guest, gadgets = redirect(test, Vendor, 'attach', 'until-gone source 0x81 1073741824')
    guest.log.wait('^attach:', STEP_SECONDS)
    gadgets.unplug(0)
    guest.wait(STEP_SECONDS)
    guest.log.wait('the device has gone', 1)
    # usbredirhost may still answer what was in flight, which QEMU ignores, and the fake guest reports.
    for line in guest.log.text().splitlines():
        expect(not line.startswith('violation:') or line.endswith('while no device is connected'), line)


@scenario('what is said wrongly is reported')
def wrong(test):
    guest, address = listen(test, 'attach')
    host, port = address.rsplit(':', 1)
    with socket.create_connection((host, int(port))) as connection:
        careless_host(connection)
        connection.sendall(struct.pack('<IIQ', 99, 0, 0))
        equal(guest.wait(STEP_SECONDS), 1, 'exit status')
    guest.log.wait('attach: FAILED: a packet came on which QEMU would have aborted', 1)
    guest.log.wait('violation: device_connect before interface_info', 1)
    guest.log.wait('violation: malformed packet: .*99', 1)


@scenario('a bridge that listens is connected to, again and again')
def connects(test):
    path = test.folder / 'port'
    guest = test.start('fake-guest', [find_program('fake-guest'), '--connect', f'unix:{path}', 'attach'])
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        server.settimeout(STEP_SECONDS)
        for last in False, False, True:
            connection, _ = server.accept()
            with connection:
                careless_host(connection)
                if last:
                    connection.sendall(struct.pack('<IIQ', 99, 0, 0))
                    equal(guest.wait(STEP_SECONDS), 1, 'exit status')
    equal(guest.log.text().count('violation: device_connect before interface_info'), 3, 'violations')


@scenario('nobody comes')
def nobody(test):
    guest, _ = listen(test, '--timeout', '1', 'attach')
    equal(guest.wait(STEP_SECONDS), 1, 'exit status')
    guest.log.wait('attach: FAILED: .* in time', 1)


@scenario('a wrong step is refused')
def step(test):
    for words in 'nonsense', 'source 0x81', 'source "0x81', 'keyboard':
        guest, _ = listen(test, words)
        equal(guest.wait(STEP_SECONDS), 1, 'exit status')
        expect('FAILED' in guest.log.text(), 'no reason')


def careless_host(connection):
    """Connects a device of which it told nothing, and waits until that is refused."""
    connection.settimeout(STEP_SECONDS)
    connection.sendall(struct.pack('<III64sI', 0, 68, 0, b'careless', 0xfe))
    replies = connection.makefile('rb')
    expect(len(replies.read(80)) == 80, 'no hello')
    connection.sendall(struct.pack('<IIQ4B3H', 1, 10, 0, 2, 0, 0, 0, 0x1234, 0x5678, 0x0100))
    kind, _, _ = struct.unpack('<IIQ', replies.read(16))
    equal(kind, 22, 'reply')  # filter_reject


main()
