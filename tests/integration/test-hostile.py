#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Bad input at the real programs: clients that lie, stay silent or stop reading, beside an innocent one."""

import contextlib
import json
import pathlib
import random
import re
import signal
import socket
import ssl
import struct
import threading
import time

from daemon import BUILD, Daemon, END_SECONDS, PASSWORD, USER, find_program, login, write_rules
from process import Failure
from talker import Talker
from tap import equal, expect, main, scenario

PROFILES = ('FreeRDP 3.10', 'FreeRDP 3.13', 'FreeRDP 3.15', 'FreeRDP 3.24', 'FreeRDP master', 'mstsc')
MIB = 1 << 20
MEMORY_LIMIT = 256 * MIB  # max-session-memory of rdpusbd.conf(5)
BROKER_MEMORY = 32 * MIB  # whatever clients do: what they send is none of its business
SOON = 5  # seconds for what happens at once
SILENCE = 10  # seconds that a client may take for an answer
REFUSED = 'the client sent what is no RDP, or more than fits in max-session-memory'
LOOPBACK = 'loopback 0x01 0x81 '



def vector(name):
    """The bytes of ../vectors/NAME.hex, in hexadecimal."""
    text = (pathlib.Path(__file__).resolve().parent.parent / 'vectors' / (name + '.hex')).read_text()
    return ''.join(''.join(line.split()) for line in text.splitlines() if not line.startswith('#'))


ADD_VIRTUAL_CHANNEL = vector('2.2.4.1-add-virtual-channel')
ADD_DEVICE = vector('2.2.4.2-add-device')
CAPABILITY_RESPONSE = vector('2.2.3.2-capability-response')
CAPABILITY_REFUSAL = CAPABILITY_RESPONSE[:24] + '05400080'  # E_FAIL
CHANNEL_CREATED = vector('2.2.5.1-channel-created-client')
CHANNEL_CREATED_2 = CHANNEL_CREATED[:24] + '02' + CHANNEL_CREATED[26:]  # version 2.0
NO_HEADER = '0102'


def completion(device, request=1):
    """URB_COMPLETION of 13 bytes on the n-th device channel of a connection."""
    bulk = vector('2.2.7.2-urb-completion-bulk-in')
    return f'{0x10 + device:02x}' + bulk[2:24] + f'{request:02x}' + bulk[26:]


def is_sanitized():
    options = json.loads((BUILD / 'meson-info' / 'intro-buildoptions.json').read_text())
    return any(option['name'] == 'b_sanitize' and option['value'] not in ('none', []) for option in options)


def limited_scenario(*arguments, **options):
    """A scenario about the limit of memory, which rdpusbd does not set for a session with a sanitizer."""
    return (lambda function: function) if is_sanitized() else scenario(*arguments, **options)


class Arena:
    """rdpusbd with some ports, a fake guest at each, and an innocent client with a device at the first."""

    def __init__(self, test, ports=2, config=None, innocent=True, rules=('allow',)):
        self.test = test
        sockets = [test.folder / f'port{n}' for n in range(ports)]
        self.guests = [test.keep(Talker(f'guest{n}', [find_program('fake-guest'), '--listen', f'unix:{path}']))
                       for n, path in enumerate(sockets)]
        for guest in self.guests:
            guest.log.wait('^listening', SOON)
        arguments = login(test.folder) + ['--listen', '127.0.0.1:0']
        write_rules(test.folder, *rules)
        if config:
            (test.folder / 'rdpusbd.conf').write_text(config)
            arguments += ['--config', str(test.folder / 'rdpusbd.conf')]
        self.daemon = test.keep(Daemon(test.folder, [f'unix:{path}' for path in sockets], arguments)).start()
        self.innocent = self.client('innocent', 'plug', 'connect') if innocent else None
        if innocent:
            self.guests[0].steps('attach')
        self.before = self.daemon.settled_descriptors()
        self.warned = 0  # a position in the log

    def client(self, name='hostile', *steps):
        """A client that did these steps. Its attribute `session` is the process id of its session."""
        old = set(self.daemon.sessions())
        client = self.test.keep(Talker(name, [find_program('hostile-client'), '--user', USER, '--password', PASSWORD,
                                              '--server', f'127.0.0.1:{self.daemon.port}']))
        client.steps(*steps)
        client.session, = set(self.daemon.sessions()) - old
        return client

    def log(self, pattern, timeout=SOON):
        return self.daemon.errors.wait(pattern, timeout)

    def check(self, *warnings):
        """The innocent one works, nothing else was warned of since the last check, and each just once."""
        if self.innocent:
            self.guests[0].steps(LOOPBACK + '262144')
        mark = self.daemon.errors.mark()
        lines = re.findall(r'^.*: (?:warning|error): .*$', self.daemon.errors.text(self.warned), re.MULTILINE)
        self.warned = mark
        equal(len(lines), len(warnings), f'number of warnings in {lines}')
        for line, warning in zip(lines, warnings):
            expect(re.search(warning, line), f'{warning!r} is not in {line!r}')

    def check_over(self, client, *warnings, timeout=SOON):
        """As check(), and nothing is left of this client's connection."""
        self.daemon.wait_session_ends(client.session, timeout)
        self.daemon.wait_descriptors(self.before)
        self.check(*warnings)

    @contextlib.contextmanager
    def meanwhile(self):
        """The innocent one's device is used all the time."""
        transfer = LOOPBACK + str(16 * MIB)
        guest = self.guests[0]
        mark = guest.log.mark()
        guest.say(transfer)
        yield
        said = guest.log.wait(f'^{transfer}:(.*)', 30, mark)[1]
        expect('FAILED' not in said, f'the innocent one was disturbed: {said}')

    def finish(self):
        """Everybody leaves, without having seen anything wrong."""
        if self.daemon.running() and not is_sanitized():
            Memory(self.daemon.pid).check(BROKER_MEMORY)
        if self.innocent:
            self.innocent.finish()
        for guest in self.guests:
            guest.finish()


