# SPDX-License-Identifier: LGPL-2.1-or-later
"""Rows of the device table with the kernel's own gadgets."""

import random
import struct

from bench import ATTACHED
from clientvm import Gadget
from table import row
from tap import equal, expect

DISK_MIB = 8
MIB = 1 << 20


def disk(**options):
    return {'mass_storage.0': {'lun.0/removable': '1', 'lun.0/file': '/run/disk', **options}}


MAKE_DISK = f'head -c {DISK_MIB}m /dev/urandom >/run/disk'


@row('mass storage, ext4, fsck', by='f_mass_storage', modules='ext4', fast=True,
     device=Gadget('1209:0001', disk(), modules='usb_f_mass_storage', prepare=MAKE_DISK))
def mass_storage(setup):
    setup.plug()
    disk = '/dev/' + setup.wait(ATTACHED)[1]
    _equal_disks(setup, disk, 'as it came')
    _write_disk(setup, disk, '2m')

    setup.guest.check(f'/bin/mke2fs -q -t ext4 {disk} && mkdir -p /mnt && mount {disk} /mnt')
    writing = setup.guest.begin(
        'n=0; while head -c 100000 /dev/urandom >/tmp/piece && dd if=/tmp/piece of=/mnt/$n conv=fsync 2>/dev/null; do '
        'sha256sum </tmp/piece >/tmp/sum.$n; echo -n .; n=$((n + 1)); done', 60)
    equal(writing.read(5, 30), b'.....', 'files that are safely on the disk')  # and the next is being written
    setup.unplug()
    written = 5 + writing.wait()[1].count('.')
    setup.guest.check('umount -l /mnt')

    setup.plug()
    disk = '/dev/' + setup.wait(ATTACHED)[1]
    status, output = setup.guest.run(f'/bin/e2fsck -p {disk}')
    expect(status in (0, 1), f'e2fsck -p ended with {status}: {output}')  # 1: the journal was replayed
    setup.guest.check(f'/bin/e2fsck -fn {disk} && mount {disk} /mnt')
    output = setup.guest.check(f'n=0; while [ $n -lt {written} ]; do sha256sum </mnt/$n | cmp - /tmp/sum.$n || exit 1; '
                               'n=$((n + 1)); done; umount /mnt; rm -f /tmp/sum.* /tmp/piece; echo $n')
    equal(int(output), written, 'files of which every byte survived')


def _write_disk(setup, disk, size):
    """Writes from an odd sector on, and compares the whole disk."""
    setup.guest.check(f'head -c {size} /dev/urandom | '
                      f'dd of={disk} bs=65024 seek=1 iflag=fullblock conv=fsync,notrunc', 60)
    _equal_disks(setup, disk, 'after writing')


def _equal_disks(setup, disk, when):
    there = setup.guest.check(f'echo 3 >/proc/sys/vm/drop_caches; sha256sum <{disk}', 60)
    here = setup.machine.check('sha256sum </run/disk', 60)
    equal(there, here, f'checksum of the disk {when}')


@row('mass storage, super speed', by='f_mass_storage',
     device=Gadget('1209:0002', disk(), modules='usb_f_mass_storage', prepare=MAKE_DISK, speed='super-speed'))
def super_speed(setup):
    setup.plug()
    disk = '/dev/' + setup.wait(ATTACHED)[1]
    _equal_disks(setup, disk, 'as it came')
    _write_disk(setup, disk, '4m')


@row('mass storage, full speed', by='f_mass_storage',
     device=Gadget('1209:0003', disk(), modules='usb_f_mass_storage', prepare='head -c 512k /dev/urandom >/run/disk',
                   speed='full-speed'))
def full_speed(setup):
    setup.plug()
    disk = '/dev/' + setup.wait(ATTACHED)[1]
    _equal_disks(setup, disk, 'as it came')
    _write_disk(setup, disk, '256k')


