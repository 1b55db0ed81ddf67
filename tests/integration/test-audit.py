#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The audit trail of rdpusbd with a stock client: who came, was let in or not, and had which device."""

import os
import re
import signal
import socket
import struct
import time

from audit import read_audit, wait_audit
from daemon import END_SECONDS, PASSWORD, USER, Daemon, find_program, login, write_rules
from fakeguest import FakeGuest, Rig
from gadget import Keyboard, Vendor
from rdp import CLIENTS, Client
from talker import Talker
from tap import equal, expect, main, scenario

PROGRAM = CLIENTS[0]
VENDOR = {'vendor': '1234', 'product': '0003'}


class Audited(Rig):
    """A Rig with an audit trail."""

    def __init__(self, test, *devices, **options):
        self.trail = test.folder / 'audit.jsonl'
        super().__init__(test, PROGRAM, *devices, options=['--audit', self.trail, *options.pop('options', ())], **options)

    def wait(self, event, **members):
        return wait_audit(self.trail, event, **members)

    def leave(self):
        """The client goes; returns all events, which are complete then."""
        self.client.close()
        self.wait('end')
        return read_audit(self.trail)


def limits(test, line):
    config = test.folder / 'rdpusbd.conf'
    config.write_text(f'[limits]\n{line}\n')
    return ['--config', config]


def kinds(events):
    return [event['event'] for event in events]


def check_common(events, user=None):
    """One connection, from one client to one server."""
    for name in 'connection', 'client', 'server':
        equal(len({event[name] for event in events}), 1, f'different values of {name}')
    times = [event['time'] for event in events]
    equal(times, sorted(times), 'times')
    begin, end = events[0], events[-1]
    equal((begin['event'], end['event']), ('connection', 'end'), 'first and last event')
    if user:
        after = events[kinds(events).index('login'):]
        equal({(event['user'], event['vm']) for event in after}, {(user, 'default')}, 'users and VMs')


@scenario('a device comes and goes: every step, and every byte')
def life(test):
    rig = Audited(test, Vendor(serial='SN 4711'))
    rig.guest.do('attach')
    rig.guest.says('8 success; 32768 bytes', 'queue 0x81 4096 8')
    rig.guest.says('4 success; 16384 bytes', 'queue 0x01 4096 4')
    events = rig.leave()
    equal(kinds(events), ['connection', 'login', 'attach', 'detach', 'end'], 'events')
    check_common(events, user='alice')
    _, login, attach, detach, end = events
    expect(login['method'] == 'ntlm', f'method {login["method"]}')
    equal(login.get('client-name'), socket.gethostname()[:15], 'name of the client')
    expect(login['server'] == f'127.0.0.1:{rig.daemon.port}', login['server'])
    expect(re.fullmatch(r'127\.0\.0\.1:\d+', login['client']), login['client'])
    device = attach['device']
    equal({name: device[name] for name in VENDOR}, VENDOR, 'device')
    equal(device['serial'], 'SN 4711', 'serial number')
    equal(detach['device'], device, 'device that left')
    expect(device['name'] and device['interfaces'], f'the device is {device}')
    expect(str(rig.paths[0]) in attach['port'], attach['port'])
    equal(detach['port'], attach['port'], 'port')
    # Control transfers are in it too: the descriptors at least.
    expect(32768 < detach['bytes-in'] < 32768 + 4096, f'{detach["bytes-in"]} bytes in')
    expect(16384 <= detach['bytes-out'] < 16384 + 4096, f'{detach["bytes-out"]} bytes out')
    expect(0 < detach['duration'] <= end['duration'] < 60, f'durations {detach["duration"]}, {end["duration"]}')


@scenario('a wrong password is refused, and told')
def wrong_password(test):
    rig = Audited(test, Vendor())
    rig.wait('attach')
    client = test.keep(Client(test.folder, PROGRAM, rig.daemon.port, user='mallory', password='wrong', name='mallory'))
    expect(client.wait(20) != 0, 'the client was let in')
    refused = rig.wait('login-refused', code='wrong-credentials', user='mallory')
    end = rig.wait('end', connection=refused['connection'])
    events = [event for event in read_audit(rig.trail) if event['connection'] == end['connection']]
    expect(set(kinds(events)) == {'connection', 'login-refused', 'end'}, kinds(events))
    check_common(events)


