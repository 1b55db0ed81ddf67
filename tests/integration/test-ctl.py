#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""rdpusbctl, as an administrator uses it: from a terminal, from a pipe, and several at once."""

import contextlib
import os
import pathlib
import pty
import re
import resource
import select
import shlex
import signal
import subprocess
import termios
import time

from daemon import find_program, write_rules
from process import Failure
from tap import equal, expect, main, scenario

SHIPPED_RULES = pathlib.Path(__file__).resolve().parents[2] / 'server' / 'policy' / '50-default.rules'
HASH = 'a4f49c406510bdcab6824ee7c30fd852'  # of "Password", [MS-NLMP] 4.2.2.1.2
OTHER = '0123456789abcdef0123456789abcdef'


class Ctl:
    """The users file of one test, and rdpusbctl with it."""

    def __init__(self, test):
        self.folder = test.folder
        self.file = test.folder / 'users'

    def command(self, *arguments):
        return [str(find_program('rdpusbctl')), 'user', *arguments, '--users-file', str(self.file)]

    def run(self, *arguments, password='', **options):
        return subprocess.run(self.command(*arguments), input=password.encode(), capture_output=True, timeout=30, **options)

    def done(self, *arguments, password=''):
        """What it writes, if it succeeds."""
        result = self.run(*arguments, password=password)
        equal((result.returncode, result.stderr), (0, b''), f'rdpusbctl user {arguments}')
        return result.stdout.decode()

    def refused(self, status, text, *arguments, password='', **options):
        result = self.run(*arguments, password=password, **options)
        equal((result.returncode, result.stdout), (status, b''), f'rdpusbctl user {arguments}')
        message = result.stderr.decode()
        expect(re.search(text, message), f'{message!r} does not say {text!r}')
        equal(message.count('\n'), 1, 'lines of the message')

    def text(self):
        return self.file.read_text()

    def write(self, text, mode=0o600):
        self.file.write_text(text)
        self.file.chmod(mode)


class Terminal:
    """rdpusbctl in a terminal of its own."""

    def __init__(self, command):
        self.output = ''
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            for number in signal.SIGINT, signal.SIGQUIT:  # a run in the background ignores them
                signal.signal(number, signal.SIG_DFL)
            os.execv(command[0], command)

    def wait(self, text):
        """Waits for an output; what came before it is forgotten."""
        deadline = time.monotonic() + 10
        while text not in self.output:
            if not select.select([self.fd], [], [], max(0, deadline - time.monotonic()))[0]:
                raise Failure(f'no {text!r} in {self.output!r}')
            self.output += os.read(self.fd, 4096).decode()
        self.output = self.output[self.output.index(text) + len(text):]

    def echoes(self):
        return bool(termios.tcgetattr(self.fd)[3] & termios.ECHO)

    def type(self, text):
        expect(not self.echoes(), 'what is typed can be seen')
        os.write(self.fd, text.encode())

    def end(self):
        """Status and remaining output. A terminal that was hidden would stay so here."""
        _, status = os.waitpid(self.pid, 0)
        expect(self.echoes(), 'what is typed stays hidden')
        with contextlib.suppress(OSError):  # there is no other end any more
            while select.select([self.fd], [], [], 0)[0]:
                self.output += os.read(self.fd, 4096).decode()
        os.close(self.fd)
        return os.waitstatus_to_exitcode(status), self.output


@scenario('a user is added, gets another password, is listed and removed')
def life(test):
    ctl = Ctl(test)
    equal(ctl.done('add', 'alice', '--group', 'staff', '--group=scanner users', password='Password\n'), '', 'output')
    equal(ctl.text(), f'alice:{HASH}:staff,scanner users\n', 'file')
    equal(ctl.file.stat().st_mode & 0o777, 0o600, 'mode')
    ctl.done('add', 'Jörg Müller', password='Password')  # without an end of the line
    ctl.done('passwd', 'ALICE', password='other\nand more\n')
    expect(HASH not in ctl.text().splitlines()[0], 'the password is the old one')
    expect(ctl.text().startswith('alice:') and ':staff,scanner users\n' in ctl.text(), 'the rest of the line changed')
    equal(ctl.done('list'), 'USER         GROUPS\n'
                            'alice        staff, scanner users\n'
                            'Jörg Müller  -\n', 'list')
    ctl.done('remove', 'alice')
    equal(ctl.text(), f'Jörg Müller:{HASH}:\n', 'file')


