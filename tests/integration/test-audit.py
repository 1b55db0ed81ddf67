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
from daemon import write_rules
from fakeguest import Rig
from gadget import Keyboard, Vendor
from rdp import CLIENTS, Client
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
    rig = Audited(test, Vendor())
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
