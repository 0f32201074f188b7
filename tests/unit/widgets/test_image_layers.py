"""The picture of an image: its layers, and what the upper ones have brought."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from labkit.image.view import ImageView, LayerView
from labkit.linux.views import HostPath
from labkit.widgets.image_layers import ImageLayers

LONG = "RUN apt-get update && apt-get install --yes something-with-a-long-name"


@pytest.fixture
def view(tmp_path: Path) -> ImageView:
    """Two layers: the upper one removes a file, replaces one, and brings one."""
    for path in ("low/etc/motd", "low/etc/hosts", "low/bin/sh", "top/etc/hosts"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(path)
    (tmp_path / "top/srv").mkdir()
    (tmp_path / "top/srv/page").write_text("hello")
    os.mknod(tmp_path / "top/etc/motd", stat.S_IFCHR)
    layers = (
        LayerView("layer 2", LONG, 300, 20, 4, HostPath(str(tmp_path / "top"))),
        LayerView("layer 1", "ADD / /", 900, 30, 5, HostPath(str(tmp_path / "low"))),
    )
    return ImageView(layers, "trusted.overlay.")


def test_the_text_says_what_made_each_layer_and_what_it_changed(
    view: ImageView,
) -> None:
    assert ImageLayers(view).text().splitlines() == [
        f"layer 2: {LONG}",
        "layer 1: ADD / /",
        "/etc/hosts comes from layer 2; hidden below it: layer 1",
        "/etc/motd is removed by layer 2; hidden below it: layer 1",
        "/srv/page comes from layer 2",
    ]


def test_what_only_the_lowest_layer_has_is_counted_and_not_listed(
    view: ImageView,
) -> None:
    drawn = ImageLayers(view).picture(numbers=True)
    assert "2 layers, 7 names; above the lowest one: 3 changes" in drawn
    assert "/bin/sh" not in drawn


def test_a_path_knows_its_slab_and_the_hidden_ones(view: ImageView) -> None:
    drawn = ImageLayers(view).picture(numbers=True)
    assert 'data-path="/etc/hosts" data-from="0" data-hides="1"' in drawn
    assert "<del>motd</del>" in drawn


def test_a_long_instruction_is_shortened_and_its_title_has_all_of_it(
    view: ImageView,
) -> None:
    drawn = ImageLayers(view).picture(numbers=True)
    assert "install --yes" not in drawn.replace("<title>", "").partition("</title>")[2]
    assert f"<title>{LONG.replace('&', '&amp;')}</title>" in drawn


def test_sizes_are_left_out_of_what_is_compared(view: ImageView) -> None:
    assert "layer 2, 20 bytes" in ImageLayers(view).picture(numbers=True)
    assert "bytes" not in ImageLayers(view).picture(numbers=False)
    assert repr(ImageLayers(view)) == "ImageLayers(2 layers)"
