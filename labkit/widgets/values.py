"""Pictures of the lab's values, as a cell shows them: one function for each type.

    calls_card        calls that a plan would make
    kinds_card        the namespaces of one process
    reading_card      one reading of a cgroup
    overlay_card      an overlay: its layers and its tree
    verdict_card      how a check ended

`numbers=False` leaves out what differs from run to run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from labkit.course.verdict import Verdict
from labkit.linux.call import Call
from labkit.linux.flags import NamespaceType
from labkit.primitives.cgroups.reading import CgroupReading
from labkit.primitives.overlay import Overlay
from labkit.widgets.card import hint_ladder, verdict_chip
from labkit.widgets.html import Html, card, chip, join, size, tag
from labkit.widgets.knobs import KNOBS
from labkit.widgets.layers_html import stack, tree
from labkit.widgets.namespaces_view import HOLDS
from labkit.widgets.plan_html import call_list, count


def calls_card(calls: Sequence[Call]) -> Html:
    """Return the calls of a rehearsal: none of them was made."""
    note = f"{count(len(calls), 'system call')}. None was made: this is a rehearsal."
    return card(
        "calls", "What it would ask of Linux", note, call_list(calls, numbers=False)
    )


def kinds_card(inodes: Mapping[NamespaceType, int], *, numbers: bool) -> Html:
    """Return the namespaces that one process is in."""
    rows = join(
        tag(
            "tr",
            tag("th", tag("b", kind.value), scope="row"),
            tag("td", HOLDS[kind], class_="note"),
            tag("td", tag("span", inode, class_="mono")) if numbers else None,
        )
        for kind, inode in inodes.items()
    )
    note = "each is a number; two processes with the same number share it"
    return card("table", "Its namespaces", note, tag("table", tag("tbody", rows)))


def reading_card(reading: CgroupReading, *, numbers: bool) -> Html:
    """Return one reading of a cgroup: the use, the limit, what happened at it."""
    memory, pids = reading.memory_limit_bytes, reading.pids_limit
    rows = [
        ("memory", size(reading.memory_bytes), _limit(memory, size)),
        (
            "CPU time",
            f"{reading.cpu_usage_us / 1e6:.2f} s",
            _limit(reading.cpu_limit, _cpus),
        ),
        ("processes", str(reading.pids), _limit(pids, str)),
    ]
    body = join(_use_row(*row, numbers=numbers) for row in rows)
    chips = join(
        [
            _happened("memory", reading, numbers=True),
            _happened("cpu", reading, numbers=numbers),
            _happened("pids", reading, numbers=numbers),
        ]
    )
    table = tag("table", tag("tbody", body))
    return card("table", "A reading of the cgroup", "", table, side=chips or None)


def overlay_card(overlay: Overlay, *, numbers: bool) -> Html:
    """Return an overlay's layers beside the tree that they make."""
    layers, entries = overlay.layers(), overlay.tree()
    left = tag("div", stack(layers, numbers=numbers))
    right = tag("div", tree(entries, layers), class_="merged")
    note = f"{count(len(layers), 'layer')}, the upper one takes all changes"
    columns = tag("div", left, right, class_="columns")
    return card("layers", f"The layers of {overlay.name}", note, columns)


def verdict_card(verdict: Verdict, *, numbers: bool) -> Html:
    """Return how a check ended: its word, what was observed, what to try."""
    score = f"{verdict.earned} of {count(verdict.points, 'point')}"
    hints = verdict.hints if verdict.hint else ()
    calls = verdict.calls if numbers else ()
    trace = _fold("the calls that it made", call_list(calls, numbers=True), calls)
    said = verdict.said if numbers else ""
    return card(
        "exercise",
        verdict.exercise,
        f"Observed{' ' if verdict.stage else ''}{verdict.stage}: {verdict.observed}",
        hint_ladder(hints),
        trace,
        _fold("what it printed", tag("pre", said), said),
        _fold(
            "what is wrong with the check", tag("pre", verdict.trouble), verdict.trouble
        ),
        side=join([tag("span", score, class_="note"), verdict_chip(verdict.word)]),
    )


def _use_row(name: str, use: str, limit: str, *, numbers: bool) -> Html:
    used = tag("td", use, class_="num") if numbers else None
    return tag("tr", tag("th", tag("b", name), scope="row"), used, tag("td", limit))


def _limit(limit: float | None, shown: object) -> str:
    return "no limit" if limit is None else f"limit {shown(limit)}"  # type: ignore[operator]


def _cpus(cpus: float) -> str:
    return f"{cpus:g} CPU" + ("" if cpus == 1 else "s")


def _happened(name: str, reading: CgroupReading, *, numbers: bool) -> Html | None:
    times = KNOBS[name].reached(reading)
    return chip(KNOBS[name].happened(times), "limit") if times and numbers else None


def _fold(title: str, content: Html, wanted: object) -> Html | None:
    return (
        tag("details", tag("summary", title), content, class_="fold")
        if wanted
        else None
    )
