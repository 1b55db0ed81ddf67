#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The sandbox of rdpusb-session: what it refuses, and what of it a running session has on."""

import functools
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess

import daemon as daemons
from bench import Guest, check_read, check_write, make_image, wait_disk
from daemon import BUILD, END_SECONDS, Daemon, find_program, login
from fakeguest import FakeGuest
from gadget import Gadgets, Keyboard, Stick
from rdp import CLIENTS, Client
from tap import equal, expect, main, scenario

FIRST_UID = 2000000000  # of sessions
NOBODY = 65534
UNITS = pathlib.Path(__file__).resolve().parents[2] / 'contrib/systemd'
CAPABILITIES = {'DAC_OVERRIDE': 1, 'FOWNER': 3, 'KILL': 5, 'SETGID': 6, 'SETUID': 7, 'SETPCAP': 8,
                'NET_BIND_SERVICE': 10}  # linux/capability.h


def directive(unit, name):
    """The value of a directive that stands in a unit once."""
    value, = re.findall(rf'^{name}=(.*)$', (UNITS / unit).read_text(), re.M)
    return value


FOR_SESSIONS = [name.removeprefix('CAP_') for name in directive('rdpusbd-root.conf', 'CapabilityBoundingSet').split()]
FOR_FILES = ['DAC_OVERRIDE', 'FOWNER', 'NET_BIND_SERVICE']
AS_BARE_ROOT = ['setpriv', '--bounding-set=-all,' + ','.join('+' + name.lower() for name in FOR_SESSIONS), '--no-new-privs']
AS_NOBODY = ['setpriv', f'--reuid={NOBODY}', f'--regid={NOBODY}', '--clear-groups']
IS_ROOT = os.geteuid() == 0
PROGRAMS = ('server/broker/rdpusbd', 'server/session/rdpusb-session', 'server/pam/rdpusb-pam',
            'usbredir-bridge/librdpusb.so*')
# What somebody without rights may not do anywhere, or what the kernel may not have at all.
NEEDS_ROOT = {'become root', 'change groups', 'mount', 'change the root folder', 'make a namespace', 'use bpf',
              'count events of the processor', 'handle page faults', 'use io_uring', 'raise a limit'}
NEVER_DONE = {'mount', 'type into the terminal', 'call the kernel as a program of x32', 'leave a core file',
              'gain rights by executing', 'call the kernel as a program of 32 bits', 'use io_uring', 'keep a key in the kernel'}


# As what it is refused: by seccomp, and not by something that this machine happens to have besides.
HOW = {'read /etc/passwd in a thread that was there before': 'No such file or directory',
       'make a TCP socket': 'Operation not permitted', 'connect a unix socket': 'Operation not permitted',
       'make memory executable': 'Operation not permitted', 'fork with clone3': 'Function not implemented',
       'execute a program': 'killed', 'fork': 'killed', 'be traced': 'killed', 'become root': 'killed',
       'send a signal to the parent': 'killed', 'read the memory of the parent': 'killed', 'use io_uring': 'killed'}


def public_build(test):
    """The programs where everybody can execute them, laid out as in the build folder."""
    copy = test.folder / 'build'
    for pattern in PROGRAMS:
        for path in BUILD.glob(pattern):
            if path.is_file():
                place = copy / path.relative_to(BUILD)
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, place)
    test.folder.chmod(0o755)
    return copy


def check_sandbox(wrapper=(), program=None):
    """Runs the self-test; returns its lines, and for each attempt what happened (inside, outside)."""
    done = subprocess.run([*wrapper, program or find_program('rdpusb-session'), '--check-sandbox'], timeout=120,
                          capture_output=True, text=True, env=os.environ | {'LSAN_OPTIONS': 'detect_leaks=0'})
    attempts = dict(re.findall(r'^(?:not )?ok \d+ - (.*)\n# (.*)$', done.stdout, re.M))
    outcomes = {name: tuple(said.split('; outside of the sandbox: ')) for name, said in attempts.items()}
    failures = [line for line in done.stdout.splitlines() if line.startswith('not ok')]
    equal(failures, [], 'what was not refused')
    equal(done.returncode, 0, f'exit status of the self-test, which says {done.stderr}')
    equal(f'1..{len(outcomes)}', done.stdout.splitlines()[-1], 'plan')
    return done.stdout, outcomes


