"""The picture of an overlay: its layers as slabs, and the tree that they make together.

    upper   /-------------------/      /etc
           / its changes       /         hosts      copied up
          /-------------------/          motd       base
    base    /-----------------/        /root
           /                 /           notes      new in upper

A path has a chip that says where it comes from. A long directory in which nothing
changed shows its first names only: the picture is about what happened.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from labkit.primitives.layers import Entry, EntryKind, Layer
from labkit.widgets.html import Html, chip, icon, join, size, tag, unseen

FEW_ROWS = 24  # so many are shown unfolded
FEW_NAMES = 12  # of a directory in which nothing changed

CHIPS = {
    EntryKind.NEW: ("new in upper", "memory", "plus"),
    EntryKind.COPIED_UP: ("copied up", "copy", "copy"),
    EntryKind.WHITEOUT: ("whiteout", "limit", "cross"),
    EntryKind.OPAQUE: ("opaque", "limit", "opaque"),
}
SLAB_W, SLAB_H, SLAB_GAP, SHEAR = 292, 50, 12, 26


@dataclass(slots=True)
class Node:
    """An entry with those below it."""

    entry: Entry
    children: list[Node] = field(default_factory=list)

    @property
    def changed(self) -> bool:
        """Whether something here, or below, is not as a lower layer has it."""
        here = self.entry.kind is not EntryKind.LOWER
        return here or any(child.changed for child in self.children)


def nest(entries: Sequence[Entry]) -> list[Node]:
    """Return the top of the tree that a sorted listing describes."""
    nodes = {str(entry.path): Node(entry) for entry in entries}
    top: list[Node] = []
    for path, node in nodes.items():
        parent = nodes.get(path.rpartition("/")[0])
        (top if parent is None else parent.children).append(node)
    return top


def sentence(entry: Entry) -> str:
    """Say where a path comes from, and what is hidden below it."""
    hidden = f"; hidden below it: {', '.join(entry.hides)}" if entry.hides else ""
    if entry.kind is EntryKind.WHITEOUT:
        return f"{entry.path} is removed: a whiteout in {entry.layer}{hidden}"
    how = "" if entry.kind is EntryKind.LOWER else f", {CHIPS[entry.kind][0]}"
    return f"{entry.path} comes from {entry.layer}{how}{hidden}"


def stack(layers: Sequence[Layer], *, numbers: bool) -> Html:
    """Return the slabs, the upper layer on top."""
    height = len(layers) * (SLAB_H + SLAB_GAP) - SLAB_GAP + 4
    slabs = join(_slab(i, layer, numbers) for i, layer in enumerate(layers))
    names = ", ".join(layer.name for layer in layers)
    return tag(
        "svg",
        slabs,
        viewBox=f"-2 -2 {SLAB_W + 4} {height}",
        role="img",
        aria_label=f"layers, from the top: {names}",
        class_="stack",
    )


def tree(entries: Sequence[Entry], layers: Sequence[Layer]) -> Html:
    """Return the merged tree as nested lists."""
    where = {layer.name: index for index, layer in enumerate(layers)}
    unfold = len(entries) <= FEW_ROWS
    return _list(nest(entries), where, unfold, "tree")


def _list(
    nodes: Sequence[Node], where: dict[str, int], unfold: bool, kind: str
) -> Html:
    if any(node.changed for node in nodes):
        shown = [node for node in nodes if node.changed or len(nodes) <= FEW_NAMES]
    else:
        shown = list(nodes[:FEW_NAMES])
    more = len(nodes) - len(shown)
    rest = tag("li", f"and {more} more", class_="note") if more else None
    return tag(
        "ul", join(_item(node, where, unfold) for node in shown), rest, class_=kind
    )


def _item(node: Node, where: dict[str, int], unfold: bool) -> Html:
    entry = node.entry
    facts = {
        "data_path": entry.path,
        "data_from": where.get(entry.layer),
        "data_hides": " ".join(
            str(where[name]) for name in entry.hides if name in where
        ),
        "data_said": sentence(entry),
        "title": sentence(entry),
    }
    if not node.children:
        row = tag("div", _row(entry), class_="row", tabindex=0, **facts)
    else:
        inner = _list(node.children, where, unfold, "inner")
        head = tag("summary", icon("fold"), _row(entry), class_="row", **facts)
        row = tag("details", head, inner, open=unfold or node.changed)
    flash = entry.kind if entry.kind is not EntryKind.LOWER else ""
    return tag("li", row, class_=entry.kind, data_key=entry.path, data_flash=flash)


def _row(entry: Entry) -> Html:
    name = str(entry.path).rpartition("/")[2] + ("/" if entry.directory else "")
    struck = tag("del", name) if entry.kind is EntryKind.WHITEOUT else name
    hides = unseen(f" (hides {', '.join(entry.hides)})") if entry.hides else None
    return join([tag("span", struck, class_="name"), " ", _chip(entry), hides])


def _chip(entry: Entry) -> Html | None:
    merged = entry.directory and entry.kind in (EntryKind.LOWER, EntryKind.COPIED_UP)
    if merged:
        return None  # several layers make it; its files say which
    return chip(*CHIPS.get(entry.kind, (entry.layer, "", "")))


def _slab(index: int, layer: Layer, numbers: bool) -> Html:
    y = index * (SLAB_H + SLAB_GAP)
    shape = f"M{SHEAR} {y}H{SLAB_W}L{SLAB_W - SHEAR} {y + SLAB_H}H0Z"
    holds = f"{layer.entries} names, {size(layer.bytes)}" if numbers else ""
    note = "its changes go here" if layer.writable else "read-only"
    return tag(
        "g",
        tag("path", d=shape),
        tag("text", layer.name, x=SHEAR + 12, y=y + 21, class_="strong"),
        tag("text", note, x=SHEAR + 4, y=y + 38),
        tag("text", holds, x=SLAB_W - SHEAR - 8, y=y + 21, text_anchor="end"),
        tag("text", x=SLAB_W - SHEAR - 14, y=y + 38, text_anchor="end", class_="here"),
        class_="slab writable" if layer.writable else "slab",
        data_layer=index,
    )
