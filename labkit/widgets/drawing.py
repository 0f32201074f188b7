"""Drawing windows of samples with matplotlib, to look as the live meter does.

Everything is placed in CSS pixels from the top left, as in the browser. The colours do
on a light and on a dark page, and there is no background: see colours.py.

Reading order: draw, Look, Sheet, and what a chart is made of.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from labkit.widgets.colours import BOTH
from labkit.widgets.figure import WIDTH_PX
from labkit.widgets.window import Series, Window

CSS_DPI, SHARP = 96, 2
PAD, TITLE, HEAD, PLOT, FOOT = 16, 40, 30, 172, 34
LEFT, RIGHT = 40, 132
LINE_PX = 14  # the least distance of two labels
INK, LIMIT = BOTH["ink"], BOTH["limit"]


def draw(windows: Sequence[Window], title: str) -> bytes:
    """Return a PNG with a chart for each window."""
    top = TITLE if title else 0
    height = 2 * PAD + top + len(windows) * (HEAD + PLOT + FOOT)
    sheet = Sheet(height)
    if title:
        sheet.write(PAD, PAD + 14, title, Look(14, bold=True))
    for number, window in enumerate(windows):
        y = PAD + top + number * (HEAD + PLOT + FOOT)
        _chart(sheet, y, window)
    return sheet.png()


@dataclass(frozen=True, slots=True)
class Look:
    """How words look: their size in CSS pixels, colour, weight and side."""

    size: float = 11
    colour: str = INK
    bold: bool = False
    align: str = "left"


class Sheet:
    """A drawing measured in CSS pixels from the top left, with a thin frame."""

    def __init__(self, height: float) -> None:
        self.height = height
        size = (WIDTH_PX / CSS_DPI, height / CSS_DPI)
        self.figure = Figure(figsize=size, dpi=CSS_DPI)
        self.canvas = FigureCanvasAgg(self.figure)
        frame = FancyBboxPatch(
            (1 / WIDTH_PX, 1 / height),
            1 - 2 / WIDTH_PX,
            1 - 2 / height,
            boxstyle="round,pad=0,rounding_size=0.011",
            mutation_aspect=WIDTH_PX / height,
            fill=False,
            edgecolor=INK,
            alpha=0.45,
            linewidth=0.75,
        )
        self.figure.add_artist(frame)

    def write(self, x: float, y: float, words: str, look: Look) -> float:
        """Write words on a base line; return how many pixels wide they are."""
        text = self.figure.text(
            x / WIDTH_PX,
            1 - y / self.height,
            words,
            fontsize=look.size * 72 / CSS_DPI,
            color=look.colour,
            fontweight="bold" if look.bold else "normal",
            ha=look.align,
            va="baseline",
        )
        extent = text.get_window_extent(self.canvas.get_renderer())  # type: ignore[no-untyped-call]
        return float(extent.width)

    def axes(self, y: float) -> Axes:
        """Return the axes of a chart whose upper edge is at y."""
        box = (
            (PAD + LEFT) / WIDTH_PX,
            1 - (y + PLOT) / self.height,
            (WIDTH_PX - 2 * PAD - LEFT - RIGHT) / WIDTH_PX,
            PLOT / self.height,
        )
        return self.figure.add_axes(box)

    def png(self) -> bytes:
        """Return the drawing, with enough dots for a sharp screen."""
        buffer = io.BytesIO()
        dpi = CSS_DPI * SHARP
        self.figure.savefig(buffer, format="png", dpi=dpi, transparent=True)
        return buffer.getvalue()


def _chart(sheet: Sheet, y: float, window: Window) -> None:
    knob = window.knobs[0]
    axes = sheet.axes(y + HEAD)
    series = window.series(knob)
    limits = [knob.limit(reading) for reading in window.readings]
    top = _nice(1.2 * max([3.0, *series.uses, *(one for one in limits if one)]))
    _furnish(axes, top, series.times[-1] if series.times else 1.0)
    sheet.write(PAD, y + 18, knob.title, Look(13, bold=True))
    if not series.times:
        return
    _curve(axes, BOTH[knob.meaning], series)
    shown = [math.nan if one is None else one for one in limits]
    axes.plot(series.times, shown, color=LIMIT, linewidth=1.1, dashes=(5, 3.2))
    _marks(axes, window)
    _summary(sheet, y + 18, window)
    _labels(sheet, y + HEAD, top, window)


def _furnish(axes: Axes, top: float, seconds: float) -> None:
    axes.set_xlim(0, max(seconds, 1.0))
    axes.set_ylim(0, top)
    axes.patch.set_alpha(0)
    axes.spines[["top", "left", "right"]].set_visible(False)
    axes.spines["bottom"].set_color(INK)
    axes.set_yticks([top * part / 4 for part in range(5)])
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g} s")
    axes.locator_params(axis="x", nbins=6)
    axes.tick_params(colors=INK, labelsize=11 * 72 / CSS_DPI, length=0, pad=5)
    axes.grid(axis="y", color=INK, alpha=0.28, linewidth=0.6)
    axes.set_axisbelow(True)


def _curve(axes: Axes, colour: str, series: Series) -> None:
    axes.fill_between(series.times, series.uses, color=colour, alpha=0.15, linewidth=0)
    axes.plot(series.times, series.uses, color=colour, solid_joinstyle="round")
    axes.plot(
        series.times[-1:],
        series.uses[-1:],
        "o",
        color=colour,
        markersize=4,
        clip_on=False,
    )
    held = [t for t, share in zip(series.times, series.helds, strict=True) if share > 0]
    axes.vlines(held, 0, 0.06 * axes.get_ylim()[1], color=LIMIT, linewidth=1.4)


def _marks(axes: Axes, window: Window) -> None:
    seconds = axes.get_xlim()[1]
    for mark in window.marks:
        axes.axvline(mark.t, color=LIMIT, linewidth=1.1)
        axes.plot([mark.t], [axes.get_ylim()[1]], "X", color=LIMIT, clip_on=False)
        late = mark.t > 0.7 * seconds
        words = mark.word if mark.count == 1 else f"{mark.word}, {mark.count} times"
        axes.annotate(
            words,
            (mark.t, 1),
            (-7 if late else 7, -5),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            ha="right" if late else "left",
            fontsize=11 * 72 / CSS_DPI,
            fontweight="bold",
            color=LIMIT,
        )


def _summary(sheet: Sheet, y: float, window: Window) -> None:
    # From the right, because the words are as wide as they are.
    x: float = WIDTH_PX - PAD
    knob = window.knobs[0]
    limit, most = knob.limit(window.readings[-1]), max(window.series(knob).uses)
    times = window.counts()[knob.name]
    of = f"{knob.unit}, no limit" if limit is None else f"of {limit:.0f} {knob.unit}"
    words = [
        (knob.happened(times) if times else "", Look(11, LIMIT, True, "right")),
        (of, Look(13, align="right")),
        (f"{most:.0f}", Look(20, BOTH[knob.meaning], True, "right")),
        ("at most", Look(13, align="right")),
    ]
    for text, look in words:
        if text:
            x -= 8 + sheet.write(x, y, text, look)


def _labels(sheet: Sheet, y: float, top: float, window: Window) -> None:
    knob = window.knobs[0]
    last, limit = window.series(knob).uses[-1], knob.limit(window.readings[-1])
    rows = [(last, f"{last:.0f} {knob.short}", BOTH[knob.meaning])]
    if limit is not None:
        rows.append((limit, f"limit {limit:.0f} {knob.short}", LIMIT))
    rows.sort(reverse=True)
    places = _spread([y + PLOT * (1 - value / top) for value, _, _ in rows], y + PLOT)
    x = WIDTH_PX - PAD - RIGHT + 12
    for place, (_, words, colour) in zip(places, rows, strict=True):
        sheet.write(x, place + 4, words, Look(11, colour, True))


def _spread(heights: Sequence[float], floor: float) -> list[float]:
    # Downwards from the top one, then back up where the last fell below the floor.
    spread: list[float] = []
    for height in heights:
        spread.append(max([height, *(one + LINE_PX for one in spread[-1:])]))
    for back, place in enumerate(range(len(spread) - 1, -1, -1)):
        spread[place] = min(spread[place], floor - back * LINE_PX)
    return spread


def _nice(value: float) -> float:
    power: float = 10 ** math.floor(math.log10(value))
    steps: Iterable[float] = (1, 2, 2.5, 4, 5, 8, 10)
    return next(step * power for step in steps if step * power >= value)
