"""A figure of what was measured, with matplotlib: for the end of chapter 03.

    figure(memory=readings, cpu=readings, pids=readings)

Each series is a sequence of CgroupReading, as `cgroup.snapshot()` returns them. The
picture is a PNG that looks like the live meter; it is also what stays of a meter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from labkit.primitives.cgroups.reading import CgroupReading
from labkit.widgets.knobs import KNOBS, Knob
from labkit.widgets.window import Window

WIDTH_PX = 760  # as wide as the cards


class Figure:
    """One chart for each series; a PNG in a notebook."""

    def __init__(
        self, series: Mapping[str, Sequence[CgroupReading]], title: str
    ) -> None:
        self._windows = [_window(name, rows) for name, rows in series.items()]
        self._title = title

    def __repr__(self) -> str:
        names = (window.knobs[0].name for window in self._windows)
        return f"Figure({', '.join(names)})"

    def text(self) -> str:
        """Return what the figure shows, a line for each series."""
        return "\n".join(_words(window.knobs[0], window) for window in self._windows)

    def png(self) -> bytes:
        """Draw the figure, with no background."""
        # matplotlib takes a third of a second to import: only for who wants a figure.
        from labkit.widgets.drawing import draw

        return draw(self._windows, self._title)

    def _repr_png_(self) -> tuple[bytes, dict[str, Any]]:
        # Twice as many dots as it is wide, so that it is sharp on any screen.
        return self.png(), {"width": WIDTH_PX}


def figure(title: str = "", **series: Sequence[CgroupReading]) -> Figure:
    """Return a figure of readings: a chart each for `memory`, `cpu`, `pids`."""
    return Figure(series, title)


def _window(name: str, readings: Sequence[CgroupReading]) -> Window:
    window = Window([KNOBS[name]], max(len(readings), 1))
    for reading in readings:
        window.add(reading)
    return window


def _words(knob: Knob, window: Window) -> str:
    if not window.readings:
        return f"{knob.title}: no reading"
    limit, most = knob.limit(window.readings[-1]), max(window.series(knob).uses)
    of = "no limit" if limit is None else f"limit {limit:.0f} {knob.unit}"
    times = knob.happened(window.counts()[knob.name])
    return f"{knob.title}: at most {most:.0f} {knob.unit}, {of}, {times}"
