"""Paths that a container may not see, or not change. Chapter "The runtime".

    HidePaths(("/proc/kcore", ...))     an empty directory, or /dev/null, over each
    ProtectPaths(("/proc/sys", ...))    visible, and read-only with all below

The steps Mask and ReadonlyPath of chapter 05, for many paths and for images that can't
be trusted: what lies at /dev/null is looked at, because an image could bring a link of
that name, and would so choose what is put over a path (CVE-2025-31133).
"""

from __future__ import annotations

import os
import stat
from typing import ClassVar

from labkit.errors import StateError
from labkit.linux.flags import CLONE, MOUNT_ATTR, MS, OPEN_TREE, O
from labkit.linux.structs import MountAttributes
from labkit.linux.syscalls import Linux
from labkit.plan.step import After, Requires, Rule, Step
from labkit.primitives.namespaces import Unshare
from labkit.primitives.root import Chroot, PivotRoot
from labkit.values import dataclass

_READONLY = MountAttributes(attr_set=MOUNT_ATTR.RDONLY)
_DIRECTORY = O.PATH | O.DIRECTORY
_NULL = os.makedev(1, 3)  # Documentation/admin-guide/devices.txt
_RULES: tuple[Rule, ...] = (
    Requires(
        Unshare(CLONE.NEWNS),
        "without a mount namespace of its own it would hide them from everyone",
    ),
    After(PivotRoot, "the paths mean other files before it"),
    After(Chroot, "the paths mean other files before it"),
)


@dataclass(frozen=True, slots=True, repr=False)
class HidePaths(Step):
    """Put an empty directory over directories, and /dev/null over files.

    Args: paths [as the inside sees them; one that doesn't exist needs no cover].
    Raises: StateError when /dev/null is something else; EPERM without the capability.
    Needs: CAP_SYS_ADMIN in the user namespace that owns the mount namespace.
    Kernel: mount(2), open_tree(2), move_mount(2). Spec: OCI runtime, linux.maskedPaths.
    """

    paths: tuple[str, ...]

    man: ClassVar[tuple[str, ...]] = ("mount(2)", "open_tree(2)")
    needs: ClassVar[str] = "CAP_SYS_ADMIN in the owner of the mount namespace"
    rules: ClassVar[tuple[Rule, ...]] = _RULES

    def describe(self) -> str:
        return f"hide {', '.join(self.paths)}"

    def apply(self, linux: Linux) -> int | None:
        for path in self.paths:
            try:
                linux.close(linux.open(path, _DIRECTORY))
            except FileNotFoundError:
                continue  # ENOENT: there is nothing to hide
            except NotADirectoryError:  # ENOTDIR: a file
                _cover(linux, path)
            else:
                linux.mount("tmpfs", path, "tmpfs", MS.RDONLY, "nr_inodes=1")
        return None


@dataclass(frozen=True, slots=True, repr=False)
class ProtectPaths(Step):
    """Refuse writing below paths that stay visible.

    Args: paths [as the inside sees them; one that doesn't exist is left out].
    Raises: EPERM without the capability.
    Needs: CAP_SYS_ADMIN in the user namespace that owns the mount namespace.
    Kernel: mount(2), mount_setattr(2). Spec: OCI runtime, linux.readonlyPaths.
    """

    paths: tuple[str, ...]

    man: ClassVar[tuple[str, ...]] = ("mount(2)", "mount_setattr(2)")
    needs: ClassVar[str] = "CAP_SYS_ADMIN in the owner of the mount namespace"
    rules: ClassVar[tuple[Rule, ...]] = _RULES

    def describe(self) -> str:
        return f"make read-only: {', '.join(self.paths)}"

    def apply(self, linux: Linux) -> int | None:
        for path in self.paths:
            try:
                linux.mount(path, path, None, MS.BIND | MS.REC)
            except FileNotFoundError:
                continue  # ENOENT: there is nothing to protect
            linux.mount_setattr(path, _READONLY, recursive=True)
        return None


def _cover(linux: Linux, path: str) -> None:
    null = linux.open("/dev/null", O.PATH | O.NOFOLLOW)
    about = linux.fstat(null)
    if not stat.S_ISCHR(about.st_mode) or about.st_rdev != _NULL:
        raise StateError(
            f"/dev/null: is something else, so {path} can't be hidden by it",
            "take that file out of the image",
            meaning="an image that brings its own could choose what is seen there",
        )
    tree = linux.open_tree(null, OPEN_TREE.CLONE | OPEN_TREE.CLOEXEC)
    linux.move_mount(tree, path)
    linux.close(tree)
    linux.close(null)
