"""CgroupReading: what a group uses at one moment, and how often its limits held it.

    before = box.snapshot()
    ...
    box.snapshot() - before      a Change: what came in between

Levels (memory, pids) are of the moment; counters (CPU time, kills, refusals) only grow,
so two readings subtract. Chapter 03. The numbers never stand in a repr.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from labkit.primitives.cgroups.amounts import size_text
from labkit.text import Text
from labkit.values import dataclass


@dataclass(frozen=True, slots=True, repr=False)
class CgroupReading:
    """A group at one moment. Where the machine lacks a controller, its numbers are 0.

    time_s is monotonic [seconds]; sizes are bytes, times microseconds. A limit is None
    where there is none. The peak is what it uses now before Linux 5.19 (v2). In v1, I/O
    counts from the disk's first limit on, and without what went through the page cache.
    """

    time_s: float
    memory_bytes: int = 0
    memory_peak_bytes: int = 0
    memory_limit_bytes: int | None = None
    oom_kills: int = 0
    cpu_usage_us: int = 0
    cpu_limit: float | None = None  # in CPUs
    cpu_periods: int = 0
    cpu_throttled_periods: int = 0
    cpu_throttled_us: int = 0
    pids: int = 0
    pids_limit: int | None = None
    pids_refused: int = 0
    io_read_bytes: int = 0
    io_written_bytes: int = 0
    frozen: bool = False

    @property
    def cpu_limit_percent(self) -> float | None:
        """The CPU limit in percent of one CPU, or None."""
        return None if self.cpu_limit is None else 100 * self.cpu_limit

    def __sub__(self, before: CgroupReading) -> Change:
        return Change(
            self.time_s - before.time_s,
            self.oom_kills - before.oom_kills,
            self.cpu_usage_us - before.cpu_usage_us,
            self.cpu_periods - before.cpu_periods,
            self.cpu_throttled_periods - before.cpu_throttled_periods,
            self.pids_refused - before.pids_refused,
            self.io_read_bytes - before.io_read_bytes,
            self.io_written_bytes - before.io_written_bytes,
        )

    def __repr__(self) -> str:
        return f"CgroupReading({'frozen' if self.frozen else 'running'})"

    def text(self) -> Text:
        """Return the reading as a table: what it uses, the limit, what happened."""
        memory, cpu, pids = self.memory_limit_bytes, self.cpu_limit, self.pids_limit
        read, written = size_text(self.io_read_bytes), size_text(self.io_written_bytes)
        held = f"{self.cpu_throttled_periods} of {self.cpu_periods} periods"
        # fmt: off
        rows = (
            ("",       "uses",                            "limit",
             ""),
            ("memory", size_text(self.memory_bytes),      _or_dash(memory, size_text),
             f"peak {size_text(self.memory_peak_bytes)}, {self.oom_kills} killed"),
            ("cpu",    f"{self.cpu_usage_us / 1e6:.2f} s", _or_dash(cpu, _cpus_text),
             f"throttled in {held}"),
            ("pids",   str(self.pids),                    _or_dash(pids, str),
             f"{self.pids_refused} forks refused"),
            ("io",     "",                                "",
             f"{read} read, {written} written"),
        )
        # fmt: on
        lines = [f"{a:6} {b:>11} {c:>11}  {d}".rstrip() for a, b, c, d in rows]
        return Text("\n".join([*lines, *(["frozen"] if self.frozen else [])]))


@dataclass(frozen=True, slots=True, repr=False)
class Change:
    """What a group did between two readings: later - earlier."""

    seconds: float
    oom_kills: int
    cpu_usage_us: int
    cpu_periods: int
    cpu_throttled_periods: int
    pids_refused: int
    io_read_bytes: int
    io_written_bytes: int

    @property
    def cpus(self) -> float:
        """How many CPUs it used, on average."""
        return self.cpu_usage_us / 1e6 / self.seconds if self.seconds > 0 else 0.0

    def __repr__(self) -> str:
        return "Change(between two readings)"

    def text(self) -> Text:
        """Return the change in one sentence for each resource."""
        lines = (
            f"in {self.seconds:.1f} s:",
            f"{self.cpus:.2f} CPUs, throttled in {self.cpu_throttled_periods} of "
            f"{self.cpu_periods} periods",
            f"{self.oom_kills} killed for memory, {self.pids_refused} forks refused",
            f"{size_text(self.io_read_bytes)} read, "
            f"{size_text(self.io_written_bytes)} written",
        )
        return Text("\n".join(lines))


Number = TypeVar("Number", int, float)


def _or_dash(limit: Number | None, text: Callable[[Number], str]) -> str:
    return "-" if limit is None else text(limit)


def _cpus_text(cpus: float) -> str:
    return f"{cpus:g} CPUs"