@functools.cache
def is_complete():
    """Whether this build has all of the sandbox, and this kernel Landlock."""
    output = check_sandbox()[0]
    return 'sanitizers' not in output, 'Landlock: ABI' in output


def check_outcomes(complete, outcomes, exceptions):
    if not complete:
        return
    sealed = {name for name in outcomes if name.startswith('sealed: ')}
    expect(len(sealed) >= 40, f'only {len(sealed)} attempts')
    for name, (_, outside) in outcomes.items():
        what = name.split(': ', 1)[1]
        expect(outside == 'done' or what in exceptions, f'{what} proves nothing: outside of the sandbox: {outside}')
    for what, expected in HOW.items():
        equal(outcomes[f'sealed: {what}'][0], expected, what)


@scenario('everything the sandbox forbids is refused to a session that was root')
def attempts_of_root(test):
    complete, landlock = is_complete()
    outcomes = check_sandbox()[1]
    check_outcomes(complete, outcomes, NEVER_DONE if IS_ROOT else NEVER_DONE | NEEDS_ROOT)
    if complete and landlock:
        for what in ('read /etc/passwd', 'write below /tmp', 'read the memory of the parent'):
            expect(f'begun: {what}' in outcomes, f'libraries may {what}')


if IS_ROOT:
    @scenario('everything the sandbox forbids is refused to a session of somebody without rights')
    def attempts_of_nobody(test):
        complete, _ = is_complete()
        copy = public_build(test)
        outcomes = check_sandbox(AS_NOBODY, copy / 'server/session/rdpusb-session')[1]
        check_outcomes(complete, outcomes, NEVER_DONE | NEEDS_ROOT)

    @scenario('a session that is root and was given no user does not serve')
    def root_without_user(test):
        if not is_complete()[0]:
            return  # keeps its user
        ours, theirs = socket.socketpair()
        with ours, theirs:
            # Both descriptors have to be sockets; nobody speaks.
            done = subprocess.run(['sh', '-c', f'exec {find_program("rdpusb-session")} 3<&{theirs.fileno()} 4<&{theirs.fileno()}'],
                                  pass_fds=[theirs.fileno()], capture_output=True, text=True, timeout=20, env={'HOME': '/nonexistent'})
        equal(done.returncode, 1, 'exit status')
        expect('does not run as root' in done.stderr, f'it says {done.stderr}')


# ---- A session that runs ----

def status_of(pid):
    text = pathlib.Path(f'/proc/{pid}/status').read_text()
    return dict(re.findall(r'^(\w+):[ \t]*(.*?)[ \t]*$', text, re.M))


def limits_of(pid):
    text = pathlib.Path(f'/proc/{pid}/limits').read_text()
    return {name.strip(): hard for name, hard in re.findall(r'^(Max .*?)  +\S+ +(\S+)', text, re.M)}


def capabilities(names):
    return sum(1 << CAPABILITIES[name] for name in names)


def check_broker(pid, kept, bounding=None, no_new_privs='1'):
    """What the kernel says of a broker, for each of its threads. `kept` and `bounding` are sets of capabilities."""
    for thread in pathlib.Path(f'/proc/{pid}/task').iterdir():
        status = status_of(f'{pid}/task/{thread.name}')
        for kind, expected in (('Prm', kept), ('Eff', kept), ('Inh', 0), ('Amb', 0),
                               ('Bnd', kept if bounding is None else bounding)):
            equal(f'{int(status["Cap" + kind], 16):x}', f'{expected:x}', f'Cap{kind}')
        equal(status['NoNewPrivs'], no_new_privs, 'NoNewPrivs')
    equal(limits_of(pid)['Max core file size'], '0', 'limit of core files')
    equal(os.stat(f'/proc/{pid}/environ').st_uid, 0, 'whose it is to be dumped')


