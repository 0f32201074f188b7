"""ImageLayers: an image's layers, what made each, and what it brought. Chapter 11.

    layer 2   /-- RUN rm /etc/motd; ... --/      /etc
    layer 1  /-- ADD rootfs.tar / ------/          motd     removed
                                                 /srv
                                                   hello    layer 2

A path that is clicked, or reached with the arrow keys, is shown on the slab that it
comes from, and struck through on the slabs where it is hidden. What only the lowest
layer has is counted, and not listed: that is where the image began.
"""

from __future__ import annotations

from collections.abc import Sequence

from labkit.image.view import ImageView, LayerView
from labkit.primitives.layers import Entry, EntryKind
from labkit.widgets.browser import script, style
from labkit.widgets.html import Html, card, chip, icon, join, size, tag
from labkit.widgets.layers_html import SHEAR, SLAB_GAP, SLAB_H, SLAB_W, Node, nest
from labkit.widgets.plan_html import count
from labkit.widgets.view import PageView

_LONGEST = 33  # characters of an instruction that fit on a slab
_CHIPS = {
    EntryKind.WHITEOUT: ("removed", "limit", "cross"),
    EntryKind.OPAQUE: ("replaced", "limit", "opaque"),
}


class ImageLayers(PageView):
    """The stack of an image, and the paths that its upper layers have brought.

    Args: view [the image, unpacked].
    """

    _esm = script("live.js", "page.js", "layers.js")
    _css = style("layers")

    def __init__(self, view: ImageView) -> None:
        super().__init__()
        self._view = view
        everything = view.tree.entries if view.tree else ()
        self._changed = tuple(_with_parents(everything, view))
        self._names = sum(entry.visible for entry in everything)
        self.redraw()

    def __repr__(self) -> str:
        return f"ImageLayers({count(len(self._view.layers), 'layer')})"

    def text(self) -> str:
        """Return a line for each layer and each path that is not the lowest one's."""
        layers = [f"{la.name}: {la.instruction}" for la in self._view.layers]
        paths = [_sentence(entry) for entry in self._changed if _is_change(entry)]
        return "\n".join([*layers, *paths])

    def follows(self) -> bool:
        """Say that it stays: somebody may choose a path at any time."""
        return True

    def picture(self, *, numbers: bool, live: bool = False) -> Html:
        """Return the slabs beside the paths."""
        said = tag("p", "Choose a path.", class_="said note", role="status")
        left = tag("div", self._stack(numbers), said if live else None)
        right = tag("div", self._tree(), class_="merged")
        columns = tag("div", join([left, right]), class_="columns")
        return card(
            "layers",
            "What is in the image, and what put it there",
            self._note(),
            columns,
        )

    def _note(self) -> str:
        changes = count(sum(map(_is_change, self._changed)), "change")
        layers = count(len(self._view.layers), "layer")
        return (
            f"{layers}, {count(self._names, 'name')}; above the lowest one: {changes}"
        )

    def _stack(self, numbers: bool) -> Html:
        layers = self._view.layers
        height = len(layers) * (SLAB_H + SLAB_GAP) - SLAB_GAP + 4
        slabs = (_slab(at, layer, numbers) for at, layer in enumerate(layers))
        return tag(
            "svg",
            join(slabs),
            viewBox=f"-2 -2 {SLAB_W + 4} {height}",
            role="img",
            aria_label=f"layers, from the top: {', '.join(la.name for la in layers)}",
            class_="stack",
        )

    def _tree(self) -> Html:
        where = {layer.name: at for at, layer in enumerate(self._view.layers)}
        return _list(nest(self._changed), where, "tree")


def _with_parents(entries: Sequence[Entry], view: ImageView) -> list[Entry]:
    # What isn't as the lowest layer has it, with the directories that it lies in.
    lowest = view.layers[-1].name if view.layers else ""
    known = {str(entry.path): entry for entry in entries}
    wanted: set[str] = set()
    for entry in entries:
        if entry.layer != lowest and _is_change(entry):
            path = str(entry.path)
            while path not in wanted and path not in ("", "/"):
                wanted.add(path)
                path = path.rpartition("/")[0]
    return [entry for path, entry in known.items() if path in wanted]


def _is_change(entry: Entry) -> bool:
    # A directory that several layers have is only the way to what is in it.
    return not entry.directory or entry.kind is EntryKind.OPAQUE


def _sentence(entry: Entry) -> str:
    hidden = f"; hidden below it: {', '.join(entry.hides)}" if entry.hides else ""
    if entry.kind is EntryKind.WHITEOUT:
        return f"{entry.path} is removed by {entry.layer}{hidden}"
    return f"{entry.path} comes from {entry.layer}{hidden}"


def _list(nodes: Sequence[Node], where: dict[str, int], kind: str) -> Html:
    return tag("ul", join(_item(node, where) for node in nodes), class_=kind)


def _item(node: Node, where: dict[str, int]) -> Html:
    entry = node.entry
    facts = {
        "data_path": entry.path,
        "data_from": where.get(entry.layer),
        "data_hides": " ".join(str(where[n]) for n in entry.hides if n in where),
        "data_said": _sentence(entry),
        "title": _sentence(entry),
    }
    if node.children:
        head = tag("summary", icon("fold"), _row(entry), class_="row", **facts)
        inner = _list(node.children, where, "inner")
        row = tag("details", head, inner, open=True)
    else:
        row = tag("div", _row(entry), class_="row", tabindex=0, **facts)
    return tag("li", row, class_=entry.kind, data_key=entry.path)


def _row(entry: Entry) -> Html:
    name = str(entry.path).rpartition("/")[2] + ("/" if entry.directory else "")
    struck = tag("del", name) if entry.kind is EntryKind.WHITEOUT else name
    mark = chip(*_CHIPS.get(entry.kind, (entry.layer, "", "")))
    shown = mark if _is_change(entry) else None
    return join([tag("span", struck, class_="name"), " ", shown])


def _slab(index: int, layer: LayerView, numbers: bool) -> Html:
    y = index * (SLAB_H + SLAB_GAP)
    shape = f"M{SHEAR} {y}H{SLAB_W}L{SLAB_W - SHEAR} {y + SLAB_H}H0Z"
    made = layer.instruction or "of unknown origin"
    shown = made if len(made) <= _LONGEST else f"{made[: _LONGEST - 3]}..."
    about = f"{layer.name}, {size(layer.bytes)}" if numbers else layer.name
    return tag(
        "g",
        tag("title", made),
        tag("path", d=shape),
        tag("text", shown, x=SHEAR + 12, y=y + 21, class_="strong"),
        tag("text", about, x=SHEAR + 4, y=y + 38),
        tag("text", x=SLAB_W - SHEAR - 14, y=y + 38, text_anchor="end", class_="here"),
        class_="slab",
        data_layer=index,
    )
