"""A container whose mounts the host sees, too. Chapter 05.

    host   / (shared)  <----- peers ----->  / of the inside, still shared
           |-- rootfs   (its mount is private: nothing below it goes out ...)
           `-- volume  <----- peers ----->  rootfs/volume  (... but what is bound from a
                                            shared mount, and asks to stay shared)

Usually MakeSlave cuts the inside off: what it mounts nobody sees. Where a volume shall
be shared in both directions (rootfsPropagation "shared"), the mounts stay peers of the
host's, and two things must then not happen: that the new root itself appears on the
host, and that detaching the old root detaches the host's own mounts.
"""

from __future__ import annotations

from typing import ClassVar

from labkit.linux.flags import MNT, MS, O
from labkit.linux.syscalls import Linux
from labkit.plan.step import After, Requires
from labkit.primitives.mounts import MakePrivate
from labkit.primitives.root import PivotRoot
from labkit.values import dataclass


@dataclass(frozen=True, slots=True, repr=False)
class MakeShared(MakePrivate):
    """Let mounts go out to the host and come in from it; only the root's own don't.

    Args: path [as the inside sees it]; below [the mount that this path lies on becomes
        private: what is mounted right on it doesn't go out].
    Raises: EINVAL when path is no mount point, EPERM without the capability.
    Needs: CAP_SYS_ADMIN in the user namespace that owns the mount namespace.
    Kernel: mount_namespaces(7), SHARED SUBTREES.
    Spec: OCI runtime, linux.rootfsPropagation.
    """

    path: str = "/"
    below: str = "/"

    def describe(self) -> str:
        return f"share the mounts below {self.path}, but for the one of {self.below}"

    def apply(self, linux: Linux) -> int | None:
        linux.mount(None, self.path, None, MS.REC | MS.SHARED)
        point = mount_point_of(self.below, linux.read_file("/proc/self/mountinfo"))
        linux.mount(None, point, None, MS.PRIVATE)
        return None


@dataclass(frozen=True, slots=True, repr=False)
class PivotSharedRoot(PivotRoot):
    """As PivotRoot; and detaching the old root's mounts detaches none of the host's.

    Args: path [as the inside sees it, a mount point].
    Raises: EBUSY or EINVAL when path is no mount point, EINVAL under a shared mount.
    Needs: CAP_SYS_ADMIN in the user namespace that owns the mount namespace.
    Kernel: pivot_root(2), NOTES. Spec: OCI runtime, root.path.
    """

    rules: ClassVar[tuple[Requires | After, ...]] = (
        *PivotRoot.rules,
        After(MakeShared, "otherwise there is nothing that could go out"),
    )

    def apply(self, linux: Linux) -> int | None:
        old_root = linux.open("/", O.PATH | O.DIRECTORY)
        linux.chdir(self.path)
        linux.pivot_root(".", ".")
        linux.fchdir(old_root)  # only umount2 looks what lies on top of "."
        linux.mount(None, ".", None, MS.SLAVE | MS.REC)
        linux.umount2(".", MNT.DETACH)
        linux.chdir("/")
        linux.close(old_root)
        return None


def mount_point_of(path: str, mountinfo: str) -> str:
    """Return the mount point that a path lies on: the longest that it begins with."""
    points = (line.split(" ")[4] for line in mountinfo.splitlines())
    found = [p for p in points if f"{path}/".startswith(f"{p.rstrip('/')}/")]
    return max(found, key=len, default="/")
