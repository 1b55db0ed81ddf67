#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Who gets in, to which VM and with which devices: stock clients, rdpusbd, and the fake guest in place of QEMU."""

import pathlib
import re
import signal
import socket
import ssl
import subprocess
import time
import warnings

import rdp
from bench import make_image
from daemon import Daemon, find_program, write_rules
from fakeguest import FakeGuest
from gadget import Gadgets, Keyboard, Stick
from rdp import CLIENTS
from tap import equal, expect, main, scenario

SHIPPED_RULES = pathlib.Path(__file__).resolve().parents[2] / 'server' / 'policy' / '50-default.rules'
PASSWORDS = {'alice': 'correct horse', 'bob': 'battery staple'}
LOGIN_SECONDS = 20


class Estate:
    """rdpusbd with the VM win10 of alice and the VM lab of the group staff, which is alice and bob. `head` are further
    lines of [rdpusbd], `lab` of that VM."""

    def __init__(self, test, *head, rules=('allow',), lab=()):
        self.test = test
        self.folder = test.folder
        self.ports = {vm: test.folder / vm for vm in ('win10', 'lab')}
        users = test.folder / 'users'
        for user, password in PASSWORDS.items():
            subprocess.run([find_program('rdpusbctl'), 'user', 'add', user, '--group', 'staff', '--users-file', users],
                           input=password.encode() + b'\n', check=True, timeout=20)
        self.conf = conf = test.folder / 'rdpusbd.conf'
        conf.write_text('\n'.join([
            '[rdpusbd]', f'users-file={users}', f'rules-dir={write_rules(test.folder, *rules)}', 'listen=127.0.0.1:0', 'log-level=debug', *head,
            '[vm win10]', f'ports=unix:{self.ports["win10"]}', 'users=alice',
            '[vm lab]', f'ports=unix:{self.ports["lab"]}', 'groups=staff', *lab]) + '\n')
        conf.chmod(0o644)
        self.daemon = test.keep(Daemon(test.folder, arguments=['--config', str(conf)])).start()
        self.errors = self.daemon.errors
        self._clients = 0

    def client(self, program, user, password=None, *options, gadgets=None):
        self._clients += 1
        return self.test.keep(rdp.Client(self.folder, program, self.daemon.port, gadgets, user=user,
                                         password=PASSWORDS.get(user, '') if password is None else password,
                                         name=f'{program} {self._clients}', options=options))

    def shows(self, pattern, mark=0):
        """A line of the window has, or soon will have, this in it. That anything is drawn of it, wait_ink() sees."""
        self.errors.wait(rf'rdpusb-session\S* debug: window: .*{pattern}', LOGIN_SECONDS, mark)

    def accepts(self, program, user, password, expected, *options):
        """A client is let in, and `expected` is in the log of it."""
        mark = self.errors.mark()
        client = self.client(program, user, password, *options)
        self.errors.wait(rf'login of user {expected}$', LOGIN_SECONDS, mark)
        client.close()
        self.errors.wait(' ended: session process', LOGIN_SECONDS, mark)

    def refuses(self, program, user, password, reason, *options):
        """A client is not let in; returns its exit status and its complaints, which its threads write in any order."""
        mark = self.errors.mark()
        client = self.client(program, user, password, *options)
        status = client.wait(LOGIN_SECONDS)
        expect(status != 0, 'the client ended well')
        self.errors.wait(' ended: session process', LOGIN_SECONDS, mark)
        log = self.errors.text(mark)
        expect(re.search(reason, log), f'no {reason!r} in {log}')
        expect('accepted (' not in log, 'the client was let in')
        text = re.sub('0x[0-9a-f]{9,}', 'ADDRESS', client.log.text().replace(user, 'USER'))
        return status, sorted(set(re.findall(r'\[(?:WARN|ERROR)\].*', text)))


