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
import os
import socket
import sys
import time
from dataclasses import replace
from typing import NoReturn

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
from labkit.primitives.clone import Clone
from labkit.primitives.process import Exec
from labkit.runtime.burial import KIND, bury, clear
from labkit.runtime.ending import forget
from labkit.runtime.local_socket import MONITOR, listen_at
from labkit.runtime.request import Request


class Launcher:
    """One process: it takes one request.

    Args: listener [the fork server's socket]; channel [to the monitor]; stdio [the
        container's ends of its three pipes].
    """

    def __init__(self, listener: socket.socket, channel: Channel, stdio: Stdio) -> None:
        self._listener, self._monitor, self._stdio = listener, channel, stdio
        self._record: Record | None = None
        self._undo: Message = {}

    def serve(self) -> NoReturn:
        """Take a request, do what it asks for, and leave."""
        try:
            name_this_process("labkit:launcher")
            client = Channel(self._listener.accept()[0])
            self._monitor.send({"taken": True})
            self._listener.close()
            received = client.receive()
            if received is not None:
                self._answer(received[0], client)
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(0)

    def _answer(self, message: Message, client: Channel) -> None:
        try:
            request = Request.from_json(message["request"])
            launched = self._launch(request, client)
        except LabError as refused:
            _tell(client, {"error": refused.to_json(), "step": refused.step})
            return
        _tell(client, {"pid": launched.pid})
        self._note(launched.pid, request)
        while launched.standing and self._monitor.receive() is not None:
            self._go_on(launched)

    def _launch(self, request: Request, client: Channel) -> Launched:
        self._acquire(request)
        told = {"groups": list(request.groups), "stdin": request.stdin}
        about = {"directory": request.directory, "log_bytes": request.log_bytes}
        listener = listen_at(f"{request.directory}/{MONITOR}")
        self._monitor.send(
            {**told, **about, "name": request.name},
            [client.fileno(), listener.fileno()],
        )
        listener.close()
        plan, until = _beside(request.plan), Exec if request.hold else None
        try:
            launched = launch(plan, until=until, stdio=self._stdio)
        except BaseException:
            clear(request.groups)
            os.unlink(f"{request.directory}/{MONITOR}")
            self._forget()
            raise
        self._monitor.send(_began(launched))
        return launched

    def _acquire(self, request: Request) -> None:
        if (old := handle.take_over(KIND, request.name)) is not None:
            bury(old)
        forget(request.directory)  # how one of that name ended before
        self._undo = {"directory": request.directory, "groups": list(request.groups)}
        self._record = handle.record(
            KIND, request.name, self._undo, durable=False, owner=os.getppid()
        )

    def _go_on(self, launched: Launched) -> None:
        try:
            launched.follow()
        except LabError as refused:
            told = {"error": refused.to_json(), "step": refused.step}
            self._monitor.send({"refused": told})
        else:
            self._monitor.send(_began(launched))

    def _note(self, pid: HostPid, request: Request) -> None:
        if self._record is not None:
            noted = {"pid": pid, "pid_start": start_time(pid)}
            self._record.update({**self._undo, **noted})

    def _forget(self) -> None:
        if self._record is not None:
            self._record.forget()


def _beside(plan: Plan) -> Plan:
    # Made by the launcher, but the monitor's child from its first moment, so that it
    # ends with the monitor and not with the launcher.
    steps: list[Step] = list(plan)
    for index, step in enumerate(steps):
        if step.where is Where.INSIDE:
            if isinstance(step, Clone):
                steps[index] = replace(step, flags=step.flags | CLONE.PARENT)
            break
    return Plan(*steps)


def _began(launched: Launched) -> Message:
    started_s = 0.0 if launched.standing else time.time()
    return {"pid": launched.pid, "started_s": started_s}


def _tell(client: Channel, message: Message) -> None:
    # EPIPE: who asked has died meanwhile; the container is there all the same.
    with contextlib.suppress(ConnectionError):
        client.send(message)
