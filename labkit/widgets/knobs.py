"""What a meter can show of a cgroup: memory, CPU, processes, a row each. Chapter 03.

A row says how a reading tells the use, the limit and how often the limit was reached,
all in the unit of the chart, and how Linux is asked for another limit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from labkit.primitives.cgroups.cgroup import Cgroup
from labkit.primitives.cgroups.reading import CgroupReading

MIB = 1 << 20
Level = Callable[[CgroupReading], float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Knob:
    """One thing that a cgroup limits. `ask` returns the limit that Linux then has."""

    name: str
    title: str
    unit: str
    short: str  # the unit beside a line
    meaning: str  # the colour's name in look.css
    reached_as: tuple[str, str]  # once, and several times
    word: str = ""  # what is written at such a moment; "" marks none
    ceiling: float
    step: float
    use: Callable[
        [CgroupReading, CgroupReading], float
    ]  # of a reading and the last one
    limit: Level
    peak: Level = lambda reading: None
    reached: Callable[[CgroupReading], int]
    held: Callable[[CgroupReading, CgroupReading], float] = lambda reading, last: 0.0
    ask: Callable[[Cgroup, float], float | None]

    def happened(self, times: int) -> str:
        """Return how often the limit was reached: 2 forks refused."""
        return f"{times} {self.reached_as[times != 1]}"


def _mib(size: float | None) -> float | None:
    return None if size is None else size / MIB


def _cpu_percent(now: CgroupReading, last: CgroupReading) -> float:
    return 100 * max(0.0, (now - last).cpus)


def _throttled_share(now: CgroupReading, last: CgroupReading) -> float:
    change = now - last
    return change.cpu_throttled_periods / max(1, change.cpu_periods)


def _ask_memory(cgroup: Cgroup, mib: float) -> float | None:
    return _number(cgroup.limit(memory=round(mib * MIB))["memory"], MIB)


def _ask_cpu(cgroup: Cgroup, percent: float) -> float | None:
    return _number(cgroup.limit(cpu=percent / 100)["cpu"], 0.01)


def _ask_pids(cgroup: Cgroup, count: float) -> float | None:
    return _number(cgroup.limit(pids=round(count))["pids"], 1)


def _number(limit: object, unit: float) -> float | None:
    return limit / unit if isinstance(limit, int | float) else None


KNOBS = {
    knob.name: knob
    for knob in (
        Knob(
            name="memory",
            title="Memory",
            unit="MiB",
            short="MiB",
            meaning="memory",
            reached_as=("killed for memory", "killed for memory"),
            word="killed: out of memory",
            ceiling=512,
            step=8,
            use=lambda now, last: now.memory_bytes / MIB,
            limit=lambda now: _mib(now.memory_limit_bytes),
            peak=lambda now: _mib(now.memory_peak_bytes),
            reached=lambda now: now.oom_kills,
            ask=_ask_memory,
        ),
        Knob(
            name="cpu",
            title="CPU",
            unit="% of a CPU",
            short="%",
            meaning="space",
            reached_as=("time throttled", "times throttled"),
            ceiling=100,
            step=5,
            use=_cpu_percent,
            limit=lambda now: now.cpu_limit_percent,
            reached=lambda now: now.cpu_throttled_periods,
            held=_throttled_share,
            ask=_ask_cpu,
        ),
        Knob(
            name="pids",
            title="Processes",
            unit="processes",
            short="",
            meaning="copy",
            reached_as=("fork refused", "forks refused"),
            word="fork refused",
            ceiling=64,
            step=1,
            use=lambda now, last: now.pids,
            limit=lambda now: now.pids_limit,
            reached=lambda now: now.pids_refused,
            ask=_ask_pids,
        ),
    )
}
