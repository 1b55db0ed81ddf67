# SPDX-License-Identifier: LGPL-2.1-or-later
"""A network that breaks at a chosen byte: passes TCP connections on, counts, and does something there."""

import contextlib
import selectors
import socket
import struct
import threading
import time

PIECE = 65536
THROTTLE_BYTES, THROTTLE_SECONDS = 1024, 0.005  # 200 kB/s

UP, DOWN = 'up', 'down'  # from the one who connects, and towards it


class Fault:
    """What is to happen when `position` bytes have passed `stream`, once. `act(link)` is called by the network; if it fails,
    `problem` says why."""

    def __init__(self, stream, position, act):
        self.stream, self.position, self.act = stream, position, act
        self.fired = False
        self.problem = None

    def fire(self, link):
        try:
            self.act(link)
        except Exception as problem:  # the network goes on; whoever waits for the fault tells of it
            self.problem = problem
        self.fired = True


class Network:
    """Some relays in one thread. A stream is (relay's name, direction); `passed` has its bytes, `pieces` where each piece of
    them ended, and when it passed."""

    def __init__(self):
        self._selector = selectors.DefaultSelector()
        self._waker, self._wakened = socket.socketpair()
        self._selector.register(self._wakened, selectors.EVENT_READ, self._stop)
        self._links = set()
        self._running = True
        self._relays = []
        self._turn = threading.Lock()
        self.logs = []
        self.forget()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self):
        self._thread.start()
        return self

    def add(self, name, target):
        """Before start(): a port that leads to the TCP port which target() tells; returns its number."""
        listener = socket.create_server(('127.0.0.1', 0))
        listener.setblocking(False)
        self._selector.register(listener, selectors.EVENT_READ, lambda: self._accept(listener, name, target))
        self._relays.append(listener)
        return listener.getsockname()[1]

    def forget(self, fault=None):
        """Counts anew; while no connection is there. The fault before has happened by then, or never will."""
        with self._turn:
            self.passed = {}
            self.pieces = {}
            self.fault = fault

    def close(self):
        self._running = False
        self._waker.send(b'x')
        self._thread.join(5)
        for link in list(self._links):
            link.close()
        for listener in self._relays:
            listener.close()
        self._selector.close()
        self._waker.close()
        self._wakened.close()

    def _stop(self):
        self._wakened.recv(1)

    def _run(self):
        while self._running:
            due = [pipe.not_before for link in self._links for pipe in link.pipes if pipe.not_before]
            timeout = max(0, min(due) - time.monotonic()) if due else None
            events = self._selector.select(timeout)
            with self._turn:
                for key, _ in events:
                    if key.fileobj.fileno() >= 0:  # a link may have been closed by what came before
                        key.data()
                for link in list(self._links):
                    link.turn()

    def _accept(self, listener, name, target):
        near, _ = listener.accept()
        try:
            far = socket.create_connection(('127.0.0.1', target()), 5)
        except OSError:
            near.close()  # as if nobody listened here
            return
        self._links.add(Link(self, name, near, far))

    def take(self, stream, data, link):
        """Counts what is about to pass; returns what comes before the fault and after it."""
        passed = self.passed.get(stream, 0)
        self.passed[stream] = passed + len(data)
        self.pieces.setdefault(stream, []).append((passed + len(data), time.time()))
        fault = self.fault
        if fault and not fault.fired and fault.stream == stream and passed + len(data) > fault.position:
            return data[:fault.position - passed], data[fault.position - passed:], fault
        return data, b'', None


class Link:
    """One connection through the network."""

    def __init__(self, network, name, near, far):
        self.network, self.near, self.far = network, near, far
        self.pipes = [Pipe(self, (name, UP), near, far), Pipe(self, (name, DOWN), far, near)]
        for end in near, far:
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            end.setblocking(False)
            network._selector.register(end, selectors.EVENT_READ, lambda: None)
        self.is_open = True

    def turn(self):
        """Whatever can go on does."""
        for pipe in self.pipes:
            if self.is_open:
                pipe.turn()
        if self.is_open and all(pipe.is_over for pipe in self.pipes):
            self.close()
        for end, reads, writes in self._ends():
            events = (selectors.EVENT_READ if reads.wants_more() else 0) | (selectors.EVENT_WRITE if writes.is_stuck() else 0)
            with contextlib.suppress(KeyError):
                self.network._selector.unregister(end)
            if events:
                self.network._selector.register(end, events, lambda: None)

    def _ends(self):
        up, down = self.pipes
        return [(self.near, up, down), (self.far, down, up)] if self.is_open else []

    def close(self):
        self.is_open = False
        self.network._links.discard(self)
        for end in self.near, self.far:
            with contextlib.suppress(KeyError):
                self.network._selector.unregister(end)
            end.close()

    # What a fault can do to it.

    def reset(self):
        for end in self.near, self.far:
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
        self.close()

    def half_close(self, direction):
        """Its receiver sees the end; what else comes that way is lost."""
        self._pipe(direction).end(drop=True)

    def slow_down(self):
        for pipe in self.pipes:
            pipe.throttled = True

    def _pipe(self, direction):
        return self.pipes[0 if direction == UP else 1]


class Pipe:
    """One direction of a link."""

    def __init__(self, link, stream, source, sink):
        self._link, self._stream, self._source, self._sink = link, stream, source, sink
        self._pending = b''
        self._source_ended = False
        self._drops = False
        self.throttled = False
        self.not_before = 0
        self.is_over = False

    def wants_more(self):
        return not self._source_ended and not self._pending

    def is_stuck(self):
        return bool(self._pending) and not self.not_before

    def turn(self):
        try:
            if self.wants_more():
                self._read()
            self._write()
        except BlockingIOError:
            pass
        except OSError:
            # As the network does it: who resets one side resets the other.
            if self._link.is_open:
                self._link.reset()

    def _read(self):
        data = self._source.recv(PIECE)
        if not data:
            self._source_ended = True
            if not self._pending:
                self.end()
        elif not self._drops:
            before, after, fault = self._link.network.take(self._stream, data, self._link)
            self._pending = before
            if fault:
                with contextlib.suppress(BlockingIOError):
                    self._write()
                fault.fire(self._link)
                if not self._drops and self._link.is_open:
                    self._pending += after

    def _write(self):
        if not self._link.is_open or time.monotonic() < self.not_before:
            return
        self.not_before = 0
        while self._pending:
            size = self._sink.send(self._pending[:THROTTLE_BYTES] if self.throttled else self._pending)
            self._pending = self._pending[size:]
            if self.throttled and self._pending:
                self.not_before = time.monotonic() + THROTTLE_SECONDS
                return
        if self._source_ended:
            self.end()

    def end(self, drop=False):
        if drop:
            self._drops, self._pending = True, b''
        if self.is_over:
            return
        self.is_over = drop is False or self._source_ended
        with contextlib.suppress(OSError):
            self._sink.shutdown(socket.SHUT_WR)
