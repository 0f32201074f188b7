"""A container that stops at a place of its plan until it is told to go on.

    stops_of(plan)        each place before and after a step, inside or outside
    Stopped.at(stop, ...) .request has one more step; it .stands(), until .go_on()

Inside, that step is the tests' own: it says so to the log, and reads its stdin. Outside
it is one of the lab's that write files: the first file tells that it stands, and the
second is a fifo, which can't be opened before somebody reads it: fifo(7).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from labkit.linux.views import HostPath
from labkit.plan import Plan, Step, Where, step
from labkit.plan.channel import Channel
from labkit.primitives.cgroups.settings import LimitCgroup
from labkit.primitives.clone import PutIntoCgroup
from labkit.runtime.local_socket import MONITOR, connect_to
from labkit.runtime.request import Request
from tests.kernel.monitored import said
from tests.kernel.standing import stand
from tests.kernel.watching import becomes_true

INSIDE, OUTSIDE, MEANWHILE = "inside", "outside", "outside, while the inside goes on"
_FILE = "cgroup.procs"  # what PutIntoCgroup writes; LimitCgroup takes any


class Stop(NamedTuple):
    """A place in a plan: before which step, and who stops there."""

    before: int
    who: str


def stops_of(plan: Plan) -> list[Stop]:
    """Return the places before and after each step, each for whoever applies it."""
    return sorted(set(_stops(plan)))


def _stops(plan: Plan) -> Iterator[Stop]:
    born = False  # the inside: a plan's first step inside may be the one that makes it
    for index, one in enumerate(plan):
        yield Stop(index, OUTSIDE if one.forks and not born else _who(one))
        born = born or one.where is Where.INSIDE
        if not one.replaces:  # afterwards nobody of ours is there
            yield Stop(index + 1, _who(one))


def _who(one: Step) -> str:
    if one.where is Where.INSIDE:
        return INSIDE
    return MEANWHILE if one.meanwhile else OUTSIDE


@dataclass(frozen=True)
class Stopped:
    """A request with a stop in its plan, and a folder of its own."""

    request: Request
    stop: Stop
    folder: Path

    @classmethod
    def at(cls, stop: Stop, request: Request, folder: Path) -> Stopped:
        """Put a stop into a request's plan; its folder is made."""
        made = cls(request, stop, folder / f"{request.name}-{stop.before}-{stop.who}")
        for directory in (made._told, made._fifo):
            directory.mkdir(parents=True)
        (made._told / _FILE).touch()
        os.mkfifo(made._fifo / _FILE)
        (Path(request.directory) / "log").unlink(missing_ok=True)
        steps = request.plan.steps
        plan = Plan(*steps[: stop.before], made._step(), *steps[stop.before :])
        return replace(made, request=replace(request, plan=plan, stdin=True))

    def stands(self) -> bool:
        """Wait until it stands there; False when it doesn't in time."""
        return becomes_true(self._stands)

    def go_on(self) -> None:
        """Let it go on."""
        if self.stop.who == INSIDE:
            self._say_a_word()
        else:
            (self._fifo / _FILE).read_text()

    @property
    def _told(self) -> Path:
        return self.folder / "told"

    @property
    def _fifo(self) -> Path:
        return self.folder / "fifo"

    def _step(self) -> Step:
        both = [HostPath(str(folder)) for folder in (self._told, self._fifo)]
        if self.stop.who == MEANWHILE:
            return PutIntoCgroup("it stands", tuple(both))
        if self.stop.who == OUTSIDE:
            writes = ((HostPath(f"{folder}/{_FILE}"), "it stands") for folder in both)
            return LimitCgroup("it stands", tuple(writes))
        return step(stand)

    def _stands(self) -> bool:
        if self.stop.who == INSIDE:
            return "standing" in said(self.request.name)
        return bool((self._told / _FILE).read_text())

    def _say_a_word(self) -> None:
        channel = Channel(connect_to(f"{self.request.directory}/{MONITOR}"))
        channel.send({"word": "attach", "stdin": True})
        channel.receive()
        with channel.take() as streams:
            streams.sendall(b"\n")
            while streams.recv(4096):  # to its end: else it would lose its stdin
                pass