# Report descriptors in the form of the HID specification's appendix E.6 and E.10.
KEYBOARD_DESCRIPTOR = bytes.fromhex(
    '05010906a101050719e029e71500250175019508810295017508810395057501050819012905910295017503910395067508150025'
    '650507190029658100c0')
MOUSE_DESCRIPTOR = bytes.fromhex(
    '05010902a1010901a100050919012903150025019503750181029501750581030501093009310938'
    '1581257f750895038106c0c0')
EVENT = struct.Struct('<qqHHi')
EV_SYN, EV_KEY, EV_REL, EV_LED = 0, 1, 2, 17
SYN_DROPPED = 3
REL_WHEEL = 8
LEFT_BUTTON = 0x110
# The letters a to z, from usage 4 on, as Linux numbers their keys.
LETTERS = (30, 48, 46, 32, 18, 33, 34, 35, 23, 36, 37, 38, 50, 49, 24, 25, 16, 19, 31, 20, 22, 47, 17, 45, 21, 44)


def _typing(events):
    """Keyboard reports that press six keys and release the six before; and the changes that each report is."""
    numbers = random.Random(events)
    reports, changes, held = [], [], []
    while 12 * len(reports) < events:
        pressed = numbers.sample([letter for letter in range(26) if letter not in held], 6)
        reports.append(bytes([0, 0, *(letter + 4 for letter in pressed)]))
        changes.append({(EV_KEY, LETTERS[letter], 1) for letter in pressed} |
                       {(EV_KEY, LETTERS[letter], 0) for letter in held})
        held = pressed
    reports.append(bytes(8))
    changes.append({(EV_KEY, LETTERS[letter], 0) for letter in held})
    return reports, changes


def _pointing(events):
    """Mouse reports that move in all three directions and change a button."""
    numbers = random.Random(events)
    reports, changes, buttons = [], [], 0
    while 4 * len(reports) < events:
        steps = [numbers.choice((-1, 1)) * numbers.randrange(1, 128) for _ in range(3)]
        button = numbers.randrange(3)
        buttons ^= 1 << button
        reports.append(struct.pack('<B3b', buttons, *steps))
        changes.append({(EV_REL, code, step) for code, step in zip((0, 1, REL_WHEEL), steps)} |
                       {(EV_KEY, LEFT_BUTTON + button, buttons >> button & 1)})
    return reports, changes


def _open(setup, interface, kind):
    """Starts to read `hidraw*` or `input/input*/event*` of an interface; returns the command and the device's name."""
    pattern = f'/sys/bus/usb/devices/*:1.{interface}/*/{kind}'
    name = setup.guest.check(f'until ls -d {pattern}; do sleep 0.1; done 2>/dev/null').strip().rpartition('/')[2]
    device = name if name.startswith('hidraw') else f'input/{name}'
    # The kernel keeps little for a reader that is late. This one has priority, and never waits for us.
    command = setup.guest.begin(f'exec 3</dev/{device}; >/tmp/{name}; /bin/chrt -f 50 cat <&3 >/tmp/{name} & '
                                f'echo; exec tail -c +1 -f /tmp/{name}', 300)
    command.read(1, 10)
    return command, device


def _expect_reports(command, reports, what):
    for number, report in enumerate(reports):
        equal(command.read(len(report), 60).hex(), report.hex(), f'report {number} of the {what}')


def _close(setup, *commands):
    setup.guest.check('kill $(pidof cat tail); rm -f /tmp/event* /tmp/hidraw*')
    for command in commands:
        command.wait()


def _expect_changes(command, expected, what):
    """Reads as many changes as each report has: the order within one is the kernel's affair."""
    for number, changes in enumerate(expected):
        found = set()
        while len(found) < len(changes):
            _, _, kind, code, value = EVENT.unpack(command.read(EVENT.size, 30))
            expect((kind, code) != (EV_SYN, SYN_DROPPED), 'events were dropped in the guest')
            if (kind == EV_KEY and value < 2) or (kind == EV_REL and code <= REL_WHEEL):
                found.add((kind, code, value))
        equal(found, changes, f'report {number} of the {what}')


