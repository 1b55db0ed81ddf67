#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What failed logins cost: the time of an answer says nothing of what was wrong, and who fails too often is locked."""

import asyncio
import re
import statistics
import threading
import time

import rdp
from daemon import PASSWORD, USER, Daemon
from process import Failure
from tap import equal, expect, main, scenario

CLIENT_SECONDS = 30  # at a busy machine, and with 8 s that an answer is held back
HELD_BACK = 1  # second at least, see lockout.h
SAMPLES = 5
LOCKOUT_FAILURES, LOCKOUT_SECONDS = 3, 20
STRANGE = 'mallory'  # who does not exist
KINDS = ('nla', 'tls')


class Relay:
    """A port whose connections reach the daemon from another address of the loopback interface."""

    def __init__(self, port, source):
        self._target, self._source = port, source
        self._loop = asyncio.new_event_loop()
        self._server = self._loop.run_until_complete(asyncio.start_server(self._serve, '127.0.0.1', 0))
        self.port = self._server.sockets[0].getsockname()[1]
        self.logs = []
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    async def _serve(self, reader, writer):
        there, back = await asyncio.open_connection('127.0.0.1', self._target, local_addr=(self._source, 0))
        await asyncio.gather(self._copy(reader, back), self._copy(there, writer))

    async def _copy(self, reader, writer):
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass  # the other side hears of it below
        writer.close()

    def close(self):
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._server.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()


class House:
    """rdpusbd that locks who fails LOCKOUT_FAILURES times, and addresses to come from."""

    def __init__(self, test, failures=LOCKOUT_FAILURES):
        self.test = test
        config = test.folder / 'rdpusbd.conf'
        config.write_text(f'[limits]\nlockout-failures={failures}\nlockout-seconds={LOCKOUT_SECONDS}\n')
        self.daemon = test.keep(Daemon(test.folder, [f'unix:{test.folder / "port"}'],
                                       options=['--config', str(config)])).start()
        self._relays = {}
        self._attempts = 0

    def port(self, source):
        if source not in self._relays:
            self._relays[source] = self.test.keep(Relay(self.daemon.port, source))
        return self._relays[source].port

    def attempt(self, source, user, password, kind='nla'):
        """Logs in from there: (whether that succeeded, the client, the lines of the log about it)."""
        self._attempts += 1
        mark = self.daemon.errors.mark()
        client = self.test.keep(rdp.Client(self.test.folder, rdp.CLIENTS[0], self.port(source), user=user, password=password,
                                           name=f'client{self._attempts}', options=[f'/sec:{kind}']))
        match = self.daemon.errors.wait(rf'login of user "{user}" from {re.escape(source)}:\d+ (accepted|refused)', CLIENT_SECONDS,
                                        mark)
        accepted = match[1] == 'accepted'
        if accepted:
            client.close()
        else:
            expect(client.wait(CLIENT_SECONDS) != 0, 'the client was let in')
        return accepted, client, self.daemon.errors.text(mark)

    def fails(self, source, user, password='wrong', kind='nla'):
        expect(not self.attempt(source, user, password, kind)[0], f'{user} got in from {source}')

    def gets_in(self, source, kind='nla'):
        expect(self.attempt(source, USER, PASSWORD, kind)[0], f'{USER} did not get in from {source}')


def moment(line):
    hours, minutes, seconds = re.match(r'(\d+):(\d+):([\d.]+) ', line).groups()
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)


def answer_time(log):
    """Seconds from the first byte of a client to the answer to its password."""
    lines = log.splitlines()
    begin = next(line for line in lines if ' accepted: session process' in line)
    end = next(line for line in lines if ' refused' in line)
    return (moment(end) - moment(begin)) % 86400


def what_it_says(client):
    """The client's complaints, without what differs between any two runs."""
    complaints = re.findall(r'\[ERROR\]\[([\w.]+)\] - (.*)', client.log.text())
    return client.status(), sorted((part, re.sub(r'\d{3,}|0x[0-9a-f]{6,}', '#', text)) for part, text in complaints)


@scenario('a wrong password and an unknown user look the same, in text and time', seconds=180, each=KINDS)
def indistinguishable(test, kind):
    house = House(test, failures=0)
    times = {USER: [], STRANGE: []}
    said = {USER: [], STRANGE: []}
    for sample in range(SAMPLES):
        # Every address is new, and so is the user's forgiveness; a stranger's name has to be new instead.
        for user, name in ((USER, USER), (STRANGE, f'{STRANGE}{sample}')):
            accepted, client, log = house.attempt(f'127.0.2.{2 * sample + 1 + (user == USER)}', name, 'wrong', kind)
            expect(not accepted, f'{name} got in')
            times[user].append(answer_time(log))
            said[user].append(what_it_says(client))
        house.gets_in(f'127.0.2.{2 * sample + 2}', kind)
    equal(said[USER], said[STRANGE], 'what the clients say')
    for user, seconds in times.items():
        expect(min(seconds) >= HELD_BACK, f'an answer to {user} came after {min(seconds)} s')
    ratio = statistics.median(times[USER]) / statistics.median(times[STRANGE])
    expect(0.88 < ratio < 1.12, f'median times differ by a factor of {ratio:.2f}: {times}')


@scenario('a user is locked after failures from anywhere, but not where they have been', seconds=180)
def user_locked(test):
    house = House(test)
    house.gets_in('127.0.3.1')
    for n in range(LOCKOUT_FAILURES):
        house.fails(f'127.0.3.{2 + n}', USER)
    locked = time.monotonic()
    house.daemon.errors.wait('too many failed logins', 1)
    house.fails('127.0.3.9', USER, PASSWORD)
    house.gets_in('127.0.3.1')
    expect(time.monotonic() - locked < LOCKOUT_SECONDS, 'this took longer than the lock')
    time.sleep(max(0, LOCKOUT_SECONDS - (time.monotonic() - locked)))  # the end of a lock is no event
    house.gets_in('127.0.3.9')


@scenario('an address is locked after failures of any names', seconds=180)
def address_locked(test):
    house = House(test)
    for n in range(LOCKOUT_FAILURES):
        house.fails('127.0.4.1', f'{STRANGE}{n}')
    house.fails('127.0.4.1', USER, PASSWORD)
    house.gets_in('127.0.4.2')


@scenario('who gets in at last is forgiven', seconds=180)
def forgiven(test):
    house = House(test)
    for _ in range(2):
        for _ in range(LOCKOUT_FAILURES - 1):
            house.fails('127.0.5.1', USER)
        house.gets_in('127.0.5.1')


main()
