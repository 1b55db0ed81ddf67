# SPDX-License-Identifier: LGPL-2.1-or-later
"""The device table: rows, the pair of machines that they share, and how one is run.

A row is a function in rows_*.py that uses a device the way its owner would, and raises Failure if that does not work:

    @row('serial port, 1 MiB each way', by='f_acm', modules='cdc_acm', fast=True,
         device=Gadget('1209:0003', ('acm.0', {}), modules='usb_f_acm'))
    def serial(setup):
        setup.plug()
        setup.wait(r'ttyACM0: USB ACM device')
        ...

When it is called the device has been made but is not plugged, and the client is connected or about to be. What is
plugged then has `device.id`. After the function the client is ended, the device is taken away, and the guest has to be
without USB devices again. Rows share both machines; when one fails, they are replaced before the next.

In the machines there is busybox and what is compiled from helpers/*.c; the guest has PROGRAMS as well, to be called as
/bin/NAME (busybox's shell prefers its own). In the client's machine `setup.machine.inside(...)` gives the command for any
program of this machine.
"""

import time

from clientvm import ClientMachine
from daemon import Daemon
from guest import HERE, Guest
from process import Failure
from tap import Test, run

PROGRAMS = 'mke2fs e2fsck chrt fido2-cred fido2-assert'
HELPERS = ' '.join(sorted(path.stem for path in HERE.glob('helpers/*.c')))
# An emulated machine is slow, and two of them on a busy one much more so.
START_SECONDS = 900  # with packages to get and an initrd to build for each
LOGIN_SECONDS = 60
SEE_SECONDS = 60
ROWS = []


class Row:
    """name, by: as in the table. device: see clientvm.py; it has id, modules, create(), plug(), unplug() and remove(), and
    connect() if it is in the client itself, which is then beside the machine and not in it.
    modules: the guest's drivers, spare ones that are loaded for this row. fast: it belongs to the fast half.
    seconds: a last limit of time, without the start of the machines; what a row waits for has limits of its own.
    machine_arguments: what QEMU needs from its start to emulate the device."""

    def __init__(self, function, name, by, device, modules='', fast=False, seconds=600, machine_arguments=()):
        self.run = function
        self.name = name
        self.by = by
        self.device = device
        self.modules = modules
        self.fast = fast
        self.seconds = seconds
        self.machine_arguments = machine_arguments


def row(name, by, device, **options):
    """Adds the decorated function to the table."""
    def register(function):
        ROWS.append(Row(function, name, by, device, **options))
        return function
    return register


def _union(texts):
    return ' '.join(dict.fromkeys(word for text in texts for word in text.split()))


class Pair:
    """The client's machine, rdpusbd, and the guest with its port."""

    def __init__(self):
        # For all rows, whichever are run: every set of modules would need an initrd of its own.
        self._test = Test()
        port = self._test.folder / 'port'
        arguments = [argument for row in ROWS for argument in row.machine_arguments]
        self.guest = self._test.keep(Guest([f'path={port},server=on,wait=off'], programs=PROGRAMS, helpers=HELPERS,
                                           spare=_union(row.modules for row in ROWS)))
        self.machine = self._test.keep(ClientMachine(arguments, helpers=HELPERS,
                                                     spare=_union(row.device.modules for row in ROWS)))
        self.daemon = self._test.keep(Daemon(self._test.folder, [f'unix:{port}']))

    def start(self):
        """Both machines boot at the same time."""
        self.guest.launch()
        self.machine.launch()
        self.daemon.start()
        self.guest.wait_ready()
        self.machine.wait_ready()

    @property
    def logs(self):
        return list(self._test.logs())

    def close(self):
        """Ends everything; returns what went wrong."""
        return self._test.close()


class Setup:
    """What a row works with."""

    def __init__(self, pair, row, program, folder):
        self.guest = pair.guest
        self.machine = pair.machine
        self.daemon = pair.daemon
        self.device = row.device
        self.folder = folder
        self._log_mark = pair.daemon.errors.mark()
        connect = getattr(row.device, 'connect', None)
        self.client = (connect(folder, program, pair.daemon.port) if connect else
                       pair.machine.connect(program, pair.daemon.port, row.device.id))
        self._mark = 0

    def plug(self):
        """Plugs the device into the client's machine; wait() looks for what comes after it."""
        self._mark = self.guest.console.mark()
        self.device.plug(self.machine)
        self.daemon.errors.wait(r'login of user \S+ from \S+ accepted', LOGIN_SECONDS, self._log_mark)

    def unplug(self, seconds=SEE_SECONDS):
        """Unplugs it, and waits until the guest has noticed."""
        mark = self.guest.console.mark()
        self.device.unplug(self.machine)
        self.guest.console.wait(r'USB disconnect', seconds, mark)

    def wait(self, pattern, seconds=SEE_SECONDS):
        """Waits for a line of the guest's kernel since the device was plugged; returns the match."""
        return self.guest.console.wait(pattern, seconds, self._mark)


class _Shared:
    """Has the logs shown of what goes on after the row."""

    def __init__(self, thing):
        self._thing = thing

    @property
    def logs(self):
        return self._thing.logs

    def close(self):
        pass


def _start_pair(test, pair):
    test.keep(_Shared(pair))
    pair.start()


def _run_row(test, pair, row, program):
    test.keep(_Shared(pair))
    pair.guest.load(*row.modules.split())
    row.device.create(pair.machine)
    setup = Setup(pair, row, program, test.folder)
    test.keep(setup.client)
    row.run(setup)
    mark = pair.guest.console.mark()
    plugged = pair.guest.usb()
    setup.client.close()
    if plugged:
        pair.guest.console.wait(r'USB disconnect', SEE_SECONDS, mark)
    row.device.remove(pair.machine)
    # A driver may take its time to let go: uas does.
    pair.guest.check('while ls -d /sys/bus/usb/devices/*-* | grep -qv :; do sleep 0.1; done', SEE_SECONDS)


class Result:
    def __init__(self, row, program, problems, seconds):
        self.row = row
        self.program = program
        self.problems = problems
        self.seconds = seconds


def run_rows(rows, programs):
    """Runs the rows with each client; yields a Result after each."""
    pair = None
    try:
        for program in programs:
            for row in rows:
                problems = []
                if not pair:
                    pair = Pair()
                    problems = run(_start_pair, (pair,), START_SECONDS)
                start = time.monotonic()
                problems = problems or run(_run_row, (pair, row, program), row.seconds)
                if problems:
                    problems += pair.close()
                    pair = None
                yield Result(row, program, problems, time.monotonic() - start)
    finally:
        problems = pair.close() if pair else []
    if problems:
        raise Failure('; '.join(problems))
