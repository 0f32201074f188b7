"""The lower layers of an overlay, read once and kept. Chapter 06.

An overlay's lower layers don't change while it is mounted, and they may be large; a
view looks twice a second. So what they hold is kept, with a stamp of each directory.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

from labkit.primitives.layers import Layer, Source, Tree, lay, read_layer

_Stamps = dict[str, int | None]  # directory -> ctime in ns; None when it is gone


class LowerLayers:
    """What some layers, the first on top, make together."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self._sources = tuple(sources)
        self._stamps: _Stamps = {}
        self._tree: Tree | None = None
        self._layers: tuple[Layer, ...] = ()

    def tree(self) -> Tree | None:
        """Return the view of these layers alone."""
        self._read_if_changed()
        return self._tree

    def layers(self) -> tuple[Layer, ...]:
        """Return what each of them holds."""
        self._read_if_changed()
        return self._layers

    def _read_if_changed(self) -> None:
        # A directory's ctime changes with every name made, renamed or removed in it,
        # and with its marks.
        if self._stamps and self._stamps == _stamps(self._stamps):
            return
        # Stamps before reading: what changes meanwhile is then read again.
        stamps = _stamps(
            folder for one in self._sources for folder, _, _ in os.walk(one.path)
        )
        tree: Tree | None = None
        for source in reversed(self._sources):
            tree = lay(source, tree)
        self._layers = tuple(map(read_layer, self._sources))
        self._tree, self._stamps = tree, stamps


def _stamps(directories: Iterable[str]) -> _Stamps:
    return {path: _changed_at(path) for path in directories}


def _changed_at(path: str) -> int | None:
    try:
        return os.stat(path).st_ctime_ns
    except FileNotFoundError:
        return None
