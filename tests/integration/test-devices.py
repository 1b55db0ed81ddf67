#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The main job: devices of a stock RDP client in a real guest."""

import re

from bench import (Bench, SEE_SECONDS, UNPLUGGED, begin_long_read, check_cut_short, check_read, check_write,
                   idle_descriptors, wait_disk)
from gadget import Keyboard
from rdp import CLIENTS
from tap import equal, expect, main, scenario


@scenario('the guest reads and writes the whole stick', seconds=120, each=CLIENTS)
def read_and_write(test, program):
    bench = Bench(test)
    stick = bench.stick()
    bench.connect(program, stick)
    disk = wait_disk(bench.guest)
    check_read(bench.guest, disk, stick.image)
    check_write(bench.guest, disk, stick.image)
    check_read(bench.guest, disk, stick.image)


@scenario("the keyboard's text arrives", each=CLIENTS)
def keyboard(test, program):
    text = 'The quick brown fox: 0123456789, (jumps) "over" [the] lazy_dog; ~100% & more!\n'
    bench = Bench(test)
    client = bench.connect(program, Keyboard())
    keys = bench.guest.keyboard(SEE_SECONDS)
    client.gadgets.type(0, text)
    equal(keys.read(len(text), timeout=30), text, 'text')


@scenario('a stick and a keyboard of one client work at once', each=CLIENTS)
def two_devices(test, program):
    bench = Bench(test, ports=2)
    stick = bench.stick()
    client = bench.connect(program, stick, Keyboard())
    disk = wait_disk(bench.guest)
    keys = bench.guest.keyboard(SEE_SECONDS)
    reading = begin_long_read(bench.guest, disk)
    client.gadgets.type(1, 'while it reads')
    equal(keys.read(14, timeout=30), 'while it reads', 'text')
    equal(int(reading.wait()[1]), stick.image.stat().st_size - 65536, 'bytes read meanwhile')
    check_read(bench.guest, disk, stick.image)


@scenario("what QEMU's own filter refuses is not offered again, and its port is free", seconds=90, each=CLIENTS)
def filtered(test, program):
    bench = Bench(test, refuses='0x08:-1:-1:-1')
    client = bench.connect(program, bench.stick())
    bench.daemon.errors.wait('device 1: the VM at .* refused it', SEE_SECONDS)
    bench.daemon.errors.wait('device 1: gone: refused by the VM', 10)
    other = bench.connect(program, Keyboard(), name='other')
    keys = bench.guest.keyboard(SEE_SECONDS)
    other.gadgets.type(0, 'let in')
    equal(keys.read(6, timeout=30), 'let in', 'text')
    equal(bench.guest.usb(), [Keyboard().id], 'devices in the guest')
    equal(len(re.findall('refused it', bench.daemon.errors.text())), 1, 'refusals')
    expect(client.running(), 'the client ended')


@scenario('the stick is unplugged and plugged again at the client', seconds=120, each=CLIENTS)
def replug(test, program):
    bench = Bench(test)
    stick = bench.stick()
    client = bench.connect(program, stick)
    disk = wait_disk(bench.guest)
    for _ in range(2):
        mark = bench.guest.console.mark()
        client.gadgets.unplug(0)
        bench.guest.console.wait(UNPLUGGED, SEE_SECONDS, mark)
        client.gadgets.plug(0)
        disk = wait_disk(bench.guest, mark)
    check_read(bench.guest, disk, stick.image)
    expect(client.running(), 'the client ended')


@scenario('the stick is unplugged in mid-read', each=CLIENTS)
def unplug_reading(test, program):
    bench = Bench(test)
    stick = bench.stick(size=64 << 20)
    client = bench.connect(program, stick)
    reading = begin_long_read(bench.guest, wait_disk(bench.guest))
    mark = bench.guest.console.mark()
    client.gadgets.unplug(0)
    bench.guest.console.wait(UNPLUGGED, SEE_SECONDS, mark)
    check_cut_short(reading, stick.image)


@scenario('the client is killed in mid-read', seconds=120, each=CLIENTS)
def kill_client(test, program):
    bench = Bench(test)
    stick = bench.stick(size=64 << 20)
    before = idle_descriptors(test, bench.daemon)
    client = bench.connect(program, stick)
    reading = begin_long_read(bench.guest, wait_disk(bench.guest))
    sessions = bench.daemon.sessions()
    equal(len(sessions), 1, 'number of sessions')
    mark = bench.guest.console.mark()
    client.kill()
    bench.guest.console.wait(UNPLUGGED, SEE_SECONDS, mark)
    check_cut_short(reading, stick.image)
    bench.daemon.wait_session_ends(sessions[0], timeout=10)
    bench.daemon.wait_descriptors(before)
    # The port is free for the next one.
    bench.connect(program, stick, name='next')
    check_read(bench.guest, wait_disk(bench.guest, mark), stick.image, 120)


@scenario('QEMU is killed and restarted and has the stick again', seconds=120, each=CLIENTS)
def restart_qemu(test, program):
    bench = Bench(test)
    stick = bench.stick()
    client = bench.connect(program, stick)
    begin_long_read(bench.guest, wait_disk(bench.guest))
    bench.guest.kill()
    bench.guest.start()
    check_read(bench.guest, wait_disk(bench.guest), stick.image)
    expect(client.running(), 'the client ended')


@scenario('two clients at once', seconds=120, each=CLIENTS)
def two_clients(test, program):
    bench = Bench(test, ports=2)
    sticks, disks = [], []
    for name in ('first', 'second'):
        mark = bench.guest.console.mark()
        sticks.append(bench.stick(name + '.img'))
        bench.connect(program, sticks[-1], name=name)
        disks.append(wait_disk(bench.guest, mark))
    equal(len(bench.daemon.sessions()), 2, 'number of sessions')
    readings = [bench.guest.begin(f'sha256sum {disk}', 60) for disk in disks]
    for reading, disk, stick in zip(readings, disks, sticks):
        equal(reading.wait()[0], 0, 'status of the reading')
        check_read(bench.guest, disk, stick.image)


@scenario('a device that finds no free port waits, and gets it later', seconds=120, each=CLIENTS)
def wait_for_port(test, program):
    bench = Bench(test)
    first, second = bench.stick('first.img'), bench.stick('second.img')
    holder = bench.connect(program, first, name='holder')
    disk = wait_disk(bench.guest)
    mark = bench.guest.console.mark()
    bench.connect(program, second, name='waiting')
    bench.daemon.errors.wait(r'(?i)no free port|wait', 20)
    check_read(bench.guest, disk, first.image)
    holder.gadgets.unplug(0)
    bench.guest.console.wait(UNPLUGGED, SEE_SECONDS, mark)
    check_read(bench.guest, wait_disk(bench.guest, mark), second.image)


@scenario('a SuperSpeed stick is a high-speed one at a USB 2 port', seconds=120)
def super_speed_at_usb_2(test):
    bench = Bench(test, usb2=True)
    stick = bench.stick(speed='super')
    bench.connect(CLIENTS[0], stick)
    disk = wait_disk(bench.guest)
    bench.guest.console.wait('new high-speed USB device', 1)
    check_read(bench.guest, disk, stick.image)
    check_write(bench.guest, disk, stick.image)


main()
