"""The monitor: a small process for each container, that outlives whoever asked.

    fork server ---- monitor ---- the container's first process
                        |
                        |-- log               what the container writes
                        |-- exit.json         how it ended
                        `-- monitor.socket    start, attach, wait: for whoever comes

It is forked from the fork server, has a session of its own, and inherits the orphans of
its container. It does as little as it can, because a copy of a Python costs the pages
that it uses: the plan is applied by its launcher, a process that leaves. What is made
stands in a record before it is made; when the container has ended, the monitor takes
all of it away. If the monitor is killed, its container ends, too, and the next look
(`burial.py`) does the rest. Chapter 09.

Reading order: prepare, Monitor.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable
from typing import NoReturn

from labkit.linux.flags import CLONE, PR
from labkit.linux.structs import CloneArgs
from labkit.linux.syscalls import Linux
from labkit.linux.views import HostPath
from labkit.plan import handle
from labkit.plan.channel import Channel, Message
from labkit.plan.events import Exit
from labkit.plan.family import end_children, ended_children, wake_on_sigchld
from labkit.plan.inside import name_this_process
from labkit.runtime.burial import KIND, clear
from labkit.runtime.control import Control
from labkit.runtime.ending import Ending, oom_kills
from labkit.runtime.launcher import Launcher
from labkit.runtime.local_socket import MONITOR
from labkit.runtime.log import Log
from labkit.runtime.streams import Streams
from labkit.runtime.watch import Watch

NEWS = struct.Struct("=cI")
"""What a monitor tells the fork server: TAKEN or GONE, and its pid."""

TAKEN, GONE = b"t", b"g"

# What a shell, and Docker, say of a program that isn't there, or can't be run.
_CODES = {errno.ENOENT: 127, errno.EACCES: 126}
_OTHER = 128


def prepare(listener: socket.socket, server_fd: int) -> NoReturn:
    """Be a monitor that waits for a request. Never returns.

    Args: listener [the fork server's socket]; server_fd [a pipe to the fork server].
    """
    try:
        os.setsid()
        linux = Linux(forked=True)
        linux.prctl(PR.SET_CHILD_SUBREAPER, 1)
        linux.prctl(PR.SET_PDEATHSIG, signal.SIGKILL)  # until there is a container
        name_this_process("labkit:monitor")
        Monitor(linux, listener, server_fd).watch()
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        os.write(server_fd, NEWS.pack(GONE, os.getpid()))
        os._exit(0)


class Monitor:
    """A container, its streams, and who waits for it."""

    def __init__(self, linux: Linux, listener: socket.socket, server_fd: int) -> None:
        self._linux, self._server_fd, self._watch = linux, server_fd, Watch()
        self._streams = Streams(self._watch)
        self._launcher, theirs = Channel.pair()
        if linux.clone3(CloneArgs(CLONE(0), signal.SIGCHLD)) == 0:
            self._launcher.close()
            linux.prctl(PR.SET_PDEATHSIG, signal.SIGKILL)
            Launcher(listener, theirs, self._streams.for_the_inside).serve()
        theirs.close()
        listener.close()
        self._streams.close_the_insides_ends()
        self._about: Message = {}
        self._statuses: dict[int, int] = {}
        self._answer: Callable[[Message], None] | None = None
        self._pid, self._started_s = 0, 0.0
        self._exit: Exit | None = None
        self._failed = False  # the launcher has left, and there is no container
        self._control: Control

    def watch(self) -> None:
        """Serve until the container has ended, or the launcher couldn't make one."""
        # Caught and not ignored: what is ignored stays so in the container.
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(number, lambda number, frame: None)
        news, _ = wake_on_sigchld()
        self._watch.on(news, lambda kinds: self._hear_of_children(news))
        self._watch.on(self._launcher.fileno(), self._hear_launcher)
        while self._exit is None and not self._failed:
            self._watch.once()
        if self._exit is not None:
            self._finish(self._exit)
        elif self._about:
            self._take_away()

    def go_on(self, answer: Callable[[Message], None]) -> None:
        """Let a held container become its program, and answer how that went."""
        self._answer = answer
        self._launcher.send({"word": "start"})

    def attach(self, channel: Channel, *, stdin: bool) -> None:
        """Let who is at the other end have the streams, from now on."""
        self._streams.attach(channel.take(), stdin=stdin)

    def _hear_launcher(self, kinds: int) -> None:
        received = self._launcher.receive()
        if received is None:
            self._watch.off(self._launcher.fileno())
            self._launcher.close()
            self._failed = self._pid == 0
            return
        message, descriptors = received
        if "taken" in message:
            os.write(self._server_fd, NEWS.pack(TAKEN, os.getpid()))
            self._linux.prctl(PR.SET_PDEATHSIG, 0)  # the fork server may go now
        elif "name" in message:
            self._begin(message, *descriptors)
        elif "pid" in message:
            self._pid, self._started_s = message["pid"], message["started_s"]
            self._answer_start({"pid": self._pid})
            self._look_whether_it_ended()
        elif "refused" in message:
            self._answer_start(message["refused"])
            number = message["refused"]["error"].get("errno", 0)
            self._exit = Exit(_CODES.get(number, _OTHER))

    def _begin(self, about: Message, client_fd: int, listener_fd: int) -> None:
        self._about = about
        self._control = Control(listener_fd, self._watch, self)
        self._control.welcome(Channel(socket.socket(fileno=client_fd)))
        log = Log(HostPath(about["directory"]), about["log_bytes"])
        self._streams.begin(log, stdin=about["stdin"])

    def _answer_start(self, message: Message) -> None:
        if self._answer is not None:
            self._answer(message)
        self._answer = None

    def _hear_of_children(self, news: int) -> None:
        os.read(news, 4096)
        self._statuses.update(ended_children())
        self._look_whether_it_ended()

    def _look_whether_it_ended(self) -> None:
        # It may have ended before the launcher has said who it is.
        if self._pid in self._statuses and self._exit is None:
            self._exit = Exit.from_status(self._statuses[self._pid])
        if self._pid:
            self._statuses.clear()

    def _finish(self, ended: Exit) -> None:
        # The log before exit.json: who sees the end finds all that was said.
        self._streams.finish()
        oom_killed = oom_kills(self._groups) > 0
        times = self._started_s, time.time()
        ending = Ending(ended.code, ended.signal, oom_killed, *times)
        ending.write(HostPath(self._about["directory"]))
        self._control.tell_all(ending)
        self._take_away()

    def _take_away(self) -> None:
        end_children()
        clear(self._groups)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{self._about['directory']}/{MONITOR}")
        if (record := handle.find(KIND, self._about["name"])) is not None:
            record.forget()

    @property
    def _groups(self) -> tuple[HostPath, ...]:
        return tuple(map(HostPath, self._about["groups"]))
