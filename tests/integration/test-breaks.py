#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Each party killed, frozen, slow or cut off at random points of the life of a connection.

A client comes through a network that counts, with a device that a guest uses; the guest is behind another such network. At a
byte chosen at random the fault happens. Whatever becomes of that connection, nothing may be left of it, and the next client
with the next device is served as the first was.

    RDPUSB_BREAKS_SEED=7 RDPUSB_BREAKS_POINT=3 RDPUSB_BUILD=build tests/integration/test-breaks.py 'the client is killed'

The seed is 1 unless the environment says otherwise; a failure names the seed and the point that has it happen again, alone.
RDPUSB_BREAKS_FACTOR=5 tries five times as many points."""

import contextlib
import datetime
import functools
import math
import os
import pathlib
import random
import re
import signal
import subprocess
import tempfile
import threading
import time

from breaker import DOWN, UP, Fault, Network
from daemon import PASSWORD, USER, Daemon, find_program, login
from process import Failure
from talker import Talker
from tap import equal, expect, main, scenario

SEED = os.environ.get('RDPUSB_BREAKS_SEED', '1')
POINT = os.environ.get('RDPUSB_BREAKS_POINT')
FACTOR = int(os.environ.get('RDPUSB_BREAKS_FACTOR', '1'))
LANES = 4
MAX_FAILURES = 3  # of each lane
MAX_DRAWS = 8  # of a place, until a life is long enough for it
TOTAL = 200  # points of all kinds of fault
SOON = 20  # seconds for what happens at once, on a machine that is busy
# freerdp_connect() connects again by itself when the transport fails, and waits 15 s in each TLS handshake.
RECONNECT_SECONDS = 60
LOGIN_SECONDS = 5  # a login takes two with a sanitizer on a busy machine
KILL_SECONDS = 3  # for a session that does not end
LIMITS = 25  # seconds until whoever waits for a silent peer has given up
MOMENT = 0.05, 0.4

CLIENT, GUEST = 'client', 'guest'
CLIENT_STREAMS = (CLIENT, UP), (CLIENT, DOWN)
GUEST_STREAMS = (GUEST, UP), (GUEST, DOWN)  # here rdpusbd is the one who connects
ALL_STREAMS = CLIENT_STREAMS + GUEST_STREAMS
BEFORE_THE_END = 'login', 'channels', 'attaching', 'transfers', 'detaching'
TRANSFERS = ('attach', 'loopback 0x01 0x81 65536 8192', 'cancel-storm 0x81 3', 'control-in 0x80 6 0x0100 0 18')
STEPS = {TRANSFERS[0]: 'attaching', TRANSFERS[-1]: 'transfers'}
STREAM_NAMES = {(CLIENT, UP): 'from the client', (CLIENT, DOWN): 'to the client',
                (GUEST, UP): 'to the guest', (GUEST, DOWN): 'from the guest'}


def wait_until(condition, what, timeout=SOON):
    """There are several things to wait for at a time, some of which nothing tells of: this asks."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise Failure(f'{what}: not within {timeout} s')
        time.sleep(0.01)


def logged_at(text, pattern):
    """When the first line with this pattern was logged, in seconds of the epoch. It has the time of the day."""
    clock = re.search(rf'^(\d+:\d+:\d+\.\d+) .*{pattern}', text, re.MULTILINE)[1]
    now = datetime.datetime.now()
    when = datetime.datetime.combine(now, datetime.time.fromisoformat(clock))
    return (when if when <= now else when - datetime.timedelta(days=1)).timestamp()


@functools.cache
def certificate():
    """One for all: it takes a while to make its key. Each rdpusbd would do so for itself."""
    with tempfile.TemporaryDirectory(prefix='rdpusb-') as folder:
        files = {name: pathlib.Path(folder) / name for name in ('certificate.pem', 'private-key.pem')}
        subprocess.run(['openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=rdpusb',
                        '-out', files['certificate.pem'], '-keyout', files['private-key.pem']], check=True, capture_output=True)
        return {name: path.read_bytes() for name, path in files.items()}


class Broken(Exception):
    """The fault has happened: this life goes on no further."""


class TooLate(Exception):
    """A life was shorter than the one on record, and over before its fault: that was no point."""


