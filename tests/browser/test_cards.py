"""What a learner answers and opens: predictions, exercise cards, hints, errors."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import OpenPage
from tests.browser.driving import cell_errors, output, run_cell
from tests.browser.jupyterlab import Lab

PREDICT, CARD, FAIL, FULL, WORK = range(5)
CELLS = [
    """import json, pathlib
from labkit.widgets.formatters import register
from labkit.widgets.prediction import predict
register()

class Kept:
    file = pathlib.Path("kept.json")
    def prediction(self, id):
        return json.loads(self.file.read_text()).get(id) if self.file.exists() else None
    def predict(self, id, choice):
        self.file.write_text(json.dumps({id: choice}))

predict("kernel", "Which Linux kernel?", ["the box's own", "the same"], Kept())""",
    """from types import SimpleNamespace as Value
from labkit.widgets.card import ExerciseCard
task = Value(id="02.1", sentence="enter a root", points=2, verdict="failed",
             observed="'.' was outside", hints=("look", "call", "shape"))
ExerciseCard(Value(title="chroot", text="Two tasks.", tasks=[task],
                   notebook="../exercises/02_chroot.ipynb"))""",
    """from labkit.plan import Plan
from labkit.primitives.root import Chdir
with Plan(Chdir("/nowhere")).fork() as child:
    child.run()""",
    "%tb",
    "from labkit import lab\nlab.download()",
]


@pytest.fixture(scope="module")
def page(lab: Lab, shared_page: OpenPage) -> Page:
    """The notebook of the cells above, opened; beside it, an exercise."""
    lab.add("exercises/02_chroot.ipynb", ["'the exercise'"])
    return shared_page(lab.add("notebooks/cards.ipynb", CELLS))


def test_a_prediction_is_recorded_and_met_again(lab: Lab, page: Page) -> None:
    kept = lab.root / "notebooks" / "kept.json"
    run_cell(page, PREDICT)
    record = output(page, PREDICT).get_by_role("button", name="Record")
    expect(record).to_be_disabled()
    output(page, PREDICT).get_by_label("the same").check()
    record.click()
    expect(output(page, PREDICT).get_by_text("recorded: the same")).to_be_visible()
    assert json.loads(kept.read_text()) == {"kernel": "the same"}
    run_cell(page, PREDICT)
    expect(output(page, PREDICT).get_by_label("the same")).to_be_checked()


def test_hints_open_one_after_the_other_by_keyboard(page: Page) -> None:
    run_cell(page, CARD)
    view = output(page, CARD)
    first, second = view.get_by_text("Hint 1 of 3"), view.get_by_text("Hint 2 of 3")
    expect(second).not_to_be_visible()
    first.focus()
    page.keyboard.press("Enter")
    expect(view.get_by_text("look", exact=True)).to_be_visible()
    expect(second).to_be_visible()
    expect(view.get_by_text("call", exact=True)).not_to_be_visible()


def test_an_error_is_three_lines_and_a_fold(page: Page) -> None:
    run_cell(page, FAIL)
    card = output(page, FAIL).get_by_role("alert")
    expect(card).to_contain_text('chdir("/nowhere"): ENOENT')
    expect(card.get_by_text("try", exact=True)).to_be_visible()
    fold = card.get_by_text("full traceback")
    expect(card.get_by_text("child.run()")).not_to_be_visible()
    fold.click()
    expect(card.get_by_text("child.run()").first).to_be_visible()
    # The cell has failed for those who ask; the page says it once.
    assert len(cell_errors(page)) == 1
    second = output(page, FAIL).locator(".jp-OutputArea-child").nth(1)
    expect(second).not_to_be_visible()


def test_the_whole_traceback_comes_on_request(page: Page) -> None:
    run_cell(page, FULL)
    expect(output(page, FULL)).to_contain_text("child.run()")
    expect(output(page, FULL)).to_contain_text("Traceback")


def test_a_click_saves_the_work_on_this_computer(page: Page, tmp_path: Path) -> None:
    run_cell(page, WORK)
    with page.expect_download() as saved:
        output(page, WORK).get_by_role("link", name="save my_work.zip").click()
    assert saved.value.suggested_filename == "my_work.zip"
    saved.value.save_as(tmp_path / "my_work.zip")
    assert zipfile.is_zipfile(tmp_path / "my_work.zip")


def test_the_link_opens_the_exercise_in_jupyterlab(page: Page) -> None:
    output(page, CARD).get_by_role("link", name="Open exercise").click()
    page.wait_for_function(
        """() => [...window.jupyterapp.shell.widgets('main')].some(
             (one) => one.context?.path === 'exercises/02_chroot.ipynb')"""
    )
