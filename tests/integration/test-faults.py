#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What devices, clients and guests do wrong, or do at a bad moment: stock clients, gadgets, rdpusbd, and the fake guest in
place of QEMU. In each scenario the fake guest looks for what QEMU could not bear."""

import contextlib
import itertools
import re
import signal
import socket
import struct
import time

from fakeguest import FakeGuest, Rig
from gadget import Vendor
from process import Failure
from rdp import CLIENTS
from tap import equal, expect, main, scenario

KIB = 1 << 10
ENDPOINTS = ('0x81', '0x01', '0x83', '0x03')  # sources and sinks
CLIENT_TIMEOUT = 10  # of bulk and interrupt transfers, in FreeRDP
ANSWER_LIMIT = 16  # of a request that the client does not answer


def go_on(guest, flows):
    """Waits until something more has moved at each of them."""
    for endpoint in flows:
        guest.do(f'wait {endpoint} {640 if endpoint[3] == "3" else 512 * KIB}')


def begin_all(guest, but=()):
    """Data flows at all sources and sinks; nothing may disturb it until end_all()."""
    flows = [endpoint for endpoint in ENDPOINTS if endpoint not in but]
    guest.do('attach', *(f'begin {endpoint}' for endpoint in flows))
    go_on(guest, flows)
    return flows


def end_all(rig, flows, guest=None, number=1):
    guest = guest or rig.guest
    go_on(guest, flows)
    guest.do(*(f'end {endpoint}' for endpoint in flows))
    stats = rig.stats(number)
    equal((stats['bulk.mismatches'], stats['interrupt.mismatches']), (0, 0), 'wrong bytes at the sinks')


def number_of(guest):
    """Which of the devices 1234:0010, 1234:0011… it has: they get ports in the order in which they are ready."""
    return 1 + int(guest.do('attach')[8])


def wait_until(condition, what, timeout=10):
    """For what nobody tells: counters of the device, descriptors of a process."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise Failure(f'{what}: not within {timeout} s')
        time.sleep(0.02)


@scenario('a stall in the middle of a queue is cleared; other endpoints do not notice', each=CLIENTS)
def stall(test, program):
    rig = Rig(test, program, Vendor())
    flows = begin_all(rig.guest, but=['0x81'])
    for slow in 0, 3, 10:
        # With a slow device, clients have many transfers to cancel when a halt is cleared.
        for endpoint in '01', '03':
            rig.gadget('delay', endpoint, slow)
        rig.gadget('delay', 81, 40)
        before = rig.stats()['ep81.transfers']
        rig.guest.begin('queue 0x81 4096 16')
        wait_until(lambda: rig.stats()['ep81.transfers'] >= before + 3, 'three transfers')
        rig.gadget('stall', 81)
        rig.gadget('delay', 81, 0)
        said = rig.guest.finish()
        good = int(said.split()[0])
        expect(3 <= good < 16, f'the stall is not in the middle: {said}')
        equal(said, f'{good} success, {16 - good} stall; {good * 4096} bytes', 'queue')
        rig.guest.says('4 stall; 0 bytes', 'queue 0x81 4096 4')
        rig.guest.do('clear-halt 0x81')
        rig.guest.says('16 success; 65536 bytes', 'queue 0x81 4096 16')
    end_all(rig, flows)