class Lane:
    """rdpusbd, a network around it, and a place for one client and one guest. It belongs to one thread, with which the
    kernel ends what that has started."""

    def __init__(self, test, number):
        self.number = number
        self.folder = test.folder / f'lane{number}'
        self.folder.mkdir()
        self.fake_guest, self.hostile_client = find_program('fake-guest'), find_program('hostile-client')
        self.client = self.guest = self.daemon = None
        self.lives = 0
        self.point = 0  # tells the step of the next place
        self.offered = set()  # steps that places may be of
        self.network = Network()
        self.client_port = self.network.add(CLIENT, lambda: self.daemon.port)
        self.guest_port = self.network.add(GUEST, lambda: self.guest_listens)
        self.network.start()
        (self.folder / 'conf').write_text(f'[limits]\nlogin-seconds={LOGIN_SECONDS}\n')
        for name, text in certificate().items():
            (self.folder / name).touch(mode=0o600)
            (self.folder / name).write_bytes(text)

    def begin(self):
        self.serve('127.0.0.1:0')
        self.start_guest()
        self.live()  # some of what the broker opens, it opens with the first client
        self.baseline = self.daemon.settled_descriptors()
        self.record_life()
        self.end_guest()

    def close(self):
        """Ends everything; returns what went wrong."""
        problems = []
        for thing in self.client, self.guest, self.daemon, self.network:
            try:
                if thing:
                    thing.close()
            except Exception as problem:  # whatever it is, the others have to be ended
                problems.append(f'{type(problem).__name__}: {problem}')
        return problems

    def logs(self):
        for log in (party.errors for party in (self.daemon, self.guest, self.client) if party):
            lines = [line for line in log.text()[-12000:].splitlines() if ' debug: com.' not in line]
            yield '\n'.join([f'--- {log.name}', *lines[-40:]])

    def serve(self, address):
        arguments = login(self.folder) + [
            '--config', str(self.folder / 'conf'), '--listen', address, '--certificate', str(self.folder / 'certificate.pem'),
            '--private-key', str(self.folder / 'private-key.pem')]
        self.daemon = Daemon(self.folder, [f'tcp:127.0.0.1:{self.guest_port}'], arguments,
                             name=f'rdpusbd{self.number}.{self.lives}').start()
        self.checked = 0

    # ---- Parties ----

    def start_guest(self):
        self.guest = Talker(f'guest {self.number}.{self.lives}',
                            [self.fake_guest, '--timeout', '60', '--listen', 'tcp:127.0.0.1:0'])
        self.guest_listens = int(self.guest.log.wait(r'^listening: tcp:127.0.0.1:(\d+),server=on', SOON)[1])

    def end_guest(self):
        """Every request has been answered, or the guest was told that the device has gone, and nothing else came amiss."""
        self.guest.say_no_more()
        equal(self.guest.wait(SOON), 0, 'exit status of the guest, which looks for violations')

    def start_client(self):
        self.lives += 1
        self.client = Talker(f'client {self.number}.{self.lives}', [
            self.hostile_client, '--user', USER, '--password', PASSWORD, '--server', f'127.0.0.1:{self.client_port}'])

    def signal_session(self, number):
        """With the client's first bytes the session is still on its way; when it has spoken it is there, or over by itself.
        Returns its process id, or None."""
        if not self.network.passed.get((CLIENT, DOWN)):
            wait_until(self.daemon.sessions, 'a session')
        for session in self.daemon.sessions():
            os.kill(session, number)
            return session
        return None

    # ---- A life ----

    def live(self, fault=None, attempt=''):
        """The life of a connection. With a fault it raises Broken as soon as that has happened."""
        self.fault, self.unplugged = fault, False
        self.start_client()
        self.client.say('plug')
        self.client.say('connect')
        mark = self.guest.log.mark()
        for step in TRANSFERS:
            self.guest.say(attempt + step)
        self.times = []  # when which step of life was over
        for step in TRANSFERS:
            mark = self.await_line(self.guest, attempt + step, mark)
            self.times += [(STEPS[step], time.time())] if step in STEPS else []
        self.unplugged = True
        self.client.say('unplug 5')
        self.guest.say(attempt + 'wait-disconnect')
        self.await_line(self.guest, attempt + 'wait-disconnect', mark)
        self.times.append(('detaching', time.time()))
        self.client.say_no_more()
        self.await_broken(lambda: not self.client.running() and not self.daemon.sessions(), 'the end of the session')
        equal(self.client.wait(SOON), 0, 'exit status of the client')

    def await_line(self, talker, step, mark):
        pattern = re.compile(rf'^{re.escape(step)}:(.*)$', re.MULTILINE)
        found = []

        def look():
            found[:] = [match for match in [pattern.search(talker.log.text(mark))] if match]
            return found
        self.await_broken(look, f'{talker.name}: {step}')
        if 'FAILED' in found[0][1] or 'given up' in found[0][1]:
            raise Failure(f'{talker.name}: {step}: {found[0][1]}')
        return mark + found[0].end()

    def await_broken(self, condition, what):
        def look():
            if self.fault and self.fault.fired:
                raise self.fault.problem or Broken
            return condition()
        wait_until(look, what)

    # ---- Points ----

    def record_life(self):
        """Which pieces of each stream belong to which step of an undisturbed life."""
        log = self.daemon.errors.mark()
        self.network.forget()
        self.live()
        text = self.daemon.errors.text(log)
        ends = [('login', logged_at(text, 'login of user')), ('channels', logged_at(text, 'is ready')), *self.times,
                ('ending', time.time())]
        self.steps = {}
        for stream, pieces in self.network.pieces.items():
            start = 0
            for end, when in pieces:
                name = next(name for name, limit in ends if when <= limit)
                self.steps.setdefault((stream, name), []).append((start, end))
                start = end

    def place(self, chance, streams, steps=None, first=1, spoken=False):
        """A byte of the life: each step in turn, any of the (first) pieces of that, and any byte of the piece. `spoken`: the
        client has said something, without which it gets no session."""
        names = sorted({name for stream, name in self.steps if stream in streams and (not steps or name in steps)})
        self.offered.update(names)
        step = names[self.point % len(names)]
        stream = chance.choice([stream for stream in streams if (stream, step) in self.steps])
        pieces = self.steps[stream, step]
        before, after = chance.choice(pieces[:math.ceil(first * len(pieces))])
        position = chance.randrange(before, after)
        if spoken and stream == (CLIENT, UP):
            position = max(position, 1)
        return stream, position, f'{step}, {STREAM_NAMES[stream]} at byte {position}'

    def nothing_is_left(self, limit=SOON):
        wait_until(lambda: not self.daemon.sessions(), 'the end of the session', limit)
        self.daemon.wait_descriptors(self.baseline, SOON)

    def check_logs(self):
        text = self.daemon.errors.text(self.checked)
        self.checked += len(text)
        bad = re.findall(r'^(?:(?:[\d:.]+ )?\S+: (?:error|critical): |\*\* |\(process).*$', text, re.MULTILINE)
        expect(not bad, f'the log says {bad}')
        reports = self.daemon.sanitizer_reports()
        expect(not reports, f'a sanitizer reports: {reports}')

    def check_client(self):
        """It may have failed, but not because the server did what a client could not stand."""
        if self.client.running():
            self.client.signal(signal.SIGCONT)
            self.client.say_no_more()
            self.client.wait(RECONNECT_SECONDS)
        expect('violation' not in self.client.log.text(), 'the client tells of a violation')


