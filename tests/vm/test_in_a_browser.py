"""A browser's tab is closed, and its slider dragged, while the kernel is in the VM."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, expect, sync_playwright

from tests.browser.conftest import FLAGS
from tests.browser.driving import cell_errors, output, run_cell
from tests.browser.jupyterlab import Lab, open_notebook, running_lab
from tests.browser.test_meter import CELLS, START, TAKE
from tests.vm.conftest import Running
from tests.vm.notebook import KERNELS, quietly

pytestmark = pytest.mark.timeout(400)
# The tests of the meter read Linux's file themselves; here it is in the VM.
METER = [*CELLS, 'print(box.read("memory.max"))']
LIMIT = len(CELLS)


@pytest.fixture
def lab(no_vm: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    """A JupyterLab whose notebooks run in the VM."""
    monkeypatch.setenv("JUPYTER_PATH", str(KERNELS.parent))
    monkeypatch.setenv("LABKIT_VM_IDLE", "2")
    with running_lab(tmp_path) as lab:
        yield lab


@pytest.fixture
def browser(chromium: Path) -> Iterator[BrowserContext]:
    """A browser without a window."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        context = browser.new_context(viewport={"width": 1100, "height": 900})
        context.set_default_timeout(180_000)
        yield context
        browser.close()


def test_a_closed_browser_leaves_the_kernel_and_the_machine(
    lab: Lab, browser: BrowserContext, vm: Callable[[], Running]
) -> None:
    book = lab.add("closed.ipynb", ["import os; kept = os.uname().nodename", "kept"])
    page = open_notebook(lab, browser.new_page(), book, "light")
    run_cell(page, 0)
    before = vm()
    page.close()
    assert quietly(lambda: lab.ask("/api/kernels")[0]["connections"] == 0)
    again = open_notebook(lab, browser.new_page(), book, "light")
    run_cell(again, 1)
    expect(output(again, 1)).to_contain_text("labvm")
    assert (vm(), cell_errors(again)) == (before, [])
    again.close()
    lab.shut_down_kernels()
    assert before.is_gone()


def test_the_server_ends_without_a_browser_and_nothing_is_left(
    browser: BrowserContext,
    no_vm: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    vm: Callable[[], Running],
) -> None:
    monkeypatch.setenv("JUPYTER_PATH", str(KERNELS.parent))
    with running_lab(tmp_path, tidy=False) as lab:
        page = open_notebook(
            lab, browser.new_page(), lab.add("left.ipynb", ["1"]), "light"
        )
        run_cell(page, 0)
        page.close()
        before = vm()
    assert before.is_gone()


def test_the_slider_moves_a_limit_of_the_vm_and_its_linux_kills(
    lab: Lab, browser: BrowserContext
) -> None:
    page = open_notebook(
        lab, browser.new_page(), lab.add("meter.ipynb", METER), "light"
    )
    run_cell(page, START)
    view = output(page, START)
    expect(view.get_by_role("img")).to_have_attribute(
        "aria-label", "Memory: 0 of 256 MiB"
    )
    view.get_by_role("slider", name="limit of Memory").fill("128")
    expect(view.get_by_text("limit 128 MiB", exact=True)).to_be_visible()
    run_cell(page, LIMIT)
    expect(output(page, LIMIT)).to_contain_text(str(128 << 20))
    run_cell(page, TAKE)
    expect(view.locator(".mark text")).to_have_text("killed: out of memory")
    expect(output(page, TAKE)).to_contain_text("killed by SIGKILL")
    assert cell_errors(page) == []
