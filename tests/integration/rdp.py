# SPDX-License-Identifier: LGPL-2.1-or-later
"""Stock FreeRDP clients on a display nobody sees."""

import os
import platform
import subprocess

from daemon import PASSWORD, USER
from process import Failure, Process

# Debian 13 has no FreeRDP 2 any more.
HAS_FREERDP_2 = platform.freedesktop_os_release().get('VERSION_CODENAME') == 'bookworm'
CLIENTS = tuple(os.environ.get('RDPUSB_CLIENTS', 'xfreerdp3 xfreerdp' if HAS_FREERDP_2 else 'xfreerdp3').split())
_display = None


def display():
    """The virtual display, started at its first use; it ends with this process."""
    global _display
    if _display is None or not _display.running():
        ours, theirs = os.pipe()
        _display = Process('Xvfb', ['Xvfb', '-displayfd', theirs, '-screen', '0', '1280x800x24', '-nolisten', 'tcp'],
                           pass_fds=[theirs])
        os.close(theirs)
        with os.fdopen(ours) as file:
            number = file.readline().strip()
        if not number:
            raise Failure(f'Xvfb gives no display: {_display.log.text()}')
        _display.number = ':' + number
    return _display.number


class Client(Process):
    """`program` connected to host:port, with the devices of `gadgets` redirected. `options` are further ones."""

    def __init__(self, folder, program, port, gadgets=None, user=USER, password=PASSWORD, name=None,
                 log_level='INFO', host='127.0.0.1', options=(), environment={}):
        folder = folder / (name or program)
        folder.mkdir(exist_ok=True)
        arguments = [program, f'/v:{host}:{port}', f'/u:{user}', f'/p:{password}', '/cert:ignore',
                     '/size:800x600', f'/log-level:{log_level}', '-clipboard', *options]
        # Known hosts, settings and caches of whoever runs the tests play no part.
        env = os.environ | environment | {'DISPLAY': display(), 'HOME': str(folder)}
        for variable in ('CONFIG', 'CACHE', 'DATA', 'RUNTIME', 'STATE'):
            env[f'XDG_{variable}_{"DIR" if variable == "RUNTIME" else "HOME"}'] = str(folder)
        if gadgets is not None:
            arguments.append('/usb:id:' + '#'.join(gadgets.ids))
            env = gadgets.environment | env
        # Set by meson to find uses of freed memory. FreeRDP has some when a device leaves (#6363, #7782), which are not
        # ours to find; without this they rarely hurt it.
        env.pop('MALLOC_PERTURB_', None)
        super().__init__(name or program, arguments, env=env)


def screenshot(path):
    """Saves what the display shows, as PNG."""
    subprocess.run(['import', '-display', display(), '-window', 'root', str(path)], check=True, timeout=20)


def colours():
    """How often each colour (red, green, blue) is on the display."""
    raw = subprocess.run(['import', '-display', display(), '-window', 'root', '-depth', '8', 'rgb:-'], check=True,
                         timeout=20, stdout=subprocess.PIPE).stdout
    pixels = {}
    for position in range(0, len(raw), 3):
        pixel = raw[position:position + 3]
        pixels[pixel] = pixels.get(pixel, 0) + 1
    return pixels


def ink():
    """How many pixels are neither of the window's background nor of the display's around it: text, that is."""
    return sum(sorted(colours().values())[:-2])