class Breaks:
    """So many points of one kind of fault, on all lanes. try_point(lane, chance) does one; it returns where that was."""

    def __init__(self, test, name, count, try_point):
        self.test, self.name, self.try_point = test, name, try_point
        self.todo = [int(POINT)] if POINT else list(range(count * FACTOR))
        self.count = len(self.todo)
        self.failures = []
        self.offered = set()  # steps
        self.places = []  # where something broke
        self.late = []  # where it would have

    def run(self):
        certificate()
        threads = [threading.Thread(target=self.work, args=(number,), daemon=True)
                   for number in range(min(LANES, len(self.todo)))]
        for thread in threads:
            thread.start()
        try:
            for thread in threads:
                while thread.is_alive():
                    thread.join(0.2)
        finally:
            self.todo.clear()
        steps = [place.split(',')[0] for place in self.places]
        print('# ' + ', '.join(f'{step}: {steps.count(step)}' for step in sorted(set(steps))) + f'; too late: {len(self.late)}',
              flush=True)
        if self.failures:
            raise Failure(f'{len(self.failures)} points failed:\n' + '\n'.join(self.failures))
        equal(len(self.places), self.count, 'points')
        expect(POINT or set(steps) == self.offered, f'nothing broke in {sorted(self.offered - set(steps))}')

    def work(self, number):
        for attempt in range(MAX_FAILURES):  # a lane that failed is of no use any more
            lane, where, point, problems = Lane(self.test, f'{number}-{attempt}'), ['before the fault'], -1, []
            try:
                lane.begin()
                while (point := self.next_point()) is not None:
                    self.one(lane, point, where)
                    self.places.append(where[0])
                    self.offered |= lane.offered
            except Exception as problem:
                problems = [f'{type(problem).__name__}: {problem}', *lane.logs()]
            problems += lane.close()
            if not problems:
                return
            self.failures.append(f'RDPUSB_BREAKS_SEED={SEED} RDPUSB_BREAKS_POINT={point} "{self.name}": {where[0]}: ' +
                                 '\n'.join(problems))

    def next_point(self):
        try:
            return self.todo.pop(0)
        except IndexError:
            return None

    def one(self, lane, point, where):
        chance = random.Random(f'{SEED} {self.name} {point}')
        lane.point = point
        self.hit(lane, chance, where)
        # The port is free, and the next client gets its device there.
        lane.nothing_is_left()
        lane.network.forget()
        lane.live()
        lane.nothing_is_left()
        lane.end_guest()
        lane.check_logs()

    def hit(self, lane, chance, where):
        """Draws places until the fault happens."""
        for _ in range(MAX_DRAWS):
            lane.start_guest()
            try:
                self.try_point(lane, chance, where)
                return
            except TooLate:
                self.late.append(where[0])
            lane.nothing_is_left()
            lane.end_guest()
        raise Failure(f'{MAX_DRAWS} lives were over before their faults')


