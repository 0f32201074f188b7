"""NoCgroup: what stands in a Cgroup's place where none can be made. Chapter 03.

It takes limits and applies none, and its step says so in the plan: nothing degrades
silently. `Cgroup.create` raises HostError instead; who asks decides which it wants.
"""

from __future__ import annotations

from typing import ClassVar, Unpack

from labkit.plan.events import Exit
from labkit.plan.handle import Handle
from labkit.plan.step import Step
from labkit.primitives.cgroups.limits import Limits, Wanted
from labkit.primitives.cgroups.steps import LimitNotApplied


class NoCgroup(Handle):
    """A group that isn't there, with the words for it."""

    kind: ClassVar[str] = "no-cgroup"
    reason: ClassVar[str] = "no delegated cgroup"

    def __init__(self, name: str) -> None:
        self.name = name
        self._asked: Wanted = {}

    def limit(self, **wanted: Unpack[Wanted]) -> Limits:
        """Take limits for the plan to name; set none, and so return none."""
        self._asked = {**self._asked, **wanted}
        return Limits()

    def join(self) -> Step:
        """Return the step that says which limits aren't applied, and why."""
        asked = (f"{name}={value}" for name, value in self._asked.items())
        return LimitNotApplied(self.reason, ", ".join(asked))

    def cause(self, ended: Exit) -> str:
        """Say how a process ended; nobody counted why."""
        return f"{ended}: {self.reason}, so nobody counted why"

    def remove(self) -> None:
        return None
