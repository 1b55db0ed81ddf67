# SPDX-License-Identifier: LGPL-2.1-or-later
"""rdpusbd from the build folder, with its sessions."""

import os
import pathlib
import select
import signal
import time

from process import Failure, Process

BUILD = pathlib.Path(os.environ.get('RDPUSB_BUILD', 'build')).resolve()
SUPPRESSIONS = pathlib.Path(__file__).resolve().parent / 'leaks-of-others.txt'
USER, PASSWORD = 'alice', 'correct horse'
END_SECONDS = 2  # from SIGTERM to exit, promised in rdpusbd(8)


def find_program(name):
    """A program of ours in the build folder, wherever its sources are."""
    found = [path for path in BUILD.rglob(name) if path.is_file() and os.access(path, os.X_OK)]
    if len(found) != 1:
        raise Failure(f'{BUILD} has {len(found)} programs {name}; set RDPUSB_BUILD to the build folder')
    return found[0]


def write_rules(folder, *lines):
    """A folder with these device rules."""
    rules = folder / 'rules.d'
    rules.mkdir(exist_ok=True)
    rules.chmod(0o755)  # whatever the umask is: what others may write is refused
    path = rules / '50-test.rules'
    path.write_text('\n'.join(lines) + '\n')
    path.chmod(0o644)
    return rules


def login(folder):
    """Arguments that let USER in, by NLA or with a password in TLS, with any device."""
    path = folder / 'password'
    path.write_text(PASSWORD + '\n')
    path.chmod(0o600)
    return ['--user', USER, '--password-file', str(path), '--security', 'nla,tls', '--rules-dir',
            str(write_rules(folder, 'allow')), '--log-level', 'debug']


class Daemon(Process):
    """rdpusbd on a free port of the loopback interface, or with other arguments if they are given. `options` are further ones; `wrapper` is
    a command that starts it."""

    def __init__(self, folder, chardevs=(), arguments=None, name='rdpusbd', options=(), wrapper=()):
        self.folder = folder / name
        self.folder.mkdir(exist_ok=True)
        if arguments is None:
            arguments = login(self.folder) + ['--listen', '127.0.0.1:0']
        for chardev in chardevs:
            arguments += ['--chardev', chardev]
        arguments += options
        # A sanitizer writes to files, which close() looks for. Sessions inherit these options and little else, so
        # they also tell whose sessions are left over.
        sanitizers = f'log_path={self.folder}/sanitizer'
        env = os.environ | {
            'HOME': str(self.folder), 'G_DEBUG': 'fatal-criticals',
            'RDPUSB_SESSION': str(find_program('rdpusb-session')), 'RDPUSB_PAM': str(find_program('rdpusb-pam')),
            'ASAN_OPTIONS': sanitizers, 'UBSAN_OPTIONS': sanitizers + ':print_stacktrace=1',
            'LSAN_OPTIONS': f'{sanitizers}:print_suppressions=0:suppressions={SUPPRESSIONS}'}
        super().__init__(name, [*wrapper, find_program('rdpusbd'), '--state-dir', self.folder / 'state', *arguments],
                         env=env, separate_errors=True)

    def start(self):
        """Waits until it serves; its ports of VMs are there then."""
        self.port = int(self.log.wait(r'^rdpusbd: listening on \S+:(\d+)$', timeout=20)[1])
        return self

    def sessions(self):
        """The process ids of the sessions."""
        try:
            children = pathlib.Path(f'/proc/{self.pid}/task/{self.pid}/children').read_text().split()
        except FileNotFoundError:
            return []
        return [int(child) for child in children if _name(int(child)).startswith('rdpusb-session')]

    def descriptors(self, pid=None):
        """What each open descriptor of the broker (or a session) is, sorted."""
        folder = pathlib.Path(f'/proc/{pid or self.pid}/fd')
        links = []
        for entry in folder.iterdir():
            try:
                links.append(os.readlink(entry))
            except FileNotFoundError:
                pass  # it was the listing's own
        return sorted(link.split(':[')[0] for link in links)

    def wait_session_ends(self, pid, timeout):
        """Waits for the end of a session."""
        try:
            handle = os.pidfd_open(pid)
        except ProcessLookupError:
            return
        try:
            if not select.select([handle], [], [], timeout)[0]:
                raise Failure(f'the session {pid} still runs after {timeout} s')
        finally:
            os.close(handle)

    def settled_descriptors(self):
        """descriptors() when they have not changed for half a second: what is closing meanwhile does not count."""
        before, since = self.descriptors(), time.monotonic()
        while time.monotonic() - since < 0.5:
            time.sleep(0.05)
            if (now := self.descriptors()) != before:
                before, since = now, time.monotonic()
        return before

    def wait_descriptors(self, expected, timeout=5):
        """Waits until the broker has exactly these again. Nothing tells when it closes one, so this asks."""
        deadline = time.monotonic() + timeout
        while (now := self.descriptors()) != expected:
            if time.monotonic() > deadline:
                raise Failure(f'the broker has descriptors {now} instead of {expected}')
            time.sleep(0.05)

    def close(self):
        """Ends it, if a scenario has not done so, and checks how it ended and what it left behind."""
        expected = self.running()
        if expected:
            self.signal(signal.SIGTERM)
        try:
            status = self.wait(END_SECONDS + 3)
            if expected and status != 0:
                raise Failure(f'rdpusbd ended with {status}')
        finally:
            super().close()
            self._check_remains()

    def _check_remains(self):
        left = list(_processes_with(f'ASAN_OPTIONS=log_path={self.folder}/sanitizer'.encode()))
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        if left:
            raise Failure(f'processes were left over: {left}')
        for report in self.sanitizer_reports():
            raise Failure(report)

    def sanitizer_reports(self):
        """What sanitizers found. The search for leaks notes it when its process is killed meanwhile, which is no finding."""
        reports = {path.name: path.read_text() for path in sorted(self.folder.glob('sanitizer.*'))}
        return [f'{name}:\n{text[:8000]}' for name, text in reports.items()
                if any(line and 'Unable to get registers from thread' not in line for line in text.splitlines())]


def _name(pid):
    try:
        return pathlib.Path(f'/proc/{pid}/comm').read_text().strip()
    except OSError:
        return ''


def _processes_with(variable):
    for entry in pathlib.Path('/proc').iterdir():
        if entry.name.isdigit():
            try:
                if variable in (entry / 'environ').read_bytes().split(b'\0'):
                    yield int(entry.name)
            except OSError:
                pass  # gone, or of another user