@scenario('a halt is cleared while data is being written elsewhere', each=CLIENTS)
def stall_and_writes(test, program):
    rig = Rig(test, program, Vendor())
    flows = begin_all(rig.guest)
    sinks = '01', '03'

    def cancelled(*endpoints):
        stats = rig.stats()
        return [stats[f'ep{endpoint}.cancelled'] for endpoint in endpoints]

    def hold():
        for endpoint in '81', *sinks:
            rig.gadget('hold', endpoint)
        wait_until(lambda: all(rig.stats()[f'ep{endpoint}.pending'] for endpoint in ('81', *sinks)), 'transfers that wait')
        return cancelled('81'), cancelled(*sinks)

    # FreeRDP would cancel the writes from the first one on: it is asked when they are over.
    before, undisturbed = hold()
    rig.guest.begin('clear-halt 0x81')
    wait_until(lambda: cancelled('81') > before, 'the reads called back')
    for endpoint in sinks:
        rig.gadget('release', endpoint)
    rig.guest.finish()
    equal(cancelled(*sinks), undisturbed, 'cancelled writes')
    rig.gadget('release', '81')
    go_on(rig.guest, flows)
    # A sink may take nothing for a long time; the guest gives up a control request after 5 s.
    _, undisturbed = hold()
    start = time.monotonic()
    rig.guest.begin('clear-halt 0x81')
    wait_until(lambda: cancelled(*sinks) != undisturbed, 'the writes called back')
    expect(time.monotonic() - start > 0.9, 'the writes were not waited for')
    rig.guest.finish()
    expect(time.monotonic() - start < 3, 'the halt was cleared too late')
    for endpoint in '81', *sinks:
        rig.gadget('release', endpoint)
    end_all(rig, flows)


@scenario('a stalled sink and a stalled interrupt source recover', each=CLIENTS)
def stall_others(test, program):
    rig = Rig(test, program, Vendor())
    flows = begin_all(rig.guest, but=['0x01', '0x83'])
    rig.guest.says('8 success; 32768 bytes', 'queue 0x01 4096 8')
    rig.gadget('stall', '01')
    rig.guest.says('8 stall; 0 bytes', 'queue 0x01 4096 8')
    rig.guest.do('clear-halt 0x01')
    rig.guest.says('8 success; 32768 bytes', 'queue 0x01 4096 8')
    # The guest does not clear the halt of a stream: the bridge does.
    rig.guest.do('begin 0x83', 'wait 0x83 640')
    rig.gadget('stall', 83)
    rig.guest.do('wait 0x83 6400')
    end_all(rig, flows + ['0x83'])


class Late:
    """A client with three devices: one that is held, and two of which the client forgets requests."""

    def __init__(self, test, program):
        self.rig = Rig(test, program, *(Vendor(f'1234:001{number}') for number in range(3)), ports=3)
        numbered = {number_of(guest): guest for guest in self.rig.guests}
        self.held, self.reading, self.writing = (numbered[number] for number in (1, 2, 3))

    def begin(self):
        begin_all(self.held)
        for endpoint in ENDPOINTS:
            self.rig.gadget('hold', endpoint)
        for guest in self.reading, self.writing:
            guest.do('begin 0x83')
        self.rig.gadget('refuse', 81, 3, number=2)
        self.reading.begin('queue 0x81 4096 8')
        self.rig.gadget('refuse', '01', number=3)
        self.writing.begin('queue 0x01 4096 1')

    def timed_out(self):
        stats = self.rig.stats()
        return all(stats[f'ep{endpoint[2:]}.timeouts'] > 0 for endpoint in ENDPOINTS)

    def release(self):
        for endpoint in ENDPOINTS:
            self.rig.gadget('release', endpoint)
        end_all(self.rig, ENDPOINTS, self.held)

    def finish(self):
        equal(self.reading.finish(), '3 ioerror, 5 success; 20480 bytes', 'reading')
        equal(self.writing.finish(), '1 stall; 0 bytes', 'writing')

    def recover(self):
        self.reading.says('8 success; 32768 bytes', 'queue 0x81 4096 8')
        self.writing.do('clear-halt 0x01')
        self.writing.says('8 success; 32768 bytes', 'queue 0x01 4096 8')
        for guest, number in (self.reading, 2), (self.writing, 3):
            end_all(self.rig, ['0x83'], guest, number)


