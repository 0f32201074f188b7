"""The layers as they change: what a real overlay does is seen as it happens."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import OpenPage
from tests.browser.driving import cell_errors, output, run_cell
from tests.browser.jupyterlab import Lab

START, CHANGE, REMOVE = range(3)
CELLS = [
    """import os, pathlib
from labkit.linux.flags import CLONE
from labkit.plan import Plan
from labkit.primitives.mounts import MakePrivate
from labkit.primitives.namespaces import Unshare
from labkit.primitives.overlay import Overlay
from labkit.widgets.layers_view import LayersView

base = pathlib.Path(os.environ["LABKIT_WORK"], "base")
for name in ("etc/hosts", "etc/motd", "bin/ls"):
    (base / name).parent.mkdir(parents=True, exist_ok=True)
    (base / name).write_text(name)
box = Overlay.create("seen", [base])
child = Plan(Unshare(CLONE.NEWNS), MakePrivate("/"), box.mount()).fork()
child.run()
print(box.upperdir)
LayersView(box)""",
    """change = "echo more >> etc/hosts; rm etc/motd; echo x > notes"
child.exec(["/bin/sh", "-c", f"cd {box.merged}; {change}"])""",
    "child.stop(); box.remove()",
]


@pytest.fixture(scope="module")
def book(lab: Lab, shared_page: OpenPage, as_root: None) -> Page:
    """The notebook of the cells above, opened."""
    return shared_page(lab.add("layers.ipynb", CELLS))


@pytest.fixture
def page(book: Page) -> Page:
    """The first cell has run, again: an overlay without changes is shown."""
    run_cell(book, START)
    expect(output(book, START).get_by_text("0 changes")).to_be_visible()
    yield book
    run_cell(book, REMOVE)
    assert cell_errors(book) == []


def test_a_copy_up_and_a_whiteout_appear_as_they_happen(page: Page) -> None:
    run_cell(page, CHANGE)
    view = output(page, START)
    expect(view.get_by_text("3 changes")).to_be_visible()
    expect(row(page, "/etc/hosts")).to_contain_text("copied up")
    expect(row(page, "/etc/motd").locator("del")).to_have_text("motd")
    expect(row(page, "/notes")).to_contain_text("new in upper")
    upper = Path(view.locator("pre").first.inner_text().strip())
    assert sorted(path.name for path in upper.rglob("*")) == sorted(
        ["etc", "hosts", "motd", "notes"]
    )


def test_a_chosen_path_is_shown_on_its_slab_and_struck_where_it_is_hidden(
    page: Page,
) -> None:
    run_cell(page, CHANGE)
    row(page, "/etc/hosts").click()
    view = output(page, START)
    expect(view.get_by_role("status")).to_have_text(
        "/etc/hosts comes from upper, copied up; hidden below it: base"
    )
    expect(view.locator(".slab.from .strong")).to_have_text("upper")
    expect(view.locator(".slab.hidden .here")).to_have_text("/etc/hosts")


def test_the_arrow_keys_go_from_path_to_path(page: Page) -> None:
    row(page, "/bin/ls").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    expect(row(page, "/etc/hosts")).to_be_focused()
    expect(output(page, START).get_by_role("status")).to_have_text(
        "/etc/hosts comes from base"
    )


def test_what_was_chosen_stays_chosen_when_something_changes(page: Page) -> None:
    row(page, "/etc/hosts").focus()
    run_cell(page, CHANGE)
    view = output(page, START)
    expect(view.get_by_text("3 changes")).to_be_visible()
    expect(view.locator(".slab.hidden .strong")).to_have_text("base")


def row(page: Page, path: str) -> Locator:
    """Return the row of a path."""
    return output(page, START).locator(f'[data-path="{path}"]')