@scenario('comments, order, mode, owner and group of the file stay')
def kept(test):
    ctl = Ctl(test)
    ctl.write(f'# The office\nbob:{HASH}:\n\n# Guests\nzoe:{OTHER}:x\n', 0o640)
    os.chown(ctl.file, -1, 1 if os.geteuid() == 0 else -1)
    group = ctl.file.stat().st_gid
    ctl.done('add', 'alice', password='Password')
    ctl.done('remove', 'bob')
    equal(ctl.text(), f'# The office\n\n# Guests\nzoe:{OTHER}:x\nalice:{HASH}:\n', 'file')
    status = ctl.file.stat()
    equal((status.st_mode & 0o777, status.st_gid), (0o640, group), 'mode and group')


@scenario('a list fits 80 columns and never shows a hash')
def table(test):
    ctl = Ctl(test)
    ctl.write(f'alice:{HASH}:{",".join(f"group-{i}" for i in range(30))}\n{"n" * 64}:{HASH}:{"g" * 64},{"h" * 64}\n'
              f'{"あ" * 30}:{HASH}:short\n')
    text = ctl.done('list')
    expect(HASH[:8] not in text, 'a hash is shown')
    for line in text.splitlines():
        width = sum(2 if c == 'あ' else 1 for c in line)
        expect(width <= 80 and line == line.rstrip(), f'{width} columns: {line!r}')
    for i in range(30):
        expect(f'group-{i}' in text, f'group-{i} is missing')
    expect(f'\n{"n" * 64}\n' in text and 'h' * 64 in text, 'a long name is missing')


@scenario('a password on the command line is refused, and why')
def command_line(test):
    ctl = Ctl(test)
    for arguments in (['add', 'alice', 'secret'], ['passwd', 'alice', 'secret'], ['add', 'alice', '--password=secret'],
                      ['add', 'alice', '--password', 'secret'], ['passwd', 'alice', '-psecret']):
        ctl.refused(2, 'a password is never given on the command line, where every user', *arguments)
    expect(not ctl.file.exists(), 'there is a file')


@scenario('a wrong command line is refused with status 2')
def usage(test):
    ctl = Ctl(test)
    for text, *arguments in (('the name of a user is missing', 'add'), ('too many arguments', 'remove', 'a', 'b'),
                             ('too many arguments', 'list', 'a'), ('Unknown option --nonsense', 'list', '--nonsense'),
                             ('Unknown option --group', 'passwd', 'a', '--group', 'b'),
                             ('cannot have any of', 'add', 'vm\\alice'), ('cannot have any of', 'add', 'alice@vm'),
                             ('group 2: a name is missing', 'add', 'a', '--group=b', '--group=')):
        ctl.refused(2, text, *arguments)
    for arguments in ([], ['nonsense'], ['user'], ['user', 'nonsense']):
        result = subprocess.run([find_program('rdpusbctl'), *arguments], capture_output=True)
        equal((result.returncode, result.stdout), (2, b''), str(arguments))
        expect(b'Usage: rdpusbctl' in result.stderr, 'it does not say how it is used')


@scenario('policy check tells what the rules that come with it would do')
def policy_check(test):
    lines = SHIPPED_RULES.read_text().splitlines()
    rules = write_rules(test.folder, *lines) / '50-test.rules'
    keys = 1 + next(n for n, line in enumerate(lines) if line.startswith('block') and '03:01:01' in line)
    for status, device, said in (
            (1, 'id 046d:c31c with-interface 03:01:01', f'blocked by {rules}:{keys} (block with-interface '),
            (0, 'id 0951:1666 name "DataTraveler" with-interface 08:06:50', f'allowed by {rules}:{len(lines)} (allow'),
            (2, 'id 0951', '')):
        done = subprocess.run([find_program('rdpusbctl'), 'policy', 'check', '--user', 'alice', '--vm', 'vm1', '--rules-dir',
                               rules.parent, device], capture_output=True, text=True, timeout=30)
        equal(done.returncode, status, f'exit status for {device}: {done.stderr}')
        expect(done.stdout.startswith(said) and bool(done.stderr) == (status == 2), f'it says {done.stdout!r}, {done.stderr!r}')


