"""The name server that a container sees at 127.0.0.11. Chapter 13.

Its sockets lie in the container's own network namespace, so no firewall of the host is
in between and the container's port 53 of other addresses is free; what it doesn't know
it asks the host's servers, over sockets of the host's.

Reading order: Resolver, upstream_servers.
Spec: RFC 1035; resolv.conf(5).
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
from collections.abc import Callable
from pathlib import Path

from labkit.errors import DocumentError
from labkit.network import names
from labkit.network.names import PORT, Question

_PATIENCE_S = 4.0  # resolv.conf(5): a program itself waits for 5
_LARGEST = 65535

Lookup = Callable[[str], tuple[str, ...]]


class Resolver(asyncio.DatagramProtocol):
    """Answers the questions of one container.

    Args: addresses [a name's addresses on the container's networks]; name [an
        address's name there, "" when it has none]; servers [to ask for the rest].
    """

    def __init__(
        self,
        addresses: Lookup,
        name: Callable[[str], str],
        servers: Callable[[], tuple[str, ...]],
    ) -> None:
        self._addresses, self._name, self._servers = addresses, name, servers
        self._tasks: set[asyncio.Task[None]] = set()
        self._transport: asyncio.DatagramTransport | None = None
        self._server: asyncio.Server | None = None

    async def listen(self, udp: socket.socket, tcp: socket.socket) -> None:
        """Begin to answer on two sockets that are bound already."""
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(lambda: self, sock=udp)
        self._server = await asyncio.start_server(self._stream, sock=tcp)

    def close(self) -> None:
        """Stop answering."""
        for task in tuple(self._tasks):
            task.cancel()
        if self._transport is not None:
            self._transport.close()
        if self._server is not None:
            self._server.close()

    def datagram_received(self, data: bytes, sender: tuple[str, int]) -> None:
        """Answer one question that came as a datagram."""
        task = asyncio.create_task(self._reply(data, sender))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def answer(self, message: bytes, *, stream: bool = False) -> bytes:
        """Return the answer to a question; b"" for bytes that are none.

        Args: message; stream [True: the host's servers are asked by TCP as well].
        """
        try:
            question = Question.read(message)
        except DocumentError:
            return b""
        found = list(self._addresses(question.name))
        asked = names.address_asked(question)
        if found:
            # In another order each time: who takes the first reaches each in turn.
            random.shuffle(found)
            return names.answer(question, found)
        if asked and (name := self._name(asked)):
            return names.answer(question, (), name)
        if "." not in question.name:
            return names.failure(question, names.NO_SUCH_NAME)
        for server in self._servers():
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                return await (_ask_stream if stream else _ask)(server, message)
        return names.failure(question, names.SERVER_FAILED)

    async def _reply(self, message: bytes, sender: tuple[str, int]) -> None:
        if (reply := await self.answer(message)) and self._transport is not None:
            self._transport.sendto(reply, sender)

    async def _stream(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        # RFC 1035, 4.2.2: over TCP each message has its length before it.
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                length = int.from_bytes(await reader.readexactly(2))
                reply = await self.answer(await reader.readexactly(length), stream=True)
                writer.write(len(reply).to_bytes(2) + reply)
                await writer.drain()
        writer.close()


def upstream_servers(path: Path = Path("/etc/resolv.conf")) -> tuple[str, ...]:
    """Return the name servers that this host asks.

    Spec: resolv.conf(5).
    """
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return ()  # no file: this host asks nobody
    words = [line.split() for line in lines]
    return tuple(row[1] for row in words if row[:1] == ["nameserver"] and len(row) > 1)


async def _ask(server: str, message: bytes) -> bytes:
    loop = asyncio.get_running_loop()
    family = socket.AF_INET6 if ":" in server else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as udp:
        udp.setblocking(False)
        udp.connect((server, PORT))
        async with asyncio.timeout(_PATIENCE_S):
            await loop.sock_sendall(udp, message)
            while (reply := await loop.sock_recv(udp, _LARGEST))[:2] != message[:2]:
                pass
    return reply


async def _ask_stream(server: str, message: bytes) -> bytes:
    async with asyncio.timeout(_PATIENCE_S):
        reader, writer = await asyncio.open_connection(server, PORT)
        writer.write(len(message).to_bytes(2) + message)
        length = int.from_bytes(await reader.readexactly(2))
        reply = await reader.readexactly(length)
        writer.close()
        return reply
