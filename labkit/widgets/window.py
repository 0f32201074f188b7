"""The last half minute of a cgroup: the samples that a meter draws, and what happened.

    Window    a ring of samples, and the marks in it
    Mark      something that Linux did because a limit was reached

Samples go to the browser whole, ten times a second, as 32-bit floats: the time, then
for each knob what is used, and the share of that moment in which it was held back.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

from labkit.primitives.cgroups.reading import CgroupReading
from labkit.widgets.knobs import Knob

SAME_BURST_S = 1.0


@dataclass(slots=True)
class Mark:
    """A moment at which a limit was reached, once or several times in a row."""

    t: float
    knob: str
    word: str
    count: int = 1

    def to_json(self) -> dict[str, object]:
        """Return the mark as a JSON-able mapping, for the browser."""
        return {"t": self.t, "knob": self.knob, "word": self.word, "count": self.count}


class Series(NamedTuple):
    """One knob's samples as columns."""

    times: list[float]
    uses: list[float]
    helds: list[float]


class Window:
    """The samples of the last seconds, oldest first, and the marks since the first."""

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

    def column(self, knob: Knob) -> int:
        """Return where a knob's two numbers begin in a sample."""
        return 1 + 2 * self.knobs.index(knob)

    def add(self, reading: CgroupReading) -> bool:
        """Take a reading in; say whether a limit was reached since the last one."""
        if not self.readings:
            self._first = reading
        last = self.readings[-1] if self.readings else reading
        t = reading.time_s - self._first.time_s
        cells = (
            (knob.use(reading, last), knob.held(reading, last)) for knob in self.knobs
        )
        self.readings.append(reading)
        self._rows.append((t, *chain.from_iterable(cells)))
        return any([self._mark(knob, reading, last, t) for knob in self.knobs])

    def packed(self) -> bytes:
        """Return all samples as 32-bit floats, row after row."""
        return array("f", chain.from_iterable(self._rows)).tobytes()

    def counts(self) -> dict[str, int]:
        """Return how often each limit was reached since the first reading."""
        now, first = self.readings[-1], self._first
        return {
            knob.name: knob.reached(now) - knob.reached(first) for knob in self.knobs
        }

    def series(self, knob: Knob) -> Series:
        """Return a knob's samples as columns."""
        at = self.column(knob)
        rows = list(self._rows)
        return Series(*([row[column] for row in rows] for column in (0, at, at + 1)))

    def _mark(
        self, knob: Knob, now: CgroupReading, last: CgroupReading, t: float
    ) -> bool:
        times = knob.reached(now) - knob.reached(last)
        if times <= 0 or not knob.word:
            return False
        newest = next((m for m in reversed(self.marks) if m.knob == knob.name), None)
        if newest is not None and t - newest.t < SAME_BURST_S:
            newest.count += times
        else:
            self.marks.append(Mark(t, knob.name, knob.word, times))
        return True
