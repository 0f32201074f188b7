"""The mount of an overlay: layers in, one tree out. Chapter 06.

    mount("overlay", merged, "overlay", 0, "lowerdir=...,upperdir=...,workdir=...")

Left out: overlays without an upper layer, index and metacopy, the new mount API.
"""

from __future__ import annotations

import os
from typing import ClassVar

from labkit.errors import StateError
from labkit.linux.flags import CLONE, MS
from labkit.linux.syscalls import Linux
from labkit.plan.step import After, Before, Requires, Rule, Step
from labkit.primitives.mounts import MakePrivate
from labkit.primitives.namespaces import Unshare
from labkit.primitives.root import Chroot, PivotRoot
from labkit.values import dataclass

# mount(2): data is one page; what is longer would be cut off without a word.
_LONGEST_OPTIONS = 4095
# Commas part options, colons part lower layers, a backslash escapes both.
_ESCAPES = str.maketrans({mark: f"\\{mark}" for mark in "\\:,"})


@dataclass(frozen=True, slots=True, repr=False)
class MountOverlay(Step):
    """Mount a stack of layers: they are seen as one tree, changes go to the top.

    Args: lowerdirs [top first]; upperdir, workdir [on one file system, which is no
        overlay itself]; target [must exist]; all as the inside sees them at that
        moment. userxattr [True for a mount made in a user namespace: the layers' marks
        are then user.overlay.* and not trusted.overlay.*].
    Raises: ELOOP when the layers overlap, EINVAL for an upper on an overlay, ENOENT for
        a missing layer, ENODEV without OverlayFS, EPERM without the capability.
    Needs: CAP_SYS_ADMIN in the user namespace that owns the mount namespace; in another
        one than the first since Linux 5.11.
    Kernel: mount(8), Documentation/filesystems/overlayfs.rst.
    """

    lowerdirs: tuple[str, ...]
    upperdir: str
    workdir: str
    target: str
    userxattr: bool = False

    man: ClassVar[tuple[str, ...]] = ("mount(2)", "mount(8)")
    needs: ClassVar[str] = "CAP_SYS_ADMIN in the owner of the mount namespace"
    rules: ClassVar[tuple[Rule, ...]] = (
        Requires(
            Unshare(CLONE.NEWNS),
            "without a mount namespace of its own it would mount for everyone",
        ),
        After(MakePrivate, "a mount below a shared one would appear on the host, too"),
        Before(PivotRoot, "the layers are directories of the old root"),
        Before(Chroot, "the layers are directories of the old root"),
    )

    def describe(self) -> str:
        lower = "a lower layer"
        if len(self.lowerdirs) != 1:
            lower = f"{len(self.lowerdirs)} lower layers"
        return f"mount an overlay on {self.target}: an upper layer over {lower}"

    def apply(self, linux: Linux) -> int | None:
        linux.mount("overlay", self.target, "overlay", MS(0), self.options())
        return None

    def options(self) -> str:
        """Return the mount's options, with the paths escaped."""
        lower = ":".join(path.translate(_ESCAPES) for path in self.lowerdirs)
        upper = self.upperdir.translate(_ESCAPES)
        work = self.workdir.translate(_ESCAPES)
        # A renamed directory is copied, as with userxattr: then what a layer holds can
        # be told from its names alone.
        rest = "userxattr" if self.userxattr else "redirect_dir=off"
        options = f"lowerdir={lower},upperdir={upper},workdir={work},{rest}"
        if len(os.fsencode(options)) > _LONGEST_OPTIONS:
            raise StateError(
                f"overlay on {self.target}: the options are longer than a page",
                "use fewer layers, or shorter paths for them",
                "mount(2)",
                meaning=f"Linux takes {_LONGEST_OPTIONS} bytes; "
                f"{len(self.lowerdirs)} lower layers don't fit",
            )
        return options
