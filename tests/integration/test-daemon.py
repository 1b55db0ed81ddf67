#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""rdpusbd as a service: who gets in, how it ends, and what it says when it cannot serve."""

import pathlib
import re
import signal
import socket
import stat
import subprocess
import time

import rdp
from bench import Bench, SEE_SECONDS, UNPLUGGED, begin_long_read, idle_descriptors, wait_disk
from daemon import END_SECONDS, Daemon, find_program, login
from gadget import Keyboard
from tap import equal, expect, main, scenario

PAGES = pathlib.Path(__file__).resolve().parents[2] / 'docs' / 'man'


def refused(test, status, pattern, arguments):
    """rdpusbd has to end with this status and to say this."""
    daemon = test.keep(Daemon(test.folder, arguments=arguments))
    equal(daemon.wait(10), status, f'exit status of rdpusbd {" ".join(arguments)}')
    expect(re.search(pattern, daemon.errors.text()), f'no {pattern!r} in: {daemon.errors.text()}')
    equal(daemon.log.text(), '', 'standard output')


@scenario('a wrong password is refused before any channel opens', each=rdp.CLIENTS)
def wrong_password(test, program):
    daemon = test.keep(Daemon(test.folder)).start()
    before = idle_descriptors(test, daemon)
    for user, password in (('alice', 'wrong'), ('mallory', 'correct horse'), ('alice', '')):
        mark = daemon.errors.mark()
        client = test.keep(rdp.Client(test.folder, program, daemon.port, user=user, password=password))
        expect(client.wait(20) != 0, 'the client was let in')
        daemon.errors.wait(rf'(?i){user}.*(password|refused|denied)|(password|refused|denied).*{user}', 5, mark)
        expect('Dynamic Virtual Channel' not in client.log.text(), 'a channel was opened')
    daemon.wait_descriptors(before)


@scenario('the screen shows the user and the devices', each=rdp.CLIENTS)
def screen(test, program):
    bench = Bench(test)
    bench.connect(program, bench.stick())
    wait_disk(bench.guest)
    expect(rdp.ink() > 500, 'the screen has hardly anything on it')


def activity(pids):
    """Milliseconds of processor time, and times that a process went to sleep."""
    used = slept = 0
    for pid in pids:
        with open(f'/proc/{pid}/schedstat') as file:
            used += int(file.read().split()[0]) // 1_000_000
        with open(f'/proc/{pid}/status') as file:
            slept += int(re.search(r'^voluntary_ctxt_switches:\s*(\d+)', file.read(), re.M)[1])
    return used, slept


@scenario('with an idle keyboard, broker and session rest')
def rest(test):
    bench = Bench(test)
    bench.connect(rdp.CLIENTS[0], Keyboard())
    bench.guest.keyboard(SEE_SECONDS)
    pids = [bench.daemon.pid] + bench.daemon.sessions()
    quietest = (1 << 30, 1 << 30)
    for _ in range(5):  # the guest's set-up may go on for a moment
        before = activity(pids)
        time.sleep(1)  # nothing is awaited: that nothing happens is the point
        quietest = min(quietest, tuple(after - then for after, then in zip(activity(pids), before)))
    expect(quietest[0] < 50 and quietest[1] < 15, 'a quiet second took {} ms and {} wake-ups'.format(*quietest))


@scenario('SIGTERM ends everything within two seconds', each=rdp.CLIENTS)
def terminate(test, program):
    bench = Bench(test)
    client = bench.connect(program, bench.stick(size=64 << 20))
    begin_long_read(bench.guest, wait_disk(bench.guest))
    sessions = bench.daemon.sessions()
    mark = bench.guest.console.mark()
    bench.daemon.signal(signal.SIGTERM)
    equal(bench.daemon.wait(END_SECONDS), 0, 'exit status')
    for session in sessions:
        bench.daemon.wait_session_ends(session, timeout=0)
    bench.guest.console.wait(UNPLUGGED, SEE_SECONDS, mark)
    client.wait(20)


@scenario('SIGINT ends an idle daemon')
def interrupt(test):
    daemon = test.keep(Daemon(test.folder)).start()
    daemon.signal(signal.SIGINT)
    equal(daemon.wait(END_SECONDS), 0, 'exit status')


@scenario('a certificate is made once and kept')
def certificate(test):
    contents = []
    for _ in range(2):
        daemon = test.keep(Daemon(test.folder)).start()
        files = sorted(path for path in (daemon.folder / 'state').rglob('*') if path.is_file())
        contents.append({path: path.read_bytes() for path in files})
        keys = [path for path in files if b'PRIVATE KEY' in path.read_bytes()]
        equal(len(keys), 1, 'number of private keys')
        equal(stat.S_IMODE(keys[0].stat().st_mode), 0o600, 'mode of the private key')
        daemon.close()
    equal(contents[0], contents[1], 'state folder')


@scenario('bad options and configuration lines end with 2 and their place')
def usage(test):
    config = test.folder / 'rdpusbd.conf'
    refused(test, 2, 'no-such-option', ['--no-such-option'])
    refused(test, 2, 'nonsense:1', ['--chardev', 'nonsense:1'])
    refused(test, 2, 'nowhere', ['--listen', 'nowhere'])
    refused(test, 2, 'loud', ['--log-level', 'loud'])
    config.write_text('# comment\n[rdpusbd]\nthis is no setting\n')
    refused(test, 2, re.escape(f'{config}:3'), ['--config', str(config)])
    missing = str(test.folder / 'missing.pem')
    refused(test, 2, re.escape(missing),
            login(test.folder) + ['--listen', '127.0.0.1:0', '--certificate', missing, '--private-key', missing])


def headings(page, section):
    """The terms of a section of a page, which has them in lines of their own, several with commas between them."""
    text = (PAGES / page).read_text()
    begin = text.index(f'\n{section}\n===')
    lines = text[begin:text.index('\n===', begin + len(section) + 6)]
    found = re.findall(r'^(\S[^\n]*)\n    ', lines, re.M)
    return sorted(term.split()[0].lstrip('-') for line in found for term in line.split(', '))


@scenario('the pages tell of each setting, once')
def pages(test):
    done = subprocess.run([find_program('rdpusbd'), '--help'], capture_output=True, text=True, timeout=20)
    options = set(re.findall(r'^  +--([a-z-]+)', done.stdout, re.M))
    expect(len(options) > 15, f'few options: {options}')
    equal(headings('rdpusbd.8.rst', 'OPTIONS'), sorted(options), 'options in rdpusbd(8)')
    equal(headings('rdpusbd.conf.5.rst', 'OPTIONS'), sorted(options - {'config', 'version'}), 'options in rdpusbd.conf(5)')


@scenario('what it cannot use ends it with 1, named')
def cannot_serve(test):
    with socket.create_server(('127.0.0.1', 0)) as taken:
        address = '127.0.0.1:%d' % taken.getsockname()[1]
        refused(test, 1, re.escape(address), login(test.folder) + ['--listen', address])


main()
