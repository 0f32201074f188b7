"""MoveRoot: a new root where pivot_root can't be. Chapter 05.

On a ramdisk (the first root of every Linux) pivot_root is refused. There the new root's
mount is moved over the old one, which stays below it, and chroot steps up.

A proc that isn't hidden anywhere would let the container mount another one, in a user
namespace of its own, and undo all masks: so the old ones are taken away first.
"""

from __future__ import annotations

from typing import ClassVar

from labkit.errors import SyscallError
from labkit.linux.flags import MNT, MS
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
        for place in _bare_places(linux):
            _take_away(linux, place)
        linux.mount(self.path, "/", None, MS.MOVE)
        linux.chroot(".")
        linux.chdir("/")
        return None


def _bare_places(linux: Linux) -> list[str]:
    # Where proc and sysfs are mounted outside the new root; the innermost first.
    below = linux.readlink("/proc/self/cwd").rstrip("/") + "/"
    lines = linux.read_file("/proc/self/mountinfo").splitlines()
    found = []
    for line in lines:
        mount, _, filesystem = line.partition(" - ")
        place = mount.split()[4]
        if filesystem.split()[:1] in (["proc"], ["sysfs"]):
            found += [place] if not f"{place}/".startswith(below) else []
    return sorted(found, key=len, reverse=True)


def _take_away(linux: Linux, place: str) -> None:
    try:
        linux.umount2(place, MNT.DETACH)
    except SyscallError:
        # EINVAL, EPERM: locked by a more privileged namespace. An empty file system
        # over it hides it as well.
        linux.mount("tmpfs", place, "tmpfs", MS.RDONLY, None)
