"""Settings: what config.json limits, as files and texts of either version. Chapter 03.

    settings_of({"memory_limit": 64 << 20, "cpu_shares": 512}, version=2)
        memory.max  67108864
        cpu.weight  20
    LimitCgroup("box", ((path, text), ...))

The specification counts as cgroup v1 does, so v1 takes its numbers as they are; for v2
some are turned into others. It is the same table as in knobs.py, with the names and the
numbers of engines in place of a learner's.

Left out: kernel memory, which Linux ignores since 5.16; the network controllers of v1.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Mapping
from typing import ClassVar, NamedTuple

from labkit.errors import DocumentError, SyscallError
from labkit.linux.syscalls import Linux
from labkit.linux.views import HostPath
from labkit.plan.step import After, Rule, Step, Where
from labkit.primitives.cgroups.place import MakeCgroup
from labkit.values import dataclass

Amounts = Mapping[str, int | str]
PERIOD_US = 100_000  # cgroup-v2.rst, cpu.max


class Row(NamedTuple):
    """One amount: its file and its text in each version; "" where there is none."""

    name: str
    v2: str
    v1: str
    to_v2: Callable[[int], str] = str
    to_v1: Callable[[int], str] = str


class Setting(NamedTuple):
    """A text for a file of a controller."""

    controller: str
    file: str
    text: str


def _or_max(amount: int) -> str:
    return "max" if amount < 0 else str(amount)


def _pids_or_max(amount: int) -> str:
    return "max" if amount <= 0 else str(amount)


def _weight(shares: int) -> str:
    # From 2 to 262144 shares, to a weight of 1 to 10000: as runc and crun turn them.
    return str(1 + (max(2, min(shares, 262_144)) - 2) * 9999 // 262_142)


def _io_weight(weight: int) -> str:
    return str(1 + (max(10, weight) - 10) * 9999 // 990)


# fmt: off
ROWS = (
    #   amount                cgroup v2        cgroup v1
    Row("memory_limit",       "memory.max",    "memory.limit_in_bytes", _or_max),
    Row("memory_reservation", "memory.low",    "memory.soft_limit_in_bytes", _or_max),
    Row("memory_swap",        "",              "memory.memsw.limit_in_bytes"),
    Row("memory_swappiness",  "",              "memory.swappiness"),
    Row("oom_kill_disabled",  "",              "memory.oom_control"),
    Row("cpu_shares",         "cpu.weight",    "cpu.shares", _weight),
    Row("cpu_period",         "",              "cpu.cfs_period_us"),
    Row("cpu_quota",          "",              "cpu.cfs_quota_us"),
    Row("cpu_burst",          "cpu.max.burst", "cpu.cfs_burst_us"),
    Row("realtime_period",    "",              "cpu.rt_period_us"),
    Row("realtime_runtime",   "",              "cpu.rt_runtime_us"),
    Row("cpu_idle",           "cpu.idle",      "cpu.idle"),
    Row("cpus",               "cpuset.cpus",   "cpuset.cpus"),
    Row("mems",               "cpuset.mems",   "cpuset.mems"),
    Row("pids_limit",         "pids.max",      "pids.max", _pids_or_max, _pids_or_max),
    Row("io_weight",          "io.weight",     "blkio.weight", _io_weight),
)
# One limit of one disk: amounts are "8:0 1048576".
DISK_ROWS = (
    Row("read_bps",           "rbps",          "blkio.throttle.read_bps_device"),
    Row("write_bps",          "wbps",          "blkio.throttle.write_bps_device"),
    Row("read_iops",          "riops",         "blkio.throttle.read_iops_device"),
    Row("write_iops",         "wiops",         "blkio.throttle.write_iops_device"),
    Row("weight",             "",              "blkio.weight_device"),
)
# fmt: on
_BY_FILE = {"blkio": "io", "cgroup": ""}
# Where the scheduler BFQ shares a disk out, and nothing else does (v1).
_OF_BFQ = {
    "blkio.weight": "blkio.bfq.weight",
    "blkio.weight_device": "blkio.bfq.weight_device",
}


def settings_of(amounts: Amounts, *, version: int) -> list[Setting]:
    """Return the texts that set some amounts.

    Args: amounts [by the names of ROWS; bytes, microseconds, counts; -1 is no limit];
        version [1 or 2].
    Raises: DocumentError for swap without a memory limit (v2).
    """
    if version == 1:
        rows = [row for row in ROWS if row.v1 and row.name in amounts]
        return [_setting(row.v1, _text(row.to_v1, amounts[row.name])) for row in rows]
    rows = [row for row in ROWS if row.v2 and row.name in amounts]
    plain = [_setting(row.v2, _text(row.to_v2, amounts[row.name])) for row in rows]
    return [*plain, *_cpu_max(amounts), *_swap_max(amounts)]


def disk_setting(name: str, device: str, rate: int, *, version: int) -> Setting:
    """Return the text that limits one disk.

    Args: name [of DISK_ROWS]; device ["8:0"]; rate [bytes or requests a second].
    """
    row = next(row for row in DISK_ROWS if row.name == name)
    if version == 1:
        return _setting(row.v1, f"{device} {rate}")
    if name == "weight":
        return _setting("io.weight", f"{device} {_io_weight(rate)}")
    return _setting("io.max", f"{device} {row.v2}={rate or 'max'}")


def unified_setting(file: str, text: str, *, version: int) -> Setting:
    """Return a text for a file of v2 that is named as it is.

    Raises: DocumentError on v1, and for a path that leads elsewhere.
    """
    if version == 1:
        problem = "invalid configuration: a file of cgroup v2, and this machine has v1"
    elif "/" in file:
        problem = "it is the name of a file in the group's own directory"
    else:
        return Setting("", file, text)
    raise DocumentError(
        f"config.json: /linux/resources/unified/{file}: can't be set here",
        "use the sections memory, cpu, pids and blockIO",
        meaning=problem,
    )


@dataclass(frozen=True, slots=True, repr=False)
class LimitCgroup(Step):
    """Write a cgroup's limits, from outside.

    v1 refuses a memory limit above that of memory and swap together, so what is refused
    at first is tried once more after the others.

    Args: name [for people]; writes [host path and text].
    Raises: EBUSY below what is used (v1); ENOENT where Linux has no such file; EINVAL.
    Needs: write permission in the group.
    Kernel: cgroups(7). Spec: OCI runtime, linux.resources.
    """

    name: str
    writes: tuple[tuple[HostPath, str], ...]

    where: ClassVar[Where] = Where.OUTSIDE
    man: ClassVar[tuple[str, ...]] = ("cgroups(7)",)
    needs: ClassVar[str] = "write permission in the cgroup"
    rules: ClassVar[tuple[Rule, ...]] = (
        After(MakeCgroup, "there are no files before it"),
    )

    def describe(self) -> str:
        files = [f"{path.rpartition('/')[2]}={text}" for path, text in self.writes]
        return f"limit the cgroup {self.name}: {', '.join(files)}"

    def apply(self, linux: Linux) -> int | None:
        refused = [one for one in self.writes if not _accepted(linux, *one)]
        for path, text in refused:
            _write(linux, path, text)
        return None


def _accepted(linux: Linux, path: HostPath, text: str) -> bool:
    try:
        _write(linux, path, text)
    except SyscallError as problem:
        if problem.errno != errno.EINVAL:
            raise
        return False
    return True


def _write(linux: Linux, path: HostPath, text: str) -> None:
    try:
        linux.write_file(path, text)
    except FileNotFoundError:
        directory, name = os.path.split(path)
        if name not in _OF_BFQ:
            raise
        linux.write_file(f"{directory}/{_OF_BFQ[name]}", text)


def _setting(file: str, text: str) -> Setting:
    prefix = file.partition(".")[0]
    return Setting(_BY_FILE.get(prefix, prefix), file, text)


def _text(form: Callable[[int], str], amount: int | str) -> str:
    return amount if isinstance(amount, str) else form(amount)


def _cpu_max(amounts: Amounts) -> list[Setting]:
    if "cpu_quota" not in amounts and "cpu_period" not in amounts:
        return []
    quota = int(amounts.get("cpu_quota", -1))
    # One number alone leaves the period as it is.
    period = f" {amounts['cpu_period']}" if "cpu_period" in amounts else ""
    return [_setting("cpu.max", f"{'max' if quota <= 0 else quota}{period}")]


def _swap_max(amounts: Amounts) -> list[Setting]:
    # v2 counts swap by itself, the specification together with memory.
    if "memory_swap" not in amounts:
        return []
    both, memory = int(amounts["memory_swap"]), int(amounts.get("memory_limit", -1))
    if both >= 0 and memory < 0:
        raise DocumentError(
            "config.json: /linux/resources/memory/swap: without a memory limit",
            'set "limit" as well: swap is the limit of both together',
            meaning="cgroup v2 has a limit for swap alone: it can't be told from this",
        )
    if 0 <= both < memory:
        raise DocumentError(
            "config.json: /linux/resources/memory/swap: is below limit",
            "swap is the limit of memory and swap together",
        )
    return [_setting("memory.swap.max", _or_max(both if both < 0 else both - memory))]
