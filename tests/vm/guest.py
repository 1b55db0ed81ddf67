# SPDX-License-Identifier: LGPL-2.1-or-later
"""A real Linux guest in the stock QEMU, for tests: run commands in it, watch its kernel, read its keyboards.

    with Guest(redirections=['path=/run/port,server=on,wait=off']) as guest:
        guest.console.wait(r'Attached SCSI removable disk', timeout=20)
        status, output = guest.run('sha256sum /dev/sda', timeout=60)

The console is the kernel's log on the serial port; it is text of this side, so it can be waited for even when nothing in
the guest works any more. Commands go through virtio serial ports (see `init`), each of which serves one command at a time.
"""

import base64
import json
import pathlib
import re
import secrets
import socket
import struct
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.append(str(HERE.parent / 'integration'))

from process import Failure, Log, Process  # noqa: E402

SHELLS = 6
BOOT_SECONDS = 90  # 4 s on an idle machine
# There may be a /dev/kvm that does not work; emulation works everywhere and is fast enough.
MACHINE = ['-M', 'q35', '-accel', 'tcg,thread=multi', '-cpu', 'max', '-nodefaults', '-no-user-config',
           '-display', 'none', '-no-reboot', '-device', 'qemu-xhci,id=xhci,p2=8,p3=8', '-device', 'virtio-serial']


def build(**options):
    """The folder with the guest's kernel and initrd; quick when it was built before. Options: see build-guest.sh."""
    arguments = [HERE / 'build-guest.sh']
    for name, value in options.items():
        if value:
            arguments += ['--' + name, value]
    return pathlib.Path(subprocess.run(arguments, stdout=subprocess.PIPE, check=True, timeout=600,
                                       encoding='utf-8').stdout.strip())


