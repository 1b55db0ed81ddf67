#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""rdpusbd against session processes that somebody has taken over: fake-session does what it is told on the link.

Two users, each with a VM: whatever a session of one tries, it reaches neither the device nor the VM of the other, and costs
the broker little."""

import json
import pathlib
import re
import socket
import subprocess

from daemon import BUILD, Daemon, find_program, write_rules
from process import Failure, Log
from tap import equal, expect, main, scenario

SOON = 10
MIB = 1 << 20
BROKER_MEMORY = 32 * MIB
USERS = {'alice': 'correct-horse', 'bob': 'battery-staple'}
INVALID, DENIED, NO_VM = (f'error org.rdpusb.Error.{name}' for name in ('Invalid', 'Denied', 'NoVm'))
EVENTS = 'connect|capture|waiting|received|eof|detach|disconnect|terminate'
MAX_INVALID_CALLS = 16


def is_sanitized():
    options = json.loads((BUILD / 'meson-info' / 'intro-buildoptions.json').read_text())
    return any(option['name'] == 'b_sanitize' and option['value'] not in ('none', []) for option in options)


class Guest:
    """A VM's port: listens, and keeps what comes; `log` is that of the last stream."""

    def __init__(self, path):
        self.path = path
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen(8)
        self.listener.settimeout(SOON)
        self.streams, self.logs = [], []

    def accept(self):
        stream, _ = self.listener.accept()
        self.streams.append(stream)
        self.log = Log(f'{self.path.name}, stream {len(self.streams)}')
        self.logs.append(self.log)
        self.log.follow(lambda: stream.recv(4096))
        return stream

    def close(self):
        for stream in [self.listener, *self.streams]:
            stream.close()


class Session:
    """A connection, and a session process behind it that does what it is told."""

    def __init__(self, daemon, name=None, link=True):
        self._socket = socket.create_connection(('127.0.0.1', daemon.port), SOON)
        self._socket.settimeout(None)
        self.log = Log(f'session of {name}')
        self.logs = [self.log]
        self.log.follow(lambda: self._socket.recv(4096))
        if link:
            equal(self.ask('link'), 'linked', 'link')
        if name:
            self.ask('configure')
            self.name, self.vm = self.log_in(name).split()[1:]

    def log_in(self, name):
        """The words of the answer."""
        return self.ask(f'authenticate {name} {USERS[re.split(r"[@]", name.split(chr(92))[-1])[0].lower()]}')

    def tell(self, command):
        mark = self.log.mark()
        self._socket.sendall(command.encode() + b'\n')
        return mark

    def ask(self, command):
        """Gives a command; returns its answer, between which events may come."""
        mark = self.tell(command)
        return self.log.wait(rf'^(?!(?:{EVENTS})\b)(.+)$', SOON, mark)[1]

    def event(self, pattern, since=0):
        return self.log.wait('^' + pattern, SOON, since)

    def refused(self, error, command):
        answer = self.ask(command)
        expect(answer.startswith(error), f'{command[:100]}: {answer!r} instead of {error!r}')

    def ended(self):
        expect(self.log.wait_closed(SOON), 'the session goes on')

    def close(self):
        try:
            self._socket.shutdown(socket.SHUT_RDWR)  # close() alone would not end the thread that reads
        except OSError:
            pass  # the other end was faster
        self._socket.close()


