"""A figure of what was measured, with matplotlib: for the end of chapter 03.

    figure(memory=readings, cpu=readings, pids=readings)

Each series is a sequence of CgroupReading, as `cgroup.snapshot()` returns them. The
colours and marks are those of the live meter; they stand on no background, so that the
picture fits a light notebook and a dark one. matplotlib takes a third of a second to
import, so it is imported when a figure is drawn, not before.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from labkit.primitives.cgroups.reading import CgroupReading
from labkit.widgets.colours import BOTH
from labkit.widgets.knobs import KNOBS, Knob
from labkit.widgets.window import Window

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

WIDTH_IN, HEIGHT_IN, DPI = 7.6, 1.9, 192
INK = BOTH["ink"]


class Figure:
    """One row of axes for each series; a PNG in a notebook."""

    def __init__(self, series: dict[str, Sequence[CgroupReading]], title: str) -> None:
        self._windows = {name: _window(name, rows) for name, rows in series.items()}
        self._title = title

    def __repr__(self) -> str:
        return f"Figure({', '.join(self._windows)})"

    def text(self) -> str:
        """Return what the figure shows, a line for each series."""
        return "\n".join(_words(KNOBS[name], w) for name, w in self._windows.items())

    def png(self) -> bytes:
        """Draw the figure, with no background."""
        buffer = io.BytesIO()
        self._draw().savefig(buffer, format="png", dpi=DPI, transparent=True)
        return buffer.getvalue()

    def _repr_png_(self) -> tuple[bytes, dict[str, Any]]:
        # Twice as many dots as it is wide, so that it is sharp on any screen.
        return self.png(), {"width": round(WIDTH_IN * 96)}

    def _draw(self) -> Drawing:
        from matplotlib.figure import Figure as Drawing

        height = HEIGHT_IN * len(self._windows) + (0.35 if self._title else 0)
        drawing = Drawing(figsize=(WIDTH_IN, height), layout="constrained")
        if self._title:
            drawing.suptitle(
                self._title,
                color=INK,
                fontsize=10,
                fontweight="bold",
                x=0.012,
                ha="left",
            )
        rows = drawing.subplots(len(self._windows), squeeze=False)
        for (axes,), (name, window) in zip(rows, self._windows.items(), strict=True):
            _draw_knob(axes, KNOBS[name], window)
        rows[-1][0].set_xlabel("seconds", color=INK, fontsize=8, loc="right")
        return drawing


def figure(title: str = "", **series: Sequence[CgroupReading]) -> Figure:
    """Return a figure of readings: one row each for `memory`, `cpu`, `pids`."""
    return Figure(series, title)


def _window(name: str, readings: Sequence[CgroupReading]) -> Window:
    window = Window([KNOBS[name]], max(len(readings), 1))
    for reading in readings:
        window.add(reading)
    return window


def _draw_knob(axes: Axes, knob: Knob, window: Window) -> None:
    colour = BOTH[knob.meaning]
    times, values, held = window.series(knob)
    axes.plot(times, values, color=colour, linewidth=1.6, solid_joinstyle="round")
    axes.fill_between(times, values, color=colour, alpha=0.14, linewidth=0)
    limits = [knob.limit(reading) for reading in window.readings]
    if any(limit is not None for limit in limits):
        shown = [float("nan") if limit is None else limit for limit in limits]
        axes.plot(times, shown, color=BOTH["limit"], linewidth=1.2, dashes=(5, 3))
    _furnish(axes, knob)
    _label_ends(axes, knob, times, values, limits)
    for mark in window.marks:
        axes.axvline(mark.t, color=BOTH["limit"], linewidth=1.1)
        _write(axes, (mark.t, 1), mark.word, BOTH["limit"], (4, -9))
    moments = [t for t, share in zip(times, held, strict=True) if share > 0]
    if moments:
        axes.plot(
            moments,
            [0.0] * len(moments),
            "|",
            color=BOTH["limit"],
            markersize=7,
            clip_on=False,
        )


def _furnish(axes: Axes, knob: Knob) -> None:
    title = f"{knob.title}, {knob.unit}"
    axes.set_title(title, loc="left", fontsize=9, color=INK, fontweight="bold")
    axes.set_ylim(bottom=0)
    axes.margins(x=0.0, y=0.18)
    axes.spines[["top", "left", "right"]].set_visible(False)
    axes.spines["bottom"].set_color(INK)
    axes.tick_params(colors=INK, labelsize=8, length=0)
    axes.locator_params(axis="y", nbins=4)
    axes.grid(axis="y", color=INK, alpha=0.25, linewidth=0.6)
    axes.set_axisbelow(True)


def _label_ends(
    axes: Axes,
    knob: Knob,
    times: Sequence[float],
    values: Sequence[float],
    limits: Sequence[float | None],
) -> None:
    if not times:
        return
    last, limit = values[-1], limits[-1]
    rows = [(last, f"{last:.0f} {knob.unit}", BOTH[knob.meaning])]
    if limit is not None:
        rows.append((limit, f"limit {limit:.0f} {knob.unit}", BOTH["limit"]))
    close = limit is not None and abs(last - limit) < 0.1 * axes.get_ylim()[1]
    for number, (y, words, colour) in enumerate(rows):
        # Two labels at the same height would cover each other.
        away = (-6 if number == 0 else 6) if close else 0
        axes.annotate(
            words,
            (times[-1], y),
            (6, away),
            textcoords="offset points",
            va="center",
            fontsize=8,
            color=colour,
            fontweight="bold",
            annotation_clip=False,
        )


def _write(
    axes: Axes, at: tuple[float, float], words: str, colour: str, away: tuple[int, int]
) -> None:
    late = at[0] > 0.7 * axes.get_xlim()[1]
    axes.annotate(
        words,
        at,
        (-away[0] if late else away[0], away[1]),
        xycoords=("data", "axes fraction"),
        textcoords="offset points",
        ha="right" if late else "left",
        fontsize=8,
        fontweight="bold",
        color=colour,
    )


def _words(knob: Knob, window: Window) -> str:
    if not window.readings:
        return f"{knob.title}: no reading"
    first, last = window.readings[0], window.readings[-1]
    limit, most = knob.limit(last), max(window.series(knob).uses)
    of = "no limit" if limit is None else f"limit {limit:.0f} {knob.unit}"
    times = knob.reached(last) - knob.reached(first)
    return f"{knob.title}: at most {most:.0f} {knob.unit}, {of}, {knob.happened(times)}"
