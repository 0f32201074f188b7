"""HTML made in Python, and the style sheet that all views share."""

from __future__ import annotations

import re

import pytest

from labkit.widgets import colours
from labkit.widgets.browser import HERE, style
from labkit.widgets.html import duration, icon, join, page, size, tag

SURFACES = {"light": "#ffffff", "dark": "#212121"}


def test_text_is_escaped_and_html_is_not() -> None:
    inner = tag("b", '<script>"&')
    assert tag("p", inner, "<") == "<p><b>&lt;script&gt;&quot;&amp;</b>&lt;</p>"


def test_attributes_are_escaped_and_spelled_as_in_html() -> None:
    made = tag("i", class_="a", data_path='/x"y', open=True, disabled=False, title=None)
    assert made == '<i class="a" data-path="/x&quot;y" open></i>'


def test_nothing_adds_nothing() -> None:
    assert join([None, "a", None]) == "a"


def test_a_page_needs_no_other_file() -> None:
    assert "<style>" in page(tag("p", "x"))
    assert not re.search(r"https?:|url\(|@import", style("plan", "meter", "layers"))


def test_no_view_loads_anything_from_the_network() -> None:
    for path in HERE.glob("*.js"):
        code = path.read_text().replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?:|\bimport\b|fetch\(", code), path.name


def test_an_icon_is_drawn_and_silent() -> None:
    assert 'aria-hidden="true"' in icon("check")
    with pytest.raises(KeyError):
        icon("unicorn")


@pytest.mark.parametrize("theme", SURFACES)
def test_every_colour_can_be_read(theme: str) -> None:
    tokens = getattr(colours, theme)()
    assert set(tokens) == {"memory", "space", "copy", "image", "limit"}
    weakest = min(contrast(colour, SURFACES[theme]) for colour in tokens.values())
    assert weakest >= 4.5  # WCAG 2.2, 1.4.3: text


@pytest.mark.parametrize("surface", SURFACES.values())
def test_the_colours_of_a_png_do_in_both_themes(surface: str) -> None:
    weakest = min(contrast(colour, surface) for colour in colours.BOTH.values())
    assert weakest >= 3  # WCAG 2.2, 1.4.11: graphics, and bold text


def test_amounts_have_the_unit_that_reads_best() -> None:
    assert [duration(us) for us in (21.4, 1_240, 2_500_000)] == [
        "21 µs",
        "1.2 ms",
        "2.5 s",
    ]
    assert [size(n) for n in (7, 2048, 3 << 20)] == ["7 bytes", "2 KiB", "3 MiB"]


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of two colours, as WCAG defines it."""
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def luminance(colour: str) -> float:
    """Return the relative luminance of #rrggbb."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [
        p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
