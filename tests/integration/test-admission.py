#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Floods of connections that do not log in, and a user who does."""

import contextlib
import pathlib
import re
import selectors
import socket
import ssl
import threading
import time

import rdp
from daemon import Daemon, find_program
from process import Failure
from tap import equal, expect, main, scenario

FLOOD = 200
FULL, PER_SOURCE = 100, 32  # max-startups and max-startups-per-source of rdpusbd.conf(5)
LOGIN_SECONDS = 300  # nobody waits for it
SHORT_LOGIN_SECONDS = 15
SILENT_SECONDS = 10
END_SECONDS = 15  # for a hundred sessions
CLIENT_SECONDS = 30  # a client of its own takes less than two, but processors are shared with the flood
OWN, OTHER = '127.0.0.1', '127.0.0.2'  # of the user, and of somebody else
MANY = [f'127.0.1.{n}' for n in range(1, FLOOD + 1)]
NEGOTIATION = bytes.fromhex('030000130ee000000000000100080001000000')  # [MS-RDPBCGR] 2.2.1.1, for TLS
MEMORY_GROWTH = 1 << 20


def half_a_hello():
    """The first half of what a TLS client says first."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    ours, theirs = ssl.MemoryBIO(), ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        context.wrap_bio(theirs, ours).do_handshake()
    hello = ours.read()
    return hello[:len(hello) // 2]


SILENT, HALF = b'', NEGOTIATION + half_a_hello()


class Flood:
    """FLOOD connections to a port from these addresses in turn, which say these words and nothing else. With `refill`, each that the server
    closes is opened again at once."""

    def __init__(self, port, sources, words, refill=False):
        self._port, self._sources, self._words, self._refill = port, sources, words, refill
        self._selector = selectors.DefaultSelector()
        self._stop = False
        self.opened = self.closed = 0
        for _ in range(FLOOD):
            self._open()
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def _open(self):
        client = socket.socket()
        client.setblocking(False)
        client.bind((self._sources[self.opened % len(self._sources)], 0))
        client.connect_ex(('127.0.0.1', self._port))
        self.opened += 1
        self._selector.register(client, selectors.EVENT_WRITE)

    def _on_event(self, key, events):
        try:
            if events & selectors.EVENT_WRITE:
                key.fileobj.sendall(self._words)
                self._selector.modify(key.fileobj, selectors.EVENT_READ)
                return
            if key.fileobj.recv(4096):
                return
        except ConnectionError:
            pass
        self._selector.unregister(key.fileobj)
        key.fileobj.close()
        self.closed += 1
        if self._refill:
            self._open()

    def _follow(self):
        while not self._stop:
            for key, events in self._selector.select(0.1):
                self._on_event(key, events)

    def wait_closed(self, number, timeout):
        """Waits until the server has closed so many."""
        deadline = time.monotonic() + timeout
        while self.closed < number:
            if time.monotonic() > deadline:
                raise Failure(f'{self.closed} of {number} connections were closed within {timeout} s')
            time.sleep(0.05)  # the thread above counts, and tells nobody

    def close(self):
        self._stop = True
        self._thread.join()
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()
        self._selector.close()


@contextlib.contextmanager
def flood(*arguments, **options):
    it = Flood(*arguments, **options)
    try:
        yield it
    finally:
        it.close()


class House:
    """rdpusbd, and a user who comes and goes. The first time, GLib and the allocator take what they keep."""

    def __init__(self, test, login_seconds=LOGIN_SECONDS):
        self.test = test
        (test.folder / 'rdpusbd.conf').write_text(f'[limits]\nlogin-seconds={login_seconds}\n')
        self.daemon = test.keep(Daemon(test.folder, [f'unix:{test.folder / "port"}'],
                                       options=['--config', str(test.folder / 'rdpusbd.conf')])).start()
        self.user_comes_and_goes()
        self.descriptors = self.daemon.settled_descriptors()

    def user_comes_and_goes(self, tries=1):
        for _ in range(tries):
            mark = self.daemon.errors.mark()
            client = self.test.keep(rdp.Client(self.test.folder, rdp.CLIENTS[0], self.daemon.port))
            while client.running():
                try:
                    self.daemon.errors.wait('login of user "alice" from 127.0.0.1:.* accepted', 0.2, mark)
                except Failure:
                    continue
                self._check_out(client, mark)
                return
        raise Failure(f'the user did not get in with {tries} tries: {client.log.text()[-2000:]}')

    def _check_out(self, client, mark):
        address = re.search('login of user "alice" from (.*) accepted', self.daemon.errors.text(mark))[1]
        client.close()
        self.daemon.errors.wait(rf'connection from {re.escape(address)} ended', CLIENT_SECONDS, mark)

    def memory(self):
        status = pathlib.Path(f'/proc/{self.daemon.pid}/status').read_text()
        return int(re.search(r'^VmRSS:\s*(\d+) kB', status, re.MULTILINE)[1]) * 1024

    def check_empty(self):
        """Nothing is left of a flood that has ended."""
        self.daemon.wait_descriptors(self.descriptors, END_SECONDS)
        equal(self.daemon.sessions(), [], 'sessions')

    def check_quiet(self, seconds):
        """A flood writes some lines a second, not one for each connection that was dropped."""
        lines = re.findall('connections? .*max-startups', self.daemon.errors.text())
        expect(1 <= len(lines) <= seconds + 1, f'{len(lines)} lines about dropped connections in {seconds:.0f} s')


def is_sanitized():
    return b'__asan_init' in find_program('rdpusbd').read_bytes()


@scenario('connections that say nothing cost no session and keep nobody out', seconds=150)
def silent(test):
    house = House(test)
    begin = time.monotonic()
    with flood(house.daemon.port, [OTHER], SILENT) as crowd:
        house.user_comes_and_goes()
        crowd.wait_closed(FLOOD - PER_SOURCE, CLIENT_SECONDS)
        equal(house.daemon.sessions(), [], 'sessions of silent clients')
        house.check_quiet(time.monotonic() - begin)
        crowd.wait_closed(FLOOD, SILENT_SECONDS + 5)
        house.check_empty()
    before = house.memory()
    with flood(house.daemon.port, [OTHER], SILENT) as crowd:
        crowd.wait_closed(FLOOD, SILENT_SECONDS + 5)
    house.check_empty()
    growth = house.memory() - before
    expect(growth < MEMORY_GROWTH or is_sanitized(), f'the broker grew by {growth} bytes with a second flood')


@scenario('connections that stop in the middle of TLS keep nobody out, and end in time', seconds=150)
def half_done(test):
    house = House(test, SHORT_LOGIN_SECONDS)
    with flood(house.daemon.port, [OTHER], HALF) as crowd:
        house.user_comes_and_goes()
        crowd.wait_closed(FLOOD, SHORT_LOGIN_SECONDS + END_SECONDS)
    house.check_empty()


def check_stands(test, sources, most):
    """A flood of which `most` connections stand; the user takes the place of one of them with each try."""
    house = House(test)
    with flood(house.daemon.port, sources, HALF) as crowd:
        crowd.wait_closed(FLOOD - most, CLIENT_SECONDS)
        expect(len(house.daemon.sessions()) <= most, 'there are more sessions than these addresses can have')
        house.user_comes_and_goes(tries=3)
        expect(FLOOD - most <= crowd.closed <= FLOOD - most + 3, f'{crowd.closed} connections of the flood were closed')
    house.check_empty()


@scenario("nor when they come from the user's own address", seconds=150)
def same_address(test):
    check_stands(test, [OWN], PER_SOURCE)


@scenario('nor when each comes from an address of its own', seconds=150)
def many_addresses(test):
    check_stands(test, MANY, FULL)


@scenario('nor when they come again at once', seconds=150, each=('silent', 'half done'))
def refilled(test, kind):
    house = House(test)
    with flood(house.daemon.port, [OTHER], SILENT if kind == 'silent' else HALF, refill=True) as crowd:
        crowd.wait_closed(FLOOD, CLIENT_SECONDS)
        house.user_comes_and_goes()
        crowd.wait_closed(crowd.closed + FLOOD, CLIENT_SECONDS)
        house.user_comes_and_goes()
        expect(len(house.daemon.sessions()) <= PER_SOURCE, 'there are more sessions than one address can have')
    house.check_empty()


main()