@scenario('a refused device, and the rule that refuses it')
def refused_device(test):
    rules = write_rules(test.folder, '# of the test', 'block id 1234:0003', 'allow')
    file = rules / '50-test.rules'
    rig = Audited(test, Vendor(), Keyboard(text='x'), options=['--rules-dir', rules])
    refused = rig.wait('device-refused')
    equal(refused['code'], 'rule', 'code')
    equal(refused['rule'], {'file': str(file), 'line': 2, 'text': 'block id 1234:0003'}, 'rule')
    equal({name: refused['device'][name] for name in VENDOR}, VENDOR, 'device')
    expect(f'{file}:2' in refused['reason'], refused['reason'])
    attach = rig.wait('attach')
    equal(attach['device']['product'], '0002', 'product that was attached')
    equal(attach['rule'], {'file': str(file), 'line': 3, 'text': 'allow'}, 'rule that allowed it')
    events = rig.leave()
    check_common(events, user='alice')
    equal(sorted(kinds(events)), ['attach', 'connection', 'detach', 'device-refused', 'end', 'login'], 'events')


class Scripted:
    """rdpusbd with an audit trail and this configuration, for clients that are told step by step what to do."""

    def __init__(self, test, *config, rules=('allow',), chardevs=(), wrapper=(), password=PASSWORD):
        self.test, self.trail, self.conf = test, test.folder / 'audit.jsonl', test.folder / 'rdpusbd.conf'
        self.conf.write_text('\n'.join(config) + '\n')
        arguments = login(test.folder) + ['--listen', '127.0.0.1:0', '--config', self.conf, '--audit', self.trail]
        (test.folder / 'password').write_text(password + '\n')
        write_rules(test.folder, *rules)
        self.daemon = test.keep(Daemon(test.folder, chardevs, arguments, wrapper=wrapper)).start()

    def client(self, name, *steps, user=USER):
        """A client that did these steps."""
        client = self.test.keep(Talker(name, [find_program('hostile-client'), '--user', user, '--password', PASSWORD,
                                              '--server', f'127.0.0.1:{self.daemon.port}']))
        client.steps(*steps)
        return client

    def wait(self, event, **members):
        return wait_audit(self.trail, event, **members)


@scenario('a login without a VM, a device without a rule, and one that the filter does not allow')
def refusals(test):
    setting = 'filter=0x08,-1,-1,-1,1'
    guest = test.keep(FakeGuest(f'unix:{test.folder}/lab'))
    it = Scripted(test, '[vm office]', f'ports=unix:{test.folder}/office', 'users=alice',
                  '[vm lab]', f'ports=unix:{test.folder}/lab', 'users=alice', setting,
                  rules=['allow with-interface one-of { 03:*:* }', 'allow with-interface one-of { 08:*:* }'])
    it.client('undecided', 'connect')
    refused = it.wait('login-refused', code='no-vm')
    equal((refused['user'], refused.get('vm')), ('alice', None), 'user and VM')
    expect('office, lab' in refused['reason'], refused['reason'])

    it.client('alice', 'plug', 'plug-other keyboard', 'plug-other stick', 'connect', user='alice@lab')
    guest.do('attach')
    refused = it.wait('device-refused', code='no-rule')
    equal((refused['device']['product'], refused['vm'], refused.get('rule')), ('0001', 'lab', None), 'device, VM and rule')
    refused = it.wait('device-refused', code='filter')
    line = it.conf.read_text().splitlines().index(setting) + 1
    equal(refused['rule'], {'file': str(it.conf), 'line': line, 'text': setting}, 'rule')
    expect(f'{it.conf}:{line} ' in refused['reason'], refused['reason'])
    equal((refused['device']['product'], refused['device']['interfaces']), ('0006', ['03:01:01']), 'device')
    attach = it.wait('attach')
    equal((attach['device']['product'], attach['rule']['line']), ('0007', 2), 'device and line of its rule')
    refused = [event['code'] for event in read_audit(it.trail) if event['event'] == 'device-refused']
    equal(sorted(refused), ['filter', 'no-rule'], 'refusals of devices')


