# SPDX-License-Identifier: LGPL-2.1-or-later
"""Rows of the device table whose device is a preload gadget in the client: what neither the kernel's gadgets nor QEMU have.
The client runs beside the machines: such a device keeps the time of a bus, which an emulated machine does not."""

import rdp
from gadget import Gadgets
from table import row
from tap import equal


class Preloaded:
    """A gadget (see ../gadgets/README.md) that is there from the client's start to its end."""

    modules = ''

    def __init__(self, kind, usb_id, **options):
        self.kind = kind
        self.id = usb_id
        self.options = {'id': usb_id, **options}

    def create(self, machine):
        pass

    plug = unplug = remove = create

    def connect(self, folder, program, port):
        return rdp.Client(folder, program, port, Gadgets(folder / 'gadgets', self))


@row('webcam, isochronous, 100 pictures', by='preload gadget', modules='uvcvideo',
     device=Preloaded('camera', '1209:0012'))
def camera(setup):
    _take_pictures(setup)


@row('webcam, bulk, 100 pictures', by='preload gadget', modules='uvcvideo',
     device=Preloaded('camera', '1209:0013', bulk=1))
def bulk_camera(setup):
    _take_pictures(setup)


def _take_pictures(setup):
    setup.plug()
    setup.wait(r'Found UVC 1.00 device')
    setup.guest.check('until [ -c /dev/video0 ]; do sleep 0.1; done')
    equal(setup.guest.check('frames /dev/video0 100', 60), '100 pictures\n', 'whole pictures without a gap')
