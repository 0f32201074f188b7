"""The picture of an overlay, from entries built by hand."""

from __future__ import annotations

import os
from pathlib import Path

from labkit.linux.views import ContainerPath, HostPath
from labkit.primitives.layers import Entry, EntryKind, Layer
from labkit.primitives.overlay import Overlay
from labkit.widgets.layers_html import FEW_NAMES, nest, sentence, stack, tree
from labkit.widgets.layers_view import LayersView

LAYERS = (
    Layer("upper", HostPath("/u"), 2, 20, writable=True),
    Layer("base", HostPath("/b"), 3, 30),
)


def entry(path: str, kind: EntryKind = EntryKind.LOWER, *hides: str) -> Entry:
    """An entry of the upper layer, or of base."""
    layer = "base" if kind is EntryKind.LOWER else "upper"
    return Entry(
        ContainerPath(path), layer, kind, hides, directory=path.count("/") == 1
    )


def test_a_sorted_listing_becomes_a_tree() -> None:
    etc, root = nest([entry("/etc"), entry("/etc/a"), entry("/etc/b"), entry("/root")])
    assert [node.entry.path for node in etc.children] == ["/etc/a", "/etc/b"]
    assert root.children == []


def test_a_sentence_says_where_a_path_comes_from() -> None:
    said = [
        sentence(entry("/etc/motd")),
        sentence(entry("/etc/hosts", EntryKind.COPIED_UP, "base")),
        sentence(entry("/bin/ls", EntryKind.WHITEOUT, "base")),
    ]
    assert said == [
        "/etc/motd comes from base",
        "/etc/hosts comes from upper, copied up; hidden below it: base",
        "/bin/ls is removed: a whiteout in upper; hidden below it: base",
    ]


def test_a_path_knows_its_slab_and_the_hidden_ones() -> None:
    drawn = tree(
        [entry("/etc"), entry("/etc/hosts", EntryKind.COPIED_UP, "base")], LAYERS
    )
    assert 'data-path="/etc/hosts" data-from="0" data-hides="1"' in drawn
    assert 'data-layer="1"' in stack(LAYERS, numbers=False)


def test_a_whiteout_is_struck_through_and_named() -> None:
    drawn = tree([entry("/bin"), entry("/bin/ls", EntryKind.WHITEOUT, "base")], LAYERS)
    assert "<del>ls</del>" in drawn
    assert "whiteout" in drawn


def test_a_long_directory_shows_what_happened_in_it() -> None:
    names = [entry("/bin"), *(entry(f"/bin/{n:03}") for n in range(300))]
    assert f"and {300 - FEW_NAMES} more" in tree(names, LAYERS)
    changed = entry("/bin/150", EntryKind.COPIED_UP, "base")
    drawn = tree([*names[:151], changed, *names[152:]], LAYERS)
    assert "and 299 more" in drawn
    assert 'data-path="/bin/150"' in drawn


def test_numbers_can_be_left_out() -> None:
    assert "2 names, 20 bytes" in stack(LAYERS, numbers=True)
    assert "bytes" not in stack(LAYERS, numbers=False)


def test_a_change_in_the_upper_layer_is_seen_at_the_next_look(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/motd").write_text("hello")
    with Overlay.create("seen", [tmp_path]) as overlay:
        view = LayersView(overlay)
        Path(overlay.upperdir, "notes").write_text("mine")
        assert view.sample()
        assert view.text().endswith("/notes comes from upper, new in upper")
        before = view.html
        assert view.sample()
        assert view.html == before
    assert not view.sample()
    assert "ended" in view.html
    assert not os.path.exists(overlay.upperdir)