class World:
    """rdpusbd with two users, who have a VM each, with one port."""

    def __init__(self, test):
        self.test = test
        self.guests = {}
        lines = ['[rdpusbd]', 'security=tls', f'users-file={test.folder / "users"}']
        for name, password in USERS.items():
            done = subprocess.run([find_program('rdpusbctl'), 'user', 'add', name, '--users-file', test.folder / 'users'],
                                  input=password.encode() + b'\n', capture_output=True, timeout=SOON)
            equal(done.returncode, 0, f'rdpusbctl user add: {done.stderr}')
        for vm, name in ('vm-a', 'alice'), ('vm-b', 'bob'):
            self.guests[vm] = test.keep(Guest(test.folder / vm))
            lines += [f'[vm {vm}]', f'ports=unix:{test.folder / vm}', f'users={name}']
        (test.folder / 'rdpusbd.conf').write_text('\n'.join(lines) + '\n')
        self.daemon = test.keep(Daemon(test.folder, (), [
            '--config', str(test.folder / 'rdpusbd.conf'), '--listen', '127.0.0.1:0', '--log-level', 'debug',
            '--rules-dir', str(write_rules(test.folder, 'allow'))],
            wrapper=['env', f'RDPUSB_SESSION={find_program("fake-session")}'])).start()
        self.a, self.b = self.guests.values()

    def session(self, name=None, link=True):
        return self.test.keep(Session(self.daemon, name, link))

    def attached(self, name, guest, number=5):
        """A session with a device, on whose stream the guest has heard its name."""
        session = self.session(name)
        mark = session.log.mark()
        equal(session.ask(f'attach {number} stick 1'), 'attached', 'attach')
        session.event(f'connect {number} unix:{re.escape(str(guest.path))}$', mark)
        guest.accept()
        self.works(session, guest, number)
        return session

    def works(self, session, guest, number=5):
        mark = guest.log.mark()
        equal(session.ask(f'send {number} {session.name}\\n'), 'sent', 'send')
        guest.log.wait(f'^{session.name}$', SOON, mark)

    def check_memory(self):
        status = pathlib.Path(f'/proc/{self.daemon.pid}/status').read_text()
        peak = int(re.search(r'^VmHWM:\s*(\d+) kB', status, re.MULTILINE)[1]) * 1024
        expect(is_sanitized() or peak < BROKER_MEMORY, f'the broker had {peak} bytes of memory')


# ---- Whose is what ----

@scenario("a user logs in to nobody else's VM, whatever they call it")
def foreign_vm(test):
    world = World(test)
    world.attached('alice', world.a)
    for name in r'vm-a\bob', 'bob@vm-a', r'VM-A\bob', 'Bob@Vm-A':
        session = world.session()
        session.ask('configure')
        answer = session.log_in(name)
        expect(answer.startswith(NO_VM), f'{name}: {answer!r}')
        session.refused(INVALID, 'attach 1 stick 1')
    for name in r'..\bob', 'bob@vm-a@vm-b', r'vm-a\bob@vm-b':  # these are no VMs, or the last one is
        session = world.session()
        session.ask('configure')
        answer = session.log_in(name) if 'bob@vm-a@' not in name else session.ask(f'authenticate {name} {USERS["bob"]}')
        expect(answer.startswith('error') or answer.endswith(' vm-b'), f'{name}: {answer!r}')
    # Who is logged in stays who they are.
    bob = world.session('bob')
    equal((bob.name, bob.vm), ('bob', 'vm-b'), 'user and VM')
    for name in 'alice', r'vm-a\bob', r'vm-a\alice':
        answer = bob.log_in(name)
        expect(answer.startswith(INVALID), f'{name}: {answer!r}')
    bob.ask('attach 1 stick 1')
    bob.event(r'connect 1 unix:\S*/vm-b$')
    world.check_memory()


@scenario("a session's device and stream are nobody else's, whatever number they have")
def foreign_devices(test):
    world = World(test)
    alice = world.attached('alice', world.a, 5)
    # No device of its own: every number is refused, and soon the session with it.
    thief = world.session('bob')
    for number in (0, 1, 4, 5, 6, 7, 4294967295):
        thief.refused(INVALID, f'lost {number} mine')
        thief.refused(INVALID, f'detached {number} mine')
    world.works(alice, world.a)
    thief.ask('detached 5 mine')
    thief.tell('detached 5 mine')
    thief.ended()
    # With the number of the other, and its whole description: it is a device of its own.
    thief = world.attached('bob', world.b, 5)
    world.works(alice, world.a)
    equal(thief.ask('detached 5 mine'), 'told', 'detached')
    thief.refused(INVALID, 'lost 5 mine')
    world.works(alice, world.a)
    expect('bob' not in world.a.log.text() and 'alice' not in world.b.log.text(), 'a guest heard of the other')
    # More devices than ports: one waits, though there is a free port of the other VM.
    equal(alice.ask('detached 5 unplugged'), 'told', 'detached')
    for number in 1, 2:
        mark = thief.log.mark()
        thief.ask(f'attach {number} stick 1')
    thief.event('waiting 2 no free port', mark)
    equal(len(world.a.streams), 1, 'connections to the VM of alice')
    world.attached('alice', world.a)
    world.check_memory()


