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

from labkit.errors import HostError
from labkit.host import Host
from labkit.linux.flags import PR
from labkit.linux.syscalls import Linux
from labkit.linux.trace import Recorder
from labkit.linux.views import HostPath
from labkit.plan import handle
from labkit.plan.channel import Channel
from labkit.plan.family import wake_on_signals
from labkit.plan.inserting import before
from labkit.plan.inside import name_this_process
from labkit.plan.launch import launch
from labkit.plan.launch_inside import Inside
from labkit.plan.plan import Plan
from labkit.plan.step import Where
from labkit.primitives.cgroups.place import Place, places_of
from labkit.primitives.mounts import BindMount
from labkit.primitives.overlay_mount import MountOverlay
from labkit.primitives.process import Exec
from labkit.primitives.program import FindProgram, RunProgram
from labkit.primitives.root import Chdir
from labkit.primitives.seccomp import LoadSeccomp
from labkit.runtime.ending import forget
from labkit.runtime.gaps import fill_gaps, put_side_by_side
from labkit.runtime.launcher import ABOUT, BORN, REPORT, RUNS, TAKEN, tied
from labkit.runtime.local_socket import listen_at
from labkit.runtime.monitor import Monitor
from labkit.runtime.oci.machine import this_machine
from labkit.runtime.planner import Situation, create_plan
from labkit.runtime.request import Request
from labkit.runtime.spec import Spec
from labkit.runtime.streams import Streams
from labkit.runtime.template import COPY
from labkit.runtime.watch import Watch

_TIMES = 10  # Python 3.11 rewrites a function when it is called the eighth time


class Rehearsal:
    """A plan to try with, of the usual kind, and a place for its files.

    Args: folder [host path of the fork server's directory].
    """

    def __init__(self, folder: HostPath) -> None:
        self._folder, self._plan = folder, _usual_plan()

    def again_and_again(self) -> None:
        """Go through all of a start, often enough; make no container.

        For a process without children.
        """
        self.all()
        self._held = fill_gaps()
        put_side_by_side(self.all)
        for _ in range(_TIMES):
            self.all()

    def all(self) -> None:
        """Go through all of a start, and through the life of a monitor."""
        self._life_of_a_monitor()
        self.once()
        launched = launch(Plan(Chdir("/"), Exec(["/bin/true"])), until=Exec)
        launched.kill()
        self._steps_of_the_inside()

    def once(self) -> None:
        """Go through what a launcher does: then it has pages of its own for that."""
        ours, theirs = Channel.pair()
        request = Request(f"rehearsal-{os.getpid()}", self._folder, self._plan)
        ours.send({"request": request.to_json()})
        received = theirs.receive()
        assert received is not None
        tied(Request.from_json(received[0]["request"]).plan)
        handle.take_over("rehearsal", request.name)
        handle.record("rehearsal", request.name, {}, durable=False).forget()
        self._listen().close()
        for end in (ours, theirs):
            end.close()

    def _listen(self) -> socket.socket:
        path = f"{self._folder}/{os.getpid()}"
        listener = listen_at(path)
        os.unlink(path)
        return listener

    def _steps_of_the_inside(self) -> None:
        ours, theirs = Channel.pair()
        # Those outside would be waited for, the first one makes the inside, and a
        # recorder has no program that could be found.
        steps = [s for s in tied(self._plan) if s.where is Where.INSIDE][1:]
        mine = tuple(s for s in steps if not isinstance(s, FindProgram))
        inside = Inside(mine, theirs, None, told=False, linux=Recorder())
        inside.go_on_from(0)
        for end in (ours, theirs):
            end.close()

    def _life_of_a_monitor(self) -> None:
        linux, watch, (news, news_end) = Linux(forked=True), Watch(), wake_on_signals()
        linux.prctl(PR.SET_DUMPABLE, 1)
        name_this_process("labkit:server")
        streams = Streams(watch)
        streams.close_the_insides_ends()
        server, server_end = os.pipe()
        ours, theirs = socket.socketpair(type=socket.SOCK_SEQPACKET)
        if (pid := linux.clone3(COPY)) == 0:
            os._exit(0)
        client = self._report_all(theirs, pid)
        Monitor(linux, server_end, ours, watch, streams).serve(news)
        signal.set_wakeup_fd(-1)
        client.close()
        streams.close()
        for fd in (news, news_end, server, server_end):
            os.close(fd)
        forget(self._folder)

    def _report_all(self, monitor: socket.socket, pid: int) -> Channel:
        # What a launcher says, and whoever asked: then it leaves.
        client, theirs = Channel.pair()
        client.send({"word": "wait"})
        names = {"name": "rehearsal", "directory": self._folder, "log_bytes": 0}
        about = json.dumps({**names, "groups": [f"{self._folder}/rehearsal"]}).encode()
        with self._listen() as listener:
            for kind, told, ends in (
                (TAKEN, b"null", []),
                (ABOUT, about, [theirs.fileno(), listener.fileno()]),
                (BORN, b"null", [listener.fileno()]),
                (RUNS, b"null", []),
            ):
                socket.send_fds(monitor, [REPORT.pack(kind, pid) + told], ends)
        theirs.close()
        monitor.close()
        return client


def _usual_plan() -> Plan:
    host, document = this_machine(), Spec.default().raw
    document["process"]["terminal"] = False
    document["linux"]["resources"] |= {"memory": {"limit": 1 << 26}}
    situation = Situation("rehearsal", HostPath("/"), _places(host))
    plan = create_plan(Spec.from_json(document), host, situation)
    layers = MountOverlay(("/lower",), "/upper", "/work", "/merged")
    with_layers = before(plan, BindMount, Plan(layers))
    return before(with_layers, RunProgram, Plan(LoadSeccomp(bytes(8))))


def _places(host: Host) -> tuple[Place, ...]:
    try:
        return places_of("labkit-rehearsal", host.cgroups)
    except HostError:
        return ()  # a machine without cgroups, or an ordinary user's
