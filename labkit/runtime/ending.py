"""How a container ended: a file in its directory, written once, as a whole. Chapter 09.

    {"code": 137, "signal": "SIGKILL", "oom_killed": true, "lost": false, ...}

Who asks later finds it there, whatever has died meanwhile: notebook, engine, monitor.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Sequence
from typing import Any

from labkit import state
from labkit.linux.views import HostPath
from labkit.plan.events import Exit
from labkit.values import dataclass, field_names

FILE = "exit.json"


@dataclass(frozen=True, slots=True)
class Ending:
    """The end of a container's first process.

    Args: code, signal [of its exit; both None when nobody was there to see it];
        oom_killed [a process of its cgroup was killed for memory]; started_s, ended_s
        [seconds since 1970; 0.0 for never]; lost [its monitor died before it did].
    """

    code: int | None
    signal: str | None
    oom_killed: bool
    started_s: float
    ended_s: float
    lost: bool = False

    @property
    def exit(self) -> Exit:
        """Return how it ended, as a child's wait() does."""
        return Exit(self.code, self.signal)

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON-able mapping."""
        return {name: getattr(self, name) for name in field_names(self)}

    def write(self, directory: HostPath) -> None:
        """Write it into the container's directory.

        Raises: HostError when the directory can't be written.
        """
        path = HostPath(f"{directory}/{FILE}")
        state.write(path, json.dumps(self.to_json()), durable=False)


def ending_in(directory: HostPath) -> Ending | None:
    """Return how the container of a directory ended, or None as long as it hasn't."""
    try:
        with open(f"{directory}/{FILE}", encoding="utf-8") as file:
            return Ending(**json.load(file))
    except FileNotFoundError:
        return None


def forget(directory: HostPath) -> None:
    """Remove what is known of an end: another container begins in that directory."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(f"{directory}/{FILE}")


def oom_kills(groups: Sequence[HostPath]) -> int:
    """Return how many processes of a cgroup were killed for memory.

    Kernel: cgroup-v2.rst, memory.events; cgroup-v1/memory.rst, memory.oom_control.
    """
    names = ("memory.events", "memory.oom_control")
    paths = [f"{group}/{name}" for group in groups for name in names]
    lines = [line for path in paths for line in _lines(path)]
    return sum(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))


def _lines(path: str) -> list[str]:
    # Only one directory is the memory controller's, and has one of the two files.
    if not os.path.exists(path):
        return []
    with open(path) as file:
        return file.read().splitlines()
