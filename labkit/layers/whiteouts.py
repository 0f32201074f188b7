"""How a layer removes what is below it: two forms of saying so. Chapter 11.

    in the archive      in an overlay's layer              in a complete tree
    etc/.wh.motd        etc/motd, a character device 0:0   etc/motd isn't there
    etc/.wh..wh..opq    etc with the mark opaque=y         nothing of the layers below

Reading order: Removed, InOverlay, InTree.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import Protocol

from labkit.layers.below import is_whiteout
from labkit.layers.root import Root

PREFIX = ".wh."
OPAQUE = ".wh..wh..opq"
META = ".wh..wh."
"""What begins so and isn't OPAQUE is aufs's own bookkeeping."""


class Removed(Protocol):
    """What a layer's whiteouts become on the disk."""

    def added(self, path: str) -> None:
        """Hear that the layer itself has a path: no whiteout of its own means that."""

    def whiteout(self, root: Root, path: str) -> None:
        """Make that a path isn't there any more."""

    def opaque(self, root: Root, path: str) -> None:
        """Make that a directory has nothing of the layers below."""

    def directory_over(self, found: os.stat_result) -> bool:
        """Say whether a new directory hides one below, from what its name had."""


class InOverlay:
    """Marks for OverlayFS, in a layer's own directory.

    Args: marks ["trusted.overlay." or, for an ordinary user, "user.overlay."].
    """

    def __init__(self, marks: str) -> None:
        self._opaque = f"{marks}opaque"

    def added(self, path: str) -> None:
        """Nothing to do: the directory holds this layer alone."""

    def whiteout(self, root: Root, path: str) -> None:
        folder, _, name = path.rpartition("/")
        try:
            # overlayfs.rst: a character device with the number 0:0.
            os.mknod(name, stat.S_IFCHR, 0, dir_fd=root.folder(folder))
        except FileExistsError:
            # EEXIST: the layer has the name anew. What a new directory doesn't have,
            # must not shine through from below.
            found = os.lstat(name, dir_fd=root.folder(folder))
            if stat.S_ISDIR(found.st_mode):
                self.opaque(root, path)

    def opaque(self, root: Root, path: str) -> None:
        os.setxattr(root.folder(path), self._opaque, b"y")

    def directory_over(self, found: os.stat_result) -> bool:
        return is_whiteout(found)


class InTree:
    """Removing, in a tree that holds all layers so far."""

    def __init__(self) -> None:
        self._added: set[str] = set()

    def added(self, path: str) -> None:
        while path and path not in self._added:
            self._added.add(path)
            path = path.rpartition("/")[0]

    def whiteout(self, root: Root, path: str) -> None:
        folder, _, name = path.rpartition("/")
        if path in self._added:
            self._empty(root, path)
            return
        try:
            root.remove(root.folder(folder), name)
        except OSError as gone:
            if gone.errno != errno.ENOENT:
                raise  # ENOENT: whoever made the layer saw something else below

    def opaque(self, root: Root, path: str) -> None:
        self.added(path)
        self._empty(root, path)

    def directory_over(self, found: os.stat_result) -> bool:
        return False

    def _empty(self, root: Root, path: str) -> None:
        folder_fd = root.folder(path)
        for name in os.listdir(folder_fd):
            inner = f"{path}/{name}".lstrip("/")
            if inner not in self._added:
                root.remove(root.folder(path), name)
            elif stat.S_ISDIR(os.lstat(name, dir_fd=root.folder(path)).st_mode):
                self._empty(root, inner)