class Memory:
    """Follows how much memory a process has at most, until it ends."""

    def __init__(self, pid):
        self._status = pathlib.Path(f'/proc/{pid}/status')
        self.peak = self._read()
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def _read(self):
        try:
            match = re.search(r'^VmHWM:\s*(\d+) kB', self._status.read_text(), re.MULTILINE)
        except (FileNotFoundError, ProcessLookupError):
            return 0
        return int(match[1]) * 1024 if match else 0

    def _follow(self):
        # Nothing tells of memory: this asks.
        while now := self._read():
            self.peak = max(self.peak, now)
            time.sleep(0.002)

    def check(self, limit=MEMORY_LIMIT):
        expect(0 < self.peak < limit, f'process {self._status.parent.name} had {self.peak} bytes of memory')


# ---- Every kind of client ----

@scenario('devices are used in every way and leave', each=PROFILES)
def whole(test, profile):
    arena = Arena(test, innocent=False)
    client = arena.client('client', f"profile '{profile}'", 'plug', 'connect')
    # With this one release, they stall: see docs/protocol-notes.md.
    settings = [] if profile == 'FreeRDP 3.13' else ['set-alt 0 1', 'set-alt 0 0']
    arena.guests[0].steps('attach', LOOPBACK + '1048576', LOOPBACK + '65536 700', 'control-in 0x80 6 0x0100 0 18',
                          *settings, 'clear-halt 0x81', LOOPBACK + '65536', 'cancel-storm 0x81 50', 'reset',
                          LOOPBACK + '65536')
    client.steps('plug')
    arena.guests[1].steps('attach')
    for guest in arena.guests:
        guest.say(LOOPBACK + '1048577')
    for guest in arena.guests:
        guest.log.wait('^loopback .* 1048577 bytes', 20)
    client.steps('unplug 5')
    arena.guests[0].steps('wait-disconnect')
    arena.guests[1].steps(LOOPBACK + '65536')
    client.steps('plug')
    arena.guests[0].steps('attach', LOOPBACK + '65536')
    client.finish()
    arena.daemon.wait_session_ends(client.session, SOON)
    arena.check()
    arena.finish()


@scenario('a device that is announced twice is attached once', each=('FreeRDP 3.10', 'mstsc'))
def twins(test, profile):
    arena = Arena(test, ports=3)
    client = arena.client('client', f"profile '{profile}'", 'plug', 'connect')
    arena.guests[1].steps('attach')
    client.steps('plug-like 5 twin')
    arena.log('device 2: the client announces device 1 for the second time')
    arena.guests[1].steps('attach', LOOPBACK + '65536')
    client.steps('plug')
    arena.guests[2].steps('attach')  # the twin did not come in between
    # The twin's channel stays until the device has gone, or FreeRDP would give that back.
    equal(client.steps('state').split(',')[:2], ['4 channels', ' 4 open'], 'channels')
    arena.guests[1].steps(LOOPBACK + '65536')
    client.steps('unplug 5', 'await closed 2')
    arena.guests[1].steps('wait-disconnect')
    arena.guests[2].steps(LOOPBACK + '65536')
    # Both at once.
    client.steps('unplug 7')
    arena.guests[2].steps('wait-disconnect')
    client.steps('plug', 'plug-like 8 twin')
    arena.log('device 5: the client announces device 4 for the second time')
    arena.guests[1].steps('attach', LOOPBACK + '65536')
    client.finish()
    arena.check_over(client)
    arena.finish()


@scenario('devices that differ in nothing but their places are two', each=('FreeRDP 3.10', 'mstsc'))
def lookalikes(test, profile):
    arena = Arena(test, ports=4)
    client = arena.client('client', f"profile '{profile}'", 'plug', 'connect')
    arena.guests[1].steps('attach')
    client.steps('plug-like 5 elsewhere', 'plug-like 5 elsewhere')
    for guest in arena.guests[2:]:
        guest.steps('attach')
    for guest in arena.guests[1:]:
        guest.steps(LOOPBACK + '65536')
    client.steps('unplug 6')
    arena.guests[2].steps('wait-disconnect')
    arena.guests[1].steps(LOOPBACK + '65536')
    arena.guests[3].steps(LOOPBACK + '65536')
    client.finish()
    arena.check_over(client)
    arena.finish()


