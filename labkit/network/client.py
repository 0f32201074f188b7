"""How the network's own process is reached, and started. Chapter 13.

    ensure()                  it runs
    ask("release", "web")     it has done that, or its error is raised here

Reading order as above; the other side is service.py.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys

import labkit
from labkit import state
from labkit.errors import HostError, error_from_json
from labkit.linux.views import HostPath

COMM = "labkit:network"
"""The process's name, as ps(1) shows it."""

_PATIENCE_S = 30.0
_SOCKET = "network/socket"
_SBIN = "/usr/bin:/bin"


def socket_path() -> HostPath:
    """Return where the process listens."""
    state.directory("network")
    return HostPath(os.path.join(state.location(), _SOCKET))


def ensure() -> None:
    """Start the process unless it runs. The caller holds the network's lock.

    The socket is bound here and handed over: a request that comes while the process is
    still starting waits in its queue.

    Raises: HostError when the state directory can't hold a socket.
    """
    if answers():
        return
    path = socket_path()
    with socket.socket(socket.AF_UNIX) as listening:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        try:
            listening.bind(path)
        except OSError as refused:
            raise state.unusable(path, refused) from refused
        os.chmod(path, 0o600)
        listening.listen()
        _start(listening.fileno())


def answers() -> bool:
    """Say whether the process runs."""
    with socket.socket(socket.AF_UNIX) as stream:
        try:
            stream.connect(os.path.join(state.location(), _SOCKET))
        except OSError:
            return False  # ENOENT, ECONNREFUSED; EACCES: another user's
        return True


def ask(*words: str) -> None:
    """Ask for something, and wait until it is done.

    Raises: the process's own error; HostError when it doesn't run.
    """
    with socket.socket(socket.AF_UNIX) as stream:
        stream.settimeout(_PATIENCE_S)
        try:
            stream.connect(socket_path())
            stream.sendall(f"{' '.join(words)}\n".encode())
            reply = stream.makefile("rb").readline()
        except OSError as refused:
            raise silent() from refused
    raise_error_of(reply)


def raise_error_of(reply: bytes) -> None:
    """Raise the error that an answer tells; none when it tells none."""
    if not reply:
        raise silent()
    told = json.loads(reply)
    if "error" in told:
        raise error_from_json(told["error"])


def forget_socket() -> None:
    """Remove the socket's name: the process is about to end."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(socket_path())


def silent() -> HostError:
    """Return the error for a process that gave no answer."""
    return HostError(
        "network: its process gave no answer",
        f"start the container again; what it said: {log_path()}",
        meaning="it was killed, or has a bug",
    )


def log_path() -> HostPath:
    """Return where the process writes what goes wrong."""
    return HostPath(os.path.join(state.directory("network"), "log"))


def _start(listening_fd: int) -> None:
    # setsid forks and leaves at once: the process is nobody's child, and no interrupt
    # of a terminal or a notebook reaches it.
    here = os.path.dirname(os.path.dirname(labkit.__file__))
    paths = filter(None, (here, os.environ.get("PYTHONPATH")))
    import shutil  # not before: the fork server never needs them
    import subprocess

    words = [sys.executable, "-m", "labkit.network.service", str(listening_fd)]
    with open(log_path(), "w") as log:
        subprocess.run(
            [shutil.which("setsid", path=_SBIN) or "setsid", "--fork", *words],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            pass_fds=(listening_fd,),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            check=True,
        )
