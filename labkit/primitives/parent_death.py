"""EndWithParent: a container doesn't outlive its monitor. Chapter 09."""

from __future__ import annotations

import signal
from typing import ClassVar

from labkit.linux.flags import PR
from labkit.linux.syscalls import Linux
from labkit.plan.step import After, Rule, Step
from labkit.primitives.idmap import BecomeRoot
from labkit.primitives.process import Fork
from labkit.values import dataclass


@dataclass(frozen=True, slots=True, repr=False)
class EndWithParent(Step):
    """Have Linux kill the inside when its parent dies.

    The parent must be the one that stays: after a Fork of its own, CatchUp first, so
    that the process in between has left.

    Raises: nothing.
    Needs: nothing.
    Kernel: prctl(2), PR_SET_PDEATHSIG: it stays over an execve, but not over one that
        gains privileges, nor over a change of user.
    """

    man: ClassVar[tuple[str, ...]] = ("prctl(2)",)
    rules: ClassVar[tuple[Rule, ...]] = (
        After(Fork, "a child of fork doesn't inherit it"),
        After(BecomeRoot, "a change of user clears it"),
    )

    def describe(self) -> str:
        return "end when the monitor ends"

    def apply(self, linux: Linux) -> int | None:
        linux.prctl(PR.SET_PDEATHSIG, signal.SIGKILL)
        return None
