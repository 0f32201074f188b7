"""Text as people see it: in a notebook, and in a message. Layer 0."""

from __future__ import annotations


class Text(str):
    """A string whose repr is itself: no quotes, real line ends, in a cell's output."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def one_line(text: str, most: int = 100) -> str:
    """Return somebody else's text as a message can quote it: short, on one line."""
    shown = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text[:most])
    return shown if len(text) <= most else f"{shown}..."
