"""JSON objects on lines, over a socket: how the lab's own processes talk."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class Lines:
    """One end of a conversation.

    Args: connection [a connected stream socket; closed by `close`].
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._waiting = b""

    def fileno(self) -> int:
        """Return the descriptor, for a selector."""
        return self._connection.fileno()

    def say(self, **message: object) -> None:
        """Send one object; whoever doesn't listen any more misses nothing.

        Raises: nothing: EPIPE is told to the reader as an end of file.
        """
        try:
            self._connection.sendall(json.dumps(message).encode() + b"\n")
        except OSError:
            return  # EPIPE, ECONNRESET: `read` will find the end

    def read(self) -> list[dict[str, Any]] | None:
        """Wait for something, and return what came; None at the end."""
        try:
            data = self._connection.recv(1 << 16)
        except ConnectionResetError:
            data = b""
        if not data:
            return None
        *lines, self._waiting = (self._waiting + data).split(b"\n")
        return [json.loads(line) for line in lines]

    def close(self) -> None:
        """End the conversation."""
        self._connection.close()


@contextmanager
def short_path(path: Path) -> Iterator[str]:
    """Give a socket's path that is short enough for unix(7), whatever the directory.

    Raises: FileNotFoundError when its directory isn't there.
    """
    fd = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{fd}/{path.name}"
    finally:
        os.close(fd)


def listen(path: Path) -> socket.socket:
    """Listen on a socket in a directory; only its user can connect."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    path.unlink(missing_ok=True)
    with short_path(path) as name:
        listener.bind(name)
    path.chmod(0o600)
    listener.listen(16)
    return listener


def connect(path: Path) -> Lines | None:
    """Connect to a socket; None when nobody listens there."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with short_path(path) as name:
            connection.connect(name)
    except (FileNotFoundError, ConnectionRefusedError):
        connection.close()
        return None
    return Lines(connection)
