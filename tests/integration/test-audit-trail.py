#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The form of the audit trail: its schema, and the fields that the journal gets."""

import copy
import json
import os
import socket
import struct
import subprocess
import sys

import audit
from daemon import find_program
from process import Failure
from tap import equal, expect, main, scenario

EVENTS = ['connection', 'login', 'login-refused', 'device-refused', 'attach', 'detach', 'end', 'dropped', 'reload']


def write(target):
    """Lets the writer write its samples."""
    result = subprocess.run([find_program('audit-writer'), target], capture_output=True, text=True, timeout=20)
    expect(result.returncode == 0, f'audit-writer: {result.returncode}: {result.stderr}')


def samples(test):
    path = test.folder / 'audit.jsonl'
    write(str(path))
    return path, audit.read_audit(path)


@scenario('every event is one that the schema allows')
def schema(test):
    path, events = samples(test)
    equal([event['event'] for event in events[:len(EVENTS)]], EVENTS, 'events')
    hostile = [event for event in events[len(EVENTS):] if event['event'] == 'detach']
    expect(len(hostile) > 10, 'there is no hostile text')
    expect(any(event.get('cut') for event in hostile), 'nothing was cut')
    expect(any('\n' in event['user'] for event in hostile), 'a newline was lost')
    # Readers of lines agree with us about what a line is: U+2028 and U+0085 end none.
    equal(len(path.read_text().splitlines()), len(events), 'lines')
    expect(path.read_text().replace('\n', '').isprintable(), 'something invisible is in the file')


@scenario('the schema has the words that are written, and no others')
def words(test):
    _, events = samples(test)
    allowed = set()
    for part in audit.schema()['allOf']:
        name = part['if']['properties']['event']['const']
        allowed |= {(name, code) for code in part['then'].get('properties', {}).get('code', {}).get('enum', [])}
    equal({(event['event'], event['code']) for event in events if 'code' in event}, allowed, 'codes')
    methods = set(audit.schema()['properties']['method']['enum'])
    equal({event['method'] for event in events if event['event'] == 'login'}, methods, 'methods')


@scenario('the schema refuses what is not so')
def strict(test):
    _, events = samples(test)
    optional = {'lost', 'cut', 'client-name', 'bytes-in', 'method', 'user', 'vm', 'port', 'rule', 'reason'}
    may_miss = {'dropped': {'client', 'server'}}
    refused = 0
    for event in events[:len(EVENTS)]:
        changed = [event | {'colour': 'red'}, event | {'event': 'party'}, event | {'time': 'noon'},
                   event | {'lost': 0}, event | {'cut': False}]
        changed += [{name: value for name, value in event.items() if name != missing}
                    for missing in event if missing not in optional | may_miss.get(event['event'], set()) | {'bytes-out'}]
        if 'device' in event:
            other = copy.deepcopy(event)
            other['device']['interfaces'] = ['8:6:50']
            changed += [other]
        if event['event'] != 'login':
            changed.append(event | {'method': 'rumour'})
        if 'code' in event:
            changed.append(event | {'code': 'unlucky'})
        for entry in changed:
            try:
                audit.parse(json.dumps(entry).encode())
            except Failure:
                refused += 1
                continue
            raise Failure(f'the schema allows {entry}')
    expect(refused > 80, f'only {refused} were tried')


# ---- The journal ----

def parse_datagram(data):
    """Fields of the native protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL), as lists of values."""
    fields = {}
    while data:
        line, _, rest = data.partition(b'\n')
        name, separator, value = line.partition(b'=')
        if not separator:
            size, = struct.unpack_from('<Q', rest)
            value, data = rest[8:8 + size], rest[8 + size + 1:]
        else:
            data = rest
        fields.setdefault(name.decode(), []).append(value)
    return fields


def journal_part():
    """In a mount namespace of our own, where /run/systemd is empty: prints every datagram's fields."""
    writer = [find_program('audit-writer'), 'journal']
    subprocess.run(['mount', '-t', 'tmpfs', 'none', '/run/systemd'], check=True)
    without = subprocess.run(writer, capture_output=True, text=True, timeout=20)
    os.mkdir('/run/systemd/journal')
    received = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind('/run/systemd/journal/socket')
        process = subprocess.Popen(writer)
        # A full queue makes the writer wait: it is read until the writer has ended, and then to its end.
        server.settimeout(0.2)
        while True:
            ended = process.poll() is not None
            try:
                received.append(parse_datagram(server.recv(1 << 20)))
            except TimeoutError:
                if ended:
                    break
    json.dump({'without': [without.returncode, without.stderr], 'status': process.returncode,
               'entries': [{name: [value.decode() for value in values] for name, values in fields.items()}
                           for fields in received]}, sys.stdout)


def expected_fields(prefix, value):
    """Fields of a member, as audit.md says."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from expected_fields(f'{prefix}_{name.upper().replace("-", "_")}', inner)
    elif isinstance(value, list):
        for inner in value:
            yield prefix, inner
    else:
        yield prefix, value if isinstance(value, str) else json.dumps(value)


@scenario('the journal gets every event, with its fields')
def journal(test):
    expect(os.geteuid() == 0, 'only root can try this')
    result = subprocess.run(['unshare', '-m', '--propagation', 'private', sys.executable, __file__, '--journal-part'],
                            capture_output=True, text=True, timeout=40)
    expect(result.returncode == 0, f'{result.returncode}: {result.stderr}')
    report = json.loads(result.stdout)
    equal(report['without'][0], 1, 'exit status without a journal')
    expect('there is no journal here' in report['without'][1], report['without'][1])
    equal(report['status'], 0, 'exit status')
    events = [audit.parse(entry['MESSAGE'][0].encode()) for entry in report['entries']]
    equal([event['event'] for event in events[:len(EVENTS)]], EVENTS, 'events')
    for event, entry in zip(events, report['entries']):
        equal(entry.pop('SYSLOG_IDENTIFIER'), ['rdpusbd'], 'identifier')
        refusal = event['event'] in ('login-refused', 'device-refused', 'dropped')
        equal(entry.pop('PRIORITY'), ['5' if refusal else '6'], f'priority of {event["event"]}')
        entry.pop('MESSAGE')
        fields = {}
        for name, value in expected_fields('RDPUSB', event):
            fields.setdefault(name, []).append(value)
        duration = [fields.pop('RDPUSB_DURATION', None), entry.pop('RDPUSB_DURATION', None)]
        expect(duration == [None, None] or float(duration[0][0]) == float(duration[1][0]), f'duration: {duration}')
        equal(entry, fields, f'fields of {event["event"]}')
    detach = report['entries'][EVENTS.index('detach')]
    equal(detach['RDPUSB_DEVICE_VENDOR'], ['0951'], 'vendor')
    equal(detach['RDPUSB_DEVICE_INTERFACES'], ['08:06:50', 'ff:00:00'], 'interfaces')
    equal(detach['RDPUSB_BYTES_IN'], ['5368709120'], 'bytes')


if sys.argv[1:] == ['--journal-part']:
    journal_part()
else:
    main()
