"""Hierarchies: where a group's directories are, in each version of cgroups. Chapter 03.

    Unified: cgroup v2                    Legacy: cgroup v1, also on hybrid machines
    /sys/fs/cgroup                        /sys/fs/cgroup
    `-- labkit-box                        |-- memory/labkit-box
        |-- cgroup.procs                  |   |-- cgroup.procs
        |-- memory.max                    |   `-- memory.limit_in_bytes
        `-- cpu.max                       `-- cpu/labkit-box
                                              |-- cgroup.procs
                                              `-- cpu.cfs_quota_us
    one directory, all controllers        a directory in the tree of each controller

A group is made by mkdir and its files are there; the version is decided once, in
`hierarchy_of`. Groups lie flat below their parent, so that their prefix finds them.

Reading order: Hierarchy, Unified, Legacy, hierarchy_of.
Left out: named v1 hierarchies; cpuset as a limit; threaded groups of v2.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Protocol

from labkit.errors import HostError, SyscallError
from labkit.host import Host
from labkit.linux.syscalls import Linux
from labkit.linux.views import HostPath
from labkit.primitives.cgroups.ending import signal_frozen
from labkit.primitives.cgroups.knobs import Column, Knob
from labkit.values import dataclass

PREFIX = "labkit-"
LEAF = "leaf"
"""Where `make_room` puts the processes of a cgroup that is to have children."""

LIMITING = ("memory", "cpu", "pids", "io")
# v1 counts CPU time, and freezes, in controllers of their own.
_ALSO_IN_V1 = ("cpuacct", "freezer")
# Controllers whose files have another name than the lab, and v2, give them.
_NAMED_BY_FILES = {"blkio": "io"}


class Hierarchy(Protocol):
    """Where the directories of a group are, and what differs between the versions."""

    def column(self, knob: Knob) -> Column:
        """Return how this version spells a knob."""

    def directory(self, name: str, controller: str) -> HostPath | None:
        """Return a group's directory for one controller, or None without it."""

    def directories(self, name: str) -> tuple[HostPath, ...]:
        """Return every directory of a group, each once."""

    def make(self, linux: Linux, name: str) -> None:
        """Make a group's directories."""

    def end(self, linux: Linux, name: str) -> None:
        """Tell every process of a group to end at once."""

    def to_json(self) -> dict[str, Any]:
        """Return what `hierarchy_from_json` needs."""


@dataclass(frozen=True, slots=True)
class Unified:
    """cgroup v2: one directory for all controllers.

    Args: parent [host path of the cgroup below which groups are made]; controllers
        [those that the groups shall have].
    """

    parent: HostPath
    controllers: tuple[str, ...] = ()

    def column(self, knob: Knob) -> Column:
        """Return v2's column of the table."""
        return knob.in_v2()

    def directory(self, name: str, controller: str) -> HostPath | None:
        """Return the group's one directory, whatever the controller."""
        return HostPath(f"{self.parent}/{PREFIX}{name}")

    def directories(self, name: str) -> tuple[HostPath, ...]:
        """Return the group's one directory."""
        return (HostPath(f"{self.parent}/{PREFIX}{name}"),)

    def make(self, linux: Linux, name: str) -> None:
        """Make a group; before it, have the parent hand its controllers to children.

        Raises: what hand_down raises; EEXIST.
        Needs: write permission in the parent.
        Kernel: mkdir(2), cgroups(7).
        """
        self.hand_down(linux)
        for directory in self.directories(name):
            linux.mkdir(directory)

    def hand_down(self, linux: Linux) -> None:
        """Have the parent hand its controllers to children, where it doesn't yet.

        Raises: EBUSY when the parent holds processes (the no-internal-process rule: see
            `make_room`), ENOENT for a controller that it doesn't have.
        Needs: write permission in the parent.
        Kernel: Documentation/admin-guide/cgroup-v2.rst, "Controlling Controllers".
        """
        switch = f"{self.parent}/cgroup.subtree_control"
        handed = linux.read_file(switch).split() if self.controllers else []
        missing = [f"+{one}" for one in self.controllers if one not in handed]
        # One write, because it is all or nothing: "+cpu" alone would succeed beside
        # processes, and leave a threaded cgroup whose children take no process.
        if missing:
            linux.write_file(switch, " ".join(missing))

    def end(self, linux: Linux, name: str) -> None:
        """Kill a whole group by one write.

        Raises: EACCES.
        Needs: write permission in the group.
        Kernel: cgroup.kill since Linux 5.14; before that, signals while frozen.
        """
        for directory in self.directories(name):
            try:
                linux.write_file(f"{directory}/cgroup.kill", "1")
            except FileNotFoundError:
                signal_frozen(linux, (directory,), "cgroup.freeze", ("1", "0"))

    def to_json(self) -> dict[str, Any]:
        return {"parent": self.parent, "controllers": list(self.controllers)}


