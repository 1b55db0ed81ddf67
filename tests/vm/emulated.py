# SPDX-License-Identifier: LGPL-2.1-or-later
"""USB devices that QEMU emulates and that have something behind them: a disk, a card, a phone's files, a network.

Each has what a row of the table needs of its device (see table.py): id, modules, create(), plug(), unplug() and remove(),
whose argument is the machine that has the device. Their ids in QEMU are `device` and `device-...`.
"""

import hashlib
import http.server
import pathlib
import random
import socket
import struct
import subprocess
import tempfile
import threading


class Emulated:
    """A device alone; the properties are QEMU's."""

    modules = ''

    def __init__(self, usb_id, driver, **properties):
        self.id = usb_id
        self._driver = driver
        self._properties = {'bus': 'xhci.0', **properties}
        self._plugged = False
        self._folder = None

    @property
    def folder(self):
        """On this side, for what is behind the device. There from create() to remove()."""
        return pathlib.Path(self._folder.name)

    def create(self, machine):
        self._folder = tempfile.TemporaryDirectory(prefix='rdpusb-')  # a short path: it holds sockets

    def plug(self, machine):
        machine.monitor.call('device_add', driver=self._driver, id='device', **self._properties)
        self._plugged = True

    def unplug(self, machine):
        machine.monitor.events.clear()
        machine.monitor.call('device_del', id='device')
        machine.monitor.wait_event('DEVICE_DELETED')
        self._plugged = False

    def remove(self, machine):
        if self._plugged:
            self.unplug(machine)
        self._folder.cleanup()


class Preloaded:
    """A device of a client on this side, in the preload library: the machine has no part in it."""

    modules = ''

    def __init__(self, usb_id):
        self.id = usb_id

    def create(self, machine):
        pass

    plug = unplug = remove = create


class Peer:
    """The other end of a chardev `socket` of QEMU. on_data(data) returns what to answer. It always reads: QEMU stands
    still while its devices write."""

    def __init__(self, path, on_data):
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(str(path))
        self._on_data = on_data
        self._answers = []
        self._changed = threading.Condition()
        for work in (self._read, self._write):
            threading.Thread(target=work, daemon=True).start()

    def send(self, data):
        with self._changed:
            self._answers.append(data)
            self._changed.notify()

    def _read(self):
        try:
            while data := self._socket.recv(65536):
                self.send(self._on_data(data))
        except OSError:
            pass  # the machine ended
        self.send(None)

    def _write(self):
        try:
            while (answer := self._next()) is not None:
                self._socket.sendall(answer)
        except OSError:
            pass  # likewise

    def _next(self):
        with self._changed:
            self._changed.wait_for(lambda: self._answers)
            return self._answers.pop(0)

    def close(self):
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # the machine was faster
        self._socket.close()


class WithPeer(Emulated):
    """A device with a chardev `device-peer`, whose other end is here. Subclasses have receive(data), as in Peer."""

    _peer = None

    def create(self, machine):
        super().create(machine)
        path = str(self.folder / 'peer')
        machine.monitor.call('chardev-add', id='device-peer', backend={'type': 'socket', 'data': {
            'addr': {'type': 'unix', 'data': {'path': path}}, 'server': True, 'wait': False}})
        self._peer = Peer(path, self.receive)

    def remove(self, machine):
        super().remove(machine)
        self._peer.close()
        machine.monitor.call('chardev-remove', id='device-peer')


class UasDisk(Emulated):
    """A disk with an ext4 file system and the file `file` on it. It speaks UAS only, and is at an EHCI port because its
    guest cannot use it at SuperSpeed: UAS needs bulk streams there, which RDP does not carry."""

    machine_arguments = ['-device', 'usb-ehci,id=ehci']
    _SIZE = '24M'

    def __init__(self):
        super().__init__('46f4:0003', 'usb-uas', bus='ehci.0')
        self.content = random.Random(3).randbytes(3 << 20)

    @property
    def image(self):
        return self.folder / 'image'

    def create(self, machine):
        super().create(machine)
        tree = self.folder / 'tree'
        tree.mkdir()
        (tree / 'file').write_bytes(self.content)
        subprocess.run(['/sbin/mke2fs', '-q', '-t', 'ext4', '-d', tree, self.image, self._SIZE], check=True, timeout=60,
                       stdout=subprocess.DEVNULL)
        machine.monitor.call('blockdev-add', driver='file', node_name='device-disk', filename=str(self.image))

    def plug(self, machine):
        super().plug(machine)  # QEMU holds it back until it has its disks
        machine.monitor.call('device_add', driver='scsi-hd', id='device-scsi', bus='device.0', drive='device-disk')
        machine.monitor.call('qom-set', path='/machine/peripheral/device', property='attached', value=True)

    def remove(self, machine):
        if self._plugged:
            self.unplug(machine)
        machine.monitor.call('blockdev-del', node_name='device-disk')
        super().remove(machine)


