#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The test guest itself, with QEMU's own emulated devices: what the other scenarios rely on."""

import hashlib
import random

from bench import Guest
from tap import Failure, equal, expect, main, scenario


def image_in(test, size=2 << 20):
    image = test.folder / 'stick.img'
    image.write_bytes(random.Random(1).randbytes(size))
    return image


@scenario('a stick of QEMU is read and written')
def stick(test):
    image = image_in(test)
    content = image.read_bytes()
    guest = test.keep(Guest(devices=['-drive', f'if=none,id=stick,format=raw,file={image}',
                                     '-device', 'usb-storage,drive=stick,bus=xhci.0,removable=on'])).start()
    guest.console.wait(r'\[sda\] Attached SCSI removable disk', timeout=20)
    equal(guest.check('sha256sum /dev/sda').split()[0], hashlib.sha256(content).hexdigest(), 'checksum')
    guest.check('head -c 4096 /dev/zero | dd of=/dev/sda bs=4096 seek=3 conv=fsync')
    equal(image.read_bytes(), content[:12288] + bytes(4096) + content[16384:], 'image')
    expect('QEMU USB' in guest.monitor.usb(), 'the monitor does not list the stick')
    equal(guest.usb(), ['46f4:0001'], 'devices')


@scenario('a stick of QEMU is unplugged and seen again')
def replug(test):
    image = image_in(test)
    guest = test.keep(Guest(devices=['-blockdev', f'driver=file,node-name=stick,filename={image}'])).start()
    for _ in range(2):
        mark = guest.console.mark()
        guest.monitor.call('device_add', driver='usb-storage', id='stick', drive='stick', bus='xhci.0')
        guest.console.wait(r'Attached SCSI disk', timeout=20, since=mark)
        guest.monitor.call('device_del', id='stick')
        guest.console.wait(r'USB disconnect', timeout=20, since=mark)
        guest.monitor.wait_event('DEVICE_DELETED')


@scenario('a keyboard of QEMU is read')
def keyboard(test):
    guest = test.keep(Guest(devices=['-device', 'usb-kbd,bus=xhci.0'])).start()
    keys = guest.keyboard()
    guest.monitor.type('hello guest 42\n')
    equal(keys.read(15, timeout=20), 'hello guest 42\n', 'text')


@scenario('a command that hangs, fails or writes bytes is told apart')
def commands(test):
    guest = test.keep(Guest()).start()
    equal(guest.run('exit 3'), (3, ''), 'status')
    equal(guest.run('printf "no newline"; echo err >&2'), (0, 'no newlineerr\n'), 'output')
    try:
        guest.run('sleep 30', timeout=1)
        raise AssertionError('a command without end returned')
    except Failure as failure:
        expect('took longer' in str(failure), str(failure))
    equal(guest.run('echo still here'), (0, 'still here\n'), 'next command')


@scenario('a machine that was killed starts again')
def restart(test):
    guest = test.keep(Guest()).start()
    guest.kill()
    expect(not guest.running(), 'it runs')
    guest.start()
    equal(guest.check('echo again'), 'again\n', 'output')


main()
