#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""rdpusbd --capture, read back by tshark: a stock client, gadgets, rdpusbd, and the fake guest in place of QEMU."""

import re
import stat
import subprocess

from bench import make_image
from fakeguest import Rig
from gadget import Keyboard, Stick, Vendor
from rdp import CLIENTS
from tap import equal, expect, main, scenario

KIB, MIB = 1 << 10, 1 << 20
ECONNRESET, EINPROGRESS, EPIPE = -104, -115, -32
RESTART = 'control-out 0x40 6 0 0'  # sequences begin anew

FIELDS = ('frame.number', 'frame.time_epoch', 'frame.comment', 'frame.interface_name', 'frame.interface_description',
          'usb.urb_type', 'usb.urb_id', 'usb.urb_status', 'usb.request_in', 'usb.transfer_type', 'usb.endpoint_address',
          'usb.device_address', 'usb.setup.bRequest', 'usbhid.setup.bRequest', 'usbhid.data', 'usbms.dCBWSignature',
          'usbms.dCBWTag', 'usbms.dCSWSignature', 'usbms.dCSWStatus', 'scsi_sbc.opcode', 'scsi_sbc.rdwr10.lba',
          'scsi_sbc.rdwr10.xferlen', '_ws.malformed')
SUBMIT, COMPLETE, NOTE = "'S'", "'C'", "'E'"
BULK, CONTROL = '0x03', '0x02'


def dissect(path):
    """What Wireshark sees in each frame: a dictionary of texts, "" for what a frame does not have."""
    command = ['tshark', '-n', '-r', path, '-T', 'fields', '-E', 'occurrence=f']
    for field in FIELDS:
        command += ['-e', field]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    equal(done.returncode, 0, f'exit status of tshark, which says {done.stderr}')
    return [dict(zip(FIELDS, line.split('\t'))) for line in done.stdout.splitlines()]


def having(frames, **values):
    """The frames with these values; names have __ for dots."""
    wanted = [(name.replace('__', '.'), value) for name, value in values.items()]
    return [frame for frame in frames if all(frame[name] == value for name, value in wanted)]


class Captured(Rig):
    """A Rig that captures."""

    def __init__(self, test, *devices, limit='64MiB', ports=1, **options):
        self.captures = test.folder / 'captures'
        self.captures.mkdir()
        super().__init__(test, CLIENTS[0], *devices, ports=ports,
                         options=['--capture', self.captures, '--capture-limit', limit], **options)

    def finish(self):
        """Ends the client; returns the files, which are complete then."""
        self.client.close()
        self.daemon.errors.wait(' ended: session process', 20)
        return sorted(self.captures.iterdir())


def check_sound(path):
    """What holds for every capture: nobody else can read it, time goes on, each request has one answer that Wireshark
    finds, and Wireshark has nothing to complain about. Returns the frames."""
    equal(stat.S_IMODE(path.stat().st_mode), 0o600, f'mode of {path.name}')
    frames = dissect(path)
    times = [float(frame['frame.time_epoch']) for frame in frames]
    equal(times, sorted(times), 'times')
    asked, pending = set(), {}
    for frame in frames:
        urb = frame['usb.urb_id']
        if frame['usb.urb_type'] == SUBMIT:
            expect(urb not in asked, f'frame {frame} uses its URB again')
            equal(int(frame['usb.urb_status']), EINPROGRESS, 'status of a submission')
            asked.add(urb)
            pending[urb] = frame['frame.number']
        elif frame['usb.urb_type'] == COMPLETE:
            equal(frame['usb.request_in'], pending.pop(urb, None), f'request of frame {frame}')
    equal(pending, {}, 'requests without an answer')
    equal([frame for frame in frames if frame['_ws.malformed']], [], 'malformed frames')
    return frames


def comments(frames):
    return [frame['frame.comment'] for frame in frames if frame['frame.comment']]


@scenario('a stick: Wireshark sees its commands, and every byte')
def stick(test):
    image = make_image(test.folder / 'stick.img', MIB)
    rig = Captured(test, Stick(image))
    rig.guest.do(f'read-disk {test.folder}/copy')
    path, = rig.finish()
    expect(re.fullmatch(r'\d{8}-\d{6}-port0-1234-0001-1\.pcapng', path.name), path.name)
    frames = check_sound(path)
    equal(frames[0]['frame.interface_name'], '1234:0001 Emulated stick', 'name of the interface')
    expect(str(rig.paths[0]) in frames[0]['frame.interface_description'], 'the VM is not named')

    commands = having(frames, usbms__dCBWSignature='0x43425355')
    statuses = having(frames, usbms__dCSWSignature='0x53425355')
    equal([frame['usbms.dCBWTag'] for frame in statuses], [frame['usbms.dCBWTag'] for frame in commands], 'tags')
    equal({frame['usbms.dCSWStatus'] for frame in statuses}, {'0x00'}, 'statuses')
    blocks = MIB // 512
    equal([(int(frame['scsi_sbc.rdwr10.lba']), int(frame['scsi_sbc.rdwr10.xferlen'])) for frame in commands
           if frame['scsi_sbc.opcode'] == '0x28'],
          [(lba, min(240, blocks - lba)) for lba in range(0, blocks, 240)], 'READ(10) commands')
    # Two transfers for a command, three if it has data, as all have but TEST UNIT READY.
    transfers = sum(2 if frame['scsi_sbc.opcode'] == '0x00' else 3 for frame in commands)
    for kind in SUBMIT, COMPLETE:
        equal(len(having(frames, usb__transfer_type=BULK, usb__urb_type=kind)), transfers, f'bulk frames {kind}')

    data, content = path.read_bytes(), image.read_bytes()
    for lba in range(0, blocks, 240):
        expect(content[lba * 512:(lba + 240) * 512] in data, f'the blocks from {lba} on are not in the file')