def check_session(pid, uid, captures=False):
    """What the kernel says of a session, for each of its threads."""
    for thread in pathlib.Path(f'/proc/{pid}/task').iterdir():
        status = status_of(f'{pid}/task/{thread.name}')
        equal(status['NoNewPrivs'], '1', 'NoNewPrivs')
        if is_complete()[0]:
            equal(status['Seccomp'], '2', 'Seccomp')
            for kind in ('Inh', 'Prm', 'Eff', 'Amb'):
                equal(int(status['Cap' + kind], 16), 0, f'Cap{kind}')
            equal(status['Uid'].split(), [str(uid)] * 4, 'user ids')
            equal(status['Gid'].split(), [str(uid)] * 4, 'group ids')
            equal(status['Groups'], '', 'groups')
    limits = limits_of(pid)
    equal(limits['Max core file size'], '0', 'limit of core files')
    equal(limits['Max locked memory'], '0', 'limit of locked memory')
    equal(limits['Max msgqueue size'], '0', 'limit of message queues')
    equal(limits['Max open files'], '1024', 'limit of open files')
    if is_complete()[0]:
        equal(limits['Max file size'], str(64 << 20) if captures else '0', 'limit of the sizes of files')
        expect(int(limits['Max address space']) < 2 << 30, 'the address space is not limited')
        if uid >= FIRST_UID:
            expect(int(limits['Max processes']) <= 32, f'limit of threads: {limits["Max processes"]}')


def check_descriptors(daemon, pid, captures=0):
    """The client, the link, one guest; no file but those of captures."""
    kinds = daemon.descriptors(pid)
    equal(kinds.count('socket'), 3, f'sockets among {kinds}')
    files = [kind for kind in kinds if kind.startswith('/') and kind != '/dev/null']
    equal(len(files), captures, f'files among {kinds}')
    rest = set(kinds) - set(files) - {'socket', 'pipe', '/dev/null', 'anon_inode'}
    equal(rest, set(), 'other descriptors')


def wait_ended(daemon, mark):
    """Waits for the end of a session, which has to be in order."""
    said = daemon.errors.wait(r' ended: session process (.*)$', 20, mark)[1]
    equal(said, 'exited with status 0', 'end of the session')


def check_service(test, guest, daemon, program, uid, captures=0):
    """A disk is read and written, with a session in its sandbox; the session ends in order."""
    stick = Stick(make_image(test.folder / 'stick.img'))
    client = test.keep(Client(test.folder, program, daemon.port, Gadgets(test.folder / 'gadgets', stick)))
    mark = daemon.errors.mark()
    disk = wait_disk(guest)
    check_read(guest, disk, stick.image)
    check_write(guest, disk, stick.image)
    session, = daemon.sessions()
    check_session(session, uid, captures > 0)
    check_descriptors(daemon, session, captures)
    client.signal(signal.SIGTERM)
    client.wait(20)
    wait_ended(daemon, mark)


def join(test, daemon, name='client'):
    """A client with a device; returns its session."""
    before, mark = daemon.sessions(), daemon.errors.mark()
    test.keep(Client(test.folder, CLIENTS[0], daemon.port, Gadgets(test.folder / f'{name}-gadgets', Keyboard()), name=name))
    daemon.errors.wait(' waits: | attached to port ', 20, mark)
    session, = set(daemon.sessions()) - set(before)
    return session


@scenario('a session that serves is in its sandbox', each=CLIENTS)
def serves(test, program):
    path = test.folder / 'port'
    captures = test.folder / 'captures'
    captures.mkdir()
    guest = test.keep(Guest([f'path={path},server=on,wait=off'])).start()
    daemon = test.keep(Daemon(test.folder, [f'unix:{path}'],
                              options=['--capture', captures, '--capture-limit', '64MiB'])).start()
    check_service(test, guest, daemon, program, FIRST_UID if IS_ROOT else os.geteuid(), captures=1)
    equal([path.stat().st_size > 1000 for path in captures.iterdir()], [True], 'captures')