@row('keyboard and mouse, 5000 events', by='f_hid', fast=True,
     device=Gadget('1209:0004', {
         'hid.0': {'protocol': '1', 'subclass': '1', 'report_length': '8', 'report_desc': KEYBOARD_DESCRIPTOR},
         'hid.1': {'protocol': '2', 'subclass': '1', 'report_length': '4', 'report_desc': MOUSE_DESCRIPTOR}},
                   modules='usb_f_hid'))
def keyboard_and_mouse(setup):
    setup.plug()
    # Every report, in order. The buffer for input events holds less than three reports of so many keys.
    typing, pointing = _typing(3000)[0], _pointing(2000)[0]
    typed, pointed = _open(setup, 0, 'hidraw/hidraw*')[0], _open(setup, 1, 'hidraw/hidraw*')[0]
    setup.machine.put('/tmp/keyboard', b''.join(typing))
    setup.machine.put('/tmp/mouse', b''.join(pointing))
    writing = [setup.machine.begin('dd bs=8 if=/tmp/keyboard of=/dev/hidg0 2>/dev/null', 120),
               setup.machine.begin('dd bs=4 if=/tmp/mouse of=/dev/hidg1 2>/dev/null', 120)]
    _expect_reports(typed, typing, 'keyboard')
    _expect_reports(pointed, pointing, 'mouse')
    for command in writing:
        equal(command.wait()[0], 0, 'status of the writer')
    _close(setup, typed, pointed)

    # What the kernel makes of some.
    (typed, keyboard), (pointed, _) = _open(setup, 0, 'input/input*/event*'), _open(setup, 1, 'input/input*/event*')
    for command, (reports, changes), gadget, what in ((typed, _typing(6), 'hidg0', 'keyboard'),
                                                      (pointed, _pointing(16), 'hidg1', 'mouse')):
        setup.machine.put('/tmp/reports', b''.join(reports))
        setup.machine.check(f'dd bs={len(reports[0])} if=/tmp/reports of=/dev/{gadget} 2>/dev/null')
        _expect_changes(command, changes, what)

    lights = setup.machine.begin('exec cat /dev/hidg0', 30)
    setup.guest.put('/tmp/light', EVENT.pack(0, 0, EV_LED, 1, 1))
    setup.guest.check(f'cat /tmp/light >/dev/{keyboard}')
    while lights.read(1, 20) != b'\2':  # caps lock; the reports before are the guest's own
        pass
    setup.machine.check('kill $(pidof cat)')
    lights.wait()
    _close(setup, typed, pointed)


@row('composite disk, serial, keyboard', by='three functions', modules='cdc_acm', device=Gadget(
    '1209:000d', disk() | {'acm.0': {}, 'hid.0': {
        'protocol': '1', 'subclass': '1', 'report_length': '8', 'report_desc': KEYBOARD_DESCRIPTOR}},
    modules='usb_f_mass_storage usb_f_acm usb_f_hid', prepare=MAKE_DISK))
def composite(setup):
    setup.plug()
    disk = '/dev/' + setup.wait(ATTACHED)[1]
    setup.wait(r'ttyACM0: USB ACM device')
    typed, _ = _open(setup, 3, 'hidraw/hidraw*')
    typing, _ = _typing(500)
    setup.machine.put('/tmp/keyboard', b''.join(typing))
    writing = setup.machine.begin('dd bs=8 if=/tmp/keyboard of=/dev/hidg0 2>/dev/null', 60)
    reading = setup.guest.begin(f'sha256sum <{disk}', 60)
    _echo(setup, 'ttyACM0', 65536)
    _expect_reports(typed, typing, 'keyboard')
    equal(writing.wait()[0], 0, 'status of the writer')
    equal(reading.wait()[1], setup.machine.check('sha256sum </run/disk', 60), 'checksum of the disk')
    _close(setup, typed)


