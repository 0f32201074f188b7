"""JoinCgroup: the inside moves itself into a group. Chapter 03.

    JoinCgroup          writes "0", which means "me", into cgroup.procs or tasks
    LimitNotApplied     stands in a plan where a limit could not be set, and says so

What the inside starts later is born in the group: nothing escapes by forking.
"""

from __future__ import annotations

from typing import ClassVar

from labkit.linux.flags import CLONE
from labkit.linux.syscalls import Linux
from labkit.linux.views import HostPath
from labkit.plan.step import Before, Rule, Step
from labkit.primitives.namespaces import Unshare
from labkit.primitives.root import Chroot, PivotRoot
from labkit.values import dataclass

_HOST_PATH = (
    "the way to the group is a path of the host, which the new root doesn't have"
)


@dataclass(frozen=True, slots=True, repr=False)
class JoinCgroup(Step):
    """Move the inside into a group; what it starts afterwards is born there.

    Args: name [of the group]; directories [host paths, as the inside still sees them];
        file [of them: cgroup.procs takes a process with all its threads, for which
        Linux makes sure that none of them forks meanwhile, and waits for every
        processor: 13 ms. tasks, which only v1 has, takes the one thread that writes;
        nobody waits, and a process with one thread is there as a whole].
    Raises: ENOENT when the group is gone, EACCES when it isn't yours, EBUSY when it
        hands controllers to children, ENOSPC for a cpuset without CPUs.
    Needs: write permission in the group; in v2 also in the common ancestor.
    Kernel: cgroups(7); a thread moves itself without a wait since Linux 5.5.
        Spec: OCI runtime, linux.cgroupsPath.
    Left out: CLONE_INTO_CGROUP of clone3(2), which makes a child there without a move.
    """

    name: str
    directories: tuple[HostPath, ...]
    file: str = "cgroup.procs"

    man: ClassVar[tuple[str, ...]] = ("cgroups(7)",)
    needs: ClassVar[str] = "write permission in the cgroup"
    rules: ClassVar[tuple[Rule, ...]] = (
        Before(
            Unshare(CLONE.NEWUSER),
            "afterwards it is nobody special outside, and the group isn't its own",
        ),
        Before(
            Unshare(CLONE.NEWCGROUP),
            "the cgroup at that moment becomes the root of the cgroup namespace",
        ),
        Before(Chroot, _HOST_PATH),
        Before(PivotRoot, _HOST_PATH),
    )

    def describe(self) -> str:
        return f"join the cgroup {self.name}"

    def apply(self, linux: Linux) -> int | None:
        for directory in self.directories:
            linux.write_file(f"{directory}/{self.file}", "0")
        return None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"


@dataclass(frozen=True, slots=True, repr=False)
class LimitNotApplied(Step):
    """Say in the plan that a limit could not be set here; change nothing.

    Args: reason [why]; asked [the limits, as text].
    Raises: nothing.
    """

    reason: str
    asked: str = ""

    man: ClassVar[tuple[str, ...]] = ("cgroups(7)",)
    needs: ClassVar[str] = "nothing"

    def describe(self) -> str:
        asked = f" ({self.asked})" if self.asked else ""
        return f"limit not applied: {self.reason}{asked}"

    def apply(self, linux: Linux) -> int | None:
        return None
