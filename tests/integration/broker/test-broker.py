#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""rdpusbd against a session that is told what to do (fake-session.c) and guests that are sockets.

Usage: test-broker.py RDPUSBD FAKE-SESSION. Prints TAP. Whatever is awaited has LIMIT seconds.
"""

import json
import os
import pathlib
import queue
import re
import select
import shutil
import signal
import socket
import stat
import struct
import subprocess
import sys
import tempfile
import threading
import time
import traceback

import ntlm

RDPUSBD, FAKE_SESSION = (os.path.abspath(path) for path in sys.argv[1:3])
LINK_XML = pathlib.Path(__file__).resolve().parents[3] / 'server' / 'link' / 'org.rdpusb.Link1.xml'
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
        self.rules = self / 'rules.d'
        os.mkdir(self.rules)
        self.write_rules('allow')

    def __truediv__(self, name):
        return os.path.join(self.path, name)

    def write(self, name, text, mode=0o644):
        with open(self / name, 'w') as file:
            file.write(text)
        os.chmod(self / name, mode)
        return self / name

    def write_rules(self, *lines):
        return self.write('rules.d/50-test.rules', '\n'.join(lines) + '\n')


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


def common(folder, state=STATE):
    """Options that nobody may leave out here: the places of the system are none of a test's."""
    return ['--listen', '127.0.0.1:0', '--state-dir', state, '--rules-dir', folder.rules]


class Daemon:
    """With `login`, USER may log in by a password, to a VM with one port, where no guest is unless `arguments` name others."""

    def __init__(self, folder, *arguments, state=STATE, login=True, environment={}):
        if login:
            arguments += ('--user', USER, '--password-file', folder.password_file, '--security', 'nla,tls')
            if '--chardev' not in arguments:
                arguments += ('--chardev', f'unix:{folder / "nobody"}')
        self.process = subprocess.Popen(
            [RDPUSBD, *common(folder, state), *arguments],
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

    def __init__(self, daemon, login=True, link=True, source='127.0.0.1'):
        self.socket = socket.create_connection(('127.0.0.1', daemon.port), LIMIT, (source, 0))
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

    def prove(self, user, proof, domain='', start='proved'):
        return self.expect(f'prove {domain} {user} ' + ' '.join(part.hex() for part in proof), start)

    def log_in(self, user, password, start=None):
        self.expect('configure', '{')
        return self.expect(f'authenticate {user} {password}', start or f'authenticated {user} ')

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

    def nobody(self):
        """Nobody has connected that accept() did not return."""
        self.listener.settimeout(0)
        try:
            self.listener.accept()
        except BlockingIOError:
            self.listener.settimeout(LIMIT)
            return
        raise Failure('somebody connected to the guest')

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
            (('--user', USER), '--user: user and password-file go together'),
            (('--password-file', '/x'), '--password-file: user and password-file go together'),
            ((*login, '--frobnicate'), '--frobnicate'),
            ((*login, 'argument'), "unexpected argument 'argument'"),
            ((*login, '--listen', 'localhost'), "--listen: 'localhost' is no ADDR:PORT"),
            ((*login, '--listen', '127.0.0.1:65536'), "'127.0.0.1:65536' is no ADDR:PORT"),
            ((*login, '--listen', '::1:3389'), "'::1:3389' is no ADDR:PORT"),
            ((*login, '--chardev', 'pty:x'), "--chardev: 'pty:x'"),
            ((*login, '--chardev', 'unix:/a', '--chardev', 'unix:/a'), 'given twice'),
            ((*login, '--log-level', 'loud'), "--log-level: 'loud' is no log level"),
            ((*login, '--certificate', 'x.pem'), '--certificate: certificate and private-key go together'),
            ((*login, '--user', ''), '--user: the value is empty'),
            ((*login, '--security', 'rdp'), "--security: 'rdp' is no way to log in: use nla, tls or nla,tls"),
            ((*login, '--security', 'nla,'), "--security: '' is no way to log in"),
            ((*login, '--passwords', 'shadow'), "--passwords: 'shadow' is no place of passwords"),
            ((*login, '--passwords', 'pam'), '--passwords: passwords=pam needs security=tls'),
            ((*login, '--kerberos-keytab', 'keytab'), "--kerberos-keytab: 'keytab' is no absolute path"),
            ((*login, '--kerberos-keytab', '/keytab', '--security', 'tls'), '--kerberos-keytab: kerberos-keytab needs'),
            ((*login, '--users-file', 'users'), "--users-file: 'users' is no absolute path"),
            ((*login, '--default-vm', 'win10'), '--default-vm: there is no [vm win10] for default-vm'),
            ((*login, '--audit', 'audit.log'), "--audit: 'audit.log' is no absolute path"),
            ((*login, '--session-uids', '0'), "--session-uids: '0' is out of bounds")):
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
            ('[limits]\nlockout-failures=1001', None),
            ('security=ssl', "security: 'ssl' is no way to log in"),
            ('users-file=users', "users-file: 'users' is no absolute path"),
            ('ports=unix:/a', "no 'ports' in group [rdpusbd]"),
            ('[vm]', '[vm] is no group'),
            ('[vm a b]', "'a b' is no name of a VM"),
            ('[vm default]', "there is a VM 'default' already"),
            ('[vm DEFAULT]', "there is a VM 'DEFAULT' already"),
            ('[vm a]\nports=unix:/a\nusers=*\n[vm A]', "there is a VM 'A' already"),
            ('[vm a]\nlisten=127.0.0.1:1', "no 'listen' in group [vm a]"),
            ('[vm a]\nports=udp:b', "ports: 'udp:b'"),
            ('[vm a]\nPorts=unix:/a\nports=unix:/b', "'ports' was given in line 6 already: separate several values by ;"),
            ('[vm a]\nfilter=1,2', 'filter: '),
            ('default-vm=a', 'there is no [vm a] for default-vm'),
            ('certificate=/a.pem', 'certificate and private-key go together'),
            ('security=tls\nkerberos-keytab=/a', 'kerberos-keytab needs security=nla'),
            ('passwords=pam', 'passwords=pam needs security=tls'),
            ('[limits]\nmax-descriptor-bytes=99999999999999999999', None)):
        path = folder.write('conf', f'[rdpusbd]\nuser={USER}\npassword-file={folder.password_file}\n\n{line}\n')
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
    own = ('--user', USER, '--password-file', folder.password_file, '--rules-dir', folder.rules)
    listen = ('--listen', '127.0.0.1:0')
    for arguments, text in (
            ((*own, *state, '--listen', address), f'cannot listen on {address}: '),
            ((*own, *state, '--listen', '192.0.2.1:3389'), 'cannot listen on 192.0.2.1:3389: '),
            ((*own, *listen, '--state-dir', folder.password_file + '/x'), 'state directory'),
            ((*own, *state, *listen, '--chardev', f'unix:{folder / "no/such"},server=on'), 'no/such')):
        status, error = run(*arguments, folder=folder)
        check(status == 1 and text in error, f'{arguments}: status {status}, {error!r}')
    status, error = run(*own, *state, folder=folder, session='/nonexistent')
    check(status == 1 and '/nonexistent' in error, f'no session program: {status}, {error!r}')