@dataclass(frozen=True, slots=True)
class Legacy:
    """cgroup v1: a directory in the tree of each controller.

    Args: parents [controller and host path of its tree, memory first: the first move
        of a process into a group costs milliseconds, those right after it nothing].
    """

    parents: tuple[tuple[str, HostPath], ...]

    def column(self, knob: Knob) -> Column:
        """Return v1's column of the table."""
        return knob.in_v1()

    def directory(self, name: str, controller: str) -> HostPath | None:
        """Return the group's directory in the tree of a controller, if there is one."""
        parent = dict(self.parents).get(controller)
        return None if parent is None else HostPath(f"{parent}/{PREFIX}{name}")

    def directories(self, name: str) -> tuple[HostPath, ...]:
        """Return the group's directory in each tree, in the order of `parents`."""
        # Each once, because cpu and cpuacct are often mounted together.
        parents = dict.fromkeys(parent for _, parent in self.parents)
        return tuple(HostPath(f"{parent}/{PREFIX}{name}") for parent in parents)

    def make(self, linux: Linux, name: str) -> None:
        """Make a group in each tree, or in none.

        Raises: EEXIST, EACCES.
        Needs: write permission in the trees: root.
        Kernel: cgroups(7), Creating cgroups and moving processes.
        """
        made: list[HostPath] = []
        try:
            for directory in self.directories(name):
                linux.mkdir(directory)
                made.append(directory)
                fill_cpuset(linux, directory)
        except SyscallError:
            for directory in made:
                linux.rmdir(directory)
            raise

    def end(self, linux: Linux, name: str) -> None:
        """Kill a group's processes while they are frozen, so that none forks away.

        A frozen process of v1 can't die: the signals wait for the thaw.

        Raises: EPERM for a process of another user.
        Needs: CAP_KILL for another user's processes.
        Kernel: Documentation/admin-guide/cgroup-v1/freezer-subsystem.rst.
        """
        words = ("FROZEN", "THAWED")
        signal_frozen(linux, self.directories(name), "freezer.state", words)

    def to_json(self) -> dict[str, Any]:
        return {"parents": [list(pair) for pair in self.parents]}


def hierarchy_of(host: Host) -> Hierarchy:
    """Choose the hierarchy of a machine: the only place where the version is asked for.

    Args: host [the probe's].
    Returns: Legacy where the controllers that limit are v1, Unified where they are v2.
    Raises: HostError when this user may make no cgroup that limits anything.
    """
    ours = [one for one in host.cgroups.controllers if one.parent is not None]
    limiting = [one for one in ours if one.name in LIMITING]
    if not limiting:
        # Only here, because the doctor's texts are needed by nobody else.
        from labkit.doctor.remedies import own_cgroup

        raise HostError(
            "cgroups: none here is yours to change",
            own_cgroup(host),
            "labkit doctor",
            meaning="a limit needs a cgroup that this user may write",
        )
    order = (*LIMITING, *_ALSO_IN_V1)
    parents = {one.name: one.parent for one in ours if one.version == 1}
    v1 = tuple((name, parent) for name in order if (parent := parents.get(name)))
    if any(one.version == 1 for one in limiting):
        return Legacy(v1)
    parent = limiting[0].parent
    assert parent is not None
    return Unified(_above_leaf(parent), tuple(one.name for one in limiting))


def hierarchy_from_json(fields: Mapping[str, Any]) -> Hierarchy:
    """Rebuild a hierarchy from what `to_json` returned."""
    if "parent" in fields:
        return Unified(HostPath(fields["parent"]), tuple(fields["controllers"]))
    return Legacy(tuple((name, HostPath(path)) for name, path in fields["parents"]))


def names_in(hierarchy: Hierarchy) -> tuple[str, ...]:
    """Return the names of all groups with the lab's prefix, in any of the trees."""
    parents = {os.path.dirname(path) for path in hierarchy.directories("")}
    found = {name for parent in parents for name in os.listdir(parent)}
    ours = sorted(name for name in found if name.startswith(PREFIX))
    return tuple(name.removeprefix(PREFIX) for name in ours)


def controller_of(file: str) -> str:
    """Return the controller that a file belongs to: "blkio.throttle..." is io's."""
    prefix = file.partition(".")[0]
    return _NAMED_BY_FILES.get(prefix, prefix)


def _above_leaf(parent: HostPath) -> HostPath:
    # The notebook was put into a leaf (`make_room`): groups go beside it.
    return HostPath(os.path.dirname(parent)) if parent.endswith(f"/{LEAF}") else parent


def fill_cpuset(linux: Linux, directory: HostPath) -> None:
    """Give a v1 group that has no CPUs its parent's: else it would take no process.

    Where cpuset shares a tree with cpu, that concerns a group of cpu's, too.

    Raises: EACCES when the group isn't yours.
    Needs: write permission in the group.
    Kernel: cpuset(7).
    """
    for file in ("cpuset.cpus", "cpuset.mems"):
        path = f"{directory}/{file}"
        if os.path.exists(path) and not linux.read_file(path).strip():
            of_parent = linux.read_file(f"{os.path.dirname(directory)}/{file}")
            linux.write_file(path, of_parent.strip())
