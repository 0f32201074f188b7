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
all of it away. If the monitor is killed, its container ends, too, and the fork server
(`burial.py`) does the rest. Chapter 09.

Reading order: prepare, Monitor.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import select
import socket
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import NoReturn

from labkit.linux.flags import PR
from labkit.linux.syscalls import Linux
from labkit.linux.views import HostPath
from labkit.plan import handle
from labkit.plan.channel import Channel, Message
from labkit.plan.events import Exit
from labkit.plan.family import (
    end_children,
    end_with,
    ended_children,
    wake_on_signals,
)
from labkit.plan.inside import name_this_process
from labkit.runtime.burial import KIND, clear
from labkit.runtime.control import Control
from labkit.runtime.ending import Ending, oom_kills
from labkit.runtime.launcher import (
    ABOUT,
    BORN,
    REFUSED,
    REPORT,
    STANDS,
    TAKEN,
    Launcher,
)
from labkit.runtime.local_socket import MONITOR
from labkit.runtime.log import Log
from labkit.runtime.streams import Streams
from labkit.runtime.template import COPY
from labkit.runtime.watch import READ, Watch

_LONGEST = 64 * 1024  # of a report: a few paths, or an error

# What a shell, and Docker, say of a program that isn't there, or can't be run.
_CODES = {errno.ENOENT: 127, errno.EACCES: 126}
_OTHER = 128


def prepare(
    linux: Linux,
    server: int,
    server_fd: int,
    listener: socket.socket,
    rehearse: Callable[[], None],
) -> NoReturn:
    """Be a monitor that waits for a request. Never returns.

    Args: linux; server, server_fd [the fork server's pid, and a pipe to it]; listener
        [its socket]; rehearse [what the launcher does before it is needed].
    """
    try:
        os.setsid()
        linux.prctl(PR.SET_CHILD_SUBREAPER, 1)
        end_with(server, linux)  # until there is a container
        name_this_process("labkit:monitor")
        watch, (news, _) = Watch(), wake_on_signals()
        streams = Streams(watch)
        launcher = _start_launcher(linux, listener, streams, rehearse)
        Monitor(linux, server_fd, launcher, watch, streams).serve(news)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(0)


def _start_launcher(
    linux: Linux,
    listener: socket.socket,
    streams: Streams,
    rehearse: Callable[[], None],
) -> socket.socket:
    # With the borders of messages kept: they are read whole.
    ours, theirs = socket.socketpair(type=socket.SOCK_SEQPACKET)
    monitor = os.getpid()
    if linux.clone3(COPY) == 0:
        ours.close()
        end_with(monitor, linux)
        if not select.select([listener], [], [], 0)[0]:
            rehearse()  # nobody waits yet
        Launcher(listener, theirs, streams.for_the_inside).serve()
    theirs.close()
    listener.close()
    streams.close_the_insides_ends()
    return ours


class Monitor:
    """A container, its streams, and who waits for it.

    Args: linux; server_fd [a pipe to the fork server]; launcher [a socket to it];
        watch, streams [both of this monitor alone].
    """

    def __init__(
        self,
        linux: Linux,
        server_fd: int,
        launcher: socket.socket,
        watch: Watch,
        streams: Streams,
    ) -> None:
        self._linux, self._server_fd, self._launcher = linux, server_fd, launcher
        self._watch, self._streams = watch, streams
        self._mounts_fd = -1  # the container's mount namespace
        self._about = b""  # JSON, read when it is needed
        self._answer: Callable[[Message], None] | None = None
        self.pid, self._started_s = 0, 0.0
        self._exit: Exit | None = None
        self._failed = False  # the launcher has left, and there is no container
        self._control: Control

    def serve(self, news: int) -> None:
        """Serve until the container has ended, or the launcher couldn't make one.

        Args: news [what becomes readable when a child has ended].
        """
        self._watch.on(news, partial(self._hear_of_children, news))
        self._watch.on(self._launcher.fileno(), self._hear_launcher)
        while self._exit is None and not self._failed:
            self._watch.once()
        if self._exit is not None:
            self._finish()
        elif self._about:
            self._take_away(json.loads(self._about))

    def go_on(self, answer: Callable[[Message], None]) -> None:
        """Let a held container become its program, and answer how that went."""
        self._answer = answer
        self._launcher.send(b"!")

    def attach(self, channel: Channel, *, stdin: bool) -> None:
        """Let who is at the other end have the streams, from now on."""
        self._streams.attach(channel.take(), stdin=stdin)

    def _hear_launcher(self, kinds: int) -> None:
        report, descriptors, _, _ = socket.recv_fds(self._launcher, _LONGEST, 2)
        if not report:
            self._watch.off(self._launcher.fileno())
            self._launcher.close()
            self._failed, self._answer = self.pid == 0, None
            return
        kind, number = REPORT.unpack_from(report)
        if kind == TAKEN:
            os.write(self._server_fd, TAKEN)
            self._linux.prctl(PR.SET_PDEATHSIG, 0)  # the fork server may go now
        elif kind == ABOUT:
            self._about = report[REPORT.size :]
            self._begin(*descriptors)
        elif kind == BORN:
            self._mounts_fd = descriptors[0]
        elif kind == REFUSED:
            self._tell_starter(json.loads(report[REPORT.size :]))
            self._exit = Exit(_CODES.get(number, _OTHER))
        else:
            self.pid = number
            self._started_s = 0.0 if kind == STANDS else time.time()
            self._tell_starter({"pid": number})
            self._reap()

    def _begin(self, client_fd: int, listener_fd: int) -> None:
        self._control = Control(listener_fd, self._watch, self)
        self._control.welcome(client_fd)
        self._streams.begin(self._make_log)

    def _make_log(self) -> Log:
        about = json.loads(self._about)
        return Log(HostPath(about["directory"]), about["log_bytes"])

    def _let_the_launcher_leave(self) -> None:
        # Its last acts are an answer and a record.
        if self._launcher.fileno() >= 0:
            self._launcher.shutdown(socket.SHUT_WR)
            while self._launcher.recv(_LONGEST):
                pass

    def _tell_starter(self, message: Message) -> None:
        if self._answer is not None:
            self._answer(message)
        self._answer = None

    def _hear_of_children(self, news: int, kinds: int) -> None:
        os.read(news, 4096)
        self._reap()

    def _reap(self) -> None:
        # Not before the launcher has said who is who: until then it may ask for a
        # process by its pid, and a pid that nobody has waited for isn't used again.
        if self.pid == 0:
            return
        for pid, status in ended_children():
            if pid == self.pid and self._exit is None:
                self._exit = Exit.from_status(status)

    def _finish(self) -> None:
        while self._answer is not None:  # the launcher knows more, and says it now
            self._hear_launcher(READ)
        about = json.loads(self._about)
        # The log before exit.json: who sees the end finds all that was said.
        self._streams.finish()
        oom_killed = oom_kills(about["groups"]) > 0
        ended = self._exit
        assert ended is not None
        times = self._started_s, time.time()
        ending = Ending(ended.code, ended.signal, oom_killed, *times)
        ending.write(HostPath(about["directory"]))
        self._control.tell_all(ending)
        self._take_away(about)

    def _take_away(self, about: Message) -> None:
        self._let_the_launcher_leave()
        end_children()
        if self._mounts_fd >= 0:
            os.close(self._mounts_fd)  # Linux unmounts all of it now
        clear(about["groups"])
        self._control.close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{about['directory']}/{MONITOR}")
        if (record := handle.find(KIND, about["name"])) is not None:
            record.forget()
