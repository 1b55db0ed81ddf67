#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""rdpusbd against a session that is told what to do (fake-session.c) and guests that are sockets.

Usage: test-broker.py RDPUSBD FAKE-SESSION. Prints TAP. Whatever is awaited has LIMIT seconds.
"""

import os
import pathlib
import queue
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
import traceback

RDPUSBD, FAKE_SESSION = (os.path.abspath(path) for path in sys.argv[1:3])
LIMIT = 10
STATE = tempfile.mkdtemp(prefix='rdpusbd-state-')  # one certificate is enough for most
USER, PASSWORD = 'alice', 'correct-horse'


class Failure(Exception):
    pass


def check(condition, text):
    if not condition:
        raise Failure(text)


class Folder:
    """A folder of one test: files by name."""

    def __init__(self):
        self.path = tempfile.mkdtemp(prefix='rdpusbd-')
        self.password_file = self.write('password', PASSWORD + '\nsecond line\n', 0o600)

    def __truediv__(self, name):
        return os.path.join(self.path, name)

    def write(self, name, text, mode=0o644):
        with open(self / name, 'w') as file:
            file.write(text)
        os.chmod(self / name, mode)
        return self / name


class Lines:
    """The lines of a stream, read in the background; looked for in order."""

    def __init__(self, stream):
        self.queue = queue.Queue()
        self.seen = []
        self.thread = threading.Thread(target=self.read, args=(stream,), daemon=True)
        self.thread.start()

    def read(self, stream):
        for line in stream:
            self.queue.put(line.rstrip('\n'))
        self.queue.put(None)

    def next(self, what='a line', limit=LIMIT):
        try:
            line = self.queue.get(timeout=limit)
        except queue.Empty:
            raise Failure(f'no line within {limit} s, but expected {what}; before: {self.last()}')
        if line is None:
            self.queue.put(None)
            raise EOFError(f'end of lines, but expected {what}; before: {self.last()}')
        self.seen.append(line)
        return line

    def last(self):
        return [line[:150] for line in self.seen[-8:]]

    def find(self, pattern):
        while True:
            line = self.next(pattern)
            match = re.search(pattern, line)
            if match:
                return match

    def rest(self):
        while True:
            try:
                self.next('the end')
            except EOFError:
                return self.seen


def run(*arguments, folder, session=FAKE_SESSION):
    """Runs rdpusbd, which is expected to end by itself: (exit status, standard error)."""
    done = subprocess.run([RDPUSBD, *arguments], capture_output=True, text=True, timeout=LIMIT,
                          cwd=folder.path, env={**os.environ, 'RDPUSB_SESSION': session})
    return done.returncode, done.stderr


class Daemon:
    def __init__(self, folder, *arguments, state=STATE, login=True, environment={}):
        if login:
            arguments += ('--user', USER, '--password-file', folder.password_file)
        self.process = subprocess.Popen(
            [RDPUSBD, '--listen', '127.0.0.1:0', '--state-dir', state, *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, 'RDPUSB_SESSION': FAKE_SESSION, **environment})
        self.output, self.log = Lines(self.process.stdout), Lines(self.process.stderr)
        self.port = int(self.output.find(r'^rdpusbd: listening on 127\.0\.0\.1:(\d+)$')[1])

    def descriptors(self):
        done = subprocess.run(['ls', '-l', f'/proc/{self.process.pid}/fd'], capture_output=True, text=True)
        return done.stdout.splitlines()

    def stop(self, by=signal.SIGTERM):
        self.process.send_signal(by)
        began = time.monotonic()
        check(self.process.wait(LIMIT) == 0, f'exit status {self.process.returncode}')
        took = time.monotonic() - began
        check(took < 2, f'stopping took {took:.1f} s')

    def __enter__(self):
        return self

    def __exit__(self, kind, *rest):
        if self.process.poll() is None:
            if kind:
                self.process.kill()
                self.process.wait()
            else:
                self.stop()
        if kind:
            print('\n'.join('# ' + line for line in self.log.rest()))
        else:
            errors = [line for line in self.log.rest() if 'CRITICAL' in line or 'error: ' in line or
                      'Sanitizer' in line]
            check(not errors, f'log: {errors}')
            check(len(self.output.rest()) == 1, f'standard output: {self.output.seen}')


class Session:
    """A connection, and the session process behind it."""

    def __init__(self, daemon, login=True, link=True):
        self.socket = socket.create_connection(('127.0.0.1', daemon.port), LIMIT)
        self.socket.settimeout(None)
        self.lines = Lines(self.socket.makefile('r', encoding='utf-8', errors='replace'))
        if link:
            self.expect('link', 'linked')
        if login:
            self.expect('configure', '{')
            self.expect(f'authenticate {USER} {PASSWORD}', 'authenticated')

    def tell(self, command):
        self.socket.sendall(command.encode() + b'\n')

    def expect(self, command, start):
        """Gives a command; the next line begins with `start`."""
        self.tell(command)
        return self.event(start)

    def event(self, start):
        line = self.lines.next(start)
        check(line.startswith(start), f'{line!r}, but expected {start!r}')
        return line

    def ended(self):
        try:
            line = self.lines.next('the end')
        except EOFError:
            return
        raise Failure(f'{line!r}, but expected the end')

    def attach(self, number, name='stick', serial='123'):
        self.expect(f'attach {number} {name} {serial}', 'attached')


class Guest:
    """A QEMU with server=on: listens, and has one connection at a time."""

    def __init__(self, path):
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(1)
        self.listener.settimeout(LIMIT)
        self.stream = None

    def accept(self):
        self.stream, _ = self.listener.accept()
        self.stream.settimeout(LIMIT)

    def received(self, text):
        data = b''
        while len(data) < len(text):
            more = self.stream.recv(len(text) - len(data))
            check(more, f'end of the stream after {data!r}')
            data += more
        check(data == text.encode(), f'the guest got {data!r}')

    def eof(self):
        data = self.stream.recv(100)
        check(data == b'', f'the guest got {data!r}, but expected the end')

    def close(self):
        self.listener.close()
        if self.stream:
            self.stream.close()


# ---- Exit codes and their texts ----

def test_bad_options(folder):
    login = ('--user', USER, '--password-file', folder.password_file)
    for arguments, text in (
            ((), 'nobody could log in'),
            (('--user', USER), 'nobody could log in'),
            ((*login, '--frobnicate'), '--frobnicate'),
            ((*login, 'argument'), "unexpected argument 'argument'"),
            ((*login, '--listen', 'localhost'), "--listen: 'localhost' is no ADDR:PORT"),
            ((*login, '--listen', '127.0.0.1:65536'), "'127.0.0.1:65536' is no ADDR:PORT"),
            ((*login, '--listen', '::1:3389'), "'::1:3389' is no ADDR:PORT"),
            ((*login, '--chardev', 'pty:x'), "--chardev: 'pty:x'"),
            ((*login, '--chardev', 'unix:/a', '--chardev', 'unix:/a'), 'given twice'),
            ((*login, '--log-level', 'loud'), "--log-level: 'loud' is no log level"),
            ((*login, '--certificate', 'x.pem'), 'certificate and private-key go together'),
            ((*login, '--user', ''), '--user: the value is empty')):
        status, error = run(*arguments, folder=folder)
        check(status == 2 and text in error, f'{arguments}: status {status}, {error!r}')


def test_bad_configuration_lines(folder):
    for line, text in (
            ('nonsense', "'nonsense' is neither"),
            ('[users]', '[users] is no group'),
            ('colour=red', "no 'colour' in group [rdpusbd]"),
            ('max-requests=9', "no 'max-requests' in group [rdpusbd]"),
            ('user=bob', "'user' was given in line 2 already"),
            ('listen=1.2.3.4', "listen: '1.2.3.4' is no ADDR:PORT"),
            ('listen=1.2.3.4:1\nlisten=1.2.3.4:2', None),
            ('chardev=unix:/a;udp:b', "chardev: 'udp:b'"),
            ('state-dir=', 'state-dir: the value is empty'),
            ('log-level=\\q', 'log-level: '),
            ('[limits]\nmax-requests=0', None),
            ('[limits]\nmax-session-memory=1 MiB', None),
            ('[limits]\nmax-session-memory=256 MB', None),
            ('[limits]\nmax-connections=-1', None),
            ('[limits]\nmax-descriptor-bytes=99999999999999999999', None)):
        path = folder.write('conf', f'[rdpusbd]\nuser={USER}\n# comment\n\n{line}\n')
        number = 5 + line.count('\n')
        status, error = run('--config', path, folder=folder)
        check(status == 2 and f'{path}:{number}: ' in error and (text or '') in error,
              f'{line!r}: status {status}, {error!r}')


def test_cannot_serve(folder):
    taken = socket.socket()
    taken.bind(('127.0.0.1', 0))
    taken.listen()
    address = '127.0.0.1:%d' % taken.getsockname()[1]
    state = ('--state-dir', STATE)
    for path in STATE, folder / 'other':
        with Daemon(folder, state=path):
            pass  # makes a certificate and its key
    pem, key = STATE + '/certificate.pem', STATE + '/private-key.pem'
    own = ('--user', USER, '--password-file', folder.password_file)
    listen = ('--listen', '127.0.0.1:0')
    secret = lambda mode, text='x\n': folder.write('secret', text, mode)
    user = ('--user', USER, *state, *listen, '--password-file')
    for arguments, text in (
            ((*own, *state, '--listen', address), f'cannot listen on {address}: '),
            ((*own, *state, '--listen', '192.0.2.1:3389'), 'cannot listen on 192.0.2.1:3389: '),
            ((*own, *listen, '--certificate', pem, '--private-key', folder / 'none'), 'none'),
            ((*own, *listen, '--certificate', key, '--private-key', key), 'no certificate in PEM'),
            ((*own, *listen, '--certificate', pem, '--private-key', pem), 'no private key in PEM'),
            ((*own, *listen, '--certificate', pem, '--private-key',
              folder / 'other/private-key.pem'), 'is not that of the certificate'),
            ((*own, *listen, '--state-dir', folder.password_file + '/x'), 'state directory'),
            ((*user, folder / 'none'), 'No such file'),
            ((*user, secret(0o604)), 'everybody may read or write it'),
            ((*own, *state, *listen, '--chardev', f'unix:{folder / "no/such"},server=on'), 'no/such'),
            ((*own, '--config', folder / 'none.conf'), 'none.conf')):
        status, error = run(*arguments, folder=folder)
        check(status == 1 and text in error, f'{arguments}: status {status}, {error!r}')
    status, error = run(*user, secret(0o600, '\n'), folder=folder)
    check(status == 1 and 'no password' in error, f'empty password: status {status}, {error!r}')
    status, error = run(*own, *state, folder=folder, session='/nonexistent')
    check(status == 1 and '/nonexistent' in error, f'no session program: {status}, {error!r}')


def test_version(folder):
    done = subprocess.run([RDPUSBD, '--version'], capture_output=True, text=True, timeout=LIMIT)
    check(done.returncode == 0 and re.fullmatch(r'rdpusbd \d+\.\d+\.\d+\n', done.stdout), done.stdout)


def test_certificate_is_made_once(folder):
    read = lambda: [open(folder / f'state/{name}.pem').read() for name in ('certificate', 'private-key')]
    with Daemon(folder, state=folder / 'state'):
        first = read()
        mode = stat.S_IMODE(os.stat(folder / 'state/private-key.pem').st_mode)
        check(mode == 0o600, f'the key has mode {mode:o}')
    with Daemon(folder, state=folder / 'state'):
        check(read() == first, 'another certificate was made')
    text = subprocess.run(['openssl', 'x509', '-noout', '-text'], input=first[0], text=True,
                          capture_output=True, check=True).stdout
    check('TLS Web Server Authentication' in text, text)


# ---- Start, settings, surroundings of a session ----

def test_configuration_reaches_the_session(folder):
    path = folder.write('conf', f'''[rdpusbd]
user={USER}
password-file={folder.password_file}
log-level=debug
[limits]
max-device-channels=3
max-requests=99
max-bytes-in-flight=2 MiB
max-descriptor-bytes=8KiB
max-session-memory=512MiB
''')
    with Daemon(folder, '--config', path, login=False) as daemon:
        session = Session(daemon, login=False)
        settings = session.expect('configure', '{')
        for text in (f"'peer': <'127.0.0.1:{session.socket.getsockname()[1]}'>",
                     "'certificate': <'-----BEGIN CERTIFICATE-----",
                     "'private-key': <'-----BEGIN PRIVATE KEY-----",
                     "'max-device-channels': <uint32 3>",
                     "'max-requests': <uint32 99>", "'max-bytes-in-flight': <uint64 2097152>",
                     "'max-descriptor-bytes': <uint64 8192>", "'log-level': <'debug'>"):
            check(text in settings, f'{text} is not in {settings}')
        session.expect('configure', 'error org.rdpusb.Error.Invalid')
        limit = re.search(r'data (-?\d+)', session.expect('inspect', 'fds'))[1]
        check(limit in ('536870912', '-1' if sanitized() else ''), f'limit of memory: {limit}')


def sanitized():
    return b'__asan_init' in open(RDPUSBD, 'rb').read()


def test_session_gets_nothing_else(folder):
    with Daemon(folder, environment={'SECRET': 'x', 'TZ': 'UTC'}) as daemon:
        others = [Session(daemon) for _ in range(2)]
        inspect = Session(daemon, link=False, login=False).expect('inspect', 'fds')
        check(inspect.startswith('fds 0 1 2 3 4; '), inspect)
        environment = re.search(r'environment ([^;]*);', inspect)[1].split()
        check('SECRET' not in environment and 'PATH' not in environment and 'TZ' in environment, inspect)
        check('core 0;' in inspect, inspect)
        pid, group = re.search(r'pid (\d+); group (\d+)', inspect).groups()
        check(pid == group, 'a signal from the terminal reaches the session')


def test_notifies_systemd(folder):
    notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notify.bind(folder / 'notify')
    notify.settimeout(LIMIT)
    with Daemon(folder, environment={'NOTIFY_SOCKET': folder / 'notify'}) as daemon:
        check(notify.recv(100) == b'READY=1', 'not ready')
        daemon.stop()
        check(notify.recv(100) == b'STOPPING=1', 'not stopping')


# ---- Login ----

def test_login(folder):
    with Daemon(folder) as daemon:
        right = Session(daemon)
        daemon.log.find(r'connection from 127\.0\.0\.1:\d+ accepted')
        daemon.log.find(r'login of user "alice" from 127\.0\.0\.1:\d+ accepted')
        right.expect(f'authenticate {USER} {PASSWORD}', 'error org.rdpusb.Error.Invalid')
        wrong = Session(daemon, login=False)
        wrong.expect(f'authenticate {USER} {PASSWORD}', 'error org.rdpusb.Error.Invalid')
        wrong.expect('configure', '{')
        wrong.expect('attach 1 stick 1', 'error org.rdpusb.Error.Invalid')
        first = wrong.expect(f'authenticate {USER} {PASSWORD}x', 'error org.rdpusb.Error.Denied')
        second = wrong.expect(f'authenticate bob {PASSWORD}', 'error org.rdpusb.Error.Denied')
        check(first == second, f'{first!r} is not {second!r}')
        daemon.log.find(r'login of user "bob" from 127\.0\.0\.1:\d+ refused')
        wrong.tell(f'authenticate {USER} second')
        check({wrong.lines.next(), wrong.lines.next()} == {first, 'terminate'},
              'no end after three wrong passwords')
        wrong.ended()
        check(PASSWORD not in '\n'.join(daemon.log.seen), 'the password is in the log')


def test_silent_client_is_timed_out(folder):
    path = folder.write('conf', '[limits]\nlogin-seconds=1\n')
    with Daemon(folder, '--config', path) as daemon:
        logged_in = Session(daemon)
        silent = Session(daemon, login=False)
        silent.event('terminate')
        silent.ended()
        mute = Session(daemon, link=False, login=False)
        mute.expect('inspect', 'fds')
        mute.event('terminate')
        mute.ended()
        wordless = Session(daemon, link=False, login=False)
        wordless.ended()
        daemon.log.find('the client said nothing')
        logged_in.expect('inspect', 'fds')


def test_connections_are_bounded(folder):
    path = folder.write('conf', '[limits]\nmax-connections=1\n')
    with Daemon(folder, '--config', path) as daemon:
        first = Session(daemon)
        Session(daemon, link=False, login=False).ended()
        daemon.log.find('turned away')
        first.tell('exit 0')
        first.ended()
        daemon.log.find('session process exited with status 0')
        Session(daemon)


# ---- Devices and ports ----

def test_attach(folder):
    guest = Guest(folder / 'vm')
    with Daemon(folder, '--chardev', f'unix:{folder / "vm"}') as daemon:
        session = Session(daemon)
        session.attach(7)
        session.event(f'connect 7 unix:{folder / "vm"}')  # and nothing before: captures are off by default
        daemon.log.find(r'device 1d6b:0104 "stick" serial "123" of user "alice" attached to port unix:')
        guest.accept()
        session.expect('send 7 hello', 'sent')
        guest.received('hello')
        guest.stream.sendall(b'welcome')
        session.event('received 7 welcome')
        session.expect('attach 7 stick 123', 'error org.rdpusb.Error.Invalid')
        session.expect('attach 8 none -', 'error org.rdpusb.Error.Invalid')


def test_devices_wait_in_order(folder):
    guest = Guest(folder / 'vm')
    with Daemon(folder, '--chardev', f'unix:{folder / "vm"}') as daemon:
        first, second, third = (Session(daemon) for _ in range(3))
        first.attach(1)
        first.event('connect 1')
        guest.accept()
        second.attach(1)
        second.event('waiting 1 no free port')
        daemon.log.find('waits: no free port')
        third.attach(1)
        third.event('waiting 1 no free port')
        # The session keeps its descriptor; the stream ends all the same.
        first.tell('detached 1 unplugged')
        check({first.lines.next(), first.lines.next()} == {'told', 'eof 1'}, 'the stream goes on')
        guest.eof()
        daemon.log.find(r'detached from port unix:.*: "unplugged"')
        second.event('connect 1')
        guest.accept()
        second.expect('send 1 second', 'sent')
        guest.received('second')
        second.tell('crash')
        guest.eof()
        third.event('connect 1')


def test_two_ports(folder):
    guests = [Guest(folder / name) for name in ('a', 'b')]
    with Daemon(folder, '--chardev', f'unix:{folder / "a"}', '--chardev',
                f'unix:{folder / "b"}') as daemon:
        session = Session(daemon)
        session.attach(1)
        session.event(f'connect 1 unix:{folder / "a"}')
        session.attach(2)
        session.event(f'connect 2 unix:{folder / "b"}')
        session.attach(3)
        session.event('waiting 3 no free port')
        session.tell('detached 3 unplugged')
        session.event('told')


def test_no_port_is_configured(folder):
    with Daemon(folder) as daemon:
        daemon.log.find('no port of a VM')
        session = Session(daemon)
        session.attach(1)
        session.event('waiting 1 no port of a VM is configured')


def test_guest_is_not_there_yet(folder):
    with Daemon(folder, '--chardev', f'unix:{folder / "vm"}') as daemon:
        session = Session(daemon)
        session.attach(1)
        session.event(f'waiting 1 port unix:{folder / "vm"}: ')
        guest = Guest(folder / 'vm')
        guest.accept()
        session.event('connect 1')


def test_lost_guest_comes_back(folder):
    guest = Guest(folder / 'vm')
    with Daemon(folder, '--chardev', f'unix:{folder / "vm"}') as daemon:
        session = Session(daemon)
        session.attach(1)
        session.event('connect 1')
        guest.accept()
        guest.close()
        session.event('eof 1')
        session.expect('lost 1 hung-up', 'told')
        daemon.log.find('lost the guest on port unix:.*, reconnecting: "hung-up"')
        session.expect('lost 1 again', 'error org.rdpusb.Error.Invalid')
        session.event(f'waiting 1 port unix:{folder / "vm"}: ')
        os.unlink(folder / 'vm')
        guest = Guest(folder / 'vm')
        guest.accept()
        session.event('connect 1')
        session.expect('send 1 back', 'sent')
        guest.received('back')


def test_listening_port(folder):
    with Daemon(folder, '--chardev', f'unix:{folder / "port"},server=on') as daemon:
        early = socket.socket(socket.AF_UNIX)
        early.connect(folder / 'port')
        session = Session(daemon)
        session.attach(1)
        session.event(f'connect 1 unix:{folder / "port"}')
        session.expect('send 1 hello', 'sent')
        check(early.recv(5) == b'hello', 'the guest got something else')
        early.close()
        session.event('eof 1')
        session.expect('lost 1 hung-up', 'told')
        session.event(f'waiting 1 port unix:{folder / "port"}: ')
        late = socket.socket(socket.AF_UNIX)
        late.connect(folder / 'port')
        session.event('connect 1')
        session.expect('detached 1 unplugged', 'told')
        session.event('eof 1')
        check(late.recv(5) == b'', 'the guest was not told')
    check(not os.path.exists(folder / 'port'), 'the socket was left behind')


def test_dead_session_frees_its_port(folder):
    guest = Guest(folder / 'vm')
    with Daemon(folder, '--chardev', f'unix:{folder / "vm"}') as daemon:
        session = Session(daemon)
        session.attach(1)
        session.event('connect 1')
        guest.accept()
        session.tell('crash')
        guest.eof()
        daemon.log.find(r'session process was killed by signal 9')
        other = Session(daemon)
        other.attach(1)
        other.event('connect 1')


def test_numbers_of_others_mean_nothing(folder):
    guest = Guest(folder / 'vm')
    with Daemon(folder, '--chardev', f'unix:{folder / "vm"}') as daemon:
        owner, thief = Session(daemon), Session(daemon)
        owner.attach(5)
        owner.event('connect 5')
        guest.accept()
        thief.expect('detached 5 mine', 'error org.rdpusb.Error.Invalid')
        thief.expect('lost 5 mine', 'error org.rdpusb.Error.Invalid')
        thief.attach(5)
        thief.event('waiting 5')
        thief.expect('lost 5 mine', 'error org.rdpusb.Error.Invalid')
        thief.expect('detached 5 mine', 'told')
        owner.expect('send 5 still', 'sent')
        guest.received('still')


def test_devices_are_bounded(folder):
    path = folder.write('conf', '[limits]\nmax-device-channels=2\n')
    with Daemon(folder, '--config', path) as daemon:
        session = Session(daemon)
        for number in 1, 2:
            session.attach(number)
            session.event(f'waiting {number}')
        session.expect('attach 3 stick 1', 'error org.rdpusb.Error.Denied too many devices')


def test_text_of_peers_is_escaped(folder):
    with Daemon(folder) as daemon:
        session = Session(daemon)
        session.attach(1, name=r'evil\n00:00:00\033[31m\"' + 'x' * 1000)
        line = daemon.log.find('device 1d6b:0104.*waits').string
        check(r'"evil\u{a}00:00:00\u{1b}[31m\"xxx' in line and len(line) < 400, line)


# ---- Captures ----

def test_captures(folder):
    """One file per device, from its first guest on; nobody else can read it, nothing there is touched."""
    guest = Guest(folder / 'vm 1.sock')
    captures = pathlib.Path(folder / 'captures')
    captures.mkdir()
    with Daemon(folder, '--chardev', f'unix:{folder / "vm 1.sock"}', '--capture', captures, '--capture-limit', '1MiB') as daemon:
        daemon.log.find('warning: capturing to .*: the files there will contain everything')
        session = Session(daemon)
        session.attach(7)
        session.event(f'capture 7 unix:{folder / "vm 1.sock"} written 1048576')
        session.event('connect 7')
        guest.accept()
        path = daemon.log.find(r'device 1d6b:0104 "stick" serial "123" of user "alice" is captured in (\S+)$')[1]
        check(re.fullmatch(r'\d{8}-\d{6}-vm-1.sock-1d6b-0104-1.pcapng', os.path.basename(path)), path)
        check(stat.S_IMODE(os.stat(path).st_mode) == 0o600, f'mode of {path}')
        check(open(path).read() == 'device 7', 'what the session wrote')
        # When its guest comes back, the file goes on.
        guest.close()
        session.event('eof 7')
        session.expect('lost 7 hung-up', 'told')
        session.event('waiting 7')
        os.unlink(folder / 'vm 1.sock')
        guest = Guest(folder / 'vm 1.sock')
        guest.accept()
        session.event('connect 7')
        check(os.listdir(captures) == [os.path.basename(path)], os.listdir(captures))
        check(not [fd for fd in daemon.descriptors() if fd.endswith('.pcapng')], 'the broker kept a file')


def test_captures_do_not_overwrite(folder):
    captures = pathlib.Path(folder / 'captures')
    captures.mkdir()
    taken = set()
    for second in range(LIMIT * 2):  # all names of the near future
        name = time.strftime('%Y%m%d-%H%M%S', time.localtime(time.time() + second)) + '-vm-1d6b-0104-1.pcapng'
        (captures / name).symlink_to(folder / 'elsewhere')
        taken.add(name)
    guest = Guest(folder / 'vm')
    with Daemon(folder, '--chardev', f'unix:{folder / "vm"}', '--capture', captures) as daemon:
        session = Session(daemon)
        session.attach(1)
        session.event('capture 1')
        guest.accept()
        session.event('connect 1')
    new = set(os.listdir(captures)) - taken
    check(len(new) == 1 and new.pop().endswith('-1d6b-0104-2.pcapng'), new)
    check(not os.path.exists(folder / 'elsewhere'), 'a link was followed')


def test_device_goes_on_without_its_capture(folder):
    captures = pathlib.Path(folder / 'captures')
    captures.mkdir()
    guest = Guest(folder / 'vm')
    with Daemon(folder, '--chardev', f'unix:{folder / "vm"}', '--capture', captures) as daemon:
        captures.rmdir()
        session = Session(daemon)
        session.attach(1)
        session.event('connect 1')
        guest.accept()
        daemon.log.find('is not captured: cannot make a file in .*captures: No such file')


def test_captures_need_a_folder(folder):
    user = ('--user', USER, '--password-file', folder.password_file, '--state-dir', STATE, '--listen', '127.0.0.1:0')
    file = folder.write('file', '')
    for path, reason in (folder / 'none', 'No such file'), (file, 'Not a directory'):
        status, error = run(*user, '--capture', path, folder=folder)
        check(status == 1 and path in error and reason in error and 'needs a folder' in error, f'{status}, {error!r}')
    status, error = run(*user, '--capture', folder.path, '--capture-limit', '1KiB', folder=folder)
    check(status == 2 and '--capture-limit' in error and 'out of bounds' in error, f'{status}, {error!r}')


# ---- Hostile sessions, and the end ----

def test_hostile_session_hurts_itself(folder):
    with Daemon(folder) as daemon:
        good, flooding, garbling = Session(daemon), Session(daemon), Session(daemon, False, False)
        flooding.tell('flood')
        daemon.log.find('session process (exited|was killed)')
        garbling.tell('garbage')
        daemon.log.find('session process (exited|was killed)')
        good.attach(1)
        good.event('waiting 1')


def test_session_without_sense_is_ended(folder):
    with Daemon(folder) as daemon:
        session = Session(daemon)
        for _ in range(15):
            session.expect('detached 1 nothing', 'error org.rdpusb.Error.Invalid')
        session.tell('detached 1 nothing')
        daemon.log.find('session process was killed')


def test_stop_tells_every_session(folder):
    for by in signal.SIGTERM, signal.SIGINT:
        with Daemon(folder) as daemon:
            sessions = [Session(daemon) for _ in range(3)]
            daemon.stop(by)
            for session in sessions:
                session.event('disconnect the server is stopping')
                session.ended()


def test_stop_ends_stubborn_sessions(folder):
    guest = Guest(folder / 'vm')
    with Daemon(folder, '--chardev', f'unix:{folder / "vm"}') as daemon:
        stubborn, unlinked = Session(daemon), Session(daemon, False, False)
        stubborn.expect('stubborn', 'stubborn')
        unlinked.expect('inspect', 'fds')  # it understands signals by now
        stubborn.attach(1)
        stubborn.event('connect 1')
        guest.accept()
        daemon.stop()
        stubborn.event('disconnect')
        stubborn.ended()
        unlinked.event('terminate')
        unlinked.ended()
        guest.eof()


def main():
    tests = [(name[5:], run) for name, run in globals().items() if name.startswith('test_')]
    print(f'1..{len(tests)}', flush=True)
    failed = False
    for number, (name, test) in enumerate(tests, 1):
        folder = Folder()
        try:
            test(folder)
            print(f'ok {number} {name}', flush=True)
        except Exception as problem:
            failed = True
            print('\n'.join('# ' + line for line in traceback.format_exc().splitlines()))
            print(f'not ok {number} {name}: {problem}'.replace('\n', ' '), flush=True)
        shutil.rmtree(folder.path)
    shutil.rmtree(STATE)
    sys.exit(failed)


main()