@scenario('NLA by default settings, and how a user names a VM', each=CLIENTS, seconds=90)
def nla(test, program):
    estate = Estate(test, 'default-vm=win10')
    password = PASSWORDS['alice']
    for user, vm in (('alice', 'win10'), ('Alice@LAB', 'lab'), (r'lab\alice', 'lab'), (r'nowhere\alice', 'win10')):
        estate.accepts(program, user, password, rf'"alice" from \S+ accepted \(ntlm\): VM {vm}')
    estate.accepts(program, 'bob', PASSWORDS['bob'], r'"bob" from \S+ accepted \(ntlm\): VM lab')  # win10 is not bob's


@scenario('a wrong password and an unknown user look the same', each=CLIENTS)
def refusals(test, program):
    estate = Estate(test)
    refused = 'login of user "{}" from .* refused: wrong user or password'
    wrong = estate.refuses(program, 'alice', 'wrong', refused.format('alice'))
    unknown = estate.refuses(program, 'mallory', 'wrong', refused.format('mallory'))
    equal(unknown, wrong, 'exit status and complaints for an unknown user')
    expect(wrong[1], 'the client says nothing')


@scenario('other security than the configured one is refused', each=CLIENTS, seconds=90)
def security(test, program):
    password = PASSWORDS['alice']
    estate = Estate(test, 'default-vm=win10')
    for option in ('/sec:tls', '/sec:rdp'):
        estate.refuses(program, 'alice', password, '', option)
    estate.daemon.close()
    estate = Estate(_Other(test), 'security=tls', 'default-vm=win10')
    estate.refuses(program, 'alice', password, '', '/sec:nla')


class _Other:
    """A test's second folder."""

    def __init__(self, test):
        self.folder = test.folder / 'other'
        self.folder.mkdir()
        self.keep = test.keep


@scenario('security=tls takes the password of the users file', each=CLIENTS)
def tls(test, program):
    estate = Estate(test, 'security=tls', 'default-vm=win10')
    password = PASSWORDS['alice']
    for options in (), ('/sec:tls',):
        estate.accepts(program, 'alice', password, r'"alice" from \S+ accepted \(users-file\): VM win10', *options)
    estate.accepts(program, r'lab\alice', password, r'"alice" from \S+ accepted \(users-file\): VM lab')
    refused = 'login of user "{}" from .* refused: wrong user or password'
    wrong = estate.refuses(program, 'alice', 'wrong', refused.format('alice'))
    unknown = estate.refuses(program, 'mallory', 'wrong', refused.format('mallory'))
    equal(unknown, wrong, 'exit status and complaints for an unknown user')
    expect(wrong[1], 'the client says nothing')
    expect(password not in estate.errors.text(), 'the password is in the log')


@scenario('either of NLA and TLS')
def either(test):
    estate = Estate(test, 'security=nla,tls', 'default-vm=win10')
    password = PASSWORDS['alice']
    estate.accepts(CLIENTS[0], 'alice', password, r'"alice" from \S+ accepted \(ntlm\): VM win10')
    estate.accepts(CLIENTS[0], 'alice', password, r'"alice" from \S+ accepted \(users-file\): VM win10', '/sec:tls')


@scenario('PAM checks the password of a TLS login', each=CLIENTS)
def pam(test, program):
    """pam_exec stands for whatever an administrator has. It knows alice by another password than the users file."""
    confdir, check, asked, rights = (test.folder / name for name in ('pam.d', 'check', 'asked', 'rights'))
    confdir.mkdir()
    check.write_text('#!/bin/sh\n'
                     f'echo "$PAM_SERVICE $PAM_USER $PAM_RHOST" >>{asked}\n'
                     f'sed -n "/^\\(CapEff\\|NoNewPrivs\\)/p" /proc/self/status >{rights}\n'
                     'password=$(tr -d "\\0")\n'
                     '[ "$PAM_USER" = alice ] && [ "$password" = "known to PAM" ]\n')
    check.chmod(0o755)
    (confdir / 'rdpusb').write_text(f'auth required pam_exec.so expose_authtok quiet {check}\naccount required pam_permit.so\n')
    estate = Estate(test, 'security=tls', 'passwords=pam', f'pam-confdir={confdir}', 'default-vm=win10')
    estate.accepts(program, 'alice', 'known to PAM', r'"alice" from \S+ accepted \(pam\): VM win10')
    estate.refuses(program, 'alice', 'wrong', 'login of user "alice" from .* refused: wrong user or password')
    # That the users file has this one does not count.
    estate.refuses(program, 'bob', PASSWORDS['bob'], 'login of user "bob" from .* refused: wrong user or password')
    equal(sorted(set(asked.read_text().splitlines())), ['rdpusb alice 127.0.0.1', 'rdpusb bob 127.0.0.1'], 'what PAM was asked')
    own = pathlib.Path('/proc/self/status').read_text()
    equal(rights.read_text(), ''.join(re.findall('^(?:CapEff|NoNewPrivs).*\n', own, re.M)), 'rights of a module')
    log = estate.errors.text()
    expect('known to PAM' not in log and PASSWORDS['bob'] not in log, 'a password is in the log')


