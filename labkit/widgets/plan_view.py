"""PlanView: a plan being applied, step by step, with the calls it makes. Chapter 01.

    PlanView(child)          live, with buttons; follows the child's events
    PlanView(events)         what just happened
    plan_card(plan)          a plan that has not been applied

The buttons post words to the child ("next", "run", "stop"); nothing here forks, and
nothing here touches Linux. What the view shows is the trace of the run itself.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from labkit.errors import LabError
from labkit.plan.child import Child
from labkit.plan.events import Event
from labkit.plan.plan import Plan
from labkit.widgets import cells
from labkit.widgets.html import Html, button, card, chip, tag
from labkit.widgets.plan_html import (
    FAILED,
    NOT_APPLIED,
    RUNNING,
    WAITING,
    Row,
    count,
    row_of,
    rows_of,
    steps_list,
    summary,
)
from labkit.widgets.trouble import trouble
from labkit.widgets.view import PageView


class PlanView(PageView):
    """The steps of a child, or of events that have happened, with their calls."""

    def __init__(self, source: Child | Sequence[Event], title: str = "") -> None:
        super().__init__()
        self._child = source if isinstance(source, Child) else None
        self._title = title or _title(source)
        self._events: dict[int, Event] = {}
        self._going, self._error = False, ""
        self._ended = self._child is None
        self._drawing, self._pressed = threading.Lock(), threading.Lock()
        if self._child is not None:
            self._child.subscribe(self._happened)
        past = source.events if isinstance(source, Child) else source
        self._events = {event.index: event for event in past} | self._events
        self.redraw()

    def __repr__(self) -> str:
        return f"PlanView({count(len(self._rows()), 'step')})"

    def plain(self) -> str:
        """Return the steps, a line each, for a saved notebook."""
        heads = (row.text().splitlines()[0] for row in self._rows())
        return "\n".join([repr(self), *heads])

    def text(self) -> str:
        """Return the steps with their state and calls; no durations: they differ."""
        return "\n".join(row.text() for row in self._rows())

    def picture(self, *, numbers: bool, live: bool = False) -> Html:
        """Return the steps on their lanes, each with its calls folded under it."""
        rows = self._rows()
        return card(
            "plan",
            self._title,
            summary(rows, numbers=numbers),
            steps_list(rows, numbers=numbers),
            trouble(self._error),
            self._buttons() if live and self._child is not None else None,
            side=self._state(),
        )

    def redraw(self) -> None:
        """Show the present state in the browser."""
        with self._drawing:
            super().redraw()

    def follows(self) -> bool:
        """Say whether the child is still there."""
        if not self._ended and self._child is not None and not cells.running():
            self._ended = not self._child.running
            if self._ended:
                self.redraw()
        return not self._ended

    def _obey(self, word: str) -> None:
        """Post a button's word to the child; a second press meanwhile is ignored."""
        if self._child is None or not self._pressed.acquire(blocking=False):
            return
        verbs: dict[str, Callable[[], object]] = {
            "next": self._child.next,
            "run": self._child.run,
            "stop": self._child.stop,
        }
        self._going, self._error = word != "stop", ""
        self.redraw()
        try:
            verbs[word]()
        except LabError as error:
            self._error = str(error)
        finally:
            self._going = False
            self._pressed.release()
            self.redraw()
        self.follows()

    def _happened(self, event: Event) -> None:
        self._events[event.index] = event
        self.redraw()

    def _rows(self) -> tuple[Row, ...]:
        if self._child is None:
            return tuple(map(row_of, self._events.values()))
        rows = [*map(row_of, self._events.values())]
        stuck = self._ended or any(row.state == FAILED for row in rows)
        rest = rows_of(self._child.steps, NOT_APPLIED if stuck else WAITING)[
            len(rows) :
        ]
        if self._going and rest and not stuck:
            first = rest[0]
            rest = (Row(first.index, first.step, first.where, RUNNING), *rest[1:])
        return (*rows, *rest)

    def _state(self) -> Html | None:
        if self._child is None:
            return None
        done, total = len(self._events), len(self._child.steps)
        if any(event.error for event in self._events.values()):
            return chip(f"failed at step {done}", "limit", "cross")
        if done == total:
            return chip("all steps applied", "memory", "check")
        if self._ended:
            return chip("stopped", "", "minus")
        return chip(f"parked before step {done + 1}", "copy", "pause")

    def _buttons(self) -> Html:
        alive = not self._ended
        # Also while a step runs: a button that is switched off loses the focus.
        can_go = alive and self._rows()[-1].state in (WAITING, RUNNING)
        return tag(
            "div",
            button("Next step", "next", main=True, enabled=can_go),
            button("Run the rest", "run", enabled=can_go),
            button("Stop", "stop", enabled=alive),
            tag("span", self._said(), role="status", aria_live="polite", class_="note"),
            class_="actions",
        )

    def _said(self) -> str:
        if not self._events:
            return "" if self._ended else "the child is forked and waits"
        last = self._events[max(self._events)]
        return f"step {last.index + 1} of {last.total}: {last.error or 'done'}"


def _title(source: Child | Sequence[Event]) -> str:
    if isinstance(source, Child):
        return "The plan"
    if len(source) == 1:
        return f"Step {source[0].index + 1} of {source[0].total}"
    return "What just happened"


def plan_card(plan: Plan) -> Html:
    """Return the picture of a plan that has not been applied."""
    note = f"{count(len(plan.steps), 'step')}. Nothing has happened yet."
    return card("plan", "A plan", note, steps_list(rows_of(plan.steps), numbers=False))
