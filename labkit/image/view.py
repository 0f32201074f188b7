"""An image as a picture of its layers: what views and chapters draw. Chapter 11.

    view = ImageView.of(image, trees)
    view.layers             the instruction that made each, bytes packed and unpacked
    view.where("/etc/motd") the layer that it comes from, and where it is hidden

Reading order: ImageView, LayerView.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from functools import cached_property

from labkit.errors import syscall_error
from labkit.image.image import Image
from labkit.image.trees import Trees
from labkit.linux.views import HostPath
from labkit.primitives.layers import Entry, Source, Tree, lay
from labkit.text import Text


@dataclass(frozen=True, slots=True)
class LayerView:
    """One layer: what made it, and how much it is."""

    name: str  # "layer 2", the lowest is 1
    instruction: str
    packed_bytes: int  # of its blob
    bytes: int  # of its archive's files
    names: int
    path: HostPath

    def __repr__(self) -> str:
        return f"<{self.name}: {self.instruction}>"


@dataclass(frozen=True)
class ImageView:
    """The layers of an image, top first, unpacked."""

    layers: tuple[LayerView, ...]
    marks: str

    @classmethod
    def of(cls, image: Image, trees: Trees) -> ImageView:
        """Unpack an image, if need be, and return what its layers are.

        Raises: what `Trees.unpack` raises.
        """
        paths = trees.unpack(image)[::-1]
        views = []
        for number, layer in enumerate(image.layers, 1):
            known = trees.get(layer.chain_id)
            size, names = (known.bytes, known.names) if known else (0, 0)
            packed = layer.descriptor.size
            words = (f"layer {number}", layer.instruction, packed, size, names)
            views.append(LayerView(*words, paths[number - 1]))
        return cls(tuple(views[::-1]), trees.marks)

    @cached_property
    def tree(self) -> Tree | None:
        """The layers, laid over one another."""
        tree: Tree | None = None
        for layer in reversed(self.layers):
            tree = lay(Source(layer.name, layer.path, self.marks), tree)
        return tree

    def where(self, path: str) -> Entry:
        """Return the layer that a path comes from, and what is hidden below it.

        Args: path [as a container sees it].
        Raises: ENOENT when no layer has it.
        """
        wanted = os.path.normpath(f"/{path.lstrip('/')}")
        for entry in self.tree.entries if self.tree else ():
            if entry.path == wanted:
                return entry
        raise syscall_error(f'stat("{wanted}")', errno.ENOENT)

    def text(self) -> Text:
        """Draw the layers, the topmost first."""
        rows = [
            f"{la.name}  {la.bytes:>12,} B  {la.names:>7,} names  {la.instruction}"
            for la in self.layers
        ]
        return Text("\n".join(rows))

    def __repr__(self) -> str:
        return f"<ImageView: {len(self.layers)} layers>"
