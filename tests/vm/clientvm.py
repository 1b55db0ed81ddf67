# SPDX-License-Identifier: LGPL-2.1-or-later
"""The client's side as a virtual machine: real USB devices, to its kernel, behind the real libusb and a stock client.

The machine has the programs of the one that runs it, whose root file system it mounts read-only, below a layer in memory.
Devices are kernel gadgets, made with configfs on dummy_hcd, or QEMU's emulated ones, plugged with device_add.
"""

import shlex

from guest import Guest
from daemon import PASSWORD, USER
from process import Failure

HOST_ADDRESS = '10.0.2.2'  # this machine's loopback interface, as QEMU's user network shows it
CLIENT_LOG = '/run/client.log'
MODULES = 'virtio_net 9pnet_virtio 9p overlay configfs'
# libusb learns from udevd what comes and goes. It is taken from its package, without rules: this machine may have none.
SET_UP = f'''
set -e
mkdir /run/lower /run/upper /run/root
mount -t 9p -o trans=virtio,version=9p2000.L,ro,msize=262144,cache=loose root /run/lower
mount -t tmpfs upper /run/upper
mkdir /run/upper/layer /run/upper/work
mount -t overlay -o lowerdir=/run/lower,upperdir=/run/upper/layer,workdir=/run/upper/work root /run/root
mount -t configfs configfs /sys/kernel/config
cd /run/root
for folder in proc sys dev; do mount --rbind /$folder $folder; done
for folder in run tmp; do mount -t tmpfs $folder $folder; done
mkdir -p dev/pts dev/shm run/home
mount -t devpts devpts dev/pts
mount -t tmpfs shm dev/shm
cp /bin/udevadm run/systemd-udevd
ip link set lo up
ip addr add 10.0.2.15/24 dev eth0
ip link set eth0 up
mkdir -p run/udev/rules.d
for rules in usr/lib/udev/rules.d/* etc/udev/rules.d/*; do
    [ ! -e "$rules" ] || ln -sf /dev/null "run/udev/rules.d/${{rules##*/}}"
done
chroot . /run/systemd-udevd --daemon
'''


class ClientMachine(Guest):
    name = 'client machine'
    memory = 512

    def __init__(self, devices=(), spare='', **build_options):
        """devices: further QEMU arguments. spare: kernel modules for the gadgets."""
        super().__init__(
            devices=['-fsdev', 'local,id=root,path=/,security_model=none,readonly=on,multidevs=remap',
                     '-device', 'virtio-9p-pci,fsdev=root,mount_tag=root',
                     '-netdev', 'user,id=net', '-device', 'virtio-net-pci,netdev=net,romfile=', *devices],
            modules=MODULES, spare='dummy_hcd libcomposite ' + spare, take='udev:bin/udevadm', **build_options)

    def load(self, *modules):
        # A controller of super speed takes slower devices as well.
        super().load(*modules, dummy_hcd='is_super_speed=1')

    def wait_ready(self):
        super().wait_ready()
        self.check(SET_UP, 60)
        display = self.begin(self.inside('Xvfb', '-displayfd', 1, '-screen', 0, '640x480x16', '-nolisten', 'tcp') +
                             ' 2>/dev/console', 86400)
        number = display.read(2, 30)  # and a line feed: it accepts clients
        self.display = ':' + number.decode().strip()

    def inside(self, *arguments):
        """The text of a command that runs a program of this machine's file system."""
        return shlex.join(['chroot', '/run/root', *map(str, arguments)])

    def connect(self, program, port, *ids):
        """Starts a stock client with these USB devices. They may be plugged later."""
        return Client(self, program, port, ids)


class Client:
    """A stock client in the machine. What it prints is its log."""

    def __init__(self, machine, program, port, ids):
        self._machine = machine
        self.name = program
        arguments = [program, f'/v:{HOST_ADDRESS}:{port}', f'/u:{USER}', f'/p:{PASSWORD}', '/cert:ignore',
                     '/size:640x480', '/log-level:INFO', '/log-filters:com.freerdp.channels.drdynvc.client:ERROR', '-clipboard', '/usb:id:' + '#'.join(ids)]
        self._command = machine.begin(
            f'exec >{CLIENT_LOG} 2>&1; echo $$ >/run/client.pid; exec ' +
            machine.inside('env', 'DISPLAY=' + machine.display, 'HOME=/run/home', 'XDG_RUNTIME_DIR=/run/home', *arguments), 3600)

    def text(self, since=0):
        """What it has printed."""
        try:
            return self._machine.run(f'cat {CLIENT_LOG}', 10)[1][since:]
        except Failure as failure:
            return f'(lost: {failure})'

    @property
    def logs(self):
        return [self]

    def close(self):
        """Ends it, with force if need be."""
        if not self._command:
            return
        command, self._command = self._command, None
        self._machine.run('kill $(cat /run/client.pid)')
        try:
            command.wait(5)
        except Failure:
            self._machine.run('kill -KILL $(cat /run/client.pid)')
            command.wait(5)


class Gadget:
    """A kernel gadget: for every configuration, a dictionary of functions as configfs names them (`acm.0`), each with a
    dictionary of its attributes."""

    def __init__(self, usb_id, *configurations, modules='', speed='high-speed', prepare=''):
        """modules: what these functions need (`usb_f_acm`). speed: the highest. prepare: shell commands to run before in
        the machine."""
        self.id = usb_id
        self.modules = modules
        self._configurations = configurations
        self._speed = speed
        self._prepare = prepare

    def create(self, machine):
        """Makes the gadget, unplugged."""
        machine.load('dummy_hcd', 'libcomposite', *self.modules.split())
        vendor, product = self.id.split(':')
        lines = ['set -e', self._prepare, 'cd /sys/kernel/config/usb_gadget', 'mkdir gadget', 'cd gadget',
                 f'echo 0x{vendor} >idVendor', f'echo 0x{product} >idProduct', f'echo {self._speed} >max_speed',
                 'mkdir strings/0x409', 'echo rdpusb >strings/0x409/manufacturer', 'echo gadget >strings/0x409/product',
                 f'echo {product} >strings/0x409/serialnumber']
        for number, functions in enumerate(self._configurations, 1):
            lines.append(f'mkdir configs/c.{number}')
            for name, attributes in functions.items():
                lines.append(f'mkdir functions/{name}')
                lines += [f"printf %b '{_escaped(value)}' >functions/{name}/{key}" for key, value in attributes.items()]
                lines.append(f'ln -s functions/{name} configs/c.{number}/{name}')
        machine.check('\n'.join(lines))

    def plug(self, machine):
        machine.check('echo dummy_udc.0 >/sys/kernel/config/usb_gadget/gadget/UDC')

    def unplug(self, machine):
        machine.check("echo '' >/sys/kernel/config/usb_gadget/gadget/UDC")

    def remove(self, machine):
        """Takes the gadget away, plugged or not."""
        machine.check('cd /sys/kernel/config/usb_gadget/gadget && { [ -z "$(cat UDC)" ] || echo >UDC; } && '
                      'rm configs/*/*.* && rmdir configs/* functions/* strings/* && cd .. && rmdir gadget')


def _escaped(value):
    """Text for the shell's printf %b; bytes are kept."""
    return ''.join(f'\\0{byte:03o}' for byte in value) if isinstance(value, bytes) else value
