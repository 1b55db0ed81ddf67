# SPDX-License-Identifier: LGPL-2.1-or-later
"""The isochronous gadget at the fake guest, through a client that is near or at the end of an uneven network."""

import pathlib
import re
import sys
import threading
import time

from paths import CLIENTS, Daemon, FakeGuest, Gadgets, Test, login, quiet_client, warn_of_build
from fakeguest import STEP_SECONDS

SOURCE, SINK = '81', '01'
RELAY = pathlib.Path(__file__).with_name('relay.py')


class Isochronous:
    kind = 'isochronous'
    id = '1234:0004'
    options = {'id': id}


class Witness:
    """Notes for how long the machine itself did not run a thread that had to: what is lost then is not the network's."""

    def __enter__(self):
        self.worst_ms = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def _watch(self):
        before = time.monotonic()
        while not self._over.wait(0.002):
            now = time.monotonic()
            self.worst_ms = max(self.worst_ms, (now - before) * 1000 - 2)
            before = now

    def __exit__(self, *_):
        self._over.set()
        self._thread.join()


def _numbers(text):
    return {key: int(value) for key, value in re.findall(r'(\S+)=(\d+)', text)}


def run(setting, endpoints, seconds, client=CLIENTS[0], jitter_ms=0):
    """Runs the streams; returns what the guest says of each endpoint, and what the gadget says of all. Prints first what
    was run, and how the machine was."""
    warn_of_build()
    test = Test()
    try:
        guest = test.keep(FakeGuest('tcp:127.0.0.1:0'))
        arguments = login(test.folder) + ['--log-level', 'warning', '--listen', '127.0.0.1:0']
        daemon = test.keep(Daemon(test.folder, [guest.address], arguments)).start()
        port = daemon.port
        if jitter_ms:
            relay = test.start('relay', [sys.executable, RELAY, port, jitter_ms])
            port = int(relay.log.wait(r'^listening on (\d+)$', 10)[1])
        gadgets = Gadgets(test.folder / 'gadgets', Isochronous())
        test.keep(quiet_client(test.folder, client, port, gadgets))
        guest.do('attach', f'set-alt 0 {setting}')
        mark = guest.log.mark()
        guest.say(f'iso {seconds} ' + ' '.join(f'0x{endpoint}' for endpoint in endpoints))
        with Witness() as witness:
            said = guest.log.wait(r'^iso .*?: (0x.*)$', seconds + STEP_SECONDS, mark)[1]
        print(f'{client}, {seconds} s, {jitter_ms:g} ms of jitter; the machine let a thread wait for up to '
              f'{witness.worst_ms:.0f} ms')
        guest.do('set-alt 0 0')  # after what was on its way
        streams = dict(re.findall(r'0x(\w\w): ([^;]*)', said))
        return {endpoint: _numbers(streams[endpoint]) for endpoint in endpoints}, _numbers(gadgets.command('stats 1'))
    finally:
        for problem in test.close():
            print(problem, file=sys.stderr)


def describe_in(stream, stats):
    due = stream['received'] + stream['lost']
    print(f'IN   device gave {stats["iso.sourced"]} packets; to the guest, in order: {stream["received"]} of {due} '
          f'({stream["received"] / due:.4%})')
    print('     {lost} lost, of which the device had no request for {missed}; {repeated} repeated, '
          '{out-of-order} out of order, {damaged} damaged, {failed} failed'.format(missed=stats['ep81.missed'], **stream))
    print("     QEMU's queue: {dropped} dropped because too much came at once, {underruns} underruns"
          .format(**stream))


def describe_out(stream, stats):
    print('OUT  guest sent {sent} packets; to the device: {received}'.format(
        sent=stream['sent'], received=stats['iso.received']))
    lost, repeated, disordered, damaged, idle = (
        stats[key] for key in ('iso.lost', 'iso.repeated', 'iso.out-of-order', 'iso.damaged', 'ep01.missed'))
    print(f'     {lost} lost, {repeated} repeated, {disordered} out of order, {damaged} damaged; '
          f'the device had nothing to play for {idle}')