if IS_ROOT:
    @scenario('a session of a broker without rights is in its sandbox, as the broker\'s user')
    def serves_unprivileged(test):
        path = test.folder / 'port'
        daemons.BUILD, build = public_build(test), daemons.BUILD
        folder = test.folder / 'rdpusbd'
        folder.mkdir()
        arguments = login(folder) + ['--listen', '127.0.0.1:0']
        for owned in (folder, folder / 'password'):
            os.chown(owned, NOBODY, NOBODY)
        guest = test.keep(Guest([f'path={path},server=on,wait=off'])).start()
        path.chmod(0o777)
        try:
            daemon = test.keep(Daemon(test.folder, [f'unix:{path}'], arguments=arguments, wrapper=AS_NOBODY)).start()
        finally:
            daemons.BUILD = build
        check_broker(daemon.pid, 0, int(status_of(os.getpid())['CapBnd'], 16))
        check_service(test, guest, daemon, CLIENTS[0], NOBODY)

    @scenario('a broker that is root with four capabilities has sessions in their sandbox, and ends them')
    def serves_bare_root(test):
        path = test.folder / 'port'
        guest = test.keep(Guest([f'path={path},server=on,wait=off'])).start()
        daemon = test.keep(Daemon(test.folder, [f'unix:{path}'], wrapper=AS_BARE_ROOT)).start()
        check_broker(daemon.pid, capabilities(FOR_SESSIONS))
        check_service(test, guest, daemon, CLIENTS[0], FIRST_UID)
        session = join(test, daemon)
        os.kill(session, signal.SIGSTOP)
        daemon.signal(signal.SIGTERM)
        equal(daemon.wait(END_SECONDS), 0, 'exit status')
        daemon.wait_session_ends(session, timeout=0)

    @scenario('a broker that is root keeps what it needs, and leaves all to PAM alone')
    def serves_root(test):
        kept = capabilities(FOR_SESSIONS + FOR_FILES)
        daemon = test.keep(Daemon(test.folder, [f'unix:{test.folder}/port'])).start()
        check_broker(daemon.pid, kept)
        join(test, daemon)
        pam = test.keep(Daemon(test.folder, [f'unix:{test.folder}/port'], options=['--passwords', 'pam'], name='pam')).start()
        check_broker(pam.pid, kept, int(status_of(os.getpid())['CapBnd'], 16), no_new_privs='0')

    @scenario('a broker that is root reaches the sockets and folders of others')
    def reaches_others(test):
        """QEMU is another user, and has made its socket so that nobody else may connect."""
        path = test.folder / 'port'
        captures = test.folder / 'captures'
        captures.mkdir(mode=0o700)
        guest = test.keep(FakeGuest(f'unix:{path}'))
        for owned in path, captures:
            os.chown(owned, NOBODY, NOBODY)
        path.chmod(0o700)
        daemon = test.keep(Daemon(test.folder, [f'unix:{path}'], options=['--capture', captures])).start()
        join(test, daemon)
        guest.do('attach')
        expect(list(captures.iterdir()), 'there is no capture')

    @scenario('a frozen session of another user dies with its broker')
    def dies_with_broker(test):
        daemon = test.keep(Daemon(test.folder, [f'unix:{test.folder}/port'], wrapper=AS_BARE_ROOT)).start()
        session = join(test, daemon)
        os.kill(session, signal.SIGSTOP)
        daemon.kill()
        daemon.wait_session_ends(session, timeout=5)

    @scenario('two sessions at a time are two users')
    def two_users(test):
        daemon = test.keep(Daemon(test.folder, [f'unix:{test.folder}/port'])).start()
        for number in range(2):
            join(test, daemon, f'client{number}')
        if is_complete()[0]:
            users = sorted(status_of(pid)['Uid'].split()[0] for pid in daemon.sessions())
            equal(users, [str(FIRST_UID), str(FIRST_UID + 1)], 'users of the sessions')


@scenario('systemd takes the units, which leave the broker no more than it keeps itself')
def units(test):
    equal(set(FOR_SESSIONS) - CAPABILITIES.keys(), set(), 'unknown capabilities')
    for name, expected in (('CapabilityBoundingSet', ''), ('AmbientCapabilities', ''), ('NoNewPrivileges', 'yes'),
                           ('LimitCORE', '0'), ('UMask', '0077'), ('RestartPreventExitStatus', '2')):
        equal(directive('rdpusbd.service.in', name), expected, name)
    if not (analyze := shutil.which('systemd-analyze')):
        return
    unit = test.folder / 'rdpusbd.service'
    text = (UNITS / 'rdpusbd.service.in').read_text()
    unit.write_text(text.replace('@SBINDIR@/rdpusbd', str(find_program('rdpusbd'))))
    drop_in = test.folder / 'rdpusbd.service.d' / 'root.conf'
    drop_in.parent.mkdir()
    shutil.copy(UNITS / 'rdpusbd-root.conf', drop_in)
    done = subprocess.run([analyze, 'verify', '--man=no', unit], capture_output=True, text=True, timeout=60)
    equal((done.returncode, done.stdout + done.stderr), (0, ''), 'what systemd-analyze says')


main()