@row('serial port ACM, 1 MiB each way', by='f_acm', modules='cdc_acm', fast=True,
     device=Gadget('1209:0005', {'acm.0': {}}, modules='usb_f_acm'))
def serial(setup):
    setup.plug()
    setup.wait(r'ttyACM0: USB ACM device')
    _echo(setup, 'ttyACM0')


def _echo(setup, tty, size=MIB):
    """1 MiB goes to the gadget, which sends it back."""
    setup.machine.check('stty -F /dev/ttyGS0 raw -echo')
    echo = setup.machine.begin('exec 3<>/dev/ttyGS0; echo; exec cat <&3 >&3', 120)
    echo.read(1, 10)
    output = setup.guest.check(
        f'stty -F /dev/{tty} raw -echo; exec 3<>/dev/{tty}; head -c {size} /dev/urandom >/tmp/sent; '
        f'head -c {size} <&3 >/tmp/received & cat /tmp/sent >&3; wait; cd /tmp; wc -c <received; '
        'sha256sum <sent; sha256sum <received; rm sent received', 60)
    length, sent, received = output.split('\n')[:3]
    equal((int(length), received), (size, sent), 'bytes that came back, and their checksum')
    setup.machine.check("kill $(pidof cat)")
    echo.wait()


@row('network NCM, 1 MiB each way', by='f_ncm', modules='cdc_ncm', fast=True,
     device=Gadget('1209:0006', {'ncm.0': {}}, modules='usb_f_ncm'))
def ncm(setup):
    _network(setup)


@row('network ECM, 1 MiB each way', by='f_ecm', modules='cdc_ether',
     device=Gadget('1209:0007', {'ecm.0': {}}, modules='usb_f_ecm'))
def ecm(setup):
    _network(setup)


@row('network RNDIS, 1 MiB each way', by='f_rndis', modules='rndis_host',
     device=Gadget('1209:0008', {'rndis.0': {}}, modules='usb_f_rndis'))
def rndis(setup):
    _network(setup)


def _network(setup):
    setup.plug()
    name = setup.wait(r' (\w+): register \'')[1]
    setup.machine.check('ip addr add 192.168.77.1/24 dev usb0; ip link set usb0 up')
    setup.guest.check(f'ip addr add 192.168.77.2/24 dev {name}; ip link set {name} up')
    setup.guest.check('until ping -c 1 -W 1 192.168.77.1; do :; done')  # the link takes its time to be up
    for sender, receiver, address in ((setup.guest, setup.machine, '192.168.77.1'),
                                      (setup.machine, setup.guest, '192.168.77.2')):
        receiving = receiver.begin('nc -l -p 5000 -e sha256sum', 60)  # which answers with the checksum
        receiver.check('until grep -q ":1388 .* 0A " /proc/net/tcp /proc/net/tcp6; do sleep 0.1; done', 10)
        there, here = sender.check(f'head -c {MIB} /dev/urandom >/tmp/sent; nc {address} 5000 </tmp/sent; '
                                   'sha256sum </tmp/sent; rm /tmp/sent', 60).splitlines()
        equal(there, here, f'checksum of what came to {address}')
        receiving.wait()


def _midi_messages(count):
    """Complete messages of two and three bytes, and a system-exclusive one."""
    numbers = random.Random(count)
    data = b''
    for _ in range(count):
        kind = numbers.choice((0x80, 0x90, 0xa0, 0xb0, 0xc0, 0xd0, 0xe0))
        data += bytes([kind | numbers.randrange(16)]) + numbers.randbytes(1 if kind in (0xc0, 0xd0) else 2).translate(
            bytes(n & 0x7f for n in range(256)))
    return data + b'\xf0' + bytes(numbers.randrange(128) for _ in range(500)) + b'\xf7'


@row('MIDI, 3 KB each way', by='f_midi', modules='snd_usb_audio', fast=True,
     device=Gadget('1209:0009', {'midi.0': {}}, modules='usb_f_midi'))
