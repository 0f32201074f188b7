"""MoveRoot: a new root where pivot_root can't be. Chapter 05.

On a ramdisk (the first root of every Linux) pivot_root is refused. There the new root's
mount is moved over the old one, which stays below it, and chroot steps up.
"""

from __future__ import annotations

from typing import ClassVar

from labkit.linux.flags import MS
from labkit.linux.syscalls import Linux
from labkit.primitives.root import PivotRoot
from labkit.values import dataclass


@dataclass(frozen=True, slots=True, repr=False)
class MoveRoot(PivotRoot):
    """Move the working directory's mount over the root, and step onto it.

    Weaker than PivotRoot: the old root is still mounted below.

    Args: path [the new root, a mount point, and the working directory].
    Raises: EINVAL when it is no mount point, EPERM without the capability.
    Needs: CAP_SYS_ADMIN in the user namespace that owns the mount namespace.
    Kernel: mount(2), MS_MOVE; chroot(2). Spec: OCI runtime, root.path.
    """

    path: str = "."

    man: ClassVar[tuple[str, ...]] = ("mount(2)", "chroot(2)")

    def describe(self) -> str:
        return "move the new root's mount over the old one"

    def apply(self, linux: Linux) -> int | None:
        linux.mount(self.path, "/", None, MS.MOVE)
        linux.chroot(".")
        linux.chdir("/")
        return None
