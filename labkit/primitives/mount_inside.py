"""Mounts in a root that isn't ours yet: what config.json lists. Chapter 05.

    Chdir(rootfs)                        the working directory is the new root
    MountInside("tmpfs", "/dev", ...)    a file system, at a place in that root
    BindInside("/srv", "/data", ...)     what is there already, at a place in that root
    SetMountAttributes("/dev", ...)      read-only afterwards, propagation

Targets are walked by inside_root, so no link of an image's leads out. A bind is made by
the newer calls: a detached copy is changed while nobody can see it, and then attached;
mount(2) would show it writable for a moment, and leave the mounts below it writable.

Left out: Linux before 5.12, which has no mount_setattr.
"""

from __future__ import annotations

import stat
from typing import ClassVar

from labkit.linux.flags import CLONE, MS, OPEN_TREE, O
from labkit.linux.structs import MountAttributes, OpenHow
from labkit.linux.syscalls import Linux
from labkit.plan.step import After, Before, Requires, Rule, Step
from labkit.primitives.copy_up import copy_up
from labkit.primitives.idmapped import Mappings, map_mount
from labkit.primitives.inside_root import (
    directory_in_root,
    file_in_root,
    is_directory,
    open_in_root,
    refuse_link,
    through,
)
from labkit.primitives.mount_options import MountOptions
from labkit.primitives.mounts import MakePrivate
from labkit.primitives.namespaces import Unshare
from labkit.primitives.process import Fork
from labkit.primitives.root import Chdir, PivotRoot
from labkit.values import dataclass

_UNCHANGED = MountAttributes()
_MASKED = ("proc", "sysfs")
_RULES: tuple[Rule, ...] = (
    Requires(Chdir, "the working directory is the root that the target is walked in"),
    After(
        Unshare(CLONE.NEWNS),
        "without a mount namespace of its own it would mount for everyone",
    ),
    After(MakePrivate, "a mount below a shared one would appear on the host as well"),
    Before(PivotRoot, "after it the host's files, and its proc, can't be reached"),
)


@dataclass(frozen=True, slots=True, repr=False)
class MountInside(Step):
    """Mount a file system at a place in the root that is the working directory.

    What is missing of the target's way is made. A proc mount shows the PID namespace of
    the process that mounts it.

    Args: fstype ["proc", "tmpfs" and so on]; target [container path]; source [its name
        in mountinfo, or a device]; options; in_root [False follows links out of the
        root: only to see what that would do].
    Raises: EPERM (proc and sysfs need a PID or network namespace that you own), ENODEV
        for an unknown type, EINVAL for an option that it doesn't know.
    Needs: CAP_SYS_ADMIN in the user namespace that owns the mount namespace.
    Kernel: mount(2), openat2(2). Spec: OCI runtime, mounts.
    """

    fstype: str
    target: str
    source: str = ""
    options: MountOptions = MountOptions()
    in_root: bool = True

    man: ClassVar[tuple[str, ...]] = ("mount(2)", "openat2(2)")
    needs: ClassVar[str] = "CAP_SYS_ADMIN in the owner of the mount namespace"
    rules: ClassVar[tuple[Rule, ...]] = (
        *_RULES,
        After(Fork, "proc shows the PID namespace of the process that mounts it"),
    )

    def describe(self) -> str:
        return f"mount {self.fstype} on {self.target}"

    def apply(self, linux: Linux) -> int | None:
        if not self.in_root:
            self._mount(linux, f".{self.target}", self.options.data)
            return None
        fd = directory_in_root(linux, self.target)
        if self.fstype in _MASKED:
            refuse_link(linux, self.target)
        self._mount(linux, through(fd), self._data(linux, fd))
        _finish(linux, fd, self.target, self.options)
        linux.close(fd)
        return None

    def _mount(self, linux: Linux, target: str, data: str) -> None:
        source = self.source or self.fstype
        linux.mount(source, target, self.fstype, self.options.flags, data or None)

    def _data(self, linux: Linux, fd: int) -> str:
        # A tmpfs would have 1777; where an image has a directory, it has its reasons.
        data = self.options.data
        if self.fstype != "tmpfs" or "mode=" in data:
            return data
        mode = stat.S_IMODE(linux.fstatat(fd, ".").st_mode)
        return ",".join(filter(None, (data, f"mode={mode:o}")))


