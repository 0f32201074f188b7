"""What is left of a container when its monitor has died: found, ended, written down.

    bury(record)        one of them
    unburied()          the records of those whose monitor is dead

A monitor that is killed takes its container along (the step EndWithParent), but not its
cgroup, nor a process that gave that protection up, as a set-uid program does. So before
a monitor makes anything it writes a record, as for every handle; its fork server
finishes its work, or, if that is dead as well, whoever looks next. Chapter 09.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Sequence
from typing import Any

from labkit import state
from labkit.linux.syscalls import Linux
from labkit.linux.views import HostPath, HostPid
from labkit.plan import handle
from labkit.plan.family import kill, start_time
from labkit.plan.handle import Record
from labkit.primitives.cgroups.ending import (
    end_processes,
    remove_directories,
    rounds,
    signal_frozen,
)
from labkit.runtime.ending import Ending, ending_in, oom_kills
from labkit.runtime.local_socket import MONITOR

KIND = "monitor"


def unburied() -> tuple[Record, ...]:
    """Return the records of monitors that have died before they were done."""
    found = (record for record in handle.records() if record.kind == KIND)
    return tuple(record for record in found if not record.owner_alive)


def bury(record: Record) -> None:
    """End what a dead monitor's container still is, write down how, forget it.

    Raises: StateError when a process of it can't end now: the record stays.
    Needs: what the monitor needed: root, for what root started.
    """
    with state.lock("burial"):
        found = handle.find(KIND, record.name)
        # Somebody else may have been quicker, and another container have the name.
        if found is not None and _owner(found) == _owner(record):
            _bury(found)


def _owner(record: Record) -> tuple[int, int]:
    return record.owner_pid, record.owner_start


def _bury(record: Record) -> None:
    undo = record.undo
    groups = tuple(map(HostPath, undo.get("groups", ())))
    killed = oom_kills(groups)
    _end_first_process(undo)
    clear(groups)
    directory = HostPath(undo.get("directory", ""))
    with contextlib.suppress(FileNotFoundError):
        os.unlink(f"{directory}/{MONITOR}")
    if os.path.isdir(directory) and ending_in(directory) is None:
        started_s = undo.get("started_s", 0.0)
        Ending(None, None, killed > 0, started_s, time.time(), lost=True).write(
            directory
        )
    record.forget()


def clear(groups: Sequence[HostPath]) -> None:
    """End every process of a cgroup, and remove its directories.

    Raises: StateError when a process is still there after seconds; EBUSY.
    """
    # Most often nobody is left, and nothing was made below: then this is all.
    left = tuple(group for group in groups if not _removed(group))
    linux = Linux()
    if left:
        end_processes(left, lambda: _kill_all(linux, left))
    remove_directories(linux, left)


def _removed(group: HostPath) -> bool:
    try:
        os.rmdir(group)
    except FileNotFoundError:
        return True
    except OSError:
        return False  # EBUSY: somebody is in it, or something is below
    return True


def _kill_all(linux: Linux, groups: tuple[HostPath, ...]) -> None:
    for group in groups:
        if os.path.exists(f"{group}/cgroup.kill"):  # since Linux 5.14
            linux.write_file(f"{group}/cgroup.kill", "1")
            return
    signal_frozen(linux, groups, "freezer.state", ("FROZEN", "THAWED"))


def _end_first_process(undo: dict[str, Any]) -> None:
    pid, start = HostPid(undo.get("pid", 0)), undo.get("pid_start")
    for _ in rounds(2.0):
        # A pid alone is used again.
        if not pid or start is None or start_time(pid) != start:
            return
        kill(pid)
