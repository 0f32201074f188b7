"""The plan's buttons change a real child, and the page shows what happened."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import OpenPage
from tests.browser.driving import cell_errors, output, run_all, run_cell
from tests.browser.jupyterlab import Lab

CELLS = [
    """from labkit.widgets.formatters import register
register()
from labkit.linux.flags import CLONE
from labkit.plan import Plan, step
from labkit.primitives.namespaces import SetHostname, Unshare
from labkit.primitives.root import Chdir
from labkit.widgets.plan_view import PlanView

if "child" in globals():
    child.stop()
plan = Plan(Unshare(CLONE.NEWUTS), SetHostname("seen"), Chdir("/nowhere"), Chdir("/"))
child = plan.fork()
print(child.pid)
PlanView(child)""",
    "child.next()",
]


@pytest.fixture(scope="module")
def book(lab: Lab, shared_page: OpenPage, as_root: None) -> Page:
    """The notebook of the cells above, opened."""
    return shared_page(lab.add("plan.ipynb", CELLS))


@pytest.fixture
def page(book: Page) -> Page:
    """The first cell has run, again: a new child is parked before step 1."""
    run_cell(book, 0)
    expect(output(book, 0).get_by_text("parked before step 1")).to_be_visible()
    return book


def pid_in(page: Page) -> int:
    """Return the child's pid, which the cell has printed."""
    return int(output(page, 0).locator("pre").first.inner_text())


def namespace(pid: int | str) -> str:
    """Return a process's UTS namespace, as Linux names it."""
    return os.readlink(f"/proc/{pid}/ns/uts")


def test_next_step_applies_one_step_in_the_child(page: Page) -> None:
    pid, view = pid_in(page), output(page, 0)
    assert namespace(pid) == namespace("self")
    view.get_by_role("button", name="Next step").click()
    expect(view.get_by_text("parked before step 2")).to_be_visible()
    assert namespace(pid) != namespace("self")
    expect(view.get_by_text("unshare(CLONE_NEWUTS)")).to_be_visible()


def test_run_the_rest_stops_where_linux_refuses(page: Page) -> None:
    view = output(page, 0)
    view.get_by_role("button", name="Run the rest").click()
    expect(view.get_by_text("failed at step 3")).to_be_visible()
    expect(view.get_by_role("alert")).to_contain_text('chdir("/nowhere"): ENOENT')
    expect(view.get_by_text("not applied").first).to_be_attached()
    expect(view.get_by_role("button", name="Next step")).to_be_disabled()


def test_stop_ends_the_process_and_leaves_a_picture(page: Page) -> None:
    pid, view = pid_in(page), output(page, 0)
    view.get_by_role("button", name="Stop").click()
    expect(view.get_by_text("stopped")).to_be_visible()
    expect(view.get_by_role("button")).to_have_count(0)
    assert not Path(f"/proc/{pid}").exists()


def test_a_cell_and_a_button_move_the_same_child(page: Page) -> None:
    run_cell(page, 1)
    view = output(page, 0)
    expect(view.get_by_text("parked before step 2")).to_be_visible()
    view.get_by_role("button", name="Next step").click()
    expect(view.get_by_text("parked before step 3")).to_be_visible()
    expect(output(page, 1).get_by_text("Step 1 of 4")).to_be_visible()


def test_focus_and_folds_survive_a_step(page: Page) -> None:
    view = output(page, 0)
    button = view.get_by_role("button", name="Next step")
    button.focus()
    page.keyboard.press("Enter")
    expect(view.get_by_text("parked before step 2")).to_be_visible()
    expect(button).to_be_focused()
    call = view.get_by_text("unshare(CLONE_NEWUTS)")
    view.get_by_text("new namespaces: uts").click()
    expect(call).not_to_be_visible()
    button.click()
    expect(view.get_by_text("parked before step 3")).to_be_visible()
    expect(call).not_to_be_visible()


def test_everything_runs_from_top_to_bottom(page: Page) -> None:
    run_all(page)
    assert cell_errors(page) == []