# ---- Memory ----

@limited_scenario('a message of 4 GiB ends only its connection', each=('control channel', 'device channel'))
def four_gigabytes(test, where):
    arena = Arena(test)
    client = arena.client('hostile', 'plug', 'connect')
    arena.guests[1].steps('attach')
    memory = Memory(client.session)
    with arena.meanwhile():
        client.steps(f'first {int(where == "device channel")} 0xffffffff 00')
        client.log.wait('^connection ended', SOON)
    arena.check_over(client, REFUSED)
    memory.check()
    arena.guests[1].steps('wait-disconnect')
    client.finish()
    arena.finish()


@limited_scenario('many messages of 200 MiB end only their connection')
def many_large(test):
    arena = Arena(test)
    client = arena.client('hostile', 'plug 8', 'connect', 'await open 8')
    memory = Memory(client.session)
    for channel in range(9):
        client.say(f'first {channel} {200 * MIB} 00')
    client.log.wait('^connection ended', SOON)
    arena.check_over(client, REFUSED)
    memory.check()
    arena.finish()


@scenario('a message that takes much of the memory ends one device')
def large_message(test):
    arena = Arena(test, ports=3)
    client = arena.client('hostile', 'plug 2', 'connect')
    for guest in arena.guests[1:]:
        guest.steps('attach')
    client.steps(f'send-size 1 {48 * MIB}', 'await closed 1')
    arena.guests[1].steps('wait-disconnect')
    arena.guests[2].steps(LOOPBACK + '65536')
    arena.check('device 1: ended in state attached: .* bytes in state "active" is malformed')
    client.finish()
    arena.check_over(client)
    arena.finish()


@limited_scenario('a message that is really long ends only its connection')
def long_message(test):
    arena = Arena(test)
    client = arena.client('hostile', 'plug', 'connect')
    arena.guests[1].steps('attach')
    memory = Memory(client.session)
    client.say(f'send-size 1 {120 * MIB}')
    client.log.wait('^connection ended', 20)
    arena.check_over(client, REFUSED)
    memory.check()
    arena.finish()


@limited_scenario('chunks without an end end only their connection')
def endless_chunks(test):
    arena = Arena(test)
    client = arena.client('hostile', 'plug', 'connect', 'await open 1')
    memory = Memory(client.session)
    client.say('chunks 4294967295 0 1600 300000')
    client.log.wait('^connection ended', 20)
    arena.check_over(client, REFUSED)
    memory.check()
    arena.finish()


# ---- Messages ----

@scenario('a malformed message ends one device, with a warning')
def malformed_device(test):
    arena = Arena(test, ports=3)
    client = arena.client('hostile', 'plug', 'connect')
    arena.guests[1].steps('attach')
    for channel, (message, what) in enumerate((
            (NO_HEADER, '2 bytes in state "active" has no valid header'),
            ("''", '0 bytes in state "active" has no valid header'),
            (completion(2 + 2)[:-2], 'URB_COMPLETION of 48 bytes in state "active" is malformed'),
            (completion(2 + 3)[:32] + 'f0ffffff' + completion(2 + 3)[40:], 'URB_COMPLETION .* is malformed'),
            (completion(2 + 4)[:72] + 'ffffffff', 'URB_COMPLETION .* is malformed'),
            (CHANNEL_CREATED[:-2], 'CHANNEL_CREATED of 23 bytes in state "active" is malformed'),
            (ADD_DEVICE[:-2], 'ADD_DEVICE .* in state "active" is malformed'),
    ), 2):
        client.steps('plug')
        arena.guests[2].steps('attach', LOOPBACK + '4096')
        client.steps(f'send {channel} {message}')
        arena.guests[2].steps('wait-disconnect')
        client.steps(f'await closed {channel}')
        arena.guests[1].steps(LOOPBACK + '4096')
        arena.check(rf'device {channel}: ended in state attached: .*{what}')
    client.finish()
    arena.check_over(client)
    arena.finish()


@scenario('a malformed message before there is a device ends one channel, with a warning')
def malformed_early(test):
    arena = Arena(test)
    client = arena.client('hostile', 'plug', 'connect')
    arena.guests[1].steps('attach')
    for channel, (messages, what) in enumerate((
            ([NO_HEADER], '2 bytes in state "hand-shake" has no valid header'),
            ([CAPABILITY_REFUSAL], 'in state "hand-shake" the client refused the capabilities'),
            ([CAPABILITY_RESPONSE, CHANNEL_CREATED_2], 'in state "hand-shake" .* version 2.0'),
            ([CAPABILITY_RESPONSE, CHANNEL_CREATED, NO_HEADER], 'in state "waiting for the device" has no'),
            ([CAPABILITY_RESPONSE, CHANNEL_CREATED, ADD_DEVICE[:-2]], 'in state "waiting for the device" is mal'),
    ), 2):
        client.steps(f'mute {channel}', f'send 0 {ADD_VIRTUAL_CHANNEL}', f'await open {channel}')
        client.steps(*(f'send {channel} {message}' for message in messages), f'await closed {channel}')
        arena.guests[1].steps(LOOPBACK + '4096')
        arena.check(rf'device {channel}: ended in state hand-shake: .*{what}')
    client.finish()
    arena.check_over(client)
    arena.finish()


