#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs fuzz targets for so much processor time each, and tells what came of it.

    CC=clang meson setup build-fuzz -Dfuzz=true -Db_sanitize=address,undefined -Db_lundef=false \\
        -Dc_args=-fsanitize=fuzzer-no-link && meson compile -C build-fuzz
    tests/fuzz/campaign.py --build build-fuzz --cpu-minutes 30
    tests/fuzz/campaign.py --build build-fuzz --merge wire

A target runs in slices, each from the inputs of the ones before, until the kernel has counted the processor time of its
processes up to the minutes asked for: a busy machine takes longer and does not get less. Everything is kept in
BUILD/campaign/TARGET: the inputs found (found), those that crashed (crash-*) with the output of their slices, and
state.json, which is up to date after each slice, so that --resume goes on where a campaign was stopped. The table that is
printed at the end is in BUILD/campaign/report.json as well; --resume --cpu-minutes 0 only prints it.

The exit status is 1 when something was found, ever, in this campaign."""

import argparse
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import threading

SLICE_SECONDS = 120
MAX_FINDINGS = 20  # a target that does nothing but crash is not worth its time
CORPUS = pathlib.Path(__file__).resolve().parent / 'corpus'
# A failed requirement is a SIGTRAP of GLib's, which libFuzzer alone does not handle; UBSan only prints if it may.
ENVIRONMENT = os.environ | {
    'ASAN_OPTIONS': 'handle_sigtrap=1:handle_abort=1', 'UBSAN_OPTIONS': 'halt_on_error=1:print_stacktrace=1',
    'G_DEBUG': 'fatal-criticals'}
COLUMNS = (('target', 'target'), ('CPU minutes', 'cpu_minutes'), ('executions', 'executions'),
           ('executions/s', 'executions_per_second'), ('edges', 'edges'), ('inputs', 'corpus_files'),
           ('findings', 'findings'))


class Campaign:
    """What is known of each target in a build folder; it may be shared by the threads that run them."""

    def __init__(self, build, seed):
        self.folder = build / 'campaign'
        self.build, self.seed, self.lock = build, seed, threading.Lock()
        self.running = set()
        self.stopping = False
        self.targets = {}

    def path(self, name):
        return self.folder / name / 'state.json'

    def target(self, name):
        if name not in self.targets:
            path = self.path(name)
            self.targets[name] = json.loads(path.read_text()) if path.exists() else {
                'seed': self.seed, 'cpu_seconds': 0, 'executions': 0, 'edges': 0, 'slices': 0, 'findings': []}
        return self.targets[name]

    def save(self, name):
        temporary = self.path(name).with_suffix('.new')
        temporary.write_text(json.dumps(self.targets[name], indent=2) + '\n')
        temporary.replace(self.path(name))

    def stop(self, *_):
        """libFuzzer tells its figures when it is interrupted, so those of a slice that is cut count as well."""
        self.stopping = True
        for pid in list(self.running):
            os.kill(pid, signal.SIGINT)

    def run(self, name, cpu_seconds):
        """Runs one target until it has had its time."""
        target = self.target(name)
        while target['cpu_seconds'] < cpu_seconds and not self.stopping and len(target['findings']) < MAX_FINDINGS:
            left = cpu_seconds - target['cpu_seconds']
            self.slice(name, target, max(1, min(SLICE_SECONDS, round(left))))

    def slice(self, name, target, seconds):
        folder = self.folder / name
        found = folder / 'found'
        found.mkdir(parents=True, exist_ok=True)
        target['slices'] += 1
        log = folder / f'slice-{target["slices"]}.log'
        arguments = [program(self.build, name), f'-max_total_time={seconds}', '-print_final_stats=1', '-timeout=60',
                     f'-seed={target["seed"] * 1000 + target["slices"]}', f'-artifact_prefix={folder}/',
                     str(found), str(CORPUS / name)]
        before = findings(folder)
        with log.open('wb') as output, self.lock:
            if self.stopping:
                return
            process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=output,
                                       env=ENVIRONMENT, cwd=folder)
            self.running.add(process.pid)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        with self.lock:
            self.running.discard(process.pid)
            self.account(target, process.returncode, usage, log, sorted(findings(folder) - before))
            self.save(name)

    def account(self, target, status, usage, log, new):
        text = log.read_text(errors='replace')
        target['cpu_seconds'] += usage.ru_utime + usage.ru_stime
        executed = re.findall(r'^(?:stat::number_of_executed_units: |#)(\d+)', text, re.MULTILINE)
        target['executions'] += int(executed[-1]) if executed else 0
        target['edges'] = max([target['edges'], *map(int, re.findall(r'\bcov: (\d+)', text))])
        target['findings'] += new
        if status != 0 and not self.stopping and 'Test unit written to' not in text:
            target['findings'].append(f'{log.name} (ended with {status})')
        if status == 0 and not new:
            log.unlink()  # what is interesting about it is in the state

    def report(self, names):
        rows = []
        for name in names:
            target = self.target(name)
            found = self.folder / name / 'found'
            cpu = target['cpu_seconds']
            rows.append({
                'target': name, 'cpu_minutes': round(cpu / 60, 1), 'executions': target['executions'],
                'executions_per_second': round(target['executions'] / cpu) if cpu else 0, 'edges': target['edges'],
                'corpus_files': len(list(found.iterdir())) if found.exists() else 0,
                'findings': len(target['findings'])})
        (self.folder / 'report.json').write_text(json.dumps(rows, indent=2) + '\n')
        print('| ' + ' | '.join(title for title, _ in COLUMNS) + ' |')
        print('|---' + '|---:' * (len(COLUMNS) - 1) + '|')
        for row in rows:
            print('| ' + ' | '.join(str(row[key]) for _, key in COLUMNS) + ' |')
        for name in names:
            for finding in self.target(name)['findings']:
                print(f'{name}: {self.folder / name / finding}')
        sys.stdout.flush()


def program(build, name):
    return str(build / 'tests' / 'fuzz' / f'fuzz-{name}')


def findings(folder):
    """What libFuzzer kept: inputs that crash, leak, take all memory or far too long. A slow unit is only remarkable."""
    return {path.name for pattern in ('crash-*', 'leak-*', 'oom-*', 'timeout-*') for path in folder.glob(pattern)}


def all_targets(build):
    return sorted(path.name.removeprefix('fuzz-') for path in (build / 'tests' / 'fuzz').glob('fuzz-*')
                  if path.is_file() and os.access(path, os.X_OK))


def merge(campaign, name):
    """Adds to the tree's corpus what reaches an edge that nothing there does, as few inputs as do."""
    found = campaign.folder / name / 'found'
    corpus = CORPUS / name
    before = len(list(corpus.iterdir()))
    subprocess.run([program(campaign.build, name), '-merge=1', '-use_counters=0', str(corpus), str(found)], check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=ENVIRONMENT, cwd=campaign.folder / name)
    print(f'{name}: {before} inputs in {corpus}, now {len(list(corpus.iterdir()))}', flush=True)