def test_files_that_decide_who_gets_in(folder):
    """Missing, malformed, or somebody else could have written them: no start, and their place."""
    secret = lambda text, mode=0o600: folder.write('secret', text, mode)
    user = f'{USER}:{ntlm.nt_hash(PASSWORD).hex()}:\n'
    password = lambda path: ('--user', USER, '--password-file', path)
    users = lambda path: ('--users-file', path)
    own = password(folder.password_file)
    for make, text in (
            (lambda: password(folder / 'none'), f'{folder / "none"}: No such file'),
            (lambda: password(secret('x\n', 0o604)), f'{folder / "secret"}: everybody may read its secrets: chmod 0600'),
            (lambda: password(secret('\n')), f'{folder / "secret"}:1: is empty: the first line is the password'),
            (lambda: password(folder.path), f'{folder.path}: is no regular file'),
            (lambda: users(folder / 'none'), f'{folder / "none"}: No such file'),
            (lambda: users(secret(user, 0o644)), f'{folder / "secret"}: everybody may read its secrets'),
            (lambda: users(secret(user, 0o602)), f'{folder / "secret"}: everybody may write it'),
            (lambda: users(secret(user + 'bob:1234:\n')), f'{folder / "secret"}:2:'),
            (lambda: users(secret(user + user)), f'{folder / "secret"}:2:'),
            (lambda: users(secret(user)) + own, f'{folder / "secret"}: has the user alice, as the option user does'),
            (lambda: own + ('--kerberos-keytab', folder / 'none'), f'{folder / "none"}: No such file'),
            (lambda: own + ('--kerberos-keytab', secret('\5\2', 0o640)), f'{folder / "secret"}: has no key of a principal TERMSRV/HOST'),
            (lambda: own + ('--kerberos-keytab', secret('\5\2', 0o644)), f'{folder / "secret"}: everybody may read its secrets'),
            (lambda: own + ('--kerberos-keytab', secret('keytab')), f'{folder / "secret"}: is no keytab, or is damaged'),
            (lambda: own + ('--rules-dir', folder / 'none'), f'{folder / "none"}: the folder with the device rules is missing'),
            (lambda: own + ('--config', folder / 'none.conf'), f'{folder / "none.conf"}: No such file'),
            (lambda: own + ('--config', secret('[rdpusbd]\n', 0o666)), f'{folder / "secret"}: everybody may write it'),
            (lambda: own + ('--config', secret('[vm a]\nusers=*\n')), f'{folder / "secret"}:1: [vm a] lacks ports'),
            (lambda: own + ('--config', secret('[vm a]\nports=unix:/a\n')), f'{folder / "secret"}:1: [vm a] lacks users or groups'),
            (lambda: own + ('--config', secret('[vm a]\nports=unix:/a\nusers=*\n[vm b]\nports=unix:/a,server=on\nusers=*\n')),
             f'{folder / "secret"}:4: VM b has the port unix:/a of VM a')):
        arguments = make()
        status, error = run(*common(folder), *arguments, folder=folder)
        check(status == 2 and text in error, f'{arguments}: status {status}, {error!r}')
    rules = folder / 'rules.d/50-test.rules'
    for text, mode, place in (('allow\nallow id 1234\n', 0o644, f'{rules}:2:10: '), ('permit\n', 0o644, f'{rules}:1:1: '),
                              ('allow\n', 0o646, f'{rules}: everybody may write it')):
        folder.write('rules.d/50-test.rules', text, mode)
        status, error = run(*common(folder), *own, folder=folder)
        check(status == 2 and place in error, f'{text!r}: status {status}, {error!r}')


def test_cross_settings_of_file_and_options(folder):
    """What does not go with the rest is named where it was given."""
    path = folder.write('conf', f'[rdpusbd]\nuser={USER}\n')
    for arguments, text in (((), f'{path}:2: user and password-file'), (('--user', 'bob'), '--user: user and password-file')):
        status, error = run('--config', path, *arguments, folder=folder)
        check(status == 2 and text in error, f'{arguments}: status {status}, {error!r}')
    path = folder.write('conf', '[vm a]\nports=unix:/a\nusers=*\n')
    status, error = run('--config', path, '--chardev', 'unix:/a', folder=folder)
    check(status == 2 and '--chardev: VM default has the port unix:/a of VM a' in error, f'status {status}, {error!r}')


IS_ROOT = os.geteuid() == 0
NOBODY = 65534
if IS_ROOT:
    def test_files_that_it_may_not_read(folder):
        """A daemon without rights, and files of root alone: each is named, and nothing takes its place."""
        os.chmod(folder.path, 0o755)
        rdpusbd, session = (shutil.copy(program, folder.path) for program in (RDPUSBD, FAKE_SESSION))
        state = folder / 'state'
        os.mkdir(state)
        pem, key = make_certificate(folder)
        secret = folder.write('secret', '[rdpusbd]\n', 0o600)
        os.chown(folder.password_file, NOBODY, -1)
        own = ('--user', USER, '--password-file', folder.password_file, '--certificate', pem, '--private-key', key)
        os.chown(key, NOBODY, -1)
        rules = folder / 'rules.d/50-test.rules'
        for options, place in (*((('--' + option, secret), secret) for option in (
                'config', 'users-file', 'password-file', 'kerberos-keytab', 'certificate', 'private-key', 'audit')),
                ((), rules), ((), folder.rules)):
            mode = os.stat(place).st_mode
            os.chmod(place, 0o600)
            done = subprocess.run(['setpriv', f'--reuid={NOBODY}', f'--regid={NOBODY}', '--clear-groups', rdpusbd,
                                   *common(folder, state), *own, *options], capture_output=True, text=True,
                                  timeout=LIMIT, env={**os.environ, 'RDPUSB_SESSION': session})
            os.chmod(place, mode)
            check(done.returncode == 2 and re.search(f'rdpusbd: {place}: .*Permission denied', done.stderr),
                  f'{options}, {place}: status {done.returncode}, {done.stderr!r}')


    def test_session_uids_are_as_many_as_the_page_says(folder):
        last = (1 << 31) - 264
        with Daemon(folder, '--session-uids', str(last)):
            pass
        own = ('--user', USER, '--password-file', folder.password_file)
        status, error = run(*common(folder), *own, '--session-uids', str(last + 1), folder=folder)
        check(status == 1 and f'cannot have 264 user ids from {last + 1} on' in error, f'status {status}, {error!r}')


