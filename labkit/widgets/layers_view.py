"""LayersView: an overlay's layers and the tree they make, as it changes. Chapter 06.

    LayersView(overlay)

Twice a second one thread reads the layers' directories, and only reads: a copy-up, a
new file and a whiteout appear as they happen, and flash once. A path that is clicked,
or reached with the arrow keys, is shown on the slab that it comes from, and struck
through on the slabs where it is hidden.
"""

from __future__ import annotations

import os

from labkit.primitives.layers import Entry, EntryKind, Layer
from labkit.primitives.overlay import Overlay
from labkit.widgets.browser import script, style
from labkit.widgets.html import Html, card, chip, join, tag
from labkit.widgets.layers_html import sentence, stack, tree
from labkit.widgets.plan_html import count
from labkit.widgets.trouble import trouble
from labkit.widgets.view import PageView

HZ = 2.0


class LayersView(PageView):
    """The stack of an overlay, and the merged tree with where each path comes from."""

    _esm = script("live.js", "page.js", "layers.js")
    _css = style("layers")

    def __init__(self, overlay: Overlay, title: str = "") -> None:
        super().__init__(hz=HZ)
        self._overlay, self._error, self._ended = overlay, "", False
        self._title = title or "What the container sees, and where it comes from"
        self._entries: tuple[Entry, ...] = ()
        self._layers: tuple[Layer, ...] = ()
        self.read()

    def __repr__(self) -> str:
        return f"LayersView({self._overlay.name})"

    def text(self) -> str:
        """Return the layers, and a sentence for each path that is not as it was."""
        layers = [
            f"{layer.name}{' (upper)' * layer.writable}" for layer in self._layers
        ]
        changed = [sentence(entry) for entry in self._entries if _changed(entry)]
        return "\n".join([f"layers, from the top: {', '.join(layers)}", *changed])

    def picture(self, *, numbers: bool, live: bool = False) -> Html:
        """Return the slabs beside the merged tree."""
        said = tag("p", "Choose a path.", class_="said note", role="status")
        left = tag("div", stack(self._layers, numbers=numbers), said if live else None)
        right = tag("div", tree(self._entries, self._layers), class_="merged")
        ended = chip("ended", "", "minus") if self._ended else None
        return card(
            "layers",
            self._title,
            self._note(),
            tag("div", join([left, right]), class_="columns"),
            trouble(self._error),
            side=ended,
        )

    def follows(self) -> bool:
        """Say whether the overlay's directories are still there."""
        return not self._ended

    def read(self) -> bool:
        """Read the layers again; redraw if a path has changed."""
        if not os.path.isdir(self._overlay.upperdir):
            self._ended = True
            self.redraw()
            return False
        entries = self._overlay.tree()
        if entries != self._entries or not self._layers:
            self._entries, self._layers = entries, self._overlay.layers()
            self.redraw()
        return True

    def lose(self, error: Exception) -> None:
        """Keep the last picture, and say why it is the last."""
        self._ended, self._error = True, str(error)
        self.redraw()

    def _note(self) -> str:
        changes = sum(map(_changed, self._entries))
        names = sum(entry.visible for entry in self._entries)
        return f"{count(names, 'name')} in the merged tree, {count(changes, 'change')}"


def _changed(entry: Entry) -> bool:
    merged = entry.directory and entry.kind is EntryKind.COPIED_UP
    return entry.kind is not EntryKind.LOWER and not merged
