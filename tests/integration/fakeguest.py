# SPDX-License-Identifier: LGPL-2.1-or-later
"""The fake guest in place of QEMU, told step by step what to do, and the arrangement around it."""

import re

from daemon import Daemon, find_program
from gadget import Gadgets
from process import Failure, Process
from rdp import Client
from tap import equal

STEP_SECONDS = 30


class FakeGuest(Process):
    """Listens at `address`, as unix:PATH or tcp:HOST:PORT. Steps are those of `fake-guest --help`."""

    def __init__(self, address, name='fake-guest'):
        self._ended = False
        super().__init__(name, [find_program('fake-guest'), '--timeout', STEP_SECONDS, '--listen', address],
                         interactive=True)
        self.address = self.log.wait('^listening: (.*),server=on$', 10)[1]

    def begin(self, step):
        """Gives it a step to do while the test does something else; finish() waits for the end."""
        self._step, self._mark = step, self.log.mark()
        self.say(step)

    def finish(self):
        """Waits for the end of the step; returns what it says."""
        said = self.log.wait('^' + re.escape(self._step) + r':(?: (.*))?$', STEP_SECONDS + 5, self._mark)[1] or ''
        if 'FAILED' in said:
            raise Failure(f'{self.name}: {self._step}: {said}')
        return said

    def do(self, *steps):
        """One step after the other; returns what the last one says."""
        for step in steps:
            self.begin(step)
            said = self.finish()
        return said

    def says(self, expected, step):
        equal(self.do(step), expected, step)

    def end(self):
        """Has it wait for what is not answered yet; nothing may have come that QEMU could not bear."""
        self._ended = True
        self.say_no_more()
        equal(self.wait(STEP_SECONDS + 5), 0, f'exit status of {self.name}, which looks for violations')

    def close(self, timeout=5):
        """Unless a scenario failed or ended it already, this is end()."""
        try:
            if not self._ended:
                self.end()
        finally:
            super().close(timeout)


class Rig:
    """Some fake guests, rdpusbd with a port to each, and one client with these devices. Options are those of Daemon."""

    def __init__(self, test, program, *devices, ports=1, guests=True, folder=None, **options):
        self._test, self._program, self._devices = test, program, devices
        self._folder = folder = test.folder / (folder or program)
        folder.mkdir()
        self.paths = [folder / f'port{n}' for n in range(ports)]
        self.guests = [test.keep(FakeGuest(f'unix:{path}', f'fake-guest {n}')) for n, path in enumerate(self.paths) if guests]
        self.guest = self.guests[0] if guests else None
        self.daemon = test.keep(Daemon(folder, [f'unix:{path}' for path in self.paths], **options)).start()
        self.join('client')

    def join(self, name):
        """A client with the devices; its gadgets are those that gadget() and stats() speak to."""
        self.gadgets = Gadgets(self._folder / name, *self._devices)
        self.client = self._test.keep(Client(self._folder, self._program, self.daemon.port, self.gadgets, name=name))

    def gadget(self, command, *arguments, number=1):
        """`stall 81` for device 1, for example."""
        return self.gadgets.command(' '.join([command, str(number), *map(str, arguments)]))

    def stats(self, number=1):
        return {key: int(value) for key, value in
                (entry.split('=') for entry in self.gadget('stats', number=number).split()) if key != 'kind'}