class Guest:
    """One virtual machine. start() again after kill() gives a new one with the same devices."""

    name = 'guest'
    memory = 384  # MiB

    def __init__(self, redirections=(), devices=(), **build_options):
        """redirections: options of a socket chardev each (`path=P,server=on,wait=off`); the n-th becomes the USB
        redirection device `usb<n>`. devices: further QEMU arguments, of which `-device`s may use bus=xhci.0.
        build_options: see build-guest.sh, for instance modules='cdc_acm'."""
        self._redirections = list(redirections)
        self._devices = list(devices)
        self._build_options = build_options
        self._process = None
        self._sockets = []
        self._shells = []

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.close()

    def start(self):
        self.launch()
        self.wait_ready()
        return self

    def launch(self):
        """Starts it without waiting for it."""
        folder = build(**self._build_options)
        arguments = ['qemu-system-x86_64', *MACHINE, '-m', self.memory, '-kernel', folder / 'kernel', '-initrd', folder / 'initrd',
                     '-append', 'console=ttyS0 quiet panic=-1 mitigations=off']
        theirs = []

        def channel(name, *device):
            """A chardev `name` that is one end of a socket pair; returns the other end."""
            ours, other = socket.socketpair()
            theirs.append(other)
            arguments.extend(['-chardev', f'socket,id={name},fd={other.fileno()}', *device])
            return ours

        console = channel('console', '-serial', 'chardev:console')
        monitor = channel('monitor', '-mon', 'chardev=monitor,mode=control')
        self._shells = [_Shell(channel(f'shell{n}', '-device',
                                       f'virtserialport,chardev=shell{n},name=shell.{n}')) for n in range(SHELLS)]
        for n, options in enumerate(self._redirections):
            arguments += ['-chardev', f'socket,id=redirection{n},{options}',
                          '-device', f'usb-redir,id=usb{n},chardev=redirection{n},bus=xhci.0']
        arguments += self._devices
        self._killed = False
        self._sockets = [console, monitor]
        self.console = Log(f'console of the {self.name}')
        self.console.follow(lambda: console.recv(65536))
        self.monitor = Monitor(monitor)
        self._process = Process(f'QEMU of the {self.name}', arguments, pass_fds=[other.fileno() for other in theirs])
        for other in theirs:
            other.close()

    def wait_ready(self):
        """Waits until it takes commands."""
        self.run('true', BOOT_SECONDS)

    @property
    def logs(self):
        return [self._process.log, self.console] if self._process else []

    @property
    def pid(self):
        return self._process.pid

    def running(self):
        return self._process is not None and self._process.running()

    def run(self, command, timeout=30):
        """Runs a shell command as root; returns (status, output)."""
        return self.begin(command, timeout).wait()

    def check(self, command, timeout=30):
        """Runs a command that has to succeed; returns its output."""
        status, output = self.run(command, timeout)
        if status != 0:
            raise Failure(f'in the {self.name}, `{command}` ended with {status}: {output.strip()}')
        return output

    def begin(self, command, timeout):
        """Starts a command; returns a Command to read from or to wait for."""
        for shell in self._shells:
            if not shell.busy:
                return Command(self, shell, command, timeout)
        raise Failure('all shells of the guest are busy')

    def load(self, *modules, **options):
        """Loads spare modules (see build-guest.sh) that are not loaded yet, with these options."""
        if not modules:
            return
        cases = ''.join(f'{name}) option={option};; ' for name, option in options.items())
        lists = ' '.join(f'/lib/modules/order.{module}' for module in modules)
        self.check(f'for file in $(cat {lists}); do name=${{file%.ko}}; name=${{name//-/_}}; '
                   f'case $name in {cases}*) option=;; esac; '
                   '[ -d /sys/module/$name ] || insmod /lib/modules/$file $option || exit 1; done')

    def put(self, path, data):
        """Writes a file of some kilobytes."""
        self.check(f'echo {base64.b64encode(data).decode()} | base64 -d >{path}')

    def keyboard(self, timeout=20):
        """The events of the first USB keyboard from now on, as a Keyboard."""
        self.console.wait(r'USB HID v\S+ Keyboard ', timeout)
        devices = self.check('cat /proc/bus/input/devices', timeout)
        for block in devices.split('\n\n'):
            match = re.search(r'^H: Handlers=.*\bkbd\b.*\b(event\d+)', block, re.MULTILINE)
            if match and 'Phys=usb-' in block:
                # The empty line tells that the device is open: nothing typed after it is lost.
                command = self.begin(f'exec 3</dev/input/{match[1]}; echo; exec cat <&3', 3600)
                command.read(1, timeout)
                return Keyboard(command)
        raise Failure(f'no keyboard among the input devices of the guest:\n{devices}')

    def usb(self):
        """What is plugged in, as the guest sees it: a list of `VVVV:PPPP`, without the controllers."""
        status, output = self.run('cd /sys/bus/usb/devices && for d in [0-9]*-*[0-9]; do case $d in *:*) ;; *) '
                                  'echo $(cat $d/idVendor):$(cat $d/idProduct);; esac; done 2>/dev/null')
        return [line for line in output.split() if re.fullmatch(r'[0-9a-f]{4}:[0-9a-f]{4}', line)]

    def close(self):
        """Ends the machine at once; says so if QEMU had ended by itself, or would not."""
        if self._process is None or self._killed:
            return
        if self._process.running():
            self.monitor.send('quit')
        try:
            status = self._process.wait(10)
            if status != 0:
                raise Failure(f'QEMU ended with {status}')
        finally:
            self.kill()

    def kill(self):
        self._killed = True
        if self._process is not None:
            self._process.kill()
            for end in self._sockets + [shell.socket for shell in self._shells]:
                end.close()


class _Shell:
    def __init__(self, end):
        self.socket = end
        self.busy = False


class Command:
    """A command that runs in the guest. Its shell is free for others when it has ended."""

    def __init__(self, guest, shell, command, timeout):
        self._guest = guest
        self._shell = shell
        self._text = command
        self._deadline = time.monotonic() + timeout + 5  # the guest stops it after timeout
        self._limit = timeout
        nonce = secrets.token_hex(8)
        self._end = re.compile(rb'%s (\d+)\n\Z' % nonce.encode())
        self._data = b''
        shell.busy = True
        shell.socket.settimeout(10)
        code = base64.b64encode(command.encode()).decode()
        try:
            shell.socket.sendall(f'{nonce} {max(1, int(timeout))} {code}\n'.encode())
        except OSError as error:
            raise Failure(f'the guest takes no commands any more: {error}') from None

    def _receive(self, deadline):
        left = min(deadline, self._deadline) - time.monotonic()
        self._shell.socket.settimeout(max(0.01, left))
        try:
            data = self._shell.socket.recv(65536)
        except TimeoutError:
            raise Failure(f'in the guest, `{self._text}` gave {self._data[-200:]!r} and no more in time') from None
        except OSError:
            data = b''
        if not data:
            raise Failure(f'the guest ended while `{self._text}` ran')
        self._data += data

    def read(self, count, timeout):
        """The next `count` bytes of output."""
        deadline = time.monotonic() + timeout
        while len(self._data) < count:
            if self._end.search(self._data):
                raise Failure(f'in the guest, `{self._text}` ended early')
            self._receive(deadline)
        data, self._data = self._data[:count], self._data[count:]
        return data

    def wait(self, timeout=None):
        """Waits for the end; returns (status, what has not been read of the output)."""
        deadline = self._deadline if timeout is None else time.monotonic() + timeout
        while not (match := self._end.search(self._data)):
            self._receive(deadline)
        self._shell.busy = False
        status = int(match[1])
        output = self._data[:match.start()].decode(errors='replace')
        if status == 137 and time.monotonic() > self._deadline - 6:
            raise Failure(f'in the guest, `{self._text}` took longer than {self._limit} s: {output[-200:]}')
        return status, output


