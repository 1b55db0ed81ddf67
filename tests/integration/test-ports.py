#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Every kind of port between QEMU and rdpusbd, whoever comes first."""

from bench import Guest, check_read, free_port, make_image, wait_disk
from daemon import Daemon
from gadget import Gadgets, Stick
from rdp import CLIENTS, Client
from tap import main, scenario


def check_stick(test, guest, daemon):
    stick = Stick(make_image(test.folder / 'stick.img'))
    test.keep(Client(test.folder, CLIENTS[0], daemon.port, Gadgets(test.folder / 'gadgets', stick)))
    check_read(guest, wait_disk(guest), stick.image)


@scenario('rdpusbd connects to a unix socket of QEMU that comes later')
def unix_connecting(test):
    path = test.folder / 'port'
    daemon = test.keep(Daemon(test.folder, [f'unix:{path}'])).start()
    guest = test.keep(Guest([f'path={path},server=on,wait=off'])).start()
    check_stick(test, guest, daemon)


@scenario('rdpusbd listens on a unix socket')
def unix_listening(test):
    path = test.folder / 'port'
    daemon = test.keep(Daemon(test.folder, [f'unix:{path},server=on'])).start()
    guest = test.keep(Guest([f'path={path},reconnect=1'])).start()
    check_stick(test, guest, daemon)


@scenario('rdpusbd connects to a TCP port of QEMU')
def tcp_connecting(test):
    port = free_port()
    guest = test.keep(Guest([f'host=127.0.0.1,port={port},server=on,wait=off'])).start()
    daemon = test.keep(Daemon(test.folder, [f'tcp:127.0.0.1:{port}'])).start()
    check_stick(test, guest, daemon)


@scenario('rdpusbd listens on a TCP port, after QEMU began to try')
def tcp_listening(test):
    port = free_port()
    guest = test.keep(Guest([f'host=127.0.0.1,port={port},reconnect=1'])).start()
    daemon = test.keep(Daemon(test.folder, [f'tcp:127.0.0.1:{port},server=on'])).start()
    check_stick(test, guest, daemon)


main()