# What openssl pkcs12 writes beside the blocks of PEM, in the encoding of the name.
BAG_ATTRIBUTES = 'Bag Attributes\n    friendlyName: M\xfcller\n'.encode('latin-1')


def make_certificate(folder, name='own'):
    """Paths of a certificate and its key."""
    pem, key = folder / f'{name}.pem', folder / f'{name}.key'
    subprocess.run(['openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-subj', f'/CN={name}', '-days', '2',
                    '-keyout', key, '-out', pem], check=True, capture_output=True)
    os.chmod(pem, 0o644)
    os.chmod(key, 0o600)
    return pem, key


def change(folder, path, make=None, mode=None, owner=-1):
    """Another file of PEM with other contents, mode or owner."""
    text = open(path, 'rb').read()
    with open(folder / 'changed', 'wb') as file:
        file.write(make(text) if make else text)
    os.chmod(file.name, os.stat(path).st_mode if mode is None else mode)
    os.chown(file.name, owner, -1)
    return file.name


def certificates_that_are_none(folder):
    """(certificate, private key, what is wrong), one after the other."""
    pem, key = make_certificate(folder)
    other = make_certificate(folder, 'other')[1]
    none, changed = folder / 'none', folder / 'changed'
    yield pem, none, f'{none}: No such file'
    yield none, key, f'{none}: No such file'
    yield key, key, f'{key}: holds no certificate in PEM'
    yield change(folder, pem, lambda text: text + text[:200]), key, f'{changed}: holds a chain that is damaged'
    yield change(folder, pem, lambda text: text * 40), key, f'{changed}: with its private key it is larger than 40 KiB: leave'
    yield change(folder, pem, mode=0o664), key, f'{changed}: its group may write it'
    yield pem, change(folder, pem, mode=0o600), f'{changed}: holds no private key in PEM'
    yield pem, other, f'{other}: the private key is not that of the certificate in {pem}'
    yield pem, change(folder, key, mode=0o604), f'{changed}: everybody may read its secrets: chmod 0600 or 0640'
    yield pem, change(folder, key, mode=0o666), f'{changed}: everybody may write it'
    yield pem, change(folder, key, mode=0o660), f'{changed}: its group may write it'
    encrypt = ['openssl', 'pkey', '-aes128', '-passout', 'pass:secret']
    yield pem, change(folder, key, lambda text: subprocess.run(encrypt, input=text, capture_output=True, check=True).stdout), \
        f'{changed}: the private key is encrypted'
    if IS_ROOT:
        yield pem, change(folder, key, owner=NOBODY), f'{changed}: belongs to user {NOBODY}, who could change it'


def test_certificates_that_are_none(folder):
    own = ('--user', USER, '--password-file', folder.password_file)
    for pem, key, text in certificates_that_are_none(folder):
        status, error = run(*common(folder), *own, '--certificate', pem, '--private-key', key, folder=folder)
        check(status == 2 and text in error, f'{text}: status {status}, {error!r}')