class Keyboard:
    """Decodes the guest's input events (struct input_event of 64-bit Linux) to text, for a US layout."""

    _EVENT = struct.Struct('<qqHHi')
    _EV_KEY = 1
    _SHIFTS = (42, 54)
    _ROWS = ((2, '1234567890-=', '!@#$%^&*()_+'), (16, 'qwertyuiop[]\n', 'QWERTYUIOP{}\n'),
             (30, "asdfghjkl;'`", 'ASDFGHJKL:"~'), (43, '\\zxcvbnm,./', '|ZXCVBNM<>?'), (57, ' ', ' '), (15, '\t', '\t'))

    def __init__(self, command):
        self._command = command
        self._keys = {first + n: pair for first, plain, shifted in self._ROWS
                      for n, pair in enumerate(zip(plain, shifted))}
        self._shift = set()

    def read(self, count, timeout):
        """The next `count` characters typed; repetitions by a held key do not count."""
        deadline = time.monotonic() + timeout
        text = ''
        while len(text) < count:
            try:
                event = self._command.read(self._EVENT.size, max(0.01, deadline - time.monotonic()))
            except Failure as failure:
                raise Failure(f'the keyboard typed {text!r} and no more: {failure}') from None
            _, _, kind, code, value = self._EVENT.unpack(event)
            if kind != self._EV_KEY:
                continue
            if code in self._SHIFTS:
                (self._shift.add if value else self._shift.discard)(code)
            elif value == 1:
                text += self._keys.get(code, (f'<{code}>',) * 2)[bool(self._shift)]
        return text


class Monitor:
    """QEMU's machine protocol."""

    def __init__(self, end):
        self._socket = end
        self._file = end.makefile('rb')
        self.events = []
        self._greeted = False

    def send(self, command, **arguments):
        if not self._greeted:
            self._greeted = True
            self._next(30)
            self.call('qmp_capabilities')
        message = {'execute': command}
        if arguments:
            message['arguments'] = {name.replace('_', '-'): value for name, value in arguments.items()}
        self._socket.sendall(json.dumps(message).encode() + b'\n')

    def call(self, command, timeout=10, **arguments):
        """Executes a command and returns its answer."""
        self.send(command, **arguments)
        deadline = time.monotonic() + timeout
        while True:
            answer = self._next(deadline - time.monotonic())
            if 'event' in answer:
                self.events.append(answer)
            elif 'error' in answer:
                raise Failure(f'QEMU refuses {command}: {answer["error"]["desc"]}')
            else:
                return answer['return']

    def wait_event(self, name, timeout=10):
        """Waits for an event; returns its data. An event is seen once."""
        deadline = time.monotonic() + timeout
        while True:
            for event in self.events:
                if event['event'] == name:
                    self.events.remove(event)
                    return event.get('data', {})
            answer = self._next(deadline - time.monotonic())
            if 'event' in answer:
                self.events.append(answer)

    def _next(self, timeout):
        self._socket.settimeout(max(0.01, timeout))
        try:
            line = self._file.readline()
        except TimeoutError:
            raise Failure('QEMU does not answer on its monitor') from None
        if not line:
            raise Failure('QEMU closed its monitor')
        return json.loads(line)

    def usb(self):
        """QEMU's own list of what is plugged in, as text."""
        return self.call('x-query-usb')['human-readable-text']

    def type(self, text):
        """Presses keys on QEMU's emulated keyboard: lower-case letters, digits and spaces."""
        for character in text:
            name = {' ': 'spc', '\n': 'ret'}.get(character, character)
            self.call('send-key', keys=[{'type': 'qcode', 'data': name}], hold_time=20)


if __name__ == '__main__':
    # A look by hand: guest.py COMMAND [QEMU-ARGUMENT...]
    with Guest(devices=sys.argv[2:]) as machine:
        print(machine.run(sys.argv[1], 600)[1], end='')
