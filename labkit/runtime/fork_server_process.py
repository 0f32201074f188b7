"""The fork server's process: `python -m labkit.runtime.fork_server_process DIRECTORY`.

It is small, has one thread, everything imported that a container's start needs, and
does one thing: it keeps one monitor ready, which takes the next request. A copy of a
small process costs a millisecond or two, that of a notebook twenty.

It ends when nothing was asked of it for a while and no monitor is left; when it is
killed, the monitors that have a container go on. When one of those is killed, it ends
what that leaves. Chapter 09.
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
from types import FrameType
from typing import NoReturn

from labkit.errors import LabError
from labkit.linux.syscalls import Linux
from labkit.linux.views import HostPath
from labkit.plan.family import ended_children, pass_over, wake_on_signals
from labkit.plan.inside import name_this_process
from labkit.runtime.burial import bury, unburied
from labkit.runtime.gaps import fill_gaps
from labkit.runtime.local_socket import SERVER, listen_at
from labkit.runtime.monitor import prepare
from labkit.runtime.rehearsal import Rehearsal
from labkit.runtime.sealed import run_from_a_sealed_copy
from labkit.runtime.template import Template

IDLE_S = 60.0
_MOMENT_S = 0.1

# Every step of a plan comes from one of these: imported once, here, and not again by
# each monitor.
_PACKAGES = ("labkit.primitives", "labkit.primitives.cgroups")
_MODULES = ("labkit.network.links", "labkit.network.steps", "labkit.plan.together")


def main() -> int:
    """Become a server in the background; return when it can be asked."""
    run_from_a_sealed_copy()
    _import_all()
    path = f"{sys.argv[1]}/{SERVER}"
    ready, ready_end = os.pipe()
    if os.fork() == 0:
        os.setsid()
        # Here and not before: who listens is whom a client sees (unix(7), SO_PEERCRED).
        listener = listen_at(path)
        Server(listener, path).serve(ready_end)
    os.close(ready_end)
    return 0 if os.read(ready, 1) else 1  # end-of-file: it has died


class Server:
    """The socket, a monitor that waits at it, and news of those that have left.

    Args: listener [a socket that listens]; path [where: its directory is the server's].
    """

    def __init__(self, listener: socket.socket, path: str) -> None:
        self._listener, self._path = listener, path
        self._inode = os.stat(path).st_ino
        self._taken, self._taken_end = os.pipe()
        self._pid = os.getpid()
        self._ready = 0  # the pid of the monitor that waits at the socket
        self._children = 0

    def serve(self, ready_end: int) -> NoReturn:
        """Keep a monitor ready, until nobody wants one.

        Args: ready_end [a pipe to whoever waits until it can be asked].
        """
        _become_a_daemon()
        signal.signal(signal.SIGTERM, self._leave)
        # For the monitors, which inherit it: each would use many pages to do it.
        for number in (signal.SIGCHLD, signal.SIGHUP, signal.SIGINT):
            signal.signal(number, pass_over)
        self._make_the_template()
        os.write(ready_end, b"!")
        os.close(ready_end)
        self._fork_a_monitor()
        if unburied():  # they died when no server was there
            self._fork_a_burial()
        with contextlib.suppress(SystemExit):
            while self._once():
                pass
        self._remove_socket()
        os._exit(0)

    def _make_the_template(self) -> None:
        rehearsal = Rehearsal(HostPath(os.path.dirname(self._path)))
        rehearsal.again_and_again()
        self._rehearse = rehearsal.once
        self._template = Template(self._become_a_monitor)
        # Not before the rehearsals, which listen to signals themselves.
        self._signals, _ = wake_on_signals()
        self._held = fill_gaps()
        # What is there now is never collected, so its pages stay shared for ever.
        gc.freeze()
        self._template.start()

    def _once(self) -> bool:
        # While none is ready, whoever connects gets one at once; else after a moment,
        # in which the one that was just taken has the processors for itself.
        watched = [self._taken, self._signals]
        watched += [] if self._ready else [self._listener.fileno()]
        pause_s = IDLE_S if self._ready else _MOMENT_S
        ready = select.select(watched, [], [], pause_s)[0]
        for fd in (self._taken, self._signals):
            if fd in ready:
                os.read(fd, 4096)
        self._notice(taken=self._taken in ready)
        if self._listener.fileno() in ready or not (ready or self._ready):
            self._fork_a_monitor()
        elif not ready:
            return self._children > 1
        return True

    def _notice(self, *, taken: bool) -> None:
        ended = dict(ended_children())
        ended.pop(self._template.pid, None)  # if it was killed: no monitor's end
        self._children -= len(ended)
        if any(ended.values()):  # it was killed
            self._fork_a_burial()
        # Killed before it could say that it was taken, or taken.
        if taken or self._ready in ended:
            self._ready = 0

    def _fork_a_monitor(self) -> None:
        self._ready = self._template.copy()
        self._children += 1

    def _become_a_monitor(self, linux: Linux) -> NoReturn:
        os.close(self._taken)
        prepare(linux, self._pid, self._taken_end, self._listener, self._rehearse)

    def _fork_a_burial(self) -> None:
        # A process of its own, because it waits until all have ended.
        self._children += 1
        if os.fork() == 0:
            signal.set_wakeup_fd(-1)
            self._listener.close()
            _bury_all()

    def _leave(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() == self._pid:  # its monitors inherit the handler, and stay
            raise SystemExit

    def _remove_socket(self) -> None:
        # Unless it is another server's by now.
        with contextlib.suppress(FileNotFoundError):
            if os.stat(self._path).st_ino == self._inode:
                os.unlink(self._path)


def _become_a_daemon() -> None:
    os.chdir("/")
    os.umask(0o022)
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1):
        os.dup2(null, fd)
    os.close(null)
    name_this_process("labkit:server")


def _bury_all() -> NoReturn:
    try:
        name_this_process("labkit:burial")
        for record in unburied():
            try:
                bury(record)
            except LabError:  # its record stays; the next one's turn
                sys.excepthook(*sys.exc_info())
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(0)


def _import_all() -> None:
    for module in _MODULES:
        importlib.import_module(module)
    for package in _PACKAGES:
        home = os.path.dirname(str(importlib.import_module(package).__file__))
        for name in sorted(os.listdir(home)):
            if name.endswith(".py") and name[0] != "_":
                importlib.import_module(f"{package}.{name.removesuffix('.py')}")


if __name__ == "__main__":
    raise SystemExit(main())