@scenario('a session that asks for more devices than it may have')
def too_many(test):
    """Ours asks for no more, so that this is one that is told to."""
    it = Scripted(test, '[limits]', 'max-device-channels=1', chardevs=[f'unix:{test.folder}/port'], password='word',
                  wrapper=['env', f'RDPUSB_SESSION={find_program("fake-session")}'])
    with socket.create_connection(('127.0.0.1', it.daemon.port), 20) as connection, connection.makefile('rw') as session:
        for command, answer in (('link', 'linked'), ('configure', '{'), (f'authenticate {USER} word', 'authenticated '),
                                ('attach 1 stick SN1', 'attached'), (None, 'waiting 1'), ('attach 2 other SN2', 'error ')):
            if command:
                session.write(command + '\n')
                session.flush()
            line = session.readline()
            expect(line.startswith(answer), f'{command}: {line!r}')
        refused = it.wait('device-refused')
        equal((refused['code'], refused['device']['serial']), ('limit', 'SN2'), 'code and device')
        expect('max-device-channels' in refused['reason'], refused['reason'])


@scenario('SIGTERM: every device is detached once, and every connection ends once')
def terminated(test):
    guests = [test.keep(FakeGuest(f'unix:{test.folder}/port{n}', f'fake-guest {n}')) for n in range(3)]
    it = Scripted(test, chardevs=[guest.address for guest in guests])
    it.client('two', 'plug 2', 'connect')
    it.client('one', 'plug', 'connect')
    it.client('none', 'connect')
    for guest in guests:
        guest.do('attach')
    with socket.create_connection(('127.0.0.1', it.daemon.port)) as stranger:
        stranger.sendall(b'\x03')
        opened = it.wait('connection', client='%s:%d' % stranger.getsockname())
        it.daemon.signal(signal.SIGTERM)
        equal(it.daemon.wait(END_SECONDS), 0, 'exit status')
    events = read_audit(it.trail)
    connections = {event['connection']: [] for event in events}
    for event in events:
        connections[event['connection']].append(event)
    stories = {name: kinds(story) for name, story in connections.items()}
    equal(stories.pop(opened['connection']), ['connection', 'end'], 'events of the stranger')
    expected = [['connection', 'login'] + n * ['attach'] + n * ['detach'] + ['end'] for n in range(3)]
    equal(sorted(stories.values()), sorted(expected), 'events of the others')
    for story in connections.values():
        places = {kind: sorted(event['port'] for event in story if event['event'] == kind) for kind in ('attach', 'detach')}
        equal(places['detach'], places['attach'], 'ports that lost a device')
    for event in events:
        if event['event'] == 'detach':
            expect(event['reason'] == 'the server is stopping' and 'bytes-in' in event, f'its session did not tell: {event}')


@scenario('a device that the VM refuses')
def refused_by_guest(test):
    rig = Audited(test, Vendor(), guests=False)
    with Refuser(rig.paths[0]) as guest:
        guest.refuse()
        refused = rig.wait('device-refused', code='guest')
        detach = rig.wait('detach')
        equal(refused['device'], detach['device'], 'device')
        equal(kinds(rig.leave()), ['connection', 'login', 'attach', 'device-refused', 'detach', 'end'], 'events')


class Refuser:
    """A guest that refuses each device, as QEMU does for its filter= (usbredir protocol, filter_reject)."""

    HELLO, DEVICE_CONNECT, FILTER_REJECT = 0, 1, 22
    CAP_FILTER = 1 << 2

    def __init__(self, path):
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.settimeout(20)
        self._listener.bind(str(path))
        self._listener.listen()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._listener.close()
        self._stream.close()

    def refuse(self):
        self._stream, _ = self._listener.accept()
        self._stream.settimeout(20)
        self._stream.sendall(struct.pack('<III64sI', self.HELLO, 68, 0, b'refuser', self.CAP_FILTER))
        with self._stream.makefile('rb') as packets:
            kind = None
            while kind != self.DEVICE_CONNECT:
                kind, size, _ = struct.unpack('<III', packets.read(12))
                packets.read(size)
        self._stream.sendall(struct.pack('<III', self.FILTER_REJECT, 0, 0))


@scenario('rules that are reloaded take a device away')
def taken_away(test):
    rig = Audited(test, Vendor())
    rig.guest.do('attach')
    write_rules(rig.daemon.folder, 'block id 1234:0003')
    rig.daemon.signal(signal.SIGHUP)
    refused = rig.wait('device-refused', code='rule')
    detach = rig.wait('detach')
    equal(refused['rule']['text'], 'block id 1234:0003', 'rule')
    expect('1234:0003' in detach['reason'], detach['reason'])
    equal([kind for kind in kinds(rig.leave()) if kind != 'reload'],
          ['connection', 'login', 'attach', 'device-refused', 'detach', 'end'], 'events')


