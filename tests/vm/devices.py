#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs the device table: real devices of stock clients, as the drivers of a real guest see them.

    RDPUSB_BUILD=build tests/vm/devices.py                     the fast half, with the newest client
    RDPUSB_BUILD=build tests/vm/devices.py --all               every row, with every client
    RDPUSB_BUILD=build tests/vm/devices.py --device serial     rows with this in their names
"""

import argparse
import importlib
import pathlib
import platform
import re
import signal
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / 'integration')]

from guest import build  # noqa: E402
from rdp import CLIENTS  # noqa: E402
from table import ROWS, run_rows  # noqa: E402

for module in sorted(HERE.glob('rows_*.py')):
    importlib.import_module(module.stem)

WIDTHS = (32, 18, 10, 6, 7)
COLUMNS = ('device', 'by', 'client', 'result', 'time')


def parse():
    parser = argparse.ArgumentParser(description='Runs the device table.')
    parser.add_argument('--all', action='store_true', help='every row, with every client')
    parser.add_argument('--device', action='append', default=[], metavar='NAME',
                        help='only rows whose device or means has this in its name; may be repeated')
    parser.add_argument('--client', action='append', choices=CLIENTS, help='only this client; may be repeated')
    parser.add_argument('--write', type=pathlib.Path, metavar='FILE', help='put the results into this document')
    parser.add_argument('--tap', action='store_true', help='print TAP instead of the table')
    return parser.parse_args()


def chosen(options):
    if options.device:
        return [row for row in ROWS if any(text in f'{row.name} {row.by}' for text in options.device)]
    return [row for row in ROWS if row.fast or options.all]


def line(cells):
    return ' '.join(cell.ljust(width) for cell, width in zip(cells, WIDTHS)).rstrip()


def cells(result):
    return (result.row.name, result.row.by, result.program, 'FAILED' if result.problems else 'ok',
            f'{result.seconds:5.1f} s')


def versions():
    """What the result holds for."""
    def first_line(*command):
        output = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding='utf-8',
                                check=False, timeout=20).stdout
        return output.splitlines()[0].strip() if output else 'unknown'

    def package(name):
        return first_line('dpkg-query', '-W', '-f=${Version}', name)

    qemu = re.search(r'version (\S+)', first_line('qemu-system-x86_64', '--version'))[1]
    yield f'- guest and client machine: Linux {(build() / "version").read_text().strip()} in QEMU {qemu}, TCG'
    for program, name in (('xfreerdp3', 'freerdp3-x11'), ('xfreerdp', 'freerdp2-x11')):
        if program in CLIENTS:
            yield f'- {program}: {package(name)}'
    yield f'- {platform.freedesktop_os_release()["PRETTY_NAME"]}, libusb {package("libusb-1.0-0")}'


def write(path, results):
    """Puts the results into the block between the document's two marks. Rows that were not run keep their last one."""
    begin, end = '<!-- table -->\n', '<!-- end of table -->\n'
    text = path.read_text()
    if begin not in text or end not in text:
        raise SystemExit(f'{path} has no lines {begin.strip()} and {end.strip()} to write between')
    head, rest = text.split(begin, 1)
    old, tail = rest.split(end, 1)
    known = sum(WIDTHS[:3]) + 2  # what a row is called, in its line
    lines = {text[:known]: text for text in old.splitlines()}
    lines.update({(text := line(cells(result)))[:known]: text for result in results})
    rows = [lines.get(line((row.name, row.by, program)).ljust(known)) for program in CLIENTS for row in ROWS]
    block = ['```', '$ RDPUSB_BUILD=build tests/vm/devices.py --all --write docs/devices.md', line(COLUMNS),
             *filter(None, rows), '```', '', *versions()]
    path.write_text(head + begin + '\n'.join(block) + '\n' + end + tail)


def main():
    options = parse()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    rows = chosen(options)
    programs = options.client or (CLIENTS if options.all else CLIENTS[:1])
    print(f'1..{len(rows) * len(programs)}' if options.tap else line(COLUMNS), flush=True)
    results = []
    for number, result in enumerate(run_rows(rows, programs), 1):
        results.append(result)
        for problem in result.problems:
            print('\n'.join('# ' + text for text in problem.splitlines()))
        if options.tap:
            print(f'{"not ok" if result.problems else "ok"} {number} - {result.program}: {result.row.name} '
                  f'({result.row.by}) # {result.seconds:.1f} s', flush=True)
        else:
            print(line(cells(result)), flush=True)
        if options.write:
            write(options.write, [result])
    sys.exit(1 if any(result.problems for result in results) or not results else 0)


main()
