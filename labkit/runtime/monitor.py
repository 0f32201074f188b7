"""The monitor: a small process for each container, that outlives whoever asked.

    fork server ---- monitor ---- the container's first process
                        |
                        |-- log               what the container writes
                        |-- exit.json         how it ended
                        `-- monitor.socket    start, attach, wait: for whoever comes

It is forked from the fork server, has a session of its own, and inherits the orphans of
its container. What it makes is in its record before it is made; when the container has
ended it takes all of it away, and leaves. If it is killed, its container ends, too, and
the next look (`burial.py`) does the rest. Chapter 09.

Reading order: serve, Monitor.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import sys
import time
from typing import NoReturn

from labkit.errors import LabError
from labkit.linux.flags import PR
from labkit.linux.syscalls import Linux
from labkit.linux.views import HostPid
from labkit.plan import handle
from labkit.plan.channel import Channel, Message
from labkit.plan.events import Exit
from labkit.plan.family import (
    end_children,
    ended_children,
    start_time,
    wake_on_sigchld,
)
from labkit.plan.inside import name_this_process
from labkit.plan.launch import Launched, launch
from labkit.primitives.process import Exec
from labkit.runtime.burial import KIND, bury, clear
from labkit.runtime.control import Control
from labkit.runtime.ending import Ending, forget, oom_kills
from labkit.runtime.request import Request
from labkit.runtime.streams import Streams
from labkit.runtime.watch import Watch

# What a shell, and Docker, say of a program that isn't there, or can't be run.
_CODES = {errno.ENOENT: 127, errno.EACCES: 126}


def serve(channel: Channel) -> NoReturn:
    """Be the monitor that the other end of a channel asks for. Never returns."""
    code = 1
    try:
        name_this_process("labkit:monitor")
        Linux(forked=True).prctl(PR.SET_CHILD_SUBREAPER, 1)
        # Caught and not ignored, because what is ignored stays so in the container.
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(number, lambda number, frame: None)
        received = channel.receive()
        if received is not None:
            _monitor(received[0], channel)
        code = 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(code)


def _monitor(message: Message, channel: Channel) -> None:
    try:
        monitor = Monitor(Request.from_json(message["request"]))
        monitor.start()
    except LabError as refused:
        channel.send({"error": refused.to_json(), "step": refused.step})
        return
    monitor.watch(channel)


class Monitor:
    """A container, its streams, and who waits for it."""

    def __init__(self, request: Request) -> None:
        if (old := handle.take_over(KIND, request.name)) is not None:
            bury(old)
        self.request, self._watch = request, Watch()
        forget(request.directory)  # how one of that name ended before
        self._undo = {"directory": request.directory, "groups": list(request.groups)}
        self._record = handle.record(KIND, request.name, self._undo, durable=False)
        self._streams = Streams(request, self._watch)
        self._news, _ = wake_on_sigchld()
        self._launched: Launched | None = None
        self._exit: Exit | None = None
        self._started_s = 0.0

    def start(self) -> None:
        """Launch the plan; with hold, up to its last step.

        Raises: what a step raised; nothing is left then.
        """
        until, stdio = Exec if self.request.hold else None, self._streams.for_the_inside
        try:
            self._launched = launch(self.request.plan, until=until, stdio=stdio)
        except BaseException:
            self._take_away()
            raise
        self._started_s = 0.0 if self.request.hold else time.time()
        self._streams.begin()

    def go_on(self) -> HostPid:
        """Let a held container become its program; return its pid.

        Raises: what its last step raised.
        """
        assert self._launched is not None
        try:
            self._launched.follow()
        except LabError as refused:
            self._exit = Exit(_CODES.get(getattr(refused, "errno", 0), 128))
            raise
        self._started_s = self._started_s or time.time()
        return self._launched.pid

    def watch(self, channel: Channel) -> None:
        """Serve until the container has ended; write that down, and take all away."""
        assert self._launched is not None
        control = Control(self.request.directory, self._watch, self)
        with contextlib.suppress(ConnectionError):  # who asked has died meanwhile
            channel.send({"pid": self._launched.pid})
        control.welcome(channel)
        self._note(self._launched.pid)
        self._watch.on(self._news, self._hear_of_children)
        while self._exit is None:
            self._watch.once()
        # The log before exit.json: who sees the end finds all that was said.
        self._streams.finish()
        ending = self._ending(self._exit)
        ending.write(self.request.directory)
        control.tell_all(ending)
        self._take_away()
        control.close()

    def attach(self, channel: Channel, *, stdin: bool) -> None:
        """Let who is at the other end have the streams, from now on."""
        self._streams.attach(channel.take(), stdin=stdin)

    def _hear_of_children(self, kinds: int) -> None:
        os.read(self._news, 4096)
        assert self._launched is not None
        for pid, status in ended_children():
            if pid == self._launched.pid:
                self._exit = Exit.from_status(status)

    def _note(self, pid: HostPid) -> None:
        noted = {"pid": pid, "pid_start": start_time(pid), "started_s": self._started_s}
        self._record.update({**self._undo, **noted})

    def _ending(self, ended: Exit) -> Ending:
        oom_killed = oom_kills(self.request.groups) > 0
        times = self._started_s, time.time()
        return Ending(ended.code, ended.signal, oom_killed, *times)

    def _take_away(self) -> None:
        if self._launched is not None:
            self._launched.close()
        end_children()
        clear(self.request.groups)
        self._record.forget()
