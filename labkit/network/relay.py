"""Relays: what a published port does on the host's own addresses. Chapter 13.

Linux doesn't translate addresses of the loopback (unless a sysctl of the host says so,
which the lab leaves alone): so a program listens there and carries the bytes over.

    client  ->  host's port  ->  relay  ->  container's address and port

Reading order: TcpRelay, UdpRelay.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import Protocol

Address = tuple[str, int]
_AT_ONCE = 256 * 1024
_PATIENCE_S = 10.0
# A datagram has no end: who is silent for so long is forgotten.
_SILENCE_S = 60.0


class Relay(Protocol):
    """Something that listens until it is closed."""

    def close(self) -> None:
        """Stop listening; what is on its way is dropped."""


class TcpRelay:
    """Carries each connection's bytes to the container and back."""

    def __init__(self, listening: socket.socket, target: Address) -> None:
        self._listening, self._target = listening, target
        self._tasks = {asyncio.create_task(self._accept())}

    def close(self) -> None:
        """Stop listening, and end the connections."""
        for task in tuple(self._tasks):
            task.cancel()
        self._listening.close()

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            client, _ = await loop.sock_accept(self._listening)
            task = asyncio.create_task(self._carry(client))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _carry(self, client: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        with client, socket.socket() as server:
            server.setblocking(False)
            # ECONNREFUSED: nobody listens inside; the client sees an end, as with NAT.
            with contextlib.suppress(OSError):
                async with asyncio.timeout(_PATIENCE_S):
                    await loop.sock_connect(server, self._target)
                await asyncio.gather(_copy(client, server), _copy(server, client))


class UdpRelay(asyncio.DatagramProtocol):
    """Sends each datagram on, and its answers back to who sent it."""

    def __init__(self, target: Address) -> None:
        self._target = target
        self._clients: dict[Address, _UdpClient] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._transport: asyncio.DatagramTransport

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        """Remember where answers are sent from."""
        self._transport = transport

    def datagram_received(self, data: bytes, sender: Address) -> None:
        """Send a datagram on, over a socket that belongs to its sender."""
        known = self._clients.get(sender)
        if known is not None:
            known.send(data)
            return
        client = self._clients[sender] = _UdpClient(self._transport, sender, data)
        task = asyncio.create_task(self._serve(client, sender))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def close(self) -> None:
        """Stop listening, and forget the senders."""
        for task in tuple(self._tasks):
            task.cancel()
        self._transport.close()

    async def _serve(self, client: _UdpClient, sender: Address) -> None:
        loop = asyncio.get_running_loop()
        transport = None
        try:
            transport, _ = await loop.create_datagram_endpoint(
                lambda: client, remote_addr=self._target
            )
            while client.heard:
                client.heard = False
                await asyncio.sleep(_SILENCE_S)
        finally:
            self._clients.pop(sender, None)
            if transport is not None:
                transport.close()


class _UdpClient(asyncio.DatagramProtocol):
    """The relay's socket towards the container, for one sender."""

    def __init__(
        self, back: asyncio.DatagramTransport, sender: Address, first: bytes
    ) -> None:
        self._back, self._sender, self._waiting = back, sender, [first]
        self._transport: asyncio.DatagramTransport | None = None
        self.heard = True

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self._transport = transport
        for data in self._waiting:
            transport.sendto(data)

    def send(self, data: bytes) -> None:
        self.heard = True
        if self._transport is None:
            self._waiting.append(data)
        else:
            self._transport.sendto(data)

    def datagram_received(self, data: bytes, _: Address) -> None:
        self.heard = True
        self._back.sendto(data, self._sender)


async def _copy(source: socket.socket, sink: socket.socket) -> None:
    loop, buffer = asyncio.get_running_loop(), bytearray(_AT_ONCE)
    view = memoryview(buffer)
    while count := await loop.sock_recv_into(source, buffer):
        await loop.sock_sendall(sink, view[:count])
    # An end of one direction is passed on; the other may go on for long.
    sink.shutdown(socket.SHUT_WR)
