#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Every byte, both ways, on every kind of endpoint: stock clients, gadgets, rdpusbd, and the fake guest in place of QEMU."""

import random

from bench import digest, make_image
from fakeguest import Rig
from gadget import Keyboard, Stick, Vendor
from rdp import CLIENTS
from tap import equal, main, scenario

MIB = 1 << 20
RESTART = 'control-out 0x40 6 0 0'  # sequences begin anew


@scenario('bulk in: every byte, many requests in flight', each=CLIENTS)
def source(test, program):
    rig = Rig(test, program, Vendor())
    for request in 512, 16384, 65536, MIB:
        size = 24 * MIB if request >= 65536 else MIB
        rig.guest.do(RESTART, f'source 0x81 {size} {request}')
        equal(rig.stats()['bulk.sourced'], size, f'bytes that the device sent, in requests of {request}')


@scenario('bulk out: every byte, many requests in flight', each=CLIENTS)
def sink(test, program):
    rig = Rig(test, program, Vendor())
    for request in 1, 511, 512, 16384, 65536, MIB:
        size = 16 * MIB if request >= 65536 else min(request * 500, MIB)
        rig.guest.do(RESTART, f'sink 0x01 {size} {request}')
        stats = rig.stats()
        equal((stats['bulk.sunk'], stats['bulk.mismatches']), (size, 0), f'bytes sunk, and wrong, of {request} each')


@scenario('bulk both ways: all sizes around packet ends, and zero-length packets', each=CLIENTS)
def loopback(test, program):
    rig = Rig(test, program, Vendor())
    rig.guest.do('attach')
    said = rig.guest.do('loopback-sizes 0x02 0x82 65536')
    stats = rig.stats()
    # 0, 1, and for each of 128 packet ends three sizes but the one beyond 65536; whole packets need another write.
    equal(said, f'{2 + 3 * 128 - 1} sizes, {2 + 3 * 128 - 1 + 128} writes', 'sizes')
    equal((stats['ep02.transfers'], stats['ep82.transfers']), (513, 385), 'transfers that the device counted')
    rig.guest.says('success, 0 bytes', 'bulk-once-out 0x02')
    rig.guest.says('success, 0 bytes', 'bulk-once-in 0x82 4096')
    rig.guest.do('loopback 0x02 0x82 4194304 16384', 'loopback 0x02 0x82 1048576 4096')


@scenario('short and zero-length packets end a request, and only one', each=CLIENTS)
def short(test, program):
    rig = Rig(test, program, Vendor())
    rig.guest.do('attach')
    for step, total in (('short 81 100 3', 300 + 13 * 4096), ('zlp 81 2', 14 * 4096),
                        ('short 81 512', 512 + 15 * 4096), ('short 81 4095 16', 16 * 4095)):
        command, *arguments = step.split()
        rig.gadget(command, *arguments)
        rig.guest.says(f'16 success; {total} bytes', 'queue 0x81 4096 16')
    # A flow with short packets in it goes on where they ended.
    rig.gadget('short', 81, 1000, 50)
    rig.guest.do('begin 0x81 65536', f'wait 0x81 {4 * MIB}', 'end 0x81')


@scenario('interrupt in: no report is lost or doubled', each=CLIENTS)
def interrupt_source(test, program):
    rig = Rig(test, program, Vendor())
    rig.guest.do('attach', 'begin 0x83', f'wait 0x83 {2000 * 64}')
    rig.guest.do('cut 0x83', 'set-alt 1 1', 'begin 0x83', f'wait 0x83 {500 * 16}', 'cut 0x83')
    equal(rig.stats()['ep83.cancelled'] > 0, True, 'requests were in flight at the end')


@scenario('interrupt out: every byte', each=CLIENTS)
def interrupt_sink(test, program):
    rig = Rig(test, program, Vendor())
    rig.guest.do('attach', 'begin 0x03', f'wait 0x03 {2000 * 64}', 'end 0x03')
    stats = rig.stats()
    equal(stats['interrupt.mismatches'], 0, 'wrong bytes')
    equal(stats['interrupt.sunk'], 64 * stats['ep03.transfers'], 'bytes')
    for packet in '', '01', '55' * 64:
        rig.guest.says('success', f'interrupt-out 0x04 "{packet}"')
    rig.guest.says('success, success 01, success ' + '55' * 64, 'interrupt-in 0x84 3')


