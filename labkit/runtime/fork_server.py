"""The fork server, as seen by whoever wants a container: notebook, engine. Chapter 09.

    server = ForkServer.at()          one for each state directory; started if need be
    box = server.start(Request(...))  its steps are applied; its program runs
    box.wait()                        how it ended
    find(name, directory)             the same box, for another process

A container that was started so belongs to its monitor: this process may end, or be
killed, and it goes on, with its output and exit code kept.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

import labkit
from labkit import state
from labkit.errors import ChildLost, HostError, LabError, error_from_json
from labkit.linux.views import HostPath, HostPid
from labkit.plan import handle
from labkit.plan.channel import Channel, Message
from labkit.plan.family import start_time
from labkit.primitives.cgroups.ending import rounds
from labkit.runtime.burial import KIND, bury
from labkit.runtime.ending import Ending, ending_in
from labkit.runtime.local_socket import MONITOR, SERVER, connect_to
from labkit.runtime.request import Request

_FOLDER = "fork-server"
_PATIENCE_S = 2.0
_CREDENTIALS = struct.Struct("3i")  # unix(7), struct ucred: pid, uid, gid


class ForkServer:
    """A server that is there, or will be when it is asked."""

    def __init__(self, directory: HostPath) -> None:
        self.directory = directory

    @classmethod
    def at(cls, directory: HostPath | None = None) -> ForkServer:
        """Return the server of a directory, and start it unless it runs.

        Args: directory [host path; None: the one of the lab's state].
        Raises: HostError when it can't be started.
        """
        server = cls(directory or state.directory(_FOLDER))
        server._connect().close()
        return server

    @property
    def pid(self) -> HostPid:
        """The server's process, as this one counts."""
        with self._connect() as end:
            return _peer(end)

    def start(self, request: Request) -> Monitored:
        """Start a container; return when its program runs, or it stands before it.

        Raises: what a step raised, with `.step`; nothing is left then. StateError when
            one of that name runs.
        """
        asked_s = time.time()
        for last in rounds(_PATIENCE_S):
            try:
                return self._ask(request)
            except ChildLost:
                # A server that was killed takes the monitor along that waited beside
                # it, and with it whoever had just connected: nothing has begun then.
                if last or _has_begun(request, asked_s):
                    raise
        raise AssertionError("the last round returns or raises")

    def _ask(self, request: Request) -> Monitored:
        channel = Channel(self._connect())
        try:
            _say(channel, {"request": request.to_json()})
            answer = _answer_of(channel)
        except LabError:
            channel.close()
            raise
        return Monitored(request.name, request.directory, answer["pid"], channel)

    def stop(self) -> None:
        """End the server; what it started goes on."""
        pid = self.pid
        pidfd = os.pidfd_open(pid)
        os.kill(pid, signal.SIGTERM)
        select.select([pidfd], [], [])
        os.close(pidfd)

    def _connect(self) -> socket.socket:
        path = f"{self.directory}/{SERVER}"
        try:
            return _connected(path)
        except (FileNotFoundError, ConnectionRefusedError):
            with state.lock(_FOLDER):
                return self._connect_or_start(path)

    def _connect_or_start(self, path: str) -> socket.socket:
        try:
            return _connected(path)  # somebody else was quicker
        except (FileNotFoundError, ConnectionRefusedError):
            self._start_server()
        return _connected(path)

    def _start_server(self) -> None:
        # Without site(3): it takes a megabyte, for packages that this doesn't need.
        line = [sys.executable, "-S", "-m", "labkit.runtime.fork_server_process"]
        home = str(Path(labkit.__file__).parents[1])
        with open(f"{self.directory}/log", "a") as log:
            done = subprocess.run(
                [*line, self.directory],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={**os.environ, "PYTHONPATH": home},
            )
        if done.returncode != 0:
            raise HostError(
                f"the fork server ended with code {done.returncode}",
                f"read {self.directory}/log",
            )


class Monitored:
    """A container that a monitor watches. Made by ForkServer.start, or `find`."""

    def __init__(
        self, name: str, directory: HostPath, pid: HostPid, channel: Channel
    ) -> None:
        self.name, self.directory, self.pid = name, directory, pid
        self._channel, self._asked, self._closed = channel, False, False
        self._ending: Ending | None = None

    def __repr__(self) -> str:
        return f"Monitored({self.name!r})"

    def go_on(self) -> None:
        """Let a held container become its program.

        Raises: what its last step raised.
        """
        self._channel.send({"word": "start"})
        _answer_of(self._channel)

    def wait(self, timeout_s: float | None = None) -> Ending | None:
        """Wait until it has ended; return how, or None when time is over."""
        if self._ending is None:
            if not self._asked:
                _say(self._channel, {"word": "wait"})
            self._asked = True
            if self._channel.ready(timeout_s):
                received = self._channel.receive()
                told = received[0]["ending"] if received else None
                self._ending = Ending(**told) if told else self._look()
        return self._ending

    def wait_until_gone(self) -> None:
        """Wait until its monitor has taken everything away, and has left."""
        self.wait()
        while not self._closed and self._channel.receive() is not None:
            pass
        self.close()

    def attach(self, *, stdin: bool = False) -> socket.socket:
        """Return a socket with its streams from now on: see `attached.py`."""
        channel = Channel(connect_to(f"{self.directory}/{MONITOR}"))
        channel.send({"word": "attach", "stdin": stdin})
        channel.receive()
        return channel.take()

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send a signal to its first process, unless it has ended."""
        if ending_in(self.directory) is None:
            with contextlib.suppress(ProcessLookupError):  # it has ended just now
                os.kill(self.pid, number)

    def close(self) -> None:
        """Hang up; it goes on."""
        self._closed = True
        self._channel.close()

    def _look(self) -> Ending | None:
        return ending_of(self.name, self.directory)


def find(name: str, directory: HostPath) -> Monitored | None:
    """Return a container that runs, or None when it has ended or was never there.

    Args: name; directory [host path, as in its request].
    """
    record = handle.find(KIND, name)
    if record is None or not record.owner_alive:
        return None
    with contextlib.suppress(FileNotFoundError, ConnectionRefusedError):
        channel = Channel(connect_to(f"{directory}/{MONITOR}"))
        channel.send({"word": "who"})
        return Monitored(name, directory, _answer_of(channel)["pid"], channel)
    return None


def ending_of(name: str, directory: HostPath) -> Ending | None:
    """Return how a container ended, or None when it runs or was never there.

    One whose monitor was killed is ended now, and recorded as lost.

    Args: name; directory [host path, as in its request].
    """
    record = handle.find(KIND, name)
    if record is not None and not record.owner_alive:
        bury(record)
    return ending_in(directory)


def _has_begun(request: Request, since_s: float) -> bool:
    if handle.find(KIND, request.name) is not None:
        return True
    # After the record, because a burial writes it before that is forgotten.
    ending = ending_in(request.directory)
    return ending is not None and ending.ended_s >= since_s


def _connected(path: str) -> socket.socket:
    end = connect_to(path)
    # The monitor that waits beside a server that was killed lives a moment longer.
    if start_time(_peer(end)) is None:
        end.close()
        raise ConnectionRefusedError
    return end


def _peer(end: socket.socket) -> HostPid:
    size = _CREDENTIALS.size
    credentials = end.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
    return HostPid(_CREDENTIALS.unpack(credentials)[0])


def _say(channel: Channel, message: Message) -> None:
    # EPIPE, ECONNRESET: the monitor has left; its end-of-file is heard next.
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        channel.send(message)


def _answer_of(channel: Channel) -> Message:
    received = channel.receive()
    if received is None:
        raise ChildLost(
            "the container's monitor died before it could answer",
            "look into the fork server's log; `labkit sweep` removes what was left",
        )
    answer = received[0]
    if "error" in answer:
        error = error_from_json(answer["error"])
        error.step = answer["step"]
        raise error
    return answer