counts = []  # of points


def breaks(name, count, seconds=240):
    """Registers a function(lane, chance, where) as a scenario of so many points."""
    counts.append(count)

    def register(function):
        scenario(name, seconds=seconds)(lambda test: Breaks(test, name, count, function).run())
        return function
    return register


def meet(lane, where, stream, position, text, act):
    """Lives until the fault."""
    where[0] = text
    fault = Fault(stream, position, act)
    lane.network.forget(fault)
    with contextlib.suppress(Broken):
        lane.live(fault, attempt='try ')
        has_happened(lane, fault)
    lane.fault = None  # what comes next is to go well


def has_happened(lane, fault):
    """After a whole life."""
    lane.network.forget()
    if fault.problem:
        raise fault.problem
    if not fault.fired:
        raise TooLate


def unharmed(lane, where, stream, position, text, act):
    """Lives through the fault, whole."""
    where[0] = text
    fault = Fault(stream, position, act)
    lane.network.forget(fault)
    lane.live()
    has_happened(lane, fault)


def thaw(chance, pid):
    """What is frozen goes on after a moment. There may be nothing."""
    def go_on():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
    if pid:
        timer = threading.Timer(chance.uniform(*MOMENT), go_on)
        timer.daemon = True
        timer.start()


def freeze(chance, pid):
    os.kill(pid, signal.SIGSTOP)
    thaw(chance, pid)


# ---- The client ----

@breaks('the client is killed', 24)
def client_killed(lane, chance, where):
    meet(lane, where, *lane.place(chance, ALL_STREAMS), lambda link: lane.client.signal(signal.SIGKILL))
    lane.client.wait(SOON)


@breaks('the client is frozen for a moment', 10)
def client_frozen(lane, chance, where):
    unharmed(lane, where, *lane.place(chance, ALL_STREAMS), lambda link: freeze(chance, lane.client.pid))


@breaks('the client is frozen until the limits act', 15)
def client_gone_silent(lane, chance, where):
    mark = lane.daemon.errors.mark()
    meet(lane, where, *lane.place(chance, CLIENT_STREAMS), lambda link: lane.client.signal(signal.SIGSTOP))

    begin = time.monotonic()

    def given_up():
        log = lane.daemon.errors.text(mark)
        # There is nothing to wait for when it is for the client to announce a device, and none is on its way.
        is_idle = ('control channel: ready' in log and not re.search(r'device \d+:', log) and
                   time.monotonic() - begin > MOMENT[1])
        return (is_idle or not lane.daemon.sessions() or
                re.search(r': no USB|device \d+: (?:ended|.*announced nothing|.*does not answer)', log) or
                len(re.findall(r'^try ', lane.guest.log.text(), re.MULTILINE)) >= len(TRANSFERS))
    wait_until(given_up, 'the server gives up waiting', LIMITS)
    # It is for the client to say that there is no device any more, or for the network.
    lane.client.signal(signal.SIGKILL)
    lane.client.wait(SOON)


@breaks("the client's connection is reset", 24)
def client_reset(lane, chance, where):
    meet(lane, where, *lane.place(chance, CLIENT_STREAMS), lambda link: link.reset())
    lane.check_client()