@scenario('a stream ends with its device, whoever still holds it')
def stale_stream(test):
    world = World(test)
    alice = world.attached('alice', world.a)
    first = world.a.streams[-1]
    # fake-session keeps its descriptor.
    equal(alice.ask('detached 5 unplugged'), 'told', 'detached')
    alice.event('eof 5')
    expect(world.a.log.wait_closed(SOON), 'the VM was not told')
    next_alice = world.session('alice')
    next_alice.ask('attach 5 stick 1')
    next_alice.event('connect 5')
    world.a.accept()
    answer = alice.ask('send 5 stale\\n')
    expect(answer.startswith('error'), f'sent on a stream that has ended: {answer!r}')
    for command in 'lost 5 mine', 'detached 5 mine':
        alice.refused(INVALID, command)
    world.works(next_alice, world.a)
    expect('stale' not in world.a.log.text(), 'the VM heard the old session')
    first.close()


@scenario('nothing works before the login, or before the settings')
def too_early(test):
    world = World(test)
    session = world.session()
    for command in ('attach 1 stick 1', 'lost 1 x', 'detached 1 x', f'authenticate alice {USERS["alice"]}'):
        session.refused(INVALID, command)
    session.ask('configure')
    for command in ('attach 1 stick 1', 'lost 1 x', 'detached 1 x', 'configure'):
        session.refused(INVALID, command)
    answer = session.log_in('alice')
    equal(answer, 'authenticated alice vm-a', 'login')
    session.ask('attach 1 stick 1')
    session.event('connect 1')


# ---- What it costs ----

LONG = 50000  # the longest message is 64 KiB


@scenario('long texts on the link cost no more than short ones')
def long_texts(test):
    world = World(test)
    alice = world.attached('alice', world.a)
    text = 'x' * LONG
    early = world.session()
    early.ask('configure')
    early.refused('error', f'authenticate {text} x')
    early.refused('error', f'authenticate alice {text}')
    bob = world.session('bob')
    bob.refused(INVALID, f'attach 1 {text} x')
    bob.refused(INVALID, f'detached 1 {text}')
    bob.ask('attach 1 stick 1')
    equal(bob.ask(f'detached 1 {text}'), 'told', 'detached')
    world.works(alice, world.a)
    longest = max(map(len, world.daemon.errors.text().splitlines()))
    expect(longest < 4096, f'a line of the log has {longest} characters')
    world.check_memory()


@scenario('a message of 32 MiB, a line as long and 75 000 descriptors end their session, and cost little')
def large_messages(test):
    world = World(test)
    alice = world.attached('alice', world.a)
    before = world.daemon.settled_descriptors()
    for command in 'large 32', 'large 1', 'descriptors 250 300', f'detached 1 {"x" * MIB}':
        log = world.daemon.errors.mark()
        bob = world.session('bob')
        bob.tell(command)
        if not command.startswith('descriptors'):
            world.daemon.errors.wait('link closed: the session sent a message that is too long', SOON, log)
        else:
            # They never come in: what there is, is there for the session itself.
            bob.log.wait('^(sent|error)', SOON)
            expect(len(world.daemon.descriptors()) < len(before) + 10, 'the broker has the descriptors of a session')
            bob.close()
        world.daemon.wait_descriptors(before)
        world.works(alice, world.a)
    silent = world.session(link=False)
    silent.tell('line 32')
    silent.ended()
    world.daemon.wait_descriptors(before)
    world.works(alice, world.a)
    world.check_memory()


MAX_STREAMS = 32 + 16  # that a session has not taken: max-device-channels, and some


@scenario('a session that takes nothing of what it is sent is ended, and costs few descriptors')
def deaf_session(test):
    world = World(test)
    alice = world.attached('alice', world.a)
    before = world.daemon.settled_descriptors()
    bob = world.session('bob')
    bob.ask('deaf')
    log = world.daemon.errors.mark()
    with_bob = len(world.daemon.descriptors())
    most = 0
    for _ in range(MAX_STREAMS + 1):
        bob.ask('shout attach')
        world.b.accept()
        bob.ask('shout detached')
        most = max(most, len(world.daemon.descriptors()))
    world.daemon.errors.wait('link closed: the session does not answer', SOON, log)
    expect(most - with_bob < MAX_STREAMS + 8, f'{most - with_bob} descriptors for a session that takes nothing')
    bob.ended()
    world.daemon.wait_descriptors(before)
    world.works(alice, world.a)
    world.check_memory()


main()
