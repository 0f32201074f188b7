"""The verb events: what a container has used, as JSON lines in runc's form."""

from __future__ import annotations

import json
import math
import time

from labkit.errors import StateError
from labkit.runtime.oci.container import STOPPED, Container
from labkit.runtime.oci.groups import read

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from labkit.runtime.oci.command import Call
    from labkit.runtime.oci.container import Record

_EVERY_S = 5
_LOOK_S = 0.1
_UNITS = {"ms": 0.001, "s": 1, "m": 60}


def events(call: Call) -> None:
    """Print what a container uses, and when memory ran out, until it ends.

    labkit-oci events [options] CONTAINER

      --interval TIME  as 5s or 500ms
      --stats          once, and no more
    """
    container = Container(call.root, call.given.word(0, "the container's name"))
    record = container.read()
    if container.status(record) == STOPPED:
        raise StateError(
            f'container not running: "{container.id}" is stopped',
            f"labkit-oci state {container.id}",
        )
    once = call.given.on("stats")
    pause_s = _seconds(call.given.text("interval", f"{_EVERY_S}s"))
    kills, told_s = _kills(record), -math.inf
    while container.status(record) != STOPPED:
        if time.monotonic() - told_s >= pause_s:
            told_s = time.monotonic()
            _tell({"type": "stats", "id": record.id, "data": statistics(record)})
        if once:
            return
        if _kills(record) > kills:
            kills = _kills(record)
            _tell({"type": "oom", "id": record.id})
        time.sleep(min(pause_s, _LOOK_S))


def _tell(event: dict[str, Any]) -> None:
    # Without spaces, as runc has it: scripts look for parts of the line.
    print(json.dumps(event, separators=(",", ":")), flush=True)


def _kills(record: Record) -> int:
    # How often Linux has killed a process of the container for its memory.
    whole, memory = record.cgroups.get(""), record.cgroups.get("memory", "")
    file = f"{whole}/memory.events" if whole else f"{memory}/memory.oom_control"
    return _pairs(file).get("oom_kill", 0)


def statistics(record: Record) -> dict[str, Any]:
    """Return the counters of a container's cgroup; what isn't counted here is left out.

    Kernel: cgroup-v2.rst; cgroup-v1/memory.rst, cpuacct.rst, pids.rst.
    """
    whole = record.cgroups.get("")
    return _from_one_tree(whole) if whole else _from_controllers(record.cgroups)


def _from_one_tree(group: str) -> dict[str, Any]:
    cpu = _pairs(f"{group}/cpu.stat")
    return {
        "cpu": {
            "usage": {
                "total": cpu.get("usage_usec", 0) * 1000,
                "kernel": cpu.get("system_usec", 0) * 1000,
                "user": cpu.get("user_usec", 0) * 1000,
            },
            "throttling": _throttling(cpu, cpu.get("throttled_usec", 0) * 1000),
        },
        "memory": {
            "usage": {
                "limit": _number(f"{group}/memory.max"),
                "usage": _number(f"{group}/memory.current"),
                "max": _number(f"{group}/memory.peak"),
            },
            "raw": _pairs(f"{group}/memory.stat"),
        },
        "pids": _pids(group),
    }


def _from_controllers(groups: dict[str, str]) -> dict[str, Any]:
    time_spent, memory = groups.get("cpuacct", ""), groups.get("memory", "")
    cpu = _pairs(f"{groups.get('cpu', '')}/cpu.stat")
    kinds = _pairs(f"{time_spent}/cpuacct.stat")
    return {
        "cpu": {
            "usage": {
                "total": _number(f"{time_spent}/cpuacct.usage"),
                "kernel": kinds.get("system", 0) * 10_000_000,  # ticks of 10 ms
                "user": kinds.get("user", 0) * 10_000_000,
            },
            "throttling": _throttling(cpu, cpu.get("throttled_time", 0)),
        },
        "memory": {
            "usage": {
                "limit": _number(f"{memory}/memory.limit_in_bytes"),
                "usage": _number(f"{memory}/memory.usage_in_bytes"),
                "max": _number(f"{memory}/memory.max_usage_in_bytes"),
                "failcnt": _number(f"{memory}/memory.failcnt"),
            },
            "raw": _pairs(f"{memory}/memory.stat"),
        },
        "pids": _pids(groups.get("pids", "")),
    }


def _throttling(cpu: dict[str, int], throttled_ns: int) -> dict[str, int]:
    return {
        "periods": cpu.get("nr_periods", 0),
        "throttledPeriods": cpu.get("nr_throttled", 0),
        "throttledTime": throttled_ns,
    }


def _pids(group: str) -> dict[str, int]:
    limit, current = _number(f"{group}/pids.max"), _number(f"{group}/pids.current")
    return {"current": current, "limit": limit}


def _number(path: str) -> int:
    text = read(path).strip()
    return int(text) if text.isdigit() else 0  # "max", or no such file


def _pairs(path: str) -> dict[str, int]:
    words = (line.split() for line in read(path).splitlines())
    return {pair[0]: int(pair[1]) for pair in words if len(pair) == 2}


def _seconds(text: str) -> float:
    for unit, seconds in _UNITS.items():
        if text.endswith(unit) and text.removesuffix(unit).isdigit():
            return int(text.removesuffix(unit)) * seconds
    return _EVERY_S
