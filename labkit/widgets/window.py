"""The last half minute of a cgroup: the samples that a meter draws, and what happened.

    KNOBS     what can be metered: memory, cpu, pids, and how a reading says it
    Window    a ring of samples, the marks in it, the peaks
    Mark      something that Linux did because a limit was reached

Samples go to the browser whole, ten times a second, as 32-bit floats: the time, then
each knob's value and the share of that moment in which it was held back.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from labkit.primitives.cgroups import CgroupReading

MIB = 1 << 20
SAME_BURST_S = 1.0


@dataclass(frozen=True, slots=True)
class Knob:
    """One thing that a cgroup limits, in the unit that its chart has."""

    name: str
    title: str
    unit: str
    short: str  # the unit beside a line
    meaning: str  # the colour's name in look.css
    noun: str  # what is counted when the limit is reached
    word: str  # what is written at such a moment
    value: Callable[[CgroupReading, CgroupReading], float]
    limit: Callable[[CgroupReading], float | None]
    reached: Callable[[CgroupReading], int]
    peak: Callable[[CgroupReading], float | None]
    to_kernel: Callable[[float], float]
    held: Callable[[CgroupReading, CgroupReading], float] | None = None


@dataclass(slots=True)
class Mark:
    """A moment at which a limit was reached, once or several times in a row."""

    t: float
    knob: str
    word: str
    count: int = 1

    def to_json(self) -> dict[str, Any]:
        return {"t": self.t, "knob": self.knob, "word": self.word, "count": self.count}


def _per_second(now: float, before: float, seconds: float) -> float:
    return max(0.0, now - before) / seconds if seconds > 0 else 0.0


def _cpu_percent(now: CgroupReading, before: CgroupReading) -> float:
    seconds = now.time_s - before.time_s
    return _per_second(now.cpu_usage_us, before.cpu_usage_us, seconds) / 10_000


def _throttled_share(now: CgroupReading, before: CgroupReading) -> float:
    periods = now.cpu_periods - before.cpu_periods
    throttled = now.cpu_throttled_periods - before.cpu_throttled_periods
    return throttled / periods if periods > 0 else 0.0


def _mib(size: int | None) -> float | None:
    return None if size is None else size / MIB


KNOBS = {
    "memory": Knob(
        "memory",
        "Memory",
        "MiB",
        "MiB",
        "memory",
        "killed for memory",
        "killed: out of memory",
        lambda now, _: now.memory_bytes / MIB,
        lambda now: _mib(now.memory_limit_bytes),
        lambda now: now.oom_kills,
        lambda now: _mib(now.memory_peak_bytes),
        lambda value: round(value * MIB),
    ),
    "cpu": Knob(
        "cpu",
        "CPU",
        "% of a CPU",
        "%",
        "space",
        "times throttled",
        "",
        _cpu_percent,
        lambda now: None if now.cpu_limit is None else 100 * now.cpu_limit,
        lambda now: now.cpu_throttled_periods,
        lambda now: None,
        lambda percent: percent / 100,
        _throttled_share,
    ),
    "pids": Knob(
        "pids",
        "Processes",
        "processes",
        "",
        "copy",
        "forks refused",
        "fork refused",
        lambda now, _: now.pids,
        lambda now: now.pids_limit,
        lambda now: now.pids_refused,
        lambda now: None,
        round,
    ),
}


class Window:
    """The samples of the last seconds, oldest first, and the marks in them."""

    def __init__(self, knobs: Sequence[Knob], size: int) -> None:
        self.knobs = tuple(knobs)
        self.readings: deque[CgroupReading] = deque(maxlen=size)
        self.marks: list[Mark] = []
        self._rows: deque[tuple[float, ...]] = deque(maxlen=size)
        self._first: CgroupReading

    @property
    def columns(self) -> int:
        """How many numbers a sample has."""
        return 1 + 2 * len(self.knobs)

    def add(self, reading: CgroupReading) -> bool:
        """Take a reading in; say whether it brought a mark."""
        if not self.readings:
            self._first = reading
        before = self.readings[-1] if self.readings else reading
        t = reading.time_s - self._first.time_s
        self.readings.append(reading)
        self._rows.append((t, *chain(*(_cells(k, reading, before) for k in self.knobs))))
        return any([self._mark(knob, reading, before, t) for knob in self.knobs])

    def column(self, knob: Knob) -> int:
        """Return where a knob's two numbers begin in a sample."""
        return 1 + 2 * self.knobs.index(knob)

    def counts(self) -> dict[str, int]:
        """Return how often each limit was reached since the first reading."""
        first, last = self._first, self.readings[-1]
        return {knob.name: knob.reached(last) - knob.reached(first) for knob in self.knobs}

    def packed(self) -> bytes:
        """Return all samples as 32-bit floats, row after row."""
        return array("f", chain.from_iterable(self._rows)).tobytes()

    def series(self, knob: Knob) -> tuple[list[float], list[float], list[float]]:
        """Return a knob's samples as columns: times, values, shares held back."""
        at = self.column(knob)
        rows = list(self._rows)
        return tuple([row[column] for row in rows] for column in (0, at, at + 1))  # type: ignore[return-value]

    def _mark(
        self, knob: Knob, now: CgroupReading, before: CgroupReading, t: float
    ) -> bool:
        times = knob.reached(now) - knob.reached(before)
        if times <= 0 or not knob.word:
            return False
        last = next((m for m in reversed(self.marks) if m.knob == knob.name), None)
        if last is not None and t - last.t < SAME_BURST_S:
            last.count += times
        else:
            self.marks.append(Mark(t, knob.name, knob.word, times))
        return True


def _cells(knob: Knob, now: CgroupReading, before: CgroupReading) -> tuple[float, float]:
    held = knob.held(now, before) if knob.held else 0.0
    return knob.value(now, before), held