@scenario('what cannot be done is refused with status 1, and changes nothing')
def refused(test):
    ctl = Ctl(test)
    for arguments in (['list'], ['remove', 'alice'], ['passwd', 'alice']):
        ctl.refused(1, 'users: does not exist yet: rdpusbctl user add makes it', *arguments)
    ctl.write(f'alice:{HASH}:\n')
    ctl.refused(1, "users: there is a user 'alice' already: rdpusbctl user passwd", 'add', 'ALICE', password='x')
    ctl.refused(1, "users: there is no user 'bob'", 'remove', 'bob')
    ctl.refused(1, "users: there is no user 'bob'", 'passwd', 'bob', password='x')
    for text, password in (('there is no password', ''), ('there is no password', '\nx'),
                           ('longer than 1024 bytes', 'x' * 1025)):
        ctl.refused(1, text, 'passwd', 'alice', password=password)
    result = subprocess.run(ctl.command('passwd', 'alice'), input=b'\xff\n', capture_output=True)
    expect(b'the password is no text in UTF-8' in result.stderr, str(result))
    equal(ctl.text(), f'alice:{HASH}:\n', 'file')
    ctl.done('passwd', 'alice', password='x' * 1024)


@scenario('a bad users file is refused, with file and line')
def bad_file(test):
    ctl = Ctl(test)
    for mode, text, message in ((0o644, f'a:{HASH}:', 'users: everybody may read its secrets: chmod 0600 or 0640'),
                                (0o620, f'a:{HASH}:', 'users: its group may write it'),
                                (0o600, f'a:{HASH}:\nb:{HASH}', 'users:2:35: the line ends too early'),
                                (0o600, f'a:{HASH}:\nA:{HASH}:', 'users:2:1: this user is in line 1 already')):
        ctl.write(text, mode)
        for arguments in (['list'], ['add', 'x'], ['remove', 'a'], ['passwd', 'a']):
            ctl.refused(1, message, *arguments, password='Password')
        equal(ctl.text(), text, 'file')
    ctl.file.unlink()
    ctl.file.symlink_to('elsewhere')
    ctl.refused(1, 'users: is a symbolic link, which would be replaced', 'add', 'x', password='Password')
    expect(ctl.file.is_symlink(), 'the link is gone')
    ctl.file.unlink()
    ctl.folder.chmod(0o777)
    ctl.refused(1, 'everybody may write it: chmod 0755', 'add', 'x', password='Password')


def many_users(n):
    return ''.join(f'user-{i}:{OTHER}:\n' for i in range(n))


def limit_file_size(action):
    """No file may get larger than 1000 bytes: it is in the middle of a new users file."""
    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        signal.signal(signal.SIGXFSZ, action)
    return limit


@scenario('one that dies while it writes leaves the old file whole, and no obstacle')
def death(test):
    ctl = Ctl(test)
    ctl.write(many_users(100))
    result = ctl.run('remove', 'user-7', preexec_fn=limit_file_size(signal.SIG_DFL))
    equal(result.returncode, -signal.SIGXFSZ, 'status')
    equal(ctl.text(), many_users(100), 'file')
    ctl.done('remove', 'user-7')
    equal(len(ctl.text().splitlines()), 99, 'users')
    equal(sorted(os.listdir(ctl.folder)), ['.users.lock', 'users'], 'files')


@scenario('one that cannot write says so, and leaves the old file whole')
def full_disk(test):
    ctl = Ctl(test)
    ctl.write(many_users(100))
    ctl.refused(1, 'users: cannot write it: File too large', 'remove', 'user-7',
                preexec_fn=limit_file_size(signal.SIG_IGN))
    equal(ctl.text(), many_users(100), 'file')
    equal(sorted(os.listdir(ctl.folder)), ['.users.lock', 'users'], 'files')


