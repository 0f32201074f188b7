"""Programs that take what they can get: a limit has something to do. Chapter 03.

    memory       touches memory page by page, at a pace
    cpu          computes without a pause
    processes    forks, and its children fork
    disk         writes past the cache as fast as the disk takes it

Each is one small file of plain Python that a child becomes:

    Exec([sys.executable, loads.path("memory"), "--mebibytes", "400"])

They import nothing of the lab: a program inside a group doesn't know what limits it.
"""

from __future__ import annotations

from pathlib import Path

from labkit.errors import DocumentError
from labkit.linux.views import HostPath

NAMES = ("memory", "cpu", "processes", "disk")


def path(name: str) -> HostPath:
    """Return the host path of a load's program.

    Raises: DocumentError for a name that isn't one of NAMES.
    """
    if name not in NAMES:
        raise DocumentError(
            f"{name!r} is no load",
            f"one of {', '.join(NAMES)}",
            meaning="a load is a small program of labkit.loads",
        )
    return HostPath(str(Path(__file__).with_name(f"{name}.py")))
