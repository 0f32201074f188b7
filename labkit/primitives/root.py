"""The root directory: chroot, the way out of it, and pivot_root. Chapters 02 and 05.

Chroot(path), Chdir("/")     two fields of the process: where "/" is, where "." is
escape()                     four calls by which root leaves a chroot
PivotRoot(path)              swap the root mount; detach the old one

before                 after Chroot(box)         after PivotRoot(box)
/      <- root, cwd    /                         /  = box   <- root, cwd
|-- etc                |-- etc    (still there,  |-- bin     (the old root is
`-- box                `-- box    <- root         `-- etc     not mounted here
                                   a step up)                 any more)
"""

from __future__ import annotations

from typing import ClassVar

from labkit.linux.flags import CLONE, MNT
from labkit.linux.syscalls import Linux
from labkit.plan.plan import Plan
from labkit.plan.step import After, FollowedBy, Requires, Step
from labkit.primitives.namespaces import Unshare
from labkit.values import dataclass


@dataclass(frozen=True, slots=True, repr=False)
class Chdir(Step):
    """Set the inside's working directory.

    Args: path [as the inside sees it at that moment].
    Raises: ENOENT, ENOTDIR or EACCES for a bad path.
    Needs: nothing.
    Kernel: chdir(2). Spec: OCI runtime, process.cwd.
    """

    path: str

    man: ClassVar[tuple[str, ...]] = ("chdir(2)",)

    def describe(self) -> str:
        ups = self.path.split("/")
        if len(ups) > 3 and set(ups) == {".."}:
            return f"go up {len(ups)} directories: ../../.. and so on"
        return f"go to {self.path}"

    def apply(self, linux: Linux) -> int | None:
        linux.chdir(self.path)
        return None


@dataclass(frozen=True, slots=True, repr=False)
class Chroot(Step):
    """Write one field of the inside: where its "/" is.

    Not a boundary: root gets out with `escape()`. What it is good for is another Linux
    from the disk, seen from its own inside.

    Args: path [as the inside sees it at that moment, a directory].
    Raises: EPERM without the capability, ENOENT or ENOTDIR for a bad path.
    Needs: CAP_SYS_CHROOT in your user namespace.
    Kernel: chroot(2), path_resolution(7).
    """

    path: str

    man: ClassVar[tuple[str, ...]] = ("chroot(2)", "path_resolution(7)")
    needs: ClassVar[str] = "CAP_SYS_CHROOT in your user namespace"
    rules: ClassVar[tuple[FollowedBy, ...]] = (
        FollowedBy(
            Chdir,
            'the working directory still points outside, so "." and ".." lead out',
        ),
    )

    def describe(self) -> str:
        return f"change the root directory to {self.path}"

    def apply(self, linux: Linux) -> int | None:
        linux.chroot(self.path)
        return None


@dataclass(frozen=True, slots=True, repr=False)
class MakeDir(Step):
    """Make a directory, unless it is there.

    Args: path [as the inside sees it at that moment].
    Raises: ENOENT when a parent is missing, EACCES, EROFS.
    Needs: nothing beyond the parent's permissions.
    Kernel: mkdir(2).
    """

    path: str

    man: ClassVar[tuple[str, ...]] = ("mkdir(2)",)

    def describe(self) -> str:
        return f"make the directory {self.path}"

    def apply(self, linux: Linux) -> int | None:
        try:
            linux.mkdir(self.path)
        except FileExistsError:
            return None  # EEXIST: what was wanted is there
        return None


def escape(depth: int = 64) -> Plan:
    """Return the steps by which a root user leaves a chroot: four kinds of system call.

    Linux remembers one root for each process, and stops ".." only at that root. So she
    makes a directory, changes the root to it without going in, and stands outside her
    own root: from there ".." leads up to the real one.

    Args: depth [how often ".." is walked; more than the tree is deep does no harm].
    Raises: the steps raise EPERM without CAP_SYS_CHROOT.
    Needs: CAP_SYS_CHROOT in your user namespace.
    Kernel: chroot(2), NOTES.
    """
    up = "/".join([".."] * depth)
    return Plan(MakeDir("way-out"), Chroot("way-out"), Chdir(up), Chroot("."))


@dataclass(frozen=True, slots=True, repr=False)
class PivotRoot(Step):
    """Make a mounted directory the root of the mount namespace, and let the old one go.

    The old root is put over the new one and detached at once: pivot_root(".", ".")
    needs no directory for it. Afterwards no path leads back.

    Args: path [as the inside sees it, a mount point: BindMount(path, path) makes one].
    Raises: EBUSY or EINVAL when path is no mount point, EINVAL under a shared mount.
    Needs: CAP_SYS_ADMIN in the user namespace that owns the mount namespace.
    Kernel: pivot_root(2), NOTES. Spec: OCI runtime, root.path.
    """

    path: str

    man: ClassVar[tuple[str, ...]] = ("pivot_root(2)", "umount(2)")
    needs: ClassVar[str] = "CAP_SYS_ADMIN in the owner of the mount namespace"
    rules: ClassVar[tuple[Requires | After, ...]] = (
        Requires(
            Unshare(CLONE.NEWNS),
            "pivot_root moves the root of every process in the mount namespace",
        ),
    )

    def describe(self) -> str:
        return f"make {self.path} the root mount, detach the old one"

    def apply(self, linux: Linux) -> int | None:
        linux.chdir(self.path)
        linux.pivot_root(".", ".")
        linux.umount2(".", MNT.DETACH)  # the old root lies on top: "." means it
        linux.chdir("/")
        return None
