# SPDX-License-Identifier: LGPL-2.1-or-later
"""Scenarios as TAP. Each gets a Test: a folder of its own, and everything it started is ended after it.

    @scenario('the guest reads the stick', seconds=60)
    def reads(test): ...

    main()

`FILE [TEXT...]` runs only those scenarios whose names contain one of the texts.
"""

import pathlib
import shutil
import signal
import sys
import tempfile
import time
import traceback

from process import Failure, Process

_scenarios = []


def scenario(name, seconds=60, each=(None,)):
    """Registers a scenario, with a hard limit of time, once for every value in `each` (its second argument)."""
    def register(function):
        for value in each:
            if value is None:
                _scenarios.append((name, seconds, function, ()))
            else:
                _scenarios.append((f'{value}: {name}', seconds, function, (value,)))
        return function
    return register


def expect(condition, message):
    if not condition:
        raise Failure(message)


def equal(actual, expected, what):
    if actual != expected:
        raise Failure(f'{what}: {actual!r} instead of {expected!r}')


class Test:
    def __init__(self):
        # Unix socket paths are short: the folder is not below the build's.
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix='rdpusb-'))
        self._kept = []

    def keep(self, thing):
        """Has thing.close() called at the end and, after a failure, thing.logs shown."""
        self._kept.append(thing)
        return thing

    def start(self, name, arguments, **options):
        return self.keep(Process(name, arguments, **options))

    def close(self):
        """Ends everything, newest first; returns what went wrong."""
        problems = []
        for thing in reversed(self._kept):
            try:
                thing.close()
            except Exception as problem:  # whatever it is, the others have to be ended
                problems.append(str(problem))
        shutil.rmtree(self.folder, ignore_errors=True)
        return problems

    def logs(self):
        for thing in self._kept:
            yield from thing.logs


def _on_alarm(number, frame):
    raise Failure('the scenario took too long')


def run(function, arguments, seconds):
    """Calls function(Test, *arguments). Returns a list of problems, each several lines."""
    test = Test()
    problems = []
    signal.signal(signal.SIGALRM, _on_alarm)
    signal.alarm(seconds)
    try:
        function(test, *arguments)
    except Failure as failure:
        where = traceback.extract_tb(failure.__traceback__)
        lines = [f'{pathlib.Path(frame.filename).name}:{frame.lineno}' for frame in where[1:]]
        problems.append(f'{failure}  ({" > ".join(lines)})')
    except SystemExit:
        test.close()
        raise
    except Exception:
        problems.append(traceback.format_exc())
    signal.alarm(0)
    logs = list(test.logs())
    problems += test.close()
    if problems:
        for log in logs:
            problems.append(f'--- {log.name}\n{log.text()[-8000:].rstrip()}')
    return problems


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    chosen = [entry for entry in _scenarios
              if len(sys.argv) < 2 or any(text in entry[0] for text in sys.argv[1:])]
    print(f'1..{len(chosen)}', flush=True)
    failed = 0
    for number, (name, seconds, function, arguments) in enumerate(chosen, 1):
        start = time.monotonic()
        problems = run(function, arguments, seconds)
        for problem in problems:
            print('\n'.join('# ' + line for line in problem.splitlines()))
        failed += bool(problems)
        print(f'{"not ok" if problems else "ok"} {number} - {name} # {time.monotonic() - start:.1f} s', flush=True)
    sys.exit(1 if failed else 0)