@scenario('a malformed message on the control channel ends the session, with a warning')
def malformed_control(test):
    arena = Arena(test)
    for number, (early, message, what) in enumerate((
            (False, NO_HEADER, '2 bytes in state "ready" has no valid header'),
            (False, ADD_VIRTUAL_CHANNEL[:-2], '11 bytes in state "ready" has no valid header'),
            (False, CHANNEL_CREATED[:-2], 'CHANNEL_CREATED of 23 bytes in state "ready" is malformed'),
            (True, CAPABILITY_RESPONSE[:-2], 'in state "hand-shake" is malformed'),
            (True, CAPABILITY_REFUSAL, 'in state "hand-shake" the client refused the capabilities'),
    )):
        client = arena.client(f'hostile{number}', *(['mute 0'] if early else []), 'plug', 'connect', 'await open 0')
        if not early:
            arena.guests[1].steps('attach')
        client.steps(f'send 0 {message}')
        client.log.wait('^connection ended: ERRINFO_RPC_INITIATED_DISCONNECT', SOON)
        if not early:
            arena.guests[1].steps('wait-disconnect')
        arena.check_over(client, f'control channel: .*{what}')
        client.finish()
    arena.finish()


@scenario('messages out of order are of no consequence')
def out_of_order(test):
    arena = Arena(test)
    client = arena.client('hostile', 'plug', 'mute 0', 'connect', 'await open 0',
                          # on a control channel that has yet to say hello
                          f'send 0 {ADD_VIRTUAL_CHANNEL}', f'send 0 {CHANNEL_CREATED}', f'send 0 {ADD_DEVICE}')
    client.finish()
    arena.check_over(client)
    client = arena.client('next', 'plug', 'connect')
    arena.guests[1].steps('attach')
    for channel in 0, 1:
        for message in (CAPABILITY_RESPONSE, CHANNEL_CREATED, ADD_DEVICE, ADD_DEVICE, completion(1), completion(2),
                        vector('2.2.6.6-query-device-text-response'), vector('2.2.2-query-interface-request'),
                        vector('2.2.2-release-mstsc-completion'), vector('2.2.7.1-iocontrol-completion-reset-port')):
            client.steps(f'send {channel} {message}')
    arena.guests[1].steps(LOOPBACK + '65536', 'reset', LOOPBACK + '65536')
    arena.check()
    client.finish()
    arena.check_over(client)
    arena.finish()


@scenario('completions that are wrong hurt their device at most')
def wrong_completions(test):
    arena = Arena(test)
    for kind in 'twice', 'stranger', 'rubbish':
        client = arena.client(kind, 'plug', f'tamper 1 {kind}', 'connect')
        arena.guests[1].steps('attach', LOOPBACK + '262144', 'set-alt 0 1', 'set-alt 0 0', 'clear-halt 0x81',
                              LOOPBACK + '65536')
        client.finish()
        arena.check_over(client)
        arena.guests[1].steps('wait-disconnect')
    client = arena.client('overfull', 'plug', 'connect')
    arena.guests[1].steps('attach', 'bulk-once-out 0x01 abcd')
    client.steps('tamper 1 overfull')
    answer = arena.guests[1].steps('bulk-once-in 0x81 512')
    expect(answer.startswith('success, 512 bytes abcdee'), f'more data than asked for was {answer}')
    client.steps('tamper 1 none')
    arena.guests[1].steps(LOOPBACK + '65536')
    client.finish()
    arena.check_over(client)
    arena.guests[1].steps('wait-disconnect')
    for kind in 'truncate', 'overclaim':
        client = arena.client(kind, 'plug', 'connect')
        arena.guests[1].steps('attach', 'bulk-once-out 0x01 abcd')
        client.steps(f'tamper 1 {kind}')
        arena.guests[1].steps('until-gone bulk-once-in 0x81 512')
        client.steps('await closed 1')
        arena.check('device 1: ended in state attached: URB_COMPLETION .*"active" is malformed')
        client.finish()
        arena.check_over(client)
    arena.finish()


UNNAMED = ADD_VIRTUAL_CHANNEL[:8] + '00000000' + ADD_VIRTUAL_CHANNEL[16:]  # what has a name is one device


