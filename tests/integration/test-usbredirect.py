#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The emulated devices in the guest without rdpusb: through usbredir's own host program. What fails here as well is not
rdpusb's fault."""

from bench import Guest, SEE_SECONDS, UNPLUGGED, check_read, check_write, free_port, make_image, wait_disk
from gadget import Gadgets, Keyboard, Stick
from tap import equal, main, scenario


def redirect(test, *devices):
    """A guest that has these devices, and their gadgets, one program for each."""
    ports = [free_port() for _ in devices]
    guest = test.keep(Guest([f'host=127.0.0.1,port={port},server=on,wait=off' for port in ports])).start()
    gadgets = []
    for number, (device, port) in enumerate(zip(devices, ports)):
        gadgets.append(Gadgets(test.folder / f'gadgets{number}', device))
        test.start(f'usbredirect {number}', ['usbredirect', '--device', device.id, '--to', f'127.0.0.1:{port}'],
                   env=gadgets[-1].environment)
    return guest, gadgets


@scenario('a stick is read and written')
def stick(test):
    stick = Stick(make_image(test.folder / 'stick.img'))
    guest, _ = redirect(test, stick)
    disk = wait_disk(guest)
    check_read(guest, disk, stick.image)
    check_write(guest, disk, stick.image)
    check_read(guest, disk, stick.image)


@scenario("the keyboard's text arrives")
def keyboard(test):
    text = 'The quick brown fox: 0123456789, (jumps) "over" [the] lazy_dog; ~100% & more!\n'
    guest, (gadgets,) = redirect(test, Keyboard())
    keys = guest.keyboard(SEE_SECONDS)
    gadgets.type(0, text)
    equal(keys.read(len(text), timeout=30), text, 'text')


@scenario('a stick is unplugged')
def unplug(test):
    guest, (gadgets,) = redirect(test, Stick(make_image(test.folder / 'stick.img')))
    disk = wait_disk(guest)
    mark = guest.console.mark()
    gadgets.unplug(0)
    # usbredirect does not listen for unplugging: it learns of it from the next transfer.
    guest.begin(f'echo 3 >/proc/sys/vm/drop_caches; cat {disk} >/dev/null', 60)
    guest.console.wait(UNPLUGGED, SEE_SECONDS, mark)


main()