def negotiate(port, version):
    """TLS of this version after RDP's negotiation ([MS-RDPBCGR] 2.2.1.1); returns the version agreed on."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_ciphers('ALL:@SECLEVEL=0')
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', DeprecationWarning)  # of the old versions, which are the point
        context.minimum_version = context.maximum_version = version
    with socket.create_connection(('127.0.0.1', port), LOGIN_SECONDS) as connection:
        connection.sendall(bytes.fromhex('030000130ee000000000000100080003000000'))
        answer = connection.recv(100)
        expect(len(answer) == 19 and answer[11] == 2, f'the server answers the negotiation with {answer.hex()}')
        with context.wrap_socket(connection) as tls:
            return tls.version()


@scenario('TLS 1.2 and later, nothing before')
def versions(test):
    estate = Estate(test)
    equal(negotiate(estate.daemon.port, ssl.TLSVersion.TLSv1_2), 'TLSv1.2', 'version')
    equal(negotiate(estate.daemon.port, ssl.TLSVersion.TLSv1_3), 'TLSv1.3', 'version')
    for version in ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1:
        try:
            agreed = negotiate(estate.daemon.port, version)
        except ssl.SSLError as refusal:
            expect('NO_PROTOCOLS' not in str(refusal), f'this machine cannot speak {version.name}')
            continue
        expect(False, f'the server speaks {agreed}')


def wait_ink(least, timeout=10):
    """How much text the screen has, when that is more than `least` and the same twice. Nothing tells when a picture has
    arrived, so this asks."""
    deadline = time.monotonic() + timeout
    before, now = None, rdp.ink()
    while now <= least or now != before:
        expect(time.monotonic() < deadline, f'the screen has {now} pixels of text, but more than {least} are expected')
        time.sleep(0.3)
        before, now = now, rdp.ink()
    return now


@scenario("a VM that is not the user's: the screen and the log say so", each=CLIENTS)
def no_vm(test, program):
    estate = Estate(test)
    for user, password, text in ((r'win10\bob', PASSWORDS['bob'], 'user bob may not use VM win10'),
                                 ('alice', PASSWORDS['alice'], r'user alice may use several VMs and named none: log in as '
                                                               r'VM\\alice, with one of win10, lab')):
        mark = estate.errors.mark()
        client = estate.client(program, user, password)
        estate.errors.wait(f'login of user .* refused: {text}$', LOGIN_SECONDS, mark)
        estate.shows(text, mark)
        wait_ink(500)
        expect(client.running(), 'the client has ended')
        expect('Dynamic Virtual Channel' not in client.log.text(), 'a channel was opened')
        client.close()
        estate.errors.wait(' ended: session process', LOGIN_SECONDS, mark)


def ink_without_devices(estate, program):
    """How much text a window has that has none to show."""
    gadgets = stick(estate.test, 'none')
    gadgets.ids = ['ffff:ffff']
    client = estate.client(program, 'alice', None, gadgets=gadgets)
    client.log.wait('Could not find or redirect any usb devices', LOGIN_SECONDS)
    found = wait_ink(500)
    client.close()
    return found


class Silent:
    """A guest's end of a port, where nobody may connect."""

    def __init__(self, path):
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(1)
        self._listener.setblocking(False)

    def check(self):
        try:
            self._listener.accept()
        except BlockingIOError:
            return
        expect(False, 'somebody connected to the guest')


