"""What is left of the views in a saved notebook: with another kernel, and with none."""

from __future__ import annotations

import json
import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbconvert import HTMLExporter
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.conftest import OpenPage
from tests.browser.driving import cell_errors, output, run_all, save
from tests.browser.jupyterlab import Lab

ENDED, PARKED, VALUE, METER, PREDICTION = range(5)
CELLS = [
    """from labkit.widgets.formatters import register
register()
from labkit.plan import Plan
from labkit.primitives.root import Chdir
from labkit.widgets.plan_view import PlanView
child = Plan(Chdir("/proc"), Chdir("/nowhere")).fork()
ended = PlanView(child)
display(ended)
child.next()
child.stop()""",
    "child = Plan(Chdir('/'), Chdir('/tmp')).fork()\nPlanView(child)",
    "child.next()",
    """import time
from labkit.primitives.cgroups.cgroup import Cgroup
from labkit.widgets.meter import Meter
box = Cgroup.create("saved")
display(Meter(box))
time.sleep(1)
box.remove()""",
    """from labkit.widgets.prediction import predict
class Kept:
    predict = print
    prediction = {}.get
predict("a", "Which?", ["this", "that"], Kept)""",
]


@pytest.fixture(scope="module")
def saved(lab: Lab, shared_page: OpenPage, as_root: None) -> Path:
    """A notebook that ran in a browser and was saved; its kernel is gone."""
    path = lab.add("saved.ipynb", CELLS)
    page = shared_page(path)
    run_all(page)
    expect(output(page, ENDED).get_by_text("stopped")).to_be_visible()
    expect(output(page, METER).locator("img")).to_be_visible(timeout=15_000)
    assert cell_errors(page) == []
    save(page)
    page.wait_for_function("!window.jupyterapp.shell.currentWidget.context.model.dirty")
    page.close()
    lab.shut_down_kernels()
    return path


def all_pictures_are_there(page: Page) -> None:
    """See the text and the pictures of all five cells, and no failed view."""
    expect(output(page, ENDED)).to_contain_text('chdir("/proc")')
    expect(output(page, PARKED)).to_contain_text("parked before step 1")
    expect(output(page, VALUE)).to_contain_text("Step 1 of 2")
    expect(output(page, METER).locator("img")).to_be_visible()
    expect(output(page, PREDICTION)).to_contain_text("that")
    expect(page.get_by_text("Error displaying widget")).to_have_count(0)


def test_with_another_kernel_every_picture_is_there(
    saved: Path, lab_page: OpenPage
) -> None:
    page = lab_page(saved)
    page.wait_for_timeout(3000)  # the widget manager gives up on a model after two
    all_pictures_are_there(page)
    expect(output(page, ENDED).locator(".lk-plan .bar").first).to_be_visible()


def test_a_notebook_that_is_not_trusted_is_still_readable(
    lab: Lab, saved: Path, lab_page: OpenPage
) -> None:
    book = json.loads(saved.read_text())
    book["cells"][0]["source"] = "# changed by somebody else"
    strange = lab.root / "strange" / "saved.ipynb"
    strange.parent.mkdir(exist_ok=True)
    strange.write_text(json.dumps(book))
    all_pictures_are_there(lab_page(strange))


def test_nbconvert_shows_it_offline(saved: Path, browser: BrowserContext) -> None:
    html, _ = HTMLExporter().from_filename(str(saved))
    page = browser.new_page()
    page.route(re.compile("^https?:"), lambda route: route.abort())
    page.set_content(html, wait_until="domcontentloaded")
    expect(page.get_by_text('chdir("/proc")').first).to_be_visible()
    expect(page.locator(".lk-plan").first).to_have_css("border-radius", "8px")
    expect(page.locator("img[src^='data:image/png']")).to_be_visible()
    page.close()


def test_without_a_browser_two_runs_leave_the_same_text(
    lab: Lab, as_root: None
) -> None:
    first, second = (run_without_browser(lab, f"bare{n}.ipynb") for n in (1, 2))
    assert first == second
    assert any("chdir(" in text for one in first for text in one.values())


def run_without_browser(lab: Lab, name: str) -> list[dict[str, str]]:
    """Run the cells as `make notebooks` does; return what nbval would compare."""
    book = nbformat.read(lab.add(name, CELLS), 4)
    NotebookClient(book, store_widget_state=False).execute()
    outputs = [out for cell in book.cells for out in cell.outputs]
    kinds = ("text/html", "text/plain")
    return [{k: out.data[k] for k in kinds if k in out.data} for out in outputs]
