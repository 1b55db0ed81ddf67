#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A thousand clients come and go: the broker holds no more after them than before.

RDPUSB_SOAK=10000 makes it ten thousand; RDPUSB_SOAK_SEED chooses another order of the clients."""

import json
import os
import pathlib
import random
import re
import socket
import ssl
import threading
import time

from daemon import BUILD, PASSWORD, USER, Daemon, find_program
from process import Failure
from talker import Talker
from tap import equal, expect, main, scenario

COUNT = int(os.environ.get('RDPUSB_SOAK', '1000'))
SEED = os.environ.get('RDPUSB_SOAK_SEED', '1')
WARM_UP = 100
GROWTH = 512 << 10  # bytes, whatever the count: what an allocator keeps for its own ends
LATE_GROWTH = 128 << 10  # of these, in the second half: it has what it needs by then
LANES = 4
SESSIONS = 8  # at a time, those that are ending among them
SOON = 10
LOGINS = 10  # one client of so many logs in and brings a device
NEGOTIATION = bytes.fromhex('030000130ee000000000000100080001000000')  # [MS-RDPBCGR] 2.2.1.1, for TLS


def is_sanitized():
    options = json.loads((BUILD / 'meson-info' / 'intro-buildoptions.json').read_text())
    return any(option['name'] == 'b_sanitize' and option['value'] not in ('none', []) for option in options)


def memory(pid):
    """What a process has in memory that is its own, in bytes."""
    status = pathlib.Path(f'/proc/{pid}/status').read_text()
    return int(re.search(r'^RssAnon:\s*(\d+) kB', status, re.MULTILINE)[1]) * 1024


class Crowd:
    """Clients of all kinds, several at a time, each for a moment."""

    def __init__(self, test):
        self.listener = [find_program('fake-guest'), '--listen', f'unix:{test.folder / "port"}', '--timeout', '60']
        self.guest = test.keep(Talker('guest', self.listener))
        self.guest.log.wait('^listening', SOON)
        self.daemon = test.keep(Daemon(test.folder, [f'unix:{test.folder / "port"}'])).start()
        self.client = [find_program('hostile-client'), '--user', USER, '--password', PASSWORD,
                       '--server', f'127.0.0.1:{self.daemon.port}']
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.tls.check_hostname = False
        self.tls.verify_mode = ssl.CERT_NONE
        self.kinds = [self.connect, self.connect, self.ask, self.ask, self.ask, self.rubbish, self.greet, self.greet]
        self.one_device = threading.Lock()
        self.problems = []

    # ---- What a client does before it hangs up ----

    def open(self):
        return socket.create_connection(('127.0.0.1', self.daemon.port), SOON)

    def connect(self):
        self.open().close()

    def ask(self):
        with self.open() as server:
            server.sendall(NEGOTIATION)
            equal(len(server.recv(19)), 19, 'size of the answer to the negotiation')

    def rubbish(self):
        with self.open() as server:
            server.sendall(b'GET / HTTP/1.1\r\n\r\n')

    def greet(self):
        with self.open() as server:
            server.sendall(NEGOTIATION)
            equal(len(server.recv(19)), 19, 'size of the answer to the negotiation')
            self.tls.wrap_socket(server).close()

    def log_in(self):
        with self.one_device:  # there is one guest
            client = Talker('client', self.client)
            try:
                client.steps('plug', 'connect')
                self.guest.steps('attach', 'loopback 0x01 0x81 4096')
                client.finish()
                self.guest.steps('wait-disconnect')
            finally:
                client.close()

    # ---- Many of them ----

    def come_and_go(self, count, order):
        kinds = [self.log_in if number % LOGINS == 0 else order.choice(self.kinds) for number in range(count)]
        threads = [threading.Thread(target=self.work, args=(kinds,), daemon=True) for _ in range(LANES)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if self.problems:
            raise Failure('; '.join(self.problems))
        self.await_sessions(0)

    def work(self, kinds):
        while True:
            try:
                kind = kinds.pop()
            except IndexError:
                return
            try:
                kind()
                self.await_sessions(SESSIONS)
            except Exception as problem:
                self.problems.append(f'{kind.__name__}: {type(problem).__name__}: {problem}')
                kinds.clear()

    def await_sessions(self, most):
        """Nothing tells when a session has ended, so this asks."""
        deadline = time.monotonic() + SOON
        while len(sessions := self.daemon.sessions()) > most:
            if time.monotonic() > deadline:
                raise Failure(f'{len(sessions)} sessions do not end')
            time.sleep(0.03)


@scenario(f'{COUNT} clients come and go, and leave nothing in the broker', seconds=240 + COUNT // 5)
def soak(test):
    order = random.Random(SEED)
    crowd = Crowd(test)
    crowd.come_and_go(WARM_UP, order)
    descriptors, before = crowd.daemon.settled_descriptors(), memory(crowd.daemon.pid)
    crowd.come_and_go(COUNT // 2, order)
    half = memory(crowd.daemon.pid)
    crowd.come_and_go(COUNT - COUNT // 2, order)
    crowd.daemon.wait_descriptors(descriptors)
    after = memory(crowd.daemon.pid)
    told = ', '.join(f'{size >> 10} KiB' for size in (before, half, after))
    print(f'# memory of the broker after {WARM_UP} clients, half of {COUNT}, and all: {told}', flush=True)
    # A sanitizer keeps what is freed for long; it looks for leaks itself when rdpusbd ends.
    if not is_sanitized():
        expect(after - before <= GROWTH and after - half <= LATE_GROWTH, f'the memory of the broker grows: {told}')
    crowd.guest.finish()


main()
