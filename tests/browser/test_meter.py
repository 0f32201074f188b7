"""The meter shows a real cgroup, and its slider changes the limit that Linux has."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import OpenPage
from tests.browser.driving import cell_errors, output, run_cell, wait_until_idle
from tests.browser.jupyterlab import Lab
from tests.support.skips import need

MIB = 1 << 20
START, HOLD, WAIT, TAKE, REMOVE, ASK = range(6)
CELLS = [
    """import sys, threading, time
from labkit.plan import Plan
from labkit.primitives.cgroups.cgroup import Cgroup
from labkit.primitives.process import Exec
from labkit.widgets import view
from labkit.widgets.meter import Meter

view.LEASE_S = 3.0
box = Cgroup.create("metered")
box.limit(memory="256M", swap=0)
print(box.path("memory"))
meter = Meter(box)
meter""",
    """code = "held = bytearray(150 << 20); print('held', flush=True); signal.pause()"
code = f"import signal; {code}"
child = Plan(box.join(), Exec([sys.executable, "-c", code])).fork()
child.run()
while "held" not in child.output:
    time.sleep(0.05)""",
    "time.sleep(4)",
    """code = "held = []\\nwhile True: held.append(bytearray(16 << 20))"
child = Plan(box.join(), Exec([sys.executable, "-c", code])).fork()
child.run()
print(child.wait(20))""",
    "box.remove()",
    """print([t.name for t in threading.enumerate() if t.name.startswith("labkit")],
      len(meter._window.readings))""",
]


@pytest.fixture(scope="module")
def book(lab: Lab, shared_page: OpenPage, as_root: None) -> Page:
    """The notebook of the cells above, opened."""
    return shared_page(lab.add("meter.ipynb", CELLS))


@pytest.fixture
def page(book: Page) -> Page:
    """The first cell has run, again: a new group, and its meter has a first reading."""
    run_cell(book, START)
    expect(output(book, START).get_by_role("img")).to_have_attribute(
        "aria-label", "Memory: 0 of 256 MiB", timeout=10_000
    )
    yield book
    run_cell(book, REMOVE)
    assert cell_errors(book) == []


def limit_in_linux(page: Page) -> int:
    """Return the memory limit, from the file that Linux keeps it in."""
    folder = Path(output(page, START).locator("pre").first.inner_text().strip())
    found = [folder / name for name in ("memory.max", "memory.limit_in_bytes")]
    return int(next(path for path in found if path.exists()).read_text())


def slider(page: Page) -> Locator:
    """Return the handle of the limit's line."""
    return output(page, START).get_by_role("slider", name="limit of Memory")


def test_the_slider_changes_the_limit_that_linux_has(page: Page) -> None:
    slider(page).fill("128")
    view = output(page, START)
    expect(view.get_by_text("limit 128 MiB", exact=True)).to_be_visible()
    assert limit_in_linux(page) == 128 * MIB
    slider(page).press("ArrowUp")
    expect(view.get_by_text("limit 136 MiB", exact=True)).to_be_visible()
    assert limit_in_linux(page) == 136 * MIB


def test_a_limit_below_the_use_is_refused_and_the_slider_goes_back(page: Page) -> None:
    folder = Path(output(page, START).locator("pre").first.inner_text().strip())
    refuses = (folder / "memory.limit_in_bytes").exists()
    need("cgroup-v1", refuses, "version 2 takes such a limit, and reclaims or kills")
    run_cell(page, HOLD)
    slider(page).fill("64")
    alert = output(page, START).get_by_role("alert")
    expect(alert).to_contain_text("EBUSY")
    expect(alert).to_contain_text("try:")
    expect(slider(page)).to_have_js_property("value", "256")
    assert limit_in_linux(page) == 256 * MIB


def test_it_goes_on_while_a_cell_blocks_the_kernel(page: Page) -> None:
    run_cell(page, WAIT, wait=False)
    line = output(page, START).locator("path.line")
    page.wait_for_timeout(1000)
    before = line.get_attribute("d")
    page.wait_for_timeout(1500)
    assert line.get_attribute("d") != before
    assert output(page, START).locator(".stale").count() == 0
    wait_until_idle(page)


def test_the_kill_is_marked_at_its_moment(page: Page) -> None:
    run_cell(page, TAKE)
    view = output(page, START)
    expect(view.locator(".mark text")).to_have_text("killed: out of memory")
    expect(view.locator(".chip.limit")).to_have_text("1 killed for memory")
    expect(output(page, TAKE)).to_contain_text("killed by SIGKILL")


def test_nobody_looks_and_nothing_is_read(page: Page) -> None:
    page.evaluate(
        """() => {
             const book = window.jupyterapp.shell.currentWidget.content;
             book.widgets[0].model.outputs.clear();
           }"""
    )
    page.wait_for_timeout(4000)
    run_cell(page, ASK)
    before = output(page, ASK).inner_text()
    page.wait_for_timeout(1000)
    run_cell(page, ASK)
    # Two cells ran meanwhile, and a running cell is a sign of life for their moment.
    assert abs(readings(before) - readings(output(page, ASK).inner_text())) <= 3


def test_the_end_leaves_a_picture_and_no_thread(page: Page) -> None:
    run_cell(page, REMOVE)
    picture = output(page, START).locator('[data-mime-type="image/png"] img')
    expect(picture).to_be_visible(timeout=15_000)
    run_cell(page, ASK)
    expect(output(page, ASK)).to_contain_text("[]")


def readings(printed: str) -> int:
    """Return the number of readings that a cell has printed."""
    return int(printed.split()[-1])
