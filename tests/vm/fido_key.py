# SPDX-License-Identifier: LGPL-2.1-or-later
"""A FIDO key (U2F) in software, behind a kernel gadget: for machines whose QEMU has no u2f-emulated.

    fido_key.py /dev/hidgN

Touched for ever. Its attestation and the one key that it gives away are made when it starts, after which it prints a line.
Names and numbers are those of `FIDO U2F HID protocol` and `FIDO U2F raw message formats`.
"""

import hashlib
import pathlib
import struct
import subprocess
import sys
import tempfile

REPORT = 64
# Usage page FIDO alliance: an input and an output report, both of 64 bytes.
REPORT_DESCRIPTOR = bytes.fromhex('06d0f10901a1010920150026ff0075089540810209211500'
                                  '26ff00750895409102c0')
BROADCAST = 0xffffffff
PING, MSG, INIT, ERROR = 0x81, 0x83, 0x86, 0xbf
REGISTER, AUTHENTICATE, VERSION = 1, 2, 3
CHECK_ONLY = 7
NO_ERROR, CONDITIONS_NOT_SATISFIED, WRONG_DATA, INS_NOT_SUPPORTED = b'\x90\x00', b'\x69\x85', b'\x6a\x80', b'\x6d\x00'


def openssl(*arguments, data=b''):
    return subprocess.run(['openssl', *arguments], input=data, stdout=subprocess.PIPE, check=True).stdout


class Key:
    """A key pair on the curve P-256."""

    def __init__(self, path):
        self._path = path
        openssl('ecparam', '-name', 'prime256v1', '-genkey', '-noout', '-out', path)
        self.public = openssl('ec', '-in', path, '-pubout', '-outform', 'DER')[-65:]

    def sign(self, data):
        return openssl('dgst', '-sha256', '-sign', self._path, data=data)

    def certificate(self):
        return openssl('req', '-x509', '-new', '-key', self._path, '-subj', '/CN=rdpusb test key', '-days', '3650',
                       '-outform', 'DER')


class Authenticator:
    """Answers the requests of raw messages."""

    def __init__(self, folder):
        attestation = Key(folder / 'attestation.pem')
        self._attestation = attestation
        self._certificate = attestation.certificate()
        self._key = Key(folder / 'key.pem')
        self._handle = None
        self._application = None
        self._counter = 0

    def answer(self, apdu):
        instruction, p1 = apdu[1], apdu[2]
        length = int.from_bytes(apdu[4:7], 'big')
        data = apdu[7:7 + length]
        if instruction == VERSION:
            return b'U2F_V2' + NO_ERROR
        if instruction == REGISTER and length == 64:
            return self._register(data[:32], data[32:]) + NO_ERROR
        if instruction == AUTHENTICATE and length >= 65:
            if (data[32:64], data[65:65 + data[64]]) != (self._application, self._handle):
                return WRONG_DATA
            return CONDITIONS_NOT_SATISFIED if p1 == CHECK_ONLY else self._authenticate(data[:32]) + NO_ERROR
        return INS_NOT_SUPPORTED

    def _register(self, challenge, application):
        self._application = application
        self._handle = hashlib.sha512(challenge + application).digest()
        signature = self._attestation.sign(b'\0' + application + challenge + self._handle + self._key.public)
        return b'\5' + self._key.public + bytes([len(self._handle)]) + self._handle + self._certificate + signature

    def _authenticate(self, challenge):
        self._counter += 1
        presence = b'\1' + struct.pack('>I', self._counter)
        return presence + self._key.sign(self._application + presence + challenge)


class Gadget:
    """Messages in reports: the first of a message has command and length, the others a number."""

    def __init__(self, file):
        self._file = file
        self._channel = 0

    def _report(self):
        report = self._file.read(REPORT)
        if len(report) != REPORT:
            raise SystemExit(f'a report of {len(report)} bytes')
        return report

    def read(self):
        """Returns channel, command and data of the next message."""
        report = self._report()
        channel, command, length = struct.unpack_from('>IBH', report)
        data = report[7:]
        number = 0
        while len(data) < length:
            report = self._report()
            if struct.unpack_from('>IB', report) != (channel, number):
                raise SystemExit(f'report {report[:5].hex()} instead of number {number} of channel {channel:08x}')
            data += report[5:]
            number += 1
        return channel, command, data[:length]

    def write(self, channel, command, data):
        reports = [struct.pack('>IBH', channel, command, len(data)) + data[:REPORT - 7]]
        for number, start in enumerate(range(REPORT - 7, len(data), REPORT - 5)):
            reports.append(struct.pack('>IB', channel, number) + data[start:start + REPORT - 5])
        for report in reports:
            self._file.write(report.ljust(REPORT, b'\0'))

    def serve(self, authenticator):
        while True:
            channel, command, data = self.read()
            if command == INIT:
                self._channel += 1
                new = self._channel if channel == BROADCAST else channel
                self.write(channel, INIT, data + struct.pack('>IBBBBB', new, 2, 1, 0, 0, 0))
            elif command == PING:
                self.write(channel, PING, data)
            elif command == MSG:
                self.write(channel, MSG, authenticator.answer(data))
            else:
                self.write(channel, ERROR, b'\1')  # invalid command


def main():
    with tempfile.TemporaryDirectory() as folder:
        authenticator = Authenticator(pathlib.Path(folder))
        with open(sys.argv[1], 'r+b', buffering=0) as file:
            print('ready', flush=True)
            Gadget(file).serve(authenticator)


if __name__ == '__main__':
    main()