@dataclass(frozen=True, slots=True, repr=False)
class BindInside(Step):
    """Show a host's directory or file at a place in the root.

    Args: source [host path]; target [container path, made where it is missing];
        options; in_root [False follows links out of the root]; mappings [of uids and
        gids, if files shall have other owners there].
    Raises: ENOENT without the source, EINVAL when one is a file and the other isn't,
        EPERM without the capability.
    Needs: CAP_SYS_ADMIN in the user namespace that owns the mount namespace.
    Kernel: open_tree(2), mount_setattr(2), move_mount(2); since Linux 5.12.
    Spec: OCI runtime, mounts.
    """

    source: str
    target: str
    options: MountOptions = MountOptions(below=True)
    in_root: bool = True
    mappings: Mappings = ((), ())

    man: ClassVar[tuple[str, ...]] = ("open_tree(2)", "mount_setattr(2)")
    needs: ClassVar[str] = "CAP_SYS_ADMIN in the owner of the mount namespace"
    rules: ClassVar[tuple[Rule, ...]] = _RULES

    def describe(self) -> str:
        return f"bind {self.source} to {self.target}"

    def apply(self, linux: Linux) -> int | None:
        if not self.in_root:
            linux.mount(self.source, f".{self.target}", None, MS.BIND | MS.REC)
            return None
        mount_fd = self._copy(linux)
        change(linux, mount_fd, self.options)
        if any(self.mappings):
            map_mount(linux, mount_fd, self.mappings, below=self.options.map_below)
        _attach(linux, mount_fd, self.target)
        linux.close(mount_fd)
        return None

    def _copy(self, linux: Linux) -> int:
        below = OPEN_TREE.RECURSIVE if self.options.below else OPEN_TREE(0)
        return linux.open_tree(self.source, OPEN_TREE.CLONE | OPEN_TREE.CLOEXEC | below)


@dataclass(frozen=True, slots=True, repr=False)
class SetMountAttributes(Step):
    """Change a mount that is there: read-only, propagation, what programs on it may do.

    Args: target [as the inside sees it, a mount point]; options.
    Raises: EINVAL when target is no mount point, EPERM for a locked attribute.
    Needs: CAP_SYS_ADMIN in the user namespace that owns the mount namespace.
    Kernel: mount_setattr(2), since Linux 5.12.
    Spec: OCI runtime, root.readonly and linux.rootfsPropagation.
    """

    target: str
    options: MountOptions

    man: ClassVar[tuple[str, ...]] = ("mount_setattr(2)",)
    needs: ClassVar[str] = "CAP_SYS_ADMIN in the owner of the mount namespace"
    rules: ClassVar[tuple[Rule, ...]] = (
        After(PivotRoot, "the path means another mount before it"),
    )

    def describe(self) -> str:
        words = [str(self.options.set or ""), str(self.options.propagation or "")]
        return f"set {', '.join(filter(None, words))} on {self.target}"

    def apply(self, linux: Linux) -> int | None:
        change(linux, self.target, self.options)
        return None


def change(linux: Linux, mount: str | int, options: MountOptions) -> None:
    """Give a mount its attributes and its propagation: no call where nothing is asked.

    Args: mount [a path, or the descriptor of a detached one].
    Raises: EINVAL when it is no mount, EPERM for a locked attribute.
    Needs: CAP_SYS_ADMIN in the user namespace that owns the mount namespace.
    Kernel: mount_setattr(2), since Linux 5.12.
    """
    propagation = options.propagation & ~MS.REC
    everywhere = bool(options.propagation & MS.REC)
    below, own = options.attributes_below, options.attributes
    if below != _UNCHANGED:
        linux.mount_setattr(mount, below, recursive=True)
    if everywhere:
        linux.mount_setattr(
            mount, MountAttributes(propagation=propagation), recursive=True
        )
        propagation = MS(0)
    alone = MountAttributes(own.attr_set, own.attr_clr, propagation)
    if alone != _UNCHANGED:
        linux.mount_setattr(mount, alone)


def _attach(linux: Linux, mount_fd: int, target: str) -> None:
    make = directory_in_root if is_directory(linux, mount_fd) else file_in_root
    target_fd = make(linux, target)
    linux.move_mount(mount_fd, target_fd)
    linux.close(target_fd)


def _finish(linux: Linux, hidden: int, target: str, options: MountOptions) -> None:
    if options.copy_up:
        _fill(linux, hidden, target)
    if options.propagation:
        _set_propagation(linux, target, options.propagation)


def _fill(linux: Linux, hidden: int, target: str) -> None:
    # The descriptor from before the mount still leads below it.
    how = OpenHow(O.DIRECTORY)
    source, filled = linux.openat2(hidden, ".", how), open_in_root(linux, target, O(0))
    copy_up(linux, source, filled)
    linux.close(source)
    linux.close(filled)


def _set_propagation(linux: Linux, target: str, propagation: MS) -> None:
    fd = open_in_root(linux, target)  # again: what lies on top there now is the mount
    change(linux, fd, MountOptions(propagation=propagation))
    linux.close(fd)