def stick(test, name):
    return Gadgets(test.folder / name, Stick(make_image(test.folder / f'{name}.img')))


@scenario('the rules that come with it: no keyboard, but a stick', each=CLIENTS, seconds=90)
def shipped_rules(test, program):
    lines = SHIPPED_RULES.read_text().splitlines()
    estate = Estate(test, 'default-vm=lab', rules=lines)
    line = 1 + next(n for n, text in enumerate(lines) if text.startswith('block') and '03:01:01' in text)
    reason = rf'blocked by {re.escape(str(test.folder))}/rules.d/50-test.rules:{line} \(block with-interface'
    silent = Silent(estate.ports['lab'])
    without = ink_without_devices(estate, program)
    keyboard = estate.client(program, 'alice', None, gadgets=Gadgets(test.folder / 'keys', Keyboard()))
    estate.errors.wait(rf'device 1234:0002 .* of user "alice" at VM lab refused: {reason}', LOGIN_SECONDS)
    estate.errors.wait(rf'device \d+: refused: {reason}', LOGIN_SECONDS)
    estate.shows(rf'1234:0002 .* — refused: {reason}')
    wait_ink(without + 500)
    silent.check()
    keyboard.close()
    estate.ports['lab'].unlink()
    guest = test.keep(FakeGuest(f'unix:{estate.ports["lab"]}'))
    estate.client(program, 'alice', None, gadgets=stick(test, 'stick'))
    estate.errors.wait('device 1234:0001 .* of user "alice" at VM lab attached to port', LOGIN_SECONDS)
    guest.do('read-disk ' + str(test.folder / 'read'))
    equal((test.folder / 'read').read_bytes(), (test.folder / 'stick.img').read_bytes(), 'what the guest read')


@scenario("the filter of a VM: its line refuses what it does not allow")
def vm_filter(test):
    setting = 'filter=0x08,-1,-1,-1,1'
    estate = Estate(test, 'default-vm=lab', lab=[setting])
    line = 1 + estate.conf.read_text().splitlines().index(setting)
    reason = rf'blocked by {re.escape(str(estate.conf))}:{line} \({setting}\)$'
    silent = Silent(estate.ports['lab'])
    estate.client(CLIENTS[0], 'alice', None, gadgets=Gadgets(test.folder / 'keys', Keyboard()))
    estate.errors.wait(rf'device 1234:0002 .* of user "alice" at VM lab refused: {reason}', LOGIN_SECONDS)
    estate.shows(f'1234:0002 .* — refused: {reason}')
    silent.check()
    estate.ports['lab'].unlink()
    guest = test.keep(FakeGuest(f'unix:{estate.ports["lab"]}'))
    estate.client(CLIENTS[0], 'alice', None, gadgets=stick(test, 'stick'))
    guest.do('attach')


@scenario('new rules take a device away from its guest, bad ones do not')
def reload(test):
    estate = Estate(test, 'default-vm=win10')
    guest = test.keep(FakeGuest(f'unix:{estate.ports["win10"]}'))
    client = estate.client(CLIENTS[0], 'alice', None, gadgets=stick(test, 'stick'))
    guest.do('attach')
    write_rules(test.folder, 'allow', 'allow id 1234')
    estate.daemon.signal(signal.SIGHUP)
    estate.errors.wait('device rules not reloaded, the old ones stay: .*/50-test.rules:2:10: ', 10)
    guest.do('control-in 0x80 6 0x100 0 18')
    write_rules(test.folder, '# no sticks', 'block with-interface one-of { 08:*:* }', 'allow')
    estate.daemon.signal(signal.SIGHUP)
    guest.do('wait-disconnect')
    estate.errors.wait('device 1234:0001 .* is taken away: blocked by .*/50-test.rules:2 ', 10)
    estate.errors.wait('device 1234:0001 .* detached', 10)
    estate.shows('1234:0001 .* — taken away: blocked by .*/50-test.rules:2 ')
    expect(client.running(), 'the client has ended')


main()