def worker(campaign, names, cpu_seconds):
    while names and not campaign.stopping:
        try:
            name = names.pop(0)
        except IndexError:
            return
        campaign.run(name, cpu_seconds)


def fuzz(campaign, names, cpu_seconds, jobs):
    for number in signal.SIGINT, signal.SIGTERM:
        signal.signal(number, campaign.stop)
    waiting = list(names)
    threads = [threading.Thread(target=worker, args=(campaign, waiting, cpu_seconds)) for _ in range(jobs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        while thread.is_alive():
            thread.join(1)  # signals are handled in between


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--build', type=pathlib.Path, required=True, help='a folder configured with -Dfuzz=true')
    parser.add_argument('--cpu-minutes', type=float, default=30, help='for each target (30)')
    parser.add_argument('--jobs', type=int, default=2, help='how many targets at a time (2)')
    parser.add_argument('--seed', type=int, default=1, help='of the first slice (1)')
    parser.add_argument('--resume', action='store_true', help='go on with the campaign in the build folder')
    parser.add_argument('--merge', action='store_true', help="put what was found into the tree's corpus; no fuzzing")
    parser.add_argument('targets', metavar='TARGET', nargs='*', help='wire, guest, ... (all)')
    options = parser.parse_args()
    build = options.build.resolve()
    names = options.targets or all_targets(build)
    for name in names:
        if not os.access(program(build, name), os.X_OK):
            parser.error(f'{program(build, name)} is no program: configure {build} with -Dfuzz=true and build it')
    campaign = Campaign(build, options.seed)
    if options.merge:
        for name in names:
            merge(campaign, name)
        return
    if not options.resume:
        for name in names:
            if campaign.path(name).exists():
                parser.error(f'{campaign.path(name).parent} has results: use --resume, or move it away')
    campaign.folder.mkdir(exist_ok=True)
    fuzz(campaign, names, options.cpu_minutes * 60, options.jobs)
    campaign.report(names)
    sys.exit(1 if any(campaign.target(name)['findings'] for name in names) else 0)


main()