# All at once, since it takes so long.
@scenario("the client's own time-out is not the guest's business; what it never answers is answered", seconds=90)
def late(test):
    clients = [Late(test, program) for program in CLIENTS]
    start = time.monotonic()
    for client in clients:
        client.begin()
    for client in clients:
        wait_until(client.timed_out, 'transfers that timed out at the client', 2 * CLIENT_TIMEOUT)
    expect(time.monotonic() - start > CLIENT_TIMEOUT - 1, 'the clients have another time-out')
    for client in clients:
        client.release()
    for client in clients:
        client.finish()
    expect(time.monotonic() - start < ANSWER_LIMIT + 2, f'answers took {time.monotonic() - start} s')
    for client in clients:
        client.recover()


@scenario('a client that is slow after its login still gets its devices attached', seconds=180)
def slow_client(test):
    rig = Rig(test, CLIENTS[0], Vendor())
    late, log, mark = 'does not set up dynamic virtual channels', rig.daemon.errors, 0
    for number in itertools.count():
        log.wait('login of user', 20, mark)
        rig.client.signal(signal.SIGSTOP)
        # It may have been faster than the signal.
        if log.wait(late + '|is ready|no USB devices in|session process exited', 30, mark)[0] == late:
            break
        rig.client.kill()
        log.wait('session process exited', 30, mark)
        mark = log.mark()
        rig.join(f'client {number}')
    rig.client.signal(signal.SIGCONT)
    rig.guest.do('attach', f'source 0x81 {64 * KIB} 16384')


@scenario('a device that fails', each=CLIENTS)
def fail(test, program):
    rig = Rig(test, program, Vendor())
    flows = begin_all(rig.guest, but=['0x81', '0x01'])
    for endpoint, status, said in ((81, 'error', '1 ioerror, 7 success; 28672 bytes'),
                                   (81, 'overflow', '1 babble, 7 success; 28672 bytes'),
                                   (81, 'timeout', '8 success; 32768 bytes'),
                                   (81, 'cancelled', '8 success; 32768 bytes')):
        rig.gadget('fail', endpoint, status)
        rig.guest.says(said, 'queue 0x81 4096 8')
    # A write may have been executed: no driver should simply repeat it.
    for status, said in (('error', '1 stall; 0 bytes'), ('timeout', '1 success; 4096 bytes'),
                         ('cancelled', '1 success; 4096 bytes')):
        rig.gadget('fail', '01', status)
        rig.guest.says(said, 'queue 0x01 4096 1')
    for status in 'timeout', 'cancelled':
        rig.guest.do('begin 0x81')
        rig.gadget('fail', 81, status, 20)
        rig.gadget('fail', 83, status, 20)
        rig.guest.do('wait 0x81 4194304', 'end 0x81')
    end_all(rig, flows)


@scenario('control transfers that fail or take too long', each=CLIENTS)
def fail_control(test, program):
    rig = Rig(test, program, Vendor())
    flows = begin_all(rig.guest)
    for status in 'error', 'overflow', 'cancelled', 'timeout':
        rig.gadget('fail', '0', status)
        expect('success' not in rig.guest.do('control-in 0xc0 1 0 0 64'), f'success, although {status}')
    rig.gadget('stall', '0')
    rig.guest.says('stall', 'control-in 0xc0 1 0 0 64')
    start = time.monotonic()
    rig.guest.says('timeout', 'control-in 0xc0 5 0 0 64')
    expect(time.monotonic() - start < 5, 'a control transfer took too long')
    rig.guest.says('success', 'control-out 0x40 1 0 0 010203')
    rig.guest.says('success 010203', 'control-in 0xc0 1 0 0 64')
    end_all(rig, flows)


@scenario('storms of cancelled requests', each=CLIENTS)
def storms(test, program):
    rig = Rig(test, program, Vendor())
    rig.guest.do('attach')
    for slow in 0, 2:
        for endpoint in '81', '02', '82':
            rig.gadget('delay', endpoint, slow)
        rig.guest.do('cancel-storm 0x81 150 512', 'cancel-storm 0x81 50 16384', 'cancel-storm 0x82 50',
                     'cancel-storm-out 0x02 0x82 100')
    rig.gadget('delay', 82, 0)
    # Streams, too: what comes after a new start begins where the device is, nothing of before.
    for _ in range(30):
        rig.guest.do('begin 0x84', 'cut 0x84')
    rig.guest.do('interrupt-out 0x04 0102')
    rig.guest.says('success 0102', 'interrupt-in 0x84')
    rig.guest.do('reset', 'source 0x81 4194304', 'sink 0x01 1048576', 'loopback 0x02 0x82 1048576')
    equal(rig.stats()['bulk.mismatches'], 0, 'wrong bytes')


