"""Clone: a new process directly in new namespaces, and in a cgroup. Chapter 09.

    Unshare(flags), Fork()            two steps, two processes, one of which leaves
    Clone(flags)                      one step: the inside goes on as a process that was
                                      born in all of them
    Clone(flags, cgroup)              ... and in a cgroup of version 2, without a move
    PutIntoCgroup(name, directories)  the outside moves it there, while it goes on
    CatchUp()                         and here it waits until that is done

What costs time in the start of a container is not the work but the waiting: a process
that is moved into a cgroup of version 1 waits until every processor has been through
the scheduler. So the outside does it while the inside mounts.
"""

from __future__ import annotations

import signal
from typing import ClassVar

from labkit.linux.flags import CLONE, O
from labkit.linux.structs import CloneArgs
from labkit.linux.syscalls import Linux
from labkit.linux.views import HostPath
from labkit.plan.step import After, Before, Rule, Step, Where
from labkit.primitives.namespaces import Unshare
from labkit.primitives.process import Fork
from labkit.values import dataclass


@dataclass(frozen=True, slots=True, repr=False)
class Clone(Fork):
    """Make a process in new namespaces, and go on as that process.

    For small processes with one thread: `launch` applies it. A notebook's child takes
    Unshare and Fork.

    Args: flags [CLONE.NEWNS and so on]; cgroup [host path, version 2 only].
    Raises: EPERM without the capability, ENOSPC at the limit on namespaces, EBUSY for a
        cgroup that hands controllers to children.
    Needs: CAP_SYS_ADMIN in your user namespace, except with CLONE.NEWUSER.
    Kernel: clone3(2) since Linux 5.3, CLONE_INTO_CGROUP since 5.7.
        Spec: OCI runtime, linux.namespaces.
    """

    flags: CLONE
    cgroup: HostPath | None = None

    man: ClassVar[tuple[str, ...]] = ("clone3(2)", "namespaces(7)")
    needs: ClassVar[str] = (
        "CAP_SYS_ADMIN in your user namespace, except with CLONE_NEWUSER"
    )

    def describe(self) -> str:
        kinds = f" into {Unshare(self.flags).describe()}" if self.flags else ""
        there = ", born in its cgroup" if self.cgroup else ""
        return f"fork{kinds}{there}"

    def apply(self, linux: Linux) -> int | None:
        # A sibling (CLONE_PARENT) tells its end as its own parent does: clone(2).
        told = 0 if self.flags & CLONE.PARENT else signal.SIGCHLD
        if self.cgroup is None:
            return linux.clone3(CloneArgs(self.flags, told))
        cgroup_fd = linux.open(self.cgroup, O.PATH | O.DIRECTORY)
        pid = linux.clone3(CloneArgs(self.flags, told, cgroup_fd))
        linux.close(cgroup_fd)
        return pid

    def covers(self, example: Step) -> bool:
        """Say whether it makes at least the namespaces of an example."""
        return Unshare(self.flags).covers(example)


@dataclass(frozen=True, slots=True, repr=False)
class PutIntoCgroup(Step):
    """Move the inside into a group from outside, while it goes on with its steps.

    Args: name [of the group]; directories [host paths].
    Raises: ENOENT when the group is gone, EACCES when it isn't yours, ESRCH when the
        inside has died.
    Needs: write permission in the group.
    Kernel: cgroups(7). Spec: OCI runtime, linux.cgroupsPath.
    """

    name: str
    directories: tuple[HostPath, ...]

    where: ClassVar[Where] = Where.OUTSIDE
    meanwhile: ClassVar[bool] = True
    man: ClassVar[tuple[str, ...]] = ("cgroups(7)",)
    needs: ClassVar[str] = "write permission in the cgroup"
    rules: ClassVar[tuple[Rule, ...]] = (
        After(Fork, "a process that it forked before would stay outside the group"),
        Before(
            Unshare(CLONE.NEWCGROUP),
            "the cgroup at that moment becomes the root of the cgroup namespace",
        ),
    )

    def describe(self) -> str:
        return f"move it into the cgroup {self.name}, while it goes on"

    def apply(self, linux: Linux) -> int | None:
        for directory in self.directories:
            linux.write_file(f"{directory}/cgroup.procs", str(linux.inside))
        return None


@dataclass(frozen=True, slots=True, repr=False)
class CatchUp(Step):
    """Let the inside wait until the outside has done what it was doing meanwhile.

    Raises: nothing.
    Needs: nothing.
    """

    where: ClassVar[Where] = Where.OUTSIDE
    man: ClassVar[tuple[str, ...]] = ("recv(2)",)
    needs: ClassVar[str] = "nothing"

    def describe(self) -> str:
        return "wait until the outside is done"

    def apply(self, linux: Linux) -> int | None:
        return None
