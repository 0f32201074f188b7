"""The fork server's process: `python -m labkit.runtime.fork_server_process DIRECTORY`.

It is small, has one thread, everything imported that a container's start needs, and
does one thing: it forks a monitor for each connection. A copy of a small process costs
half a millisecond, that of a notebook twenty.

It ends when nothing was asked of it for a while and no monitor is left; when it is
killed, the monitors go on. Chapter 09.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import select
import signal
import socket
import sys
from pathlib import Path
from types import FrameType
from typing import NoReturn

from labkit.plan.channel import Channel
from labkit.plan.family import ended_children, wake_on_sigchld
from labkit.plan.inside import name_this_process
from labkit.runtime import monitor, protected_image
from labkit.runtime.local_socket import SERVER, listen_at

IDLE_S = 600.0

# Every step of a plan comes from one of these: imported once, here, and not again by
# each monitor.
_PACKAGES = ("labkit.primitives", "labkit.primitives.cgroups")


def main() -> int:
    """Become a server in the background; return when it can be asked."""
    protected_image.become_protected(protected_image.own_argv())
    _import_all()
    path = f"{sys.argv[1]}/{SERVER}"
    ready, ready_end = os.pipe()
    if os.fork() == 0:
        os.setsid()
        # Here and not before: who listens is whom a client sees (unix(7), SO_PEERCRED).
        listener = listen_at(path)
        os.close(ready_end)
        Server(listener, path).serve()
    os.close(ready_end)
    os.read(ready, 1)  # end-of-file: it listens, or has died
    return 0


class Server:
    """The socket, and what ends its watch."""

    def __init__(self, listener: socket.socket, path: str) -> None:
        self._listener, self._path = listener, path
        self._inode = os.stat(path).st_ino
        self._news, self._news_end = wake_on_sigchld()

    def serve(self) -> NoReturn:
        """Fork a monitor for each connection, until nobody wants one."""
        os.chdir("/")
        os.umask(0o022)
        null = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1):
            os.dup2(null, fd)
        os.close(null)
        name_this_process("labkit:server")
        signal.signal(signal.SIGTERM, _leave)
        # What is there now is never collected, so its pages stay shared for ever.
        gc.collect()
        gc.freeze()
        with contextlib.suppress(SystemExit):
            while self._once():
                pass
        self._remove_socket()
        os._exit(0)

    def _once(self) -> bool:
        watched: list[socket.socket | int] = [self._listener, self._news]
        ready = select.select(watched, [], [], IDLE_S)[0]
        if self._news in ready:
            os.read(self._news, 4096)
            for _ in ended_children():
                pass
        if self._listener in ready:
            self._fork_a_monitor()
        return bool(ready) or _has_children()

    def _fork_a_monitor(self) -> None:
        connection = self._listener.accept()[0]
        if os.fork() == 0:
            os.setsid()
            self._listener.close()
            signal.set_wakeup_fd(-1)
            for fd in (self._news, self._news_end):
                os.close(fd)
            monitor.serve(Channel(connection))
        connection.close()

    def _remove_socket(self) -> None:
        # Unless it is another server's by now.
        with contextlib.suppress(FileNotFoundError):
            if os.stat(self._path).st_ino == self._inode:
                os.unlink(self._path)


def _leave(number: int, frame: FrameType | None) -> None:
    raise SystemExit


def _has_children() -> bool:
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def _import_all() -> None:
    for package in _PACKAGES:
        home = Path(str(importlib.import_module(package).__file__)).parent
        for path in sorted(home.glob("*.py")):
            importlib.import_module(f"{package}.{path.stem}")


if __name__ == "__main__":
    raise SystemExit(main())
