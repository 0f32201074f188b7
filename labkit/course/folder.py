"""A folder of your own: empty at first, and gone with everything in it at the end."""

from __future__ import annotations

import os
from pathlib import Path
from typing import ClassVar, Self

from labkit import state
from labkit.linux.views import HostPath
from labkit.plan import handle
from labkit.plan.handle import Handle
from labkit.primitives.overlay import remove_tree
from labkit.rootfs.drawing import draw
from labkit.text import Text

_FOLDER = "folders"


class Folder(Handle):
    """A folder until `remove`; layers of an overlay may lie in it."""

    kind: ClassVar[str] = "folder"

    def __init__(self, name: str, path: HostPath, record: handle.Record) -> None:
        self.name, self.path, self._record = name, path, record

    @classmethod
    def create(cls, name: str) -> Self:
        """Make an empty folder; one of ours with that name is emptied.

        Args: name [a file name].
        Raises: StateError when another running notebook has one of that name;
            HostError when the state directory can't be written.
        Needs: write permission there.
        """
        path = HostPath(os.path.join(state.layers_directory(_FOLDER), name))
        handle.take_over(cls.kind, name)
        folder = cls(name, path, handle.record(cls.kind, name, {"directory": path}))
        folder._empty()
        os.makedirs(path)
        return folder

    def __fspath__(self) -> str:
        return self.path

    def __truediv__(self, name: str) -> Path:
        return Path(self.path, name)

    def tree(self, depth: int = 1) -> Text:
        """Return the tree as text, to a depth [directories below the folder]."""
        return Text(draw(self.path, self.name, depth))

    def remove(self) -> None:
        """Remove the folder, and detach what is mounted inside. May be called twice."""
        self._empty()
        self._record.forget()

    def _empty(self) -> None:
        if os.path.isdir(self.path):
            remove_tree(self.path)
