"""Mounts: bind, propagation, proc, sys, masks. Chapter 05.

    MakePrivate("/")                 mounts made here stay here
    BindMount(source, target)        a directory or file, seen at a second place
    MountFilesystem("proc", "/proc") the kernel's own views, and tmpfs
    Mask("/proc/kcore")              hide a path from the inside
    ReadonlyPath("/proc/sys")        leave it visible, refuse writing

Reading order as above.
A root that isn't ours yet, and config.json's options: mount_inside.py.
Left out: id-mapped mounts.
"""

from __future__ import annotations

from typing import ClassVar

from labkit.linux.flags import CLONE, MOUNT_ATTR, MS, O
from labkit.linux.structs import MountAttributes
from labkit.linux.syscalls import Linux
from labkit.plan.step import After, Requires, Rule, Step
from labkit.primitives.namespaces import Unshare
from labkit.primitives.process import Fork
from labkit.primitives.root import Chroot, PivotRoot
from labkit.values import dataclass

_READONLY = MountAttributes(attr_set=MOUNT_ATTR.RDONLY)
_OWN_MOUNTS = Requires(
    Unshare(CLONE.NEWNS),
    "without a mount namespace of its own it would mount for everyone",
)


@dataclass(frozen=True, slots=True, repr=False)
class MakePrivate(Step):
    """Cut a mount, and all below it, off from propagation.

    systemd makes "/" shared; a copy of it in a new mount namespace is shared too, so a
    mount made inside would appear outside.

    Args: path [as the inside sees it, a mount point].
    Raises: EINVAL when path is no mount point, EPERM without the capability.
    Needs: CAP_SYS_ADMIN in the user namespace that owns the mount namespace.
    Kernel: mount_namespaces(7), SHARED SUBTREES.
    Spec: OCI runtime, linux.rootfsPropagation.
    """

    path: str = "/"

    man: ClassVar[tuple[str, ...]] = ("mount(2)", "mount_namespaces(7)")
    needs: ClassVar[str] = "CAP_SYS_ADMIN in the owner of the mount namespace"
    rules: ClassVar[tuple[Rule, ...]] = (
        Requires(Unshare(CLONE.NEWNS), "it would change the host's own mounts"),
    )

    def describe(self) -> str:
        return f"make the mounts below {self.path} private"

    def apply(self, linux: Linux) -> int | None:
        linux.mount(None, self.path, None, MS.REC | MS.PRIVATE)
        return None


@dataclass(frozen=True, slots=True, repr=False)
class MakeSlave(MakePrivate):
    """Let nothing of a mount, and of all below it, out; what the host mounts comes in.

    What the host detaches goes inside as well: a private copy would hold it.

    Args: path [as the inside sees it, a mount point].
    Raises: EINVAL when path is no mount point, EPERM without the capability.
    Needs: CAP_SYS_ADMIN in the user namespace that owns the mount namespace.
    Kernel: mount_namespaces(7), SHARED SUBTREES.
    Spec: OCI runtime, linux.rootfsPropagation.
    """

    def describe(self) -> str:
        return f"let no mount below {self.path} out"

    def apply(self, linux: Linux) -> int | None:
        linux.mount(None, self.path, None, MS.REC | MS.SLAVE)
        return None


_PRIVATE_FIRST = After(
    MakePrivate, "a mount below a shared one would appear on the host as well"
)


@dataclass(frozen=True, slots=True, repr=False)
class BindMount(Step):
    """Show a directory or file at a second place.

    Read-only takes a second call: Linux ignores MS_RDONLY when it binds. And a newer
    one, because mount(2) would leave what is mounted below the source writable.

    Args: source, target [as the inside sees them at that moment; both must exist];
        readonly [refuse writing through this mount, and through those below it].
    Raises: ENOENT for a missing path, EINVAL, EPERM without the capability.
    Needs: CAP_SYS_ADMIN in the user namespace that owns the mount namespace.
    Kernel: mount(2), Creating a bind mount; mount_setattr(2), since Linux 5.12.
    Spec: OCI runtime, mounts.
    """

    source: str
    target: str
    readonly: bool = False

    man: ClassVar[tuple[str, ...]] = ("mount(2)", "mount_setattr(2)")
    needs: ClassVar[str] = "CAP_SYS_ADMIN in the owner of the mount namespace"
    rules: ClassVar[tuple[Rule, ...]] = (_OWN_MOUNTS, _PRIVATE_FIRST)

    def describe(self) -> str:
        how = ", read-only" if self.readonly else ""
        return f"bind {self.source} to {self.target}{how}"

    def apply(self, linux: Linux) -> int | None:
        linux.mount(self.source, self.target, None, MS.BIND | MS.REC)
        if self.readonly:
            linux.mount_setattr(self.target, _READONLY, recursive=True)
        return None


