# SPDX-License-Identifier: LGPL-2.1-or-later
"""A program that a test starts: its output is kept and can be waited for, and its end is certain."""

import re
import subprocess
import threading
import time


class Failure(Exception):
    """What a test expected did not happen."""


class Log:
    """Text that arrives from somewhere, to be waited for and to be shown when a test fails."""

    def __init__(self, name):
        self.name = name
        self._text = ''
        self._closed = False
        self._changed = threading.Condition()

    def follow(self, read):
        """Appends what read() returns, in a thread of its own, until it returns nothing."""
        threading.Thread(target=self._follow, args=(read,), daemon=True).start()

    def _follow(self, read):
        try:
            while data := read():
                with self._changed:
                    self._text += data.decode(errors='replace').replace('\r', '')
                    self._changed.notify_all()
        except OSError:
            pass  # the other end is gone: the log ends here
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def text(self, since=0):
        with self._changed:
            return self._text[since:]

    def mark(self):
        """The position after what has arrived so far, for `since`."""
        with self._changed:
            return len(self._text)

    def wait(self, pattern, timeout, since=0):
        """Waits for a match in complete lines after `since`; returns it. Its end is `since + match.end()`."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while True:
                text = self._text[since:]
                match = re.search(pattern, text[:text.rfind('\n') + 1], re.MULTILINE)
                if match:
                    return match
                left = deadline - time.monotonic()
                if self._closed:
                    raise Failure(f'{self.name} ended without {pattern!r}')
                if left <= 0:
                    raise Failure(f'{self.name}: no {pattern!r} within {timeout:.0f} s')
                self._changed.wait(left)

    def wait_closed(self, timeout):
        with self._changed:
            return self._changed.wait_for(lambda: self._closed, timeout)


class Process:
    """One child. The kernel ends it if this test dies, and close() ends it otherwise."""

    def __init__(self, name, arguments, env=None, cwd=None, pass_fds=(), separate_errors=False,
                 interactive=False):
        self.name = name
        self.arguments = [str(argument) for argument in arguments]
        self.log = Log(name)
        self._popen = subprocess.Popen(
            ['setpriv', '--pdeathsig', 'KILL', '--', *self.arguments], env=env, cwd=cwd, pass_fds=pass_fds,
            stdin=subprocess.PIPE if interactive else subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE if separate_errors else subprocess.STDOUT)
        self.pid = self._popen.pid
        self.log.follow(self._popen.stdout.read1)
        self.errors = self.log
        if separate_errors:
            self.errors = Log(name + ' (stderr)')
            self.errors.follow(self._popen.stderr.read1)

    def say(self, line):
        """A line for the standard input of an interactive program."""
        self._popen.stdin.write(line.encode() + b'\n')
        self._popen.stdin.flush()

    def say_no_more(self):
        self._popen.stdin.close()

    @property
    def logs(self):
        return [self.log] if self.errors is self.log else [self.log, self.errors]

    def running(self):
        return self._popen.poll() is None

    def status(self):
        """The exit status, negative for a signal, None while it runs."""
        return self._popen.poll()

    def signal(self, number):
        self._popen.send_signal(number)

    def wait(self, timeout):
        """Waits for the end; returns the exit status. What it wrote is complete then."""
        try:
            status = self._popen.wait(timeout)
        except subprocess.TimeoutExpired:
            raise Failure(f'{self.name} (pid {self.pid}) still runs after {timeout:.0f} s') from None
        # A grandchild may still hold the pipe, so this is bounded as well.
        self.log.wait_closed(2)
        self.errors.wait_closed(2)
        return status

    def kill(self):
        if self.running():
            self._popen.kill()
        return self.wait(10)

    def close(self, timeout=5):
        """Asks it to end, and insists."""
        if self.running():
            self._popen.terminate()
            try:
                self._popen.wait(timeout)
            except subprocess.TimeoutExpired:
                self._popen.kill()
        self.wait(10)