# FreeRDP before 3.22 frees transfers that are in flight when the device goes, and may crash (its issues 6363, 7782). So
# nothing is asked of that client any more; the guest and the next client must not notice.
@scenario('the device is unplugged under load', each=CLIENTS)
def unplug(test, program):
    rig = Rig(test, program, Vendor())
    for number in range(3):
        begin_all(rig.guest)
        for endpoint in ('81', '83') if number % 2 else ():
            rig.gadget('hold', endpoint)
        # Transfers may fail before the device leaves; what matters is that it does.
        rig.gadget('unplug')
        rig.guest.do('wait-disconnect')
        session = rig.daemon.sessions()
        rig.client.kill()
        for process in session:
            rig.daemon.wait_session_ends(process, 10)
        rig.join(f'client {number}')
    rig.guest.do('source 0x81 4194304', 'sink 0x01 1048576')


@scenario('the device is unplugged and plugged again', each=CLIENTS)
def replug(test, program):
    rig = Rig(test, program, Vendor())
    for _ in range(5):
        rig.guest.do('source 0x81 4194304', 'sink 0x01 1048576')
        equal(rig.stats()['bulk.mismatches'], 0, 'wrong bytes')
        rig.gadget('unplug')
        rig.guest.do('wait-disconnect')
        rig.gadget('plug')
    rig.guest.do('source 0x81 4194304')
    expect(rig.client.running(), 'the client ended')


@scenario('alternate settings are switched under load', each=CLIENTS)
def alternates(test, program):
    rig = Rig(test, program, Vendor())
    flows = begin_all(rig.guest, but=['0x83', '0x03'])
    for number in range(20):
        # What flows at the interface that changes may be cancelled; at the other nobody notices.
        rig.guest.do('begin 0x83', 'begin 0x03', 'wait 0x83 64', 'wait 0x03 64', f'set-alt 1 {(number + 1) % 2}')
        go_on(rig.guest, flows)
    end_all(rig, flows)


@scenario('the guest resets the device and changes its configuration under load', each=CLIENTS)
def reset(test, program):
    rig = Rig(test, program, Vendor())
    for step in 'reset', 'set-config 1', 'reset', 'set-config 0':
        begin_all(rig.guest)
        for endpoint in '81', '03':
            rig.gadget('hold', endpoint)
        rig.guest.do(step)
        for endpoint in '81', '03':
            rig.gadget('release', endpoint)
        if step == 'set-config 0':
            rig.guest.says('inval, 0 bytes', 'bulk-once-in 0x81 512')
            rig.guest.do('set-config 1')
    rig.guest.do('source 0x81 4194304', 'sink 0x01 1048576')
    equal(rig.stats()['bulk.mismatches'], 0, 'wrong bytes')


@scenario('a second configuration, with fewer interfaces, and back to the first', each=CLIENTS)
def configurations(test, program):
    rig = Rig(test, program, Vendor(configurations=2))
    for _ in range(3):
        rig.guest.do('set-config 4', 'loopback 0x02 0x82 1048576 16384')
        rig.guest.says('inval, 0 bytes', 'bulk-once-in 0x81 512')  # of the first
        rig.guest.do('set-config 1', 'source 0x81 1048576')
    expect(rig.client.running(), 'the client ended')


def packet(kind, body=b'', number=0, length=None, long_id=True):
    """A packet of usbredir."""
    return struct.pack('<IIQ' if long_id else '<III', kind, len(body) if length is None else length, number) + body