@breaks("the client's connection is half-closed", 24)
def client_half_closed(lane, chance, where):
    direction = chance.choice((UP, DOWN))
    meet(lane, where, *lane.place(chance, CLIENT_STREAMS), lambda link: link.half_close(direction))
    where[0] += f', closed {STREAM_NAMES[CLIENT, direction]}'
    lane.check_client()


@breaks("the client's connection is slow", 10)
def client_slow(lane, chance, where):
    unharmed(lane, where, *lane.place(chance, CLIENT_STREAMS), lambda link: link.slow_down())


# ---- The session and the broker ----

@breaks('the session is killed', 19)
def session_killed(lane, chance, where):
    meet(lane, where, *lane.place(chance, ALL_STREAMS, spoken=True), lambda link: lane.signal_session(signal.SIGKILL))
    lane.check_client()


@breaks('the session is frozen for a moment', 10)
def session_frozen(lane, chance, where):
    unharmed(lane, where, *lane.place(chance, ALL_STREAMS, BEFORE_THE_END, spoken=True),
             lambda link: thaw(chance, lane.signal_session(signal.SIGSTOP)))


@breaks('the session is frozen before the login', 5)
def session_frozen_early(lane, chance, where):
    # With the last of these pieces the session may have its answer already.
    place = lane.place(chance, [(CLIENT, UP)], ['login'], 0.7, spoken=True)
    meet(lane, where, *place, lambda link: lane.signal_session(signal.SIGSTOP))
    lane.nothing_is_left(LOGIN_SECONDS + KILL_SECONDS + SOON)
    lane.check_client()


@breaks('the broker is frozen for a moment', 8)
def broker_frozen(lane, chance, where):
    unharmed(lane, where, *lane.place(chance, ALL_STREAMS), lambda link: freeze(chance, lane.daemon.pid))


@breaks('the broker is killed', 10)
def broker_killed(lane, chance, where):
    sessions = []

    def kill(link):
        sessions.extend(lane.daemon.sessions())
        lane.daemon.signal(signal.SIGKILL)
    meet(lane, where, *lane.place(chance, ALL_STREAMS), kill)
    lane.daemon.kill()
    lane.check_client()
    for session in sessions:
        lane.daemon.wait_session_ends(session, SOON)
    lane.check_logs()
    lane.serve(f'127.0.0.1:{lane.daemon.port}')
    lane.network.forget()
    lane.live()
    lane.baseline = lane.daemon.settled_descriptors()


# ---- The guest ----

def go_on(lane):
    """The client has noticed nothing: its device serves the guest that is there now, and leaves when it is unplugged."""
    mark = lane.guest.log.mark()
    if not lane.unplugged:
        for step in TRANSFERS[0], TRANSFERS[-1]:
            lane.guest.say(step)
            mark = lane.await_line(lane.guest, step, mark)
        lane.client.say('unplug 5')
        lane.guest.say('wait-disconnect')
        lane.await_line(lane.guest, 'wait-disconnect', mark)
    lane.client.say_no_more()
    equal(lane.client.wait(SOON), 0, 'exit status of the client')


@breaks('the guest is killed', 12)
def guest_killed(lane, chance, where):
    meet(lane, where, *lane.place(chance, GUEST_STREAMS), lambda link: lane.guest.signal(signal.SIGKILL))
    lane.guest.kill()
    lane.start_guest()
    go_on(lane)


@breaks('the guest is frozen for a moment', 6)
def guest_frozen(lane, chance, where):
    unharmed(lane, where, *lane.place(chance, ALL_STREAMS), lambda link: freeze(chance, lane.guest.pid))


@breaks('the guest is frozen when the client leaves', 8)
def guest_frozen_at_the_end(lane, chance, where):
    meet(lane, where, *lane.place(chance, GUEST_STREAMS), lambda link: lane.guest.signal(signal.SIGSTOP))
    lane.client.signal(chance.choice((signal.SIGKILL, signal.SIGTERM)))
    lane.client.wait(SOON)
    lane.nothing_is_left()
    lane.guest.signal(signal.SIGCONT)


@breaks("the guest's connection is reset or half-closed", 10)
def guest_cut_off(lane, chance, where):
    act = chance.choice((lambda link: link.reset(), lambda link: link.half_close(UP), lambda link: link.half_close(DOWN)))
    meet(lane, where, *lane.place(chance, GUEST_STREAMS), act)
    go_on(lane)


@breaks("the guest's connection is slow", 5)
def guest_slow(lane, chance, where):
    unharmed(lane, where, *lane.place(chance, GUEST_STREAMS), lambda link: link.slow_down())


equal(sum(counts), TOTAL, 'points')
main()