@scenario('10 000 new channels are 32 and one warning')
def flood(test):
    arena = Arena(test)
    client = arena.client('hostile', 'plug', 'connect')
    arena.guests[1].steps('attach')
    memory = Memory(client.session)
    with arena.meanwhile():
        client.steps(f'send 0 {UNNAMED} 10000', 'await open 32')
    arena.guests[1].steps(LOOPBACK + '65536')
    arena.check('max-device-channels .*32')
    equal(client.steps('state').split(',')[0], '33 channels', 'what the server opened')
    client.finish()
    arena.check_over(client)
    if not is_sanitized():
        memory.check(MEMORY_LIMIT // 2)
    arena.finish()


@scenario('10 000 devices are as many as a connection may have, in the memory that it may have')
def crowd(test):
    most = 255
    arena = Arena(test, ports=3, config=f'[limits]\nmax-device-channels={most}\n')
    client = arena.client('hostile', 'connect', 'await open 0')
    memory = Memory(client.session)
    with arena.meanwhile():
        client.steps(f'plug {most}', f'await open {most}', timeout=60)
        client.steps(f'send 0 {UNNAMED} {10000 - most}', timeout=60)
        for guest in arena.guests[1:]:
            guest.steps('attach', timeout=60)
        arena.log(f'device {most}: .* is ready', 60)
        arena.log(f'max-device-channels .{most}', 60)
    for guest in arena.guests[1:]:
        guest.steps(LOOPBACK + '65536')
    arena.check(f'max-device-channels .*{most}')
    client.finish()
    arena.check_over(client)
    if not is_sanitized():
        memory.check()
    arena.finish()


def announcement(*texts):
    """ADD_DEVICE with these instance, hardware, compatibility and container ids, in hexadecimal."""
    fields = [text.encode('utf-16-le') for text in texts]
    return (ADD_DEVICE[:40] + b''.join(struct.pack('<I', len(field) // 2) + field for field in fields).hex() +
            ADD_DEVICE[-56:])


LONG = 'x' * (MIB // 2)  # 1 MiB on the wire


@scenario('names of 1 MiB cost no more than short ones', each=('one', 'many', 'without an end'))
def long_names(test, kind):
    ids = {'one': LONG + '\0\0', 'many': 'x\0' * (MIB // 4) + '\0', 'without an end': LONG}[kind]
    arena = Arena(test)
    client = arena.client('hostile', 'plug', 'connect')
    arena.guests[1].steps('attach')
    memory, forged = Memory(client.session), range(2, 6)
    with arena.meanwhile():
        for channel in forged:
            client.steps(f'mute {channel}', f'send 0 {ADD_VIRTUAL_CHANNEL}', f'await open {channel}',
                         f'send {channel} {CAPABILITY_RESPONSE}', f'send {channel} {CHANNEL_CREATED}',
                         f'send {channel} {announcement(LONG + chr(0), ids, ids, LONG + chr(0))}')
    # Nobody answers for these devices.
    client.steps(*(f'await closed {channel}' for channel in forged))
    arena.guests[1].steps(LOOPBACK + '65536')
    arena.check(*(f'device {channel}: ended in state reading' for channel in forged))
    longest = max(map(len, arena.daemon.errors.text().splitlines()))
    expect(longest < 4096, f'a line of the log has {longest} characters')
    client.finish()
    arena.check_over(client)
    if not is_sanitized():
        memory.check(MEMORY_LIMIT // 2)
    arena.finish()


@scenario('a place of 1 MiB costs no more than a short one')
def long_place(test):
    arena = Arena(test, ports=3)
    client = arena.client('hostile', f'text {MIB // 2}', 'plug', 'connect')
    arena.guests[1].steps('attach')
    memory = Memory(client.session)
    with arena.meanwhile():
        client.steps('plug-like 5 elsewhere')  # who looks like another is asked, and so is the other
        arena.log('device 2: the client announces device 1 for the second time')
    arena.guests[1].steps(LOOPBACK + '65536')
    longest = max(map(len, arena.daemon.errors.text().splitlines()))
    expect(longest < 4096, f'a line of the log has {longest} characters')
    client.finish()
    arena.check_over(client)
    if not is_sanitized():
        memory.check(MEMORY_LIMIT // 2)
    arena.finish()


@scenario('names at the login as long as a message can have them end only their connection', each=('user', 'password'))
def long_login(test, what):
    """Their length is of 16 bits, as is that of the message around them ([MS-RDPBCGR] 2.2.1.11.1.1)."""
    arena = Arena(test, ports=1)
    memory = Memory(arena.daemon.pid)
    values = {'user': USER, 'password': PASSWORD} | {what: 'x' * 32000}
    with arena.meanwhile():
        client = test.keep(Talker('hostile', [find_program('hostile-client'), '--user', values['user'], '--password',
                                              values['password'], '--server', f'127.0.0.1:{arena.daemon.port}']))
        client.say('connect')
        expect(client.wait(20) != 0, 'it could log in')
    arena.log('freerdp.core.info: protocol error: invalid value: 64000$')
    arena.log(REFUSED)
    arena.daemon.wait_descriptors(arena.before)
    longest = max(map(len, arena.daemon.errors.text().splitlines()))
    expect(longest < 4096, f'a line of the log has {longest} characters')
    if not is_sanitized():
        memory.check(BROKER_MEMORY)
    arena.finish()


# ---- Descriptors ----

def configuration(*descriptors, interfaces=1, length=None, value=1):
    body = bytes().join(descriptors)
    length = 9 + len(body) if length is None else length
    return bytes([9, 2, length & 255, length >> 8, interfaces, value, 0, 0x80, 50]) + body


def interface(number, endpoints=0, alternate=0):
    return bytes([9, 4, number, alternate, endpoints, 255, 0, 0, 0])


def endpoint(address, size=512):
    return bytes([7, 5, address, 2, size & 255, size >> 8, 0])


def device_descriptor(class_=0xff, configurations=1):
    return bytes([18, 1, 0, 2, class_, 0, 0, 64, 9, 18, 1, 0, 0, 1, 0, 0, 0, configurations])


FILLER = bytes([200, 0x24]) + bytes(198)  # a descriptor of a class
LIES = (
    ('gap', [(2, 0, configuration(interface(0), interface(2), interfaces=2))], 'interface number 2 .*without gaps'),
    ('missing', [(2, 0, configuration(interface(0), interfaces=2))], 'interface 1 of 2 is missing'),
    ('shorter', [(2, 0, configuration(interface(0), length=100))], 'configuration descriptor'),
    ('past the end', [(2, 0, configuration(interface(0), b'\x20\x24'))], 'past the end'),
    ('length 0', [(2, 0, configuration(interface(0), b'\0\0'))], 'past the end'),
    ('more endpoints', [(2, 0, configuration(interface(0, 1), endpoint(1), endpoint(2)))], 'more endpoints'),
    ('fewer endpoints', [(2, 0, configuration(interface(0, 2), endpoint(1)))], 'has 1 endpoints but declares 2'),
    ('endpoint twice', [(2, 0, configuration(interface(0, 2), endpoint(1), endpoint(1)))], '0x01 exists twice'),
    ('endpoint 0', [(2, 0, configuration(interface(0, 1), endpoint(0x80)))], 'address 0x80'),
    ('no packets', [(2, 0, configuration(interface(0, 1), endpoint(1, 0)))], 'packets of 0 bytes'),
    ('early endpoint', [(2, 0, configuration(endpoint(1), interface(0)))], 'before the first interface'),
    ('no configuration', [(2, 0, b'')], 'configuration descriptor'),
    ('another kind', [(2, 0, interface(0))], 'configuration descriptor'),
    ('too long', [(1, 0, device_descriptor(configurations=2)), (2, 0, configuration(interface(0), FILLER * 5)),
                  (2, 1, configuration(interface(0), length=65535, value=2))], 'the limit is 65536'),
    ('hub', [(1, 0, device_descriptor(class_=9))], 'hub'),
    ('short device', [(1, 0, device_descriptor()[:9])], 'device descriptor'),
    ('no device', [(1, 0, b'')], 'device descriptor'),
)


@scenario('a device whose descriptors lie is refused with the reason')
def lies(test):
    arena = Arena(test)
    client = arena.client('hostile', 'connect')
    for channel, (_, descriptors, reason) in enumerate(LIES, 1):
        for kind, index, content in descriptors:
            client.steps(f"descriptor {kind} {index} '{content.hex()}'")
        client.steps('plug', f'await closed {channel}')
        client.steps(*(f'descriptor {kind} {index}' for kind, index, _ in descriptors))
        arena.check(f'device {channel}: ended in state reading: .*({reason})')
    # The connection is good for a device that tells the truth.
    client.steps('plug')
    arena.guests[1].steps('attach', LOOPBACK + '65536')
    client.finish()
    arena.check_over(client)
    arena.finish()


# A stick and a keyboard, as FreeRDP announces them.
STICK_IDS = r"'USB\VID_0951&PID_1666;USB\VID_0951' 'USB\Class_08&SubClass_06&Prot_50;USB\Class_08&SubClass_06;USB\Class_08'"
KEYBOARD_IDS = r"'USB\VID_046D&PID_C31C;USB\VID_046D' 'USB\Class_03&SubClass_01&Prot_01;USB\Class_03&SubClass_01;USB\Class_03'"


@scenario('rules are about what a device says, not about what its client announces')
def contradictions(test):
    rules = 'block with-interface one-of { 03:*:* }', 'block id 046d:*', 'allow'
    arena = Arena(test, rules=rules)
    client = arena.client('hostile', f'announce {STICK_IDS}', 'plug-other keyboard', 'connect', 'await closed 1')
    arena.check(rf'device 1209:0006 .* refused: blocked by {test.folder}/rules.d/50-test.rules:1 \({re.escape(rules[0])}\)')
    client.steps(f'announce {KEYBOARD_IDS}', 'plug-other stick')
    arena.guests[1].steps('attach', 'loopback 0x02 0x81 65536')
    arena.check()
    client.finish()
    arena.check_over(client)
    arena.finish()


# ---- Silence ----

@scenario('whoever stays silent is timed out')
def silence(test):
    arena = Arena(test)
    unprepared = arena.client('capabilities', 'capabilities ignore', 'plug', 'connect')
    unready = arena.client('create', 'create ignore', 'plug', 'connect')
    mute = arena.client('control', 'mute 0', 'plug', 'connect')
    shy = arena.client('device', 'mute 1', 'plug', 'connect', 'await open 1')
    empty = arena.client('announcement', 'connect', 'await received 0 4', f'send 0 {ADD_VIRTUAL_CHANNEL}',
                         'await received 1 4')
    secretive = arena.client('descriptors', 'tamper 1 swallow', 'plug', 'connect', 'await open 1')
    for client in secretive, shy, empty:
        client.steps('await closed 1', timeout=SILENCE + SOON)
    mute.log.wait('^connection ended: ERRINFO_RPC_INITIATED_DISCONNECT', SILENCE + SOON)
    arena.log('the client does not set up dynamic virtual channels: no USB', SILENCE)
    arena.log('the client does not answer for the control channel: no USB', SILENCE)
    arena.check('device 1: ended in state reading: ', 'control channel: .*sent no RIM_EXCHANGE_CAPABILITY_RESPONSE')
    for client in unprepared, unready, mute, shy, empty, secretive:
        client.finish()
    for client in unprepared, unready, mute, shy, empty, secretive:
        arena.check_over(client)
    arena.finish()


@scenario('a client without USB redirection is told so')
def without(test):
    arena = Arena(test)
    bare = arena.client('bare', 'without-drdynvc', 'connect')
    arena.log('the client has no dynamic virtual channels: no USB')
    plain = arena.client('plain', 'create reject', 'connect')
    arena.log('the client has no USB redirection: no USB')
    for client in bare, plain:
        expect(client.session in arena.daemon.sessions(), 'the session ended')
        client.finish()
    for client in bare, plain:
        arena.check_over(client)
    arena.finish()


# ---- The end of channels ----

@scenario('a client that closes the control channel ends its session')
def close_control(test):
    arena = Arena(test)
    client = arena.client('hostile', 'plug', 'connect')
    arena.guests[1].steps('attach')
    client.steps('close 0')
    client.log.wait('^connection ended', SOON)
    arena.guests[1].steps('wait-disconnect')
    arena.check_over(client, 'control channel: .*closed')
    client.finish()
    arena.finish()


@scenario('a device channel that is closed in mid-transfer is an unplugged device')
def close_device(test):
    arena = Arena(test, ports=3)
    client = arena.client('hostile', 'plug 2', 'connect')
    for guest in arena.guests[1:]:
        guest.steps('attach')
    transfer = f'until-gone {LOOPBACK}{64 * MIB}'
    arena.guests[1].say(transfer)
    client.steps('await received 1 300', 'close 1')
    arena.guests[1].log.wait(f'^{transfer}: the device has gone', SOON)
    arena.guests[2].steps(LOOPBACK + '262144')
    client.steps('plug')
    arena.guests[1].steps('attach', LOOPBACK + '262144')
    arena.check()
    client.finish()
    arena.check_over(client)
    arena.finish()


# ---- Pressure ----

@scenario('a client that stops reading holds up nobody else')
def stops_reading(test):
    arena = Arena(test)
    client = arena.client('hostile', 'plug', 'connect')
    arena.guests[1].steps('attach', 'sink 0x01 65536')
    memory = Memory(client.session)
    transfer = f'until-gone sink 0x01 {64 * MIB} {MIB}'
    arena.guests[1].say(transfer)
    client.steps('await received 1 40')
    client.signal(signal.SIGSTOP)
    for _ in range(4):
        arena.guests[0].steps(LOOPBACK + str(MIB))
    arena.check()
    if not is_sanitized():
        memory.check(MEMORY_LIMIT // 2)
    sessions = arena.daemon.sessions()
    arena.daemon.signal(signal.SIGTERM)
    equal(arena.daemon.wait(END_SECONDS), 0, 'exit status')
    for session in sessions:
        arena.daemon.wait_session_ends(session, timeout=0)
    arena.guests[1].log.wait(f'^{transfer}: the device has gone', SOON)
    client.kill()
    arena.finish()


@scenario('a client that asks without reading the answers has to wait for them')
def asks(test):
    arena = Arena(test)
    client = arena.client('hostile', 'plug', 'connect')
    arena.guests[1].steps('attach')
    memory = Memory(client.session)
    for channel in 0, 1:
        client.steps(f'send {channel} {vector("2.2.2-query-interface-request")} 20000')
    arena.guests[1].steps(LOOPBACK + '65536')
    arena.check()
    if not is_sanitized():
        memory.check(MEMORY_LIMIT // 2)
    client.finish()
    arena.check_over(client)
    arena.finish()


# ---- Before the login ----

# [MS-RDPBCGR] 2.2.1.1, for TLS
NEGOTIATION = bytes.fromhex('030000130ee000000000000100080001000000')
NEGOTIATION_NLA = NEGOTIATION[:15] + b'\x03' + NEGOTIATION[16:]


def half_a_hello(server):
    """Begins with TLS, and stops in the middle of the client's first message."""
    ours, theirs = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = unverified().wrap_bio(theirs, ours)
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        pass
    hello = ours.read()
    server.sendall(NEGOTIATION)
    equal(len(server.recv(19)), 19, 'size of the answer to the negotiation')
    server.sendall(hello[:len(hello) // 2])
    return server


def unverified():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def whole_hello(server):
    server.sendall(NEGOTIATION)
    equal(len(server.recv(19)), 19, 'size of the answer to the negotiation')
    return unverified().wrap_socket(server)


def nla_hello(server):
    server.sendall(NEGOTIATION_NLA)
    answer = server.recv(19)
    equal(answer[15:16], b'\x02', 'protocol of the answer to the negotiation')
    return unverified().wrap_socket(server)


def half_a_header(server):
    server.sendall(NEGOTIATION[:7])
    return server


def check_closed(server, timeout):
    """Waits until the server has closed its end of this connection."""
    with server:
        server.settimeout(timeout)
        try:
            while server.recv(65536):
                pass
        except (ConnectionError, ssl.SSLError):
            pass
        except TimeoutError:
            raise Failure('the server holds on to a connection') from None


LOGIN_SECONDS = 3
KILL_SECONDS = 3  # FreeRDP waits for the second half of a hello, and for nothing else


@scenario('who does not log in is timed out')
def half_open(test):
    arena = Arena(test, ports=1, config=f'[limits]\nlogin-seconds={LOGIN_SECONDS}\n')
    servers = []
    for begin in (lambda server: server), half_a_header, half_a_hello, whole_hello:
        server = socket.create_connection(('127.0.0.1', arena.daemon.port), SOON)
        servers.append(begin(server))
    equal(len(arena.daemon.sessions()), len(servers), 'number of sessions, of all but the silent one')
    for server in servers:
        check_closed(server, LOGIN_SECONDS + KILL_SECONDS + SOON)
    arena.daemon.wait_descriptors(arena.before)
    text = arena.daemon.errors.text()
    equal(text.count(f'nobody logged in within {LOGIN_SECONDS} s'), len(servers) - 1, 'number of warnings')
    equal(text.count('the client said nothing'), 1, 'number of silent clients')
    arena.finish()


@scenario('SIGTERM ends half-open connections within two seconds')
def terminate_half_open(test):
    arena = Arena(test, ports=1, innocent=False)
    servers = []
    for begin in (lambda server: server), half_a_header, half_a_hello, whole_hello:
        server = socket.create_connection(('127.0.0.1', arena.daemon.port), SOON)
        servers.append(begin(server))
    arena.daemon.signal(signal.SIGTERM)
    equal(arena.daemon.wait(END_SECONDS), 0, 'exit status')
    for server in servers:
        check_closed(server, 0.1)
    arena.finish()


FOUR_GIB = '84ffffffff'  # a length in BER
EARLY = {
    'TSRequest': (nla_hello, bytes.fromhex('30' + FOUR_GIB)),
    # Within one that is all there ([MS-CSSP] 2.2.1): version, negoTokens
    'version': (nla_hello, bytes.fromhex('3082ffff' + 'a0' + FOUR_GIB).ljust(65539, b'\0')),
    'token': (nla_hello, bytes.fromhex('3082ffff' + 'a003020106' + 'a1' + FOUR_GIB).ljust(65539, b'\0')),
    # Within a TPKT ([MS-RDPBCGR] 2.2.1.3)
    'Connect-Initial': (whole_hello, bytes.fromhex('0300ffff02f080' + '7f65' + FOUR_GIB).ljust(65535, b'\0')),
    'domain selector': (whole_hello, bytes.fromhex('0300ffff02f080' + '7f6582fff0' + '04' + FOUR_GIB).ljust(65535, b'\0')),
}
EARLY_MEMORY = 16 * MIB  # more than before: a message has 64 KiB at most


@scenario('4 GiB before the login end only their connection', each=EARLY)
def early_lengths(test, where):
    hello, message = EARLY[where]
    arena = Arena(test, ports=1)
    with arena.meanwhile():
        old = set(arena.daemon.sessions())
        server = hello(socket.create_connection(('127.0.0.1', arena.daemon.port), SOON))
        session, = set(arena.daemon.sessions()) - old
        memory = Memory(session)
        limit = memory.peak + EARLY_MEMORY
        server.sendall(message)
        check_closed(server, SOON)
    arena.daemon.wait_session_ends(session, SOON)
    arena.log(REFUSED)
    arena.daemon.wait_descriptors(arena.before)
    arena.check()
    if not is_sanitized():
        memory.check(limit)
    arena.finish()


@scenario('rubbish at the port ends in its own connection')
def rubbish(test):
    arena = Arena(test, ports=1, config=f'[limits]\nlogin-seconds={LOGIN_SECONDS}\n')
    servers = []
    for content in (b'GET / HTTP/1.1\r\nHost: example.org\r\n\r\n', bytes(4096), b'\xff' * 65536,
                    random.Random(1).randbytes(MIB), NEGOTIATION + random.Random(2).randbytes(4096),
                    NEGOTIATION[:3] + b'\x07' + NEGOTIATION[4:], b'\x03\0\0\0' + bytes(100), NEGOTIATION * 100):
        server = socket.create_connection(('127.0.0.1', arena.daemon.port), SOON)
        servers.append(server)
        try:
            server.sendall(content)
        except ConnectionError:
            pass  # it was enough
    for server in servers:
        check_closed(server, LOGIN_SECONDS + KILL_SECONDS + SOON)
    arena.daemon.wait_descriptors(arena.before)
    arena.guests[0].steps(LOOPBACK + '262144')
    arena.finish()


main()
