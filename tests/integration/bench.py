# SPDX-License-Identifier: LGPL-2.1-or-later
"""The usual arrangement of a scenario: a port of a VM, rdpusbd, a guest; a client joins with its devices."""

import hashlib
import pathlib
import random
import socket
import sys

import rdp
from daemon import Daemon
from gadget import Gadgets, Stick
from tap import equal, expect

sys.path.append(str(pathlib.Path(__file__).resolve().parent.parent / 'vm'))

from guest import Guest  # noqa: E402

STICK_BYTES = 8 << 20
ATTACHED = r'\[(sd[a-z])\] Attached SCSI (removable )?disk'
UNPLUGGED = r'USB disconnect'
SEE_SECONDS = 30  # until a guest has configured a device; 3 s on an idle machine


def make_image(path, size=STICK_BYTES):
    """An image in which no two sectors are equal; every image differs from every other."""
    path.write_bytes(random.Random(str(path)).randbytes(size))
    return path


def free_port():
    with socket.create_server(('127.0.0.1', 0)) as server:
        return server.getsockname()[1]


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


class Bench:
    """A guest with `ports` redirection ports that rdpusbd connects to, on unix sockets; with `usb2`, at a controller that
    knows no USB 3. `refuses` is a rule of QEMU's filter: CLASS:VENDOR:PRODUCT:VERSION, -1 for any."""

    def __init__(self, test, ports=1, usb2=False, refuses=None):
        self.test = test
        sockets = [test.folder / f'port{n}' for n in range(ports)]
        redirections = [f'path={path},server=on,wait=off' for path in sockets]
        bus = 'ehci.0' if usb2 else 'xhci.0'
        filtered = f',filter={refuses}:0|-1:-1:-1:-1:1' if refuses else ''
        devices = ['-device', 'usb-ehci,id=ehci'] if usb2 else []
        own = usb2 or refuses
        for n, options in enumerate(redirections if own else []):
            devices += ['-chardev', f'socket,id=own{n},{options}', '-device', f'usb-redir,chardev=own{n},bus={bus}{filtered}']
        self.guest = test.keep(Guest([] if own else redirections, devices)).start()
        self.daemon = test.keep(Daemon(test.folder, [f'unix:{path}' for path in sockets])).start()

    def stick(self, name='stick.img', size=STICK_BYTES, **options):
        return Stick(make_image(self.test.folder / name, size), **options)

    def connect(self, program, *devices, name='client', **options):
        """A client with these devices. Its gadgets are its attribute `gadgets`."""
        gadgets = Gadgets(self.test.folder / name, *devices)
        client = rdp.Client(self.test.folder, program, self.daemon.port, gadgets, name=name, **options)
        client.gadgets = gadgets
        return self.test.keep(client)


def idle_descriptors(test, daemon):
    """The broker's descriptors when it has nothing to do, after one refused client: GLib keeps some for children."""
    client = test.keep(rdp.Client(test.folder, rdp.CLIENTS[0], daemon.port, password='wrong', name='refused'))
    client.wait(20)
    daemon.errors.wait(r' ended: session process', 10)
    return daemon.settled_descriptors()


def wait_disk(guest, since=0):
    """Waits for a stick; returns its device file."""
    return '/dev/' + guest.console.wait(ATTACHED, SEE_SECONDS, since)[1]


def check_read(guest, disk, image, seconds=60):
    """Every byte of the stick, read past the guest's caches."""
    output = guest.check(f'echo 3 >/proc/sys/vm/drop_caches; blockdev --getsize64 {disk}; sha256sum {disk}', seconds)
    size, checksum = output.split()[:2]
    equal(int(size), image.stat().st_size, 'size of the stick in the guest')
    equal(checksum, digest(image), 'checksum of the stick in the guest')


def check_write(guest, disk, image, seconds=60):
    """Writes pieces of odd places and lengths; the image changes there and nowhere else."""
    expected = bytearray(image.read_bytes())
    commands = ['set -e']
    for sector, count in ((0, 1), (3, 240), (1000, 241), (len(expected) // 512 - 1, 1)):
        value = 'abcdefgh'[count % 8]
        commands.append(f"head -c {count * 512} /dev/zero | tr '\\0' {value} | "
                        f'dd of={disk} bs=512 seek={sector} iflag=fullblock conv=fsync,notrunc 2>/dev/null')
        expected[sector * 512:(sector + count) * 512] = value.encode() * (count * 512)
    guest.check('; '.join(commands) + '; sync', seconds)
    equal(digest(image), hashlib.sha256(expected).hexdigest(), 'checksum of the image after writing')


def begin_long_read(guest, disk):
    """Starts to read the stick; returns the command when the reading goes on. It prints how much was read then."""
    command = guest.begin(f'exec 3<{disk}; head -c 65536 <&3 >/dev/null; echo; cat <&3 | wc -c', 90)
    command.read(1, 30)
    return command


def check_cut_short(reading, image):
    """To a reader, a stick that goes away in Linux is an error or just the end."""
    output = reading.wait()[1]
    rest = image.stat().st_size - 65536
    expect(int(output.split()[-1]) < rest, 'the guest read all of a stick that was gone')
