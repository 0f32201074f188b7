"""The picture of a plan: its steps on two lanes, and the system calls under each.

    outside   a solid line: the parent, in the original namespaces
    inside    a dashed line: the process that becomes the container

A step stands on the lane of the process that applies it. Under it are the calls that it
made, as one would write them in C; a call that Linux refused carries its errno.
Durations differ from run to run: a picture that must not change leaves them out.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from labkit.linux.call import Call
from labkit.plan.events import Event
from labkit.plan.step import Step
from labkit.widgets.html import Html, chip, duration, icon, join, markup, tag, unseen

PLANNED, WAITING, RUNNING = "planned", "waiting", "running"
DONE, FAILED, NOT_APPLIED = "done", "failed", "not applied"

UNFOLDED_STEPS, UNFOLDED_CALLS = 8, 4  # a longer plan shows its calls on request

SIGNS = {DONE: "check", FAILED: "cross", NOT_APPLIED: "minus", RUNNING: "play"}


@dataclass(frozen=True, slots=True)
class Row:
    """One step as the picture shows it."""

    index: int
    step: str
    where: str
    state: str
    duration_us: float | None = None
    calls: tuple[Call, ...] = ()
    error: str | None = None

    def text(self) -> str:
        """Return the row and its calls as lines, with nothing that differs per run."""
        error = f": {self.error}" if self.error else ""
        head = (
            f"{self.index + 1:>3}  {self.where:<8} {self.state:<12} {self.step}{error}"
        )
        return "\n".join(
            [head, *(f"{'':27}{steady(repr(call))}" for call in self.calls)]
        )


def rows_of(steps: Sequence[Step], state: str = PLANNED) -> tuple[Row, ...]:
    """Return the rows of steps that have not been applied."""
    return tuple(
        Row(index, step.describe(), str(step.where), state)
        for index, step in enumerate(steps)
    )


def row_of(event: Event) -> Row:
    """Return the row of a step that was applied, or that Linux refused."""
    return Row(
        event.index,
        event.step,
        str(event.where),
        FAILED if event.error else DONE,
        event.duration_us,
        event.calls,
        event.error,
    )


def steps_list(rows: Sequence[Row], *, numbers: bool) -> Html:
    """Return the list of steps on their two lanes."""
    slowest = max((row.duration_us or 0.0 for row in rows), default=0.0)
    short = len(rows) <= UNFOLDED_STEPS
    items = join(_item(row, slowest, numbers, short) for row in rows)
    lanes = tag("span", tag("b", "outside"), " ", tag("b", "inside"), class_="lanes")
    head = tag("div", lanes, class_="lane-names", aria_hidden="true")
    return join([head, tag("ol", items, class_="steps")])


def call_list(calls: Sequence[Call], *, numbers: bool) -> Html:
    """Return system calls as in C; one that was refused has its errno."""
    return tag("ul", join(_call(call, numbers) for call in calls), class_="calls")


def steady(text: str) -> str:
    """Return a call's text without pids: they differ from run to run."""
    text = re.sub(r"/proc/\d+", "/proc/PID", text)
    return re.sub(r"\b(kill|pidfd_open|waitpid|setpgid)\(\d+", r"\1(PID", text)


def summary(rows: Sequence[Row], *, numbers: bool) -> str:
    """Return one line: how many steps are done, the number of calls, how long."""
    applied = [row for row in rows if row.duration_us is not None]
    if not applied:
        return f"{count(len(rows), 'step')}, none applied yet"
    calls = count(sum(len(row.calls) for row in applied), "system call")
    steps = count(len(rows), "step")
    if len(applied) < len(rows):
        steps = f"{len(applied)} of {steps} applied"
    head = f"{steps}, {calls}"
    total_us = sum(row.duration_us or 0.0 for row in applied)
    return f"{head}, {duration(total_us)}" if numbers else head


def count(number: int, noun: str) -> str:
    """Return a number with its noun: 1 step, 2 steps."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _item(row: Row, slowest_us: float, numbers: bool, short: bool) -> Html:
    state = row.state.replace(" ", "-")
    head = join([_node(row), _line(row, slowest_us, numbers)])
    body = (
        tag(
            "details",
            tag("summary", head),
            call_list(row.calls, numbers=numbers),
            open=row.error is not None or (short and len(row.calls) <= UNFOLDED_CALLS),
        )
        if row.calls
        else tag("div", head, class_="bare")
    )
    return tag(
        "li",
        body,
        class_=f"step {state} {row.where}",
        data_key=f"step-{row.index}",
        data_flash=row.state if row.duration_us is not None else "",
    )


def _node(row: Row) -> Html:
    sign = SIGNS.get(row.state)
    return tag("span", tag("i", icon(sign) if sign else None), class_="lanes")


def _line(row: Row, slowest_us: float, numbers: bool) -> Html:
    # A no-break space keeps the sign on the line of the last word.
    fold = join(["\u00a0", icon("fold")]) if row.calls else None
    what = tag("span", row.step, fold, class_="what")
    error = chip(row.error, "limit") if row.error else None
    said = unseen(f" ({row.where}, {row.state}) ")
    bar = _bar(row, slowest_us) if numbers else None
    return join([what, said, error, bar])


def _bar(row: Row, slowest_us: float) -> Html | None:
    if row.duration_us is None:
        return None
    width = 100 * row.duration_us / slowest_us if slowest_us else 0
    fill = tag("i", style=f"width:{max(width, 1):.1f}%")
    took = tag("span", duration(row.duration_us), class_="num")
    return tag("span", tag("span", fill, class_="bar"), took, class_="took")


def _call(call: Call, numbers: bool) -> Html:
    refused = chip(call.error, "limit") if call.error else None
    # A call that did not return, as execve, has no duration.
    timed = numbers and call.duration_us > 0
    took = tag("span", duration(call.duration_us), class_="num") if timed else None
    # A long line may break after a flag or an argument, not inside a name.
    text = markup(call.text if numbers else steady(call.text))
    parts = Html(text.replace("|", "|<wbr>").replace(", ", ", <wbr>"))
    code = tag("code", parts, class_="refused" if call.error else None)
    return tag("li", code, " " if refused else None, refused, took)
