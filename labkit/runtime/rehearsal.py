"""A rehearsal: what every start does is done here before the first one. Chapter 09.

Python rewrites a function's code while it runs it the first few times (PEP 659), and
fills caches; and a copy of a process pays for each page that it writes. What the fork
server has run often enough is only read by its children: they stay small, and are
quicker.
"""

from __future__ import annotations

import json
import os
import signal
import socket

from labkit.linux.flags import CLONE, PR
from labkit.linux.structs import CloneArgs
from labkit.linux.syscalls import Linux
from labkit.linux.trace import Recorder
from labkit.linux.views import HostPath
from labkit.plan import handle
from labkit.plan.channel import Channel
from labkit.plan.inside import applied, name_this_process
from labkit.plan.launch import launch
from labkit.plan.plan import Plan
from labkit.primitives.process import Exec
from labkit.primitives.root import Chdir
from labkit.runtime.ending import Ending, forget
from labkit.runtime.launcher import REPORT, RUNS, tied
from labkit.runtime.local_socket import listen_at
from labkit.runtime.oci.machine import this_machine
from labkit.runtime.planner import Situation, create_plan
from labkit.runtime.request import Request
from labkit.runtime.spec import Spec
from labkit.runtime.streams import Streams
from labkit.runtime.watch import Watch

_TIMES = 10  # Python 3.11 rewrites a function when it is called the eighth time


class Rehearsal:
    """A plan to try with, of the usual kind, and a place for its files."""

    def __init__(self, folder: HostPath) -> None:
        document = Spec.default().raw
        document["process"]["terminal"] = False
        situation = Situation("rehearsal", HostPath("/"))
        self._folder = folder
        self._plan = create_plan(Spec.from_json(document), this_machine(), situation)

    def again_and_again(self) -> None:
        """Go through all of a start, often enough; make no container."""
        for _ in range(_TIMES):
            self.once()
            launched = launch(Plan(Chdir("/"), Exec(["/bin/true"])), until=Exec)
            launched.kill()
            _monitors_part(self._folder)

    def once(self) -> None:
        """Go through what a launcher does: then it has pages of its own for that."""
        ours, theirs = Channel.pair()
        request = Request(f"rehearsal-{os.getpid()}", self._folder, self._plan)
        ours.send({"request": request.to_json()})
        received = theirs.receive()
        assert received is not None
        for step in tied(Request.from_json(received[0]["request"]).plan):
            applied(step, Recorder())
        handle.take_over("rehearsal", request.name)
        handle.record("rehearsal", request.name, {}, durable=False).forget()
        listen_at(f"{self._folder}/{os.getpid()}").close()
        os.unlink(f"{self._folder}/{os.getpid()}")
        for end in (ours, theirs):
            end.close()


def _monitors_part(folder: HostPath) -> None:
    linux, watch = Linux(forked=True), Watch()
    linux.prctl(PR.SET_DUMPABLE, 1)
    name_this_process("labkit:server")
    pid = linux.clone3(CloneArgs(CLONE(0), signal.SIGCHLD))
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    streams = Streams(watch)
    streams.close_the_insides_ends()
    streams.finish()
    streams.close()
    ours, theirs = socket.socketpair(type=socket.SOCK_SEQPACKET)
    socket.send_fds(ours, [REPORT.pack(RUNS, 1) + json.dumps(None).encode()], [0])
    for fd in socket.recv_fds(theirs, 100, 2)[1]:
        os.close(fd)
    for end in (ours, theirs):
        end.close()
    Ending(0, None, False, 0.0, 0.0).write(folder)
    forget(folder)
