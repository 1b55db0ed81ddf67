# SPDX-License-Identifier: LGPL-2.1-or-later
"""A program that is told step by step what to do: hostile-client, or the fake guest without its arrangement."""

import re
import signal

from process import Failure, Process
from tap import equal


class Talker(Process):
    """A program that reads steps, one a line, and answers each with a line that begins with it."""

    def __init__(self, name, arguments):
        super().__init__(name, arguments, interactive=True)

    def steps(self, *lines, timeout=20):
        """Does these steps; returns the answer to the last."""
        for line in lines:
            mark = self.log.mark()
            self.say(line)
            answer = self.log.wait(rf'^{re.escape(line[:100])}:(.*)$', timeout, mark)[1].strip()
            if 'FAILED' in answer:
                raise Failure(f'{self.name}: {line[:100]}: {answer}')
        return answer

    def finish(self, timeout=20):
        """It has to end well: a step that fails, or a violation of the protocol by the server, makes it end badly."""
        self.say_no_more()
        equal(self.wait(timeout), 0, f'exit status of {self.name}')

    def close(self, timeout=5):
        if self.running():
            self.signal(signal.SIGCONT)
        super().close(timeout)
