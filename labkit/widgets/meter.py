"""Meter: a live chart of what a cgroup uses, and its limit to drag. Chapter 03.

    Meter(cgroup)                             memory
    Meter(cgroup, ("memory", "cpu", "pids"))  a chart for each

Ten times a second one thread reads the cgroup, and only reads. The slider sits on the
chart, at the end of the limit's line, below a ceiling that it can't pass. Released, it
asks Linux for another limit; the line is drawn from what Linux then says it has. When
Linux refuses, the slider goes back and the three lines say why.
"""

from __future__ import annotations

import base64
import errno
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import traitlets

from labkit.errors import LabError
from labkit.primitives.cgroups.cgroup import Cgroup
from labkit.widgets.browser import script, style
from labkit.widgets.figure import WIDTH_PX, Figure, figure
from labkit.widgets.knobs import KNOBS, Knob
from labkit.widgets.view import View
from labkit.widgets.window import Window

HZ = 10.0
SPAN_S = 30.0
GONE = (errno.ENOENT, errno.ENODEV)


class Meter(View):
    """What a cgroup uses, against its limits."""

    _esm = script("live.js", "draw.js", "chart.js", "meter.js")
    _css = style("meter")
    compared = False  # a PNG is not
    metadata = {"image/png": {"width": WIDTH_PX}}
    title = traitlets.Unicode().tag(sync=True)
    note = traitlets.Unicode().tag(sync=True)
    knobs: Any = traitlets.List().tag(sync=True)
    span_s = traitlets.Float(SPAN_S).tag(sync=True)
    # Written by the thread:
    data = traitlets.Bytes(b"").tag(sync=True)
    columns = traitlets.Int(1).tag(sync=True)
    marks: Any = traitlets.List().tag(sync=True)
    peaks = traitlets.Dict().tag(sync=True)
    counts = traitlets.Dict().tag(sync=True)
    state = traitlets.Unicode("live").tag(sync=True)
    limits = traitlets.Dict().tag(sync=True)
    # Written by the slider, and the answer to it:
    limit_request = traitlets.Dict().tag(sync=True)
    answer = traitlets.Dict().tag(sync=True)
    error = traitlets.Unicode().tag(sync=True)

    def __init__(
        self,
        cgroup: Cgroup,
        knobs: Sequence[str] = ("memory",),
        *,
        ceilings: Mapping[str, float] | None = None,
        title: str = "",
    ) -> None:
        super().__init__(hz=HZ)
        self._cgroup, self._asking = cgroup, threading.Lock()
        usual = {name: KNOBS[name].ceiling for name in knobs}
        self._ceilings = usual | dict(ceilings or {})
        self._window = Window([KNOBS[name] for name in knobs], round(SPAN_S * HZ))
        self.title = title or f"What {cgroup.name} uses"
        self.note = f"cgroup {cgroup.name}, read {HZ:.0f} times a second"
        self.columns = self._window.columns
        self.knobs = [self._row(knob) for knob in self._window.knobs]
        self.observe(self._asked, "limit_request")

    def __repr__(self) -> str:
        knobs = ", ".join(knob.name for knob in self._window.knobs)
        return f"Meter({self._cgroup.name}: {knobs})"

    def text(self) -> str:
        """Return the most that was used, the limit, and how often it was reached."""
        return self._figure().text()

    def still(self, *, numbers: bool) -> dict[str, str]:
        """Return the chart as a PNG once there is one; nbval does not compare it."""
        bundle = {"text/plain": repr(self)}
        if numbers and self._window.readings:
            png = self._figure().png()
            bundle["image/png"] = base64.b64encode(png).decode()
        return bundle

    def follows(self) -> bool:
        """Say whether the cgroup is still read."""
        return self.state == "live"

    def read(self) -> bool:
        """Take one reading and send the window to the browser."""
        reading = self._cgroup.snapshot()
        marked = self._window.add(reading)
        knobs = self._window.knobs
        with self.hold_sync():
            self.data = self._window.packed()
            self.peaks = {knob.name: knob.peak(reading) for knob in knobs}
            self.limits = {knob.name: knob.limit(reading) for knob in knobs}
            if marked:
                self.marks = [mark.to_json() for mark in self._window.marks]
            self.counts = self._window.counts()
        return True

    def lose(self, error: Exception) -> None:
        """Keep the picture: the cgroup is gone, or can't be read."""
        with self.hold_sync():
            if not (isinstance(error, OSError) and error.errno in GONE):
                self.error = str(error)
            self.state = "ended"

    def _row(self, knob: Knob) -> dict[str, Any]:
        return {
            "name": knob.name,
            "title": knob.title,
            "unit": knob.unit,
            "short": knob.short,
            "reached_as": knob.reached_as,
            "meaning": knob.meaning,
            "column": self._window.column(knob),
            "ceiling": self._ceilings[knob.name],
            "step": knob.step,
        }

    def _figure(self) -> Figure:
        readings = tuple(self._window.readings)
        return figure(
            self.title, **{knob.name: readings for knob in self._window.knobs}
        )

    def _asked(self, change: dict[str, Any]) -> None:
        # On the main thread or on a subshell's, even while a cell runs (ipykernel).
        wish = change["new"]
        knob = KNOBS[wish["knob"]]
        value = min(wish["value"], self._ceilings[knob.name])
        with self._asking:
            limit, self.error = self.limits.get(knob.name), ""
            try:
                limit = knob.ask(self._cgroup, value)
            except LabError as error:
                self.error = str(error)
            self.answer = {"knob": knob.name, "limit": limit, "turn": wish["turn"]}
