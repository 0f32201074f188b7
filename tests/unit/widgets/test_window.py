"""The window of samples that a meter draws."""

from __future__ import annotations

import struct
from dataclasses import replace

from labkit.primitives.cgroups.reading import CgroupReading
from labkit.widgets.knobs import KNOBS, MIB
from labkit.widgets.window import Mark, Window

FIRST = CgroupReading(100.0, memory_bytes=8 * MIB, memory_limit_bytes=64 * MIB)


def window(*readings: CgroupReading, knobs: tuple[str, ...] = ("memory",)) -> Window:
    """A window that has taken in these readings."""
    made = Window([KNOBS[name] for name in knobs], 300)
    for reading in readings:
        made.add(reading)
    return made


def test_samples_are_packed_row_after_row() -> None:
    later = replace(FIRST, time_s=100.5, memory_bytes=12 * MIB)
    packed = window(FIRST, later).packed()
    assert struct.unpack("<6f", packed) == (0.0, 8.0, 0.0, 0.5, 12.0, 0.0)


def test_old_samples_leave() -> None:
    made = Window([KNOBS["memory"]], 2)
    for second in range(5):
        made.add(replace(FIRST, time_s=100.0 + second))
    assert made.series(KNOBS["memory"]).times == [3.0, 4.0]


def test_a_kill_is_marked_at_its_moment() -> None:
    killed = replace(FIRST, time_s=102.0, oom_kills=1)
    made = window(FIRST, killed, replace(killed, time_s=103.0))
    assert made.marks == [Mark(2.0, "memory", "killed: out of memory", 1)]
    assert made.counts() == {"memory": 1}


def test_kills_before_the_first_reading_are_no_news() -> None:
    made = window(replace(FIRST, oom_kills=3), replace(FIRST, time_s=101, oom_kills=3))
    assert made.marks == []
    assert made.counts() == {"memory": 0}


def test_a_burst_of_refusals_is_one_mark() -> None:
    readings = [
        replace(FIRST, time_s=100 + t / 10, pids_refused=9 * t) for t in range(4)
    ]
    made = window(*readings, knobs=("pids",))
    assert [(mark.word, mark.count) for mark in made.marks] == [("fork refused", 27)]


def test_cpu_is_used_between_two_readings() -> None:
    busy = replace(
        FIRST,
        time_s=101.0,
        cpu_usage_us=500_000,
        cpu_periods=10,
        cpu_throttled_periods=4,
        cpu_limit=0.5,
    )
    cpu = KNOBS["cpu"]
    series = window(FIRST, busy, knobs=("cpu",)).series(cpu)
    assert (series.uses[-1], series.helds[-1], cpu.limit(busy)) == (50.0, 0.4, 50.0)


def test_counts_read_as_english() -> None:
    assert KNOBS["pids"].happened(1) == "1 fork refused"
    assert KNOBS["pids"].happened(2) == "2 forks refused"
