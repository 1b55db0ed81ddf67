#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Devices that come and go, many at once: stock clients with gadgets, rdpusbd, and a fake guest at each port. At the end
nothing is left of them. RDPUSB_HOTPLUG_ROUNDS says how often something is plugged or unplugged, RDPUSB_HOTPLUG_SEED in which
order."""

import itertools
import json
import os
import pathlib
import random
import re
import time

from bench import digest, make_image
from daemon import BUILD, PASSWORD, USER, Daemon, find_program
from fakeguest import FakeGuest, Rig
from gadget import Stick, Vendor
from process import Failure
from rdp import CLIENTS
from talker import Talker
from tap import equal, expect, main, scenario

DEVICES = 8
SEED = int(os.environ.get('RDPUSB_HOTPLUG_SEED', '1'))
KIB = 1 << 10
DEPTH = 4  # requests in flight at an endpoint
FLOWS = {'0x81': f'4096 {DEPTH}', '0x01': f'4096 {DEPTH}', '0x83': '', '0x03': f'64 {DEPTH}'}  # sources and sinks
HELD = ('81', '01', '03')  # where guests ask; a stream's requests are made by the bridge, until it is cut
RESTART = 'control-out 0x40 6 0 0'  # sequences begin anew
OVER = re.compile(r'device (\d+): over: (\d+) requests, (\d+) ended, (\d+) given up; (\d+) bytes in, (\d+) out; '
                  r'(\d+) packets dropped, (\d+) lost; (\d+) requests and (\d+) bytes held$', re.MULTILINE)


def is_sanitized():
    options = json.loads((BUILD / 'meson-info' / 'intro-buildoptions.json').read_text())
    return any(option['name'] == 'b_sanitize' and option['value'] not in ('none', []) for option in options)


# Sanitizers make everything several times slower.
ROUNDS = int(os.environ.get('RDPUSB_HOTPLUG_ROUNDS', '150' if is_sanitized() else '500'))


def memory(pid):
    """Bytes that a process has of its own, in memory or not yet touched."""
    status = pathlib.Path(f'/proc/{pid}/status').read_text()
    return KIB * sum(int(re.search(rf'^{name}:\s*(\d+) kB', status, re.MULTILINE)[1]) for name in ('RssAnon', 'VmSwap'))


def wait_until(condition, what, timeout=10):
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise Failure(f'{what}: not within {timeout} s')
        time.sleep(0.05)


def check_ends(log):
    """Each device that was ready ended once, with all its requests, and holds nothing. Nothing was warned of."""
    ready = log.text().count(' is ready\n')
    wait_until(lambda: len(OVER.findall(log.text())) == ready, f'the ends of {ready} devices')
    text = log.text()
    ends = [[int(word) for word in words] for words in OVER.findall(text)]
    equal(len({end[0] for end in ends}), len(ends), 'devices that ended once')
    for device, asked, ended, given_up, _, _, _, _, requests, held in ends:
        equal((ended, given_up, requests, held), (asked, 0, 0, 0),
              f'requests ended and given up, requests and bytes held by device {device}')
    equal(re.findall('.*: (?:warning|error): .*', text), [], 'warnings')


class Crowd:
    """A client with DEVICES devices, and as many ports. What the broker logs tells which port has which device."""

    def __init__(self, test, program):
        self.test = test
        devices = (Vendor(f'1234:001{number}', **{'delay-ms': 5}) for number in range(DEVICES))
        self.rig = rig = Rig(test, program, *devices, ports=DEVICES)
        self.session, = rig.daemon.sessions() or [None]
        self.paths = dict(zip(rig.guests, rig.paths))
        self.log = rig.daemon.errors
        self.seen = 0  # position in the log, up to which attachments were counted
        self.guests = {}  # number of a plugged device -> its guest
        self.flowing = set()  # numbers of devices with transfers in flight
        self.attachments = 0
        self.arrive(range(1, DEVICES + 1))
        self.session, = rig.daemon.sessions()

    def _await_attached(self, number):
        """The guest whose port the broker gave to a device."""
        match = self.log.wait(rf'device 1234:001{number - 1} .* attached to port unix:(\S+)$', 20, self.seen)
        guest, = (guest for guest, path in self.paths.items() if str(path) == match[1])
        self.attachments += 1
        return guest

    def arrive(self, numbers):
        """These were plugged: each comes to one guest, is what it is, and every byte of it is right."""
        for number in numbers:
            self.guests[number] = self._await_attached(number)
        self.use(numbers)

    def use(self, numbers, *steps):
        """Lets guests enumerate, read and write, all at once."""
        steps = steps or ('attach', f'source 0x81 {32 * KIB}', f'sink 0x01 {32 * KIB}')
        for step in steps:
            for number in numbers:
                self.guests[number].begin(step)
            for number in numbers:
                said = self.guests[number].finish()
                if step == 'attach':
                    equal(said.split()[0], f'1234:001{number - 1}', 'the device that the guest sees')

    def leave(self, numbers):
        """These were unplugged: each guest is told."""
        for number in numbers:
            self.guests.pop(number).do('wait-disconnect')
            self.flowing.discard(number)

    def flow(self, number):
        """Transfers are in flight from now on, until the device leaves or its guest goes away."""
        if number not in self.flowing:
            self.use([number], RESTART, *(f'begin {endpoint} {size}' for endpoint, size in FLOWS.items()))
            self.flowing.add(number)

    def check_flows(self):
        """What flows goes on flowing, whoever else comes and goes."""
        for endpoint in FLOWS:
            self.use(self.flowing, f'wait {endpoint} {64 if endpoint[3] == "3" else KIB}')

    def reopen(self, number, choose):
        """The guest of a device closes its port and opens it again: at once, or as another process."""
        guest = self.guests[number]
        self.seen = self.log.mark()
        if choose.random() < 0.5:
            guest.do('drop')
        else:
            guest.end()
            path = self.paths.pop(guest)
            self.paths[self.test.keep(FakeGuest(f'unix:{path}', guest.name))] = path
        self.flowing.discard(number)
        self.arrive([number])

    def halt(self, number):
        """Transfers of a device stay in flight, but nothing new is asked. FreeRDP's client uses what it has freed if a
        device is asked for something while it leaves, and sooner or later dies of it (its issues 6363, 7782)."""
        self.guests[number].do('cut 0x83')
        for endpoint in HELD:
            self.rig.gadget('hold', endpoint, number=number)
        last = [None]

        def is_quiet():
            # Nothing tells when the last request has arrived: this asks until two answers are the same.
            before, last[0] = last[0], self.rig.stats(number)
            time.sleep(0.2)
            return before == last[0] and not last[0]['ep83.pending'] and all(last[0][f'ep{e}.pending'] for e in HELD)
        wait_until(is_quiet, f'transfers that stay in flight at device {number}')

    def toggle(self, numbers):
        """Unplugs or plugs each, all at once."""
        self.seen = self.log.mark()
        leaving = [number for number in numbers if number in self.guests]
        halted = self.flowing.intersection(leaving)
        for number in halted:
            self.halt(number)
        for number in numbers:
            self.rig.gadget('unplug' if number in leaving else 'plug', number=number)
        self.leave(leaving)
        for number, endpoint in itertools.product(halted, HELD):
            self.rig.gadget('release', endpoint, number=number)
        self.arrive([number for number in numbers if number not in leaving])

    def check_rest(self):
        """When nothing is plugged in: nothing flows, nothing is left."""
        for number in range(1, DEVICES + 1):
            stats = self.rig.stats(number)
            equal({name: value for name, value in stats.items() if name.endswith('.pending') and value}, {},
                  f'transfers that wait at device {number}')
        text = self.log.text()
        equal(text.count(' attached to port '), self.attachments, 'attachments')
        check_ends(self.log)

    def descriptors(self):
        return self.rig.daemon.descriptors(), self.rig.daemon.descriptors(self.session)

    def settled_descriptors(self):
        self.rig.daemon.settled_descriptors()
        return self.descriptors()

    def memory(self):
        return memory(self.rig.daemon.pid), memory(self.session)


GROWTH = 512 * KIB  # allowed; allocators move by half of that. 125 devices that leaked are four times as much.


def find_growth(memories):
    """What broker and session have more at the end than halfway, when the allocators have their pools."""
    halfway = next(entry for entry in memories if entry[0] >= ROUNDS // 2)
    return memories[-1][1] - halfway[1], memories[-1][2] - halfway[2]


@scenario(f'{DEVICES} devices are plugged and unplugged at random {ROUNDS} times, and guests go and come', seconds=300,
          each=CLIENTS)
def crowd(test, program):
    print(f'# seed {SEED}')
    choose = random.Random(SEED)
    crowd = Crowd(test, program)
    everything = range(1, DEVICES + 1)
    crowd.toggle(everything)
    before = crowd.settled_descriptors()
    rounds, memories, start = 0, [], time.monotonic()
    while rounds < ROUNDS:
        burst = choose.sample(everything, choose.randint(1, 4))
        crowd.toggle(burst)
        rounds += len(burst)
        plugged = list(crowd.guests)
        if plugged and len(crowd.flowing) < 2:
            crowd.flow(choose.choice(plugged))
        if plugged and choose.random() < 0.1:
            crowd.reopen(choose.choice(plugged), choose)
        crowd.check_flows()
        expect(crowd.rig.client.running(), f'the client ended after {rounds} rounds with {crowd.rig.client.status()}')
        memories.append((rounds, *crowd.memory()))
    crowd.toggle(list(crowd.guests))
    wait_until(lambda: crowd.descriptors() == before, f'descriptors as before: {before}')
    memories.append((rounds, *crowd.memory()))
    print(f'# {rounds} rounds in {time.monotonic() - start:.0f} s; memory of broker and session: {memories[0][1:]} bytes '
          f'at first, {memories[-1][1:]} at the end; seen growing by {find_growth(memories)}')
    crowd.check_rest()
    if not is_sanitized():  # which keep what was freed
        expect(max(find_growth(memories)) < GROWTH, f'memory grew: {memories[::10]}')
    # All ports are free.
    crowd.toggle(everything)
    equal(len(set(crowd.guests.values())), DEVICES, 'guests with a device')


class Counted:
    """A scripted client that knows how many channels it has, and tells when the server does what it could not stand."""

    def __init__(self, test, profile):
        paths = [test.folder / f'port{n}' for n in range(DEVICES)]
        self.guests = {str(path): test.keep(FakeGuest(f'unix:{path}', path.name)) for path in paths}
        self.daemon = test.keep(Daemon(test.folder, [f'unix:{path}' for path in paths])).start()
        self.client = test.keep(Talker('client', [
            find_program('hostile-client'), '--user', USER, '--password', PASSWORD, '--server',
            f'127.0.0.1:{self.daemon.port}']))
        self.client.steps(f"profile '{profile}'", 'connect', 'await received 0 4')
        self.plugged = {}  # handle -> guest

    def plug(self):
        mark = self.daemon.errors.mark()
        handle = self.client.steps('plug')
        guest = self.guests[self.daemon.errors.wait(r' attached to port unix:(\S+)$', 10, mark)[1]]
        expect(guest not in self.plugged.values(), f'two devices are at {guest.name}')
        self.plugged[handle] = guest
        guest.do('attach', f'loopback 0x01 0x81 {4 * KIB}')

    def unplug(self, handle):
        self.client.steps(f'unplug {handle}')
        self.plugged.pop(handle).do('wait-disconnect')

    def open_channels(self):
        return int(re.search(r'(\d+) open', self.client.steps('state'))[1])


@scenario(f'{ROUNDS} times a scripted client plugs or unplugs a device: channels come and go with them',
          each=('FreeRDP 3.10', 'mstsc'), seconds=120)
def counted(test, profile):
    choose = random.Random(SEED)
    counted = Counted(test, profile)
    for _ in range(ROUNDS):
        handles = list(counted.plugged)
        if len(handles) < DEVICES and (not handles or choose.random() < 0.6):
            counted.plug()
        else:
            counted.unplug(choose.choice(handles))
        equal(counted.open_channels(), 1 + len(counted.plugged), 'open channels')
    for handle in list(counted.plugged):
        counted.unplug(handle)
    equal(counted.open_channels(), 1, 'open channels')
    counted.client.finish()
    check_ends(counted.daemon.errors)


@scenario('identical sticks stay as many as they are, with and without serial numbers', each=CLIENTS)
def sticks(test, program):
    serials = ('AAA', 'BBB', None, None)
    images = [make_image(test.folder / f'stick{n}.img', 64 * KIB) for n in range(len(serials))]
    rig = Rig(test, program, *(Stick(image, **({'serial': serial} if serial else {}))
                               for image, serial in zip(images, serials)), ports=len(images) + 1)

    def check(plugged):
        found = []
        for guest in rig.guests[:len(plugged)]:
            guest.do(f'read-disk {test.folder}/copy')
            found.append(digest(test.folder / 'copy'))
        equal(sorted(found), sorted(digest(images[number - 1]) for number in plugged), 'sticks that the guests read')

    check([1, 2, 3, 4])
    for serial in 'AAA', 'BBB':
        equal(rig.daemon.errors.text().count(f'serial "{serial}" of user "alice" at VM default attached'), 1, f'sticks {serial}')
    for number in 2, 4:
        mark = rig.daemon.errors.mark()
        rig.gadget('unplug', number=number)
        rig.daemon.errors.wait(' detached from port ', 10, mark)
        rig.gadget('plug', number=number)
        rig.daemon.errors.wait(' attached to port ', 10, mark)
        check([1, 2, 3, 4])
    equal(rig.daemon.errors.text().count(' attached to port '), len(images) + 2, 'attachments')


main()