@dataclass(frozen=True, slots=True, repr=False)
class MountFilesystem(Step):
    """Mount one of the kernel's own file systems: proc, sysfs, tmpfs, devpts, mqueue.

    A proc mount shows the PID namespace of the process that mounts it.

    Args: fstype ["proc" and so on]; target [as the inside sees it, must exist]; flags;
        data [options of the file system, "size=64k,mode=755"].
    Raises: EPERM (proc and sysfs need a PID or network namespace that you own), ENODEV
        for an unknown type, ENOENT for a missing target.
    Needs: CAP_SYS_ADMIN in the user namespace that owns the mount namespace.
    Kernel: mount(2), proc(5), sysfs(5), tmpfs(5). Spec: OCI runtime, mounts.
    """

    fstype: str
    target: str
    flags: MS = MS.NOSUID | MS.NODEV | MS.NOEXEC
    data: str | None = None

    man: ClassVar[tuple[str, ...]] = ("mount(2)", "filesystems(5)")
    needs: ClassVar[str] = "CAP_SYS_ADMIN in the owner of the mount namespace"
    rules: ClassVar[tuple[Rule, ...]] = (
        _OWN_MOUNTS,
        _PRIVATE_FIRST,
        After(Fork, "proc shows the PID namespace of the process that mounts it"),
    )

    def describe(self) -> str:
        return f"mount {self.fstype} on {self.target}"

    def apply(self, linux: Linux) -> int | None:
        linux.mount(self.fstype, self.target, self.fstype, self.flags, self.data)
        return None


@dataclass(frozen=True, slots=True, repr=False)
class Mask(Step):
    """Hide a path: an empty directory, or /dev/null, is put over it.

    Args: path [as the inside sees it; one that doesn't exist needs no mask].
    Raises: EPERM without the capability, ENOENT for a file when /dev/null is missing.
    Needs: CAP_SYS_ADMIN in the user namespace that owns the mount namespace.
    Kernel: mount(2). Spec: OCI runtime, linux.maskedPaths.
    """

    path: str

    man: ClassVar[tuple[str, ...]] = ("mount(2)",)
    needs: ClassVar[str] = "CAP_SYS_ADMIN in the owner of the mount namespace"
    rules: ClassVar[tuple[Rule, ...]] = (
        _OWN_MOUNTS,
        After(PivotRoot, "the path means another file before it"),
        After(Chroot, "the path means another file before it"),
    )

    def describe(self) -> str:
        return f"hide {self.path}"

    def apply(self, linux: Linux) -> int | None:
        # Asked first, because mount answers ENOENT for a missing /dev/null as well.
        try:
            linux.close(linux.open(self.path, O.PATH | O.DIRECTORY))
        except FileNotFoundError:
            return None  # ENOENT: there is nothing to hide
        except NotADirectoryError:  # ENOTDIR: a file
            linux.mount("/dev/null", self.path, None, MS.BIND)
        else:
            linux.mount("tmpfs", self.path, "tmpfs", MS.RDONLY)
        return None


@dataclass(frozen=True, slots=True, repr=False)
class ReadonlyPath(Step):
    """Refuse writing below a path that stays visible.

    Args: path [as the inside sees it; one that doesn't exist is left out].
    Raises: EPERM without the capability.
    Needs: CAP_SYS_ADMIN in the user namespace that owns the mount namespace.
    Kernel: mount(2). Spec: OCI runtime, linux.readonlyPaths.
    """

    path: str

    man: ClassVar[tuple[str, ...]] = ("mount(2)",)
    needs: ClassVar[str] = "CAP_SYS_ADMIN in the owner of the mount namespace"
    rules: ClassVar[tuple[Rule, ...]] = (
        _OWN_MOUNTS,
        After(PivotRoot, "the path means another file before it"),
    )

    def describe(self) -> str:
        return f"make {self.path} read-only"

    def apply(self, linux: Linux) -> int | None:
        keep = MS.NOSUID | MS.NODEV | MS.NOEXEC
        try:
            linux.mount(self.path, self.path, None, MS.BIND | MS.REC)
        except FileNotFoundError:
            return None  # ENOENT: there is nothing to protect
        linux.mount(None, self.path, None, MS.BIND | MS.REMOUNT | MS.RDONLY | keep)
        return None
