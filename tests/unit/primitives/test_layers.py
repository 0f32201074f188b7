"""Layers are laid over one another by the overlay's own rules."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from labkit.linux.views import ContainerPath, HostPath
from labkit.primitives.layers import Entry, EntryKind, Source, Tree, lay, read_layer

MARKS = "user.overlay."


def layer(top: Path, name: str, **content: str | None) -> Source:
    """Make a layer of paths, with "__" for "/", and their texts.

    None makes a whiteout, "/" a directory. The upper layer's name is "upper".
    """
    (top / name).mkdir()
    for words, text in content.items():
        path = top / name / words.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        if text is None:
            os.mknod(path, stat.S_IFCHR, os.makedev(0, 0))
        elif text == "/":
            path.mkdir()
        else:
            path.write_text(text)
    return Source(name, HostPath(str(top / name)), MARKS, writable=name == "upper")


def mark(source: Source, path: str, name: str, value: bytes = b"y") -> None:
    """Set one of the overlay's marks."""
    os.setxattr(f"{source.path}/{path}", f"{MARKS}{name}", value)


def merged(*sources: Source) -> tuple[str, ...]:
    """Lay layers, the top one first; return a line for each path."""
    return tuple(map(str, tree_of(*sources).entries[1:]))


def tree_of(*sources: Source) -> Tree:
    """Lay layers, the top one first."""
    tree: Tree | None = None
    for source in reversed(sources):
        tree = lay(source, tree)
    assert tree is not None
    return tree


def test_one_layer_is_seen_as_it_is(tmp_path: Path) -> None:
    only = layer(tmp_path, "low", etc__hosts="h", bin="/")
    assert merged(only) == (
        "/bin: lower, in low",
        "/etc: lower, in low",
        "/etc/hosts: lower, in low",
    )


def test_a_new_file_is_new_and_its_directory_is_copied_up(tmp_path: Path) -> None:
    low = layer(tmp_path, "low", etc__hosts="h")
    up = layer(tmp_path, "upper", etc__new="n")
    assert merged(up, low) == (
        "/etc: copied-up, in upper",
        "/etc/hosts: lower, in low",
        "/etc/new: new, in upper",
    )


def test_a_copy_remembers_its_origin(tmp_path: Path) -> None:
    low = layer(tmp_path, "low", hosts="h")
    up = layer(tmp_path, "upper", hosts="changed")
    mark(up, "hosts", "origin", b"\0\xfb")
    assert merged(up, low) == ("/hosts: copied-up, in upper, hides low",)


def test_a_file_without_an_origin_has_replaced_the_lower_one(tmp_path: Path) -> None:
    low = layer(tmp_path, "low", hosts="h")
    up = layer(tmp_path, "upper", hosts="renamed over it")
    assert merged(up, low) == ("/hosts: new, in upper, hides low",)


def test_a_lower_file_of_two_names_leaves_no_origin(tmp_path: Path) -> None:
    low = layer(tmp_path, "low", ls="busybox")
    os.link(f"{low.path}/ls", f"{low.path}/cat")
    up = layer(tmp_path, "upper", ls="changed")
    assert merged(up, low)[1] == "/ls: copied-up, in upper, hides low"


def test_a_whiteout_hides_a_file(tmp_path: Path) -> None:
    low = layer(tmp_path, "low", bin__ls="ls", bin__cat="cat")
    up = layer(tmp_path, "upper", bin__ls=None)
    assert merged(up, low)[1:] == (
        "/bin/cat: lower, in low",
        "/bin/ls: whiteout, in upper, hides low",
    )


def test_a_whiteout_hides_a_directory_and_all_in_it(tmp_path: Path) -> None:
    low = layer(tmp_path, "low", opt__a__b="b")
    up = layer(tmp_path, "upper", opt=None)
    assert merged(up, low) == ("/opt: whiteout, in upper, hides low",)


def test_a_whiteout_is_not_visible(tmp_path: Path) -> None:
    up = layer(tmp_path, "upper", gone=None, there="t")
    assert [e.visible for e in tree_of(up).entries[1:]] == [False, True]


def test_any_other_device_is_a_file(tmp_path: Path) -> None:
    up = layer(tmp_path, "upper")
    os.mkfifo(f"{up.path}/fifo")
    assert merged(up) == ("/fifo: new, in upper",)


def test_an_opaque_directory_hides_the_one_below(tmp_path: Path) -> None:
    low = layer(tmp_path, "low", opt__old="o")
    up = layer(tmp_path, "upper", opt__new="n")
    mark(up, "opt", "opaque")
    assert merged(up, low) == (
        "/opt: opaque, in upper, hides low",
        "/opt/new: new, in upper",
    )


