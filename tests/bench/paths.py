# SPDX-License-Identifier: LGPL-2.1-or-later
"""The two ways from a gadget to the fake guest that a measurement compares, and their taking turns.

Figures mean something from a release build only:

    meson setup build-release -Dbuildtype=release && ninja -C build-release
"""

import pathlib
import subprocess
import sys

sys.path.append(str(pathlib.Path(__file__).resolve().parent.parent / 'integration'))

from daemon import BUILD, Daemon, login  # noqa: E402
from fakeguest import FakeGuest  # noqa: E402
from gadget import Gadgets  # noqa: E402
from rdp import CLIENTS, Client  # noqa: E402,F401
from tap import Test  # noqa: E402


def through_usbredirect(test, guest, gadgets, client):
    test.start('usbredirect', ['usbredirect', '--device', gadgets.ids[0], '--to', guest.address.removeprefix('tcp:')],
               env=gadgets.environment)


def quiet_client(*arguments):
    """A client that logs errors only: FreeRDP 3.10 logs a warning for each message on a channel of USB, for which the
    bench would take time from what it measures."""
    return Client(*arguments, log_level='ERROR')


def through_rdpusbd(test, guest, gadgets, client):
    arguments = login(test.folder) + ['--log-level', 'warning', '--listen', '127.0.0.1:0']
    daemon = test.keep(Daemon(test.folder, [guest.address], arguments)).start()
    test.keep(quiet_client(test.folder, client, daemon.port, gadgets))


PATHS = (through_usbredirect, through_rdpusbd)


def measure(connect, client, device, function):
    """What function(guest) returns when the device is attached."""
    test = Test()
    try:
        guest = test.keep(FakeGuest('tcp:127.0.0.1:0'))
        connect(test, guest, Gadgets(test.folder / 'gadgets', device), client)
        guest.do('attach')
        return function(guest)
    finally:
        for problem in test.close():
            print(problem, file=sys.stderr)


def take_turns(rounds, client, device, function):
    """What function(guest) returned in each round: a list for usbredirect, and one for rdpusbd."""
    warn_of_build()
    results = ([], [])
    for _ in range(rounds):
        for connect, values in zip(PATHS, results):
            values.append(measure(connect, client, device(), function))
    return results


def warn_of_build():
    options = subprocess.run(['meson', 'introspect', '--buildoptions', BUILD], stdout=subprocess.PIPE, check=True,
                             encoding='utf-8').stdout
    if '"value": "release"' not in options:
        print(f'{BUILD} is no release build: its figures are worse', file=sys.stderr)
