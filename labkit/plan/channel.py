"""Messages between the notebook, a child's outside and its inside.

JSON with a length before it, over a socket pair, with descriptors beside it where a
message needs them. JSON and not pickle: whoever sits inside a container must not be
able to make the notebook run code by what it sends.
"""

from __future__ import annotations

import json
import os
import select
import socket
import struct
from collections.abc import Sequence
from typing import Any

Message = dict[str, Any]

_LENGTH = struct.Struct("!I")
_MAX_DESCRIPTORS = 3
_MAX_BYTES = 16 * 1024 * 1024  # more than any event; a bound on what a child can send


class Channel:
    """One end of a socket pair that carries messages."""

    def __init__(self, end: socket.socket) -> None:
        self._socket = end

    @classmethod
    def pair(cls) -> tuple[Channel, Channel]:
        """Return the two ends; both close on exec."""
        one, other = socket.socketpair()
        return cls(one), cls(other)

    def fileno(self) -> int:
        return self._socket.fileno()

    def send(self, message: Message, descriptors: Sequence[int] = ()) -> None:
        """Send a message; raise BrokenPipeError when the other end is gone."""
        body = json.dumps(message).encode()
        data = memoryview(_LENGTH.pack(len(body)) + body)
        sent = 0
        if descriptors:  # they go with the first byte
            sent = socket.send_fds(self._socket, [data], list(descriptors))
        self._socket.sendall(data[sent:])

    def receive(self) -> tuple[Message, list[int]] | None:
        """Return the next message and its descriptors, or None at end-of-file."""
        try:
            head, descriptors, _, _ = socket.recv_fds(
                self._socket, _LENGTH.size, _MAX_DESCRIPTORS
            )
            for fd in descriptors:
                # Close-on-exec, or a command inside would have them twice. Not by
                # MSG_CMSG_CLOEXEC: Python 3.11's recv_fds ignores its flags.
                os.set_inheritable(fd, False)
            if not head:
                return None
            head += self._exactly(_LENGTH.size - len(head))
            body = self._exactly(_LENGTH.unpack(head)[0])
        except ConnectionError:
            return None
        return json.loads(body), descriptors

    def set_timeout(self, timeout_s: float) -> None:
        """Let `receive` and `send` raise TimeoutError when the other end takes long."""
        self._socket.settimeout(timeout_s)

    def take(self) -> socket.socket:
        """Return the socket itself: what follows are no messages any more."""
        return self._socket

    def ready(self, timeout_s: float | None) -> bool:
        """Wait until a message or end-of-file is there; False when time is over."""
        return bool(select.select([self], [], [], timeout_s)[0])

    def close(self) -> None:
        self._socket.close()

    def hang_up(self) -> None:
        """Let the other end see end-of-file, even if copies of this one exist."""
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # ENOTCONN: the other end hung up first, which is what we want

    def _exactly(self, count: int) -> bytes:
        if count > _MAX_BYTES:
            raise ConnectionError("a message is too long")
        parts = []
        while count:
            part = self._socket.recv(min(count, 65536))
            if not part:
                raise ConnectionError("end-of-file within a message")
            parts.append(part)
            count -= len(part)
        return b"".join(parts)
