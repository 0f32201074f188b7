"""A box: a copy of a root file system that a chapter may damage. Chapter 02."""

from __future__ import annotations

import os
import shutil
from typing import ClassVar, Self

from labkit import state
from labkit.linux.views import HostPath
from labkit.plan import handle
from labkit.plan.handle import Handle
from labkit.rootfs import entries
from labkit.rootfs.drawing import draw
from labkit.rootfs.root_filesystem import rootfs
from labkit.text import Text

_FOLDER = "boxes"


class Box(Handle):
    """A folder with a small Linux in it, until `remove`."""

    kind: ClassVar[str] = "box"

    def __init__(self, name: str, path: HostPath, record: handle.Record) -> None:
        self.name, self.path, self._record = name, path, record

    @classmethod
    def create(cls, name: str, of: str = "alpine") -> Self:
        """Copy a root file system of the lab's into a folder of this name.

        A box of the same name that this process or a dead one made is replaced.

        Args: name [a file name]; of [one of `labkit.rootfs.available()`].
        Raises: StateError when another running notebook has a box of this name;
            HostError when the state directory can't be written.
        Needs: write permission there.
        """
        path = HostPath(os.path.join(state.layers_directory(_FOLDER), name))
        handle.take_over(cls.kind, name)
        record = handle.record(cls.kind, name, {"directory": path})
        _remove(path)
        rootfs(of).copy(path)
        return cls(name, path, record)

    def __fspath__(self) -> str:
        return self.path

    def tree(self, depth: int = 1) -> Text:
        """Return the tree as text, to a depth [directories below the root]."""
        return Text(draw(self.path, self.name, depth))

    def remove(self) -> None:
        """Remove the folder. May be called twice.

        Raises: HostError when something is mounted inside: removing would go on there.
        """
        _remove(self.path)
        self._record.forget()


def _remove(path: HostPath) -> None:
    if os.path.isdir(path):
        entries.refuse_if_mounted(path)
        shutil.rmtree(path)
