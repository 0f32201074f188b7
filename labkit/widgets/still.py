"""Still: the picture of a value that does not change.

With every number once a browser is there to show them, without those that differ from
run to run where there is none (nbval, nbclient).
"""

from __future__ import annotations

from typing import Protocol

from labkit.widgets.html import Html
from labkit.widgets.view import PageView


class Draw(Protocol):
    """Draws a value, with or without the numbers that differ from run to run."""

    def __call__(self, *, numbers: bool) -> Html: ...


class Still(PageView):
    """A picture that follows nothing: a browser shows it as plain HTML."""

    def __init__(self, draw: Draw, text: str) -> None:
        super().__init__()
        self._draw, self._text = draw, text
        self.redraw()

    def __repr__(self) -> str:
        return self._text

    def text(self) -> str:
        """Return the value as text."""
        return self._text

    def picture(self, *, numbers: bool, live: bool = False) -> Html:
        """Return the drawing."""
        return self._draw(numbers=numbers)
