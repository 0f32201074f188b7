"""The verb update: other limits for a container that is there."""

from __future__ import annotations

import json
import sys

from labkit.errors import DocumentError, StateError
from labkit.linux.syscalls import Linux
from labkit.primitives.cgroups.amounts import bytes_of
from labkit.primitives.cgroups.settings import LimitCgroup
from labkit.runtime.oci.container import STOPPED, Container
from labkit.runtime.oci.recorded import places_of
from labkit.runtime.planner_cgroup import writes_of
from labkit.runtime.spec.document import document_in
from labkit.runtime.spec.node import Node
from labkit.runtime.spec.resources import Resources

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from labkit.runtime.oci.arguments import Given
    from labkit.runtime.oci.command import Call

# option -> (section, field) of linux.resources
_FIELDS = {
    "blkio-weight": ("blockIO", "weight"),
    "cpu-period": ("cpu", "period"),
    "cpu-quota": ("cpu", "quota"),
    "cpu-burst": ("cpu", "burst"),
    "cpu-share": ("cpu", "shares"),
    "cpu-idle": ("cpu", "idle"),
    "cpu-rt-period": ("cpu", "realtimePeriod"),
    "cpu-rt-runtime": ("cpu", "realtimeRuntime"),
    "cpuset-cpus": ("cpu", "cpus"),
    "cpuset-mems": ("cpu", "mems"),
    "memory": ("memory", "limit"),
    "memory-reservation": ("memory", "reservation"),
    "memory-swap": ("memory", "swap"),
    "pids-limit": ("pids", "limit"),
}
_TEXTS = ("cpuset-cpus", "cpuset-mems")
_SIZES = ("memory", "memory-reservation", "memory-swap")


def update(call: Call) -> None:
    """Change a container's limits; what isn't named stays as it is.

    labkit-oci update [options] CONTAINER

      -r, --resources FILE      linux.resources as JSON; "-" reads them from stdin
      --blkio-weight N          share of the disks, 10 to 1000
      --cpu-period US           the time that the quota is for
      --cpu-quota US            processor time in each period; -1 is no limit
      --cpu-burst US            what may be saved up
      --cpu-share N             share of the processors, from 2; 1024 is usual
      --cpu-idle N              1: only when nobody else wants the processor
      --cpu-rt-period US        as --cpu-period, for processes with a real-time policy
      --cpu-rt-runtime US       as --cpu-quota, for processes with a real-time policy
      --cpuset-cpus LIST        on which processors, as 0-2
      --cpuset-mems LIST        in which memory nodes
      --memory SIZE             bytes, or 64M; -1 is no limit
      --memory-reservation SIZE what it keeps when memory is scarce
      --memory-swap SIZE        memory and swap together
      --pids-limit N            number of processes; -1 is no limit
    """
    container = Container(call.root, call.given.word(0, "the container's name"))
    resources = _resources(call.given)
    container.lock()
    record = container.read()
    if container.status(record) == STOPPED:
        raise StateError(
            f'container not running: "{container.id}" is stopped',
            f"labkit-oci state {container.id}",
        )
    writes = writes_of(resources, places_of(record))
    LimitCgroup(container.id, writes).apply(Linux())


def _resources(given: Given) -> Resources:
    if name := given.text("resources"):
        document = json.loads(sys.stdin.read()) if name == "-" else document_in(name)
    else:
        document = _from_options(given)
    if not isinstance(document, dict):
        raise DocumentError(f"{name}: is no object", 'write it as {"memory": {...}}')
    return Resources.read(Node(document, name or "update"))


def _from_options(given: Given) -> dict[str, Any]:
    document: dict[str, dict[str, int | str]] = {}
    for option, (section, field) in _FIELDS.items():
        if option in given.options:
            document.setdefault(section, {})[field] = _amount(given, option)
    memory = document.get("memory", {})
    if memory.get("limit") == -1:
        # Without a limit of its own, memory and swap together have none either.
        memory.setdefault("swap", -1)
    return document


def _amount(given: Given, option: str) -> int | str:
    text = given.text(option)
    if option in _TEXTS:
        return text
    if option in _SIZES and not text.lstrip("-").isdigit():
        return bytes_of(text)
    return given.number(option)
