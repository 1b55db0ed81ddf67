#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A network that is uneven: passes each piece of a TCP connection on after a random time, in order.

    relay.py TO-PORT JITTER-MS

Listens on a free port of the loopback interface, which it prints."""

import asyncio
import random
import socket
import sys


async def pass_on(pieces, writer):
    loop = asyncio.get_running_loop()
    while piece := await pieces.get():
        due, data = piece
        await asyncio.sleep(due - loop.time())
        writer.write(data)
        await writer.drain()
    writer.close()


async def delay(reader, writer, jitter):
    writer.get_extra_info('socket').setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    loop = asyncio.get_running_loop()
    pieces = asyncio.Queue(maxsize=1000)  # then the sender has to wait
    writing = asyncio.create_task(pass_on(pieces, writer))
    try:
        while data := await reader.read(65536):
            await pieces.put((loop.time() + random.uniform(0, jitter), data))
    except ConnectionError:
        pass  # one side closed; the other one learns it by the end
    await pieces.put(None)
    try:
        await writing
    except ConnectionError:
        pass


async def main(port, jitter_ms):
    async def on_client(reader, writer):
        server_reader, server_writer = await asyncio.open_connection('127.0.0.1', int(port))
        jitter = float(jitter_ms) / 1000
        await asyncio.gather(delay(reader, server_writer, jitter), delay(server_reader, writer, jitter))

    server = await asyncio.start_server(on_client, '127.0.0.1', 0)
    print('listening on', server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main(*sys.argv[1:]))
