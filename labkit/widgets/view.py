"""View: what all live views have in common.

    view.text()     what the picture says, as text
    repr(view)      the same in every run, so that nbval can compare it
    view.settle()   put a picture that needs no kernel in the view's place

    PageView        a view whose picture is HTML, made in Python: all but the meter

A notebook that is saved keeps, beside the live view, a picture without the numbers that
differ from run to run (nbval compares it). Once a view has nothing to follow any more,
and a browser was there to see it, its place is taken by its last picture with all
numbers: the saved notebook then shows it with no kernel and no error.
"""

from __future__ import annotations

import time
from typing import Any, ClassVar

import anywidget
import traitlets
from IPython.display import display

from labkit.widgets import cells
from labkit.widgets.browser import script, style
from labkit.widgets.html import Html, page
from labkit.widgets.sampler import Sampler

LEASE_S = 6.0  # three beats of the browser


class View(anywidget.AnyWidget):
    """A picture in a cell's output that follows something."""

    metadata: ClassVar[dict[str, Any]] = {}  # of the picture that stays
    compared: ClassVar[bool] = True  # nbval compares that picture

    def __init__(self, hz: float = 0.0) -> None:
        super().__init__()
        self._until_s, self._seen, self._settled = 0.0, False, False
        self._shown_as: Any = None
        self._sampler = Sampler(self, type(self).__name__, hz) if hz else None
        self.on_msg(self._hear)
        cells.adopt(self)

    def text(self) -> str:
        """Return what the picture says, as text."""
        raise NotImplementedError

    def plain(self) -> str:
        """Return what stands in a saved notebook where no picture can."""
        return repr(self)

    def follows(self) -> bool:
        """Say whether anything can still change what the view shows."""
        return False

    def watched(self) -> bool:
        """Say whether somebody looks; a running cell is taken for a sign of life."""
        if self.comm is None:
            return False
        return time.monotonic() < self._until_s or (
            cells.running() and self._until_s > 0
        )

    def sample(self) -> bool:
        """Read once, for the view's thread; False ends the thread."""
        try:
            going_on = self.read()
        except Exception as error:
            # A thread's traceback would land in whichever cell runs: show it here.
            self.lose(error)
            going_on = False
        if not going_on and not self.follows():
            self.settle()
        return going_on

    def read(self) -> bool:
        """Read once and show it; False when there is nothing left to read."""
        raise NotImplementedError

    def lose(self, error: Exception) -> None:
        """Show why nothing more is read."""
        raise NotImplementedError

    def settle(self) -> None:
        """Put the last picture in the live view's place, and end the view.

        Where no browser was, what nbval compares stays as it was in the beginning.
        """
        unseen = self.compared and not self._seen
        if self._settled or self._shown_as is None or unseen:
            return
        self._settled = True
        self._shown_as.update(
            self.still(numbers=True), raw=True, metadata=self.metadata
        )
        self.close()

    def close(self) -> None:
        """End the view and its thread; it may be called twice."""
        if self._sampler is not None:
            self._sampler.stop()
        super().close()

    def still(self, *, numbers: bool) -> dict[str, str]:
        """Return the picture that needs no kernel: MIME type to text.

        Args: numbers [False leaves out what differs from run to run].
        """
        raise NotImplementedError

    def _ipython_display_(self) -> None:
        live = {"version_major": 2, "version_minor": 0, "model_id": self.model_id}
        bundle: dict[str, Any] = self.still(numbers=False)
        bundle["application/vnd.jupyter.widget-view+json"] = live
        self._shown_as = display(bundle, raw=True, display_id=True)
        # A cell may run on before the browser can say that it shows the view.
        self._look()

    def _look(self) -> None:
        self._until_s = time.monotonic() + LEASE_S
        if self._sampler is not None:
            self._sampler.look()

    def _hear(self, _view: object, message: dict[str, Any], _buffers: object) -> None:
        self._seen = True
        self._look()
        if not self.follows():
            self.settle()
        elif message["do"] != "lease":
            self._obey(message["do"])

    def _obey(self, word: str) -> None:
        """Do what a button's word says."""
        raise NotImplementedError


class PageView(View):
    """A view whose picture is HTML from the kernel."""

    _esm = script("live.js", "page.js", "show.js")
    _css = style("plan", "namespaces", "exercise", "table")
    html = traitlets.Unicode().tag(sync=True)

    def picture(self, *, numbers: bool, live: bool = False) -> Html:
        """Return the picture: with numbers that differ from run to run, or without.

        A live one also has the buttons.
        """
        raise NotImplementedError

    def still(self, *, numbers: bool) -> dict[str, str]:
        """Return the picture as HTML with its style sheet."""
        picture = page(self.picture(numbers=numbers))
        return {"text/plain": self.plain(), "text/html": picture}

    def redraw(self) -> None:
        """Show the present state in the browser."""
        self.html = self.picture(numbers=True, live=True)