@scenario('a guess whose connection dies before the answer is told; then the name is locked')
def impatient(test):
    rig = Audited(test, options=limits(test, 'lockout-failures=1'))
    rig.wait('login')
    test.keep(Client(test.folder, PROGRAM, rig.daemon.port, user='mallory', password='wrong', name='mallory'))
    rig.daemon.errors.wait('too many failed logins', 20)
    for session in rig.daemon.sessions():
        os.kill(session, signal.SIGKILL)
    refused = rig.wait('login-refused', code='wrong-credentials', user='mallory')
    end = rig.wait('end', connection=refused['connection'])
    expect('killed by signal 9' in end['process'], end['process'])
    test.keep(Client(test.folder, PROGRAM, rig.daemon.port, user='mallory', name='mallory again'))
    rig.wait('login-refused', code='locked-out', user='mallory', seconds=20)


@scenario('a VM that is not theirs')
def other_vm(test):
    config = test.folder / 'rdpusbd.conf'
    config.write_text(f'[vm office]\nports=unix:{test.folder}/office\nusers=bob\n')
    rig = Audited(test, options=['--config', config])
    test.keep(Client(test.folder, PROGRAM, rig.daemon.port, user='office\\alice', name='alice'))
    refused = rig.wait('login-refused', code='not-allowed-on-vm', seconds=20)
    equal((refused['user'], refused['vm'], refused['method']), ('office\\alice', 'office', 'ntlm'), 'user, VM and method')


@scenario('more clients than there may be')
def crowd(test):
    rig = Audited(test, Vendor(), options=limits(test, 'max-connections=1'))
    rig.wait('attach')
    for _ in range(3):
        with socket.create_connection(('127.0.0.1', rig.daemon.port)) as client:
            expect(client.recv(1) == b'', 'it was let in')
    first = rig.wait('dropped', code='max-connections')
    expect(first['count'] == 1 and first['client'].startswith('127.0.0.1:'), first)
    rig.client.close()
    rig.wait('dropped', count=2)


@scenario('more clients without a login than there may be')
def startups(test):
    rig = Audited(test, Vendor(), options=limits(test, 'max-startups=2:100:2'))
    rig.wait('attach')
    clients = [socket.create_connection(('127.0.0.1', rig.daemon.port)) for _ in range(6)]
    deadline = time.monotonic() + 20
    counts = []
    while sum(counts) < 4:
        expect(time.monotonic() < deadline, f'dropped: {counts}')
        time.sleep(0.05)  # nothing tells when a line is there
        counts = [event['count'] for event in read_audit(rig.trail) if event.get('code') == 'max-unauthenticated']
    equal(sum(counts), 4, 'clients that were dropped')
    equal(counts[0], 1, 'clients of the first line')
    for client in clients:
        client.close()


@scenario('a session that is killed takes its devices with it')
def killed(test):
    rig = Audited(test, Vendor())
    rig.guest.do('attach')
    session, = rig.daemon.sessions()
    os.kill(session, signal.SIGKILL)
    end = rig.wait('end')
    expect('killed by signal 9' in end['process'], end['process'])
    events = read_audit(rig.trail)
    equal(kinds(events), ['connection', 'login', 'attach', 'detach', 'end'], 'events')
    expect('bytes-in' not in events[3], 'bytes that nobody has told')
    check_common(events, user='alice')


@scenario('nobody logs in in time')
def silent(test):
    rig = Audited(test, options=limits(test, 'login-seconds=1'))
    with socket.create_connection(('127.0.0.1', rig.daemon.port)) as client:
        client.sendall(b'\x03')  # of a TPKT header: who says nothing is no connection
        refused = rig.wait('login-refused', code='timeout')
        expect('user' not in refused, 'a user was made up')
        rig.wait('end', connection=refused['connection'])


@scenario('SIGHUP: a new file, and what was loaded')
def reload(test):
    rig = Audited(test, Vendor())
    rig.wait('attach')
    old = test.folder / 'audit.jsonl.1'
    rig.trail.rename(old)
    rig.daemon.signal(signal.SIGHUP)
    rig.wait('reload', what='device rules', code='done')
    events = rig.leave()
    equal(sorted(set(kinds(events))), ['detach', 'end', 'reload'], 'events in the new file')
    equal(kinds(read_audit(old)), ['connection', 'login', 'attach'], 'events in the old file')
    equal({event['what'] for event in events if event['event'] == 'reload'}, 
          {'audit trail', 'certificate and private key', 'users', 'device rules'}, 'reloaded')


main()
