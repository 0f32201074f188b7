"""OverlayFS: a stack of layers, and one place for all changes. Chapter 06.

    box = Overlay.create("box", (rootfs("alpine").path,))
    plan = Plan(Unshare(CLONE.NEWNS), MakePrivate("/"), box.mount(), ...)

    merged     what the container sees        <state>/overlays/box/merged
      ^
    upper      its changes, all of them       <state>/overlays/box/upper
    work       Linux's own, for making them   <state>/overlays/box/work
    alpine     read only, shared by all       the first of lowerdirs is on top

A file is copied up when it is first opened for writing; a removed one gets a whiteout
in the upper layer; a directory made anew is opaque. The lower layers never change.

Reading order: Overlay, remove_tree. The mount itself: overlay_mount.py; what the
layers hold: layers.py.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from typing import ClassVar, Self

from labkit import state
from labkit.errors import StateError, syscall_error
from labkit.host.probing import is_root, read_privilege
from labkit.linux.flags import CAP, MNT, NamespaceType, O
from labkit.linux.proc import mounts
from labkit.linux.syscalls import Linux
from labkit.linux.views import HostPath
from labkit.plan import handle
from labkit.plan.handle import Handle, Record
from labkit.primitives.layers import (
    Entry,
    EntryKind,
    Layer,
    Source,
    lay,
    read_layer,
)
from labkit.primitives.lower_layers import LowerLayers
from labkit.primitives.overlay_mount import MountOverlay
from labkit.text import Text

HALF = ".labkit-half"
"""After its name: a directory of the lab's that is being copied, or removed."""

_FOLDER = "overlays"


class Overlay(Handle):
    """An upper, a work and a merged directory over layers that stay as they are.

    Made by `create`. `layers`, `tree` and `where` read the layers' directories, so they
    work in the notebook, where the mount can't be seen.
    """

    kind: ClassVar[str] = "overlay"

    def __init__(
        self, name: str, lowerdirs: tuple[HostPath, ...], *, userxattr: bool
    ) -> None:
        self.name, self.lowerdirs, self.userxattr = name, lowerdirs, userxattr
        self.directory = HostPath(os.path.join(state.location(), _FOLDER, name))
        self.upperdir = HostPath(f"{self.directory}/upper")
        self.workdir = HostPath(f"{self.directory}/work")
        self.merged = HostPath(f"{self.directory}/merged")
        self._record: Record | None = None
        self.marks = "user.overlay." if userxattr else "trusted.overlay."
        self._upper = Source("upper", self.upperdir, self.marks, writable=True)
        names = zip(_names(lowerdirs), lowerdirs, strict=True)
        sources = [Source(name, path, self.marks) for name, path in names]
        self._lower = LowerLayers(sources)

    @classmethod
    def create(
        cls,
        name: str,
        lowerdirs: Sequence[str | os.PathLike[str]],
        *,
        userxattr: bool | None = None,
    ) -> Self:
        """Make the directories for an overlay of this name; mount nothing.

        One that this notebook made before, or one whose notebook has ended, is replaced
        by an empty one.

        Args: name; lowerdirs [host paths, top first, at least one]; userxattr [see
            MountOverlay; None decides by what this process may do].
        Raises: ENOENT or ENOTDIR for a lower layer that isn't there; StateError when
            another notebook has an overlay of this name; HostError when the state lies
            on an overlay itself, or can't keep the marks of one with userxattr.
        Needs: write permission in the state directory.
        Kernel: Documentation/filesystems/overlayfs.rst, "Upper and Lower".
        """
        if isinstance(lowerdirs, (str, os.PathLike)) or not lowerdirs:
            raise TypeError(f"lowerdirs is a tuple of paths; got {lowerdirs!r}")
        lower = tuple(HostPath(os.path.abspath(path)) for path in lowerdirs)
        for path in lower:
            _must_be_a_directory(path)
        if userxattr is None:
            userxattr = not may_use_trusted_xattrs()
        overlay = cls(name, lower, userxattr=userxattr)
        overlay._acquire()
        return overlay

    @classmethod
    def find(cls, name: str) -> Self:
        """Return the overlay of this name that any process of the lab has made.

        Raises: StateError when there is none.
        """
        record = handle.find(cls.kind, name)
        if record is not None and "lowerdirs" in record.undo:
            lower = tuple(map(HostPath, record.undo["lowerdirs"]))
            return cls(name, lower, userxattr=record.undo["userxattr"])
        raise StateError(
            f"overlay {name}: there is none",
            "make it: Overlay.create, or container(...)",
            meaning="no notebook and no command has an overlay of this name",
        )

    def mount(self) -> MountOverlay:
        """Return the step that mounts it, on `merged`."""
        return MountOverlay(
            self.lowerdirs, self.upperdir, self.workdir, self.merged, self.userxattr
        )

    def layers(self) -> tuple[Layer, ...]:
        """Return what each layer holds, the upper one first."""
        return (read_layer(self._upper), *self._lower.layers())

    def tree(self) -> tuple[Entry, ...]:
        """Return every path of the merged view and every whiteout, in order."""
        return lay(self._upper, self._lower.tree()).entries[1:]

    def where(self, path: str) -> Entry:
        """Return the layer that a path comes from, and what is hidden below it.

        Args: path [as the container sees it].
        Raises: ENOENT when no layer has it.
        """
        wanted = os.path.normpath(f"/{path.lstrip('/')}")
        for entry in self.tree():
            if entry.path == wanted:
                return entry
        raise syscall_error(f'stat("{wanted}")', errno.ENOENT)

    def text(self) -> Text:
        """Draw the stack of layers, and list what the container has changed."""
        tree = self.tree()
        seen = sum(entry.visible for entry in tree)
        rows = [("merged", f"{seen} names", "", "what the container sees")]
        for layer in self.layers():
            note = "its changes" if layer.writable else "never changes"
            rows.append((layer.name, f"{layer.entries} names", _size(layer), note))
        changed = _changes(tree)
        return Text("\n".join([*_columns(rows), *_columns(changed)]))

    def remove(self) -> None:
        """Remove its directories, with all changes, and forget it."""
        remove_tree(self.directory)
        if self._record is not None:
            self._record.forget()

    def _acquire(self) -> None:
        with state.lock(_FOLDER):
            handle.take_over(self.kind, self.name)
            state.layers_directory(_FOLDER, user_marks=self.userxattr)
            undo = {
                "directory": self.directory,
                "lowerdirs": list(self.lowerdirs),
                "userxattr": self.userxattr,
            }
            self._record = handle.record(self.kind, self.name, undo)
            remove_tree(self.directory)
            # 755, because the upper directory's mode becomes that of the merged root.
            for path in (self.directory, self.upperdir, self.workdir, self.merged):
                Linux().mkdir(path, 0o755)


