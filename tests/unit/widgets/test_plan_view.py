"""The plan's view: a subscriber to a child's events, with three buttons."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from labkit.linux.syscalls import Linux
from labkit.plan import Child, Event, Plan, step
from labkit.widgets.plan_view import PlanView, plan_card


def go(linux: Linux, path: str) -> None:
    """go to a directory"""
    linux.chdir(path)


PLAN = Plan(step(go, "/"), step(go, "/proc"), step(go, "/nowhere"), step(go, "/tmp"))


@pytest.fixture
def child() -> Iterator[Child]:
    """A child of the plan above, whose third step fails."""
    with PLAN.fork() as child:
        yield child


def press(view: PlanView, word: str) -> None:
    """Send what a button sends."""
    view._handle_custom_msg({"do": word}, [])


def states(view: PlanView) -> list[str]:
    """Return the state of each step, from the text form."""
    heads = [line for line in view.text().splitlines() if line[:3].strip()]
    return [line[13:25].strip() for line in heads]


def test_next_applies_one_step(child: Child) -> None:
    view = PlanView(child)
    press(view, "next")
    assert states(view) == ["done", "waiting", "waiting", "waiting"]
    press(view, "next")
    assert os.readlink(f"/proc/{child.pid}/cwd") == "/proc"


def test_run_stops_at_the_step_that_fails_and_shows_its_three_lines(
    child: Child,
) -> None:
    view = PlanView(child)
    press(view, "run")
    assert states(view) == ["done", "done", "failed", "not applied"]
    assert "chdir(&quot;/nowhere&quot;): ENOENT" in view.html
    assert 'role="alert"' in view.html


def test_steps_that_a_cell_applies_are_seen_too(child: Child) -> None:
    view = PlanView(child)
    child.next()
    assert states(view)[0] == "done"
    assert states(PlanView(child))[0] == "done"  # a view that comes late


def test_stop_ends_the_child_and_the_rest_is_not_applied(child: Child) -> None:
    view = PlanView(child)
    press(view, "stop")
    assert not child.running
    assert set(states(view)) == {"not applied"}
    assert view.html.count("disabled") == 3


def test_a_press_after_the_end_is_harmless(child: Child) -> None:
    view = PlanView(child)
    child.stop()
    press(view, "next")
    assert set(states(view)) == {"not applied"}


def test_an_unchanging_form_leaves_out_what_differs_from_run_to_run() -> None:
    forms = []
    for _ in range(2):
        with PLAN.fork() as child:
            view = PlanView(child)
            press(view, "run")
            forms.append(view.still(numbers=False))
            assert str(child.pid) not in view.text()
    assert forms[0] == forms[1]
    assert "µs" not in forms[0]["text/html"]


def test_events_alone_can_be_shown(child: Child) -> None:
    events = (child.next(), child.next())
    view = PlanView(events)
    assert states(view) == ["done", "done"]
    assert "chdir(&quot;/proc&quot;)" in view.picture(numbers=True)
    assert "data-do" not in view.html


def test_a_plan_alone_has_not_happened() -> None:
    card = plan_card(PLAN)
    assert "Nothing has happened yet" in card
    assert card.count('class="step planned inside"') == 4


def test_the_text_of_a_step_is_escaped() -> None:
    event = Event(0, 1, "<b>bold</b>", "Step", "inside", 1.0, ())
    assert "<b>bold</b>" not in PlanView([event]).html
