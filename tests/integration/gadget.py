# SPDX-License-Identifier: LGPL-2.1-or-later
"""Emulated USB devices for a program that uses libusb; see ../gadgets/README.md."""

import os
import pathlib
import re
import socket
import subprocess

from daemon import BUILD
from process import Failure


def _sanitizers_of(library):
    """The run-time libraries that have to be loaded before an instrumented library, in a program that is not."""
    output = subprocess.run(['ldd', library], stdout=subprocess.PIPE, check=True, timeout=20, encoding='utf-8').stdout
    return re.findall(r'=> (\S*/lib(?:asan|ubsan)\.so\S*)', output)


class Stick:
    kind = 'storage'

    def __init__(self, image, usb_id='1234:0001', **options):
        self.image = pathlib.Path(image)
        self.id = usb_id
        self.options = {'image': image, 'id': usb_id, **options}


class Keyboard:
    kind = 'keyboard'

    def __init__(self, usb_id='1234:0002', **options):
        self.id = usb_id
        self.options = {'id': usb_id, **options}


class Vendor:
    """Sources, sinks and loopbacks; see ../gadgets/vendor-gadget.h."""
    kind = 'vendor'

    def __init__(self, usb_id='1234:0003', **options):
        self.id = usb_id
        self.options = {'id': usb_id, **options}


class Isochronous:
    """Streams of packets that count; see ../gadgets/isochronous-gadget.h."""
    kind = 'isochronous'

    def __init__(self, usb_id='1234:0004', **options):
        self.id = usb_id
        self.options = {'id': usb_id, **options}


class Bootloader:
    """Has two identities; see ../gadgets/bootloader-gadget.h."""
    kind = 'bootloader'
    id = '1209:0005#1209:0006'
    options = {}


class Liar:
    """Says later that it is a keyboard; see ../gadgets/README.md."""
    kind = 'liar'
    id = '1209:000a'

    def __init__(self, **options):
        self.options = options


class Gadgets:
    """The devices of one program: an environment to start it with, and their control socket. The n-th is number n."""

    def __init__(self, folder, *devices):
        folder.mkdir(exist_ok=True)
        self._control = folder / 'gadgets'
        self.ids = list(dict.fromkeys(device.id for device in devices))
        libraries = [path for path in BUILD.rglob('*rdpusb-gadgets*.so') if path.is_file()]
        if len(libraries) != 1:
            raise Failure(f'{BUILD} has {len(libraries)} gadget libraries; set RDPUSB_BUILD to the build folder')
        self.environment = os.environ | {
            'LD_PRELOAD': ':'.join(_sanitizers_of(libraries[0]) + [str(libraries[0])]),
            'ASAN_OPTIONS': 'detect_leaks=0',
            'RDPUSB_GADGETS': ';'.join(
                ','.join([device.kind, *(f'{key}={value}' for key, value in device.options.items())])
                for device in devices),
            'RDPUSB_GADGETS_CONTROL': str(self._control)}

    def command(self, line, timeout=10):
        """Sends a line to the control socket; returns the answer."""
        with socket.socket(socket.AF_UNIX) as control:
            control.settimeout(timeout)
            control.connect(str(self._control))
            control.sendall(line.encode() + b'\n')
            answer = control.makefile().readline().strip()
        if not answer.startswith('ok'):
            raise Failure(f'the gadgets answer {line!r} with {answer!r}')
        return answer[2:].strip()

    def plug(self, number):
        self.command(f'plug {number + 1}')

    def unplug(self, number):
        self.command(f'unplug {number + 1}')

    def type(self, number, text):
        self.command(f'type {number + 1} ' + text.encode('unicode_escape').decode())
