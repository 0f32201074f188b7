"""make_room: a v2 cgroup that holds processes gets a leaf for them. Chapter 03.

    before                        after
    run-1.scope                   run-1.scope            hands memory, cpu, io down
    |   cgroup.procs: the lab     |-- leaf
    `-- (no limits possible)      |   `-- cgroup.procs: the lab
                                  `-- labkit-box
                                      `-- memory.max, cpu.max, ...

The no-internal-process rule: below the root, a cgroup has processes or it hands
controllers to children, never both. What `systemd-run --user --scope` gives to an
ordinary user holds the lab itself, so the lab moves aside once.
"""

from __future__ import annotations

import errno
import os

from labkit.errors import StateError, SyscallError
from labkit.host import Host
from labkit.linux.syscalls import Linux
from labkit.linux.views import HostPath
from labkit.primitives.cgroups.hierarchy import LEAF, Unified, hierarchy_of

_ROUNDS = 100  # a process that forks while it is moved leaves a child behind


def make_room(host: Host) -> str:
    """Move the processes of the lab's parent cgroup into a leaf, where that is needed.

    Args: host [the probe's: only a crowded v2 parent needs it].
    Returns: a sentence about what was moved, "" where there was nothing to do.
    Raises: StateError when processes keep appearing, or can't be seen from here.
    Needs: write permission in the parent and in what the processes come from.
    Kernel: Documentation/admin-guide/cgroup-v2.rst, "No Internal Process Constraint".
    """
    hierarchy = hierarchy_of(host)
    if not isinstance(hierarchy, Unified) or not host.cgroups.crowded:
        return ""
    moved = move_to_leaf(Linux(), hierarchy.parent)
    # At once, because who is in the leaf finds only there which controllers it has.
    hierarchy.hand_down(Linux())
    return f"moved {moved} processes into {hierarchy.parent}/{LEAF}" if moved else ""


def move_to_leaf(linux: Linux, parent: HostPath) -> int:
    """Move every process of a cgroup into a leaf below it; return how many.

    Raises: EACCES where the cgroup isn't yours; StateError when some stay.
    Needs: write permission in the cgroup.
    Kernel: cgroups(7), "The no internal processes rule".
    """
    leaf, moved = f"{parent}/{LEAF}", 0
    _end_threads(linux, parent)
    for _ in range(_ROUNDS):
        pids = linux.read_file(f"{parent}/cgroup.procs").split()
        if not pids:
            return moved
        if not os.path.isdir(leaf):
            linux.mkdir(leaf)
        moved += sum(_moved(linux, leaf, pid) for pid in pids if pid != "0")
    raise StateError(
        f"the processes of {parent} don't stay in {LEAF}",
        "end what starts them, or start the lab in a scope of its own",
        "cgroups(7)",
        meaning="a cgroup that holds processes can't hand controllers to children",
    )


def _end_threads(linux: Linux, parent: HostPath) -> None:
    # A cgroup that holds processes and hands only cpu or pids down is threaded: its
    # children take no process. With nothing handed down it is an ordinary one again.
    if linux.read_file(f"{parent}/cgroup.type").strip() == "domain threaded":
        switch = f"{parent}/cgroup.subtree_control"
        handed = linux.read_file(switch).split()
        linux.write_file(switch, " ".join(f"-{one}" for one in handed))


def _moved(linux: Linux, leaf: str, pid: str) -> bool:
    try:
        linux.write_file(f"{leaf}/cgroup.procs", pid)
    except SyscallError as refused:
        if refused.errno != errno.ESRCH:
            raise
        return False  # it has ended
    return True