def remove_tree(directory: HostPath) -> None:
    """Remove a directory of the lab's, and what is in it; that it is gone is no error.

    What is mounted below it in this mount namespace is detached first. A child that has
    an overlay of it mounted keeps an empty view.

    Args: directory [host path, two levels below the state directory].
    Raises: StateError for another directory; EPERM or EACCES for files that belong to
        ids of a container with ids of its own.
    Needs: write permission there; CAP_SYS_ADMIN when something is mounted.
    Kernel: umount(2), rmdir(2).
    """
    home, path = os.path.realpath(state.location()), os.path.realpath(directory)
    if os.path.dirname(os.path.dirname(path)) != home:
        raise StateError(
            f"{directory}: no directory of the lab", f"those are in {home}"
        )
    for mount in reversed(mounts()):
        if f"{mount.target}/".startswith(f"{path}/"):
            Linux().umount2(mount.target, MNT.DETACH)
    if not os.path.isdir(path):
        return
    try:
        path = _set_aside(path)
        _open_up(path)
        import shutil  # not before: the fork server never needs it

        shutil.rmtree(path)
    except OSError as refused:
        call = f'unlink("{refused.filename}")'
        raise syscall_error(call, refused.errno or 0) from None


def _set_aside(path: str) -> str:
    # Renamed first: whoever looks sees all of it or nothing, never half of a tree. A
    # kill leaves the other name, which sweep knows.
    if path.endswith(HALF):
        return path
    if os.path.isdir(path + HALF):
        remove_tree(HostPath(path + HALF))
    os.rename(path, path + HALF)
    return path + HALF


def _open_up(directory: str) -> None:
    # Linux makes a directory without permissions in workdir; an ordinary user can't
    # look into it to remove it, though it is hers.
    for folder, names, _ in os.walk(directory):
        for name in names:
            path = os.path.join(folder, name)
            if not os.path.islink(path):
                os.chmod(path, 0o700)


def _must_be_a_directory(path: HostPath) -> None:
    linux = Linux()
    linux.close(linux.open(path, O.PATH | O.DIRECTORY))


def may_use_trusted_xattrs() -> bool:
    """Say whether an overlay of this process can keep its marks in trusted.overlay.*.

    Raises: nothing.
    Needs: nothing.
    Kernel: xattr(7): trusted.* is for CAP_SYS_ADMIN in the first user namespace.
    """
    privilege = read_privilege(HostPath("/"), root_user=is_root())
    return privilege.has(CAP.SYS_ADMIN) and NamespaceType.USER not in privilege.inner


def _names(lowerdirs: Sequence[HostPath]) -> list[str]:
    # The directory's own name where it tells them apart, else its place in the stack.
    names = [os.path.basename(path) for path in lowerdirs]
    if len({"upper", "", *names}) == len(names) + 2:
        return names
    return [f"lower {number}" for number in range(1, len(names) + 1)]


def _changes(tree: Sequence[Entry]) -> list[tuple[str, str, str]]:
    # A new directory is a row; what is in it is new as well, and only counted.
    rows: list[tuple[str, str, str]] = []
    within, inside = "", 0
    for entry in tree:
        if within and entry.path.startswith(within):
            inside += 1
            rows[-1] = (*rows[-1][:2], f"names in it: {inside}")
            continue
        within = ""
        if entry.kind is EntryKind.LOWER:
            continue
        if entry.directory and entry.kind is EntryKind.NEW:
            within, inside = f"{entry.path}/", 0
        hidden = f"hides {', '.join(entry.hides)}" if entry.hides else ""
        rows.append((entry.kind.value, str(entry.path), hidden))
    return rows


def _size(layer: Layer) -> str:
    kib = layer.bytes / 1024
    return f"{layer.bytes} B" if kib < 1 else f"{kib:.0f} KiB"


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
