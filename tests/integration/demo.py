#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The main job, told step by step for somebody who watches; quickstart.sh runs it."""

import sys

from bench import Bench, SEE_SECONDS, digest, wait_disk
from tap import Failure, Test


def say(text):
    print('   ' + text, flush=True)


def show(test):
    say('QEMU starts a Linux guest (5 to 20 s; software emulation) with one usb-redir port; rdpusbd connects to it.')
    bench = Bench(test)
    say(f'rdpusbd listens on 127.0.0.1:{bench.daemon.port}.')
    stick = bench.stick()
    with open(stick.image, 'r+b') as image:
        image.write(b'Hello from the stick at the RDP client.\n')
    say(f'xfreerdp3 logs in and offers a USB stick of {stick.image.stat().st_size >> 20} MiB.')
    bench.connect('xfreerdp3', stick)
    bench.guest.console.wait('New USB device found, idVendor=1234', SEE_SECONDS)
    disk = wait_disk(bench.guest)
    print('\nWhat the guest saw:\n')
    for line in bench.guest.console.text().splitlines():
        if 'usb 1-' in line or 'usb-storage 1-' in line or 'Attached SCSI' in line:
            print('   ' + line)
    for command in (f'head -n 1 {disk}', f'sha256sum {disk}'):
        print(f'   # {command}')
        answer = bench.guest.check(command, 60).strip()
        print(f'   {answer}')
    print(f'\nThe image behind the stick, here:\n\n   {digest(stick.image)}\n')
    if answer.split()[0] != digest(stick.image):
        raise Failure('the guest read other bytes than the stick has')
    say('The guest read the same bytes that the stick has.')


def main():
    test = Test()
    problem = None
    try:
        show(test)
    except Failure as failure:
        problem = failure
        for log in test.logs():
            print(f'--- {log.name}\n{log.text()[-4000:]}', file=sys.stderr)
    problems = [str(problem)] * bool(problem) + test.close()
    for line in problems:
        print(f'quickstart: {line}', file=sys.stderr)
    sys.exit(1 if problems else 0)


main()
