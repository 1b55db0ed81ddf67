# SPDX-License-Identifier: LGPL-2.1-or-later
"""Rows of the device table with devices that QEMU emulates."""

import base64
import hashlib
import pathlib
import random
import re
import struct
import subprocess

import fido_key
import rdp
from clientvm import Gadget
from emulated import CardReader, Emulated, Network, Phone, Preloaded, Serial, Speaker, UasDisk
from gadget import Gadgets
from process import Failure
from table import row
from tap import equal, expect

def digest(content):
    return hashlib.sha256(content).hexdigest()


@row('mass storage offering UAS', by='usb-uas', modules='ext4', device=UasDisk(), fast=True,
     machine_arguments=UasDisk.machine_arguments)
def uas(setup):
    setup.plug()
    setup.wait(r'scsi host\d+: uas')
    disk = '/dev/' + setup.wait(r'\[(sd[a-z])\] Attached SCSI disk')[1]
    expected = digest(setup.device.content)
    output = setup.guest.check(f'mkdir -p /mnt && mount {disk} /mnt && sha256sum </mnt/file && cp /mnt/file /mnt/copy && '
                               'umount /mnt', 60)
    equal(output.split()[0], expected, 'checksum of the file in the guest')
    image = setup.device.image
    subprocess.run(['/sbin/e2fsck', '-fn', image], check=True, timeout=60, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)
    copy = subprocess.run(['/sbin/debugfs', '-R', 'cat /copy', image], check=True, timeout=60,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
    equal(digest(copy), expected, 'checksum of the copy on the disk')


class Events:
    """What an input device of the guest reports from now on."""

    _EVENT = struct.Struct('<qqHHi')  # struct input_event of 64-bit Linux
    SYN, KEY, REL = range(3)

    def __init__(self, guest, node):
        # The empty line tells that the device is open: nothing that happens after it is lost.
        self._command = guest.begin(f'exec 3</dev/input/{node}; echo; exec cat <&3', 3600)
        self._command.read(1, timeout=20)

    def close(self):
        """Waits until the device has been unplugged."""
        self._command.wait(20)

    def read(self, count, decode):
        """`count` things, of which decode() makes a list from the (type, code, value) of each report."""
        found, report = [], []
        while len(found) < count:
            try:
                _, _, kind, code, value = self._EVENT.unpack(self._command.read(self._EVENT.size, timeout=20))
            except Failure as failure:
                raise Failure(f'{len(found)} of the next {count} events arrived: {failure}') from None
            if kind != self.SYN:
                report.append((kind, code, value))
            elif report:
                found += decode(report)
                report = []
        return found


def input_node(setup, kind):
    setup.wait(rf'USB HID v\S+ {kind} ')
    devices = setup.guest.check('cat /proc/bus/input/devices')
    match = re.search(rf'^N: Name="[^"]*USB {kind}"\n(?:.+\n)*?H: Handlers=.*\b(event\d+)', devices, re.MULTILINE)
    expect(match, f'the guest has no USB {kind}:\n{devices}')
    return match[1]


INPUT_EVENTS = 5000
# QEMU's input devices hold 16 events and drop what they cannot hold; so no more than these are sent before the guest
# has seen them.
INPUT_WINDOW = 14
LETTERS = ((16, 'qwertyuiop'), (30, 'asdfghjkl'), (44, 'zxcvbnm'))  # the kernel's key codes


@row('keyboard, 5000 events', by='usb-kbd', device=Emulated('0627:0001', 'usb-kbd'))
def keyboard(setup):
    setup.plug()
    codes = {letter: first + n for first, letters in LETTERS for n, letter in enumerate(letters)}
    letters = random.Random(5).choices(sorted(codes), k=INPUT_EVENTS // 2)
    strokes = [(letter, down) for letter in letters for down in (True, False)]

    def decode(report):
        return [(code, value) for kind, code, value in report if kind == Events.KEY and value != 2]  # 2: repeated

    events = Events(setup.guest, input_node(setup, 'Keyboard'))
    for start in range(0, len(strokes), INPUT_WINDOW):
        some = strokes[start:start + INPUT_WINDOW]
        setup.machine.monitor.call('input-send-event', events=[
            {'type': 'key', 'data': {'down': down, 'key': {'type': 'qcode', 'data': letter}}} for letter, down in some])
        equal(events.read(len(some), decode), [(codes[letter], int(down)) for letter, down in some],
              f'events from number {start} on')
    setup.unplug()
    events.close()


@row('mouse, 5000 events', by='usb-mouse', device=Emulated('0627:0001', 'usb-mouse'))
def mouse(setup):
    setup.plug()
    source = random.Random(6)
    # The button alternates, or QEMU would add the motions up.
    motions = [(n % 2 == 0, source.randrange(1, 128), source.randrange(-127, 0)) for n in range(INPUT_EVENTS)]
    left = 0x110

    def decode(report):
        values = {(kind, code): value for kind, code, value in report}
        return [(values.get((Events.KEY, left)), values.get((Events.REL, 0)), values.get((Events.REL, 1)))]

    events = Events(setup.guest, input_node(setup, 'Mouse'))
    for start in range(0, len(motions), INPUT_WINDOW):
        some = motions[start:start + INPUT_WINDOW]
        for down, x, y in some:
            setup.machine.monitor.call('input-send-event', events=[
                {'type': 'btn', 'data': {'down': down, 'button': 'left'}},
                {'type': 'rel', 'data': {'axis': 'x', 'value': x}}, {'type': 'rel', 'data': {'axis': 'y', 'value': y}}])
        equal(events.read(len(some), decode), [(int(down), x, y) for down, x, y in some],
              f'events from number {start} on')
    setup.unplug()
    events.close()


@row('serial port FTDI, 1 MiB echoed', by='usb-serial', modules='ftdi_sio', device=Serial(), fast=True)
def serial(setup):
    setup.plug()
    port = '/dev/' + setup.wait(r'FTDI USB Serial Device converter now attached to (ttyUSB\d+)')[1]
    size = 1 << 20
    sent = setup.guest.check(f'head -c {size} /dev/urandom >/tmp/sent && sha256sum </tmp/sent').split()[0]
    received = setup.guest.check(
        f'exec 3<>{port} && stty -F {port} raw -echo 3000000 && '
        f'{{ head -c {size} <&3 >/tmp/received & cat /tmp/sent >&3; wait; }} && sha256sum </tmp/received && '
        'rm /tmp/sent /tmp/received', timeout=200).split()[0]
    equal(setup.device.received.hexdigest(), sent, 'checksum of what the adapter sent')
    equal(received, sent, 'checksum of what came back')


FRAME = 4  # two channels of 16 bits


@row('audio out', by='usb-audio, wav', modules='snd_usb_audio', device=Speaker(), fast=True,
     machine_arguments=Speaker.machine_arguments)
def audio_out(setup):
    setup.plug()
    setup.wait(r'Product: QEMU USB Audio')
    # At any lower volume the device changes the samples.
    setup.guest.check('until [ -e /dev/snd/controlC0 ]; do sleep 0.1; done; pcm loudest /dev/snd/controlC0')
    expect_playback(setup.guest, 48000, setup.device.played)


SECONDS = 2
CHANCES = 5


def with_chances(attempt):
    """Emulated machines stand still now and then on a busy computer. What is late by more than about 100 ms is left out
    then, as it should be, or the guest's controller gives up; so they get several chances to keep time. attempt() returns
    what was lost, and raises Failure for anything else that is wrong."""
    for _ in range(CHANCES):
        if not (lost := attempt()):
            return
    raise Failure(f'in each of {CHANCES} runs something was lost; in the last: {lost}')


def play(guest, rate):
    """Plays samples, which are random, on the guest's only sound card. Returns them and what went wrong."""
    size = SECONDS * rate * FRAME
    # Silence behind them, because devices drop what they have not played at the end.
    status, output = guest.run(
        f'head -c {size} /dev/urandom >/tmp/samples && {{ cat /tmp/samples; head -c {size // 2} /dev/zero; }} | '
        f'pcm play /dev/snd/pcmC0D0p {rate} 2', timeout=60)
    return base64.b64decode(guest.check('base64 /tmp/samples; rm /tmp/samples')), output if status else ''


def losses(samples, played):
    """Which bytes of the samples were not played: a list of positions and lengths. What was played, and is not silence,
    has to be of the samples and in their order."""
    lost, at = [], 0
    for position in range(0, len(played), FRAME):
        frame = played[position:position + FRAME]
        if frame == bytes(FRAME):
            continue
        there = samples.find(frame, at)
        expect(there >= 0, f'what was played at {position} is none of the samples after {at}, {samples.find(frame)}')
        if there > at:
            lost.append((at, there - at))
        at = there + FRAME
    return lost + ([(at, len(samples) - at)] if at < len(samples) else [])


def expect_playback(guest, rate, played):
    """Has every sample arrive in what played() returns, in order."""
    def attempt():
        before = len(played())
        samples, problem = play(guest, rate)
        return problem or losses(samples, played()[before:])[:10]

    with_chances(attempt)


def expect_capture(guest, rate):
    """Records frames, which are numbered, none of them twice and none missing."""
    def attempt():
        frames = SECONDS * rate
        data = base64.b64decode(guest.check(f'pcm record /dev/snd/pcmC0D0c {rate} 2 {frames} | base64', timeout=60))
        numbers = struct.unpack(f'<{len(data) // FRAME}I', data)
        equal(len(numbers), frames, f'frames recorded at {rate} Hz')
        breaks = [(one, other) for one, other in zip(numbers, numbers[1:]) if other != one + 1]
        expect(all(one < other for one, other in breaks), f'frames that were recorded before the one before: {breaks[:10]}')
        return breaks[:10]

    with_chances(attempt)


class SoundCard:
    """Of the preload library; see ../gadgets/README.md."""

    kind = 'audio'

    def __init__(self, usb_id, record):
        self.id = usb_id
        self.options = {'id': usb_id, 'record': record}


# QEMU's card has no microphone. The gadget's hears frames that are numbered.
@row('audio in and out, 44.1 and 48 kHz', by='preload gadget', modules='snd_usb_audio', device=Preloaded('1209:0012'),
     fast=True)
def audio_in(setup):
    recorded = setup.folder / 'played'
    gadgets = Gadgets(setup.folder / 'gadgets', SoundCard(setup.device.id, recorded))
    setup.plug()
    client = rdp.Client(setup.folder, setup.client.name, setup.daemon.port, gadgets)
    try:
        setup.wait(r'idVendor=1209, idProduct=0012')
        setup.guest.check('until [ -e /dev/snd/pcmC0D0c ]; do sleep 0.1; done')
        for rate in 44100, 48000:
            expect_capture(setup.guest, rate)
            expect_playback(setup.guest, rate, recorded.read_bytes)
    finally:
        client.close()


def bulk_message(kind, sequence, payload):
    """A message to a card reader (CCID 1.1, 6.1), whose three last bytes are 0 where one block holds everything."""
    return struct.pack('<BIBB3x', kind, len(payload), 0, sequence) + payload


def data_block(line, sequence):
    """What a card reader's answer holds (CCID 1.1, 6.2.1)."""
    answer = bytes.fromhex(line)
    expect(len(answer) >= 10, f'the reader answered {line!r}')
    kind, length, _, repeated, status, error = struct.unpack_from('<BIBBBB', answer)
    expect((kind, repeated, status & 0xc0) == (0x80, sequence, 0), f'the reader answered {line}, error {error}')
    equal(length, len(answer) - 10, 'length in the answer of the reader')
    return answer[10:]


@row('smart card reader', by='usb-ccid', device=CardReader(), fast=True)
def smart_card(setup):
    setup.plug()
    setup.wait(r'Product: QEMU USB CCID')
    apdu = bytes.fromhex('00a404000e') + b'1PAY.SYS.DDF01' + b'\0'
    power_on, exchange = bulk_message(0x62, 1, b''), bulk_message(0x6f, 2, apdu)
    lines = setup.guest.check(f'usb-bulk {setup.device.id} 0 out:3:{power_on.hex()} in:82 '
                              f'out:3:{exchange.hex()} in:82').split()
    equal(data_block(lines[0], 1), setup.device.ATR, 'ATR')
    equal(data_block(lines[1], 2), setup.device.answer(apdu), 'answer of the card')


def mtp_command(operation, transaction, *parameters):
    """A command container of MTP 1.1 (appendix H)."""
    return struct.pack(f'<IHHI{len(parameters)}I', 12 + 4 * len(parameters), 1, operation, transaction, *parameters).hex()


def mtp_success(line):
    length, kind, code = struct.unpack_from('<IHH', bytes.fromhex(line))
    equal((length, kind, hex(code)), (len(line) // 2, 3, '0x2001'), 'container of the response')


@row('MTP', by='usb-mtp', device=Phone(), fast=True)
def mtp(setup):
    setup.plug()
    setup.wait(r'Product: QEMU filesharing')
    tool = f'usb-bulk {setup.device.id} 0'
    open_session, handles = mtp_command(0x1002, 0, 1), mtp_command(0x1007, 1, 0x00010001, 0, 0xffffffff)
    lines = setup.guest.check(f'{tool} out:2:{open_session} in:81 out:2:{handles} in:81 in:81').split()
    mtp_success(lines[0])
    mtp_success(lines[2])
    count, handle = struct.unpack_from('<II', bytes.fromhex(lines[1]), 12)
    equal(count, 1, 'number of files on the device')
    get_object = mtp_command(0x1009, 2, handle)
    mtp_success(setup.guest.check(f'{tool} out:2:{get_object} in:81:/tmp/object in:81', 60).strip())
    size, checksum = setup.guest.check('wc -c </tmp/object; tail -c +13 /tmp/object | sha256sum; rm /tmp/object').split()[:2]
    equal((int(size), checksum), (12 + len(setup.device.content), digest(setup.device.content)),
          'size and checksum of the file')


# Debian's QEMU has no u2f-emulated.
@row('FIDO key', by='f_hid, fido_key.py', fast=True,
     device=Gadget('1209:0010', {'hid.0': {'protocol': '0', 'subclass': '0', 'report_length': str(fido_key.REPORT),
                                           'report_desc': fido_key.REPORT_DESCRIPTOR}}, modules='usb_f_hid'))
def fido(setup):
    setup.plug()
    setup.machine.put('/run/root/tmp/fido_key.py', pathlib.Path(fido_key.__file__).read_bytes())
    key = setup.machine.begin(setup.machine.inside('python3', '/tmp/fido_key.py', '/dev/hidg0') + ' 2>/dev/console', 120)
    equal(key.read(6, 60), b'ready\n', 'what the key says')
    node = '/dev/' + setup.wait(r'(hidraw\d+): USB HID')[1]
    # The tools of libfido2 check what the key signs.
    register = '\n'.join((_random_base64(), 'example.org', 'user', _random_base64()))
    credential, public_key = setup.guest.check(
        f'echo "{register}" | /bin/fido2-cred -M -u {node} | /bin/fido2-cred -V', 60).split('\n', 1)
    expect('BEGIN PUBLIC KEY' in public_key, f'the key registered as {public_key!r}')
    authenticate = '\n'.join((_random_base64(), 'example.org', credential))
    setup.guest.check(f'echo "{public_key}" >/tmp/key && set -o pipefail && '
                      f'echo "{authenticate}" | /bin/fido2-assert -G -u -p {node} | /bin/fido2-assert -V -p /tmp/key', 60)
    setup.machine.check('kill $(pidof python3)')
    key.wait(20)


def _random_base64():
    return base64.b64encode(random.randbytes(32)).decode()


@row('network', by='usb-net', modules='cdc_ether', device=Network(), fast=True)
def network(setup):
    setup.plug()
    name = setup.wait(r'cdc_ether \S+ (\w+): register')[1]
    setup.guest.check(f'ip link set {name} up && ip addr add {setup.device.ADDRESS} dev {name}')
    output = setup.guest.check(f'wget -q -O - {setup.device.url} | sha256sum', 60)
    equal(output.split()[0], digest(setup.device.content), 'checksum of what was fetched')
    output = setup.guest.check('head -c 300000 /dev/urandom | base64 -w0 >/tmp/post && sha256sum </tmp/post && '
                               f'wget -q -O - --post-file /tmp/post {setup.device.url}; rm /tmp/post', 60).split()
    equal(output[-1], output[0], 'checksum of what was sent')