HELLO = packet(0, b'hostile'.ljust(64, b'\0') + struct.pack('<I', 0xff), long_id=False)
READS = b''.join(packet(101, struct.pack('<BBHIH', 0x81, 0, 0, 0, 1), number) for number in range(1, 17))
RUBBISH = {
    'no usbredir at all': b'GET / HTTP/1.0\r\nHost: rdpusb.example\r\n\r\n',
    'an unknown type': HELLO + packet(99),
    'an unknown type, with requests in flight': HELLO + READS + packet(99),
    'a second hello': HELLO + packet(0, HELLO[12:]),
    'a header that is too short': HELLO + packet(100, b'12345'),
    'a packet of 2 GiB': HELLO + packet(101, length=0x7fffffff),
    'a packet that only the device may send': HELLO + packet(1, bytes(10)),
    'a write whose lengths differ': HELLO + packet(101, struct.pack('<BBHIH', 0x01, 0, 512, 0, 0) + b'short'),
    'a write without data': HELLO + packet(101, struct.pack('<BBHIH', 0x01, 0, 512, 0, 0)),
}


def closes(connection):
    """Whether it is closed soon; what comes before is of no interest."""
    connection.settimeout(10)
    try:
        while connection.recv(65536):
            pass
    except ConnectionResetError:
        pass  # closed, with something of ours unread
    except TimeoutError:
        return False
    return True


# rdpusbd waits longer after each stream that was of no use, for each port, so there are several.
@scenario("rubbish at a port ends that port's connection, and no more")
def malformed(test):
    ports = 3
    rig = Rig(test, CLIENTS[0], *(Vendor(f'1234:001{number}') for number in range(ports)), ports=ports, guests=False)
    log = rig.daemon.errors
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(socket.socket(socket.AF_UNIX)) for _ in rig.paths]
        for server, path in zip(servers, rig.paths):
            server.bind(str(path))
            server.listen()
            server.settimeout(20)
        for server, (name, rubbish) in zip(itertools.cycle(servers), RUBBISH.items()):
            connection, _ = server.accept()
            with connection:
                mark = log.mark()
                connection.sendall(rubbish)
                expect(closes(connection), f'{name}: the connection is still open')
            log.wait(': lost the VM at', 10, mark)
            warnings = re.findall('.*closing this connection.*', log.text(mark))
            expect(len(warnings) == 1, f'{name}: {len(warnings)} warnings: {warnings}')
    for number, path in enumerate(rig.paths, 1):
        path.unlink()
        guest = test.keep(FakeGuest(f'unix:{path}', f'fake-guest {number}'))
        guest.do('source 0x81 4194304', 'sink 0x01 1048576')
        equal(rig.stats(number)['bulk.mismatches'], 0, 'wrong bytes')
    equal(len(rig.daemon.sessions()), 1, 'number of sessions')


@scenario('guests close in mid-transfer and come again, 20 times')
def reconnect(test):
    devices = 4
    rig = Rig(test, CLIENTS[0], *(Vendor(f'1234:001{number}') for number in range(devices)), ports=devices)
    numbers = [number_of(guest) for guest in rig.guests]
    session = rig.daemon.sessions()[0]

    def descriptors():
        return rig.daemon.descriptors(), rig.daemon.descriptors(session)

    before = descriptors()
    for attempt in range(5):
        for guest, number in zip(rig.guests, numbers):
            begin_all(guest)
            for endpoint in ENDPOINTS if attempt % 2 else ():
                rig.gadget('hold', endpoint, number=number)
            guest.do('drop')
            for endpoint in ENDPOINTS if attempt % 2 else ():
                rig.gadget('release', endpoint, number=number)
    for guest, number in zip(rig.guests, numbers):
        end_all(rig, begin_all(guest), guest, number)
    wait_until(lambda: descriptors() == before, f'descriptors as before: {before}')
    equal(rig.daemon.sessions(), [session], 'sessions')


main()