@scenario('control transfers of all sizes both ways', each=CLIENTS)
def control(test, program):
    rig = Rig(test, program, Vendor())
    values = random.Random(1)
    for size in 0, 1, 7, 8, 9, 63, 64, 65, 511, 512, 513, 4095, 4096:
        data = values.randbytes(size).hex()
        rig.guest.says('success', f'control-out 0x40 1 0 0 {data}')
        rig.guest.says(f'success {data}'.strip(), 'control-in 0xc0 1 0 0 4096')
        rig.guest.says(f'success {data[:100]}'.strip(), 'control-in 0xc0 1 0 0 50')
        rig.guest.says('stall', 'control-in 0xc0 2 0 0 64')
        rig.guest.says('stall', f'control-out 0x40 2 0 0 {data}')


@scenario('control transfers do not disturb data', each=CLIENTS)
def control_beside_data(test, program):
    rig = Rig(test, program, Vendor())
    rig.guest.do('attach', 'begin 0x81 65536', 'begin 0x01 65536', 'begin 0x83', 'begin 0x03')
    for number in range(20):
        rig.guest.says('success', f'control-out 0x40 1 0 0 {number:02x}')
        rig.guest.says(f'success {number:02x}', 'control-in 0xc0 1 0 0 4')
        if number % 5 == 0:
            rig.guest.says('stall', 'control-in 0xc0 2 0 0 64')
    # A device that thinks for 1.5 s stops the client's thread, but nothing is lost.
    rig.guest.says('success 0000', 'control-in 0xc0 4 1500 0 2')
    rig.guest.do('end 0x81', 'end 0x01', 'end 0x83', 'end 0x03')
    stats = rig.stats()
    equal((stats['bulk.mismatches'], stats['interrupt.mismatches']), (0, 0), 'wrong bytes')


@scenario('a disk is read, written and compared', each=CLIENTS)
def disk(test, program):
    image = make_image(test.folder / 'stick.img', 8 * MIB)
    piece = make_image(test.folder / 'piece', 3 * MIB + 512)
    expected = bytearray(image.read_bytes())
    expected[777 * 512:777 * 512 + piece.stat().st_size] = piece.read_bytes()
    rig = Rig(test, program, Stick(image))
    rig.guest.do(f'read-disk {test.folder}/before')
    equal(digest(test.folder / 'before'), digest(image), 'checksum of what was read')
    rig.guest.do(f'write-disk 777 {piece}', f'read-disk {test.folder}/after')
    equal(image.read_bytes() == expected, True, 'the image has what was written')
    equal(digest(test.folder / 'after'), digest(image), 'checksum of what was read then')


@scenario('four devices of one client at once', each=CLIENTS)
def four_devices(test, program):
    image = make_image(test.folder / 'stick.img', 4 * MIB)
    rig = Rig(test, program, Vendor('1234:0010'), Stick(image), Vendor('1234:0011'), Keyboard(text='four at once'),
              ports=4)
    attached = {}
    for guest in rig.guests:
        attached[guest.do('attach').split()[0]] = guest
    first, stick, second, keyboard = (attached[usb_id] for usb_id in
                                      ('1234:0010', '1234:0001', '1234:0011', '1234:0002'))
    steps = ((first, f'source 0x81 {16 * MIB} 65536'), (second, f'sink 0x01 {16 * MIB} 65536'),
             (stick, f'read-disk {test.folder}/copy'), (keyboard, 'keyboard 12'))
    for guest, step in steps:
        guest.begin(step)
    said = [guest.finish() for guest, _ in steps]
    equal(said[3], '"four at once"', 'text')
    equal(digest(test.folder / 'copy'), digest(image), 'checksum of what was read')
    equal(rig.stats(3)['bulk.mismatches'], 0, 'wrong bytes')


main()
