r"""Attached: somebody who follows a container's streams, over a socket. Chapter 09.

    01 00 00 00   00 00 00 06   h e l l o \n
    stdout        6 bytes

What comes from the container is in frames of Docker's form, so that an engine can pass
them on as they are; what goes to its stdin comes bare.
"""

from __future__ import annotations

import socket
import struct

_HEADER = struct.Struct(">BxxxI")
_NUMBER = {"stdout": 1, "stderr": 2}
MOST_PENDING = 256 * 1024
"""Bytes that may wait for a slow reader; beyond that the container waits, too."""


class Attached:
    """One connection. `pending` is what it hasn't taken yet."""

    def __init__(self, end: socket.socket, *, stdin: bool) -> None:
        self.socket, self.stdin = end, stdin
        self.pending = bytearray()
        end.setblocking(False)

    @property
    def full(self) -> bool:
        """Whether it reads too slowly."""
        return len(self.pending) > MOST_PENDING

    def add(self, stream: str, data: bytes) -> None:
        """Put a frame behind what waits."""
        self.pending += _HEADER.pack(_NUMBER[stream], len(data)) + data

    def flush(self) -> bool:
        """Send what it takes now; return False when it is gone."""
        try:
            while self.pending:
                del self.pending[: self.socket.send(self.pending)]
        except BlockingIOError:
            return True  # EAGAIN: later
        except OSError:
            return False  # EPIPE, ECONNRESET
        return True

    def finish(self, timeout_s: float) -> None:
        """Send the rest, if it is taken in time, and hang up."""
        self.socket.settimeout(timeout_s)
        try:
            self.socket.sendall(self.pending)
        except OSError:
            self.pending.clear()  # gone, or it doesn't read: nobody waits for the rest
        self.socket.close()
