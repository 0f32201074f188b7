"""Programs that take what they can get: a limit has something to do. Chapter 03.

    memory       touches memory page by page, at a pace
    cpu          computes without a pause
    processes    forks, and its children fork
    disk         writes past the cache as fast as the disk takes it

Each is one small file of plain Python that a child becomes:

    Plan(group.join(), loads.program("memory", mebibytes=400, per_second=60))

They import nothing of the lab: a program inside a group doesn't know what limits it.
"""

from __future__ import annotations

import sys
from pathlib import Path

from labkit.errors import DocumentError
from labkit.linux.views import HostPath
from labkit.primitives.process import Exec

NAMES = ("memory", "cpu", "processes", "disk")


class Load(Exec):
    """Become one of these programs; its description has no path of this machine."""

    __slots__ = ()

    def describe(self) -> str:
        _, program, *options = self.argv
        return " ".join(["become", Path(program).name, *options])


def program(name: str, **options: float | str) -> Load:
    """Return the step that becomes a load.

    Args: name [one of NAMES]; options [per_second=60 is --per-second 60].
    Raises: DocumentError for a name that isn't one of NAMES.
    """
    words = [sys.executable, path(name)]
    for option, value in options.items():
        words += [f"--{option.replace('_', '-')}", str(value)]
    return Load(words)


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
