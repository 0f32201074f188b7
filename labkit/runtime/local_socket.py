"""A socket in a directory, whatever the length of its path. Chapter 09.

unix(7) takes 108 bytes for a path; a state directory may lie deeper. The directory's
descriptor is a short way to it.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

SERVER, MONITOR = "socket", "monitor.socket"
"""The fork server's, and that of each container's monitor, in their directories."""


def listen_at(path: str) -> socket.socket:
    """Return a socket that listens at a path, for this user only; an old one goes.

    Raises: OSError when the directory isn't there or can't be written.
    """
    listener = socket.socket(socket.AF_UNIX)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    with _reached(path) as address:
        listener.bind(address)
    os.chmod(path, 0o600)
    listener.listen(128)
    return listener


def connect_to(path: str) -> socket.socket:
    """Return a socket that is connected to the one at a path.

    Raises: FileNotFoundError or ConnectionRefusedError when nobody listens there.
    """
    end = socket.socket(socket.AF_UNIX)
    try:
        with _reached(path) as address:
            end.connect(address)
    except OSError:
        end.close()
        raise
    return end


@contextmanager
def _reached(path: str) -> Iterator[str]:
    folder, name = os.path.split(path)
    fd = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{fd}/{name}"
    finally:
        os.close(fd)