@scenario('a keyboard: Wireshark sees HID reports, and what was typed')
def keyboard(test):
    rig = Captured(test, Keyboard(text='hello'))
    rig.guest.says('"hello"', 'keyboard 5')
    path, = rig.finish()
    frames = check_sound(path)
    reports = [bytes.fromhex(frame['usbhid.data']) for frame in frames if frame['usbhid.data']]
    equal(''.join(chr(ord('a') + report[2] - 4) for report in reports if report[2]), 'hello', 'what the reports say')
    equal(len(having(frames, usbhid__setup__bRequest='0x0a')), 1, 'requests SET_IDLE')
    said = comments(frames)
    for comment in ('device: connect', 'guest: reset', 'guest: start_interrupt_receiving 0x81',
                    'device: interrupt_receiving_status 0x81: success', 'device: disconnect'):
        expect(comment in said, f'{comment!r} is not in {said}')


@scenario('stalls, cancelled requests and settings')
def statuses(test):
    rig = Captured(test, Vendor())
    guest = rig.guest
    guest.do('attach')
    guest.says('8 success; 32768 bytes', 'queue 0x01 4096 8')
    rig.gadget('stall', '01')
    guest.says('8 stall; 0 bytes', 'queue 0x01 4096 8')
    guest.do('clear-halt 0x01', 'set-alt 1 1')
    guest.says('stall', 'control-in 0xc0 2 0 0 64')
    guest.says('success', 'interrupt-out 0x04 55')
    guest.do('begin 0x81 65536', f'wait 0x81 {MIB}', 'cut 0x81')
    path, = rig.finish()
    frames = check_sound(path)
    completed = having(frames, usb__urb_type=COMPLETE)
    equal([int(frame['usb.urb_status']) for frame in having(completed, usb__endpoint_address='0x01')],
          8 * [0] + 8 * [EPIPE], 'statuses of the queue')
    equal(len(having(completed, usb__transfer_type=CONTROL, usb__urb_status=str(EPIPE))), 1, 'control requests that stalled')
    equal(len(having(frames, usb__setup__bRequest='11')), 1, 'requests SET_INTERFACE')
    cancelled = having(completed, usb__urb_status=str(ECONNRESET))
    late = [comment for comment in comments(frames) if 'which was cancelled' in comment]
    expect(cancelled, 'no request was cancelled')
    equal(len(late), len(cancelled), 'late answers')


def source_twice(rig):
    size = 4 * MIB
    for _ in range(2):
        rig.guest.do(RESTART, f'source 0x81 {size} 16384')
        equal(rig.stats()['bulk.sourced'], size, 'bytes that the device sent')


@scenario('the limit ends the capture, and not the device')
def limit(test):
    rig = Captured(test, Vendor(), limit='100KiB')
    source_twice(rig)
    path, = rig.finish()
    expect(80 * KIB < path.stat().st_size <= 100 * KIB, f'the file has {path.stat().st_size} bytes')
    last = dissect(path)[-1]
    equal((last['usb.urb_type'], last['frame.comment']),
          (NOTE, 'The capture ends here, at its limit of 102400 bytes. The device goes on.'), 'last frame')
    equal(len(re.findall('this is its limit', rig.daemon.errors.text())), 1, 'lines of the log')


@scenario('a file that cannot be written to ends the capture, and not the device')
def full(test):
    # As a full disk, but for one process: the kernel gives it no larger files.
    rig = Captured(test, Vendor(), wrapper=['prlimit', f'--fsize={64 * KIB}', '--'])
    source_twice(rig)
    path, = rig.finish()
    equal(path.stat().st_size, 64 * KIB, 'size of the file')
    warnings = re.findall('warning.*its capture ended after 65536 bytes: File too large', rig.daemon.errors.text())
    equal(len(warnings), 1, 'warnings')


@scenario('two devices have a file each; a guest that comes back goes on in its own')
def files(test):
    rig = Captured(test, Vendor(), Keyboard(text='x'), ports=2)
    attached = {guest.do('attach').split()[0]: guest for guest in rig.guests}
    vendor = attached['1234:0003']
    vendor.do('drop', 'attach')
    vendor.says('8 success; 32768 bytes', 'queue 0x81 4096 8')
    captures = {path.name.split('-', 3)[3]: check_sound(path) for path in rig.finish()}
    equal(sorted(captures), ['1234-0002-1.pcapng', '1234-0003-1.pcapng'], 'files')
    said = comments(captures['1234-0003-1.pcapng'])
    equal([said.count(comment) for comment in ('device: connect', 'guest: gone', 'device: disconnect')], [2, 1, 1],
          'comings and goings')
    addresses = {frames[0]['usb.device_address'] for frames in captures.values()}
    equal(len(addresses), 2, 'addresses, for files that are merged')


main()