def write_keytab(folder, size):
    """One whose keys of TERMSRV have about so many bytes."""
    string = lambda text: len(text).to_bytes(2, 'big') + text
    entry = (b'\0\2' + string(b'A.TEST') + string(b'TERMSRV') + string(b'a' * 150) + bytes([0, 0, 0, 1]) + bytes(4) + b'\1' +
             b'\0\x12' + string(bytes(32)))
    with open(folder / 'keytab', 'wb') as file:
        file.write(b'\5\2' + (len(entry).to_bytes(4, 'big') + entry) * (size // 220))
    os.chmod(file.name, 0o600)
    return file.name


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
        daemon.log.find('no port of a VM, and so nobody can log in')
        settings = session.expect('configure', '{')
        for text in (f"'peer': <'127.0.0.1:{session.socket.getsockname()[1]}'>",
                     "'certificate': <'-----BEGIN CERTIFICATE-----",
                     "'private-key': <'-----BEGIN PRIVATE KEY-----",
                     "'max-device-channels': <uint32 3>",
                     "'max-requests': <uint32 99>", "'max-bytes-in-flight': <uint64 2097152>",
                     "'max-descriptor-bytes': <uint64 8192>", "'log-level': <'debug'>", "'security': <['nla']>"):
            check(text in settings, f'{text} is not in {settings}')
        session.expect('configure', 'error org.rdpusb.Error.Invalid')
        limit = re.search(r'data (-?\d+)', session.expect('inspect', 'fds'))[1]
        check(limit in ('536870912', '-1' if sanitized() else ''), f'limit of memory: {limit}')


def sanitized():
    return b'__asan_init' in open(RDPUSBD, 'rb').read()


def keytab(*principal, key):
    """One entry of MIT's file format, version 2."""
    text = lambda value: struct.pack('>H', len(value)) + value
    names = b''.join(text(name.encode()) for name in ('REALM', *principal))
    entry = struct.pack('>H', len(principal)) + names + struct.pack('>IIBH', 3, 0, 1, 18) + text(key) + struct.pack('>I', 1)
    return b'\5\2' + struct.pack('>i', len(entry)) + entry


def test_settings_are_what_is_documented(folder):
    """No more than that, and so nothing of who else may log in, reaches a process that nobody has logged in to."""
    documented = re.search(r'First call of a session\. Keys:(.*?)-->', LINK_XML.read_text(), re.DOTALL)[1]
    keys = set(re.findall(r'([a-z]+(?:-[a-z]+)*) \([a-z(]', documented))
    check({'peer', 'private-key', 'kerberos-keys', 'log-level'} < keys, f'documented: {keys}')
    path = folder / 'keytab'
    pathlib.Path(path).write_bytes(keytab('TERMSRV', 'host', key=bytes(range(32))))
    os.chmod(path, 0o600)
    users = write_users(folder, (('carol', ''), ('dora', 'staff')))
    for options, expected in ((), keys - {'kerberos-keys'}), (('--kerberos-keytab', path), keys):
        with Daemon(folder, '--users-file', users, *options) as daemon:
            settings = Session(daemon, login=False).expect('configure', '{')
            given = set(re.findall(r"'([a-z-]+)': <", settings))
            check(given == expected, f'{given ^ expected} of the settings')
            for secret in 'carol', 'dora', PASSWORD, ntlm.nt_hash(PASSWORD).hex(), str(list(ntlm.nt_hash(PASSWORD)))[1:-1]:
                check(secret not in settings, f'{secret} is in the settings')


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
        for call in 'attach 1 stick 1', 'lost 1 x', 'detached 1 x':
            wrong.expect(call, 'error org.rdpusb.Error.Invalid')
        began = time.monotonic()
        first = wrong.expect(f'authenticate {USER} {PASSWORD}x', 'error org.rdpusb.Error.Denied')
        second = wrong.expect(f'authenticate bob {PASSWORD}', 'error org.rdpusb.Error.Denied')
        check(first == second, f'{first!r} is not {second!r}')
        took = time.monotonic() - began
        check(took > 1 + 2, f'two refusals took {took:.1f} s')
        daemon.log.find(r'login of user "bob" from 127\.0\.0\.1:\d+ refused')
        wrong.tell(f'authenticate {USER} second')
        check({wrong.lines.next(), wrong.lines.next()} == {first, 'terminate'},
              'no end after three wrong passwords')
        wrong.ended()
        check(PASSWORD not in '\n'.join(daemon.log.seen), 'the password is in the log')


def test_proof_of_ntlm(folder):
    """A right proof earns the hash of this login, and the login itself is of who proved it, whatever name comes then."""
    with Daemon(folder) as daemon:
        for user, domain, options in (
                (USER, '', {}), ('ALICE', 'Desktop-1', {}), ('Alice', 'DEFAULT', {'key_exchange': False}),
                ('alice@default', '', {'temp': bytes(10000)})):
            session = Session(daemon, login=False)
            session.expect('configure', '{')
            proof = ntlm.proof(PASSWORD, user, domain, **options)
            hash = session.prove(user, proof, domain).split()[1]
            check(hash == ntlm.v2_hash(PASSWORD, user, domain).hex(), f'{user}: another hash')
            session.expect('attach 1 stick 1', 'error org.rdpusb.Error.Invalid')
            session.prove(user, proof, domain, 'error org.rdpusb.Error.Invalid')
            session.expect('authenticate-in other bob nothing', f'authenticated {USER} default')
            daemon.log.find(r'login of user "alice" from \S+ accepted \(ntlm\): VM default')
            session.tell('exit 0')


def test_proofs_that_are_none(folder):
    """No hash, and the same text in the same time: wrong password, another user's proof, no MIC, no such user, locked."""
    names = 'ann', 'ben', 'cid', 'dan', 'eve'
    path = folder.write('conf', '[limits]\nlockout-failures=1\n')
    users = folder.write('users', ''.join(f'{name}:{ntlm.nt_hash(PASSWORD).hex()}:\n' for name in names), 0o600)
    right = {name: ntlm.proof(PASSWORD, name) for name in (*names, 'nobody')}
    wrong = {
        'ann': ntlm.proof(PASSWORD + 'x', 'ann'),
        'ben': right['ann'],
        'cid': right['cid'][:2] + [bytes(16), right['cid'][3]],
        'dan': right['dan'][:3] + [right['dan'][3] + b'x'],
        'nobody': right['nobody'],
    }
    denied = 'error org.rdpusb.Error.Denied wrong user or password'
    with Daemon(folder, '--config', path, '--users-file', users) as daemon:
        place = iter(range(2, 250))
        sessions = {name: Session(daemon, login=False, source=f'127.0.0.{next(place)}') for name in (*wrong, 'ben')}
        home = Session(daemon, login=False, source='127.0.0.200')
        for session in (home, *sessions.values()):
            session.expect('configure', '{')
        home.prove('ann', right['ann'])  # one who is known there stays welcome there
        home.expect('authenticate x x', 'authenticated ann')
        for part, size in (1, 15), (1, 17), (2, 0):
            odd = list(right['eve'])
            odd[part] = bytes(size)
            home.prove('eve', odd, '', 'error org.rdpusb.Error.Invalid')
        for proofs, reason, least in (wrong, 'wrong user or password', 1), (right, 'locked after too many failures', 8):
            began = time.monotonic()
            for name, session in sessions.items():
                session.tell(f'prove  {name} ' + ' '.join(part.hex() for part in proofs[name]))
            for name, session in sessions.items():
                line = session.lines.next(denied)
                check(line == denied, f'{name}: {line!r}')
            took = time.monotonic() - began
            check(least <= took < least + 1.5, f'refusals took {took:.1f} s')
            for _ in sessions:
                daemon.log.find(rf'login of user "\w+" from \S+ refused: {reason}$')
        for password in PASSWORD, 'wrong':  # neither from elsewhere
            session = Session(daemon, login=False, source=f'127.0.0.{next(place)}')
            session.expect('configure', '{')
            line = session.expect(f'authenticate ann {password}', 'error')
            check(line == denied, line)
        again = Session(daemon, login=False, source='127.0.0.200')
        again.log_in('ann', PASSWORD)


def test_proof_without_a_login(folder):
    """Who proves a password and leaves, or stays silent, knows that it is right: log and audit trail name them."""
    trail = folder / 'audit.jsonl'
    path = folder.write('conf', f'[rdpusbd]\naudit={trail}\n[limits]\nlogin-seconds=3\n')
    known = {'user': f'default\\{USER}', 'vm': 'default', 'method': 'ntlm'}
    with Daemon(folder, '--config', path) as daemon:
        for leaves, codes in (True, ['unfinished']), (False, ['timeout', 'unfinished']):
            session = Session(daemon, login=False)
            session.expect('configure', '{')
            session.prove(USER, ntlm.proof(PASSWORD, USER, 'default'), 'default')
            if leaves:
                session.tell('exit 0')
            else:
                session.event('terminate')
            session.ended()
            daemon.log.find(rf'login of user "default\\\\{USER}" from \S+ refused: the password was proved, and the connection')
            daemon.log.find(' ended: session process')
            events = [json.loads(line) for line in open(trail)]
            refused = [event for event in events if event['event'] == 'login-refused' and
                       event['connection'] == events[-1]['connection']]
            check([event['code'] for event in refused] == codes, f'{refused}')
            for event in refused:
                check(known.items() <= event.items(), f'{event} does not have {known}')


def test_ways_to_log_in(folder):
    """What security= does not name is refused, right or not."""
    folder.write('conf', f'[rdpusbd]\nuser={USER}\npassword-file={folder.password_file}\n'
                         f'[vm one]\nports=unix:{folder / "vm"}\nusers=*\n')
    with Daemon(folder, '--config', folder / 'conf', login=False) as daemon:  # the default
        session = Session(daemon, login=False)
        check("'security': <['nla']>" in session.expect('configure', '{'), 'another security')
        session.expect(f'authenticate {USER} {PASSWORD}', 'error org.rdpusb.Error.Invalid')
        session.prove(USER, ntlm.proof(PASSWORD, USER))
        session.expect('authenticate x x', f'authenticated {USER} one')
    with Daemon(folder, '--config', folder / 'conf', '--security', 'tls', login=False) as daemon:
        session = Session(daemon, login=False)
        session.expect('configure', '{')
        session.prove(USER, ntlm.proof(PASSWORD, USER), '', 'error org.rdpusb.Error.Invalid')
        session.expect(f'authenticate {USER} {PASSWORD}', f'authenticated {USER} one')


def why_it_ended(daemon, audit):
    """What the audit trail says of the only connection, whose process did not want to end."""
    daemon.log.find('does not end, killing it')
    daemon.log.find('session process was killed by signal 9')
    events = [json.loads(line) for line in open(audit)]
    check('login' not in [event['event'] for event in events], events)
    return events[-1]['reason']


def test_nobody_logs_in_at_the_end(folder):
    """With a proof from before, or a password that PAM had yet to check."""
    path = folder.write('conf', '[limits]\nlogin-seconds=1\n')
    with Daemon(folder, '--config', path, '--audit', folder / 'late') as daemon:
        late = Session(daemon, login=False)
        late.expect('stubborn', 'stubborn')
        late.expect('configure', '{')
        late.prove(USER, ntlm.proof(PASSWORD, USER))
        late.event('terminate')
        late.expect('authenticate x x', 'error org.rdpusb.Error.Invalid')
        late.expect('attach 1 stick 1', 'error org.rdpusb.Error.Invalid')
        check(why_it_ended(daemon, folder / 'late') == 'nobody logged in in time', 'another reason')
    for pipe in 'asked', 'go':
        os.mkfifo(folder / pipe)
    folder.write('pam', f'#!/bin/sh\necho > {folder / "asked"}\nread go < {folder / "go"}\nprintf "dora\\nstaff"\n', 0o755)
    with estate(folder, '--passwords', 'pam', '--audit', folder / 'left', '--log-level', 'debug',
                environment={'RDPUSB_PAM': folder / 'pam'}) as daemon, open(folder / 'go', 'r+b', buffering=0) as go:
        left = Session(daemon, login=False)
        left.expect('configure', '{')
        left.expect('ask dora x', 'asked')
        open(folder / 'asked').read()
        left.expect('close', 'closed')
        daemon.log.find('link closed')
        go.write(b'\n')
        why_it_ended(daemon, folder / 'left')
        check('the connection ended before the password was checked' in open(folder / 'left').read(), 'no word of the attempt')


# ---- VMs ----

def test_user_without_a_vm_is_no_timeout(folder):
    with estate(folder, '--audit', folder / 'audit', head='[limits]\nlogin-seconds=1\n') as daemon:
        carol = Session(daemon, login=False)
        carol.log_in('carol', PASSWORD, 'error org.rdpusb.Error.NoVm')
        carol.event('terminate')
        carol.ended()
        daemon.log.find('ended: session process')
        events = [json.loads(line) for line in open(folder / 'audit')]
        check([event['code'] for event in events if event['event'] == 'login-refused'] == ['no-vm'], events)
        check(events[-1]['reason'] == 'the user has no VM here', events)


STAFF = ('alice', 'staff'), ('bob', ''), ('carol', 'visitors')


def write_users(folder, users, password=PASSWORD):
    return folder.write('users', ''.join(f'{user}:{ntlm.nt_hash(password).hex()}:{groups}\n' for user, groups in users), 0o600)


def estate(folder, *options, win10='', head='', **others):
    """VMs win10 of alice, and lab of bob and the group staff."""
    users = write_users(folder, STAFF)
    conf = folder.write('conf', f"""[rdpusbd]
users-file={users}
security=tls
{head}
[vm win10]
ports=unix:{folder / 'win10'}
users=alice
{win10}
[vm lab]
Ports=unix:{folder / 'lab'}
users=bob
groups=staff
""")
    return Daemon(folder, '--config', conf, *options, login=False, **others)


def test_choice_of_a_vm(folder):
    no_vm = 'error org.rdpusb.Error.NoVm '
    several = no_vm + r'user alice may use several VMs and named none: log in as VM\alice, with one of win10, lab'
    with estate(folder) as daemon:
        for domain, user, answer in (
                ('', r'win10\alice', 'authenticated alice win10'),
                ('', 'alice@win10', 'authenticated alice win10'),
                ('WIN10', 'Alice', 'authenticated alice win10'),
                ('', 'ALICE@Lab', 'authenticated alice lab'),
                ('DESKTOP-1', 'alice@lab', 'authenticated alice lab'),
                ('', 'alice', several),
                ('DESKTOP-1', 'alice', several),
                ('', 'bob', 'authenticated bob lab'),
                ('DESKTOP-1', 'bob', 'authenticated bob lab'),
                ('', r'win10\bob', no_vm + 'user bob may not use VM win10'),
                ('', 'carol', no_vm + 'user carol may use no VM'),
                ('', 'carol@lab', no_vm + 'user carol may not use VM lab')):
            session = Session(daemon, login=False)
            session.expect('configure', '{')
            line = session.expect(f'authenticate-in {domain} {user} {PASSWORD}', '')
            check(line == answer, f'{domain}, {user}: {line!r}, but expected {answer!r}')
            if answer.startswith(no_vm):
                daemon.log.find(re.escape(answer[len(no_vm):]))
                session.expect('attach 1 stick 1', 'error org.rdpusb.Error.Invalid')
        # No name of a VM is told to who has not logged in.
        session = Session(daemon, login=False, source='127.0.0.2')
        session.log_in(r'win10\nobody', 'x', 'error org.rdpusb.Error.Denied wrong user or password')
    with estate(folder, '--default-vm', 'WIN10', '--security', 'nla,tls') as daemon:
        session = Session(daemon, login=False)
        session.expect('configure', '{')
        session.prove('alice', ntlm.proof(PASSWORD, 'alice', 'lab'), 'lab')
        session.expect('authenticate alice@win10 x', 'authenticated alice lab')
        Session(daemon, login=False).log_in('alice', PASSWORD, 'authenticated alice win10')
        Session(daemon, login=False).log_in('bob', PASSWORD, 'authenticated bob lab')


def test_two_users_never_meet(folder):
    win10, lab = Guest(folder / 'win10'), Guest(folder / 'lab')
    with estate(folder) as daemon:
        alice, bob = Session(daemon, login=False), Session(daemon, login=False)
        for call in 'attach 5 stick 1', 'detached 5 mine', 'lost 5 mine':
            bob.expect(call, 'error org.rdpusb.Error.Invalid')
        alice.log_in(r'win10\alice', PASSWORD, 'authenticated')
        alice.attach(5)
        alice.event(f'connect 5 unix:{folder / "win10"}')
        win10.accept()
        bob.log_in('bob', PASSWORD)
        for number in range(4, 7):  # guessed
            bob.expect(f'detached {number} mine', 'error org.rdpusb.Error.Invalid')
            bob.expect(f'lost {number} mine', 'error org.rdpusb.Error.Invalid')
        bob.expect(rf'authenticate win10\alice {PASSWORD}', 'error org.rdpusb.Error.Invalid')
        bob.attach(5)
        bob.event(f'connect 5 unix:{folder / "lab"}')
        lab.accept()
        bob.expect('send 5 bob', 'sent')
        lab.received('bob')
        # A free port of another's VM is none of bob's.
        alice.tell('detached 5 unplugged')
        check({alice.lines.next(), alice.lines.next()} == {'told', 'eof 5'}, 'the stream goes on')
        win10.eof()
        bob.attach(6)
        bob.event('waiting 6 no free port: each of the 1')
        win10.nobody()
        # Stale numbers
        alice.expect('lost 5 again', 'error org.rdpusb.Error.Invalid')
        alice.expect('detached 5 again', 'error org.rdpusb.Error.Invalid')
        bob.expect('send 5 still', 'sent')
        lab.received('still')
        # The next session of alice finds nothing of the last one.
        alice.tell('crash')
        daemon.log.find('killed by signal 9')
        other = Session(daemon, login=False)
        other.log_in(r'lab\alice', PASSWORD, 'authenticated')
        other.expect('detached 5 mine', 'error org.rdpusb.Error.Invalid')
        other.attach(5)
        other.event('waiting 5 no free port')
        other.expect('lost 5 mine', 'error org.rdpusb.Error.Invalid')
        bob.expect('send 5 alone', 'sent')
        lab.received('alone')


# ---- Device rules ----

def test_rules(folder):
    """By device, user, group and VM; what refuses is named to the session and in the log."""
    rules = folder.write_rules('block with-interface one-of { 03:01:01 }', 'allow id 1234:0002 user alice',
                               'allow id 1234:0003 group staff', 'allow id 1234:0004 vm lab')
    by_none = 'blocked: no rule matches it'
    keyboard = f'blocked by {rules}:1 (block with-interface one-of {{ 03:01:01 }})'
    with estate(folder) as daemon:
        alice, bob = Session(daemon, login=False), Session(daemon, login=False)
        alice.log_in(r'win10\alice', PASSWORD, 'authenticated')
        bob.log_in('bob', PASSWORD)
        for session, device, refusal in (
                (alice, '1234:0001 08:06:50', by_none),
                (alice, '1234:0002 08:06:50', None), (bob, '1234:0002 08:06:50', by_none),
                (alice, '1234:0003 08:06:50', None), (bob, '1234:0003 08:06:50', by_none),
                (alice, '1234:0004 08:06:50', by_none), (bob, '1234:0004 08:06:50', None),
                (alice, '1234:0002 08:06:50 03:01:01', keyboard), (bob, '1234:0004 03:01:01', keyboard)):
            number = len(session.lines.seen)
            session.tell(f'describe {number} {device}')
            line = session.lines.next()
            while line.startswith('waiting'):  # of one before
                line = session.lines.next()
            check(line == (f'error org.rdpusb.Error.Denied {refusal}' if refusal else 'attached'), f'{device}: {line!r}')
            if refusal:
                daemon.log.find(re.escape(f'device {device[:9]} ') + '.*refused: ' + re.escape(refusal) + '$')


# ---- PAM ----

def write_pam(folder, script):
    """What stands for rdpusb-pam: `$request` is the user's name, the address and the password. Returns what tells rdpusbd."""
    folder.write('pam', f'#!/bin/sh\nrequest=$(tr "\\0" " ")\n{script}\n', 0o755)
    return {'RDPUSB_PAM': folder / 'pam'}


def refusals(daemon, names):
    """One wrong password for each name, all at once and each from its own address: seconds and the answer, by name."""
    sessions = {name: Session(daemon, login=False, source=f'127.0.0.{n}') for n, name in enumerate(names, 2)}
    for session in sessions.values():
        session.expect('configure', '{')
    began = time.monotonic()
    for name, session in sessions.items():
        session.tell(f'authenticate {name} wrong')
    answers = {}
    for name, session in sessions.items():
        answers[name] = session.lines.next(), time.monotonic() - began
    return answers


def test_time_of_pam(folder):
    """Refusals come a whole number of delays after the question, so that PAM's time does not tell who was asked about."""
    environment = write_pam(folder, 'case $request in unknown*) sleep 1.2;; known*) sleep 1.7;;\n'
                                    'mapped*) printf alice; exit 0;; esac; exit 1')
    steps = {'alice': 1, 'quick': 1, 'mapped': 1, 'unknown': 2, 'known': 2}
    for passwords in 'users;pam', 'pam':
        with estate(folder, head=f'passwords={passwords}', environment=environment) as daemon:
            for name, (answer, seconds) in refusals(daemon, steps).items():
                check(answer == 'error org.rdpusb.Error.Denied wrong user or password', f'{name}: {answer!r}')
                check(steps[name] <= seconds < steps[name] + 0.9, f'{passwords}: {name} was refused after {seconds:.2f} s')


def test_lockout_with_pam(folder):
    """Who has failed too often is locked as with the users file, and PAM is not asked any more."""
    asked = folder.write('asked', '')
    environment = write_pam(folder, f'echo $request >>{asked}; case $request in *" right") printf dora;; *) exit 1;; esac')
    with estate(folder, head='passwords=users;pam\n[limits]\nlockout-failures=2',
                environment=environment) as daemon:
        first, second, third = (Session(daemon, login=False, source=f'127.0.0.{n}') for n in (2, 3, 4))
        for session in first, second, third:
            session.expect('configure', '{')
        for session in first, second:
            session.tell('authenticate dora wrong')
        daemon.log.find('too many failed logins of user "dora"')
        for session in first, second:
            session.event('error org.rdpusb.Error.Denied wrong user or password')
        third.expect('authenticate Dora right', 'error org.rdpusb.Error.Denied wrong user or password')
        daemon.log.find('login of user "Dora" from .* refused: locked after too many failures')
        lines = sorted(open(asked).read().splitlines())
        check(lines == ['dora 127.0.0.2 wrong', 'dora 127.0.0.3 wrong'], f'PAM was asked {lines}')


def test_pam_that_cannot_be_asked(folder):
    """The same answer in the same time as after a wrong password, and it counts: who has no password here is not told."""
    environment = write_pam(folder, 'exit 1')
    names = 'alice', 'dora', 'e' * 300
    with estate(folder, head='passwords=users;pam\n[limits]\nlockout-failures=1', environment=environment) as daemon:
        os.unlink(folder / 'pam')
        for name, (answer, seconds) in refusals(daemon, names).items():
            check(answer == 'error org.rdpusb.Error.Denied wrong user or password', f'{name}: {answer!r}')
            check(1 <= seconds < 1.9, f'{name} was refused after {seconds:.2f} s')
        daemon.stop()
        log = daemon.log.rest()
        for name, reason in zip(names, ('wrong user or password', *['the password cannot be checked'] * 2)):
            for text in f'too many failed logins of user "{name[:99]}', f'login of user "{name[:99]}':
                check(any(text in line for line in log), f'{text} is not in the log')
            check(any(f'login of user "{name[:99]}' in line and line.endswith(f'refused: {reason}') for line in log),
                  f'{name}: no refusal for {reason}')


def test_session_that_ends_while_pam_is_asked(folder):
    """Not to hear the answer is a failure too."""
    os.mkfifo(folder / 'asked')
    asked = os.open(folder / 'asked', os.O_RDWR)
    environment = write_pam(folder, f'echo $request >{folder / "asked"}; exec sleep 60')
    with estate(folder, '--audit', folder / 'audit.jsonl', head='passwords=pam\n[limits]\nlockout-failures=1',
                environment=environment) as daemon:
        session = Session(daemon, login=False)
        session.expect('configure', '{')
        pid = re.search(r'pid (\d+)', session.expect('inspect', 'fds'))[1]
        session.tell('authenticate dora guess')
        check(select.select([asked], [], [], LIMIT)[0], 'PAM was not asked')
        os.kill(int(pid), signal.SIGKILL)
        daemon.log.find('too many failed logins of user "dora" or from 127.0.0.1: locked')
        daemon.log.find('login of user "dora" from .* refused: the connection ended before the password was checked')
        daemon.log.find(' ended: session process was killed')
        events = [json.loads(line) for line in open(folder / 'audit.jsonl')]
        refused = [(event['user'], event['method'], event['code']) for event in events if event['event'] == 'login-refused']
        check(refused == [('dora', 'pam', 'unfinished')], refused)
    os.close(asked)


def test_groups_of_pam(folder):
    """Who logs in by PAM is in the system's groups: they open a VM, and rules speak of them."""
    folder.write('pam', '#!/bin/sh\ncase $(tr "\\0" " ") in\n'
                        'dora*) printf "dora\\nstaff\\nscanner";;\nemil*) printf emil;;\n*) exit 1;;\nesac\n', 0o755)
    folder.write_rules('allow id 1234:0001 group scanner')
    with estate(folder, '--security', 'tls', '--passwords', 'pam',
                environment={'RDPUSB_PAM': folder / 'pam'}) as daemon:
        dora = Session(daemon, login=False)
        dora.log_in('dora', 'x', 'authenticated dora lab')
        dora.expect('describe 1 1234:0001 08:06:50', 'attached')
        Session(daemon, login=False).log_in('emil', 'x', 'error org.rdpusb.Error.NoVm user emil may use no VM')
        Session(daemon, login=False).log_in('fritz', 'x', 'error org.rdpusb.Error.Denied')


def test_methods_in_the_trail(folder):
    """Each way to log in that the schema of the audit trail has is one that there is."""
    schema = pathlib.Path(__file__).resolve().parents[3] / 'docs/audit.schema.json'
    trail = folder / 'audit.jsonl'
    with estate(folder, '--audit', trail, '--security', 'nla,tls', head='passwords=users;pam',
                environment=write_pam(folder, 'printf "dora\\nstaff"')) as daemon:
        session = Session(daemon, login=False)
        session.expect('configure', '{')
        session.prove('bob', ntlm.proof(PASSWORD, 'bob'))
        session.expect('authenticate bob x', 'authenticated bob lab')
        Session(daemon, login=False).log_in('bob', PASSWORD)
        Session(daemon, login=False).log_in('dora', 'x')
        events = [json.loads(line) for line in open(trail)]
        methods = [event['method'] for event in events if event['event'] == 'login']
        check(methods == ['ntlm', 'users-file', 'pam'], methods)
        check(methods == json.load(open(schema))['properties']['method']['enum'], f'{schema} has others than {methods}')


def test_filter_of_a_vm(folder):
    filter = '0x03,-1,-1,-1,0|-1,-1,-1,-1,1'
    with estate(folder, win10=f'filter={filter}') as daemon:
        alice, bob = Session(daemon, login=False), Session(daemon, login=False)
        alice.log_in(r'win10\alice', PASSWORD, 'authenticated')
        bob.log_in('bob', PASSWORD)
        refusal = f'blocked by {folder / "conf"}:8 (filter={filter})'
        alice.expect('describe 1 1234:0001 03:01:01', f'error org.rdpusb.Error.Denied {refusal}')
        daemon.log.find('device 1234:0001 .*of user "alice" at VM win10 refused: ' + re.escape(refusal))
        alice.expect('describe 1 1234:0001 08:06:50', 'attached')
        bob.expect('describe 1 1234:0001 03:01:01', 'attached')


# ---- SIGHUP ----

def reload(daemon, pattern='certificate, users and device rules reloaded'):
    daemon.process.send_signal(signal.SIGHUP)
    return daemon.log.find(pattern)


def test_new_rules_take_devices_away(folder):
    """At once, whatever the session does; rules that cannot be read change nothing."""
    guest = Guest(folder / 'vm')
    with Daemon(folder, '--chardev', f'unix:{folder / "vm"}') as daemon:
        session, other = Session(daemon), Session(daemon)
        session.attach(1)
        session.event('connect 1')
        guest.accept()
        session.attach(2)
        session.event('waiting 2 no free port')
        rules = folder.write_rules('# nothing any more', 'block')
        reload(daemon, re.escape(f'is taken away: blocked by {rules}:2 (block)'))
        guest.eof()
        check(sorted(session.lines.next().split(' (')[0] for _ in range(3)) ==
              [f'detach 1 blocked by {rules}:2', f'detach 2 blocked by {rules}:2', 'eof 1'], session.lines.last())
        session.expect('lost 1 ignored', 'told')
        session.expect('attach 1 stick 1', 'error org.rdpusb.Error.Invalid')
        session.expect('detached 1 obeyed', 'told')
        session.expect('attach 1 stick 1', 'error org.rdpusb.Error.Denied blocked by')
        folder.write_rules('allow', 'allow id 123')
        reload(daemon, re.escape(f'device rules not reloaded, the old ones stay: {rules}:2:10: '))
        other.expect('attach 1 stick 1', 'error org.rdpusb.Error.Denied blocked by')
        os.chmod(folder.write_rules('allow'), 0o666)
        reload(daemon, re.escape(f'device rules not reloaded, the old ones stay: {rules}: everybody may write it'))
        other.expect('attach 1 stick 1', 'error org.rdpusb.Error.Denied blocked by')
        os.chmod(rules, 0o644)
        os.rename(folder.rules, folder / 'away')
        reload(daemon, re.escape(f'device rules not reloaded, the old ones stay: {folder.rules}: the folder with the device '
                                 'rules is missing'))
        other.expect('attach 1 stick 1', 'error org.rdpusb.Error.Denied blocked by')
        os.rename(folder / 'away', folder.rules)
        reload(daemon)
        guest.nobody()
        other.attach(1)
        other.event('connect 1')  # though the session has not let go of device 2
        guest.accept()
        reload(daemon)  # and with rules that allow it, it stays
        other.expect('send 1 stays', 'sent')
        guest.received('stays')


def test_certificate_and_keytab_as_large_as_may_be(folder):
    """They reach the session, and only what is PEM in their files."""
    pem, key = make_certificate(folder)
    single = len(open(pem).read())
    chain = change(folder, pem, lambda text: (BAG_ATTRIBUTES + text) * (38_000 // single))
    os.rename(chain, folder / 'chain')
    bagged = change(folder, key, lambda text: BAG_ATTRIBUTES + text + BAG_ATTRIBUTES, mode=0o640)
    keytab = write_keytab(folder, 19_000)
    with Daemon(folder, '--certificate', folder / 'chain', '--private-key', bagged, '--kerberos-keytab', keytab) as daemon:
        given = Session(daemon, login=False).expect('configure', '{').replace(r'\n', '\n')
        check(open(pem).read() * (38_000 // single) in given, 'another certificate, or more than it')
        check(open(key).read() in given, 'another key, or more than it')
        check(given.count("'TERMSRV/aaa") == 19_000 // 220, 'not all keys of the keytab')
        write_keytab(folder, 22_000)
        reload(daemon, re.escape(f'keytab not reloaded, the old ones stay: {keytab}: has more than 20 KiB of keys'))
        Session(daemon)


def test_certificates_that_are_none_are_not_reloaded(folder):
    links = folder / 'link.pem', folder / 'link.key'

    def point(*targets):
        for path, target in zip(links, targets):
            os.symlink(target, path + '.new')
            os.replace(path + '.new', path)

    pair = make_certificate(folder, 'first')
    point(*pair)
    first = open(pair[0]).read().strip().replace('\n', r'\n')
    with Daemon(folder, '--certificate', links[0], '--private-key', links[1]) as daemon:
        for pem, key, text in certificates_that_are_none(folder):
            point(pem, key)
            text = text.replace(pem, links[0]).replace(key, links[1])
            reload(daemon, re.escape(f'certificate and private key not reloaded, the old ones stay: {text}'))
            check(first in Session(daemon, login=False).expect('configure', '{'), f'{text}: the old one is not in force')
        point(*pair)
        reload(daemon)


def test_new_certificate(folder):
    state = folder / 'state'
    read = lambda name: open(f'{state}/{name}.pem').read()
    given = lambda session: session.expect('configure', '{')
    escaped = lambda text: text.strip().replace('\n', r'\n')
    with Daemon(folder, state=state) as daemon:
        old = Session(daemon)
        first = read('certificate')
        pem, key = make_certificate(folder, 'new')
        os.replace(pem, f'{state}/certificate.pem')
        reload(daemon, 'certificate and private key not reloaded, the old ones stay: .*is not that of the certificate')
        check(escaped(first) in given(Session(daemon, login=False)), 'another certificate, without its key')
        os.replace(key, f'{state}/private-key.pem')
        reload(daemon)
        check(escaped(read('certificate')) in given(Session(daemon, login=False)), 'the old certificate')
        old.attach(1)
        old.event('waiting 1')


def test_new_users(folder):
    with estate(folder) as daemon:
        old = Session(daemon, login=False)
        old.log_in('bob', PASSWORD)
        write_users(folder, (('alice', 'staff'), ('dora', 'staff')), 'another')
        os.chmod(folder / 'users', 0o644)
        reload(daemon, re.escape(f'users not reloaded, the old ones stay: {folder / "users"}: everybody may read its secrets'))
        Session(daemon, login=False).log_in('bob', PASSWORD)
        text = open(folder / 'users').read()
        folder.write('users', text + 'eve:1234:\n', 0o600)
        reload(daemon, re.escape(f'users not reloaded, the old ones stay: {folder / "users"}:3:'))
        os.unlink(folder / 'users')
        reload(daemon, re.escape(f'users not reloaded, the old ones stay: {folder / "users"}: No such file'))
        Session(daemon, login=False).log_in('bob', PASSWORD)
        folder.write('users', text, 0o600)
        reload(daemon)
        Session(daemon, login=False).log_in('dora', 'another', 'authenticated dora lab')
        denied = [Session(daemon, login=False, source=f'127.0.0.{n}') for n in (2, 3)]
        for session in denied:
            session.expect('configure', '{')
        for session, login in zip(denied, (f'bob {PASSWORD}', f'alice@lab {PASSWORD}')):
            session.tell(f'authenticate {login}')
        for session in denied:
            session.event('error org.rdpusb.Error.Denied wrong user or password')
        old.attach(1)
        old.event('waiting 1')


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
        daemon.log.find(r'device 1d6b:0104 "stick" serial "123" of user "alice" at VM default attached to port unix:')
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
        path = daemon.log.find(r'device 1d6b:0104 "stick" serial "123" of user "alice" at VM default is captured in (\S+)$')[1]
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
    user = ('--user', USER, '--password-file', folder.password_file, *common(folder))
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


def test_devices_that_come_and_go_without_end(folder):
    """Each is a line of the log and of the audit trail: refused by a rule, by the guest, or let in and gone again."""
    refused, changing = 'too many refused devices', 'devices come and go too often'
    for rule, how, came, kind, reason in (
            ('block', 'left', (0, 0), 'device-refused', refused), ('allow', 'refused', (1000, 1000), 'device-refused', refused),
            ('allow', 'left', (1001, 1050), None, changing)):
        folder.write_rules(rule)
        trail = folder / f'{rule}-{how}'
        with Daemon(folder, '--audit', trail) as daemon:
            session = Session(daemon)
            session.tell(f'cycle 1100 {how}')
            line = session.lines.next()
            while line.startswith('waiting'):
                line = session.lines.next()
            number = re.match(r'cycled (\d+) .*the connection is ending$', line)
            check(number and came[0] <= int(number[1]) <= came[1], f'{rule}, {how}: {line!r}')
            daemon.log.find(f'connection from .*: {reason}: ended$')
            daemon.log.find('session process exited')
        events = [json.loads(line) for line in open(trail)]
        check(events[-1]['reason'] == reason, events[-1])
        if kind:
            check([event['event'] for event in events].count(kind) == 1000, f'{rule}, {how}: {len(events)} events')


def test_session_that_does_not_answer_is_ended(folder):
    path = folder.write('conf', '[limits]\nanswer-seconds=1\n')
    guest, other = Guest(folder / 'guest'), Guest(folder / 'other')
    with Daemon(folder, '--config', path, '--audit', folder / 'audit', '--chardev', f'unix:{folder / "guest"}', '--chardev',
                f'unix:{folder / "other"}') as daemon:
        sound, frozen = Session(daemon), Session(daemon)
        for session, its in (frozen, guest), (sound, other):
            session.attach(1)
            session.event('connect 1')
            its.accept()
        pids = [int(pid) for pid in open(f'/proc/{daemon.process.pid}/task/{daemon.process.pid}/children').read().split()]
        os.kill(pids[1], signal.SIGSTOP)
        daemon.log.find(r'has not answered for 1 s \(answer-seconds\), killing it')
        guest.eof()
        sound.expect('send 1 there', 'sent')
        other.received('there')
        check('its session process did not answer' in open(folder / 'audit').read(), 'no word of it in the audit trail')


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