@scenario('a reader sees the file whole at every moment')
def replaced(test):
    ctl = Ctl(test)
    ctl.write(many_users(2000))
    writer = test.start('rdpusbctl', ctl.command('remove', 'user-1999'))
    while writer.running():
        lines = ctl.text().splitlines(keepends=True)
        expect(len(lines) in (1999, 2000) and lines[-1].endswith(':\n'), f'{len(lines)} lines')
    equal(writer.wait(5), 0, 'status')


@scenario('several at once lose nothing of each other')
def at_once(test):
    ctl = Ctl(test)
    running = [subprocess.Popen(ctl.command('add', f'user-{i}'), stdin=subprocess.PIPE) for i in range(16)]
    for child in running:
        child.stdin.write(b'Password\n')
        child.stdin.flush()
    for child in running:
        child.communicate(timeout=30)
        equal(child.returncode, 0, 'status')
    equal(sorted(ctl.text().splitlines()), sorted(f'user-{i}:{HASH}:' for i in range(16)), 'users')


@scenario('a terminal asks twice and shows nothing')
def prompt(test):
    ctl = Ctl(test)
    terminal = Terminal(ctl.command('add', 'alice'))
    terminal.wait('New password of alice: ')
    terminal.type('Password\n')
    terminal.wait('The same again: ')
    terminal.type('Password\n')
    status, output = terminal.end()
    equal((status, output.strip()), (0, ''), 'status and output')
    equal(ctl.text(), f'alice:{HASH}:\n', 'file')


@scenario('two different passwords are refused')
def different(test):
    ctl = Ctl(test)
    terminal = Terminal(ctl.command('add', 'alice'))
    terminal.wait('New password of alice: ')
    terminal.type('Password\n')
    terminal.wait('The same again: ')
    terminal.type('password\n')
    terminal.wait('rdpusbctl: user add: the two passwords differ: nothing was changed')
    equal(terminal.end()[0], 1, 'status')
    expect(not ctl.file.exists(), 'there is a file')


@scenario('a terminal asks nothing if it would be in vain')
def in_vain(test):
    ctl = Ctl(test)
    ctl.write(f'alice:{HASH}:\n')
    terminal = Terminal(ctl.command('add', 'alice'))
    terminal.wait("there is a user 'alice' already")
    equal(terminal.end()[0], 1, 'status')


@scenario('who interrupts a prompt gets the terminal back as it was')
def interrupted(test):
    ctl = Ctl(test)
    for key, number in (('\x03', signal.SIGINT), ('\x1c', signal.SIGQUIT)):
        terminal = Terminal(ctl.command('add', 'alice'))
        terminal.wait('New password of alice: ')
        terminal.type('Pass' + key)
        equal(terminal.end()[0], -number, 'status')
    terminal = Terminal(ctl.command('add', 'alice'))
    terminal.wait('New password of alice: ')
    os.kill(terminal.pid, signal.SIGTERM)
    equal(terminal.end()[0], -signal.SIGTERM, 'status')
    expect(not ctl.file.exists(), 'there is a file')


@scenario('a prompt that was stopped asks again when it goes on')
def stopped(test):
    ctl = Ctl(test)
    terminal = Terminal(['/bin/bash', '--norc', '--noprofile'])
    os.write(terminal.fd, f'{shlex.join(ctl.command("add", "alice"))}; exit\n'.encode())
    terminal.wait('New password of alice: ')
    terminal.type('Pass\x1a')
    terminal.wait('Stopped')
    os.write(terminal.fd, b'fg\n')
    terminal.wait('New password of alice: ')
    terminal.type('Password\n')
    terminal.wait('The same again: ')
    terminal.type('Password\n')
    terminal.wait('\n')
    os.write(terminal.fd, b'exit\n')
    equal(terminal.end()[0], 0, 'status')
    equal(ctl.text(), f'alice:{HASH}:\n', 'file')


main()
