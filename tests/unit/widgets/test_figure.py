"""The figure at the end of chapter 03."""

from __future__ import annotations

import io
from dataclasses import replace

from PIL import Image

from labkit.primitives.cgroups.reading import CgroupReading
from labkit.widgets.figure import figure
from labkit.widgets.knobs import MIB

RISE = [
    CgroupReading(
        second / 10,
        memory_bytes=second * MIB,
        memory_limit_bytes=64 * MIB,
        cpu_usage_us=50_000 * second,
        cpu_limit=0.5,
        cpu_periods=second,
        cpu_throttled_periods=second // 2,
        pids=2,
    )
    for second in range(60)
]
KILL = replace(RISE[-1], time_s=6.0, memory_bytes=MIB, oom_kills=1)


def test_it_says_what_it_shows() -> None:
    text = figure(memory=[*RISE, KILL], cpu=RISE).text()
    assert text.splitlines() == [
        "Memory: at most 59 MiB, limit 64 MiB, 1 killed for memory",
        "CPU: at most 50 % of a CPU, limit 50 % of a CPU, 29 times throttled",
    ]


def test_its_text_is_the_same_in_every_run() -> None:
    assert repr(figure("Limits", memory=RISE, pids=RISE)) == "Figure(memory, pids)"


def test_it_is_drawn_without_a_background() -> None:
    picture = Image.open(io.BytesIO(figure(memory=[*RISE, KILL]).png()))
    assert picture.getpixel((2, 2)) == (255, 255, 255, 0)
    assert {(217, 48, 79, 255), (15, 157, 143, 255)} <= colours_of(picture)


def test_a_series_without_a_reading_is_an_empty_row() -> None:
    empty = figure(memory=[])
    assert empty.text() == "Memory: no reading"
    assert empty.png().startswith(b"\x89PNG")


def colours_of(picture: Image.Image) -> set[tuple[int, ...]]:
    """Return every colour that a picture has."""
    found = picture.convert("RGBA").getcolors(picture.width * picture.height) or []
    return {colour for _, colour in found if isinstance(colour, tuple)}