class Serial(WithPeer):
    """An FTDI adapter with an echo at its plug."""

    def __init__(self):
        super().__init__('0403:6001', 'usb-serial', chardev='device-peer')
        self.received = None

    def create(self, machine):
        self.received = hashlib.sha256()
        super().create(machine)

    def receive(self, data):
        self.received.update(data)
        return data


class CardReader(WithPeer):
    """A reader with a card in it, which answers an APDU with the digest of the APDU. The card speaks libcacard's protocol
    to the reader: type, reader, length of each message as 32 bits, big-endian."""

    ATR = bytes.fromhex('3bd518ff8191fe1fc38073c8211309')
    _INIT, _READER_ADD, _CARD_ATR, _APDU = 1, 3, 5, 7

    def __init__(self):
        super().__init__('08e6:4433', 'usb-ccid')
        self._data = b''

    def plug(self, machine):
        super().plug(machine)
        machine.monitor.call('device_add', driver='ccid-card-passthru', id='device-card', bus='device.0',
                             chardev='device-peer')
        self._peer.send(self._message(self._INIT, b'DCSV' + struct.pack('>II', 2, 0)) +
                        self._message(self._READER_ADD) + self._message(self._CARD_ATR, self.ATR))

    @staticmethod
    def _message(kind, payload=b''):
        return struct.pack('>III', kind, 0, len(payload)) + payload

    @staticmethod
    def answer(apdu):
        return hashlib.sha256(apdu).digest() + b'\x90\x00'

    def receive(self, data):
        self._data += data
        answers = b''
        while len(self._data) >= 12:
            kind, _, length = struct.unpack_from('>III', self._data)
            if len(self._data) < 12 + length:
                break
            payload, self._data = self._data[12:12 + length], self._data[12 + length:]
            if kind == self._APDU:
                answers += self._message(self._APDU, self.answer(payload))
        return answers


class Phone(Emulated):
    """A device that serves one file by MTP."""

    def __init__(self):
        super().__init__('46f4:0004', 'usb-mtp', desc='phone')
        self.content = random.Random(7).randbytes((2 << 20) + 5)

    def create(self, machine):
        super().create(machine)
        (self.folder / 'picture').write_bytes(self.content)
        self._properties['rootdir'] = str(self.folder)


class Network(Emulated):
    """An Ethernet adapter, with a web server behind it that serves one page and answers what it is sent with its
    digest."""

    ADDRESS = '10.0.2.15/24'

    def __init__(self):
        super().__init__('0525:a4a2', 'usb-net', netdev='device-net')
        self.content = random.Random(9).randbytes(1 << 20)
        self._server = None

    @property
    def url(self):
        return f'http://10.0.2.2:{self._server.server_address[1]}/'

    def create(self, machine):
        super().create(machine)
        self._server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), self._handler())
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        machine.monitor.call('netdev_add', type='user', id='device-net')

    def remove(self, machine):
        super().remove(machine)
        machine.monitor.call('netdev_del', id='device-net')
        self._server.shutdown()
        self._server.server_close()

    def _handler(self):
        content = self.content

        class Handler(http.server.BaseHTTPRequestHandler):
            def _answer(self, body):
                self.send_response(200)
                self.send_header('Content-Length', str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_GET(self):
                self._answer(content)

            def do_POST(self):
                data = self.rfile.read(int(self.headers['Content-Length']))
                self._answer(hashlib.sha256(data).hexdigest().encode())

            def log_message(self, *_):
                pass  # it is no part of the test's output

        return Handler


class Speaker(Emulated):
    """A sound card whose output is the samples of a file. It keeps a minute of what it got: what counts is what arrives,
    not how steadily the emulated sound hardware takes it."""

    _MINUTE = 60 * 48000 * 4  # 48 kHz, two channels of 16 bits
    _WAV_HEADER = 44
    # QEMU takes sound backends at its start only. The file is made when the device is.
    _file = tempfile.TemporaryDirectory(prefix='rdpusb-')
    path = pathlib.Path(_file.name) / 'played.wav'
    machine_arguments = ['-audiodev', f'wav,id=wav,path={path},out.frequency=48000,out.channels=2,out.format=s16']

    def __init__(self):
        super().__init__('46f4:0002', 'usb-audio', audiodev='wav', buffer=self._MINUTE)

    def played(self):
        """What was played so far, as bytes."""
        return self.path.read_bytes()[self._WAV_HEADER:]
