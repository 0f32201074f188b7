"""One daemon thread that reads for one view, as long as somebody looks at it.

The thread holds only a weak reference to its view, so a forgotten view ends it. It
sleeps while nobody looks, never prints (a thread's output lands in whichever cell runs)
and never catches up after a stall: the past can't be read again.
"""

from __future__ import annotations

import threading
import time
import weakref
from typing import Protocol

STALL_S = 1.0
ASLEEP_S = 5.0  # between two looks at whether the view is still there


class Sampled(Protocol):
    """A view that can be read for: what the thread asks of it."""

    def watched(self) -> bool:
        """Say whether somebody looks."""

    def sample(self) -> bool:
        """Read once and show it; False when there is nothing left to read."""


class Sampler:
    """The thread of one view."""

    def __init__(self, view: Sampled, name: str, hz: float) -> None:
        self._stop, self._wake = threading.Event(), threading.Event()
        self._thread = threading.Thread(
            target=_pump,
            args=(weakref.ref(view), self._stop, self._wake, 1 / hz),
            name=f"labkit:{name}",
            daemon=True,
        )

    def look(self) -> None:
        """Start to read, or wake up: somebody looks."""
        if self._thread.ident is None:
            self._thread.start()
        self._wake.set()

    def stop(self) -> None:
        """End the thread at its next chance; it may be called twice."""
        self._stop.set()
        self._wake.set()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()


def _pump(
    ref: weakref.ref[Sampled],
    stop: threading.Event,
    wake: threading.Event,
    period_s: float,
) -> None:
    due = time.monotonic()
    while not stop.is_set():
        view = ref()
        if view is None:
            return
        watched = view.watched()
        if watched and not view.sample():
            return
        del view  # not while waiting, or it could never be collected
        now = time.monotonic()
        if not watched:
            wake.clear()
            wake.wait(ASLEEP_S)
            due = time.monotonic()
        elif now > due + STALL_S:
            due = now
        due += period_s
        stop.wait(max(0.0, due - time.monotonic()))
