"""Knobs: what can be set and counted in a cgroup, and in which file. Chapter 03.

    LIMITS      what limit() sets
    FREEZE      what freeze() and thaw() set
    COUNTERS    what snapshot() reads: what is used, how often a limit was reached
    table()     all of it as text: the files of both versions side by side

A row is the same knob in both versions; adding a knob is adding a row. Which column
counts is decided by the hierarchy, and nowhere else.

Left out: cpuset, hugetlb, rdma, misc; memory.low and memory.high; requests a second
(riops and wiops of io.max); memory.memsw.limit_in_bytes, which counts memory and swap
together and so can't be set without looking at the memory limit.
"""

from __future__ import annotations

import re

from labkit.errors import DocumentError
from labkit.primitives.cgroups.forms import (
    BUSY,
    BYTES,
    COUNT,
    CPUS,
    DELAY,
    DISK,
    FULL,
    HELD,
    OOM,
    PIDS,
    READ,
    SHARE,
    SLOTS,
    STILL,
    SWAP,
    SWITCH,
    WROTE,
    Form,
    Forms,
)
from labkit.text import Text
from labkit.values import dataclass


@dataclass(frozen=True, slots=True)
class Column:
    """One version's spelling of a knob: its files, and the text that they hold."""

    files: tuple[str, ...]
    form: Form


@dataclass(frozen=True, slots=True)
class Knob:
    """One row: a knob's files in each version; {a,b} in a name stands for two files."""

    name: str
    v2: str
    v1: str
    forms: Forms

    def in_v2(self) -> Column:
        """Return how cgroup v2 spells it."""
        return Column(_files(self.v2), self.forms.v2)

    def in_v1(self) -> Column:
        """Return how cgroup v1 spells it."""
        return Column(_files(self.v1), self.forms.v1)


_RATES = "blkio.throttle.{read,write}_bps_device"
_SERVED = "blkio.throttle.io_service_bytes_recursive"

# fmt: off
LIMITS = (
    #    limit     cgroup v2          cgroup v1
    Knob("memory", "memory.max",      "memory.limit_in_bytes",     BYTES),
    Knob("swap",   "memory.swap.max", "memory.swappiness",         SWAP),
    Knob("cpu",    "cpu.max",         "cpu.cfs_{period,quota}_us", CPUS),
    Knob("weight", "cpu.weight",      "cpu.shares",                SHARE),
    Knob("pids",   "pids.max",        "pids.max",                  PIDS),
    Knob("io",     "io.max",          _RATES,                      DISK),
)
FREEZE = Knob("freeze", "cgroup.freeze", "freezer.state", SWITCH)
COUNTERS = (
    #    counter                  cgroup v2         cgroup v1
    Knob("memory_bytes",          "memory.current", "memory.usage_in_bytes",     COUNT),
    Knob("memory_peak_bytes",     "memory.peak",    "memory.max_usage_in_bytes", COUNT),
    Knob("memory_limit_bytes",    "memory.max",     "memory.limit_in_bytes",     BYTES),
    Knob("oom_kills",             "memory.events",  "memory.oom_control",        OOM),
    Knob("cpu_usage_us",          "cpu.stat",       "cpuacct.usage",             BUSY),
    Knob("cpu_limit",             "cpu.max",        "cpu.cfs_{period,quota}_us", CPUS),
    Knob("cpu_periods",           "cpu.stat",       "cpu.stat",                  SLOTS),
    Knob("cpu_throttled_periods", "cpu.stat",       "cpu.stat",                  HELD),
    Knob("cpu_throttled_us",      "cpu.stat",       "cpu.stat",                  DELAY),
    Knob("pids",                  "pids.current",   "pids.current",              COUNT),
    Knob("pids_limit",            "pids.max",       "pids.max",                  PIDS),
    Knob("pids_refused",          "pids.events",    "pids.events",               FULL),
    Knob("io_read_bytes",         "io.stat",        _SERVED,                     READ),
    Knob("io_written_bytes",      "io.stat",        _SERVED,                     WROTE),
    Knob("frozen",                "cgroup.events",  "freezer.state",             STILL),
)
# fmt: on


def knob(name: str) -> Knob:
    """Return the row of a limit or a counter.

    Raises: DocumentError with the names that there are.
    """
    rows = (*LIMITS, FREEZE, *COUNTERS)
    found = next((row for row in rows if row.name == name), None)
    if found is None:
        raise DocumentError(
            f"{name!r} is no limit of a cgroup",
            f"one of {', '.join(row.name for row in LIMITS)}",
            "labkit.primitives.cgroups.table()",
            meaning="limits have the names of their rows in the table",
        )
    return found


def table() -> Text:
    """Return the whole table as text: each knob, and its files in both versions."""
    head = ("", "cgroup v2", "cgroup v1")
    limits = [(row.name, row.v2, row.v1) for row in (*LIMITS, FREEZE)]
    counters = [(row.name, row.v2, row.v1) for row in COUNTERS]
    parts = ([("set", *head[1:]), *limits], [("counted", *head[1:]), *counters])
    return Text("\n\n".join("\n".join(map(_line, part)) for part in parts))


def _line(cells: tuple[str, str, str]) -> str:
    name, v2, v1 = cells
    return f"{name:22} {v2:16} {v1}".rstrip()


def _files(pattern: str) -> tuple[str, ...]:
    braces = re.search(r"\{(\w+),(\w+)\}", pattern)
    if braces is None:
        return (pattern,)
    return tuple(pattern.replace(braces[0], word) for word in braces.groups())