def midi(setup):
    setup.plug()
    setup.guest.check('until [ -c /dev/snd/midiC0D0 ]; do sleep 0.1; done', 30)
    setup.machine.check('until [ -c /dev/snd/midiC0D0 ]; do sleep 0.1; done', 30)
    for sender, receiver in ((setup.guest, setup.machine), (setup.machine, setup.guest)):
        data = _midi_messages(1000)
        sender.put('/tmp/midi', data)
        receiving = receiver.begin('exec 3</dev/snd/midiC0D0; echo; exec cat <&3', 60)
        receiving.read(1, 10)
        sender.check('cat /tmp/midi >/dev/snd/midiC0D0')
        equal(receiving.read(len(data), 30), data, 'MIDI messages')
        receiver.check('kill $(pidof cat)')
        receiving.wait()


PRINTER = 'MFG:rdpusb;MDL:gadget;CLS:PRINTER;..'  # f_printer counts two bytes too few


@row('printer, 1 MiB, and its answer', by='f_printer', modules='usblp', fast=True,
     device=Gadget('1209:000a', {'printer.0': {'pnp_string': PRINTER}}, modules='usb_f_printer'))
def printer(setup):
    setup.plug()
    setup.wait(r'usblp0: USB Bidirectional printer')
    equal(setup.guest.check('cat /sys/class/usbmisc/lp0/device/ieee1284_id').strip(), PRINTER[:-2], 'IEEE 1284 id')
    printing = setup.machine.begin(f'head -c {MIB} </dev/g_printer0 | sha256sum', 60)
    sent = setup.guest.check(f'head -c {MIB} /dev/urandom >/tmp/page; cat /tmp/page >/dev/usb/lp0; '
                             'sha256sum </tmp/page; rm /tmp/page', 60)
    equal(printing.wait()[1], sent, 'checksum of what was printed')
    status = b'@PJL USTATUS DEVICE\r\nCODE=10001\r\n'
    setup.machine.put('/tmp/status', status)
    reading = setup.guest.begin('exec cat /dev/usb/lp0', 30)
    setup.machine.check('cat /tmp/status >/dev/g_printer0')
    equal(reading.read(len(status), 20), status, 'answer of the printer')
    setup.guest.check('kill $(pidof cat)')
    reading.wait()


def _zero(usb_id):
    """A configuration for each function, as gadget zero has. Its transfers are as large as the helper's largest."""
    return Gadget(usb_id, {'SourceSink.0': {'pattern': '1', 'bulk_buflen': '65536', 'bulk_qlen': '4'}},
                  {'Loopback.0': {'bulk_buflen': '65536', 'qlen': '4'}}, modules='usb_f_ss_lb')


@row('gadget zero, sizes up to 4 KiB', by='f_ss_lb', fast=True, device=_zero('1209:000b'))
def gadget_zero_small(setup):
    _gadget_zero(setup, 4096)


@row('gadget zero, sizes up to 64 KiB', by='f_ss_lb', device=_zero('1209:000c'))
def gadget_zero(setup):
    _gadget_zero(setup, 65536)


def _gadget_zero(setup, limit):
    setup.plug()
    usb_id = setup.device.id
    name = setup.wait(rf'usb (\S+): New USB device found, idVendor=1209, idProduct={usb_id[-4:]}')[1]
    # 0, 1, and around each end of a packet three sizes, but the one past the limit.
    sizes = f'{1 + 3 * limit // 512} sizes\n'
    equal(setup.guest.check(f'gadget-zero {usb_id} source-sink {limit}', 120), sizes, 'bulk, source and sink')
    equal(setup.guest.check(f'gadget-zero {usb_id} control', 30), '12 sizes\n', 'control')
    setup.guest.check(f'echo 2 >/sys/bus/usb/devices/{name}/bConfigurationValue')
    equal(setup.guest.check(f'gadget-zero {usb_id} loopback {limit}', 120), sizes, 'bulk, loopback')
