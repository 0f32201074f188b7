"""The meter, without a browser: its thread reads, its slider asks."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

from labkit.errors import syscall_error
from labkit.primitives.cgroups.limits import Limits
from labkit.primitives.cgroups.reading import CgroupReading
from labkit.widgets.knobs import MIB
from labkit.widgets.meter import Meter


class Recorded:
    """A cgroup of the past: it gives its readings again, and notes what is asked."""

    name = "box"

    def __init__(self, *readings: CgroupReading) -> None:
        self.readings, self.asked = list(readings), list[dict[str, Any]]()
        self.refuses: Exception | None = None

    def snapshot(self) -> CgroupReading:
        if not self.readings:
            raise syscall_error('open("memory.current", O_RDONLY)', 2)
        return self.readings.pop(0)

    def limit(self, **wanted: Any) -> Limits:
        self.asked.append(wanted)
        if self.refuses:
            raise self.refuses
        return Limits(tuple(wanted.items()))


FIRST = CgroupReading(1.0, memory_bytes=8 * MIB, memory_limit_bytes=64 * MIB)
KILLED = replace(FIRST, time_s=2.0, memory_bytes=MIB, oom_kills=1)


def meter(*readings: CgroupReading) -> tuple[Meter, Recorded]:
    """A meter of a recorded cgroup."""
    cgroup = Recorded(*readings)
    return Meter(cgroup), cgroup  # type: ignore[arg-type]


def wish(meter: Meter, value: float, turn: int = 1) -> None:
    """Send what the slider sends when it is released."""
    meter.limit_request = {"knob": "memory", "value": value, "turn": turn}


def test_a_reading_shows_the_use_the_limit_and_what_happened() -> None:
    view, _ = meter(FIRST, KILLED)
    assert view.sample() and view.sample()
    assert view.limits == {"memory": 64.0}
    assert view.counts == {"memory": 1}
    assert [mark["t"] for mark in view.marks] == [1.0]
    assert view.text() == "Memory: at most 8 MiB, limit 64 MiB, 1 killed for memory"


def test_it_ends_when_the_cgroup_is_gone_and_keeps_the_picture() -> None:
    view, _ = meter(FIRST)
    assert view.sample()
    assert not view.sample()
    assert (view.state, view.error) == ("ended", "")
    assert view.data


def test_another_failure_is_shown_not_raised() -> None:
    view, cgroup = meter()
    cgroup.snapshot = lambda: 1 / 0  # type: ignore[assignment, method-assign, return-value]
    assert not view.sample()
    assert "division by zero" in view.error


def test_the_slider_asks_linux_and_shows_what_linux_has() -> None:
    view, cgroup = meter(FIRST)
    wish(view, 96)
    assert cgroup.asked == [{"memory": 96 * MIB}]
    assert view.answer == {"knob": "memory", "limit": 96.0, "turn": 1}


def test_the_slider_never_passes_its_ceiling() -> None:
    view, cgroup = meter(FIRST)
    wish(view, 100_000)
    assert cgroup.asked == [{"memory": 512 * MIB}]


def test_a_refusal_puts_the_slider_back_and_says_why() -> None:
    view, cgroup = meter(FIRST)
    view.sample()
    cgroup.refuses = syscall_error('write(3, "33554432", 8)', 16)
    wish(view, 32)
    assert view.answer == {"knob": "memory", "limit": 64.0, "turn": 1}
    assert view.error.startswith('write(3, "33554432", 8): EBUSY\n')
    cgroup.refuses = None
    wish(view, 80, turn=2)
    assert view.error == ""


def test_the_text_in_a_saved_notebook_is_the_same_in_every_run() -> None:
    view, _ = meter(FIRST)
    before = view.still(numbers=False)
    view.sample()
    assert before == view.still(numbers=False) == {"text/plain": "Meter(box: memory)"}


def test_a_picture_stays() -> None:
    view, _ = meter(FIRST, KILLED)
    view.sample(), view.sample()
    assert view.still(numbers=True)["image/png"].startswith("iVBORw0KGgo")


def test_no_thread_runs_before_somebody_looks() -> None:
    view, _ = meter(FIRST)
    assert not view.watched()
    assert "labkit:Meter" not in {thread.name for thread in threading.enumerate()}
