"""Text that a notebook shows as it is. Layer 0."""

from __future__ import annotations


class Text(str):
    """A string whose repr is itself: no quotes, real line ends, in a cell's output."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)
