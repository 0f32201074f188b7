"""What a child tells while it works: frozen values, JSON-able both ways."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from typing import Any

from labkit.linux.call import Call
from labkit.plan.step import Step
from labkit.text import Text
from labkit.values import dataclass

_NOTHING = Text()


@dataclass(frozen=True, slots=True)
class Event:
    """A step was applied: the calls it made, how long it took, and why it failed if so.

    `error` is the errno's name, or an error's class. `duration_us` is in microseconds.
    """

    index: int  # 0 for the plan's first step
    total: int
    step: str
    kind: str
    where: str
    duration_us: float
    calls: tuple[Call, ...]
    error: str | None = None

    def __repr__(self) -> str:
        return (
            f"Event({self.index + 1}/{self.total} {self.step}: {self.error or 'done'})"
        )

    def text(self) -> Text:
        """Return the event in full: the step, its time, and every call it made."""
        head = f"{self.index + 1}/{self.total} {self.step}  [{self.duration_us:.0f} us]"
        return Text("\n".join([head, *(f"      {call!r}" for call in self.calls)]))

    def to_json(self) -> dict[str, Any]:
        names = ("index", "total", "step", "kind", "where", "duration_us", "error")
        calls = [call.to_json() for call in self.calls]
        return {**{name: getattr(self, name) for name in names}, "calls": calls}


def event_of(
    steps: Sequence[Step], index: int, duration_us: float, calls: tuple[Call, ...]
) -> Event:
    """Return the event of a step that was applied."""
    step = steps[index]
    names = step.describe(), type(step).__name__, step.where
    return Event(index, len(steps), *names, duration_us, calls)


def event_from_json(fields: dict[str, Any]) -> Event:
    """Rebuild an event from what `to_json` returned."""
    calls = tuple(Call(**call) for call in fields["calls"])
    return Event(**{**fields, "calls": calls})


@dataclass(frozen=True, slots=True)
class Exit:
    """How a process ended: with a code, or by a signal (its name)."""

    code: int | None
    signal: str | None = None

    @classmethod
    def from_status(cls, status: int) -> Exit:
        """Return the meaning of a wait status (waitpid(2))."""
        code = os.waitstatus_to_exitcode(status)
        return cls(code) if code >= 0 else cls(None, _signal_name(-code))

    @property
    def ok(self) -> bool:
        return self.code == 0

    def __repr__(self) -> str:
        return f"Exit({self})"

    def __str__(self) -> str:
        return (
            f"exit code {self.code}"
            if self.signal is None
            else f"killed by {self.signal}"
        )


def _signal_name(number: int) -> str:
    # Most real-time signals have no name of their own: signal(7).
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


@dataclass(frozen=True, slots=True)
class Result:
    """A program that has ended: how, and what it said."""

    exit: Exit
    stdout: Text
    stderr: Text = _NOTHING

    def __repr__(self) -> str:
        return f"Result({self.exit})"
