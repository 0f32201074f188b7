"""Every cell of every chapter runs, in order, in a real browser."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import OpenPage
from tests.browser.driving import cell_errors, run_all
from tests.browser.jupyterlab import PROJECT, Lab

CHAPTERS = sorted((PROJECT / "notebooks").glob("[0-9]*.ipynb"))


@pytest.mark.timeout(300)
@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)
def test_a_chapter_runs_from_top_to_bottom(
    lab: Lab, lab_page: OpenPage, as_root: None, chapter: Path
) -> None:
    complaints, strangers = list[str](), list[str]()
    page = lab_page(chapter)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda sent: strangers.append(sent.url))
    run_all(page)
    assert cell_errors(page) == []
    expect(page.get_by_text("Error displaying widget")).to_have_count(0)
    assert complaints == []
    local = (lab.url, "ws:", "data:", "blob:")
    assert [url for url in strangers if not url.startswith(local)] == []
