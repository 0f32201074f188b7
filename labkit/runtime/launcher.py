"""The launcher: it applies a container's plan for a monitor, and leaves. Chapter 09.

    monitor ----- launcher       reads the request, is the outside of the plan
        `-------- inside         the launcher's sibling: the monitor's own child

A plan costs a few megabytes of memory to read and to apply: nobody should keep those as
long as the container runs. So the monitor has it done by a process that ends.

It waits for its request before it is needed: what makes a copy of a Python slow is that
its pages are copied when they are first used. It uses them while nobody waits.
"""

from __future__ import annotations

import contextlib
import gc
import itertools
import json
import os
import signal
import socket
import struct
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from labkit.errors import LabError
from labkit.linux.flags import CLONE
from labkit.linux.views import HostPid
from labkit.plan import handle
from labkit.plan.channel import Channel, Message
from labkit.plan.family import start_time
from labkit.plan.handle import Record
from labkit.plan.inside import name_this_process
from labkit.plan.launch import Launched, Stdio, launch
from labkit.plan.plan import Plan
from labkit.plan.step import Step, Where
from labkit.primitives.clone import CatchUp, Clone
from labkit.primitives.idmap import BecomeRoot
from labkit.primitives.parent_death import EndWithParent
from labkit.primitives.user import SetUser
from labkit.runtime.burial import KIND, bury
from labkit.runtime.ending import forget
from labkit.runtime.local_socket import MONITOR, listen_at
from labkit.runtime.request import Request
from labkit.values import replace

REPORT = struct.Struct("=cI")
"""What the monitor is told first, in few bytes; the rest it needs only at the end."""

TAKEN, ABOUT, BORN, STANDS, RUNS, REFUSED = b"t", b"a", b"b", b"s", b"r", b"f"

# Steps that change the user.
_FORGET = (SetUser, BecomeRoot)


class Launcher:
    """One process: it takes one request.

    Args: listener [the fork server's socket]; monitor [a socket to the monitor]; stdio
        [the container's ends of its three pipes].
    """

    def __init__(
        self, listener: socket.socket, monitor: socket.socket, stdio: Stdio
    ) -> None:
        self._listener, self._monitor, self._stdio = listener, monitor, stdio
        self._undo: Message = {}
        self._record: Record

    def serve(self) -> NoReturn:
        """Take a request, do what it asks for, and leave."""
        try:
            signal.set_wakeup_fd(-1)
            gc.disable()  # it leaves before there is much to collect
            name_this_process("labkit:launcher")
            message, client = self._await_request()
            self._report(TAKEN)
            self._listener.close()
            self._serve(message, client)
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(0)

    def _await_request(self) -> tuple[Message, Channel]:
        while True:
            client = Channel(self._listener.accept()[0])
            if (received := client.receive()) is not None:
                return received[0], client
            client.close()  # it only wanted to know whether we are there

    def _serve(self, message: Message, client: Channel) -> None:
        try:
            request = Request.from_json(message["request"])
            self._acquire(request, client)
            launched = self._launch(request)
        except LabError as refused:
            _tell(client, {"error": refused.to_json(), "step": refused.step})
            return
        _tell(client, {"pid": launched.pid})
        while launched.standing and self._monitor.recv(1):
            self._go_on(launched)

    def _acquire(self, request: Request, client: Channel) -> None:
        if (old := handle.take_over(KIND, request.name)) is not None:
            bury(old)
        forget(request.directory)  # how one of that name ended before
        self._undo = {"directory": request.directory, "groups": list(request.groups)}
        monitor = os.getppid()
        self._record = handle.record(
            KIND, request.name, self._undo, durable=False, owner=monitor
        )
        names = ("name", "directory", "groups", "log_bytes")
        about = {name: getattr(request, name) for name in names}
        with listen_at(f"{request.directory}/{MONITOR}") as listener:
            self._report(ABOUT, 0, about, (client.fileno(), listener.fileno()))

    def _launch(self, request: Request) -> Launched:
        plan = tied(request.plan)
        # By its cgroup a burial finds all of it. Without one it wants the pid, before
        # there is a program: Linux doesn't end each of those with its parent.
        stands = request.hold or not request.groups
        until = type(plan.steps[-1]) if stands else None
        stdin, stdout, stderr = self._stdio
        if not request.stdin:
            stdin = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        stdio = (stdin, stdout, stderr)
        launched = launch(plan, until=until, stdio=stdio, born=self._tell_of_birth)
        if not request.groups:
            noted = {"pid": launched.pid, "pid_start": start_time(launched.pid)}
            self._record.update({**self._undo, **noted})
        if not request.hold:
            launched.follow()
        self._report_pid(launched)
        return launched

    def _tell_of_birth(self, pid: HostPid) -> None:
        # Linux unmounts all of a mount namespace when the last one lets go of it:
        # milliseconds, in which PID 1 has ended and nobody is told. So the monitor has
        # hold of it, and lets go when it has told.
        with contextlib.suppress(OSError):  # it has died: there is nothing to hold
            mounts_fd = os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
            self._report(BORN, pid, None, (mounts_fd,))
            os.close(mounts_fd)

    def _go_on(self, launched: Launched) -> None:
        try:
            launched.follow()
        except LabError as refused:
            told = {"error": refused.to_json(), "step": refused.step}
            self._report(REFUSED, getattr(refused, "errno", 0), told)
        else:
            self._report_pid(launched)

    def _report_pid(self, launched: Launched) -> None:
        self._report(STANDS if launched.standing else RUNS, launched.pid)

    def _report(
        self, kind: bytes, number: int = 0, told: Any = None, ends: Sequence[int] = ()
    ) -> None:
        data = REPORT.pack(kind, number) + json.dumps(told).encode()
        socket.send_fds(self._monitor, [data], list(ends))


def tied(plan: Plan) -> Plan:
    """Return a plan whose inside belongs to the monitor, and ends when that ends.

    It is made by the launcher, but as its sibling, and so the monitor's own child from
    its first moment. A fork gives it another parent, and a change of user makes it
    forget whom it is to follow: it is told again after them.
    """
    outside = list(itertools.takewhile(lambda s: s.where is Where.OUTSIDE, plan))
    inside = list(plan)[len(outside) :]
    first = inside[0] if inside else None
    clone = first if isinstance(first, Clone) else Clone(CLONE(0))
    sibling = replace(clone, flags=clone.flags | CLONE.PARENT)
    steps: list[Step] = [*outside, sibling, EndWithParent()]
    for step in inside[isinstance(first, Clone) :]:
        steps.append(step)
        steps += [CatchUp()] if step.forks else []
        steps += [EndWithParent()] if step.forks or isinstance(step, _FORGET) else []
    return Plan(*steps)


def _tell(client: Channel, message: Message) -> None:
    # EPIPE: who asked has died meanwhile; the container is there all the same.
    with contextlib.suppress(ConnectionError):
        client.send(message)