def test_an_opaque_mark_over_nothing_is_just_a_new_directory(tmp_path: Path) -> None:
    low = layer(tmp_path, "low")
    up = layer(tmp_path, "upper", opt="/")
    mark(up, "opt", "opaque")
    assert merged(up, low) == ("/opt: new, in upper",)


def test_a_file_in_place_of_a_directory_hides_it(tmp_path: Path) -> None:
    low = layer(tmp_path, "low", opt__old="o")
    up = layer(tmp_path, "upper", opt="now a file")
    assert merged(up, low) == ("/opt: new, in upper, hides low",)


def test_a_directory_in_place_of_a_file_hides_it(tmp_path: Path) -> None:
    low = layer(tmp_path, "low", opt="a file")
    up = layer(tmp_path, "upper", opt__new="n")
    assert merged(up, low) == (
        "/opt: new, in upper, hides low",
        "/opt/new: new, in upper",
    )


def test_of_three_layers_the_highest_wins(tmp_path: Path) -> None:
    base = layer(tmp_path, "base", f="1", only_base="b")
    middle = layer(tmp_path, "middle", f="2", only_middle="m")
    up = layer(tmp_path, "upper", f="3")
    assert merged(up, middle, base) == (
        "/f: new, in upper, hides middle, base",
        "/only_base: lower, in base",
        "/only_middle: lower, in middle",
    )


def test_a_whiteout_in_a_lower_layer_hides_what_is_below_it(tmp_path: Path) -> None:
    base = layer(tmp_path, "base", f="1", d__g="2")
    middle = layer(tmp_path, "middle", f=None, d=None)
    up = layer(tmp_path, "upper", f="again")
    assert merged(up, middle, base) == (
        "/d: whiteout, in middle, hides base",
        "/f: new, in upper, hides base",
    )


def test_an_opaque_lower_directory_cuts_the_view_for_those_above(
    tmp_path: Path,
) -> None:
    base = layer(tmp_path, "base", d__old="1")
    middle = layer(tmp_path, "middle", d__kept="2")
    mark(middle, "d", "opaque")
    up = layer(tmp_path, "upper", d__new="3")
    assert merged(up, middle, base) == (
        "/d: copied-up, in upper, hides base",
        "/d/kept: lower, in middle",
        "/d/new: new, in upper",
    )


def test_a_whiteout_may_be_an_empty_file_with_a_mark(tmp_path: Path) -> None:
    base = layer(tmp_path, "base", d__f="1", d__empty="2")
    middle = layer(tmp_path, "middle", d__f="", d__empty="")
    mark(middle, "d", "opaque", b"x")
    mark(middle, "d/f", "whiteout")
    assert merged(middle, base)[1:] == (
        "/d/empty: lower, in middle, hides base",
        "/d/f: whiteout, in middle, hides base",
    )


def test_links_are_not_followed(tmp_path: Path) -> None:
    low = layer(tmp_path, "low")
    os.symlink("/etc", f"{low.path}/etc")
    assert merged(low) == ("/etc: lower, in low",)


def test_an_entry_is_written_without_anything_that_changes() -> None:
    entry = Entry(ContainerPath("/f"), "upper", EntryKind.COPIED_UP, ("base", "low"))
    assert repr(entry) == "</f: copied-up, in upper, hides base, low>"


def test_what_upper_does_not_touch_is_shared_with_the_view_below(
    tmp_path: Path,
) -> None:
    low = tree_of(layer(tmp_path, "low", a__x="1", b__y="2"))
    both = lay(layer(tmp_path, "upper", a__x="3"), low)
    assert both.children["b"] is low.children["b"]


def test_a_layers_bytes_count_a_file_of_two_names_once(tmp_path: Path) -> None:
    low = layer(tmp_path, "low", a="12345", d__b="678", gone=None)
    os.link(f"{low.path}/a", f"{low.path}/d/c")
    counted = read_layer(low)
    assert (counted.entries, counted.bytes) == (5, 8)
    assert repr(counted) == "<Layer low: 5 names>"


@pytest.mark.parametrize("gone", ["upper/d", "upper"])
def test_a_directory_that_goes_while_it_is_read_counts_as_empty(
    tmp_path: Path, gone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    low = layer(tmp_path, "low", d__f="1")
    up = layer(tmp_path, "upper", d="/")
    real = os.scandir

    def going(place: str) -> object:
        if place.endswith(gone):
            raise FileNotFoundError(place)
        return real(place)

    monkeypatch.setattr(os, "scandir", going)
    assert "/d/f: lower, in low" in merged(up, low)
