"""Whether there is room for a VM: asked before it starts, because later Linux kills.

The least of what the machine has left and what each cgroup above this process has
left. What a cgroup has cached of files counts as free: Linux drops it when needed.

Kernel: proc_meminfo(5); Documentation/admin-guide/cgroup-v2.rst, memory.max.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from labkit.errors import HostError
from labkit.linux.proc import cgroups_of, mounts

NEEDED_MB = 600
_MB = 1 << 20
# How each version spells limit, use, and the file cache's two lines in memory.stat.
_SPELLINGS = (
    ("memory.max", "memory.current", ("inactive_file", "active_file")),
    (
        "memory.limit_in_bytes",
        "memory.usage_in_bytes",
        ("total_inactive_file", "total_active_file"),
    ),
)


def check(needed_mb: int = NEEDED_MB) -> None:
    """Refuse to start a VM that would be killed.

    Raises: HostError with both numbers.
    """
    there = available_mb()
    if there < needed_mb:
        raise HostError(
            f"lab VM: {there} MB of memory are free, and it needs {needed_mb}",
            "Kernel > Shut Down All Kernels in Jupyter, then try again",
            "labkit vm status",
            meaning="it would be killed in the middle of a chapter",
        )


def available_mb(root: str = "/") -> int:
    """Return how much memory this process could still get.

    Args: root [host path; "/" or a fixture].
    """
    rooms = [_of_the_machine(root), *_of_cgroups(root)]
    return min(rooms) // _MB


def _of_the_machine(root: str) -> int:
    for line in Path(root, "proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 0


def _of_cgroups(root: str) -> Iterator[int]:
    memberships = cgroups_of(proc=f"{root}/proc")
    for mount in mounts(proc=f"{root}/proc"):
        controller = {"cgroup2": "", "cgroup": "memory"}.get(mount.fstype)
        if controller is None or controller not in memberships:
            continue
        if mount.fstype == "cgroup" and "memory" not in mount.super_options:
            continue
        point = Path(root, mount.target.lstrip("/"))
        inside = memberships[controller].removeprefix(mount.root).lstrip("/")
        # From the own cgroup up: each one limits all below it.
        for directory in (point / inside, *(point / inside).parents):
            if directory.is_relative_to(point):
                yield from _left_in(directory)


def _left_in(directory: Path) -> Iterator[int]:
    for limit, used, cached in _SPELLINGS:
        try:
            text = (directory / limit).read_text().strip()
            if text != "max":
                taken = int((directory / used).read_text())
                yield int(text) - taken + _sum(directory / "memory.stat", cached)
        except OSError:
            continue  # the other version's, or no limit at the top of the tree


def _sum(path: Path, names: tuple[str, ...]) -> int:
    rows = (line.split() for line in path.read_text().splitlines())
    return sum(int(row[1]) for row in rows if row[0] in names)
