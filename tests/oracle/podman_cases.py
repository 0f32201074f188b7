"""The cases of podman_cases.sh, and in which of them our runtime isn't like crun."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

_BEGINS = "#: "


class Difference(NamedTuple):
    """What only crun does, what only ours does, and why that is as it should be."""

    why: str
    theirs: tuple[str, ...] = ()  # lines
    ours: tuple[str, ...] = ()
    codes: tuple[int, int] = (0, 0)  # theirs, ours


def _read(text: str) -> tuple[str, dict[str, str]]:
    preamble, *parts = text.split(f"\n{_BEGINS}")
    split = (part.partition("\n") for part in parts)
    return preamble, {name: script for name, _, script in split}


PREAMBLE, CASES = _read(Path(__file__).with_suffix(".sh").read_text())

_AT_THE_START = (
    "crun has no one to tell when execve fails after `start`: the program ends with 1. "
    "Ours hears of it in `start`, which fails; podman's word for that is 126"
)
_STRICT = "nosuid,nodev,noexec,relatime"
_PROTECTED = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys")
_HIDDEN = (
    "/proc/keys", "/proc/timer_list", "/proc/kcore", "/proc/latency_stats",
    "/proc/timer_stats", "/proc/sched_debug",
)  # fmt: skip
DIFFERENCES: dict[str, Difference] = {
    "a program of no format": Difference(_AT_THE_START, codes=(1, 126)),
    "mounts": Difference(
        "protected paths keep what /proc forbids, and masks are /dev/null with its "
        "flags, as runc has them; the list of cgroups is read-only as podman asks",
        theirs=(
            *(f"{path} ro,relatime" for path in _PROTECTED + _HIDDEN),
            f"/sys/fs/cgroup rw,{_STRICT}",
        ),
        ours=(
            *(f"{path} ro,{_STRICT}" for path in _PROTECTED),
            *(f"{path} rw,nosuid,noexec" for path in _HIDDEN),
            f"/sys/fs/cgroup ro,{_STRICT}",
        ),
    ),
    "devices": Difference(
        "/dev/core is made where Linux has a /proc/kcore, as runc does",
        theirs=("lrwxrwxrwx root root /proc/kcore",),
    ),
}


def difference(ours: tuple[int, str], theirs: tuple[int, str]) -> Difference:
    """Return how two ends of a case differ, without a reason."""
    lines = (set(theirs[1].splitlines()), set(ours[1].splitlines()))
    return Difference(
        "",
        tuple(sorted(lines[0] - lines[1])),
        tuple(sorted(lines[1] - lines[0])),
        (theirs[0], ours[0]) if ours[0] != theirs[0] else (0, 0),
    )
